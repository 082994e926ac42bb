/* world: what the parts of the simulator tell each other. Nothing outside tests/sim includes it.
 *
 * Layer    tests.   Owner   static state of one life.   Blocks   never.   Memory   static.   Errors   sim_fail(). */
#ifndef HOLDFAST_SIM_WORLD_H
#define HOLDFAST_SIM_WORLD_H

#include "tests/sim/sim.h"

#define NS_PER_MS   1000000
#define HANDLES_MAX 256 /* open os_fd of a life */
#define EXIT_FAILED 99
#define EXIT_CUT    98

/* --- time --- */
int64_t world_now_ns(void);    /* of the running job when in one, which may be ahead of the loop's */
void world_charge(int64_t ns); /* a job waits for it, everybody waits for the loop */
void world_at(int64_t at_ns, void (*fire)(uint64_t a, uint64_t b), uint64_t a, uint64_t b); /* at most EVENTS_MAX pending */
void world_moved(void);                                                                     /* something made progress */
void world_reset(uint64_t seed);
void world_fibers_dump(void); /* who waits, for a hang's report */

/* --- jobs --- */
bool offload_ready(void);       /* os_offload_done() has one */
bool offload_is_job(void);      /* the caller is a pool job */
void offload_spend(int64_t ns); /* the calling job: the world goes on meanwhile */

/* --- faults --- */
err fault_here(const char *call, err e); /* OK, or e when this is the call to fail */
void fault_cut_here(void);               /* a change of the disk is about to be made: ends the life when it is the one */
void fault_enable(bool on);

/* --- handles --- */
enum handle_kind { HANDLE_FREE, HANDLE_SOCKET, HANDLE_FILE };
struct handle {
    enum handle_kind kind;
    unsigned index;               /* end or inode */
    bool locked;                  /* files: holds the lock */
    uint64_t range_at, range_end; /* files: and this range; empty: none */
    bool writable;
};
err handle_open(enum handle_kind kind, unsigned index, os_fd *out); /* lowest free number, as the kernel does; E_BUDGET */
struct handle *handle_at(os_fd fd, enum handle_kind kind);          /* not open: our bug, ends the life */
void handle_close(os_fd fd);
unsigned handles_open(void);
bool handle_is_lock(os_fd fd, unsigned inode);
bool handle_locks_range(os_fd fd, unsigned inode, uint64_t at, uint64_t end); /* some of it */
bool handle_uses(enum handle_kind kind, unsigned index);

/* --- network --- */
size_t net_collect(struct os_event *out, size_t max); /* events for os_wait() */

/* --- disk --- */
void disk_map(void); /* once, in the parent */
void disk_format(void);
void disk_settle_all(void);                           /* everything becomes durable */
void disk_power_cut(uint64_t seed, unsigned variant); /* 0: nothing unsynced survives; 1: all of it; else drawn */

#endif
