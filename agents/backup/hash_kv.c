/* hash_kv: does the member a snapshot came from still say the same of that revision? Asked over a connection of its own, when the
 * verification is done: the stream's is long closed then, or broken. */
#include "agents/backup/hash_kv.h"

#include "board/rt/pulse.h"

#include <stdio.h>
#include <string.h>

#define CONNECT_MS_MAX SECONDS(10)
#define HASH_KV_MS_MAX SECONDS(30) /* the member reads all of its database; less than the stall limit */

static unsigned endpoint_index(const struct config *c, const char *endpoint)
{
    unsigned i = 0;
    while (i < c->backup.endpoint_count && strcmp(c->backup.endpoints[i], endpoint) != 0)
        i++;
    return i;
}

/* *words: why there is nothing to compare, where the error does not say. */
static err ask(struct etcd *etcd, unsigned endpoint, const struct backup_record *r, struct etcd_hash_kv *live, const char **words)
{
    struct etcd_status status;
    TRY(etcd_connect(etcd, endpoint, loop_now() + CONNECT_MS_MAX, &status));
    pulse_beat(TASK_BACKUP, loop_now());
    if (status.member_id != r->member_id || status.cluster_id != r->cluster_id) {
        *words = "another member answers there now";
        return E_ABSENT;
    }
    if (r->verification.revision <= 0) {
        *words = "the database has no revision";
        return E_ABSENT;
    }
    err e = etcd_hash_kv(etcd, r->verification.revision, loop_now() + HASH_KV_MS_MAX, live);
    *words = e == E_ABSENT ? "the member has compacted this revision away" : *words;
    return e;
}

static err live_hash(struct backup *b, const struct backup_record *r, struct etcd_hash_kv *live, const char **words)
{
    struct etcd *etcd = NULL;
    unsigned endpoint = endpoint_index(b->config, r->endpoint);
    if (strcmp(r->source, "talos") == 0)
        *words = "Talos' API has no HashKV";
    if (endpoint == b->config->backup.endpoint_count)
        return E_ABSENT;
    err e = backup_source_open(b, loop_now() + CONNECT_MS_MAX, &etcd);
    pulse_beat(TASK_BACKUP, loop_now());
    if (e == OK)
        e = ask(etcd, endpoint, r, live, words);
    etcd_close(etcd); /* before the walk: its memory */
    pulse_beat(TASK_BACKUP, loop_now());
    return e;
}

static err compare(struct backup *b, struct verifier *v, struct backup_record *r, const char **words)
{
    struct etcd_hash_kv live = {0};
    uint32_t ours = 0;
    TRY(live_hash(b, r, &live, words));
    err e = verifier_hash_kv(v, r->verification.revision, live.compact_revision, &ours);
    if (e == E_INVALID) /* a member keeps the hash that its compaction took on the way, of records that are gone since */
        *words = "the member was compacted at this very revision";
    TRY(e);
    r->hash_kv = ours == live.hash;
    if (!r->hash_kv)
        backup_finding_add(&r->verification, "hash-kv", 0, "HashKV at revision %lld is %u, the member says %u",
                           (long long)r->verification.revision, (unsigned)ours, (unsigned)live.hash);
    return OK;
}

err backup_hash_kv(struct backup *b, struct verifier *v, struct backup_record *r)
{
    const char *words = NULL;
    uint64_t mark = trail_mark();
    err e = compare(b, v, r, &words);
    if (e == OK || e == E_CANCELED)
        return e;
    (void)snprintf(r->hash_kv_why, sizeof r->hash_kv_why, "%s", words ? words : err_text(e));
    trail_rewind(mark);
    return OK;
}
