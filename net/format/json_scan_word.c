#include "net/format/json_scan_word.h"

/* RFC 8259 section 6, as a machine: after a minus, a leading zero, digits, the point, digits after it, the e, its sign, its
 * digits. */
enum { WRONG, MINUS, ZERO, WHOLE, POINT, FRACTION, E, SIGN, EXPONENT, STATES };
enum { CLASS_OTHER, CLASS_ZERO, CLASS_DIGIT, CLASS_MINUS, CLASS_PLUS, CLASS_POINT, CLASS_E, CLASSES };

static const uint8_t after[STATES][CLASSES] = {
    [MINUS] = {[CLASS_ZERO] = ZERO, [CLASS_DIGIT] = WHOLE},
    [ZERO] = {[CLASS_POINT] = POINT, [CLASS_E] = E},
    [WHOLE] = {[CLASS_ZERO] = WHOLE, [CLASS_DIGIT] = WHOLE, [CLASS_POINT] = POINT, [CLASS_E] = E},
    [POINT] = {[CLASS_ZERO] = FRACTION, [CLASS_DIGIT] = FRACTION},
    [FRACTION] = {[CLASS_ZERO] = FRACTION, [CLASS_DIGIT] = FRACTION, [CLASS_E] = E},
    [E] = {[CLASS_ZERO] = EXPONENT, [CLASS_DIGIT] = EXPONENT, [CLASS_MINUS] = SIGN, [CLASS_PLUS] = SIGN},
    [SIGN] = {[CLASS_ZERO] = EXPONENT, [CLASS_DIGIT] = EXPONENT},
    [EXPONENT] = {[CLASS_ZERO] = EXPONENT, [CLASS_DIGIT] = EXPONENT},
};

static unsigned class_of(uint8_t byte)
{
    switch (byte) {
    case '0':
        return CLASS_ZERO;
    case '-':
        return CLASS_MINUS;
    case '+':
        return CLASS_PLUS;
    case '.':
        return CLASS_POINT;
    case 'e':
    case 'E':
        return CLASS_E;
    default:
        return byte >= '1' && byte <= '9' ? CLASS_DIGIT : CLASS_OTHER;
    }
}

const uint8_t json_word_ends[256] = {
    [' '] = 1, ['\t'] = 1, ['\n'] = 1, ['\r'] = 1, ['"'] = 1, ['{'] = 1, ['}'] = 1, ['['] = 1, [']'] = 1, [','] = 1, [':'] = 1};

bool json_word_begin(struct json_word *w, uint8_t first)
{
    *w = (struct json_word){.rest = first == 't' ? "rue" : first == 'f' ? "alse" : first == 'n' ? "ull" : NULL};
    w->state = first == '-' ? MINUS : first == '0' ? ZERO : first >= '1' && first <= '9' ? WHOLE : WRONG;
    return w->rest || w->state != WRONG;
}

static bool is_whole(const struct json_word *w)
{
    if (w->rest)
        return *w->rest == 0;
    return w->state == ZERO || w->state == WHOLE || w->state == FRACTION || w->state == EXPONENT;
}

static bool word_byte(struct json_word *w, uint8_t byte)
{
    if (!w->rest)
        return (w->state = after[w->state][class_of(byte)]) != WRONG;
    if (*w->rest == 0 || byte != (uint8_t)*w->rest)
        return false;
    w->rest++;
    return true;
}

enum json_word_result json_word_feed(struct json_word *w, struct bytes in, size_t *used)
{
    for (*used = 0; *used < in.len; ++*used) {
        if (json_word_ends[in.at[*used]])
            return is_whole(w) ? JSON_WORD_ENDED : JSON_WORD_WRONG;
        if (!word_byte(w, in.at[*used]))
            return JSON_WORD_WRONG;
    }
    return JSON_WORD_MORE;
}
