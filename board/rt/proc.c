/* Child processes. A child that was given up is killed and reaped from the loop when its end is told; nobody waits for it. */
#include "board/rt/proc.h"

#include "board/rt/log.h"
#include "board/rt/sock_inside.h"

#include <string.h>

#define TERM_MS 2000 /* from SIGTERM to SIGKILL */
#define KILL_MS 2000 /* from SIGKILL on; longer means that the kernel holds it */

struct child {
    int pid; /* 0: free slot */
    struct sock exited;
    int status;
    bool reaped, ending;
};

static struct child children[PROC_MAX];
_Static_assert(PROC_MAX * 2 <= SOCK_EXTRA_MAX, "a child has two descriptors");

static struct child *child_of(int pid)
{
    for (size_t i = 0; i < PROC_MAX; i++)
        if (children[i].pid == pid)
            return &children[i];
    return NULL;
}

/* The group is killed before its leader is reaped: until then the number is nobody else's. */
static err child_reap(struct child *c)
{
    if (c->reaped)
        return OK;
    if (c->ending)
        os_kill_group(c->pid, true);
    err e = os_child_reap(c->pid, &c->status);
    if (e == E_ABSENT) { /* someone ignored SIGCHLD for us; how it ended is lost */
        c->status = -1;
        e = OK;
    }
    c->reaped = e == OK;
    return e;
}

static void child_free(struct child *c)
{
    sock_close(&c->exited);
    *c = (struct child){.exited = SOCK_CLOSED};
}

/* --- spawn --- */

static err adopt(struct proc *p, struct child *c, os_fd exited, os_fd output)
{
    err e = sock_adopt(&c->exited, exited);
    if (e != OK) {
        os_close(output);
        return e;
    }
    e = sock_adopt(&p->output, output);
    if (e != OK)
        sock_close(&c->exited);
    return e;
}

static err spawn(struct proc *p, const char *const argv[], const char *const envp[])
{
    os_fd exited = -1, output = -1;
    struct child *c = child_of(0);
    if (c == NULL)
        return E_BUDGET;
    if (argv[0] == NULL || argv[0][0] != '/')
        return E_INVALID;
    TRY(os_spawn(argv, envp, &p->pid, &exited, &output));
    *c = (struct child){.pid = p->pid, .exited = SOCK_CLOSED};
    err e = adopt(p, c, exited, output);
    if (e != OK) {
        c->ending = true; /* proc_reap_orphans() and the next spawn find it */
        os_kill_group(c->pid, true);
        return e;
    }
    p->pidfd = exited;
    p->open = true;
    return OK;
}

/* Those that were killed without anything to tell their end. */
static void sweep(void)
{
    for (size_t i = 0; i < PROC_MAX; i++)
        if (children[i].pid != 0 && children[i].ending && children[i].exited.fd < 0 && child_reap(&children[i]) == OK)
            child_free(&children[i]);
}

err proc_spawn(struct proc *p, const char *const argv[], const char *const envp[])
{
    *p = (struct proc){.pidfd = -1, .output = SOCK_CLOSED};
    sweep();
    return trail(spawn(p, argv, envp), "starting %s", argv[0] != NULL ? argv[0] : "nothing");
}

/* --- wait --- */

static err wait_end(struct child *c, ms deadline)
{
    while (!c->reaped) {
        TRY(sock_wait_readable(&c->exited, deadline));
        err e = child_reap(c); /* SIGCHLD may have come first: then proc_reap_orphans() has done it, and the number is free */
        if (e != E_AGAIN)
            return e;
    }
    return OK;
}

/* Waits for the leader without reaping it, so that its group can still be named. */
static void wait_leader(struct child *c, ms deadline)
{
    err e = c->reaped ? OK : sock_wait_readable(&c->exited, deadline);
    ASSERT(e == OK || e == E_TIMEOUT || c->reaped);
}

static void end_group(struct child *c)
{
    if (c->reaped)
        return;
    fiber_shield();
    c->ending = true;
    os_kill_group(c->pid, false);
    wait_leader(c, loop_now() + TERM_MS);
    if (!c->reaped) {
        os_kill_group(c->pid, true);
        wait_leader(c, loop_now() + KILL_MS);
        if (child_reap(c) != OK)
            log_warn("a killed process does not end, the kernel holds it", F_I64("pid", c->pid));
    }
    fiber_unshield();
}

err proc_wait(struct proc *p, ms deadline, int *status)
{
    struct child *c = p->open ? child_of(p->pid) : NULL;
    *status = -1;
    if (c == NULL)
        return E_ABSENT;
    err e = wait_end(c, deadline);
    if (e == E_TIMEOUT)
        end_group(c);
    if (c->reaped)
        *status = c->status;
    return e == OK ? OK : trail(e, "waiting for process %d", p->pid);
}

/* --- close --- */

static void abandoned_ended(void *arg)
{
    struct child *c = arg;
    if (child_reap(c) == OK)
        child_free(c);
    else
        sock_rest(&c->exited, abandoned_ended, c);
}

void proc_close(struct proc *p)
{
    struct child *c = p->open ? child_of(p->pid) : NULL;
    sock_close(&p->output);
    p->open = false;
    p->pidfd = -1;
    if (c == NULL)
        return;
    if (!c->reaped) {
        c->ending = true;
        os_kill_group(c->pid, true);
        if (child_reap(c) == E_AGAIN) {
            sock_rest(&c->exited, abandoned_ended, c);
            return;
        }
    }
    child_free(c);
}

unsigned proc_reap_orphans(void)
{
    unsigned count = 0;
    int pid, status;
    if (!os_reaps_orphans())
        return 0;
    while (os_child_ended(&pid)) { /* each round takes one away */
        struct child *c = child_of(pid);
        if (c == NULL && os_child_reap(pid, &status) == OK)
            count++;
        else if (c == NULL || child_reap(c) != OK)
            break;
    }
    return count;
}
