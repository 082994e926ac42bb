#include "net/format/cpu.h"

#define ASKED (1u << 31) /* the answer is there */

#if defined(__x86_64__)
#include <cpuid.h>

/* Intel SDM vol. 2A, CPUID: leaf 1 ECX, leaf 7 EBX. */
#define LEAF1_ECX_PCLMULQDQ (1u << 1)
#define LEAF1_ECX_SSSE3     (1u << 9)
#define LEAF1_ECX_SSE41     (1u << 19)
#define LEAF1_ECX_SSE42     (1u << 20)
#define LEAF1_ECX_POPCNT    (1u << 23)
#define LEAF1_ECX_AES       (1u << 25)
#define LEAF1_ECX_OSXSAVE   (1u << 27)
#define LEAF7_EBX_BMI1      (1u << 3)
#define LEAF7_EBX_AVX2      (1u << 5)
#define LEAF7_EBX_SHA       (1u << 29)
#define XCR0_SSE_AVX        6u /* vol. 1, 13.3 */

static bool has_all(unsigned word, unsigned bits)
{
    return (word & bits) == bits;
}

/* Vol. 1, 14.3: the instruction alone is not enough, the kernel must save the upper halves. */
static bool kernel_keeps_avx(unsigned leaf1_ecx)
{
    unsigned low = 0, high = 0;
    if (!has_all(leaf1_ecx, LEAF1_ECX_OSXSAVE))
        return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return has_all(low, XCR0_SSE_AVX);
}

static unsigned cpu_ask(void)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0, ebx7 = 0, ecx7 = 0, found = ASKED;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || !has_all(ecx, LEAF1_ECX_SSSE3 | LEAF1_ECX_SSE41))
        return found;
    if (__get_cpuid_count(7, 0, &eax, &ebx7, &ecx7, &edx) != 0 && has_all(ebx7, LEAF7_EBX_SHA))
        found |= CPU_SHA256;
    if (has_all(ebx7, LEAF7_EBX_AVX2 | LEAF7_EBX_BMI1) && has_all(ecx, LEAF1_ECX_POPCNT) && kernel_keeps_avx(ecx))
        found |= CPU_AVX2;
    if (has_all(ecx, LEAF1_ECX_AES | LEAF1_ECX_PCLMULQDQ))
        found |= CPU_AES;
    if (has_all(ecx, LEAF1_ECX_SSE42))
        found |= CPU_CRC32C;
    return found;
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

/* Linux Documentation/arch/arm64/elf_hwcaps.rst; the bits of <asm/hwcap.h>, which musl does not carry. */
#define HWCAP_BIT_AES   (1ul << 3)
#define HWCAP_BIT_PMULL (1ul << 4)
#define HWCAP_BIT_SHA2  (1ul << 6)
#define HWCAP_BIT_CRC32 (1ul << 7)

static unsigned cpu_ask(void)
{
    unsigned found = ASKED;
    unsigned long has = getauxval(AT_HWCAP);
    if ((has & HWCAP_BIT_SHA2) != 0)
        found |= CPU_SHA256;
    if ((has & HWCAP_BIT_AES) != 0 && (has & HWCAP_BIT_PMULL) != 0)
        found |= CPU_AES;
    if ((has & HWCAP_BIT_CRC32) != 0)
        found |= CPU_CRC32C;
    return found;
}

#else

static unsigned cpu_ask(void)
{
    return ASKED;
}

#endif

bool cpu_has(unsigned features)
{
    static atomic_uint known;
    unsigned found = atomic_load_explicit(&known, memory_order_relaxed);
    if (found == 0) {
        found = cpu_ask(); /* the same for every thread that asks */
        atomic_store_explicit(&known, found, memory_order_relaxed);
    }
    return (found & features) == features;
}

bool cpu_force(struct cpu_choice *c, unsigned kind)
{
    ASSERT(kind < c->count);
    const struct cpu_way *way = &c->ways[kind];
    if (way->name == NULL || !cpu_has(way->needs))
        return false;
    atomic_store_explicit(&c->chosen, way, memory_order_relaxed);
    return true;
}

const struct cpu_way *cpu_chosen(struct cpu_choice *c)
{
    const struct cpu_way *way = atomic_load_explicit(&c->chosen, memory_order_relaxed);
    for (unsigned kind = c->count; way == NULL && kind-- > 0;)
        if (cpu_force(c, kind))
            way = &c->ways[kind];
    return way;
}
