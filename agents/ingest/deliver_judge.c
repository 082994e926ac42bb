/* deliver_judge: what a status or an error means for one call, and when it is tried again. */
#include "agents/ingest/deliver_inside.h"

#include "board/rt/os.h"
#include "net/format/http1.h"

#include <string.h>

const char *deliver_outcome_name(enum deliver_outcome o)
{
    static const char *const names[] = {
#define X(id, name) name,
        DELIVER_OUTCOME_TABLE(X)
#undef X
    };
    ASSERT(o < DELIVER_OUTCOME_COUNT);
    return names[o];
}

const char *deliver_reason_text(enum deliver_reason r)
{
    static const char *const texts[] = {
#define X(id, text) text,
        DELIVER_REASON_TABLE(X)
#undef X
    };
    ASSERT(r < DELIVER_REASON_COUNT);
    return texts[r];
}

ms deliver_pause(unsigned times)
{
    uint32_t random;
    ms base = times == 0 ? 0 : times > 5 ? DELIVER_PAUSE_MAX : ms_min(SECONDS(1) << times, DELIVER_PAUSE_MAX);
    os_random(&random, sizeof random);
    return base * (ms)(900 + random % 201) / 1000;
}

ms deliver_retry_after(const char *field, int64_t now_s)
{
    uint64_t seconds = 0;
    if (!field)
        return 0;
    if (!text_to_u64(bytes_of(field), &seconds)) {
        int64_t at_s = http1_date_read(bytes_of(field));
        seconds = at_s > now_s ? (uint64_t)(at_s - now_s) : 0;
    }
    return seconds < DELIVER_RETRY_AFTER_MAX / 1000 ? SECONDS(seconds) : DELIVER_RETRY_AFTER_MAX;
}

enum deliver_reason deliver_reason_of(err e)
{
    return e == E_TIMEOUT ? DELIVER_REASON_TOO_SLOW : DELIVER_REASON_NETWORK;
}

void deliver_answer_clean(char *answer, size_t len, const char *secret)
{
    answer[len] = 0;
    if (secret && secret[0] && memmem(answer, len, secret, strlen(secret)))
        len = 0; /* it repeats what it was sent */
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)answer[i] < ' ' || answer[i] == 0x7f)
            answer[i] = ' ';
    answer[len] = 0;
}

/* --- verdicts --- */

static enum verdict end(struct judged *j, enum deliver_outcome outcome, enum deliver_reason reason)
{
    j->result.outcome = outcome;
    j->result.reason = reason;
    return VERDICT_END;
}

static enum verdict again(struct judged *j, enum deliver_reason reason, ms retry_after, ms now)
{
    ms pause = deliver_pause(j->result.attempts);
    if (j->result.attempts >= DELIVER_ATTEMPTS)
        return end(j, DELIVER_LATER, reason);
    j->result.outcome = DELIVER_LATER;
    j->result.reason = reason;
    j->next_at = now + (pause > retry_after ? pause : retry_after);
    return VERDICT_AGAIN;
}

static bool asks_for_patience(unsigned status)
{
    return status == 408 || status == 425 || status == 429;
}

enum verdict deliver_judge_status(struct judged *j, unsigned status, ms retry_after, ms now)
{
    j->result.attempts++;
    j->result.status = status;
    j->result.error = OK;
    if (status >= 200 && status < 300)
        return end(j, DELIVER_GOOD, DELIVER_REASON_NONE);
    if (status == 401 && !j->reauthed) {
        j->reauthed = true;
        j->next_at = now;
        return VERDICT_REAUTH;
    }
    if (status == 401) /* nothing is wrong with what was sent, so it is not rejected */
        return end(j, DELIVER_LATER, DELIVER_REASON_UNAUTHORIZED);
    if (asks_for_patience(status))
        return again(j, DELIVER_REASON_THROTTLED, retry_after, now);
    if (status >= 400 && status < 500)
        return end(j, DELIVER_REJECTED, DELIVER_REASON_REJECTED);
    if (status >= 500 && status < 600)
        return again(j, DELIVER_REASON_SERVER, retry_after, now);
    return again(j, DELIVER_REASON_REDIRECT, 0, now);
}

enum verdict deliver_judge_error(struct judged *j, err e, enum deliver_reason reason, ms now)
{
    j->result.attempts++;
    j->result.status = 0;
    j->result.error = e;
    return again(j, reason, 0, now);
}

void deliver_judge_stop(struct judged *j)
{
    j->result.outcome = DELIVER_LATER;
    if (j->result.attempts == 0)
        j->result.reason = DELIVER_REASON_STOPPED;
}
