#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/mem.h"
#include "board/rt/secret.h"
#include "net/format/age_inside.h"
#include "net/format/base64.h"
#include "net/format/chacha.h"
#include "net/format/crypto.h"
#include "net/format/hmac.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The examples of C2SP age.md: 32 times 0x42. */
#define IDENTITY  "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
#define RECIPIENT "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"

#define WHOLE_MAX (3 * AGE_CHUNK_BYTES + 100)
static uint8_t content[WHOLE_MAX], file[WHOLE_MAX + KIB(8)], opened[WHOLE_MAX + KIB(8)];
static struct age_identity own[AGE_IDENTITIES_MAX];
static struct age_recipient recipients[AGE_RECIPIENTS_MAX];

static const char *told(err e) /* the words of the last error, which are then forgotten */
{
    static char text[512];
    (void)trail_text(e, text, sizeof text);
    trail_clear();
    return text;
}

/* --- keys --- */

static void the_specifications_keys_belong_together(void **state)
{
    (void)state;
    struct age_identity id;
    struct age_recipient r;
    unsigned count = 0;
    char text[AGE_TEXT_MAX];
    assert_int_equal(age_identities_parse(bytes_of("# created: 2026\n\n" IDENTITY "\n"), &id, 1, &count), OK);
    assert_int_equal(count, 1);
    assert_int_equal(age_recipient_parse(bytes_of(RECIPIENT), &r), OK);
    assert_memory_equal(r.key, id.key, sizeof r.key);
    assert_int_equal(id.secret[31], 0x42);
    age_recipient_print(&r, text);
    assert_string_equal(text, RECIPIENT);
}

static const struct {
    const char *name, *text, *fault; /* NULL: none */
} given_recipients[] = {
    {"right", RECIPIENT, NULL},
    {"a secret key", IDENTITY, "is a secret key; write the recipient that age-keygen -y tells of it"},
    {"a secret key in lower case", "age-secret-key-1gfpyysjz",
     "is a secret key; write the recipient that age-keygen -y tells of it"},
    {"mistyped", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwq", "is mistyped or cut"},
    {"cut", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equn", "is mistyped or cut"},
    {"upper case", "AGE1ZVKYG2LQZRAA2LNJVQEJ32NKUU0UES2S82HZRYE869XEEXVN73EQUNUJWJ", "is in upper case"},
    {"mixed case", "Age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
     "is not an age recipient; write it like age1"},
    {"of a plugin", "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt", "is a plugin's recipient"},
    {"post-quantum", "age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5zr", "is a post-quantum recipient"},
    {"ssh", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW", "is an SSH key"},
    {"pem", "-----BEGIN PUBLIC KEY-----", "is a key in PEM"},
    {"empty", "", "is not an age recipient; write it like age1"},
    {"a word", "backup", "is not an age recipient; write it like age1"},
    {"space behind", RECIPIENT " ", "is not an age recipient; write it like age1"},
    {"other prefix", "abc1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj", "is mistyped or cut"},
};

static void recipients_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(given_recipients); i++) {
        struct age_recipient r;
        const char *fault = age_check_recipient(bytes_of(given_recipients[i].text)), *want = given_recipients[i].fault;
        if ((fault == NULL) != (want == NULL) || (want != NULL && strncmp(fault, want, strlen(want)) != 0))
            fail_msg("%s: %s", given_recipients[i].name, fault == NULL ? "taken" : fault);
        err e = age_recipient_parse(bytes_of(given_recipients[i].text), &r);
        assert_int_equal(e, want == NULL ? OK : E_INVALID);
        assert_true(e == OK || strstr(told(e), want) != NULL);
    }
}

#define SECOND "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ"
static const struct {
    const char *name, *text;
    err want;
    unsigned count;
    const char *words;
} identity_files[] = {
    {"one", IDENTITY, OK, 1, ""},
    {"one, with comments", "# a\n#b\n" IDENTITY "\n# c\n", OK, 1, ""},
    {"one twice", IDENTITY "\n" IDENTITY "\n", OK, 2, ""},
    {"carriage returns and spaces", "# a\r\n" IDENTITY " \r\n\r\n", OK, 1, ""},
    {"empty", "", E_INVALID, 0, "holds no key"},
    {"comments only", "# AGE-SECRET-KEY-1\n\n", E_INVALID, 0, "holds no key"},
    {"three", IDENTITY "\n" IDENTITY "\n" IDENTITY "\n", E_RANGE, 0, "line 3 of the identity file: more than 2 keys"},
    {"mistyped",
     "#\n"
     "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEQ",
     E_INVALID, 0, "line 2 of the identity file is a mistyped or cut key"},
    {"cut", SECOND, E_INVALID, 0, "line 1 of the identity file is a mistyped or cut key"},
    {"second is none", IDENTITY "\nhello\n", E_INVALID, 0, "line 2 of the identity file is no identity"},
    {"lower case", "age-secret-key-1gfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpq4egaex", E_INVALID, 0,
     "is in lower case"},
    {"a recipient", RECIPIENT, E_INVALID, 0, "is a recipient (a public key)"},
    {"of a plugin", "AGE-PLUGIN-YUBIKEY-1QQ", E_INVALID, 0, "belongs to a plugin"},
    {"post-quantum", "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR", E_INVALID, 0,
     "is a post-quantum identity"},
    {"encrypted", "age-encryption.org/v1\n-> scrypt", E_INVALID, 0, "line 1 of the identity file begins an encrypted file"},
    {"encrypted, armored", "-----BEGIN AGE ENCRYPTED FILE-----\n", E_INVALID, 0, "begins an encrypted file"},
    {"ssh", "-----BEGIN OPENSSH PRIVATE KEY-----\nabc", E_INVALID, 0, "SSH keys are not supported"},
    {"space before", " " IDENTITY, E_INVALID, 0, "is no identity"},
};

static void identity_files_are_read(void **state)
{
    (void)state;
    static const struct age_identity untouched[2];
    for (size_t i = 0; i < COUNT_OF(identity_files); i++) {
        struct age_identity out[2] = {0};
        unsigned count = 9;
        err e = age_identities_parse(bytes_of(identity_files[i].text), out, 2, &count);
        const char *words = e == OK ? "" : told(e);
        if (e != identity_files[i].want || count != identity_files[i].count || strstr(words, identity_files[i].words) == NULL)
            fail_msg("%s: %s, %u: %s", identity_files[i].name, err_name(e), count, words);
        if (e != OK)
            assert_memory_equal(out, untouched, sizeof out);
        assert_null(strstr(words, "GFPYYSJ")); /* never the key */
    }
}

/* --- streams --- */

static size_t encode_all(unsigned count, size_t len, size_t in_step, size_t out_step)
{
    struct age_encoder *a = NULL;
    size_t total = 0, at = 0;
    bool done = false;
    assert_int_equal(age_encoder_open(recipients, count, &a), OK);
    while (!done) {
        struct bytes in = {content + at, size_min(in_step, len - at)};
        size_t made = 0, given = in.len, room = size_min(out_step, sizeof file - total);
        assert_int_equal(age_encode(a, &in, file + total, room, &made, at + given == len, &done), OK);
        assert_true(made <= room && (done || made > 0 || in.len < given));
        total += made;
        at += given - in.len;
    }
    age_encoder_close(a);
    assert_int_equal(at, len);
    assert_int_equal(total, age_encoded_bytes(count, len));
    return total;
}

static err decode_with(const struct age_identity *ids, unsigned count, struct bytes from, size_t in_step, size_t out_step,
                       size_t *total)
{
    struct age_decoder *a = NULL;
    bool done = false;
    err e = OK;
    *total = 0;
    assert_int_equal(age_decoder_open(ids, count, &a), OK);
    for (size_t at = 0; e == OK && !done;) {
        struct bytes in = {from.at + at, size_min(in_step, from.len - at)};
        size_t made = 0, given = in.len, room = size_min(out_step, sizeof opened - *total);
        e = age_decode(a, &in, opened + *total, room, &made, at + given == from.len, &done);
        assert_true(made <= room && (e != OK || done || made > 0 || in.len < given));
        assert_true(e == OK || made == 0);
        *total += made;
        at += given - in.len;
        assert_int_equal(age_decoder_ended(a), done);
    }
    age_decoder_close(a);
    return e;
}

static err decode(struct bytes from, size_t *total)
{
    return decode_with(own, 1, from, KIB(256), KIB(256), total);
}

static const size_t edges[] = {0, 1, 100, 65535, 65536, 65537, 131071, 131072, 131073, WHOLE_MAX};

static void all_lengths_and_steps_return(void **state)
{
    (void)state;
    static const size_t steps[][2] = {{KIB(256), KIB(256)}, {65536, 65552}, {65537, 65553},
                                      {1000, 70000},        {70000, 1000},  {7, 11}};
    for (size_t l = 0; l < COUNT_OF(edges); l++) {
        for (size_t s = 0; s < COUNT_OF(steps); s++) {
            size_t total = 0;
            if (steps[s][0] < 100 && edges[l] > 65537)
                continue; /* takes long, shows nothing new */
            struct bytes whole = {file, encode_all(1, edges[l], steps[s][0], steps[s][1])};
            assert_int_equal(decode_with(own, 1, whole, steps[s][0], steps[s][1], &total), OK);
            assert_int_equal(total, edges[l]);
            assert_memory_equal(opened, content, total);
        }
    }
}

static void each_of_eight_opens_it(void **state)
{
    (void)state;
    size_t total = 0;
    struct bytes whole = {file, encode_all(AGE_RECIPIENTS_MAX, 300, KIB(256), KIB(256))};
    for (unsigned i = 0; i < AGE_RECIPIENTS_MAX; i++) {
        assert_int_equal(decode_with(&own[i], 1, whole, KIB(256), KIB(256), &total), OK);
        assert_int_equal(total, 300);
        assert_memory_equal(opened, content, total);
    }
    whole.len = encode_all(1, 300, KIB(256), KIB(256)); /* for the first only */
    assert_int_equal(decode_with(own + 1, 7, whole, 100, 100, &total), E_DENIED);
    assert_non_null(strstr(told(E_DENIED), "none of the 7 identities given opens this age file (it has 1 recipients)"));
    assert_int_equal(decode_with(own, 8, whole, 100, 100, &total), OK); /* one of them does */
}

static void no_two_files_are_alike(void **state)
{
    (void)state;
    uint8_t first[400];
    size_t len = encode_all(1, 100, KIB(256), KIB(256));
    memcpy(first, file, len);
    assert_int_equal(encode_all(1, 100, KIB(256), KIB(256)), len);
    assert_memory_not_equal(first + 22, file + 22, 50);                /* share */
    assert_memory_not_equal(first + len - 116, file + len - 116, 100); /* content */
}

/* --- headers, good and bad --- */

/* A stanza for own[0] and one for own[1], both with this file key. */
static uint8_t file_key[AGE_FILE_KEY_BYTES] = "a key of a file";
static char for_own[128], for_other[128];

static void stanzas_make(void)
{
    char text[512];
    struct text t = text_over(text, sizeof text);
    assert_int_equal(age_header_write(&t, recipients, 2, file_key), OK);
    const char *first = text + sizeof AGE_VERSION_LINE - 1;
    (void)snprintf(for_own, sizeof for_own, "%.*s", AGE_STANZA_CHARS, first);
    (void)snprintf(for_other, sizeof for_other, "%.*s", AGE_STANZA_CHARS, first + AGE_STANZA_CHARS);
}

/* {own}, {other}: stanzas; {share}, {body}: the parts of own's; {mac}: the right code over all before it, without the space. */
static void part_add(struct text *t, struct bytes name)
{
    if (bytes_equal_text(name, "own"))
        text_add(t, for_own);
    else if (bytes_equal_text(name, "other"))
        text_add(t, for_other);
    else if (bytes_equal_text(name, "share"))
        text_addf(t, "%.43s", for_own + 10);
    else if (bytes_equal_text(name, "body"))
        text_addf(t, "%.43s", for_own + 54);
    else if (bytes_equal_text(name, "mac")) {
        uint8_t key[32], mac[32];
        char digits[64];
        hkdf_sha256((struct bytes){NULL, 0}, (struct bytes){file_key, sizeof file_key}, "header", key);
        hmac_sha256((struct bytes){key, 32}, (struct bytes){(const uint8_t *)t->at, t->len - 1}, mac);
        (void)base64_encode(BASE64_BARE, (struct bytes){mac, 32}, digits, sizeof digits);
        text_add(t, digits);
    } else
        fail_msg("no such part");
}

static struct bytes header_build(const char *form, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    for (const char *at = form; *at != 0; at++) {
        const char *close = *at == '{' ? strchr(at, '}') : NULL;
        if (close == NULL) {
            text_add_bytes(&t, (struct bytes){(const uint8_t *)at, 1});
            continue;
        }
        part_add(&t, (struct bytes){(const uint8_t *)at + 1, (size_t)(close - at - 1)});
        at = close;
    }
    assert_false(t.cut);
    return (struct bytes){(const uint8_t *)out, t.len};
}

#define V   "age-encryption.org/v1\n"
#define END "--- {mac}\n"
#define D16 "AAAAAAAAAAAAAAAA"
#define D64 D16 D16 D16 D16
#define D43 D16 D16 "AAAAAAAAAAA"
static const struct {
    const char *name, *form;
    err want;
} headers[] = {
    {"one recipient", V "{own}" END, OK},
    {"ours is the second", V "{other}{own}" END, OK},
    {"ours twice", V "{own}{own}" END, OK},
    {"not ours", V "{other}" END, E_DENIED},
    {"grease before", V "-> abc-grease ! [ ~\n\n{own}" END, OK},
    {"grease behind", V "{own}-> x\nAAAA\n" END, OK},
    {"ssh and plugin beside", V "-> ssh-ed25519 Xyg06A w\n" D43 "\n-> piv-p256 a b\n" D64 "\nAAA\n{own}" END, OK},
    {"plugin with a long body", V "-> piv-p256 a b\n" D64 "\n" D64 "\nAAAA\n{own}" END, OK},
    {"body of one whole line, then an empty one", V "-> x\n" D64 "\n\n{own}" END, OK},
    {"x25519 in lower case is another type", V "-> x25519 {share}\n{body}\n" END, E_DENIED},
    {"no recipient", V END, E_CORRUPT},
    {"passphrase", V "-> scrypt ajMFur+EJLGaohv/dLRGnw 18\n" D43 "\n" END, E_DENIED},
    {"passphrase beside another", V "-> scrypt ajMFur+EJLGaohv/dLRGnw 18\n" D43 "\n{own}" END, E_CORRUPT},
    {"two passphrases", V "-> scrypt a 18\n" D43 "\n-> scrypt b 18\n" D43 "\n" END, E_CORRUPT},
    {"Scrypt is another type", V "-> Scrypt a 18\n" D43 "\n{own}" END, OK},
    /* the X25519 recipient's own form */
    {"an argument too many", V "-> X25519 {share} 1234\n{body}\n" END, E_CORRUPT},
    {"no share", V "-> X25519\n{body}\n" END, E_CORRUPT},
    {"share too short", V "-> X25519 AAAA\n{body}\n" END, E_CORRUPT},
    {"share too long", V "-> X25519 {share}A\n{body}\n" END, E_CORRUPT},
    {"share padded", V "-> X25519 {share}=\n{body}\n" END, E_CORRUPT},
    {"share with bits left over", V "-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n{body}\n" END, E_CORRUPT},
    {"share of low order: zero", V "-> X25519 " D43 "\n{body}\n" END, E_CORRUPT},
    {"share of low order: one", V "-> X25519 AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n{body}\n" END, E_CORRUPT},
    {"another share", V "-> X25519 CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n{body}\n" END, E_DENIED},
    {"body of zeroes", V "-> X25519 {share}\n" D43 "\n" END, E_DENIED},
    {"body too short", V "-> X25519 {share}\nAAAA\n" END, E_CORRUPT},
    {"body empty", V "-> X25519 {share}\n\n" END, E_CORRUPT},
    {"body too long", V "-> X25519 {share}\n{body}AAAAAAAAAA\n" END, E_CORRUPT},
    {"body with a whole line before", V "-> X25519 {share}\n" D64 "\n{body}\n" END, E_CORRUPT},
    {"body padded", V "-> X25519 {share}\n{body}=\n" END, E_CORRUPT},
    {"damaged beside ours", V "-> X25519 AAAA\n{body}\n{own}" END, E_CORRUPT},
    /* lines */
    {"no arguments", V "-> \n\n{own}" END, E_CORRUPT},
    {"no space after the arrow", V "->x\n\n{own}" END, E_CORRUPT},
    {"two spaces", V "-> x  y\n\n{own}" END, E_CORRUPT},
    {"space at the end", V "-> x \n\n{own}" END, E_CORRUPT},
    {"tab", V "-> x\ty\n\n{own}" END, E_CORRUPT},
    {"a byte above 126", V "-> x\xc3\xa8\n\n{own}" END, E_CORRUPT},
    {"carriage return", V "-> x\r\n\n{own}" END, E_CORRUPT},
    {"body missing", V "-> x\n{own}" END, E_CORRUPT},
    {"body missing at the end", V "{own}-> x\n" END, E_CORRUPT},
    {"last line of the body missing", V "-> x\n" D64 "\n{own}" END, E_CORRUPT},
    {"two short lines", V "-> x\nAAAA\nAAAA\n{own}" END, E_CORRUPT},
    {"line of 65", V "-> x\n" D64 "A\n{own}" END, E_CORRUPT},
    {"body with bits left over", V "-> x\nAB\n{own}" END, E_CORRUPT},
    {"body of another alphabet", V "-> x\n-_-_\n{own}" END, E_CORRUPT},
    {"body with carriage return", V "-> x\nAAAA\r\n{own}" END, E_CORRUPT},
    {"wrong arrow", V "=> x\n\n{own}" END, E_CORRUPT},
    /* the code */
    {"code of another header", V "{own}--- " D43 "\n", E_CORRUPT},
    {"code missing", V "{own}---\n", E_CORRUPT},
    {"code without its space", V "{own}---{mac}\n", E_CORRUPT},
    {"code with two spaces", V "{own}---  {mac}\n", E_CORRUPT},
    {"code with a space behind", V "{own}--- {mac} \n", E_CORRUPT},
    {"code padded", V "{own}--- {mac}=\n", E_CORRUPT},
    {"code cut", V "{own}--- AAAA\n", E_CORRUPT},
    {"carriage return after the code", V "{own}--- {mac}\r\n", E_CORRUPT},
    {"wrong code is no matter of identities", V "{other}--- " D43 "\n", E_DENIED},
    /* the first line */
    {"v2", "age-encryption.org/v2\n{own}" END, E_UNSUPPORTED},
    {"v10", "age-encryption.org/v10\n{own}" END, E_UNSUPPORTED},
    {"carriage return after the version", "age-encryption.org/v1\r\n{own}" END, E_UNSUPPORTED},
    {"another file", "SQLite format 3", E_CORRUPT},
    {"armored", "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl", E_UNSUPPORTED},
};

static size_t payload_add(size_t at, size_t len)
{
    uint8_t nonce[AGE_NONCE_BYTES] = {7}, key[32], chunk_nonce[12];
    memcpy(file + at, nonce, sizeof nonce);
    at += sizeof nonce;
    age_payload_key(file_key, nonce, key);
    age_chunk_nonce(0, true, chunk_nonce);
    chacha_seal(key, chunk_nonce, (struct bytes){NULL, 0}, (struct bytes){content, len}, file + at, file + at + len);
    return at + len + AGE_CHUNK_TAG_BYTES;
}

static void headers_mean_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        char text[1024];
        struct bytes header = header_build(headers[i].form, text, sizeof text);
        memcpy(file, header.at, header.len);
        size_t len = payload_add(header.len, 20), total = 0;
        for (size_t step = 1; step < KIB(2); step *= 45) {
            err e = decode_with(own, 1, (struct bytes){file, len}, step, KIB(1), &total);
            if (e != headers[i].want)
                fail_msg("%s, %zu at a time: %s: %s", headers[i].name, step, err_name(e), told(e));
            trail_clear();
            assert_true(e != OK || (total == 20 && memcmp(opened, content, 20) == 0));
        }
        for (size_t cut = 0; headers[i].want == OK && cut < len; cut++)
            assert_int_equal(decode((struct bytes){file, cut}, &total), E_CORRUPT);
    }
    trail_clear();
}

static void headers_have_bounds(void **state)
{
    (void)state;
    static char text[AGE_HEADER_BYTES_MAX + KIB(2)];
    struct text t = text_over(text, sizeof text);
    size_t total = 0;
    text_add(&t, V);
    for (unsigned i = 0; i <= AGE_STANZAS_MAX; i++)
        text_add(&t, "-> x\n\n");
    text_add(&t, "--- " D43 "\n");
    assert_int_equal(decode((struct bytes){(const uint8_t *)text, t.len}, &total), E_RANGE);
    assert_non_null(strstr(told(E_RANGE), "more than 64 recipients"));
    memset(text + sizeof V - 1, '-', sizeof text - sizeof V);
    text[sizeof V + 1] = ' '; /* an endless last line */
    assert_int_equal(decode((struct bytes){(const uint8_t *)text, sizeof text - 1}, &total), E_RANGE);
    assert_non_null(strstr(told(E_RANGE), "longer than 64 KiB"));
}

/* --- payloads, good and bad --- */

#define FULL AGE_CHUNK_BYTES
struct chunk {
    size_t len;
    unsigned number;
    bool last;
    size_t cut; /* bytes left away at its end */
};
static const struct {
    const char *name;
    struct chunk chunks[4];
    unsigned count;
    size_t garbage; /* bytes behind */
    err want;
    const char *words;
} payloads[] = {
    {"one short", {{20, 0, true, 0}}, 1, 0, OK, ""},
    {"one full", {{FULL, 0, true, 0}}, 1, 0, OK, ""},
    {"two", {{FULL, 0, false, 0}, {1, 1, true, 0}}, 2, 0, OK, ""},
    {"two full", {{FULL, 0, false, 0}, {FULL, 1, true, 0}}, 2, 0, OK, ""},
    {"empty", {{0, 0, true, 0}}, 1, 0, OK, ""},
    {"no chunk", {{0}}, 0, 0, E_CORRUPT, "cut off before chunk 0"},
    {"empty last", {{FULL, 0, false, 0}, {0, 1, true, 0}}, 2, 0, E_CORRUPT, "chunk 1 is empty"},
    {"no last", {{FULL, 0, false, 0}}, 1, 0, E_CORRUPT, "cut off after chunk 0"},
    {"no last, short", {{20, 0, false, 0}}, 1, 0, E_CORRUPT, "cut off after chunk 0"},
    {"no last of two", {{FULL, 0, false, 0}, {FULL, 1, false, 0}}, 2, 0, E_CORRUPT, "cut off after chunk 1"},
    {"two last", {{FULL, 0, true, 0}, {FULL, 1, true, 0}}, 2, 0, E_CORRUPT, "more follows after its last chunk (0)"},
    {"two last, short", {{20, 0, true, 0}, {20, 1, true, 0}}, 2, 0, E_CORRUPT, "chunk 0 is damaged, or cut off"},
    {"garbage behind a full one", {{FULL, 0, true, 0}}, 1, 1, E_CORRUPT, "more follows after its last chunk (0)"},
    {"garbage behind", {{20, 0, true, 0}}, 1, 100, E_CORRUPT, "chunk 0 is damaged, or cut off"},
    {"much garbage behind",
     {{FULL, 0, false, 0}, {FULL, 1, true, 0}},
     2,
     KIB(66),
     E_CORRUPT,
     "more follows after its last chunk (1)"},
    {"swapped",
     {{FULL, 1, false, 0}, {FULL, 0, false, 0}, {9, 2, true, 0}},
     3,
     0,
     E_CORRUPT,
     "chunk 0 is damaged or not in its place"},
    {"one left out", {{FULL, 0, false, 0}, {FULL, 2, false, 0}, {9, 3, true, 0}}, 3, 0, E_CORRUPT, "chunk 1 is damaged"},
    {"one twice", {{FULL, 0, false, 0}, {FULL, 0, false, 0}, {9, 1, true, 0}}, 3, 0, E_CORRUPT, "chunk 1 is damaged"},
    {"short in the middle", {{FULL - 1, 0, false, 0}, {9, 1, true, 0}}, 2, 0, E_CORRUPT, "chunk 0 is damaged"},
    {"begins with 1", {{20, 1, true, 0}}, 1, 0, E_CORRUPT, "chunk 0 is damaged, or cut off"},
    {"cut in the tag", {{20, 0, true, 1}}, 1, 0, E_CORRUPT, "chunk 0 is damaged, or cut off"},
    {"tag missing", {{20, 0, true, 16}}, 1, 0, E_CORRUPT, "chunk 0 is damaged, or cut off"},
    {"part of a tag", {{0, 0, true, 1}}, 1, 0, E_CORRUPT, "cut off in chunk 0"},
};

static size_t chunks_add(size_t at, const struct chunk *chunks, unsigned count)
{
    uint8_t nonce[AGE_NONCE_BYTES] = {7}, key[32], chunk_nonce[12];
    memcpy(file + at, nonce, sizeof nonce);
    at += sizeof nonce;
    age_payload_key(file_key, nonce, key);
    for (unsigned i = 0; i < count; i++) {
        size_t len = chunks[i].len;
        age_chunk_nonce(chunks[i].number, chunks[i].last, chunk_nonce);
        chacha_seal(key, chunk_nonce, (struct bytes){NULL, 0}, (struct bytes){content + i * AGE_CHUNK_BYTES, len}, file + at,
                    file + at + len);
        at += len + AGE_CHUNK_TAG_BYTES - chunks[i].cut;
    }
    return at;
}

static void payloads_mean_what_they_say(void **state)
{
    (void)state;
    static const size_t steps[][2] = {{KIB(256), KIB(256)}, {4096, 4096}, {65553, 65536}};
    char text[512];
    struct bytes header = header_build(V "{own}" END, text, sizeof text);
    for (size_t i = 0; i < COUNT_OF(payloads); i++) {
        memcpy(file, header.at, header.len);
        size_t len = chunks_add(header.len, payloads[i].chunks, payloads[i].count), total = 0;
        memset(file + len, 0xA5, payloads[i].garbage);
        struct bytes whole = {file, len + payloads[i].garbage};
        for (size_t s = 0; s < COUNT_OF(steps); s++) {
            err e = decode_with(own, 1, whole, steps[s][0], steps[s][1], &total);
            const char *words = e == OK ? "" : told(e);
            if (e != payloads[i].want || strstr(words, payloads[i].words) == NULL)
                fail_msg("%s: %s: %s", payloads[i].name, err_name(e), words);
            assert_true(total == 0 || memcmp(opened, content, total) == 0);
        }
    }
}

/* --- damage --- */

static void every_flipped_bit_is_told(void **state)
{
    (void)state;
    size_t len = encode_all(1, 40, KIB(256), KIB(256)), total = 0, header = age_encoded_bytes(1, 0) - 32;
    for (size_t at = 0; at < len; at++) {
        file[at] ^= (uint8_t)(1 << at % 8);
        err e = decode((struct bytes){file, len}, &total);
        file[at] ^= (uint8_t)(1 << at % 8);
        /* In the header: not of age any more, not for us, or not whole. Behind it, damage. */
        bool fits = e == E_CORRUPT || (at < header && (e == E_DENIED || e == E_UNSUPPORTED));
        if (!fits || total != 0)
            fail_msg("byte %zu: %s", at, err_name(e));
    }
    trail_clear();
}

static void every_cut_is_told(void **state)
{
    (void)state;
    size_t len = encode_all(1, WHOLE_MAX, KIB(256), KIB(256)), total = 0, begin = age_encoded_bytes(1, 0) - 16;
    for (size_t chunk = 0; chunk <= WHOLE_MAX / AGE_CHUNK_BYTES; chunk++) {
        for (size_t around = 0; around < 3; around++) {
            size_t cut = begin + chunk * AGE_SEALED_BYTES + around - 1;
            assert_int_equal(decode((struct bytes){file, cut}, &total), E_CORRUPT);
            assert_true(total <= chunk * AGE_CHUNK_BYTES);
        }
    }
    assert_int_equal(decode((struct bytes){file, len - 1}, &total), E_CORRUPT);
    assert_int_equal(decode((struct bytes){file, len}, &total), OK);
    trail_clear();
}

/* --- memory, speed --- */

static void memory_is_known(void **state)
{
    (void)state;
    struct age_encoder *e = NULL;
    struct age_decoder *d = NULL;
    struct age_recipient low = {{0}};
    size_t used = mem_use(mem_task()).used_bytes, total = 0;
    mem_peak_reset(mem_task());
    size_t len = encode_all(AGE_RECIPIENTS_MAX, WHOLE_MAX, KIB(256), KIB(256));
    size_t encoder_peak = mem_use(mem_task()).peak_bytes - used;
    mem_peak_reset(mem_task());
    assert_int_equal(decode((struct bytes){file, len}, &total), OK);
    size_t decoder_peak = mem_use(mem_task()).peak_bytes - used;
    printf("age: %zu KiB to encrypt, %zu KiB to decrypt at most, X25519 included\n", encoder_peak / 1024, decoder_peak / 1024);
    assert_true(encoder_peak < AGE_ENCODER_BYTES + KIB(8) && decoder_peak < AGE_DECODER_BYTES + KIB(8));
    assert_int_equal(age_encoder_open(&low, 1, &e), E_INVALID);
    assert_non_null(strstr(told(E_INVALID), "recipient 1 of 1: X25519: a point of low order"));
    assert_null(e);
    assert_int_equal(mem_use(mem_task()).used_bytes, used);
    age_encoder_close(NULL);
    age_decoder_close(NULL);
    assert_null(d);
}

/* Spends the slice of a small task, then opens: nothing may be left, nothing be half. */
static void a_spent_budget_is_told(void **state)
{
    (void)state;
    void *taken[64];
    unsigned count = 0;
    enum task before = mem_task();
    mem_set_task(TASK_CONTROL);
    size_t used = mem_use(TASK_CONTROL).used_bytes;
    while (count < COUNT_OF(taken) && (taken[count] = malloc(KIB(32))) != NULL)
        count++;
    unsigned denied = 0;
    for (unsigned n = count; n > 0; n--) { /* a little more room each time */
        struct age_encoder *e = NULL;
        struct age_decoder *d = NULL;
        size_t held = mem_use(TASK_CONTROL).used_bytes;
        err encoder = age_encoder_open(recipients, 2, &e), decoder = encoder == OK ? OK : age_decoder_open(own, 1, &d);
        assert_true(encoder == OK || (encoder == E_BUDGET && e == NULL));
        assert_true(decoder == OK || (decoder == E_BUDGET && d == NULL));
        denied += encoder == E_BUDGET;
        age_encoder_close(e);
        age_decoder_close(d);
        assert_int_equal(mem_use(TASK_CONTROL).used_bytes, held);
        free(taken[n - 1]);
    }
    assert_true(denied > 0 && denied < count);
    assert_int_equal(mem_use(TASK_CONTROL).used_bytes, used);
    mem_set_task(before);
    trail_clear();
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void speed(void **state)
{
    (void)state;
    uint8_t shared[32];
    double begin = seconds();
    assert_int_equal(crypto_x25519(own[0].secret, own[1].key, shared), OK);
    printf("X25519: %.2f ms\n", (seconds() - begin) * 1e3);
    size_t total = 0, len = 0;
    double sealing = 1e9, opening = 1e9;
    for (unsigned round = 0; round < 5; round++) {
        begin = seconds();
        len = encode_all(1, WHOLE_MAX, KIB(256), KIB(256));
        double middle = seconds();
        assert_int_equal(decode((struct bytes){file, len}, &total), OK);
        sealing = middle - begin < sealing ? middle - begin : sealing;
        opening = seconds() - middle < opening ? seconds() - middle : opening;
    }
    printf("age, %zu KiB with its header: %.0f MB/s to encrypt, %.0f MB/s to decrypt\n", total / 1024,
           (double)total / 1e6 / sealing, (double)total / 1e6 / opening);
}

static int boot(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)(i * 2654435761u >> 13);
    if (mem_boot(profile_find("hub32"), MEM_LAZY) != OK)
        return 1;
    mem_set_task(TASK_BACKUP);
    for (size_t i = 0; i < AGE_IDENTITIES_MAX; i++) {
        memset(own[i].secret, 0x42 + (int)i, sizeof own[i].secret);
        if (crypto_x25519(own[i].secret, NULL, own[i].key) != OK)
            return 1;
        memcpy(recipients[i].key, own[i].key, sizeof own[i].key);
    }
    stanzas_make();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_specifications_keys_belong_together),
        cmocka_unit_test(recipients_are_checked),
        cmocka_unit_test(identity_files_are_read),
        cmocka_unit_test(all_lengths_and_steps_return),
        cmocka_unit_test(each_of_eight_opens_it),
        cmocka_unit_test(no_two_files_are_alike),
        cmocka_unit_test(headers_mean_what_they_say),
        cmocka_unit_test(headers_have_bounds),
        cmocka_unit_test(payloads_mean_what_they_say),
        cmocka_unit_test(every_flipped_bit_is_told),
        cmocka_unit_test(every_cut_is_told),
        cmocka_unit_test(memory_is_known),
        cmocka_unit_test(a_spent_budget_is_told),
        cmocka_unit_test(speed),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
