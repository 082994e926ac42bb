#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/os.h"
#include "net/format/crypto.h"

#include <mbedtls/platform_time.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>
#include <string.h>

static void boots_twice(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0};
    assert_int_equal(crypto_boot(), OK);
    assert_int_equal(crypto_boot(), OK);
    assert_int_equal(psa_generate_random(a, sizeof a), PSA_SUCCESS);
    assert_int_equal(psa_generate_random(b, sizeof b), PSA_SUCCESS);
    assert_memory_not_equal(a, b, sizeof a);
}

/* The library's clocks are ours: the wall clock in seconds, the monotonic one in milliseconds. */
static void tells_our_time(void **state)
{
    (void)state;
    int64_t wall_s = os_wall_ms() / 1000, mono = os_mono();
    mbedtls_time_t told = 0;
    assert_int_equal(crypto_boot(), OK);
    int64_t returned = mbedtls_time(&told);
    assert_true(returned == told && told >= wall_s && told <= wall_s + 2);
    int64_t told_ms = mbedtls_ms_time();
    assert_true(told_ms >= mono && told_ms <= mono + 2000);
}

static const struct {
    int code;
    const char *wanted; /* what the text must contain */
} texts[] = {
    {MBEDTLS_ERR_SSL_CONN_EOF, "EOF"},
    {MBEDTLS_ERR_SSL_BAD_CERTIFICATE, "Certificate"},
    {-0x007f, "-0x007f"},
    {0, "0x0000"},
};

static void errors_have_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char out[CRYPTO_ERROR_TEXT_MAX], tiny[5];
        if (strstr(crypto_error_text(texts[i].code, out, sizeof out), texts[i].wanted) == NULL)
            fail_msg("%d: %s", texts[i].code, out);
        assert_true(strlen(crypto_error_text(texts[i].code, tiny, sizeof tiny)) < sizeof tiny);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boots_twice),
        cmocka_unit_test(tells_our_time),
        cmocka_unit_test(errors_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
