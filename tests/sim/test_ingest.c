/* The whole agent between an API server that is a model and a platform that is another: after each story what the platform was
 * told is what the API server has, and on the way there it never heard an older state of an object after a newer one. */
#include "board/rt/base.h"
#include "tests/sim/ingest_story.h"
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEEDS 2

static const struct story stories[] = {
    {"start", TELLS({SET, 0, 9}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1}, {EVENTS, 0, 0})},
    {"an empty cluster", TELLS({LAW, 0, 0}, {WAIT, 5000, 0}, {SNAPSHOTS, 1, 1}, {EVENTS, 0, 0}, {SET, 0, 0}, {LAW, 2000, 0})},
    {"made, changed, deleted, made anew",
     TELLS({LAW, 0, 0}, {SET, 0, 3}, {LAW, 2000, 0}, {SET, 1, 2}, {LAW, 2000, 0}, {DELETE, 0, 1}, {LAW, 2000, 0}, {SET, 0, 3},
           {LAW, 2000, 0}, {SNAPSHOTS, 1, 1}, {EVENTS, 24, 24})},
    {"what is not told makes no event",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {TOUCH, 0, 9}, {WAIT, 5000, 0}, {EVENTS, 0, 0}, {LAW, 0, 0})},
    {"pages", TELLS({PAGE, 3, 0}, {SET, 0, 20}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"a continue token that is too old", TELLS({PAGE, 3, 0}, {EXPIRE, 0, 0}, {SET, 0, 20}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"the platform is down, then up",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {PLATFORM_DOWN, 1, 0}, {SET, 0, 4}, {DELETE, 7, 8}, {WAIT, 90000, 0}, {SET, 2, 5},
           {DELETE, 0, 0}, {SET, 0, 0}, {PLATFORM_DOWN, 0, 0}, {LAW, 180000, 0}, {SNAPSHOTS, 1, 1})},
    {"what came into being and changed while the platform was down is new to it",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {PLATFORM_DOWN, 1, 0}, {SET, 5, 40}, {WAIT, 5000, 0}, {SET, 20, 40}, {DELETE, 30, 32},
           {PLATFORM_DOWN, 0, 0}, {LAW, 180000, 0}, {UNKNOWN, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"what came into being is new to the platform, whatever became of its first tries",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {SET, 10, 39}, {WAIT, 300, 0}, {SET, 10, 39}, {WAIT, 900, 0}, {SET, 10, 39},
           {DELETE, 20, 22}, {SET, 20, 22}, {SET, 20, 22}, {LAW, 0, 0}, {UNKNOWN, 0, 0}, {SNAPSHOTS, 1, 1}),
     .faults = {{.op = PLATFORM_EVENT, .from = 2, .to = 26, .status = 503},
                {.op = PLATFORM_EVENT, .from = 39, .to = 52, .how = PLATFORM_LOST},
                {.op = PLATFORM_EVENT, .from = 65, .to = 77, .how = PLATFORM_CUT}}},
    {"what came into being while the spool overflowed, and since, is new to the platform or in the snapshot",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {PLATFORM_DOWN, 1, 0}, {FILL, 10, 199}, {WAIT, 60000, 0}, {SET, 0, 199}, {WAIT, 6000, 0},
           {PLATFORM_DOWN, 0, 0}, {SET, 150, 210}, {LAW, 0, 0}, {SET, 200, 250}, {SET, 200, 250}, {LAW, 0, 0}, {UNKNOWN, 0, 0}),
     .spool_bytes = (int64_t)KIB(64)},
    {"what came into being while the cluster was listed again is new to the platform",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {PLATFORM_DOWN, 1, 0}, {API_DOWN, 1, 0}, {SET, 5, 40}, {COMPACT, 0, 0}, {PAGE, 3, 0},
           {API_DOWN, 0, 0}, {WAIT, 400, 0}, {SET, 30, 60}, {WAIT, 100, 0}, {SET, 30, 60}, {WAIT, 5000, 0}, {SET, 20, 60},
           {DELETE, 30, 32}, {PLATFORM_DOWN, 0, 0}, {LAW, 0, 0}, {UNKNOWN, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"the platform is down at the start",
     TELLS({PLATFORM_DOWN, 1, 0}, {SET, 0, 9}, {WAIT, 60000, 0}, {SET, 3, 12}, {PLATFORM_DOWN, 0, 0}, {LAW, 0, 0})},
    {"the platform is down for long: the spool overflows, one snapshot mends it",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {RESET, 0, 0}, {PLATFORM_DOWN, 1, 0}, {FILL, 10, 199}, {WAIT, 60000, 0}, {SET, 0, 3},
           {DELETE, 4, 8}, {WAIT, 60000, 0}, {PLATFORM_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1}, {EVENTS, 0, 60}),
     .spool_bytes = (int64_t)KIB(64)},
    {"the API server restarts", TELLS({SET, 0, 9}, {LAW, 0, 0}, {API_DOWN, 1, 0}, {SET, 3, 5}, {DELETE, 6, 6}, {WAIT, 60000, 0},
                                      {API_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"410, and a delete that nobody told of",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {API_DOWN, 1, 0}, {DELETE, 3, 5}, {SET, 1, 4}, {SET, 10, 12}, {COMPACT, 0, 0},
           {API_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"410, and pages of the new list expire",
     TELLS({SET, 0, 19}, {LAW, 0, 0}, {PAGE, 2, 0}, {EXPIRE, 0, 0}, {API_DOWN, 1, 0}, {DELETE, 3, 15}, {COMPACT, 0, 0},
           {API_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"the API server is silent", TELLS({SET, 0, 9}, {LAW, 0, 0}, {API_SILENT, 1, 0}, {SET, 3, 5}, {DELETE, 6, 6},
                                       {WAIT, 200000, 0}, {API_SILENT, 0, 0}, {SET, 4, 4}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"heartbeats", TELLS({SET, 0, 9}, {LAW, 0, 0}, {WAIT, 1250000, 0}, {HEARTBEATS, 4, 4}, {SNAPSHOTS, 1, 1}, {EVENTS, 0, 0})},
    {"memory stays what it is",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {WAIT, 10000, 0}, {FLAT, 0, 0}, {SET, 0, 250}, {LAW, 0, 0}, {DELETE, 5, 240}, {LAW, 0, 0},
           {API_DOWN, 1, 0}, {DELETE, 0, 2}, {COMPACT, 0, 0}, {API_DOWN, 0, 0}, {LAW, 0, 0}, {WAIT, 10000, 0}, {FLAT, 0, 0})},
    {"an event that sticks in the middle",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {STICK_WATCH, 0, 0}, {SET, 3, 5}, {DELETE, 6, 6}, {LAW, 60000, 0}, {SNAPSHOTS, 1, 1})},
    {"a list that sticks in the middle", TELLS({STICK_LIST, 0, 0}, {SET, 0, 9}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"the platform refuses two events: a fresh snapshot",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {RESET, 0, 0}, {SET, 0, 9}, {LAW, 0, 0}, {SNAPSHOTS, 1, 2}),
     .faults = {{.op = PLATFORM_EVENT, .from = 3, .to = 4, .status = 422}}},
    {"the platform refuses the snapshot: another one later",
     TELLS({SET, 0, 9}, {WAIT, 10000, 0}, {SET, 3, 4}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1}),
     .faults = {{.op = PLATFORM_SNAPSHOT, .from = 1, .to = 1, .status = 422}}},
    {"the platform refuses each snapshot (413): one after 5, 10, 20, 40 and then each 60 min, and it is told when",
     TELLS({SET, 0, 9}, {WAIT, MINUTES(4), 0}, {ATTEMPTS, 1, 1}, {STATUS, NEXT_SNAPSHOT, 1}, {WAIT, MINUTES(2), 0},
           {ATTEMPTS, 2, 2}, {WAIT, MINUTES(8), 0}, {ATTEMPTS, 2, 2}, {WAIT, MINUTES(2), 0}, {ATTEMPTS, 3, 3},
           {WAIT, MINUTES(20), 0}, {ATTEMPTS, 4, 4}, {WAIT, MINUTES(40), 0}, {ATTEMPTS, 5, 5}, {WAIT, MINUTES(57), 0},
           {ATTEMPTS, 5, 5}, {WAIT, MINUTES(5), 0}, {ATTEMPTS, 6, 6}, {STATUS, NEXT_SNAPSHOT, 1}, {LAW, HOURS(1), 0},
           {ATTEMPTS, 7, 7}, {STATUS, NEXT_SNAPSHOT, 0}, {SNAPSHOTS, 1, 1}),
     .faults = {{.op = PLATFORM_SNAPSHOT, .from = 1, .to = 6, .status = 413}}},
    {"401 of each token so far",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {REVOKE, 0, 0}, {SET, 0, 5}, {LAW, 30000, 0}, {SNAPSHOTS, 1, 1})},
    {"503 some times, and answers that are lost",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {SET, 0, 9}, {WAIT, 300, 0}, {SET, 2, 6}, {DELETE, 7, 9}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1}),
     .faults = {{.op = PLATFORM_EVENT, .from = 2, .to = 6, .status = 503},
                {.op = PLATFORM_EVENT, .from = 9, .to = 12, .how = PLATFORM_LOST},
                {.op = PLATFORM_EVENT, .from = 15, .to = 17, .how = PLATFORM_CUT}}},
    {"a kind is forbidden at first",
     TELLS({REFUSE, 403, 0}, {SET, 0, 9}, {WAIT, 10000, 0}, {SNAPSHOTS, 1, 1}, {SET, 3, 4}, {REFUSE, 0, 0}, {LAW, 0, 0})},
    {"a kind is forbidden when a fresh snapshot is made: another one when it is not any more",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {REFUSE, 403, 0}, {SET, 0, 0}, {WAIT, 10000, 0}, {REFUSE, 0, 0}, {LAW, 0, 0}),
     .faults = {{.op = PLATFORM_EVENT, .from = 1, .to = 1, .status = 422}}},
    {"a kind is answered 500 for ever: the others are streamed",
     TELLS({REFUSE, 500, 0}, {SET, 0, 9}, {WAIT, 600000, 0}, {SNAPSHOTS, 1, 1}, {SET, 3, 4}, {REFUSE, 0, 0}, {LAW, 0, 0})},
    {"watches are answered 429 and a Retry-After of an hour: it is told, and does not take longer than 5 min",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {STATUS, NO_WAIT, 20}, {REFUSE, 429, 0}, {API_DOWN, 1, 0}, {API_DOWN, 0, 0}, {WAIT, 3000, 0},
           {STATUS, NO_WAIT, 18}, {REFUSE, 0, 0}, {SET, 3, 5}, {WAIT, 280000, 0}, {STATUS, NO_WAIT, 18}, {LAW, 30000, 0},
           {STATUS, NO_WAIT, 20}, {SNAPSHOTS, 1, 1})},
    {"401 for all lists: no snapshot of an empty cluster",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {RESET, 0, 0}, {REFUSE, 401, 0}, {SET, 0, 0}, {WAIT, 60000, 0}, {SNAPSHOTS, 0, 0},
           {REFUSE, 0, 0}, {LAW, 0, 0}),
     .faults = {{.op = PLATFORM_EVENT, .from = 1, .to = 1, .status = 422}}},
    {"two hubs with one spool: the second streams nothing and says why, until the first is killed",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {STATUS, IS_HELD, 0}, {RESET, 0, 0}, {HELD, 1, 0}, {SET, 3, 6}, {WAIT, 60000, 0},
           {STATUS, IS_HELD, 1}, {SNAPSHOTS, 0, 0}, {EVENTS, 0, 0}, {HELD, 0, 0}, {LAW, 40000, 0}, {STATUS, IS_HELD, 0},
           {SNAPSHOTS, 1, 1})},
    {"SIGTERM with the rest spooled",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {PLATFORM_DOWN, 1, 0}, {SET, 0, 5}, {DELETE, 7, 8}, {WAIT, 1000, 0}, {RESTART, 0, 0},
           {SET, 3, 6}, {DELETE, 0, 0}, {WAIT, 5000, 0}, {PLATFORM_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 2, 3})},
    {"a snapshot that a process before us could not send",
     TELLS({PLATFORM_DOWN, 1, 0}, {SET, 0, 9}, {WAIT, 3000, 0}, {SET, 0, 5}, {DELETE, 7, 7}, {WAIT, 3000, 0}, {RESTART, 0, 0},
           {SET, 0, 2}, {WAIT, 3000, 0}, {SET, 1, 3}, {WAIT, 1000, 0}, {PLATFORM_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"SIGTERM again and again",
     TELLS({SET, 0, 9}, {WAIT, 20, 0}, {RESTART, 0, 0}, {WAIT, 200, 0}, {RESTART, 0, 0}, {SET, 0, 5}, {WAIT, 400, 0},
           {RESTART, 0, 0}, {DELETE, 2, 4}, {WAIT, 30, 0}, {RESTART, 0, 0}, {LAW, 0, 0})},
    {"the wall clock jumps", TELLS({SET, 0, 9}, {LAW, 0, 0}, {JUMP, 86400 * 3, 0}, {SET, 0, 3}, {LAW, 60000, 0},
                                   {JUMP, -86400 * 5, 0}, {SET, 3, 9}, {WAIT, 400000, 0}, {DELETE, 1, 2}, {LAW, 60000, 0})},
    {"the disk is full at the spool",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {PLATFORM_DOWN, 1, 0}, {DISK, 1, 0}, {FILL, 10, 200}, {SET, 0, 5}, {DELETE, 7, 8},
           {WAIT, 60000, 0}, {PLATFORM_DOWN, 0, 0}, {WAIT, 60000, 0}, {DISK, 0, 0}, {LAW, 0, 0})},
    {"the disk is full at the snapshot's file",
     TELLS({FILL, 0, 200}, {DISK, 1, 0}, {WAIT, 60000, 0}, {SET, 3, 9}, {DISK, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 2})},
};

static void a_story(void **state)
{
    struct sim_case c = {.setup = story_setup, .run = story_run, .fibers = true, .arg = *state};
    c.name = ((const struct story *)*state)->name;
    assert_true(sim_seeds(&c, SEEDS));
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(stories)];
    story_share();
    for (size_t i = 0; i < COUNT_OF(stories); i++)
        tests[i] = (struct CMUnitTest){stories[i].name, a_story, NULL, NULL, (void *)(uintptr_t)&stories[i]};
    return _cmocka_run_group_tests("ingest", tests, COUNT_OF(stories), NULL, NULL);
}
