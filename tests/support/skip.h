/* skip: a test that cannot run here says why; tools/run-tests shows it.
 *
 * Layer    tests.   Blocks   never.   Memory   none.   Errors   none. Include after cmocka.h. */
#ifndef HOLDFAST_TEST_SKIP_H
#define HOLDFAST_TEST_SKIP_H

#define SKIP_BECAUSE(why)                                                                                                        \
    do {                                                                                                                         \
        print_message("skipped: %s: %s\n", __func__, why);                                                                       \
        skip();                                                                                                                  \
    } while (0)

#endif
