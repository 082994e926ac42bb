#include "net/format/hmac.h"

#include "board/rt/secret.h"

#include <string.h>

static void padded_start(struct sha256 *s, const uint8_t key[SHA256_BLOCK_BYTES], uint8_t pad)
{
    uint8_t block[SHA256_BLOCK_BYTES];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = key[i] ^ pad;
    sha256_start(s);
    sha256_update(s, (struct bytes){block, sizeof block});
    wipe(block, sizeof block);
}

void hmac_sha256(struct bytes key, struct bytes data, uint8_t out[SHA256_BYTES])
{
    uint8_t block[SHA256_BLOCK_BYTES] = {0};
    struct sha256 s;
    if (key.len > sizeof block)
        sha256_of(key, block);
    else if (key.len > 0)
        memcpy(block, key.at, key.len);
    padded_start(&s, block, 0x36); /* RFC 2104, 2: inner, then outer */
    sha256_update(&s, data);
    sha256_finish(&s, out);
    padded_start(&s, block, 0x5c);
    sha256_update(&s, (struct bytes){out, SHA256_BYTES});
    sha256_finish(&s, out);
    wipe(block, sizeof block);
}

void hkdf_sha256(struct bytes salt, struct bytes secret, const char *info, uint8_t out[SHA256_BYTES])
{
    uint8_t expand[HKDF_INFO_MAX + 1];
    size_t len = strlen(info);
    ASSERT(len <= HKDF_INFO_MAX);
    memcpy(expand, info, len);
    expand[len] = 1; /* RFC 5869, 2.3: T(1), which is all that is wanted */
    hmac_sha256(salt, secret, out);
    hmac_sha256((struct bytes){out, SHA256_BYTES}, (struct bytes){expand, len + 1}, out);
}
