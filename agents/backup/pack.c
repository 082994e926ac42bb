/* pack: the way out. The sums, zstd and age run on the lane; recipients' X25519 too, with the first piece. */
#include "agents/backup/pack.h"
#include "agents/backup/mill.h"

#include "board/rt/mem.h"
#include "net/format/zstd.h"

#include <stdlib.h>
#include <string.h>

struct pack {
    struct mill mill;
    bool zstd;
    struct age_recipient recipients[CONFIG_RECIPIENTS_MAX];
    unsigned recipient_count;
    struct zstd_encoder *compressor;
    struct age_encoder *sealer;
    bool hashed; /* what is at work */
    struct sha256 plain_sha, stored_sha;
    uint64_t plain_bytes, stored_bytes;
};

err pack_form_of(const struct config_destination *c, struct age_recipient recipients[CONFIG_RECIPIENTS_MAX],
                 struct pack_form *out)
{
    *out =
        (struct pack_form){.zstd = c->compress == COMPRESS_ZSTD, .recipients = recipients, .recipient_count = c->recipient_count};
    for (unsigned i = 0; i < c->recipient_count; i++) {
        err e = age_recipient_parse(bytes_of(c->recipients[i]), &recipients[i]);
        if (e != OK)
            return trail(e == E_BUDGET ? e : E_CONFIG, "destination %s: encrypt.recipients, number %u", c->name, i + 1);
    }
    return OK;
}

/* --- on the pool --- */

static err compress(void *state, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return zstd_encode(state, in, out, cap, made, end, done);
}

static err seal(void *state, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return age_encode(state, in, out, cap, made, end, done);
}

/* What the board has beside two parts of S3 and two connections. */
static err open_compressor(struct pack *p)
{
    size_t heap = mem_profile()->task[TASK_BACKUP].heap_bytes;
    int level = heap < MIB(14) ? 1 : heap < MIB(20) ? 2 : 3;
    return zstd_encoder_open(level, heap < MIB(14) ? 19 : 20, &p->compressor);
}

static err open_stages(struct mill *m)
{
    struct pack *p = CONTAINER_OF(m, struct pack, mill);
    if (p->zstd)
        TRY(open_compressor(p));
    if (p->recipient_count)
        TRY(age_encoder_open(p->recipients, p->recipient_count, &p->sealer));
    m->stage[0].run = p->zstd ? compress : mill_copy;
    m->stage[0].state = p->compressor;
    m->stage[1].run = p->recipient_count ? seal : mill_copy;
    m->stage[1].state = p->sealer;
    return OK;
}

static void see(struct mill *m, struct bytes in, struct bytes out)
{
    struct pack *p = CONTAINER_OF(m, struct pack, mill);
    if (p->hashed && in.len)
        sha256_update(&p->plain_sha, in);
    if (out.len)
        sha256_update(&p->stored_sha, out);
    p->plain_bytes += in.len;
    p->stored_bytes += out.len;
}

static void pack_drop(struct hold *h)
{
    struct pack *p = CONTAINER_OF(CONTAINER_OF(h, struct mill, hold), struct pack, mill);
    zstd_encoder_close(p->compressor);
    age_encoder_close(p->sealer);
    mill_release(&p->mill);
    free(p);
}

/* --- in the loop --- */

err pack_open(struct lane *l, const struct pack_form *form, err (*put)(void *arg, struct buf *stored, ms deadline), void *arg,
              struct pack **out)
{
    ASSERT(form->recipient_count <= CONFIG_RECIPIENTS_MAX);
    struct pack *p = *out = calloc(1, sizeof *p);
    if (!p)
        return trail(E_BUDGET, "no memory to pack a backup");
    mill_open(&p->mill, l, pack_drop);
    p->mill.put = put;
    p->mill.arg = arg;
    p->mill.open = open_stages;
    p->mill.see = see;
    p->zstd = form->zstd;
    p->recipient_count = form->recipient_count;
    if (form->recipient_count)
        memcpy(p->recipients, form->recipients, form->recipient_count * sizeof *form->recipients);
    sha256_start(&p->plain_sha);
    sha256_start(&p->stored_sha);
    return OK;
}

err pack_append(struct pack *p, struct buf *plain, bool hashed, ms deadline)
{
    err e = mill_settle(&p->mill, deadline);
    if (e != OK) {
        buf_release(plain);
        return e;
    }
    p->hashed = hashed;
    return mill_append(&p->mill, plain, deadline);
}

static void tell(const struct pack *p, struct pack_sums *out)
{
    struct sha256 plain = p->plain_sha, stored = p->stored_sha;
    *out = (struct pack_sums){.plain_bytes = p->plain_bytes, .stored_bytes = p->stored_bytes};
    sha256_finish(&plain, out->plain_sha256);
    sha256_finish(&stored, out->stored_sha256);
}

err pack_flush(struct pack *p, ms deadline, struct pack_sums *out)
{
    TRY(mill_settle(&p->mill, deadline));
    tell(p, out);
    return OK;
}

err pack_end(struct pack *p, ms deadline, struct pack_sums *out)
{
    TRY(mill_end(&p->mill, deadline));
    tell(p, out);
    return OK;
}

void pack_close(struct pack *p)
{
    if (p)
        hold_release(&p->mill.hold);
}
