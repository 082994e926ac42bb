/* intake: etcd's snapshot stream is the database followed by its SHA-256. The last 32 bytes are held back: whatever they are when
 * the stream ends is the trailer, and all before it was hashed while it was written. */
#include "agents/backup/backup_internal.h"

#include "net/format/hex.h"

#include <string.h>

#define PAGE_DIVISOR 512 /* a bbolt file is a multiple of it: etcdutl's own check of the length */

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

static err put(struct backup_intake *i, const uint8_t *at, size_t len, ms deadline)
{
    while (len > 0) {
        if (!i->filling)
            TRY(buf_wait(BACKUP_PIECE_BYTES, deadline, &i->filling));
        struct buf *b = i->filling;
        size_t n = size_min(len, BACKUP_PIECE_BYTES - b->len);
        memcpy(b->at + b->len, at, n);
        b->len += n;
        at += n;
        len -= n;
        if (b->len == BACKUP_PIECE_BYTES)
            TRY(push(i, true, deadline));
    }
    return OK;
}

err intake_add(struct backup_intake *i, struct bytes data, ms deadline)
{
    i->total_bytes += data.len;
    if (data.len >= SHA256_BYTES) {
        TRY(put(i, i->tail, i->tail_len, deadline));
        TRY(put(i, data.at, data.len - SHA256_BYTES, deadline));
        memcpy(i->tail, data.at + data.len - SHA256_BYTES, SHA256_BYTES);
        i->tail_len = SHA256_BYTES;
        return OK;
    }
    size_t over = i->tail_len + data.len > SHA256_BYTES ? i->tail_len + data.len - SHA256_BYTES : 0;
    TRY(put(i, i->tail, over, deadline));
    memmove(i->tail, i->tail + over, i->tail_len - over);
    i->tail_len -= over;
    if (data.len)
        memcpy(i->tail + i->tail_len, data.at, data.len);
    i->tail_len += data.len;
    return OK;
}

static void digest_check(struct backup_intake *i, struct backup_verification *v)
{
    uint8_t computed[SHA256_BYTES];
    struct digest *d = writer_tap_state(i->writer);
    struct sha256 copy = d->sha;
    if (!d->started)
        sha256_start(&copy);
    sha256_finish(&copy, computed);
    hex_encode((struct bytes){computed, SHA256_BYTES}, v->sha256, sizeof v->sha256);
    if (memcmp(computed, i->tail, SHA256_BYTES) == 0)
        v->level = 2;
    else
        backup_finding_add(v, "sha256", 0, "the SHA-256 at the end is not that of the %llu bytes before it",
                           (unsigned long long)v->db_bytes);
}

static err append_tail(struct backup_intake *i, ms deadline)
{
    if (i->tail_len == 0)
        return OK;
    TRY(buf_wait(SHA256_BYTES, deadline, &i->filling));
    memcpy(i->filling->at, i->tail, i->tail_len);
    i->filling->len = i->tail_len;
    return push(i, false, deadline);
}

err intake_check(struct backup_intake *i, ms deadline, struct backup_verification *v)
{
    TRY(push(i, true, deadline));
    TRY(append_tail(i, deadline));
    TRY(writer_flush(i->writer, deadline));
    *v = (struct backup_verification){.bytes = i->total_bytes};
    if (i->total_bytes % PAGE_DIVISOR != SHA256_BYTES || i->total_bytes == SHA256_BYTES) {
        backup_finding_add(v, "length", 0, "%llu bytes: not whole pages of 512 and a SHA-256",
                           (unsigned long long)i->total_bytes);
        return OK;
    }
    v->level = 1;
    v->db_bytes = i->total_bytes - SHA256_BYTES;
    digest_check(i, v);
    return OK;
}

void intake_close(struct backup_intake *i)
{
    buf_release(i->filling);
    i->filling = NULL;
    writer_close(i->writer);
    i->writer = NULL;
}
