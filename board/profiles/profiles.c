/* profiles: one table a board. Numbers are worst cases; `holdfast budget` prints them, the assertions below add them up. */
#include "board/rt/profile.h"

#include <string.h>

/* Sanitizers need larger frames; their builds are not the device. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FRAME_SCALE 8
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FRAME_SCALE 8
#endif
#endif
#ifndef FRAME_SCALE
#define FRAME_SCALE 1
#endif

/* The tables are read by column. */
/* clang-format off */
/*        task     heap         fibers stack    conns stall */
#define EDGE16(TASK, BUFFERS)                                \
    TASK(BOARD,   KIB(512),    4,     KIB(24), 4,    SECONDS(10)) \
    TASK(METRICS, KIB(512),    6,     KIB(24), 24,   SECONDS(30)) \
    TASK(BACKUP,  KIB(7936),    8,     KIB(24), 8,    SECONDS(60)) \
    TASK(GUARDIAN,KIB(384),    6,     KIB(24), 4,    SECONDS(60)) \
    TASK(INGEST,  KIB(1472),   9,     KIB(24), 6,    SECONDS(60)) \
    TASK(STORE,   KIB(1408),   2,     KIB(24), 0,    SECONDS(60)) \
    TASK(CONTROL, KIB(256),    4,     KIB(24), 4,    SECONDS(60)) \
    BUFFERS(0, KIB(4), 32) BUFFERS(1, KIB(16), 24) BUFFERS(2, KIB(256), 5)
#define HUB32(TASK, BUFFERS)                                 \
    TASK(BOARD,   KIB(768),    4,     KIB(32), 4,    SECONDS(10)) \
    TASK(METRICS, MIB(2),      10,    KIB(32), 48,   SECONDS(30)) \
    TASK(BACKUP,  KIB(13824),  12,    KIB(32), 12,   SECONDS(60)) \
    TASK(GUARDIAN,KIB(768),    8,     KIB(32), 6,    SECONDS(60)) \
    TASK(INGEST,  KIB(5568),   12,    KIB(32), 8,    SECONDS(60)) \
    TASK(STORE,   MIB(2),      2,     KIB(32), 0,    SECONDS(60)) \
    TASK(CONTROL, KIB(512),    6,     KIB(32), 8,    SECONDS(60)) \
    BUFFERS(0, KIB(4), 64) BUFFERS(1, KIB(16), 48) BUFFERS(2, KIB(256), 12)
#define HUB64(TASK, BUFFERS)                                 \
    TASK(BOARD,   MIB(1),      8,     KIB(32), 8,    SECONDS(10)) \
    TASK(METRICS, MIB(4),      16,    KIB(32), 96,   SECONDS(30)) \
    TASK(BACKUP,  MIB(20),     16,    KIB(32), 16,   SECONDS(60)) \
    TASK(GUARDIAN,MIB(1),      8,     KIB(32), 8,    SECONDS(60)) \
    TASK(INGEST,  MIB(12),     20,    KIB(32), 12,   SECONDS(60)) \
    TASK(STORE,   MIB(4),      2,     KIB(32), 0,    SECONDS(60)) \
    TASK(CONTROL, MIB(1),      8,     KIB(32), 16,   SECONDS(60)) \
    BUFFERS(0, KIB(4), 128) BUFFERS(1, KIB(16), 96) BUFFERS(2, KIB(256), 24)

#define POOL_STACK KIB(128)
/*              threads jobs series samples recv      send */
#define EDGE16_REST 3, 24, 480, 40, KIB(256), KIB(128)
#define HUB32_REST  4, 32, 640, 40, KIB(512), KIB(256)
#define HUB64_REST  6, 64, 1024, 40, KIB(1024), KIB(256)

#define TASK_ROW(id, heap, fiber_count, stack, conns, stall) \
    [TASK_##id] = {.heap_bytes = (heap), .fibers = (fiber_count), .stack_bytes = (stack)*FRAME_SCALE, .connections = (conns), .stall_ms_max = (stall)},
#define BUFFER_ROW(index, size, n) [index] = {.bytes = (size), .count = (n)},
#define NOTHING_6(a, b, c, d, e, f)
#define NOTHING_3(a, b, c)
#define TASK_SUM(id, heap, fiber_count, stack, conns, stall) +(heap) + (fiber_count) * (stack)
#define BUFFER_SUM(index, size, n) +(size) * (n)

#define REST(threads, jobs, series, samples, receive, send)                                                        \
    .pool_threads = (threads), .pool_stack_bytes = POOL_STACK * FRAME_SCALE, .pool_jobs = (jobs), .metric_series = (series), \
    .metric_samples = (samples), .socket_receive_bytes = (int)(receive), .socket_send_bytes = (int)(send)
#define REST_OF(...) REST(__VA_ARGS__)
#define THREADS_OF_(threads, ...) (threads)
#define THREADS_OF(...) THREADS_OF_(__VA_ARGS__)

/* What is neither heap, stack nor buffer: static data, job slots, heap headers, libc. */
#define STATIC_BYTES_MAX KIB(768)

#define PROFILE(id, label, mib, TABLE, REST_ROW)                                                              \
    const struct profile id = {.name = (label),                                                                \
                               .total_bytes = MIB(mib),                                                        \
                               .task = {TABLE(TASK_ROW, NOTHING_3)},                                           \
                               .buffers = {TABLE(NOTHING_6, BUFFER_ROW)},                                      \
                               REST_OF(REST_ROW)};                                                             \
    _Static_assert((0 TABLE(TASK_SUM, BUFFER_SUM)) + THREADS_OF(REST_ROW) * POOL_STACK + STATIC_BYTES_MAX <= MIB(mib), \
                   label " hands out more than it has")
/* clang-format on */

PROFILE(profile_edge16, "edge16", 16, EDGE16, EDGE16_REST);
PROFILE(profile_hub32, "hub32", 32, HUB32, HUB32_REST);
PROFILE(profile_hub64, "hub64", 64, HUB64, HUB64_REST);

static const char *const task_names[TASK_COUNT] = {
#define X(id, name) [TASK_##id] = (name),
    TASK_TABLE(X)
#undef X
};

const char *task_name(enum task t)
{
    return t < TASK_COUNT ? task_names[t] : "?";
}

const struct profile *profile_find(const char *name)
{
    static const struct profile *const all[] = {&profile_edge16, &profile_hub32, &profile_hub64};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
