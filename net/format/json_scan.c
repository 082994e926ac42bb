#include "net/format/json_scan.h"

#include "net/format/cpu.h"
#include "net/format/json_scan_kernel.h"

enum { QUOTE = 1, BACKSLASH = 2, OP = 4, SPACE = 8, CONTROL = 16, HIGH = 32 };

static unsigned class_of(uint8_t byte)
{
    switch (byte) {
    case '"':
        return QUOTE;
    case '\\':
        return BACKSLASH;
    case '{':
    case '}':
    case '[':
    case ']':
    case ',':
    case ':':
        return OP;
    case ' ':
        return SPACE;
    case '\t':
    case '\n':
    case '\r':
        return SPACE | CONTROL;
    default:
        return byte < 0x20 ? CONTROL : byte >= 0x80 ? HIGH : 0;
    }
}

struct json_masks json_masks_of(const uint8_t *at, size_t len)
{
    struct json_masks m = {0};
    for (size_t i = 0; i < len; i++) {
        unsigned class = class_of(at[i]);
        uint64_t bit = (uint64_t)1 << i;
        m.quote |= class & QUOTE ? bit : 0;
        m.backslash |= class & BACKSLASH ? bit : 0;
        m.op |= class & OP ? bit : 0;
        m.space |= class & SPACE ? bit : 0;
        m.control |= class & CONTROL ? bit : 0;
        m.high |= class & HIGH ? bit : 0;
    }
    return m;
}

static bool is_hex(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f');
}

void json_scan_hex(struct json_scan *s, struct bytes window, size_t from, struct json_scan_wrong *w)
{
    for (; s->hex_left > 0 && from < window.len; from++, s->hex_left--)
        if (!is_hex(window.at[from])) {
            json_scan_is_wrong(w, from, "no four hexadecimal digits after \\u");
            s->hex_left = 0;
            return;
        }
}

/* RFC 8259 section 7: what may follow a backslash. */
static void escape_check(struct json_scan *s, struct bytes window, size_t at, struct json_scan_wrong *w)
{
    switch (window.at[at]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return;
    case 'u':
        s->hex_left = 4;
        json_scan_hex(s, window, at + 1, w);
        return;
    default:
        json_scan_is_wrong(w, at, "no such escape");
    }
}

uint64_t json_scan_escapes(struct json_scan *s, struct bytes window, size_t from, size_t to, uint64_t backslash,
                           struct json_scan_wrong *w)
{
    uint64_t escaped = s->escaped ? 1 : 0;
    if (s->escaped)
        escape_check(s, window, from, w);
    backslash &= ~escaped;
    s->escaped = false;
    while (backslash != 0) {
        size_t next = from + (size_t)__builtin_ctzll(backslash) + 1;
        backslash &= backslash - 1;
        if (next == to) {
            s->escaped = true;
            break;
        }
        uint64_t bit = (uint64_t)1 << (next - from);
        escaped |= bit;
        backslash &= ~bit;
        escape_check(s, window, next, w);
    }
    return escaped;
}

/* RFC 3629 section 4: what may follow which first byte; false: it is none. */
static bool utf8_lead(struct json_scan *s, uint8_t byte)
{
    s->utf8_low = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    s->utf8_high = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    s->utf8_left = byte < 0x80 ? 0 : byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    return byte < 0x80 || (byte >= 0xC2 && byte <= 0xF4);
}

void json_scan_utf8(struct json_scan *s, struct bytes window, size_t from, size_t to, struct json_scan_wrong *w)
{
    for (; from < to; from++) {
        uint8_t byte = window.at[from];
        bool good = s->utf8_left == 0 ? utf8_lead(s, byte) : byte >= s->utf8_low && byte <= s->utf8_high;
        if (!good) {
            s->utf8_left = 0;
            json_scan_is_wrong(w, from, "no UTF-8");
            return;
        }
        if (byte >= 0x80 && byte <= 0xBF) {
            s->utf8_left--;
            s->utf8_low = 0x80;
            s->utf8_high = 0xBF;
        }
    }
}

static struct json_masks masks_portable(const uint8_t *at)
{
    return json_masks_of(at, JSON_SCAN_BLOCK);
}

void json_scan_portable(struct json_scan *s, struct bytes window, struct json_marks *marks)
{
    json_scan_over(s, window, marks, masks_portable, json_scan_parity_shifts);
}

static const struct cpu_way ways[JSON_SCAN_KIND_COUNT] = {
    [JSON_SCAN_PORTABLE] = {"portable", 0, (cpu_kernel *)json_scan_portable},
#ifdef JSON_SCAN_HAS_X86
    [JSON_SCAN_X86_SSE2] = {"x86 sse2", 0, (cpu_kernel *)json_scan_sse2},
    [JSON_SCAN_X86_AVX2] = {"x86 avx2", CPU_AVX2 | CPU_AES, (cpu_kernel *)json_scan_avx2},
#endif
#ifdef JSON_SCAN_HAS_ARM
    [JSON_SCAN_ARM_NEON] = {"armv8 neon", 0, (cpu_kernel *)json_scan_neon},
#endif
};
static struct cpu_choice choice = {.ways = ways, .count = COUNT_OF(ways)};

bool json_scan_force(enum json_scan_kind kind)
{
    return cpu_force(&choice, kind);
}

void json_scan(struct json_scan *s, struct bytes window, struct json_marks *marks)
{
    json_scan_kernel *kernel = (json_scan_kernel *)cpu_chosen(&choice)->kernel;
    kernel(s, window, marks);
}
