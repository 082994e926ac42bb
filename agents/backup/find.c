/* find: which backup is meant. */
#include "agents/backup/backup_internal.h"
#include "agents/backup/restore.h"

#include "board/rt/log.h"

#include <stdlib.h>
#include <string.h>

struct finding {
    const char *name;
    bool latest, found;
    struct backup_record *out;
};

/* "NAME", "NAME.zst", "NAME.age" … are all NAME. */
static bool is_named(const struct backup_record *r, const char *name)
{
    size_t len = strlen(name);
    return len > 0 && strncmp(r->name, name, len) == 0 &&
           (r->name[len] == 0 || strncmp(r->name + len, ".zst", 4) == 0 || strncmp(r->name + len, ".age", 4) == 0);
}

static err look(void *arg, const struct backup_record *r)
{
    struct finding *f = arg;
    bool is_it = f->latest ? r->verification.verdict == VERDICT_GOOD && (!f->found || r->taken_at_s > f->out->taken_at_s)
                           : is_named(r, f->name);
    if (is_it)
        *f->out = *r;
    f->found = f->found || is_it;
    return OK;
}

/* One that cannot be listed does not hide the others; what is remembered of it is no help, for it cannot be read. */
static err look_in(struct backup *b, unsigned i, struct finding *f, bool only)
{
    struct finding here = *f;
    struct backup_record *before = malloc(sizeof *before);
    if (!before)
        return E_BUDGET;
    *before = *f->out;
    err e = backup_list(b, i, look, &here);
    if (e == OK)
        f->found = here.found;
    else
        *f->out = *before;
    free(before);
    if (e == OK || e == E_CANCELED || only)
        return e;
    log_warn("a destination cannot be listed: it is left out", F("destination", b->config->backup.destinations[i].name),
             F_ERR(e));
    trail_clear();
    return OK;
}

/* The destination whose name and a slash `wanted` begins with; all of them: count. */
static unsigned destination_of(const struct backup *b, const char *wanted, const char **name)
{
    *name = wanted;
    for (unsigned i = 0; i < b->config->backup.destination_count; i++) {
        size_t len = strlen(b->config->backup.destinations[i].name);
        if (strncmp(wanted, b->config->backup.destinations[i].name, len) == 0 && wanted[len] == '/') {
            *name = wanted + len + 1;
            return i;
        }
    }
    return b->config->backup.destination_count;
}

static err absent(const struct finding *f, const char *where)
{
    if (f->latest)
        return trail(E_ABSENT, "%s: there is no good backup; `holdfast backup list` shows what there is", where);
    return trail(E_ABSENT, "%s: there is no backup \"%s\"; `holdfast backup list` shows what there is", where, f->name);
}

err backup_find(struct backup *b, const char *wanted, unsigned *destination, struct backup_record *out)
{
    struct finding f = {.out = out};
    unsigned count = b->config->backup.destination_count, only = destination_of(b, wanted, &f.name);
    *out = (struct backup_record){.took_ms = -1};
    f.latest = strcmp(f.name, BACKUP_LATEST) == 0;
    if (only == count && strchr(wanted, '/'))
        return trail(E_ABSENT, "\"%s\": there is no such file, and no such destination", wanted);
    for (unsigned i = only < count ? only : 0; i < (only < count ? only + 1 : count); i++) {
        if (f.found && !f.latest)
            break;
        TRY(look_in(b, i, &f, only < count));
    }
    if (!f.found)
        return absent(&f, only < count ? b->config->backup.destinations[only].name : "every destination");
    for (*destination = 0; strcmp(b->config->backup.destinations[*destination].name, out->destination) != 0; ++*destination)
        ASSERT(*destination + 1 < count); /* listed under its name */
    return OK;
}
