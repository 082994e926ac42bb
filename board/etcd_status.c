/* etcd_status: `holdfast etcd status`. It only reads: no hub is asked. */
#include "board/etcd_answer.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum exit_code show(const struct command_line *line, struct guardian *g)
{
    char words[256];
    struct text why = text_over(words, sizeof words);
    struct printer p = {.json = line->json, .line = print_etcd_member};
    struct answer to = printer_open(&p);
    if (!line->json)
        (void)printf("%-16s  %-16s  %-8s  %-8s  %12s  %12s  %12s  %4s  %12s  %6s  %-8s  %s\n", "MEMBER", "ID", "ROLE", "VERSION",
                     "SIZE", "IN USE", "QUOTA", "FRAG", "RAFT INDEX", "LAG", "ALARMS", "CERTIFICATE");
    enum exit_code code = answer_etcd_status(g, &why, &to);
    printer_close(&p);
    if (words[0])
        (void)fprintf(stderr, "holdfast: %s\n", words);
    return code;
}

static enum exit_code with_guardian(const struct command_line *line, const struct config *c)
{
    char name[GUARDIAN_NAME_MAX / 2];
    struct dns *dns = NULL;
    struct guardian *g = NULL;
    err e = dns_open(&dns);
    if (e == OK)
        e = guardian_open(&(struct guardian_options){.config = c, .dns = dns, .name = etcd_host_name(name, sizeof name)}, &g);
    enum exit_code code = e == OK ? show(line, g) : exit_code_of(e);
    guardian_close(g);
    dns_close(dns);
    return code;
}

static enum exit_code status_work(struct work *w)
{
    struct config *config = NULL;
    err e = command_config(w->line, &config);
    if (e != OK)
        return exit_code_of(e);
    log_setup(LOG_ERROR, (enum log_format)config->log_format, STDERR_FILENO);
    enum exit_code code = answer_check(w->line, config);
    if (code == EXIT_GOOD)
        code = with_guardian(w->line, config);
    config_free(config);
    return code;
}

enum exit_code command_etcd_status(const struct command_line *line)
{
    return command_run(&(struct work){.run = status_work, .line = line, .task = TASK_GUARDIAN, .name = "etcd status"});
}
