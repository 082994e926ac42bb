/* hub_guardian: the guardian of a configuration: what it may ask of the backups, its fibers, its line of /readyz. */
#include "board/etcd_answer.h"
#include "board/hub.h"

#include "board/rt/log.h"

static bool backup_fresh(void *backup)
{
    char words[96];
    struct text why = text_over(words, sizeof words); /* the plan has its own */
    return backup_has_fresh(backup, &why);
}

static bool snapshotting(void *backup)
{
    return backup_is_streaming(backup);
}

bool hub_guardian_is_holding(void *epoch)
{
    const struct hub_epoch *e = epoch;
    return e->guardian && guardian_is_holding(e->guardian);
}

static err spawn(struct hub_epoch *e)
{
    TRY(group_spawn(&e->guards, "guardian", guardian_run, e->guardian));
    return group_spawn(&e->guards, "guardian key", guardian_keep_key, e->guardian);
}

err hub_guardian_start(struct hub *h)
{
    struct hub_epoch *e = &h->epoch;
    char name[GUARDIAN_NAME_MAX / 2];
    group_open(&e->guards, TASK_GUARDIAN);
    if (e->config->backup.endpoint_count == 0)
        return OK;
    struct guardian_options o = {.config = e->config, .dns = h->dns, .name = etcd_host_name(name, sizeof name)};
    if (e->backup) {
        o.fresh = backup_fresh;
        o.snapshotting = snapshotting;
        o.arg = e->backup;
    }
    TRY(guardian_open(&o, &e->guardian));
    if (!e->config->backup.guardian) /* for commands only */
        return OK;
    e->lines[e->line_count++] = (struct ready_line){"etcd", guardian_is_well, e->guardian};
    return spawn(e);
}

void hub_guardian_stop(struct hub *h, ms deadline)
{
    struct hub_epoch *e = &h->epoch;
    err ended = group_join(&e->guards, deadline);
    if (ended == E_TIMEOUT)
        log_error("the guardian did not end in time", F_ERR(ended));
    group_close(&e->guards);
    guardian_close(e->guardian);
    e->guardian = NULL;
}
