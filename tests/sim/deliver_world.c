/* deliver_world: see deliver_world.h */
#include "tests/sim/deliver_world.h"

#include "board/rt/buf.h"
#include "net/format/crypto.h"
#include "net/proto/web.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"
#include "tests/support/certs.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SEEDS     2
#define IN_FLIGHT 8

/* RFC 6979's example, A.2.5. */
const struct pem_key deliver_key = {{0xc9, 0xaf, 0xa9, 0xd8, 0x45, 0xba, 0x75, 0x16, 0x6b, 0x5c, 0x21,
                                     0x57, 0x67, 0xb1, 0xd6, 0x93, 0x4e, 0x50, 0xc3, 0xdb, 0x36, 0xe8,
                                     0x9b, 0x12, 0x7b, 0x8a, 0x62, 0x2b, 0x12, 0x0f, 0x67, 0x21}};
struct platform_peer deliver_platform;
struct deliver_knobs deliver_knobs = {.shut_at = FOREVER, .looks = -1};

static err tls_of(bool server, struct tls_config **out)
{
    static const char *const alpn_h2[] = {"h2", NULL};
    struct tls_trust *trust = NULL;
    struct tls_identity *identity = NULL;
    err e = server ? tls_identity_parse(cert(CERT_SERVER), cert_key(CERT_SERVER_KEY), &identity)
                   : tls_trust_parse(cert(CERT_CA), &trust);
    if (e == OK)
        e = tls_config_open(
            &(struct tls_options){.server = server, .trust = trust, .identity = identity, .alpn = server ? alpn_h2 : web_alpn},
            out);
    tls_trust_release(trust);
    tls_identity_release(identity);
    return e;
}

static err snapshot_make(struct lane *disk)
{
    struct writer *w = NULL;
    struct buf *b = NULL;
    TRY(file_make_folder(disk, "/data", FOREVER));
    err e = writer_open(disk, SNAPSHOT_FILE, 1, NULL, 0, FOREVER, &w);
    for (size_t at = 0, len; e == OK && at < SNAPSHOT_BYTES; at += len) {
        len = size_min(SNAPSHOT_BYTES - at, KIB(16));
        if ((e = buf_wait(KIB(16), FOREVER, &b)) != OK)
            break;
        b->len = len;
        for (size_t i = 0; i < len; i++)
            b->at[i] = sim_pattern(at + i);
        e = writer_append(w, b, false, FOREVER);
    }
    if (e == OK)
        e = writer_commit_over(w, FOREVER);
    writer_close(w);
    return e;
}

void deliver_world_close(struct deliver_world *w)
{
    deliver_close(w->deliver);
    oauth2_close(w->oauth2);
    lane_close(&w->disk);
    tls_config_release(w->tls);
    dns_close(w->dns);
    *w = (struct deliver_world){0};
}

static ms ours_until(const void *arg)
{
    (void)arg;
    if (deliver_knobs.looks == 0)
        return 0;
    deliver_knobs.looks -= deliver_knobs.looks > 0;
    return deliver_knobs.shut_at;
}

err deliver_world_open(struct deliver_world *w, bool with_file)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    const char *url = deliver_knobs.over_h2 ? "https://10.0.0.1:443/" : "http://10.0.0.1:80/";
    *w = (struct deliver_world){0};
    lane_open(&w->disk, "disk", TASK_BOARD, 2);
    TRY(dns_open_with(&numeric, &w->dns));
    if (deliver_knobs.over_h2)
        TRY(tls_of(false, &w->tls));
    if (with_file)
        TRY(snapshot_make(&w->disk));
    struct oauth2_options o = {url, w->dns, w->tls, true, TASK_BOARD};
    TRY(oauth2_open(&o, &w->oauth2));
    TRY(oauth2_set_credentials(w->oauth2, "client-7", &deliver_key));
    struct deliver_options d = {url, w->dns, w->tls, true, w->oauth2, &w->disk, IN_FLIGHT, ours_until, NULL};
    return deliver_open(&d, &w->deliver);
}

/* What lives as long as the process: the crypto library, the metrics of the platform's HTTP server. */
static void boot(void)
{
    SIM_CHECK_ERR(crypto_boot(), OK);
    sim_metrics_boot();
}

void deliver_world_setup(void *arg)
{
    (void)arg;
    memset(&deliver_platform, 0, sizeof deliver_platform);
    deliver_platform.at = sim_ip(deliver_knobs.over_h2 ? "10.0.0.1:443" : "10.0.0.1:80");
    deliver_platform.life_s = 3600;
    deliver_knobs.looks = -1;
    deliver_knobs.shut_at = FOREVER;
    sim_boot(boot);
    sim_wall_set(((int64_t)time(NULL) + 60) * 1000); /* the certificates were made just now */
}

err deliver_world_run(deliver_body *body, const void *arg, bool with_file)
{
    struct deliver_world w = {0};
    struct tls_config *server = NULL;
    err e = deliver_knobs.over_h2 ? tls_of(true, &server) : OK;
    deliver_platform.tls = server;
    if (e == OK)
        e = platform_peer_open(&deliver_platform);
    if (e == OK)
        e = deliver_world_open(&w, with_file);
    if (e == OK)
        e = body(&w, arg);
    deliver_world_close(&w);
    platform_peer_close(&deliver_platform);
    tls_config_release(server);
    if (!sim_fault_name() && deliver_platform.wrong > 0)
        sim_fail("the platform saw %u wrong things, first %s", deliver_platform.wrong, deliver_platform.why);
    return e;
}

void deliver_world_check(void *arg, err result)
{
    char why[512];
    (void)arg;
    if (result != OK && !sim_fault_name())
        sim_fail("%s", trail_text(result, why, sizeof why));
}

bool deliver_world_over_both(const char *name, err (*run)(void *arg), const void *arg, bool h1_only)
{
    for (unsigned h2 = 0; h2 < (h1_only ? 1 : 2); h2++) {
        char full[128];
        deliver_knobs.over_h2 = h2;
        (void)snprintf(full, sizeof full, "%s %s", name, h2 ? "h2" : "h1");
        struct sim_case c = {.name = full,
                             .setup = deliver_world_setup,
                             .run = run,
                             .check = deliver_world_check,
                             .arg = (void *)(uintptr_t)arg,
                             .fibers = true};
        if (!sim_seeds(&c, SEEDS))
            return false;
    }
    return true;
}
