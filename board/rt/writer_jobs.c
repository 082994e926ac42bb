/* The durable writer's jobs, on the pool: the temporary file from its name to its last one. */
#include "board/rt/path.h"
#include "board/rt/writer_inside.h"

#include <stdio.h>
#include <string.h>

#define PUSH_BYTES     MIB(1) /* finished bytes are sent to the disk in such steps */
#define PART_TRIES_MAX 3

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
    snprintf(w->part, sizeof w->part, "%.*s" WRITER_PART_MARK "%0*x", (int)(OS_PATH_MAX - 1 - WRITER_PART_BYTES), w->path,
             WRITER_PART_HEX_DIGITS, (unsigned)number);
}

err writer_job_open(void *job)
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

err writer_job_append(void *job)
{
    struct writer *w = ((struct writer_job *)job)->writer;
    unsigned number = atomic_load_explicit(&w->finished, memory_order_relaxed);
    struct pending *p = &w->pending[number % WRITER_DEPTH_MAX];
    write_one(w, p);
    buf_release(p->data);
    p->data = NULL;
    atomic_store_explicit(&w->finished, number + 1, memory_order_release);
    return job_ended(w, OK); /* w->error is asked for by the next call */
}

err writer_job_flush(void *job)
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

err writer_job_commit(void *job)
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

err writer_job_abort(void *job)
{
    struct writer *w = ((struct writer_job *)job)->writer;
    remove_made(w);
    return OK;
}

bool writer_is_leftover(const char *name)
{
    size_t len = strlen(name);
    if (len <= WRITER_PART_BYTES)
        return false;
    const char *mark = name + len - WRITER_PART_BYTES;
    return memcmp(mark, WRITER_PART_MARK, sizeof WRITER_PART_MARK - 1) == 0 &&
           strspn(mark + sizeof WRITER_PART_MARK - 1, "0123456789abcdef") == WRITER_PART_HEX_DIGITS;
}
