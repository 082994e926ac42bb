/* packed: see packed.h */
#include "tests/sim/packed.h"

#include "board/rt/mem.h"
#include "net/format/zstd.h"
#include "tests/sim/sim.h"

static uint8_t opened[PACKED_BYTES_MAX], plain[PACKED_BYTES_MAX];

typedef err step(void *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done);

static err step_age(void *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return age_decode(z, in, out, cap, made, end, done);
}

static err step_zstd(void *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    return zstd_decode(z, in, out, cap, made, end, done);
}

static size_t drive(step *call, void *z, struct bytes in, uint8_t *out)
{
    size_t total = 0, made = 1;
    bool done = false;
    while (!done && made > 0) {
        SIM_CHECK_ERR(call(z, &in, out + total, PACKED_BYTES_MAX - total, &made, true, &done), OK);
        total += made;
    }
    SIM_CHECK(done);
    return total;
}

static struct bytes open_seal(struct bytes stored, const struct age_identity *identity)
{
    struct age_decoder *d = NULL;
    SIM_CHECK_ERR(age_decoder_open(identity, 1, &d), OK);
    struct bytes out = {opened, drive(step_age, d, stored, opened)};
    age_decoder_close(d);
    return out;
}

static struct bytes decompress(struct bytes from)
{
    struct zstd_decoder *d = NULL;
    SIM_CHECK_ERR(zstd_decoder_open(20, &d), OK);
    struct bytes out = {plain, drive(step_zstd, d, from, plain)};
    zstd_decoder_close(d);
    return out;
}

struct bytes packed_open(struct bytes stored, unsigned form, const struct age_identity *identity)
{
    enum task before = mem_task();
    mem_set_task(TASK_BACKUP); /* it has the memory */
    if (form & FORM_AGE)
        stored = open_seal(stored, identity);
    if (form & FORM_ZSTD)
        stored = decompress(stored);
    mem_set_task(before);
    return stored;
}
