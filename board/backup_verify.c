/* backup_verify: `holdfast backup verify FILE`. Needs no configuration, asks no hub, takes no lock. */
#include "board/backup_answer.h"

#include "board/rt/log.h"
#include "net/format/json_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum exit_code code_of(const struct backup_verification *v)
{
    return v->verdict == VERDICT_GOOD ? EXIT_GOOD : v->verdict == VERDICT_BAD ? EXIT_BAD : EXIT_CANNOT_TELL;
}

static void print_json(const char *path, const struct backup_verification *v)
{
    static char page[BACKUP_RECORD_JSON_MAX];
    struct text t = text_over(page, sizeof page);
    struct json_writer w = json_write_to(&t);
    backup_verification_json(&w, path, v);
    (void)printf("%s\n", page);
}

static void print_text(const char *path, const struct backup_verification *v)
{
    (void)printf("%s: %s, level %u", path, backup_verdict_name(v->verdict), v->level);
    if (v->reason[0])
        (void)printf(" (%s)", v->reason);
    (void)printf("\n  %" PRIu64 " bytes", v->bytes);
    if (v->sha256[0])
        (void)printf(", SHA-256 %s", v->sha256);
    if (v->level >= 4)
        (void)printf("\n  hash %" PRIu32 ", revision %" PRId64 ", %" PRIu64 " keys (%" PRIu64 " pairs)", v->hash, v->revision,
                     v->keys, v->pairs);
    for (unsigned i = 0; i < v->finding_count; i++)
        (void)printf("\n  %s, page %" PRIu64 ": %s", v->findings[i].code, v->findings[i].page, v->findings[i].text);
    (void)printf("\n");
}

static enum exit_code backup_verify(struct work *w)
{
    const struct command_line *line = w->line;
    struct progress shown = progress_open(!line->json);
    struct backup_watcher watcher = {progress_show, &shown};
    struct backup_verification *v = malloc(sizeof *v);
    if (!v)
        return EXIT_CANNOT_TELL;
    log_setup(LOG_WARN, LOG_LOGFMT, STDERR_FILENO);
    err e = backup_verify_file(line->file, line->level ? line->level : 4, &watcher, v);
    progress_close(&shown);
    enum exit_code code = e == OK ? code_of(v) : EXIT_CANNOT_TELL;
    if (e != OK)
        (void)fprintf(stderr, "holdfast: %s\n", err_text(e));
    else if (line->json)
        print_json(line->file, v);
    else
        print_text(line->file, v);
    free(v);
    return code;
}

enum exit_code command_backup_verify(const struct command_line *line)
{
    return command_run(&(struct work){.run = backup_verify, .line = line, .task = TASK_BACKUP, .name = "backup verify"});
}
