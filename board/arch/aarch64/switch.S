/* aarch64, AAPCS64: x19-x28, the frame pointer x29, the link register x30, d8-d15 and sp belong to the callee (section 6.1).
 * The frame a suspended stack holds, from its stack pointer up: x29 x30, x19 .. x28, d8 .. d15, 8 bytes each, 160 in all. */
    .text

/* void arch_switch(void **save, void *load) */
    .globl  arch_switch
    .hidden arch_switch
    .type   arch_switch, %function
    .p2align 4
arch_switch:
    .cfi_startproc
    hint    #34 /* bti c */
    stp     x29, x30, [sp, #-160]!
    .cfi_adjust_cfa_offset 160
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    stp     x19, x20, [sp, #16]
    .cfi_rel_offset x19, 16
    .cfi_rel_offset x20, 24
    stp     x21, x22, [sp, #32]
    .cfi_rel_offset x21, 32
    .cfi_rel_offset x22, 40
    stp     x23, x24, [sp, #48]
    .cfi_rel_offset x23, 48
    .cfi_rel_offset x24, 56
    stp     x25, x26, [sp, #64]
    .cfi_rel_offset x25, 64
    .cfi_rel_offset x26, 72
    stp     x27, x28, [sp, #80]
    .cfi_rel_offset x27, 80
    .cfi_rel_offset x28, 88
    stp     d8, d9, [sp, #96]
    stp     d10, d11, [sp, #112]
    stp     d12, d13, [sp, #128]
    stp     d14, d15, [sp, #144]
    mov     x9, sp
    str     x9, [x0]
    /* Both stacks have the same layout here, so the call frame information stays true over this line. */
    mov     sp, x1
    ldp     d14, d15, [sp, #144]
    ldp     d12, d13, [sp, #128]
    ldp     d10, d11, [sp, #112]
    ldp     d8, d9, [sp, #96]
    ldp     x27, x28, [sp, #80]
    ldp     x25, x26, [sp, #64]
    ldp     x23, x24, [sp, #48]
    ldp     x21, x22, [sp, #32]
    ldp     x19, x20, [sp, #16]
    ldp     x29, x30, [sp], #160
    .cfi_adjust_cfa_offset -160
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore x29
    .cfi_restore x30
    ret
    .cfi_endproc
    .size   arch_switch, . - arch_switch

/* Where a new stack begins: entry in x19, its argument in x20, x29 zero. Nothing lies outside of this frame. */
    .type   arch_start, %function
    .p2align 4
arch_start:
    .cfi_startproc
    .cfi_undefined x30
    hint    #36 /* bti j */
    mov     x0, x20
    mov     x30, xzr
    blr     x19
    brk     #1
    .cfi_endproc
    .size   arch_start, . - arch_start

/* void *arch_prepare(void *top, void (*entry)(void *), void *arg) */
    .globl  arch_prepare
    .hidden arch_prepare
    .type   arch_prepare, %function
    .p2align 4
arch_prepare:
    .cfi_startproc
    hint    #34 /* bti c */
    sub     x9, x0, #160
    adr     x10, arch_start
    stp     xzr, x10, [x9]
    stp     x1, x2, [x9, #16]
    stp     xzr, xzr, [x9, #32]
    stp     xzr, xzr, [x9, #48]
    stp     xzr, xzr, [x9, #64]
    stp     xzr, xzr, [x9, #80]
    stp     xzr, xzr, [x9, #96]
    stp     xzr, xzr, [x9, #112]
    stp     xzr, xzr, [x9, #128]
    stp     xzr, xzr, [x9, #144]
    mov     x0, x9
    ret
    .cfi_endproc
    .size   arch_prepare, . - arch_prepare

    .section .note.GNU-stack, "", %progbits
