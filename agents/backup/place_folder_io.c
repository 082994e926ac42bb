/* place_folder_io: the bytes of a folder's files, in by a writer, out in pieces. */
#include "agents/backup/place_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOSE_MS_MAX SECONDS(5)

/* --- one comes into being --- */

struct folder_put {
    struct place_put put;
    struct writer *writer;
    char name[BACKUP_NAME_MAX];
};

static struct folder_put *put_of(struct place_put *w)
{
    return CONTAINER_OF(w, struct folder_put, put);
}

static void put_name(struct folder_put *w, const char *name)
{
    (void)snprintf(w->name, sizeof w->name, "%s", name);
    w->put.name = w->name;
}

err place_folder_put_open(struct place *p, const char *name, struct place_put **out)
{
    char path[OS_PATH_MAX];
    TRY(place_path(p, name, path));
    struct folder_put *w = calloc(1, sizeof *w);
    if (!w)
        return E_BUDGET;
    put_name(w, name);
    err e = writer_open(&p->to->lane, path, BACKUP_APPENDS_MAX, NULL, 0, loop_now() + BACKUP_DISK_MS_MAX, &w->writer);
    if (e == OK)
        *out = &w->put;
    else
        free(w);
    return e;
}

err place_folder_put_append(struct place_put *w, struct buf *b, ms deadline)
{
    return writer_append(put_of(w)->writer, b, false, deadline);
}

err place_folder_put_commit(struct place_put *w, struct place_object *out)
{
    out->bytes = writer_bytes(put_of(w)->writer);
    out->modified_s = loop_wall_ms() / 1000;
    return writer_commit(put_of(w)->writer, loop_now() + BACKUP_DISK_MS_MAX);
}

err place_folder_put_rename(struct place_put *w, const char *name)
{
    char path[OS_PATH_MAX];
    TRY(place_path(w->place, name, path));
    TRY(writer_rename(put_of(w)->writer, path));
    put_name(put_of(w), name);
    return OK;
}

void place_folder_put_close(struct place_put *w)
{
    writer_close(put_of(w)->writer);
    free(put_of(w));
}

/* --- one is read --- */

struct folder_get {
    struct place_get get;
    struct hold hold;
    char path[OS_PATH_MAX];
    os_fd fd; /* the job's; the loop's when none is under way */
    uint64_t bytes, at;
    struct buf *piece;
};

static struct folder_get *get_of(struct place_get *g)
{
    return CONTAINER_OF(g, struct folder_get, get);
}

static void get_drop(struct hold *h)
{
    struct folder_get *g = CONTAINER_OF(h, struct folder_get, hold);
    buf_release(g->piece);
    os_file_close(g->fd);
    free(g);
}

static err run_get_open(void *job)
{
    struct folder_get *g = *(struct folder_get **)job;
    return file_open_plain(g->path, &g->fd, &g->bytes);
}

static err run_get_next(void *job)
{
    struct folder_get *g = *(struct folder_get **)job;
    TRY(os_file_read(g->fd, g->at, g->piece->at, BACKUP_PIECE_BYTES, &g->piece->len));
    g->at += g->piece->len;
    return OK;
}

static err run_get_close(void *job)
{
    struct folder_get *g = *(struct folder_get **)job;
    os_file_close(g->fd);
    g->fd = -1;
    return OK;
}

static err get_call(struct folder_get *g, struct lane *l, err (*run)(void *job), ms wait_ms)
{
    return lane_call(l, run, &g, sizeof g, &g->hold, loop_now() + wait_ms);
}

err place_folder_get_open(struct place *p, const char *name, struct place_get **out, struct place_object *object)
{
    TRY(backup_reach(p->to));
    struct folder_get *g = calloc(1, sizeof *g);
    if (!g)
        return E_BUDGET;
    hold_init(&g->hold, get_drop);
    g->fd = -1;
    g->get.place = p;
    err e = place_path(p, name, g->path);
    if (e == OK)
        e = trail(get_call(g, &p->to->lane, run_get_open, BACKUP_DISK_MS_MAX), "reading %s", g->path);
    if (e != OK) {
        hold_release(&g->hold);
        return e;
    }
    object->bytes = g->bytes;
    *out = &g->get;
    return OK;
}

err place_folder_get_next(struct place_get *get, ms idle_ms, struct buf **out)
{
    struct folder_get *g = get_of(get);
    if (g->piece) /* it failed before, and its thread may still be at it */
        return trail(E_IO, "reading %s", g->path);
    TRY(buf_wait(BACKUP_PIECE_BYTES, loop_now() + idle_ms, &g->piece));
    TRY(trail(get_call(g, &get->place->to->lane, run_get_next, ms_min(idle_ms, BACKUP_DISK_MS_MAX)), "reading %s", g->path));
    bool give = g->piece->len > 0 && !fiber_canceled();
    if (give)
        *out = g->piece;
    else
        buf_release(g->piece);
    g->piece = NULL;
    return fiber_canceled() ? E_CANCELED : OK;
}

void place_folder_get_close(struct place_get *get)
{
    struct folder_get *g = get_of(get);
    uint64_t mark = trail_mark();
    fiber_shield();
    err_ignore(get_call(g, &get->place->to->lane, run_get_close, CLOSE_MS_MAX)); /* else the last hold does */
    fiber_unshield();
    trail_rewind(mark);
    hold_release(&g->hold);
}
