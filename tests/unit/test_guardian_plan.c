/* What the guardian does next: members' states in, a step and its reason out. */
#include "agents/guardian/plan.h"

#include "tests/unit/check.h"

#include <string.h>

/* A member is written as a word: its letters change a healthy follower with nothing to win.
 *   L leads           d down             l learner         i ill             n NOSPACE      c CORRUPT
 *   f half unused     s half unused, but little            q near its quota, a fifth unused (the quota is known)
 *   u as q, quota unknown     b 2000 entries behind        k just close enough
 *   x of another cluster      z knows no leader            o thinks another one leads       D done
 *   e no endpoint     a an endpoint that never told who it is        0 size in use is not told */
static struct guardian_member member(const char *word, unsigned i)
{
    struct guardian_member m = {
        .id = i + 1, .listed = true, .up = true, .endpoint = "http://m", .cluster_id = 9, .applied = 90000};
    (void)snprintf(m.name, sizeof m.name, "m%u", i);
    m.db_bytes = MIB(400);
    m.in_use_bytes = MIB(390);
    m.revision = 1000 + (int64_t)i;
    for (const char *c = word; *c; c++)
        switch (*c) {
        case 'L':
            m.leads = true;
            break;
        case 'd':
            m.up = false;
            (void)snprintf(m.words, sizeof m.words, "connection refused");
            break;
        case 'l':
            m.is_learner = true;
            break;
        case 'i':
            m.ill = true;
            (void)snprintf(m.words, sizeof m.words, "etcdserver: no leader");
            break;
        case 'n':
            m.nospace = true;
            break;
        case 'c':
            m.corrupt = true;
            break;
        case 'f':
            m.in_use_bytes = MIB(200);
            break;
        case 's':
            m.db_bytes = MIB(100);
            m.in_use_bytes = MIB(50);
            break;
        case 'q':
            m.quota_bytes = MIB(500);
            m.in_use_bytes = MIB(300);
            break;
        case 'u':
            m.in_use_bytes = MIB(300);
            break;
        case 'b':
            m.applied -= 2000;
            break;
        case 'k':
            m.applied -= ETCD_LAG_MAX;
            break;
        case 'x':
            m.cluster_id = 8;
            break;
        case 'D':
            m.done = true;
            break;
        case 'e':
            m.up = false;
            m.endpoint = "";
            break;
        case 'a':
            m.up = m.listed = false;
            m.id = 0;
            m.name[0] = 0;
            break;
        case '0':
            m.in_use_bytes = 0;
            break;
        default:
            break; /* z, o: below */
        }
    return m;
}

static uint64_t leader_for(const char *word, uint64_t leader)
{
    return strchr(word, 'z') ? 0 : strchr(word, 'o') ? 77 : leader;
}

static struct guardian_view view(const char *const words[])
{
    struct guardian_view v = {.listed = true, .at = 1};
    uint64_t leader = 0;
    for (; words[v.count]; v.count++) {
        v.members[v.count] = member(words[v.count], v.count);
        leader = v.members[v.count].leads ? v.members[v.count].id : leader;
    }
    leader = leader ? leader : 66; /* of whom nothing is seen */
    for (unsigned i = 0; i < v.count; i++)
        v.members[i].leader_id = leader_for(words[i], leader);
    return v;
}

enum { FRESH = 1, SNAPSHOT = 2, COMPACTED = 4, CHAIN = 8, MOVED = 16, MOVED_OFTEN = 32 }; /* facts */
enum { DEFRAG = 1, ALL = 2, NOSPACE = 4, WITHOUT = 8 };                                   /* rules */

static const struct plan_case {
    const char *name, *members[6];
    unsigned rules, facts;
    enum guardian_step step;
    unsigned member, to;
    const char *why;
} cases[] = {
    /* nothing to do */
    {"all is well", {"L", "", ""}, DEFRAG, FRESH, GUARDIAN_REST, 0, 0, "worth it"},
    {"fragmented, but not allowed", {"Lf", "f", "f"}, 0, FRESH, GUARDIAN_REST, 0, 0, "nothing is allowed"},
    {"half unused, below the floor", {"Ls", "s", "s"}, DEFRAG, FRESH, GUARDIAN_REST, 0, 0, "worth it"},
    {"the quota is unknown, so its rule rests", {"Lu", "u", "u"}, DEFRAG, FRESH, GUARDIAN_REST, 0, 0, "worth it"},
    {"what is in use is not told", {"L0", "0", "0"}, DEFRAG, FRESH, GUARDIAN_REST, 0, 0, "worth it"},
    {"a member is down, and nothing to do", {"L", "d", ""}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "m1 does not answer"},
    {"all were done", {"LfD", "fD", "fD"}, DEFRAG, FRESH, GUARDIAN_REST, 0, 0, "worth it"},
    {"no backup, and nothing to do", {"L", "", ""}, DEFRAG, 0, GUARDIAN_REST, 0, 0, "worth it"},
    /* one by one */
    {"the first follower", {"Lf", "f", "f"}, DEFRAG, FRESH, GUARDIAN_DEFRAG, 1, 0, "200 of 400 MiB are unused (50 %)"},
    {"then the second", {"Lf", "fD", "f"}, DEFRAG, FRESH, GUARDIAN_DEFRAG, 2, 0, "member m2"},
    {"then leadership moves to one that is done",
     {"Lf", "", "fD"},
     DEFRAG,
     FRESH,
     GUARDIAN_MOVE_LEADER,
     0,
     2,
     "m2 leads meanwhile"},
    {"then the old leader", {"f", "fD", "LfD"}, DEFRAG, FRESH | MOVED, GUARDIAN_DEFRAG, 0, 0, "member m0"},
    {"only the one that is worth it", {"L", "", "f"}, DEFRAG, FRESH, GUARDIAN_DEFRAG, 2, 0, "member m2"},
    {"only the leader is worth it", {"Lf", "", ""}, DEFRAG, FRESH, GUARDIAN_MOVE_LEADER, 0, 1, "m0 leads and is next"},
    {"the leader in the middle", {"D", "Lf", "D"}, DEFRAG, FRESH, GUARDIAN_MOVE_LEADER, 1, 0, "m1 leads"},
    {"a cluster of one", {"Lf"}, DEFRAG, FRESH, GUARDIAN_DEFRAG, 0, 0, "member m0"},
    {"of two the follower", {"Lf", "f"}, DEFRAG, FRESH, GUARDIAN_DEFRAG, 1, 0, "member m1"},
    {"of two the leader last", {"Lf", "fD"}, DEFRAG, FRESH, GUARDIAN_MOVE_LEADER, 0, 1, "m1 leads meanwhile"},
    {"near the quota the floor decides", {"L", "q", ""}, DEFRAG, FRESH, GUARDIAN_DEFRAG, 1, 0, "(25 %)"},
    {"each, whatever there is to win", {"L", "", ""}, DEFRAG | ALL, FRESH, GUARDIAN_DEFRAG, 1, 0, "10 of 400 MiB"},
    {"each was done", {"LD", "D", "D"}, DEFRAG | ALL, FRESH, GUARDIAN_REST, 0, 0, "worth it"},
    {"just close enough", {"Lf", "fk", ""}, DEFRAG, FRESH, GUARDIAN_DEFRAG, 1, 0, "member m1"},
    {"a dead second name of a member", {"L", "f", "", "ad"}, DEFRAG, FRESH, GUARDIAN_DEFRAG, 1, 0, "member m1"},
    /* doubts */
    {"leadership comes back", {"Lf", "fD", "fD"}, DEFRAG, FRESH | MOVED_OFTEN, GUARDIAN_DOUBT, 0, 0, "comes back to member m0"},
    {"a follower is down", {"Lf", "d", ""}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "m1 does not answer: connection refused"},
    {"the one to be done is down", {"L", "fd", ""}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "m1 does not answer"},
    {"the leader is down", {"f", "f", "Ld"}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "m2 does not answer"},
    {"a member without an endpoint", {"Lf", "e", ""}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "no endpoint of member m1"},
    {"a member behind an endpoint that never told",
     {"Lf", "e", "ad"},
     DEFRAG,
     FRESH,
     GUARDIAN_DOUBT,
     0,
     0,
     "m1 is not seen, and http://m does not answer: connection refused"},
    {"a learner", {"Lf", "f", "l"}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "m2 is a learner"},
    {"an ill member", {"Lf", "f", "i"}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "m2 says: etcdserver: no leader"},
    {"one that knows no leader", {"Lf", "f", "z"}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "m2 knows no leader"},
    {"two leaders", {"Lf", "f", "o"}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "m0 and m2 have different leaders"},
    {"a leader nobody sees", {"f", "f"}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "not among the members"},
    {"two clusters", {"Lf", "x", "f"}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "m0 and m1 are of different clusters"},
    {"a member lags", {"Lf", "fb", ""}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "m1 is 2000 raft entries behind"},
    {"no fresh backup", {"Lf", "f", "f"}, DEFRAG, 0, GUARDIAN_DOUBT, 0, 0, "no verified backup"},
    {"no fresh backup, and none is wanted", {"Lf", "f", "f"}, DEFRAG | WITHOUT, 0, GUARDIAN_DEFRAG, 1, 0, "member m1"},
    {"a snapshot is on its way", {"Lf", "f", "f"}, DEFRAG, FRESH | SNAPSHOT, GUARDIAN_DOUBT, 0, 0, "snapshot is being taken"},
    {"corrupt, and nothing else", {"L", "c", ""}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "CORRUPT is raised for member m1"},
    {"corrupt, and allowed everything",
     {"Lf", "cf", "n"},
     DEFRAG | ALL | NOSPACE | WITHOUT,
     FRESH,
     GUARDIAN_DOUBT,
     0,
     0,
     "CORRUPT"},
    {"corrupt, and allowed nothing", {"L", "", "c"}, 0, FRESH, GUARDIAN_DOUBT, 0, 0, "CORRUPT is raised for member m2"},
    /* out of space */
    {"no space, and not allowed", {"Ln", "", ""}, DEFRAG, FRESH, GUARDIAN_DOUBT, 0, 0, "backup.etcd.nospace does not allow"},
    {"no space: compaction first", {"Ln", "f", ""}, NOSPACE, FRESH, GUARDIAN_COMPACT, 0, 0, "up to revision 1002"},
    {"then a follower, though nothing is known to be won",
     {"Ln", "", ""},
     NOSPACE,
     FRESH | COMPACTED | CHAIN,
     GUARDIAN_DEFRAG,
     1,
     0,
     "m1"},
    {"then the next", {"Ln", "D", ""}, NOSPACE, FRESH | COMPACTED | CHAIN, GUARDIAN_DEFRAG, 2, 0, "m2"},
    {"then leadership moves", {"Ln", "D", "D"}, NOSPACE, FRESH | COMPACTED | CHAIN, GUARDIAN_MOVE_LEADER, 0, 1, "m0 leads"},
    {"then the old leader", {"n", "LD", "D"}, NOSPACE, FRESH | COMPACTED | CHAIN | MOVED, GUARDIAN_DEFRAG, 0, 0, "m0"},
    {"then disarm", {"nD", "LD", "D"}, NOSPACE, FRESH | COMPACTED | CHAIN | MOVED, GUARDIAN_DISARM, 0, 0, "may write again"},
    {"then rest", {"D", "LD", "D"}, NOSPACE, FRESH | COMPACTED | CHAIN | MOVED, GUARDIAN_REST, 0, 0, "worth it"},
    {"no space, of one member", {"Ln"}, NOSPACE, FRESH | COMPACTED | CHAIN, GUARDIAN_DEFRAG, 0, 0, "m0"},
    {"no space, and no backup", {"Ln", "", ""}, NOSPACE, 0, GUARDIAN_DOUBT, 0, 0, "no verified backup"},
    {"no space, and a member down", {"Ln", "d", ""}, NOSPACE, FRESH, GUARDIAN_DOUBT, 0, 0, "m1 does not answer"},
    {"no space, and a snapshot on its way", {"Ln", "", ""}, NOSPACE, FRESH | SNAPSHOT, GUARDIAN_DOUBT, 0, 0, "snapshot"},
    {"a member dies within the chain", {"Ln", "D", "d"}, NOSPACE, FRESH | COMPACTED | CHAIN, GUARDIAN_DOUBT, 0, 0, "m2 does not"},
    {"disarmed by somebody within the chain: it is finished",
     {"L", "D", ""},
     NOSPACE,
     FRESH | COMPACTED | CHAIN,
     GUARDIAN_DEFRAG,
     2,
     0,
     "m2"},
};

static void steps(void **state)
{
    (void)state;
    checks_failed = 0;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct plan_case *c = &cases[i];
        struct guardian_view v = view(c->members);
        struct guardian_rules r = {.defrag = c->rules & DEFRAG,
                                   .all = c->rules & ALL,
                                   .nospace = c->rules & NOSPACE,
                                   .without_backup = c->rules & WITHOUT,
                                   .fragmentation = 50,
                                   .floor_bytes = MIB(100),
                                   .quota_percent = 80};
        struct guardian_facts f = {.fresh_backup = c->facts & FRESH,
                                   .snapshotting = c->facts & SNAPSHOT,
                                   .compacted = c->facts & COMPACTED,
                                   .is_nospace = c->facts & CHAIN,
                                   .moves = c->facts & MOVED_OFTEN ? GUARDIAN_MOVES_MAX
                                            : c->facts & MOVED     ? 1
                                                                   : 0};
        struct guardian_decision d;
        guardian_plan(&v, &r, &f, &d);
        if (d.step != c->step || d.member != c->member || d.to != c->to || !strstr(d.why, c->why)) {
            print_error("%s: %s of %u to %u: %s\n", c->name, guardian_step_name(d.step), d.member, d.to, d.why);
            checks_failed++;
        }
    }
    assert_int_equal(checks_failed, 0);
}

/* Whole campaigns, as a dry run goes through them. */
static const struct campaign {
    const char *name, *members[6];
    unsigned rules;
    const char *steps;
} campaigns[] = {
    {"nothing", {"L", "", ""}, DEFRAG, "rest"},
    {"three by rule", {"f", "Lf", "f"}, DEFRAG, "defrag 0, defrag 2, move-leader 1-0, defrag 1, rest"},
    {"all of three", {"L", "", ""}, DEFRAG | ALL, "defrag 1, defrag 2, move-leader 0-1, defrag 0, rest"},
    {"one", {"Lf"}, DEFRAG, "defrag 0, rest"},
    {"no space", {"Ln", "", ""}, NOSPACE, "compact, defrag 1, defrag 2, move-leader 0-1, defrag 0, disarm, rest"},
    {"no space of one", {"Ln"}, NOSPACE, "compact, defrag 0, disarm, rest"},
    {"five", {"Lf", "f", "f", "f", "f"}, DEFRAG, "defrag 1, defrag 2, defrag 3, defrag 4, move-leader 0-1, defrag 0, rest"},
};

static void campaign_walk(const struct campaign *c, struct text *t)
{
    struct guardian_view v = view(c->members);
    struct guardian_rules r = {.defrag = c->rules & DEFRAG,
                               .all = c->rules & ALL,
                               .nospace = c->rules & NOSPACE,
                               .fragmentation = 50,
                               .floor_bytes = MIB(100),
                               .quota_percent = 80};
    struct guardian_facts f = {.fresh_backup = true};
    struct guardian_decision d = {.step = GUARDIAN_COMPACT};
    for (unsigned i = 0; i < 20 && d.step != GUARDIAN_REST && d.step != GUARDIAN_DOUBT; i++) {
        guardian_plan(&v, &r, &f, &d);
        text_addf(t, "%s%s", i ? ", " : "", guardian_step_name(d.step));
        if (d.step == GUARDIAN_DEFRAG || d.step == GUARDIAN_MOVE_LEADER)
            text_addf(t, " %u", d.member);
        if (d.step == GUARDIAN_MOVE_LEADER)
            text_addf(t, "-%u", d.to);
        guardian_suppose(&v, &f, &d);
    }
}

static void whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(campaigns); i++) {
        char storage[256];
        struct text t = text_over(storage, sizeof storage);
        campaign_walk(&campaigns[i], &t);
        if (strcmp(storage, campaigns[i].steps) != 0)
            fail_msg("%s: %s", campaigns[i].name, storage);
    }
}

static void nobody(void **state)
{
    (void)state;
    struct guardian_view v = {.count = 0};
    struct guardian_rules r = {.defrag = true, .all = true};
    struct guardian_facts f = {.fresh_backup = true};
    struct guardian_decision d;
    char storage[GUARDIAN_WHY_MAX];
    struct text why = text_over(storage, sizeof storage);
    guardian_plan(&v, &r, &f, &d);
    assert_int_equal(d.step, GUARDIAN_DOUBT);
    assert_non_null(strstr(d.why, "the list of members cannot be had"));
    assert_false(guardian_view_is_well(&v, &why));
    v.listed = true;
    why = text_over(storage, sizeof storage);
    assert_false(guardian_view_is_well(&v, &why));
    assert_string_equal(storage, "the list of members is empty");
}

static const struct {
    const char *name, *members[4], *why; /* NULL: it is well */
} wells[] = {
    {"well", {"L", "", ""}, NULL},
    {"fragmented is well", {"Lf", "f", "f"}, NULL},
    {"a dead second name", {"L", "", "ad"}, NULL},
    {"no space", {"L", "n", ""}, "NOSPACE is raised for member m1"},
    {"corrupt", {"L", "c", ""}, "CORRUPT"},
    {"down", {"L", "d", ""}, "does not answer"},
    {"lags", {"L", "b", ""}, "behind"},
};

static void well(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wells); i++) {
        char storage[GUARDIAN_WHY_MAX];
        struct text why = text_over(storage, sizeof storage);
        struct guardian_view v = view(wells[i].members);
        bool is = guardian_view_is_well(&v, &why);
        if (is != !wells[i].why || (wells[i].why && !strstr(storage, wells[i].why)))
            fail_msg("%s: %d %s", wells[i].name, is, storage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps), cmocka_unit_test(whole), cmocka_unit_test(nobody),
                                       cmocka_unit_test(well)};
    return cmocka_run_group_tests_name("guardian's plan", tests, NULL, NULL);
}
