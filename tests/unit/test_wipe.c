/* What a peer sent is in none of the buffers it passed once it was handed on: HTTP/2 over plain bytes and over TLS, HTTP/1.1. The
 * same search finds it when nothing is wiped. The pipe stands for the kernel, and the far end's memory is another task's. */
#include "tests/unit/check.h"

#include "board/rt/buf.h"
#include "board/rt/fiber_internal.h"
#include "board/rt/heap.h"
#include "board/rt/secret.h"
#include "net/proto/h2_internal.h"
#include "net/proto/web_inside.h"
#include "tests/support/certs.h"
#include "tests/support/grpc_server.h"
#include "tests/support/pipe.h"

#include <string.h>

#define SOON    (loop_now() + SECONDS(60))
#define PLANTED "planted-5f2d91c0-what-nobody-else-may-see-"
#define MANY    700u
#define LENGTH  (MANY * (sizeof PLANTED - 1))
#define WINDOW  KIB(16)

static uint8_t plants[LENGTH];
static uint8_t into[3000];

static struct far {
    struct pipe pipe;
    struct server server;
    struct group group;
    struct stream *plain;
    struct tls_config *accepts, *connects;
    struct web *web;
    bool h1;
} far;

/* --- the search --- */

__attribute__((no_sanitize("address"))) static size_t hits_in(const volatile uint8_t *at, size_t len)
{
    static const char text[] = PLANTED;
    size_t hits = 0;
    for (size_t i = 0; i + 16 <= len; i++) {
        size_t n = 0;
        while (n < 16 && at[i + n] == (uint8_t)text[n])
            n++;
        hits += n == 16;
    }
    return hits;
}

/* The pool's buffers, held by whomever. */
static struct bytes pool[64];
static unsigned pool_count;

static void pool_learn(void)
{
    struct buf *taken = NULL, *b;
    while (pool_count < COUNT_OF(pool) && buf_take(KIB(16), &b) == OK) {
        pool[pool_count++] = (struct bytes){b->at, b->cap};
        b->next = taken;
        taken = b;
    }
    while ((b = taken) != NULL) {
        taken = b->next;
        buf_release(b);
    }
}

static size_t hits_in_pool(void)
{
    size_t hits = 0;
    for (unsigned i = 0; i < pool_count; i++)
        hits += hits_in(pool[i].at, pool[i].len);
    return hits;
}

static size_t hits_in_h2(const struct h2 *h)
{
    size_t hits = hits_in(h->read_buffer, h->read_bytes);
    for (const struct h2_stream *s = h->streams; s; s = s->next)
        hits += hits_in(s->ring.at, s->ring.cap);
    return hits;
}

/* Our task's heap, with what was freed in it, and the stacks of its fibers. */
static size_t hits_in_task(const struct h2 *h)
{
    size_t hits = 0;
#ifndef HOLDFAST_HOST_LIBC
    const struct heap *heap = mem_heap_current();
    hits += hits_in(heap->first, (size_t)(heap->end - heap->first));
    hits += hits_in(fiber_self()->stack, fiber_self()->stack_bytes);
    hits += h ? hits_in(h->group.first->stack, h->group.first->stack_bytes) : 0;
#else
    (void)h;
#endif
    return hits;
}

static size_t hits_in_all(void)
{
    const struct h2 *h = far.web ? far.web->h2 : NULL;
    return hits_in_pool() + (h ? hits_in_h2(h) : 0) + hits_in_task(h);
}

/* --- the far end --- */

static const struct server_step watched[] = {
    {.what = SERVER_HEADERS, .text = "application/json"}, {.what = SERVER_RAW, .bytes = {plants, LENGTH}}, {0}};

static const struct server_step *script(void *arg, const struct server_request *r)
{
    (void)arg, (void)r;
    return watched;
}

static err h1_run(struct stream *s)
{
    static uint8_t request[1000];
    size_t len = 0, got = 1;
    char head[100];
    while (got > 0 && !memmem(request, len, "\r\n\r\n", 4)) {
        TRY(stream_read(s, request + len, sizeof request - len, SOON, &got));
        len += got;
    }
    (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n", (size_t)LENGTH + 1);
    TRY(stream_write(s, head, strlen(head), SOON));
    TRY(stream_write(s, plants, LENGTH, SOON));
    err_ignore(fiber_sleep(FOREVER));
    stream_close(s);
    return OK;
}

static err far_run(void *arg)
{
    struct stream *s = pipe_stream(&far.pipe, 1);
    (void)arg;
    if (far.accepts)
        TRY(tls_accept(far.accepts, s, SOON, &s));
    return far.h1 ? h1_run(s) : server_run(&far.server, s);
}

static struct stream *secured(struct stream *s)
{
    if (far.accepts)
        CHECK(tls_connect(far.connects, s, "etcd.test", SOON, &s) == OK);
    return s;
}

static void far_open(bool h1, bool tls)
{
    struct web_over how = {.authority = "etcd.test", .h2 = !h1, .tls = true, .window_bytes = WINDOW};
    enum task own = mem_task();
    struct tls_options server = {.server = true}, client = {.server = false};
    far = (struct far){.h1 = h1, .server = {.script = script}};
    mem_set_task(TASK_METRICS);
    CHECK(pipe_open(&far.pipe, KIB(16)) == OK);
    if (tls) {
        CHECK(tls_identity_parse(cert(CERT_SERVER), cert_key(CERT_SERVER_KEY), &server.identity) == OK);
        CHECK(tls_trust_parse(cert(CERT_CA), &client.trust) == OK);
        CHECK(tls_config_open(&server, &far.accepts) == OK && tls_config_open(&client, &far.connects) == OK);
        tls_identity_release(server.identity);
        tls_trust_release(client.trust);
    }
    mem_set_task(own);
    group_open(&far.group, TASK_METRICS);
    CHECK(group_spawn(&far.group, "far end", far_run, NULL) == OK);
    CHECK(web_over(secured(pipe_stream(&far.pipe, 0)), &how, SOON, &far.web) == OK);
}

static void far_close(void)
{
    web_close(far.web);
    far.web = NULL;
    group_close(&far.group);
    tls_config_release(far.accepts);
    tls_config_release(far.connects);
}

/* --- reading it --- */

/* Reads `len` bytes of it and drops them. */
static void read_of_it(struct web_exchange *x, size_t len)
{
    size_t got = 1;
    while (len > 0 && got > 0) {
        CHECK(web_read(x, into, size_min(len, sizeof into), SOON, &got) == OK);
        len -= got;
        memset(into, 0, sizeof into);
    }
    CHECK(len == 0);
}

static struct web_exchange *watch(void)
{
    struct web_exchange *x = NULL;
    CHECK(web_open(far.web, &(struct web_call){.method = "GET", .path = "/"}, SOON, &x) == OK);
    return x;
}

static const struct way {
    const char *name;
    bool h1, tls;
} ways[] = {
    {"HTTP/2", false, false}, {"HTTP/2 over TLS", false, true}, {"HTTP/1.1", true, false}, {"HTTP/1.1 over TLS", true, true}};

/* wiped: nothing is found while the exchange is open, read up to now, nor when it was closed half read. */
static void try_way(const struct way *way, bool wiped)
{
    wipe_is_off = !wiped;
    far_open(way->h1, way->tls);
    struct web_exchange *x = watch();
    read_of_it(x, LENGTH);
    size_t open = hits_in_all();
    web_end(x);
    if (!way->h1) { /* what its ring holds unread goes with it */
        x = watch();
        read_of_it(x, 5000);
        web_end(x);
        CHECK(web_ping(far.web, SOON) == OK);
    }
    size_t closed = hits_in_all();
    far_close();
    closed += hits_in_all();
    wipe_is_off = false;
    print_message("%s, %s: %zu and %zu copies\n", way->name, wiped ? "wiped" : "not wiped", open, closed);
    CHECK(wiped ? open + closed == 0 : open > 0);
}

static err all_ways(void *arg)
{
    (void)arg;
    pool_learn();
    CHECK(pool_count > 0);
    for (size_t i = 0; i < COUNT_OF(ways); i++)
        try_way(&ways[i], true);
    for (size_t i = 0; i < COUNT_OF(ways); i++)
        try_way(&ways[i], false);
    return OK;
}

static void what_was_handed_on_is_wiped(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH; i++)
        plants[i] = (uint8_t)PLANTED[i % (sizeof PLANTED - 1)];
    fibers_run(all_ways, NULL, OK);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_hub64, MEM_LAZY) == OK && buf_boot() == OK && certs_make() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_handed_on_is_wiped)};
    return cmocka_run_group_tests(tests, boot, NULL);
}
