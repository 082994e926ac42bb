/* sock_inside: what proc.c and sock_open.c need of sock.c beyond sock.h. Not for agents.
 *
 * Layer    rt.   Owner   the caller owns the sock, which owns the descriptor.   Blocks   never.
 * Memory   one of SOCK_EXTRA_MAX slots beyond the tasks' connections.   Errors   E_BUDGET no slot; those of os_watch(). */
#ifndef HOLDFAST_SOCK_INSIDE_H
#define HOLDFAST_SOCK_INSIDE_H

#include "board/rt/sock.h"

#define SOCK_EXTRA_MAX 16

/* Makes a pipe or a pidfd a sock; takes over the descriptor, also on error. */
MUST_USE err sock_adopt(struct sock *s, os_fd fd);

#define SOCK_READY_ALL (OS_READABLE | OS_WRITABLE)
bool sock_budget_has(enum task t); /* a connection is left; else the refusal is counted */
/* Takes over fd, also on error. extra: one of SOCK_EXTRA_MAX, else of the task's, whose budget was looked at before. */
MUST_USE err sock_attach(struct sock *s, os_fd fd, enum task task, bool extra, unsigned ready);
/* Before each try, which may go on without ever waiting: so that it sees a cancel, and lets others run. */
MUST_USE err sock_step_begin(struct sock *s);
/* Parks until `bit` is ready. After a close by another fiber the sock's memory may be gone: E_CLOSED. */
MUST_USE err sock_wait_for(struct sock *s, struct fiber **place, unsigned bit, ms deadline);

#endif
