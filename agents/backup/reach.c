/* reach: a destination on NFS is there only while it is mounted. What is below its path else is another disk, to which nothing
 * may be written and of which nothing may be believed. */
#include "agents/backup/backup_internal.h"

#include "board/rt/log.h"
#include "hal/mount.h"

#include <string.h>

#define MINOR_VERSION 1 /* ganesha before 6.2 and Linux since 6.6 disagree on 4.2's READ_PLUS */
#define UNMOUNT_MS    SECONDS(5)

static ms soon(void)
{
    return loop_now() + BACKUP_DISK_MS_MAX;
}

static err look(struct backup_destination *to, struct mount_state *out)
{
    return backup_moved(to, mount_look(&to->lane, to->config->path, soon(), out));
}

static err mount_it(struct backup_destination *to, const struct mount_state *state)
{
    const struct config_destination *c = to->config;
    struct mount_nfs m = {.server = c->server, .export = c->export, .path = c->path, .version_minor = MINOR_VERSION};
    struct dns_answer found;
    bool ours = false;
    err e = OK;
    if (!state->mounted && !to->owner->options.dns)
        return trail(E_UNREACHABLE, "%s is not mounted, and nothing is for a mere look", c->path);
    if (!state->mounted) { /* else only the source is compared */
        TRY(backup_moved(to, dns_lookup(to->owner->options.dns, c->server, soon(), &found)));
        m.at = found.addresses[0];
        m.at.port = (uint16_t)c->port;
    }
    e = backup_moved(to, mount_nfs(&to->lane, &m, soon(), &ours));
    if (ours) {
        to->mounted_here = true;
        log_info("mounted", F("destination", c->name), F("server", c->server), F("export", c->export), F("path", c->path));
    }
    return e;
}

static err reach(struct backup_destination *to)
{
    struct mount_state state;
    TRY(look(to, &state));
    if (to->config->mount)
        return mount_it(to, &state);
    if (state.mounted && strncmp(state.type, "nfs", 3) == 0)
        return OK;
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
