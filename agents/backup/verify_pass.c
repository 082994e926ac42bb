/* verify_pass: what reads the file: a digest of it, a walk through it. */
#include "agents/backup/verify_pass.h"

#include "board/rt/pulse.h"

#include <stdlib.h>
#include <string.h>

#define JOB_NS_MAX     50000000 /* of work; one read may take longer */
#define STEP_PAGES_MAX 64
#define CLOSE_MS_MAX   SECONDS(5)

/* --- a pass, on the pool --- */

static err run_open(void *job)
{
    struct pass *p = ((struct pass_job *)job)->pass;
    TRY(file_open_plain(p->path, &p->fd, &p->bytes));
    p->db_bytes = p->bytes > SHA256_BYTES ? p->bytes - SHA256_BYTES : 0;
    return OK;
}

static err run_close(void *job)
{
    struct pass *p = ((struct pass_job *)job)->pass;
    os_file_close(p->fd);
    p->fd = -1;
    return OK;
}

static err run_steps(void *job)
{
    struct pass_job *j = job;
    struct pass *p = j->pass;
    int64_t began = os_mono_ns();
    err e = OK;
    while (e == OK && !j->done && !atomic_load(&p->given_up) && os_mono_ns() - began < JOB_NS_MAX)
        e = p->step(p, &j->done);
    j->at = p->at;
    if (atomic_load(&p->given_up))
        err_ignore(run_close(job));
    return e;
}

static err read_whole(struct pass *p, uint64_t at, void *into, size_t len)
{
    size_t got = 0;
    TRY(os_file_read(p->fd, at, into, len, &got));
    return got == len ? OK : E_IO; /* it was cut while we read it */
}

err pass_digest_step(struct pass *p, bool *done)
{
    size_t len = (size_t)(p->db_bytes - p->at < BACKUP_PIECE_BYTES ? p->db_bytes - p->at : BACKUP_PIECE_BYTES);
    if (len == 0) {
        *done = true;
        return read_whole(p, p->db_bytes, p->trailer, SHA256_BYTES);
    }
    TRY(read_whole(p, p->at, p->piece->at, len));
    sha256_update(&p->sha, (struct bytes){p->piece->at, len});
    p->at += len;
    return OK;
}

static err walk_read(void *arg, uint64_t at, void *into, size_t len)
{
    return read_whole(arg, at, into, len);
}

/* What the heap has left, or half of it, and so on. */
static err walk_open(struct pass *p)
{
    struct etcd_db_source source = {walk_read, p, p->db_bytes, 0};
    os_random(&source.seed, sizeof source.seed);
    err e = E_BUDGET;
    for (size_t bytes = p->memory_bytes; e == E_BUDGET && bytes >= ETCD_DB_MEMORY_MIN; bytes /= 2)
        e = etcd_db_open(&source, bytes, &p->db);
    return e;
}

err pass_walk_step(struct pass *p, bool *done)
{
    if (!p->db)
        return walk_open(p);
    TRY(etcd_db_step(p->db, STEP_PAGES_MAX, done));
    p->at = p->db_bytes / 1000 * etcd_db_permille(p->db);
    return OK;
}

/* --- a pass, in the loop --- */

static void pass_drop(struct hold *h)
{
    struct pass *p = CONTAINER_OF(h, struct pass, hold);
    etcd_db_close(p->db);
    buf_release(p->piece);
    os_file_close(p->fd);
    free(p);
}

static err pass_call(struct lane *l, struct pass *p, err (*run)(void *job), struct pass_job *job)
{
    *job = (struct pass_job){.pass = p};
    err e = lane_call(l, run, job, sizeof *job, &p->hold, loop_now() + BACKUP_DISK_MS_MAX);
    pulse_beat(TASK_BACKUP, loop_now());
    return e == OK && fiber_canceled() ? E_CANCELED : e;
}

err pass_open(struct lane *l, const char *path, err (*step)(struct pass *p, bool *done), struct pass **out)
{
    struct pass_job job;
    struct pass *p = strlen(path) < sizeof p->path ? calloc(1, sizeof *p) : NULL;
    *out = NULL;
    if (!p)
        return strlen(path) < sizeof p->path ? E_BUDGET : E_RANGE;
    hold_init(&p->hold, pass_drop);
    atomic_init(&p->given_up, false);
    p->fd = -1;
    p->step = step;
    memcpy(p->path, path, strlen(path) + 1);
    sha256_start(&p->sha);
    *out = p;
    return pass_call(l, p, run_open, &job);
}

void pass_close(struct lane *l, struct pass *p)
{
    struct pass_job job = {.pass = p};
    if (!p)
        return;
    uint64_t mark = trail_mark();
    atomic_store(&p->given_up, true);
    fiber_shield();
    err_ignore(lane_call(l, run_close, &job, sizeof job, &p->hold, loop_now() + CLOSE_MS_MAX)); /* else the last hold does */
    fiber_unshield();
    trail_rewind(mark);
    hold_release(&p->hold);
}

err pass_steps(struct lane *l, struct pass *p, struct pass_job *job)
{
    return pass_call(l, p, run_steps, job);
}
