/* agents_leftovers: spools of ObsykAgents that were deleted while no hub ran. Nobody told of that, so each folder's own
 * ObsykAgent is asked for, by name, after a list of all was good: an API server that is not itself yet says 404 of everything. */
#include "agents/ingest/agents_internal.h"
#include "agents/ingest/leftovers.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <string.h>

#define FOLDERS_MAX 256 /* looked at in one start */

/* *gone: the API server says, in the words for one object, that it is not there. */
static err ask_for(struct agents *a, const char *name_space, const char *name, bool *gone)
{
    char path[KUBE_PATH_MAX];
    struct kube_into into = {.fields = custom_fields, .arena = a->arena, .arena_bytes = AGENTS_ARENA};
    *gone = false;
    if (!kube_path(&agents_resource, name_space, name, NULL, path))
        return OK;
    err e = kube_ask(a->in->kube, KUBE_GET, path, (struct bytes){0}, &into, loop_now() + INGEST_ASK_MS_MAX);
    *gone = e == E_ABSENT && strstr(into.status.message, "obsykagents.obsyk.io \"") != NULL;
    return *gone ? OK : e;
}

static err look_at(struct agents *a, const char *folder)
{
    struct ingest *in = a->in;
    struct custom_meta meta = {.generation = 0};
    char name_space[OS_NAME_MAX], name[OS_NAME_MAX];
    bool gone;
    ASSERT(leftover_split(folder, name_space, name));
    (void)snprintf(meta.namespace, sizeof meta.namespace, "%.*s", CUSTOM_NAME_MAX - 1, name_space);
    (void)snprintf(meta.name, sizeof meta.name, "%.*s", CUSTOM_NAME_MAX - 1, name);
    if (agents_find(a, &meta))
        return OK;
    TRY(ask_for(a, name_space, name, &gone));
    if (!gone)
        return OK;
    err e = leftover_remove(&in->lane, in->folder, folder, loop_now() + INGEST_ASK_MS_MAX);
    if (e == E_CANCELED)
        return e;
    if (e == OK)
        log_info("the spool of an ObsykAgent that is gone was removed", F("folder", folder));
    else
        log_warn("the spool of a deleted ObsykAgent cannot be removed", F("folder", folder), F_ERR(e));
    trail_clear();
    return OK;
}

static err look_at_all(struct agents *a)
{
    struct ingest *in = a->in;
    char folder[OS_NAME_MAX] = "";
    for (unsigned i = 0; i < FOLDERS_MAX; i++) {
        TRY(leftover_next(&in->lane, in->folder, folder, loop_now() + INGEST_ASK_MS_MAX));
        if (!*folder)
            return OK;
        TRY(look_at(a, folder));
    }
    return OK;
}

err agents_remove_leftovers(struct agents *a)
{
    if (a->in->leftovers_seen)
        return OK;
    err e = look_at_all(a);
    if (e == E_CANCELED)
        return e;
    if (e != OK)
        log_warn("spools of ObsykAgents that are gone could not be looked for", F_ERR(e));
    a->in->leftovers_seen = e == OK; /* else with the next session */
    trail_clear();
    return OK;
}
