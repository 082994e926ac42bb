#include "net/format/gcm.h"

#include "net/format/cpu.h"
#include "net/format/gcm_choice.h"

#include <stdatomic.h>

static const struct choice {
    gcm_kernel *crypt; /* NULL: none of it, or not in this build */
    const char *name;
    enum cpu_feature needs;
} choices[GCM_KIND_COUNT] = {
    [GCM_NONE] = {NULL, "none", CPU_ASKED},
#ifdef GCM_HAS_X86
    [GCM_X86_AESNI] = {gcm_crypt_x86, "x86 aes-ni", CPU_AES},
#endif
#ifdef GCM_HAS_ARM
    [GCM_ARM_AES] = {gcm_crypt_arm, "armv8 aes", CPU_AES},
#endif
};

static _Atomic(const struct choice *) chosen; /* NULL until first asked; every thread would choose the same */

bool gcm_force(enum gcm_kind kind)
{
    ASSERT(kind < GCM_KIND_COUNT);
    if (choices[kind].name == NULL || !cpu_has(choices[kind].needs))
        return false;
    atomic_store_explicit(&chosen, &choices[kind], memory_order_relaxed);
    return true;
}

static const struct choice *choice(void)
{
    const struct choice *c = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (c != NULL)
        return c;
    for (unsigned kind = GCM_KIND_COUNT; kind-- > 0;)
        if (gcm_force((enum gcm_kind)kind))
            break;
    return atomic_load_explicit(&chosen, memory_order_relaxed);
}

bool gcm_is_fast(void)
{
    return choice()->crypt != NULL;
}

const char *gcm_implementation(void)
{
    return choice()->name;
}

void gcm_crypt(const struct gcm *g, uint8_t tag[GCM_TAG_BYTES])
{
    ASSERT(gcm_is_fast() && g->len <= GCM_BYTES_MAX);
    choice()->crypt(g, tag);
}
