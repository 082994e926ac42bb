/* s3_retry: whether a call that failed is tried again, and when. */
#include "net/api/s3/s3_internal.h"

#include "board/rt/log.h"
#include "board/rt/os.h"
#include "net/format/hex.h"

#define PAUSE_MS       200     /* before the second try, doubled before each further one; half of it is drawn */
#define SKEW_LEAST_S   300     /* a refusal without reason by a server whose clock differs more than that; S3's limit is 15 min */
#define HASH_HERE_MAX  KIB(16) /* larger bodies are hashed on the pool */
#define RETRY_AFTER_MS 1000    /* drawn on top of Retry-After, so that not all come back at once */

static ms draw(ms below)
{
    uint32_t random;
    os_random(&random, sizeof random);
    return (ms)(random % (uint32_t)below);
}

/* Until when to wait before the next try. */
static ms pause_until(const struct s3_call *call, unsigned tries)
{
    ms base = (ms)PAUSE_MS << (tries - 1), until = loop_now() + base / 2 + draw(base / 2 + 1);
    if (call->answer.retry_after_s < 0)
        return until;
    ms asked = loop_now() + SECONDS(call->answer.retry_after_s) + draw(RETRY_AFTER_MS);
    return asked > until ? asked : until;
}

/* The server's clock is right: what it refuses by its own cannot be signed by another. */
static bool skew_learn(struct s3 *c, struct s3_call *call)
{
    if (call->answer.date_s == 0 || call->skew_learned)
        return false;
    c->skew_ms = SECONDS(call->answer.date_s) + 500 - loop_wall_ms(); /* a Date is cut to seconds */
    call->skew_learned = true;
    log_warn("the S3 server's clock is another, signing by it", F("endpoint", c->authority), F_I64("skew_ms", c->skew_ms));
    return true;
}

static bool is_skewed(const struct s3 *c, const struct s3_answer *a)
{
    int64_t by_s = a->date_s - (loop_wall_ms() + c->skew_ms) / 1000;
    return a->status == 403 && a->date_s != 0 && (by_s > SKEW_LEAST_S || by_s < -SKEW_LEAST_S);
}

/* A connection that was kept may have been ended by the server in the meantime: that is no failure of this call. */
static bool was_stale(const struct s3_slot *s, const struct s3_call *call, err e)
{
    bool heard = call->answer.status != 0 || (s->connection && http_continued(s->connection));
    return !s->fresh && !heard && (e == E_CLOSED || e == E_RESET);
}

enum next { NEXT_RETURN, NEXT_AT_ONCE, NEXT_PAUSE };

static enum next judge(struct s3 *c, struct s3_call *call, err e, enum s3_again again)
{
    if (e == OK || e == E_CANCELED || call->final)
        return NEXT_RETURN;
    if (again == S3_AGAIN_SKEWED || (again != S3_AGAIN && is_skewed(c, &call->answer)))
        return skew_learn(c, call) ? NEXT_AT_ONCE : NEXT_RETURN;
    if (again == S3_AGAIN_CREDENTIALS) {
        call->renewed = true;
        return NEXT_AT_ONCE;
    }
    if (again == S3_GIVE_UP)
        return NEXT_RETURN;
    call->doubtful = true;
    return NEXT_PAUSE;
}

/* One try, or two where the first found a connection that had ended. The slot stays taken in call->slot when it is to be kept. */
static err try_on_slot(struct s3 *c, struct s3_call *call, enum s3_again *again)
{
    struct s3_slot *s = NULL;
    *again = S3_GIVE_UP;
    TRY(s3_slot_take(c, call->deadline, &s));
    uint64_t mark = trail_mark();
    err e = s3_try(s, call, again);
    if (e != OK && was_stale(s, call, e)) {
        trail_rewind(mark);
        call->doubtful = true;
        e = s3_try(s, call, again);
    }
    if (e == OK && call->keep)
        call->slot = s;
    else
        s3_slot_give(s);
    return e;
}

static err told(const struct s3 *c, const struct s3_call *call, err e)
{
    return trail(e, "%s %s://%s/%s%s%s", call->method, c->url.tls ? "https" : "http", c->authority,
                 c->addressing == S3_PATH ? c->bucket : "", c->addressing == S3_PATH && call->key ? "/" : "",
                 call->key ? call->key : "");
}

/* --- the body's hash, once for all tries --- */

struct hash_job {
    struct bytes body;
    uint8_t digest[SHA256_BYTES];
};

static err hash_run(void *job)
{
    struct hash_job *j = job;
    sha256_of(j->body, j->digest);
    return OK;
}

static void pieces_hash(struct s3_call *call, uint8_t digest[SHA256_BYTES])
{
    char piece[S3_PIECE_MAX];
    struct sha256 sum;
    size_t n;
    sha256_start(&sum);
    for (unsigned i = 0; (n = call->piece(call->piece_arg, i, piece)) > 0; i++) {
        sha256_update(&sum, (struct bytes){(const uint8_t *)piece, n});
        call->body_bytes += n;
        fiber_breathe();
    }
    sha256_finish(&sum, digest);
}

static err body_measure(struct s3 *c, struct s3_call *call)
{
    struct hash_job job = {.body = call->body};
    call->body_bytes = call->body.len;
    if (call->piece)
        pieces_hash(call, job.digest);
    else if (call->body.len < HASH_HERE_MAX)
        (void)hash_run(&job);
    else /* it only computes, so it may last */
        TRY(trail(lane_call(&c->lane, hash_run, &job, sizeof job, NULL, FOREVER), "hashing what is sent"));
    (void)hex_encode((struct bytes){job.digest, sizeof job.digest}, call->hash, sizeof call->hash);
    return OK;
}

err s3_ask(struct s3 *c, struct s3_call *call)
{
    uint64_t mark = trail_mark();
    TRY(body_measure(c, call));
    for (unsigned tries = 1;; tries++) {
        enum s3_again again;
        err e = try_on_slot(c, call, &again);
        enum next next = judge(c, call, e, again);
        ms until = next == NEXT_PAUSE ? pause_until(call, tries) : 0;
        if (next == NEXT_RETURN || tries >= S3_TRIES_MAX || until >= call->deadline) {
            if (e == OK)
                trail_rewind(mark);
            return told(c, call, e);
        }
        log_debug("an S3 request is tried again", F("endpoint", c->authority), F("method", call->method), F_U64("tries", tries),
                  F("error", err_name(e)), F("code", call->answer.code));
        trail_rewind(mark);
        if (next == NEXT_PAUSE)
            TRY(fiber_sleep(until));
    }
}
