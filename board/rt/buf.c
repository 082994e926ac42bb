#include "board/rt/buf.h"
#include "board/rt/fiber.h"
#include "board/rt/mem.h"

#include <pthread.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define HIDE(at, bytes) ASAN_POISON_MEMORY_REGION((at), (bytes)) /* a buffer nobody has may not be looked at */
#define SHOW(at, bytes) ASAN_UNPOISON_MEMORY_REGION((at), (bytes))
#elif defined(HOLDFAST_CHECKED)
#define HIDE(at, bytes) memset((at), 0xDB, (bytes))
#define SHOW(at, bytes) ((void)0)
#else
#define HIDE(at, bytes) ((void)0)
#define SHOW(at, bytes) ((void)0)
#endif

static struct {
    struct buf *free;
    struct buf_use use;
} classes[BUFFER_CLASSES];
static pthread_mutex_t classes_lock = PTHREAD_MUTEX_INITIALIZER;

struct buf_waiter {
    size_t bytes;
    struct buf *given;
    struct fiber *fiber;
    struct buf_waiter *next;
};
static struct buf_waiter *first_waiter; /* in order of arrival; the loop thread's, bounded by the profile's fibers */
static _Thread_local bool is_loop_thread;

/* --- the free lists --- */

static void buf_drop(struct hold *h);

/* The smallest class for so many bytes; BUFFER_CLASSES when none is large enough. */
static unsigned class_for(size_t bytes)
{
    unsigned c = 0;
    while (c < BUFFER_CLASSES && classes[c].use.bytes_each < bytes)
        c++;
    return c;
}

/* A free one of that class, or of a larger one; NULL: none. Under the lock. */
static struct buf *pop(unsigned c)
{
    for (; c < BUFFER_CLASSES; c++) {
        struct buf *b = classes[c].free;
        if (b == NULL)
            continue;
        classes[c].free = b->next;
        if (++classes[c].use.used > classes[c].use.peak)
            classes[c].use.peak = classes[c].use.used;
        return b;
    }
    return NULL;
}

static struct buf *take_free(size_t bytes, bool refuse)
{
    unsigned wanted = class_for(bytes);
    pthread_mutex_lock(&classes_lock);
    struct buf *b = pop(wanted);
    if (b == NULL && refuse)
        classes[wanted].use.refusals++;
    pthread_mutex_unlock(&classes_lock);
    if (b == NULL)
        return NULL;
    hold_init(&b->hold, buf_drop);
    b->len = 0;
    b->next = NULL;
    SHOW(b->at, b->cap);
    return b;
}

/* --- who waits --- */

/* Hands what is free to those who wait, in order of arrival; one who wants less may be served past one who wants more. */
static void serve_waiters(void)
{
    struct buf_waiter **link = &first_waiter;
    while (*link != NULL) {
        struct buf_waiter *w = *link;
        w->given = take_free(w->bytes, false);
        if (w->given == NULL) {
            link = &w->next;
            continue;
        }
        *link = w->next;
        fiber_wake(w->fiber);
    }
}

static void waiter_add(struct buf_waiter *w)
{
    struct buf_waiter **link = &first_waiter;
    while (*link != NULL)
        link = &(*link)->next;
    *link = w;
}

static void waiter_remove(struct buf_waiter *w)
{
    for (struct buf_waiter **link = &first_waiter; *link != NULL; link = &(*link)->next)
        if (*link == w) {
            *link = w->next;
            return;
        }
}

static void buf_drop(struct hold *h)
{
    struct buf *b = CONTAINER_OF(h, struct buf, hold);
    HIDE(b->at, b->cap);
    pthread_mutex_lock(&classes_lock);
    b->next = classes[b->class_index].free;
    classes[b->class_index].free = b;
    classes[b->class_index].use.used--;
    pthread_mutex_unlock(&classes_lock);
    if (is_loop_thread)
        serve_waiters();
}

/* --- the calls --- */

static err class_boot(unsigned c, size_t bytes, unsigned count)
{
    classes[c].use = (struct buf_use){.bytes_each = bytes, .count = count};
    classes[c].free = NULL;
    uint8_t *storage = mem_map(bytes * count);
    struct buf *bufs = mem_map(sizeof *bufs * count);
    if (storage == NULL || bufs == NULL)
        return trail(E_BUDGET, "mapping %u buffers of %zu bytes", count, bytes);
    for (unsigned i = count; i > 0; i--) {
        struct buf *b = &bufs[i - 1];
        *b = (struct buf){.at = storage + (i - 1) * bytes, .cap = bytes, .class_index = c, .next = classes[c].free};
        HIDE(b->at, b->cap);
        classes[c].free = b;
    }
    return OK;
}

err buf_boot(void)
{
    const struct profile *p = mem_profile();
    ASSERT(p != NULL);
    is_loop_thread = true;
    for (unsigned c = 0; c < BUFFER_CLASSES; c++)
        TRY(class_boot(c, p->buffers[c].bytes, p->buffers[c].count));
    return OK;
}

err buf_take(size_t bytes, struct buf **out)
{
    *out = NULL;
    if (class_for(bytes) == BUFFER_CLASSES)
        return trail(E_RANGE, "taking a buffer of %zu bytes", bytes);
    if (is_loop_thread)
        serve_waiters();
    *out = take_free(bytes, true);
    return *out != NULL ? OK : trail(E_BUDGET, "taking a buffer of %zu bytes", bytes);
}

void buf_turn(void)
{
    if (first_waiter != NULL)
        serve_waiters();
}

err buf_wait(size_t bytes, ms deadline, struct buf **out)
{
    *out = NULL;
    if (class_for(bytes) == BUFFER_CLASSES)
        return trail(E_RANGE, "waiting for a buffer of %zu bytes", bytes);
    struct buf_waiter w = {.bytes = bytes, .fiber = fiber_self()};
    ASSERT(w.fiber != NULL);
    waiter_add(&w);
    serve_waiters();
    err e = OK;
    while (w.given == NULL && e == OK) {
        e = fiber_park(ms_min(deadline, loop_now() + BUF_RECHECK_MS));
        if (e == E_TIMEOUT && loop_now() < deadline)
            e = OK;
        serve_waiters();
    }
    waiter_remove(&w);
    *out = w.given;
    return w.given != NULL ? OK : trail(e, "waiting for a buffer of %zu bytes", bytes);
}

void buf_release(struct buf *b)
{
    if (b == NULL)
        return;
    ASSERT(atomic_load_explicit(&b->hold.count, memory_order_relaxed) > 0); /* released twice */
    hold_release(&b->hold);
}

struct buf_use buf_use(unsigned class_index)
{
    ASSERT(class_index < BUFFER_CLASSES);
    pthread_mutex_lock(&classes_lock);
    struct buf_use use = classes[class_index].use;
    pthread_mutex_unlock(&classes_lock);
    return use;
}
