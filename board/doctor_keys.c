/* doctor_keys: what a destination's recipients seal, the identity file must open; else a rehearsal, and a restore, would fail. */
#include "board/doctor.h"

#include "agents/backup/restore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEALED_MAX KIB(4) /* eight recipients and a word */

static const char word[] = "holdfast doctor";

struct seal { /* on the heap: what a job of the pool works on */
    struct age_recipient recipients[AGE_RECIPIENTS_MAX];
    unsigned recipient_count;
    struct backup_keys keys;
    uint8_t sealed[SEALED_MAX], opened[sizeof word];
    size_t sealed_len, opened_len;
};

static err seal(struct seal *s)
{
    struct age_encoder *a = NULL;
    struct bytes in = {(const uint8_t *)word, sizeof word};
    bool done = false;
    TRY(age_encoder_open(s->recipients, s->recipient_count, &a));
    err e = OK;
    while (e == OK && !done && s->sealed_len < SEALED_MAX) {
        size_t made = 0;
        e = age_encode(a, &in, s->sealed + s->sealed_len, SEALED_MAX - s->sealed_len, &made, true, &done);
        s->sealed_len += made;
    }
    age_encoder_close(a);
    return e == OK && !done ? E_RANGE : e;
}

static err unseal(struct seal *s)
{
    struct age_decoder *a = NULL;
    struct bytes in = {s->sealed, s->sealed_len};
    bool done = false;
    TRY(age_decoder_open(s->keys.keys, s->keys.count, &a));
    err e = OK;
    while (e == OK && !done && s->opened_len < sizeof word) {
        size_t made = 0;
        e = age_decode(a, &in, s->opened + s->opened_len, sizeof s->opened - s->opened_len, &made, true, &done);
        s->opened_len += made;
    }
    age_decoder_close(a);
    return e == OK && memcmp(s->opened, word, sizeof word) != 0 ? E_CORRUPT : e;
}

static err seal_and_open(void *job)
{
    struct seal *s = *(struct seal **)job;
    TRY(seal(s));
    return unseal(s);
}

static err recipients_read(const struct config_destination *to, struct seal *s)
{
    for (unsigned i = 0; i < to->recipient_count; i++)
        TRY(trail(age_recipient_parse(bytes_of(to->recipients[i]), &s->recipients[i]), "encrypt.recipients[%u]", i));
    s->recipient_count = to->recipient_count;
    return OK;
}

static void look(struct doctor *d, const struct doctor_probe *p, const char *subject, struct seal *s)
{
    struct lane l;
    bool given = *d->config->backup.identity_file != 0, readable = true;
    lane_open(&l, "doctor", mem_task(), 1);
    err e = recipients_read(&d->config->backup.destinations[p->index], s);
    if (e == OK && given)
        e = backup_keys_read(d->config->backup.identity_file, doctor_until(d), &s->keys);
    readable = e != E_DENIED;
    if (e == OK && given) /* it only computes */
        e = lane_call(&l, seal_and_open, &s, sizeof s, NULL, FOREVER);
    lane_close(&l);
    if (!readable)
        doctor_failed(d, p, DOCTOR_BAD, subject, e,
                      "backup.rehearse.identity_file must be readable for the user that holdfast runs as: no rehearsal can open "
                      "these backups");
    else if (e == E_DENIED)
        doctor_failed(d, p, DOCTOR_BAD, subject, e,
                      "backup.rehearse.identity_file has none of the recipients' keys: no rehearsal can open these backups");
    else if (e != OK)
        doctor_failed(d, p, DOCTOR_BAD, subject, e, "");
    else if (given)
        doctor_say(d, p, DOCTOR_GOOD, subject, "the identity file opens what %u recipients seal", s->recipient_count);
    else
        doctor_say(d, p, DOCTOR_GOOD, subject, "%u recipients; without an identity file here nothing shows that their keys exist",
                   s->recipient_count);
}

void doctor_keys(struct doctor *d, const struct doctor_probe *p)
{
    char subject[DOCTOR_SUBJECT_MAX];
    struct seal *s = calloc(1, sizeof *s);
    (void)snprintf(subject, sizeof subject, "destination %s", d->config->backup.destinations[p->index].name);
    if (s)
        look(d, p, subject, s);
    else
        doctor_say(d, p, DOCTOR_UNKNOWN, subject, "no memory to look at its recipients");
    if (s)
        wipe(s, sizeof *s);
    free(s);
}
