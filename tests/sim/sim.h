/* sim: the second world. Implements board/rt/os.h with a virtual clock, seeded randomness, an in-memory network and an in-memory
 * disk.
 *
 * Layer    tests.                       Blocks   never really: os_wait() advances the virtual clock to the next thing that
 * happens. Owner    every case runs in a child process of its own ("a life"), so nothing of one run survives in the next but the
 * disk. Memory   static arrays and one shared mapping; never malloc, so that the budget under test is the program's own. Time
 * virtual; starts at SIM_BOOT_MS. It moves in os_wait() and by a small cost of each os_* call, nowhere else. Errors   a broken
 * rule ends the life with the one command that repeats it; the parent reports `false`.
 *
 * SIM_SEED=n runs one seed, SIM_CASE=name one case, SIM_FAULT=n one fault, SIM_CUT=n one power cut. See docs/SIMULATION.md. */
#ifndef HOLDFAST_SIM_H
#define HOLDFAST_SIM_H

#include "board/rt/os.h"

#define SIM_BOOT_MS 5000 /* the monotonic clock when a life starts */

/* --- a case: setup() builds the world without faults, run() is what is tested, both in the same life --- */
struct sim_case {
    const char *name;
    void (*setup)(void *arg);             /* may be NULL */
    err (*run)(void *arg);                /* the main fiber when `fibers`, else called plainly */
    void (*check)(void *arg, err result); /* same life, after run(), faults off; NULL: OK is wanted, or a fault was hit */
    void (*reboot)(void *arg, bool ended, err result); /* next life after a power cut; ended: run() had returned `result` */
    void *arg;
    unsigned faults_max; /* sim_each_fault() stops after so many, where a library allocates for ever; 0: when none is hit */
    unsigned step; /* of the faults or power cuts after the first twenty only every so many-th; 0: all, or as SIM_STEP says */
    bool fibers;   /* run() under loop_run() on profile edge16; heap bytes, buffers and fibers must all be back at its end */
};
/* Each: true when all went well, else false and the reason with its command on stderr. Bounded by SIM_RUNS_MAX lives. */
#define SIM_RUNS_MAX 4000
bool sim_seeds(const struct sim_case *c, unsigned count); /* `count` seeds, no injected fault */
bool sim_each_fault(const struct sim_case *c);            /* the 1st, 2nd, ... fallible call fails, until none is hit */
bool sim_each_power_cut(const struct sim_case *c);        /* power goes before the 1st, 2nd, ... disk change and after the last */
/* Boots the runtime and runs main(arg) as its first fiber, as `fibers` does for run(); once a life. For a reboot() that is a
 * whole boot. */
MUST_USE err sim_loop(err (*main)(void *arg), void *arg);
/* In setup(): called in the main fiber before run(), faults off. What it allocates lives as long as the process, as metrics do.
 */
void sim_boot(void (*boot)(void));
struct profile;
void sim_profile(const struct profile *p); /* in setup(): the board, instead of edge16 */
bool sim_is_narrowed(void);                /* few seeds or one case are wanted: tests of many have nothing to say */
/* Numbers that outlive the life: what the program under test was told is done. slot < SIM_NOTES_MAX; zero at the start of a case.
 */
#define SIM_NOTES_MAX 16
void sim_note(unsigned slot, uint64_t value);
uint64_t sim_noted(unsigned slot);
/* Zeroed memory that all lives and the parent share; never given back. Like the disk, each reboot() has a copy of what the power
 * cut left there. */
void *sim_shared(size_t bytes);
const char *sim_fault_name(void); /* the call that was failed in this life; NULL: none was hit */
/* In a life, instead of cmocka's assertions (which would go on with the next test, in the child). */
#define SIM_CHECK(expression)      ((expression) ? (void)0 : sim_fail("%s:%d: %s", __FILE__, __LINE__, #expression))
#define SIM_CHECK_ERR(got, wanted) sim_check_err((got), (wanted), __FILE__, __LINE__)
_Noreturn void sim_fail(const char *format, ...) PRINTF_LIKE(1, 2);
void sim_check_err(err got, err wanted, const char *file, int line);

/* --- knobs: set in setup() or at any moment of run(). permille: chance in a thousand, drawn from the seed --- */
struct sim_knobs {
    ms time_limit_ms;            /* a life that lives longer hangs; default 1 h */
    unsigned turns_max;          /* returns of os_wait() in which nothing at all moved; default 10000 */
    unsigned spurious_permille;  /* an event for a socket on which nothing happened; default 20 */
    unsigned stale_permille;     /* an event with the token of a closed socket; default 100 of the closes */
    unsigned job_ms_max;         /* an offloaded job waits up to this for its thread; default 2 */
    unsigned job_stick_permille; /* jobs that never come back; default 0 */
    uint64_t disk_bytes;         /* capacity; default 48 MiB */
    unsigned disk_sync_ms_max;   /* an fsync takes up to this; default 8 */
    uint64_t disk_bytes_per_s;   /* default 50 MB */
    bool disk_readonly;
    unsigned disk_flush_permille; /* a write after which the kernel flushes some dirty sectors by itself; default 100 */
};
extern struct sim_knobs sim;

uint64_t sim_seed(void);
uint64_t sim_draw(uint64_t below); /* 0..below-1; the world's own stream, not os_random()'s */
bool sim_chance(unsigned permille);
void sim_wall_set(int64_t wall_ms); /* 0: 1970, which is not trusted */
void sim_wall_jump_at(ms at, int64_t by_ms);
void sim_signal_at(ms at, int signal_number);
/* The job_number-th job from now on (1: the next) sticks `for_ms` in one of its first calls of the kernel; FOREVER: it never
 * comes back. */
void sim_stick_job(unsigned job_number, ms for_ms);

/* --- network --- */
struct sim_link {                 /* zeroed: instant, lossless */
    unsigned delay_ms, jitter_ms; /* one way; jitter is added */
    uint64_t bytes_per_s;         /* each direction; 0 unlimited; 1000: a byte per millisecond */
    size_t window_bytes;          /* what a sender may have unread; 0: SIM_WINDOW_MAX */
    uint64_t reset_after_bytes;   /* both directions together, each connection; 0 never */
    unsigned flip_permille;       /* of delivered pieces: one bit is wrong */
    bool black_hole;              /* nothing arrives, nothing is refused; also for live connections */
    bool no_route;                /* os_connect() fails with E_UNREACHABLE */
    bool whole;                   /* no random splitting of reads, writes and pieces */
    unsigned loss_permille, duplicate_permille, reorder_permille; /* UDP */
};
#define SIM_WINDOW_MAX 65536
/* For connections to, and datagrams to or from, `server` (port 0: all its ports; kind NONE: every one without its own). Replaces.
 */
void sim_link(const struct addr *server, struct sim_link link);
struct addr sim_ip(const char *text); /* addr_parse() or the life ends */

enum sim_do {
    SIM_STUCK,  /* does nothing more; the connection stays open */
    SIM_EXPECT, /* waits for `count` bytes, or for exactly `text` when there is one (other bytes end the life) */
    SIM_UNTIL,  /* reads and drops everything up to and with `text` */
    SIM_SEND,   /* `text`, or `count` bytes of sim_pattern() */
    SIM_WAIT,   /* `count` milliseconds */
    SIM_END,    /* half close */
    SIM_CLOSE,
    SIM_RESET,
    SIM_ECHO,  /* sends back what comes, until the peer ends; then closes */
    SIM_DRAIN, /* reads and counts until the peer ends */
    SIM_REPEAT /* from the first step */
};
struct sim_step {
    enum sim_do what;
    uint64_t count;
    const char *text;
    size_t text_bytes; /* 0: strlen(text) */
};
#define SIM_DO(step)                                                                                                             \
    {                                                                                                                            \
        .what = (step)                                                                                                           \
    }
#define SIM_DO_N(step, n)                                                                                                        \
    {                                                                                                                            \
        .what = (step), .count = (n)                                                                                             \
    }
#define SIM_DO_TEXT(step, words)                                                                                                 \
    {                                                                                                                            \
        .what = (step), .text = (words)                                                                                          \
    }
/* Listens; every connection runs the script from its first step. Steps are copied, texts borrowed for the life. */
#define SIM_PEERS_MAX 32 /* scripts together, clients too */
#define SIM_STEPS_MAX 24
void sim_peer(const struct addr *at, const struct sim_step *steps, size_t count);
#define SIM_PEER(at, ...)                                                                                                        \
    sim_peer((at), (const struct sim_step[]){__VA_ARGS__}, COUNT_OF(((const struct sim_step[]){__VA_ARGS__})))
/* Connects to a listener of the program at `when` and runs the script. */
void sim_client(const struct addr *to, ms when, const struct sim_step *steps, size_t count);
uint64_t sim_peer_bytes(void); /* read by all scripts so far */
uint8_t sim_pattern(uint64_t at);
/* Answers datagrams sent to `at`: returns the bytes put in `out`, 0: no answer. */
void sim_udp_peer(const struct addr *at, size_t (*answer)(struct bytes query, uint8_t *out, size_t cap));

/* The nth os_file_sync() from now on (1: the next) fails: some sectors reach the disk, the rest never will, whatever later ones
 * say. */
void sim_disk_fail_sync(unsigned nth);

/* --- disk: for setup() and checks; no cost, no fault, durable at once --- */
void sim_disk_folder(const char *path);
void sim_disk_put(const char *path, struct bytes content);
bool sim_disk_get(const char *path, void *into, size_t cap, size_t *len); /* false: no such file; len may exceed cap */
unsigned sim_disk_names(const char *folder);                              /* how many; 0 also when there is no such folder */
const char *sim_disk_name(const char *folder, unsigned index);

#endif
