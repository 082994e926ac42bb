/* backup_retention: `holdfast backup retention --explain`. It removes nothing. With --stdin it needs no configuration, network,
 * clock or loop: it reads, decides and prints. Else it asks the destinations of the configuration, as they are. */
#include "board/backup_answer.h"
#include "board/retention_print.h"

#include "board/rt/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES   KIB(16)
#define KEEP_DEFAULT "daily=7,weekly=4,monthly=12" /* as without `retention` in the configuration */

struct request {
    unsigned keep[RETENTION_RULE_COUNT];
    bool keep_given;
    int64_t now_s;
};

static enum exit_code wrong_use(const char *what, const char *words)
{
    (void)fprintf(stderr, "holdfast: %s%s; see `holdfast backup retention --help`\n", what, words);
    return EXIT_WRONG_USE;
}

static enum exit_code request_read(const struct command_line *line, struct request *r)
{
    char storage[512];
    struct text words = text_over(storage, sizeof storage);
    const char *why = NULL;
    *r = (struct request){.keep_given = line->keep != NULL, .now_s = RETENTION_NO_NOW};
    if (!line->explain)
        return wrong_use("this command removes nothing and only takes --explain; ", "`holdfast backup prune` removes");
    if (line->from_stdin && line->destination)
        return wrong_use("--stdin and --destination", " do not go together: one list or the other");
    if (retention_parse(bytes_of(line->keep ? line->keep : KEEP_DEFAULT), r->keep, &words) != OK)
        return wrong_use("--keep: ", storage);
    if (line->now && !retention_read_time(bytes_of(line->now), &r->now_s, &why))
        return wrong_use("--now takes epoch seconds or RFC 3339, like 2026-11-21T09:51:32Z, not ", line->now);
    return EXIT_GOOD;
}

/* --- standard input --- */

static enum exit_code input_failed(err e)
{
    char why[256];
    if (e == E_RANGE) {
        (void)fprintf(stderr, "holdfast: standard input has more than %d lines; give it in parts\n", RETENTION_LINES_MAX);
        return EXIT_WRONG_USE;
    }
    (void)fprintf(stderr, "holdfast: standard input: %s; a larger --profile has more memory\n", trail_text(e, why, sizeof why));
    return EXIT_BAD;
}

static enum exit_code input_read(struct retention_input *in)
{
    uint8_t piece[READ_BYTES]; /* the main thread's stack is no fiber's */
    size_t got;
    err e = OK;
    while (e == OK && (got = fread(piece, 1, sizeof piece, stdin)) > 0)
        e = retention_input_add(in, (struct bytes){piece, got});
    if (e == OK && ferror(stdin)) {
        (void)fprintf(stderr, "holdfast: standard input cannot be read: %s\n", strerror(errno));
        return EXIT_BAD;
    }
    if (e == OK)
        e = retention_input_end(in);
    return e == OK ? EXIT_GOOD : input_failed(e);
}

static void input_print(struct retention_input *in, const struct request *r, bool json)
{
    struct retention_print p;
    retention_decide(in->items, in->count, r->keep, r->now_s);
    retention_print_open(&p, json);
    retention_print_list(&p,
                         &(struct retention_list){
                             .items = in->items, .count = in->count, .ignored = in->ignored, .ignored_count = in->ignored_count});
    retention_print_close(&p);
}

static enum exit_code from_stdin(const struct command_line *line, const struct request *r)
{
    struct retention_input in = {0};
    err e = mem_boot(line->profile, MEM_LAZY);
    if (e != OK)
        return input_failed(e);
    mem_set_task(TASK_BACKUP);
    enum exit_code code = input_read(&in);
    if (code == EXIT_GOOD)
        input_print(&in, r, line->json);
    retention_input_close(&in);
    return code;
}

/* --- destinations --- */

struct listed {
    struct retention_item items[BACKUP_RECORDS_MAX];
    char names[BACKUP_RECORDS_MAX][BACKUP_NAME_MAX];
    size_t count;
};

static err listed_add(void *arg, const struct backup_record *record)
{
    static const uint8_t states[] = {
        [VERDICT_UNKNOWN] = BACKUP_UNVERIFIED, [VERDICT_GOOD] = BACKUP_VERIFIED, [VERDICT_BAD] = BACKUP_BAD};
    struct listed *l = arg;
    if (l->count == BACKUP_RECORDS_MAX)
        return trail(E_RANGE, "more than %d backups", BACKUP_RECORDS_MAX);
    l->items[l->count] = (struct retention_item){
        .at_s = record->taken_at_s, .id = (uint32_t)l->count, .state = states[record->verification.verdict]};
    (void)snprintf(l->names[l->count++], BACKUP_NAME_MAX, "%s", record->name);
    return OK;
}

struct asking {
    const struct request *request;
    const struct config *config;
    struct backup *backup;
    struct listed *listed;
    struct retention_print print;
    bool several;
};

static void listed_print(struct asking *a, const struct config_destination *d)
{
    unsigned keep[RETENTION_RULE_COUNT];
    for (unsigned r = 0; r < RETENTION_RULE_COUNT; r++)
        keep[r] = a->request->keep_given ? a->request->keep[r] : (unsigned)d->retention[r];
    retention_decide(a->listed->items, a->listed->count, keep, a->request->now_s);
    retention_print_list(&a->print, &(struct retention_list){.items = a->listed->items,
                                                             .count = a->listed->count,
                                                             .names = (const char(*)[BACKUP_NAME_MAX])a->listed->names,
                                                             .destination = a->several ? d->name : NULL});
}

static err ask_one(struct asking *a, unsigned destination)
{
    const struct config_destination *d = &a->config->backup.destinations[destination];
    char why[512];
    a->listed->count = 0;
    err e = backup_list(a->backup, destination, listed_add, a->listed);
    if (e == OK) {
        listed_print(a, d);
        return OK;
    }
    if (e != E_CANCELED)
        retention_print_failure(&a->print, d->name, trail_text(e, why, sizeof why));
    trail_clear();
    return e;
}

static enum exit_code ask_all(struct asking *a, const char *destination)
{
    unsigned good = 0, asked = 0;
    for (unsigned i = 0; i < a->config->backup.destination_count; i++) {
        if (destination && strcmp(destination, a->config->backup.destinations[i].name) != 0)
            continue;
        asked++;
        err e = ask_one(a, i);
        if (e == E_CANCELED)
            return EXIT_BAD;
        good += e == OK;
    }
    return good == asked ? EXIT_GOOD : good ? EXIT_PARTLY : EXIT_BAD;
}

static enum exit_code ask_and_print(struct asking *a, const struct command_line *line)
{
    retention_print_open(&a->print, line->json);
    if (a->several)
        retention_print_all(&a->print);
    enum exit_code code = ask_all(a, line->destination);
    if (a->several)
        retention_print_all_end(&a->print);
    retention_print_close(&a->print);
    return code;
}

static enum exit_code from_destinations(struct work *w)
{
    struct config *config = NULL;
    struct request request;
    struct asking a = {.request = &request, .several = !w->line->destination};
    enum exit_code code = request_read(w->line, &request);
    if (code == EXIT_GOOD)
        code = exit_code_of(command_config(w->line, &config));
    if (code == EXIT_GOOD)
        code = answer_check(w->line, config);
    if (code != EXIT_GOOD)
        goto cleanup;
    log_setup(LOG_WARN, (enum log_format)config->log_format, STDERR_FILENO);
    if (!w->line->now)
        request.now_s = loop_wall_ms() / 1000;
    err e = backup_open(&(struct backup_options){.config = config}, &a.backup);
    if (e == OK && !(a.listed = malloc(sizeof *a.listed)))
        e = E_BUDGET;
    code = exit_code_of(e);
    a.config = config;
    if (e == OK)
        code = ask_and_print(&a, w->line);
cleanup:
    free(a.listed);
    backup_close(a.backup);
    config_free(config);
    return code;
}

enum exit_code command_backup_retention(const struct command_line *line)
{
    struct request request;
    enum exit_code code = request_read(line, &request);
    if (code != EXIT_GOOD)
        return code;
    if (line->from_stdin)
        return from_stdin(line, &request);
    return command_run(&(struct work){.run = from_destinations, .line = line, .task = TASK_BACKUP, .name = "backup retention"});
}
