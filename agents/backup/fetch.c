/* fetch: one stored backup, read back. */
#include "agents/backup/fetch.h"
#include "agents/backup/pack.h"
#include "agents/backup/verify.h"

#include "board/rt/pulse.h"
#include "net/format/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MS_MAX SECONDS(50) /* without a byte of a place; less than the stall limit */

struct fetch {
    const struct fetch_options *o;
    struct lane reading, opening, verifying, writing;
    struct fetch_file *file;
    struct place_get *get;
    uint64_t read_bytes, all_bytes; /* of the stored ones; all 0: not known */
    struct unpack *unpack;
    struct writer *writer;
    struct fetched *out;
    err sink;     /* what ended it from below: not what the bytes are */
    err into_why; /* why there is no plain file from the start */
};

/* --- what is stored --- */

static err source_open(struct fetch *f)
{
    struct place_object object = {0};
    if (f->o->path)
        return fetch_file_open(&f->reading, f->o->path, &f->file, &f->all_bytes);
    err e = place_get_open(f->o->place, f->o->name, &f->get, &object);
    f->all_bytes = object.bytes;
    return e;
}

static err source_next(struct fetch *f, struct buf **out)
{
    if (f->o->deadline && loop_now() >= f->o->deadline)
        return trail(E_TIMEOUT, "not read within backup.total_timeout");
    err e = f->file ? fetch_file_next(f->file, out) : place_get_next(f->get, IDLE_MS_MAX, out);
    pulse_beat(TASK_BACKUP, loop_now());
    if (e == OK && *out)
        f->read_bytes += (*out)->len;
    return e == OK && fiber_canceled() ? E_CANCELED : e;
}

static void source_close(struct fetch *f)
{
    fetch_file_close(f->file);
    place_get_close(f->get);
    f->file = NULL;
    f->get = NULL;
}

/* --- the plain bytes --- */

/* There is no plain file, and there will be none. */
static err file_gives_up(struct fetch *f, err why)
{
    writer_close(f->writer);
    f->writer = NULL;
    f->out->file = why;
    return f->o->into_needed ? why : OK;
}

static err file_append(struct fetch *f, struct buf *plain)
{
    uint64_t max = f->o->into_bytes_max;
    if (!f->writer || (max && writer_bytes(f->writer) + plain->len > max)) {
        buf_release(plain);
        return f->writer ? file_gives_up(f, E_FULL) : OK;
    }
    uint64_t mark = trail_mark();
    err e = writer_append(f->writer, plain, false, loop_now() + BACKUP_DISK_MS_MAX);
    if (e == OK || e == E_CANCELED)
        return e;
    if (!f->o->into_needed)
        trail_rewind(mark);
    return file_gives_up(f, e);
}

static err take_plain(void *arg, struct buf *plain, ms deadline)
{
    struct fetch *f = arg;
    (void)deadline;
    f->sink = file_append(f, plain);
    pulse_beat(TASK_BACKUP, loop_now());
    return f->sink;
}

/* --- the whole --- */

static bool is_of_the_form(err e)
{
    return e == E_DENIED || e == E_CORRUPT || e == E_UNSUPPORTED || e == E_RANGE;
}

/* Where only the plain file was wanted, the rest of what cannot be opened is not read. */
static bool is_in_vain(const struct fetch *f)
{
    uint64_t mark = trail_mark();
    err e = f->o->into_needed ? unpack_broken(f->unpack) : OK;
    trail_rewind(mark);
    return e != OK;
}

static void tell(const struct fetch *f)
{
    const struct backup_watcher *w = f->o->watcher;
    if (w && w->progress)
        w->progress(w->arg, "read", f->read_bytes, f->all_bytes > f->read_bytes ? f->all_bytes : f->read_bytes);
}

static err read_all(struct fetch *f, bool *whole)
{
    while (!is_in_vain(f)) {
        struct buf *piece = NULL;
        TRY(source_next(f, &piece));
        *whole = piece == NULL;
        if (!piece)
            return OK;
        TRY(unpack_append(f->unpack, piece, loop_now() + BACKUP_DISK_MS_MAX));
        tell(f);
        fiber_breathe();
    }
    return OK;
}

static err judge(struct fetch *f, const struct pack_sums *sums)
{
    if (f->out->opened != OK) {
        writer_close(f->writer);
        f->writer = NULL;
        f->out->file = f->out->opened;
        return OK;
    }
    trailer_judge(unpack_trailer(f->unpack), sums->plain_sha256, &f->out->plain);
    if (!f->writer)
        return OK;
    err e = writer_flush(f->writer, loop_now() + BACKUP_DISK_MS_MAX);
    return e == OK || e == E_CANCELED ? e : file_gives_up(f, e);
}

static err read_end(struct fetch *f, bool whole)
{
    struct pack_sums sums = {0};
    struct fetched *out = f->out;
    uint64_t mark = trail_mark();
    err e = unpack_end(f->unpack, loop_now() + BACKUP_DISK_MS_MAX, &sums);
    if (f->sink != OK || (e != OK && !is_of_the_form(e)))
        return e;
    if (e != OK)
        trail_take(e, out->opened_why, sizeof out->opened_why);
    trail_rewind(mark);
    out->opened = e;
    out->sealed = unpack_was_sealed(f->unpack);
    out->compressed = unpack_was_compressed(f->unpack);
    out->stored_bytes = f->read_bytes;
    if (whole)
        hex_encode((struct bytes){sums.stored_sha256, SHA256_BYTES}, out->stored_sha256, sizeof out->stored_sha256);
    return judge(f, &sums);
}

err fetch_run(struct fetch *f, struct fetched *out)
{
    *out = (struct fetched){.file = f->writer ? OK : f->into_why};
    f->out = out;
    TRY(source_open(f));
    TRY(unpack_open(&f->opening, f->o->identities, f->o->identity_count, take_plain, f, &f->unpack));
    bool whole = false;
    err e = read_all(f, &whole);
    if (e == OK)
        e = read_end(f, whole);
    source_close(f);
    unpack_close(f->unpack); /* its memory is the verification's */
    f->unpack = NULL;
    return e;
}

err fetch_verify(struct fetch *f, unsigned level_max, struct backup_verification *out)
{
    struct verifier *v = NULL;
    ASSERT(f->writer);
    err e = verifier_run(&f->verifying, &f->opening, writer_temporary_path(f->writer), level_max, f->o->watcher, out, &v);
    verifier_close(v);
    return e;
}

err fetch_commit(struct fetch *f)
{
    ASSERT(f->writer);
    return writer_commit(f->writer, loop_now() + BACKUP_DISK_MS_MAX);
}

/* --- open, close --- */

static err refuse_existing(struct fetch *f)
{
    struct os_stat stat;
    uint64_t mark = trail_mark();
    err e = file_stat(&f->writing, f->o->into, loop_now() + BACKUP_DISK_MS_MAX, &stat);
    if (e == OK)
        return trail(E_EXISTS, "%s is there already, and is never written over", f->o->into);
    if (e == E_ABSENT)
        trail_rewind(mark);
    return e == E_ABSENT ? OK : e;
}

static err into_open(struct fetch *f)
{
    uint64_t mark = trail_mark();
    f->into_why = E_ABSENT;
    if (!f->o->into)
        return OK;
    err e = refuse_existing(f);
    if (e == OK)
        e = writer_open(&f->writing, f->o->into, BACKUP_APPENDS_MAX, NULL, 0, loop_now() + BACKUP_DISK_MS_MAX, &f->writer);
    if (e == OK || e == E_CANCELED || f->o->into_needed)
        return e;
    f->into_why = e;
    trail_rewind(mark);
    return OK;
}

err fetch_open(const struct fetch_options *o, struct fetch **out)
{
    *out = NULL;
    struct fetch *f = calloc(1, sizeof *f);
    if (!f)
        return E_BUDGET;
    f->o = o;
    lane_open(&f->reading, "backup fetch", TASK_BACKUP, 1);
    lane_open(&f->opening, "backup open", TASK_BACKUP, 2);
    lane_open(&f->verifying, "backup fetch digest", TASK_BACKUP, 1);
    lane_open(&f->writing, "backup plain file", TASK_BACKUP, BACKUP_APPENDS_MAX + 1);
    err e = into_open(f);
    if (e == OK)
        *out = f;
    else
        fetch_close(f);
    return e;
}

void fetch_close(struct fetch *f)
{
    if (!f)
        return;
    source_close(f);
    unpack_close(f->unpack);
    writer_close(f->writer);
    lane_close(&f->writing);
    lane_close(&f->verifying);
    lane_close(&f->opening);
    lane_close(&f->reading);
    free(f);
}
