/* Any bytes as a private key's PEM; what is a key must sign, what is none leaves nothing. And as the answer of a token endpoint:
 * what is a token must be a header's value. */
#include "tests/fuzz/fuzz.h"

#include "net/api/oauth2_inside.h"
#include "net/format/pem_key.h"

#include <string.h>

static void fuzz_key(struct bytes in)
{
    static const struct pem_key none;
    struct pem_key k;
    enum pem_key_fault fault = PEM_KEY_FAULT_COUNT;
    uint8_t signature[CRYPTO_P256_SIGNATURE_BYTES];
    err e = pem_key_parse(in, &k, &fault);
    ASSERT(fault < PEM_KEY_FAULT_COUNT && (e == OK) == (fault == PEM_KEY_NONE));
    ASSERT((e == OK) == (memcmp(&k, &none, sizeof k) != 0));
    if (e == OK)
        ASSERT(crypto_boot() == OK && crypto_p256_sign(k.scalar, none.scalar, signature) == OK);
}

static void fuzz_answer(struct bytes in)
{
    struct oauth2_token *t = NULL;
    int64_t life_s = 0;
    char word[OAUTH2_WORD_MAX];
    err e = oauth2_read(in, &t, &life_s);
    ASSERT((e == OK) == (t != NULL));
    ASSERT(!t || (life_s >= 1 && life_s <= OAUTH2_LIFE_S_MAX && strlen(t->authorization) > strlen("Bearer ")));
    ASSERT(!t || http1_value_is_valid(bytes_of(t->authorization)));
    oauth2_release(t);
    oauth2_error_word(in, word);
    ASSERT(strspn(word, "abcdefghijklmnopqrstuvwxyz_") == strlen(word));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > OAUTH2_ANSWER_MAX + 1)
        return 0;
    fuzz_key((struct bytes){data, size});
    fuzz_answer((struct bytes){data, size});
    trail_clear();
    return 0;
}
