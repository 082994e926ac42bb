/* backup_list: `holdfast backup list`. It only reads, and the files are the truth: no hub is asked. */
#include "board/backup_answer.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <unistd.h>

static enum exit_code list(const struct command_line *line, const struct config *c, struct backup *b)
{
    struct printer p = {.json = line->json, .line = print_listed};
    struct answer to = printer_open(&p);
    enum exit_code code = answer_list(b, c, line->destination, &to);
    printer_close(&p);
    return code;
}

static enum exit_code backup_list_work(struct work *w)
{
    struct config *config = NULL;
    struct backup *backup = NULL;
    err e = command_config(w->line, &config);
    if (e != OK)
        return exit_code_of(e);
    log_setup(LOG_WARN, (enum log_format)config->log_format, STDERR_FILENO);
    enum exit_code code = answer_check(w->line, config);
    if (code == EXIT_GOOD) {
        e = backup_open(&(struct backup_options){.config = config}, &backup);
        code = e == OK ? list(w->line, config, backup) : exit_code_of(e);
    }
    backup_close(backup);
    config_free(config);
    return code;
}

enum exit_code command_backup_list(const struct command_line *line)
{
    return command_run(&(struct work){.run = backup_list_work, .line = line, .task = TASK_BACKUP, .name = "backup list"});
}
