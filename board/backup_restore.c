/* backup_restore: `holdfast backup restore NAME|DESTINATION/NAME|FILE --to FILE`. Reads only: asks no hub, takes no lock. */
#include "board/backup_answer.h"
#include "board/backup_target.h"
#include "board/restore_next.h"

#include "board/rt/log.h"
#include "net/format/json_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_restored(const struct backup_result *r)
{
    return r->verification.verdict == VERDICT_GOOD && r->verification.level == 4;
}

static void print_json(const struct command_line *line, const struct backup_target *t, const struct backup_result *r,
                       const char *error)
{
    static char page[3 * BACKUP_RECORD_JSON_MAX];
    struct text text = text_over(page, sizeof page);
    struct json_writer w = json_write_to(&text);
    json_object(&w);
    json_put_text(&w, "to", line->to);
    json_put_text(&w, "from", t->shown);
    json_put_bool(&w, "restored", !error && is_restored(r));
    json_put_text(&w, "error", error);
    json_key(&w, "backup");
    backup_result_json(&w, t->shown, r);
    json_key(&w, "record");
    t->record ? backup_record_json(&w, t->record) : json_null(&w);
    json_key(&w, "next");
    if (!error && is_restored(r))
        restore_next_json(&w, line->to, t->record);
    else
        json_null(&w);
    json_object_end(&w);
    (void)printf("%s\n", page);
}

static void print_restored(const struct command_line *line, const struct backup_target *t, const struct backup_result *r)
{
    const struct backup_verification *v = &r->verification;
    (void)printf("%s: good, %" PRIu64 " bytes, %" PRIu64 " keys at revision %" PRId64 ", SHA-256 %s\n  from %s\n", line->to,
                 v->bytes, v->keys, v->revision, v->sha256, t->shown);
    restore_next_text(line->to, t->record);
}

/* What it says when there is no file. */
static void tell_not_restored(const struct command_line *line, const struct backup_target *t, const struct backup_result *r)
{
    const struct backup_verification *v = &r->verification;
    (void)fprintf(stderr, "holdfast: %s: %s (%s)%s%s; %s was not written\n", t->shown, backup_verdict_name(v->verdict), v->reason,
                  v->finding_count ? ": " : "", v->finding_count ? v->findings[0].text : "", line->to);
    if (strcmp(v->reason, "no-identity") == 0 || strcmp(v->reason, "stored") == 0)
        (void)fprintf(stderr, "holdfast: it is encrypted: give its key with --identity FILE\n");
    if (v->verdict == VERDICT_BAD)
        (void)fprintf(stderr, "holdfast: `holdfast backup list` shows the others\n");
}

static enum exit_code restore(const struct command_line *line, struct backup_target *t, struct backup_result *r)
{
    struct progress shown = progress_open(!line->json);
    char why[512];
    t->reading.level = 4;
    t->reading.to = line->to;
    t->reading.watcher = &(struct backup_watcher){progress_show, &shown};
    err e = backup_read_back(&t->reading, r);
    progress_close(&shown);
    if (e != OK)
        (void)fprintf(stderr, "holdfast: %s\n", trail_text(e, why, sizeof why));
    else if (!is_restored(r))
        tell_not_restored(line, t, r);
    if (line->json)
        print_json(line, t, r, e != OK ? why : NULL);
    else if (e == OK && is_restored(r))
        print_restored(line, t, r);
    return e == OK && is_restored(r) ? EXIT_GOOD : EXIT_BAD;
}

static enum exit_code backup_restore(struct work *w)
{
    struct backup_target t = {.config = NULL};
    struct backup_result *r = malloc(sizeof *r);
    if (!r)
        return EXIT_BAD;
    log_setup(LOG_WARN, LOG_LOGFMT, STDERR_FILENO);
    enum exit_code code = target_open(w->line, &t);
    if (code == EXIT_GOOD)
        code = restore(w->line, &t, r);
    else if (code == EXIT_CANNOT_TELL)
        code = EXIT_BAD;
    target_close(&t);
    free(r);
    return code;
}

enum exit_code command_backup_restore(const struct command_line *line)
{
    if (!line->to) {
        (void)fprintf(stderr, "holdfast: `holdfast backup restore` needs --to FILE: where the plain snapshot is to be\n");
        return EXIT_WRONG_USE;
    }
    return command_run(&(struct work){.run = backup_restore, .line = line, .task = TASK_BACKUP, .name = "backup restore"});
}
