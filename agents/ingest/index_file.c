/* index_file: the names of the index, in a scratch file that is appended to, and read one record at a time. */
#include "agents/ingest/index_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 8u /* kind, three lengths of two bytes, a zero */

/* --- on the pool --- */

static struct names_disk *disk_of(void *job)
{
    return *(struct names_disk **)job;
}

static err run_open(void *job)
{
    struct names_disk *d = disk_of(job);
    err gone = os_unlink(d->path);
    if (gone != OK && gone != E_ABSENT)
        return trail(gone, "removing %s", d->path);
    trail_clear();
    err e = os_file_open(d->path, OS_CREATE_NEW, &d->fd);
    return e == OK ? OK : trail(e, "making %s", d->path);
}

static err run_close(void *job)
{
    struct names_disk *d = disk_of(job);
    os_file_close(d->fd);
    d->fd = -1;
    return os_unlink(d->path);
}

struct write_job {
    struct names_disk *disk;
    uint64_t at;
    size_t len; /* of its tail */
};

static err run_write(void *arg)
{
    struct write_job *j = arg;
    return os_file_write(j->disk->fd, j->at, j->disk->tail->at, j->len);
}

struct read_job {
    os_fd fd;
    uint64_t at;
    size_t len;
    uint8_t bytes[NAMES_RECORD_MAX];
};
_Static_assert(sizeof(struct read_job) <= JOB_BYTES_MAX, "a job is copied");

static err run_read(void *arg)
{
    struct read_job *j = arg;
    size_t got = 0;
    TRY(os_file_read(j->fd, j->at, j->bytes, j->len, &got));
    return got == j->len ? OK : E_CORRUPT;
}

/* --- the file --- */

static void drop(struct hold *h)
{
    struct names_disk *d = CONTAINER_OF(h, struct names_disk, hold);
    os_file_close(d->fd);
    buf_release(d->tail);
    free(d);
}

static err disk_make(const char *path, ms deadline, struct names_disk **out)
{
    struct names_disk *d = calloc(1, sizeof *d);
    if (!d)
        return E_BUDGET;
    hold_init(&d->hold, drop);
    d->fd = -1;
    (void)snprintf(d->path, sizeof d->path, "%s", path);
    err e = buf_wait(INDEX_BUFFER, deadline, &d->tail);
    if (e == OK)
        d->tail->len = 0;
    else
        hold_release(&d->hold);
    *out = e == OK ? d : NULL;
    return e;
}

err names_open(struct names_file *f, const char *path, struct lane *lane, ms deadline)
{
    *f = (struct names_file){.lane = lane};
    TRY(disk_make(path, deadline, &f->disk));
    err e = lane_call(lane, run_open, &f->disk, sizeof f->disk, &f->disk->hold, deadline);
    if (e != OK) {
        hold_release(&f->disk->hold);
        f->disk = NULL;
    }
    return e;
}

/* A lane that sticks does not remove it: the next open does. */
void names_close(struct names_file *f, ms deadline)
{
    if (!f->disk)
        return;
    uint64_t mark = trail_mark();
    fiber_shield();
    err_ignore(lane_call(f->lane, run_close, &f->disk, sizeof f->disk, &f->disk->hold, deadline));
    fiber_unshield();
    trail_rewind(mark);
    hold_release(&f->disk->hold);
    f->disk = NULL;
}

uint64_t names_bytes(const struct names_file *f)
{
    return f->written + (f->disk ? f->disk->tail->len : 0);
}

static err flush(struct names_file *f, ms deadline)
{
    struct buf *tail = f->disk->tail;
    struct write_job j = {.disk = f->disk, .at = f->written, .len = tail->len};
    err e = lane_call(f->lane, run_write, &j, sizeof j, &f->disk->hold, deadline);
    if (e != OK)
        return trail(e, "writing %s", f->disk->path);
    f->written += tail->len;
    tail->len = 0;
    return OK;
}

/* --- records --- */

static size_t add_part(uint8_t *to, size_t at, struct bytes part)
{
    if (part.len > 0)
        memcpy(to + at, part.at, part.len);
    return at + part.len;
}

static void put_head(uint8_t *to, enum ingest_kind kind, const struct info_names *n)
{
    uint16_t lengths[3] = {(uint16_t)n->uid.len, (uint16_t)n->name_space.len, (uint16_t)n->name.len};
    memset(to, 0, HEAD_BYTES);
    to[0] = (uint8_t)kind;
    memcpy(to + 2, lengths, sizeof lengths);
}

err names_add(struct names_file *f, enum ingest_kind kind, const struct info_names *n, ms deadline, uint32_t *at,
              uint16_t *length)
{
    size_t bytes = HEAD_BYTES + n->uid.len + n->name_space.len + n->name.len, padded = size_round_up(bytes, NAMES_UNIT);
    if (padded > NAMES_RECORD_MAX)
        return trail(E_RANGE, "the names of an object are longer than %u bytes", NAMES_RECORD_MAX);
    if (names_bytes(f) / NAMES_UNIT > UINT32_MAX - NAMES_RECORD_MAX)
        return E_FULL;
    struct buf *tail = f->disk->tail;
    if (tail->len + padded > INDEX_BUFFER)
        TRY(flush(f, deadline));
    uint8_t *to = tail->at + tail->len;
    put_head(to, kind, n);
    size_t end = add_part(to, add_part(to, add_part(to, HEAD_BYTES, n->uid), n->name_space), n->name);
    memset(to + end, 0, padded - end);
    *at = (uint32_t)(names_bytes(f) / NAMES_UNIT);
    *length = (uint16_t)bytes;
    tail->len += padded;
    return OK;
}

static err split(const uint8_t *record, uint16_t length, enum ingest_kind *kind, struct info_names *out)
{
    uint16_t lengths[3];
    memcpy(lengths, record + 2, sizeof lengths);
    if (record[0] >= INGEST_KIND_COUNT || HEAD_BYTES + lengths[0] + lengths[1] + lengths[2] != length)
        return trail(E_CORRUPT, "the names' file of the index is damaged");
    const uint8_t *at = record + HEAD_BYTES;
    *kind = (enum ingest_kind)record[0];
    *out = (struct info_names){
        .uid = {at, lengths[0]}, .name_space = {at + lengths[0], lengths[1]}, .name = {at + lengths[0] + lengths[1], lengths[2]}};
    return OK;
}

err names_read(struct names_file *f, uint32_t at, uint16_t length, uint8_t *into, ms deadline, enum ingest_kind *kind,
               struct info_names *names)
{
    uint64_t from = (uint64_t)at * NAMES_UNIT;
    ASSERT(length >= HEAD_BYTES && length <= NAMES_RECORD_MAX);
    if (from >= f->written) {
        memcpy(into, f->disk->tail->at + (from - f->written), length);
        return split(into, length, kind, names);
    }
    struct read_job j = {.fd = f->disk->fd, .at = from, .len = length};
    err e = lane_call(f->lane, run_read, &j, sizeof j, &f->disk->hold, deadline);
    if (e != OK)
        return trail(e, "reading %s", f->disk->path);
    memcpy(into, j.bytes, length);
    return split(into, length, kind, names);
}
