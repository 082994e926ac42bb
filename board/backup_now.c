/* backup_now: `holdfast backup now`. */
#include "board/backup_answer.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <unistd.h>

static enum exit_code take_all(const struct command_line *line, const struct config *c, struct backup *b)
{
    struct printer p = {.json = line->json, .line = print_taken};
    struct answer to = printer_open(&p);
    struct progress shown = progress_open(!line->json);
    struct backup_watcher watcher = {progress_show, &shown};
    enum exit_code code = answer_now(b, c, line->destination, line->level ? line->level : 4, &watcher, &to);
    progress_close(&shown);
    printer_close(&p);
    if (fiber_canceled())
        (void)fprintf(stderr, "holdfast: canceled; nothing of this snapshot is left behind\n");
    return code;
}

static enum exit_code backup_now(struct work *w)
{
    struct config *config = NULL;
    struct dns *dns = NULL;
    struct backup *backup = NULL;
    err e = command_config(w->line, &config);
    if (e != OK)
        return exit_code_of(e);
    log_setup(LOG_WARN, (enum log_format)config->log_format, STDERR_FILENO);
    enum exit_code code = answer_check(w->line, config);
    if (code != EXIT_GOOD)
        goto cleanup;
    e = dns_open(&dns);
    if (e == OK)
        e = backup_open(&(struct backup_options){.config = config, .dns = dns}, &backup);
    code = e == OK ? take_all(w->line, config, backup) : exit_code_of(e);
cleanup:
    backup_close(backup);
    dns_close(dns);
    config_free(config);
    return code;
}

enum exit_code command_backup_now(const struct command_line *line)
{
    return command_run(&(struct work){.run = backup_now, .line = line, .task = TASK_BACKUP, .name = "backup now"});
}
