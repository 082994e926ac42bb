/* json_scan_kernel: what all kernels share: from the masks of a block to marks. For net/format/json_scan*.c only.
 *
 * Layer    format.   Blocks   never.   Memory   none.   Errors   none; call only what cpu_has() allows.
 *
 * A kernel is json_scan_over() with its own way to masks, inlined. It keeps one vector of the text at a time in a register, so
 * that nothing of it is spilled to the stack: see the security contract of json_pick.h. */
#ifndef HOLDFAST_JSON_SCAN_KERNEL_H
#define HOLDFAST_JSON_SCAN_KERNEL_H

#include "net/format/json_scan.h"

struct json_masks { /* bit i: byte i of the block */
    uint64_t quote, backslash, control, high;
    uint64_t op;    /* {}[],: */
    uint64_t space; /* space, tab, line feed, carriage return */
};

typedef void json_scan_kernel(struct json_scan *s, struct bytes window, struct json_marks *marks);
json_scan_kernel json_scan_portable;
#if defined(__x86_64__)
#define JSON_SCAN_HAS_X86 1
json_scan_kernel json_scan_sse2, json_scan_avx2;
#elif defined(__aarch64__)
#define JSON_SCAN_HAS_ARM 1
json_scan_kernel json_scan_neon;
#endif

/* Byte by byte, for what is shorter than a block. */
struct json_masks json_masks_of(const uint8_t *at, size_t len);

/* What is wrong in a window, the first of it. */
struct json_scan_wrong {
    size_t at;
    const char *why;
};
static inline void json_scan_is_wrong(struct json_scan_wrong *w, size_t at, const char *why)
{
    if (!w->why || at < w->at)
        *w = (struct json_scan_wrong){at, why};
}

/* The rare parts, for blocks that have a backslash or a byte above 0x7F. Of the window, from byte `from` to `to`. */
uint64_t json_scan_escapes(struct json_scan *s, struct bytes window, size_t from, size_t to, uint64_t backslash,
                           struct json_scan_wrong *w);
void json_scan_utf8(struct json_scan *s, struct bytes window, size_t from, size_t to, struct json_scan_wrong *w);
void json_scan_hex(struct json_scan *s, struct bytes window, size_t from, struct json_scan_wrong *w);

/* Bit i: the number of bits up to i, with it, is odd. */
typedef uint64_t json_scan_parity(uint64_t bits);
static inline uint64_t json_scan_parity_shifts(uint64_t bits)
{
    for (unsigned by = 1; by < 64; by *= 2)
        bits ^= bits << by;
    return bits;
}

static inline uint64_t json_scan_below(size_t bit)
{
    return bit >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << bit) - 1;
}

static inline __attribute__((always_inline)) void json_scan_write(struct json_marks *marks, size_t base, uint64_t bits)
{
    uint16_t *out = marks->at + marks->count;
    if (bits == 0)
        return;
    marks->count += (size_t)__builtin_popcountll(bits);
    do {
        for (unsigned i = 0; i < 8; i++) { /* more than there are, rather than a guess of how many */
            *out++ = (uint16_t)(base + (size_t)__builtin_ctzll(bits | (uint64_t)1 << 63));
            bits &= bits - 1;
        }
    } while (bits != 0);
}

/* The marks of one block of n bytes. */
static inline __attribute__((always_inline)) uint64_t json_scan_block(struct json_scan *s, struct bytes window, size_t base,
                                                                      size_t n, struct json_masks m, json_scan_parity *parity,
                                                                      struct json_scan_wrong *w)
{
    if (m.backslash != 0 || s->escaped)
        m.quote &= ~json_scan_escapes(s, window, base, base + n, m.backslash, w);
    if (m.high != 0 || s->utf8_left > 0)
        json_scan_utf8(s, window, base, base + n, w);
    uint64_t in_text = parity(m.quote) ^ s->in_text; /* with the first quote, without the last */
    s->in_text = (uint64_t)0 - (in_text >> (n - 1) & 1);
    uint64_t control = m.control & in_text;
    if (control != 0)
        json_scan_is_wrong(w, base + (size_t)__builtin_ctzll(control), "a control character in a text");
    uint64_t word = ~(m.op | m.space | m.quote | in_text) & json_scan_below(n);
    uint64_t begins = word & ~(word << 1 | (uint64_t)s->in_word);
    s->in_word = word >> (n - 1) & 1;
    return ((m.op & ~in_text) | m.quote | begins) & json_scan_below(n);
}

static inline __attribute__((always_inline)) void json_scan_over(struct json_scan *s, struct bytes window,
                                                                 struct json_marks *marks,
                                                                 struct json_masks (*masks)(const uint8_t *at),
                                                                 json_scan_parity *parity)
{
    struct json_scan_wrong wrong = {0, NULL};
    ASSERT(window.len <= JSON_SCAN_WINDOW);
    marks->count = 0;
    marks->escapes = false;
    json_scan_hex(s, window, 0, &wrong);
    for (size_t base = 0; base < window.len && !wrong.why; base += JSON_SCAN_BLOCK) {
        size_t n = size_min(window.len - base, JSON_SCAN_BLOCK);
        struct json_masks m;
        if (n == JSON_SCAN_BLOCK)
            m = masks(window.at + base);
        else
            m = json_masks_of(window.at + base, n);
        marks->escapes |= m.backslash != 0;
        uint64_t bits = json_scan_block(s, window, base, n, m, parity, &wrong);
        if (wrong.why && wrong.at < base + n)
            bits &= json_scan_below(wrong.at - base);
        json_scan_write(marks, base, bits);
    }
    marks->len = wrong.why ? wrong.at : window.len;
    marks->why = wrong.why;
}

#endif
