/* x86_64, System V ABI: rbx, rbp, r12-r15, rsp and the control words of SSE (mxcsr) and x87 belong to the callee (psABI 3.2.1).
 * The frame a suspended stack holds, from its stack pointer up, 8 bytes each:
 *     mxcsr | x87 control word << 32,  r15, r14, r13, r12, rbx, rbp, return address */
    .text

/* void arch_switch(void **save, void *load) */
    .globl  arch_switch
    .hidden arch_switch
    .type   arch_switch, @function
    .p2align 4
arch_switch:
    .cfi_startproc
    endbr64
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    pushq   %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    pushq   %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0
    pushq   %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    pushq   %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    pushq   %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr (%rsp)
    fnstcw  4(%rsp)
    movq    %rsp, (%rdi)
    /* Both stacks have the same layout here, so the call frame information stays true over this line. */
    movq    %rsi, %rsp
    ldmxcsr (%rsp)
    fldcw   4(%rsp)
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq    %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r15
    popq    %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r14
    popq    %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r13
    popq    %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    popq    %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    popq    %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    /* A jump, not a ret: the processor's return predictor knows the other stack's calls, and would be wrong each time. */
    popq    %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    notrack jmp *%rcx
    .cfi_endproc
    .size   arch_switch, . - arch_switch

/* Where a new stack begins: entry in r12, its argument in r13, the stack aligned to 16. Nothing lies outside of this frame. */
    .type   arch_start, @function
    .p2align 4
arch_start:
    .cfi_startproc
    .cfi_undefined %rip
    endbr64
    movq    %r13, %rdi
    xorl    %ebp, %ebp
    call    *%r12
    ud2
    .cfi_endproc
    .size   arch_start, . - arch_start

/* void *arch_prepare(void *top, void (*entry)(void *), void *arg) */
    .globl  arch_prepare
    .hidden arch_prepare
    .type   arch_prepare, @function
    .p2align 4
arch_prepare:
    .cfi_startproc
    endbr64
    leaq    -80(%rdi), %rax
    stmxcsr (%rax)
    fnstcw  4(%rax)
    movq    $0, 8(%rax)
    movq    $0, 16(%rax)
    movq    %rdx, 24(%rax)
    movq    %rsi, 32(%rax)
    movq    $0, 40(%rax)
    movq    $0, 48(%rax)
    leaq    arch_start(%rip), %rcx
    movq    %rcx, 56(%rax)
    movq    $0, 64(%rax)
    movq    $0, 72(%rax)
    ret
    .cfi_endproc
    .size   arch_prepare, . - arch_prepare

    .section .note.GNU-stack, "", @progbits
