/* backup_command: what `backup now`, `list` and `prune` share. */
#include "board/backup_answer.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <unistd.h>

static enum exit_code print(const struct command_line *line, const struct config *c, struct backup *b,
                            const struct answer_way *way)
{
    struct printer p = {.json = line->json, .line = way->line};
    struct answer to = printer_open(&p);
    struct progress shown = progress_open(!line->json);
    enum exit_code code = way->answer(line, c, b, &(struct backup_watcher){progress_show, &shown}, &to);
    progress_close(&shown);
    printer_close(&p);
    if (fiber_canceled())
        (void)fprintf(stderr, "holdfast: canceled; nothing half-made is left behind\n");
    return code;
}

enum exit_code answer_command(const struct command_line *line, const struct answer_way *way)
{
    struct config *config = NULL;
    struct dns *dns = NULL;
    struct backup *backup = NULL;
    err e = command_config(line, &config);
    if (e != OK)
        return exit_code_of(e);
    log_setup(LOG_WARN, (enum log_format)config->log_format, STDERR_FILENO);
    enum exit_code code = answer_check(line, config);
    if (code != EXIT_GOOD)
        goto cleanup;
    e = dns_open(&dns);
    if (e == OK)
        e = backup_open(&(struct backup_options){.config = config, .dns = dns}, &backup);
    code = e == OK ? print(line, config, backup, way) : exit_code_of(e);
cleanup:
    backup_close(backup);
    dns_close(dns);
    config_free(config);
    return code;
}
