/* Which certificates are Ed25519: real ones, made by openssl, and cut ones. */
#include "tests/unit/check.h"

#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/format/base64.h"
#include "net/format/x509_look.h"

#include <string.h>

#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END   "-----END CERTIFICATE-----\n"
/* openssl req -x509 -newkey ed25519 -subj /CN=talos; the same with ec P-256; a P-256 one that the first has signed */
#define ED25519                                                                                                                  \
    "MIIBNjCB6aADAgECAhQ+CdGsdZ0L08wkyGds8+ApfFOyazAFBgMrZXAwEDEOMAwG\n"                                                         \
    "A1UEAwwFdGFsb3MwIBcNMjYxMTIxMTYzMjI3WhgPMjEyNjEwMjgxNjMyMjdaMBAx\n"                                                         \
    "DjAMBgNVBAMMBXRhbG9zMCowBQYDK2VwAyEAR5VhhPpTVGTRqgk/HUrAR2FevoIc\n"                                                         \
    "xT3zLfvqd1N40XOjUzBRMB0GA1UdDgQWBBTYJGjxIXdZd0tKmK9aQLwl8QENwTAf\n"                                                         \
    "BgNVHSMEGDAWgBTYJGjxIXdZd0tKmK9aQLwl8QENwTAPBgNVHRMBAf8EBTADAQH/\n"                                                         \
    "MAUGAytlcANBAD3eBr0odi4HK8RABSgmZYm7+3DLIcgJM4821KHXCCpwc6Sau9Er\n"                                                         \
    "cZ+x9EYzv8+cgZTpfhokp+AWcIoqI6IasQk=\n"
#define P256                                                                                                                     \
    "MIIBdzCCAR2gAwIBAgIUWePFYiRVtM89UBtI5sIXNpkjGM0wCgYIKoZIzj0EAwIw\n"                                                         \
    "EDEOMAwGA1UEAwwFdGFsb3MwIBcNMjYxMTIxMTYzMjI3WhgPMjEyNjEwMjgxNjMy\n"                                                         \
    "MjdaMBAxDjAMBgNVBAMMBXRhbG9zMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"                                                         \
    "DVQcebhkZnDqZYi7sxfwrlWRoYeoIIFTchmZLu2BGoIhnkGfBox2zq5G1t4dyXrV\n"                                                         \
    "KoOTVD7PEPnIm6JEb9YxM6NTMFEwHQYDVR0OBBYEFI4kCkgu7r5Hr8lyvNocgDDj\n"                                                         \
    "TSLRMB8GA1UdIwQYMBaAFI4kCkgu7r5Hr8lyvNocgDDjTSLRMA8GA1UdEwEB/wQF\n"                                                         \
    "MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgO1I65IN3IGtGW1fXdwMaTfh0xxNcOhfe\n"                                                         \
    "LfZhNxQts2wCIQD4hIHzrzJSgMFgJpUdCxwKvxwZb3f4oXQIv9iYNstdXw==\n"
#define P256_BY_ED25519                                                                                                          \
    "MIIBZTCCARegAwIBAgIUVkrCMm+bE1wbOYGFVtjrZ1MTSiswBQYDK2VwMBAxDjAM\n"                                                         \
    "BgNVBAMMBXRhbG9zMCAXDTI2MTEyMTE2MzIyN1oYDzIxMjYxMDI4MTYzMjI3WjAP\n"                                                         \
    "MQ0wCwYDVQQDDARsZWFmMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEypBpymFU\n"                                                         \
    "rc7hWqfU20yYCSZbexht112lH6HB2I+6C0rnWIXXxExnoWZ+vR+Edu6VVBXnkL9m\n"                                                         \
    "sWAllQl05Ag3naNTMFEwHQYDVR0OBBYEFGp1styUHyDdJE1D6eZEZ9gMXOcOMB8G\n"                                                         \
    "A1UdIwQYMBaAFNgkaPEhd1l3S0qYr1pAvCXxAQ3BMA8GA1UdEwEB/wQFMAMBAf8w\n"                                                         \
    "BQYDK2VwA0EAkNLI0k/QNbb8KEZ6MQitD2xQ/VzTXSq0IrdUHHYIBLzDWmG0tI+M\n"                                                         \
    "qW/qZwrQYc8x1sTMpfHzeSfOJFbpIBFbDA==\n"

static const struct pem_case {
    const char *name, *pem;
    bool has;
} pems[] = {
    {"Ed25519", BEGIN ED25519 END, true},
    {"P-256", BEGIN P256 END, false},
    {"P-256, signed by Ed25519", BEGIN P256_BY_ED25519 END, true},
    {"the second of two", BEGIN P256 END BEGIN ED25519 END, true},
    {"two others", BEGIN P256 END BEGIN P256 END, false},
    {"after a text", "subject=CN = talos\n" BEGIN ED25519 END, true},
    {"no end", BEGIN ED25519, false},
    {"no begin", ED25519 END, false},
    {"not base64", BEGIN "*" ED25519 END, false},
    {"nothing in it", BEGIN END, false},
    {"empty", "", false},
};

static void pems_are_told_apart(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(pems); i++)
        if (x509_pem_has_ed25519(bytes_of(pems[i].pem)) != pems[i].has)
            fail_msg("%s", pems[i].name);
}

/* Every shorter part of it is read within its bounds and is none. */
static void cut_ones_are_none(void **unused)
{
    static const char dense[] = "MIIBNjCB6aADAgECAhQ+CdGsdZ0L08wkyGds8+ApfFOyazAFBgMrZXAwEDEOMAwG"
                                "A1UEAwwFdGFsb3MwIBcNMjYxMTIxMTYzMjI3WhgPMjEyNjEwMjgxNjMyMjdaMBAx"
                                "DjAMBgNVBAMMBXRhbG9zMCowBQYDK2VwAyEAR5VhhPpTVGTRqgk/HUrAR2FevoIc"
                                "xT3zLfvqd1N40XOjUzBRMB0GA1UdDgQWBBTYJGjxIXdZd0tKmK9aQLwl8QENwTAf"
                                "BgNVHSMEGDAWgBTYJGjxIXdZd0tKmK9aQLwl8QENwTAPBgNVHRMBAf8EBTADAQH/"
                                "MAUGAytlcANBAD3eBr0odi4HK8RABSgmZYm7+3DLIcgJM4821KHXCCpwc6Sau9Er"
                                "cZ+x9EYzv8+cgZTpfhokp+AWcIoqI6IasQk=";
    uint8_t der[512];
    size_t len = 0;
    (void)unused;
    assert_int_equal(base64_decode(BASE64_STANDARD, bytes_of(dense), der, sizeof der, &len), OK);
    assert_true(x509_der_has_ed25519((struct bytes){der, len}));
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *part = test_malloc(cut + 1); /* a byte beyond is found by the sanitizer, or by cmocka's guard */
        memcpy(part, der, cut);
        assert_false(x509_der_has_ed25519((struct bytes){part, cut}));
        test_free(part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pems_are_told_apart), cmocka_unit_test(cut_ones_are_none)};
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    return cmocka_run_group_tests_name("x509_look", tests, NULL, NULL);
}
