/* backup: snapshots of etcd into directories, on a schedule and on demand: streamed, verified, recorded, kept by rule.
 *
 * Layer    agents.                                  Blocks   parks the fiber; disk work runs on the pool, one lane a destination
 * Owner    the caller owns struct backup until               and one for the second reader of a verification.
 *          backup_close(); what the options name    Memory   TASK_BACKUP: one connection, its window, some buffers of
 *          outlives it.                                      BACKUP_PIECE_BYTES, and for what is packed or sent away as pack.h
 *                                                            and place.h say; then one verification: what is left, up to
 *                                                            BACKUP_VERIFY_BYTES_MAX.
 * Errors   E_CORRUPT the digest is wrong, the stream was short, or the verification found damage; E_TIMEOUT no byte for
 *          idle_timeout, or total_timeout in all; E_BUSY another run into this destination; those of etcd.h, talos.h, s3.h and
 *          file.h. After any of them no good backup has gone, and nothing half-made is listed.
 *
 * In a destination: NAME = etcd-snapshot-YYYYMMDD-HHMMSS[-HUBID8].db[.zst][.age]; beside it NAME.json, its record, written last;
 * NAME.bad, the newest snapshot that failed its verification, with its own NAME.json; NAME.part-XXXXXXXX, a run at work (locked)
 * or killed (not locked). These files are the truth; the store caches the records. */
#ifndef HOLDFAST_BACKUP_H
#define HOLDFAST_BACKUP_H

#include "config/config.h"
#include "hal/store.h"
#include "net/format/etcd_db.h"
#include "net/format/json_write.h"
#include "net/format/sha256.h"
#include "net/proto/dns.h"

#define BACKUP_PIECE_BYTES      KIB(256)
#define BACKUP_APPENDS_MAX      4
#define BACKUP_NAME_MAX         80
#define BACKUP_ETAG_MAX         65
#define BACKUP_RECORDS_MAX      4096 /* the newest snapshots of a destination; older ones are told of and left alone */
#define BACKUP_VERIFY_BYTES_MAX MIB(8)
_Static_assert(CONFIG_RETENTION_MAX <= BACKUP_RECORDS_MAX - 96, "what the rules keep is looked at, and some damaged ones");
#define BACKUP_REASON_MAX 24

enum backup_verdict { VERDICT_UNKNOWN, VERDICT_GOOD, VERDICT_BAD };
const char *backup_verdict_name(enum backup_verdict v); /* "good"; static */

struct backup_finding {
    char code[BACKUP_REASON_MAX]; /* "length", "sha256", or etcd_db_code_name() */
    uint64_t page;
    char text[96];
};

/* What a verification of one file found. */
struct backup_verification {
    enum backup_verdict verdict;
    unsigned level;                 /* the highest that holds, 0..4: 1 length, 2 SHA-256, 3 structure, 4 logical */
    char reason[BACKUP_REASON_MAX]; /* "": none; bad: the first finding's code; unknown: "level" (less was asked), "unreadable",
                                       "memory" */
    uint64_t bytes, db_bytes; /* the file; without its 32-byte trailer (db_bytes: as etcdutl's totalSize once level 3 holds) */
    char sha256[2 * SHA256_BYTES + 1]; /* computed; "" when it could not be */
    uint32_t hash;                     /* this and below: valid from level 4 */
    int64_t revision;
    uint64_t keys, pairs;
    unsigned finding_count;
    struct backup_finding findings[ETCD_DB_FINDINGS_MAX];
};

/* What reading a backup back as for a restore found, the last time. */
struct backup_rehearsal {
    int64_t at_s; /* 0: never */
    ms took_ms;
    enum backup_verdict verdict;
    unsigned level;                  /* 0: only the stored bytes were compared with the record, reason "stored" */
    char reason[BACKUP_REASON_MAX];  /* as of a verification; "stored", "no-scratch", "no-record" too */
    char warning[BACKUP_REASON_MAX]; /* "", "cluster-went-back", "another-cluster" */
};

/* One snapshot: a line of `backup list`, the content of NAME.json. */
struct backup_record {
    char name[BACKUP_NAME_MAX]; /* etcd-snapshot-YYYYMMDD-HHMMSS[-HUBID].db[.zst][.age], UTC */
    char path[OS_PATH_MAX];     /* of the file: NAME, or NAME.bad */
    char destination[CONFIG_NAME_MAX];
    char endpoint[CONFIG_URL_MAX]; /* "": not known (the record was made anew) */
    char etcd_version[64];
    uint64_t cluster_id, member_id; /* 0: not known */
    int64_t taken_at_s;             /* when it began */
    ms took_ms;                     /* -1: not known */
    int hash_kv; /* 1: HashKV of the live member agreed; 0: not compared, hash_kv_why tells; a difference is bad, reason "hash-kv"
                  */
    char hash_kv_why[64];
    struct backup_verification verification; /* of the plain snapshot; a good one that could not be read at random: level 2,
                                                reason "no-scratch" */
    /* What lies there: */
    uint64_t stored_bytes;                    /* 0: not known: as verification.bytes */
    char stored_sha256[2 * SHA256_BYTES + 1]; /* ""; not known */
    char etag[BACKUP_ETAG_MAX];               /* S3's word for it; "": none */
    bool compressed, encrypted;               /* zstd; age */
    char source[8];                           /* "etcd", "talos"; "": not known */
    char copied_from[CONFIG_NAME_MAX];        /* the destination whose file it was made from; "": from the stream */
    struct backup_rehearsal rehearsal;
};

/* The record as one JSON object: {name, destination, path, verdict, level, reason, bytes, db_bytes, sha256, hash, revision, keys,
 * pairs, errors: [{code, page, text}], cluster_id, member_id (16 hex digits), taken_at, took_ms, endpoint, etcd_version, hash_kv,
 * hash_kv_why, stored_bytes, stored_sha256, etag, compressed, encrypted, source, copied_from, rehearsal: null or {at, took_ms,
 * verdict, level, reason, warning}}. What is not known is null, but sizes, which are 0 then. At most BACKUP_RECORD_JSON_MAX
 * bytes. */
#define BACKUP_RECORD_JSON_MAX KIB(6)
void backup_record_json(struct json_writer *w, const struct backup_record *r);
/* Reads what backup_record_json() wrote; unknown keys are let be. E_CORRUPT with line and key. */
MUST_USE err backup_record_parse(struct bytes json, struct backup_record *out);

struct backup_watcher { /* told how far it is; NULL: nobody */
    void (*progress)(void *arg, const char *what, uint64_t done_bytes,
                     uint64_t total_bytes); /* what: "snapshot", "verify", "copy" */
    void *arg;
};

/* --- without a configuration: one file. For `backup verify FILE`. --- */
/* The verdict is in *out; an error only for E_CANCELED. level_max 1..4. Uses two lanes of its own, TASK_BACKUP. */
MUST_USE err backup_verify_file(const char *path, unsigned level_max, const struct backup_watcher *w,
                                struct backup_verification *out);

/* --- the agent --- */
struct backup_events {                                      /* told after the fact, in the fiber that did it; any may be NULL */
    void (*done)(void *arg, const struct backup_record *r); /* a good one: VERDICT_GOOD, and nothing less */
    void (*failed)(void *arg, const char *destination, const char *reason, const char *words);
    void (*stale)(void *arg, const char *destination, bool stale, int64_t newest_s); /* when it changes */
    void (*round)(void *arg);                                                        /* no run is under way or due */
    void *arg;
};
struct backup_options {
    const struct config *config;
    struct dns *dns;
    struct store *store;     /* made with backup_schema; NULL: no cache */
    const struct zone *zone; /* config->backup.timezone, found */
    char hub_id[9];          /* 8 hex digits, of this hub for good: in names where a server cannot refuse to overwrite */
    struct backup_events events;
    bool (*held)(void *arg); /* while true a due run waits: a member is being defragmented; NULL: never */
    void *held_arg;
};
struct backup;
MUST_USE err backup_open(const struct backup_options *o, struct backup **out);
void backup_close(struct backup *b);      /* NULL is fine */
extern const char *const backup_schema[]; /* its tables, for store_open() */
/* E_NOSPACE is "nospace": with the codes of findings, all the reasons there are in metrics and answers. */
void backup_reason_of(err e, char out[BACKUP_REASON_MAX]);

/* One snapshot into one destination, now, verified to `level` (2 or 4), recorded. On E_CORRUPT *out is the record of the NAME.bad
 * it left; on any error out->path is "" unless a recorded file was left. Errors are in the trail, not yet logged; metrics are up
 * to date, and listeners told. */
MUST_USE err backup_take(struct backup *b, unsigned destination, unsigned level, const struct backup_watcher *w,
                         struct backup_record *out);
/* The same; but where a destination is no plain folder, a good file that a plain one was given by a run begun at or after `since`
 * is copied: same second, same verification, copied_from. One that is not there any more is no reason not to take a new one; one
 * that is damaged is set aside, E_CORRUPT. */
MUST_USE err backup_take_since(struct backup *b, unsigned destination, unsigned level, ms since, const struct backup_watcher *w,
                               struct backup_record *out);
/* A folder whose files are the snapshots themselves. In which order destinations are done: those first. Returns how many. */
bool backup_is_plain(const struct config_destination *c);
unsigned backup_order(const struct config *c, unsigned out[CONFIG_DESTINATIONS_MAX]);
/* What killed runs left in a destination goes; snapshots without a record are verified and given one. */
MUST_USE err backup_tidy(struct backup *b, unsigned destination);
/* All records of a destination, oldest first, bad ones too; those without a readable record as verdict unknown, reason
 * "no-record". When it cannot be listed: the error, after the rest of what the store remembers, unknown, "unreachable". */
MUST_USE err backup_list(struct backup *b, unsigned destination, err (*each)(void *arg, const struct backup_record *r),
                         void *arg);
/* After each removal (or in place of it), with what came of it. An error of it ends the run. */
typedef err backup_pruned(void *arg, const struct backup_record *r, const char *why, err result);
/* Removes what the destination's retention does not keep (its record first, then the file), or only tells. Before the first the
 * newest good one that stays is read again: were it damaged, it is set aside as NAME.bad, and all is decided anew. One that
 * cannot be removed does not keep the others: the first error is returned at the end; E_CORRUPT: a backup was set aside. */
MUST_USE err backup_prune(struct backup *b, unsigned destination, bool dry_run, backup_pruned *each, void *arg);
/* The newest backup of a destination that is not known to be bad is read back completely and verified as far as keys and scratch
 * allow; what that found is out->rehearsal, and in its record. One that is damaged is set aside, recorded as bad, told as a
 * failed backup is, and E_CORRUPT; one that could not be read or judged is its error. E_ABSENT: there is none. */
MUST_USE err backup_rehearse(struct backup *b, unsigned destination, const struct backup_watcher *w, struct backup_record *out);
/* The schedule: a fiber of TASK_BACKUP that ends with E_CANCELED only. First tidies; a run missed while off happens at once; a
 * failed one is tried again after 30 s, 1 min, … up to 10 min or the schedule's own next, whichever is less: one whose snapshot
 * was kept but could not be verified by verifying that. After a good one: prunes. */
err backup_schedule(void *backup);

/* For who would defragment: is a snapshot being streamed? Is there a good one within max_age, in any destination? Else why not.
 */
bool backup_is_streaming(const struct backup *b);
bool backup_has_fresh(const struct backup *b, struct text *why);

/* For /readyz?verbose: false and why when the last run into any destination failed, or its newest good backup is stale. */
bool backup_is_well(void *backup, struct text *why);

#endif
