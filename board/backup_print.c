/* backup_print: items as an array or as lines, and how far it is. What is wrong goes to stderr in either. */
#include "board/backup_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_MS      200
#define PROGRESS_COLUMNS 76
#define RATE_MS_MIN      SECONDS(1) /* of less it means nothing */

/* --- what is wrong --- */

static void tell_damage(const struct json *item)
{
    char path[OS_PATH_MAX], reason[BACKUP_REASON_MAX], text[128];
    const struct json *first = json_next(json_get(item, "errors"), NULL);
    (void)fprintf(stderr, "holdfast: %s: damaged (%s): %s\n", json_text_at(item, "path", path, sizeof path),
                  json_text_at(item, "reason", reason, sizeof reason), json_text_at(first, "text", text, sizeof text));
}

/* True: the item is an error, or what it tells of is damaged. */
static bool tell_wrong(const struct json *item)
{
    char error[512], verdict[16];
    if (json_to_text(json_get(item, "error"), error, sizeof error)) {
        (void)fprintf(stderr, "holdfast: %s\n", error);
        return true;
    }
    json_text_at(item, "verdict", verdict, sizeof verdict);
    return bytes_equal_text(bytes_of(verdict), "bad");
}

/* --- lines --- */

void print_failed(const struct json *item)
{
    (void)tell_wrong(item);
}

void print_taken(const struct json *item)
{
    char path[OS_PATH_MAX], endpoint[CONFIG_URL_MAX], version[64], sha256[2 * SHA256_BYTES + 1];
    if (tell_wrong(item)) {
        if (json_get(item, "path"))
            tell_damage(item);
        return;
    }
    (void)printf("%s: %" PRIu64 " bytes in %" PRIu64 " ms from %s (etcd %s), ", json_text_at(item, "path", path, sizeof path),
                 json_number_at(item, "bytes"), json_number_at(item, "took_ms"),
                 json_text_at(item, "endpoint", endpoint, sizeof endpoint),
                 json_text_at(item, "etcd_version", version, sizeof version));
    if (json_number_at(item, "level") >= 4)
        (void)printf("good: %" PRIu64 " keys at revision %" PRIu64 ", ", json_number_at(item, "keys"),
                     json_number_at(item, "revision"));
    (void)printf("SHA-256 good: %s\n", json_text_at(item, "sha256", sha256, sizeof sha256));
}

/* What the last reading back of it found: "4", "2", "stored", "bad", "-". */
static const char *rehearsed(const struct json *item, char *out, size_t cap)
{
    const struct json *r = json_get(item, "rehearsal");
    char verdict[16], reason[BACKUP_REASON_MAX];
    if (json_kind_of(r) != JSON_OBJECT)
        return "-";
    json_text_at(r, "verdict", verdict, sizeof verdict);
    json_text_at(r, "reason", reason, sizeof reason);
    if (bytes_equal_text(bytes_of(verdict), "good") && !bytes_equal_text(bytes_of(reason), "stored"))
        (void)snprintf(out, cap, "level %u", (unsigned)json_number_at(r, "level"));
    else
        (void)snprintf(out, cap, "%s", bytes_equal_text(bytes_of(verdict), "good") ? reason : verdict);
    return out;
}

void print_listed(const struct json *item)
{
    char taken[TIME_TEXT_MAX], verdict[16], reason[BACKUP_REASON_MAX], path[OS_PATH_MAX], level[BACKUP_REASON_MAX],
        keys[24] = "-";
    if (tell_wrong(item) && !json_get(item, "path"))
        return;
    json_text_at(item, "reason", reason, sizeof reason);
    if (json_number_at(item, "level") >= 4) /* before it they were not counted */
        (void)snprintf(keys, sizeof keys, "%" PRIu64, json_number_at(item, "keys"));
    (void)printf("%-20s  %-7s  %u  %12" PRIu64 "  %10s  %-10s  %-9s  %s\n", json_text_at(item, "taken_at", taken, sizeof taken),
                 json_text_at(item, "verdict", verdict, sizeof verdict), (unsigned)json_number_at(item, "level"),
                 json_number_at(item, "bytes"), keys, reason[0] ? reason : "-", rehearsed(item, level, sizeof level),
                 json_text_at(item, "path", path, sizeof path));
}

void print_pruned(const struct json *item)
{
    char name[BACKUP_NAME_MAX], destination[CONFIG_NAME_MAX], why[96];
    bool removed = false;
    if (tell_wrong(item))
        return;
    (void)json_to_bool(json_get(item, "removed"), &removed);
    (void)printf("%s %s %s: %s\n", removed ? "removed" : "would remove",
                 json_text_at(item, "destination", destination, sizeof destination),
                 json_text_at(item, "name", name, sizeof name), json_text_at(item, "why", why, sizeof why));
}

void print_rehearsed(const struct json *item)
{
    const struct json *r = json_get(item, "rehearsal");
    char path[OS_PATH_MAX], verdict[16], reason[BACKUP_REASON_MAX], warning[BACKUP_REASON_MAX];
    if (!json_get(item, "path")) {
        (void)tell_wrong(item);
        return;
    }
    (void)printf("%s: %s, level %u", json_text_at(item, "path", path, sizeof path),
                 json_text_at(r, "verdict", verdict, sizeof verdict), (unsigned)json_number_at(r, "level"));
    if (json_text_at(r, "reason", reason, sizeof reason)[0])
        (void)printf(" (%s)", reason);
    if (json_text_at(r, "warning", warning, sizeof warning)[0])
        (void)printf(", warning: %s", warning);
    (void)printf(", read back in %" PRIu64 " ms\n", json_number_at(r, "took_ms"));
    if (tell_wrong(item))
        tell_damage(item);
}

/* --- arrays --- */

static err print_item(struct printer *p, const struct json *parsed, struct bytes json)
{
    if (!p->json) {
        p->line(parsed);
        return OK;
    }
    (void)printf("%s%.*s", p->items++ ? ",\n " : "[", (int)json.len, (const char *)json.at);
    if (tell_wrong(parsed) && json_get(parsed, "path"))
        tell_damage(parsed);
    return OK;
}

static err take_item(void *arg, struct bytes json)
{
    struct printer *p = arg;
    struct json *parsed = NULL;
    unsigned line = 0;
    TRY(json_parse(json, &parsed, &line));
    if (p->progress)
        progress_close(p->progress);
    err e = print_item(p, parsed, json);
    json_free(parsed);
    return e;
}

struct answer printer_open(struct printer *p)
{
    p->items = 0;
    return (struct answer){take_item, p};
}

void printer_close(struct printer *p)
{
    if (p->json)
        (void)printf("%s]\n", p->items ? "" : "[");
}

/* The text goes out as it came; parsed, it tells what is wrong. */
err printer_whole(struct printer *p, struct bytes array)
{
    struct json *parsed = NULL;
    unsigned line = 0;
    TRY(json_parse(array, &parsed, &line));
    if (p->json)
        (void)printf("%.*s\n", (int)array.len, (const char *)array.at);
    for (const struct json *at = NULL; (at = json_next(parsed, at));)
        if (!p->json)
            p->line(at);
        else if (tell_wrong(at) && json_get(at, "path"))
            tell_damage(at);
    json_free(parsed);
    return OK;
}

/* --- progress --- */

struct progress progress_open(bool wanted)
{
    return (struct progress){.terminal = wanted && isatty(STDERR_FILENO)};
}

/* A new piece of work has its own rate. The words may lie elsewhere each time. */
static bool is_new(struct progress *p, const char *what, uint64_t done, ms now)
{
    bool new = strcmp(p->what, what) != 0 || done < p->done;
    if (new)
        *p = (struct progress){.terminal = p->terminal, .shown = p->shown, .began = now, .began_bytes = done};
    if (new)
        (void)snprintf(p->what, sizeof p->what, "%s", what);
    p->done = done;
    return new;
}

static void add_rate(struct text *t, const struct progress *p, uint64_t left, ms now)
{
    ms took = now - p->began;
    uint64_t moved = p->done - p->began_bytes, rate = took >= RATE_MS_MIN ? moved * 1000 / (uint64_t)took : 0;
    if (rate > 0)
        text_addf(t, ", %" PRIu64 ".%" PRIu64 " MiB/s, %" PRIu64 " s left", rate >> 20, ((rate & (MIB(1) - 1)) * 10) >> 20,
                  left / rate);
}

void progress_show(void *arg, const char *what, uint64_t done, uint64_t total)
{
    struct progress *p = arg;
    char storage[PROGRESS_COLUMNS + 1];
    struct text t = text_over(storage, sizeof storage);
    ms now = loop_now();
    if (!p->terminal || (!is_new(p, what, done, now) && now < p->shown_at + PROGRESS_MS))
        return;
    p->shown_at = now;
    p->shown = true;
    text_add(&t, what);
    if (total > 0)
        text_addf(&t, ": %" PRIu64 " of %" PRIu64 " MiB", done >> 20, total >> 20);
    else if (done > 0)
        text_addf(&t, ": %" PRIu64 " MiB", done >> 20);
    add_rate(&t, p, total > done ? total - done : 0, now);
    (void)fprintf(stderr, "\r%-*s", PROGRESS_COLUMNS, storage);
}

void progress_close(struct progress *p)
{
    if (p->shown) {
        (void)fprintf(stderr, "\r%*s\r", PROGRESS_COLUMNS, "");
        (void)fflush(stderr);
    }
    p->shown = false;
    p->shown_at = 0;
}
