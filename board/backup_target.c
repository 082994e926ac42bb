/* backup_target: from a word to a backup. */
#include "board/backup_target.h"

#include "board/rt/buf.h"
#include "board/rt/file.h"
#include "board/rt/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS_MAX SECONDS(10)
#define KEYS_MS_MAX MINUTES(1) /* it may be a pipe, and somebody types */

static enum exit_code tell(err e, enum exit_code code)
{
    char why[512];
    if (e != E_CANCELED)
        (void)fprintf(stderr, "holdfast: %s\n", trail_text(e, why, sizeof why));
    trail_clear();
    return code;
}

/* A path that cannot be looked at is one nevertheless: who reads it says why. */
static bool is_path(const char *word)
{
    struct lane lane;
    struct os_stat stat;
    if (word[0] == '/' || word[0] == '.')
        return true;
    lane_open(&lane, "look", mem_task(), 1);
    err e = file_stat(&lane, word, loop_now() + LOOK_MS_MAX, &stat);
    lane_close(&lane);
    trail_clear();
    return e == OK;
}

/* For a local file: what there is is used, and a default that is not there or not good is not missed. */
static enum exit_code config_maybe(const struct command_line *line, struct backup_target *t)
{
    struct buf *b = NULL;
    if (strcmp(line->config_path, CONFIG_PATH_DEFAULT) != 0)
        return command_config(line, &t->config) == OK ? EXIT_GOOD : EXIT_WRONG_USE;
    if (buf_take(CONFIG_ERRORS_BYTES, &b) != OK)
        return EXIT_CANNOT_TELL;
    struct text errors = text_over((char *)b->at, CONFIG_ERRORS_BYTES);
    err_ignore(command_config_text(line->config_path, &t->config, &errors));
    trail_clear();
    buf_release(b);
    return EXIT_GOOD;
}

static enum exit_code keys_open(const struct command_line *line, struct backup_target *t)
{
    const char *of_config = t->config ? t->config->backup.identity_file : "";
    const char *path = line->identity ? line->identity : of_config;
    if (!*path)
        return EXIT_GOOD;
    err e = backup_keys_read(path, loop_now() + KEYS_MS_MAX, &t->keys);
    if (e != OK && line->identity)
        return tell(e, EXIT_WRONG_USE);
    if (e != OK) {
        (void)fprintf(stderr, "holdfast: backup.rehearse.identity_file cannot be used; name another with --identity FILE\n");
        return tell(e, EXIT_GOOD);
    }
    t->reading.keys = &t->keys;
    return EXIT_GOOD;
}

static enum exit_code stored_open(const struct command_line *line, struct backup_target *t)
{
    err e = dns_open(&t->dns);
    if (e == OK)
        e = backup_open(&(struct backup_options){.config = t->config, .dns = t->dns}, &t->backup);
    if (e == OK)
        e = (t->record = malloc(sizeof *t->record)) ? OK : E_BUDGET;
    if (e == OK)
        e = backup_find(t->backup, line->file, &t->reading.destination, t->record);
    if (e != OK)
        return tell(e, EXIT_CANNOT_TELL);
    t->reading.backup = t->backup;
    t->reading.record = t->record;
    t->shown = t->record->path;
    return EXIT_GOOD;
}

enum exit_code target_open(const struct command_line *line, struct backup_target *t)
{
    bool local = is_path(line->file);
    enum exit_code code = local ? config_maybe(line, t) : command_config(line, &t->config) == OK ? EXIT_GOOD : EXIT_WRONG_USE;
    if (code == EXIT_GOOD)
        code = keys_open(line, t);
    if (code != EXIT_GOOD)
        return code;
    if (t->config) {
        t->reading.scratch = t->config->backup.scratch;
        t->reading.scratch_max = (uint64_t)t->config->backup.scratch_max;
    }
    if (!local)
        return stored_open(line, t);
    t->shown = t->reading.path = line->file;
    return EXIT_GOOD;
}

void target_close(struct backup_target *t)
{
    backup_keys_wipe(&t->keys);
    free(t->record);
    backup_close(t->backup);
    dns_close(t->dns);
    config_free(t->config);
    *t = (struct backup_target){.config = NULL};
}
