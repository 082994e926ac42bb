/* sim_drive: lives. Each run of a case is a forked child; the parent keeps the disk, the notes and the verdict. */
#include "tests/sim/world.h"

#include <errno.h> /* program_invocation_name */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIFE_S_MAX   300 /* of real time; a loop that never asks the world for anything ends here */
#define SURVIVALS    4   /* ways in which a disk outlives one power cut: nothing, everything, and two of the seed's */
#define SEED_DEFAULT 1
#define LASTING_MAX  4
#define FIRST_TRIED  20 /* calls, and power cuts, of a case that SIM_STEP leaves none out of; SIM_FIRST is another number */

static struct shared {
    uint64_t notes[SIM_NOTES_MAX];
    uint64_t faults, cuts; /* fallible calls and disk changes so far in this life */
    char fault_name[64];
    bool ended;
    err result;
} * shared;

static struct {
    uint64_t fault_at, cut_at; /* 0: none */
    unsigned survival;         /* the way in which the disk outlives the cut */
    bool on;
} plan;
static const struct sim_case *current;
static uint64_t current_seed;

/* --- what outlives a life: files of memory, so that each boot after one power cut has copies of its own --- */
static struct {
    void *at;
    size_t bytes;
    int fd;
} lasting[LASTING_MAX];
static size_t lasting_count;

static void map(size_t i, int flags)
{
    lasting[i].at = mmap(lasting[i].at, lasting[i].bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, lasting[i].fd, 0);
    if (lasting[i].at == MAP_FAILED)
        abort();
}

void *sim_shared(size_t bytes)
{
    size_t i = lasting_count++;
    if (i == LASTING_MAX)
        abort();
    lasting[i].bytes = bytes;
    lasting[i].fd = memfd_create("sim", MFD_CLOEXEC);
    if (lasting[i].fd < 0 || ftruncate(lasting[i].fd, (off_t)bytes) != 0)
        abort();
    map(i, MAP_SHARED);
    return lasting[i].at;
}

static void copy_what_lasts(void)
{
    for (size_t i = 0; i < lasting_count; i++)
        map(i, MAP_PRIVATE | MAP_FIXED);
}

/* --- in a life --- */
void sim_fail(const char *format, ...)
{
    char repeat[96] = "", what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (plan.fault_at)
        snprintf(repeat, sizeof repeat, "SIM_FAULT=%llu ", (unsigned long long)plan.fault_at);
    if (plan.cut_at)
        snprintf(repeat, sizeof repeat, "SIM_CUT=%llu ", (unsigned long long)plan.cut_at);
    fprintf(stderr, "sim: %s: %s\n", current ? current->name : "?", what);
    if (shared && shared->fault_name[0])
        fprintf(stderr, "sim: after fault %llu in %s\n", (unsigned long long)plan.fault_at, shared->fault_name);
    fprintf(stderr, "sim: to repeat: SIM_SEED=%llu %sSIM_CASE=%s %s\n", (unsigned long long)current_seed, repeat,
            current ? current->name : "", program_invocation_name);
    fflush(stderr);
    _exit(EXIT_FAILED);
}

void sim_check_err(err got, err wanted, const char *file, int line)
{
    if (got != wanted)
        sim_fail("%s:%d: %s, wanted %s", file, line, err_name(got), err_name(wanted));
}

void sim_note(unsigned slot, uint64_t value)
{
    shared->notes[slot] = value;
}

uint64_t sim_noted(unsigned slot)
{
    return shared->notes[slot];
}

const char *sim_fault_name(void)
{
    return shared->fault_name[0] ? shared->fault_name : NULL;
}

void fault_enable(bool on)
{
    plan.on = on;
}

err fault_here(const char *call, err e)
{
    if (!plan.on || ++shared->faults != plan.fault_at)
        return OK;
    snprintf(shared->fault_name, sizeof shared->fault_name, "%s", call);
    return e;
}

/* For the allocator, if it asks: true refuses. */
bool sim_fault_alloc(size_t bytes);
bool sim_fault_alloc(size_t bytes)
{
    (void)bytes;
    return fault_here("an allocation", E_BUDGET) != OK;
}

void fault_cut_here(void)
{
    if (plan.on && ++shared->cuts == plan.cut_at)
        _exit(EXIT_CUT);
}

static void check_handles(void)
{
    if (handles_open() > 0)
        sim_fail("%u descriptors are still open", handles_open());
}

static err run_plain(const struct sim_case *c)
{
    fault_enable(true);
    err result = c->run(c->arg);
    fault_enable(false);
    return result;
}

/* The test runner's handlers would go on with the next test, in the child. */
static void handlers_away(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    for (size_t i = 0; i < COUNT_OF(fatal); i++)
        (void)signal(fatal[i], SIG_DFL);
}

static _Noreturn void live(const struct sim_case *c)
{
    alarm(LIFE_S_MAX);
    handlers_away();
    if (c->setup)
        c->setup(c->arg);
    disk_settle_all();
    err result = c->fibers ? sim_loop(c->run, c->arg) : run_plain(c);
    shared->result = result;
    shared->ended = true;
    check_handles();
    if (c->check)
        c->check(c->arg, result);
    else if (result != OK && !sim_fault_name())
        sim_fail("run() returned %s", err_name(result));
    fflush(NULL);
    _exit(0);
}

static _Noreturn void live_again(const struct sim_case *c)
{
    alarm(LIFE_S_MAX);
    copy_what_lasts();
    disk_power_cut(current_seed * SIM_RUNS_MAX + plan.cut_at, plan.survival);
    plan.on = false;
    shared->cuts = plan.cut_at; /* no change of this life is the one */
    c->reboot(c->arg, shared->ended, shared->result);
    check_handles();
    fflush(NULL);
    _exit(0);
}

/* --- the parent --- */
enum verdict { GOOD, BAD, CUT };

static enum verdict verdict_of(int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return GOOD;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CUT)
        return CUT;
    if (!(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILED)) {
        pid_t told = fork(); /* sim_fail() ends the process that tells */
        if (told == 0)
            sim_fail(WIFSIGNALED(status) ? "ended by signal %d" : "ended with code %d",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        waitpid(told, NULL, 0);
    }
    return BAD;
}

static enum verdict in_a_child(const struct sim_case *c, void (*life)(const struct sim_case *c))
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        life(c);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return BAD;
    return verdict_of(status);
}

static void prepare(const struct sim_case *c, uint64_t seed)
{
    if (!shared) {
        shared = sim_shared(sizeof *shared);
        disk_map();
    }
    memset(shared, 0, sizeof *shared);
    disk_format();
    current = c;
    current_seed = seed;
    world_reset(seed);
}

static enum verdict one_life(const struct sim_case *c, uint64_t seed, uint64_t fault_at, uint64_t cut_at)
{
    plan.fault_at = fault_at;
    plan.cut_at = cut_at;
    prepare(c, seed);
    return in_a_child(c, live);
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static bool is_left_out(const struct sim_case *c)
{
    const char *only = getenv("SIM_CASE");
    return only && *only && strcmp(only, c->name) != 0;
}

bool sim_is_narrowed(void)
{
    return getenv("SIM_SEED") || getenv("SIM_CASE") || getenv("SIM_SEEDS");
}

bool sim_seeds(const struct sim_case *c, unsigned count)
{
    if (is_left_out(c))
        return true;
    uint64_t only = number_from("SIM_SEED", 0), most = number_from("SIM_SEEDS", count);
    count = most < count ? (unsigned)most : count;
    for (uint64_t seed = only ? only : SEED_DEFAULT; count > 0; seed++, count = only ? 0 : count - 1)
        if (one_life(c, seed, 0, 0) != GOOD)
            return false;
    return true;
}

/* What is tried after this one. */
static uint64_t next_tried(const struct sim_case *c, uint64_t at)
{
    uint64_t first = number_from("SIM_FIRST", FIRST_TRIED), step = number_from("SIM_STEP", 1) * (c->step ? c->step : 1);
    step = step < SIM_RUNS_MAX / 20 ? step : SIM_RUNS_MAX / 20; /* the end is met before the bound */
    return at + (at < first ? 1 : step);
}

bool sim_each_fault(const struct sim_case *c)
{
    if (is_left_out(c))
        return true;
    uint64_t seed = number_from("SIM_SEED", SEED_DEFAULT), only = number_from("SIM_FAULT", 0);
    if (!only && one_life(c, seed, 0, 0) != GOOD)
        return false;
    uint64_t last = c->faults_max ? c->faults_max : SIM_RUNS_MAX - 1;
    for (uint64_t at = only ? only : 1; only || at <= last; at = next_tried(c, at)) {
        if (one_life(c, seed, at, 0) != GOOD)
            return false;
        if (only || !shared->fault_name[0]) {
            fprintf(stderr, "sim: %s: %llu faults, in the end each %llu. one\n", c->name, (unsigned long long)at - 1,
                    (unsigned long long)(next_tried(c, SIM_RUNS_MAX) - SIM_RUNS_MAX));
            return only || at > 1; /* a run without a fallible call proves nothing */
        }
    }
    return c->faults_max > 0;
}

/* A life, and a boot for each way in which its disk may survive. */
static enum verdict one_cut(const struct sim_case *c, uint64_t seed, uint64_t cut_at)
{
    enum verdict v = one_life(c, seed, 0, cut_at);
    for (plan.survival = 0; v != BAD && plan.survival < SURVIVALS; plan.survival++)
        if (in_a_child(c, live_again) != GOOD)
            return BAD;
    return v;
}

bool sim_each_power_cut(const struct sim_case *c)
{
    if (is_left_out(c))
        return true;
    uint64_t seed = number_from("SIM_SEED", SEED_DEFAULT), only = number_from("SIM_CUT", 0);
    for (uint64_t at = only ? only : 1; at < SIM_RUNS_MAX; at = next_tried(c, at)) {
        enum verdict v = one_cut(c, seed, at);
        if (v == BAD)
            return false;
        if (only || v == GOOD) {
            fprintf(stderr, "sim: %s: %llu power cuts x %d\n", c->name, (unsigned long long)at, SURVIVALS);
            return only || at > 1;
        }
    }
    return false;
}
