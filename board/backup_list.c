/* backup_list: `holdfast backup list`. It only reads, and the files are the truth: no hub is asked. */
#include "board/backup_answer.h"

#include <stdio.h>

static enum exit_code answer(const struct command_line *line, const struct config *c, struct backup *b,
                             const struct backup_watcher *w, const struct answer *to)
{
    (void)w;
    if (!line->json)
        (void)printf("%-20s  %-7s  %s  %12s  %10s  %-10s  %-9s  %s\n", "TAKEN AT", "VERDICT", "L", "BYTES", "KEYS", "REASON",
                     "READ BACK", "PATH");
    return answer_list(b, c, line->destination, to);
}

static enum exit_code backup_list_work(struct work *w)
{
    return answer_command(w->line, &(struct answer_way){.line = print_listed, .answer = answer});
}

enum exit_code command_backup_list(const struct command_line *line)
{
    return command_run(&(struct work){.run = backup_list_work, .line = line, .task = TASK_BACKUP, .name = "backup list"});
}
