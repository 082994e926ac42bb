#include "net/format/sha256.h"

#include "board/rt/secret.h"
#include "net/format/cpu.h"
#include "net/format/sha256_blocks.h"

#include <string.h>

static_assert(sizeof(struct sha256) <= 128, "copied by value");

const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* --- the portable compression function, FIPS 180-4, 6.2.2 --- */

static inline uint32_t rotate_right(uint32_t x, unsigned by)
{
    return x >> by | x << (32 - by);
}

static inline uint32_t load_be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void store_be32(uint8_t *at, uint32_t x)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(x >> (24 - 8 * i));
}

static void schedule(uint32_t w[64], const uint8_t *data)
{
    for (unsigned t = 0; t < 16; t++)
        w[t] = load_be32(data + (size_t)4 * t);
    for (unsigned t = 16; t < 64; t++) {
        uint32_t a = w[t - 15], b = w[t - 2];
        uint32_t small_0 = rotate_right(a, 7) ^ rotate_right(a, 18) ^ a >> 3;
        uint32_t small_1 = rotate_right(b, 17) ^ rotate_right(b, 19) ^ b >> 10;
        w[t] = w[t - 16] + small_0 + w[t - 7] + small_1;
    }
}

/* One round. Instead of moving eight variables, the caller renames them: only *d and *h change. */
static inline void one_round(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f, uint32_t g, uint32_t *h,
                             uint32_t k_plus_w)
{
    uint32_t big_1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    uint32_t big_0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    uint32_t t1 = *h + big_1 + (g ^ (e & (f ^ g))) + k_plus_w;
    *d += t1;
    *h = t1 + big_0 + ((a & b) | (c & (a | b)));
}

static void one_block(uint32_t state[8], const uint8_t *data)
{
    uint32_t w[64];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    schedule(w, data);
    for (unsigned t = 0; t < 64; t += 8) {
        one_round(a, b, c, &d, e, f, g, &h, sha256_k[t] + w[t]);
        one_round(h, a, b, &c, d, e, f, &g, sha256_k[t + 1] + w[t + 1]);
        one_round(g, h, a, &b, c, d, e, &f, sha256_k[t + 2] + w[t + 2]);
        one_round(f, g, h, &a, b, c, d, &e, sha256_k[t + 3] + w[t + 3]);
        one_round(e, f, g, &h, a, b, c, &d, sha256_k[t + 4] + w[t + 4]);
        one_round(d, e, f, &g, h, a, b, &c, sha256_k[t + 5] + w[t + 5]);
        one_round(c, d, e, &f, g, h, a, &b, sha256_k[t + 6] + w[t + 6]);
        one_round(b, c, d, &e, f, g, h, &a, sha256_k[t + 7] + w[t + 7]);
    }
    uint32_t after[8] = {a, b, c, d, e, f, g, h};
    for (unsigned i = 0; i < 8; i++)
        state[i] += after[i];
}

void sha256_blocks_portable(uint32_t h[8], const uint8_t *data, size_t blocks)
{
    for (; blocks > 0; blocks--, data += SHA256_BLOCK_BYTES)
        one_block(h, data);
}

/* --- which one --- */

static const struct cpu_way ways[SHA256_KIND_COUNT] = {
    [SHA256_PORTABLE] = {"portable", 0, (cpu_kernel *)sha256_blocks_portable},
#ifdef SHA256_HAS_X86
    [SHA256_X86_SHA] = {"x86 sha-ni", CPU_SHA256, (cpu_kernel *)sha256_blocks_x86},
#endif
#ifdef SHA256_HAS_ARM
    [SHA256_ARM_SHA2] = {"armv8 sha2", CPU_SHA256, (cpu_kernel *)sha256_blocks_arm},
#endif
};
static struct cpu_choice choice = {.ways = ways, .count = COUNT_OF(ways)};

bool sha256_force(enum sha256_kind kind)
{
    return cpu_force(&choice, kind);
}

const char *sha256_implementation(void)
{
    return cpu_chosen(&choice)->name;
}

/* --- the stream --- */

void sha256_start(struct sha256 *s)
{
    static const uint32_t initial[8] = {/* FIPS 180-4, 5.3.3 */
                                        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(s->h, initial, sizeof s->h);
    s->total_bytes = 0;
}

void sha256_update(struct sha256 *s, struct bytes data)
{
    if (data.len == 0)
        return;
    sha256_blocks *blocks = (sha256_blocks *)cpu_chosen(&choice)->kernel;
    size_t kept = (size_t)(s->total_bytes % SHA256_BLOCK_BYTES);
    s->total_bytes += data.len;
    if (kept > 0) {
        size_t n = size_min(SHA256_BLOCK_BYTES - kept, data.len);
        memcpy(s->block + kept, data.at, n);
        data.at += n;
        data.len -= n;
        if (kept + n < SHA256_BLOCK_BYTES)
            return;
        blocks(s->h, s->block, 1);
    }
    size_t whole = data.len / SHA256_BLOCK_BYTES;
    if (whole > 0)
        blocks(s->h, data.at, whole);
    if (data.len % SHA256_BLOCK_BYTES > 0)
        memcpy(s->block, data.at + whole * SHA256_BLOCK_BYTES, data.len % SHA256_BLOCK_BYTES);
}

void sha256_finish(struct sha256 *s, uint8_t digest[SHA256_BYTES])
{
    uint64_t bits = s->total_bytes * 8;
    uint8_t tail[SHA256_BLOCK_BYTES + 8] = {0x80}; /* FIPS 180-4, 5.1.1: 1, zeroes, 64-bit length, to a whole block */
    size_t kept = (size_t)(s->total_bytes % SHA256_BLOCK_BYTES);
    size_t zeroes_end = (kept < 56 ? 56 : 120) - kept;
    store_be32(tail + zeroes_end, (uint32_t)(bits >> 32));
    store_be32(tail + zeroes_end + 4, (uint32_t)bits);
    sha256_update(s, (struct bytes){tail, zeroes_end + 8});
    for (unsigned i = 0; i < 8; i++)
        store_be32(digest + (size_t)4 * i, s->h[i]);
    wipe(s, sizeof *s);
}

void sha256_of(struct bytes data, uint8_t digest[SHA256_BYTES])
{
    struct sha256 s;
    sha256_start(&s);
    sha256_update(&s, data);
    sha256_finish(&s, digest);
}
