/* backup_prune: `holdfast backup prune`. */
#include "board/backup_answer.h"

static enum exit_code answer(const struct command_line *line, const struct config *c, struct backup *b,
                             const struct backup_watcher *w, const struct answer *to)
{
    (void)w;
    return answer_prune(b, c, line->destination, line->dry_run, to);
}

static enum exit_code backup_prune_work(struct work *w)
{
    return answer_command(w->line, &(struct answer_way){.line = print_pruned, .answer = answer, .path = "/backup/prune"});
}

enum exit_code command_backup_prune(const struct command_line *line)
{
    return command_run(&(struct work){.run = backup_prune_work, .line = line, .task = TASK_BACKUP, .name = "backup prune"});
}
