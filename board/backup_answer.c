/* backup_answer: from the agent's records to items. */
#include "board/backup_answer.h"

#include "board/rt/buf.h"
#include "net/format/hex.h"
#include "net/format/json_write.h"
#include "net/format/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEM_BYTES  BACKUP_RECORD_JSON_MAX
#define ITEM_MS_MAX SECONDS(10) /* for a buffer */

const char *answer_digest(const struct config *c, char out[ANSWER_DIGEST_MAX])
{
    uint8_t digest[SHA256_BYTES];
    struct sha256 s;
    sha256_start(&s); /* configurations were zeroed before they were filled, and hold no pointers */
    sha256_update(&s, (struct bytes){(const uint8_t *)&c->backup, sizeof c->backup});
    sha256_update(&s, (struct bytes){(const uint8_t *)&c->notify, sizeof c->notify});
    sha256_finish(&s, digest);
    return hex_encode((struct bytes){digest, (ANSWER_DIGEST_MAX - 1) / 2}, out, ANSWER_DIGEST_MAX);
}

bool answer_wants(const struct config *c, unsigned i, const char *destination)
{
    return !destination || strcmp(c->backup.destinations[i].name, destination) == 0;
}

bool answer_knows(const struct config *c, const char *destination)
{
    bool found = !destination;
    for (unsigned i = 0; i < c->backup.destination_count; i++)
        found = found || answer_wants(c, i, destination);
    return found;
}

enum exit_code answer_check(const struct command_line *line, const struct config *c)
{
    if (!config_backs_up(c)) {
        (void)fprintf(stderr, "holdfast: %s: backup.etcd.endpoints is not set: nothing to back up\n", line->config_path);
        return EXIT_WRONG_USE;
    }
    if (answer_knows(c, line->destination))
        return EXIT_GOOD;
    (void)fprintf(stderr, "holdfast: %s: there is no destination \"%s\"; there is", line->config_path, line->destination);
    for (unsigned i = 0; i < c->backup.destination_count; i++)
        (void)fprintf(stderr, "%s %s", i ? "," : "", c->backup.destinations[i].name);
    (void)fprintf(stderr, "\n");
    return EXIT_WRONG_USE;
}

err answer_item(const struct answer *to, void (*put)(struct json_writer *w, const void *what), const void *what)
{
    struct buf *page = NULL;
    TRY(buf_wait(ITEM_BYTES, loop_now() + ITEM_MS_MAX, &page));
    struct text t = text_over((char *)page->at, ITEM_BYTES);
    struct json_writer w = json_write_to(&t);
    put(&w, what);
    err e =
        json_done(&w) ? to->item(to->arg, (struct bytes){page->at, t.len}) : trail(E_RANGE, "an item of the answer is too large");
    buf_release(page);
    return e;
}

static void put_record(struct json_writer *w, const void *what)
{
    backup_record_json(w, what);
}

static err record_item(void *arg, const struct backup_record *r)
{
    return answer_item(arg, put_record, r);
}

struct failure {
    const char *destination, *verdict, *reason, *words;
};

static void put_failure(struct json_writer *w, const void *what)
{
    const struct failure *f = what;
    json_object(w);
    json_put_text(w, "destination", f->destination);
    json_put_text(w, "verdict", f->verdict);
    json_put_text(w, "reason", f->reason);
    json_put_text(w, "error", f->words);
    json_object_end(w);
}

err answer_failure(const struct answer *to, const char *destination, const char *reason, const char *words)
{
    return answer_item(to, put_failure, &(struct failure){destination, "unknown", reason, words});
}

static err failure_item(const struct answer *to, const char *destination, err e)
{
    char words[512], reason[BACKUP_REASON_MAX];
    backup_reason_of(e, reason);
    (void)trail_text(e, words, sizeof words);
    trail_clear();
    return answer_failure(to, destination, reason, words);
}

/* How the destinations did. */
struct tally {
    unsigned good, busy, all;
};

static void tally_add(struct tally *t, err e)
{
    t->all++;
    t->good += e == OK;
    t->busy += e == E_BUSY;
}

static enum exit_code code_of(const struct tally *t)
{
    if (t->good == t->all)
        return EXIT_GOOD;
    return t->good ? EXIT_PARTLY : t->busy == t->all ? EXIT_BUSY : EXIT_BAD;
}

/* --- now --- */

/* A damaged snapshot that was kept has its record, which says what is wrong with it. */
static err now_one(struct backup *b, unsigned i, unsigned level, ms since, const struct backup_watcher *w,
                   const struct answer *to, struct tally *tally)
{
    struct backup_record *r = calloc(1, sizeof *r);
    if (!r)
        return E_BUDGET;
    err e = backup_take_since(b, i, level, since, w, r);
    err told = OK;
    tally_add(tally, e);
    if (e != E_CANCELED)
        told = r->path[0] ? record_item((void *)(uintptr_t)to, r) : failure_item(to, r->destination, e);
    trail_clear();
    free(r);
    return e == E_CANCELED ? e : told;
}

/* One after another, plain folders first: the others copy what these were given. One failing does not stop the others. */
enum exit_code answer_now(struct backup *b, const struct config *c, const char *destination, unsigned level,
                          const struct backup_watcher *w, const struct answer *to)
{
    struct tally tally = {0};
    ms began = loop_now();
    unsigned order[CONFIG_DESTINATIONS_MAX], count = backup_order(c, order);
    for (unsigned i = 0; i < count; i++) {
        if (!answer_wants(c, order[i], destination))
            continue;
        if (now_one(b, order[i], level, began, w, to, &tally) != OK)
            return tally.good ? EXIT_PARTLY : EXIT_BAD;
    }
    return code_of(&tally);
}

/* --- list --- */

enum exit_code answer_list(struct backup *b, const struct config *c, const char *destination, const struct answer *to)
{
    struct tally tally = {0};
    for (unsigned i = 0; i < c->backup.destination_count; i++) {
        if (!answer_wants(c, i, destination))
            continue;
        err e = backup_list(b, i, record_item, (void *)(uintptr_t)to);
        tally_add(&tally, e);
        if (e == E_CANCELED || (e != OK && failure_item(to, c->backup.destinations[i].name, e) != OK))
            break;
    }
    return code_of(&tally);
}

/* --- prune --- */

struct pruned {
    const struct answer *to;
    bool dry_run;
    const struct backup_record *r;
    const char *why;
    err result;
};

static void put_pruned(struct json_writer *w, const void *what)
{
    const struct pruned *p = what;
    json_object(w);
    json_put_text(w, "name", p->r->name);
    json_put_text(w, "destination", p->r->destination);
    json_put_text(w, "why", p->why);
    json_put_bool(w, "removed", !p->dry_run && p->result == OK);
    if (p->result != OK) {
        char words[BACKUP_NAME_MAX + 96];
        (void)snprintf(words, sizeof words, "%s cannot be removed: %s", p->r->name, err_text(p->result));
        json_put_text(w, "error", words);
    }
    json_object_end(w);
}

static err pruned_item(void *arg, const struct backup_record *r, const char *why, err result)
{
    struct pruned p = *(const struct pruned *)arg;
    p.r = r;
    p.why = why;
    p.result = result;
    return answer_item(p.to, put_pruned, &p);
}

enum exit_code answer_prune(struct backup *b, const struct config *c, const char *destination, bool dry_run,
                            const struct answer *to)
{
    struct tally tally = {0};
    struct pruned p = {.to = to, .dry_run = dry_run};
    for (unsigned i = 0; i < c->backup.destination_count; i++) {
        if (!answer_wants(c, i, destination))
            continue;
        err e = backup_prune(b, i, dry_run, pruned_item, &p);
        tally_add(&tally, e);
        if (e == E_CANCELED || (e != OK && failure_item(to, c->backup.destinations[i].name, e) != OK))
            break;
    }
    return code_of(&tally);
}

/* --- rehearse --- */

/* A record that was judged says what it is; else the error does. */
static err rehearse_one(struct backup *b, const char *name, unsigned i, const struct backup_watcher *w, const struct answer *to,
                        struct tally *tally, bool *bad)
{
    struct backup_record *r = calloc(1, sizeof *r);
    if (!r)
        return E_BUDGET;
    err e = backup_rehearse(b, i, w, r);
    err told = OK;
    bool judged = r->rehearsal.at_s != 0 && (e == OK || r->rehearsal.verdict != VERDICT_GOOD);
    tally_add(tally, e);
    *bad = *bad || e == E_CORRUPT;
    if (e != E_CANCELED)
        told = judged ? record_item((void *)(uintptr_t)to, r) : failure_item(to, name, e);
    trail_clear();
    free(r);
    return e == E_CANCELED ? e : told;
}

enum exit_code answer_rehearse(struct backup *b, const struct config *c, const char *destination, const struct backup_watcher *w,
                               const struct answer *to)
{
    struct tally tally = {0};
    bool bad = false;
    for (unsigned i = 0; i < c->backup.destination_count; i++) {
        if (!answer_wants(c, i, destination))
            continue;
        if (rehearse_one(b, c->backup.destinations[i].name, i, w, to, &tally, &bad) != OK)
            return tally.good ? EXIT_PARTLY : EXIT_BAD;
    }
    enum exit_code code = code_of(&tally);
    return code == EXIT_BAD && !bad ? EXIT_CANNOT_TELL : code;
}
