#include "board/rt/log.h"

#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/repeat.h"
#include "board/rt/text.h"
#include "board/rt/utf8.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* One value takes at most this much of the line, so that a long one does not push the error out. As written, with escapes. */
#define VALUE_MAX  480
#define ESCAPE_MAX 6 /* \u00ff */
static const char cut_mark[] = "...";
static const char cut_field_logfmt[] = " cut=true";
static const char cut_field_json[] = ",\"cut\":true";
/* What is always kept free for the end: the mark and quote of a cut value, the cut field, the brace and the newline. */
#define TAIL_MAX (sizeof cut_mark + sizeof cut_field_json + 3)

static const char *const level_names[] = {[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

static struct {
    pthread_mutex_t lock; /* the rest of the struct, and poll + write as one step */
    struct repeats repeats;
    atomic_int least, format, fd;
    atomic_uint_least64_t dropped;
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .least = LOG_INFO, .format = LOG_LOGFMT, .fd = STDERR_FILENO};

/* --- one line in the making --- */
struct line {
    char at[LOG_LINE_MAX];
    size_t len;
    bool json, cut;
};

static size_t line_room(const struct line *l)
{
    size_t end = LOG_LINE_MAX - TAIL_MAX;
    return l->len < end ? end - l->len : 0;
}

static void line_put(struct line *l, const char *s, size_t len)
{
    memcpy(l->at + l->len, s, len);
    l->len += len;
}

static void line_text(struct line *l, const char *s)
{
    line_put(l, s, strlen(s));
}

static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0); /* C1 too: a terminal obeys them */
}

/* Writes one character of a quoted value, escaped as JSON has it, into out; returns its bytes and sets *used of the source. */
static size_t escape_char(struct bytes b, char out[ESCAPE_MAX], size_t *used)
{
    static const char digits[] = "0123456789abcdef", named[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
    size_t length = utf8_char(b);
    uint32_t code = length == 1 ? b.at[0] : length == 2 ? (uint32_t)((b.at[0] & 0x1F) << 6 | (b.at[1] & 0x3F)) : 0x100;
    *used = size_max(length, 1);
    const char *found = length == 1 && code ? strchr(named, (int)code) : NULL;
    if (found) {
        memcpy(out, (char[]){'\\', letters[found - named]}, 2);
        return 2;
    }
    if (length > 0 && !is_control(code)) {
        memcpy(out, b.at, length);
        return length;
    }
    memcpy(out, length == 0 ? "\\ufffd" : "\\u0000", ESCAPE_MAX); /* a byte that is no UTF-8 becomes U+FFFD */
    if (length > 0) {
        out[4] = digits[code >> 4];
        out[5] = digits[code & 15];
    }
    return ESCAPE_MAX;
}

static bool needs_quotes(struct bytes b)
{
    for (size_t i = 0; i < b.len;) {
        size_t length = utf8_char((struct bytes){b.at + i, b.len - i});
        if (length == 0 || b.at[i] <= ' ' || strchr("\"\\=\x7f", b.at[i]) ||
            (length == 2 && b.at[i] == 0xC2 && b.at[i + 1] < 0xA0))
            return true;
        i += length;
    }
    return b.len == 0;
}

/* The value, quoted where needed, cut between two characters with "..." where it is too long. */
static void line_value(struct line *l, struct bytes b)
{
    bool quotes = l->json || needs_quotes(b);
    size_t end = l->len + size_min(VALUE_MAX, line_room(l));
    if (quotes)
        l->at[l->len++] = '"';
    for (size_t i = 0, used; i < b.len; i += used) {
        char out[ESCAPE_MAX];
        size_t length = escape_char((struct bytes){b.at + i, b.len - i}, out, &used);
        if (l->len + length > end) {
            line_text(l, cut_mark);
            l->cut = true;
            break;
        }
        line_put(l, out, length);
    }
    if (quotes)
        l->at[l->len++] = '"';
}

/* False, and the line is marked cut, when key and `value_bytes` of a value do not fit any more. */
static bool line_key(struct line *l, const char *key, const char *suffix, size_t value_bytes)
{
    size_t need = strlen(key) + strlen(suffix) + value_bytes + 4; /* ,"": */
    if (need > line_room(l)) {
        l->cut = true;
        return false;
    }
    if (l->len > (l->json ? 1 : 0))
        l->at[l->len++] = l->json ? ',' : ' ';
    line_text(l, l->json ? "\"" : "");
    line_text(l, key);
    line_text(l, suffix);
    line_text(l, l->json ? "\":" : "=");
    return true;
}

/* --- fields --- */
#define NUMBER_MAX  21 /* of 64 bits, with a sign */
#define VALUE_LEAST 8  /* a text field that has less room is left out */

static void field_bytes(struct line *l, const char *key, struct bytes b)
{
    if (line_key(l, key, "", VALUE_LEAST))
        line_value(l, b);
}

static void field_text(struct line *l, const char *key, const char *s)
{
    field_bytes(l, key, bytes_of(s));
}

/* A number, true, false or null: never quoted. */
static void field_bare(struct line *l, const char *key, const char *suffix, const char *value)
{
    if (line_key(l, key, suffix, NUMBER_MAX))
        line_text(l, value);
}

static void field_number(struct line *l, const char *key, const char *suffix, uint64_t magnitude, bool negative)
{
    char digits[NUMBER_MAX + 1];
    size_t at = NUMBER_MAX;
    digits[at] = 0;
    do
        digits[--at] = (char)('0' + magnitude % 10);
    while ((magnitude /= 10) > 0);
    if (negative)
        digits[--at] = '-';
    field_bare(l, key, suffix, digits + at);
}

static void field_signed(struct line *l, const char *key, const char *suffix, int64_t value)
{
    field_number(l, key, suffix, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

static void field_error(struct line *l, const char *key, err error)
{
    char text[VALUE_MAX];
    field_text(l, key, trail_text(error, text, sizeof text));
    field_text(l, "code", err_name(error));
}

static void line_field(struct line *l, const struct field *f)
{
    switch (f->kind) {
    case FIELD_TEXT:
        if (f->value.text)
            field_text(l, f->key, f->value.text);
        else
            field_bare(l, f->key, "", "null");
        break;
    case FIELD_BYTES:
        field_bytes(l, f->key, f->value.bytes);
        break;
    case FIELD_I64:
        field_signed(l, f->key, "", f->value.i64);
        break;
    case FIELD_MS:
        field_signed(l, f->key, "_ms", f->value.i64);
        break;
    case FIELD_U64:
        field_number(l, f->key, "", f->value.u64, false);
        break;
    case FIELD_BOOL:
        field_bare(l, f->key, "", f->value.boolean ? "true" : "false");
        break;
    case FIELD_ERR:
        field_error(l, f->key, f->value.error);
        break;
    case FIELD_SECRET:
        field_text(l, f->key, "***");
        break;
    }
}

/* --- writing --- */
static void timestamp(char out[TIME_TEXT_MAX + 4])
{
    int64_t wall_ms = os_wall_ms();
    text_rfc3339(wall_ms / 1000, out, TIME_TEXT_MAX);
    char *z = out + strlen(out) - 1; /* the Z gives way to .123Z */
    *z++ = '.';
    for (int unit = 100; unit > 0; unit /= 10)
        *z++ = (char)('0' + wall_ms / unit % 10);
    memcpy(z, "Z", sizeof "Z");
}

static void line_start(struct line *l, enum log_level level, const char *message)
{
    char when[TIME_TEXT_MAX + 4];
    timestamp(when);
    l->len = 0;
    l->cut = false;
    l->json = atomic_load_explicit(&logger.format, memory_order_relaxed) == LOG_JSON;
    line_text(l, l->json ? "{" : "");
    field_text(l, "ts", when);
    field_text(l, "level", level_names[level]);
    field_text(l, "task", task_name(mem_task()));
    field_text(l, "msg", message);
}

/* Under the lock. poll(2) tells of a full pipe without changing the flags of a descriptor that others share; a pipe that is
 * writable takes PIPE_BUF bytes whole (pipe(7)), and a line is shorter. */
static void line_write(struct line *l)
{
    if (l->cut)
        line_text(l, l->json ? cut_field_json : cut_field_logfmt);
    line_text(l, l->json ? "}\n" : "\n");
    struct pollfd p = {.fd = atomic_load_explicit(&logger.fd, memory_order_relaxed), .events = POLLOUT};
    if (p.fd < 0)
        return;
    if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT) || write(p.fd, l->at, l->len) != (ssize_t)l->len)
        atomic_fetch_add_explicit(&logger.dropped, 1, memory_order_relaxed);
}
_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a line is written to a pipe whole");

static void closing_write(struct line *l, const struct repeat *r)
{
    line_start(l, r->level, "repeats held back");
    field_text(l, "repeated", r->message);
    field_number(l, "held_back", "", r->held, false);
    line_write(l);
}

static void closings_write(struct line *l, ms now)
{
    struct repeat closing;
    while (repeat_close(&logger.repeats, now, &closing)) /* at most LOG_REPEATS_MAX times */
        closing_write(l, &closing);
}

static void clear_trail(const struct field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fields[i].kind == FIELD_ERR)
            trail_clear();
}

void log_write(enum log_level level, const char *message, const struct field *fields, size_t count)
{
    struct line line;
    struct repeat closing;
    if ((int)level < atomic_load_explicit(&logger.least, memory_order_relaxed)) {
        clear_trail(fields, count);
        return;
    }
    pthread_mutex_lock(&logger.lock);
    ms now = os_mono();
    closings_write(&line, now);
    bool allowed = repeat_allow(&logger.repeats, level, message, now, &closing);
    if (closing.held > 0)
        closing_write(&line, &closing);
    if (allowed) {
        line_start(&line, level, message);
        for (size_t i = 0; i < count; i++)
            line_field(&line, &fields[i]);
        line_write(&line);
    }
    pthread_mutex_unlock(&logger.lock);
    clear_trail(fields, count);
}

void log_flush(ms now)
{
    struct line line;
    pthread_mutex_lock(&logger.lock);
    closings_write(&line, now);
    pthread_mutex_unlock(&logger.lock);
}

void log_setup(enum log_level least, enum log_format format, int fd)
{
    struct line line;
    pthread_mutex_lock(&logger.lock);
    closings_write(&line, FOREVER); /* still to where they belong */
    atomic_store_explicit(&logger.least, least, memory_order_relaxed);
    atomic_store_explicit(&logger.format, format, memory_order_relaxed);
    atomic_store_explicit(&logger.fd, fd, memory_order_relaxed);
    pthread_mutex_unlock(&logger.lock);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&logger.dropped, memory_order_relaxed);
}
