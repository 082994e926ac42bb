/* backup_command: what `backup now`, `list` and `prune` share. */
#include "board/backup_answer.h"
#include "board/control.h"
#include "board/hub_id.h"

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

static void ask_target(const struct command_line *line, const struct config *c, const char *path, struct text *out)
{
    unsigned level = line->level ? line->level : 4;
    char digest[ANSWER_DIGEST_MAX];
    text_addf(out, "%s?level=%u&dry_run=%d&config=%s", path, level, line->dry_run, answer_digest(c, digest));
    if (line->all || line->nospace || line->without_backup)
        text_addf(out, "&all=%d&nospace=%d&without_backup=%d", line->all, line->nospace, line->without_backup);
    if (line->destination) {
        text_add(out, "&destination=");
        add_coded(out, line->destination);
    }
}

/* Nothing of what was asked is known; on stdout, where -o json is, there is an array nevertheless. */
static enum exit_code print_failure(const struct command_line *line, const char *reason, const char *words, enum exit_code code)
{
    struct printer p = {.json = line->json, .line = print_failed};
    struct answer to = printer_open(&p);
    err e = answer_failure(&to, line->destination, reason, words);
    printer_close(&p);
    return e == OK ? code : EXIT_CANNOT_TELL;
}

static enum exit_code print_reply(const struct command_line *line, const struct answer_way *way,
                                  const struct control_reply *reply)
{
    struct printer p = {.json = line->json, .line = way->line};
    if (!reply->json)
        return print_failure(line, reply->code == EXIT_BUSY ? "busy" : "hub", reply->error, reply->code);
    err e = printer_whole(&p, (struct bytes){reply->json->at, reply->json->len});
    if (e == OK)
        return reply->code;
    return print_failure(line, "hub", "the hub's answer cannot be read", EXIT_CANNOT_TELL);
}

/* The hub was asked, and nobody knows what became of it; or it could not be asked. */
static enum exit_code print_unanswered(const struct command_line *line, err e, bool asked)
{
    char why[512];
    (void)trail_text(e, why, sizeof why);
    trail_clear();
    if (e == E_CANCELED)
        (void)snprintf(why, sizeof why, "canceled; what the running hub has begun goes on");
    return print_failure(line, e == E_BUSY ? "busy" : "hub", why, asked ? EXIT_CANNOT_TELL : exit_code_of(e));
}

/* E_ABSENT: there is no hub. */
static err ask(const struct command_line *line, const struct config *c, const struct answer_way *way, enum exit_code *code)
{
    char target[200 + 3 * CONFIG_NAME_MAX];
    struct text t = text_over(target, sizeof target);
    struct control_reply reply = {.json = NULL};
    struct progress shown = progress_open(!line->json);
    ask_target(line, c, way->path, &t);
    err e = control_ask(c->data, "POST", target, progress_show, &shown, FOREVER, &reply);
    progress_close(&shown);
    if (e == OK)
        *code = print_reply(line, way, &reply);
    else if (e != E_ABSENT)
        *code = print_unanswered(line, e, reply.asked || e == E_TIMEOUT);
    buf_release(reply.json);
    return e == E_ABSENT ? e : OK;
}

/* --- none does: we work ourselves --- */

static enum exit_code print(const struct command_line *line, const struct config *c, struct backup *b,
                            const struct answer_way *way)
{
    struct progress shown = progress_open(!line->json);
    struct printer p = {.json = line->json, .line = way->line, .progress = &shown};
    struct answer to = printer_open(&p);
    enum exit_code code = way->answer(line, c, b, &(struct backup_watcher){progress_show, &shown}, &to);
    progress_close(&shown);
    printer_close(&p);
    if (fiber_canceled())
        (void)fprintf(stderr, "holdfast: canceled; nothing half-made is left behind\n");
    return code;
}

static enum exit_code tell(err e)
{
    char why[512];
    (void)fprintf(stderr, "holdfast: %s\n", trail_text(e, why, sizeof why));
    return exit_code_of(e);
}

static enum exit_code work(const struct command_line *line, const struct config *c, const struct answer_way *way)
{
    struct dns *dns = NULL;
    struct backup *backup = NULL;
    struct backup_options o = {.config = c};
    err e = dns_open(&dns);
    o.dns = dns;
    if (e == OK && way->path) /* it may write, and holds the lock */
        e = hub_id_read(c, loop_now() + LOCK_MS_MAX, o.hub_id);
    if (e == OK)
        e = backup_open(&o, &backup);
    if (e != OK)
        (void)tell(e);
    enum exit_code code = e == OK ? print(line, c, backup, way) : exit_code_of(e);
    backup_close(backup);
    dns_close(dns);
    return code;
}

static enum exit_code ask_or_work(const struct command_line *line, const struct config *c, const struct answer_way *way)
{
    struct control_lock lock = {.fd = -1};
    enum exit_code code = EXIT_BAD;
    if (!way->path)
        return work(line, c, way);
    if (ask(line, c, way, &code) == OK)
        return code;
    trail_clear();
    err e = control_lock_take(&lock, c->data, loop_now() + LOCK_MS_MAX);
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
