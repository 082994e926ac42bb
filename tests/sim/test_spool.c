/* The spool under every power cut, a full and a stuck disk and single faults, against a model: what was committed and not done is
 * given again, in order; nothing is invented; per key never an older state after a newer. */
#include "board/rt/fiber.h"
#include "board/rt/text.h"
#include "hal/spool.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SOON       (loop_now() + SECONDS(60))
#define KEYS       4
#define EVENTS_MAX 400
#define BODY_MAX   3000
#define OUT_MAX    8
#define LIVES      3

/* --- the model: what the spool was given and told us, of all lives. Events count from 1; 0 is none --- */

enum state {
    UNSURE, /* the power went while it was appended */
    WAITS,
    OUT,
    DONE,
    REPLACED, /* by event.by */
    CANCELED
};
struct event {
    uint8_t key; /* KEYS: a mark */
    uint8_t type, state;
    bool tried, done_durable;
    unsigned by;
    uint64_t seq;
};
struct model {
    unsigned events, committed;      /* committed: all up to it are, as we were told */
    unsigned given_newest[KEYS + 1]; /* the newest that went out */
    unsigned cleared;                /* all up to it are dropped for good */
    unsigned clearing;               /* or perhaps */
    unsigned note_durable;           /* the note is at least this one */
    struct event event[EVENTS_MAX];
};
static struct model *m;

struct body { /* of an event, padded */
    uint32_t event;
    uint8_t key;
};

static void setup_folder(void *arg)
{
    (void)arg;
    sim_boot(sim_metrics_boot);
    sim_disk_folder("/data");
    memset(m, 0, sizeof *m);
}

static size_t body_bytes(unsigned event)
{
    return sizeof(struct body) + event * 997 % (BODY_MAX - sizeof(struct body));
}

static struct lane lane;

static err spool_at(const char *folder, struct spool **out)
{
    if (!lane.open)
        lane_open(&lane, "spool", TASK_BACKUP, 4);
    const struct spool_options o = {.folder = folder,
                                    .identity = "cluster platform",
                                    .lane = &lane,
                                    .task = TASK_BACKUP,
                                    .bytes_max = KIB(192),
                                    .segment_bytes = KIB(32),
                                    .buffer_bytes = KIB(16),
                                    .records_max = 64,
                                    .gather_ms = 100};
    return spool_open(&o, SOON, out);
}

/* --- a life: ops drawn from the seed --- */

struct life {
    struct spool *s;
    struct {
        uint64_t place;
        unsigned event;
    } out[OUT_MAX];
    unsigned outs;
    uint8_t body[BODY_MAX];
};

static void told_committed(const struct life *l)
{
    uint64_t committed = spool_committed(l->s);
    for (unsigned e = m->committed + 1; e <= m->events && m->event[e].seq != 0 && m->event[e].seq <= committed; e++)
        m->committed = e;
}

/* --- the same rules as spool.h has them, on events --- */

/* Cleared, or being so: the spool has forgotten them in any case. */
static unsigned gone(void)
{
    return m->cleared > m->clearing ? m->cleared : m->clearing;
}

static unsigned waiting_of(unsigned key, unsigned before)
{
    unsigned n = before - 1;
    while (n > gone() && m->event[n].type != SPOOL_MARK && (m->event[n].key != key || m->event[n].state != WAITS))
        n--;
    return n > gone() && m->event[n].type != SPOOL_MARK ? n : 0;
}

static void event_taken(unsigned n)
{
    struct event *e = &m->event[n], *w = &m->event[waiting_of(e->key, n)];
    e->state = WAITS;
    if (w == m->event || (w->type == SPOOL_DELETED && e->type != SPOOL_DELETED))
        return;
    if (w->type == SPOOL_ADDED && e->type == SPOOL_DELETED && !w->tried) {
        w->state = e->state = CANCELED;
        return;
    }
    if (e->type != SPOOL_DELETED)
        e->type = w->type;
    e->tried = w->tried;
    w->state = REPLACED;
    w->by = n;
}

static err op_append(struct life *l)
{
    unsigned n = m->events + 1;
    if (n == EVENTS_MAX)
        return OK;
    struct event *e = &m->event[n];
    struct body head = {n, (uint8_t)sim_draw(KEYS)};
    uint8_t key[SPOOL_KEY_BYTES] = {(uint8_t)(head.key + 1)};
    *e = (struct event){.key = head.key, .type = (uint8_t)(SPOOL_ADDED + sim_draw(3))};
    m->events = n; /* before it is taken: the power may go meanwhile */
    memset(l->body, (int)n, sizeof l->body);
    memcpy(l->body, &head, sizeof head);
    err result = spool_append(l->s, key, e->type, (struct bytes){l->body, body_bytes(n)}, SOON, &e->seq);
    if (result == OK)
        event_taken(n);
    else
        m->events = n - 1;
    return result;
}

static err op_mark(struct life *l)
{
    unsigned n = m->events + 1;
    if (n == EVENTS_MAX)
        return OK;
    m->event[n] = (struct event){.key = KEYS, .type = SPOOL_MARK};
    m->events = n;
    err result = spool_mark(l->s, SOON, &m->event[n].seq);
    m->event[n].state = WAITS;
    if (result != OK)
        m->events = n - 1;
    return result;
}

/* Marks come one after the other. */
static unsigned mark_first(void)
{
    unsigned n = gone() + 1;
    while (n < m->events && (m->event[n].type != SPOOL_MARK || m->event[n].state == DONE))
        n++;
    return n;
}

static unsigned event_of(const struct spool_record *r, const uint8_t *body)
{
    struct body head;
    if (r->type == SPOOL_MARK)
        return mark_first();
    SIM_CHECK(r->bytes >= sizeof head);
    memcpy(&head, body, sizeof head);
    SIM_CHECK(head.event >= 1 && head.event <= m->events && r->bytes == body_bytes(head.event));
    SIM_CHECK(m->event[head.event].key == head.key && r->key[0] == head.key + 1);
    for (size_t i = sizeof head; i < r->bytes; i++)
        SIM_CHECK(body[i] == (uint8_t)head.event);
    return head.event;
}

static err op_next(struct life *l)
{
    struct spool_record r;
    if (l->outs == OUT_MAX)
        return OK;
    err e = spool_next(l->s, l->body, sizeof l->body, 0, &r);
    if (e != OK)
        return e == E_TIMEOUT ? OK : e;
    unsigned n = event_of(&r, l->body);
    struct event *event = &m->event[n];
    SIM_CHECK(event->state == WAITS && n > m->cleared && r.type == event->type && r.repeated == event->tried);
    SIM_CHECK(event->key == KEYS || n >= m->given_newest[event->key]);
    for (unsigned i = 0; i < l->outs; i++)
        SIM_CHECK(m->event[l->out[i].event].key != event->key && m->event[l->out[i].event].key != KEYS);
    m->given_newest[event->key] = n;
    event->state = OUT;
    event->tried = true;
    l->out[l->outs].place = r.place;
    l->out[l->outs++].event = n;
    return OK;
}

static err op_done(struct life *l, bool back)
{
    if (l->outs == 0)
        return OK;
    unsigned i = (unsigned)sim_draw(l->outs);
    m->event[l->out[i].event].state = back ? WAITS : DONE;
    if (back)
        spool_back(l->s, l->out[i].place);
    else
        spool_done(l->s, l->out[i].place);
    l->out[i] = l->out[--l->outs];
    return OK;
}

static err op_note(struct life *l)
{
    uint32_t n = m->events;
    return spool_note_set(l->s, (struct bytes){(const uint8_t *)&n, sizeof n});
}

static unsigned note_of(const struct spool *s)
{
    uint32_t n = 0;
    struct bytes note = spool_note_get(s);
    SIM_CHECK(note.len == 0 || note.len == sizeof n);
    memcpy(&n, note.at, note.len);
    return n;
}

static err op_flush(struct life *l)
{
    bool was_done[EVENTS_MAX];
    for (unsigned n = 1; n <= m->events; n++)
        was_done[n] = m->event[n].state == DONE;
    unsigned note = note_of(l->s);
    TRY(spool_flush(l->s, SOON));
    for (unsigned n = 1; n <= m->events; n++)
        m->event[n].done_durable |= was_done[n];
    m->note_durable = note;
    return OK;
}

static err op_clear(struct life *l)
{
    m->clearing = m->events;
    m->note_durable = 0;
    l->outs = 0;
    TRY(spool_clear(l->s, SOON));
    m->cleared = m->clearing;
    if (m->committed < m->cleared)
        m->committed = m->cleared;
    return OK;
}

static err op(struct life *l)
{
    uint64_t what = sim_draw(24);
    if (what < 9)
        return op_append(l);
    if (what < 13)
        return op_next(l);
    if (what < 17)
        return op_done(l, what == 16);
    switch (what) {
    case 17:
        return op_note(l);
    case 18:
        return sim_draw(2) ? op_mark(l) : OK;
    case 19:
        return op_flush(l);
    case 20:
        return sim_draw(12) ? OK : op_clear(l);
    default:
        return fiber_sleep(loop_now() + (ms)sim_draw(sim_draw(3) ? 30 : 300));
    }
}

static err live(struct life *l, unsigned ops)
{
    err e = OK;
    for (unsigned i = 0; e == OK && i < ops; i++) {
        e = op(l);
        if (e == E_FULL)
            e = op_clear(l);
        told_committed(l);
    }
    return e;
}

static err life(unsigned ops)
{
    struct life *l = calloc(1, sizeof *l);
    if (!l)
        return E_BUDGET;
    err e = spool_at("/data/spool", &l->s);
    if (e == OK)
        e = live(l, ops);
    spool_close(l->s, SOON);
    lane_close(&lane);
    free(l);
    return e;
}

/* --- what the next boot must find --- */

struct look {
    unsigned newest[KEYS]; /* that was given now */
    bool seen[EVENTS_MAX];
    unsigned order[EVENTS_MAX], count; /* 0: a mark */
};

/* What the event says is told now, was told, or need not be any more. */
static bool is_told(const struct look *k, unsigned n)
{
    const struct event *e = &m->event[n], *last = &m->event[m->events];
    if (k->seen[n] || e->state == DONE || e->state == CANCELED || n <= gone())
        return true;
    if (e->state == REPLACED)
        return is_told(k, e->by);
    return last->state == UNSURE && last->key == e->key && (k->seen[m->events] || last->type == SPOOL_DELETED);
}

static void law_of_events(const struct look *k, unsigned upto)
{
    for (unsigned n = 1; n <= upto; n++)
        SIM_CHECK(m->event[n].type == SPOOL_MARK || is_told(k, n));
    for (unsigned n = 1; n <= m->events; n++)
        SIM_CHECK(!k->seen[n] || m->event[n].state != REPLACED || !k->seen[m->event[n].by]);
}

static unsigned mark_after(unsigned n)
{
    do
        n++;
    while (n <= m->events && m->event[n].type != SPOOL_MARK);
    return n;
}

/* The marks that came were those from `first` on: nothing is on the wrong side of one. */
static bool marks_fit(const struct look *k, unsigned first, unsigned upto)
{
    unsigned before = 0, mark = first;
    for (unsigned i = 0; i < k->count; i++) {
        if (k->order[i] != 0 && (k->order[i] < before || k->order[i] > mark))
            return false;
        if (k->order[i] != 0)
            continue;
        if (mark > m->events || m->event[mark].done_durable)
            return false;
        before = mark;
        mark = mark_after(mark);
    }
    return mark > upto || m->event[mark].state == DONE;
}

static void law_of_marks(const struct look *k, unsigned upto)
{
    bool fit = false;
    for (unsigned first = mark_after(m->cleared); !fit && first <= m->events + 1; first = mark_after(first)) {
        fit = marks_fit(k, first, upto);
        if (first <= upto && first > gone() && m->event[first].state != DONE)
            break; /* this one must be among them */
    }
    SIM_CHECK(fit);
}

static void see(struct life *l, struct look *k, const struct spool_record *r)
{
    unsigned n = r->type == SPOOL_MARK ? 0 : event_of(r, l->body);
    struct event *e = &m->event[n];
    k->order[k->count++] = n;
    if (n == 0)
        return;
    SIM_CHECK(n > m->cleared && !e->done_durable && !k->seen[n] && r->repeated);
    SIM_CHECK(n >= m->given_newest[e->key] && n > k->newest[e->key]);
    SIM_CHECK(r->type == e->type || e->state == UNSURE);
    k->newest[e->key] = n;
    k->seen[n] = true;
}

static void drain(struct life *l, struct look *k)
{
    struct spool_record r;
    for (bool any = true; any;) {
        any = false;
        for (; spool_next(l->s, l->body, sizeof l->body, 0, &r) == OK; any = true) {
            see(l, k, &r);
            spool_done(l->s, r.place);
        }
        SIM_CHECK_ERR(spool_flush(l->s, SOON), OK);
    }
}

static void law(struct life *l, struct look *k, unsigned committed)
{
    SIM_CHECK(!spool_lost(l->s));
    unsigned note = note_of(l->s);
    SIM_CHECK(note <= m->events && (note >= m->note_durable || m->clearing > m->cleared));
    drain(l, k);
    law_of_events(k, committed > note ? committed : note);
    law_of_marks(k, committed);
}

static void new_page(void)
{
    m->committed = m->cleared = m->clearing = m->events;
    memset(m->given_newest, 0, sizeof m->given_newest);
}

/* The next boot: it holds, and so it does for what is done then. */
static err look_after(void *arg)
{
    struct life *l = calloc(1, sizeof *l);
    struct look *k = calloc(2, sizeof *k);
    (void)arg;
    SIM_CHECK(l && k);
    SIM_CHECK_ERR(spool_at("/data/spool", &l->s), OK);
    law(l, &k[0], m->committed);
    new_page();
    SIM_CHECK_ERR(live(l, 40), OK);
    SIM_CHECK_ERR(op_flush(l), OK);
    spool_close(l->s, SOON);
    SIM_CHECK_ERR(spool_at("/data/spool", &l->s), OK);
    law(l, &k[1], m->events);
    spool_close(l->s, SOON);
    lane_close(&lane);
    free(k);
    free(l);
    return OK;
}

static void reboot(void *arg, bool ended, err result)
{
    SIM_CHECK(!ended || result == OK);
    sim_boot(sim_metrics_boot);
    SIM_CHECK_ERR(sim_loop(look_after, arg), OK);
}

static err run_short(void *arg)
{
    for (unsigned i = 0; i < *(const unsigned *)arg; i++)
        (void)sim_draw(2); /* other dice */
    return life(150);
}

static err run_long(void *arg)
{
    (void)arg;
    return life(600);
}

static void test_power_cut(void **state)
{
    (void)state;
    for (unsigned dice = 0; dice < LIVES; dice++) {
        struct sim_case c = {.name = "power", .setup = setup_folder, .run = run_short, .reboot = reboot, .fibers = true};
        c.arg = &dice;
        assert_true(sim_each_power_cut(&c));
    }
}

static void test_power_cut_long(void **state)
{
    (void)state;
    unsigned dice = LIVES;
    struct sim_case c = {.name = "long", .setup = setup_folder, .run = run_long, .reboot = reboot, .fibers = true, .step = 11};
    c.arg = &dice;
    assert_true(sim_each_power_cut(&c));
}

/* --- each fallible call fails once: what was refused is not in it, all else is --- */

/* After a fault nothing else fails; the next boot has all that was told durable. */
static err faults_look(struct life *l)
{
    struct look *k = calloc(1, sizeof *k);
    err e = k ? spool_at("/data/spool", &l->s) : E_BUDGET;
    if (e == OK && sim_fault_name()) {
        l->outs = 0;
        law(l, k, m->committed);
        new_page();
        e = live(l, 20);
    }
    if (e == OK)
        spool_close(l->s, SOON);
    free(k);
    return e;
}

static err run_faults(void *arg)
{
    struct life *l = calloc(1, sizeof *l);
    (void)arg;
    err e = l ? spool_at("/data/spool", &l->s) : E_BUDGET;
    bool open = e == OK;
    for (unsigned i = 0; open && i < 60; i++) {
        err one = op(l);
        e = e == OK ? one : e;
        told_committed(l);
    }
    if (open)
        spool_close(l->s, SOON);
    if (open) {
        err one = faults_look(l);
        e = e == OK ? one : e;
    }
    lane_close(&lane);
    free(l);
    return e;
}

static void check_faults(void *arg, err result)
{
    (void)arg;
    SIM_CHECK(result == OK || sim_fault_name() != NULL);
}

static void test_each_fault(void **state)
{
    (void)state;
    struct sim_case c = {.name = "fault", .setup = setup_folder, .run = run_faults, .check = check_faults, .fibers = true};
    assert_true(sim_each_fault(&c));
}

/* --- a full disk: told, nothing of what was taken is lost, and cleared it works again --- */

static err run_full(void *arg)
{
    struct life *l = calloc(1, sizeof *l);
    struct look *k = calloc(1, sizeof *k);
    (void)arg;
    SIM_CHECK(l && k);
    SIM_CHECK_ERR(spool_at("/data/spool", &l->s), OK);
    SIM_CHECK_ERR(live(l, 60), OK);
    SIM_CHECK_ERR(op_flush(l), OK);
    sim.disk_bytes = KIB(4) + sim_draw(KIB(64));
    err e = live(l, 200);
    SIM_CHECK(e == OK || e == E_NOSPACE);
    e = spool_flush(l->s, SOON);
    SIM_CHECK(e == OK || e == E_NOSPACE);
    sim.disk_bytes = MIB(48);
    SIM_CHECK_ERR(op_flush(l), OK);
    told_committed(l);
    spool_close(l->s, SOON);
    SIM_CHECK_ERR(spool_at("/data/spool", &l->s), OK);
    law(l, k, m->committed);
    spool_close(l->s, SOON);
    lane_close(&lane);
    free(k);
    free(l);
    return OK;
}

static void test_full_disk(void **state)
{
    (void)state;
    struct sim_case c = {.name = "full", .setup = setup_folder, .run = run_full, .fibers = true};
    assert_true(sim_seeds(&c, 12));
}

/* --- a disk that sticks for a while: nothing hangs, nothing is lost --- */

static err run_stuck(void *arg)
{
    struct life *l = calloc(1, sizeof *l);
    struct look *k = calloc(1, sizeof *k);
    (void)arg;
    SIM_CHECK(l && k);
    SIM_CHECK_ERR(spool_at("/data/spool", &l->s), OK);
    sim_stick_job(1 + (unsigned)sim_draw(8), SECONDS(20 + (int64_t)sim_draw(60)));
    ms began = loop_now();
    for (unsigned i = 0; i < 60; i++) {
        err e = op(l);
        SIM_CHECK(e == OK || e == E_TIMEOUT || e == E_BUSY);
        told_committed(l);
    }
    SIM_CHECK(loop_now() - began < MINUTES(20));
    for (unsigned i = 0; i < 4 && op_flush(l) != OK; i++) /* one job sticks, it may be this one */
        SIM_CHECK_ERR(fiber_sleep(loop_now() + SECONDS(100)), OK);
    SIM_CHECK_ERR(op_flush(l), OK);
    told_committed(l);
    spool_close(l->s, SOON);
    err e = spool_at("/data/spool", &l->s);
    if (e == E_TIMEOUT) { /* it was this one */
        SIM_CHECK_ERR(fiber_sleep(loop_now() + SECONDS(100)), OK);
        e = spool_at("/data/spool", &l->s);
    }
    SIM_CHECK_ERR(e, OK);
    sim_stick_job(0, 0); /* too few jobs came for it to be one of them */
    law(l, k, m->events);
    spool_close(l->s, SOON);
    lane_close(&lane);
    free(k);
    free(l);
    return OK;
}

static void test_stuck_disk(void **state)
{
    (void)state;
    struct sim_case c = {.name = "stuck", .setup = setup_folder, .run = run_stuck, .fibers = true};
    assert_true(sim_seeds(&c, 12));
}

/* --- old files go: what still waits in them is written again, and keeps its place; so is the note --- */

#define STAY  8
#define CHURN 90 /* of 3,000 bytes: more than all files may have */
#define NOTE  "what was believed then"

static err churn(struct spool *s, unsigned count)
{
    static uint8_t body[BODY_MAX];
    uint8_t key[SPOOL_KEY_BYTES] = {STAY + 1};
    struct spool_record r;
    uint64_t seq;
    for (unsigned i = 0; i < count; i++) {
        TRY(spool_append(s, key, SPOOL_MODIFIED, (struct bytes){body, sizeof body}, SOON, &seq));
        TRY(spool_flush(s, SOON));
        TRY(spool_next(s, body, sizeof body, SOON, &r));
        SIM_CHECK(r.key[0] == STAY + 1);
        spool_done(s, r.place);
    }
    return spool_flush(s, SOON);
}

/* All that stay are taken, in their order, and held. */
static err take_those_that_stay(struct spool *s)
{
    struct spool_record r;
    uint8_t body[4];
    for (uint8_t n = 1; n <= STAY; n++) {
        TRY(spool_next(s, body, sizeof body, SOON, &r));
        SIM_CHECK(r.key[0] == n && r.bytes == 1 && body[0] == n && r.type == SPOOL_ADDED);
    }
    return OK;
}

static err run_old_files(void *arg)
{
    struct spool *s = NULL;
    struct spool_stats stats;
    uint64_t seq;
    (void)arg;
    err e = spool_at("/data/spool", &s);
    for (uint8_t n = 1; e == OK && n <= STAY; n++)
        e = spool_append(s, (const uint8_t[SPOOL_KEY_BYTES]){n}, SPOOL_ADDED, (struct bytes){&n, 1}, SOON, &seq);
    if (e == OK)
        e = spool_note_set(s, bytes_of(NOTE));
    if (e == OK)
        e = spool_flush(s, SOON);
    sim_note(0, e == OK);
    if (e == OK)
        e = take_those_that_stay(s);
    if (e == OK)
        e = churn(s, CHURN);
    spool_look(s, &stats);
    SIM_CHECK(stats.moved >= 2 * STAY && stats.bytes < KIB(160)); /* more than once */
    spool_close(s, SOON);
    lane_close(&lane);
    return e;
}

static err look_at_old_files(void *arg)
{
    uint8_t body[BODY_MAX];
    struct spool_record r;
    (void)arg;
    for (unsigned times = 0; times < 3; times++) {
        struct spool *s = NULL;
        SIM_CHECK_ERR(spool_at("/data/spool", &s), OK);
        SIM_CHECK(!spool_lost(s) && bytes_equal_text(spool_note_get(s), NOTE));
        SIM_CHECK_ERR(take_those_that_stay(s), OK);
        while (spool_next(s, body, sizeof body, 0, &r) == OK) {
            SIM_CHECK(r.key[0] == STAY + 1);
            spool_done(s, r.place);
        }
        SIM_CHECK_ERR(churn(s, CHURN / 3), OK);
        spool_close(s, SOON);
    }
    lane_close(&lane);
    return OK;
}

static void reboot_old_files(void *arg, bool ended, err result)
{
    SIM_CHECK(!ended || result == OK);
    sim_boot(sim_metrics_boot);
    if (sim_noted(0))
        SIM_CHECK_ERR(sim_loop(look_at_old_files, arg), OK);
}

static void test_old_files_go(void **state)
{
    (void)state;
    struct sim_case c = {
        .name = "old files", .setup = setup_folder, .run = run_old_files, .reboot = reboot_old_files, .fibers = true, .step = 7};
    assert_true(sim_each_power_cut(&c));
}

int main(void)
{
    m = sim_shared(sizeof *m);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_cut), cmocka_unit_test(test_power_cut_long), cmocka_unit_test(test_each_fault),
        cmocka_unit_test(test_full_disk), cmocka_unit_test(test_stuck_disk),     cmocka_unit_test(test_old_files_go),
    };
    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
