/* Wait queues, semaphores and channels: order, closing, and random schedules in which nothing may be lost, doubled or overtaken.
 * Inside fibers nothing jumps out (cmocka's assertions do): they CHECK(), and the test looks at the count when the loop is over.
 */
#include "board/rt/mem.h"
#include "board/rt/sync.h"

#include "tests/unit/check.h"

#include <string.h>

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(random_state >> 33) % n;
}

/* --- wait queue --- */
static struct waitq queue;
static char order[16];
static size_t order_len;

static const struct queued {
    char name;
    ms after; /* its deadline; 0: none */
} queued[] = {{'a', 0}, {'b', 3}, {'c', 0}, {'d', 3}, {'e', 0}};

static err queued_run(void *arg)
{
    const struct queued *q = arg;
    err e = waitq_wait(&queue, q->after == 0 ? FOREVER : loop_now() + q->after);
    CHECK(e == (q->after == 0 ? OK : E_TIMEOUT));
    order[order_len++] = q->name;
    return OK;
}

static err queue_body(void *arg)
{
    (void)arg;
    struct group g;
    order_len = 0;
    CHECK(!waitq_wake_one(&queue));
    group_open(&g, TASK_BACKUP);
    for (size_t i = 0; i < COUNT_OF(queued); i++)
        CHECK(group_spawn(&g, "queued", queued_run, (void *)(uintptr_t)&queued[i]) == OK);
    fiber_yield();
    CHECK(fiber_sleep(loop_now() + 10) == OK); /* b and d give up, out of the middle */
    CHECK(waitq_wake_one(&queue));
    fiber_yield();
    CHECK(order_len == 3 && order[2] == 'a');
    waitq_wake_all(&queue);
    CHECK(!waitq_wake_one(&queue));
    CHECK(group_join(&g, FOREVER) == OK);
    CHECK(order_len == 5 && memcmp(order + 2, "ace", 3) == 0);
    return OK;
}

static void a_queue_is_first_in_first_out(void **state)
{
    (void)state;
    fibers_run(queue_body, NULL, OK);
}

/* --- handing over: what is given to a waiter stays its own --- */
static struct sem sem;
static err got;

static err taker(void *arg)
{
    (void)arg;
    got = sem_take(&sem, FOREVER);
    return OK;
}

static err hand_over_body(void *arg)
{
    (void)arg;
    struct group g;
    sem_init_count(&sem, 0);
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "taker", taker, NULL) == OK);
    fiber_yield();
    sem_give(&sem);
    CHECK(sem_take(&sem, loop_now() - 1) == E_TIMEOUT); /* not for us, though its taker has not run yet */
    group_cancel(&g);
    CHECK(group_join(&g, FOREVER) == OK);
    CHECK(got == OK); /* the permit came before the cancel */
    sem_give(&sem);
    CHECK(sem.count == 1);
    CHECK(sem_take(&sem, loop_now() - 1) == OK); /* no waiting needed, no deadline looked at */
    return OK;
}

static void a_permit_handed_over_is_not_lost_or_stolen(void **state)
{
    (void)state;
    fibers_run(hand_over_body, NULL, OK);
}

/* --- semaphore, random schedules --- */
#define PERMITS 3
#define TAKERS  10

static unsigned held, held_peak, arrivals, granted_last, overtakings, takes;

/* Order is looked at among those that nothing but a permit can end the wait of: they run in the order of the grants. */
static err random_taker(void *arg)
{
    bool lasting = *(bool *)arg;
    for (unsigned i = 0; i < 60; i++) {
        unsigned arrival = ++arrivals;
        ms deadline = random_below(3) == 0 ? loop_now() + random_below(2) : FOREVER;
        bool waits = sem.count == 0 && deadline == FOREVER && lasting;
        err e = sem_take(&sem, deadline);
        if (e == E_CANCELED)
            return e;
        if (e == E_TIMEOUT)
            continue;
        overtakings += waits && arrival < granted_last;
        granted_last = waits ? arrival : granted_last;
        takes++;
        held++;
        held_peak = held > held_peak ? held : held_peak;
        for (unsigned n = random_below(4); n > 0; n--)
            fiber_yield();
        if (random_below(16) == 0) {
            fiber_shield();
            CHECK(fiber_sleep(loop_now() + 1) == OK);
            fiber_unshield();
        }
        held--;
        sem_give(&sem);
    }
    return OK;
}

static err sem_body(void *arg)
{
    random_state = *(uint64_t *)arg;
    static bool is_lasting[2] = {false, true};
    struct group lasting, canceled;
    sem_init_count(&sem, PERMITS);
    held = held_peak = arrivals = granted_last = overtakings = takes = 0;
    group_open(&lasting, TASK_BACKUP);
    group_open(&canceled, TASK_METRICS);
    for (unsigned i = 0; i < TAKERS; i++)
        CHECK(group_spawn(i % 2 ? &lasting : &canceled, "taker", random_taker, &is_lasting[i % 2]) == OK);
    CHECK(fiber_sleep(loop_now() + random_below(8)) == OK);
    group_close(&canceled);
    CHECK(group_join(&lasting, loop_now() + SECONDS(60)) == OK);
    CHECK(sem.count == PERMITS && sem.waiting.first == NULL && held == 0);
    CHECK(held_peak <= PERMITS && takes > 0);
    CHECK(overtakings == 0);
    return OK;
}

static void permits_are_conserved_under_random_schedules(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        fibers_run(sem_body, &seed, OK);
    }
}

/* --- bell --- */
static struct bell bell;

static void ring_of_timer(struct timer *t)
{
    (void)t;
    bell_ring(&bell);
}

static err bell_body(void *arg)
{
    (void)arg;
    struct timer later = {.fire = ring_of_timer};
    CHECK(bell_wait(&bell, loop_now() - 1) == E_TIMEOUT);
    bell_ring(&bell);
    bell_ring(&bell);
    bell_ring(NULL);
    CHECK(bell_wait(&bell, loop_now() - 1) == OK); /* it rang before; twice is once */
    CHECK(bell_wait(&bell, loop_now() + 2) == E_TIMEOUT);
    timer_arm(&later, loop_now() + 2);
    CHECK(bell_wait(&bell, loop_now() + SECONDS(60)) == OK);
    CHECK(bell_wait(&bell, loop_now() - 1) == E_TIMEOUT);
    return OK;
}

static void a_ring_is_heard_once_however_early(void **state)
{
    (void)state;
    fibers_run(bell_body, NULL, OK);
}

/* --- channel --- */
static struct channel channel;
static uint32_t storage[4];

static err send_run(void *arg)
{
    uint32_t item = *(uint32_t *)arg;
    return channel_send(&channel, &item, FOREVER);
}

static err channel_order_body(void *arg)
{
    (void)arg;
    static uint32_t items[6] = {10, 11, 12, 13, 14, 15};
    uint32_t item = 0;
    struct group g;
    channel_open(&channel, storage, sizeof storage[0], 2);
    group_open(&g, TASK_BACKUP);
    for (unsigned i = 0; i < COUNT_OF(items); i++)
        CHECK(group_spawn(&g, "send", send_run, &items[i]) == OK);
    fiber_yield();
    CHECK(channel.count == 2 && g.count == 4);
    CHECK(channel_try_send(&channel, &item) == E_FULL);
    for (uint32_t i = 0; i < 4; i++) {
        CHECK(channel_receive(&channel, &item, FOREVER) == OK && item == 10 + i);
        CHECK(channel_try_send(&channel, &item) == (i < 4 ? E_FULL : OK)); /* the next in line has the place already */
    }
    CHECK(channel_receive(&channel, &item, loop_now() - 1) == OK && item == 14); /* no waiting needed */
    channel_close(&channel);
    channel_close(&channel);
    CHECK(channel_send(&channel, &item, FOREVER) == E_CLOSED && channel_try_send(&channel, &item) == E_CLOSED);
    CHECK(channel_receive(&channel, &item, FOREVER) == OK && item == 15); /* what was sent before the end */
    CHECK(channel_receive(&channel, &item, FOREVER) == E_CLOSED);
    CHECK(group_join(&g, FOREVER) == OK);
    return OK;
}

static void a_channel_keeps_the_order_and_drains_after_closing(void **state)
{
    (void)state;
    fibers_run(channel_order_body, NULL, OK);
}

static err receive_run(void *arg)
{
    (void)arg;
    uint32_t item;
    return channel_receive(&channel, &item, FOREVER);
}

static err close_body(void *arg)
{
    (void)arg;
    static uint32_t item = 7;
    struct group g;
    channel_open(&channel, storage, sizeof storage[0], 1);
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "receive", receive_run, NULL) == OK);
    fiber_yield();
    channel_close(&channel);
    CHECK(group_join(&g, FOREVER) == E_CLOSED);
    channel_open(&channel, storage, sizeof storage[0], 1);
    CHECK(channel_try_send(&channel, &item) == OK);
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "send", send_run, &item) == OK);
    fiber_yield();
    channel_close(&channel);
    CHECK(group_join(&g, FOREVER) == E_CLOSED);
    CHECK(channel.count == 1); /* the waiting sender's item was told not to be sent, and is not */
    return OK;
}

static void closing_a_channel_ends_both_kinds_of_waits(void **state)
{
    (void)state;
    fibers_run(close_body, NULL, OK);
}

/* --- channel, random schedules --- */
#define SENDERS   5
#define RECEIVERS 4
#define EACH      120

static unsigned sent, received, wrong;
static bool arrived[SENDERS][EACH], left[SENDERS][EACH];

static ms random_deadline(void)
{
    return random_below(3) == 0 ? loop_now() + random_below(2) : FOREVER;
}

static err random_sender(void *arg)
{
    unsigned self = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < EACH; i++) {
        uint32_t item = self << 16 | i;
        err e = random_below(8) == 0 ? channel_try_send(&channel, &item) : channel_send(&channel, &item, random_deadline());
        if (e == OK) {
            left[self][i] = true;
            sent++;
        }
        if (e == E_CANCELED)
            return e;
        if (random_below(4) == 0)
            fiber_yield();
    }
    return OK;
}

static err random_receiver(void *arg)
{
    (void)arg;
    for (;;) {
        uint32_t item = UINT32_MAX;
        err e = channel_receive(&channel, &item, random_deadline());
        if (e == E_CLOSED || e == E_CANCELED)
            return OK;
        if (e == OK) {
            unsigned from = item >> 16, i = item & 0xffff;
            if (from >= SENDERS || i >= EACH || arrived[from][i]) {
                wrong++;
                continue;
            }
            arrived[from][i] = true;
            received++;
        }
        if (random_below(3) == 0)
            fiber_yield();
        if (random_below(64) == 0 && !fiber_canceled())
            (void)!fiber_sleep(loop_now() + 1);
    }
}

static err channel_body(void *arg)
{
    random_state = *(uint64_t *)arg;
    struct group senders, canceled, receivers;
    channel_open(&channel, storage, sizeof storage[0], 1 + random_below(COUNT_OF(storage)));
    sent = received = wrong = 0;
    memset(arrived, 0, sizeof arrived);
    memset(left, 0, sizeof left);
    group_open(&senders, TASK_BACKUP);
    group_open(&canceled, TASK_METRICS);
    group_open(&receivers, TASK_METRICS);
    for (uintptr_t i = 0; i < SENDERS; i++)
        CHECK(group_spawn(i < 3 ? &senders : &canceled, "sender", random_sender, (void *)i) == OK);
    for (unsigned i = 0; i < RECEIVERS; i++)
        CHECK(group_spawn(&receivers, "receiver", random_receiver, NULL) == OK);
    CHECK(fiber_sleep(loop_now() + random_below(6)) == OK);
    group_close(&canceled);
    CHECK(group_join(&senders, loop_now() + SECONDS(60)) == OK);
    channel_close(&channel);
    CHECK(group_join(&receivers, loop_now() + SECONDS(60)) == OK);
    CHECK(sent == received && wrong == 0 && memcmp(arrived, left, sizeof left) == 0);
    CHECK(channel.count == 0 && channel.senders.first == NULL && channel.receivers.first == NULL);
    return OK;
}

static void items_are_conserved_under_random_schedules(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        fibers_run(channel_body, &seed, OK);
    }
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_is_first_in_first_out),
        cmocka_unit_test(a_ring_is_heard_once_however_early),
        cmocka_unit_test(a_permit_handed_over_is_not_lost_or_stolen),
        cmocka_unit_test(permits_are_conserved_under_random_schedules),
        cmocka_unit_test(a_channel_keeps_the_order_and_drains_after_closing),
        cmocka_unit_test(closing_a_channel_ends_both_kinds_of_waits),
        cmocka_unit_test(items_are_conserved_under_random_schedules),
    };
    return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
