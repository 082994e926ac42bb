/* trailer: the last 32 bytes of a stream, and what they say of the rest. */
#include "agents/backup/trailer.h"

#include "agents/backup/backup_internal.h"
#include "net/format/hex.h"

#include <string.h>

#define PAGE_DIVISOR 512 /* a bbolt file is a multiple of it: etcdutl's own check of the length */

err trailer_add(struct trailer *t, struct bytes data, err (*put)(void *arg, struct bytes data), void *arg)
{
    t->total_bytes += data.len;
    if (data.len >= SHA256_BYTES) {
        TRY(put(arg, (struct bytes){t->tail, t->tail_len}));
        TRY(put(arg, (struct bytes){data.at, data.len - SHA256_BYTES}));
        memcpy(t->tail, data.at + data.len - SHA256_BYTES, SHA256_BYTES);
        t->tail_len = SHA256_BYTES;
        return OK;
    }
    size_t over = t->tail_len + data.len > SHA256_BYTES ? t->tail_len + data.len - SHA256_BYTES : 0;
    TRY(put(arg, (struct bytes){t->tail, over}));
    memmove(t->tail, t->tail + over, t->tail_len - over);
    t->tail_len -= over;
    if (data.len)
        memcpy(t->tail + t->tail_len, data.at, data.len);
    t->tail_len += data.len;
    return OK;
}

void trailer_judge(const struct trailer *t, const uint8_t computed[SHA256_BYTES], struct backup_verification *v)
{
    *v = (struct backup_verification){.bytes = t->total_bytes};
    if (t->total_bytes % PAGE_DIVISOR != SHA256_BYTES || t->total_bytes == SHA256_BYTES) {
        backup_finding_add(v, "length", 0, "%llu bytes: not whole pages of 512 and a SHA-256",
                           (unsigned long long)t->total_bytes);
        return;
    }
    v->level = 1;
    v->db_bytes = t->total_bytes - SHA256_BYTES;
    hex_encode((struct bytes){computed, SHA256_BYTES}, v->sha256, sizeof v->sha256);
    if (memcmp(computed, t->tail, SHA256_BYTES) == 0)
        v->level = 2;
    else
        backup_finding_add(v, "sha256", 0, "the SHA-256 at the end is not that of the %llu bytes before it",
                           (unsigned long long)v->db_bytes);
}
