#include "board/rt/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name;
    const struct profile *profile;
    size_t total_bytes;
} boards[] = {
    {"edge16", &profile_edge16, MIB(16)},
    {"hub32", &profile_hub32, MIB(32)},
    {"hub64", &profile_hub64, MIB(64)},
};

static void boards_are_found_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(boards); i++) {
        const struct profile *p = profile_find(boards[i].name);
        assert_ptr_equal(p, boards[i].profile);
        assert_string_equal(p->name, boards[i].name);
        assert_int_equal(p->total_bytes, boards[i].total_bytes);
    }
    assert_null(profile_find("hub128"));
    assert_null(profile_find(""));
    assert_null(profile_find("hub32 "));
}

static void every_task_gets_something(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(boards); i++)
        for (unsigned t = 0; t < TASK_COUNT; t++) {
            const struct task_budget *b = &boards[i].profile->task[t];
            if (b->heap_bytes < KIB(64) || b->fibers == 0 || b->stack_bytes < KIB(16) || b->stack_bytes % KIB(4) != 0 ||
                (b->connections == 0 && t != TASK_STORE) || b->stall_ms_max <= 0) /* the store talks to nobody */
                fail_msg("%s, task %s", boards[i].name, task_name((enum task)t));
        }
}

static void buffer_classes_ascend(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(boards); i++)
        for (unsigned c = 0; c < BUFFER_CLASSES; c++) {
            assert_true(boards[i].profile->buffers[c].count > 0);
            assert_true(boards[i].profile->buffers[c].bytes > (c > 0 ? boards[i].profile->buffers[c - 1].bytes : 0));
        }
}

static void larger_boards_have_no_less(void **state)
{
    (void)state;
    for (size_t i = 1; i < COUNT_OF(boards); i++) {
        const struct profile *small = boards[i - 1].profile, *large = boards[i].profile;
        for (unsigned t = 0; t < TASK_COUNT; t++) {
            assert_true(large->task[t].heap_bytes >= small->task[t].heap_bytes);
            assert_true(large->task[t].fibers >= small->task[t].fibers);
            assert_true(large->task[t].connections >= small->task[t].connections);
        }
        assert_true(large->pool_threads >= small->pool_threads && large->pool_jobs >= small->pool_jobs);
        assert_true(large->metric_series >= small->metric_series);
    }
}

static void task_names_are_distinct(void **state)
{
    (void)state;
    for (unsigned a = 0; a < TASK_COUNT; a++)
        for (unsigned b = 0; b < TASK_COUNT; b++)
            assert_int_equal(strcmp(task_name((enum task)a), task_name((enum task)b)) == 0, a == b);
    assert_string_equal(task_name(TASK_BOARD), "board");
    assert_string_equal(task_name(TASK_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boards_are_found_by_name), cmocka_unit_test(every_task_gets_something),
        cmocka_unit_test(buffer_classes_ascend),    cmocka_unit_test(larger_boards_have_no_less),
        cmocka_unit_test(task_names_are_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
