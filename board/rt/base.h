/* base: the words every file uses. Macros, spans and small arithmetic; nothing here allocates, waits or fails.
 *
 * Layer    rt.   Blocks   never.   Memory   none.   Errors   none. */
#ifndef HOLDFAST_BASE_H
#define HOLDFAST_BASE_H

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE                            __attribute__((warn_unused_result))
#define PRINTF_LIKE(at, first)              __attribute__((format(printf, at, first)))
#define COUNT_OF(array)                     (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define KIB(n)                              ((size_t)(n)*1024u)
#define MIB(n)                              ((size_t)(n)*1024u * 1024u)

/* A moment on the monotonic clock, or a span of it, in milliseconds. A deadline is a moment. */
typedef int64_t ms;
#define FOREVER    INT64_MAX /* a deadline that never comes */
#define SECONDS(n) ((ms)(n)*1000)
#define MINUTES(n) ((ms)(n)*60000)
#define HOURS(n)   ((ms)(n)*3600000)

/* Borrowed bytes; the owner is whoever handed them out. `at` may be NULL when len is 0. */
struct bytes {
    const uint8_t *at;
    size_t len;
};

static inline struct bytes bytes_after(struct bytes b, size_t used) /* used: at most all of it */
{
    return used == 0 ? b : (struct bytes){b.at + used, b.len - used}; /* at may be NULL */
}

static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

static inline ms ms_min(ms a, ms b)
{
    return a < b ? a : b;
}

/* Rounds up to a multiple of `to`, a power of two. */
static inline size_t size_round_up(size_t n, size_t to)
{
    return (n + to - 1) & ~(to - 1);
}

/* Our own bugs: stays on in release, prints the expression and the trail, and ends the process (never returns). */
#define ASSERT(expression) ((expression) ? (void)0 : assert_failed(#expression, __FILE__, __LINE__))
_Noreturn void assert_failed(const char *expression, const char *file, int line);

#endif
