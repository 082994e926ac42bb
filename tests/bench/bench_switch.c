/* bench_switch: what one switch from a fiber to another costs: wake, park, the ready list and the registers. Prints nanoseconds,
 * the median of ROUNDS.
 *
 * Layer    tests.   Blocks   about half a second.   Memory   two fibers of TASK_BACKUP.   Errors   exit code 1. */
#include "board/rt/buf.h"
#include "board/rt/fiber.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS       9
#define PINGS_ROUND  100000 /* two switches each */
#define PROFILE_NAME "hub32"

static struct fiber *pinger, *ponger;

static err pong(void *arg)
{
    (void)arg;
    ponger = fiber_self();
    for (unsigned i = 0; i < ROUNDS * PINGS_ROUND; i++) {
        fiber_wake(pinger);
        TRY(fiber_park(FOREVER));
    }
    return OK;
}

static err one_round(double *switch_ns)
{
    int64_t began_ns = os_mono_ns();
    for (unsigned i = 0; i < PINGS_ROUND; i++) {
        fiber_wake(ponger);
        TRY(fiber_park(FOREVER));
    }
    *switch_ns = (double)(os_mono_ns() - began_ns) / (2.0 * PINGS_ROUND);
    return OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static err ping(void *arg)
{
    double *median_ns = arg;
    double rounds_ns[ROUNDS];
    struct group g;
    group_open(&g, TASK_BACKUP);
    pinger = fiber_self();
    err e = group_spawn(&g, "pong", pong, NULL);
    if (e == OK)
        e = fiber_park(FOREVER); /* until the other one is there */
    for (unsigned i = 0; e == OK && i + 1 < ROUNDS; i++)
        e = one_round(&rounds_ns[i]);
    group_close(&g);
    qsort(rounds_ns, ROUNDS - 1, sizeof rounds_ns[0], by_size);
    *median_ns = rounds_ns[(ROUNDS - 1) / 2];
    return e;
}

int main(void)
{
    double median_ns = 0;
    err e = mem_boot(profile_find(PROFILE_NAME), MEM_LAZY);
    if (e == OK)
        e = buf_boot();
    if (e == OK)
        e = loop_run(ping, &median_ns);
    if (e != OK)
        return 1;
    (void)printf("%.1f\n", median_ns);
    return 0;
}
