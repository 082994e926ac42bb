/* mirror_model: see mirror_model.h */
#include "tests/sim/mirror_model.h"

#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mirror *mirror;

static struct told *told_of(const char *uid, unsigned *kind)
{
    unsigned name = 0, life = 0;
    SIM_CHECK(sscanf(uid, "%u.%u.%u", kind, &name, &life) == 3 && *kind < KINDS && name < NAMES && life < LIVES);
    return &mirror->told[*kind][name][life];
}

static const char *after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    if (!at)
        sim_fail("no %s in %.300s", key, text);
    return at + strlen(key);
}

static void state_told(struct told *t, const char *object, const char *how)
{
    uint32_t value = (uint32_t)strtoul(after(object, "\"v\":\""), NULL, 10);
    if (t->dead || value < t->value)
        sim_fail("%s: %u after %s %u: %.200s", how, value, t->dead ? "its delete, at" : "", t->value, object);
    t->there = true;
    t->value = value;
}

static void event_told(const char *body)
{
    unsigned kind, named = KINDS;
    struct told *t = told_of(after(body, "\"uid\":\""), &kind);
    for (unsigned k = 0; k < KINDS; k++)
        if (strncmp(after(body, "\"kind\":\""), cluster_kinds[k].word, strlen(cluster_kinds[k].word)) == 0)
            named = k;
    SIM_CHECK(named == kind);
    mirror->events++;
    if (strncmp(after(body, "\"type\":\""), "deleted", 7) == 0) {
        t->dead = true;
        t->there = false;
        return;
    }
    mirror->unknown += strncmp(after(body, "\"type\":\""), "added", 5) != 0 && !t->there;
    state_told(t, after(body, "\"object\":"), "an event");
}

/* All that is not in it is not there. */
static void snapshot_told(const char *body)
{
    mirror->snapshots++;
    for (unsigned i = 0; i < KINDS * NAMES * LIVES; i++)
        (&mirror->told[0][0][0])[i].there = false;
    for (unsigned k = 0; k < KINDS; k++) {
        const char *at = after(body, cluster_kinds[k].snapshot_key), *end = strstr(at, "\"}]"), *next = strchr(at, ']');
        end = next == at || !end ? at : end;
        for (const char *uid = strstr(at, "\"uid\":\""); uid && uid < end; uid = strstr(uid + 1, "\"uid\":\"")) {
            unsigned kind;
            struct told *t = told_of(uid + 7, &kind);
            if (kind != k)
                break;
            state_told(t, uid, "a snapshot");
        }
    }
}

void mirror_takes(enum platform_op op, const char *body)
{
    if (op == PLATFORM_EVENT)
        event_told(body);
    else if (op == PLATFORM_SNAPSHOT)
        snapshot_told(body);
}

const char *mirror_difference(void)
{
    static char words[160];
    for (unsigned k = 0; k < KINDS; k++)
        for (unsigned n = 0; n < NAMES; n++) {
            const struct logged *l = cluster_last(k, n);
            for (unsigned life = 0; life < LIVES; life++) {
                const struct told *t = &mirror->told[k][n][life];
                bool there = l && l->change != DELETED && l->life == life;
                if (t->there == there && (!there || t->value == l->value))
                    continue;
                (void)snprintf(words, sizeof words, "%s n%u.%u: %s %u, the platform has %s %u", cluster_kinds[k].word, n, life,
                               there ? "there" : "not there", l ? l->value : 0, t->there ? "it" : "it not", t->value);
                return words;
            }
        }
    return NULL;
}
