/* keys: the file of age identities. */
#include "agents/backup/backup_internal.h"
#include "agents/backup/restore.h"

#include "board/rt/mem.h"
#include "board/rt/secret.h"

#define KEYS_BYTES_MAX KIB(16)

/* X25519 takes some milliseconds a key. */
struct keys_job {
    struct bytes file;
    struct backup_keys *out;
};

static err run_parse(void *job)
{
    struct keys_job *j = job;
    return age_identities_parse(j->file, j->out->keys, COUNT_OF(j->out->keys), &j->out->count);
}

static err parse(struct lane *l, struct buf *file, struct backup_keys *out)
{
    struct keys_job job = {{file->at, file->len}, out};
    return lane_call(l, run_parse, &job, sizeof job, NULL, FOREVER);
}

err backup_keys_read(const char *path, ms deadline, struct backup_keys *out)
{
    struct lane lane;
    struct buf *file = NULL;
    *out = (struct backup_keys){.count = 0};
    lane_open(&lane, "backup identities", mem_task(), 1);
    err e = file_read_small(&lane, path, KEYS_BYTES_MAX, deadline, &file);
    if (e == OK)
        e = trail(parse(&lane, file, out), "%s", path);
    lane_close(&lane);
    if (file)
        wipe(file->at, file->len);
    buf_release(file);
    if (e == OK && out->count == 0)
        e = trail(E_INVALID, "%s holds no age identity (a line AGE-SECRET-KEY-1…)", path);
    if (e != OK)
        backup_keys_wipe(out);
    return e;
}

void backup_keys_wipe(struct backup_keys *k)
{
    wipe(k, sizeof *k);
}
