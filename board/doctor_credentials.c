/* doctor_credentials: what the platform shall know us by, of a Secret or of files: a client id, and a key that can sign. No byte
 * of either is told; all is wiped. */
#include "board/doctor_kube.h"

#include "board/rt/file.h"
#include "board/rt/secret.h"
#include "net/format/base64.h"
#include "net/format/jwt.h"

#include <stdlib.h>
#include <string.h>

#define CLIENT_ID_BYTES_MAX KIB(1)

enum credential { CLIENT_ID, PRIVATE_KEY, CREDENTIAL_COUNT };
static const char *const keys[] = {[CLIENT_ID] = "client_id", [PRIVATE_KEY] = "private_key"};
static const size_t bytes_max[] = {[CLIENT_ID] = CLIENT_ID_BYTES_MAX, [PRIVATE_KEY] = PEM_KEY_TEXT_MAX};

static const char *client_id_fault(struct bytes text)
{
    char id[JWT_CLIENT_ID_MAX];
    err e = jwt_client_id(text, id);
    return e == OK ? NULL : e == E_INVALID ? "empty: write the client id into it" : "longer than a client id";
}

/* NULL: it is good. */
static const char *fault_of(enum credential what, struct bytes text)
{
    struct pem_key key;
    enum pem_key_fault fault = PEM_KEY_NONE;
    if (what == CLIENT_ID)
        return client_id_fault(text);
    err e = pem_key_parse(text, &key, &fault);
    pem_key_wipe(&key);
    trail_clear();
    return e == OK ? NULL : pem_key_fault_text(fault);
}

/* --- a Secret's data, base64 --- */
static bool look_value(struct cluster *c, const char *subject, enum credential what, struct bytes value)
{
    uint8_t *plain = malloc(bytes_max[what]);
    size_t len = 0;
    const char *fault = "no memory to read it";
    if (plain) {
        err e = base64_decode(BASE64_STANDARD, value, plain, bytes_max[what], &len);
        fault = e == OK ? fault_of(what, (struct bytes){plain, len}) : e == E_RANGE ? "too long" : "no base64";
        wipe(plain, bytes_max[what]);
    }
    trail_clear();
    free(plain);
    if (fault)
        doctor_say(c->doctor, c->probe, DOCTOR_BAD, subject, "%s of its Secret: %s", keys[what], fault);
    return !fault;
}

void doctor_secret(struct cluster *c, const char *subject, const char *name, const struct pick_node *data)
{
    unsigned good = 0;
    for (enum credential what = CLIENT_ID; what < CREDENTIAL_COUNT; what++) {
        const struct pick_node *value = pick_at(data, keys[what]);
        if (value)
            good += look_value(c, subject, what, pick_text(value));
        else
            doctor_say(c->doctor, c->probe, DOCTOR_BAD, subject, "its Secret %s has no key %s; add it", name, keys[what]);
    }
    if (good == CREDENTIAL_COUNT)
        doctor_say(c->doctor, c->probe, DOCTOR_GOOD, subject, "its Secret %s has a client id, and a key that can sign", name);
}

/* --- files --- */
static void look_file(struct cluster *c, enum credential what, const char *option, const char *path)
{
    struct buf *b = NULL;
    err e = file_read_small(&c->lane, path, bytes_max[what], doctor_until(c->doctor), &b);
    if (e != OK) {
        doctor_failed(c->doctor, c->probe, DOCTOR_BAD, option, e, "");
        return;
    }
    const char *fault = fault_of(what, (struct bytes){b->at, b->len});
    wipe(b->at, b->len);
    buf_release(b);
    doctor_say(c->doctor, c->probe, fault ? DOCTOR_BAD : DOCTOR_GOOD, option, "%s%s%s", path, fault ? ": " : " can be used",
               fault ? fault : "");
}

void doctor_credential_files(struct cluster *c)
{
    const struct config *config = c->doctor->config;
    look_file(c, CLIENT_ID, "ingest.credentials.client_id_file", config->ingest.client_id_file);
    look_file(c, PRIVATE_KEY, "ingest.credentials.private_key_file", config->ingest.private_key_file);
}
