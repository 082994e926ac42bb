#include "board/rt/repeat.h"

#include "board/rt/text.h"
#include "board/rt/utf8.h"

#include <string.h>

/* FNV-1a, 64 bits (RFC draft-eastlake-fnv): two messages of one program meeting in it would only share their limit. */
static uint64_t message_hash(enum log_level level, const char *message)
{
    uint64_t hash = 0xCBF29CE484222325u ^ (uint64_t)level;
    for (const char *c = message; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001B3u;
    return hash;
}

static bool window_over(const struct repeat *s, ms now)
{
    return now - s->since >= LOG_WINDOW_MS;
}

static void slot_start(struct repeat *s, uint64_t hash, enum log_level level, const char *message, ms now)
{
    *s = (struct repeat){.hash = hash, .since = now, .level = level};
    struct bytes whole = bytes_of(message);
    memcpy(s->message, message, utf8_cut(whole, sizeof s->message - 1));
}

/* A free slot, or else the one with the oldest window. */
static struct repeat *slot_choose(struct repeats *r)
{
    struct repeat *oldest = &r->slot[0];
    for (size_t i = 0; i < COUNT_OF(r->slot); i++) {
        if (r->slot[i].written == 0)
            return &r->slot[i];
        if (r->slot[i].since < oldest->since)
            oldest = &r->slot[i];
    }
    return oldest;
}

bool repeat_allow(struct repeats *r, enum log_level level, const char *message, ms now, struct repeat *closing)
{
    uint64_t hash = message_hash(level, message);
    struct repeat *s = NULL;
    closing->held = 0;
    for (size_t i = 0; i < COUNT_OF(r->slot) && !s; i++)
        if (r->slot[i].written > 0 && r->slot[i].hash == hash)
            s = &r->slot[i];
    if (!s || window_over(s, now)) {
        s = s ? s : slot_choose(r);
        *closing = *s;
        slot_start(s, hash, level, message, now);
    }
    if (s->written < LOG_BURST) {
        s->written++;
        return true;
    }
    s->held++;
    return false;
}

bool repeat_close(struct repeats *r, ms now, struct repeat *closing)
{
    for (size_t i = 0; i < COUNT_OF(r->slot); i++) {
        struct repeat *s = &r->slot[i];
        if (s->written == 0 || (now != FOREVER && !window_over(s, now)))
            continue;
        *closing = *s;
        s->written = 0;
        if (closing->held > 0)
            return true;
    }
    return false;
}
