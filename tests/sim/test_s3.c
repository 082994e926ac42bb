/* The S3 client in the simulated world: stories of servers that refuse, are slow, lie, reset, are silent or live in another time;
 * then each fallible call fails once. What the server saw is part of each story. */
#include "board/rt/mem.h"
#include "net/api/s3/s3.h"
#include "tests/sim/sim.h"
#include "tests/support/s3_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS       4
#define PART        KIB(80) /* beyond what waits for 100 Continue */
#define PARTS       3
#define BODY        KIB(100)
#define DEADLINE    SECONDS(60)
#define MANY        10 /* objects of a list */
#define LINE        "list/"
#define UPLOAD_TOLD "CreateMultipartUpload UploadPart UploadPart UploadPart CompleteMultipartUpload HeadObject"

static struct s3_peer peer;
static uint8_t content[PARTS * PART];
static struct {
    unsigned asked;           /* for credentials */
    const char *tokens[2];    /* what is given at first, and after that */
    unsigned listed, stop_at; /* stop_at: each() fails at that item; 0: never */
    char last[64];
    bool confirmed;
} seen;

static err credentials(void *arg, struct s3_credentials *out)
{
    const char *token = seen.tokens[seen.asked > 0];
    (void)arg;
    seen.asked++;
    SIM_CHECK(*out->access_key == 0 && *out->session_token == 0); /* it comes zeroed */
    (void)snprintf(out->access_key, sizeof out->access_key, "AK");
    (void)snprintf(out->secret_key, sizeof out->secret_key, "secret");
    (void)snprintf(out->session_token, sizeof out->session_token, "%s", token ? token : "");
    return OK;
}

/* --- what is asked --- */

static err do_put(struct s3 *c, ms deadline, bool is_new)
{
    struct s3_object o = {.bytes = 0};
    err e = s3_put(c, "k", NULL, (struct bytes){content, BODY}, is_new, deadline, &o);
    seen.confirmed = o.confirmed;
    SIM_CHECK(e != OK || o.bytes == BODY);
    return e;
}

static err put(struct s3 *c, ms deadline)
{
    return do_put(c, deadline, false);
}

static err put_new(struct s3 *c, ms deadline)
{
    return do_put(c, deadline, true);
}

static err put_twice(struct s3 *c, ms deadline)
{
    TRY(put(c, deadline));
    return put(c, deadline);
}

static err parts_send(struct s3_upload *u, ms deadline)
{
    for (unsigned i = 0; i < PARTS; i++)
        TRY(s3_upload_part(u, i + 1, (struct bytes){content + i * PART, PART}, deadline));
    return OK;
}

static err do_upload(struct s3 *c, ms deadline, bool is_new)
{
    struct s3_upload *u = NULL;
    struct s3_object o;
    TRY(s3_upload_open(c, "k", NULL, deadline, &u));
    err e = parts_send(u, deadline);
    if (e == OK)
        e = s3_upload_complete(u, is_new, deadline, &o);
    SIM_CHECK(e != OK || o.bytes == PARTS * PART);
    seen.confirmed = e == OK && o.confirmed;
    uint64_t mark = trail_mark();
    if (e != OK) {
        fiber_shield();
        err_ignore(s3_upload_abort(u, loop_now() + SECONDS(20)));
        fiber_unshield();
    }
    trail_rewind(mark);
    s3_upload_close(u);
    return e;
}

static err upload(struct s3 *c, ms deadline)
{
    return do_upload(c, deadline, false);
}

static err upload_new(struct s3 *c, ms deadline)
{
    return do_upload(c, deadline, true);
}

static err get_all(struct s3_get *g, uint64_t from, ms idle_ms)
{
    static uint8_t piece[KIB(4)];
    uint64_t at = from;
    size_t got = 1;
    while (got > 0) {
        TRY(s3_get_read(g, piece, sizeof piece, loop_now() + idle_ms, &got));
        SIM_CHECK(at + got <= BODY && memcmp(piece, content + at, got) == 0);
        at += got;
    }
    SIM_CHECK(at == BODY);
    return OK;
}

static err get_from(struct s3 *c, uint64_t from, ms deadline)
{
    struct s3_get *g = NULL;
    TRY(s3_get_open(c, "there", from, deadline, &g));
    SIM_CHECK(s3_get_object(g)->bytes == BODY);
    err e = get_all(g, from, deadline - loop_now());
    s3_get_end(g);
    return e;
}

static err get(struct s3 *c, ms deadline)
{
    return get_from(c, 0, deadline);
}

static err get_rest(struct s3 *c, ms deadline)
{
    return get_from(c, BODY - 10000, deadline);
}

static err get_behind(struct s3 *c, ms deadline)
{
    return get_from(c, BODY, deadline);
}

/* The object becomes another one while it is read. */
static err get_changed(struct s3 *c, ms deadline)
{
    struct s3_get *g = NULL;
    uint8_t piece[100];
    size_t got;
    TRY(s3_get_open(c, "there", 0, deadline, &g));
    err e = s3_get_read(g, piece, sizeof piece, deadline, &got);
    SIM_CHECK(s3_peer_put(&peer, "there", (struct bytes){content + 1, BODY}));
    while (e == OK && got > 0)
        e = s3_get_read(g, piece, sizeof piece, deadline, &got);
    s3_get_end(g);
    return e;
}

static err head(struct s3 *c, ms deadline)
{
    struct s3_object o;
    TRY(s3_head(c, "there", deadline, &o));
    SIM_CHECK(o.bytes == BODY && o.modified_s == 784111777 && *o.etag == '"');
    return OK;
}

static err head_of_none(struct s3 *c, ms deadline)
{
    struct s3_object o;
    return s3_head(c, "none", deadline, &o);
}

static err item_see(void *arg, const struct s3_item *i)
{
    char want[64];
    (void)arg;
    (void)snprintf(want, sizeof want, LINE "%02u", seen.listed);
    SIM_CHECK(strcmp(i->key, want) == 0 && i->bytes == seen.listed && i->modified_s == 1255369830);
    seen.listed++;
    return seen.stop_at == seen.listed ? E_FULL : OK;
}

static err list(struct s3 *c, ms deadline)
{
    TRY(s3_list(c, LINE, "", deadline - loop_now(), item_see, NULL));
    SIM_CHECK(seen.listed == MANY);
    return OK;
}

static err list_some(struct s3 *c, ms deadline)
{
    seen.stop_at = 4;
    return list(c, deadline);
}

static err item_remove(void *arg, const struct s3_item *i)
{
    seen.listed++;
    return s3_delete(arg, i->key, loop_now() + SECONDS(20));
}

static err prune(struct s3 *c, ms deadline)
{
    TRY(s3_list(c, LINE, "", deadline - loop_now(), item_remove, c));
    SIM_CHECK(seen.listed == MANY && !s3_peer_find(&peer, LINE "00") && s3_peer_find(&peer, "there"));
    return OK;
}

static err pending_abort(void *arg, const struct s3_pending *p)
{
    SIM_CHECK(strcmp(p->key, "k") == 0 && p->initiated_s == 1255369830);
    seen.listed++;
    return s3_abort(arg, p->key, p->upload_id, loop_now() + SECONDS(20), NULL);
}

static err leave_and_abort(struct s3 *c, ms deadline)
{
    struct s3_upload *u = NULL;
    for (unsigned i = 0; i < 5; i++) {
        TRY(s3_upload_open(c, "k", NULL, deadline, &u));
        s3_upload_close(u);
    }
    SIM_CHECK(s3_peer_pending(&peer) == 5);
    TRY(s3_list_uploads(c, "k", deadline - loop_now(), pending_abort, c));
    SIM_CHECK(seen.listed == 5 && s3_peer_pending(&peer) == 0);
    return OK;
}

static err delete_twice(struct s3 *c, ms deadline)
{
    TRY(s3_delete(c, "there", deadline));
    return s3_delete(c, "there", deadline);
}

/* While one object is read, another request has the other connection; a third one waits. */
static err two_at_a_time(struct s3 *c, ms deadline)
{
    struct s3_get *a = NULL, *b = NULL;
    struct s3_object o;
    TRY(s3_get_open(c, "there", 0, deadline, &a));
    err e = s3_head(c, "there", deadline, &o);
    if (e == OK)
        e = s3_get_open(c, "there", 0, deadline, &b);
    if (e == OK && !sim_fault_name())
        SIM_CHECK_ERR(s3_head(c, "there", loop_now() + SECONDS(1), &o), E_TIMEOUT);
    s3_get_end(b);
    s3_get_end(a);
    return e;
}

/* --- the stories --- */

#define FAULT(op, n, how)                                                                                                        \
    {                                                                                                                            \
        op, n, S3_PEER_##how, 0, NULL, NULL                                                                                      \
    }
#define REFUSE(op, n, status, code)                                                                                              \
    {                                                                                                                            \
        op, n, S3_PEER_ANSWER, status, code, NULL                                                                                \
    }
#define REFUSE_TOO(op, n, status, code, header)                                                                                  \
    {                                                                                                                            \
        op, n, S3_PEER_ANSWER, status, code, header                                                                              \
    }
#define LATE(op, n, code)                                                                                                        \
    {                                                                                                                            \
        op, n, S3_PEER_LATE, 200, code, NULL                                                                                     \
    }
#define WITH(...)          .peer = {__VA_ARGS__}
#define FAULTS(...)        .faults = {__VA_ARGS__}
#define SOON               .most_ms = 900
#define TAKES(least, most) .least_ms = (least), .most_ms = (most)
#define BEGUN              "CreateMultipartUpload "
#define PARTS_TOLD         BEGUN "UploadPart UploadPart UploadPart "
#define ONE_MORE_PART      BEGUN "UploadPart UploadPart UploadPart UploadPart CompleteMultipartUpload HeadObject"
#define TWICE              "PutObject PutObject HeadObject"

static const struct story {
    const char *name;
    err (*run)(struct s3 *c, ms deadline);
    err wanted;
    const char *told; /* what the server saw; NULL: does not matter */
    ms least_ms, most_ms;
    struct s3_peer_fault faults[3];
    struct {
        bool refuses_conditions, ignores_expect, refuses_expect, write_only, no_tokens;
        unsigned page;
        int64_t clock_ms;
        const char *token;
    } peer;
    const char *tokens[2];
} stories[] = {
    {"put", put, OK, "PutObject HeadObject", .most_ms = 500},
    {"put where there is none", put_new, OK, "PutObject HeadObject", .most_ms = 500},
    {"one connection for all", put_twice, OK, "PutObject HeadObject PutObject HeadObject", .most_ms = 500},
    {"500", put, OK, TWICE, TAKES(100, 900), FAULTS(REFUSE("PutObject", 1, 500, "InternalError"))},
    {"500 for ever", put, E_REMOTE, "PutObject PutObject PutObject PutObject PutObject HeadObject", TAKES(1500, 3500),
     FAULTS(REFUSE("PutObject", 0, 500, "InternalError"))},
    {"503 SlowDown with Retry-After", put, OK, TWICE, TAKES(7000, 8500),
     FAULTS(REFUSE_TOO("PutObject", 1, 503, "SlowDown", "Retry-After: 7"))},
    {"Retry-After beyond the deadline", put, E_REMOTE, "PutObject HeadObject",
     FAULTS(REFUSE_TOO("PutObject", 1, 503, "SlowDown", "Retry-After: 61"))},
    {"an absurd Retry-After", put, OK, TWICE, TAKES(100, 900),
     FAULTS(REFUSE_TOO("PutObject", 1, 503, "SlowDown", "Retry-After: 99999999999999999999"))},
    {"denied", put, E_DENIED, "PutObject", FAULTS(REFUSE("PutObject", 0, 403, "AccessDenied"))},
    {"another region", put, E_INVALID, "PutObject",
     FAULTS(REFUSE_TOO("PutObject", 0, 301, "PermanentRedirect", "x-amz-bucket-region: eu-west-1"))},
    {"too large", put, E_RANGE, "PutObject", FAULTS(REFUSE("PutObject", 0, 400, "EntityTooLarge"))},
    {"a write conflict", put_new, E_EXISTS, "PutObject", FAULTS(REFUSE("PutObject", 0, 409, "ConditionalRequestConflict"))},
    {"no conditional writes", put_new, E_UNSUPPORTED, "PutObject", WITH(.refuses_conditions = true)},
    {"an expired token, and a new one", put, OK, TWICE, WITH(.token = "new"), .tokens = {"old", "new"}},
    {"an expired token, and no new one", put, E_DENIED, "PutObject", WITH(.token = "new"), .tokens = {"old", "old"}},
    {"a new token, expired too", put, E_DENIED, "PutObject PutObject", WITH(.token = "new"), .tokens = {"old", "older"}},
    {"a clock 20 minutes ahead", put_twice, OK, TWICE " PutObject HeadObject", WITH(.clock_ms = 1200000)},
    {"a clock 20 minutes behind", put, OK, TWICE, WITH(.clock_ms = -1200000)},
    {"a clock 20 minutes off, by HEAD", head, OK, "HeadObject HeadObject", WITH(.clock_ms = 1200000)},
    {"skewed for ever", put, E_DENIED, "PutObject PutObject", FAULTS(REFUSE("PutObject", 0, 403, "RequestTimeTooSkewed"))},
    {"reset in the middle of a body", put, OK, TWICE, TAKES(100, 2500), FAULTS(FAULT("PutObject", 1, RESET))},
    {"no answer", put, OK, TWICE, TAKES(100, 2500), FAULTS(FAULT("PutObject", 1, CLOSE))},
    {"silent once", put, OK, TWICE, TAKES(30000, 33000), FAULTS(FAULT("PutObject", 1, SILENT))},
    {"silent for ever", put, E_TIMEOUT, "PutObject PutObject HeadObject", TAKES(59000, 60100),
     FAULTS(FAULT("PutObject", 0, SILENT))},
    {"ended between two requests", put_twice, OK, "PutObject HeadObject PutObject HeadObject",
     FAULTS(FAULT("HeadObject", 1, LEAVES))},
    {"done, but its answer is lost", put_new, OK, TWICE " HeadObject", TAKES(100, 2500), FAULTS(FAULT("PutObject", 1, LOST))},
    {"half of it is stored", put, E_CORRUPT, "PutObject HeadObject DeleteObject", FAULTS(FAULT("PutObject", 1, SHORT))},
    {"write-only", put_new, OK, "PutObject HeadObject", WITH(.write_only = true)},

    {"upload", upload, OK, UPLOAD_TOLD, SOON},
    {"upload where there is none", upload_new, OK, UPLOAD_TOLD, SOON},
    {"no 100 Continue", upload, OK, UPLOAD_TOLD, TAKES(900, 1900), WITH(.ignores_expect = true)},
    {"417 for asking first", upload, OK, ONE_MORE_PART, TAKES(100, 900), WITH(.refuses_expect = true)},
    {"reset in the middle of a part", upload_new, OK, ONE_MORE_PART, TAKES(100, 2500), FAULTS(FAULT("UploadPart", 2, RESET))},
    {"a part is denied", upload, E_DENIED, BEGUN "UploadPart UploadPart AbortMultipartUpload",
     FAULTS(REFUSE("UploadPart", 2, 403, "AccessDenied"))},
    {"a part's ETag is wrong", upload, E_CORRUPT, PARTS_TOLD "CompleteMultipartUpload AbortMultipartUpload",
     FAULTS(FAULT("UploadPart", 2, ETAG))},
    {"half a part is stored", upload, E_CORRUPT, PARTS_TOLD "CompleteMultipartUpload AbortMultipartUpload",
     FAULTS(FAULT("UploadPart", 2, SHORT))},
    {"a part is forgotten", upload, E_CORRUPT, UPLOAD_TOLD " DeleteObject", FAULTS(FAULT("CompleteMultipartUpload", 1, SHORT))},
    {"completed: 200 with an error", upload, OK, PARTS_TOLD "CompleteMultipartUpload CompleteMultipartUpload HeadObject",
     TAKES(100, 900), FAULTS(LATE("CompleteMultipartUpload", 1, "InternalError"))},
    {"completed, but its answer is lost", upload_new, OK,
     PARTS_TOLD "CompleteMultipartUpload CompleteMultipartUpload HeadObject HeadObject",
     FAULTS(FAULT("CompleteMultipartUpload", 1, LOST))},
    {"an upload that vanished", upload, E_ABSENT, PARTS_TOLD "CompleteMultipartUpload AbortMultipartUpload",
     FAULTS(REFUSE("CompleteMultipartUpload", 1, 404, "NoSuchUpload"))},
    {"uploads that were left", leave_and_abort, OK, NULL, WITH(.page = 2)},

    {"get", get, OK, "GetObject", SOON},
    {"get the rest", get_rest, OK, "GetObject", SOON},
    {"get behind the end", get_behind, E_RANGE, "GetObject", SOON},
    {"a get that breaks", get, OK, "GetObject GetObject GetObject",
     FAULTS(FAULT("GetObject", 1, CUT), FAULT("GetObject", 2, CUT))},
    {"a get that breaks, and another object", get_changed, E_CORRUPT, "GetObject GetObject", FAULTS(FAULT("GetObject", 1, CUT))},
    {"head", head, OK, "HeadObject", SOON},
    {"head of none", head_of_none, E_ABSENT, "HeadObject", SOON},
    {"delete", delete_twice, OK, "DeleteObject DeleteObject", SOON},
    {"no such bucket", delete_twice, E_ABSENT, "DeleteObject", FAULTS(REFUSE("DeleteObject", 0, 404, "NoSuchBucket"))},
    {"two at a time", two_at_a_time, OK, "GetObject HeadObject GetObject", TAKES(1000, 1500)},

    {"list", list, OK, "ListObjectsV2", SOON},
    {"list by pages", list, OK, "ListObjectsV2 ListObjectsV2 ListObjectsV2 ListObjectsV2", WITH(.page = 3)},
    {"list by pages, without tokens", list, OK, "ListObjectsV2 ListObjectsV2 ListObjectsV2 ListObjectsV2",
     WITH(.page = 3, .no_tokens = true)},
    {"a list is cut in the middle", list, OK, "ListObjectsV2 ListObjectsV2", TAKES(100, 900),
     FAULTS(FAULT("ListObjectsV2", 1, CUT))},
    {"a page is cut in the middle", list, OK, NULL, TAKES(100, 900), FAULTS(FAULT("ListObjectsV2", 2, CUT)), WITH(.page = 4)},
    {"cut for ever", list, E_CLOSED, NULL, TAKES(1500, 3500), FAULTS(FAULT("ListObjectsV2", 0, CUT)), WITH(.page = 4)},
    {"500 to a page", list, OK, NULL, TAKES(100, 900), FAULTS(REFUSE("ListObjectsV2", 2, 500, "InternalError")), WITH(.page = 4)},
    {"200 with an error to a page", list, OK, NULL, TAKES(100, 900), FAULTS(LATE("ListObjectsV2", 2, "SlowDown")),
     WITH(.page = 4)},
    {"each() has enough", list_some, E_FULL, "ListObjectsV2 ListObjectsV2", WITH(.page = 3)},
    {"each() removes", prune, OK, NULL, WITH(.page = 3)},
};

static const struct s3_options *options(struct dns *dns)
{
    static struct s3_options o = {.endpoint = "http://10.0.0.1", .bucket = "backups", .credentials = credentials};
    o.dns = dns;
    return &o;
}

static void setup(void *arg)
{
    const struct story *s = arg;
    memset(&peer, 0, sizeof peer);
    memset(&seen, 0, sizeof seen);
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = sim_pattern(i);
    peer.at = sim_ip("10.0.0.1:80");
    peer.access_key = "AK";
    peer.faults = s->faults;
    peer.refuses_conditions = s->peer.refuses_conditions;
    peer.ignores_expect = s->peer.ignores_expect;
    peer.refuses_expect = s->peer.refuses_expect;
    peer.write_only = s->peer.write_only;
    peer.no_tokens = s->peer.no_tokens;
    peer.page = s->peer.page;
    peer.clock_ms = s->peer.clock_ms;
    peer.token = s->peer.token;
    memcpy(seen.tokens, s->tokens, sizeof seen.tokens);
    SIM_CHECK(s3_peer_put(&peer, "there", (struct bytes){content, BODY}));
    for (unsigned i = MANY; i-- > 0;) {
        char key[32];
        (void)snprintf(key, sizeof key, LINE "%02u", i);
        SIM_CHECK(s3_peer_put(&peer, key, (struct bytes){content, i}));
    }
}

/* Whatever the story, and whatever failed: nothing half-done is there. */
static void object_check(err e)
{
    const struct s3_peer_object *o = s3_peer_find(&peer, "k");
    if (e == OK && o)
        SIM_CHECK((o->bytes == BODY || o->bytes == sizeof content) && memcmp(peer.content + o->at, content, o->bytes) == 0);
    if (e != OK && !sim_fault_name())
        SIM_CHECK(!o);
}

static err tell(const struct story *s, struct s3 *c)
{
    ms began = loop_now();
    err e = s->run(c, began + DEADLINE);
    ms took = loop_now() - began;
    object_check(e);
    if (sim_fault_name())
        return e;
    char text[512];
    trail_text(e, text, sizeof text);
    if (e != s->wanted || took < s->least_ms || took > (s->most_ms ? s->most_ms : 900) ||
        (s->told && strcmp(peer.told, s->told) != 0))
        sim_fail("%s: %s after %lld ms: %s; the server saw %s", s->name, err_name(e), (long long)took, text, peer.told);
    SIM_CHECK(strstr(text, "secret") == NULL && strstr(text, "Signature") == NULL);
    SIM_CHECK(e == OK || e == E_FULL || strstr(text, "10.0.0.1/backups"));
    if (s->peer.clock_ms)
        SIM_CHECK(llabs(s3_clock_skew_ms(c) - s->peer.clock_ms) < 1500);
    if (s->peer.write_only)
        SIM_CHECK(!seen.confirmed);
    return OK;
}

static err with_peer(const struct story *s)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct dns *dns = NULL;
    struct s3 *c = NULL;
    TRY(dns_open_with(&numeric, &dns));
    err e = s3_peer_open(&peer);
    if (e == OK)
        e = s3_open(options(dns), &c);
    if (e == OK)
        e = tell(s, c);
    s3_close(c);
    s3_peer_close(&peer);
    dns_close(dns);
    return e;
}

static err run_story(void *arg)
{
    return with_peer(arg);
}

static void a_story(void **state)
{
    const struct story *s = *state;
    struct sim_case c = {.name = s->name, .setup = setup, .run = run_story, .arg = (void *)(uintptr_t)s, .fibers = true};
    assert_true(sim_seeds(&c, SEEDS));
}

/* --- each fallible call fails once --- */

static err everything(struct s3 *c, ms deadline)
{
    TRY(put_new(c, deadline));
    TRY(s3_delete(c, "k", deadline));
    TRY(upload_new(c, deadline));
    seen.listed = 0;
    TRY(list(c, deadline));
    TRY(get(c, deadline));
    return head(c, deadline);
}

static void setup_slow(void *arg)
{
    setup(arg);
    sim_link(&peer.at, (struct sim_link){.delay_ms = 20, .jitter_ms = 30, .bytes_per_s = 100000});
}

static void each_call_fails_once(void **state)
{
    static const struct story all = {.name = "everything", .run = everything, .most_ms = DEADLINE};
    static const struct story bad = {
        .name = "everything, and a server that fails",
        .run = everything,
        .faults = {{"UploadPart", 2, S3_PEER_RESET, 0, NULL, NULL}, {"ListObjectsV2", 1, S3_PEER_CUT, 0, NULL, NULL}},
        .most_ms = DEADLINE,
        .peer = {.page = 4}};
    struct sim_case c = {.name = all.name, .setup = setup, .run = run_story, .arg = (void *)(uintptr_t)&all, .fibers = true};
    (void)state;
    assert_true(sim_each_fault(&c));
    c.name = bad.name;
    c.arg = (void *)(uintptr_t)&bad;
    assert_true(sim_each_fault(&c));
}

static void a_slow_line(void **state)
{
    static const struct story all = {.name = "slow line", .run = everything, .most_ms = DEADLINE};
    struct sim_case c = {.name = all.name, .setup = setup_slow, .run = run_story, .arg = (void *)(uintptr_t)&all, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, SEEDS));
}

/* --- canceled in the middle --- */

static err story_fiber(void *arg)
{
    return upload_new(arg, loop_now() + DEADLINE);
}

static err run_canceled(void *arg)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct dns *dns = NULL;
    struct s3 *c = NULL;
    struct group g;
    (void)arg;
    TRY(dns_open_with(&numeric, &dns));
    group_open(&g, TASK_BOARD);
    err e = s3_peer_open(&peer);
    if (e == OK)
        e = s3_open(options(dns), &c);
    if (e == OK)
        e = group_spawn(&g, "upload", story_fiber, c);
    if (e == OK)
        e = fiber_sleep(loop_now() + (ms)sim_draw(3000));
    group_close(&g);
    SIM_CHECK(s3_peer_pending(&peer) == 0 || sim_fault_name() || peer.uploads_begun == 1);
    s3_close(c);
    s3_peer_close(&peer);
    dns_close(dns);
    return e;
}

static void canceled_in_the_middle(void **state)
{
    static const struct story none = {.name = "canceled"};
    struct sim_case c = {
        .name = none.name, .setup = setup_slow, .run = run_canceled, .arg = (void *)(uintptr_t)&none, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, 4 * SEEDS));
}

int main(void)
{
    static struct CMUnitTest tests[3 + COUNT_OF(stories)] = {
        cmocka_unit_test(each_call_fails_once), cmocka_unit_test(a_slow_line), cmocka_unit_test(canceled_in_the_middle)};
    for (size_t i = 0; i < COUNT_OF(stories); i++)
        tests[3 + i] =
            (struct CMUnitTest){.name = stories[i].name, .test_func = a_story, .initial_state = (void *)(uintptr_t)&stories[i]};
    return cmocka_run_group_tests_name("s3 in the sim", tests, NULL, NULL);
}
