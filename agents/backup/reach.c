/* reach: a destination on NFS is there only while it is mounted. What is below its path else is another disk, to which nothing
 * may be written and of which nothing may be believed. */
#include "agents/backup/backup_internal.h"

#include "board/rt/log.h"
#include "hal/mount.h"

#include <string.h>

#define MINOR_VERSION 1 /* ganesha before 6.2 and Linux since 6.6 disagree on 4.2's READ_PLUS */
#define UNMOUNT_MS    SECONDS(5)
#define FREED_MS      SECONDS(3) /* what waited for the server comes back */

static ms soon(void)
{
    return loop_now() + BACKUP_DISK_MS_MAX;
}

static err look(struct backup_destination *to, struct mount_state *out)
{
    return backup_moved(to, mount_look(&to->lane, to->config->path, soon(), out));
}

static err server_find(struct backup_destination *to, struct addr *out)
{
    const struct config_destination *c = to->config;
    return backup_moved(to, mount_server(to->owner->options.dns, c->server, (uint16_t)c->port, soon(), out));
}

err backup_ask(struct backup_destination *to)
{
    struct addr at;
    bool asks = to->config->type == DESTINATION_NFS && to->config->mount && to->owner->options.dns;
    return asks ? server_find(to, &at) : OK; /* who mounts it may know another way to it */
}

static err mount_it(struct backup_destination *to, const struct mount_state *state)
{
    const struct config_destination *c = to->config;
    struct mount_nfs m = {.server = c->server, .export = c->export, .path = c->path, .version_minor = MINOR_VERSION};
    bool ours = false;
    if (!state->mounted && !to->owner->options.dns)
        return trail(E_UNREACHABLE, "%s is not mounted, and nothing is for a mere look", c->path);
    if (!state->mounted) /* else only the source is compared */
        TRY(server_find(to, &m.at));
    to->mounted_here = to->mounted_here || !state->mounted; /* also one that is done after we gave up */
    err e = backup_moved(to, mount_nfs(&to->lane, &m, soon(), &ours));
    if (ours)
        log_info("mounted", F("destination", c->name), F("server", c->server), F("export", c->export), F("path", c->path));
    return e;
}

/* A server that is stuck, while its kernel still takes what we send, holds up even soft requests for as long as it likes (linux,
 * net/sunrpc/clnt.c, rpc_check_timeout()), and with them a thread of the pool. Unmounting by force ends them. */
static void unmount_stuck(struct backup_destination *to)
{
    struct mount_state state;
    struct lane l;
    lane_open(&l, "unmount", TASK_BACKUP, 1);
    err e = backup_moved(to, mount_look(&l, to->config->path, loop_now() + UNMOUNT_MS, &state));
    if (e == OK && state.mounted) {
        e = backup_moved(to, mount_remove(&l, to->config->path, loop_now() + UNMOUNT_MS));
        log_warn("unmounted by force, its server does not answer", F("destination", to->config->name),
                 F("path", to->config->path), F("outcome", err_text(e)));
    }
    lane_close(&l);
    trail_clear();
}

static err free_stuck(struct backup_destination *to)
{
    ms until = loop_now() + FREED_MS;
    if (!to->mounted_here || (!to->lane.written_off && !to->second.written_off))
        return OK;
    unmount_stuck(to);
    while ((to->lane.written_off || to->second.written_off) && loop_now() < until)
        TRY(fiber_sleep(loop_now() + 50));
    return OK;
}

static err reach(struct backup_destination *to)
{
    struct mount_state state;
    TRY(free_stuck(to));
    TRY(look(to, &state));
    if (to->config->mount) {
        TRY(mount_it(to, &state));
        return state.mounted ? backup_ask(to) : OK; /* rather than to wait in the kernel */
    }
    if (state.mounted && strncmp(state.type, "nfs", 3) == 0)
        return OK;
    TRY(backup_moved(to, mount_path_check(&to->lane, to->config->path, soon())));
    return trail(E_UNREACHABLE, "no NFS is mounted on %s; mount it, or give mount: true", to->config->path);
}

/* "Not there" is what a folder is called that the first run makes. */
err backup_reach(struct backup_destination *to)
{
    char why[TRAIL_TEXT_MAX];
    err e = to->config->type == DESTINATION_NFS ? reach(to) : OK;
    if (e != E_ABSENT)
        return e;
    trail_take(e, why, sizeof why);
    return trail(E_UNREACHABLE, "%s", why);
}

void backup_leave(struct backup_destination *to)
{
    if (!to->mounted_here)
        return;
    fiber_shield();
    err e = mount_remove(&to->lane, to->config->path, loop_now() + UNMOUNT_MS);
    fiber_unshield();
    if (e != OK && e != E_ABSENT)
        log_warn("cannot unmount", F("destination", to->config->name), F_ERR(e));
    trail_clear();
    to->mounted_here = false;
}
