/* talos: our client of Talos' machine API as a program, one call each, for a gRPC server by others to meet (test_talos.py).
 *
 *   talos status|alarms|members|version|defragment|disarm socket PATH
 *   talos snapshot FILE socket PATH               what came into FILE, its length on stdout
 *   … config TALOSCONFIG [CONTEXT]                instead of socket PATH: the first endpoint of it
 * Exit 0 good; 1 with "CODE words" on stderr; 2 usage. In the environment: ASK_MS the deadline, default 10000; IDLE_MS of a
 * snapshot, default 5000. */
#include "net/api/talos/talos.h"
#include "board/rt/file.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 8

static struct {
    const char *call, *file, *way, *path, *context;
    ms timeout, idle;
} want;

static err status_print(struct talos *t, ms deadline)
{
    struct talos_status s;
    TRY(talos_status(t, deadline, &s));
    printf("member %llx leader %llx bytes %lld in_use %lld term %llu index %llu applied %llu version %s storage %s learner %d "
           "errors %u\n",
           (unsigned long long)s.member_id, (unsigned long long)s.leader_id, (long long)s.db_bytes, (long long)s.db_in_use_bytes,
           (unsigned long long)s.raft_term, (unsigned long long)s.raft_index, (unsigned long long)s.raft_applied_index,
           s.protocol_version, s.storage_version, s.is_learner, s.error_count);
    return OK;
}

static err alarms_print(struct talos *t, ms deadline)
{
    struct talos_alarm alarms[LIST_MAX];
    unsigned count;
    TRY(talos_alarm_list(t, deadline, alarms, LIST_MAX, &count));
    for (unsigned i = 0; i < count && i < LIST_MAX; i++)
        printf("%d %llx\n", (int)alarms[i].kind, (unsigned long long)alarms[i].member_id);
    return OK;
}

static err members_print(struct talos *t, ms deadline)
{
    struct talos_member members[LIST_MAX];
    unsigned count;
    TRY(talos_member_list(t, deadline, members, LIST_MAX, &count));
    for (unsigned i = 0; i < count; i++)
        printf("%llx %s %s %d\n", (unsigned long long)members[i].id, members[i].hostname, members[i].client_url,
               members[i].is_learner);
    return OK;
}

static err version_print(struct talos *t, ms deadline)
{
    char tag[TALOS_TEXT_MAX];
    TRY(talos_version(t, deadline, tag));
    printf("%s\n", tag);
    return OK;
}

static err snapshot_print(struct talos *t, ms deadline)
{
    struct talos_snapshot *s = NULL;
    struct bytes blob;
    bool more = true;
    size_t total = 0;
    FILE *f = fopen(want.file, "wb");
    if (!f)
        return trail(E_IO, "%s", want.file);
    err e = talos_snapshot_start(t, deadline, &s);
    while (e == OK && more) {
        e = talos_snapshot_next(s, want.idle, &blob, &more);
        if (e == OK && more && fwrite(blob.at, 1, blob.len, f) != blob.len)
            e = trail(E_IO, "%s", want.file);
        total += blob.len;
    }
    talos_snapshot_end(s);
    if (fclose(f) != 0 && e == OK)
        e = trail(E_IO, "%s", want.file);
    if (e == OK)
        printf("%zu\n", total);
    return e;
}

static const struct {
    const char *name;
    err (*run)(struct talos *t, ms deadline);
} calls[] = {{"status", status_print},      {"alarms", alarms_print},     {"members", members_print},
             {"version", version_print},    {"snapshot", snapshot_print}, {"defragment", talos_defragment},
             {"disarm", talos_alarm_disarm}};

static err call_run(const struct talos_options *o, ms deadline)
{
    struct talos_status status;
    struct talos *t = NULL;
    TRY(talos_open(o, &t));
    err e = talos_connect(t, deadline, &status);
    for (size_t i = 0; e == OK && i < COUNT_OF(calls); i++)
        if (strcmp(calls[i].name, want.call) == 0)
            e = calls[i].run(t, deadline);
    talos_close(t);
    return e;
}

static err config_run(ms deadline)
{
    struct talos_options o = {0};
    struct talosconfig *config = NULL;
    struct buf *file = NULL;
    struct lane lane;
    lane_open(&lane, "talosconfig", mem_task(), 1);
    err e = file_read_small(&lane, want.path, TALOSCONFIG_BYTES_MAX, deadline, &file);
    if (e == OK)
        e = talosconfig_open((struct bytes){file->at, file->len}, want.context, &config);
    if (e == OK)
        e = talos_tls_open(&lane, config, &o.tls);
    if (e == OK)
        e = dns_open(&o.dns);
    if (e == OK) {
        o.endpoint = config->endpoints[0];
        e = call_run(&o, deadline);
    }
    if (o.dns)
        dns_close(o.dns);
    tls_config_release(o.tls);
    talosconfig_close(config);
    buf_release(file);
    lane_close(&lane);
    return e;
}

/* The trail is the fiber's, so the complaint is made in it. */
static err main_run(void *arg)
{
    char text[1024];
    ms deadline = loop_now() + want.timeout;
    (void)arg;
    err e =
        strcmp(want.way, "socket") == 0 ? call_run(&(struct talos_options){.socket = want.path}, deadline) : config_run(deadline);
    if (e != OK)
        fprintf(stderr, "%s %s\n", err_name(e), trail_text(e, text, sizeof text));
    return e;
}

static bool words_read(int count, char **at)
{
    bool known = false;
    for (size_t i = 0; count > 0 && i < COUNT_OF(calls); i++)
        known = known || strcmp(at[0], calls[i].name) == 0;
    if (!known)
        return false;
    int next = 1;
    want.call = at[0];
    if (strcmp(want.call, "snapshot") == 0 && next < count)
        want.file = at[next++];
    if (count - next < 2 || (strcmp(at[next], "socket") != 0 && strcmp(at[next], "config") != 0))
        return false;
    want.way = at[next];
    want.path = at[next + 1];
    want.context = next + 2 < count ? at[next + 2] : NULL;
    return true;
}

static ms told(const char *name, ms fallback)
{
    const char *text = getenv(name);
    return text ? strtoll(text, NULL, 10) : fallback;
}

int main(int argc, char **argv)
{
    if (!words_read(argc - 1, argv + 1)) {
        fprintf(stderr, "usage: talos status|alarms|members|version|snapshot FILE|defragment|disarm socket PATH | config FILE "
                        "[CONTEXT]\n");
        return 2;
    }
    want.timeout = told("ASK_MS", SECONDS(10));
    want.idle = told("IDLE_MS", SECONDS(5));
    log_setup(LOG_WARN, LOG_LOGFMT, 2);
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    return loop_run(main_run, NULL) == OK ? 0 : 1;
}
