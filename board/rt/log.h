/* log: one line an event, to stderr. logfmt by default, JSON by option.
 *
 * Layer    rt.                                   Blocks   never for long: a full pipe drops the line and counts it.
 * Owner    the fields are read before return.    Memory   LOG_LINE_MAX on the stack; LOG_REPEATS_MAX repeat slots, static.
 * Threads  any; a line is one write(2).          Errors   none.
 *
 *   log_info("snapshot taken", F("destination", name), F_U64("bytes", n), F_MS("took", took));
 *   ts=2026-11-21T09:51:32.104Z level=info task=backup msg="snapshot taken" destination=local bytes=1048608 took_ms=41
 *
 * The same level and message is written at most LOG_BURST times in LOG_WINDOW_MS; then one line says how many were held back. */
#ifndef HOLDFAST_LOG_H
#define HOLDFAST_LOG_H

#include "board/rt/err.h"
#include "board/rt/secret.h"

#define LOG_LINE_MAX    1024
#define LOG_REPEATS_MAX 64
#define LOG_BURST       8
#define LOG_WINDOW_MS   SECONDS(60)

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

enum field_kind { FIELD_TEXT, FIELD_BYTES, FIELD_I64, FIELD_U64, FIELD_MS, FIELD_BOOL, FIELD_ERR, FIELD_SECRET };
struct field {
    const char *key;
    enum field_kind kind;
    union {
        const char *text;
        struct bytes bytes;
        int64_t i64;
        uint64_t u64;
        bool boolean;
        err error;
    } value;
};

#define F(k, v)       ((struct field){.key = (k), .kind = FIELD_TEXT, .value.text = (v)})
#define F_BYTES(k, v) ((struct field){.key = (k), .kind = FIELD_BYTES, .value.bytes = (v)})
#define F_I64(k, v)   ((struct field){.key = (k), .kind = FIELD_I64, .value.i64 = (int64_t)(v)})
#define F_U64(k, v)   ((struct field){.key = (k), .kind = FIELD_U64, .value.u64 = (uint64_t)(v)})
#define F_MS(k, v)    ((struct field){.key = (k), .kind = FIELD_MS, .value.i64 = (v)}) /* key_ms=v */
#define F_BOOL(k, v)  ((struct field){.key = (k), .kind = FIELD_BOOL, .value.boolean = (v)})
/* error="opening /x: refused: permission" code=E_DENIED, with the current fiber's trail, which it clears. */
#define F_ERR(v) ((struct field){.key = "error", .kind = FIELD_ERR, .value.error = (v)})
static inline struct field field_secret(const char *key, struct secret s)
{
    (void)s; /* its bytes are not even carried along */
    return (struct field){.key = key, .kind = FIELD_SECRET};
}
#define F_SECRET(k, v) field_secret((k), (v)) /* prints *** */

void log_setup(enum log_level least, enum log_format format, int fd);
void log_write(enum log_level level, const char *message, const struct field *fields, size_t count);
/* Tells of lines that were held back in windows that have ended by `now`; FOREVER: in all. The loop does once a second. */
void log_flush(ms now);
uint64_t log_dropped(void);

#define LOG_FIELDS_(...) (const struct field[]){__VA_ARGS__}, sizeof((const struct field[]){__VA_ARGS__}) / sizeof(struct field)
/* At least one field each; a message without fields uses the _0 form. */
#define log_debug(message, ...) log_write(LOG_DEBUG, message, LOG_FIELDS_(__VA_ARGS__))
#define log_info(message, ...)  log_write(LOG_INFO, message, LOG_FIELDS_(__VA_ARGS__))
#define log_warn(message, ...)  log_write(LOG_WARN, message, LOG_FIELDS_(__VA_ARGS__))
#define log_error(message, ...) log_write(LOG_ERROR, message, LOG_FIELDS_(__VA_ARGS__))
#define log_info_0(message)     log_write(LOG_INFO, message, NULL, 0)
#define log_warn_0(message)     log_write(LOG_WARN, message, NULL, 0)

#endif
