#include "tests/sim/spool_model.h"

#include "board/rt/fiber.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"

#include <stdlib.h>
#include <string.h>

struct model *spool_model;

struct body { /* of an event, padded */
    uint32_t event;
    uint8_t key;
};

void model_setup(void *arg)
{
    (void)arg;
    sim_boot(sim_metrics_boot);
    sim_disk_folder("/data");
    memset(spool_model, 0, sizeof *spool_model);
}

static size_t body_bytes(unsigned event)
{
    return sizeof(struct body) + event * 997 % (BODY_MAX - sizeof(struct body));
}

static struct lane lane;

err model_open(const char *folder, struct spool **out)
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

void model_end(void)
{
    lane_close(&lane);
}

/* --- a life: ops drawn from the seed --- */

void model_told(const struct life *l)
{
    uint64_t committed = spool_committed(l->s);
    for (unsigned e = spool_model->committed + 1;
         e <= spool_model->events && spool_model->event[e].seq != 0 && spool_model->event[e].seq <= committed; e++)
        spool_model->committed = e;
}

/* --- the same rules as spool.h has them, on events --- */

/* Cleared, or being so: the spool has forgotten them in any case. */
static unsigned gone(void)
{
    return spool_model->cleared > spool_model->clearing ? spool_model->cleared : spool_model->clearing;
}

static unsigned waiting_of(unsigned key, unsigned before)
{
    unsigned n = before - 1;
    while (n > gone() && spool_model->event[n].type != SPOOL_MARK &&
           (spool_model->event[n].key != key || spool_model->event[n].state != WAITS))
        n--;
    return n > gone() && spool_model->event[n].type != SPOOL_MARK ? n : 0;
}

static void event_taken(unsigned n)
{
    struct event *e = &spool_model->event[n], *w = &spool_model->event[waiting_of(e->key, n)];
    e->state = WAITS;
    if (w == spool_model->event || (w->type == SPOOL_DELETED && e->type != SPOOL_DELETED))
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
    unsigned n = spool_model->events + 1;
    if (n == EVENTS_MAX)
        return OK;
    struct event *e = &spool_model->event[n];
    struct body head = {n, (uint8_t)sim_draw(KEYS)};
    uint8_t key[SPOOL_KEY_BYTES] = {(uint8_t)(head.key + 1)};
    *e = (struct event){.key = head.key, .type = (uint8_t)(SPOOL_ADDED + sim_draw(3))};
    spool_model->events = n; /* before it is taken: the power may go meanwhile */
    memset(l->body, (int)n, sizeof l->body);
    memcpy(l->body, &head, sizeof head);
    err result = spool_append(l->s, key, e->type, (struct bytes){l->body, body_bytes(n)}, SOON, &e->seq);
    if (result == OK)
        event_taken(n);
    else
        spool_model->events = n - 1;
    return result;
}

static err op_mark(struct life *l)
{
    unsigned n = spool_model->events + 1;
    if (n == EVENTS_MAX)
        return OK;
    spool_model->event[n] = (struct event){.key = KEYS, .type = SPOOL_MARK};
    spool_model->events = n;
    err result = spool_mark(l->s, SOON, &spool_model->event[n].seq);
    spool_model->event[n].state = WAITS;
    if (result != OK)
        spool_model->events = n - 1;
    return result;
}

/* Marks come one after the other. */
static unsigned mark_first(void)
{
    unsigned n = gone() + 1;
    while (n < spool_model->events && (spool_model->event[n].type != SPOOL_MARK || spool_model->event[n].state == DONE))
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
    SIM_CHECK(head.event >= 1 && head.event <= spool_model->events && r->bytes == body_bytes(head.event));
    SIM_CHECK(spool_model->event[head.event].key == head.key && r->key[0] == head.key + 1);
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
    struct event *event = &spool_model->event[n];
    SIM_CHECK(event->state == WAITS && n > spool_model->cleared && r.type == event->type && r.repeated == event->tried);
    SIM_CHECK(event->key == KEYS || n >= spool_model->given_newest[event->key]);
    for (unsigned i = 0; i < l->outs; i++)
        SIM_CHECK(spool_model->event[l->out[i].event].key != event->key && spool_model->event[l->out[i].event].key != KEYS);
    spool_model->given_newest[event->key] = n;
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
    spool_model->event[l->out[i].event].state = back ? WAITS : DONE;
    if (back)
        spool_back(l->s, l->out[i].place);
    else
        spool_done(l->s, l->out[i].place);
    l->out[i] = l->out[--l->outs];
    return OK;
}

static err op_note(struct life *l)
{
    uint32_t n = spool_model->events;
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

err model_flush(struct life *l)
{
    bool was_done[EVENTS_MAX];
    for (unsigned n = 1; n <= spool_model->events; n++)
        was_done[n] = spool_model->event[n].state == DONE;
    unsigned note = note_of(l->s);
    TRY(spool_flush(l->s, SOON));
    for (unsigned n = 1; n <= spool_model->events; n++)
        spool_model->event[n].done_durable |= was_done[n];
    spool_model->note_durable = note;
    return OK;
}

static err op_clear(struct life *l)
{
    spool_model->clearing = spool_model->events;
    spool_model->note_durable = 0;
    l->outs = 0;
    TRY(spool_clear(l->s, SOON));
    spool_model->cleared = spool_model->clearing;
    if (spool_model->committed < spool_model->cleared)
        spool_model->committed = spool_model->cleared;
    return OK;
}

err model_op(struct life *l)
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
        return model_flush(l);
    case 20:
        return sim_draw(12) ? OK : op_clear(l);
    default:
        return fiber_sleep(loop_now() + (ms)sim_draw(sim_draw(3) ? 30 : 300));
    }
}

err model_live(struct life *l, unsigned ops)
{
    err e = OK;
    for (unsigned i = 0; e == OK && i < ops; i++) {
        e = model_op(l);
        if (e == E_FULL)
            e = op_clear(l);
        model_told(l);
    }
    return e;
}

err model_life(unsigned ops)
{
    struct life *l = calloc(1, sizeof *l);
    if (!l)
        return E_BUDGET;
    err e = model_open("/data/spool", &l->s);
    if (e == OK)
        e = model_live(l, ops);
    spool_close(l->s, SOON);
    model_end();
    free(l);
    return e;
}

/* --- what the next boot must find --- */

/* What the event says is told now, was told, or need not be any more. */
static bool is_told(const struct look *k, unsigned n)
{
    const struct event *e = &spool_model->event[n], *last = &spool_model->event[spool_model->events];
    if (k->seen[n] || e->state == DONE || e->state == CANCELED || n <= gone())
        return true;
    if (e->state == REPLACED)
        return is_told(k, e->by);
    return last->state == UNSURE && last->key == e->key && (k->seen[spool_model->events] || last->type == SPOOL_DELETED);
}

static void law_of_events(const struct look *k, unsigned upto)
{
    for (unsigned n = 1; n <= upto; n++)
        SIM_CHECK(spool_model->event[n].type == SPOOL_MARK || is_told(k, n));
    for (unsigned n = 1; n <= spool_model->events; n++)
        SIM_CHECK(!k->seen[n] || spool_model->event[n].state != REPLACED || !k->seen[spool_model->event[n].by]);
}

static unsigned mark_after(unsigned n)
{
    do
        n++;
    while (n <= spool_model->events && spool_model->event[n].type != SPOOL_MARK);
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
        if (mark > spool_model->events || spool_model->event[mark].done_durable)
            return false;
        before = mark;
        mark = mark_after(mark);
    }
    return mark > upto || spool_model->event[mark].state == DONE;
}

static void law_of_marks(const struct look *k, unsigned upto)
{
    bool fit = false;
    for (unsigned first = mark_after(spool_model->cleared); !fit && first <= spool_model->events + 1; first = mark_after(first)) {
        fit = marks_fit(k, first, upto);
        if (first <= upto && first > gone() && spool_model->event[first].state != DONE)
            break; /* this one must be among them */
    }
    SIM_CHECK(fit);
}

static void see(struct life *l, struct look *k, const struct spool_record *r)
{
    unsigned n = r->type == SPOOL_MARK ? 0 : event_of(r, l->body);
    struct event *e = &spool_model->event[n];
    k->order[k->count++] = n;
    if (n == 0)
        return;
    SIM_CHECK(n > spool_model->cleared && !e->done_durable && !k->seen[n] && r->repeated);
    SIM_CHECK(n >= spool_model->given_newest[e->key] && n > k->newest[e->key]);
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

void model_law(struct life *l, struct look *k, unsigned committed)
{
    SIM_CHECK(!spool_lost(l->s));
    unsigned note = note_of(l->s);
    SIM_CHECK(note <= spool_model->events && (note >= spool_model->note_durable || spool_model->clearing > spool_model->cleared));
    drain(l, k);
    law_of_events(k, committed > note ? committed : note);
    law_of_marks(k, committed);
}

void model_new_page(void)
{
    spool_model->committed = spool_model->cleared = spool_model->clearing = spool_model->events;
    memset(spool_model->given_newest, 0, sizeof spool_model->given_newest);
}
