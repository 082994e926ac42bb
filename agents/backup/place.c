/* place: the table that chooses, and what is the same for every kind. */
#include "agents/backup/place_internal.h"

#include "board/rt/log.h"
#include "board/rt/text.h"

#include <stdio.h>
#include <string.h>

static const struct place_kind *const kinds[] = {
    [DESTINATION_DIRECTORY] = &place_folder_kind,
    [DESTINATION_S3] = &place_s3_kind,
    [DESTINATION_NFS] = &place_folder_kind, /* once it is mounted */
};

err place_open(struct backup *b, struct backup_destination *to, struct place **out)
{
    const struct place_kind *kind = kinds[to->config->type];
    *out = NULL;
    TRY(kind->open(b, to, out));
    (*out)->kind = kind;
    (*out)->backup = b;
    (*out)->to = to;
    return OK;
}

void place_close(struct place *p)
{
    if (!p)
        return;
    ASSERT(p->users == 0);
    p->kind->rest(p);
    p->kind->close(p);
}

/* Who uses it still rests it later. */
void place_rest(struct place *p)
{
    if (p->users == 0)
        p->kind->rest(p);
}

const char *place_folder(const struct place *p)
{
    return p->folder;
}

bool place_keeps_names(const struct place *p, const struct backup_entry *of)
{
    return !p->folder || of->form != 0;
}

bool place_wants_hub_id(const struct place *p)
{
    return p->wants_hub_id;
}

bool place_is_write_only(const struct place *p)
{
    return p->denied && p->wrote;
}

err place_path(const struct place *p, const char *name, char out[OS_PATH_MAX])
{
    struct text t = text_over(out, OS_PATH_MAX);
    p->kind->base(p, &t);
    text_add(&t, name);
    return t.cut ? trail(E_RANGE, "%s: path too long", p->folder ? p->folder : p->to->config->name) : OK;
}

/* --- calls --- */

static void enter(struct place *p)
{
    p->users++;
}

static err leave(struct place *p, err e)
{
    ASSERT(p->users > 0);
    p->users--;
    return backup_moved(p->to, e);
}

/* With the same credentials: some may write and nothing else. */
static void note_denied(struct place *p, err e)
{
    if (e == OK)
        p->denied = p->told_denied = false;
    else if (e == E_DENIED)
        p->denied = true;
    if (!place_is_write_only(p) || p->told_denied)
        return;
    p->told_denied = true;
    log_warn("the credentials may only write: nothing is pruned or listed", F("destination", p->to->config->name));
}

err place_list(struct place *p, err (*each)(void *arg, const struct place_object *o), void *arg)
{
    enter(p);
    err e = p->kind->list(p, each, arg);
    if (!p->folder)
        note_denied(p, e);
    return leave(p, e);
}

err place_look(struct place *p, struct backup_entry *entries, size_t count)
{
    if (!p->kind->look)
        return OK;
    enter(p);
    return leave(p, p->kind->look(p, entries, count));
}

err place_stat(struct place *p, const char *name, struct place_object *out)
{
    *out = (struct place_object){.name = name};
    enter(p);
    return leave(p, p->kind->stat(p, name, out));
}

err place_read_small(struct place *p, const char *name, size_t bytes_max, struct buf **out)
{
    *out = NULL;
    enter(p);
    return leave(p, p->kind->read_small(p, name, bytes_max, out));
}

err place_write_small(struct place *p, const char *name, struct bytes content, ms deadline)
{
    enter(p);
    return leave(p, p->kind->write_small(p, name, content, deadline));
}

err place_remove(struct place *p, const char *name)
{
    enter(p);
    return leave(p, p->kind->remove(p, name));
}

err place_rename_new(struct place *p, const char *from, const char *to)
{
    if (!p->kind->rename_new)
        return E_UNSUPPORTED;
    enter(p);
    return leave(p, p->kind->rename_new(p, from, to));
}

err place_tidy(struct place *p)
{
    enter(p);
    return leave(p, p->kind->tidy(p));
}

/* --- puts and gets --- */

err place_put_open(struct place *p, const char *name, struct place_put **out)
{
    *out = NULL;
    enter(p);
    err e = p->kind->put_open(p, name, out);
    if (e != OK)
        return leave(p, e);
    (*out)->place = p;
    return backup_moved(p->to, OK);
}

err place_put_append(struct place_put *w, struct buf *b, ms deadline)
{
    return backup_moved(w->place->to, w->place->kind->put_append(w, b, deadline));
}

err place_put_commit(struct place_put *w, struct place_object *out)
{
    struct place *p = w->place;
    *out = (struct place_object){.name = w->name};
    err e = backup_moved(p->to, p->kind->put_commit(w, out));
    p->wrote = p->wrote || e == OK;
    if (e == OK && p->denied)
        note_denied(p, E_DENIED);
    return e;
}

err place_put_rename(struct place_put *w, const char *name)
{
    return w->place->kind->put_rename(w, name);
}

void place_put_recorded(struct place_put *w)
{
    if (w->place->kind->put_recorded)
        w->place->kind->put_recorded(w);
}

void place_put_close(struct place_put *w)
{
    if (!w)
        return;
    struct place *p = w->place;
    p->kind->put_close(w);
    err_ignore(leave(p, OK));
}

err place_get_open(struct place *p, const char *name, struct place_get **out, struct place_object *object)
{
    *out = NULL;
    *object = (struct place_object){.name = name};
    enter(p);
    err e = p->kind->get_open(p, name, out, object);
    if (e != OK)
        return leave(p, e);
    (*out)->place = p;
    return backup_moved(p->to, OK);
}

err place_get_next(struct place_get *g, ms idle_ms, struct buf **out)
{
    *out = NULL;
    return backup_moved(g->place->to, g->place->kind->get_next(g, idle_ms, out));
}

void place_get_close(struct place_get *g)
{
    if (!g)
        return;
    struct place *p = g->place;
    p->kind->get_close(g);
    err_ignore(leave(p, OK));
}
