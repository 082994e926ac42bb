/* place: the first destination of a configuration as a program, for real servers and SIGKILL to meet (test_s3_backup.py).
 *
 *   place CONFIG [list | stat NAME | put NAME FILE [NAME] | get NAME | remove NAME | tidy | records]
 * Answers on stdout, a line each: "NAME BYTES ETAG"; get: the bytes; records: "NAME VERDICT LEVEL REASON". put: the third name is
 * taken when the server cannot refuse to overwrite. Environment: PLACE_STORE a folder, PLACE_PROFILE edge16, PLACE_HUB_ID;
 * PLACE_ENDS: a put ends before the store hears of its record.
 * Exit 0 good; 1 with "CODE words" on stderr; 2 usage. On stderr at last "peak BYTES", of the task's heap. */
#include "agents/backup/place.h"
#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX MIB(64)

static struct {
    const char *verb, *name, *file, *otherwise;
    const char *config;
} want;
static struct backup *backup;
static uint8_t content[FILE_MAX]; /* what is sent lies in its caller's memory, not the task's heap */

static size_t content_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t len = f ? fread(content, 1, sizeof content, f) : 0;
    if (f)
        (void)fclose(f);
    return len;
}

static err show(void *arg, const struct place_object *o)
{
    (void)arg;
    (void)printf("%s %llu %s\n", o->name, (unsigned long long)o->bytes, o->etag);
    return OK;
}

static err show_record(void *arg, const struct backup_record *r)
{
    (void)arg;
    (void)printf("%s %s %u %s\n", r->name, backup_verdict_name(r->verification.verdict), r->verification.level,
                 r->verification.reason);
    return OK;
}

static err append_all(struct place_put *w, size_t len)
{
    for (size_t at = 0; at < len;) {
        struct buf *b = NULL;
        TRY(buf_wait(BACKUP_PIECE_BYTES, loop_now() + SECONDS(30), &b));
        b->len = size_min(len - at, BACKUP_PIECE_BYTES);
        memcpy(b->at, content + at, b->len);
        at += b->len;
        TRY(place_put_append(w, b, loop_now() + SECONDS(60)));
    }
    return OK;
}

static err put_once(struct place *p, const char *name, size_t len)
{
    struct place_put *w = NULL;
    struct place_object object;
    TRY(place_put_open(p, name, &w));
    err e = append_all(w, len);
    if (e == OK)
        e = place_put_commit(w, &object);
    if (e == E_UNSUPPORTED && want.otherwise && place_wants_hub_id(p) && place_put_rename(w, want.otherwise) == OK)
        e = place_put_commit(w, &object);
    if (e == OK)
        err_ignore(show(NULL, &object));
    if (e == OK && !getenv("PLACE_ENDS"))
        place_put_recorded(w);
    place_put_close(w);
    return e;
}

static err put(struct place *p)
{
    size_t len = content_read(want.file);
    err e = put_once(p, want.name, len);
    return e == E_UNSUPPORTED && want.otherwise ? put_once(p, want.otherwise, len) : e;
}

static err get(struct place *p)
{
    struct place_get *g = NULL;
    struct place_object object;
    struct buf *b = NULL;
    TRY(place_get_open(p, want.name, &g, &object));
    err e = OK;
    do {
        buf_release(b);
        e = place_get_next(g, SECONDS(10), &b);
        if (e == OK && b)
            (void)fwrite(b->at, 1, b->len, stdout);
    } while (e == OK && b);
    place_get_close(g);
    return e;
}

static err stat_one(struct place *p)
{
    struct place_object object;
    TRY(place_stat(p, want.name, &object));
    return show(NULL, &object);
}

static err perform(struct place *p)
{
    if (strcmp(want.verb, "list") == 0)
        return place_list(p, show, NULL);
    if (strcmp(want.verb, "records") == 0)
        return backup_list(backup, 0, show_record, NULL);
    if (strcmp(want.verb, "tidy") == 0)
        return backup_tidy(backup, 0);
    if (strcmp(want.verb, "stat") == 0 && want.name)
        return stat_one(p);
    if (strcmp(want.verb, "get") == 0 && want.name)
        return get(p);
    if (strcmp(want.verb, "remove") == 0 && want.name)
        return place_remove(p, want.name);
    return strcmp(want.verb, "put") == 0 && want.file ? put(p) : E_USAGE;
}

static err config_read(struct config **out)
{
    char words[2048];
    struct text errors = text_over(words, sizeof words);
    size_t len = content_read(want.config);
    err e = config_parse((struct bytes){content, len}, want.config, NULL, NULL, out, &errors);
    return e == OK ? OK : trail(e, "%s", words);
}

static err with_store(struct backup_options *o)
{
    const struct store_schema schema = {backup_schema};
    const char *folder = getenv("PLACE_STORE"), *id = getenv("PLACE_HUB_ID");
    struct config *c = NULL;
    TRY(config_read(&c));
    o->config = c;
    (void)snprintf(o->hub_id, sizeof o->hub_id, "%s", id ? id : "");
    if (folder)
        TRY(store_open(folder, &schema, loop_now() + SECONDS(20), &o->store));
    return dns_open(&o->dns);
}

static err ask(void *arg)
{
    struct backup_options o = {.config = NULL};
    char text[1024];
    (void)arg;
    err e = with_store(&o);
    if (e == OK)
        e = backup_open(&o, &backup);
    if (e == OK)
        e = perform(backup->destinations[0].place);
    if (e != OK)
        fprintf(stderr, "%s %s\n", err_name(e), trail_text(e, text, sizeof text));
    fprintf(stderr, "peak %zu\n", mem_use(TASK_BACKUP).peak_bytes);
    backup_close(backup);
    if (o.dns)
        dns_close(o.dns);
    store_close(o.store, loop_now() + SECONDS(5));
    if (o.config)
        config_free((struct config *)(uintptr_t)o.config);
    return e;
}

/* In the task that has the memory for it. */
static err main_run(void *arg)
{
    struct group g;
    (void)arg;
    group_open(&g, TASK_BACKUP);
    err e = group_spawn(&g, "place", ask, NULL);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    return e;
}

int main(int argc, char **argv)
{
    const char *profile = getenv("PLACE_PROFILE");
    if (argc < 3) {
        fprintf(stderr, "usage: place CONFIG VERB [ARGUMENT...]; see the source's first lines\n");
        return 2;
    }
    want.config = argv[1];
    want.verb = argv[2];
    want.name = argc > 3 ? argv[3] : NULL;
    want.file = argc > 4 ? argv[4] : NULL;
    want.otherwise = argc > 5 ? argv[5] : NULL;
    log_setup(LOG_INFO, LOG_LOGFMT, 2);
    if (mem_boot(profile && strcmp(profile, "edge16") == 0 ? &profile_edge16 : &profile_hub32, MEM_LAZY) != OK ||
        buf_boot() != OK)
        return 1;
    err e = loop_run(main_run, NULL);
    return e == OK ? 0 : e == E_USAGE ? 2 : 1;
}
