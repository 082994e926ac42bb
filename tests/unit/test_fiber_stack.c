/* Stacks: how deep they were used, and what is said when one overflows or a fiber crashes. */
#include "board/rt/fiber.h"
#include "board/rt/mem.h"

#include "tests/unit/check.h"
#include "tests/unit/child.h"

#include <signal.h>
#include <string.h>

/* --- stacks --- */
static size_t use_bytes;

static err use_stack(void *arg)
{
    (void)arg;
    volatile uint8_t frame[use_bytes + 1];
    for (size_t i = 0; i <= use_bytes; i++)
        frame[i] = (uint8_t)i;
    return frame[use_bytes] == (uint8_t)use_bytes ? OK : E_CORRUPT;
}

static size_t peak_after(size_t bytes)
{
    struct group g;
    use_bytes = bytes;
    group_open(&g, TASK_METRICS);
    CHECK(group_spawn(&g, "user", use_stack, NULL) == OK);
    CHECK(group_join(&g, FOREVER) == OK);
    return fiber_use(TASK_METRICS).stack_peak_bytes;
}

static err paint_body(void *arg)
{
    (void)arg;
    size_t base = peak_after(0);
    CHECK(base > 0 && base < mem_profile()->task[TASK_METRICS].stack_bytes / 4);
    for (size_t kib = 8; kib <= 24; kib += 4) { /* from where it is surely deeper than base */
        size_t peak = peak_after(KIB(kib));
        CHECK(peak >= KIB(kib) && peak <= KIB(kib) + base + 4096);
    }
    CHECK(peak_after(KIB(1)) >= KIB(24)); /* the deepest mark is kept */
    return OK;
}

static void the_paint_tells_how_deep_a_stack_was_used(void **state)
{
    (void)state;
    fibers_run(paint_body, NULL, OK);
}

static volatile unsigned depth_max = UINT_MAX;

/* The caller's frame is looked at after the call, so that it cannot be made a loop. */
__attribute__((noinline)) static unsigned recurse(unsigned depth, volatile char *above)
{
    volatile char frame[256];
    frame[0] = (char)depth;
    unsigned below = depth == depth_max ? 0 : recurse(depth + 1, frame);
    above[0] = (char)(above[0] + 1);
    return below + (unsigned)frame[0];
}

static err too_deep(void *arg)
{
    (void)arg;
    volatile char top = 0;
    return recurse(0, &top) == 1 ? E_IO : OK;
}
/* A frame of more than the whole stack, of which only the far end is used: without a probe of each page it would reach over the
 * guard into the next stack. The sanitizers' stacks are 8 times as large (board/profiles). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FRAME_BYTES KIB(320)
#else
#define FRAME_BYTES KIB(40)
#endif

__attribute__((noinline)) static err one_large_frame(void *arg)
{
    volatile char frame[FRAME_BYTES];
    (void)arg;
    frame[0] = 1;
    return frame[0] == 1 ? E_IO : OK;
}

static char *const volatile wild_address = (char *)64;

static err wild(void *arg)
{
    (void)arg;
    *(volatile char *)wild_address = 1;
    return OK;
}

static err aborts(void *arg)
{
    (void)arg;
    (void)raise(SIGABRT);
    return OK;
}

static const struct crash_case {
    const char *name;
    err (*run)(void *);
    const char *line;
    int signal_number;
} crash_cases[] = {
    {"overflow", too_deep, "stack overflow in fiber culprit (task backup)\n", SIGSEGV},
    {"one large frame", one_large_frame, "stack overflow in fiber culprit (task backup)\n", SIGSEGV},
    {"abort", aborts, "fatal SIGABRT in fiber culprit (task backup)\n", SIGABRT},
    {"wild pointer", wild, "fatal SIGSEGV in fiber culprit (task backup)\n", SIGSEGV},
};
static const struct crash_case *crashing;

static err bystander(void *arg)
{
    (void)arg;
    return fiber_park(FOREVER);
}

static err crash_body(void *arg)
{
    (void)arg;
    struct group g;
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "bystander", bystander, NULL) == OK);
    CHECK(group_spawn(&g, "culprit", crashing->run, NULL) == OK);
    return group_join(&g, loop_now() + SECONDS(60));
}

static void crash(void)
{
    (void)signal(SIGSEGV, SIG_DFL); /* cmocka and the sanitizers have their own */
    (void)alarm(10);
    (void)!loop_run(crash_body, NULL);
}

static void a_crash_names_the_fiber(void **state)
{
    (void)state;
    char said[CHILD_TEXT_MAX];
    for (size_t i = 0; i < COUNT_OF(crash_cases); i++) {
        crashing = &crash_cases[i];
        int status = child_run(crash, said);
        if (strstr(said, crashing->line) == NULL)
            fail_msg("%s: %s", crashing->name, said);
        assert_int_equal(status, 1000 + crashing->signal_number);
    }
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_paint_tells_how_deep_a_stack_was_used),
        cmocka_unit_test(a_crash_names_the_fiber),
    };
    return cmocka_run_group_tests_name("fiber stack", tests, NULL, NULL);
}
