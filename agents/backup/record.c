/* record: what is known of one snapshot, as JSON and back, and on the disk. */
#include "agents/backup/place.h"
#include "agents/backup/retention.h"

#include "net/format/json_read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const verdict_names[] = {[VERDICT_UNKNOWN] = "unknown", [VERDICT_GOOD] = "good", [VERDICT_BAD] = "bad"};

const char *backup_verdict_name(enum backup_verdict v)
{
    return (size_t)v < COUNT_OF(verdict_names) ? verdict_names[v] : "?";
}

bool backup_has_record(const struct backup_record *r)
{
    static const char *const without[] = {"no-record", "record", "changed"};
    for (size_t i = 0; i < COUNT_OF(without); i++)
        if (strcmp(r->verification.reason, without[i]) == 0)
            return false;
    return true;
}

void backup_finding_add(struct backup_verification *v, const char *code, uint64_t page, const char *format, ...)
{
    if (v->verdict != VERDICT_BAD) /* the first one is the reason */
        (void)snprintf(v->reason, sizeof v->reason, "%s", code);
    v->verdict = VERDICT_BAD;
    if (v->finding_count == COUNT_OF(v->findings))
        return;
    struct backup_finding *f = &v->findings[v->finding_count++];
    va_list arguments;
    (void)snprintf(f->code, sizeof f->code, "%s", code);
    f->page = page;
    va_start(arguments, format);
    (void)vsnprintf(f->text, sizeof f->text, format, arguments);
    va_end(arguments);
}

/* --- out --- */

static const char *or_null(const char *s)
{
    return s[0] ? s : NULL;
}

static void put_u64_if(struct json_writer *w, const char *key, bool known, uint64_t value)
{
    json_key(w, key);
    known ? json_u64(w, value) : json_null(w);
}

static void put_i64_if(struct json_writer *w, const char *key, bool known, int64_t value)
{
    json_key(w, key);
    known ? json_i64(w, value) : json_null(w);
}

static void put_id(struct json_writer *w, const char *key, uint64_t id)
{
    char hex[17];
    (void)snprintf(hex, sizeof hex, "%016" PRIx64, id);
    json_put_text(w, key, id ? hex : NULL);
}

void backup_verification_put(struct json_writer *w, const struct backup_verification *v)
{
    json_put_text(w, "verdict", backup_verdict_name(v->verdict));
    json_put_u64(w, "level", v->level);
    json_put_text(w, "reason", or_null(v->reason));
    json_put_u64(w, "bytes", v->bytes); /* numbers always, 0 of what could not be read: the interface has no null here */
    json_put_u64(w, "db_bytes", v->db_bytes);
    json_put_text(w, "sha256", or_null(v->sha256));
    put_u64_if(w, "hash", v->level >= 4, v->hash);
    put_i64_if(w, "revision", v->level >= 4, v->revision);
    put_u64_if(w, "keys", v->level >= 4, v->keys);
    put_u64_if(w, "pairs", v->level >= 4, v->pairs);
    json_key(w, "errors");
    json_array(w);
    for (unsigned i = 0; i < v->finding_count; i++) {
        json_object(w);
        json_put_text(w, "code", v->findings[i].code);
        json_put_u64(w, "page", v->findings[i].page);
        json_put_text(w, "text", v->findings[i].text);
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_hash_kv(struct json_writer *w, const struct backup_record *r)
{
    json_key(w, "hash_kv");
    if (r->hash_kv)
        json_bool(w, true);
    else if (strcmp(r->verification.reason, "hash-kv") == 0)
        json_bool(w, false);
    else
        json_null(w);
    json_put_text(w, "hash_kv_why", or_null(r->hash_kv_why));
}

static void put_rehearsal(struct json_writer *w, const struct backup_rehearsal *r)
{
    char when[TIME_TEXT_MAX];
    json_key(w, "rehearsal");
    if (r->at_s == 0) {
        json_null(w);
        return;
    }
    text_rfc3339(r->at_s, when, sizeof when);
    json_object(w);
    json_put_text(w, "at", when);
    json_put_i64(w, "took_ms", r->took_ms);
    json_put_text(w, "verdict", backup_verdict_name(r->verdict));
    json_put_u64(w, "level", r->level);
    json_put_text(w, "reason", or_null(r->reason));
    json_put_text(w, "warning", or_null(r->warning));
    json_object_end(w);
}

static void put_stored(struct json_writer *w, const struct backup_record *r)
{
    json_put_u64(w, "stored_bytes", r->stored_bytes);
    json_put_text(w, "stored_sha256", or_null(r->stored_sha256));
    json_put_text(w, "etag", or_null(r->etag));
    json_put_bool(w, "compressed", r->compressed);
    json_put_bool(w, "encrypted", r->encrypted);
    json_put_text(w, "source", or_null(r->source));
    json_put_text(w, "copied_from", or_null(r->copied_from));
}

void backup_record_json(struct json_writer *w, const struct backup_record *r)
{
    char when[TIME_TEXT_MAX];
    text_rfc3339(r->taken_at_s, when, sizeof when);
    json_object(w);
    json_put_text(w, "name", r->name);
    json_put_text(w, "destination", r->destination);
    json_put_text(w, "path", r->path);
    backup_verification_put(w, &r->verification);
    put_id(w, "cluster_id", r->cluster_id);
    put_id(w, "member_id", r->member_id);
    json_put_text(w, "taken_at", when);
    put_i64_if(w, "took_ms", r->took_ms >= 0, r->took_ms);
    json_put_text(w, "endpoint", or_null(r->endpoint));
    json_put_text(w, "etcd_version", or_null(r->etcd_version));
    put_hash_kv(w, r);
    put_stored(w, r);
    put_rehearsal(w, &r->rehearsal);
    json_object_end(w);
}

/* --- in --- */

/* Null, or not there, is "not known": zero. Another kind, or a value that does not fit, is damage: the key is told. */
struct reading {
    const struct json *from;
    const char *wrong; /* the first key that is */
};

static const struct json *known(struct reading *r, const char *key)
{
    const struct json *v = json_get(r->from, key);
    return json_kind_of(v) <= JSON_NULL ? NULL : v;
}

static void check(struct reading *r, const char *key, bool good)
{
    if (!good && !r->wrong)
        r->wrong = key;
}

static void get_text(struct reading *r, const char *key, char *out, size_t cap)
{
    const struct json *v = known(r, key);
    if (v)
        check(r, key, json_to_text(v, out, cap));
}

static void get_u64(struct reading *r, const char *key, uint64_t *out)
{
    const struct json *v = known(r, key);
    if (v)
        check(r, key, json_to_u64(v, out));
}

static void get_i64(struct reading *r, const char *key, int64_t *out)
{
    const struct json *v = known(r, key);
    if (v)
        check(r, key, json_to_i64(v, out));
}

static void get_small(struct reading *r, const char *key, uint64_t max, uint32_t *out)
{
    uint64_t value = 0;
    get_u64(r, key, &value);
    check(r, key, value <= max);
    *out = (uint32_t)value;
}

static void get_id(struct reading *r, const char *key, uint64_t *out)
{
    char hex[17] = "";
    char *end = hex;
    get_text(r, key, hex, sizeof hex);
    if (hex[0])
        *out = strtoull(hex, &end, 16);
    check(r, key, *end == 0 && hex[0] != '-' && hex[0] != '+');
}

static void get_verdict(struct reading *r, enum backup_verdict *out)
{
    char name[16] = "";
    get_text(r, "verdict", name, sizeof name);
    for (size_t i = 0; i < COUNT_OF(verdict_names); i++)
        if (strcmp(name, verdict_names[i]) == 0) {
            *out = (enum backup_verdict)i;
            return;
        }
    check(r, "verdict", false);
}

static void get_findings(struct reading *r, struct backup_verification *v)
{
    const struct json *list = known(r, "errors");
    check(r, "errors", !list || json_kind_of(list) == JSON_ARRAY);
    for (const struct json *at = NULL; (at = json_next(list, at)) && v->finding_count < COUNT_OF(v->findings);) {
        struct backup_finding *f = &v->findings[v->finding_count++];
        struct reading one = {.from = at};
        get_text(&one, "code", f->code, sizeof f->code);
        get_u64(&one, "page", &f->page);
        get_text(&one, "text", f->text, sizeof f->text);
        check(r, "errors", json_kind_of(at) == JSON_OBJECT && !one.wrong);
    }
}

static void get_verification(struct reading *r, struct backup_verification *v)
{
    get_verdict(r, &v->verdict);
    get_small(r, "level", 4, &v->level);
    get_text(r, "reason", v->reason, sizeof v->reason);
    get_u64(r, "bytes", &v->bytes);
    get_u64(r, "db_bytes", &v->db_bytes);
    get_text(r, "sha256", v->sha256, sizeof v->sha256);
    get_small(r, "hash", UINT32_MAX, &v->hash);
    get_i64(r, "revision", &v->revision);
    get_u64(r, "keys", &v->keys);
    get_u64(r, "pairs", &v->pairs);
    get_findings(r, v);
}

static void get_bool(struct reading *r, const char *key, bool *out)
{
    const struct json *v = known(r, key);
    if (v)
        check(r, key, json_to_bool(v, out));
}

static void get_rehearsal(struct reading *r, struct backup_rehearsal *out)
{
    char when[TIME_TEXT_MAX] = "";
    const char *why = NULL;
    struct reading of = {.from = known(r, "rehearsal")};
    if (!of.from)
        return;
    get_text(&of, "at", when, sizeof when);
    check(&of, "at", retention_read_time(bytes_of(when), &out->at_s, &why) && out->at_s > 0);
    get_i64(&of, "took_ms", &out->took_ms);
    get_verdict(&of, &out->verdict);
    get_small(&of, "level", 4, &out->level);
    get_text(&of, "reason", out->reason, sizeof out->reason);
    get_text(&of, "warning", out->warning, sizeof out->warning);
    check(r, "rehearsal", json_kind_of(of.from) == JSON_OBJECT && !of.wrong);
}

/* Older records have none of it. */
static void get_stored(struct reading *r, struct backup_record *out)
{
    get_u64(r, "stored_bytes", &out->stored_bytes);
    get_text(r, "stored_sha256", out->stored_sha256, sizeof out->stored_sha256);
    get_text(r, "etag", out->etag, sizeof out->etag);
    get_bool(r, "compressed", &out->compressed);
    get_bool(r, "encrypted", &out->encrypted);
    get_text(r, "source", out->source, sizeof out->source);
    get_text(r, "copied_from", out->copied_from, sizeof out->copied_from);
}

static bool get_time(const char *name, int64_t *at_s)
{
    struct backup_entry entry;
    bool good = backup_name_kind(name, &entry) == NAME_SNAPSHOT;
    *at_s = entry.at_s;
    return good;
}

static void get_record(struct reading *r, struct backup_record *out)
{
    const struct json *agreed = json_get(r->from, "hash_kv");
    bool hash_kv = false;
    get_text(r, "name", out->name, sizeof out->name);
    check(r, "name", get_time(out->name, &out->taken_at_s));
    get_text(r, "destination", out->destination, sizeof out->destination);
    get_text(r, "path", out->path, sizeof out->path);
    get_verification(r, &out->verification);
    get_id(r, "cluster_id", &out->cluster_id);
    get_id(r, "member_id", &out->member_id);
    get_i64(r, "took_ms", &out->took_ms);
    get_text(r, "endpoint", out->endpoint, sizeof out->endpoint);
    get_text(r, "etcd_version", out->etcd_version, sizeof out->etcd_version);
    check(r, "hash_kv", json_kind_of(agreed) <= JSON_NULL || json_to_bool(agreed, &hash_kv));
    out->hash_kv = hash_kv;
    get_text(r, "hash_kv_why", out->hash_kv_why, sizeof out->hash_kv_why);
    get_stored(r, out);
    get_rehearsal(r, &out->rehearsal);
}

err backup_record_parse(struct bytes json, struct backup_record *out)
{
    struct json *document = NULL;
    unsigned line = 0;
    *out = (struct backup_record){.took_ms = -1};
    err e = json_parse(json, &document, &line);
    if (e != OK)
        return e == E_BUDGET ? e : trail(E_CORRUPT, "line %u: no JSON", line);
    struct reading r = {.from = document};
    check(&r, "{", json_kind_of(document) == JSON_OBJECT);
    get_record(&r, out);
    json_free(document);
    return r.wrong ? trail(E_CORRUPT, "line 1: key \"%s\" is not what a record has there", r.wrong) : OK;
}

/* --- where it lies --- */

static bool write_json(struct text *t, const struct backup_record *r)
{
    struct json_writer w = json_write_to(t);
    backup_record_json(&w, r);
    bool done = json_done(&w);
    text_add(t, "\n");
    return done && !t->cut;
}

err backup_record_write_by(struct backup_destination *to, const struct backup_record *r, ms deadline)
{
    char name[BACKUP_NAME_MAX];
    struct buf *page = NULL;
    (void)snprintf(name, sizeof name, "%.*s.json", BACKUP_NAME_MAX - 6, r->name);
    TRY(buf_wait(BACKUP_RECORD_JSON_MAX, deadline, &page));
    struct text t = text_over((char *)page->at, BACKUP_RECORD_JSON_MAX);
    err e = OK;
    if (write_json(&t, r))
        e = place_write_small(to->place, name, (struct bytes){page->at, t.len}, deadline);
    else
        e = trail(E_RANGE, "the record of %s is larger than %u bytes", r->path, (unsigned)BACKUP_RECORD_JSON_MAX);
    buf_release(page);
    if (e == OK && place_is_write_only(to->place)) /* no listing will find it */
        cache_keep(to->owner, to, r);
    return e;
}

err backup_record_write(struct backup_destination *to, const struct backup_record *r)
{
    return backup_record_write_by(to, r, loop_now() + BACKUP_DISK_MS_MAX);
}
