/* ingest: the agent: one session with the cluster after the other. */
#include "agents/ingest/ingest_internal.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_LEAST_MS SECONDS(1)
#define AGAIN_MOST_MS  SECONDS(30)
#define NAME_BYTES     128

/*   heap       agents objects arena     body            records flight    at once, watch */
static const struct ingest_limits rows[] = {
    {MIB(10), 4, 98304, KIB(512), KIB(256) - SPOOL_OVERHEAD_BYTES, 24576, KIB(512), 32, KIB(128)},
    {MIB(4), 2, 49152, KIB(256), KIB(96) - SPOOL_OVERHEAD_BYTES, 24576, KIB(128), 32, KIB(64)},
    {0, 1, 6144, KIB(64), KIB(32) - SPOOL_OVERHEAD_BYTES, 4096, KIB(48), 8, KIB(16)},
};

const struct ingest_limits *ingest_limits(void)
{
    const struct ingest_limits *row = rows;
    while (mem_profile()->task[TASK_INGEST].heap_bytes < row->heap_least)
        row++;
    return row;
}

/* --- open and close --- */

static err take_memory(struct ingest *in)
{
    in->arena = malloc(in->limits->arena_bytes);
    in->list_arena = malloc(in->limits->arena_bytes);
    in->info = malloc(in->limits->body_bytes);
    in->body = malloc(in->limits->body_bytes);
    if (!in->arena || !in->list_arena || !in->info || !in->body)
        return trail(E_BUDGET, "ingest: no memory for its buffers");
    return ingest_metrics_open(in);
}

static void choose_kinds(struct ingest *in)
{
    enum ingest_kind kind;
    for (unsigned i = 0; i < in->config->ingest.kind_count; i++)
        if (ingest_kind_find(bytes_of(in->config->ingest.kinds[i]), &kind))
            in->kinds[kind].state = KIND_STARTING;
}

err ingest_open(const struct ingest_options *o, struct ingest **out)
{
    *out = NULL;
    struct ingest *in = calloc(1, sizeof *in);
    if (!in)
        return E_BUDGET;
    in->config = o->config;
    in->dns = o->dns;
    in->version = *o->config->ingest.agent_version ? o->config->ingest.agent_version : o->version;
    in->limits = ingest_limits();
    in->lock = -1;
    (void)snprintf(in->host, sizeof in->host, "%s", o->host);
    const char *path = o->config->ingest.spool_path;
    int length = *path ? snprintf(in->folder, sizeof in->folder, "%s", path)
                       : snprintf(in->folder, sizeof in->folder, "%s/ingest", o->config->data);
    sem_init_count(&in->desk, 1);
    lane_open(&in->lane, "ingest files", TASK_INGEST, 2);
    choose_kinds(in);
    err e = length < 0 || (size_t)length + NAME_BYTES >= sizeof in->folder ? trail(E_RANGE, "the path of the spool is too long")
                                                                           : take_memory(in);
    if (e != OK)
        ingest_close(in);
    else
        *out = in;
    return e;
}

void ingest_close(struct ingest *in)
{
    if (!in)
        return;
    ingest_metrics_close(in);
    lane_close(&in->lane);
    free(in->arena);
    free(in->list_arena);
    free(in->info);
    free(in->body);
    free(in);
}

/* --- a session: from the connection to what ends it --- */

static void say(struct ingest *in, const char *what, err e)
{
    char words[sizeof in->why], trailed[288];
    if (e == OK)
        (void)snprintf(words, sizeof words, "%s", what);
    else
        (void)snprintf(words, sizeof words, "%s: %s", what, trail_text(e, trailed, sizeof trailed));
    if (strcmp(words, in->why) != 0 && *words)
        log_warn("nothing is streamed", F("why", words));
    (void)snprintf(in->why, sizeof in->why, "%s", words);
}

/* One replica acts. In a pod the Lease is in its namespace, as the original's. */
static void say_waiting(struct ingest *in, const struct lease_options *o)
{
    char words[320];
    const char *why = lease_why(in->lease), *holder = lease_holder(in->lease);
    struct text t = text_over(words, sizeof words);
    text_addf(&t, "%s the Lease %s/%s", *why ? "cannot have" : "waits for", o->name_space, o->name);
    if (*why)
        text_addf(&t, ": %s", why);
    else if (*holder)
        text_addf(&t, ", held by %s", holder);
    say(in, words, OK);
}

static err become_leader(struct ingest *in)
{
    uint64_t random;
    char identity[sizeof in->host + 24];
    os_random(&random, sizeof random);
    (void)snprintf(identity, sizeof identity, "%s_%016llx", in->host, (unsigned long long)random);
    const char *name_space = kube_namespace(in->kube);
    struct lease_options o = {
        .kube = in->kube, .name_space = *name_space ? name_space : "default", .name = OBSYK_LEASE, .identity = identity};
    TRY(lease_start(&o, &in->lease));
    while (!lease_held(in->lease)) {
        say_waiting(in, &o);
        pulse_rest(TASK_INGEST);
        err e = lease_wait(in->lease, true, loop_now() + SECONDS(5));
        if (e != OK && e != E_TIMEOUT)
            return e;
        trail_clear();
    }
    in->term = lease_terms(in->lease);
    return OK;
}

bool ingest_leads(const struct ingest *in)
{
    return !in->lease || (lease_held(in->lease) && lease_terms(in->lease) == in->term);
}

/* Two hubs that write into one spool destroy it. Replicas that take turns by the Lease may share one. */
static err lock_folder(struct ingest *in)
{
    char path[OS_PATH_MAX + sizeof INGEST_LOCK_NAME];
    uint64_t holder = 0;
    (void)snprintf(path, sizeof path, "%s/" INGEST_LOCK_NAME, in->folder);
    err e = lock_file_open(&in->lane, path, true, loop_now() + INGEST_ASK_MS_MAX, &in->lock, &holder);
    if (e == E_UNSUPPORTED) {
        log_warn("the spool's folder cannot be locked: no other hub may use it", F("path", path), F_ERR(e));
        trail_clear();
        return OK;
    }
    if (e == OK)
        return OK;
    if (e != E_BUSY)
        return trail(e, "locking %s", path);
    e = trail(e, "process %llu holds %s", (unsigned long long)holder, path);
    if (in->lease) /* what is stopped loses its Lease, and keeps its lock */
        return trail(e, "it led before and has not let go; let it go on if it is stopped or frozen, or end it");
    return trail(e, "give each hub an ingest.spool.path of its own, or stop the other one");
}

static err session(struct ingest *in, struct group *helpers, const char **what)
{
    bool by_resource = in->config->ingest.source == INGEST_CRD;
    *what = "the cluster";
    TRY(cluster_connect(in));
    if (by_resource)
        TRY(become_leader(in));
    *what = "the spool";
    TRY(lock_folder(in));
    *what = "the cluster";
    TRY(cluster_identify(in));
    TRY(index_open(in->folder, &in->lane, in->limits->objects, &in->index));
    TRY(kube_watches_open(in->kube, in->arena, in->limits->arena_bytes, &in->watches));
    if (by_resource) {
        TRY(agents_open(in, &in->agents));
        TRY(agents_list(in->agents));
        TRY(group_spawn(helpers, "ObsykAgents", agents_run, in->agents));
    } else {
        TRY(settled_open(in));
        TRY(group_spawn(helpers, "platform credentials", settled_run, in));
    }
    say(in, "", OK);
    return round_run(in);
}

/* Who is closed is seen by nobody any more. Without the Lease nothing more is sent: another replica may have begun. */
static void close_outlets(struct ingest *in)
{
    ms deadline = loop_now() + (ingest_leads(in) ? INGEST_STOP_MS : 0);
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++)
        outlet_stop(in->outlets[i], deadline);
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++) {
        struct outlet *o = in->outlets[i];
        in->outlets[i] = NULL;
        outlet_close(o, deadline);
    }
}

/* The next session lists them all. */
static void forget_kinds(struct ingest *in)
{
    for (enum ingest_kind k = 0; k < INGEST_KIND_COUNT; k++) {
        struct kind *kind = &in->kinds[k];
        *kind = (struct kind){.state = kind->state == KIND_OFF ? KIND_OFF : KIND_STARTING,
                              .changed_at = kind->changed_at,
                              .objects = kind->objects,
                              .up = kind->up};
    }
}

/* The platforms first: they have INGEST_STOP_MS. */
static void session_end(struct ingest *in, struct group *helpers)
{
    fiber_shield();
    in->live = false;
    ingest_metrics_rest(in);
    group_close(helpers);
    close_outlets(in);
    agents_close(in->agents);
    in->agents = NULL;
    struct kube_watches *watches = in->watches;
    struct index *index = in->index;
    in->watches = NULL; /* `ingest status` may look while they close */
    in->index = NULL;
    kube_watches_close(watches);
    index_close(index, loop_now() + SECONDS(1));
    os_file_close(in->lock); /* before the Lease: who gets that may want the same folder */
    in->lock = -1;
    lease_stop(in->lease, loop_now() + SECONDS(1));
    in->lease = NULL;
    cluster_disconnect(in);
    forget_kinds(in);
    fiber_unshield();
}

err ingest_run(void *arg)
{
    struct ingest *in = arg;
    ms pause = AGAIN_LEAST_MS;
    for (;;) {
        struct group helpers = {0};
        ms began = loop_now();
        group_open(&helpers, TASK_INGEST);
        const char *what;
        err e = session(in, &helpers, &what);
        if (e != E_CANCELED)
            say(in, what, e);
        session_end(in, &helpers);
        trail_clear();
        if (e == E_CANCELED)
            return e;
        pulse_rest(TASK_INGEST);
        pause = loop_now() - began > MINUTES(1) ? AGAIN_LEAST_MS : pause;
        TRY(fiber_sleep(loop_now() + pause));
        pause = pause * 2 > AGAIN_MOST_MS ? AGAIN_MOST_MS : pause * 2;
    }
}

/* --- how it is --- */

static bool outlet_is_well(const struct outlet *o, struct text *why)
{
    if (*o->why)
        text_addf(why, "%s: %s", o->name, o->why);
    else if (o->last_snapshot_s == 0)
        text_addf(why, "%s: no snapshot was delivered yet", o->name);
    return !*o->why && o->last_snapshot_s != 0;
}

bool ingest_is_well(void *arg, struct text *why)
{
    struct ingest *in = arg;
    unsigned outlets = 0;
    if (*in->why) {
        text_add(why, in->why);
        return false;
    }
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++) {
        outlets += in->outlets[i] != NULL;
        if (in->outlets[i] && !outlet_is_well(in->outlets[i], why))
            return false;
    }
    if (outlets == 0)
        text_add(why, in->config->ingest.source == INGEST_CRD ? "no ObsykAgent is there" : "starting");
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++)
        if (in->kinds[k].state == KIND_FORBIDDEN || in->kinds[k].state == KIND_FAILING) {
            text_addf(why, in->kinds[k].state == KIND_FAILING ? "%s: the API server fails to list them" : "%s may not be listed",
                      ingest_kinds[k].plural);
            return false;
        }
    return outlets > 0;
}
