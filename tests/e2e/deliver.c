/* deliver: tokens and deliveries as a program, for others' platforms to meet (test_deliver.py).
 *
 *   deliver URL CLIENT_ID KEY_FILE [-c CA] [-1] [-e EVENTS] [-k IN_FLIGHT] [-b BYTES] [-h HEARTBEATS] [-s SNAPSHOT_FILE] [-j]
 *       -1 offers no HTTP/2; -j prints an assertion and ends. One line tells the outcomes, tries, protocol, and CPU and wall time
 *       of an event in microseconds.
 * Exit 0 all delivered; 1 not, or the error on stderr; 2 usage. */
#include "agents/ingest/deliver.h"
#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "net/format/crypto.h"
#include "net/proto/web.h"
#include "tests/e2e/pem.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BODY_MAX 4096

static struct {
    const char *url, *client_id, *key, *ca, *snapshot;
    unsigned events, in_flight, beats;
    size_t bytes;
    bool no_h2, assertion;
} want = {.in_flight = 32, .bytes = 600};

static struct dns *dns;
static struct tls_config *tls;
static struct lane files;
static struct oauth2 *oauth2;
static struct deliver *deliver;
static struct pem_key key;
static char bodies[DELIVER_IN_FLIGHT_MAX][BODY_MAX];
static bool used[DELIVER_IN_FLIGHT_MAX];
static unsigned outcomes[DELIVER_OUTCOME_COUNT];

static double cpu_seconds(void)
{
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static double wall_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static size_t body_write(char *out, unsigned n)
{
    int head = snprintf(out, BODY_MAX,
                        "{\"cluster_uid\":\"c-1\",\"type\":\"added\",\"kind\":\"ConfigMap\",\"uid\":\"u-%u\",\"name\":\"n-%u\","
                        "\"namespace\":\"d\",\"object\":{\"uid\":\"u-%u\",\"name\":\"n-%u\",\"namespace\":\"d\",\"pad\":\"",
                        n, n, n, n);
    size_t len = (size_t)head;
    while (len + 3 < want.bytes && len + 4 < BODY_MAX)
        out[len++] = 'x';
    memcpy(out + len, "\"}}", 4);
    return len + 3;
}

static err one_collect(void)
{
    struct deliver_result r;
    uint64_t tag = 0;
    TRY(deliver_collect(deliver, loop_now() + MINUTES(3), &tag, &r));
    outcomes[r.outcome]++;
    used[tag] = false;
    return OK;
}

static err events_send(void)
{
    double cpu = cpu_seconds(), wall = wall_seconds();
    for (unsigned n = 0; n < want.events; n++) {
        unsigned at = 0;
        if (deliver_room(deliver) == 0)
            TRY(one_collect());
        while (used[at])
            at++;
        used[at] = true;
        size_t len = body_write(bodies[at], n);
        TRY(deliver_submit(deliver, (struct bytes){(const uint8_t *)bodies[at], len}, at));
    }
    while (deliver_in_flight(deliver) > 0)
        TRY(one_collect());
    printf("cpu_us=%.1f wall_us=%.1f ", (cpu_seconds() - cpu) * 1e6 / want.events, (wall_seconds() - wall) * 1e6 / want.events);
    return OK;
}

static err all_send(void)
{
    struct deliver_result r;
    if (want.snapshot) {
        struct os_stat stat;
        TRY(file_stat(&files, want.snapshot, loop_now() + SECONDS(5), &stat));
        TRY(deliver_snapshot(deliver, want.snapshot, stat.bytes, loop_now() + MINUTES(5), &r));
        outcomes[r.outcome]++;
    }
    for (unsigned i = 0; i < want.beats; i++) {
        TRY(deliver_heartbeat(deliver, bytes_of("{\"cluster_uid\":\"c-1\"}"), loop_now() + MINUTES(3), &r));
        outcomes[r.outcome]++;
    }
    if (want.events)
        TRY(events_send());
    const struct deliver_health *h = deliver_health(deliver);
    for (unsigned i = 0; i < DELIVER_OUTCOME_COUNT; i++)
        printf("%s=%u ", deliver_outcome_name(i), outcomes[i]);
    printf("again=%u protocol=%s tokens=%u healthy=%d peak=%zu reason=\"%s\"\n", (unsigned)h->tries_again,
           h->http2 ? "h2" : "http/1.1", (unsigned)oauth2_state(oauth2).fetched, h->healthy, mem_use(TASK_INGEST).peak_bytes,
           deliver_reason_text(h->last_error.reason));
    return outcomes[DELIVER_REJECTED] + outcomes[DELIVER_LATER] == 0 ? OK : E_REMOTE;
}

static err assertion_print(void)
{
    static char storage[JWT_TEXT_MAX];
    struct text t = text_over(storage, sizeof storage);
    struct jwt_claims c = {want.client_id, want.url, loop_wall_ms() / 1000};
    TRY(jwt_assertion(&c, &key, &t));
    puts(storage);
    return OK;
}

static err tls_ready(void)
{
    struct tls_options o = {.alpn = want.no_h2 ? NULL : web_alpn};
    TRY(trust_read(want.ca, &o.trust));
    err e = tls_config_open(&o, &tls);
    tls_trust_release(o.trust);
    return e;
}

static err key_ready(void)
{
    uint8_t *at = NULL;
    size_t len = 0;
    err e = pem_read(want.key, &at, &len);
    if (e == OK)
        e = pem_key_parse((struct bytes){at, len}, &key, NULL);
    free(at);
    return e;
}

static err ingest_run(void *arg)
{
    (void)arg;
    TRY(crypto_boot());
    TRY(key_ready());
    if (want.assertion)
        return assertion_print();
    if (want.ca)
        TRY(tls_ready());
    TRY(dns_open(&dns));
    struct oauth2_options o = {want.url, dns, tls, false, TASK_INGEST};
    TRY(oauth2_open(&o, &oauth2));
    TRY(oauth2_set_credentials(oauth2, want.client_id, &key));
    struct deliver_options d = {want.url, dns, tls, false, oauth2, &files, want.in_flight, NULL, NULL};
    TRY(deliver_open(&d, &deliver));
    return all_send();
}

static err told_run(void *arg)
{
    char text[1024];
    err e = ingest_run(arg);
    fflush(stdout);
    if (e != OK)
        fprintf(stderr, "deliver: %s %s\n", err_name(e), trail_text(e, text, sizeof text));
    deliver_close(deliver);
    oauth2_close(oauth2);
    tls_config_release(tls);
    dns_close(dns);
    pem_key_wipe(&key);
    return e;
}

static err main_run(void *arg)
{
    struct group g;
    (void)arg;
    group_open(&g, TASK_INGEST);
    lane_open(&files, "files", TASK_INGEST, 2);
    err e = group_spawn(&g, "deliver", told_run, NULL);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    lane_close(&files);
    return e;
}

static bool options_read(int count, char **at)
{
    const struct {
        const char *name;
        const char **text;
        unsigned *number;
    } options[] = {{"-c", &want.ca, NULL},
                   {"-s", &want.snapshot, NULL},
                   {"-e", NULL, &want.events},
                   {"-k", NULL, &want.in_flight},
                   {"-h", NULL, &want.beats}};
    for (int i = 0; i < count; i++) {
        bool known = strcmp(at[i], "-1") == 0 || strcmp(at[i], "-j") == 0;
        want.no_h2 = want.no_h2 || strcmp(at[i], "-1") == 0;
        want.assertion = want.assertion || strcmp(at[i], "-j") == 0;
        if (strcmp(at[i], "-b") == 0 && i + 1 < count) {
            want.bytes = strtoul(at[++i], NULL, 10);
            continue;
        }
        for (size_t k = 0; !known && i + 1 < count && k < COUNT_OF(options); k++)
            if (strcmp(at[i], options[k].name) == 0) {
                known = true;
                i++;
                if (options[k].text)
                    *options[k].text = at[i];
                else
                    *options[k].number = (unsigned)strtoul(at[i], NULL, 10);
            }
        if (!known)
            return false;
    }
    return want.in_flight >= 1 && want.in_flight <= DELIVER_IN_FLIGHT_MAX && want.bytes < BODY_MAX;
}

int main(int argc, char **argv)
{
    if (argc < 4 || !options_read(argc - 4, argv + 4)) {
        fprintf(stderr,
                "usage: deliver URL CLIENT_ID KEY_FILE [-c CA] [-1] [-e EVENTS] [-k IN_FLIGHT] [-b BYTES] [-h HEARTBEATS] "
                "[-s SNAPSHOT_FILE] [-j]\n");
        return 2;
    }
    want.url = argv[1];
    want.client_id = argv[2];
    want.key = argv[3];
    log_setup(LOG_WARN, LOG_LOGFMT, 2);
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    return loop_run(main_run, NULL) == OK ? 0 : 1;
}
