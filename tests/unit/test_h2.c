/* HTTP/2 connections against a scripted server: windows, deaths, closes under whoever waits, limits, wrong peers. */
#include "tests/unit/check.h"

#include "board/rt/mem.h"
#include "net/proto/h2.h"
#include "tests/support/wired.h"

#include <string.h>

#define SOON   (loop_now() + SECONDS(60))
#define WINDOW 65536u
#define LARGE  (16 * WINDOW)

static size_t make_piece(void *arg, const struct server_request *r, uint32_t index, uint8_t *out, size_t cap)
{
    (void)arg, (void)r, (void)cap;
    for (size_t i = 0; i < WINDOW; i++)
        out[i] = (uint8_t)(i * 3 + index);
    return WINDOW;
}

static const struct server_step large[] = {
    {.what = SERVER_HEADERS}, {.what = SERVER_MESSAGES, .count = 16}, {.what = SERVER_TRAILERS}, {0}};
static const struct server_step brief[] = {{.what = SERVER_HEADERS}, {.what = SERVER_TRAILERS}, {0}};
static const struct server_step silent[] = {{0}};
static const struct server_step slow_death[] = {{.what = SERVER_WAIT, .count = 20}, {.what = SERVER_VANISH}, {0}};

static const struct server_step *by_path(void *arg, const struct server_request *r)
{
    (void)arg;
    return r->path[1] == 'l' ? large : r->path[1] == 'b' ? brief : r->path[1] == 'd' ? slow_death : silent;
}

static void open_to(struct wired *w)
{
    w->server.script = by_path;
    w->server.make = make_piece;
    CHECK(wired_open(w, 16384, WINDOW) == OK);
}

static struct h2_stream *get(struct h2 *h, const char *path)
{
    struct h2_stream *s = NULL;
    CHECK(h2_stream_open(h, "GET", path, NULL, 0, true, SOON, &s) == OK);
    return s;
}

/* Reads to the end; the number of bytes, or 0 and *e. */
static size_t read_all(struct h2_stream *s, size_t step, err *e)
{
    static uint8_t piece[WINDOW]; /* no fiber's stack holds it */
    size_t got = 1, sum = 0;
    while ((*e = h2_stream_read(s, piece, step, SOON, &got)) == OK && got > 0)
        sum += got;
    return sum;
}

#define WHOLE (LARGE + 16u * 5u) /* with the prefixes of the messages */

/* --- windows --- */

static err one_unread(void *arg)
{
    struct wired w = {0};
    struct h2_stream *s[5];
    err e = OK;
    (void)arg;
    size_t before = mem_use(TASK_BOARD).used_bytes;
    open_to(&w);
    print_message("a connection: %zu bytes\n", mem_use(TASK_BOARD).used_bytes - before - 2 * w.pipe.bytes_max);
    for (unsigned i = 0; i < 5; i++)
        s[i] = get(w.h2, "/large");
    mem_peak_reset(TASK_BOARD);
    for (unsigned i = 1; i < 5; i++) {
        CHECK(read_all(s[i], 5000, &e) == WHOLE && e == OK);
        CHECK(w.server.data_of[0] <= WINDOW);
    }
    CHECK(w.server.data_of[0] > WINDOW - 20000); /* its window is full: it stalls only itself */
    CHECK(mem_use(TASK_BOARD).peak_bytes - before < KIB(512));
    CHECK(read_all(s[0], 5000, &e) == WHOLE && e == OK); /* and goes on when it is read */
    CHECK(strcmp(h2_stream_trailer(s[0], "grpc-status"), "0") == 0 && !h2_stream_header(s[0], "grpc-status"));
    for (unsigned i = 0; i < 5; i++)
        h2_stream_close(s[i]);
    CHECK(w.server.resets == 0);
    wired_close(&w);
    CHECK(mem_use(TASK_BOARD).used_bytes == before);
    return OK;
}

static void one_unread_stream_stalls_only_itself(void **state)
{
    (void)state;
    fibers_run(one_unread, NULL, OK);
}

static err slow_reader(void *arg)
{
    struct wired w = {0};
    uint8_t piece[3000];
    size_t got = 1, sum = 0;
    (void)arg;
    open_to(&w);
    struct h2_stream *s = get(w.h2, "/large");
    while (got > 0 && checks_failed == 0) {
        for (unsigned i = 0; i < 8; i++)
            fiber_yield(); /* the server sends what it may */
        CHECK(w.server.data_bytes <= sum + WINDOW);
        CHECK(h2_stream_read(s, piece, sizeof piece, SOON, &got) == OK);
        for (size_t i = 0; i < got; i++, sum++) {
            size_t at = sum % (WINDOW + 5), index = sum / (WINDOW + 5);
            if (at >= 5 && piece[i] != (uint8_t)((at - 5) * 3 + index))
                checks_failed++;
        }
    }
    CHECK(sum == WHOLE);
    h2_stream_close(s);
    wired_close(&w);
    return OK;
}

static void a_slow_consumer_holds_the_server_back(void **state)
{
    (void)state;
    fibers_run(slow_reader, NULL, OK);
}

/* --- rests --- */

/* The reader lets us run when it has delivered, and is about to rest. */
static err closed_before_a_rest(void *arg)
{
    struct wired w = {0};
    uint8_t piece[1000];
    size_t got = 0;
    (void)arg;
    open_to(&w);
    struct h2_stream *s = get(w.h2, "/large");
    CHECK(h2_stream_read(s, piece, sizeof piece, SOON, &got) == OK && got > 0);
    h2_rest(w.h2, loop_now() + 5);
    h2_stream_close(s);
    wired_close(&w);
    return OK;
}

static void a_connection_closed_before_its_rest_is_left_alone(void **state)
{
    (void)state;
    fibers_run(closed_before_a_rest, NULL, OK);
}

/* --- waiting fibers --- */

struct waiting {
    struct h2 *h2;
    struct h2_stream *stream;
    const char *path;
    err result;
    unsigned ended;
};

static err wait_for_it(void *arg)
{
    struct waiting *w = arg;
    int status = 0;
    w->result = h2_stream_open(w->h2, "GET", w->path, NULL, 0, true, SOON, &w->stream);
    if (w->result == OK)
        w->result = h2_stream_response(w->stream, FOREVER, &status);
    w->ended++;
    return OK;
}

static err write_for_ever(void *arg)
{
    static uint8_t much[4 * WINDOW];
    struct waiting *w = arg;
    w->result = h2_stream_write(w->stream, much, sizeof much, true, FOREVER);
    w->ended++;
    return OK;
}

static err ping_for_ever(void *arg)
{
    struct waiting *w = arg;
    w->result = h2_ping(w->h2, FOREVER);
    w->ended++;
    return OK;
}

static err deaths(void *arg)
{
    (void)arg;
    struct wired w = {0};
    struct waiting all[3];
    struct group g;
    open_to(&w);
    group_open(&g, TASK_BACKUP);
    for (unsigned i = 0; i < 3; i++) {
        all[i] = (struct waiting){.h2 = w.h2, .path = i == 2 ? "/death" : "/silent"};
        CHECK(group_spawn(&g, "waits", wait_for_it, &all[i]) == OK);
    }
    CHECK(group_join(&g, SOON) == OK);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(all[i].result == E_CLOSED && all[i].ended == 1);
        h2_stream_close(all[i].stream);
    }
    CHECK(!h2_usable(w.h2) && h2_ping(w.h2, SOON) == E_CLOSED);
    wired_close(&w);
    return OK;
}

static void a_death_is_told_to_each_once(void **state)
{
    (void)state;
    fibers_run(deaths, NULL, OK);
}

/* A writer for whom there is no window, a reader, a ping: their stream, then their connection, is closed under them. */
static err closes(void *arg)
{
    (void)arg;
    size_t before = mem_use(TASK_BOARD).used_bytes + mem_use(TASK_BACKUP).used_bytes;
    for (unsigned i = 0; i < 3; i++) {
        struct wired w = {.server.deaf = true};
        struct waiting writer = {0}, reader = {0}, pinger = {0};
        struct group g;
        int status = 0;
        open_to(&w);
        writer.h2 = reader.h2 = pinger.h2 = w.h2;
        CHECK(h2_stream_open(w.h2, "POST", "/silent", NULL, 0, false, SOON, &writer.stream) == OK);
        reader.path = "/silent";
        group_open(&g, TASK_BACKUP);
        CHECK(group_spawn(&g, "writer", write_for_ever, &writer) == OK);
        CHECK(group_spawn(&g, "reader", wait_for_it, &reader) == OK);
        AWAIT(w.server.requests == 2 && w.server.body_bytes == SERVER_WINDOW_BYTES); /* the writer has no window left */
        CHECK(writer.ended == 0 && reader.ended == 0);
        if (i == 1) /* streams first */
            h2_stream_close(writer.stream), h2_stream_close(reader.stream);
        if (i == 2) { /* or the fibers are canceled */
            group_cancel(&g);
            CHECK(group_join(&g, SOON) == OK && writer.result == E_CANCELED && reader.result == E_CANCELED);
            CHECK(h2_stream_response(reader.stream, loop_now() + 10, &status) == E_TIMEOUT);
            h2_stream_close(writer.stream), h2_stream_close(reader.stream);
            AWAIT(w.server.resets == 2 && w.server.reset_code == 8);
        }
        if (i == 0)
            CHECK(group_spawn(&g, "ping", ping_for_ever, &pinger) == OK);
        wired_close(&w);
        CHECK(group_join(&g, SOON) == OK && writer.ended == 1 && reader.ended == 1);
        if (i < 2)
            CHECK(writer.result == E_CLOSED && reader.result == E_CLOSED);
        CHECK(i > 0 || (pinger.ended == 1 && pinger.result == E_CANCELED));
    }
    CHECK(mem_use(TASK_BOARD).used_bytes + mem_use(TASK_BACKUP).used_bytes == before);
    return OK;
}

static void closed_under_who_waits(void **state)
{
    (void)state;
    fibers_run(closes, NULL, OK);
}

/* --- writing --- */

/* What its deadline cut is not ended as if it were whole. */
static err half_a_body(void *arg)
{
    static const uint8_t much[3 * WINDOW];
    struct wired w = {.server.deaf = true};
    struct h2_stream *s = NULL;
    (void)arg;
    open_to(&w);
    CHECK(h2_stream_open(w.h2, "POST", "/brief", NULL, 0, false, SOON, &s) == OK);
    CHECK(h2_stream_write(s, much, sizeof much, true, loop_now() + 20) == E_TIMEOUT);
    w.server.deaf = false; /* the next byte that comes opens the window again; none may come with END_STREAM */
    int status = 0;
    CHECK(h2_stream_response(s, loop_now() + 30, &status) == E_TIMEOUT);
    h2_stream_close(s);
    CHECK(h2_ping(w.h2, SOON) == OK && w.server.resets == 1);
    wired_close(&w);
    return OK;
}

static void half_a_body_is_not_whole(void **state)
{
    (void)state;
    fibers_run(half_a_body, NULL, OK);
}

static err whole_bodies(void *arg)
{
    static const uint8_t much[5 * WINDOW];
    static const size_t sizes[] = {0, 1, 65535, 65536, sizeof much};
    struct wired w = {0};
    (void)arg;
    open_to(&w);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct h2_stream *s = NULL;
        int status = 0;
        CHECK(h2_stream_open(w.h2, "POST", "/brief", NULL, 0, false, SOON, &s) == OK);
        CHECK(h2_stream_write(s, much, sizes[i], false, SOON) == OK && h2_stream_write(s, much, sizes[i], true, SOON) == OK);
        CHECK(h2_stream_response(s, SOON, &status) == OK && status == 200);
        h2_stream_close(s);
    }
    wired_close(&w);
    return OK;
}

static void bodies_of_every_size(void **state)
{
    (void)state;
    fibers_run(whole_bodies, NULL, OK);
}

/* --- limits --- */

static err limits(void *arg)
{
    struct wired w = {.server.streams_max = 1};
    struct h2_stream *second = NULL;
    err e;
    (void)arg;
    open_to(&w);
    struct h2_stream *first = get(w.h2, "/large");
    CHECK(h2_stream_open(w.h2, "GET", "/brief", NULL, 0, true, loop_now() + 20, &second) == E_TIMEOUT && !second);
    CHECK(read_all(first, 5000, &e) == WHOLE);
    second = get(w.h2, "/brief"); /* the first has ended, though its owner still has it */
    CHECK(read_all(second, 5000, &e) == 0 && e == OK);
    h2_stream_close(first);
    first = get(w.h2, "/silent");
    h2_stream_close(first); /* canceled: its place is free */
    h2_stream_close(second);
    second = get(w.h2, "/brief");
    CHECK(h2_stats(w.h2).streams == 1 && h2_stats(w.h2).received_bytes > LARGE);
    wired_close(&w); /* with the stream left to it */
    return OK;
}

static void the_peers_limit_is_kept(void **state)
{
    (void)state;
    fibers_run(limits, NULL, OK);
}

/* --- peers that are no HTTP/2 servers --- */

struct stranger {
    const char *name, *says;
    size_t len;
    bool hangs_up;
    err want;
};
#define SAYS(text)     text, sizeof(text) - 1
#define SETTINGS_FRAME "\0\0\0\4\0\0\0\0\0"
static const struct stranger strangers[] = {
    {"nothing", SAYS(""), false, E_TIMEOUT},
    {"hangs up", SAYS(""), true, E_CLOSED},
    {"HTTP/1.1", SAYS("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), true, E_PROTOCOL},
    {"half a frame", SAYS("\0\0\0\4"), true, E_CLOSED},
    {"a huge frame", SAYS("\377\377\377\4\0\0\0\0\0"), false, E_PROTOCOL},
    {"DATA on no stream", SAYS(SETTINGS_FRAME "\0\0\1\0\0\0\0\0\0x"), false, E_PROTOCOL},
    {"a wrong setting", SAYS("\0\0\6\4\0\0\0\0\0\0\4\377\377\377\377"), false, E_PROTOCOL},
    {"goes away at once", SAYS(SETTINGS_FRAME "\0\0\x8\7\0\0\0\0\0\0\0\0\0\0\0\0\0"), false, E_CLOSED},
    {"a good start", SAYS(SETTINGS_FRAME), false, OK},
};

static err all_strangers(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(strangers); i++) {
        const struct stranger *s = &strangers[i];
        struct pipe pipe;
        struct h2 *h = NULL;
        size_t before = mem_use(TASK_BOARD).used_bytes;
        CHECK(pipe_open(&pipe, 4096) == OK);
        if (s->len)
            CHECK(stream_write(pipe_stream(&pipe, 1), s->says, s->len, SOON) == OK);
        if (s->hangs_up)
            CHECK(stream_end(pipe_stream(&pipe, 1), SOON) == OK);
        err e = h2_open(pipe_stream(&pipe, 0), "http", "x", WINDOW, s->want == E_TIMEOUT ? loop_now() + 60 : SOON, &h);
        if (e != s->want)
            print_error("%s: %s\n", s->name, err_name(e));
        CHECK(e == s->want && (e == OK) == (h != NULL));
        if (h) {
            CHECK(h2_usable(h) && h2_ping(h, loop_now() + 20) == E_TIMEOUT);
            h2_close(h);
        }
        stream_close(pipe_stream(&pipe, 1));
        CHECK(mem_use(TASK_BOARD).used_bytes == before);
    }
    return OK;
}

static void peers_that_speak_otherwise(void **state)
{
    (void)state;
    fibers_run(all_strangers, NULL, OK);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_hub64, MEM_LAZY) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_unread_stream_stalls_only_itself),
        cmocka_unit_test(a_connection_closed_before_its_rest_is_left_alone),
        cmocka_unit_test(a_slow_consumer_holds_the_server_back),
        cmocka_unit_test(a_death_is_told_to_each_once),
        cmocka_unit_test(closed_under_who_waits),
        cmocka_unit_test(half_a_body_is_not_whole),
        cmocka_unit_test(bodies_of_every_size),
        cmocka_unit_test(the_peers_limit_is_kept),
        cmocka_unit_test(peers_that_speak_otherwise),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
