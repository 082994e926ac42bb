/* unpack: the way back. Each layer is known by its first bytes: an age file by its first line, zstd by its magic number; what is
 * neither is itself. An error of a layer is told at the end, so that what is stored is summed up in any case. */
#include "agents/backup/mill.h"
#include "agents/backup/pack.h"
#include "agents/backup/trailer.h"

#include "board/rt/mem.h"
#include "board/rt/secret.h"
#include "net/format/zstd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_BYTES 24 /* of a layer; the longest of the marks below has 22 */

struct layer {
    struct unpack *unpack;
    err (*know)(struct layer *l); /* head is all there is to go by: sets run and state */
    mill_run *run;                /* NULL: not known yet */
    void *state;
    uint8_t head[LOOK_BYTES];
    size_t len;
    struct bytes feed; /* of head, still to go into run() */
};

struct unpack {
    struct mill mill;
    struct layer sealed, compressed;
    struct age_identity identities[AGE_IDENTITIES_MAX];
    unsigned identity_count;
    struct age_decoder *opener;
    struct zstd_decoder *decompressor;
    bool was_sealed, was_compressed;
    struct trailer trailer; /* of the plain form: not in its digest */
    struct sha256 plain_sha, stored_sha;
    uint64_t stored_bytes;
};

/* --- what it is --- */

static bool begins(const struct layer *l, const char *mark)
{
    return l->len >= strlen(mark) && memcmp(l->head, mark, strlen(mark)) == 0;
}

static err open_seal(void *state, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return age_decode(state, in, out, cap, made, end, done);
}

static err decompress(void *state, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return zstd_decode(state, in, out, cap, made, end, done);
}

/* age.md: the version line; the armored form is refused by the decoder, in its own words. */
static err know_seal(struct layer *l)
{
    struct unpack *u = l->unpack;
    l->run = mill_copy;
    u->was_sealed = begins(l, "age-encryption.org/") || begins(l, "-----BEGIN AGE ");
    if (!u->was_sealed)
        return OK;
    if (u->identity_count == 0)
        return trail(E_DENIED, "it is encrypted: needs an identity");
    TRY(age_decoder_open(u->identities, u->identity_count, &u->opener));
    l->run = open_seal;
    l->state = u->opener;
    return OK;
}

/* What the board can give for a window: `zstd -3` writes one of 2 MiB. */
static unsigned window_log_max(void)
{
    unsigned log = ZSTD_ENCODE_LOG_MAX;
    size_t room = mem_profile()->task[TASK_BACKUP].heap_bytes / 2;
    while (log < ZSTD_DECODE_LOG_MAX && zstd_decoder_bytes(log + 1) <= room)
        log++;
    return log;
}

/* RFC 8878, 3.1.1 and 3.1.2: a frame's magic number, a skippable one's. */
static err know_compression(struct layer *l)
{
    struct unpack *u = l->unpack;
    uint32_t magic =
        l->len < 4 ? 0 : (uint32_t)l->head[3] << 24 | (uint32_t)l->head[2] << 16 | (uint32_t)l->head[1] << 8 | l->head[0];
    l->run = mill_copy;
    u->was_compressed = magic == 0xFD2FB528u || (magic & 0xFFFFFFF0u) == 0x184D2A50u;
    if (!u->was_compressed)
        return OK;
    TRY(zstd_decoder_open(window_log_max(), &u->decompressor));
    l->run = decompress;
    l->state = u->decompressor;
    return OK;
}

static void gather_head(struct layer *l, struct bytes *in)
{
    size_t n = size_min(in->len, LOOK_BYTES - l->len);
    if (n)
        memcpy(l->head + l->len, in->at, n);
    l->len += n;
    in->at += n;
    in->len -= n;
}

static err layer_run(void *state, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    struct layer *l = state;
    *made = 0;
    if (!l->run) {
        gather_head(l, in);
        if (l->len < LOOK_BYTES && !(end && in->len == 0))
            return OK;
        TRY(l->know(l));
        l->feed = (struct bytes){l->head, l->len};
    }
    while (l->feed.len > 0) {
        size_t before = l->feed.len;
        TRY(l->run(l->state, &l->feed, out, cap, made, end && in->len == 0, done));
        if (*made > 0 || l->feed.len == before || *done)
            return OK;
    }
    return l->run(l->state, in, out, cap, made, end, done);
}

/* --- on the pool --- */

static err open_stages(struct mill *m)
{
    struct unpack *u = CONTAINER_OF(m, struct unpack, mill);
    m->stage[0].run = m->stage[1].run = layer_run;
    m->stage[0].state = &u->sealed;
    m->stage[1].state = &u->compressed;
    return OK;
}

static err see_plain(void *arg, struct bytes plain)
{
    if (plain.len)
        sha256_update(arg, plain);
    return OK;
}

static void see(struct mill *m, struct bytes in, struct bytes out)
{
    struct unpack *u = CONTAINER_OF(m, struct unpack, mill);
    if (in.len)
        sha256_update(&u->stored_sha, in);
    err_ignore(trailer_add(&u->trailer, out, see_plain, &u->plain_sha)); /* it never fails */
    u->stored_bytes += in.len;
}

static void unpack_drop(struct hold *h)
{
    struct unpack *u = CONTAINER_OF(CONTAINER_OF(h, struct mill, hold), struct unpack, mill);
    age_decoder_close(u->opener);
    zstd_decoder_close(u->decompressor);
    mill_release(&u->mill);
    wipe(u->identities, sizeof u->identities);
    free(u);
}

/* --- in the loop --- */

err unpack_open(struct lane *l, const struct age_identity *identities, unsigned count,
                err (*each)(void *arg, struct buf *plain, ms deadline), void *arg, struct unpack **out)
{
    ASSERT(count <= AGE_IDENTITIES_MAX);
    struct unpack *u = *out = calloc(1, sizeof *u);
    if (!u)
        return trail(E_BUDGET, "no memory to unpack a backup");
    mill_open(&u->mill, l, unpack_drop);
    u->mill.put = each;
    u->mill.arg = arg;
    u->mill.open = open_stages;
    u->mill.see = see;
    u->mill.forgives = true;
    u->sealed = (struct layer){.unpack = u, .know = know_seal};
    u->compressed = (struct layer){.unpack = u, .know = know_compression};
    u->identity_count = count;
    if (count)
        memcpy(u->identities, identities, count * sizeof *identities);
    sha256_start(&u->plain_sha);
    sha256_start(&u->stored_sha);
    return OK;
}

err unpack_append(struct unpack *u, struct buf *stored, ms deadline)
{
    return mill_append(&u->mill, stored, deadline);
}

err unpack_end(struct unpack *u, ms deadline, struct pack_sums *out)
{
    TRY(mill_end(&u->mill, deadline));
    struct sha256 plain = u->plain_sha, stored = u->stored_sha;
    *out = (struct pack_sums){.plain_bytes = u->trailer.total_bytes, .stored_bytes = u->stored_bytes};
    sha256_finish(&plain, out->plain_sha256);
    sha256_finish(&stored, out->stored_sha256);
    return unpack_broken(u);
}

err unpack_broken(const struct unpack *u)
{
    return u->mill.at_work || u->mill.broken == OK ? OK : trail(u->mill.broken, "%s", u->mill.why);
}

const struct trailer *unpack_trailer(const struct unpack *u)
{
    return &u->trailer;
}

bool unpack_was_sealed(const struct unpack *u)
{
    return u->was_sealed;
}

bool unpack_was_compressed(const struct unpack *u)
{
    return u->was_compressed;
}

void unpack_close(struct unpack *u)
{
    if (u)
        hold_release(&u->mill.hold);
}
