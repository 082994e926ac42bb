/* check: assertions for code inside fibers, where nothing may jump out (cmocka's assertions do): CHECK() tells and counts,
 * AWAIT() waits first, and
 * fibers_run() looks at the count when the loop is over.
 *
 * Layer    tests.   Blocks   until the loop ended.   Memory   one counter.   Errors   a failed cmocka assertion. */
#ifndef HOLDFAST_TEST_CHECK_H
#define HOLDFAST_TEST_CHECK_H

#include "board/rt/fiber.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static unsigned checks_failed;

#define CHECK(expression)                                                                                                        \
    do {                                                                                                                         \
        if (!(expression)) {                                                                                                     \
            checks_failed++;                                                                                                     \
            print_error("%s:%d: not so: %s\n", __func__, __LINE__, #expression);                                                 \
        }                                                                                                                        \
    } while (0)

/* Waits for it, however slow the machine is; a check then tells whether it came. */
#define AWAIT(condition)                                                                                                         \
    do {                                                                                                                         \
        for (ms until_ = loop_now() + SECONDS(60); !(condition) && loop_now() < until_;)                                         \
            CHECK(fiber_sleep(loop_now() + 1) == OK);                                                                            \
        CHECK(condition);                                                                                                        \
    } while (0)

/* Runs body(arg) as the first fiber of a loop; it must return `want`, and every CHECK() must have held. */
static inline void fibers_run(err (*body)(void *arg), void *arg, err want)
{
    checks_failed = 0;
    err got = loop_run(body, arg);
    assert_int_equal(got, want);
    assert_int_equal(checks_failed, 0);
    assert_null(fiber_self());
}

#endif
