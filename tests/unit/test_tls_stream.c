/* TLS streams: at rest and awake, how they end, much both ways at once, closed while others wait. */
#include "tests/unit/tls_pair.h"

#define BULK MIB(1)

/* --- rest and wake --- */

static void note(void *arg)
{
    *(bool *)arg = true;
}

static err rest_and_wake(enum tls_version most)
{
    struct side server = server_plain;
    struct pair p;
    size_t board = mem_use(TASK_BOARD).used_bytes, metrics = mem_use(TASK_METRICS).used_bytes;
    server.most = most;
    pair_open(&p, &server, &client_plain, "etcd.test");
    CHECK(p.connected == OK && p.accepted == OK);
    bool asked = false;
    CHECK(stream_rest(p.server, note, &asked) == OK);
    size_t server_at_rest = mem_use(TASK_METRICS).used_bytes - metrics; /* its certificate is the board's */
    stream_wake(p.server);
    CHECK(group_spawn(&p.group, "echo", echo, &p) == OK);
    CHECK(ask(p.client) == OK);
    size_t configs = 0, at_work = mem_use(TASK_BOARD).used_bytes;
    for (unsigned i = 0; i < 5; i++) { /* each time with traffic after it, both ways */
        bool readable = false;
        CHECK(stream_rest(p.client, note, &readable) == OK);
        configs = mem_use(TASK_BOARD).used_bytes;
        CHECK(fiber_sleep(loop_now() + 2) == OK && !readable);
        if (i % 2)
            stream_wake(p.client);
        else { /* woken by what comes */
            CHECK(stream_write(p.server, "ping", 4, SOON) == OK);
            CHECK(readable);
            char four[4];
            CHECK(stream_read_full(p.client, four, 4, SOON) == OK && memcmp(four, "ping", 4) == 0);
        }
        CHECK(ask(p.client) == OK && ask(p.client) == OK);
    }
    print_message("%s: client at work %zu bytes, at rest %zu, with its CA and settings; server at rest %zu\n",
                  tls_version_text(p.client), at_work - board, configs - board, server_at_rest);
    CHECK(configs + KIB(30) < at_work);
    bool readable = false;
    CHECK(stream_rest(p.client, note, &readable) == OK);
    pair_close(&p); /* at rest too */
    CHECK(mem_use(TASK_BOARD).used_bytes == board && mem_use(TASK_METRICS).used_bytes == metrics);
    return OK;
}

static err rests(void *arg)
{
    (void)arg;
    struct pair p;
    pair_open(&p, &server_plain, &client_plain, "etcd.test"); /* the library's own tables */
    pair_close(&p);
    TRY(rest_and_wake(TLS_1_2));
    return rest_and_wake(TLS_ANY);
}

static void rest_gives_back(void **state)
{
    (void)state;
    run(rests);
}

/* --- how it ends --- */

static err ends(void *arg)
{
    uint8_t byte;
    size_t got = 9;
    struct pair p;
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        struct side server = server_plain;
        server.most = i ? TLS_1_2 : TLS_ANY;
        pair_open(&p, &server, &client_plain, "etcd.test"); /* said */
        CHECK(stream_write(p.server, "x", 1, SOON) == OK && stream_end(p.server, SOON) == OK);
        CHECK(stream_read(p.client, &byte, 1, SOON, &got) == OK && got == 1 && byte == 'x');
        CHECK(stream_read(p.client, &byte, 1, SOON, &got) == OK && got == 0);
        CHECK(stream_read(p.client, &byte, 1, SOON, &got) == OK && got == 0);
        CHECK(stream_write(p.server, "y", 1, SOON) == E_CLOSED);
        CHECK(stream_write(p.client, "z", 1, SOON) == OK); /* the other way still goes */
        CHECK(stream_read(p.server, &byte, 1, SOON, &got) == OK && got == 1 && byte == 'z');
        pair_close(&p);
        pair_open(&p, &server, &client_plain, "etcd.test"); /* vanished */
        CHECK(stream_write(p.server, "x", 1, SOON) == OK);
        CHECK(stream_end(pipe_stream(&p.pipe, 1), SOON) == OK);
        CHECK(stream_read(p.client, &byte, 1, SOON, &got) == OK && got == 1);
        CHECK(stream_read(p.client, &byte, 1, SOON, &got) == E_CLOSED && got == 0);
        pair_close(&p);
        pair_open(&p, &server, &client_plain, "etcd.test"); /* a bit flipped on the way */
        p.pipe.end[0].flip_at = p.pipe.end[0].carried + 9;
        CHECK(stream_write(p.server, "x", 1, SOON) == OK);
        CHECK(stream_read(p.client, &byte, 1, SOON, &got) == E_TLS && got == 0);
        CHECK(stream_read(p.client, &byte, 1, SOON, &got) == E_TLS);
        pair_close(&p);
    }
    return OK;
}

static void ends_are_told_apart(void **state)
{
    (void)state;
    run(ends);
}

/* --- much, both ways at once --- */

struct bulk {
    struct stream *stream;
    unsigned seed;
    err result;
};

static err bulk_write(void *arg)
{
    struct bulk *b = arg;
    uint8_t piece[20000]; /* more than a record */
    for (size_t done = 0; done < BULK && b->result == OK;) {
        size_t n = size_min(sizeof piece, BULK - done);
        for (size_t i = 0; i < n; i++)
            piece[i] = (uint8_t)((done + i) * 7 + b->seed);
        b->result = stream_write(b->stream, piece, n, SOON);
        done += n;
    }
    return OK;
}

static err bulk_read(void *arg)
{
    struct bulk *b = arg;
    uint8_t piece[5000];
    size_t got = 1, done = 0;
    while (done < BULK && b->result == OK && got > 0) {
        b->result = stream_read(b->stream, piece, sizeof piece, SOON, &got);
        for (size_t i = 0; i < got; i++, done++)
            if (piece[i] != (uint8_t)(done * 7 + b->seed))
                b->result = E_CORRUPT;
    }
    return OK;
}

static err bulks(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        struct side server = server_plain;
        struct pair p;
        server.most = i ? TLS_1_2 : TLS_ANY;
        pair_open(&p, &server, &client_plain, "etcd.test");
        struct bulk b[4] = {{p.client, 1, OK}, {p.server, 1, OK}, {p.server, 2, OK}, {p.client, 2, OK}};
        for (unsigned k = 0; k < 4; k++)
            CHECK(group_spawn(&p.group, "bulk", k % 2 ? bulk_read : bulk_write, &b[k]) == OK);
        CHECK(group_join(&p.group, SOON) == OK);
        for (unsigned k = 0; k < 4; k++)
            CHECK(b[k].result == OK);
        CHECK(p.pipe.end[0].carried > BULK && p.pipe.end[1].carried > BULK);
        pair_close(&p);
    }
    return OK;
}

static void a_megabyte_each_way_at_once(void **state)
{
    (void)state;
    run(bulks);
}

/* --- closed, canceled, late --- */

static err read_forever(void *arg)
{
    struct bulk *b = arg;
    uint8_t piece[16];
    size_t got = 0;
    b->result = stream_read(b->stream, piece, sizeof piece, FOREVER, &got);
    return OK;
}

static err closes(void *arg)
{
    (void)arg;
    struct pair p;
    pair_open(&p, &server_plain, &client_plain, "etcd.test");
    struct bulk reader = {p.client, 1, OK}, writer = {p.client, 1, OK}; /* nobody reads: the writer stands in the pipe */
    CHECK(group_spawn(&p.group, "reader", read_forever, &reader) == OK);
    CHECK(group_spawn(&p.group, "writer", bulk_write, &writer) == OK);
    CHECK(fiber_sleep(loop_now() + 20) == OK);
    stream_close(p.client);
    p.client = NULL;
    CHECK(group_join(&p.group, SOON) == OK && reader.result == E_CLOSED && writer.result == E_CLOSED);
    pair_close(&p);
    return OK;
}

static void a_close_wakes_who_waits(void **state)
{
    (void)state;
    run(closes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rest_gives_back),
        cmocka_unit_test(ends_are_told_apart),
        cmocka_unit_test(a_megabyte_each_way_at_once),
        cmocka_unit_test(a_close_wakes_who_waits),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
