/* top: `holdfast top`. Reads a running hub's /metrics and shows its tasks; once when the output is no terminal, else each second.
 */
#include "board/command.h"

#include "board/rt/buf.h"
#include "net/proto/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ASK_MS_MAX     SECONDS(5)
#define REFRESH_MS     SECONDS(1)
#define LINE_MAX_BYTES 512

/*        column            metric */
#define COLUMN_TABLE(X)                                                                                                          \
    X(HEAP_USED, "holdfast_task_heap_used_bytes")                                                                                \
    X(HEAP_PEAK, "holdfast_task_heap_peak_bytes")                                                                                \
    X(HEAP_LIMIT, "holdfast_task_heap_limit_bytes")                                                                              \
    X(STACK_PEAK, "holdfast_task_stack_peak_bytes")                                                                              \
    X(STACK_LIMIT, "holdfast_task_stack_limit_bytes")                                                                            \
    X(STEP, "holdfast_task_longest_step_seconds")                                                                                \
    X(CONNECTIONS, "holdfast_task_connections")                                                                                  \
    X(REFUSALS, "holdfast_task_refusals_total")                                                                                  \
    X(RESTING, "holdfast_task_resting")                                                                                          \
    X(STALLED, "holdfast_task_stalled")

enum column {
#define X(id, metric) COLUMN_##id,
    COLUMN_TABLE(X)
#undef X
        COLUMN_COUNT
};
static const char *const column_metrics[] = {
#define X(id, metric) (metric),
    COLUMN_TABLE(X)
#undef X
};

/*        single             metric */
#define SINGLE_TABLE(X)                                                                                                          \
    X(ANON, "process_resident_anon_bytes")                                                                                       \
    X(PROFILE, "holdfast_profile_bytes")                                                                                         \
    X(CPU, "process_cpu_seconds_total")                                                                                          \
    X(STARTED, "process_start_time_seconds")                                                                                     \
    X(WRITTEN_OFF, "holdfast_pool_written_off")

enum single {
#define X(id, metric) SINGLE_##id,
    SINGLE_TABLE(X)
#undef X
        SINGLE_COUNT
};
static const char *const single_metrics[] = {
#define X(id, metric) (metric),
    SINGLE_TABLE(X)
#undef X
};

struct view {
    double tasks[TASK_COUNT][COLUMN_COUNT];
    double singles[SINGLE_COUNT];
    unsigned lines; /* understood */
};

static int find(const char *const names[], size_t count, const char *name, size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return (int)i;
    return -1;
}

static int task_of(const char *labels)
{
    const char *at = strstr(labels, "task=\"");
    if (!at)
        return -1;
    at += strlen("task=\"");
    size_t len = strcspn(at, "\"");
    for (enum task t = 0; t < TASK_COUNT; t++)
        if (strlen(task_name(t)) == len && memcmp(task_name(t), at, len) == 0)
            return (int)t;
    return -1;
}

/* name value | name{labels} value */
static void see_line(struct view *v, const char *line)
{
    size_t name_len = strcspn(line, "{ ");
    const char *value = strrchr(line, ' ');
    if (line[0] == '#' || !value)
        return;
    double number = strtod(value, NULL);
    int column = find(column_metrics, COLUMN_COUNT, line, name_len), single = find(single_metrics, SINGLE_COUNT, line, name_len);
    int task = column >= 0 && line[name_len] == '{' ? task_of(line + name_len) : -1;
    if (task >= 0)
        v->tasks[task][column] = number;
    else if (single >= 0)
        v->singles[single] = number;
    else
        return;
    v->lines++;
}

static void see_bytes(struct view *v, char *line, size_t *len, const char *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (at[i] != '\n') {
            if (*len + 1 < LINE_MAX_BYTES)
                line[(*len)++] = at[i];
            continue;
        }
        line[*len] = 0;
        see_line(v, line);
        *len = 0;
    }
}

static err read_view(struct http_connection *c, struct view *v, ms deadline)
{
    const struct http1_head *head = NULL;
    char line[LINE_MAX_BYTES], piece[1024];
    size_t len = 0, got = 0;
    TRY(http_send(c, &(struct http_call){.method = "GET", .path = "/metrics"}, deadline));
    TRY(http_receive_head(c, deadline, &head));
    if (head->status != 200)
        return trail(E_REMOTE, "/metrics answered %u", head->status);
    do {
        TRY(http_receive_body(c, piece, sizeof piece, deadline, &got));
        see_bytes(v, line, &len, piece, got);
    } while (got > 0);
    return v->lines ? OK : trail(E_REMOTE, "/metrics is not a hub's");
}

static const char *state_of(const double *row)
{
    if (row[COLUMN_STALLED] > 0)
        return "STALLED";
    return row[COLUMN_RESTING] > 0 ? "resting" : "working";
}

static void print_view(const struct view *v, const char *hub)
{
    const double kib = 1024;
    (void)printf("holdfast at %s  private memory %.1f of %.0f MiB  cpu %.2f s  threads written off %.0f\n\n", hub,
                 v->singles[SINGLE_ANON] / kib / kib, v->singles[SINGLE_PROFILE] / kib / kib, v->singles[SINGLE_CPU],
                 v->singles[SINGLE_WRITTEN_OFF]);
    (void)printf("%-10s %-8s %9s %9s %9s %9s %9s %8s %6s %8s\n", "TASK", "STATE", "HEAP KiB", "PEAK", "LIMIT", "STACK KiB",
                 "LIMIT", "STEP ms", "CONNS", "REFUSED");
    for (enum task t = 0; t < TASK_COUNT; t++) {
        const double *row = v->tasks[t];
        (void)printf("%-10s %-8s %9.0f %9.0f %9.0f %9.1f %9.0f %8.2f %6.0f %8.0f\n", task_name(t), state_of(row),
                     row[COLUMN_HEAP_USED] / kib, row[COLUMN_HEAP_PEAK] / kib, row[COLUMN_HEAP_LIMIT] / kib,
                     row[COLUMN_STACK_PEAK] / kib, row[COLUMN_STACK_LIMIT] / kib, row[COLUMN_STEP] * 1000,
                     row[COLUMN_CONNECTIONS], row[COLUMN_REFUSALS]);
    }
    (void)fflush(stdout);
}

/* Where the hub listens, seen from here: all addresses are asked on loopback. */
static struct addr hub_address(const struct addr *listen)
{
    static const struct addr any;
    if (listen->kind == ADDR_UNIX || memcmp(listen->ip, any.ip, sizeof any.ip) != 0)
        return *listen;
    return (struct addr){.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}, .port = listen->port};
}

static err connect_hub(const struct addr *at, ms deadline, struct http_connection **out)
{
    struct stream *s = NULL;
    TRY(tcp_connect(at, deadline, &s));
    return http_over(s, "localhost", out);
}

static err watch(const struct addr *at, const char *hub, bool terminal)
{
    struct view *v = NULL;
    struct http_connection *c = NULL;
    err e = OK;
    do {
        ms deadline = loop_now() + ASK_MS_MAX;
        free(v);
        v = calloc(1, sizeof *v);
        e = v ? connect_hub(at, deadline, &c) : E_BUDGET;
        if (e == OK)
            e = read_view(c, v, deadline);
        http_disconnect(c);
        c = NULL;
        if (e != OK)
            break;
        if (terminal)
            (void)printf("\x1b[H\x1b[2J"); /* home, clear: ECMA-48 CUP, ED */
        print_view(v, hub);
        if (terminal)
            e = fiber_sleep(loop_now() + REFRESH_MS);
    } while (terminal && e == OK && !ferror(stdout)); /* main() tells */
    free(v);
    return e;
}

static enum exit_code top(struct work *w)
{
    struct config *config = NULL;
    char hub[ADDR_TEXT_MAX];
    err e = command_config(w->line, &config);
    if (e != OK)
        return exit_code_of(e);
    struct addr at = hub_address(&config->listen);
    (void)addr_text(&config->listen, hub, sizeof hub);
    e = watch(&at, hub, isatty(STDOUT_FILENO));
    config_free(config);
    if (e == OK || e == E_CANCELED)
        return EXIT_GOOD;
    char why[512];
    (void)fprintf(stderr, "holdfast: %s: %s: is `holdfast run` running with this configuration?\n", hub,
                  trail_text(e, why, sizeof why));
    return EXIT_CANNOT_TELL;
}

enum exit_code command_top(const struct command_line *line)
{
    return command_run(&(struct work){.run = top, .line = line, .task = TASK_BOARD, .name = "top"});
}
