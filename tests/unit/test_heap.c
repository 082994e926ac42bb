#include "board/rt/heap.h"
#include "tests/unit/child.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#define SLICE_BYTES KIB(256)
static uint8_t slice[SLICE_BYTES] __attribute__((aligned(16)));
static struct heap heap;
static const enum heap_mode modes[] = {HEAP_PLAIN, HEAP_CHECKED};

static void open_heap(enum heap_mode mode)
{
    memset(slice, mode == HEAP_CHECKED ? 0 : 0xA5, sizeof slice);
    heap_open(&heap, "backup", slice, sizeof slice, mode);
}

static void expect_empty(void)
{
    assert_int_equal(heap_verify(&heap), 1);
    assert_int_equal(heap_use(&heap).used_bytes, 0);
}

/* --- single blocks --- */

static const size_t sizes[] = {0, 1, 15, 16, 17, 23, 24, 25, 31, 32, 33, 40, 100, 503, 504, 505, 1000, 4096, 50000};
static const size_t alignments[] = {1, 8, 16, 32, 64, 256, 4096, 65536};

static void blocks_are_aligned_and_hold_what_was_asked(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT_OF(modes); m++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            for (size_t k = 0; k < COUNT_OF(alignments); k++) {
                open_heap(modes[m]);
                uint8_t *a = heap_alloc(&heap, sizes[i]), *b = heap_alloc_aligned(&heap, alignments[k], sizes[i]);
                assert_true(a != NULL && b != NULL);
                assert_true((uintptr_t)a % HEAP_ALIGN == 0 && (uintptr_t)b % size_max(alignments[k], HEAP_ALIGN) == 0);
                assert_true(heap_block_bytes(&heap, a) >= sizes[i] && heap_block_bytes(&heap, b) >= sizes[i]);
                memset(a, 1, sizes[i]);
                memset(b, 2, sizes[i]);
                (void)heap_verify(&heap);
                heap_free(&heap, a);
                heap_free(&heap, b);
                expect_empty();
            }
}

static void a_block_costs_eight_bytes(void **state)
{
    (void)state;
    open_heap(HEAP_PLAIN);
    for (size_t bytes = 24; bytes < 2000; bytes += 16) { /* 24, 40, 56: with 8 bytes more, multiples of 16 */
        size_t before = heap_use(&heap).used_bytes;
        assert_non_null(heap_alloc(&heap, bytes));
        assert_int_equal(heap_use(&heap).used_bytes - before, bytes + 8);
    }
}

static void what_is_too_large_is_refused_and_counted(void **state)
{
    (void)state;
    static const size_t too_large[] = {SLICE_BYTES, HEAP_BYTES_MAX - 1, HEAP_BYTES_MAX, SIZE_MAX / 2, SIZE_MAX};
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        open_heap(modes[m]);
        void *block = heap_alloc(&heap, 100);
        for (size_t i = 0; i < COUNT_OF(too_large); i++) {
            assert_null(heap_alloc(&heap, too_large[i]));
            assert_null(heap_alloc_aligned(&heap, 64, too_large[i]));
            assert_null(heap_realloc(&heap, block, too_large[i]));
        }
        assert_null(heap_alloc_aligned(&heap, (size_t)1 << 63, 1));
        assert_int_equal(heap_use(&heap).refusals, 3 * COUNT_OF(too_large) + 1);
        heap_free(&heap, block);
        expect_empty();
    }
}

/* A request for all that is left is served, though it is not a whole size class. */
static void the_last_byte_can_be_had(void **state)
{
    (void)state;
    open_heap(HEAP_PLAIN);
    size_t all = SLICE_BYTES - 16 - 8; /* the slice's ends, and the block's head */
    assert_null(heap_alloc(&heap, all + 1));
    void *block = heap_alloc(&heap, all);
    assert_non_null(block);
    assert_null(heap_alloc(&heap, 1));
    heap_free(&heap, block);
    expect_empty();
}

/* --- realloc --- */

static const struct {
    const char *name;
    size_t first, next; /* two blocks; the second is freed before */
    size_t resized;
    bool in_place;
} resizes[] = {
    {"same size", 100, 100, 100, true},
    {"shrinks", 1000, 100, 50, true},
    {"shrinks to nothing", 1000, 100, 0, true},
    {"grows a little", 1000, 1000, 1100, true},
    {"takes all of the neighbour", 1000, 1000, 1900, true},
    {"is larger than both", 1000, 1000, 2500, false},
};

static void realloc_stays_where_it_can(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT_OF(modes); m++)
        for (size_t i = 0; i < COUNT_OF(resizes); i++) {
            open_heap(modes[m]);
            uint8_t *first = heap_alloc(&heap, resizes[i].first);
            void *next = heap_alloc(&heap, resizes[i].next);
            void *wall = heap_alloc(&heap, 1);
            for (size_t n = 0; n < resizes[i].first; n++)
                first[n] = (uint8_t)n;
            heap_free(&heap, next);
            uint8_t *moved = heap_realloc(&heap, first, resizes[i].resized);
            assert_non_null(moved);
            if ((moved == first) != resizes[i].in_place)
                fail_msg("%s, mode %zu", resizes[i].name, m);
            for (size_t n = 0; n < size_min(resizes[i].first, resizes[i].resized); n++)
                assert_int_equal(moved[n], (uint8_t)n);
            (void)heap_verify(&heap);
            heap_free(&heap, moved);
            heap_free(&heap, wall);
            expect_empty();
        }
}

static void a_refused_realloc_changes_nothing(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        open_heap(modes[m]);
        char *block = heap_alloc(&heap, 100);
        strcpy(block, "still here");
        size_t used = heap_use(&heap).used_bytes;
        assert_null(heap_realloc(&heap, block, SLICE_BYTES));
        assert_string_equal(block, "still here");
        assert_int_equal(heap_use(&heap).used_bytes, used);
        (void)heap_verify(&heap);
    }
}

/* --- fragmentation --- */

static size_t fill(void *blocks[], size_t cap, size_t bytes)
{
    size_t count = 0;
    while (count < cap && (blocks[count] = heap_alloc(&heap, bytes)) != NULL)
        count++;
    return count;
}

/* A secret that is freed or moved leaves no copy. */
static void what_is_freed_is_wiped(void **state)
{
    (void)state;
    static const uint8_t secret[] = "a secret of twenty-four.";
    open_heap(HEAP_PLAIN);
    mem_wipe_freed(true);
    uint8_t *a = heap_alloc(&heap, 64), *between = heap_alloc(&heap, 64);
    assert_true(a && between);
    memcpy(a + 32, secret, sizeof secret);
    a = heap_realloc(&heap, a, 500); /* it moves */
    assert_non_null(a);
    heap_free(&heap, a);
    heap_free(&heap, between);
    mem_wipe_freed(false);
    assert_null(memmem(slice, sizeof slice, secret, sizeof secret - 1));
    expect_empty();
}

static void fragments_join_again(void **state)
{
    (void)state;
    static void *blocks[SLICE_BYTES / 64];
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        open_heap(modes[m]);
        size_t count = fill(blocks, COUNT_OF(blocks), 56);
        assert_true(count >= SLICE_BYTES / (modes[m] == HEAP_PLAIN ? 64 : 96) - 1);
        for (size_t i = 0; i < count; i += 2)
            heap_free(&heap, blocks[i]);
        assert_null(heap_alloc(&heap, 200)); /* half is free, no piece is large enough */
        for (size_t i = 0; i < count; i += 2)
            assert_non_null(blocks[i] = heap_alloc(&heap, 56)); /* but each is used again */
        for (size_t i = 0; i < count; i += 2)
            heap_free(&heap, blocks[i]);
        for (size_t i = 1; i < count; i += 2)
            heap_free(&heap, blocks[i]);
        expect_empty();
        assert_non_null(heap_alloc(&heap, SLICE_BYTES - 16 - 8 - 32));
    }
}

/* --- a long random run against a model --- */

#define MODEL_BLOCKS 200
static struct {
    uint8_t *at;
    size_t bytes;
    uint8_t fill;
} model[MODEL_BLOCKS];

static void model_check(size_t i)
{
    for (size_t n = 0; n < model[i].bytes; n++)
        if (model[i].at[n] != model[i].fill)
            fail_msg("byte %zu of block %zu changed", n, i);
}

static void model_set(size_t i, uint8_t *at, size_t bytes, uint8_t fill_byte)
{
    model[i].at = at;
    model[i].bytes = bytes;
    model[i].fill = fill_byte;
    memset(at, fill_byte, bytes);
}

static size_t random_bytes(unsigned short seed[3])
{
    return (size_t)nrand48(seed) % ((size_t)16 << (nrand48(seed) % 12)); /* small ones are as likely as large ones */
}

static void model_step(unsigned short seed[3])
{
    size_t i = (size_t)nrand48(seed) % MODEL_BLOCKS, bytes = random_bytes(seed);
    uint8_t fill_byte = (uint8_t)nrand48(seed);
    if (model[i].at == NULL) {
        size_t alignment = nrand48(seed) % 4 == 0 ? (size_t)16 << (nrand48(seed) % 6) : 16;
        uint8_t *at = heap_alloc_aligned(&heap, alignment, bytes);
        if (at != NULL) {
            assert_true((uintptr_t)at % alignment == 0);
            model_set(i, at, bytes, fill_byte);
        }
    } else if (nrand48(seed) % 3 == 0) {
        model_check(i);
        uint8_t *moved = heap_realloc(&heap, model[i].at, bytes);
        if (moved != NULL) {
            model[i].at = moved;
            model[i].bytes = size_min(model[i].bytes, bytes);
            model_check(i);
            model_set(i, moved, bytes, fill_byte);
        }
    } else {
        model_check(i);
        heap_free(&heap, model[i].at);
        model[i].at = NULL;
    }
}

static void a_random_run_keeps_every_byte(void **state)
{
    (void)state;
    const char *given = getenv("HEAP_SEED");
    unsigned long start = given != NULL ? strtoul(given, NULL, 10) : 20261121;
    print_message("HEAP_SEED=%lu\n", start);
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        unsigned short seed[3] = {(unsigned short)start, (unsigned short)(start >> 16), (unsigned short)m};
        open_heap(modes[m]);
        memset(model, 0, sizeof model);
        for (int step = 0; step < 20000; step++) {
            model_step(seed);
            if (step % 512 == 0)
                (void)heap_verify(&heap);
        }
        assert_true(heap_use(&heap).refusals > 0 && heap_use(&heap).peak_bytes <= SLICE_BYTES);
        for (size_t i = 0; i < MODEL_BLOCKS; i++)
            if (model[i].at != NULL) {
                model_check(i);
                heap_free(&heap, model[i].at);
            }
        expect_empty();
    }
}

/* --- threads --- */

#define THREADS      4
#define THREAD_STEPS 4000
static _Atomic(uint8_t *) handed_over[64]; /* blocks are freed by whoever finds them */

static void *thread_run(void *number)
{
    unsigned short seed[3] = {7, 7, (unsigned short)(uintptr_t)number};
    for (int i = 0; i < THREAD_STEPS; i++) {
        size_t bytes = 16 + random_bytes(seed) / 8;
        uint8_t *block = heap_alloc(&heap, bytes);
        if (block != NULL)
            memset(block, (int)(uintptr_t)number, bytes);
        uint8_t *other = atomic_exchange(&handed_over[(size_t)nrand48(seed) % COUNT_OF(handed_over)], block);
        if (other != NULL)
            heap_free(&heap, other);
    }
    return NULL;
}

static void threads_share_a_heap(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        pthread_t threads[THREADS];
        open_heap(modes[m]);
        for (uintptr_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, thread_run, (void *)i), 0);
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        (void)heap_verify(&heap);
        for (size_t i = 0; i < COUNT_OF(handed_over); i++) {
            uint8_t *block = atomic_exchange(&handed_over[i], NULL);
            if (block != NULL)
                heap_free(&heap, block);
        }
        expect_empty();
    }
}

/* --- what damages a heap ends the process --- */

static void (*damage)(uint8_t *a, uint8_t *b);
static enum heap_mode damaged_mode;

static void do_damage(void)
{
    open_heap(damaged_mode);
    uint8_t *before = heap_alloc(&heap, 100), *a = heap_alloc(&heap, 100), *b = heap_alloc(&heap, 100);
    ASSERT(before != NULL && heap_alloc(&heap, 100) != NULL);
    damage(a, b);
}

static void free_twice(uint8_t *a, uint8_t *b)
{
    (void)b;
    heap_free(&heap, a);
    heap_free(&heap, a);
}

static void free_twice_after_joining(uint8_t *a, uint8_t *b)
{
    heap_free(&heap, a);
    heap_free(&heap, b);
    heap_free(&heap, b);
}

static void free_what_is_foreign(uint8_t *a, uint8_t *b)
{
    static uint64_t foreign[16];
    (void)a;
    (void)b;
    heap_free(&heap, foreign + 2);
}

static void free_inside(uint8_t *a, uint8_t *b)
{
    (void)b;
    heap_free(&heap, a + 8);
}

static void free_further_inside(uint8_t *a, uint8_t *b)
{
    (void)b;
    memset(a, 0, 100);
    heap_free(&heap, a + 32);
}

static void write_behind(uint8_t *a, uint8_t *b)
{
    (void)b;
    a[100] = 0;
    heap_free(&heap, a);
}

static void write_behind_then_resize(uint8_t *a, uint8_t *b)
{
    (void)b;
    a[100] = 0;
    (void)!heap_realloc(&heap, a, 50);
}

static void write_before(uint8_t *a, uint8_t *b)
{
    (void)a;
    b[-1] = 0;
    heap_free(&heap, b);
}

static void write_after_free(uint8_t *a, uint8_t *b)
{
    (void)b;
    heap_free(&heap, a);
    a[60] = 0;
    (void)!heap_alloc(&heap, 100);
}

static void write_where_nothing_was_given(uint8_t *a, uint8_t *b)
{
    (void)a;
    b[50000] = 1;
    (void)!heap_alloc(&heap, 100000);
}

static void resize_what_is_freed(uint8_t *a, uint8_t *b)
{
    (void)b;
    heap_free(&heap, a);
    (void)!heap_realloc(&heap, a, 200);
}

static const struct {
    const char *name;
    void (*damage)(uint8_t *, uint8_t *);
    bool plain; /* found without red zones, too */
    const char *said;
} damages[] = {
    {"freed twice", free_twice, true, "freed twice"},
    {"freed twice, joined", free_twice_after_joining, true, "freed twice"},
    {"foreign", free_what_is_foreign, true, "not a block of this heap"},
    {"not aligned", free_inside, true, "not a block of this heap"},
    {"inside a block", free_further_inside, true, "freed twice, or the bytes before it were overwritten"},
    {"resized after free", resize_what_is_freed, true, "freed twice"},
    {"written behind", write_behind, false, "the bytes after it were overwritten"},
    {"written behind, resized", write_behind_then_resize, false, "the bytes after it were overwritten"},
    {"written before", write_before, false, "the bytes before it were overwritten"},
    {"written after free", write_after_free, false, "written after it was freed"},
    {"written before it is given", write_where_nothing_was_given, false, "written before it was given"},
};

static void damage_ends_the_process(void **state)
{
    (void)state;
    char said[CHILD_TEXT_MAX];
    for (size_t i = 0; i < COUNT_OF(damages); i++)
        for (size_t m = 0; m < COUNT_OF(modes); m++) {
            damage = damages[i].damage;
            damaged_mode = modes[m];
            if (damaged_mode == HEAP_PLAIN && !damages[i].plain)
                continue;
            int ended = child_run(do_damage, said);
            if (ended != 1000 + SIGABRT || strstr(said, damages[i].said) == NULL || strstr(said, "heap of task backup:") == NULL)
                fail_msg("%s, mode %zu: ended %d, said %s", damages[i].name, m, ended, said);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_hold_what_was_asked),
        cmocka_unit_test(a_block_costs_eight_bytes),
        cmocka_unit_test(what_is_too_large_is_refused_and_counted),
        cmocka_unit_test(the_last_byte_can_be_had),
        cmocka_unit_test(realloc_stays_where_it_can),
        cmocka_unit_test(a_refused_realloc_changes_nothing),
        cmocka_unit_test(what_is_freed_is_wiped),
        cmocka_unit_test(fragments_join_again),
        cmocka_unit_test(a_random_run_keeps_every_byte),
        cmocka_unit_test(threads_share_a_heap),
        cmocka_unit_test(damage_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
