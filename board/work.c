/* work: what every command that waits is made of: memory, the loop, a fiber that signals cancel, the configuration. */
#include "board/command.h"

#include "board/rt/buf.h"
#include "board/rt/file.h"
#include "board/rt/os.h"
#include "board/zones.h"
#include "net/format/crypto.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_READ_MS SECONDS(10)

static struct group *canceled_by_signal;

static void on_signal(int number)
{
    if (canceled_by_signal && (number == SIGINT || number == SIGTERM))
        group_cancel(canceled_by_signal);
}

static err body(void *arg)
{
    struct work *w = arg;
    TRY(crypto_boot()); /* before a pool thread needs it */
    w->code = w->run(w);
    return OK;
}

static err first_fiber(void *arg)
{
    struct work *w = arg;
    struct group g;
    group_open(&g, w->task);
    canceled_by_signal = &g;
    loop_on_signal(on_signal);
    err e = group_spawn(&g, w->name, body, w);
    if (e == OK)
        e = group_join(&g, FOREVER);
    loop_on_signal(NULL);
    canceled_by_signal = NULL;
    group_close(&g);
    return e;
}

enum exit_code command_run(struct work *w)
{
    w->code = EXIT_BAD;
    err e = mem_boot(w->line->profile, MEM_LAZY);
    if (e == OK)
        e = buf_boot();
    if (e == OK)
        e = loop_run(first_fiber, w);
    if (e != OK) {
        char why[512];
        (void)fprintf(stderr, "holdfast: %s\n", trail_text(e, why, sizeof why));
        return exit_code_of(e);
    }
    return w->code;
}

enum exit_code exit_code_of(err e)
{
    if (e == OK)
        return EXIT_GOOD;
    if (e == E_USAGE || e == E_CONFIG)
        return EXIT_WRONG_USE;
    return e == E_BUSY ? EXIT_BUSY : EXIT_BAD;
}

static void tell_unreadable(err e, const char *path, struct text *errors)
{
    char why[512];
    if (e == E_RANGE) /* as the parser would say */
        text_addf(errors, "%s:1:1: the file is larger than 255 KiB; nothing here needs that\n", path);
    else
        text_addf(errors, "cannot read the configuration: %s; name another with --config FILE\n", trail_text(e, why, sizeof why));
}

err command_config_text(const char *path, struct config **out, struct text *errors)
{
    struct lane files;
    struct zones zones;
    struct buf *b = NULL;
    *out = NULL;
    lane_open(&files, "configuration", mem_task(), 1);
    err e = file_read_small(&files, path, CONFIG_BYTES_MAX, loop_now() + CONFIG_READ_MS, &b);
    lane_close(&files);
    zones_open(&zones);
    struct config_zones finder = zones_finder(&zones);
    if (e == OK)
        e = config_parse((struct bytes){b->at, b->len}, path, (const char *const *)environ, &finder, out, errors);
    else if (e != E_CANCELED) {
        tell_unreadable(e, path, errors);
        e = E_CONFIG;
    }
    zones_close(&zones);
    buf_release(b);
    trail_clear(); /* it is all in `errors` */
    return e;
}

err command_config(const struct command_line *line, struct config **out)
{
    struct buf *b = NULL;
    *out = NULL;
    TRY(buf_take(CONFIG_ERRORS_BYTES, &b));
    struct text errors = text_over((char *)b->at, CONFIG_ERRORS_BYTES);
    err e = command_config_text(line->config_path, out, &errors);
    if (errors.len)
        (void)fprintf(stderr, "%s%s", errors.at, errors.at[errors.len - 1] == '\n' ? "" : "\n");
    buf_release(b);
    return e;
}
