#include "net/format/chacha.h"

#include "board/rt/secret.h"
#include "net/format/chacha_choice.h"
#include "net/format/chacha_poly.h"
#include "net/format/cpu.h"

#define PIECE_BYTES KIB(8) /* encrypted and authenticated while it is in the first cache */

static const struct cpu_way ways[CHACHA_KIND_COUNT] = {
    [CHACHA_PORTABLE] = {"128-bit vectors", 0, (cpu_kernel *)chacha_xor_portable},
#ifdef CHACHA_HAS_X86
    [CHACHA_X86_AVX2] = {"x86 avx2", CPU_AVX2, (cpu_kernel *)chacha_xor_avx2},
#endif
};
static struct cpu_choice choice = {.ways = ways, .count = COUNT_OF(ways)};

static chacha_kernel *kernel(void)
{
    return (chacha_kernel *)cpu_chosen(&choice)->kernel;
}

bool chacha_force(enum chacha_kind kind)
{
    return cpu_force(&choice, kind);
}

const char *chacha_implementation(void)
{
    return cpu_chosen(&choice)->name;
}

/* --- RFC 8439, 2.8 --- */

struct aead {
    uint32_t state[CHACHA_WORDS];
    struct poly poly;
};

static uint32_t load_le32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* 2.6: the authenticator's key is the beginning of block 0; the content begins with block 1. */
static void aead_start(struct aead *a, const uint8_t *key, const uint8_t *nonce, struct bytes additional)
{
    static const uint32_t constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}; /* 2.3 */
    uint8_t block[CHACHA_BLOCK_BYTES] = {0};
    for (size_t i = 0; i < 4; i++)
        a->state[i] = constants[i];
    for (size_t i = 0; i < 8; i++)
        a->state[4 + i] = load_le32(key + 4 * i);
    a->state[CHACHA_COUNTER] = 0;
    for (size_t i = 0; i < 3; i++)
        a->state[13 + i] = load_le32(nonce + 4 * i);
    kernel()(a->state, block, block, sizeof block);
    poly_start(&a->poly, block);
    poly_update_padded(&a->poly, additional);
    wipe(block, sizeof block);
}

static void aead_tag(struct aead *a, uint64_t additional_len, uint64_t content_len, uint8_t tag[CHACHA_TAG_BYTES])
{
    uint8_t lengths[16];
    for (unsigned i = 0; i < 8; i++) {
        lengths[i] = (uint8_t)(additional_len >> (8 * i));
        lengths[8 + i] = (uint8_t)(content_len >> (8 * i));
    }
    poly_update_padded(&a->poly, (struct bytes){lengths, sizeof lengths});
    poly_finish(&a->poly, tag);
}

void chacha_seal(const uint8_t key[CHACHA_KEY_BYTES], const uint8_t nonce[CHACHA_NONCE_BYTES], struct bytes additional,
                 struct bytes content, uint8_t *out, uint8_t tag[CHACHA_TAG_BYTES])
{
    struct aead a;
    ASSERT(content.len <= CHACHA_BYTES_MAX);
    aead_start(&a, key, nonce, additional);
    for (size_t at = 0; at < content.len; at += PIECE_BYTES) {
        size_t piece = size_min(PIECE_BYTES, content.len - at);
        kernel()(a.state, content.at + at, out + at, piece);
        poly_update_padded(&a.poly, (struct bytes){out + at, piece}); /* only the last piece needs padding */
    }
    aead_tag(&a, additional.len, content.len, tag);
    wipe(&a, sizeof a);
}

bool chacha_open(const uint8_t key[CHACHA_KEY_BYTES], const uint8_t nonce[CHACHA_NONCE_BYTES], struct bytes additional,
                 struct bytes sealed, const uint8_t tag[CHACHA_TAG_BYTES], uint8_t *out)
{
    struct aead a;
    uint8_t own[CHACHA_TAG_BYTES];
    ASSERT(sealed.len <= CHACHA_BYTES_MAX);
    aead_start(&a, key, nonce, additional);
    poly_update_padded(&a.poly, sealed);
    aead_tag(&a, additional.len, sealed.len, own);
    bool same = bytes_equal_secret((struct bytes){own, sizeof own}, (struct bytes){tag, CHACHA_TAG_BYTES});
    if (same)
        kernel()(a.state, sealed.at, out, sealed.len);
    wipe(&a, sizeof a);
    wipe(own, sizeof own);
    return same;
}
