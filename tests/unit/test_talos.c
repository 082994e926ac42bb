/* The client of Talos' machine API over a socket, against scripts: what a right server would never answer. The right ones are in
 * tests/e2e/test_talos.py. */
#include "tests/unit/check.h"

#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/api/talos/talos_internal.h"
#include "tests/support/grpc_server.h"

#include <string.h>
#include <unistd.h>

#define SOON (loop_now() + SECONDS(60))

static struct server server;
static const struct server_step *next_steps;
static char asked[128], path[64]; /* of the socket */

#define BYTES(text)                                                                                                              \
    {                                                                                                                            \
        (const uint8_t *)(text), sizeof(text) - 1                                                                                \
    }
#define ANSWER(text)                                                                                                             \
    {                                                                                                                            \
        {.what = SERVER_HEADERS}, {.what = SERVER_MESSAGES, .bytes = BYTES(text)}, {.what = SERVER_TRAILERS},                    \
        {                                                                                                                        \
            0                                                                                                                    \
        }                                                                                                                        \
    }
/* messages{ metadata{hostname}, member_status{version 3.6.7, size 100, in use 50, leader 7, member 7} } */
#define STATUS                                                                                                                   \
    "\x0a\x19\x0a\x06\x0a\x04node\x12\x0f\x0a\x05"                                                                               \
    "3.6.7\x10\x64\x18\x32\x20\x07\x50\x07"
static const struct server_step status_steps[] = ANSWER(STATUS);

static const struct server_step *script(void *arg, const struct server_request *r)
{
    (void)arg;
    (void)snprintf(asked, sizeof asked, "%s", r->path);
    return next_steps ? next_steps : status_steps;
}

enum call { STATUS_CALL, ALARMS, MEMBERS, VERSION, DEFRAGMENT, SNAPSHOT };
static const struct call_case {
    const char *name;
    enum call call;
    struct server_step steps[6];
    err want;
    const char *words; /* of the answer, or of the trail */
} cases[] = {
    {"status", STATUS_CALL, ANSWER(STATUS), OK, "7 7 100 50 3.6.7"},
    {"unknown fields in it", STATUS_CALL, ANSWER("\x0a\x08\x12\x04\x50\x09\x78\x01\x1a\x00"), OK, "9 0 0 0 "},
    {"the first of two nodes", STATUS_CALL, ANSWER("\x0a\x04\x12\x02\x50\x01\x0a\x04\x12\x02\x50\x02"), OK, "1 0 0 0 "},
    {"no node", STATUS_CALL, ANSWER(""), E_PROTOCOL, "unreadable answer"},
    {"another message's field", STATUS_CALL, ANSWER("\x12\x00"), E_PROTOCOL, "unreadable answer"},
    {"garbage", STATUS_CALL, ANSWER("\x0a\xff"), E_PROTOCOL, "unreadable answer"},
    {"garbage within", STATUS_CALL, ANSWER("\x0a\x02\x12\x09"), E_PROTOCOL, "unreadable answer"},
    {"garbage in the status", STATUS_CALL, ANSWER("\x0a\x04\x12\x02\x50\xff"), E_PROTOCOL, "unreadable answer"},
    {"a text for a number", STATUS_CALL, ANSWER("\x0a\x05\x12\x03\x52\x01x"), E_PROTOCOL, "unreadable answer"},
    {"an error in the metadata", STATUS_CALL,
     ANSWER("\x0a\x08\x0a\x06\x12\x04"
            "gone"),
     E_REMOTE, "gone"},
    {"garbage in the metadata", STATUS_CALL, ANSWER("\x0a\x04\x0a\x02\x12\x09"), E_PROTOCOL, "unreadable answer"},
    {"denied",
     STATUS_CALL,
     {{.what = SERVER_TRAILERS, .count = 7, .text = "not authorized"}},
     E_DENIED,
     ": EtcdStatus was asked for as os:etcd:backup"},
    {"a worker",
     STATUS_CALL,
     {{.what = SERVER_TRAILERS, .count = 12, .text = "etcd status is only available on control plane nodes"}},
     E_UNSUPPORTED,
     "run EtcdStatus on a control plane node: /machine.MachineService/EtcdStatus: gRPC UNIMPLEMENTED: etcd status is only"},
    {"no alarms", ALARMS, ANSWER("\x0a\x00"), OK, "0"},
    {"two alarms", ALARMS, ANSWER("\x0a\x0c\x12\x04\x08\x07\x10\x01\x12\x04\x08\x08\x10\x02"), OK, "2 7:1 8:2"},
    {"three alarms, room for two", ALARMS,
     ANSWER("\x0a\x12\x12\x04\x08\x07\x10\x01\x12\x04\x08\x08\x10\x02\x12\x04\x08\x09\x10\x02"), OK, "3 7:1 8:2"},
    {"garbage in an alarm", ALARMS, ANSWER("\x0a\x04\x12\x02\x08\xff"), E_PROTOCOL, "unreadable answer"},
    {"members", MEMBERS, ANSWER("\x0a\x13\x12\x01x\x1a\x0e\x10\x07\x1a\x01n\x22\x01p\x2a\x01u\x2a\x01v"), OK, "1 7 n u"},
    {"a learner without urls", MEMBERS, ANSWER("\x0a\x06\x1a\x04\x10\x07\x30\x01"), OK, "1 7   learner"},
    {"three members, room for two", MEMBERS, ANSWER("\x0a\x0c\x1a\x02\x10\x07\x1a\x02\x10\x08\x1a\x02\x10\x09"), E_RANGE,
     "3 members, more than 2"},
    {"garbage in a member", MEMBERS, ANSWER("\x0a\x04\x1a\x02\x10\xff"), E_PROTOCOL, "unreadable answer"},
    {"version", VERSION, ANSWER("\x0a\x09\x12\x07\x0a\x05v1.14"), OK, "v1.14"},
    {"defragment", DEFRAGMENT, ANSWER("\x0a\x00"), OK, "done"},
    {"defragment refused",
     DEFRAGMENT,
     {{.what = SERVER_TRAILERS, .count = 7, .text = "not authorized"}},
     E_DENIED,
     "EtcdDefragment was asked for as os:operator"},
    {"snapshot",
     SNAPSHOT,
     {{.what = SERVER_HEADERS},
      {.what = SERVER_MESSAGES,
       .bytes = BYTES("\x12\x02"
                      "ab")},
      {.what = SERVER_MESSAGES,
       .bytes = BYTES("\x0a\x06\x0a\x04node\x12\x01"
                      "c")},
      {.what = SERVER_TRAILERS}},
     OK,
     "abc"},
    {"an empty chunk", SNAPSHOT, ANSWER(""), OK, ""},
    {"garbage in a chunk", SNAPSHOT, ANSWER("\x12\x09"), E_PROTOCOL, "unreadable snapshot message"},
    {"an error in a chunk", SNAPSHOT,
     ANSWER("\x0a\x06\x12\x04"
            "gone"),
     E_REMOTE, "gone"},
    {"no status",
     SNAPSHOT,
     {{.what = SERVER_HEADERS}, {.what = SERVER_MESSAGES, .bytes = BYTES("\x12\x01x")}, {.what = SERVER_BARE_END}},
     E_PROTOCOL,
     "EtcdSnapshot"},
    {"reset", SNAPSHOT, {{.what = SERVER_HEADERS}, {.what = SERVER_RST, .count = 2}}, E_RESET, "EtcdSnapshot"},
};

static err call_alarms(struct talos *t, struct text *out)
{
    struct talos_alarm a[2];
    unsigned count = 0;
    TRY(talos_alarm_list(t, SOON, a, COUNT_OF(a), &count));
    text_addf(out, "%u", count);
    for (unsigned i = 0; i < count && i < COUNT_OF(a); i++)
        text_addf(out, " %llu:%d", (unsigned long long)a[i].member_id, (int)a[i].kind);
    return OK;
}

static err call_members(struct talos *t, struct text *out)
{
    struct talos_member m[2];
    unsigned count = 0;
    TRY(talos_member_list(t, SOON, m, COUNT_OF(m), &count));
    text_addf(out, "%u %llu %s %s%s", count, (unsigned long long)m[0].id, m[0].hostname, m[0].client_url,
              m[0].is_learner ? " learner" : "");
    return OK;
}

static err call_snapshot(struct talos *t, struct text *out)
{
    struct talos_snapshot *s = NULL;
    struct bytes blob;
    bool more = true;
    TRY(talos_snapshot_start(t, SOON, &s));
    err e = OK;
    while (e == OK && more) {
        e = talos_snapshot_next(s, SECONDS(5), &blob, &more);
        text_add_bytes(out, blob);
    }
    talos_snapshot_end(s);
    return e;
}

static err call(struct talos *t, enum call which, struct text *out)
{
    struct talos_status s;
    char tag[TALOS_TEXT_MAX];
    err e = OK;
    switch (which) {
    case STATUS_CALL:
        e = talos_status(t, SOON, &s);
        text_addf(out, "%llu %llu %lld %lld %s", (unsigned long long)s.member_id, (unsigned long long)s.leader_id,
                  (long long)s.db_bytes, (long long)s.db_in_use_bytes, s.protocol_version);
        return e;
    case ALARMS:
        return call_alarms(t, out);
    case MEMBERS:
        return call_members(t, out);
    case VERSION:
        e = talos_version(t, SOON, tag);
        text_add(out, tag);
        return e;
    case DEFRAGMENT:
        text_add(out, "done");
        return talos_defragment(t, SOON);
    case SNAPSHOT:
        return call_snapshot(t, out);
    }
    return E_INVALID;
}

static void check(struct talos *t, const struct call_case *c)
{
    char said[256], why[1024] = "";
    struct text out = text_over(said, sizeof said);
    trail_clear();
    next_steps = c->steps;
    err got = call(t, c->call, &out);
    if (got != OK)
        trail_text(got, why, sizeof why);
    if (got != c->want || (got == OK ? strcmp(said, c->words) != 0 : !strstr(why, c->words))) {
        print_error("%s: %s, \"%s\" %s\n", c->name, err_name(got), said, why);
        checks_failed++;
    }
}

static void run_all(void)
{
    struct talos_status s;
    struct talos *t = NULL;
    unsigned count = 1;
    CHECK(talos_open(&(struct talos_options){.socket = path}, &t) == OK && strcmp(talos_peer(t), path) == 0);
    CHECK(talos_status(t, SOON, &s) == E_INVALID); /* not connected */
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        next_steps = NULL;
        CHECK(talos_connect(t, SOON, &s) == OK && s.db_bytes == 100 && strcmp(asked, "/machine.MachineService/EtcdStatus") == 0);
        check(t, &cases[i]);
    }
    next_steps = cases[3].steps;
    CHECK(talos_connect(t, SOON, &s) == E_PROTOCOL);
    CHECK(talos_alarm_list(t, SOON, NULL, 0, &count) == E_INVALID && count == 0); /* disconnected by that */
    talos_close(t);
}

static err body(void *arg)
{
    struct group g;
    struct addr at = {.kind = ADDR_UNIX}, bound;
    (void)arg;
    server.script = script;
    (void)snprintf(at.path, sizeof at.path, "%s", path);
    TRY(sock_listen(&server.listener, &at, &bound));
    group_open(&g, TASK_METRICS);
    TRY(group_spawn(&g, "talos", server_listen, &server));
    run_all();
    group_close(&g);
    sock_close(&server.listener);
    return OK;
}

static void answers(void **unused)
{
    (void)unused;
    fibers_run(body, NULL, OK);
    (void)remove(path);
}

static err wrong_options(void *arg)
{
    struct talos *t = NULL;
    (void)arg;
    CHECK(talos_open(&(struct talos_options){0}, &t) == E_CONFIG && !t);
    CHECK(talos_open(&(struct talos_options){.socket = "", .endpoint = ""}, &t) == E_CONFIG && !t);
    CHECK(talos_open(&(struct talos_options){.socket = path, .endpoint = "node"}, &t) == E_CONFIG && !t);
    CHECK(talos_open(&(struct talos_options){.endpoint = "node"}, &t) == E_CONFIG && !t); /* no certificates */
    talos_close(NULL);
    return OK;
}

static void options(void **unused)
{
    (void)unused;
    fibers_run(wrong_options, NULL, OK);
}

static const struct host_case {
    const char *endpoint, *name;
    uint16_t port;
    const char *authority; /* NULL: E_CONFIG */
} hosts[] = {
    {"node", "node", 50000, "node:50000"},
    {"node:443", "node", 443, "node:443"},
    {"10.0.0.2", "10.0.0.2", 50000, "10.0.0.2:50000"},
    {"fd00::2", "fd00::2", 50000, "[fd00::2]:50000"},
    {"[fd00::2]", "fd00::2", 50000, "[fd00::2]:50000"},
    {"[fd00::2]:1", "fd00::2", 1, "[fd00::2]:1"},
    {"", NULL, 0, NULL},
    {"node:", NULL, 0, NULL},
    {"node:0", NULL, 0, NULL},
    {"[]:50000", NULL, 0, NULL},
};

static void endpoints(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        const struct host_case *c = &hosts[i];
        struct talos_host h;
        err e = talos_host_read(c->endpoint, &h);
        bool right = c->authority
                         ? e == OK && strcmp(h.name, c->name) == 0 && h.port == c->port && strcmp(h.authority, c->authority) == 0
                         : e == E_CONFIG;
        if (!right)
            print_error("%s: %s %s\n", c->endpoint, err_name(e), e == OK ? h.authority : "");
        assert_true(right);
        trail_clear();
    }
}

int main(void)
{
    (void)snprintf(path, sizeof path, "/tmp/holdfast-test-talos-%d", getpid());
    const struct CMUnitTest tests[] = {cmocka_unit_test(options), cmocka_unit_test(endpoints), cmocka_unit_test(answers)};
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    return cmocka_run_group_tests_name("talos", tests, NULL, NULL);
}
