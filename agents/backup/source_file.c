/* source_file: a plain snapshot that lies on a disk, read in pieces on its lane. */
#include "agents/backup/source.h"
#include "agents/backup/verify_pass.h"

#include <stdlib.h>

struct file_source {
    struct source source; /* first */
    struct lane *lane;
    struct pass *pass;
};

static struct file_source *of(struct source *s)
{
    return CONTAINER_OF(s, struct file_source, source);
}

static err read_step(struct pass *p, bool *done)
{
    *done = true; /* of this piece */
    TRY(os_file_read(p->fd, p->at, p->piece->at, BACKUP_PIECE_BYTES, &p->piece->len));
    p->at += p->piece->len;
    return OK;
}

static err connect_file(struct source *source, ms deadline, struct backup_record *r, uint64_t *db_bytes)
{
    struct file_source *s = of(source);
    (void)r;
    *db_bytes = s->pass->db_bytes;
    return s->pass->piece ? OK : buf_wait(BACKUP_PIECE_BYTES, deadline, &s->pass->piece);
}

static err start_file(struct source *s, ms deadline)
{
    (void)deadline;
    ASSERT(of(s)->pass->piece);
    return OK;
}

static err next_file(struct source *source, ms idle_ms, struct bytes *piece, uint64_t *remaining, bool *more)
{
    struct pass *p = of(source)->pass;
    struct pass_job job = {.done = false};
    (void)idle_ms; /* a job of the disk has a limit of its own */
    TRY(trail(pass_steps(of(source)->lane, p, &job), "reading %s", p->path));
    *piece = (struct bytes){p->piece->at, p->piece->len};
    *remaining = p->bytes > p->at ? p->bytes - p->at : 0;
    *more = piece->len > 0;
    return OK;
}

static void close_file(struct source *source)
{
    pass_close(of(source)->lane, of(source)->pass);
    free(of(source));
}

err source_open_file(struct lane *l, const char *path, struct source **out)
{
    struct file_source *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return E_BUDGET;
    s->source = (struct source){connect_file, start_file, next_file, close_file};
    s->lane = l;
    err e = pass_open(l, path, read_step, &s->pass);
    if (e == OK) {
        *out = &s->source;
        return OK;
    }
    close_file(&s->source);
    return trail(e, "opening %s", path);
}
