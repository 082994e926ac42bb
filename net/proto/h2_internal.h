/* h2_internal: what h2.c (the connection), h2_session.c (the protocol) and h2_stream.c (one stream) share. No vendor type: the
 * session is opaque here.
 *
 * Layer    proto, private to h2*.c.   Owner, blocking, memory, errors: as h2.h says. */
#ifndef HOLDFAST_H2_INTERNAL_H
#define HOLDFAST_H2_INTERNAL_H

#include "board/rt/mem.h"
#include "board/rt/secret.h"
#include "net/proto/h2.h"

#define H2_READ_BYTES    KIB(16)     /* a TLS record is no larger */
#define H2_READ_FAST     KIB(64)     /* from H2_WINDOW_FAST on */
#define H2_OUT_BYTES     KIB(16)     /* frames gathered into one write, and so one TLS record */
#define H2_WRITE_MS_MAX  SECONDS(30) /* a peer that takes nothing for this long is dead */
#define H2_CLOSE_MS_MAX  SECONDS(1)  /* the same while we leave */
#define H2_LAST_WORDS_MS 200         /* for what a peer that hung up said before */

/* A byte queue that grows by doubling up to its window, so that a stream that is read at once stays small. Outside of what it
 * holds it is wiped. */
struct h2_ring {
    uint8_t *at;
    size_t cap, len, head;
};

struct h2_stream {
    struct h2 *h;
    struct h2_stream *next;
    int32_t id;
    struct waitq changed; /* data, headers, end, error, or room to write */
    struct h2_ring ring;
    size_t window_bytes;
    const uint8_t *out; /* the caller's bytes while h2_stream_write() waits */
    size_t out_len;
    bool out_end, out_deferred, ended_by_us;
    int status;      /* 0: no response yet */
    bool response;   /* its header block is complete */
    bool ended;      /* END_STREAM received */
    bool closed;     /* the session forgot it */
    unsigned users;  /* fibers inside a call of it; the last one frees when it is released */
    bool released;   /* closed by its owner */
    err error;       /* why it closed early */
    const char *why; /* in words; static or the connection's, NULL: nothing to add */
    char *headers;   /* name\0value\0…, response first, then trailers */
    size_t headers_len, headers_cap, trailers_at;
};

struct h2 {
    struct stream *under;
    void *session;
    struct group group;
    struct h2_stream *streams;
    unsigned stream_count;
    unsigned users;       /* fibers inside a call of it or of its streams; h2_close() waits for them */
    struct waitq idle;    /* until there are none */
    struct waitq changed; /* settings, a ping's answer, a stream's end, death */
    struct bell *bell;    /* NULL: none */
    uint8_t *read_buffer;
    size_t read_bytes;
    uint8_t *out; /* frames gathered, H2_OUT_BYTES; NULL: none now */
    size_t out_len;
    struct bytes piece; /* of the session's output, behind them; until its next output */
    char scheme[8], authority[264];
    size_t window_bytes;
    enum task task;
    ms rest_until; /* 0: no rest was asked for since the last */
    bool settings_seen, settings_taken, goaway, writing, delivered, reading;
    unsigned pings_sent, pings_answered;
    bool closing, broken;     /* broken: we told the peer that it broke the protocol */
    char fault[64];           /* in these words */
    err dead;                 /* OK while it lives */
    char why[TRAIL_TEXT_MAX]; /* the reader's words for it, which are not in the trail of who waits; "": none */
    uint64_t received_bytes, sent_bytes;
};

/* h2.c, for the others */
MUST_USE err h2_flush(struct h2 *h); /* writes what the session has to send; another fiber's write in work takes ours along */
void h2_hold(struct h2 *h);          /* gathers what the session has to send, for a later flush; what does not fit stays */
bool h2_holds(const struct h2 *h);
void h2_changed(struct h2 *h);
void h2_die(struct h2 *h, err why);
void h2_enter(struct h2 *h);
void h2_leave(struct h2 *h);
err h2_dead(const struct h2 *h); /* why it is dead, told in the caller's trail; OK while it lives */

/* h2_session.c. RFC 9113 6.9.2 allows frames by the old settings until the peer has acknowledged ours: settings_taken. */
MUST_USE err h2_session_open(struct h2 *h); /* and queues our SETTINGS */
void h2_session_close(struct h2 *h);        /* legal when it was never opened */
MUST_USE err h2_session_output(struct h2 *h,
                               struct bytes *out); /* what is to be sent next; empty: nothing. Until the next call */
MUST_USE err h2_session_input(struct h2 *h, struct bytes in);
bool h2_session_has_output(const struct h2 *h);
bool h2_session_is_over(const struct h2 *h); /* it wants to read no more */
bool h2_session_takes_requests(const struct h2 *h);
void h2_session_goodbye(struct h2 *h);
MUST_USE err h2_session_ping(struct h2 *h);
int32_t h2_session_request(struct h2 *h, struct h2_stream *s, const struct h2_call *call);
void h2_session_resume(struct h2 *h, int32_t id);
void h2_session_consumed(struct h2 *h, int32_t id, size_t len);
void h2_session_reset(struct h2 *h, struct h2_stream *s);
unsigned h2_session_streams_max(const struct h2 *h);

/* h2_stream.c, for the session's callbacks */
void h2_stream_changed(struct h2_stream *s);
err h2_stream_data(struct h2_stream *s, const uint8_t *data, size_t len);
err h2_stream_header_add(struct h2_stream *s, struct bytes name, struct bytes value);
void h2_stream_fail(struct h2_stream *s, err e, const char *why);

#endif
