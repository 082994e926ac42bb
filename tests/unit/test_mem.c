#include "board/rt/mem.h"
#include "tests/unit/child.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/support/skip.h"
#include <cmocka.h>

/* mem_boot() happens once in a process, so every test here runs in a child of its own; what it asserts ends the child. */

#ifndef HOLDFAST_HOST_LIBC
enum { OWNED = 1, COUNTED = 1 }; /* malloc is ours */
#elif defined(__SANITIZE_ADDRESS__) && defined(__GNUC__) && !defined(__clang__)
enum { OWNED = 0, COUNTED = 1 }; /* the sanitizer's, counted by ours */
#else
enum { OWNED = 0, COUNTED = 0 }; /* the host's */
#endif

#if defined(HOLDFAST_CHECKED) || defined(__SANITIZE_ADDRESS__)
enum { CHECKED = 1 };
#else
enum { CHECKED = 0 };
#endif

static void expect_good(void (*run)(void))
{
    char said[CHILD_TEXT_MAX];
    int ended = child_run(run, said);
    if (ended != 0)
        fail_msg("ended %d: %s", ended, said);
}

static void expect_end(void (*run)(void), int signal_number, const char *words)
{
    char said[CHILD_TEXT_MAX];
    int ended = child_run(run, said);
    if (ended == 0 || (signal_number != 0 && ended != 1000 + signal_number) || strstr(said, words) == NULL)
        fail_msg("ended %d: %s", ended, said);
}

static void boot(const struct profile *p)
{
    ASSERT(mem_boot(p, MEM_LAZY) == OK);
}

/* Takes blocks of the running task until it is refused; returns how many bytes. They hang together in *chain. */
static size_t spend(size_t each, void ***chain)
{
    size_t sum = 0;
    void **block;
    while ((block = malloc(each)) != NULL) {
        *block = *chain;
        *chain = block;
        sum += each;
    }
    return sum;
}

static void give_back(void ***chain)
{
    while (*chain != NULL) {
        void **next = **chain;
        free(*chain);
        *chain = next;
    }
}

/* --- budgets --- */

static void spend_one_task(void)
{
    void **chain = NULL;
    boot(&profile_edge16);
    mem_set_task(TASK_METRICS);
    size_t had = spend(1000, &chain);
    struct mem_use use = mem_use(TASK_METRICS);
    ASSERT(use.limit_bytes == profile_edge16.task[TASK_METRICS].heap_bytes);
    ASSERT(had > use.limit_bytes * 9 / 10 && had <= use.limit_bytes);
    ASSERT(use.refusals == 1 && use.peak_bytes <= use.limit_bytes && use.used_bytes >= had);
    mem_set_task(TASK_BACKUP);
    void *other = malloc(MIB(3)); /* nobody else feels it */
    ASSERT(other != NULL && mem_use(TASK_BACKUP).refusals == 0);
    give_back(&chain); /* METRICS gets it back, though BACKUP runs */
    ASSERT(mem_use(TASK_METRICS).used_bytes == 0 && mem_use(TASK_BACKUP).used_bytes >= MIB(3));
    ASSERT(mem_use(TASK_METRICS).peak_bytes == use.peak_bytes);
    mem_peak_reset(TASK_METRICS);
    ASSERT(mem_use(TASK_METRICS).peak_bytes == 0);
    free(other);
    ASSERT(mem_use(TASK_BACKUP).used_bytes == 0);
}

static void a_spent_task_harms_no_other(void **state)
{
    (void)state;
    if (!COUNTED)
        SKIP_BECAUSE("malloc is not ours in this build, so it is not counted");
    expect_good(spend_one_task);
}

static void realloc_across_tasks(void)
{
    boot(&profile_edge16);
    mem_set_task(TASK_METRICS);
    char *block = malloc(100);
    ASSERT(block != NULL);
    strcpy(block, "kept");
    mem_set_task(TASK_BACKUP);
    block = realloc(block, KIB(500));
    ASSERT(block != NULL && strcmp(block, "kept") == 0);
    ASSERT(mem_use(TASK_METRICS).used_bytes >= KIB(500) && mem_use(TASK_BACKUP).used_bytes == 0);
    ASSERT(realloc(block, MIB(2)) == NULL && errno == ENOMEM); /* BACKUP could pay, METRICS cannot */
    ASSERT(strcmp(block, "kept") == 0 && mem_use(TASK_METRICS).refusals == 1);
    free(block);
    ASSERT(mem_use(TASK_METRICS).used_bytes == 0);
}

static void a_resized_block_stays_its_tasks(void **state)
{
    (void)state;
    if (!COUNTED)
        SKIP_BECAUSE("malloc is not ours in this build, so it is not counted");
    expect_good(realloc_across_tasks);
}

static void *thread_allocates(void *out)
{
    ASSERT(mem_task() == TASK_BOARD);
    mem_set_task(TASK_BACKUP);
    *(void **)out = malloc(KIB(64));
    return NULL;
}

static void charge_from_a_thread(void)
{
    pthread_t thread;
    void *block = NULL;
    boot(&profile_hub32);
    mem_set_task(TASK_METRICS);
    ASSERT(pthread_create(&thread, NULL, thread_allocates, &block) == 0 && pthread_join(thread, NULL) == 0);
    ASSERT(block != NULL && mem_task() == TASK_METRICS);
    ASSERT(!COUNTED || mem_use(TASK_BACKUP).used_bytes >= KIB(64));
    free(block);
    ASSERT(mem_use(TASK_BACKUP).used_bytes == 0);
}

static void a_threads_allocations_are_its_tasks(void **state)
{
    (void)state;
    expect_good(charge_from_a_thread);
}

/* --- before and after boot --- */

static void allocate_before_boot(void)
{
    char *early = malloc(1000), *kept = malloc(1000);
    ASSERT(early != NULL && kept != NULL);
    strcpy(early, "early");
    if (OWNED)
        ASSERT(malloc(KIB(65)) == NULL);
    boot(&profile_edge16);
    early = realloc(early, KIB(100)); /* more than the early slice has: it moves to the running task */
    ASSERT(early != NULL && strcmp(early, "early") == 0);
    ASSERT(!OWNED || mem_use(TASK_BOARD).used_bytes >= KIB(100));
    free(early);
    free(kept);
    ASSERT(mem_use(TASK_BOARD).used_bytes < KIB(4));
}

static void malloc_works_before_boot(void **state)
{
    (void)state;
    expect_good(allocate_before_boot);
}

/* --- the family --- */

static const struct {
    const char *name;
    size_t count, each;
} overflows[] = {
    {"wraps to 0", (size_t)1 << 32, (size_t)1 << 32},
    {"wraps to 16", SIZE_MAX / 16 + 2, 16},
    {"wraps to 1", SIZE_MAX, SIZE_MAX},
    {"one byte less than all", SIZE_MAX / 2, 2},
};

static void use_the_family(void)
{
    boot(&profile_edge16);
    mem_set_task(TASK_BACKUP);
    for (size_t i = 0; COUNTED && i < COUNT_OF(overflows); i++) { /* some sanitizers end us */
        volatile size_t count = overflows[i].count;
        errno = 0;
        ASSERT(calloc(count, overflows[i].each) == NULL && errno == ENOMEM);
        ASSERT(reallocarray(NULL, count, overflows[i].each) == NULL && errno == ENOMEM);
    }
    uint8_t *zeroed = calloc(100, 10);
    ASSERT(zeroed != NULL);
    for (size_t i = 0; i < 1000; i++)
        ASSERT(zeroed[i] == 0);
    memset(zeroed, 0xff, 1000);
    zeroed = reallocarray(zeroed, 200, 10);
    ASSERT(zeroed != NULL && zeroed[999] == 0xff);
    void *aligned = NULL, *page = aligned_alloc(4096, 8192);
    ASSERT(posix_memalign(&aligned, 256, 1000) == 0 && (uintptr_t)aligned % 256 == 0 && (uintptr_t)page % 4096 == 0 &&
           page != NULL);
    volatile size_t odd = 24;
    ASSERT(!OWNED || posix_memalign(&aligned, odd, 8) == EINVAL); /* sanitizers end us */
    ASSERT((uintptr_t)aligned % 256 == 0);
    ASSERT(malloc_usable_size(aligned) >= 1000 && malloc_usable_size(NULL) == 0);
    void *nothing = malloc(0), *also_nothing = malloc(0);
    ASSERT(nothing != NULL && also_nothing != NULL && nothing != also_nothing);
    char *copy = strdup("from the libc"); /* our free() takes what the libc allocated inside */
    ASSERT(copy != NULL && strlen(copy) == 13);
    void *const all[] = {zeroed, aligned, page, nothing, also_nothing, copy, NULL};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        free(all[i]);
    ASSERT(mem_use(TASK_BACKUP).used_bytes == 0);
}

static void the_family_keeps_its_promises(void **state)
{
    (void)state;
    expect_good(use_the_family);
}

static void free_twice(void)
{
    boot(&profile_edge16);
    mem_set_task(TASK_BACKUP);
    void *volatile block = malloc(100);
    free(block);
    free(block);
}

static void write_behind(void)
{
    boot(&profile_edge16);
    mem_set_task(TASK_BACKUP);
    volatile char *volatile block = malloc(100); /* or the compiler sees what we do, and leaves it out */
    block[100] = 'x';
    free((void *)(uintptr_t)block);
}

static void free_a_foreign_one(void)
{
    static char foreign[64] __attribute__((aligned(16)));
    char *volatile inside = foreign + 16;
    boot(&profile_edge16);
    free(inside);
}

static void damage_is_told_with_its_task(void **state)
{
    (void)state;
    if (!COUNTED)
        SKIP_BECAUSE("malloc is not ours in this build, so it is not counted");
    expect_end(free_twice, 0, OWNED ? "heap of task backup: freed twice" : "double-free");
    expect_end(free_a_foreign_one, 0, OWNED ? "not a block of any heap" : "free on address which was not malloc()-ed");
    if (CHECKED)
        expect_end(write_behind, 0, OWNED ? "heap of task backup: the bytes after it were overwritten" : "heap-buffer-overflow");
}

/* --- mem_map --- */

static void map_pieces(void)
{
    boot(&profile_edge16);
    uint8_t *a = mem_map(1), *b = mem_map(KIB(32));
    ASSERT(a != NULL && b != NULL && (uintptr_t)a % KIB(4) == 0 && (uintptr_t)b % KIB(4) == 0);
    ASSERT(b >= a + KIB(8)); /* a page, and the guard of b */
    memset(b, 1, KIB(32));
    ASSERT(mem_map(MIB(16)) == NULL && mem_map(SIZE_MAX - 1) == NULL && mem_map(0) == NULL);
    size_t sum = 0;
    while (mem_map(KIB(64)) != NULL)
        sum += KIB(64);
    ASSERT(sum > KIB(512) && sum < MIB(16));
}

static void write_below_a_piece(void)
{
    boot(&profile_edge16);
    volatile uint8_t *a = mem_map(KIB(4));
    a = mem_map(KIB(4));
    signal(SIGSEGV, SIG_DFL);
    *(a - 1) = 1;
}

static void map_after_seal(void)
{
    boot(&profile_edge16);
    mem_seal();
    mem_seal();
    (void)mem_map(1);
}

static void boot_twice(void)
{
    boot(&profile_edge16);
    boot(&profile_edge16);
}

static void pieces_are_guarded_and_end(void **state)
{
    (void)state;
    expect_good(map_pieces);
    expect_end(write_below_a_piece, SIGSEGV, "");
    expect_end(map_after_seal, SIGABRT, "sealed");
    expect_end(boot_twice, SIGABRT, "assertion failed");
}

/* --- what the kernel counts --- */

static const struct profile *board;

/* False under qemu-user, which neither passes this limit on nor shows us our own /proc. */
static bool limit_data(size_t bytes)
{
    struct rlimit limit = {bytes, bytes}, now;
    return setrlimit(RLIMIT_DATA, &limit) == 0 && getrlimit(RLIMIT_DATA, &now) == 0 && now.rlim_cur == bytes;
}

static size_t status_bytes(const char *key)
{
    char line[256];
    size_t kib = 0;
    FILE *status = fopen("/proc/self/status", "re");
    ASSERT(status != NULL);
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtoul(line + strlen(key), NULL, 10);
    fclose(status);
    return kib * 1024;
}

static size_t map_all(void)
{
    size_t sum = 0;
    for (size_t each = KIB(256); each >= KIB(4); each /= 2)
        while (mem_map(each) != NULL)
            sum += each;
    return sum;
}

static size_t spend_all(void)
{
    size_t sum = 0;
    for (unsigned t = 0; t < TASK_COUNT; t++) {
        void **chain = NULL;
        mem_set_task((enum task)t);
        sum += spend(2000, &chain);
        ASSERT(mem_use((enum task)t).refusals == 1);
    }
    return sum;
}

/* Static data is part of what is touched at boot; nothing here has written to it before. */
static uint8_t untouched[KIB(64)] __attribute__((aligned(4096)));

static size_t resident_bytes(void *at, size_t bytes)
{
    unsigned char pages[64];
    size_t count = bytes / 4096, resident = 0;
    ASSERT(count <= sizeof pages && mincore(at, bytes, pages) == 0);
    for (size_t i = 0; i < count; i++)
        resident += pages[i] & 1u;
    return resident * 4096;
}

/* Everything the profile names is mapped, touched and spent under a limit equal to its name. What the kernel counts is what was
 * given, and no guard page: VmData is what RLIMIT_DATA looks at, RssAnon what the board pays. */
static void use_all_of_a_board(void)
{
    size_t heaps = 0, others = KIB(384); /* static data, the stack, the test's own */
    bool counted = limit_data(board->total_bytes);
    ASSERT(mem_boot(board, MEM_TOUCH) == OK && mem_profile() == board);
    size_t maps = map_all();
    mem_seal();
    size_t guards = 0; /* of the stacks: a fiber's table gives them back, this test does not */
    for (unsigned t = 0; t < TASK_COUNT; t++) {
        heaps += board->task[t].heap_bytes;
        guards += board->task[t].fibers * (size_t)sysconf(_SC_PAGESIZE);
    }
    if (counted) {
        ASSERT(resident_bytes(untouched, sizeof untouched) == sizeof untouched);
        size_t data = status_bytes("VmData:"), anonymous = status_bytes("RssAnon:");
        ASSERT(data >= heaps + maps && data <= heaps + maps + others);
        ASSERT(anonymous >= heaps + maps && anonymous <= heaps + maps + others);
        ASSERT(heaps + maps - guards + others <= board->total_bytes);
    }
    ASSERT(spend_all() >= heaps * 8 / 10);
}

static void boot_where_it_does_not_fit(void)
{
    char out[256];
    if (!limit_data(board->total_bytes / 8))
        return;
    ASSERT(mem_boot(board, MEM_LAZY) == E_BUDGET && mem_profile() == NULL);
    ASSERT(strstr(trail_text(E_BUDGET, out, sizeof out), board->name) != NULL);
}

static void a_board_fits_its_name(void **state)
{
    (void)state;
    static const struct profile *const boards[] = {&profile_edge16, &profile_hub32, &profile_hub64};
    if (!OWNED)
        SKIP_BECAUSE("a sanitizer's shadow memory would be counted, too");
    for (size_t i = 0; i < COUNT_OF(boards); i++) {
        board = boards[i];
        expect_good(use_all_of_a_board);
        expect_good(boot_where_it_does_not_fit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spent_task_harms_no_other),         cmocka_unit_test(a_resized_block_stays_its_tasks),
        cmocka_unit_test(a_threads_allocations_are_its_tasks), cmocka_unit_test(malloc_works_before_boot),
        cmocka_unit_test(the_family_keeps_its_promises),       cmocka_unit_test(damage_is_told_with_its_task),
        cmocka_unit_test(pieces_are_guarded_and_end),          cmocka_unit_test(a_board_fits_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
