/* backup_now: `holdfast backup now`. */
#include "board/backup_answer.h"

#include "board/rt/log.h"

/* What killed runs left goes first; that it cannot is no reason not to take one. */
static void tidy(const struct command_line *line, const struct config *c, struct backup *b)
{
    for (unsigned i = 0; i < c->backup.destination_count; i++)
        if (answer_wants(c, i, line->destination)) {
            err e = backup_tidy(b, i);
            if (e != OK && e != E_CANCELED)
                log_warn("cannot tidy the destination", F("destination", c->backup.destinations[i].name), F_ERR(e));
            trail_clear();
        }
}

static enum exit_code answer(const struct command_line *line, const struct config *c, struct backup *b,
                             const struct backup_watcher *w, const struct answer *to)
{
    tidy(line, c, b);
    return answer_now(b, c, line->destination, line->level ? line->level : 4, w, to);
}

static enum exit_code backup_now_work(struct work *w)
{
    return answer_command(w->line, &(struct answer_way){.line = print_taken, .answer = answer, .path = "/backup/now"});
}

enum exit_code command_backup_now(const struct command_line *line)
{
    return command_run(&(struct work){.run = backup_now_work, .line = line, .task = TASK_BACKUP, .name = "backup now"});
}
