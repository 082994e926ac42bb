#include "net/format/crypto.h"

#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/secret.h"
#include "net/format/cpu.h"
#include "net/format/gcm.h"

#include <mbedtls/aes.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/gcm.h>
#include <mbedtls/md.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_time.h>
#include <psa/crypto.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

/* --- what the library asks of the world --- */

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context, uint8_t *output, size_t output_size,
                                             size_t *output_length)
{
    (void)context;
    os_random(output, output_size);
    *output_length = output_size;
    return PSA_SUCCESS;
}

/* For measuring intervals: ages of TLS 1.3 tickets. */
mbedtls_ms_time_t mbedtls_ms_time(void)
{
    return os_mono();
}

static mbedtls_time_t wall_s(mbedtls_time_t *out)
{
    mbedtls_time_t now = (mbedtls_time_t)(os_wall_ms() / 1000);
    if (out != NULL)
        *out = now;
    return now;
}

err crypto_boot(void)
{
    static atomic_bool booted; /* the library's clock is a plain global: set once, before there are threads */
    if (atomic_load(&booted))
        return OK;
    if (mbedtls_platform_set_time(wall_s) != 0)
        return trail(E_UNSUPPORTED, "giving the crypto library a clock");
    psa_status_t status = psa_crypto_init();
    if (status == PSA_ERROR_INSUFFICIENT_MEMORY)
        return trail(E_BUDGET, "starting the crypto library");
    if (status != PSA_SUCCESS)
        return trail(E_UNSUPPORTED, "starting the crypto library: %d", (int)status);
    atomic_store(&booted, true);
    return OK;
}

const char *crypto_error_text(int code, char *out, size_t cap)
{
    const char *high = mbedtls_high_level_strerr(code), *low = mbedtls_low_level_strerr(code);
    ASSERT(cap > 0);
    if (high != NULL || low != NULL)
        (void)snprintf(out, cap, "%s%s%s", high != NULL ? high : "", high != NULL && low != NULL ? ": " : "",
                       low != NULL ? low : "");
    else
        (void)snprintf(out, cap, "%s0x%04x", code < 0 ? "-" : "", code < 0 ? 0u - (unsigned)code : (unsigned)code);
    return out;
}

bool crypto_cpu_has_aes(void)
{
    return cpu_has(CPU_AES);
}

/* --- X25519 --- */

static int random_fill(void *unused, unsigned char *out, size_t len)
{
    (void)unused;
    os_random(out, len);
    return 0;
}

static int x25519(const uint8_t *scalar, const uint8_t *point, uint8_t *out)
{
    static const uint8_t base[CRYPTO_X25519_BYTES] = {9}; /* RFC 7748, 4.1 */
    mbedtls_ecp_keypair own;                              /* reading it clamps the scalar */
    mbedtls_ecp_point other, product;
    size_t len = 0;
    mbedtls_ecp_keypair_init(&own);
    mbedtls_ecp_point_init(&other);
    mbedtls_ecp_point_init(&product);
    int r = mbedtls_ecp_read_key(MBEDTLS_ECP_DP_CURVE25519, &own, scalar, CRYPTO_X25519_BYTES);
    if (r == 0)
        r = mbedtls_ecp_point_read_binary(&own.grp, &other, point != NULL ? point : base, CRYPTO_X25519_BYTES);
    if (r == 0)
        r = mbedtls_ecp_mul(&own.grp, &product, &own.d, &other, random_fill, NULL);
    if (r == 0)
        r = mbedtls_ecp_point_write_binary(&own.grp, &product, MBEDTLS_ECP_PF_UNCOMPRESSED, &len, out, CRYPTO_X25519_BYTES);
    mbedtls_ecp_point_free(&product);
    mbedtls_ecp_point_free(&other);
    mbedtls_ecp_keypair_free(&own);
    return r;
}

err crypto_x25519(const uint8_t scalar[CRYPTO_X25519_BYTES], const uint8_t point[CRYPTO_X25519_BYTES],
                  uint8_t out[CRYPTO_X25519_BYTES])
{
    static const uint8_t zeroes[CRYPTO_X25519_BYTES];
    char words[CRYPTO_ERROR_TEXT_MAX];
    int r = x25519(scalar, point, out);
    if (r == MBEDTLS_ERR_MPI_ALLOC_FAILED || r == MBEDTLS_ERR_ECP_ALLOC_FAILED)
        return trail(E_BUDGET, "X25519");
    if (r == MBEDTLS_ERR_ECP_INVALID_KEY)
        return trail(E_INVALID, "X25519: a point of low order"); /* the library looks for them beforehand */
    if (r != 0)
        return trail(E_UNSUPPORTED, "X25519: %s", crypto_error_text(r, words, sizeof words));
    if (bytes_equal_secret((struct bytes){out, CRYPTO_X25519_BYTES}, (struct bytes){zeroes, sizeof zeroes}))
        return trail(E_INVALID, "X25519: a point of low order");
    return OK;
}

/* --- ECDSA over P-256 --- */

#define SCRUB_BYTES KIB(8) /* deeper than the library goes while it signs */

static __attribute__((noinline)) int p256_sign(const uint8_t *scalar, const uint8_t *digest, uint8_t *signature)
{
    mbedtls_ecp_group group;
    mbedtls_mpi d, r, s;
    mbedtls_ecp_group_init(&group);
    mbedtls_mpi_init(&d);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    int code = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1);
    if (code == 0)
        code = mbedtls_mpi_read_binary(&d, scalar, CRYPTO_P256_BYTES);
    if (code == 0)
        code = mbedtls_ecp_check_privkey(&group, &d);
    if (code == 0)
        code = mbedtls_ecdsa_sign_det_ext(&group, &r, &s, &d, digest, 32, MBEDTLS_MD_SHA256, random_fill, NULL);
    if (code == 0)
        code = mbedtls_mpi_write_binary(&r, signature, CRYPTO_P256_BYTES);
    if (code == 0)
        code = mbedtls_mpi_write_binary(&s, signature + CRYPTO_P256_BYTES, CRYPTO_P256_BYTES);
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_mpi_free(&d);
    mbedtls_ecp_group_free(&group);
    return code;
}

/* ecdsa_sign_det_restartable() leaves the scalar in a local array of its own. */
static __attribute__((noinline)) void stack_scrub(void)
{
    uint8_t below[SCRUB_BYTES];
    wipe(below, sizeof below);
}

err crypto_p256_sign(const uint8_t scalar[CRYPTO_P256_BYTES], const uint8_t digest[32],
                     uint8_t signature[CRYPTO_P256_SIGNATURE_BYTES])
{
    char words[CRYPTO_ERROR_TEXT_MAX];
    bool wiping = mem_wipes_freed();
    mem_wipe_freed(true);
    int code = p256_sign(scalar, digest, signature);
    mem_wipe_freed(wiping);
    stack_scrub();
    if (code == MBEDTLS_ERR_MPI_ALLOC_FAILED || code == MBEDTLS_ERR_ECP_ALLOC_FAILED || code == MBEDTLS_ERR_MD_ALLOC_FAILED)
        return trail(E_BUDGET, "signing with P-256");
    if (code == MBEDTLS_ERR_ECP_INVALID_KEY)
        return trail(E_INVALID, "signing with P-256: the key is 0, or not below the curve's order");
    return code == 0 ? OK : trail(E_UNSUPPORTED, "signing with P-256: %s", crypto_error_text(code, words, sizeof words));
}

/* --- AES-GCM ---
 *
 * The library hashes a block at a time, which bounds TLS to a few hundred MB/s. Its calls for a whole message, which is how TLS
 * seals a record, are led here by the linker (--wrap); what the kernel cannot do, and everything in pieces, stays the library's.
 * The link flags missing, nothing changes but the speed. */

#define WRAPPED(name) __wrap_mbedtls_gcm_##name
#define REAL(name)    __real_mbedtls_gcm_##name
int REAL(crypt_and_tag)(mbedtls_gcm_context *ctx, int mode, size_t length, const unsigned char *iv, size_t iv_len,
                        const unsigned char *add, size_t add_len, const unsigned char *input, unsigned char *output,
                        size_t tag_len, unsigned char *tag) __attribute__((weak));
int REAL(auth_decrypt)(mbedtls_gcm_context *ctx, size_t length, const unsigned char *iv, size_t iv_len, const unsigned char *add,
                       size_t add_len, const unsigned char *tag, size_t tag_len, const unsigned char *input,
                       unsigned char *output) __attribute__((weak));
int WRAPPED(crypt_and_tag)(mbedtls_gcm_context *ctx, int mode, size_t length, const unsigned char *iv, size_t iv_len,
                           const unsigned char *add, size_t add_len, const unsigned char *input, unsigned char *output,
                           size_t tag_len, unsigned char *tag);
int WRAPPED(auth_decrypt)(mbedtls_gcm_context *ctx, size_t length, const unsigned char *iv, size_t iv_len,
                          const unsigned char *add, size_t add_len, const unsigned char *tag, size_t tag_len,
                          const unsigned char *input, unsigned char *output);

const char *crypto_gcm_implementation(void)
{
    bool is_hooked = REAL(crypt_and_tag) != NULL && REAL(auth_decrypt) != NULL;
    return is_hooked && gcm_is_fast() ? gcm_implementation() : "library";
}

/* The library's key, which is expanded as FIPS 197 writes it whichever way the library encrypts; NULL: no key, or not AES. */
static const mbedtls_aes_context *aes_of(const mbedtls_gcm_context *ctx)
{
#if defined(MBEDTLS_BLOCK_CIPHER_C)
    return ctx->block_cipher_ctx.id == MBEDTLS_BLOCK_CIPHER_ID_AES ? &ctx->block_cipher_ctx.ctx.aes : NULL;
#else
    mbedtls_cipher_type_t type = mbedtls_cipher_get_type(&ctx->cipher_ctx);
    bool is_aes = type == MBEDTLS_CIPHER_AES_128_ECB || type == MBEDTLS_CIPHER_AES_192_ECB || type == MBEDTLS_CIPHER_AES_256_ECB;
    return is_aes ? ctx->cipher_ctx.cipher_ctx : NULL;
#endif
}

static bool is_ours(const mbedtls_gcm_context *ctx, struct gcm *g, size_t iv_len, size_t tag_len)
{
    const mbedtls_aes_context *aes = aes_of(ctx);
    if (!gcm_is_fast() || aes == NULL || iv_len != GCM_IV_BYTES || tag_len < 4 || tag_len > GCM_TAG_BYTES ||
        g->len > GCM_BYTES_MAX)
        return false;
    g->round_keys = (const uint8_t *)(aes->buf + aes->rk_offset);
    g->rounds = (unsigned)aes->nr;
    return true;
}

int WRAPPED(crypt_and_tag)(mbedtls_gcm_context *ctx, int mode, size_t length, const unsigned char *iv, size_t iv_len,
                           const unsigned char *add, size_t add_len, const unsigned char *input, unsigned char *output,
                           size_t tag_len, unsigned char *tag)
{
    struct gcm g = {.encrypt = mode == MBEDTLS_GCM_ENCRYPT,
                    .iv = iv,
                    .additional = {add, add_len},
                    .in = input,
                    .out = output,
                    .len = length};
    uint8_t whole[GCM_TAG_BYTES];
    if (!is_ours(ctx, &g, iv_len, tag_len))
        return REAL(crypt_and_tag)(ctx, mode, length, iv, iv_len, add, add_len, input, output, tag_len, tag);
    gcm_crypt(&g, whole);
    for (size_t i = 0; i < tag_len; i++)
        tag[i] = whole[i];
    return 0;
}

int WRAPPED(auth_decrypt)(mbedtls_gcm_context *ctx, size_t length, const unsigned char *iv, size_t iv_len,
                          const unsigned char *add, size_t add_len, const unsigned char *tag, size_t tag_len,
                          const unsigned char *input, unsigned char *output)
{
    struct gcm g = {.iv = iv, .additional = {add, add_len}, .in = input, .out = output, .len = length};
    uint8_t whole[GCM_TAG_BYTES];
    if (!is_ours(ctx, &g, iv_len, tag_len))
        return REAL(auth_decrypt)(ctx, length, iv, iv_len, add, add_len, tag, tag_len, input, output);
    gcm_crypt(&g, whole);
    if (bytes_equal_secret((struct bytes){whole, tag_len}, (struct bytes){tag, tag_len}))
        return 0;
    wipe(output, length); /* as the library does: nothing that was not authenticated is handed out */
    return MBEDTLS_ERR_GCM_AUTH_FAILED;
}
