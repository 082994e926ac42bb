/* The durable writer. Its jobs run one at a time on its lane and share struct writer, which lives until the last of them has
 * ended.
 *
 * Who gave up and who was done first is settled by `gate`, so that a write that was reported as failed leaves no file, however
 * late its thread comes back from the kernel: it finds the gate at GIVEN_UP and removes what it made. */
#include "board/rt/file.h"
#include "board/rt/lane.h"
#include "board/rt/log.h"
#include "board/rt/path.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX        8
#define PUSH_BYTES       MIB(1) /* finished bytes are sent to the disk in such steps */
#define CLOSE_MS         5000   /* longest a close may wait for the removal */
#define PART_TRIES_MAX   3
#define PART_MARK        ".part-"
#define PART_HEX_DIGITS  8
#define PART_EXTRA_BYTES (sizeof PART_MARK - 1 + PART_HEX_DIGITS)

enum gate { WRITING, GIVEN_UP, COMMITTED };

struct pending {
    struct buf *data;
    bool tapped;
};

struct writer {
    struct hold hold; /* the caller's, and one of each job */
    atomic_int gate;  /* enum gate */

    /* the loop's */
    struct lane *lane;
    uint64_t opening; /* the lane's; on another one our jobs would not come after each other */
    unsigned depth;
    uint64_t appended_bytes;
    unsigned submitted;
    err failed; /* what the caller was told; sticky */

    /* handed over with each job */
    struct pending pending[DEPTH_MAX]; /* by append number */
    char path[OS_PATH_MAX], part[OS_PATH_MAX];
    bool over;
    void (*tap)(void *state, struct bytes data);

    /* the jobs' */
    atomic_uint finished;
    os_fd fd;
    uint64_t written_bytes, pushed_bytes;
    err error; /* first of a write or a sync; final: what the kernel lost once it reports once */
    bool made, synced, renamed;
    alignas(max_align_t) unsigned char tap_state[WRITER_TAP_BYTES_MAX];
};

struct writer_job {
    struct writer *writer;
};

/* --- on the pool --- */

static bool is_given_up(struct writer *w)
{
    return atomic_load(&w->gate) == GIVEN_UP;
}

/* Removes what was made; idempotent. A name that cannot be removed, or comes back with a power cut, is a recognisable leftover.
 */
static void remove_made(struct writer *w)
{
    char folder[OS_PATH_MAX];
    os_file_close(w->fd);
    w->fd = -1;
    if (!w->made)
        return;
    path_folder(w->path, folder);
    if (os_unlink(w->renamed ? w->path : w->part) == OK && os_sync_folder(folder) == OK)
        w->renamed = false;
    w->made = false;
}

/* Every job ends here: the last word when nobody waits any more. */
static err job_ended(struct writer *w, err e)
{
    if (!is_given_up(w))
        return e;
    remove_made(w);
    return E_CANCELED;
}

static void part_name(struct writer *w)
{
    uint32_t number;
    os_random(&number, sizeof number);
    snprintf(w->part, sizeof w->part, "%.*s" PART_MARK "%0*x", (int)(OS_PATH_MAX - 1 - PART_EXTRA_BYTES), w->path,
             PART_HEX_DIGITS, (unsigned)number);
}

static err run_open(void *job)
{
    struct writer *w = ((struct writer_job *)job)->writer;
    err e = E_EXISTS;
    for (int i = 0; i < PART_TRIES_MAX && e == E_EXISTS && !is_given_up(w); i++) {
        part_name(w);
        e = os_file_open(w->part, OS_CREATE_NEW, &w->fd);
    }
    w->made = e == OK;
    if (e == OK && os_file_lock(w->fd) == E_BUSY) { /* somebody takes it for a leftover. Where there are no locks, age tells */
        e = E_BUSY;
        remove_made(w);
    }
    return job_ended(w, e);
}

static void push_finished(struct writer *w)
{
    if (w->written_bytes - w->pushed_bytes < PUSH_BYTES)
        return;
    os_file_push(w->fd, w->pushed_bytes, w->written_bytes - w->pushed_bytes);
    w->pushed_bytes = w->written_bytes;
}

static void write_one(struct writer *w, const struct pending *p)
{
    struct bytes data = {.at = p->data->at, .len = p->data->len};
    if (w->error != OK || is_given_up(w))
        return;
    if (p->tapped && w->tap != NULL)
        w->tap(w->tap_state, data);
    w->synced = false;
    w->error = os_file_write(w->fd, w->written_bytes, data.at, data.len);
    if (w->error != OK)
        return;
    w->written_bytes += data.len;
    push_finished(w);
}

static err run_append(void *job)
{
    struct writer *w = ((struct writer_job *)job)->writer;
    unsigned number = atomic_load_explicit(&w->finished, memory_order_relaxed);
    struct pending *p = &w->pending[number % DEPTH_MAX];
    write_one(w, p);
    buf_release(p->data);
    p->data = NULL;
    atomic_store_explicit(&w->finished, number + 1, memory_order_release);
    return job_ended(w, OK); /* w->error is asked for by the next call */
}

static err run_flush(void *job)
{
    struct writer *w = ((struct writer_job *)job)->writer;
    return job_ended(w, w->error);
}

/* What was there before does not come back: in its place nothing is removed any more. */
static err take_name(struct writer *w)
{
    err e = os_rename_new(w->part, w->path);
    w->renamed = e == OK;
    if (e != E_EXISTS || !w->over)
        return e;
    TRY(os_rename_over(w->part, w->path));
    w->made = false;
    return OK;
}

static err make_durable(struct writer *w)
{
    char folder[OS_PATH_MAX];
    if (w->error == OK && !w->synced)
        w->error = os_file_sync(w->fd);
    TRY(w->error);
    w->synced = true;
    if (is_given_up(w))
        return E_CANCELED;
    TRY(take_name(w));
    path_folder(w->path, folder);
    w->error = os_sync_folder(folder);
    return w->error;
}

static err run_commit(void *job)
{
    struct writer *w = ((struct writer_job *)job)->writer;
    err e = make_durable(w);
    int expected = WRITING;
    if (e != OK || !atomic_compare_exchange_strong(&w->gate, &expected, COMMITTED))
        return job_ended(w, e);
    os_file_close(w->fd);
    w->fd = -1;
    return OK;
}

static err run_abort(void *job)
{
    struct writer *w = ((struct writer_job *)job)->writer;
    remove_made(w);
    return OK;
}

/* --- in the loop --- */

/* Where the last hold goes. The descriptor is open here only when a thread came back in the same instant as the writer gave up.
 */
static void writer_drop(struct hold *h)
{
    struct writer *w = CONTAINER_OF(h, struct writer, hold);
    for (size_t i = 0; i < DEPTH_MAX; i++)
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
    return strlen(path) + PART_EXTRA_BYTES < OS_PATH_MAX && name_bytes + PART_EXTRA_BYTES < OS_NAME_MAX ? OK : E_RANGE;
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
    ASSERT(depth >= 1 && depth <= DEPTH_MAX && tap_bytes <= WRITER_TAP_BYTES_MAX);
    *out = NULL;
    err e = path_check(path);
    if (e != OK)
        return trail(e, "writing %s", path);
    struct writer *w = writer_new(l, path, depth);
    if (w == NULL)
        return trail(E_BUDGET, "writing %s", path);
    w->tap = tap;
    e = call(w, run_open, deadline);
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
    struct pending *p = &w->pending[w->submitted % DEPTH_MAX];
    TRY(wait_depth(w, deadline));
    *p = (struct pending){.data = b, .tapped = tapped};
    err e = lane_put(w->lane, run_append, &job, sizeof job, &w->hold, deadline);
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
    err e = call(w, run_flush, deadline);
    if (e == OK)
        e = missing(w);
    return e == OK ? OK : trail(fail(w, e), "writing %s", w->path);
}

err writer_commit(struct writer *w, ms deadline)
{
    TRY(writer_flush(w, deadline));
    err e = call(w, run_commit, deadline);
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
        err e = call(w, run_abort, loop_now() + CLOSE_MS);
        if (e != OK) /* a stuck job removes it when it comes back */
            log_warn("an unfinished file could not be removed", F("file", w->part), F_ERR(e));
        fiber_unshield();
    }
    hold_release(&w->hold);
}

bool writer_is_leftover(const char *name)
{
    size_t len = strlen(name);
    if (len <= PART_EXTRA_BYTES)
        return false;
    const char *mark = name + len - PART_EXTRA_BYTES;
    return memcmp(mark, PART_MARK, sizeof PART_MARK - 1) == 0 &&
           strspn(mark + sizeof PART_MARK - 1, "0123456789abcdef") == PART_HEX_DIGITS;
}
