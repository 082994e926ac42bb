/* The pool's threads: a queue in, a list back, one poke for each batch that was not yet fetched.
 * A thread that is stuck in the kernel keeps its place: it is neither replaced nor forgotten, and works on when it comes back. */
#include "board/rt/os_linux.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 16

struct work_list {
    struct os_work *first, *last;
};

struct thread {
    pthread_t id;
    bool started; /* and not joined yet */
    bool ended;   /* under the lock, as is: */
    bool due;     /* has yet to do what os_offload_each() wants */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wanted, gone;
    bool booted, stop;
    struct work_list queue, done; /* under the lock */
    struct work_list fetched;     /* the loop thread's */
    struct thread threads[THREADS_MAX];
    unsigned count;
    struct { /* under the lock */
        err (*run)(void *arg);
        void *arg;
        err first;
        unsigned left;
    } each;
} offload = {.lock = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER};

static void list_put(struct work_list *l, struct os_work *w)
{
    w->next = NULL;
    if (l->last != NULL)
        l->last->next = w;
    else
        l->first = w;
    l->last = w;
}

static struct os_work *list_take(struct work_list *l)
{
    struct os_work *w = l->first;
    if (w == NULL)
        return NULL;
    l->first = w->next;
    if (l->first == NULL)
        l->last = NULL;
    w->next = NULL;
    return w;
}

/* Runs it, hands it back, and returns what follows it. Under the lock, but for the run. */
static struct os_work *work_run(struct os_work *w)
{
    pthread_mutex_unlock(&offload.lock);
    w->run(w);
    pthread_mutex_lock(&offload.lock);
    bool first = offload.done.first == NULL;
    w->done = true;
    list_put(&offload.done, w);
    if (first)
        os_poke();
    return w->follow;
}

/* What every thread has to do, by this one. Under the lock, but for the run. */
static void each_run(struct thread *self)
{
    if (!self->due)
        return;
    self->due = false;
    pthread_mutex_unlock(&offload.lock);
    err e = offload.each.run(offload.each.arg);
    pthread_mutex_lock(&offload.lock);
    if (offload.each.first == OK)
        offload.each.first = e;
    offload.each.left--;
    pthread_cond_signal(&offload.gone);
}

static void *thread_main(void *arg)
{
    struct thread *self = arg;
    pthread_mutex_lock(&offload.lock);
    for (;;) {
        each_run(self);
        struct os_work *w = list_take(&offload.queue);
        bool any = w != NULL;
        while (w != NULL) {
            w = work_run(w);
            each_run(self);
        }
        if (any)
            continue;
        if (offload.stop)
            break;
        pthread_cond_wait(&offload.wanted, &offload.lock);
    }
    self->ended = true;
    pthread_cond_signal(&offload.gone);
    pthread_mutex_unlock(&offload.lock);
    return NULL;
}

/* Signals are the loop's; only those that a thread's own fault raises stay open. */
static void signals_for_threads(sigset_t *mask)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigfillset(mask);
    for (size_t i = 0; i < COUNT_OF(faults); i++)
        sigdelset(mask, faults[i]);
}

static err thread_start(struct thread *t, uint8_t *stack, size_t stack_bytes)
{
    pthread_attr_t attributes;
    int failed = pthread_attr_init(&attributes);
    if (failed != 0)
        return os_err(failed);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (mprotect(stack, page, PROT_NONE) != 0)
        failed = errno;
    (void)madvise(stack, page, MADV_DONTNEED); /* a page less to pay for; without it the guard still guards */
    if (failed == 0)
        failed = pthread_attr_setstack(&attributes, stack + page, stack_bytes - page);
    t->ended = false;
    if (failed == 0)
        failed = pthread_create(&t->id, &attributes, thread_main, t);
    t->started = failed == 0;
    pthread_attr_destroy(&attributes);
    return os_err(failed);
}

/* pthread_cond_timedwait() counts by CLOCK_MONOTONIC, os_mono() by another (os.h). */
static struct timespec until_of(ms deadline)
{
    struct timespec now;
    ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    ms left = -ms_min(os_mono() - deadline, 0);
    int64_t ns = now.tv_nsec + left % 1000 * 1000000;
    return (struct timespec){now.tv_sec + (time_t)(left / 1000) + (time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

static err boot_once(void)
{
    pthread_condattr_t attributes;
    if (offload.booted)
        return OK;
    int failed = pthread_condattr_init(&attributes);
    if (failed == 0)
        failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (failed == 0)
        failed = pthread_cond_init(&offload.gone, &attributes);
    offload.booted = failed == 0;
    return os_err(failed);
}

err os_offload_boot(unsigned threads, size_t stack_bytes, void *stacks)
{
    ASSERT(threads > 0 && threads <= THREADS_MAX && stack_bytes % (size_t)sysconf(_SC_PAGESIZE) == 0);
    TRY(boot_once());
    sigset_t mask, before;
    signals_for_threads(&mask);
    pthread_mutex_lock(&offload.lock);
    offload.stop = false;
    pthread_mutex_unlock(&offload.lock);
    pthread_sigmask(SIG_SETMASK, &mask, &before);
    err e = OK;
    offload.count = threads;
    for (unsigned i = 0; i < threads && e == OK; i++)
        if (!offload.threads[i].started) /* one that was stuck when the pool stopped still has its stack */
            e = thread_start(&offload.threads[i], (uint8_t *)stacks + i * stack_bytes, stack_bytes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return e;
}

void os_offload(struct os_work *w)
{
    pthread_mutex_lock(&offload.lock);
    w->done = false;
    w->follow = NULL;
    list_put(&offload.queue, w);
    pthread_cond_signal(&offload.wanted);
    pthread_mutex_unlock(&offload.lock);
}

bool os_offload_after(struct os_work *before, struct os_work *w)
{
    pthread_mutex_lock(&offload.lock);
    bool taken = !before->done;
    if (taken) {
        ASSERT(before->follow == NULL);
        w->done = false;
        w->follow = NULL;
        before->follow = w;
    }
    pthread_mutex_unlock(&offload.lock);
    return taken;
}

void os_offload_cut(struct os_work *first)
{
    pthread_mutex_lock(&offload.lock);
    while (first->done && first->follow != NULL)
        first = first->follow;
    first->follow = NULL;
    pthread_mutex_unlock(&offload.lock);
}

struct os_work *os_offload_done(void)
{
    if (offload.fetched.first == NULL) {
        pthread_mutex_lock(&offload.lock);
        offload.fetched = offload.done;
        offload.done = (struct work_list){0};
        pthread_mutex_unlock(&offload.lock);
    }
    return list_take(&offload.fetched);
}

/* Threads that do not come to it: it is no longer theirs to do. */
static unsigned each_call_off(void)
{
    unsigned late = 0;
    for (unsigned i = 0; i < offload.count; i++) {
        late += offload.threads[i].due;
        offload.each.left -= offload.threads[i].due;
        offload.threads[i].due = false;
    }
    return late;
}

err os_offload_each(err (*run)(void *arg), void *arg, ms deadline)
{
    struct timespec until = until_of(deadline);
    pthread_mutex_lock(&offload.lock);
    offload.each.run = run;
    offload.each.arg = arg;
    offload.each.first = OK;
    offload.each.left = 0;
    for (unsigned i = 0; i < offload.count; i++)
        offload.each.left += offload.threads[i].due = offload.threads[i].started && !offload.threads[i].ended;
    pthread_cond_broadcast(&offload.wanted);
    int waited = 0;
    while (offload.each.left > 0 && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&offload.gone, &offload.lock, &until);
    unsigned late = each_call_off();
    while (offload.each.left > 0) /* they are at it */
        pthread_cond_wait(&offload.gone, &offload.lock);
    err e = offload.each.first != OK ? offload.each.first : late > 0 ? E_TIMEOUT : OK;
    pthread_mutex_unlock(&offload.lock);
    return e == E_TIMEOUT ? trail(e, "%u threads of the pool do not come back", late) : e;
}

static unsigned threads_left(void)
{
    unsigned left = 0;
    for (unsigned i = 0; i < offload.count; i++)
        left += offload.threads[i].started && !offload.threads[i].ended;
    return left;
}

/* Without the lock: a thread marked as ended still has to let go of it. */
static void threads_join(const bool ended[THREADS_MAX])
{
    for (unsigned i = 0; i < offload.count; i++)
        if (ended[i]) {
            pthread_join(offload.threads[i].id, NULL);
            offload.threads[i].started = false;
        }
}

unsigned os_offload_stop(ms deadline)
{
    struct timespec until = until_of(deadline);
    bool ended[THREADS_MAX] = {false};
    if (!offload.booted)
        return 0;
    pthread_mutex_lock(&offload.lock);
    offload.stop = true;
    pthread_cond_broadcast(&offload.wanted);
    while (threads_left() > 0)
        if (pthread_cond_timedwait(&offload.gone, &offload.lock, &until) == ETIMEDOUT)
            break;
    unsigned left = threads_left();
    for (unsigned i = 0; i < offload.count; i++)
        ended[i] = offload.threads[i].started && offload.threads[i].ended;
    pthread_mutex_unlock(&offload.lock);
    threads_join(ended);
    return left;
}
