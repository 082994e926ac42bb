#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/format/hex.h"
#include "net/format/pem_key.h"

#include <string.h>

/* The key is RFC 6979's example (A.2.5): published, and nobody's. */
#define SCALAR "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
#define SMALL  "0000000000000000000000000000000000000000000000000000000000000102"
#define LAST   "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550"

#define PEM(label, base64) "-----BEGIN " label "-----\n" base64 "\n-----END " label "-----\n"
#define EC(base64)         "-----BEGIN EC PRIVATE KEY-----\n" base64 "\n-----END EC PRIVATE KEY-----\n"
#define P8(base64)         "-----BEGIN PRIVATE KEY-----\n" base64 "\n-----END PRIVATE KEY-----\n"
#define PARAMETERS         "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
#define SEC1_1             "MHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49"
#define SEC1_2             "AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8"
#define SEC1_3             "maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ=="
#define PKCS8_1            "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgya+p2EW6dRZrXCFX"
#define PKCS8_2            "Z7HWk05Qw9s26JsSe4piKxIPZyGhRANCAARg/tS6JVqdMclh63TGNW1owEm4kjth"
#define PKCS8_3            "+mzmaWIuYPKftnkD/hAIuLyZpBrp6VYovGTy8bIMLX6fUXejwpTURiKZ"
#define SEC1               EC(SEC1_1 "\n" SEC1_2 "\n" SEC1_3)
#define BARE               "MDECAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49AwEH"

static const struct {
    const char *name, *text;
    enum pem_key_fault fault;
    const char *scalar;
} keys[] = {
    {"SEC1, as openssl ecparam -genkey -noout", EC(SEC1_1 "\n" SEC1_2 "\n" SEC1_3), PEM_KEY_NONE, SCALAR},
    {"PKCS#8, as openssl genpkey (X-1)", P8(PKCS8_1 "\n" PKCS8_2 "\n" PKCS8_3), PEM_KEY_NONE, SCALAR},
    {"EC PARAMETERS in front (X-4)", PARAMETERS EC(SEC1_1 "\n" SEC1_2 "\n" SEC1_3), PEM_KEY_NONE, SCALAR},
    {"text in front", "Key of cluster lab\nBEGIN\n" SEC1, PEM_KEY_NONE, SCALAR},
    {"CRLF", "-----BEGIN EC PRIVATE KEY-----\r\n" SEC1_1 "\r\n" SEC1_2 "\r\n" SEC1_3 "\r\n-----END EC PRIVATE KEY-----\r\n",
     PEM_KEY_NONE, SCALAR},
    {"indented, as cut out of YAML", "  -----BEGIN EC PRIVATE KEY-----\n  " BARE "\n  -----END EC PRIVATE KEY-----", PEM_KEY_NONE,
     SCALAR},
    {"no public key in it", EC(BARE), PEM_KEY_NONE, SCALAR},
    {"another label, as upstream takes it", PEM("KEY", BARE), PEM_KEY_NONE, SCALAR},
    {"SEC1 as PRIVATE KEY", P8(BARE), PEM_KEY_NONE, SCALAR},
    {"PKCS#8 without a curve inside",
     P8("MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCDJr6nYRbp1FmtcIVdnsdaTTlDD2zbomxJ7imIrEg9nIQ=="), PEM_KEY_NONE, SCALAR},
    {"PKCS#8 of version 2", P8("MEECAQEwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCDJr6nYRbp1FmtcIVdnsdaTTlDD2zbomxJ7imIrEg9nIQ=="),
     PEM_KEY_NONE, SCALAR},
    {"34 bytes, two zeroes", EC("MDMCAQEEIgAAya+p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyGgCgYIKoZIzj0DAQc="), PEM_KEY_NONE,
     SCALAR},
    {"2 bytes", EC("MBMCAQEEAgECoAoGCCqGSM49AwEH"), PEM_KEY_NONE, SMALL},
    {"the order less one", EC("MDECAQEEIP////8AAAAA//////////+85vqtpxeehPO5ysL8YyVQoAoGCCqGSM49AwEH"), PEM_KEY_NONE, LAST},
    {"nothing", "", PEM_KEY_NO_BLOCK, NULL},
    {"not PEM (AC-5)", "not-a-pem-key", PEM_KEY_NO_BLOCK, NULL},
    {"base64 without its lines", BARE, PEM_KEY_NO_BLOCK, NULL},
    {"half a BEGIN line", "-----BEGIN EC PRIVATE KEY", PEM_KEY_NO_BLOCK, NULL},
    {"only EC PARAMETERS", PARAMETERS, PEM_KEY_NO_BLOCK, NULL},
    {"cut", "-----BEGIN EC PRIVATE KEY-----\n" SEC1_1 "\n", PEM_KEY_NO_END, NULL},
    {"empty block", EC(""), PEM_KEY_BASE64, NULL},
    {"damaged base64", EC("MHcC*QEE"), PEM_KEY_BASE64, NULL},
    {"padding lost", EC("MBMCAQEEAgECoAoGCCqGSM49AwE"), PEM_KEY_BASE64, NULL},
    {"not DER", P8("aG9sZGZhc3Q="), PEM_KEY_SHAPE, NULL},
    {"DER that is cut", EC("MDECAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuib"), PEM_KEY_SHAPE, NULL},
    {"SEC1 of version 2", EC("MDECAQIEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49AwEH"), PEM_KEY_SHAPE, NULL},
    {"no curve anywhere", EC("MCUCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2ch"), PEM_KEY_CURVE, NULL},
    {"zero", EC("MDECAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAoAoGCCqGSM49AwEH"), PEM_KEY_SCALAR, NULL},
    {"the order", EC("MDECAQEEIP////8AAAAA//////////+85vqtpxeehPO5ysL8YyVRoAoGCCqGSM49AwEH"), PEM_KEY_SCALAR, NULL},
    {"33 bytes", EC("MDICAQEEIQHJr6nYRbp1FmtcIVdnsdaTTlDD2zbomxJ7imIrEg9nIaAKBggqhkjOPQMBBw=="), PEM_KEY_SCALAR, NULL},
    {"no bytes", EC("MBECAQEEAKAKBggqhkjOPQMBBw=="), PEM_KEY_SCALAR, NULL},
    {"RSA, PKCS#8 (X-2)", P8("MB0CAQAwDQYJKoZIhvcNAQEBBQAECTAHAgEAAgIBIw=="), PEM_KEY_RSA, NULL},
    {"RSA, PKCS#1", PEM("RSA PRIVATE KEY", "MAoCAQACAgEjAgED"), PEM_KEY_RSA, NULL},
    {"Ed25519", P8("MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"), PEM_KEY_EDWARDS, NULL},
    {"DSA", P8("MBMCAQAwCQYHKoZIzjgEAQQDAgEB"), PEM_KEY_NOT_ECDSA, NULL},
    {"P-384, SEC1 (X-3)",
     EC("MIGkAgEBBDAAAAAAAAAAAAAAAAAAAAAAya+p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyGgBwYFK4EEACKhZANiAAQHwjDSC1rLhOJ1EkXP6mxmKJK8"
        "+EhqAYEnql4WBJpv3Yq1Mm0PabW3COtZWrTtbvZVd7DbO8vUoKhDBuAzbvZcO3mUn4c7WzTRtmj+60QUOiW/4HncS+w26C6HrmQkGek="),
     PEM_KEY_P384, NULL},
    {"P-384, PKCS#8",
     P8("MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAAAAAAAAAAAAAAAAAAAAAAya+p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyGhZANiAAQH"
        "wjDSC1rLhOJ1EkXP6mxmKJK8+EhqAYEnql4WBJpv3Yq1Mm0PabW3COtZWrTtbvZVd7DbO8vUoKhDBuAzbvZcO3mUn4c7WzTRtmj+60QUOiW/4HncS+w26C6H"
        "rmQkGek="),
     PEM_KEY_P384, NULL},
    {"P-521, PKCS#8",
     P8("MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAya+p2EW6dRZrXCFXZ7HWk05Qw9s2"
        "6JsSe4piKxIPZyGhgYkDgYYABACNNQtmuVPaGh0tPqrEvfV/AVBKcv2PnLnsBChR4VWjQ6vLpfc4dY0MFWTq5isYvs/Q159qIunmP1TZWrtK4BonxAA5Mncc"
        "lpII9sBGR16Z0czIviYExM+dLC2HmczaCblO4GO7cPAzKy1m1H3TpqJcIXvIJtPsLPhxYixFKLcSEBijMQ=="),
     PEM_KEY_P521, NULL},
    {"secp256k1",
     EC("MHQCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAcGBSuBBAAKoUQDQgAELIwx/J+ZDGtV44ZaGEpM5Q4JSB8urrPmDsHOoTpq5kVkuV5P"
        "22lIwDhuGJsAain2hnabARcEJ15EWYItwzKAhQ=="),
     PEM_KEY_CURVE, NULL},
    {"the curve written out",
     EC("MIIBaAIBAQQgya+p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyGggfowgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAAAAAAAAAAAAAA////////"
        "////////MFsEIP////8AAAABAAAAAAAAAAAAAAAA///////////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSdNgiG5wSTamZ4"
        "4ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9QIhAP////8AAAAA////"
        "//////+85vqtpxeehPO5ysL8YyVRAgEBoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU"
        "1EYimQ=="),
     PEM_KEY_EXPLICIT, NULL},
    {"encrypted PKCS#8",
     PEM("ENCRYPTED PRIVATE KEY",
         "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAghBCquKHpf/"
         "AICCAAwDAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEGLABugKi2mvje7zTpKd"
         "w/UEgZCxyX+vxkeZE5zZEfrzJ9UNnFOZsJyo5hlMbpR5B0Q+Ps21lLLHAnJQSUaoLi2TIS40rFRfZSrwbkl6WP9fEPDPIN4MOKvR1Ikcr3J7FhmeTF8Cs/"
         "4m"
         "rY5hoIyEinAOgqZcDZYnp4S4FXd3e7lY5mnY+w4Th+uQle9FcEngK07XnPaxR82E3NfdVKHoztsDreA="),
     PEM_KEY_ENCRYPTED, NULL},
    {"encrypted as openssl did before", EC("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,81D26F62\n\nCmdHLLrWwUfADRJO7QFCRg=="),
     PEM_KEY_ENCRYPTED, NULL},
    {"a public key", PEM("PUBLIC KEY", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"), PEM_KEY_NOT_PRIVATE, NULL},
    {"a certificate", PEM("CERTIFICATE", "MIIB"), PEM_KEY_NOT_PRIVATE, NULL},
};

static void keys_are_read_or_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        static const struct pem_key none;
        struct pem_key k;
        enum pem_key_fault fault;
        char hex[2 * sizeof k.scalar + 1], told[256];
        memset(&k, 0xa5, sizeof k);
        err e = pem_key_parse(bytes_of(keys[i].text), &k, &fault);
        if (fault != keys[i].fault || (e == OK) != (fault == PEM_KEY_NONE))
            fail_msg("%s: %s, %s", keys[i].name, err_name(e), pem_key_fault_text(fault));
        (void)hex_encode((struct bytes){k.scalar, sizeof k.scalar}, hex, sizeof hex);
        if (e == OK)
            assert_string_equal(hex, keys[i].scalar);
        else if (!strstr(trail_text(e, told, sizeof told), pem_key_fault_text(fault)) || memcmp(&k, &none, sizeof k) != 0)
            fail_msg("%s: told \"%s\"", keys[i].name, told);
        trail_clear();
    }
}

static void each_fault_has_words_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PEM_KEY_FAULT_COUNT; i++)
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(pem_key_fault_text(i), pem_key_fault_text(j));
}

/* Each prefix, and each byte changed: an error or a key, never more than that. */
static void damage_is_survived(void **state)
{
    (void)state;
    char text[sizeof(SEC1)];
    struct pem_key k;
    for (size_t len = 0; len < sizeof text - 28; len++) /* before its END line is complete */
        assert_int_not_equal(pem_key_parse((struct bytes){(const uint8_t *)SEC1, len}, &k, NULL), OK);
    for (size_t at = 0; at < sizeof text - 1; at++) {
        memcpy(text, SEC1, sizeof text);
        text[at] = (char)(text[at] ^ 1);
        enum pem_key_fault fault = PEM_KEY_FAULT_COUNT;
        err e = pem_key_parse(bytes_of(text), &k, &fault);
        assert_true(fault < PEM_KEY_FAULT_COUNT && (e == OK) == (fault == PEM_KEY_NONE));
    }
    trail_clear();
}

static void too_long_is_refused(void **state)
{
    (void)state;
    static char text[PEM_KEY_TEXT_MAX + 1];
    struct pem_key k;
    enum pem_key_fault fault;
    memset(text, '\n', sizeof text);
    memcpy(text + sizeof text - strlen(SEC1), SEC1, strlen(SEC1));
    assert_int_equal(pem_key_parse((struct bytes){(const uint8_t *)text, sizeof text}, &k, &fault), E_RANGE);
    assert_int_equal(fault, PEM_KEY_SIZE);
    assert_int_equal(pem_key_parse((struct bytes){(const uint8_t *)text + 1, sizeof text - 1}, &k, &fault), OK);
    trail_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_read_or_named),
        cmocka_unit_test(each_fault_has_words_of_its_own),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
