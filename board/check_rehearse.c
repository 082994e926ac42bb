/* check_rehearse: will rehearsals tell what their owner thinks they do? */
#include "board/check.h"

#include "agents/backup/restore.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_MS_MAX SECONDS(5)

/* Is `path` the folder, or below it? As texts: nothing needs to be there yet. */
static bool lies_in(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/')
        len--;
    return *path && len > 1 && strncmp(path, folder, len) == 0 && (path[len] == 0 || path[len] == '/');
}

static void look_scratch(struct checked *c)
{
    const struct config *g = c->config;
    for (unsigned i = 0; i < g->backup.destination_count; i++)
        if (g->backup.destinations[i].type != DESTINATION_S3 && lies_in(g->backup.scratch, g->backup.destinations[i].path))
            check_warn(c,
                       "backup.verify.scratch: %s lies in the folder of the destination %s: plain snapshots would be among its "
                       "backups for a while; name a folder elsewhere",
                       g->backup.scratch, g->backup.destinations[i].name);
}

static bool opens(const struct backup_keys *keys, const char *text)
{
    struct age_recipient recipient;
    bool known = age_recipient_parse(bytes_of(text), &recipient) == OK;
    trail_clear();
    for (unsigned i = 0; known && i < keys->count; i++)
        if (memcmp(keys->keys[i].key, recipient.key, sizeof recipient.key) == 0)
            return true;
    return false;
}

/* One key that opens a destination's backups is enough: another may lie in a safe, on purpose. */
static void look_recipients(struct checked *c, const struct backup_keys *keys)
{
    for (unsigned i = 0; i < c->config->backup.destination_count; i++) {
        const struct config_destination *d = &c->config->backup.destinations[i];
        bool opened = d->recipient_count == 0;
        for (unsigned r = 0; !opened && r < d->recipient_count; r++)
            opened = opens(keys, d->recipients[r]);
        if (!opened)
            check_warn(c,
                       "backup.destinations[%u].encrypt.recipients: no identity of backup.rehearse.identity_file opens what is "
                       "sealed for %s%s: rehearsals of %s will not look inside",
                       i, d->recipients[0], d->recipient_count > 1 ? " and the others" : "", d->name);
    }
}

static void look_missing(struct checked *c)
{
    for (unsigned i = 0; i < c->config->backup.destination_count; i++)
        if (c->config->backup.destinations[i].recipient_count > 0) {
            check_warn(
                c,
                "backup.rehearse.identity_file: not set: rehearsals of %s only compare the stored bytes with the record; name "
                "the file of a key that belongs to encrypt.recipients",
                c->config->backup.destinations[i].name);
            return;
        }
}

err check_look_rehearse(struct checked *c)
{
    const char *path = c->config->backup.identity_file;
    char why[256];
    look_scratch(c);
    if (!*path) {
        look_missing(c);
        return OK;
    }
    struct backup_keys *keys = malloc(sizeof *keys);
    err e = keys ? backup_keys_read(path, loop_now() + KEYS_MS_MAX, keys) : E_BUDGET;
    if (e == OK)
        look_recipients(c, keys);
    else if (e != E_ABSENT && e != E_CANCELED) /* that it is not there was said */
        check_warn(c, "backup.rehearse.identity_file: %s; make it one of age-keygen's, on a disk that answers",
                   trail_text(e, why, sizeof why));
    trail_clear();
    if (keys)
        backup_keys_wipe(keys);
    free(keys);
    return e == E_CANCELED ? e : OK;
}
