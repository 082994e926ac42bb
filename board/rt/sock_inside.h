/* sock_inside: what proc.c needs of sock.c beyond sock.h. Not for agents.
 *
 * Layer    rt.   Owner   the caller owns the sock, which owns the descriptor.   Blocks   never.
 * Memory   one of SOCK_EXTRA_MAX slots beyond the tasks' connections.   Errors   E_BUDGET no slot; those of os_watch(). */
#ifndef HOLDFAST_SOCK_INSIDE_H
#define HOLDFAST_SOCK_INSIDE_H

#include "board/rt/sock.h"

#define SOCK_EXTRA_MAX 16

/* Makes a pipe or a pidfd a sock; takes over the descriptor, also on error. */
MUST_USE err sock_adopt(struct sock *s, os_fd fd);

#endif
