/* backup_verify: `holdfast backup verify FILE|DESTINATION/NAME`. Asks no hub, takes no lock; a local file needs no configuration.
 */
#include "board/backup_answer.h"
#include "board/backup_target.h"

#include "board/rt/log.h"
#include "net/format/json_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum exit_code code_of(const struct backup_verification *v)
{
    return v->verdict == VERDICT_GOOD ? EXIT_GOOD : v->verdict == VERDICT_BAD ? EXIT_BAD : EXIT_CANNOT_TELL;
}

static void print_json(const char *path, const struct backup_result *r)
{
    static char page[BACKUP_RECORD_JSON_MAX];
    struct text t = text_over(page, sizeof page);
    struct json_writer w = json_write_to(&t);
    backup_result_json(&w, path, r);
    (void)printf("%s\n", page);
}

static void print_stored(const struct backup_result *r)
{
    (void)printf("\n  stored: %" PRIu64 " bytes%s%s", r->stored_bytes, r->compressed ? ", compressed" : "",
                 r->encrypted ? ", encrypted" : "");
    if (r->stored_sha256[0])
        (void)printf(", SHA-256 %s", r->stored_sha256);
}

/* Page 0: of the file as a whole, or of its first meta page, which the text names. */
static void print_finding(const struct backup_finding *f)
{
    char page[32] = "";
    if (f->page)
        (void)snprintf(page, sizeof page, ", page %" PRIu64, f->page);
    (void)printf("\n  %s%s: %s", f->code, page, f->text);
}

static void print_text(const char *path, const struct backup_result *r)
{
    const struct backup_verification *v = &r->verification;
    (void)printf("%s: %s, level %u", path, backup_verdict_name(v->verdict), v->level);
    if (v->reason[0])
        (void)printf(" (%s)", v->reason);
    if (v->bytes || !r->stored_bytes)
        (void)printf("\n  %" PRIu64 " bytes", v->bytes);
    if (v->sha256[0])
        (void)printf(", SHA-256 %s", v->sha256);
    if (r->compressed || r->encrypted)
        print_stored(r);
    if (v->level >= 4)
        (void)printf("\n  hash %" PRIu32 ", revision %" PRId64 ", %" PRIu64 " keys (%" PRIu64 " pairs)", v->hash, v->revision,
                     v->keys, v->pairs);
    for (unsigned i = 0; i < v->finding_count; i++)
        print_finding(&v->findings[i]);
    (void)printf("\n");
}

/* What would tell more. */
static void hint(const struct backup_verification *v)
{
    if (strcmp(v->reason, "no-identity") == 0 || strcmp(v->reason, "stored") == 0)
        (void)fprintf(stderr, "holdfast: it is encrypted; give its key with --identity FILE to look inside\n");
    if (strcmp(v->reason, "no-scratch") == 0)
        (void)fprintf(stderr, "holdfast: levels 3 and 4 need backup.verify.scratch, with room for the plain snapshot\n");
    if (strcmp(v->reason, "level") == 0)
        (void)fprintf(stderr, "holdfast: nothing is wrong as far as was asked; only level 4 tells good from bad\n");
}

static enum exit_code verify(const struct command_line *line, struct backup_target *t, struct backup_result *r)
{
    struct progress shown = progress_open(!line->json);
    t->reading.level = line->level ? line->level : 4;
    t->reading.watcher = &(struct backup_watcher){progress_show, &shown};
    err e = backup_read_back(&t->reading, r);
    char why[512];
    progress_close(&shown);
    if (e != OK) {
        (void)fprintf(stderr, "holdfast: %s\n", trail_text(e, why, sizeof why));
        return EXIT_CANNOT_TELL;
    }
    line->json ? print_json(t->shown, r) : print_text(t->shown, r);
    hint(&r->verification);
    return code_of(&r->verification);
}

static enum exit_code backup_verify(struct work *w)
{
    struct backup_target t = {.config = NULL};
    struct backup_result *r = malloc(sizeof *r);
    if (!r)
        return EXIT_CANNOT_TELL;
    log_setup(LOG_WARN, LOG_LOGFMT, STDERR_FILENO);
    enum exit_code code = target_open(w->line, &t);
    if (code == EXIT_GOOD)
        code = verify(w->line, &t, r);
    target_close(&t);
    free(r);
    return code;
}

enum exit_code command_backup_verify(const struct command_line *line)
{
    return command_run(&(struct work){.run = backup_verify, .line = line, .task = TASK_BACKUP, .name = "backup verify"});
}
