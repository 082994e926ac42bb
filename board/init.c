/* init: what PID 1 owes the machine: /proc, /sys and /dev at its start, and the switch at its end. Orphans are reaped by the loop
 * (board/rt/proc.c), signals are read by it: a signal that we do not take is none for PID 1. */
#include "board/hub.h"

#include "board/rt/log.h"
#include "board/rt/pool.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#define SYNC_MS_MAX                  SECONDS(5)
#define PID_NAMESPACE_OF_THE_MACHINE 0xEFFFFFFCu /* PROC_PID_INIT_INO, linux/proc_ns.h: the inode of the first one */

/*        folder  type        what is there when it is mounted   flags */
#define MOUNT_TABLE(X)                                                                                                           \
    X("/proc", "proc", "/proc/self/status", MS_NOSUID | MS_NODEV | MS_NOEXEC)                                                    \
    X("/sys", "sysfs", "/sys/kernel", MS_NOSUID | MS_NODEV | MS_NOEXEC)                                                          \
    X("/dev", "devtmpfs", "/dev/null", MS_NOSUID | MS_NOEXEC)

static const struct mount_row {
    const char *folder, *type, *there;
    unsigned long flags;
} mounts[] = {
#define X(folder, type, there, flags) {folder, type, there, flags},
    MOUNT_TABLE(X)
#undef X
};

bool init_is_us(void)
{
    return getpid() == 1;
}

/* Before the log is set up and memory is mapped; what cannot be mounted is missed later, by those who say so. */
void init_mount(void)
{
    for (size_t i = 0; i < COUNT_OF(mounts); i++) {
        const struct mount_row *m = &mounts[i];
        if (access(m->there, F_OK) == 0)
            continue;
        if (mkdir(m->folder, 0755) != 0 && errno != EEXIST)
            log_warn("cannot make the folder for a mount", F("path", m->folder), F("why", strerror(errno)));
        else if (mount(m->type, m->folder, m->type, m->flags, NULL) != 0)
            log_warn("cannot mount", F("path", m->folder), F("why", strerror(errno)));
    }
}

static bool holds(unsigned capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
    return syscall(SYS_capget, &header, sets) == 0 && (sets[capability / 32].effective & 1u << capability % 32) != 0;
}

bool init_of_machine(void)
{
    struct stat s;
    return init_is_us() && holds(CAP_SYS_BOOT) && stat("/proc/self/ns/pid", &s) == 0 && s.st_ino == PID_NAMESPACE_OF_THE_MACHINE;
}

static err sync_all(void *job)
{
    (void)job;
    sync();
    return OK;
}

/* On the pool: of a mount whose server is gone it may never return, and the machine is to end nevertheless. */
void init_sync(void)
{
    struct lane lane;
    if (!init_of_machine())
        return;
    lane_open(&lane, "sync", TASK_BOARD, 1);
    err e = lane_call(&lane, sync_all, NULL, 0, NULL, loop_now() + SYNC_MS_MAX);
    lane_close(&lane);
    if (e != OK)
        log_error("the disks are not synced, the machine ends nevertheless", F_ERR(e));
}

void init_end(int signal_number)
{
    if (!init_of_machine())
        return;
    (void)reboot(signal_number == SIGTERM ? RB_POWER_OFF : RB_AUTOBOOT); /* an error of ours: once more from the start */
}
