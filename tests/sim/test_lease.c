/* Leader election in the simulated world: stories of one candidate, then two whose connections fail at random: never do both hold
 * the lease, and always one comes to. */
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/api/kube/lease.h"
#include "tests/sim/sim.h"
#include "tests/support/kube_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS   6
#define PATH    "/apis/coordination.k8s.io/v1/namespaces/a/leases"
#define CLIENTS 2

static struct kube_peer peer;
static struct {
    struct dns *dns;
    struct lane lane;
    struct kube *kube[CLIENTS];
    struct lease *lease[CLIENTS];
} here;

/* --- one candidate, by a script --- */

#define LEASE(holder, version, more)                                                                                             \
    "{\"kind\":\"Lease\",\"metadata\":{\"name\":\"l\",\"resourceVersion\":\"" version                                            \
    "\"},\"spec\":{\"holderIdentity\":\"" holder "\",\"leaseDurationSeconds\":15,\"leaseTransitions\":3" more "}}"
#define REPLIES(...) .replies = {__VA_ARGS__}
#define GONE404      "{\"kind\":\"Status\",\"code\":404}"
#define CONFLICT     "{\"kind\":\"Status\",\"code\":409,\"reason\":\"Conflict\"}"

static const struct story {
    const char *name;
    ms held_least, held_most; /* when it is held; most 0: never within a minute */
    ms lost_least, lost_most; /* after that; most 0: not within a minute */
    const char *server;       /* a part of what the server saw; NULL: does not matter */
    bool releases;
    struct kube_reply replies[6];
} stories[] = {
    {"there is none", 0, 300, 0, 0,
     "POST " PATH " {\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":\"l\"}", true,
     REPLIES({"GET", 1, 404, GONE404, NULL}, {"POST", 0, 201, LEASE("me", "1", ""), NULL},
             {"\"\",\"lease", 0, 200, LEASE("", "9", ""), NULL}, {"PATCH", 0, 200, LEASE("me", "2", ""), NULL})},
    {"given up by another", 0, 300, 0, 0,
     "\"resourceVersion\":\"5\"},\"spec\":{\"holderIdentity\":\"me\",\"leaseDurationSeconds\":15,", true,
     REPLIES({"GET", 0, 200, LEASE("", "5", ""), NULL}, {"PATCH", 0, 200, LEASE("me", "6", ""), NULL})},
    {"ours from before", 0, 300, 0, 0, NULL, true,
     REPLIES({"GET", 0, 200, LEASE("me", "5", ""), NULL}, {"PATCH", 0, 200, LEASE("me", "6", ""), NULL})},
    {"another's, who is dead", 15000, 19000, 0, 0, "\"leaseTransitions\":4", true,
     REPLIES({"GET", 0, 200, LEASE("other", "5", ",\"renewTime\":\"2020-01-01T00:00:00.000000Z\""), NULL},
             {"PATCH", 0, 200, LEASE("me", "6", ""), NULL})},
    {"another's, who renews it twice", 17000, 24000, 0, 0, NULL, true,
     REPLIES({"GET", 1, 200, LEASE("other", "5", ""), NULL}, {"GET", 1, 200, LEASE("other", "6", ""), NULL},
             {"GET", 0, 200, LEASE("other", "7", ""), NULL}, {"PATCH", 0, 200, LEASE("me", "8", ""), NULL})},
    {"another was quicker", 15000, 22000, 0, 0, NULL, true,
     REPLIES({"GET", 1, 200, LEASE("", "5", ""), NULL}, {"PATCH", 1, 409, CONFLICT, NULL},
             {"GET", 0, 200, LEASE("other", "6", ""), NULL}, {"PATCH", 0, 200, LEASE("me", "7", ""), NULL})},
    {"the server fails for ever", 0, 300, 9000, 14500, NULL, false,
     REPLIES({"GET", 1, 200, LEASE("", "5", ""), NULL}, {"PATCH", 2, 200, LEASE("me", "6", ""), NULL},
             {"PATCH", 0, 503, "down", NULL}, {"GET", 0, 503, "down", NULL})},
    {"the server is silent for ever", 0, 300, 9000, 14500, NULL, false,
     REPLIES({"GET", 1, 200, LEASE("", "5", ""), NULL}, {"PATCH", 2, 200, LEASE("me", "6", ""), NULL},
             {"PATCH", 0, 200, KP_STUCK, NULL}, {"GET", 0, 200, KP_STUCK, NULL})},
    {"taken from us", 0, 300, 1900, 2700, NULL, false,
     REPLIES({"GET", 1, 200, LEASE("", "5", ""), NULL}, {"PATCH", 1, 200, LEASE("me", "6", ""), NULL},
             {"PATCH", 0, 409, CONFLICT, NULL}, {"GET", 0, 200, LEASE("other", "7", ""), NULL})},
    {"a renewal of ours came through unheard", 0, 300, 0, 0, "\"resourceVersion\":\"9\"},\"spec\":{\"holderIdentity\":\"\",",
     true,
     REPLIES({"\"\",\"lease", 1, 409, CONFLICT, NULL}, {"GET", 1, 200, LEASE("", "5", ""), NULL},
             {"GET", 0, 200, LEASE("me", "9", ""), NULL}, {"PATCH", 0, 200, LEASE("me", "6", ""), NULL})},
    {"forbidden", 0, 0, 0, 0, NULL, false,
     REPLIES({"GET", 0, 403, "{\"kind\":\"Status\",\"code\":403,\"message\":\"no\"}", NULL})},
};

static err lease_open(unsigned i, const char *identity)
{
    struct kube_options o = {.kubeconfig = "/kube/config", .lane = &here.lane, .dns = here.dns};
    TRY(kube_open(&o, loop_now() + SECONDS(10), &here.kube[i]));
    return lease_start(&(struct lease_options){.kube = here.kube[i], .name_space = "a", .name = "l", .identity = identity},
                       &here.lease[i]);
}

static void lease_shut(unsigned i)
{
    lease_stop(here.lease[i], loop_now() + SECONDS(3));
    kube_close(here.kube[i]);
    here.lease[i] = NULL;
    here.kube[i] = NULL;
}

static void expect(const struct story *s, const char *what, err e, ms took, ms least, ms most)
{
    if (sim_fault_name())
        return;
    if (most == 0 ? e != E_TIMEOUT : e != OK || took < least || took > most)
        sim_fail("%s: %s: %s after %lld ms, %s; the server saw: %s", s->name, what, err_name(e), (long long)took,
                 lease_why(here.lease[0]), peer.told);
}

static err one_tell(const struct story *s)
{
    ms began = loop_now();
    err e = lease_open(0, "me");
    if (e == OK) {
        e = lease_wait(here.lease[0], true, began + MINUTES(1));
        expect(s, "held", e, loop_now() - began, s->held_least, s->held_most);
        ms held_at = loop_now();
        if (e == OK && !sim_fault_name()) {
            SIM_CHECK(lease_held(here.lease[0]) && lease_until(here.lease[0]) > loop_now() && lease_terms(here.lease[0]) == 1);
            e = lease_wait(here.lease[0], false, held_at + MINUTES(1));
            expect(s, "lost", e, loop_now() - held_at, s->lost_least, s->lost_most);
        }
    }
    lease_shut(0);
    if (!sim_fault_name() && s->server)
        SIM_CHECK(strstr(peer.told, s->server));
    if (!sim_fault_name())
        SIM_CHECK((strstr(peer.told, "{\"holderIdentity\":\"\",\"leaseDurationSeconds\":1,") != NULL) == s->releases);
    return e == E_TIMEOUT ? OK : e;
}

/* --- two of them, by a server with a memory --- */

static struct {
    char holder[32];
    unsigned version, transitions;
    bool there;
    struct kube_reply reply;
    char body[512];
} model;

static void field_take(const char *line, const char *key, char *out, size_t cap)
{
    const char *at = strstr(line, key);
    size_t len = at ? strcspn(at + strlen(key), "\"") : 0;
    (void)snprintf(out, cap, "%.*s", (int)len, at ? at + strlen(key) : "");
}

static const struct kube_reply *model_answer(void *arg, const char *line)
{
    char version[16], mine[16];
    bool writes = line[0] == 'P', creates = strncmp(line, "POST", 4) == 0;
    (void)arg;
    (void)snprintf(mine, sizeof mine, "%u", model.version);
    field_take(line, "\"resourceVersion\":\"", version, sizeof version);
    model.reply = (struct kube_reply){"", 0, 200, model.body, NULL};
    if (creates ? model.there : writes && strcmp(version, mine) != 0) {
        model.reply = (struct kube_reply){"", 0, 409, creates ? "{\"code\":409,\"reason\":\"AlreadyExists\"}" : CONFLICT, NULL};
        return &model.reply;
    }
    if (!writes && !model.there) {
        model.reply = (struct kube_reply){"", 0, 404, GONE404, NULL};
        return &model.reply;
    }
    if (writes) {
        model.there = true;
        model.version++;
        field_take(line, "\"holderIdentity\":\"", model.holder, sizeof model.holder);
    }
    (void)snprintf(model.body, sizeof model.body,
                   "{\"metadata\":{\"resourceVersion\":\"%u\"},\"spec\":{\"holderIdentity\":\"%s\",\"leaseDurationSeconds\":15}}",
                   model.version, model.holder);
    return &model.reply;
}

/* Each half a second: who holds it; now and then the links fail, and a candidate ends and comes back. */
static err two_watch(void)
{
    unsigned held = 0, terms = 0;
    ms until = loop_now() + MINUTES(20);
    TRY(lease_open(0, "a"));
    TRY(lease_open(1, "b"));
    while (loop_now() < until) {
        bool a = lease_held(here.lease[0]), b = lease_held(here.lease[1]);
        SIM_CHECK(!(a && b));
        held += a || b;
        if (sim_chance(15))
            sim_link(&peer.at, (struct sim_link){.black_hole = sim_chance(500), .no_route = true, .delay_ms = 300});
        else if (sim_chance(60))
            sim_link(&peer.at,
                     (struct sim_link){.delay_ms = (unsigned)sim_draw(900), .reset_after_bytes = sim_chance(300) ? 3000 : 0});
        if (sim_chance(5)) {
            unsigned i = (unsigned)sim_draw(CLIENTS);
            terms += (unsigned)lease_terms(here.lease[i]);
            lease_shut(i);
            TRY(lease_open(i, i ? "b" : "a"));
        }
        TRY(fiber_sleep(loop_now() + 500));
    }
    terms += (unsigned)(lease_terms(here.lease[0]) + lease_terms(here.lease[1]));
    SIM_CHECK(held > 600 && terms > 1); /* of 2400 */
    return OK;
}

static err two_tell(void)
{
    err e = two_watch();
    for (unsigned i = 0; i < CLIENTS; i++)
        lease_shut(i);
    return e;
}

/* --- both --- */

static err run_with(err (*tell)(const struct story *s), const struct story *s)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    TRY(dns_open_with(&numeric, &here.dns));
    lane_open(&here.lane, "kube files", mem_task(), 4);
    err e = kube_peer_open(&peer);
    if (e == OK)
        e = tell(s);
    kube_peer_close(&peer);
    lane_close(&here.lane);
    dns_close(here.dns);
    return e;
}

static err run_story(void *arg)
{
    return run_with(one_tell, arg);
}

static err two_run(const struct story *s)
{
    (void)s;
    return two_tell();
}

static err run_two(void *arg)
{
    return run_with(two_run, arg);
}

static void setup(void *arg)
{
    static const struct kube_reply none[1];
    const struct story *s = arg;
    memset(&peer, 0, sizeof peer);
    memset(&here, 0, sizeof here);
    memset(&model, 0, sizeof model);
    peer.at = sim_ip("127.0.0.1:8001");
    peer.replies = s ? s->replies : none;
    peer.answer = s ? NULL : model_answer;
    sim_disk_folder("/kube");
    sim_disk_put("/kube/config", bytes_of("current-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n"
                                          "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:8001'}}]\n"));
}

static void a_story(void **state)
{
    const struct story *s = *state;
    struct sim_case c = {.name = s->name, .setup = setup, .run = run_story, .arg = (void *)(uintptr_t)s, .fibers = true};
    assert_true(sim_seeds(&c, SEEDS));
}

static void never_two_at_once(void **state)
{
    struct sim_case c = {.name = "never two at once", .setup = setup, .run = run_two, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, 12));
}

static void each_call_fails_once(void **state)
{
    static const struct story all = {.name = "everything",
                                     .held_most = 300,
                                     .releases = true,
                                     REPLIES({"GET", 1, 404, GONE404, NULL}, {"POST", 0, 201, LEASE("me", "1", ""), NULL},
                                             {"", 0, 200, LEASE("me", "2", ""), NULL})};
    struct sim_case c = {
        .name = all.name, .setup = setup, .run = run_story, .arg = (void *)(uintptr_t)&all, .fibers = true, .step = 10};
    (void)state;
    assert_true(sim_each_fault(&c));
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(stories) + 2];
    for (size_t i = 0; i < COUNT_OF(stories); i++)
        tests[i] = (struct CMUnitTest){stories[i].name, a_story, NULL, NULL, (void *)(uintptr_t)&stories[i]};
    tests[COUNT_OF(stories)] = (struct CMUnitTest)cmocka_unit_test(never_two_at_once);
    tests[COUNT_OF(stories) + 1] = (struct CMUnitTest)cmocka_unit_test(each_call_fails_once);
    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
