/* outlet: one platform: its spool, its snapshot, its sender. */
#include "agents/ingest/ingest_internal.h"

#include "board/rt/log.h"
#include "board/rt/os.h"
#include "board/rt/pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MS_MAX    SECONDS(30)
#define APPEND_MS_MAX  SECONDS(10)
#define AGAIN_LEAST_MS MINUTES(1) /* from one snapshot that something made necessary to the next: doubled each time */
#define AGAIN_MOST_MS  MINUTES(60)
#define CALM_MS        MINUTES(60) /* after which it is the first again */
#define GIVEN_UP_MS                                                                                                              \
    MINUTES(5) /* a snapshot that could not be made, or was refused, is tried again; see outlet_snapshot_refused() */
#define BUFFERS  (ingest_limits()->body_bytes + SPOOL_OVERHEAD_BYTES)
#define SEGMENTS 16

/* --- open and close --- */

/* A folder of its own: a name that is a path's is none of ours (Kubernetes names have no slash). */
static err name_folder(struct outlet *o)
{
    int length = snprintf(o->folder, sizeof o->folder, "%s/%s", o->in->folder, o->name);
    if (length < 0 || (size_t)length + sizeof "/snapshot.json" > sizeof o->folder)
        return trail(E_RANGE, "the path of the spool is too long for %s", o->name);
    char *slash = o->folder + strlen(o->in->folder) + 1;
    while ((slash = strchr(slash, '/')) != NULL)
        *slash = '_';
    return OK;
}

static void note_who_leads(struct outlet *o)
{
    int64_t now = o->in->lease ? lease_transitions(o->in->lease) : 0;
    if (o->in->lease)
        ASSERT(spool_note_set(o->spool, (struct bytes){(const uint8_t *)&now, sizeof now}) == OK);
}

/* What waits since another replica led is older than what that one told. The note says up to when we did: each start takes the
 * Lease once. */
static void drop_if_others_led(struct outlet *o)
{
    struct spool_stats s;
    struct bytes note = spool_note_get(o->spool);
    int64_t now = lease_transitions(o->in->lease), then = -1;
    if (note.len == sizeof then)
        memcpy(&then, note.at, sizeof then);
    spool_look(o->spool, &s);
    if (then != now && then != now - 1 && s.depth > 0) {
        log_info("another replica led since: what waits is older than the snapshot, and is dropped", F("agent", o->name),
                 F_U64("events", s.depth));
        err_ignore(spool_clear(o->spool, loop_now() + APPEND_MS_MAX)); /* it is empty all the same */
    }
    note_who_leads(o);
    err_ignore(spool_flush(o->spool, loop_now() + APPEND_MS_MAX)); /* else it is written with what comes */
    trail_clear();
}

/* A snapshot is made at each start, and takes the place of what was there. */
static void tell_oversized(const struct outlet *o)
{
    struct spool_stats s;
    spool_look(o->spool, &s);
    if (s.oversized == 0)
        return;
    series_add(o->in->oversized, (double)s.oversized);
    log_warn("the spool is a larger profile's: it is emptied, and a fresh snapshot takes its place", F("agent", o->name),
             F_U64("oversized", s.oversized), F_U64("dropped", s.dropped));
}

static err open_spool(struct outlet *o, ms deadline)
{
    const struct ingest *in = o->in;
    char identity[SPOOL_IDENTITY_MAX + 1];
    uint64_t bytes_max = (uint64_t)in->config->ingest.spool_bytes_max, segment = bytes_max / SEGMENTS;
    (void)snprintf(identity, sizeof identity, "%s %s", in->cluster_uid, o->set.platform_url);
    struct spool_options options = {.folder = o->folder,
                                    .identity = identity,
                                    .lane = &o->lane,
                                    .task = TASK_INGEST,
                                    .bytes_max = bytes_max,
                                    .segment_bytes =
                                        size_max(2 * BUFFERS, segment > SPOOL_SEGMENT_MAX ? SPOOL_SEGMENT_MAX : segment),
                                    .buffer_bytes = BUFFERS,
                                    .records_max = in->limits->records,
                                    .gather_ms = SPOOL_GATHER_MS_MIN};
    options.bytes_max = options.bytes_max < 4 * options.segment_bytes ? 4 * options.segment_bytes : options.bytes_max;
    TRY(spool_open(&options, deadline, &o->spool));
    tell_oversized(o);
    if (in->lease)
        drop_if_others_led(o);
    return OK;
}

static err open_file(struct outlet *o)
{
    char path[OS_PATH_MAX + sizeof "/snapshot.json"];
    (void)snprintf(path, sizeof path, "%s/snapshot.json", o->folder);
    return snapshot_file_open(path, &o->lane, (uint64_t)o->in->config->ingest.snapshot_bytes_max, &o->file);
}

/* Another replica may speak from then on. */
static ms ours_until(const void *arg)
{
    const struct ingest *in = arg;
    return in->lease && ingest_leads(in) ? lease_until(in->lease) : 0;
}

static err open_platform(struct outlet *o)
{
    struct ingest *in = o->in;
    bool plaintext = in->config->ingest.allow_plaintext;
    if (strncmp(o->set.platform_url, "https:", 6) == 0 && !in->tls)
        return trail(E_CONFIG, "this machine has no certificates of its own; say in ingest.ca which sign the platform's");
    struct oauth2_options tokens = {
        .platform_url = o->set.platform_url, .dns = in->dns, .tls = in->tls, .allow_plaintext = plaintext, .task = TASK_INGEST};
    TRY(oauth2_open(&tokens, &o->oauth2));
    struct deliver_options options = {.platform_url = o->set.platform_url,
                                      .dns = in->dns,
                                      .tls = in->tls,
                                      .allow_plaintext = plaintext,
                                      .oauth2 = o->oauth2,
                                      .files = &o->lane,
                                      .in_flight_max = in->limits->in_flight,
                                      .until = in->lease ? ours_until : NULL,
                                      .until_arg = in};
    return deliver_open(&options, &o->deliver);
}

static err open_parts(struct outlet *o, ms deadline)
{
    TRY(name_folder(o));
    TRY(open_platform(o));
    TRY(open_spool(o, deadline));
    TRY(open_file(o));
    TRY(outlet_metrics_open(o));
    o->bodies = malloc(o->in->limits->flight_bytes);
    if (!o->bodies)
        return trail(E_BUDGET, "no memory for the events on their way to %s", o->name);
    return group_spawn(&o->sender, "platform sender", outlet_run, o);
}

err outlet_open(struct ingest *in, const char *name, const struct outlet_settings *set, ms deadline, struct outlet **out)
{
    *out = NULL;
    struct outlet *o = calloc(1, sizeof *o);
    if (!o)
        return E_BUDGET;
    o->in = in;
    o->set = *set;
    (void)snprintf(o->name, sizeof o->name, "%s", name);
    lane_open(&o->lane, "ingest spool", TASK_INGEST, 2);
    group_open(&o->sender, TASK_INGEST);
    rate_start(&o->rate, set->events_per_second, set->burst_size, loop_now());
    o->wanted_at = loop_now();
    err e = open_parts(o, deadline);
    if (e == OK)
        *out = o;
    else
        outlet_close(o, deadline);
    return e;
}

void outlet_stop(struct outlet *o, ms deadline)
{
    if (!o || o->stop_at)
        return;
    o->stop_at = deadline;
    group_cancel(&o->sender);
}

struct empty_job {
    char folder[OS_PATH_MAX];
};

static bool is_spools(const char *name)
{
    size_t length = strlen(name), tail = sizeof ".spool" - 1;
    return length > tail && strcmp(name + length - tail, ".spool") == 0;
}

/* One at a time, and from the start: the folder changes under the cursor. */
static err run_empty(void *arg)
{
    struct empty_job *j = arg;
    for (unsigned i = 0; i < SPOOL_SEGMENTS_MAX; i++) {
        char name[OS_NAME_MAX], path[OS_PATH_MAX + OS_NAME_MAX + 1];
        uint64_t cursor = 0;
        do
            TRY(os_list(j->folder, &cursor, name));
        while (*name && !is_spools(name));
        if (!*name)
            return OK;
        (void)snprintf(path, sizeof path, "%s/%s", j->folder, name);
        TRY(os_unlink(path));
    }
    return OK;
}

/* The spool is closed. */
static void empty_folder(struct outlet *o)
{
    struct empty_job j;
    (void)snprintf(j.folder, sizeof j.folder, "%s", o->folder);
    err e = lane_call(&o->lane, run_empty, &j, sizeof j, NULL, loop_now() + FILE_MS_MAX);
    if (e != OK)
        log_warn("the spool of a deleted ObsykAgent cannot be removed", F("folder", o->folder), F_ERR(e));
    trail_clear();
}

void outlet_close(struct outlet *o, ms deadline)
{
    if (!o)
        return;
    fiber_shield();
    outlet_stop(o, deadline);
    group_close(&o->sender);
    spool_close(o->spool, loop_now() + SECONDS(1));
    if (o->gone)
        empty_folder(o);
    snapshot_file_close(o->file, loop_now() + SECONDS(1));
    deliver_close(o->deliver);
    oauth2_close(o->oauth2);
    outlet_metrics_close(o);
    lane_close(&o->lane);
    free(o->bodies);
    free(o);
    fiber_unshield();
}

void outlet_change(struct outlet *o, const struct outlet_settings *set)
{
    bool renamed = strcmp(o->set.cluster_name, set->cluster_name) != 0;
    ASSERT(strcmp(o->set.platform_url, set->platform_url) == 0);
    rate_change(&o->rate, set->events_per_second, set->burst_size, loop_now());
    ms heartbeat = o->heartbeat_at - o->set.sync_interval_ms + set->sync_interval_ms;
    o->heartbeat_at = heartbeat < o->heartbeat_at ? heartbeat : o->heartbeat_at;
    o->set = *set;
    if (renamed)
        o->wanted_at = loop_now();
}

void outlet_envelope(const struct outlet *o, struct envelope *out)
{
    const struct ingest *in = o->in;
    *out =
        (struct envelope){.cluster_uid = in->cluster_uid,
                          .cluster_name = o->set.cluster_name,
                          .agent_version = in->version,
                          .kubernetes_version = in->kubernetes_version,
                          .platform = in->platform,
                          .region = in->region,
                          .types = in->config->ingest.event_types == INGEST_TYPES_UPPER ? EVENT_TYPES_UPPER : EVENT_TYPES_LOWER};
}

/* --- what changes --- */

bool outlet_is_told(const struct outlet *o)
{
    bool in_round = o && (o->state == OUTLET_LISTING || o->state == OUTLET_GIVEN_UP);
    return o && (o->state == OUTLET_LIVE || (in_round && o->live_before));
}

err outlet_append(struct outlet *o, enum ingest_change change, const uint8_t key[INDEX_KEY_BYTES], struct bytes body)
{
    static const enum spool_type types[] = {
        [INGEST_ADDED] = SPOOL_ADDED, [INGEST_MODIFIED] = SPOOL_MODIFIED, [INGEST_DELETED] = SPOOL_DELETED};
    uint64_t seq;
    err e = spool_append(o->spool, key, types[change], body, loop_now() + APPEND_MS_MAX, &seq);
    if (e == OK || e == E_CANCELED)
        return e;
    char trailed[128];
    outlet_lose(o, trail_text(e, trailed, sizeof trailed));
    if (e != E_FULL) /* of a sick disk: not again and again */
        o->wanted_at = loop_now() + AGAIN_LEAST_MS;
    trail_clear();
    return OK;
}

void outlet_want_snapshot(struct outlet *o)
{
    ms now = loop_now(), pause = 0;
    if (o->wanted_at)
        return;
    if (o->wanted_times > 0 && now - o->wanted_last < CALM_MS) {
        pause = AGAIN_LEAST_MS << (o->wanted_times > 7 ? 6 : o->wanted_times - 1);
        pause = pause > AGAIN_MOST_MS ? AGAIN_MOST_MS : pause;
    } else
        o->wanted_times = 0;
    o->wanted_times++;
    o->wanted_last = now;
    o->wanted_at = now + pause;
}

void outlet_lose(struct outlet *o, const char *why)
{
    log_warn("events cannot be kept: a fresh snapshot takes their place once the platform answers", F("agent", o->name),
             F("why", why));
    o->state = OUTLET_EMPTY;
    o->lost = true;
    o->snapshot_waits = false;
    o->wanted_at = o->heartbeat_at = loop_now(); /* a heartbeat shows whether it is there */
    fiber_shield();
    err e = spool_clear(o->spool, loop_now() + APPEND_MS_MAX);
    fiber_unshield();
    note_who_leads(o);
    if (e != OK)
        log_warn("the spool could not be emptied on the disk", F("agent", o->name), F_ERR(e));
    trail_clear();
}

/* --- a snapshot --- */

err outlet_begin_snapshot(struct outlet *o)
{
    struct envelope e;
    outlet_envelope(o, &e);
    o->wanted_at = 0;
    o->live_before = o->state == OUTLET_LIVE && index_is_whole(o->in->index); /* else all that it lacks would seem new */
    o->state = OUTLET_LISTING;
    o->snapshot_waits = false; /* of the one before: its file is gone */
    return snapshot_file_begin(o->file, &e, loop_now() + FILE_MS_MAX);
}

err outlet_finish_snapshot(struct outlet *o)
{
    uint64_t seq;
    TRY(snapshot_file_finish(o->file, loop_now() + FILE_MS_MAX));
    TRY(spool_mark(o->spool, loop_now() + APPEND_MS_MAX, &seq));
    o->snapshot_place = spool_marked(o->spool);
    o->state = OUTLET_LIVE;
    o->snapshot_waits = true;
    o->too_large = false;
    series_set(o->series.too_large, 0);
    series_set(o->series.snapshot_bytes, (double)snapshot_file_bytes(o->file));
    return OK;
}

/* Five minutes, ten, twenty … an hour: it is read from the API server, written and sent in vain each time. */
void outlet_snapshot_refused(struct outlet *o)
{
    char at[TIME_TEXT_MAX];
    ms pause = GIVEN_UP_MS << (o->refusals < 4 ? o->refusals : 4);
    pause = pause > AGAIN_MOST_MS ? AGAIN_MOST_MS : pause;
    o->refusals++;
    o->wanted_at = loop_now() + pause;
    text_rfc3339((loop_wall_ms() + pause) / 1000, at, sizeof at);
    size_t length = strlen(o->why);
    (void)snprintf(o->why + length, sizeof o->why - length, "; the next is made at %s", at);
    bell_ring(&o->in->agents_bell);
}

/* Changes are told all the same: what the platform has is older, not false. */
void outlet_give_up_snapshot(struct outlet *o, err why)
{
    char trailed[96];
    o->too_large = why == E_RANGE;
    o->snapshot_failed = true;
    o->snapshot_waits = false;
    series_set(o->series.too_large, o->too_large);
    series_add(o->series.snapshot_failures, 1);
    if (o->too_large)
        (void)snprintf(o->why, sizeof o->why, "the snapshot is larger than ingest.snapshot_bytes_max, and is not sent");
    else
        (void)snprintf(o->why, sizeof o->why, "the snapshot cannot be made: %s", trail_text(why, trailed, sizeof trailed));
    trail_clear();
    o->state = OUTLET_GIVEN_UP;                   /* who had none yet is not told each listed object as new */
    o->refusals = o->too_large ? o->refusals : 0; /* a disk may have room soon */
    outlet_snapshot_refused(o);
    log_error("no snapshot", F("agent", o->name), F("why", o->why));
}

/* --- what was told --- */

bool outlet_told(struct outlet *o, bool *flag, const char *what, const struct deliver_result *r)
{
    bool good = r->outcome == DELIVER_GOOD, was = *flag;
    if (r->outcome == DELIVER_LATER && r->reason == DELIVER_REASON_STOPPED)
        return false;
    *flag = !good;
    if (good && !o->snapshot_failed && !o->heartbeat_failed)
        o->why[0] = 0;
    if (!good && r->status)
        (void)snprintf(o->why, sizeof o->why, "%s: %s (%u)", what, deliver_reason_text(r->reason), r->status);
    else if (!good)
        (void)snprintf(o->why, sizeof o->why, "%s: %s", what, deliver_reason_text(r->reason));
    if (!good && !was)
        log_warn("the platform does not take it", F("agent", o->name), F("why", o->why), F_U64("attempts", r->attempts),
                 F("answer", deliver_health(o->deliver)->answer));
    if (good && was)
        log_info("the platform takes it again", F("agent", o->name), F("what", what));
    if (was != *flag)
        bell_ring(&o->in->agents_bell);
    return good;
}
