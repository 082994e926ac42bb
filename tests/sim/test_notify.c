/* Notifications in virtual time: who is told what, when, in which order; by a receiver that answers, fails, hangs. */
#include "agents/backup/notify.h"
#include "board/rt/fiber.h"
#include "board/rt/metric.h"
#include "net/proto/http_server.h"
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS    4
#define SEEN_MAX 64
#define DAYS(n)  HOURS(24 * (n))

/* One line a case: what happens, "SECONDS WHAT [DESTINATION]; …", and what the receiver then got, "SECONDS WHAT DESTINATION; …",
 * a `!` before what it did not answer with 200. What happens: fail, done (a good run, and nothing else is due),
 * good (others are due), round (none is), stale, fresh; the receiver: mend, break (500), hang. */
static const struct story {
    const char *name, *happens, *got;
    ms last_ms;
} stories[] = {
    {"nothing", "", "", DAYS(3)},
    {"a good run", "5 done a", "5 ping", DAYS(3)},
    {"each good run", "5 done a; 9 done b; 100 done a", "5 ping; 9 ping; 100 ping", DAYS(3)},
    {"a failure", "5 fail a", "5 failed a", HOURS(20)},
    {"a streak is told once", "5 fail a; 35 fail a; 95 fail a; 700 fail a", "5 failed a", HOURS(20)},
    {"and again each day", "5 fail a; 35 fail a", "5 failed a; 86405 failed a; 172805 failed a", HOURS(60)},
    {"a stale one too", "5 stale a; 7 stale a", "5 stale a; 86405 stale a", HOURS(40)},
    {"a streak and its end", "5 fail a; 60 done a; 90 done a", "5 failed a; 60 recovered a; 60 ping; 90 ping", DAYS(3)},
    {"stale and its end", "5 stale a; 60 fresh a; 61 done a", "5 stale a; 60 recovered a; 61 ping", DAYS(3)},
    {"both, one end", "5 fail a; 9 stale a; 60 done a; 61 fresh a", "5 failed a; 9 stale a; 60 recovered a; 60 ping", DAYS(3)},
    {"both, fresh before done", "5 fail a; 9 stale a; 60 fresh a; 61 done a", "5 failed a; 9 stale a; 61 recovered a; 61 ping",
     DAYS(3)},
    {"fresh without stale is nothing", "5 fresh a", "", DAYS(3)},
    {"two destinations", "5 fail a; 6 fail b; 60 done b; 90 done a",
     "5 failed a; 6 failed b; 60 recovered b; 90 recovered a; 90 ping", DAYS(3)},
    {"no ping while another is bad", "5 fail a; 60 done b; 90 stale b; 100 done a; 110 done b",
     "5 failed a; 90 stale b; 100 recovered a; 110 recovered b; 110 ping", DAYS(3)},
    {"a good run, others are due", "5 good a", "", DAYS(3)},
    {"after the round", "5 good a; 9 good b; 12 round", "12 ping", DAYS(3)},
    {"one of the round failed", "5 good a; 6 fail b; 7 round; 20 good b; 21 round", "6 failed b; 20 recovered b; 21 ping",
     DAYS(3)},
    {"rounds without a run", "5 round; 9 done a; 10 round", "9 ping", DAYS(3)},
    {"a stranger", "5 fail z; 6 done z; 7 stale z", "", DAYS(3)},
    {"two streaks", "5 fail a; 60 done a; 90 fail a; 120 done a",
     "5 failed a; 60 recovered a; 60 ping; 90 failed a; 120 recovered a; 120 ping", DAYS(3)},
    {"the receiver is out of order for a while", "1 break; 5 fail a; 30 mend",
     "5 !failed a; 10 !failed a; 20 !failed a; 40 failed a", HOURS(20)},
    {"it hangs for a while", "1 hang; 5 fail a; 8 mend", "5 !failed a; 30 failed a", HOURS(20)},
    {"a recovery takes the place of what was not told", "1 break; 5 fail a; 110 mend; 112 done a",
     "5 !failed a; 10 !failed a; 20 !failed a; 40 !failed a; 80 !failed a; 112 recovered a; 112 ping", DAYS(3)},
    {"a failure takes the place of a ping", "1 break; 5 done a; 8 fail a; 9 mend", "5 !ping; 8 !failed a; 13 failed a",
     HOURS(20)},
    {"one behind the other", "1 break; 5 fail a; 6 fail b; 8 mend", "5 !failed a; 10 failed a; 10 failed b", HOURS(20)},
    {"what waits is as new as can be", "1 break; 5 fail a; 6 stale b; 7 fresh b; 8 mend",
     "5 !failed a; 10 failed a; 10 recovered b", HOURS(20)},
    {"given up, then again after a day", "1 break; 5 fail a; 4000 mend",
     "5 !failed a; 10 !failed a; 20 !failed a; 40 !failed a; 80 !failed a; 160 !failed a; 320 !failed a; 620 !failed a; 920 "
     "!failed a; 1220 !failed a; 86405 failed a",
     HOURS(40)},
    {"given up, and its end is told", "1 break; 5 fail a; 4000 mend; 5000 done a",
     "5 !failed a; 10 !failed a; 20 !failed a; 40 !failed a; 80 !failed a; 160 !failed a; 320 !failed a; 620 !failed a; 920 "
     "!failed a; 1220 !failed a; 5000 recovered a; 5000 ping",
     DAYS(3)},
};

enum mood { MOOD_GOOD, MOOD_BREAK, MOOD_HANG };
static const char *const moods[] = {"mend", "break", "hang"};

static struct {
    struct addr at;
    enum mood mood;
    ms began;
    unsigned count;
    struct {
        ms at;
        char what[24], destination[8];
        bool good;
    } seen[SEEN_MAX];
    char body[2048]; /* the last */
} receiver;

static struct config config;
static struct notify *notify;

/* --- the receiver --- */

static void value_of(const char *key, char *out, size_t cap)
{
    char quoted[32];
    (void)snprintf(quoted, sizeof quoted, "\"%s\":\"", key);
    const char *at = strstr(receiver.body, quoted);
    SIM_CHECK(at != NULL);
    at += strlen(quoted);
    (void)snprintf(out, cap, "%.*s", (int)strcspn(at, "\""), at);
}

static err body_keep(struct http_exchange *x)
{
    size_t len = 0, got = 1;
    while (got > 0 && len < sizeof receiver.body - 1) {
        TRY(http_read_body(x, receiver.body + len, sizeof receiver.body - 1 - len, &got));
        len += got;
    }
    receiver.body[len] = 0;
    return OK;
}

static void keep(bool ping)
{
    char event[32] = "backup-ping", destination[8] = "";
    if (!ping) {
        value_of("event", event, sizeof event);
        value_of("destination", destination, sizeof destination);
    }
    SIM_CHECK(strncmp(event, "backup-", 7) == 0 && receiver.count < SEEN_MAX);
    unsigned i = receiver.count++;
    receiver.seen[i].at = loop_now() - receiver.began;
    receiver.seen[i].good = receiver.mood == MOOD_GOOD;
    (void)snprintf(receiver.seen[i].what, sizeof receiver.seen[i].what, "%.20s", event + 7);
    (void)snprintf(receiver.seen[i].destination, sizeof receiver.seen[i].destination, "%s", destination);
}

static err receive(void *arg, struct http_exchange *x)
{
    (void)arg;
    bool ping = http_request_of(x)->method == HTTP1_GET;
    SIM_CHECK(bytes_equal_text(http_request_of(x)->path, ping ? "/ping" : "/hook"));
    if (!ping)
        TRY(body_keep(x));
    keep(ping);
    if (receiver.mood == MOOD_HANG)
        return fiber_sleep(loop_now() + HOURS(1));
    return http_answer(x, receiver.mood == MOOD_GOOD ? 200 : 500, "text/plain", bytes_of("so it is\n"));
}

/* --- what happens --- */

static void happen(const char *what, const char *destination)
{
    struct backup_record r = {.cluster_id = 0xC0FFEE, .taken_at_s = 1800000000};
    (void)snprintf(r.destination, sizeof r.destination, "%s", destination);
    if (strcmp(what, "fail") == 0)
        notify_failed(notify, destination, "timeout", "etcd does not answer <!here> @all");
    else if (strcmp(what, "done") == 0)
        notify_done(notify, &r), notify_round(notify);
    else if (strcmp(what, "good") == 0)
        notify_done(notify, &r);
    else if (strcmp(what, "round") == 0)
        notify_round(notify);
    else if (strcmp(what, "stale") == 0 || strcmp(what, "fresh") == 0)
        notify_stale(notify, destination, *what == 's', 1700000000);
    else
        for (size_t i = 0; i < COUNT_OF(moods); i++)
            if (strcmp(what, moods[i]) == 0)
                receiver.mood = (enum mood)i;
}

/* One of "SECONDS WHAT [DESTINATION]; …" */
static bool part(const char **at, ms *when, char what[24], char destination[8])
{
    int used = 0;
    long long seconds = 0;
    *destination = 0;
    if (!**at || sscanf(*at, "%lld %23[^ ;]%n", &seconds, what, &used) < 2)
        return false;
    *at += used;
    if (sscanf(*at, " %7[a-z]%n", destination, &used) == 1)
        *at += used;
    *at += strspn(*at, "; ");
    *when = SECONDS(seconds);
    return true;
}

static err tell_story(const struct story *s)
{
    char what[24], destination[8];
    const char *at = s->happens;
    ms when = 0;
    while (part(&at, &when, what, destination)) {
        TRY(fiber_sleep(receiver.began + when));
        happen(what, destination);
    }
    return fiber_sleep(receiver.began + s->last_ms);
}

static void compare(const struct story *s)
{
    char what[24], destination[8];
    const char *at = s->got;
    ms when = 0;
    unsigned i = 0;
    for (; part(&at, &when, what, destination); i++) {
        if (i >= receiver.count)
            sim_fail("%s: %u came, then %s %s is missing", s->name, receiver.count, what, destination);
        bool good = *what != '!';
        bool same = strcmp(receiver.seen[i].what, what + !good) == 0 && receiver.seen[i].good == good &&
                    strcmp(receiver.seen[i].destination, destination) == 0;
        ms late = receiver.seen[i].at - when;
        if (!same || late < -SECONDS(2) || late > SECONDS(6) + when / 3)
            sim_fail("%s: number %u is \"%lld %s%s %s\", wanted \"%lld %s %s\"", s->name, i,
                     (long long)(receiver.seen[i].at / 1000), receiver.seen[i].good ? "" : "!", receiver.seen[i].what,
                     receiver.seen[i].destination, (long long)(when / 1000), what, destination);
    }
    if (i < receiver.count)
        sim_fail("%s: %u came too many, first %s at %lld", s->name, receiver.count - i, receiver.seen[i].what,
                 (long long)receiver.seen[i].at);
}

/* --- a life --- */

static void boot(void)
{
    static struct family any = {.name = "test_boot", .help = "Here so that the registry is.", .type = METRIC_GAUGE};
    struct notify_options o = {.config = &config};
    struct notify *first = NULL;
    struct series *series = NULL;
    SIM_CHECK_ERR(metric_series(&any, NULL, &series), OK);
    SIM_CHECK_ERR(notify_open(&o, &first), OK); /* its series stay */
    notify_close(first);
}

static void setup(void *arg)
{
    (void)arg;
    sim.time_limit_ms = DAYS(4);
    memset(&config, 0, sizeof config);
    memset(&receiver, 0, sizeof receiver);
    receiver.at = sim_ip("10.0.0.1:80");
    (void)snprintf(config.notify.webhook, sizeof config.notify.webhook, "http://10.0.0.1/hook");
    (void)snprintf(config.notify.ping_url, sizeof config.notify.ping_url, "http://10.0.0.1/ping");
    config.backup.destination_count = 2;
    (void)snprintf(config.backup.destinations[0].name, CONFIG_NAME_MAX, "a");
    (void)snprintf(config.backup.destinations[1].name, CONFIG_NAME_MAX, "b");
    sim_boot(boot);
}

static err live(struct dns *dns, err (*rest)(const void *arg), const void *arg)
{
    struct notify_options o = {.config = &config, .dns = dns, .version = "v1"};
    struct group g;
    TRY(notify_open(&o, &notify));
    group_open(&g, TASK_BACKUP);
    receiver.began = loop_now();
    err e = group_spawn(&g, "notify", notify_run, notify);
    if (e == OK)
        e = rest(arg);
    group_close(&g);
    notify_close(notify);
    return e;
}

static err with_receiver(err (*rest)(const void *arg), const void *arg)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct http_server_options o = {.name = "sim", .task = TASK_METRICS, .at = receiver.at, .handle = receive};
    struct http_server *server = NULL;
    struct dns *dns = NULL;
    o.limits.handler_ms = SECONDS(25);
    TRY(dns_open_with(&numeric, &dns));
    err e = http_server_start(&o, &server);
    if (e == OK)
        e = live(dns, rest, arg);
    http_server_stop(server, loop_now() + SECONDS(1));
    dns_close(dns);
    return e;
}

static err story_rest(const void *arg)
{
    TRY(tell_story(arg));
    if (!sim_fault_name())
        compare(arg);
    return OK;
}

static err run_story(void *arg)
{
    return with_receiver(story_rest, arg);
}

static void a_story(void **state)
{
    const struct story *s = *state;
    struct sim_case c = {.name = s->name, .setup = setup, .run = run_story, .arg = (void *)(uintptr_t)s, .fibers = true};
    assert_true(sim_seeds(&c, SEEDS));
}

/* --- what the message is --- */

static double counted(const char *family, const char *kind)
{
    const char *const labels[] = {kind};
    return metric_value(family, labels);
}

static err message_rest(const void *arg)
{
    static const struct story failed = {.happens = "5 done a; 9 fail a", .last_ms = SECONDS(20)};
    char text[512];
    (void)arg;
    TRY(tell_story(&failed));
    static const char want[] =
        "{\"event\":\"backup-failed\",\"destination\":\"a\",\"reason\":\"timeout\",\"text\":\"holdfast on board: the etcd "
        "backup to a failed (timeout): etcd does not answer  !here   all; the newest good one is of 2027-01-15T08:00:00Z\","
        "\"content\":\"";
    if (sim_fault_name())
        return OK;
    SIM_CHECK(strncmp(receiver.body, want, sizeof want - 1) == 0);
    value_of("text", text, sizeof text);
    SIM_CHECK(strstr(receiver.body + sizeof want - 1, text) == receiver.body + sizeof want - 1);
    SIM_CHECK(strstr(receiver.body, "\"host\":\"board\",\"at\":\"20") &&
              strstr(receiver.body, "\"cluster_id\":\"0000000000c0ffee\""));
    SIM_CHECK(strstr(receiver.body, "\"last_success\":\"2027-01-15T08:00:00Z\",\"version\":\"v1\"}"));
    SIM_CHECK(counted("holdfast_notify_sent_total", "failed") == 1 && counted("holdfast_notify_sent_total", "ping") == 1);
    return OK;
}

static err run_message(void *arg)
{
    return with_receiver(message_rest, arg);
}

static void the_message(void **state)
{
    struct sim_case c = {.name = "message", .setup = setup, .run = run_message, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, SEEDS));
    assert_true(sim_each_fault(&c));
}

/* --- counted, told, and ended in the middle --- */

static err lost_rest(const void *arg)
{
    static const struct story lost = {.happens = "1 break; 5 fail a", .last_ms = HOURS(2)};
    char why[160];
    struct text t = text_over(why, sizeof why);
    (void)arg;
    TRY(tell_story(&lost));
    if (sim_fault_name())
        return OK;
    SIM_CHECK(counted("holdfast_notify_failures_total", "failed") == 1 && counted("holdfast_notify_sent_total", "failed") == 0);
    SIM_CHECK(!notify_is_well(notify, &t) && strcmp(why, "http://10.0.0.1: peer answered with an error") == 0);
    return OK;
}

static err run_lost(void *arg)
{
    return with_receiver(lost_rest, arg);
}

static void a_lost_one_is_counted(void **state)
{
    struct sim_case c = {.name = "lost", .setup = setup, .run = run_lost, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, SEEDS));
}

static err early_rest(const void *arg)
{
    static const struct story stuck = {.happens = "1 hang; 2 fail a; 2 fail b; 2 done b", .last_ms = SECONDS(3)};
    (void)arg;
    return tell_story(&stuck);
}

static err run_early(void *arg)
{
    ms began = loop_now();
    err e = with_receiver(early_rest, arg);
    SIM_CHECK(loop_now() - began < SECONDS(8));
    return e;
}

static void ended_in_the_middle(void **state)
{
    struct sim_case c = {.name = "ended early", .setup = setup, .run = run_early, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, SEEDS));
    assert_true(sim_each_fault(&c));
}

int main(void)
{
    static struct CMUnitTest tests[3 + COUNT_OF(stories)] = {
        cmocka_unit_test(the_message), cmocka_unit_test(a_lost_one_is_counted), cmocka_unit_test(ended_in_the_middle)};
    for (size_t i = 0; i < COUNT_OF(stories); i++)
        tests[3 + i] =
            (struct CMUnitTest){.name = stories[i].name, .test_func = a_story, .initial_state = (void *)(uintptr_t)&stories[i]};
    return cmocka_run_group_tests_name("notify in the sim", tests, NULL, NULL);
}
