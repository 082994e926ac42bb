/* profile: what a board gives to each task. One table a board (board/profiles), added up by a static assertion.
 *
 * Layer    rt.   Owner   static.   Blocks   never.   Memory   none beyond the tables. */
#ifndef HOLDFAST_PROFILE_H
#define HOLDFAST_PROFILE_H

#include "board/rt/base.h"

/* Who is charged. BOARD is the loop, the command line and everything before the agents start. GUARDIAN looks
 * after etcd (agents/guardian), INGEST streams the cluster (agents/ingest), STORE is the database (hal/store.h), CONTROL what
 * commands ask of a running hub (board/control.h). */
#define TASK_TABLE(X)                                                                                                            \
    X(BOARD, "board")                                                                                                            \
    X(METRICS, "metrics")                                                                                                        \
    X(BACKUP, "backup")                                                                                                          \
    X(GUARDIAN, "guardian")                                                                                                      \
    X(INGEST, "ingest")                                                                                                          \
    X(STORE, "store")                                                                                                            \
    X(CONTROL, "control")

enum task {
#define X(id, name) TASK_##id,
    TASK_TABLE(X)
#undef X
        TASK_COUNT
};

const char *task_name(enum task t); /* "backup"; static */

struct task_budget {
    size_t heap_bytes;    /* its slice; every malloc of it and of libraries on its behalf */
    unsigned fibers;      /* stacks it owns; a spawn beyond them is E_BUDGET */
    size_t stack_bytes;   /* usable bytes of each stack, a multiple of the page; the guard page is extra, unmapped */
    unsigned connections; /* sockets it may have open */
    ms stall_ms_max;      /* longest it may go without a pulse unless it rests by choice */
};

#define BUFFER_CLASSES 3

struct profile {
    const char *name;   /* "hub32" */
    size_t total_bytes; /* what the name says: private writable memory of the process */
    struct task_budget task[TASK_COUNT];
    struct {
        size_t bytes;
        unsigned count;
    } buffers[BUFFER_CLASSES]; /* I/O buffers, ascending by size */
    unsigned pool_threads;
    size_t pool_stack_bytes;
    unsigned pool_jobs;       /* queued + running, all lanes together */
    unsigned metric_series;   /* label sets of all families together */
    unsigned metric_samples;  /* ring entries of each sampled series */
    int socket_receive_bytes; /* SO_RCVBUF; 0 leaves the kernel's choice */
    int socket_send_bytes;    /* SO_SNDBUF */
};

extern const struct profile profile_edge16, profile_hub32, profile_hub64;
const struct profile *profile_find(const char *name); /* NULL when there is none; "hub32" is the default */

#endif
