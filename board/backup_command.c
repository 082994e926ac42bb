/* backup_command: what `backup now`, `list` and `prune` share. */
#include "board/backup_answer.h"
#include "board/control.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <unistd.h>

#define LOCK_MS_MAX SECONDS(10)

/* --- a hub runs: it is asked --- */

/* Every byte, RFC 3986 2.1: a name may hold anything. */
static void add_coded(struct text *out, const char *value)
{
    for (const char *c = value; *c; c++)
        text_addf(out, "%%%02X", (unsigned)(unsigned char)*c);
}

static void ask_target(const struct command_line *line, const char *path, struct text *out)
{
    unsigned level = line->level ? line->level : 4;
    text_addf(out, "%s?level=%u&dry_run=%d", path, level, line->dry_run);
    if (line->destination) {
        text_add(out, "&destination=");
        add_coded(out, line->destination);
    }
}

static enum exit_code print_reply(const struct command_line *line, const struct answer_way *way,
                                  const struct control_reply *reply)
{
    struct printer p = {.json = line->json, .line = way->line};
    if (!reply->json) {
        (void)fprintf(stderr, "holdfast: %s\n", reply->error);
        return reply->code;
    }
    err e = printer_whole(&p, (struct bytes){reply->json->at, reply->json->len});
    if (e == OK)
        return reply->code;
    (void)fprintf(stderr, "holdfast: the hub's answer cannot be read: %s\n", err_text(e));
    return EXIT_CANNOT_TELL;
}

static err ask(const struct command_line *line, const struct config *c, const struct answer_way *way, enum exit_code *code)
{
    char target[64 + 3 * CONFIG_NAME_MAX];
    struct text t = text_over(target, sizeof target);
    struct control_reply reply = {.json = NULL};
    struct progress shown = progress_open(!line->json);
    ask_target(line, way->path, &t);
    err e = control_ask(c->data, "POST", target, progress_show, &shown, FOREVER, &reply);
    progress_close(&shown);
    if (e == OK)
        *code = print_reply(line, way, &reply);
    buf_release(reply.json);
    return e;
}

/* --- none does: we work ourselves --- */

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

static enum exit_code work(const struct command_line *line, const struct config *c, const struct answer_way *way)
{
    struct dns *dns = NULL;
    struct backup *backup = NULL;
    err e = dns_open(&dns);
    if (e == OK)
        e = backup_open(&(struct backup_options){.config = c, .dns = dns}, &backup);
    enum exit_code code = e == OK ? print(line, c, backup, way) : exit_code_of(e);
    backup_close(backup);
    dns_close(dns);
    return code;
}

static enum exit_code tell(err e)
{
    char why[512];
    (void)fprintf(stderr, "holdfast: %s\n", trail_text(e, why, sizeof why));
    return exit_code_of(e);
}

static enum exit_code ask_or_work(const struct command_line *line, const struct config *c, const struct answer_way *way)
{
    struct control_lock lock = {.fd = -1};
    enum exit_code code = EXIT_BAD;
    if (!way->path)
        return work(line, c, way);
    err e = ask(line, c, way, &code);
    if (e == OK)
        return code;
    if (e != E_ABSENT)
        return tell(e);
    trail_clear();
    e = control_lock_take(&lock, c->data, loop_now() + LOCK_MS_MAX);
    code = e == OK ? work(line, c, way) : tell(e);
    control_lock_give(&lock);
    return code;
}

enum exit_code answer_command(const struct command_line *line, const struct answer_way *way)
{
    struct config *config = NULL;
    err e = command_config(line, &config);
    if (e != OK)
        return exit_code_of(e);
    log_setup(LOG_WARN, (enum log_format)config->log_format, STDERR_FILENO);
    enum exit_code code = answer_check(line, config);
    if (code == EXIT_GOOD)
        code = ask_or_work(line, config, way);
    config_free(config);
    return code;
}
