/* verify: one implementation for `backup verify`, for a snapshot just taken and for one that was found. The digest and the walk
 * read the file side by side, each on a lane of its own, in jobs of some 50 ms; so cancelling is quick, and a disk that sticks
 * costs a deadline and gives "unknown". What a stuck thread still looks at is kept by its pass' hold. */
#include "agents/backup/verify.h"
#include "agents/backup/verify_pass.h"

#include "board/rt/mem.h"
#include "board/rt/pulse.h"
#include "net/format/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_DIVISOR  512      /* a bbolt file is a multiple of it: etcdutl's own check of the length */
#define RESERVE_BYTES KIB(768) /* of the task's heap left alone: the connection that asks for HashKV, a list, a message */

struct verifier {
    struct lane *lanes[2];
    struct pass *digest, *walk;
    const struct backup_watcher *watcher;
    uint64_t digest_at, walk_at;
    err digest_error, walk_error;
    bool digest_done, walk_done;
    uint8_t whole[SHA256_BYTES]; /* of the file with its trailer */
};

static void tell(struct verifier *v)
{
    uint64_t at = v->digest_done || v->walk_at < v->digest_at ? v->walk_at : v->digest_at;
    if (v->walk_done || !v->walk)
        at = v->digest_at;
    if (v->watcher && v->watcher->progress)
        v->watcher->progress(v->watcher->arg, "verify", at, v->digest->db_bytes);
}

static err pass_run(struct verifier *v, struct lane *l, struct pass *p, uint64_t *at)
{
    struct pass_job job = {.done = false};
    while (!job.done) {
        TRY(pass_steps(l, p, &job));
        *at = job.at;
        tell(v);
        fiber_breathe();
    }
    return OK;
}

/* --- both --- */

static err digest_run(void *arg)
{
    struct verifier *v = arg;
    struct pass *p = v->digest;
    err e = buf_wait(BACKUP_PIECE_BYTES, loop_now() + BACKUP_DISK_MS_MAX, &p->piece);
    if (e == OK)
        e = pass_run(v, v->lanes[0], p, &v->digest_at);
    buf_release(e == OK ? p->piece : NULL); /* after an error a thread may still read into it */
    p->piece = e == OK ? NULL : p->piece;
    v->digest_error = e;
    v->digest_done = e == OK;
    return e == E_CANCELED ? e : OK;
}

static size_t memory_left(void)
{
    struct mem_use use = mem_use(TASK_BACKUP);
    size_t left = use.limit_bytes > use.used_bytes + RESERVE_BYTES ? use.limit_bytes - use.used_bytes - RESERVE_BYTES : 0;
    return size_min(BACKUP_VERIFY_BYTES_MAX, size_max(left, ETCD_DB_MEMORY_MIN));
}

static err walk_run(struct verifier *v, const char *path)
{
    err e = pass_open(v->lanes[1], path, pass_walk_step, &v->walk);
    if (e == OK) {
        v->walk->memory_bytes = memory_left();
        e = pass_run(v, v->lanes[1], v->walk, &v->walk_at);
    }
    v->walk_error = e;
    v->walk_done = e == OK;
    return e == E_CANCELED ? e : OK;
}

static err both_run(struct verifier *v, const char *path)
{
    struct group side;
    group_open(&side, TASK_BACKUP);
    err e = group_spawn(&side, "verify digest", digest_run, v);
    if (e == OK)
        e = walk_run(v, path);
    else
        v->digest_error = e;
    if (e == OK)
        e = group_join(&side, FOREVER);
    group_close(&side);
    return e;
}

/* --- what it means --- */

static void unknown(struct backup_verification *out, const char *reason)
{
    if (out->verdict == VERDICT_BAD || out->reason[0])
        return;
    out->verdict = VERDICT_UNKNOWN;
    (void)snprintf(out->reason, sizeof out->reason, "%s", reason);
}

static bool is_memory(err e)
{
    return e == E_BUDGET || e == E_RANGE || e == E_FULL;
}

static void judge_error(err e, const char *path, struct backup_verification *out)
{
    if (e == OK)
        return;
    enum backup_verdict before = out->verdict;
    char reason[BACKUP_REASON_MAX];
    (void)snprintf(reason, sizeof reason, "%s", out->reason);
    const char *code = is_memory(e) ? "memory" : "unreadable";
    backup_finding_add(out, code, 0, "%s: %s", e == E_INVALID ? "not a regular file" : err_text(e), path);
    out->verdict = before;
    (void)snprintf(out->reason, sizeof out->reason, "%s", reason);
    unknown(out, code);
}

static bool length_is_good(const struct pass *p, struct backup_verification *out)
{
    out->bytes = p->bytes;
    if (p->bytes % PAGE_DIVISOR == SHA256_BYTES && p->bytes > SHA256_BYTES) {
        out->db_bytes = p->db_bytes;
        out->level = 1;
        return true;
    }
    backup_finding_add(out, "length", 0, "%llu bytes: not whole pages of 512 and a SHA-256", (unsigned long long)p->bytes);
    return false;
}

static void judge_digest(struct verifier *v, struct backup_verification *out)
{
    uint8_t computed[SHA256_BYTES];
    if (!v->digest_done)
        return;
    struct sha256 whole = v->digest->sha;
    sha256_update(&whole, (struct bytes){v->digest->trailer, SHA256_BYTES});
    sha256_finish(&whole, v->whole);
    sha256_finish(&v->digest->sha, computed);
    hex_encode((struct bytes){computed, SHA256_BYTES}, out->sha256, sizeof out->sha256);
    if (memcmp(computed, v->digest->trailer, SHA256_BYTES) == 0)
        out->level = 2;
    else
        backup_finding_add(out, "sha256", 0, "the SHA-256 at the end is not that of the %llu bytes before it",
                           (unsigned long long)v->digest->db_bytes);
}

static void judge_walk(struct verifier *v, struct backup_verification *out)
{
    if (!v->walk_done)
        return;
    const struct etcd_db_status *s = etcd_db_status(v->walk->db);
    for (unsigned i = 0; i < s->finding_count; i++)
        backup_finding_add(out, etcd_db_code_name(s->findings[i].code), s->findings[i].page, "%s", s->findings[i].text);
    if (out->level == 2 && s->structure_good) {
        out->level = 3;
        out->db_bytes = s->db_bytes;
    }
    if (out->level < 3 || !s->logic_good)
        return;
    out->level = 4;
    out->hash = s->hash;
    out->revision = s->revision;
    out->keys = s->keys;
    out->pairs = s->pairs;
}

static void judge(struct verifier *v, unsigned level_max, struct backup_verification *out)
{
    judge_digest(v, out);
    judge_walk(v, out);
    judge_error(v->digest_error, v->digest->path, out);
    if (v->walk_error != v->digest_error)
        judge_error(v->walk_error, v->digest->path, out);
    out->level = out->level < level_max ? out->level : level_max;
    if (out->verdict == VERDICT_BAD)
        return;
    if (out->level == 4)
        out->verdict = VERDICT_GOOD;
    else
        unknown(out, "level");
}

/* --- the doors --- */

err verifier_run(struct lane *first, struct lane *second, const char *path, unsigned level_max, const struct backup_watcher *w,
                 struct backup_verification *out, struct verifier **keep)
{
    *out = (struct backup_verification){.level = 0};
    struct verifier *v = calloc(1, sizeof *v);
    *keep = v;
    if (!v) {
        judge_error(E_BUDGET, path, out);
        return OK;
    }
    v->lanes[0] = first;
    v->lanes[1] = second;
    v->watcher = w;
    err e = pass_open(first, path, pass_digest_step, &v->digest);
    if (e == E_CANCELED)
        return e;
    trail_clear();
    if (e != OK) {
        judge_error(e, path, out);
        return OK;
    }
    if (!length_is_good(v->digest, out))
        return OK;
    e = level_max < 2 ? OK : level_max == 2 ? digest_run(v) : both_run(v, path);
    trail_clear();
    if (e == E_CANCELED)
        return e;
    judge(v, level_max, out);
    if (w && w->progress)
        w->progress(w->arg, "verify", v->digest->db_bytes, v->digest->db_bytes);
    return OK;
}

err verifier_hash_kv(struct verifier *v, int64_t revision, int64_t compact_revision, uint32_t *out)
{
    TRY(etcd_db_hash_kv_start(v->walk->db, revision, compact_revision));
    TRY(pass_run(v, v->lanes[1], v->walk, &v->walk_at));
    *out = etcd_db_hash_kv(v->walk->db);
    return OK;
}

void verifier_stored_sha256(const struct verifier *v, char out[2 * SHA256_BYTES + 1])
{
    out[0] = 0;
    if (v && v->digest_done)
        hex_encode((struct bytes){v->whole, SHA256_BYTES}, out, 2 * SHA256_BYTES + 1);
}

void verifier_close(struct verifier *v)
{
    if (!v)
        return;
    pass_close(v->lanes[0], v->digest);
    pass_close(v->lanes[1], v->walk);
    free(v);
}

err backup_verify_file(const char *path, unsigned level_max, const struct backup_watcher *w, struct backup_verification *out)
{
    struct lane first, second;
    struct verifier *v = NULL;
    lane_open(&first, "verify digest", TASK_BACKUP, 1);
    lane_open(&second, "verify walk", TASK_BACKUP, 1);
    err e = verifier_run(&first, &second, path, level_max, w, out, &v);
    verifier_close(v);
    lane_close(&second);
    lane_close(&first);
    return e;
}
