#include "board/rt/fiber.h"
#include "board/rt/mem.h"
#include "board/rt/text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name, *text;
    enum retry retry;
} table[ERR_COUNT] = {
#define X(code, again, words) [code] = {#code, words, RETRY_##again},
    ERR_TABLE(X)
#undef X
};

const char *err_name(err e)
{
    return e < ERR_COUNT ? table[e].name : "E_?";
}

const char *err_text(err e)
{
    return e < ERR_COUNT ? table[e].text : "unknown error";
}

enum retry err_retry(err e)
{
    return e < ERR_COUNT ? table[e].retry : RETRY_NEVER;
}

/* --- the trail --- */

struct entry {
    atomic_uint_least64_t number; /* counts from 1; 0: empty, or being written right now */
    const void *owner;            /* NULL: forgotten by trail_clear(), kept for trail_dump() */
    enum task task;
    err error;
    char text[TRAIL_TEXT_MAX];
};

static struct entry ring[TRAIL_ENTRIES_MAX];
static uint64_t ring_last; /* number of the newest entry */
static pthread_mutex_t ring_lock = PTHREAD_MUTEX_INITIALIZER;

/* A fiber, or a thread where there is none. */
static const void *owner_self(void)
{
    static _Thread_local char thread;
    const struct fiber *f = fiber_self();
    return f != NULL ? (const void *)f : &thread;
}

static void ring_add(err e, const char *words)
{
    pthread_mutex_lock(&ring_lock);
    struct entry *entry = &ring[++ring_last % TRAIL_ENTRIES_MAX];
    atomic_store_explicit(&entry->number, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* a dump that interrupts us skips it */
    entry->owner = owner_self();
    entry->task = mem_task();
    entry->error = e;
    memcpy(entry->text, words, sizeof entry->text);
    atomic_store_explicit(&entry->number, ring_last, memory_order_release);
    pthread_mutex_unlock(&ring_lock);
}

err trail(err e, const char *format, ...)
{
    static const char cut[] = "...";
    if (e == OK || e == E_CANCELED)
        return e;
    char words[TRAIL_TEXT_MAX] = "";
    struct text t = text_over(words, sizeof words);
    va_list arguments;
    va_start(arguments, format);
    text_addv(&t, format, arguments);
    va_end(arguments);
    if (t.cut)
        memcpy(words + sizeof words - sizeof cut, cut, sizeof cut);
    ring_add(e, words);
    return e;
}

/* The calling owner's `back`-th entry, counted from the newest of all; NULL when that one is another's. Under the lock. */
static struct entry *entry_mine(uint64_t back, const void *me)
{
    struct entry *entry = &ring[(ring_last - back) % TRAIL_ENTRIES_MAX];
    return back < ring_last && entry->owner == me ? entry : NULL;
}

static void add_entries(err e, struct text *t)
{
    const void *me = owner_self();
    const char *between = "";
    pthread_mutex_lock(&ring_lock);
    for (uint64_t back = 0; back < TRAIL_ENTRIES_MAX; back++) {
        const struct entry *entry = entry_mine(back, me);
        if (entry == NULL)
            continue;
        if (entry->error != e)
            break;
        text_add(t, between);
        text_add(t, entry->text);
        between = ": ";
    }
    pthread_mutex_unlock(&ring_lock);
}

const char *trail_text(err e, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    add_entries(e, &t);
    text_add(&t, t.len > 0 ? ": " : "");
    text_add(&t, err_text(e));
    return out;
}

void trail_take(err e, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    add_entries(e, &t);
    trail_clear();
}

void trail_clear(void)
{
    trail_rewind(0);
}

uint64_t trail_mark(void)
{
    pthread_mutex_lock(&ring_lock);
    uint64_t mark = ring_last;
    pthread_mutex_unlock(&ring_lock);
    return mark;
}

void trail_rewind(uint64_t mark)
{
    const void *me = owner_self();
    pthread_mutex_lock(&ring_lock);
    for (size_t i = 0; i < TRAIL_ENTRIES_MAX; i++)
        if (ring[i].owner == me && atomic_load_explicit(&ring[i].number, memory_order_relaxed) > mark)
            ring[i].owner = NULL;
    pthread_mutex_unlock(&ring_lock);
}

/* --- the end: only write(2) from here on, no lock, no allocation --- */

static void put(int fd, const char *s, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, s, len);
        if (n <= 0)
            return; /* nobody to tell */
        s += n;
        len -= (size_t)n;
    }
}

static void put_text(int fd, const char *s)
{
    put(fd, s, strlen(s));
}

static void put_number(int fd, int n)
{
    char digits[12];
    size_t at = sizeof digits;
    for (unsigned left = n < 0 ? 0u : (unsigned)n; at > 0; left /= 10) {
        digits[--at] = (char)('0' + left % 10);
        if (left < 10)
            break;
    }
    put(fd, digits + at, sizeof digits - at);
}

static void dump_entry(int fd, const struct entry *entry)
{
    put_text(fd, "trail: ");
    put_text(fd, task_name(entry->task));
    put_text(fd, ": ");
    put(fd, entry->text, strnlen(entry->text, sizeof entry->text));
    put_text(fd, ": ");
    put_text(fd, err_name(entry->error));
    put_text(fd, "\n");
}

void trail_dump(int fd)
{
    size_t oldest = (size_t)(ring_last + 1) % TRAIL_ENTRIES_MAX;
    for (size_t i = 0; i < TRAIL_ENTRIES_MAX; i++) {
        const struct entry *entry = &ring[(oldest + i) % TRAIL_ENTRIES_MAX];
        if (atomic_load_explicit(&entry->number, memory_order_acquire) != 0)
            dump_entry(fd, entry);
    }
}

void assert_failed(const char *expression, const char *file, int line)
{
    const struct fiber *f = fiber_self();
    put_text(STDERR_FILENO, "assertion failed: ");
    put_text(STDERR_FILENO, expression);
    put_text(STDERR_FILENO, " at ");
    put_text(STDERR_FILENO, file);
    put_text(STDERR_FILENO, ":");
    put_number(STDERR_FILENO, line);
    put_text(STDERR_FILENO, " in task ");
    put_text(STDERR_FILENO, task_name(mem_task()));
    put_text(STDERR_FILENO, f != NULL ? ", fiber " : "");
    put_text(STDERR_FILENO, f != NULL ? fiber_name(f) : "");
    put_text(STDERR_FILENO, "\n");
    trail_dump(STDERR_FILENO);
    abort();
}
