/* plan: states in, one step and its reason out. */
#include "agents/guardian/plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const step_names[] = {[GUARDIAN_REST] = "rest",
                                         [GUARDIAN_DOUBT] = "doubt",
                                         [GUARDIAN_COMPACT] = "compact",
                                         [GUARDIAN_DEFRAG] = "defrag",
                                         [GUARDIAN_MOVE_LEADER] = "move-leader",
                                         [GUARDIAN_DISARM] = "disarm"};

const char *guardian_step_name(enum guardian_step s)
{
    return (size_t)s < COUNT_OF(step_names) ? step_names[s] : "unknown";
}

/* --- what follows from a view --- */

const char *guardian_label(const struct guardian_member *m)
{
    return m->name[0] ? m->name : m->endpoint && m->endpoint[0] ? m->endpoint : "unknown";
}

uint64_t guardian_newest_applied(const struct guardian_view *v)
{
    uint64_t newest = 0;
    for (unsigned i = 0; i < v->count; i++)
        newest = v->members[i].up && v->members[i].applied > newest ? v->members[i].applied : newest;
    return newest;
}

int64_t guardian_newest_revision(const struct guardian_view *v)
{
    int64_t newest = 0;
    for (unsigned i = 0; i < v->count; i++)
        newest = v->members[i].up && v->members[i].revision > newest ? v->members[i].revision : newest;
    return newest;
}

static int64_t won_bytes(const struct guardian_member *m)
{
    return m->db_bytes > m->in_use_bytes ? m->db_bytes - m->in_use_bytes : 0;
}

unsigned guardian_fragmentation(const struct guardian_member *m)
{
    return m->db_bytes > 0 ? (unsigned)((double)won_bytes(m) * 100 / (double)m->db_bytes) : 0;
}

/* --- doubts --- */

static bool say(struct text *why, const char *format, ...) PRINTF_LIKE(2, 3);
static bool say(struct text *why, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_addv(why, format, arguments);
    va_end(arguments);
    return false;
}

/* An endpoint that never told who it is may be a second name of a member that is here. */
static bool counts(const struct guardian_member *m)
{
    return m->listed;
}

static const struct guardian_member *nameless(const struct guardian_view *v)
{
    for (unsigned i = 0; i < v->count; i++)
        if (!counts(&v->members[i]) && !v->members[i].up)
            return &v->members[i];
    return NULL;
}

/* An endpoint that has never answered may be this member's. */
static bool say_unseen(const struct guardian_view *v, const struct guardian_member *m, struct text *why)
{
    const struct guardian_member *other = nameless(v);
    if (m->endpoint && m->endpoint[0])
        return say(why, "member %s does not answer: %s", guardian_label(m), m->words);
    if (other)
        return say(why, "member %s is not seen, and %s does not answer: %s", guardian_label(m), other->endpoint, other->words);
    return say(why, "no endpoint of member %s is configured", guardian_label(m));
}

static bool is_seen(const struct guardian_view *v, struct text *why)
{
    if (!v->listed)
        return say(why,
                   v->count && v->members[0].words[0] ? "the list of members cannot be had: %s"
                                                      : "the list of members cannot be had%s",
                   v->count ? v->members[0].words : "");
    for (unsigned i = 0; i < v->count; i++) {
        const struct guardian_member *m = &v->members[i];
        if (counts(m) && !m->up)
            return say_unseen(v, m, why);
    }
    return true;
}

static bool is_sound(const struct guardian_member *m, struct text *why)
{
    const char *name = guardian_label(m);
    if (m->corrupt)
        return say(why, "CORRUPT is raised for member %s: its data differs from the others'", name);
    if (m->is_learner)
        return say(why, "member %s is a learner: the membership is being changed", name);
    if (m->ill)
        return say(why, "member %s says: %s", name, m->words);
    if (m->leader_id == 0)
        return say(why, "member %s knows no leader", name);
    return true;
}

static const struct guardian_member *first_counted(const struct guardian_view *v)
{
    for (unsigned i = 0; i < v->count; i++)
        if (counts(&v->members[i]))
            return &v->members[i];
    return NULL;
}

static bool agrees(const struct guardian_view *v, const struct guardian_member *m, struct text *why)
{
    const struct guardian_member *first = first_counted(v);
    uint64_t newest = guardian_newest_applied(v);
    if (m->cluster_id != first->cluster_id)
        return say(why, "members %s and %s are of different clusters", guardian_label(first), guardian_label(m));
    if (m->leader_id != first->leader_id)
        return say(why, "members %s and %s have different leaders", guardian_label(first), guardian_label(m));
    if (m->applied + ETCD_LAG_MAX < newest)
        return say(why, "member %s is %" PRIu64 " raft entries behind", guardian_label(m), newest - m->applied);
    return true;
}

static unsigned leader_of(const struct guardian_view *v)
{
    unsigned i = 0;
    while (i < v->count && !(counts(&v->members[i]) && v->members[i].leads))
        i++;
    return i;
}

/* All but the NOSPACE alarm. */
static bool is_healthy(const struct guardian_view *v, struct text *why)
{
    if (!is_seen(v, why))
        return false;
    if (!first_counted(v))
        return say(why, "the list of members is empty");
    for (unsigned i = 0; i < v->count; i++)
        if (counts(&v->members[i]) && !is_sound(&v->members[i], why))
            return false;
    for (unsigned i = 0; i < v->count; i++)
        if (counts(&v->members[i]) && !agrees(v, &v->members[i], why))
            return false;
    if (leader_of(v) == v->count)
        return say(why, "the leader is not among the members");
    return true;
}

static const struct guardian_member *out_of_space(const struct guardian_view *v)
{
    for (unsigned i = 0; i < v->count; i++)
        if (v->members[i].nospace)
            return &v->members[i];
    return NULL;
}

bool guardian_view_is_well(const struct guardian_view *v, struct text *why)
{
    const struct guardian_member *full = out_of_space(v);
    if (full)
        return say(why, "NOSPACE is raised for member %s: etcd takes no writes", guardian_label(full));
    return is_healthy(v, why);
}

/* --- what is worth it --- */

/* Of an etcd without dbSizeInUse nothing is known to be won. */
static bool is_worth(const struct guardian_member *m, const struct guardian_rules *r)
{
    if (r->all)
        return true;
    if (m->in_use_bytes <= 0 || won_bytes(m) < r->floor_bytes)
        return false;
    bool fragmented = guardian_fragmentation(m) >= (uint64_t)r->fragmentation;
    bool near_quota = m->quota_bytes > 0 && (double)m->db_bytes * 100 >= (double)m->quota_bytes * (double)r->quota_percent;
    return fragmented || near_quota;
}

static bool is_wanted(const struct guardian_member *m, const struct guardian_rules *r, bool nospace)
{
    return counts(m) && !m->done && (nospace || is_worth(m, r));
}

/* A follower before the leader; count: none. */
static unsigned next_of(const struct guardian_view *v, const struct guardian_rules *r, bool nospace)
{
    unsigned found = v->count;
    for (unsigned i = 0; i < v->count; i++) {
        if (!is_wanted(&v->members[i], r, nospace))
            continue;
        if (!v->members[i].leads)
            return i;
        found = i;
    }
    return found;
}

/* Whom leadership goes to: one that has been done, else any; count: nobody. */
static unsigned heir_of(const struct guardian_view *v)
{
    unsigned found = v->count;
    for (unsigned i = 0; i < v->count; i++) {
        const struct guardian_member *m = &v->members[i];
        if (!counts(m) || m->leads)
            continue;
        if (m->done)
            return i;
        found = found == v->count ? i : found;
    }
    return found;
}

/* --- the decision --- */

static void decide(struct guardian_decision *out, enum guardian_step step, const char *format, ...) PRINTF_LIKE(3, 4);
static void decide(struct guardian_decision *out, enum guardian_step step, const char *format, ...)
{
    va_list arguments;
    out->step = step;
    va_start(arguments, format);
    (void)vsnprintf(out->why, sizeof out->why, format, arguments);
    va_end(arguments);
}

static void decide_member(const struct guardian_view *v, unsigned i, struct guardian_decision *out)
{
    const struct guardian_member *m = &v->members[i];
    out->member = i;
    decide(out, GUARDIAN_DEFRAG, "member %s: %" PRId64 " of %" PRId64 " MiB are unused (%u %%)", guardian_label(m),
           won_bytes(m) >> 20, m->db_bytes >> 20, guardian_fragmentation(m));
}

static void decide_leader(const struct guardian_view *v, const struct guardian_facts *f, unsigned i,
                          struct guardian_decision *out)
{
    unsigned heir = heir_of(v);
    if (heir == v->count) { /* a cluster of one: there is nobody to lead meanwhile */
        decide_member(v, i, out);
        return;
    }
    if (f->moves >= GUARDIAN_MOVES_MAX) {
        decide(out, GUARDIAN_DOUBT, "leadership comes back to member %s", guardian_label(&v->members[i]));
        return;
    }
    out->member = i;
    out->to = heir;
    decide(out, GUARDIAN_MOVE_LEADER, "member %s leads and is next: %s leads meanwhile", guardian_label(&v->members[i]),
           guardian_label(&v->members[heir]));
}

static void decide_next(const struct guardian_view *v, const struct guardian_rules *r, const struct guardian_facts *f,
                        struct guardian_decision *out)
{
    unsigned next = next_of(v, r, out->is_nospace);
    if (out->is_nospace && !f->compacted) {
        out->revision = guardian_newest_revision(v);
        decide(out, GUARDIAN_COMPACT, "NOSPACE is raised: the history up to revision %" PRId64 " goes first", out->revision);
    } else if (next < v->count && v->members[next].leads) {
        decide_leader(v, f, next, out);
    } else if (next < v->count) {
        decide_member(v, next, out);
    } else if (out_of_space(v)) {
        decide(out, GUARDIAN_DISARM, "all members are compacted and defragmented: etcd may write again");
    } else {
        decide(out, GUARDIAN_REST, "nothing is left to be done");
    }
}

static bool is_allowed(const struct guardian_view *v, const struct guardian_rules *r, const struct guardian_facts *f,
                       struct text *why)
{
    const struct guardian_member *full = out_of_space(v);
    if (!is_healthy(v, why))
        return false;
    if (full && !r->nospace)
        return say(why, "NOSPACE is raised for member %s, and backup.etcd.nospace does not allow to end it",
                   guardian_label(full));
    if (!f->fresh_backup && !r->without_backup)
        return say(why, "no verified backup is younger than backup.max_age");
    if (f->snapshotting)
        return say(why, "a snapshot is being taken");
    return true;
}

/* Is there anything at all to be done? CORRUPT is never rested on. */
static bool is_needed(const struct guardian_view *v, const struct guardian_rules *r, const struct guardian_facts *f, bool nospace)
{
    for (unsigned i = 0; i < v->count; i++)
        if (v->members[i].corrupt || (r->defrag && is_wanted(&v->members[i], r, false)))
            return true;
    return out_of_space(v) || (nospace && (!f->compacted || next_of(v, r, true) < v->count));
}

void guardian_plan(const struct guardian_view *v, const struct guardian_rules *r, const struct guardian_facts *f,
                   struct guardian_decision *out)
{
    char storage[GUARDIAN_WHY_MAX];
    struct text why = text_over(storage, sizeof storage);
    *out = (struct guardian_decision){.step = GUARDIAN_REST, .is_nospace = f->is_nospace || out_of_space(v)};
    if (!r->defrag && !r->nospace && !is_needed(v, r, f, out->is_nospace)) {
        decide(out, GUARDIAN_REST, "nothing is allowed");
    } else if (!is_seen(v, &why)) { /* whether it is needed cannot be told */
        decide(out, GUARDIAN_DOUBT, "%s", storage);
    } else if (!is_needed(v, r, f, out->is_nospace)) {
        decide(out, GUARDIAN_REST, "no member has so much unused that a pause is worth it");
    } else if (!is_allowed(v, r, f, &why)) {
        decide(out, GUARDIAN_DOUBT, "%s", storage);
    } else {
        decide_next(v, r, f, out);
    }
}

/* --- a dry run --- */

static void suppose_leader(struct guardian_view *v, unsigned to)
{
    for (unsigned i = 0; i < v->count; i++) {
        v->members[i].leads = i == to;
        v->members[i].leader_id = v->members[to].id;
    }
}

void guardian_suppose(struct guardian_view *v, struct guardian_facts *f, const struct guardian_decision *d)
{
    f->is_nospace = f->is_nospace || d->is_nospace;
    switch (d->step) {
    case GUARDIAN_COMPACT:
        f->compacted = true;
        break;
    case GUARDIAN_DEFRAG:
        v->members[d->member].done = true;
        v->members[d->member].db_bytes = v->members[d->member].in_use_bytes;
        break;
    case GUARDIAN_MOVE_LEADER:
        suppose_leader(v, d->to);
        f->moves++;
        break;
    case GUARDIAN_DISARM:
        for (unsigned i = 0; i < v->count; i++)
            v->members[i].nospace = false;
        break;
    case GUARDIAN_REST:
    case GUARDIAN_DOUBT:
        break;
    }
}
