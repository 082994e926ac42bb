#include "net/format/json_scan_kernel.h"

#ifdef JSON_SCAN_HAS_ARM
#include <arm_neon.h>

/* '[' and '{', ']' and '}' differ in bit 5 alone. */
#define BRACKET_BIT 0x20

/* Of 16 bytes that are each 0x00 or 0xFF, a bit a byte. */
static inline uint64_t bits16(uint8x16_t v)
{
    static const uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t weighed = vandq_u8(v, vld1q_u8(weights));
    return (uint64_t)vaddv_u8(vget_low_u8(weighed)) | (uint64_t)vaddv_u8(vget_high_u8(weighed)) << 8;
}

static inline uint8x16_t is(uint8x16_t v, char c)
{
    return vceqq_u8(v, vdupq_n_u8((uint8_t)c));
}

static inline void masks16(struct json_masks *m, const uint8_t *from, unsigned at)
{
    uint8x16_t v = vld1q_u8(from), low = vorrq_u8(v, vdupq_n_u8(BRACKET_BIT));
    uint8x16_t op = vorrq_u8(vorrq_u8(is(low, '{'), is(low, '}')), vorrq_u8(is(v, ','), is(v, ':')));
    uint8x16_t space = vorrq_u8(vorrq_u8(is(v, ' '), is(v, '\n')), vorrq_u8(is(v, '\t'), is(v, '\r')));
    m->quote |= bits16(is(v, '"')) << at;
    m->backslash |= bits16(is(v, '\\')) << at;
    m->control |= bits16(vcltq_u8(v, vdupq_n_u8(0x20))) << at;
    m->high |= bits16(vcgeq_u8(v, vdupq_n_u8(0x80))) << at;
    m->op |= bits16(op) << at;
    m->space |= bits16(space) << at;
}

static inline struct json_masks masks_neon(const uint8_t *at)
{
    struct json_masks m = {0};
    for (unsigned i = 0; i < JSON_SCAN_BLOCK; i += 16)
        masks16(&m, at + i, i);
    return m;
}

void json_scan_neon(struct json_scan *s, struct bytes window, struct json_marks *marks)
{
    json_scan_over(s, window, marks, masks_neon, json_scan_parity_shifts);
}
#endif
