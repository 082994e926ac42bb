/* intake: the stream's bytes on their way to the writer. The last 32 are held back (trailer.h); all before them is hashed while
 * it is written. */
#include "agents/backup/backup_internal.h"

#include <string.h>

struct digest {
    bool started;
    struct sha256 sha;
};

static void hash(void *state, struct bytes data)
{
    struct digest *d = state;
    if (!d->started)
        sha256_start(&d->sha);
    d->started = true;
    sha256_update(&d->sha, data);
}

err intake_open(struct backup_intake *i, struct lane *l, const char *path, ms deadline)
{
    _Static_assert(sizeof(struct digest) <= WRITER_TAP_BYTES_MAX, "the digest must fit the writer's tap");
    *i = (struct backup_intake){0};
    return writer_open(l, path, BACKUP_APPENDS_MAX, hash, sizeof(struct digest), deadline, &i->writer);
}

static err push(struct backup_intake *i, bool tapped, ms deadline)
{
    struct buf *full = i->filling;
    i->filling = NULL;
    return full ? writer_append(i->writer, full, tapped, deadline) : OK;
}

struct putting {
    struct backup_intake *intake;
    ms deadline;
};

static err put(void *arg, struct bytes data)
{
    const struct putting *p = arg;
    struct backup_intake *i = p->intake;
    for (size_t n; data.len > 0; data = (struct bytes){data.at + n, data.len - n}) {
        if (!i->filling)
            TRY(buf_wait(BACKUP_PIECE_BYTES, p->deadline, &i->filling));
        struct buf *b = i->filling;
        n = size_min(data.len, BACKUP_PIECE_BYTES - b->len);
        memcpy(b->at + b->len, data.at, n);
        b->len += n;
        if (b->len == BACKUP_PIECE_BYTES)
            TRY(push(i, true, p->deadline));
    }
    return OK;
}

err intake_add(struct backup_intake *i, struct bytes data, ms deadline)
{
    return trailer_add(&i->trailer, data, put, &(struct putting){i, deadline});
}

static void digest_of(struct backup_intake *i, uint8_t computed[SHA256_BYTES])
{
    struct digest *d = writer_tap_state(i->writer);
    struct sha256 copy = d->sha;
    if (!d->started)
        sha256_start(&copy);
    sha256_finish(&copy, computed);
}

static err append_tail(struct backup_intake *i, ms deadline)
{
    if (i->trailer.tail_len == 0)
        return OK;
    TRY(buf_wait(SHA256_BYTES, deadline, &i->filling));
    memcpy(i->filling->at, i->trailer.tail, i->trailer.tail_len);
    i->filling->len = i->trailer.tail_len;
    return push(i, false, deadline);
}

err intake_check(struct backup_intake *i, ms deadline, struct backup_verification *v)
{
    uint8_t computed[SHA256_BYTES];
    TRY(push(i, true, deadline));
    TRY(append_tail(i, deadline));
    TRY(writer_flush(i->writer, deadline));
    digest_of(i, computed);
    trailer_judge(&i->trailer, computed, v);
    return OK;
}

void intake_close(struct backup_intake *i)
{
    buf_release(i->filling);
    i->filling = NULL;
    writer_close(i->writer);
    i->writer = NULL;
}
