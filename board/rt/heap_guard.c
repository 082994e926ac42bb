/* The checked heap's red zones and patterns, and the end of a process whose heap is damaged. */
#include "board/rt/fiber.h"
#include "board/rt/heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TAIL_BYTE = 0xFD, POISON_BYTE = 0xDB };

#define SEAL 0x600DB10C0FFEEEEDu /* no value a program stores by chance */

struct guard {
    size_t bytes;  /* what the user asked for */
    uint64_t seal; /* SEAL, mixed with the address and the size */
};
_Static_assert(sizeof(struct guard) == GUARD_HEAD, "the head keeps the user's pointer aligned");

void heap_die(const struct heap *h, const char *what, const void *at)
{
    char line[192];
    int n =
        snprintf(line, sizeof line, "heap of task %s: %s: block %p, task %s runs\n", h->name, what, at, task_name(mem_task()));
    if (n > 0 && write(STDERR_FILENO, line, size_min((size_t)n, sizeof line - 1)) < 0)
        abort(); /* nobody to tell */
    trail_dump(STDERR_FILENO);
    abort();
}

static uint64_t seal_of(const struct guard *g)
{
    return SEAL ^ (uint64_t)(uintptr_t)g ^ ((uint64_t)g->bytes << 17);
}

void guard_seal(void *payload, size_t payload_bytes, size_t bytes)
{
    struct guard *g = payload;
    g->bytes = bytes;
    g->seal = seal_of(g);
    memset((uint8_t *)payload + GUARD_HEAD + bytes, TAIL_BYTE, payload_bytes - GUARD_HEAD - bytes);
}

void guard_check(const struct heap *h, const void *payload, size_t payload_bytes)
{
    const struct guard *g = payload;
    const uint8_t *user = (const uint8_t *)payload + GUARD_HEAD;
    if (g->seal != seal_of(g) || g->bytes > payload_bytes - GUARD_HEAD)
        heap_die(h, "freed twice, or the bytes before it were overwritten", user);
    for (size_t i = g->bytes; i < payload_bytes - GUARD_HEAD; i++)
        if (user[i] != TAIL_BYTE)
            heap_die(h, "the bytes after it were overwritten", user);
}

size_t guard_bytes(const void *payload)
{
    return ((const struct guard *)payload)->bytes;
}

void guard_poison(void *at, size_t bytes)
{
    memset(at, POISON_BYTE, bytes);
}

void guard_check_poison(const struct heap *h, const void *at, size_t bytes)
{
    const uint8_t *byte = at;
    for (size_t i = 0; i < bytes; i++)
        if (byte[i] != POISON_BYTE)
            heap_die(h, "written after it was freed", byte + i);
}

void guard_check_fresh(const struct heap *h, const void *at, size_t bytes)
{
    const uint8_t *byte = at;
    for (size_t i = 0; i < bytes; i++)
        if (byte[i] != 0)
            heap_die(h, "written before it was given", byte + i);
}
