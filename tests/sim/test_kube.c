/* The Kubernetes client in the simulated world: stories of API servers that page, refuse, expire, cut, are slow or silent; then
 * each fallible call fails once. What the server saw is part of each story. */
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/api/kube/kube.h"
#include "tests/sim/sim.h"
#include "tests/support/kube_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS    3
#define DEADLINE SECONDS(120)
#define ACCOUNT  "/account"
#define CONFIG   "/kube/config"

static struct kube_peer peer;
static struct {
    char told[2048]; /* what came of it: "a b c @7" */
    unsigned stop_at;
    uint64_t arena[256]; /* 2 KiB */
    struct kube_status status;
    unsigned restarts;
} seen;

static const struct pick_field metadata_fields[] = {{"name", PICK_SCALAR, NULL}, {"namespace", PICK_SCALAR, NULL},
                                                    {"uid", PICK_SCALAR, NULL},  {"resourceVersion", PICK_SCALAR, NULL},
                                                    {"labels", PICK_MAP, NULL},  {NULL, PICK_SCALAR, NULL}};
static const struct pick_field item_fields[] = {{"metadata", PICK_OBJECT, metadata_fields},
                                                {"data", PICK_KEYS, NULL},
                                                {"kind", PICK_SCALAR, NULL},
                                                {NULL, PICK_SCALAR, NULL}};
static const struct pick_field version_fields[] = {{"gitVersion", PICK_SCALAR, NULL}, {NULL, PICK_SCALAR, NULL}};

static void told(const char *format, ...) PRINTF_LIKE(1, 2);
static void told(const char *format, ...)
{
    size_t len = strlen(seen.told);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(seen.told + len, sizeof seen.told - len, format, arguments);
    va_end(arguments);
}

/* --- what is asked --- */

static err item_see(void *arg, const struct kube_item *i)
{
    struct bytes name = pick_text_at(i->object, "metadata.name");
    (void)arg;
    told("%.*s%s ", (int)name.len, (const char *)name.at, i->oversized ? "!" : "");
    for (const struct pick_node *key = pick_first(pick_at(i->object, "data")); key; key = pick_next(key))
        told("{%.*s} ", (int)pick_key(key).len, (const char *)pick_key(key).at);
    return seen.stop_at > 0 && --seen.stop_at == 0 ? E_FULL : OK;
}

static err list_once(struct kube *k, const char *path, ms deadline)
{
    struct kube_list list = {
        .path = path, .fields = item_fields, .limit = 2, .arena = seen.arena, .arena_bytes = sizeof seen.arena, .item = item_see};
    struct kube_page page = {.remaining = 0};
    err e = kube_list_all(k, &list, &page, deadline);
    seen.status = list.status;
    if (e == OK)
        told("@%s %llu %lld", page.resource_version, (unsigned long long)page.items, (long long)page.remaining);
    return e;
}

/* As an agent does: what came before is forgotten when a list has to be begun again. */
static err list(struct kube *k, ms deadline)
{
    err e = E_AGAIN;
    while (e == E_AGAIN && seen.restarts++ < 3) {
        seen.told[0] = 0;
        e = list_once(k, "/api/v1/pods", deadline);
    }
    return e;
}

static err list_some(struct kube *k, ms deadline)
{
    seen.stop_at = 2;
    return list_once(k, "/api/v1/pods", deadline);
}

static err list_selected(struct kube *k, ms deadline)
{
    return list_once(k, "/api/v1/namespaces?fieldSelector=metadata.name%3Dkube-system", deadline);
}

static err ask(struct kube *k, enum kube_verb verb, const char *path, const char *body, ms deadline)
{
    struct kube_into into = {.fields = item_fields, .arena = seen.arena, .arena_bytes = sizeof seen.arena};
    err e = kube_ask(k, verb, path, bytes_of(body), &into, deadline);
    struct bytes name = pick_text_at(into.object, "metadata.name");
    seen.status = into.status;
    SIM_CHECK((e == OK) == (into.object != NULL));
    told("%.*s", (int)name.len, (const char *)name.at);
    return e;
}

static err get(struct kube *k, ms deadline)
{
    return ask(k, KUBE_GET, "/api/v1/namespaces/a/secrets/s", "", deadline);
}

static err create(struct kube *k, ms deadline)
{
    return ask(k, KUBE_CREATE, "/api/v1/namespaces/a/configmaps", "{\"new\":1}", deadline);
}

static err update(struct kube *k, ms deadline)
{
    return ask(k, KUBE_UPDATE, "/api/v1/namespaces/a/configmaps/c", "{\"upd\":1}", deadline);
}

static err patch_status(struct kube *k, ms deadline)
{
    return ask(k, KUBE_PATCH, "/apis/obsyk.io/v1/namespaces/a/obsykagents/o/status", "{\"status\":{}}", deadline);
}

static err delete_it(struct kube *k, ms deadline)
{
    return kube_delete(k, "/api/v1/namespaces/a/configmaps/c", "u-1", "7", deadline);
}

static err version(struct kube *k, ms deadline)
{
    struct kube_into into = {.fields = version_fields, .arena = seen.arena, .arena_bytes = sizeof seen.arena};
    err e = kube_ask(k, KUBE_GET, "/version", (struct bytes){.len = 0}, &into, deadline);
    struct bytes v = pick_text_at(into.object, "gitVersion");
    seen.status = into.status;
    told("%.*s", (int)v.len, (const char *)v.at);
    return e;
}

static err get_later(struct kube *k, ms deadline)
{
    TRY(get(k, deadline));
    sim_disk_put(ACCOUNT "/token", bytes_of("new-token-2\n"));
    peer.token = "Bearer new-token-2";
    TRY(fiber_sleep(loop_now() + SECONDS(11)));
    return get(k, deadline);
}

static err get_rotated(struct kube *k, ms deadline)
{
    TRY(get(k, deadline));
    sim_disk_put(ACCOUNT "/token", bytes_of("new-token-2\n"));
    peer.token = "Bearer new-token-2";
    return get(k, deadline);
}

/* Two fibers at a time share what they need. */
struct pair {
    struct kube *kube;
    ms deadline;
};
static err pair_run(void *arg)
{
    struct pair *p = arg;
    uint64_t arena[64];
    struct kube_into into = {.fields = item_fields, .arena = arena, .arena_bytes = sizeof arena};
    return kube_ask(p->kube, KUBE_GET, "/api/v1/namespaces/a/secrets/s", (struct bytes){.len = 0}, &into, p->deadline);
}

static err get_at_once(struct kube *k, ms deadline)
{
    struct pair p = {k, deadline};
    struct group g;
    err e = OK;
    group_open(&g, TASK_BOARD);
    for (unsigned i = 0; i < 3 && e == OK; i++)
        e = group_spawn(&g, "asker", pair_run, &p);
    err joined = group_join(&g, deadline);
    group_close(&g);
    told("%u", peer.connections);
    return e != OK ? e : joined;
}

/* --- the stories --- */

#define POD(name, version) "{\"metadata\":{\"name\":\"" name "\",\"uid\":\"u-" name "\",\"resourceVersion\":\"" version "\"}}"
#define PAGE(version, next, items)                                                                                               \
    "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"" version "\",\"continue\":\"" next "\"},\"items\":[" items "]}"  \
    "\n"
#define STATUS(code, reason, message)                                                                                            \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"" message                   \
    "\",\"reason\":\"" reason "\",\"details\":{\"kind\":\"pods\"},\"code\":" #code "}"
#define SECRET "{\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\",\"resourceVersion\":\"3\"},\"data\":{\"key\":\"aGVsbG8=\"}}"
#define PODS   "GET /api/v1/pods?limit=2"
#define GET    "GET /api/v1/namespaces/a/secrets/s\n"
#define LONG32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG   LONG32 LONG32 LONG32 LONG32 LONG32 LONG32 LONG32 LONG32
#define BIG(name, version)                                                                                                       \
    "{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" version                                                        \
    "\",\"labels\":{\"a\":\"" LONG LONG LONG LONG LONG LONG LONG LONG "\"}}}"
#define REPLIES(...)       .replies = {__VA_ARGS__}
#define TAKES(least, most) .least_ms = (least), .most_ms = (most)

static const struct story {
    const char *name;
    err (*run)(struct kube *k, ms deadline);
    err wanted;
    const char *told;   /* what came of it; NULL: does not matter */
    const char *server; /* what the server saw; NULL: does not matter */
    const char *why;    /* in the trail or the status */
    ms least_ms, most_ms;
    struct kube_reply replies[6];
    const char *token;
    size_t piece_max;
    bool account;
} stories[] = {
    {"one page", list, OK, "a b @7 2 -1", PODS "\n",
     REPLIES({"pods", 0, 200, PAGE("7", "", POD("a", "1") "," POD("b", "2")), NULL})},
    {"a byte at a time", list, OK, "a b @7 2 -1", PODS "\n",
     REPLIES({"pods", 0, 200, PAGE("7", "", POD("a", "1") "," POD("b", "2")), NULL}), .piece_max = 1},
    {"pages", list, OK, "a b c @7 3 -1", PODS "\n" PODS "&continue=t%2F1%3D\n",
     REPLIES({"continue", 0, 200, PAGE("7", "", POD("c", "3")), NULL},
             {"pods", 0, 200, PAGE("7", "t/1=", POD("a", "1") "," POD("b", "2")), NULL})},
    {"items: null", list, OK, "@7 0 -1", PODS "\n",
     REPLIES({"pods", 0, 200, "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":null}", NULL})},
    {"no items at all", list, OK, "@7 0 -1", PODS "\n",
     REPLIES({"pods", 0, 200, "{\"metadata\":{\"resourceVersion\":\"7\"}}", NULL})},
    {"what remains", list_selected, OK, "a @7 1 5", "GET /api/v1/namespaces?fieldSelector=metadata.name%3Dkube-system&limit=2\n",
     REPLIES({"namespaces", 0, 200,
              "{\"items\":[" POD("a", "1") "],\"metadata\":{\"remainingItemCount\":5,\"resourceVersion\":\"7\"}}", NULL})},
    {"key names of a Secret", list, OK, "s {key} @7 1 -1", NULL, REPLIES({"pods", 0, 200, PAGE("7", "", SECRET), NULL})},
    {"an expired continue", list, OK, "a b c @9 3 -1", NULL,
     REPLIES({"continue=t1", 1, 410, STATUS(410, "Expired", "The provided continue parameter is too old"), NULL},
             {"continue=t1", 0, 200, PAGE("9", "", POD("c", "3")), NULL},
             {"pods", 1, 200, PAGE("7", "t1", POD("a", "1") "," POD("x", "2")), NULL},
             {"pods", 0, 200, PAGE("9", "t1", POD("a", "1") "," POD("b", "2")), NULL})},
    {"always expired", list, E_AGAIN, NULL, NULL, .why = "too old",
     REPLIES({"continue=t1", 0, 410, STATUS(410, "Expired", "The provided continue parameter is too old"), NULL},
             {"pods", 0, 200, PAGE("7", "t1", POD("a", "1")), NULL})},
    {"a first page that is cut", list, OK, "a b @7 2 -1", PODS "\n" PODS "&resourceVersion=7&resourceVersionMatch=Exact\n",
     TAKES(100, 1500),
     REPLIES({"Exact", 0, 200, PAGE("7", "", POD("a", "1") "," POD("b", "2")), NULL},
             {"pods", 0, 200, "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[" POD("a", "1") ",{\"meta" KP_CUT, NULL})},
    {"a first page that is cut before an item", list, OK, "a b @8 2 -1", PODS "\n" PODS "\n", TAKES(100, 1500),
     REPLIES({"pods", 1, 200, "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{\"meta" KP_CUT, NULL},
             {"pods", 0, 200, PAGE("8", "", POD("a", "1") "," POD("b", "2")), NULL})},
    {"a second page that is cut", list, OK, "a b c d @7 4 -1", PODS "\n" PODS "&continue=t1\n" PODS "&continue=t1\n",
     TAKES(100, 1500),
     REPLIES({"continue=t1", 1, 200, "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[" POD("c", "1") "," KP_CUT, NULL},
             {"continue=t1", 0, 200, PAGE("7", "", POD("c", "1") "," POD("d", "2")), NULL},
             {"pods", 0, 200, PAGE("7", "t1", POD("a", "1") "," POD("b", "2")), NULL})},
    {"an item that does not fit", list, OK, "a big! c @7 3 -1",
     PODS "\nGET /api/v1/pods?limit=1&resourceVersion=7&resourceVersionMatch=Exact\nGET /api/v1/pods?limit=1&continue=n1\n" PODS
          "&continue=n2\n",
     REPLIES({"limit=1&res", 0, 200, PAGE("7", "n1", POD("a", "1")), NULL},
             {"n1", 0, 200, PAGE("7", "n2", BIG("big", "2")), NULL}, {"n2", 0, 200, PAGE("7", "", POD("c", "1")), NULL},
             {"pods", 0, 200, PAGE("7", "t", POD("a", "1") "," BIG("big", "2")), NULL})},
    {"a first item that does not fit", list, OK, "big! c @7 2 -1", PODS "\nGET /api/v1/pods?limit=1\n" PODS "&continue=n2\n",
     REPLIES({"n2", 0, 200, PAGE("7", "", POD("c", "1")), NULL}, {"limit=1", 0, 200, PAGE("7", "n2", BIG("big", "2")), NULL},
             {"pods", 0, 200, PAGE("7", "t", BIG("big", "2") "," POD("a", "1")), NULL})},
    {"a server that takes no limit", list, E_RANGE, NULL, NULL,
     REPLIES({"pods", 0, 200, PAGE("7", "t", POD("a", "1") "," BIG("big", "2")), NULL}), .why = "more came"},
    {"a field of another kind", list, OK, "odd! @7 1 -1", NULL,
     REPLIES({"pods", 0, 200, PAGE("7", "", "{\"metadata\":{\"name\":\"odd\",\"labels\":[],\"resourceVersion\":\"1\"}}"), NULL})},
    {"item() has enough", list_some, E_FULL, "a b ", PODS "\n",
     REPLIES({"pods", 0, 200, PAGE("7", "t", POD("a", "1") "," POD("b", "2")), NULL})},
    {"no JSON", list, E_CORRUPT, NULL, NULL, REPLIES({"pods", 0, 200, "{\"metadata\":}", NULL}), .why = "/api/v1/pods"},
    {"an empty answer", list, E_CORRUPT, NULL, NULL, REPLIES({"pods", 0, 200, "", NULL})},
    {"a list without a version", list, E_PROTOCOL, NULL, NULL, REPLIES({"pods", 0, 200, "{\"items\":[]}", NULL}),
     .why = "resourceVersion", TAKES(500, 20000)},
    {"forbidden", list, E_DENIED, "", PODS "\n",
     REPLIES({"pods", 0, 403, STATUS(403, "Forbidden", "pods is forbidden: User \\\"system:x\\\" cannot list resource"), NULL}),
     .why = "give system:x a ClusterRole: apiGroups [\"\"], resources [pods], verbs [list]"},

    {"get", get, OK, "s", GET, REPLIES({"secrets/s", 0, 200, SECRET, NULL})},
    {"a version", version, OK, "v1.36.3", "GET /version\n",
     REPLIES({"version", 0, 200, "{\"gitVersion\":\"v1.36.3\",\"x\":[{}]}", NULL})},
    {"three at a time", get_at_once, OK, "3", GET GET GET, REPLIES({"secrets/s", 0, 200, SECRET, NULL})},
    {"not there", get, E_ABSENT, "", GET,
     REPLIES({"secrets/s", 0, 404, STATUS(404, "NotFound", "secrets \\\"s\\\" not found"), NULL}),
     .why = "secrets \"s\" not found"},
    {"a page of text", get, E_ABSENT, "", GET, REPLIES({"secrets/s", 0, 404, "404 page not found\n", NULL}),
     .why = "404 page not found"},
    {"429 with Retry-After", get, OK, "s", GET GET, TAKES(3000, 5200),
     REPLIES({"secrets/s", 1, 429, STATUS(429, "TooManyRequests", "later"), "Retry-After: 3"},
             {"secrets/s", 0, 200, SECRET, NULL})},
    {"429 in the Status' details", get, OK, "s", GET GET, TAKES(4000, 6200),
     REPLIES({"secrets/s", 1, 429, "{\"kind\":\"Status\",\"code\":429,\"details\":{\"retryAfterSeconds\":4}}", NULL},
             {"secrets/s", 0, 200, SECRET, NULL})},
    {"429 for ever", get, E_BUSY, "", GET GET GET GET GET, TAKES(500, 9000),
     REPLIES({"secrets/s", 0, 429, STATUS(429, "TooManyRequests", "later"), NULL})},
    {"Retry-After beyond the deadline", get, E_BUSY, "", GET,
     REPLIES({"secrets/s", 0, 429, STATUS(429, "TooManyRequests", "later"), "Retry-After: 600"})},
    {"500 once", get, OK, "s", GET GET, TAKES(100, 1500),
     REPLIES({"secrets/s", 1, 500, STATUS(500, "InternalError", "etcdserver: leader changed"), NULL},
             {"secrets/s", 0, 200, SECRET, NULL})},
    {"503 for ever", get, E_REMOTE, "", GET GET GET GET GET, TAKES(500, 9000), REPLIES({"secrets/s", 0, 503, "down\n", NULL}),
     .why = "down"},
    {"ended without an answer", get, OK, "s", GET GET, TAKES(100, 1500),
     REPLIES({"secrets/s", 1, 0, "", NULL}, {"secrets/s", 0, 200, SECRET, NULL})},
    {"cut in an answer", get, OK, "s", GET GET, TAKES(100, 1500),
     REPLIES({"secrets/s", 1, 200, "{\"kind\":" KP_CUT, NULL}, {"secrets/s", 0, 200, SECRET, NULL})},
    {"silent once", get, OK, "s", GET GET, TAKES(30000, 33000),
     REPLIES({"secrets/s", 1, 200, "{" KP_STUCK, NULL}, {"secrets/s", 0, 200, SECRET, NULL})},
    {"slow, but it comes", get, OK, "s", GET, TAKES(3000, 4000),
     REPLIES(
         {"secrets/s", 0, 200, "{\"kind\":\"Secret\"," KP_WAIT "\"metadata\":" KP_WAIT "{\"name\":\"s\"" KP_WAIT "}}", NULL})},
    {"silent for ever", get, E_TIMEOUT, "", NULL, TAKES(119000, 121000), REPLIES({"secrets/s", 0, 200, "{" KP_STUCK, NULL}),
     .why = "secrets/s"},
    {"unauthorized", get, E_DENIED, "", GET, REPLIES({"secrets/s", 0, 401, STATUS(401, "Unauthorized", "Unauthorized"), NULL}),
     .why = "does not take our token or certificate"},

    {"create", create, OK, "s", "POST /api/v1/namespaces/a/configmaps {\"new\":1}\n", REPLIES({"POST", 0, 201, SECRET, NULL})},
    {"create what is there", create, E_EXISTS, "", NULL,
     REPLIES({"POST", 0, 409, STATUS(409, "AlreadyExists", "already exists"), NULL})},
    {"create, told to wait", create, OK, "s", NULL, TAKES(1000, 3200),
     REPLIES({"POST", 1, 429, STATUS(429, "TooManyRequests", "later"), "Retry-After: 1"}, {"POST", 0, 201, SECRET, NULL})},
    {"create, and no answer", create, E_CLOSED, "", "POST /api/v1/namespaces/a/configmaps {\"new\":1}\n",
     REPLIES({"POST", 0, 0, "", NULL})},
    {"create, 500", create, E_REMOTE, "", "POST /api/v1/namespaces/a/configmaps {\"new\":1}\n",
     REPLIES({"POST", 0, 500, STATUS(500, "InternalError", "x"), NULL})},
    {"create, invalid", create, E_INVALID, "", NULL,
     REPLIES({"POST", 0, 422, STATUS(422, "Invalid", "spec.x: Required value"), NULL}), .why = "spec.x: Required value"},
    {"update", update, OK, "s", "PUT /api/v1/namespaces/a/configmaps/c {\"upd\":1}\n", REPLIES({"PUT", 0, 200, SECRET, NULL})},
    {"update a changed one", update, E_AGAIN, "", NULL,
     REPLIES({"PUT", 0, 409,
              STATUS(409, "Conflict", "the object has been modified; please apply your changes to the latest version"), NULL}),
     .why = "has been modified"},
    {"patch a status", patch_status, OK, "s", "PATCH /apis/obsyk.io/v1/namespaces/a/obsykagents/o/status {\"status\":{}}\n",
     REPLIES({"PATCH", 0, 200, SECRET, NULL})},
    {"patch a status, forbidden", patch_status, E_DENIED, "", NULL,
     REPLIES({"PATCH", 0, 403, STATUS(403, "Forbidden", "no"), NULL}),
     .why = "give us a Role in its namespace or a ClusterRole: apiGroups [\"obsyk.io\"], resources [obsykagents/status], verbs "
            "[patch]"},
    {"delete", delete_it, OK, "",
     "DELETE /api/v1/namespaces/a/configmaps/c "
     "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{\"uid\":\"u-1\",\"resourceVersion\":\"7\"}}\n",
     REPLIES({"DELETE", 0, 200, "{\"kind\":\"Status\",\"status\":\"Success\"}", NULL})},
    {"delete another one", delete_it, E_AGAIN, "", NULL,
     REPLIES({"DELETE", 0, 409, STATUS(409, "Conflict", "Precondition failed: UID in precondition"), NULL})},
    {"delete what is gone", delete_it, E_ABSENT, "", NULL, REPLIES({"DELETE", 0, 404, STATUS(404, "NotFound", "x"), NULL})},

    {"in a pod", get, E_CONFIG, "", "", REPLIES({"secrets/s", 0, 200, SECRET, NULL}), .account = true},
    {"a token, read anew in time", get_later, OK, "ss", GET GET, TAKES(11000, 11500),
     REPLIES({"secrets/s", 0, 200, SECRET, NULL}), .token = "Bearer old-token"},
    {"a token, read anew at a 401", get_rotated, OK, "ss", GET GET GET, REPLIES({"secrets/s", 0, 200, SECRET, NULL}),
     .token = "Bearer old-token"},
    {"a token that is refused", get, E_DENIED, "", GET, REPLIES({"secrets/s", 0, 200, SECRET, NULL}), .token = "Bearer another"},
};

static void setup(void *arg)
{
    static const char config[] = "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
                                 "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:8001/'}}]\n"
                                 "users: [{name: u, user: {tokenFile: " ACCOUNT "/token}}]\n";
    const struct story *s = arg;
    memset(&peer, 0, sizeof peer);
    memset(&seen, 0, sizeof seen);
    peer.at = sim_ip("127.0.0.1:8001");
    peer.replies = s->replies;
    peer.token = s->token;
    peer.piece_max = s->piece_max;
    sim_disk_folder("/kube");
    sim_disk_folder(ACCOUNT);
    sim_disk_put(CONFIG, bytes_of(config));
    sim_disk_put(ACCOUNT "/token", bytes_of("old-token\n"));
}

static err tell(const struct story *s, struct kube *k)
{
    ms began = loop_now();
    err e = s->run(k, began + DEADLINE);
    ms took = loop_now() - began;
    if (sim_fault_name())
        return e;
    char text[1024];
    trail_text(e, text, sizeof text);
    if (e != s->wanted || took < s->least_ms || took > (s->most_ms ? s->most_ms : 900) ||
        (s->told && strcmp(seen.told, s->told) != 0) || (s->server && strcmp(peer.told, s->server) != 0) ||
        (s->why && !strstr(text, s->why)))
        sim_fail("%s: %s after %lld ms: %s; told: %s; the server saw: %s", s->name, err_name(e), (long long)took, text, seen.told,
                 peer.told);
    SIM_CHECK(!strstr(text, "old-token"));
    SIM_CHECK(e == OK || e == E_FULL || strstr(text, "http://127.0.0.1:8001"));
    return OK;
}

static err with_client(const struct story *s, struct dns *dns)
{
    static struct lane lane;
    struct kube *k = NULL;
    struct kube_options o = {.kubeconfig = CONFIG, .lane = &lane, .dns = dns};
    if (s->account)
        o = (struct kube_options){.lane = &lane, .dns = dns, .service_host = "", .service_port = ""};
    lane_open(&lane, "kube files", mem_task(), 4);
    err e = kube_open(&o, loop_now() + SECONDS(10), &k);
    if (s->account)
        e = e == E_CONFIG ? OK : E_CORRUPT;
    else if (e == OK)
        e = tell(s, k);
    kube_close(k);
    lane_close(&lane);
    return e;
}

static err run_story(void *arg)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct dns *dns = NULL;
    TRY(dns_open_with(&numeric, &dns));
    err e = kube_peer_open(&peer);
    if (e == OK)
        e = with_client(arg, dns);
    kube_peer_close(&peer);
    dns_close(dns);
    return e;
}

static void a_story(void **state)
{
    const struct story *s = *state;
    struct sim_case c = {.name = s->name, .setup = setup, .run = run_story, .arg = (void *)(uintptr_t)s, .fibers = true};
    assert_true(sim_seeds(&c, SEEDS));
}

/* --- each fallible call fails once --- */

static err everything(struct kube *k, ms deadline)
{
    TRY(list(k, deadline));
    TRY(get(k, deadline));
    TRY(update(k, deadline));
    return delete_it(k, deadline);
}

static void each_call_fails_once(void **state)
{
    static const struct story all = {
        .name = "everything",
        .run = everything,
        .most_ms = DEADLINE,
        .replies = {{"continue", 1, 200, "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[" POD("c", "1") "," KP_CUT, NULL},
                    {"continue", 0, 200, PAGE("7", "", POD("c", "3")), NULL},
                    {"limit=1&", 0, 200, PAGE("7", "t1", POD("a", "1")), NULL},
                    {"pods", 0, 200, PAGE("7", "t1", POD("a", "1") "," BIG("b", "2")), NULL},
                    {"GET", 1, 500, "x", NULL},
                    {"", 0, 200, SECRET, NULL}}};
    struct sim_case c = {
        .name = all.name, .setup = setup, .run = run_story, .arg = (void *)(uintptr_t)&all, .step = 3, .fibers = true};
    (void)state;
    assert_true(sim_each_fault(&c));
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(stories) + 1];
    for (size_t i = 0; i < COUNT_OF(stories); i++)
        tests[i] = (struct CMUnitTest){stories[i].name, a_story, NULL, NULL, (void *)(uintptr_t)&stories[i]};
    tests[COUNT_OF(stories)] = (struct CMUnitTest)cmocka_unit_test(each_call_fails_once);
    return cmocka_run_group_tests_name("kube", tests, NULL, NULL);
}
