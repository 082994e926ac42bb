/* switch: the context switch, the only assembly here. One implementation a machine: board/arch/MACHINE/switch.S.
 *
 * Layer    arch.                                Blocks   never.
 * Owner    whoever owns the stack.              Memory   at most 160 bytes on each suspended stack.
 * Threads  a stack is resumed by the thread that suspended it.
 * Errors   none.
 *
 * What the procedure call standard calls preserved is kept over a switch: System V x86_64 (with the control words of SSE and
 * x87), AAPCS64. Signal masks and thread-local variables are the thread's, not the stack's. */
#ifndef HOLDFAST_SWITCH_H
#define HOLDFAST_SWITCH_H

/* Suspends the running stack, telling its stack pointer in *save, and resumes the one suspended at `load`. */
void arch_switch(void **save, void *load);
/* Lays out a stack that ends (exclusively) at `top`, aligned to 16, so that resuming it calls entry(arg). entry must not return.
 * Backtraces end there. Returns what arch_switch() takes as `load`. */
void *arch_prepare(void *top, void (*entry)(void *arg), void *arg);

#endif
