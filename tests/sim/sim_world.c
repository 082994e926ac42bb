/* sim_world: the clock, the dice, what is to come, signals, and os_wait() over them. */
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

#define EVENTS_MAX  4096
#define SIGNALS_MAX 16
#define CALL_NS     400 /* a cheap system call; so that a loop that only asks the time still ends */

struct sim_knobs sim;

struct happening {
    int64_t at_ns;
    uint64_t dice; /* breaks ties, so that the order of simultaneous things is the seed's */
    void (*fire)(uint64_t a, uint64_t b);
    uint64_t a, b;
};

static struct {
    uint64_t seed, dice, random;
    int64_t now_ns, spent_ns;
    int64_t wall_ahead_ms; /* wall clock minus monotonic */
    struct happening heap[EVENTS_MAX];
    size_t events;
    int signals[SIGNALS_MAX];
    size_t signal_count;
    bool poked, booted;
    unsigned still_turns;
} world;

/* splitmix64: a well-known generator of one word of state; constants by Steele, Lea and Flood (2014). */
static uint64_t next_word(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint64_t sim_seed(void)
{
    return world.seed;
}

uint64_t sim_draw(uint64_t below)
{
    return below <= 1 ? 0 : next_word(&world.dice) % below;
}

bool sim_chance(unsigned permille)
{
    return permille > 0 && sim_draw(1000) < permille;
}

/* Every life is a fork of the parent, in whose world nothing ever happens: the rest is there as the program started with it. */
void world_reset(uint64_t seed)
{
    world.seed = world.dice = seed;
    world.random = ~seed;
    next_word(&world.dice);
    world.spent_ns = 0;
    world.now_ns = (int64_t)SIM_BOOT_MS * NS_PER_MS;
    world.wall_ahead_ms = (int64_t)OS_WALL_FLOOR_S * 1000 + HOURS(24 * 30);
    sim = (struct sim_knobs){.time_limit_ms = HOURS(1),
                             .turns_max = 10000,
                             .spurious_permille = 20,
                             .stale_permille = 100,
                             .job_ms_max = 2,
                             .disk_bytes = MIB(48),
                             .disk_sync_ms_max = 8,
                             .disk_bytes_per_s = 50000000,
                             .disk_flush_permille = 100};
}

/* --- time --- */
int64_t world_now_ns(void)
{
    return world.now_ns;
}

void world_charge(int64_t ns)
{
    if (offload_is_job()) {
        offload_spend(ns);
        return;
    }
    world.now_ns += ns;
    world.spent_ns += ns;
}

ms os_mono(void)
{
    world_charge(CALL_NS);
    return world_now_ns() / NS_PER_MS;
}

int64_t os_mono_ns(void)
{
    world_charge(CALL_NS);
    return world_now_ns();
}

int64_t os_thread_cpu_ns(void)
{
    return world.spent_ns;
}

static int64_t wall_raw_ms(void)
{
    return world_now_ns() / NS_PER_MS + world.wall_ahead_ms;
}

int64_t os_wall_ms(void)
{
    const int64_t floor_ms = (int64_t)OS_WALL_FLOOR_S * 1000;
    int64_t now = wall_raw_ms();
    return now < floor_ms ? floor_ms : now;
}

bool os_wall_is_trusted(void)
{
    return wall_raw_ms() >= (int64_t)OS_WALL_FLOOR_S * 1000;
}

void sim_wall_set(int64_t wall_ms)
{
    world.wall_ahead_ms = wall_ms - world_now_ns() / NS_PER_MS;
}

static void wall_jump(uint64_t by_ms, uint64_t unused)
{
    (void)unused;
    world.wall_ahead_ms += (int64_t)by_ms;
}

void sim_wall_jump_at(ms at, int64_t by_ms)
{
    world_at(at * NS_PER_MS, wall_jump, (uint64_t)by_ms, 0);
}

void os_random(void *out, size_t len)
{
    uint8_t *at = out;
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)next_word(&world.random);
}

/* --- what is to come: a binary heap --- */
static bool happens_before(const struct happening *a, const struct happening *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->dice < b->dice;
}

void world_at(int64_t at_ns, void (*fire)(uint64_t a, uint64_t b), uint64_t a, uint64_t b)
{
    if (world.events == EVENTS_MAX)
        sim_fail("more than %d things are to come", EVENTS_MAX);
    struct happening new = {at_ns, next_word(&world.dice), fire, a, b};
    size_t i = world.events++;
    for (; i > 0 && happens_before(&new, &world.heap[(i - 1) / 2]); i = (i - 1) / 2)
        world.heap[i] = world.heap[(i - 1) / 2];
    world.heap[i] = new;
}

static struct happening take_next(void)
{
    struct happening first = world.heap[0], last = world.heap[--world.events];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < world.events; i = child) {
        if (child + 1 < world.events && happens_before(&world.heap[child + 1], &world.heap[child]))
            child++;
        if (!happens_before(&world.heap[child], &last))
            break;
        world.heap[i] = world.heap[child];
    }
    world.heap[i] = last;
    return first;
}

static void fire_what_is_due(void)
{
    while (world.events > 0 && world.heap[0].at_ns <= world.now_ns) {
        struct happening h = take_next();
        h.fire(h.a, h.b);
    }
}

/* --- signals --- */
static void signal_arrives(uint64_t number, uint64_t unused)
{
    (void)unused;
    if (world.signal_count < SIGNALS_MAX)
        world.signals[world.signal_count++] = (int)number;
}

void sim_signal_at(ms at, int signal_number)
{
    world_at(at * NS_PER_MS, signal_arrives, (uint64_t)signal_number, 0);
}

bool os_signal_take(int *signal_number)
{
    if (world.signal_count == 0)
        return false;
    *signal_number = world.signals[0];
    memmove(world.signals, world.signals + 1, --world.signal_count * sizeof world.signals[0]);
    return true;
}

/* --- waiting --- */
err os_boot(void)
{
    if (world.booted)
        return OK;
    TRY(fault_here("os_boot", E_BUDGET));
    world.booted = true;
    return OK;
}

void os_poke(void)
{
    world.poked = true;
}

void world_moved(void)
{
    world.still_turns = 0;
}

static void hang(const char *how)
{
    world_fibers_dump();
    sim_fail("hangs: %s", how);
}

/* Goes to the next moment at which something happens, but not beyond `until`. */
static void advance(ms until)
{
    int64_t to_ns = until > INT64_MAX / NS_PER_MS ? INT64_MAX : until * NS_PER_MS;
    if (world.events > 0 && world.heap[0].at_ns < to_ns)
        to_ns = world.heap[0].at_ns;
    if (to_ns == INT64_MAX)
        hang("waits for ever and nothing is to come");
    if (to_ns <= world.now_ns)
        return;
    world.now_ns = to_ns;
    world_moved();
    if (to_ns / NS_PER_MS - SIM_BOOT_MS > sim.time_limit_ms)
        hang("virtual time is over its limit");
}

static bool something_is_there(void)
{
    bool there = world.poked || world.signal_count > 0 || offload_ready();
    world.poked = false;
    return there;
}

size_t os_wait(ms until, struct os_event *out, size_t max)
{
    world_charge(CALL_NS);
    if (++world.still_turns > sim.turns_max)
        hang("turns without anything moving");
    for (;;) {
        fire_what_is_due();
        size_t events = net_collect(out, max);
        if (something_is_there() || events > 0 || world.now_ns / NS_PER_MS >= until)
            return events;
        advance(until);
    }
}

/* --- child processes: there are none here --- */
err os_spawn(const char *const argv[], const char *const envp[], int *pid, os_fd *exited, os_fd *output)
{
    (void)argv;
    (void)envp;
    *pid = 0;
    *exited = *output = -1;
    return E_UNSUPPORTED;
}

void os_kill_group(int pid, bool at_once)
{
    (void)pid;
    (void)at_once;
}

bool os_child_ended(int *pid)
{
    *pid = 0;
    return false;
}

err os_child_reap(int pid, int *status)
{
    (void)pid;
    *status = 0;
    return E_ABSENT;
}

bool os_reaps_orphans(void)
{
    return false;
}

void os_host_name(char *out, size_t cap)
{
    (void)snprintf(out, cap, "board");
}

err os_process(struct os_process *out)
{
    TRY(fault_here("os_process", E_IO));
    *out = (struct os_process){.cpu_ms = world.spent_ns / NS_PER_MS,
                               .virtual_bytes = MIB(40),
                               .rss_bytes = MIB(12),
                               .rss_anon_bytes = MIB(10),
                               .rss_file_bytes = MIB(2),
                               .open_fds = handles_open() + 3,
                               .max_fds = HANDLES_MAX,
                               .started_wall_ms = wall_raw_ms() - (world_now_ns() / NS_PER_MS - SIM_BOOT_MS)};
    return OK;
}
