/* fiber_context: the context switch together with what the sanitizers want to be told about it. Private to board/rt.
 *
 * Layer    rt.                                     Blocks   never.
 * Owner    the fiber, or the loop for its own.     Memory   none.   Threads  the loop thread only.   Errors   none. */
#ifndef HOLDFAST_FIBER_CONTEXT_H
#define HOLDFAST_FIBER_CONTEXT_H

#include "board/arch/switch.h"
#include "board/rt/base.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(FIBER_ASAN)
#define FIBER_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(FIBER_TSAN)
#define FIBER_TSAN 1
#endif

#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define NO_ASAN                    __attribute__((no_sanitize_address))
#define ASAN_LEAVE(from, to, last) __sanitizer_start_switch_fiber((last) ? NULL : &(from)->fake, (to)->low, (to)->bytes)
#define ASAN_ARRIVE(at, came)                                                                                                    \
    __sanitizer_finish_switch_fiber((at)->fake, (came) ? &(came)->low : NULL, (came) ? &(came)->bytes : NULL)
#define ASAN_FRESH(low, bytes) __asan_unpoison_memory_region((low), (bytes))
#else
#define NO_ASAN
#define ASAN_LEAVE(from, to, last) ((void)0)
#define ASAN_ARRIVE(at, came)      ((void)0)
#define ASAN_FRESH(low, bytes)     ((void)0)
#endif

#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#define TSAN_CREATE()         __tsan_create_fiber(0)
#define TSAN_THREAD()         __tsan_get_current_fiber()
#define TSAN_DESTROY(context) __tsan_destroy_fiber((context)->tsan)
#define TSAN_LEAVE(to)        __tsan_switch_to_fiber((to)->tsan, 0)
#else
#define TSAN_CREATE()         NULL
#define TSAN_THREAD()         NULL
#define TSAN_DESTROY(context) ((void)0)
#define TSAN_LEAVE(to)        ((void)0)
#endif

struct context {
    void *at;        /* its stack pointer while suspended */
    const void *low; /* its stack; the loop's own is learned by ASan, else unknown */
    size_t bytes;
    void *fake, *tsan; /* the sanitizers' */
};

/* From the loop into a fiber; returns when the fiber comes back. */
static inline void context_resume(struct context *loop, struct context *fiber)
{
    ASAN_LEAVE(loop, fiber, false);
    TSAN_LEAVE(fiber);
    arch_switch(&loop->at, fiber->at);
    ASAN_ARRIVE(loop, (struct context *)NULL);
}

/* From a fiber to the loop; returns when the loop resumes it, never when `last`. */
static inline void context_suspend(struct context *fiber, struct context *loop, bool last)
{
    (void)last;
    ASAN_LEAVE(fiber, loop, last);
    TSAN_LEAVE(loop);
    arch_switch(&fiber->at, loop->at);
    ASAN_ARRIVE(fiber, loop);
}

/* First thing on a new stack. */
static inline void context_arrive(struct context *fiber, struct context *loop)
{
    (void)fiber, (void)loop;
    ASAN_ARRIVE(fiber, loop);
}

/* Lays out a stack for entry(arg); context_end() when it is over, from the loop. */
static inline void context_begin(struct context *c, uint8_t *low, size_t bytes, void (*entry)(void *), void *arg)
{
    ASAN_FRESH(low, bytes);
    *c = (struct context){.low = low, .bytes = bytes, .tsan = TSAN_CREATE()};
    c->at = arch_prepare(low + bytes, entry, arg);
}

static inline void context_end(struct context *c)
{
    (void)c;
    TSAN_DESTROY(c);
}

#endif
