/* intake: the stream's bytes on their way to the writer, or to be packed, or both. The last 32 are held back (trailer.h); all
 * before them is hashed on the way. */
#include "agents/backup/pack.h"

#include "board/rt/log.h"

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

void intake_open_packed(struct backup_intake *i, struct pack *pack)
{
    *i = (struct backup_intake){.pack = pack};
}

static err copy_result(struct backup_intake *i, err e, uint64_t mark)
{
    if (e == OK || e == E_CANCELED)
        return e;
    log_warn("the copy for the verification cannot be written: the snapshot is verified as far as its SHA-256",
             F("path", writer_temporary_path(i->writer)), F_ERR(e));
    trail_rewind(mark);
    writer_close(i->writer);
    i->writer = NULL;
    return OK;
}

/* A copy beside what is packed, only for a verification: the backup does without it. */
static err push_copy(struct backup_intake *i, struct buf *full, ms deadline)
{
    uint64_t mark = trail_mark();
    if (!i->writer)
        return OK;
    hold_take(&full->hold);
    err e = writer_append(i->writer, full, false, ms_min(deadline, loop_now() + BACKUP_DISK_MS_MAX));
    return copy_result(i, e, mark);
}

static err push(struct backup_intake *i, bool hashed, ms deadline)
{
    struct buf *full = i->filling;
    i->filling = NULL;
    if (!full)
        return OK;
    if (!i->pack)
        return writer_append(i->writer, full, hashed, deadline);
    err e = push_copy(i, full, deadline);
    if (e == OK)
        return pack_append(i->pack, full, hashed, deadline);
    buf_release(full);
    return e;
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

static void digest_of_writer(struct backup_intake *i, uint8_t computed[SHA256_BYTES])
{
    struct digest *d = writer_tap_state(i->writer);
    struct sha256 copy = d->sha;
    if (!d->started)
        sha256_start(&copy);
    sha256_finish(&copy, computed);
}

static err flush_copy(struct backup_intake *i, ms deadline)
{
    uint64_t mark = trail_mark();
    err e = i->writer ? writer_flush(i->writer, ms_min(deadline, loop_now() + BACKUP_DISK_MS_MAX)) : OK;
    return copy_result(i, e, mark);
}

static err flush(struct backup_intake *i, ms deadline, uint8_t computed[SHA256_BYTES])
{
    struct pack_sums sums;
    if (!i->pack) {
        TRY(writer_flush(i->writer, deadline));
        digest_of_writer(i, computed);
        return OK;
    }
    TRY(flush_copy(i, deadline));
    TRY(pack_flush(i->pack, deadline, &sums));
    memcpy(computed, sums.plain_sha256, SHA256_BYTES);
    return OK;
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
    TRY(flush(i, deadline, computed));
    trailer_judge(&i->trailer, computed, v);
    return OK;
}

void intake_close(struct backup_intake *i)
{
    buf_release(i->filling);
    i->filling = NULL;
    pack_close(i->pack);
    i->pack = NULL;
    writer_close(i->writer);
    i->writer = NULL;
}
