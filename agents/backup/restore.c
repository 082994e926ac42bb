/* restore: what is stored, judged by its bytes, its record, and what is inside. */
#include "agents/backup/restore.h"
#include "agents/backup/fetch.h"
#include "agents/backup/verify.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SNIFF_BYTES 22

/* --- what is known of it --- */

struct reading {
    const struct backup_reading *r;
    struct backup_result *out;
    const char *path;                   /* of a file that can be read at random; NULL: none */
    struct backup_record *beside;       /* of a local file; on the heap */
    const struct backup_record *record; /* NULL: none */
    struct place *place;
    struct lane first, second;
    char into[OS_PATH_MAX];
    bool packed;
};

static bool speaks(const struct backup_record *r)
{
    return r && backup_has_record(r);
}

static err record_beside(struct reading *g)
{
    char path[OS_PATH_MAX];
    const char *of = g->path, *bad = strrchr(of, '.');
    struct buf *json = NULL;
    uint64_t mark = trail_mark();
    size_t len = bad && strcmp(bad, ".bad") == 0 ? (size_t)(bad - of) : strlen(of);
    int n = snprintf(path, sizeof path, "%.*s.json", (int)len, of);
    if (n <= 0 || (size_t)n >= sizeof path)
        return OK;
    err e = file_read_small(&g->first, path, BACKUP_RECORD_JSON_MAX, loop_now() + BACKUP_DISK_MS_MAX, &json);
    g->beside = e == OK ? malloc(sizeof *g->beside) : NULL;
    if (g->beside && backup_record_parse((struct bytes){json->at, json->len}, g->beside) == OK)
        g->record = g->beside;
    buf_release(json);
    if (e != E_CANCELED)
        trail_rewind(mark);
    return e == E_CANCELED ? e : OK;
}

/* --- is a local file packed? --- */

struct sniff_job {
    char path[OS_PATH_MAX];
    uint8_t head[SNIFF_BYTES];
    size_t got;
};

static err run_sniff(void *job)
{
    struct sniff_job *j = job;
    uint64_t bytes;
    os_fd fd;
    TRY(file_open_plain(j->path, &fd, &bytes));
    err e = os_file_read(fd, 0, j->head, sizeof j->head, &j->got);
    os_file_close(fd);
    return e;
}

static bool begins_with(const struct sniff_job *j, const char *head, size_t len)
{
    return j->got >= len && memcmp(j->head, head, len) == 0;
}

static err sniff(struct reading *g)
{
    static const char age[] = "age-encryption.org/", zstd[] = "\x28\xb5\x2f\xfd"; /* C2SP age.md; RFC 8878 3.1.1 */
    struct sniff_job j = {.got = 0};
    if (strlen(g->path) >= sizeof j.path)
        return trail(E_RANGE, "%s: path too long", g->path);
    memcpy(j.path, g->path, strlen(g->path) + 1);
    TRY(lane_call(&g->first, run_sniff, &j, sizeof j, NULL, loop_now() + BACKUP_DISK_MS_MAX));
    g->packed = begins_with(&j, age, sizeof age - 1) || begins_with(&j, zstd, sizeof zstd - 1);
    return OK;
}

/* --- a plain local file: at random, where it lies --- */

static err read_plain(struct reading *g)
{
    struct verifier *v = NULL;
    struct backup_result *out = g->out;
    err e = verifier_run(&g->first, &g->second, g->path, g->r->level, g->r->watcher, &out->verification, &v);
    if (e == OK)
        verifier_stored_sha256(v, out->stored_sha256);
    verifier_close(v);
    out->stored_bytes = out->verification.bytes;
    return e;
}

/* --- all others: as a stream --- */

static void unknown(struct backup_verification *v, const char *reason, const char *why)
{
    if (v->verdict == VERDICT_BAD)
        return;
    if (*why)
        backup_finding_add(v, reason, 0, "%s", why);
    v->verdict = VERDICT_UNKNOWN;
    (void)snprintf(v->reason, sizeof v->reason, "%s", reason);
}

static void good(struct backup_verification *v, const char *reason)
{
    if (v->verdict == VERDICT_BAD)
        return;
    v->verdict = VERDICT_GOOD;
    (void)snprintf(v->reason, sizeof v->reason, "%s", reason);
}

/* Is what lies there what the record says was put there? */
static void compare_stored(const struct reading *g, const struct fetched *f, bool *compared)
{
    const struct backup_record *r = g->record;
    struct backup_verification *v = &g->out->verification;
    *compared = speaks(r) && r->stored_sha256[0] && f->stored_sha256[0];
    if (!*compared)
        return;
    if (r->stored_bytes && r->stored_bytes != f->stored_bytes)
        backup_finding_add(v, "stored-bytes", 0, "%llu bytes are stored, its record says %llu",
                           (unsigned long long)f->stored_bytes, (unsigned long long)r->stored_bytes);
    else if (strcmp(r->stored_sha256, f->stored_sha256) != 0)
        backup_finding_add(v, "stored-sha256", 0, "the SHA-256 of what is stored is not that of its record");
}

static void compare_plain(const struct reading *g)
{
    const struct backup_record *r = g->record;
    struct backup_verification *v = &g->out->verification;
    if (speaks(r) && v->verdict != VERDICT_BAD && v->level >= 2 && r->verification.sha256[0] &&
        strcmp(r->verification.sha256, v->sha256) != 0)
        backup_finding_add(v, "sha256", 0, "the SHA-256 is not that of its record");
}

static void judge_closed(const struct reading *g, const struct fetched *f, bool compared)
{
    struct backup_verification *v = &g->out->verification;
    if (f->opened == E_CORRUPT)
        backup_finding_add(v, "corrupt", 0, "%s", f->opened_why);
    else if (f->opened != E_DENIED)
        unknown(v, f->opened == E_RANGE ? "memory" : "unsupported", f->opened_why);
    else if (g->r->keys && g->r->keys->count)
        unknown(v, "wrong-identity", f->opened_why);
    else if (!compared)
        unknown(v, "no-identity", "");
    else
        good(v, "stored");
}

/* Level 3 and 4, from the plain file, or why there is none. */
static err judge_opened(const struct reading *g, struct fetch *fetch, const struct fetched *f)
{
    struct backup_verification *v = &g->out->verification;
    if (v->verdict == VERDICT_BAD)
        return OK;
    *v = f->plain;
    if (f->file == OK && g->r->level > 2 && v->verdict != VERDICT_BAD)
        TRY(fetch_verify(fetch, g->r->level, v));
    else if (g->r->level <= 2)
        unknown(v, "level", "");
    else
        good(v, "no-scratch");
    if (v->level > g->r->level)
        v->level = g->r->level;
    compare_plain(g);
    return OK;
}

static err judge(const struct reading *g, struct fetch *fetch, const struct fetched *f)
{
    struct backup_result *out = g->out;
    bool compared = false;
    out->stored_bytes = f->stored_bytes;
    memcpy(out->stored_sha256, f->stored_sha256, sizeof out->stored_sha256);
    out->encrypted = f->sealed;
    out->compressed = f->compressed;
    compare_stored(g, f, &compared);
    if (f->opened == OK)
        return judge_opened(g, fetch, f);
    judge_closed(g, f, compared);
    return OK;
}

/* Named as a snapshot: what a killed process leaves there is found by that (scratch.h). */
static err scratch_path(struct reading *g)
{
    char name[BACKUP_NAME_MAX];
    backup_name(&(struct backup_entry){.at_s = loop_wall_ms() / 1000}, NAME_SNAPSHOT, name);
    int n = snprintf(g->into, sizeof g->into, "%s/%s", g->r->scratch, name);
    return n > 0 && (size_t)n < sizeof g->into ? OK : trail(E_RANGE, "%s: path too long", g->r->scratch);
}

/* What it will take, as far as that is known; 0: not at all. */
static uint64_t plain_bytes(const struct reading *g)
{
    return speaks(g->record) ? g->record->verification.bytes : 0;
}

static err check_room(struct reading *g, const char *folder)
{
    uint64_t free_bytes = 0, total = 0, mark = trail_mark();
    err e = file_space(&g->first, folder, loop_now() + BACKUP_DISK_MS_MAX, &free_bytes, &total);
    if (e == OK && plain_bytes(g) > free_bytes)
        return trail(E_NOSPACE, "%s has %llu bytes free, the snapshot has %llu", folder, (unsigned long long)free_bytes,
                     (unsigned long long)plain_bytes(g));
    if (e == OK || e == E_CANCELED)
        return e;
    trail_rewind(mark); /* writing tells */
    return OK;
}

static err room_for_restore(struct reading *g)
{
    char folder[OS_PATH_MAX];
    const char *slash = strrchr(g->r->to, '/');
    int n = snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - g->r->to) + 1 : 1, slash ? g->r->to : ".");
    return n > 0 && (size_t)n < sizeof folder ? check_room(g, folder) : trail(E_RANGE, "%s: path too long", g->r->to);
}

static bool wants_scratch(const struct reading *g)
{
    const struct backup_reading *r = g->r;
    return r->level > 2 && r->scratch && *r->scratch && (r->scratch_max == 0 || plain_bytes(g) <= r->scratch_max);
}

/* Where the plain file is to be, if anywhere. That there is no room for it is told to who asked for the file, and to the log
 * else.
 */
static err choose_into(struct reading *g, struct fetch_options *o)
{
    if (g->r->to) {
        o->into = g->r->to;
        o->into_needed = true;
        return room_for_restore(g);
    }
    if (!wants_scratch(g))
        return OK;
    err e = file_make_folder(&g->first, g->r->scratch, loop_now() + BACKUP_DISK_MS_MAX);
    if (e == OK)
        e = check_room(g, g->r->scratch);
    if (e == OK)
        e = scratch_path(g);
    if (e == E_CANCELED)
        return e;
    if (e != OK)
        log_warn("backup.verify.scratch cannot be used: levels 3 and 4 are left out", F("path", g->r->scratch), F_ERR(e));
    trail_clear();
    o->into = e == OK ? g->into : NULL;
    o->into_bytes_max = g->r->scratch_max;
    return OK;
}

static err commit_if_good(const struct reading *g, struct fetch *fetch)
{
    if (!g->r->to || g->out->verification.verdict != VERDICT_GOOD || g->out->verification.level < 4)
        return OK;
    return fetch_commit(fetch);
}

/* NAME, or NAME.bad. */
static const char *stored_name(const struct backup_record *r)
{
    const char *slash = strrchr(r->path, '/');
    return slash ? slash + 1 : r->path;
}

static err read_packed(struct reading *g)
{
    struct fetch *fetch = NULL;
    struct fetched *f = calloc(1, sizeof *f);
    struct fetch_options o = {.path = g->r->path,
                              .place = g->place,
                              .name = g->r->path ? NULL : stored_name(g->r->record),
                              .identities = g->r->keys ? g->r->keys->keys : NULL,
                              .identity_count = g->r->keys ? g->r->keys->count : 0,
                              .deadline = g->r->deadline,
                              .watcher = g->r->watcher};
    err e = f ? choose_into(g, &o) : E_BUDGET;
    if (e == OK)
        e = fetch_open(&o, &fetch);
    if (e == OK)
        e = fetch_run(fetch, f);
    if (e == OK)
        e = judge(g, fetch, f);
    if (e == OK)
        e = commit_if_good(g, fetch);
    fetch_close(fetch);
    free(f);
    return e;
}

/* --- the whole --- */

/* A local file is judged, whatever it is; what is to be restored must be read. */
static err unreadable(struct reading *g, err e)
{
    char why[96];
    if (e == E_CANCELED || g->r->to)
        return e == E_INVALID ? trail(e, "%s is not a regular file", g->path) : trail(e, "reading %s", g->path);
    (void)snprintf(why, sizeof why, "%s: %s", e == E_INVALID ? "not a regular file" : err_text(e), g->path);
    trail_clear();
    unknown(&g->out->verification, e == E_BUDGET ? "memory" : "unreadable", why);
    return OK;
}

static err read_local(struct reading *g)
{
    g->path = g->r->path;
    TRY(record_beside(g));
    err e = sniff(g);
    if (e != OK)
        return unreadable(g, e);
    return g->packed || g->r->to ? read_packed(g) : read_plain(g);
}

/* In a folder a plain one is read where it lies; the place mounts it first, where it is to be mounted. */
static err read_in_place(struct reading *g)
{
    struct place_object there;
    if (g->r->to || !place_folder(g->place))
        return read_packed(g);
    TRY(place_stat(g->place, stored_name(g->r->record), &there));
    g->path = g->r->record->path;
    TRY(sniff(g));
    if (g->packed)
        return read_packed(g);
    TRY(read_plain(g));
    compare_plain(g);
    return OK;
}

static err read_stored(struct reading *g)
{
    struct backup *b = g->r->backup;
    g->record = g->r->record;
    g->place = b->destinations[g->r->destination].place;
    err e = read_in_place(g);
    place_rest(g->place);
    return e;
}

err backup_read_back(const struct backup_reading *r, struct backup_result *out)
{
    *out = (struct backup_result){.stored_bytes = 0};
    struct reading *g = calloc(1, sizeof *g);
    if (!g)
        return E_BUDGET;
    g->r = r;
    g->out = out;
    lane_open(&g->first, "backup read back", TASK_BACKUP, 1);
    lane_open(&g->second, "backup read back too", TASK_BACKUP, 1);
    err e = r->path ? read_local(g) : read_stored(g);
    out->recorded = speaks(g->record);
    lane_close(&g->second);
    lane_close(&g->first);
    free(g->beside);
    free(g);
    return e;
}

void backup_result_json(struct json_writer *w, const char *path, const struct backup_result *r)
{
    json_object(w);
    json_put_text(w, "path", path);
    backup_verification_put(w, &r->verification);
    json_put_u64(w, "stored_bytes", r->stored_bytes);
    json_put_text(w, "stored_sha256", r->stored_sha256[0] ? r->stored_sha256 : NULL);
    json_put_bool(w, "encrypted", r->encrypted);
    json_put_bool(w, "compressed", r->compressed);
    json_object_end(w);
}
