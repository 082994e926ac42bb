/* The file is written by jobs of the lane, one at a time. After a job that did not end in time nothing of what it looks at is
 * touched before the next one was done: snapshot_file_begin() starts with one. */
#include "agents/ingest/snapshot_file.h"

#include "board/rt/hold.h"
#include "board/rt/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MS_MAX SECONDS(10)
#define HEAD_BYTES  KIB(4) /* of what envelope.h writes at once, but for an Info */
#define NO_KIND     (-1)

enum stage { WAITS, WRITES, FINISHED, FAILED };

struct snapshot_file {
    struct hold hold; /* the caller's, and one of each job */
    struct lane *lane;
    uint64_t bytes_max;
    char path[OS_PATH_MAX];
    enum stage stage;
    err failed; /* why, in FAILED */
    int kind;   /* the one that is written; NO_KIND */
    uint64_t kind_at;
    bool has_items;

    /* the jobs', too */
    os_fd fd;
    char *buffer;
    size_t len;  /* bytes in it */
    uint64_t at; /* where they belong: so many are in the file */
};

/* --- on the pool --- */

static struct snapshot_file *file_of(void *job)
{
    return *(struct snapshot_file **)job;
}

static err run_remove(void *job)
{
    struct snapshot_file *f = file_of(job);
    os_file_close(f->fd);
    f->fd = -1;
    err e = os_unlink(f->path);
    return e == E_ABSENT ? OK : e;
}

static err run_write(void *job)
{
    struct snapshot_file *f = file_of(job);
    return os_file_write(f->fd, f->at, f->buffer, f->len);
}

static err run_truncate(void *job)
{
    struct snapshot_file *f = file_of(job);
    if (f->fd < 0)
        TRY(os_file_open(f->path, OS_CREATE, &f->fd));
    return os_file_truncate(f->fd, f->at);
}

static err run_clear(void *job)
{
    file_of(job)->at = 0; /* no other job looks at it any more */
    return run_truncate(job);
}

static void drop(struct hold *h)
{
    struct snapshot_file *f = CONTAINER_OF(h, struct snapshot_file, hold);
    os_file_close(f->fd);
    free(f->buffer);
    free(f);
}

static err call(struct snapshot_file *f, err (*run)(void *job), ms deadline)
{
    return lane_call(f->lane, run, &f, sizeof f, &f->hold, deadline);
}

/* --- stages --- */

static err fail(struct snapshot_file *f, err e)
{
    f->stage = FAILED;
    f->failed = e;
    return trail(e, "the snapshot in %s", f->path);
}

/* OK: it may be written to. */
static err writable(const struct snapshot_file *f)
{
    ASSERT(f->stage == WRITES || f->stage == FAILED);
    return f->stage == FAILED ? trail(f->failed, "the snapshot in %s failed before", f->path) : OK;
}

static uint64_t position(const struct snapshot_file *f)
{
    return f->at + f->len;
}

static err flush(struct snapshot_file *f, ms deadline)
{
    if (f->len == 0)
        return OK;
    TRY(call(f, run_write, deadline));
    f->at += f->len;
    f->len = 0;
    return OK;
}

static err put(struct snapshot_file *f, struct bytes data, ms deadline)
{
    if (data.len > f->bytes_max || position(f) > f->bytes_max - data.len)
        return trail(E_RANGE, "it is larger than %llu bytes", (unsigned long long)f->bytes_max);
    while (data.len > 0) {
        size_t n = size_min(data.len, SNAPSHOT_BUFFER - f->len);
        memcpy(f->buffer + f->len, data.at, n);
        f->len += n;
        data = bytes_after(data, n);
        if (f->len == SNAPSHOT_BUFFER)
            TRY(flush(f, deadline));
    }
    return OK;
}

static err put_text(struct snapshot_file *f, const struct text *t, ms deadline)
{
    return put(f, (struct bytes){(const uint8_t *)t->at, t->len}, deadline);
}

/* --- kinds --- */

static err kind_begin(struct snapshot_file *f, int kind, ms deadline)
{
    char storage[96];
    struct text t = text_over(storage, sizeof storage);
    f->kind = kind;
    f->kind_at = position(f);
    f->has_items = false;
    TRY(envelope_kind_begin((enum ingest_kind)kind, &t));
    return put_text(f, &t, deadline);
}

static err kind_end(struct snapshot_file *f, ms deadline)
{
    char storage[8];
    struct text t = text_over(storage, sizeof storage);
    if (f->kind == NO_KIND)
        return OK;
    TRY(envelope_kind_end(&t));
    return put_text(f, &t, deadline);
}

/* Takes back what was written since the kind began. */
static err kind_undo(struct snapshot_file *f, ms deadline)
{
    if (f->kind_at >= f->at) { /* all of it is in the buffer */
        f->len = (size_t)(f->kind_at - f->at);
        return OK;
    }
    f->at = f->kind_at;
    f->len = 0;
    return call(f, run_truncate, deadline);
}

/* Ends the kind there is and begins this one; those between have no objects. */
static err kind_advance(struct snapshot_file *f, int kind, ms deadline)
{
    while (f->kind < kind) {
        TRY(kind_end(f, deadline));
        TRY(kind_begin(f, f->kind + 1, deadline));
    }
    return OK;
}

static err kind_again(struct snapshot_file *f, ms deadline)
{
    TRY(kind_undo(f, deadline));
    return kind_begin(f, f->kind, deadline);
}

/* --- what is called --- */

err snapshot_file_open(const char *path, struct lane *lane, uint64_t bytes_max, struct snapshot_file **out)
{
    *out = NULL;
    if (strlen(path) >= OS_PATH_MAX)
        return trail(E_RANGE, "%.64s...: path too long", path);
    struct snapshot_file *f = calloc(1, sizeof *f);
    if (!f)
        return trail(E_BUDGET, "the snapshot's file");
    hold_init(&f->hold, drop);
    f->lane = lane;
    f->bytes_max = bytes_max;
    f->fd = -1;
    (void)snprintf(f->path, sizeof f->path, "%s", path);
    err e = call(f, run_remove, loop_now() + OPEN_MS_MAX);
    if (e == OK)
        *out = f;
    else
        hold_release(&f->hold);
    return trail(e, "removing an earlier %s", path);
}

void snapshot_file_close(struct snapshot_file *f, ms deadline)
{
    if (!f)
        return;
    uint64_t mark = trail_mark();
    fiber_shield();
    err_ignore(call(f, run_remove, deadline)); /* else the next open does */
    fiber_unshield();
    trail_rewind(mark);
    hold_release(&f->hold);
}

static err begin(struct snapshot_file *f, const struct envelope *e, ms deadline)
{
    TRY(call(f, run_clear, deadline));
    f->len = 0;
    f->kind = NO_KIND;
    if (!f->buffer)
        f->buffer = malloc(SNAPSHOT_BUFFER);
    if (!f->buffer)
        return E_BUDGET;
    struct text t = text_over(f->buffer, HEAD_BYTES); /* it is empty */
    TRY(envelope_snapshot_head(e, &t));
    f->len = t.len;
    return put(f, (struct bytes){0}, deadline); /* is there room for it? */
}

err snapshot_file_begin(struct snapshot_file *f, const struct envelope *e, ms deadline)
{
    err result = begin(f, e, deadline);
    if (result != OK)
        return fail(f, result);
    f->stage = WRITES;
    return OK;
}

err snapshot_file_kind(struct snapshot_file *f, enum ingest_kind kind, ms deadline)
{
    TRY(writable(f));
    ASSERT((int)kind >= f->kind);
    err e = (int)kind == f->kind ? kind_again(f, deadline) : kind_advance(f, (int)kind, deadline);
    return e == OK ? OK : fail(f, e);
}

err snapshot_file_add(struct snapshot_file *f, struct bytes info, ms deadline)
{
    TRY(writable(f));
    ASSERT(f->kind != NO_KIND);
    err e = f->has_items ? put(f, bytes_of(","), deadline) : OK;
    f->has_items = true;
    if (e == OK)
        e = put(f, info, deadline);
    return e == OK ? OK : fail(f, e);
}

static err finish(struct snapshot_file *f, ms deadline)
{
    char storage[8];
    struct text t = text_over(storage, sizeof storage);
    TRY(kind_advance(f, INGEST_KIND_COUNT - 1, deadline));
    TRY(kind_end(f, deadline));
    TRY(envelope_snapshot_tail(&t));
    TRY(put_text(f, &t, deadline));
    return flush(f, deadline);
}

err snapshot_file_finish(struct snapshot_file *f, ms deadline)
{
    TRY(writable(f));
    err e = finish(f, deadline);
    if (e != OK)
        return fail(f, e);
    free(f->buffer);
    f->buffer = NULL;
    f->stage = FINISHED;
    return OK;
}

const char *snapshot_file_path(const struct snapshot_file *f)
{
    return f->path;
}

uint64_t snapshot_file_bytes(const struct snapshot_file *f)
{
    return f->stage == FINISHED ? f->at : 0;
}
