/* dns_connect: a name's addresses in turn, each in a fiber of its own with a head start, until one connects. RFC 8305. */
#include "board/rt/mem.h"
#include "board/rt/sync.h"
#include "board/rt/text.h"
#include "net/proto/dns.h"
#include "net/proto/dns_inside.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_START_MS    250        /* RFC 8305 5 */
#define ATTEMPTS_AT_ONCE 3          /* each is a fiber and a connection of the task */
#define ATTEMPT_MS       SECONDS(5) /* of an address that is silent while others wait for their turn */
#define WORDS_MAX        96

struct attempt {
    struct race *race;
    struct addr to;
    err error;
    char words[WORDS_MAX]; /* a fiber's trail ends with it */
};

struct race {
    struct attempt attempts[DNS_ADDRESSES_MAX];
    unsigned count, started, running;
    ms deadline;
    struct stream *winner;
    struct waitq news;
};

static err attempt_run(void *arg)
{
    struct attempt *a = arg;
    struct race *r = a->race;
    struct stream *s = NULL;
    ms deadline = r->started < r->count ? ms_min(r->deadline, loop_now() + ATTEMPT_MS) : r->deadline;
    a->error = tcp_connect(&a->to, deadline, &s);
    if (a->error == OK && r->winner)
        stream_close(s);
    else if (a->error == OK)
        r->winner = s;
    else
        (void)trail_text(a->error, a->words, sizeof a->words);
    trail_clear();
    r->running--;
    waitq_wake_all(&r->news);
    return OK;
}

/* Alone, when the task has no fiber for it. */
static err attempt_here(struct race *r, struct attempt *a)
{
    ms left = r->deadline - loop_now();
    ms deadline = r->started < r->count && left > 0 ? loop_now() + ms_min(ATTEMPT_MS, left / 2) : r->deadline;
    a->error = tcp_connect(&a->to, deadline, &r->winner);
    return a->error == E_CANCELED ? E_CANCELED : OK;
}

static err attempt_start(struct race *r, struct group *g)
{
    struct attempt *a = &r->attempts[r->started++];
    a->error = E_TIMEOUT;
    err e = group_spawn(g, "connect", attempt_run, a);
    if (e == OK)
        r->running++;
    else if (e == E_BUDGET)
        e = attempt_here(r, a);
    return e;
}

static err race_run(struct race *r, struct group *g)
{
    while (!r->winner) {
        bool more = r->started < r->count;
        if (more && r->running < ATTEMPTS_AT_ONCE)
            TRY(attempt_start(r, g));
        if (r->winner)
            return OK;
        if (r->running == 0 && r->started == r->count)
            return r->attempts[r->count - 1].error;
        if (r->running == 0)
            continue;
        more = r->started < r->count && r->running < ATTEMPTS_AT_ONCE;
        err e = waitq_wait(&r->news, more ? ms_min(r->deadline, loop_now() + HEAD_START_MS) : r->deadline);
        if (e != OK && (e != E_TIMEOUT || loop_now() >= r->deadline))
            return r->winner ? OK : e;
    }
    return OK;
}

/* What each address said, for the reader of the log: the first is the outermost. */
static err race_lost(const struct race *r, err e)
{
    char text[ADDR_TEXT_MAX];
    for (unsigned i = r->started; i-- > 0;) {
        const struct attempt *a = &r->attempts[i];
        e = trail(e, "%s", a->words[0] ? a->words : addr_text(&a->to, text, sizeof text));
    }
    return e;
}

static err race(const struct dns_answer *answer, uint16_t port, ms deadline, struct stream **out)
{
    struct group g;
    struct race *r = calloc(1, sizeof *r);
    if (!r)
        return E_BUDGET;
    r->count = answer->count;
    r->deadline = deadline;
    for (unsigned i = 0; i < r->count; i++) {
        r->attempts[i] = (struct attempt){.race = r, .to = answer->addresses[i]};
        r->attempts[i].to.port = port;
    }
    group_open(&g, mem_task());
    err e = race_run(r, &g);
    group_close(&g); /* an attempt canceled now may still have connected */
    if (r->winner && e != OK) {
        stream_close(r->winner);
        r->winner = NULL;
    }
    *out = r->winner;
    if (e != OK && e != E_CANCELED)
        e = race_lost(r, e);
    free(r);
    return e;
}

err dns_connect(struct dns *d, const char *host, uint16_t port, ms deadline, struct stream **out)
{
    *out = NULL;
    struct dns_answer *answer = malloc(sizeof *answer); /* 2 KiB, not for a fiber's stack */
    if (!answer)
        return E_BUDGET;
    err e = dns_lookup(d, host, deadline, answer);
    if (e == OK && answer->count == 1) {
        answer->addresses[0].port = port;
        e = tcp_connect(&answer->addresses[0], deadline, out);
    } else if (e == OK) {
        e = race(answer, port, deadline, out);
    }
    free(answer);
    /* tcp_connect() has said where to */
    return dns_is_literal(bytes_of(host)) ? e : trail(e, "connecting to %s:%u", host, port);
}
