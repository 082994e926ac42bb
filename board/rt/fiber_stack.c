/* fiber_stack: the table of fibers, a stack and a guard page for each, and how deep the stacks were used. */
#include "board/rt/fiber_internal.h"
#include "board/rt/mem.h"

#include <sys/mman.h>
#include <unistd.h>

/* No address, no small number, no text: what a frame holds by chance is not taken for paint. */
#define PAINT UINT64_C(0xa5f1c3b7965ad82e)

struct stack_table {
    struct fiber *fibers, *free;
    unsigned count, used, peak;
    size_t stack_bytes, peak_bytes;
    uint64_t refusals;
};

static struct stack_table tables[TASK_COUNT];
static size_t guard_bytes;

static void fiber_init(struct fiber *f, enum task t, uint8_t *guard, size_t stack_bytes)
{
    f->task = t;
    f->stack = guard + guard_bytes;
    f->stack_bytes = stack_bytes;
    f->next = tables[t].free;
    tables[t].free = f;
}

/* The guard is cut out of memory that mem_map() hands out writable, and its page is given back. */
static err guard_close(uint8_t *guard)
{
    if (mprotect(guard, guard_bytes, PROT_NONE) != 0)
        return trail(E_BUDGET, "protecting a guard page");
    (void)madvise(guard, guard_bytes, MADV_DONTNEED); /* a page less to pay for; without it the guard still guards */
    return OK;
}

static err table_boot(enum task t, struct fiber *fibers)
{
    const struct task_budget *budget = &mem_profile()->task[t];
    struct stack_table *table = &tables[t];
    table->stack_bytes = size_round_up(budget->stack_bytes, guard_bytes);
    size_t each = guard_bytes + table->stack_bytes;
    uint8_t *at = mem_map(each * budget->fibers);
    if (at == NULL)
        return trail(E_BUDGET, "mapping the stacks of %s", task_name(t));
    /* From the last to the first, so that the free list hands out the first. */
    for (unsigned i = budget->fibers; i-- > 0;) {
        TRY(guard_close(at + each * i));
        fiber_init(&fibers[i], t, at + each * i, table->stack_bytes);
    }
    table->fibers = fibers;
    table->count = budget->fibers;
    return OK;
}

err fiber_stack_boot(void)
{
    static bool booted;
    if (booted)
        return OK;
    size_t count = 0;
    for (unsigned t = 0; t < TASK_COUNT; t++)
        count += mem_profile()->task[t].fibers;
    guard_bytes = (size_t)sysconf(_SC_PAGESIZE);
    struct fiber *fibers = mem_map(size_round_up(count * sizeof(struct fiber), guard_bytes));
    if (fibers == NULL)
        return trail(E_BUDGET, "mapping the table of fibers");
    for (unsigned t = 0; t < TASK_COUNT; t++) {
        if (mem_profile()->task[t].fibers == 0)
            continue;
        TRY(table_boot((enum task)t, fibers));
        fibers += mem_profile()->task[t].fibers;
    }
    booted = true;
    return OK;
}

NO_ASAN static void stack_paint(struct fiber *f)
{
    uint64_t *words = (uint64_t *)(void *)f->stack;
    for (size_t i = 0; i < f->stack_bytes / sizeof *words; i++)
        words[i] = PAINT;
    f->painted = true;
}

/* Looks only below the deepest mark so far. The stack may be in use: its fiber is suspended or is the caller. */
NO_ASAN static void stack_measure(struct fiber *f)
{
    if (!f->painted)
        return;
    const volatile uint64_t *words = (const volatile uint64_t *)(const void *)f->stack;
    size_t end = (f->stack_bytes - f->stack_peak_bytes) / sizeof *words, i = 0;
    while (i < end && words[i] == PAINT)
        i++;
    f->stack_peak_bytes = f->stack_bytes - i * sizeof *words;
    tables[f->task].peak_bytes = size_max(tables[f->task].peak_bytes, f->stack_peak_bytes);
}

struct fiber *fiber_take(enum task t)
{
    struct stack_table *table = &tables[t];
    struct fiber *f = table->free;
    if (f == NULL) {
        table->refusals++;
        return NULL;
    }
    table->free = f->next;
    table->used++;
    table->peak = table->used > table->peak ? table->used : table->peak;
    if (!f->painted)
        stack_paint(f);
    return f;
}

void fiber_give(struct fiber *f)
{
    struct stack_table *table = &tables[f->task];
    context_end(&f->context);
    f->state = FIBER_FREE;
    f->next = table->free;
    table->free = f;
    table->used--;
}

unsigned fiber_used_count(void)
{
    unsigned used = 0;
    for (unsigned t = 0; t < TASK_COUNT; t++)
        used += tables[t].used;
    return used;
}

struct fiber_use fiber_use(enum task t)
{
    struct stack_table *table = &tables[t];
    for (unsigned i = 0; i < table->count; i++)
        stack_measure(&table->fibers[i]); /* also those that ended: the paint they used is gone for good */
    return (struct fiber_use){.count = table->count,
                              .used = table->used,
                              .peak = table->peak,
                              .stack_bytes = table->stack_bytes,
                              .stack_peak_bytes = table->peak_bytes,
                              .refusals = table->refusals};
}

const struct fiber *fiber_of_guard(uintptr_t at)
{
    for (unsigned t = 0; t < TASK_COUNT; t++)
        for (unsigned i = 0; i < tables[t].count; i++) {
            uintptr_t stack = (uintptr_t)tables[t].fibers[i].stack;
            if (at < stack && at >= stack - guard_bytes)
                return &tables[t].fibers[i];
        }
    return NULL;
}
