/* backup_rehearse: `holdfast backup rehearse [DESTINATION]`. It writes records: a running hub is asked. */
#include "board/backup_answer.h"

static enum exit_code answer(const struct command_line *line, const struct config *c, struct backup *b,
                             const struct backup_watcher *w, const struct answer *to)
{
    return answer_rehearse(b, c, line->destination, w, to);
}

static enum exit_code backup_rehearse_work(struct work *w)
{
    return answer_command(w->line, &(struct answer_way){.line = print_rehearsed, .answer = answer, .path = "/backup/rehearse"});
}

enum exit_code command_backup_rehearse(const struct command_line *line)
{
    struct command_line with = *line;
    if (line->file)
        with.destination = line->file;
    return command_run(
        &(struct work){.run = backup_rehearse_work, .line = &with, .task = TASK_BACKUP, .name = "backup rehearse"});
}
