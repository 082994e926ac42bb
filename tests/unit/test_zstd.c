#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/format/zstd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WHOLE_MAX MIB(3)
static uint8_t content[WHOLE_MAX], packed[WHOLE_MAX + KIB(64)], unpacked[WHOLE_MAX];

/* Objects as etcd holds them: names that repeat, numbers that do not. */
static void content_make(void)
{
    unsigned seed = 1;
    for (size_t at = 0; at < sizeof content;) {
        char line[256];
        seed = seed * 1103515245u + 12345u;
        int n = snprintf(
            line, sizeof line,
            "/registry/pods/ns-%u/web-%08x {\"kind\":\"Pod\",\"metadata\":{\"uid\":\"%08x-%08x\",\"labels\":{\"app\":\"web\"}},"
            "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.%u.%u.%u\"}}\n",
            seed >> 28, seed, seed ^ 0x5a5a5a5au, seed * 31u, seed >> 8 & 3, seed >> 16 & 255, seed >> 24);
        size_t len = size_min((size_t)n, sizeof content - at);
        memcpy(content + at, line, len);
        at += len;
    }
}

typedef err step(void *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done);

static err step_encode(void *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return zstd_encode(z, in, out, cap, made, end, done);
}

static err step_decode(void *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return zstd_decode(z, in, out, cap, made, end, done);
}

/* Hands `from` over in spans of in_step, takes spans of out_step. */
static err drive(step *call, void *z, struct bytes from, size_t in_step, size_t out_step, uint8_t *out, size_t cap, size_t *total)
{
    bool done = false;
    *total = 0;
    for (size_t at = 0; !done;) {
        struct bytes in = {from.at + at, size_min(in_step, from.len - at)};
        size_t made = 0, given = in.len, room = size_min(out_step, cap - *total);
        err e = call(z, &in, out + *total, room, &made, at + given == from.len, &done);
        if (e != OK)
            return e;
        assert_true(made <= room && in.len <= given && in.at + in.len == from.at + at + given);
        assert_true(done || made > 0 || in.len < given || given == 0);
        *total += made;
        at += given - in.len;
        assert_true(done || *total < cap);
    }
    return OK;
}

static size_t pack(int level, unsigned window_log, size_t len, size_t in_step, size_t out_step)
{
    struct zstd_encoder *z = NULL;
    size_t total = 0, made = 1;
    bool done = false;
    struct bytes none = {NULL, 0};
    assert_int_equal(zstd_encoder_open(level, window_log, &z), OK);
    assert_int_equal(drive(step_encode, z, (struct bytes){content, len}, in_step, out_step, packed, sizeof packed, &total), OK);
    assert_int_equal(zstd_encode(z, &none, packed + total, sizeof packed - total, &made, true, &done),
                     OK); /* nothing more comes */
    assert_true(done && made == 0);
    zstd_encoder_close(z);
    return total;
}

static err unpack_span(struct bytes from, unsigned window_log_max, size_t in_step, size_t out_step, size_t *total)
{
    struct zstd_decoder *z = NULL;
    assert_int_equal(zstd_decoder_open(window_log_max, &z), OK);
    assert_true(zstd_decoder_is_between_frames(z));
    err e = drive(step_decode, z, from, in_step, out_step, unpacked, sizeof unpacked, total);
    assert_true(e != OK || zstd_decoder_is_between_frames(z));
    zstd_decoder_close(z);
    trail_clear();
    return e;
}

static void returns(size_t packed_len, size_t len, unsigned window_log, size_t in_step, size_t out_step)
{
    size_t total = 0;
    assert_int_equal(unpack_span((struct bytes){packed, packed_len}, window_log, in_step, out_step, &total), OK);
    assert_int_equal(total, len);
    assert_memory_equal(unpacked, content, len);
}

static void all_lengths_and_steps_return(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 2, 1000, KIB(128) - 1, KIB(128), KIB(128) + 1, 700001};
    static const size_t steps[][2] = {{1, 3}, {7, 65536}, {65536, 7}, {4096, 4096}, {KIB(256), KIB(256)}};
    for (size_t l = 0; l < COUNT_OF(lengths); l++) {
        for (size_t s = 0; s < COUNT_OF(steps); s++) {
            if (lengths[l] > 1000 && size_min(steps[s][0], steps[s][1]) < 16)
                continue; /* takes long, shows nothing new */
            for (int level = ZSTD_LEVEL_MIN; level <= ZSTD_LEVEL_MAX; level++)
                returns(pack(level, 17, lengths[l], steps[s][0], steps[s][1]), lengths[l], 17, steps[s][1], steps[s][0]);
        }
    }
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What the profiles count on: level 1 with 512 KiB, level 3 with 1 MiB. The block is all there is. */
static void memory_is_known_and_bounded(void **state)
{
    (void)state;
    static const struct {
        int level;
        unsigned window_log;
        size_t bytes_max;
    } cases[] = {{1, 19, KIB(2252)}, {2, 19, KIB(2252)}, {1, 20, MIB(2)}, {3, 20, MIB(4)}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t used = mem_use(mem_task()).used_bytes, bytes = zstd_encoder_bytes(cases[i].level, cases[i].window_log);
        assert_true(bytes <= cases[i].bytes_max);
        mem_peak_reset(mem_task());
        double start = seconds();
        size_t total = pack(cases[i].level, cases[i].window_log, sizeof content, KIB(256), KIB(256));
        double middle = seconds();
        assert_true(mem_use(mem_task()).peak_bytes - used < bytes + KIB(8));
        assert_int_equal(mem_use(mem_task()).used_bytes, used);
        returns(total, sizeof content, cases[i].window_log, KIB(256), KIB(256));
        printf("zstd -%d, window %u KiB: %zu KiB to compress, %zu KiB to decompress; to %zu of 1000; %.0f and %.0f MB/s\n",
               cases[i].level, 1u << (cases[i].window_log - 10), bytes / 1024, zstd_decoder_bytes(cases[i].window_log) / 1024,
               total * 1000 / sizeof content, (double)sizeof content / 1e6 / (middle - start),
               (double)sizeof content / 1e6 / (seconds() - middle));
    }
}

/* RFC 8878, 3.1.1: magic, descriptor, window (log - 10 in the upper five bits), then blocks: size << 3 | type << 1 | last. */
#define MAGIC "\x28\xb5\x2f\xfd"
#define FRAME_A                                                                                                                  \
    MAGIC "\x00\x00\x09\x00\x00"                                                                                                 \
          "a" /* window 1 KiB, one raw block */
#define FRAME_RLE                                                                                                                \
    MAGIC "\x00\x00\x23\x00\x00"                                                                                                 \
          "x"                                   /* one RLE block of four */
#define FRAME_NONE MAGIC "\x00\x00\x01\x00\x00" /* one empty raw block */
#define SKIPPABLE                                                                                                                \
    "\x50\x2a\x4d\x18\x03\x00\x00\x00"                                                                                           \
    "abc"
#define SPAN(text)                                                                                                               \
    {                                                                                                                            \
        (const uint8_t *)(text), sizeof(text) - 1                                                                                \
    }
static const struct {
    const char *name;
    struct bytes in;
    const char *want; /* NULL: refused with */
    err refused;
} frames[] = {
    {"raw block", SPAN(FRAME_A), "a", OK},
    {"rle block", SPAN(FRAME_RLE), "xxxx", OK},
    {"empty content", SPAN(FRAME_NONE), "", OK},
    {"two frames", SPAN(FRAME_A FRAME_RLE), "axxxx", OK},
    {"empty frame between", SPAN(FRAME_A FRAME_NONE FRAME_A), "aa", OK},
    {"skippable first", SPAN(SKIPPABLE FRAME_A), "a", OK},
    {"skippable last", SPAN(FRAME_A SKIPPABLE), "a", OK},
    {"skippable only", SPAN(SKIPPABLE), "", OK},
    {"single segment",
     SPAN(MAGIC "\x20\x01\x09\x00\x00"
                "a"),
     "a", OK},
    {"right checksum",
     SPAN(MAGIC "\x24\x00\x01\x00\x00"
                "\x99\xe9\xd8\x51"),
     "", OK},
    {"wrong checksum",
     SPAN(MAGIC "\x24\x00\x01\x00\x00"
                "\x98\xe9\xd8\x51"),
     NULL, E_CORRUPT},
    {"window of 2 MiB",
     SPAN(MAGIC "\x00\x58\x09\x00\x00"
                "a"),
     NULL, E_RANGE},
    {"window of 128 MiB",
     SPAN(MAGIC "\x00\x88\x09\x00\x00"
                "a"),
     NULL, E_RANGE},
    {"window of 1 MiB + 128 KiB",
     SPAN(MAGIC "\x00\x51\x09\x00\x00"
                "a"),
     NULL, E_RANGE},
    {"window of 1 MiB",
     SPAN(MAGIC "\x00\x50\x09\x00\x00"
                "a"),
     "a", OK},
    {"dictionary",
     SPAN(MAGIC "\x01\x00\x07\x09\x00\x00"
                "a"),
     NULL, E_UNSUPPORTED},
    {"nothing", SPAN(""), NULL, E_CORRUPT},
    {"magic only", SPAN(MAGIC), NULL, E_CORRUPT},
    {"no last block",
     SPAN(MAGIC "\x00\x00\x08\x00\x00"
                "a"),
     NULL, E_CORRUPT},
    {"cut in a block",
     SPAN(MAGIC "\x00\x00\x11\x00\x00"
                "a"),
     NULL, E_CORRUPT},
    {"cut in the second frame", SPAN(FRAME_A MAGIC "\x00"), NULL, E_CORRUPT},
    {"cut in a skippable frame",
     SPAN(FRAME_A "\x50\x2a\x4d\x18\x04\x00\x00\x00"
                  "abc"),
     NULL, E_CORRUPT},
    {"other magic", SPAN("\x1f\x8b\x08\x00\x00\x00\x00\x00"), NULL, E_CORRUPT},
    {"garbage after", SPAN(FRAME_A "garbage"), NULL, E_CORRUPT},
    {"reserved block type",
     SPAN(MAGIC "\x00\x00\x0f\x00\x00"
                "a"),
     NULL, E_CORRUPT},
    {"reserved descriptor bit",
     SPAN(MAGIC "\x08\x00\x09\x00\x00"
                "a"),
     NULL, E_UNSUPPORTED},
    {"block larger than the window",
     SPAN(MAGIC "\x00\x00\x0b\x20\x00"
                "a"),
     NULL, E_CORRUPT},
    {"content shorter than told", SPAN(MAGIC "\x20\x01\x01\x00\x00"), NULL, E_CORRUPT},
    {"content longer than told",
     SPAN(MAGIC "\x20\x01\x13\x00\x00"
                "a"),
     NULL, E_CORRUPT},
};

static void frames_mean_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(frames); i++) {
        for (size_t in_step = 1; in_step <= 64; in_step *= 4) {
            size_t total = 0;
            err e = unpack_span(frames[i].in, 20, in_step, 64, &total);
            bool same = e == frames[i].refused;
            if (same && e == OK)
                same = bytes_equal_text((struct bytes){unpacked, total}, frames[i].want);
            if (!same)
                fail_msg("%s, %zu at a time: %s, %zu bytes", frames[i].name, in_step, err_name(e), total);
        }
    }
}

static void the_window_is_told(void **state)
{
    (void)state;
    struct zstd_decoder *z = NULL;
    struct bytes in = SPAN(MAGIC "\x00\x58\x09\x00\x00"
                                 "a");
    char text[256];
    size_t total = 0;
    trail_clear();
    assert_int_equal(zstd_decoder_open(20, &z), OK);
    assert_int_equal(drive(step_decode, z, in, 1, 16, unpacked, sizeof unpacked, &total), E_RANGE);
    zstd_decoder_close(z);
    assert_non_null(strstr(trail_text(E_RANGE, text, sizeof text), "a window of 2048 KiB is wanted, 1024 KiB is the most here"));
    trail_clear();
}

/* Any one bit: never other content without an error (a checksum's collision aside), never more than was there. */
static void flipped_bits_are_told(void **state)
{
    (void)state;
    size_t len = 5000, packed_len = pack(1, 17, len, KIB(64), KIB(64));
    for (size_t bit = 0; bit < packed_len * 8; bit += 11) {
        size_t total = 0;
        packed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        err e = unpack_span((struct bytes){packed, packed_len}, 17, KIB(64), KIB(64), &total);
        packed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        bool harmless = e == OK && total == len && memcmp(unpacked, content, len) == 0; /* an unused bit, another window */
        if (!harmless && e != E_CORRUPT && e != E_RANGE && e != E_UNSUPPORTED)
            fail_msg("bit %zu: %s", bit, err_name(e));
    }
    for (size_t cut = 0; cut < packed_len; cut += 3) {
        size_t total = 0;
        assert_int_equal(unpack_span((struct bytes){packed, cut}, 17, KIB(64), KIB(64), &total), E_CORRUPT);
    }
}

static void a_spent_budget_is_told(void **state)
{
    (void)state;
    struct zstd_encoder *e = NULL;
    struct zstd_decoder *d = NULL;
    enum task before = mem_task();
    size_t used = mem_use(TASK_CONTROL).used_bytes;
    mem_set_task(TASK_CONTROL); /* 512 KiB of it */
    err encoder = zstd_encoder_open(1, 19, &e), decoder = zstd_decoder_open(20, &d);
    mem_set_task(before);
    assert_true(encoder == E_BUDGET && e == NULL);
    assert_true(decoder == E_BUDGET && d == NULL);
    assert_int_equal(mem_use(TASK_CONTROL).used_bytes, used);
    zstd_encoder_close(NULL);
    zstd_decoder_close(NULL);
    trail_clear();
}

static int boot(void **state)
{
    (void)state;
    content_make();
    err e = mem_boot(profile_find("hub32"), MEM_LAZY);
    mem_set_task(TASK_BACKUP);
    return e == OK ? 0 : 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_lengths_and_steps_return), cmocka_unit_test(memory_is_known_and_bounded),
        cmocka_unit_test(frames_mean_what_they_say),    cmocka_unit_test(the_window_is_told),
        cmocka_unit_test(flipped_bits_are_told),        cmocka_unit_test(a_spent_budget_is_told),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
