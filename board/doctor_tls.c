/* doctor_tls: certificates, keys and CAs as files: there, readable, belonging together, not ended. */
#include "board/doctor.h"

#include "board/rt/file.h"

#include <stdio.h>

#define DAYS_WARN 14
#define DAY_S     ((int64_t)86400)

struct reading {
    struct doctor *doctor;
    const struct doctor_probe *probe;
    const struct doctor_files *files;
    struct lane lane;
    char subject[DOCTOR_SUBJECT_MAX];
};

static const char *subject(struct reading *r, const char *option)
{
    (void)snprintf(r->subject, sizeof r->subject, "%s.%s", r->files->key, option);
    return r->subject;
}

static bool read_trust(struct reading *r, struct tls_trust **out)
{
    const char *path = r->files->ca;
    ms until = doctor_until(r->doctor);
    err e = *path ? tls_trust_file(&r->lane, path, until, out) : tls_trust_system(&r->lane, until, out);
    if (e == OK)
        doctor_say(r->doctor, r->probe, DOCTOR_GOOD, subject(r, "ca"), "%s", *path ? path : "the system's");
    else
        doctor_failed(r->doctor, r->probe, DOCTOR_BAD, subject(r, "ca"), e, "give a file of PEM certificates");
    return e == OK;
}

static void tell_identity(struct reading *r, const struct tls_identity *i)
{
    char until[TIME_TEXT_MAX];
    int64_t ends_s = tls_identity_expires_s(i), left_s = ends_s - loop_wall_ms() / 1000;
    text_rfc3339(ends_s, until, sizeof until);
    if (left_s <= 0)
        doctor_say(r->doctor, r->probe, DOCTOR_BAD, subject(r, "cert"), "%s ended on %s; renew it", r->files->cert, until);
    else if (left_s < DAYS_WARN * DAY_S)
        doctor_say(r->doctor, r->probe, DOCTOR_WARN, subject(r, "cert"), "%s ends on %s; renew it soon", r->files->cert, until);
    else
        doctor_say(r->doctor, r->probe, DOCTOR_GOOD, subject(r, "cert"), "%s, until %s, and its key", r->files->cert, until);
}

static bool read_identity(struct reading *r, struct tls_identity **out)
{
    struct buf *cert = NULL, *key = NULL;
    if (!*r->files->cert)
        return true;
    err e = file_read_small(&r->lane, r->files->cert, TLS_FILE_BYTES_MAX, doctor_until(r->doctor), &cert);
    if (e == OK)
        e = file_read_small(&r->lane, r->files->cert_key, TLS_FILE_BYTES_MAX, doctor_until(r->doctor), &key);
    if (e == OK)
        e = tls_identity_parse_on(&r->lane, (struct bytes){cert->at, cert->len}, (struct secret){key->at, key->len}, out);
    if (e == OK)
        tell_identity(r, *out);
    else
        doctor_failed(r->doctor, r->probe, DOCTOR_BAD, subject(r, "cert"), e, "give a PEM certificate and the key made for it");
    if (key)
        wipe(key->at, key->len);
    buf_release(key);
    buf_release(cert);
    return e == OK;
}

void doctor_tls(struct doctor *d, const struct doctor_probe *p, const struct doctor_files *f, struct tls_config **out)
{
    static const char *const h2[] = {"h2", NULL};
    struct reading r = {.doctor = d, .probe = p, .files = f};
    struct tls_options o = {.least = TLS_1_2, .alpn = f->h2 ? h2 : NULL};
    *out = NULL;
    lane_open(&r.lane, "doctor", mem_task(), 1);
    bool trust = read_trust(&r, &o.trust), identity = read_identity(&r, &o.identity);
    if (trust && identity) {
        err e = tls_config_open(&o, out);
        if (e != OK)
            doctor_failed(d, p, DOCTOR_UNKNOWN, f->key, e, "");
    }
    tls_identity_release(o.identity);
    tls_trust_release(o.trust);
    lane_close(&r.lane);
}
