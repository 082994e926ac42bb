/* Gathered items: around each size at which the buffer grows, and at its bound. */
#include "board/backup_items.h"
#include "board/rt/mem.h"

#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

#define MAX KIB(64)

static char large[MAX + 1], want[MAX + 8];

static const struct {
    const char *name;
    size_t before; /* bytes of a first item; 0: none */
    size_t from, to;
} cases[] = {
    {"one item across 8 KiB", 0, 8180, 8200},
    {"a second one across 8 KiB", 4000, 4180, 4200},
    {"across 16 KiB at once", 0, 16370, 16390},
    {"across 32 KiB, of a small one before", 5, 32750, 32775},
    {"to its bound", 0, MAX - 20, MAX - 3},
    {"beyond it", 0, MAX - 2, MAX + 1},
    {"the first fits, the second does not", MAX - 10, 10, 20},
};

static void add(struct backup_items *i, size_t len, char letter)
{
    memset(large, letter, len);
    backup_items_add(i, (struct bytes){(const uint8_t *)large, len});
}

static bool one(size_t before, size_t len)
{
    struct backup_items i = {.bytes_max = MAX};
    bool first = before > 0, fits = len + 3 + (first ? before + 1 : 0) <= MAX;
    size_t at = 0;
    if (first)
        add(&i, before, 'a');
    add(&i, len, 'b');
    want[at++] = '[';
    memset(want + at, 'a', before);
    at += before;
    if (first && fits)
        want[at++] = ',';
    memset(want + at, 'b', fits ? len : 0);
    at += fits ? len : 0;
    memcpy(want + at, "]", 2);
    bool good = strcmp(backup_items_array(&i), want) == 0 && i.left_out == !fits && i.len + 2 <= (i.cap ? i.cap : 2);
    backup_items_close(&i);
    backup_items_close(&i);
    return good;
}

static void every_size(void **state)
{
    (void)state;
    for (size_t c = 0; c < COUNT_OF(cases); c++)
        for (size_t len = cases[c].from; len <= cases[c].to; len++)
            if (!one(cases[c].before, len)) {
                print_error("%s: %zu bytes\n", cases[c].name, len);
                fail();
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_size)};
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    mem_set_task(TASK_BACKUP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
