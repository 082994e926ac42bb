/* The durable writer, in the loop: what its caller asks for becomes jobs, which run one at a time on its lane (writer_jobs.c).
 * They share struct writer, which lives until the last of them has ended.
 *
 * Who gave up and who was done first is settled by `gate`, so that a write that was reported as failed leaves no file, however
 * late its thread comes back from the kernel: it finds the gate at GIVEN_UP and removes what it made. */
#include "board/rt/log.h"
#include "board/rt/path.h"
#include "board/rt/writer_inside.h"

#include <stdlib.h>
#include <string.h>

#define CLOSE_MS 5000 /* longest a close may wait for the removal */

/* Where the last hold goes. The descriptor is open here only when a thread came back in the same instant as the writer gave up.
 */
static void writer_drop(struct hold *h)
{
    struct writer *w = CONTAINER_OF(h, struct writer, hold);
    for (size_t i = 0; i < WRITER_DEPTH_MAX; i++)
        buf_release(w->pending[i].data);
    os_file_close(w->fd);
    free(w);
}

/* From now on no job may leave anything behind; false: too late, it is durable. */
static bool give_up(struct writer *w)
{
    int expected = WRITING;
    return atomic_compare_exchange_strong(&w->gate, &expected, GIVEN_UP) || expected == GIVEN_UP;
}

static bool lane_is_ours(const struct writer *w)
{
    return w->lane->open && w->lane->opening == w->opening;
}

static err call(struct writer *w, err (*run)(void *job), ms deadline)
{
    struct writer_job job = {.writer = w};
    if (!lane_is_ours(w))
        return E_CLOSED;
    return lane_call(w->lane, run, &job, sizeof job, &w->hold, deadline);
}

static err fail(struct writer *w, err e)
{
    if (w->failed == OK)
        w->failed = e;
    return e;
}

static err path_check(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t name_bytes = strlen(slash == NULL ? path : slash + 1);
    if (name_bytes == 0)
        return E_INVALID;
    return strlen(path) + WRITER_PART_BYTES < OS_PATH_MAX && name_bytes + WRITER_PART_BYTES < OS_NAME_MAX ? OK : E_RANGE;
}

static void path_set(struct writer *w, const char *path)
{
    memcpy(w->path, path, strlen(path) + 1); /* path_check() measured it */
}

static struct writer *writer_new(struct lane *l, const char *path, unsigned depth)
{
    struct writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    hold_init(&w->hold, writer_drop);
    atomic_init(&w->gate, WRITING);
    atomic_init(&w->finished, 0);
    w->lane = l;
    w->opening = l->opening;
    w->depth = depth;
    w->fd = -1;
    path_set(w, path);
    return w;
}

err writer_open(struct lane *l, const char *path, unsigned depth, void (*tap)(void *state, struct bytes data), size_t tap_bytes,
                ms deadline, struct writer **out)
{
    ASSERT(depth >= 1 && depth <= WRITER_DEPTH_MAX && tap_bytes <= WRITER_TAP_BYTES_MAX);
    *out = NULL;
    err e = path_check(path);
    if (e != OK)
        return trail(e, "writing %s", path);
    struct writer *w = writer_new(l, path, depth);
    if (w == NULL)
        return trail(E_BUDGET, "writing %s", path);
    w->tap = tap;
    e = call(w, writer_job_open, deadline);
    if (e == OK) {
        *out = w;
        return OK;
    }
    (void)give_up(w);
    hold_release(&w->hold);
    return trail(e, "creating %s", path);
}

void *writer_tap_state(struct writer *w)
{
    return w->tap_state;
}

const char *writer_temporary_path(const struct writer *w)
{
    return w->part;
}

uint64_t writer_bytes(const struct writer *w)
{
    return w->appended_bytes;
}

static unsigned in_flight(const struct writer *w)
{
    return w->submitted - atomic_load_explicit(&w->finished, memory_order_acquire);
}

static err wait_depth(struct writer *w, ms deadline)
{
    for (;;) {
        if (!lane_is_ours(w))
            return E_CLOSED;
        if (in_flight(w) < w->depth)
            return OK;
        if (w->lane->written_off)
            return E_BUSY;
        err e = pool_wait_progress(deadline);
        if (e == E_TIMEOUT)
            lane_is_late(w->lane);
        TRY(e);
    }
}

static err append(struct writer *w, struct buf *b, bool tapped, ms deadline)
{
    struct writer_job job = {.writer = w};
    struct pending *p = &w->pending[w->submitted % WRITER_DEPTH_MAX];
    TRY(wait_depth(w, deadline));
    *p = (struct pending){.data = b, .tapped = tapped};
    err e = lane_put(w->lane, writer_job_append, &job, sizeof job, &w->hold, deadline);
    if (e != OK) {
        p->data = NULL;
        return e;
    }
    w->submitted++;
    w->appended_bytes += b->len;
    return OK;
}

err writer_append(struct writer *w, struct buf *b, bool tapped, ms deadline)
{
    err e = w->failed;
    if (e == OK)
        e = trail(fail(w, append(w, b, tapped, deadline)), "writing %s", w->path);
    if (e != OK)
        buf_release(b);
    return e;
}

/* Jobs that the lane dropped never count as finished. */
static err missing(const struct writer *w)
{
    return in_flight(w) == 0 ? OK : E_TIMEOUT;
}

err writer_flush(struct writer *w, ms deadline)
{
    TRY(w->failed);
    err e = call(w, writer_job_flush, deadline);
    if (e == OK)
        e = missing(w);
    return e == OK ? OK : trail(fail(w, e), "writing %s", w->path);
}

err writer_commit(struct writer *w, ms deadline)
{
    TRY(writer_flush(w, deadline));
    err e = call(w, writer_job_commit, deadline);
    if (e == OK || e == E_EXISTS)
        return trail(e, "keeping %s", w->path);
    if (!give_up(w)) /* it became durable in the instant of the deadline */
        return OK;
    return trail(fail(w, e), "keeping %s", w->path);
}

err writer_commit_over(struct writer *w, ms deadline)
{
    w->over = true; /* no job asks but the one that follows */
    return writer_commit(w, deadline);
}

err writer_rename(struct writer *w, const char *path)
{
    char before[OS_PATH_MAX], after[OS_PATH_MAX];
    TRY(w->failed);
    TRY(path_check(path));
    path_folder(w->path, before);
    path_folder(path, after);
    if (strcmp(before, after) != 0)
        return trail(E_INVALID, "renaming %s to %s: another folder", w->path, path);
    TRY(writer_flush(w, loop_now() + CLOSE_MS)); /* no job may look at the path while it changes */
    path_set(w, path);
    return OK;
}

void writer_close(struct writer *w)
{
    if (w == NULL)
        return;
    if (give_up(w)) {
        fiber_shield();
        err e = call(w, writer_job_abort, loop_now() + CLOSE_MS);
        if (e != OK) /* a stuck job removes it when it comes back */
            log_warn("an unfinished file could not be removed", F("file", w->part), F_ERR(e));
        fiber_unshield();
    }
    hold_release(&w->hold);
}
