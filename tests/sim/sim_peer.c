/* sim_peer: peers that follow a script, without fibers. One script may run on many connections; each has its own place in it. */
#include "tests/sim/net.h"

#include <string.h>

struct place { /* where one connection is in its script; indexed by end */
    unsigned step;
    uint64_t done; /* bytes of this step so far */
    int64_t until_ns;
};

static struct script {
    struct sim_step steps[SIM_STEPS_MAX];
    size_t count;
    struct addr at;
} scripts[SIM_PEERS_MAX];
static unsigned script_count;
static struct place places[ENDS_MAX];
static uint64_t bytes_read;

uint64_t sim_peer_bytes(void)
{
    return bytes_read;
}

uint8_t sim_pattern(uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 7 + (at >> 16));
}

struct addr sim_ip(const char *text)
{
    struct addr out;
    if (addr_parse((struct bytes){(const uint8_t *)text, strlen(text)}, &out) != OK)
        sim_fail("not an address: %s", text);
    return out;
}

static size_t text_bytes(const struct sim_step *s)
{
    return s->text_bytes > 0 || !s->text ? s->text_bytes : strlen(s->text);
}

/* --- steps: true when the step is done and the next may begin --- */
static bool step_reads(struct end *e, const struct sim_step *s, struct place *p)
{
    uint64_t want = s->text ? text_bytes(s) : s->count;
    uint8_t piece[512];
    while (p->done < want) {
        size_t got = 0;
        if (end_receive(e, piece, size_min(sizeof piece, want - p->done), &got) != OK || got == 0)
            return false;
        if (s->text && memcmp(piece, s->text + p->done, got) != 0)
            sim_fail("a peer expected \"%s\" and got \"%.*s\"", s->text, (int)got, (const char *)piece);
        bytes_read += got;
        p->done += got;
    }
    return true;
}

static bool step_reads_until(struct end *e, const struct sim_step *s, struct place *p)
{
    size_t want = text_bytes(s), got = 0;
    uint8_t byte;
    while (p->done < want && end_receive(e, &byte, 1, &got) == OK && got == 1) {
        bytes_read++;
        if (byte == (uint8_t)s->text[p->done])
            p->done++;
        else
            p->done = byte == (uint8_t)s->text[0]; /* enough for texts that do not repeat their own start within */
    }
    return p->done == want;
}

static bool step_sends(struct end *e, const struct sim_step *s, struct place *p)
{
    uint64_t want = s->text ? text_bytes(s) : s->count;
    uint8_t piece[4096];
    while (p->done < want) {
        size_t len = size_min(sizeof piece, want - p->done), sent = 0;
        for (size_t i = 0; i < len; i++)
            piece[i] = s->text ? (uint8_t)s->text[p->done + i] : sim_pattern(p->done + i);
        if (end_send(e, piece, len, &sent) != OK)
            return false;
        p->done += sent;
    }
    return true;
}

static void wait_is_over(uint64_t index, uint64_t generation)
{
    struct end *e = end_if(index, generation);
    if (e)
        end_edge(e);
}

static bool step_waits(struct end *e, const struct sim_step *s, struct place *p)
{
    if (p->until_ns == 0) {
        p->until_ns = world_now_ns() + (int64_t)s->count * NS_PER_MS;
        world_at(p->until_ns, wait_is_over, end_index(e), e->generation);
    }
    return world_now_ns() >= p->until_ns;
}

/* Reads what is there; false until the peer ended. `back`: returns every byte. */
static bool step_drains(struct end *e, bool back)
{
    for (;;) {
        uint8_t piece[1024];
        size_t got = 0, sent = 0;
        size_t window = back ? size_min(sizeof piece, end_room(e)) : sizeof piece;
        if (window == 0)
            e->starved = true;
        if (window == 0 || end_receive(e, piece, window, &got) != OK)
            return false;
        if (got == 0)
            return true;
        bytes_read += got;
        for (size_t at = 0; back && at < got; at += sent)
            if (end_send(e, piece + at, got - at, &sent) != OK)
                return false;
    }
}

static bool step_goes(struct end *e, const struct sim_step *s, struct place *p)
{
    switch (s->what) {
    case SIM_STUCK:
        return false;
    case SIM_EXPECT:
        return step_reads(e, s, p);
    case SIM_UNTIL:
        return step_reads_until(e, s, p);
    case SIM_SEND:
        return step_sends(e, s, p);
    case SIM_WAIT:
        return step_waits(e, s, p);
    case SIM_END:
        return end_shutdown(e) == OK;
    case SIM_ECHO:
    case SIM_DRAIN:
        return step_drains(e, s->what == SIM_ECHO);
    case SIM_REPEAT:
        p->step = UINT_MAX; /* the next is 0 */
        return true;
    case SIM_CLOSE:
        end_close(e);
        return false;
    case SIM_RESET:
        end_reset(e, E_RESET);
        end_close(e);
        return false;
    }
    return false;
}

static bool ends_with_peer(const struct script *script, const struct place *p)
{
    return p->step >= script->count || script->steps[p->step].what == SIM_EXPECT || script->steps[p->step].what == SIM_UNTIL;
}

static void run_connection(struct end *e)
{
    unsigned script = e->script - 1;
    struct place *p = &places[end_index(e)];
    while (!e->connecting && p->step < scripts[script].count && step_goes(e, &scripts[script].steps[p->step], p))
        *p = (struct place){.step = p->step + 1};
    if (e->kind == END_STREAM && (e->dead || (e->fin && e->arrived == 0 && ends_with_peer(&scripts[script], p))))
        end_close(e);
}

static void run_listener(struct end *listener)
{
    struct end *e;
    while (end_accept(listener, &e) == OK) {
        e->script = listener->script;
        places[end_index(e)] = (struct place){0};
        end_edge(e);
    }
}

void peer_run(struct end *e)
{
    if (e->kind == END_LISTENER)
        run_listener(e);
    else
        run_connection(e);
}

static unsigned script_add(const struct addr *at, const struct sim_step *steps, size_t count)
{
    if (script_count == SIM_PEERS_MAX || count > SIM_STEPS_MAX)
        sim_fail("more than %d scripts or %d steps", SIM_PEERS_MAX, SIM_STEPS_MAX);
    memcpy(scripts[script_count].steps, steps, count * sizeof *steps);
    scripts[script_count].count = count;
    scripts[script_count].at = *at;
    return ++script_count;
}

void sim_peer(const struct addr *at, const struct sim_step *steps, size_t count)
{
    struct end *e = end_new(END_LISTENER);
    if (!e)
        sim_fail("more than %d ends", ENDS_MAX);
    e->script = script_add(at, steps, count);
    e->local = *at;
    e->backlog = BACKLOG_MAX;
}

static void client_starts(uint64_t script, uint64_t unused)
{
    struct end *e = NULL;
    (void)unused;
    if (end_connect(&scripts[script - 1].at, &e) != OK)
        return;
    e->script = (unsigned)script;
    places[end_index(e)] = (struct place){0};
    end_edge(e);
}

void sim_client(const struct addr *to, ms when, const struct sim_step *steps, size_t count)
{
    world_at(when * NS_PER_MS, client_starts, script_add(to, steps, count), 0);
}
