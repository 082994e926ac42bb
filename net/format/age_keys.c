#include "net/format/age_inside.h"

#include "board/rt/secret.h"
#include "net/format/bech32.h"
#include "net/format/crypto.h"

#include <string.h>

#define PREFIX_PUBLIC "age"
#define PREFIX_SECRET "AGE-SECRET-KEY-"

/* What people give instead of a key, by how it begins, in either case: the first that fits. */
struct mistake {
    const char *begins, *text;
};

static const struct mistake not_recipients[] = {
    {"AGE-SECRET-KEY-", "is a secret key; write the recipient that age-keygen -y tells of it, and treat that key as known"},
    {"AGE-PLUGIN-", "is a plugin's identity; write an X25519 recipient (age1…), as age-keygen makes them"},
    {"age1pq1", "is a post-quantum recipient, which is not supported; write an X25519 recipient (age1…)"},
    {"ssh-", "is an SSH key; write an X25519 recipient (age1…), as age-keygen makes them"},
    {"-----BEGIN", "is a key in PEM; write an X25519 recipient (age1…), as age-keygen makes them"},
};

static const struct mistake not_identities[] = {
    {"AGE-SECRET-KEY-PQ-", "is a post-quantum identity, which is not supported"},
    {"AGE-PLUGIN-", "belongs to a plugin, and plugins are not supported"},
    {"age1", "is a recipient (a public key), not an identity"},
    {"age-encryption.org/", "begins an encrypted file; decrypt the identity file first"},
    {"-----BEGIN AGE", "begins an encrypted file; decrypt the identity file first"},
    {"-----BEGIN", "begins a key in PEM, and SSH keys are not supported"},
    {"ssh-", "is an SSH key; SSH keys are not supported"},
};

static bool begins_with(struct bytes text, const char *begins)
{
    size_t len = strlen(begins);
    return text.len >= len && bytes_equal_nocase((struct bytes){text.at, len}, begins);
}

static const char *mistake_of(const struct mistake *list, size_t count, struct bytes text)
{
    for (size_t i = 0; i < count; i++)
        if (begins_with(text, list[i].begins))
            return list[i].text;
    return NULL;
}

static const char *recipient_read(struct bytes text, struct age_recipient *out)
{
    const char *mistake = mistake_of(not_recipients, COUNT_OF(not_recipients), text);
    struct bytes prefix = {NULL, 0};
    size_t len = 0;
    if (mistake != NULL)
        return mistake;
    err e = bech32_decode(text, &prefix, out->key, sizeof out->key, &len);
    if (e == E_CORRUPT)
        return "is mistyped or cut: its checksum is wrong; copy it again, whole";
    if (e == OK && bytes_equal_text(prefix, PREFIX_PUBLIC) && len == AGE_KEY_BYTES)
        return NULL;
    if (e == OK && bytes_equal_text(prefix, "AGE"))
        return "is in upper case; write it in lower case";
    if (prefix.len > 4 && begins_with(prefix, "age1"))
        return "is a plugin's recipient, which is not supported; write an X25519 recipient (age1…)";
    return "is not an age recipient; write it like age1…, as age-keygen prints it";
}

const char *age_check_recipient(struct bytes text)
{
    struct age_recipient r;
    const char *fault = recipient_read(text, &r);
    wipe(&r, sizeof r);
    return fault;
}

err age_recipient_parse(struct bytes text, struct age_recipient *out)
{
    const char *fault = recipient_read(text, out);
    return fault == NULL ? OK : trail(E_INVALID, "the recipient %s", fault);
}

void age_recipient_print(const struct age_recipient *r, char out[AGE_TEXT_MAX])
{
    bech32_encode(PREFIX_PUBLIC, (struct bytes){r->key, sizeof r->key}, out, AGE_TEXT_MAX);
}

/* --- identity files --- */

static const char *identity_read(struct bytes line, uint8_t secret[AGE_KEY_BYTES])
{
    const char *mistake = mistake_of(not_identities, COUNT_OF(not_identities), line);
    struct bytes prefix = {NULL, 0};
    size_t len = 0;
    if (mistake != NULL)
        return mistake;
    err e = bech32_decode(line, &prefix, secret, AGE_KEY_BYTES, &len);
    if (e == E_CORRUPT)
        return "is a mistyped or cut key: its checksum is wrong";
    if (e == OK && bytes_equal_text(prefix, PREFIX_SECRET) && len == AGE_KEY_BYTES)
        return NULL;
    if (e == OK && bytes_equal_nocase(prefix, PREFIX_SECRET))
        return "is in lower case; write it in upper case";
    return "is no identity; one begins with AGE-SECRET-KEY-1";
}

/* The next line without what surrounds it; *file moves behind it. */
static struct bytes line_take(struct bytes *file)
{
    const uint8_t *feed = memchr(file->at, '\n', file->len);
    struct bytes line = {file->at, feed != NULL ? (size_t)(feed - file->at) : file->len};
    *file = bytes_after(*file, feed != NULL ? line.len + 1 : line.len);
    while (line.len > 0 && (line.at[line.len - 1] == '\r' || line.at[line.len - 1] == ' ' || line.at[line.len - 1] == '\t'))
        line.len--;
    return line;
}

static err identity_add(struct bytes line, unsigned number, struct age_identity *out)
{
    const char *fault = identity_read(line, out->secret);
    if (fault != NULL)
        return trail(E_INVALID, "line %u of the identity file %s", number, fault);
    return crypto_x25519(out->secret, NULL, out->key);
}

err age_identities_parse(struct bytes file, struct age_identity *out, unsigned cap, unsigned *count)
{
    err e = OK;
    *count = 0;
    for (unsigned number = 1; e == OK && file.len > 0; number++) {
        struct bytes line = line_take(&file);
        if (line.len == 0 || line.at[0] == '#')
            continue;
        if (*count == cap)
            e = trail(E_RANGE, "line %u of the identity file: more than %u keys", number, cap);
        else
            e = identity_add(line, number, &out[*count]);
        *count += e == OK;
    }
    if (e == OK && *count == 0)
        e = trail(E_INVALID, "the identity file holds no key; a line of it begins with AGE-SECRET-KEY-1");
    if (e != OK) {
        wipe(out, cap * sizeof *out);
        *count = 0;
    }
    return e;
}
