/* proc: child processes. Spawned without a shell, waited for with a deadline, ended as a group.
 *
 * Layer    rt.                               Blocks   proc_wait() parks the fiber.
 * Owner    the caller owns struct proc.      Memory   PROC_MAX slots, fixed; the child shares nothing (CLOEXEC everywhere).
 * Errors   E_ABSENT no such program, E_DENIED, E_BUDGET; E_TIMEOUT the group was killed (SIGTERM, then SIGKILL after 2 s). */
#ifndef HOLDFAST_PROC_H
#define HOLDFAST_PROC_H

#include "board/rt/sock.h"

#define PROC_MAX 8

struct proc { /* fields are proc.c's */
    int pid, pidfd;
    struct sock output; /* its stdout and stderr, read with sock_read() */
    bool open;
};

MUST_USE err proc_spawn(struct proc *p, const char *const argv[], const char *const envp[]); /* argv[0] absolute */
MUST_USE err proc_wait(struct proc *p, ms deadline, int *status);                            /* exit code, or 128 + signal */
void proc_close(struct proc *p); /* kills the group when it runs; idempotent */
/* As PID 1: reaps what is not ours. Called by the loop on SIGCHLD. Returns how many. */
unsigned proc_reap_orphans(void);

#endif
