/* ask: our clients of other systems as a program, one call each, for the real systems to meet (test_etcd_calls.py,
 * test_webhook.py).
 *
 *   ask alarms URL [CA CERT KEY]            "ALARM MEMBER" a line
 *   ask hash REVISION URL [CA CERT KEY]     "HASH COMPACT_REVISION"
 *   ask post JSON URL [CA]                  webhook_post_json()
 *   ask get URL [CA]                        webhook_get()
 * Exit 0 good; 1 with "CODE words" on stderr; 2 usage. ASK_MS in the environment: the deadline, default 10000. */
#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "net/api/etcd/etcd.h"
#include "net/api/webhook/webhook.h"
#include "tests/e2e/pem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALARMS_MAX 4

static struct {
    const char *kind, *value, *url, *ca, *cert, *key;
    ms timeout;
} want;

static err alarms_print(struct etcd *e, ms deadline)
{
    struct etcd_alarm alarms[ALARMS_MAX];
    unsigned count;
    TRY(etcd_alarm_list(e, deadline, alarms, ALARMS_MAX, &count));
    for (unsigned i = 0; i < count && i < ALARMS_MAX; i++)
        printf("%s %llx\n", etcd_alarm_name(alarms[i].kind), (unsigned long long)alarms[i].member_id);
    return OK;
}

static err hash_print(struct etcd *e, ms deadline)
{
    struct etcd_hash_kv got;
    TRY(etcd_hash_kv(e, strtoll(want.value, NULL, 10), deadline, &got));
    printf("%u %lld\n", got.hash, (long long)got.compact_revision);
    return OK;
}

static err etcd_ask(struct dns *d, struct tls_config *tls, ms deadline)
{
    struct etcd_options o = {.endpoints = {want.url}, .endpoint_count = 1, .tls = tls, .dns = d};
    struct etcd_status status;
    struct etcd *e = NULL;
    TRY(etcd_open(&o, &e));
    err r = etcd_connect(e, 0, deadline, &status);
    if (r == OK)
        r = want.value ? hash_print(e, deadline) : alarms_print(e, deadline);
    etcd_close(e);
    return r;
}

static err webhook_ask(struct dns *d, struct tls_config *tls, ms deadline)
{
    struct webhook w = {.url = want.url, .dns = d, .tls = tls};
    return want.value ? webhook_post_json(&w, bytes_of(want.value), deadline) : webhook_get(&w, deadline);
}

static err tls_open(struct tls_config **out)
{
    static const char *const alpn[] = {"h2", NULL};
    struct tls_options o = {.alpn = want.cert ? alpn : NULL};
    *out = NULL;
    if (!want.ca)
        return OK;
    err e = trust_read(want.ca, &o.trust);
    if (e == OK && want.cert)
        e = identity_read(want.cert, want.key, &o.identity);
    if (e == OK)
        e = tls_config_open(&o, out);
    tls_identity_release(o.identity);
    tls_trust_release(o.trust);
    return e;
}

static err ask(void)
{
    struct tls_config *tls = NULL;
    struct dns *d = NULL;
    err e = tls_open(&tls);
    if (e == OK)
        e = dns_open(&d);
    if (e == OK)
        e = (*want.kind == 'p' || *want.kind == 'g' ? webhook_ask : etcd_ask)(d, tls, loop_now() + want.timeout);
    if (d)
        dns_close(d);
    tls_config_release(tls);
    return e;
}

/* The trail is the fiber's, so the complaint is made in it. */
static err main_run(void *arg)
{
    char text[1024];
    (void)arg;
    err e = ask();
    if (e != OK)
        fprintf(stderr, "%s %s\n", err_name(e), trail_text(e, text, sizeof text));
    return e;
}

static bool words_read(int count, char **at)
{
    static const char *const kinds[] = {"alarms", "hash", "post", "get"};
    const char **into[] = {&want.url, &want.ca, &want.cert, &want.key};
    bool known = false;
    for (size_t i = 0; count > 0 && i < COUNT_OF(kinds); i++)
        known = known || strcmp(at[0], kinds[i]) == 0;
    if (!known)
        return false;
    want.kind = at[0];
    int first = 1;
    if (strcmp(want.kind, "hash") == 0 || strcmp(want.kind, "post") == 0)
        want.value = first < count ? at[first++] : NULL;
    for (int i = first; i < count && (size_t)(i - first) < COUNT_OF(into); i++)
        *into[i - first] = at[i];
    return want.url && (!want.cert || want.key);
}

int main(int argc, char **argv)
{
    const char *timeout = getenv("ASK_MS");
    if (!words_read(argc - 1, argv + 1)) {
        fprintf(stderr,
                "usage: ask alarms URL [CA CERT KEY] | hash REVISION URL [CA CERT KEY] | post JSON URL [CA] | get URL [CA]\n");
        return 2;
    }
    want.timeout = timeout ? strtoll(timeout, NULL, 10) : SECONDS(10);
    log_setup(LOG_WARN, LOG_LOGFMT, 2);
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    return loop_run(main_run, NULL) == OK ? 0 : 1;
}
