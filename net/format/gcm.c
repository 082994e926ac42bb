#include "net/format/gcm.h"

#include "net/format/cpu.h"
#include "net/format/gcm_choice.h"

static const struct cpu_way ways[GCM_KIND_COUNT] = {
    [GCM_NONE] = {"none", 0, NULL},
#ifdef GCM_HAS_X86
    [GCM_X86_AESNI] = {"x86 aes-ni", CPU_AES, (cpu_kernel *)gcm_crypt_x86},
#endif
#ifdef GCM_HAS_ARM
    [GCM_ARM_AES] = {"armv8 aes", CPU_AES, (cpu_kernel *)gcm_crypt_arm},
#endif
};
static struct cpu_choice choice = {.ways = ways, .count = COUNT_OF(ways)};

static gcm_kernel *kernel(void)
{
    return (gcm_kernel *)cpu_chosen(&choice)->kernel;
}

bool gcm_force(enum gcm_kind kind)
{
    return cpu_force(&choice, kind);
}

bool gcm_is_fast(void)
{
    return kernel() != NULL;
}

const char *gcm_implementation(void)
{
    return cpu_chosen(&choice)->name;
}

void gcm_crypt(const struct gcm *g, uint8_t tag[GCM_TAG_BYTES])
{
    ASSERT(gcm_is_fast() && g->len <= GCM_BYTES_MAX);
    kernel()(g, tag);
}
