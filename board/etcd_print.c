/* etcd_print: items of the etcd commands as lines. What is wrong goes to stderr. */
#include "board/etcd_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- status --- */

#define CELL_MAX 24

/* "27.4 MiB"; "-" where it is not known. */
static const char *mib_at(const struct json *item, const char *key, char out[CELL_MAX])
{
    uint64_t bytes = json_number_at(item, key);
    (void)snprintf(out, CELL_MAX, bytes ? "%" PRIu64 ".%" PRIu64 " MiB" : "-", bytes >> 20, ((bytes & (MIB(1) - 1)) * 10) >> 20);
    return out;
}

static const char *alarms_of(const struct json *item, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    char name[16];
    for (const struct json *at = NULL; (at = json_next(json_get(item, "alarms"), at));)
        if (json_to_text(at, name, sizeof name))
            text_addf(&t, "%s%s", t.len ? "," : "", name);
    if (t.len == 0)
        text_add(&t, "-");
    return out;
}

static const char *role_of(const struct json *item)
{
    if (!json_is_true_at(item, "up"))
        return "down";
    if (json_is_true_at(item, "learner"))
        return "learner";
    return json_is_true_at(item, "leader") ? "leader" : "follower";
}

static const char *days_of(const struct json *item, char out[CELL_MAX])
{
    uint64_t days = 0;
    bool known = json_to_u64(json_get(item, "certificate_days"), &days);
    (void)snprintf(out, CELL_MAX, known ? "%" PRIu64 " days" : "-", days);
    return out;
}

void print_etcd_member(const struct json *item)
{
    char member[96], id[24], version[24], size[CELL_MAX], in_use[CELL_MAX], quota[CELL_MAX], alarms[48], days[CELL_MAX],
        says[128];
    (void)printf("%-16s  %-16s  %-8s  %-8s  %12s  %12s  %12s  %4" PRIu64 "  %12" PRIu64 "  %6" PRIu64 "  %-8s  %s%s%s\n",
                 json_text_at(item, "member", member, sizeof member), json_text_at(item, "id", id, sizeof id), role_of(item),
                 json_text_at(item, "version", version, sizeof version), mib_at(item, "size_bytes", size),
                 mib_at(item, "in_use_bytes", in_use), mib_at(item, "quota_bytes", quota),
                 json_number_at(item, "fragmentation_percent"), json_number_at(item, "raft_index"),
                 json_number_at(item, "revision_lag"), alarms_of(item, alarms, sizeof alarms), days_of(item, days),
                 json_text_at(item, "says", says, sizeof says)[0] ? "  " : "", says);
}

/* --- defrag --- */

static void print_done(const struct json *item)
{
    (void)printf("  done in %" PRIu64 " ms", json_number_at(item, "took_ms"));
    if (json_number_at(item, "won_bytes") > 0)
        (void)printf(", %" PRIu64 " KiB won, a read waited %" PRIu64 " ms at most", json_number_at(item, "won_bytes") >> 10,
                     json_number_at(item, "stall_ms"));
    (void)printf("\n");
}

void print_etcd_step(const struct json *item)
{
    char step[24], why[GUARDIAN_WHY_MAX], error[512];
    bool failed = json_to_text(json_get(item, "error"), error, sizeof error);
    json_text_at(item, "step", step, sizeof step);
    json_text_at(item, "why", why, sizeof why);
    if (failed)
        (void)fprintf(stderr, "holdfast: %s%s%s\n", step, step[0] ? ": " : "", error);
    else if (strcmp(step, guardian_step_name(GUARDIAN_REST)) == 0)
        (void)printf("nothing more to do: %s\n", why);
    else
        (void)printf("%s%s: %s\n", json_is_true_at(item, "done") ? "" : "would ", step, why);
    if (!failed && json_is_true_at(item, "done"))
        print_done(item);
}
