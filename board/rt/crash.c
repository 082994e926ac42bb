/* crash: one line about a fatal signal, before it takes its course. Only write(2), sigaction(2), raise(3) and static memory. */
#include "board/rt/fiber_internal.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Holds the frame of the signal, which with AVX-512 and AMX state takes up to 11 KiB, and what the handler calls. */
#define ALTERNATE_STACK_BYTES KIB(32)
#define LINE_MAX_BYTES        256

static const struct {
    int number;
    const char *name;
} fatal[] = {{SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"}, {SIGABRT, "SIGABRT"}};

static struct sigaction before[COUNT_OF(fatal)];
static _Alignas(16) uint8_t alternate_stack[ALTERNATE_STACK_BYTES];

struct line {
    char at[LINE_MAX_BYTES];
    size_t len;
};

static void line_add(struct line *l, const char *s)
{
    while (*s != '\0' && l->len < sizeof l->at - 1)
        l->at[l->len++] = *s++;
}

static void line_write(struct line *l)
{
    l->at[l->len++] = '\n';
    ssize_t n = write(STDERR_FILENO, l->at, l->len);
    (void)n; /* nothing can be done about it here */
}

static void line_add_fiber(struct line *l, const struct fiber *f)
{
    line_add(l, " in fiber ");
    line_add(l, f->name);
    line_add(l, " (task ");
    line_add(l, task_name(f->task));
    line_add(l, ")");
}

static void tell(size_t which, const siginfo_t *info)
{
    struct line line = {.len = 0};
    bool fault = fatal[which].number == SIGSEGV || fatal[which].number == SIGBUS;
    const struct fiber *overflown = fault ? fiber_of_guard((uintptr_t)info->si_addr) : NULL;
    const struct fiber *f = overflown != NULL ? overflown : fiber_self();
    line_add(&line, overflown != NULL ? "stack overflow" : "fatal ");
    if (overflown == NULL)
        line_add(&line, fatal[which].name);
    if (f != NULL)
        line_add_fiber(&line, f);
    else
        line_add(&line, " outside of fibers");
    line_write(&line);
    trail_dump(STDERR_FILENO);
}

/* A fault happens again on return, now with the action that was there before; one that was sent is sent again. */
static void on_fatal(int number, siginfo_t *info, void *context)
{
    (void)context;
    for (size_t i = 0; i < COUNT_OF(fatal); i++)
        if (fatal[i].number == number) {
            tell(i, info);
            (void)sigaction(number, &before[i], NULL);
        }
    if (info->si_code <= 0)
        (void)raise(number);
}

void crash_boot(void)
{
    stack_t stack = {.ss_sp = alternate_stack, .ss_size = sizeof alternate_stack};
    struct sigaction action = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old;
    (void)sigemptyset(&action.sa_mask);
    if (sigaltstack(&stack, NULL) != 0)
        return; /* then a crash is as silent as without us */
    for (size_t i = 0; i < COUNT_OF(fatal); i++)
        if (sigaction(fatal[i].number, &action, &old) == 0 && old.sa_sigaction != on_fatal)
            before[i] = old;
}
