/* etcd_defrag: `holdfast etcd defrag`: asks the hub that runs, or works itself, step by step as the guardian does. */
#include "board/etcd_answer.h"

/* Is one of the backups that lie there good and young enough? Of a destination that cannot be listed nothing is known. */
struct newest {
    int64_t at_s;
};

static err see(void *arg, const struct backup_record *r)
{
    struct newest *n = arg;
    if (r->verification.verdict == VERDICT_GOOD && r->taken_at_s > n->at_s)
        n->at_s = r->taken_at_s;
    return OK;
}

struct ours {
    const struct config *config;
    struct backup *backup;
};

static bool is_fresh(void *arg)
{
    const struct ours *o = arg;
    struct newest newest = {0};
    for (unsigned i = 0; i < o->config->backup.destination_count; i++)
        err_ignore(backup_list(o->backup, i, see, &newest)); /* the others may tell */
    trail_clear();
    return newest.at_s > 0 && loop_wall_ms() - newest.at_s * 1000 <= o->config->backup.max_age_ms;
}

static enum exit_code defrag(const struct command_line *line, const struct config *c, struct backup *b,
                             const struct backup_watcher *w, const struct answer *to)
{
    char name[GUARDIAN_NAME_MAX / 2];
    struct ours ours = {c, b};
    struct dns *dns = NULL;
    struct guardian *g = NULL;
    struct etcd_wish wish = etcd_wish_of(line);
    err e = dns_open(&dns);
    if (e == OK)
        e = guardian_open(
            &(struct guardian_options){
                .config = c, .dns = dns, .name = etcd_host_name(name, sizeof name), .fresh = is_fresh, .arg = &ours},
            &g);
    enum exit_code code = e == OK ? answer_etcd_defrag(g, c, &wish, w, to) : exit_code_of(e);
    guardian_close(g);
    dns_close(dns);
    return code;
}

static enum exit_code defrag_work(struct work *w)
{
    return answer_command(w->line, &(struct answer_way){.line = print_etcd_step, .answer = defrag, .path = "/etcd/defrag"});
}

enum exit_code command_etcd_defrag(const struct command_line *line)
{
    return command_run(&(struct work){.run = defrag_work, .line = line, .task = TASK_BACKUP, .name = "etcd defrag"});
}
