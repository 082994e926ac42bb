/* dns_ask: one name asked of the servers, A and AAAA at once over one fresh UDP socket. A step asks one server; the next step
 * comes after a second (or, behind the last server, its whole timeout), at once when all asked so far said that they cannot tell.
 * What an earlier one answers late still counts. */
#include "board/rt/buf.h"
#include "board/rt/os.h"
#include "board/rt/text.h"
#include "net/format/dns_message.h"
#include "net/proto/dns_inside.h"
#include "net/proto/stream.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(DNS_FOUND_MAX == DNS_REPLY_ADDRESSES_MAX, "what a message holds is what is found");

#define SERVERS_MAX     3
#define HEAD_START_MS   SECONDS(1) /* of a server before the next is asked as well */
#define OTHER_FAMILY_MS SECONDS(1) /* with one family's addresses in hand, wait no longer for the other's */
#define BUFFER_BYTES    KIB(4)
#define TCP_PREFIX      2 /* length, RFC 1035 4.2.2 */

enum { AAAA, A, QUESTIONS };

struct asked {
    struct dns_question question;
    bool answered;
    bool exists; /* not NXDOMAIN */
    uint32_t ttl_s;
    unsigned refused; /* bit a server: it cannot tell */
};

struct ask {
    struct sock sock;
    struct buf *buf;
    struct addr servers[SERVERS_MAX];
    unsigned server_count, first, step, steps, asked; /* asked: bit a server */
    ms timeout_ms, next_at, found_at;
    struct asked questions[QUESTIONS];
    struct dns_reply answer;
    struct dns_found *out;
};

bool dns_is_host_name(const char *name)
{
    return dns_name_is_valid(name);
}

/* --- what comes in --- */

static void note_answer(struct ask *a, struct asked *q, unsigned server)
{
    const struct dns_reply *answer = &a->answer;
    if (answer->rcode != DNS_NOERROR && answer->rcode != DNS_NXDOMAIN) {
        q->refused |= 1u << server;
        return;
    }
    q->answered = true;
    q->exists = answer->rcode == DNS_NOERROR;
    q->ttl_s = answer->ttl_s;
    a->out->by = server;
    if (answer->address_count > 0 && a->out->count == 0)
        a->found_at = loop_now();
    /* Half of the room for each family, so that the one that answers first does not fill it. */
    for (unsigned i = 0; i < answer->address_count && i < DNS_FOUND_MAX / QUESTIONS; i++)
        dns_found_add(a->out, answer->addresses[i].ip, answer->addresses[i].kind == ADDR_IPV4);
}

static err tcp_exchange(struct ask *a, const struct asked *q, struct stream *s, ms deadline)
{
    uint8_t *at = a->buf->at;
    size_t len = 0;
    TRY(dns_build_query(&q->question, at + TCP_PREFIX, a->buf->cap - TCP_PREFIX, &len));
    at[0] = (uint8_t)(len >> 8);
    at[1] = (uint8_t)len;
    TRY(stream_write(s, at, len + TCP_PREFIX, deadline));
    TRY(stream_read_full(s, at, TCP_PREFIX, deadline));
    len = (size_t)at[0] << 8 | at[1];
    if (len > a->buf->cap)
        return trail(E_RANGE, "a DNS answer of %zu bytes", len);
    TRY(stream_read_full(s, at, len, deadline));
    err e = dns_parse_answer((struct bytes){at, len}, &q->question, &a->answer);
    return e == OK && a->answer.truncated ? E_PROTOCOL : e;
}

/* The whole answer did not fit in a datagram, RFC 7766. */
static err ask_over_tcp(struct ask *a, struct asked *q, unsigned server, ms deadline)
{
    struct stream *s = NULL;
    deadline = ms_min(deadline, loop_now() + a->timeout_ms);
    err e = tcp_connect(&a->servers[server], deadline, &s);
    if (e == OK)
        e = tcp_exchange(a, q, s, deadline);
    stream_close(s);
    if (e == E_CANCELED)
        return e;
    if (e == OK)
        note_answer(a, q, server);
    else
        q->refused |= 1u << server;
    return OK;
}

static err take_message(struct ask *a, struct bytes message, unsigned server, ms deadline)
{
    for (unsigned i = 0; i < QUESTIONS; i++) {
        struct asked *q = &a->questions[i];
        if (q->answered || message.len < 2 || (message.at[0] << 8 | message.at[1]) != q->question.id)
            continue;
        err e = dns_parse_answer(message, &q->question, &a->answer);
        if (e == E_AGAIN) /* the right number on another question: forged */
            continue;
        if (e == OK && a->answer.truncated)
            return ask_over_tcp(a, q, server, deadline);
        if (e == OK)
            note_answer(a, q, server);
        else
            q->refused |= 1u << server;
        return OK;
    }
    return OK;
}

static err receive_one(struct ask *a, ms until, ms deadline)
{
    struct addr from;
    size_t got = 0;
    TRY(sock_receive_from(&a->sock, a->buf->at, a->buf->cap, until, &got, &from));
    for (unsigned i = 0; i < a->server_count; i++)
        if (a->asked & 1u << i && addr_equal(&from, &a->servers[i]))
            return take_message(a, (struct bytes){a->buf->at, got}, i, deadline);
    return OK; /* RFC 5452 9.1: not from whom we asked */
}

/* --- what goes out --- */

static err send_question(struct ask *a, struct asked *q, unsigned server, ms deadline)
{
    size_t len = 0;
    TRY(dns_build_query(&q->question, a->buf->at, a->buf->cap, &len));
    err e = sock_send_to(&a->sock, a->buf->at, len, &a->servers[server], deadline);
    if (e == E_CANCELED || e == E_TIMEOUT)
        return e;
    if (e != OK) /* no route to it: as good as its refusal */
        q->refused |= 1u << server;
    return OK;
}

static err step_take(struct ask *a, ms deadline)
{
    unsigned server = (a->first + a->step) % a->server_count;
    bool last = a->step % a->server_count == a->server_count - 1;
    a->step++;
    a->asked |= 1u << server;
    a->next_at = loop_now() + (last ? a->timeout_ms : ms_min(a->timeout_ms, HEAD_START_MS));
    for (unsigned i = 0; i < QUESTIONS; i++) {
        a->questions[i].refused &= ~(1u << server);
        if (!a->questions[i].answered)
            TRY(send_question(a, &a->questions[i], server, deadline));
    }
    return OK;
}

/* --- the whole --- */

static bool all_refused(const struct ask *a)
{
    for (unsigned i = 0; i < QUESTIONS; i++)
        if (!a->questions[i].answered && (a->questions[i].refused & a->asked) != a->asked)
            return false;
    return true;
}

static bool is_decided(const struct ask *a)
{
    return (a->questions[A].answered && a->questions[AAAA].answered) ||
           (a->out->count > 0 && loop_now() >= a->found_at + OTHER_FAMILY_MS);
}

static err nobody_answered(const struct ask *a, err e)
{
    char list[SERVERS_MAX * (ADDR_TEXT_MAX + 16)], one[ADDR_TEXT_MAX];
    struct text t = text_over(list, sizeof list);
    for (unsigned i = 0; i < a->server_count; i++) {
        bool refused = (a->questions[A].refused | a->questions[AAAA].refused) & 1u << i;
        text_addf(&t, "%s%s %s", i > 0 ? ", " : "", addr_text(&a->servers[i], one, sizeof one), refused ? "failed" : "is silent");
    }
    return trail(e, "DNS server %s", list);
}

static err ask_run(struct ask *a, ms deadline)
{
    while (!is_decided(a)) {
        if (loop_now() >= a->next_at || all_refused(a)) {
            if (a->step == a->steps)
                return a->out->count > 0 ? OK : nobody_answered(a, E_NAME);
            TRY(step_take(a, deadline));
            continue;
        }
        ms until = ms_min(deadline, a->next_at);
        if (a->out->count > 0)
            until = ms_min(until, a->found_at + OTHER_FAMILY_MS);
        err e = receive_one(a, until, deadline);
        if (e == E_TIMEOUT && loop_now() >= deadline)
            return a->out->count > 0 ? OK : nobody_answered(a, E_TIMEOUT);
        if (e != OK && e != E_TIMEOUT)
            return trail(e, "receiving DNS answers");
    }
    return OK;
}

static err ask_open(struct ask *a, const struct dns_asking *how, const char *name, ms deadline)
{
    static const enum dns_type types[QUESTIONS] = {[A] = DNS_A, [AAAA] = DNS_AAAA};
    for (unsigned i = 0; i < QUESTIONS; i++) {
        struct dns_question *q = &a->questions[i].question;
        os_random(&q->id, sizeof q->id);
        q->type = types[i];
        memcpy(q->name, name, strlen(name) + 1);
    }
    if (a->questions[A].question.id == a->questions[AAAA].question.id)
        a->questions[A].question.id ^= 1;
    a->server_count = how->server_count < SERVERS_MAX ? how->server_count : SERVERS_MAX;
    for (unsigned i = 0; i < a->server_count; i++) {
        a->servers[i] = how->servers[i];
        if (a->servers[i].port == 0)
            a->servers[i].port = DNS_PORT;
    }
    a->first = how->first % a->server_count;
    a->steps = a->server_count * how->attempts;
    a->timeout_ms = SECONDS(how->timeout_s);
    TRY(buf_wait(BUFFER_BYTES, deadline, &a->buf));
    /* Port 0: the kernel draws one at random for each lookup. */
    return trail(sock_udp(&a->sock, &(struct addr){.kind = ADDR_NONE}), "opening a socket for DNS");
}

static void found_finish(struct ask *a)
{
    struct dns_found *out = a->out;
    uint32_t ttl_s = UINT32_MAX;
    out->whole = a->questions[A].answered && a->questions[AAAA].answered;
    for (unsigned i = 0; i < QUESTIONS; i++)
        if (a->questions[i].answered && a->questions[i].ttl_s < ttl_s)
            ttl_s = a->questions[i].ttl_s;
    out->ttl_s = ttl_s;
    dns_found_interleave(out);
}

err dns_ask(const struct dns_asking *how, const char *name, ms deadline, struct dns_found *out)
{
    *out = (struct dns_found){.count = 0};
    if (!dns_name_is_valid(name))
        return trail(E_INVALID, "\"%.64s\" is not a host name", name);
    if (how->server_count == 0)
        return trail(E_NAME, "no DNS server is configured");
    struct ask *a = calloc(1, sizeof *a);
    if (!a)
        return trail(E_BUDGET, "asking for %s", name);
    a->sock = SOCK_CLOSED;
    a->out = out;
    err e = ask_open(a, how, name, deadline);
    if (e == OK)
        e = ask_run(a, deadline);
    if (e == OK)
        found_finish(a);
    sock_close(&a->sock);
    buf_release(a->buf);
    free(a);
    return e == OK && out->count == 0 ? E_ABSENT : e;
}
