/* ingest_status: `holdfast ingest status`. A running hub is asked: nobody else knows. */
#include "board/control.h"

#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "net/format/json_read.h"

#include <stdio.h>
#include <unistd.h>

#define ASK_MS_MAX SECONDS(30)

/* --- for people --- */

static void print_kinds(const struct json *kinds)
{
    char name[32], state[16], version[32], last[32];
    (void)printf("%-22s  %-10s  %9s  %-20s  %-20s  %8s\n", "KIND", "STATE", "OBJECTS", "RESOURCE VERSION", "LAST EVENT", "LAG");
    for (const struct json *k = NULL; (k = json_next(kinds, k)) != NULL;) {
        int64_t lag = -1;
        char seconds[24] = "-";
        if (json_to_i64(json_get(k, "lag_ms"), &lag) && lag >= 0)
            (void)snprintf(seconds, sizeof seconds, "%.1f s", (double)lag / 1000);
        (void)printf("%-22s  %-10s  %9llu  %-20s  %-20s  %8s\n", json_text_at(k, "kind", name, sizeof name),
                     json_text_at(k, "state", state, sizeof state), (unsigned long long)json_number_at(k, "objects"),
                     json_text_at(k, "resource_version", version, sizeof version),
                     json_text_at(k, "last_event", last, sizeof last), seconds);
    }
}

/* The API server asked for patience; nothing is heard of these until then. */
static void print_waits(const struct json *kinds)
{
    char name[32], until[32];
    for (const struct json *k = NULL; (k = json_next(kinds, k)) != NULL;)
        if (*json_text_at(k, "waits_until", until, sizeof until))
            (void)printf("%s: the API server asks to wait until %s\n", json_text_at(k, "kind", name, sizeof name), until);
}

static void print_agent(const struct json *a)
{
    char name[256], url[256], why[200], when[32], token[32];
    const struct json *spool = json_get(a, "spool");
    (void)printf("\n%s to %s: %s %s\n", json_text_at(a, "name", name, sizeof name),
                 json_text_at(a, "platform_url", url, sizeof url),
                 json_is_true_at(a, "healthy") ? "well" : "not well:", json_text_at(a, "why", why, sizeof why));
    (void)printf("  last snapshot %s%s; token until %s\n", json_text_at(a, "last_snapshot", when, sizeof when),
                 json_is_true_at(a, "snapshot_waits") ? ", another is due" : "",
                 json_text_at(a, "token_expires", token, sizeof token));
    (void)printf("  delivered %llu; waiting %llu in %llu bytes; set aside %llu\n",
                 (unsigned long long)json_number_at(a, "delivered"), (unsigned long long)json_number_at(spool, "events"),
                 (unsigned long long)json_number_at(spool, "bytes"), (unsigned long long)json_number_at(a, "set_aside_total"));
}

static void print_refused(const struct json *aside)
{
    char at[32], type[16], kind[32], name_space[96], name[96];
    for (const struct json *e = NULL; (e = json_next(aside, e)) != NULL;)
        (void)printf("    %s  %llu  %s %s %s/%s\n", json_text_at(e, "at", at, sizeof at),
                     (unsigned long long)json_number_at(e, "status"), json_text_at(e, "type", type, sizeof type),
                     json_text_at(e, "kind", kind, sizeof kind), json_text_at(e, "namespace", name_space, sizeof name_space),
                     json_text_at(e, "name", name, sizeof name));
}

static void print_status(struct bytes text)
{
    char why[400];
    struct json *status = NULL;
    unsigned line;
    if (json_parse(text, &status, &line) != OK)
        return;
    if (!json_is_true_at(status, "streaming"))
        (void)printf("nothing is streamed: %s\n\n", json_text_at(status, "why", why, sizeof why));
    print_kinds(json_get(status, "kinds"));
    print_waits(json_get(status, "kinds"));
    const struct json *agents = json_get(status, "agents");
    for (const struct json *a = NULL; (a = json_next(agents, a)) != NULL;) {
        print_agent(a);
        print_refused(json_get(a, "set_aside"));
    }
    json_free(status);
}

/* --- the command --- */

static enum exit_code ask(const struct command_line *line, const struct config *c)
{
    struct control_reply reply;
    err e = control_ask(c->data, "GET", "/ingest/status", NULL, NULL, loop_now() + ASK_MS_MAX, &reply);
    if (e == E_ABSENT) {
        (void)fprintf(stderr, "holdfast: no hub runs with data %s: nobody streams\n", c->data);
        return EXIT_CANNOT_TELL;
    }
    if (e != OK)
        return exit_code_of(e);
    if (!reply.json)
        (void)fprintf(stderr, "holdfast: %s\n", reply.error);
    else if (line->json)
        (void)printf("%.*s\n", (int)reply.json->len, (const char *)reply.json->at);
    else
        print_status((struct bytes){reply.json->at, reply.json->len});
    buf_release(reply.json);
    return reply.code;
}

static enum exit_code ingest_status_work(struct work *w)
{
    struct config *config = NULL;
    err e = command_config(w->line, &config);
    if (e != OK)
        return exit_code_of(e);
    log_setup(LOG_ERROR, (enum log_format)config->log_format, STDERR_FILENO);
    enum exit_code code = ask(w->line, config);
    config_free(config);
    return code;
}

enum exit_code command_ingest_status(const struct command_line *line)
{
    return command_run(&(struct work){.run = ingest_status_work, .line = line, .task = TASK_CONTROL, .name = "ingest status"});
}
