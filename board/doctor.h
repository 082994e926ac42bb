/* doctor: looks at everything the configuration names, once, at once, in bounded time; changes nothing that stays.
 *
 * Layer    board; nobody includes it but doctor*.c.   Blocks   a probe parks its fiber, by doctor_until() at the longest.
 * Owner    the command owns struct doctor; it          Memory   the caller's: 40 KiB, on the heap; a probe's connections.
 *          outlives every probe.
 * Errors   none: what goes wrong is a line. Lines beyond DOCTOR_LINES_MAX are counted. */
#ifndef HOLDFAST_DOCTOR_H
#define HOLDFAST_DOCTOR_H

#include "board/command.h"
#include "net/format/url.h"
#include "net/proto/dns.h"
#include "net/proto/tls.h"

#define DOCTOR_LINES_MAX   80
#define DOCTOR_SUBJECT_MAX 96
#define DOCTOR_WORDS_MAX   400
#define DOCTOR_MS_MAX      SECONDS(45) /* all of it */
#define DOCTOR_PROBE_MS    SECONDS(10) /* one thing */

/*        state    word */
#define DOCTOR_STATES(X)                                                                                                         \
    X(GOOD, "ok")                                                                                                                \
    X(WARN, "warn")                                                                                                              \
    X(BAD, "bad")                                                                                                                \
    X(UNKNOWN, "unknown")
enum doctor_state {
#define X(state, word) DOCTOR_##state,
    DOCTOR_STATES(X)
#undef X
        DOCTOR_STATE_COUNT
};

struct doctor_line {
    unsigned order; /* of the probe */
    enum doctor_state state;
    char subject[DOCTOR_SUBJECT_MAX], words[DOCTOR_WORDS_MAX];
};

struct doctor {
    const struct config *config;
    struct dns *dns;
    ms deadline;
    struct tls_config *etcd_tls; /* NULL: none */
    int64_t db_bytes;            /* the largest database a source told; 0: none did */
    bool date_known;             /* somebody's clock was seen */
    int64_t ahead_ms;            /* of ours over it; the largest */
    char date_of[URL_HOST_MAX];
    struct doctor_line lines[DOCTOR_LINES_MAX];
    unsigned line_count, left_out;
};

struct doctor_probe {
    void (*run)(struct doctor *d, const struct doctor_probe *p);
    unsigned order, index; /* index: of endpoint, destination */
};

ms doctor_until(const struct doctor *d); /* the deadline of what is tried now */
void doctor_say(struct doctor *d, const struct doctor_probe *p, enum doctor_state s, const char *subject, const char *format, ...)
    PRINTF_LIKE(5, 6);
/* The trail of e, and what to do; takes the trail. */
void doctor_failed(struct doctor *d, const struct doctor_probe *p, enum doctor_state s, const char *subject, err e,
                   const char *advice);
const char *doctor_advice(err e); /* what usually helps; "" */

/* --- doctor_tls.c --- */
struct doctor_files { /* paths; "" none, of ca: the system's */
    const char *key;  /* "backup.etcd": what their options begin with */
    const char *ca, *cert, *cert_key;
    bool h2;
};
/* Reads, parses, tells of each. *out NULL: not usable, and told. */
void doctor_tls(struct doctor *d, const struct doctor_probe *p, const struct doctor_files *f, struct tls_config **out);

/* --- doctor_place.c --- */
struct mount_state;
struct doctor_mount {
    enum doctor_state state;
    char words[DOCTOR_WORDS_MAX];
};
/* What is mounted where a destination on NFS is to be. */
void doctor_judge_mount(const struct config_destination *to, const struct mount_state *s, struct doctor_mount *out);

/* --- the probes --- */
void doctor_etcd_tls(struct doctor *d, const struct doctor_probe *p);
void doctor_etcd(struct doctor *d, const struct doctor_probe *p);
void doctor_talos(struct doctor *d, const struct doctor_probe *p);
void doctor_destination(struct doctor *d, const struct doctor_probe *p);
void doctor_s3(struct doctor *d, const struct doctor_probe *p);
void doctor_keys(struct doctor *d, const struct doctor_probe *p);   /* recipients and the identity file */
void doctor_kube(struct doctor *d, const struct doctor_probe *p);   /* the cluster, with ingest.enabled; in doctor_kube.c */
void doctor_notify(struct doctor *d, const struct doctor_probe *p); /* index 0: webhook, 1: ping_url */
void doctor_clock(struct doctor *d, const struct doctor_probe *p);
/* Our clock is so far ahead of that of `host`; the largest difference is told by doctor_clock(). */
void doctor_clock_seen(struct doctor *d, const char *host, int64_t ahead_ms);
/* HEAD / of u: any answer is good, its Date is compared with our clock. tls: of https. */
MUST_USE err doctor_ask_date(struct doctor *d, const struct url *u, struct tls_config *tls);

#endif
