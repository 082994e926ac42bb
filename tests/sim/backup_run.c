/* backup_run: see backup_run.h */
#include "tests/sim/backup_run.h"

#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#define ETCD "10.0.0.1:2379"

/* --- a run --- */

static err agent_fiber(void *arg)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct backup_run *r = arg;
    struct dns *dns = NULL;
    struct backup *b = NULL;
    r->result = dns_open_with(&numeric, &dns);
    if (r->result == OK)
        r->result = backup_open(&(struct backup_options){.config = r->config, .dns = dns, .events = r->events}, &b);
    if (r->result == OK)
        r->result = r->body(b, r->arg);
    backup_close(b);
    dns_close(dns);
    return OK;
}

static err agent_wait(struct group *agent, const struct backup_run *r)
{
    struct addr at = sim_ip(ETCD);
    if (r->pull_at) {
        TRY(fiber_sleep(loop_now() + r->pull_at));
        sim_link(&at, (struct sim_link){.black_hole = true});
    }
    ms end = r->cancel_at ? loop_now() + r->cancel_at : FOREVER;
    err e = group_join(agent, end);
    group_close(agent);
    SIM_CHECK(!r->cancel_at || loop_now() <= end + SECONDS(3));
    return e == E_TIMEOUT && r->cancel_at ? OK : e;
}

err backup_run(struct backup_run *r)
{
    struct addr at = sim_ip(ETCD);
    struct group etcd, agent;
    group_open(&etcd, TASK_METRICS);
    group_open(&agent, TASK_BACKUP);
    err e = r->nobody ? OK : sock_listen(&r->peer->server.listener, &at, NULL);
    if (e == OK && !r->nobody)
        e = group_spawn(&etcd, "etcd", server_listen, &r->peer->server);
    if (e == OK)
        e = group_spawn(&agent, "backup", agent_fiber, r);
    if (e == OK)
        e = agent_wait(&agent, r);
    group_close(&agent);
    group_close(&etcd);
    sock_close(&r->peer->server.listener);
    return e != OK ? e : r->result;
}

/* --- what is left of it --- */

struct backup_seen backup_look(const char *folder,
                               void (*see)(const char *path, enum backup_name_kind kind, const struct backup_entry *entry))
{
    struct backup_seen seen = {0};
    const char *name;
    for (unsigned i = 0; (name = sim_disk_name(folder, i)); i++) {
        char path[OS_PATH_MAX];
        struct backup_entry entry;
        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
        enum backup_name_kind kind = backup_name_kind(name, &entry);
        SIM_CHECK(kind != NAME_OTHER);
        if (see)
            see(path, kind, &entry);
        seen.good += kind == NAME_SNAPSHOT;
        seen.bad += kind == NAME_BAD;
        seen.records += kind == NAME_RECORD;
        seen.leftovers += kind == NAME_LEFTOVER;
    }
    return seen;
}

void backup_see_record(const char *path)
{
    static uint8_t json[BACKUP_RECORD_JSON_MAX];
    struct backup_record r;
    const char *name = strrchr(path, '/') + 1;
    size_t len = 0;
    SIM_CHECK(sim_disk_get(path, json, sizeof json, &len) && len <= sizeof json);
    SIM_CHECK_ERR(backup_record_parse((struct bytes){json, len}, &r), OK);
    SIM_CHECK(strncmp(r.name, name, strlen(r.name)) == 0 && strcmp(name + strlen(r.name), ".json") == 0);
}
