/* lease: leader election as client-go has it (tools/leaderelection): who holds it is told by the object, how long by our clock.
 */
#include "net/api/kube/lease.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/sync.h"
#include "board/rt/text.h"
#include "net/format/json_write.h"

#include <stdlib.h>
#include <string.h>

#define LEASE_MS      SECONDS(15)
#define RENEW_MS      SECONDS(10)
#define RETRY_MS      SECONDS(2)
#define RELEASE_TRIES 3
#define LEASE_S_MAX   3600 /* what another holder's duration is cut to */
#define BODY_MAX      1536
#define ARENA_MAX     KIB(4)
#define MICROTIME_MAX 40

struct record { /* of the object, as last seen */
    char holder[KUBE_NAME_MAX];
    char version[KUBE_OPAQUE_MAX];
    char renewed[MICROTIME_MAX];
    int64_t transitions, duration_s;
    bool there;
};

struct lease {
    struct kube *kube;
    char name_space[KUBE_NAME_MAX], name[KUBE_NAME_MAX], identity[KUBE_NAME_MAX];
    char path[KUBE_PATH_MAX], collection[KUBE_PATH_MAX];
    ms lease_ms, renew_ms, retry_ms;
    struct group group;
    struct waitq changed;
    struct record record;
    ms observed_at; /* the record changed */
    ms until;       /* we hold it; 0: not */
    uint64_t terms;
    char why[256];
    uint64_t arena[ARENA_MAX / sizeof(uint64_t)];
};

static const struct kube_resource leases = {"coordination.k8s.io", "v1", "leases", true};
static const struct pick_field metadata_fields[] = {{"resourceVersion", PICK_SCALAR, NULL}, {NULL, PICK_SCALAR, NULL}};
static const struct pick_field spec_fields[] = {{"holderIdentity", PICK_SCALAR, NULL},
                                                {"leaseDurationSeconds", PICK_SCALAR, NULL},
                                                {"leaseTransitions", PICK_SCALAR, NULL},
                                                {"renewTime", PICK_SCALAR, NULL},
                                                {NULL, PICK_SCALAR, NULL}};
static const struct pick_field lease_fields[] = {
    {"metadata", PICK_OBJECT, metadata_fields}, {"spec", PICK_OBJECT, spec_fields}, {NULL, PICK_SCALAR, NULL}};

/* --- the object --- */

static bool text_keep(const struct pick_node *object, const char *path, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    text_add_bytes(&t, pick_text_at(object, path));
    return !t.cut;
}

static err record_take(struct lease *l, const struct pick_node *object)
{
    struct record r = {.there = true};
    if (!text_keep(object, "spec.holderIdentity", r.holder, sizeof r.holder) ||
        !text_keep(object, "metadata.resourceVersion", r.version, sizeof r.version) ||
        !text_keep(object, "spec.renewTime", r.renewed, sizeof r.renewed))
        return trail(E_RANGE, "lease %s/%s: a holder or resourceVersion that is too long", l->name_space, l->name);
    if (!pick_to_i64(pick_at(object, "spec.leaseDurationSeconds"), &r.duration_s) || r.duration_s < 0)
        r.duration_s = 0;
    if (r.duration_s > LEASE_S_MAX)
        r.duration_s = LEASE_S_MAX;
    if (!pick_to_i64(pick_at(object, "spec.leaseTransitions"), &r.transitions))
        r.transitions = 0;
    if (strcmp(r.version, l->record.version) != 0 || !l->record.there)
        l->observed_at = loop_now();
    l->record = r;
    return OK;
}

static struct kube_into into(struct lease *l)
{
    return (struct kube_into){.fields = lease_fields, .arena = l->arena, .arena_bytes = sizeof l->arena};
}

static err record_get(struct lease *l, ms deadline)
{
    struct kube_into answer = into(l);
    err e = kube_ask(l->kube, KUBE_GET, l->path, (struct bytes){.len = 0}, &answer, deadline);
    if (e == E_ABSENT) {
        trail_clear();
        l->record = (struct record){.there = false};
        return OK;
    }
    return e == OK ? record_take(l, answer.object) : e;
}

/* metav1.MicroTime. What others do with it is theirs: we count by our own clock. */
static void microtime(char *out, size_t cap)
{
    int64_t now = loop_wall_ms();
    struct text t = text_over(out, cap);
    char seconds[TIME_TEXT_MAX];
    text_rfc3339(now / 1000, seconds, sizeof seconds);
    text_addf(&t, "%.19s.%03d000Z", seconds, (int)(now % 1000));
}

static void spec_write(struct json_writer *w, const struct lease *l, bool release)
{
    char now[MICROTIME_MAX];
    bool taken = strcmp(l->record.holder, l->identity) != 0;
    microtime(now, sizeof now);
    json_key(w, "spec");
    json_object(w);
    json_put_text(w, "holderIdentity", release ? "" : l->identity);
    json_put_i64(w, "leaseDurationSeconds", release ? 1 : l->lease_ms / 1000);
    json_put_text(w, "renewTime", now);
    if (taken || release)
        json_put_text(w, "acquireTime", now);
    if (taken)
        json_put_i64(w, "leaseTransitions", l->record.transitions + l->record.there);
    json_object_end(w);
}

/* Creates it, or patches it where it still has the version that we saw. */
static err record_put(struct lease *l, bool release, ms deadline)
{
    char body[BODY_MAX];
    struct text t = text_over(body, sizeof body);
    struct json_writer w = json_write_to(&t);
    struct kube_into answer = into(l);
    bool there = l->record.there;
    json_object(&w);
    if (!there) {
        json_put_text(&w, "apiVersion", "coordination.k8s.io/v1");
        json_put_text(&w, "kind", "Lease");
    }
    json_key(&w, "metadata");
    json_object(&w);
    json_put_text(&w, there ? "resourceVersion" : "name", there ? l->record.version : l->name);
    json_object_end(&w);
    spec_write(&w, l, release);
    json_object_end(&w);
    ASSERT(json_done(&w));
    TRY(kube_ask(l->kube, there ? KUBE_PATCH : KUBE_CREATE, there ? l->path : l->collection, bytes_of(body), &answer, deadline));
    return record_take(l, answer.object);
}

/* --- the election --- */

static bool is_free(const struct lease *l)
{
    const struct record *r = &l->record;
    return !r->there || !r->holder[0] || strcmp(r->holder, l->identity) == 0 ||
           loop_now() >= l->observed_at + SECONDS(r->duration_s);
}

static void held_set(struct lease *l, ms until)
{
    bool was = l->until != 0;
    l->until = until;
    if (!was && until) {
        l->terms++;
        log_info("the lease is ours", F("lease", l->name), F("identity", l->identity));
    }
    if (was != (until != 0))
        waitq_wake_all(&l->changed);
}

/* Tries to take it, or to hold it on. From when it is held is counted from before it was asked for. */
static err turn(struct lease *l)
{
    ms from = loop_now(), deadline = from + (l->until ? ms_min(l->renew_ms, l->until - from) : l->renew_ms);
    if (!l->until || !l->record.there)
        TRY(record_get(l, deadline));
    if (!is_free(l))
        return OK;
    from = loop_now();
    err e = record_put(l, false, deadline);
    if (e == E_AGAIN || e == E_EXISTS) { /* another one wrote: look again */
        trail_clear();
        TRY(record_get(l, deadline));
        if (strcmp(l->record.holder, l->identity) != 0 && l->record.there) {
            held_set(l, 0);
            return OK;
        }
        from = loop_now();
        e = record_put(l, false, deadline);
    }
    if (e == OK)
        held_set(l, from + l->renew_ms);
    return e;
}

static void lost_by_time(struct lease *l)
{
    if (!l->until || loop_now() < l->until)
        return;
    log_warn("the lease could not be renewed in time: it is no longer ours", F("lease", l->name), F("error", l->why));
    held_set(l, 0);
}

static err lease_run(void *arg)
{
    struct lease *l = arg;
    for (;;) {
        err e = turn(l);
        if (e == E_CANCELED)
            return e;
        if (e != OK) {
            (void)trail_text(e, l->why, sizeof l->why);
            trail_clear();
            log_warn("the lease cannot be read or written", F("lease", l->name), F("code", err_name(e)), F("error", l->why));
        } else
            l->why[0] = 0;
        lost_by_time(l);
        uint32_t random;
        os_random(&random, sizeof random);
        ms at = loop_now() + l->retry_ms + (ms)(random % (uint32_t)(l->retry_ms / 5 + 1));
        if (l->until)
            at = ms_min(at, l->until);
        TRY(fiber_sleep(at));
        lost_by_time(l);
    }
}

/* --- start and stop --- */

static bool copy(char *out, size_t cap, const char *from)
{
    struct text t = text_over(out, cap);
    text_add(&t, from);
    return t.len > 0 && !t.cut;
}

static err options_take(struct lease *l, const struct lease_options *o)
{
    l->kube = o->kube;
    l->lease_ms = o->lease_ms ? o->lease_ms : LEASE_MS;
    l->renew_ms = o->renew_ms ? o->renew_ms : RENEW_MS;
    l->retry_ms = o->retry_ms ? o->retry_ms : RETRY_MS;
    ASSERT(l->retry_ms > 0 && l->retry_ms < l->renew_ms && l->renew_ms < l->lease_ms);
    if (!copy(l->name_space, sizeof l->name_space, o->name_space) || !copy(l->name, sizeof l->name, o->name) ||
        !copy(l->identity, sizeof l->identity, o->identity) || !kube_path(&leases, l->name_space, l->name, NULL, l->path) ||
        !kube_path(&leases, l->name_space, NULL, NULL, l->collection))
        return trail(E_CONFIG, "lease \"%.60s\" in namespace \"%.60s\" for \"%.60s\": a name is empty, too long, or none",
                     o->name, o->name_space, o->identity);
    return OK;
}

err lease_start(const struct lease_options *o, struct lease **out)
{
    struct lease *l = calloc(1, sizeof *l);
    *out = NULL;
    if (!l)
        return E_BUDGET;
    err e = options_take(l, o);
    if (e == OK) {
        group_open(&l->group, mem_task());
        e = group_spawn(&l->group, "lease", lease_run, l);
    }
    if (e == OK)
        *out = l;
    else
        free(l);
    return e;
}

/* The fiber may have ended while a renewal of its own was under way, and the server takes that all the same: then ours is refused
 * for its version, and is tried again with the one that is there. */
static err release(struct lease *l, ms deadline)
{
    err e = record_put(l, true, deadline);
    for (int tries = 1; e == E_AGAIN && tries < RELEASE_TRIES; tries++) {
        TRY(record_get(l, deadline));
        if (!l->record.there || strcmp(l->record.holder, l->identity) != 0)
            return OK; /* another's by now */
        e = record_put(l, true, deadline);
    }
    return e;
}

void lease_stop(struct lease *l, ms deadline)
{
    if (!l)
        return;
    group_close(&l->group);
    fiber_shield();
    uint64_t mark = trail_mark();
    err e = lease_held(l) ? release(l, deadline) : OK;
    if (e != OK)
        log_info("the lease could not be given up; it ends by itself", F("lease", l->name), F_ERR(e));
    trail_rewind(mark);
    fiber_unshield();
    l->until = 0;
    waitq_wake_all(&l->changed);
    free(l);
}

bool lease_held(const struct lease *l)
{
    return l->until > loop_now();
}

ms lease_until(const struct lease *l)
{
    return lease_held(l) ? l->until : 0;
}

err lease_wait(struct lease *l, bool held, ms deadline)
{
    while (lease_held(l) != held) {
        ms until = !held && l->until ? ms_min(deadline, l->until) : deadline;
        err e = waitq_wait(&l->changed, until);
        if (e != OK && (e != E_TIMEOUT || loop_now() >= deadline))
            return lease_held(l) == held ? OK : e;
    }
    return OK;
}

const char *lease_holder(const struct lease *l)
{
    return l->record.holder;
}

const char *lease_why(const struct lease *l)
{
    return l->why;
}

int64_t lease_transitions(const struct lease *l)
{
    return l->record.transitions;
}

uint64_t lease_terms(const struct lease *l)
{
    return l->terms;
}
