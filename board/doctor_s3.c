/* doctor_s3: a bucket: listed, an object of ours put, guarded against being put twice, and removed. */
#include "board/doctor.h"

#include "agents/backup/place_keys.h"
#include "board/rt/os.h"
#include "net/api/s3/s3.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bucket {
    struct doctor *doctor;
    const struct doctor_probe *probe;
    const struct config_destination *to;
    struct lane lane;
    char subject[DOCTOR_SUBJECT_MAX], key[S3_KEY_MAX];
    struct place_keys *keys;
    struct s3 *s3;
};

/* --- what may be done there --- */
static err one_is_enough(void *arg, const struct s3_item *item)
{
    (void)item;
    *(bool *)arg = true;
    return E_EXISTS;
}

/* False: nothing more can be learned. */
static bool look_list(struct bucket *b)
{
    bool found = false;
    err e = s3_list(b->s3, b->to->prefix, "", doctor_until(b->doctor) - loop_now(), one_is_enough, &found);
    if (e == OK || found) {
        trail_clear();
        doctor_say(b->doctor, b->probe, DOCTOR_GOOD, b->subject, "its bucket is listed");
    } else if (e == E_DENIED) {
        doctor_failed(b->doctor, b->probe, DOCTOR_WARN, b->subject, e, "without listing nothing is pruned, listed or read back");
    } else {
        doctor_failed(b->doctor, b->probe, DOCTOR_BAD, b->subject, e, doctor_advice(e));
    }
    return e == OK || found || e == E_DENIED;
}

static err put(struct bucket *b, const char *text, bool alone)
{
    return s3_put(b->s3, b->key, NULL, bytes_of(text), alone, doctor_until(b->doctor), NULL);
}

static void look_guard(struct bucket *b, bool guarded)
{
    err again = guarded ? put(b, "holdfast doctor, again", true) : E_UNSUPPORTED;
    if (again != OK && again != E_EXISTS && again != E_UNSUPPORTED) {
        doctor_failed(b->doctor, b->probe, DOCTOR_UNKNOWN, b->subject, again,
                      "whether the server guards what is there is not known");
        return;
    }
    trail_clear();
    if (again == E_EXISTS)
        doctor_say(b->doctor, b->probe, DOCTOR_GOOD, b->subject, "an object that is there is not put over");
    else
        doctor_say(b->doctor, b->probe, DOCTOR_WARN, b->subject,
                   "the server does not guard against putting over what is there; names get the hub's id");
}

/* False: there is no object of ours. */
static bool look_put(struct bucket *b)
{
    err e = put(b, "holdfast doctor", true);
    bool guarded = e != E_UNSUPPORTED;
    if (!guarded) {
        trail_clear();
        e = put(b, "holdfast doctor", false);
    }
    if (e != OK) {
        doctor_failed(b->doctor, b->probe, DOCTOR_BAD, b->subject, e,
                      e == E_DENIED ? "backups need s3:PutObject below the prefix" : doctor_advice(e));
        return e != E_DENIED; /* else it may be there */
    }
    doctor_say(b->doctor, b->probe, DOCTOR_GOOD, b->subject, "objects can be put");
    look_guard(b, guarded);
    return true;
}

static void look_delete(struct bucket *b)
{
    err e = s3_delete(b->s3, b->key, doctor_until(b->doctor));
    if (e == OK)
        doctor_say(b->doctor, b->probe, DOCTOR_GOOD, b->subject, "objects can be deleted");
    else
        doctor_failed(b->doctor, b->probe, DOCTOR_WARN, b->subject, e, "nothing is pruned; the probe's object stays");
}

/* A server takes what is signed by a clock that is up to 15 minutes wrong: doctor tells of less. */
static void look_clock(struct bucket *b)
{
    int64_t ahead_ms = 0;
    if (s3_clock_seen(b->s3, &ahead_ms))
        doctor_clock_seen(b->doctor, b->to->endpoint, -ahead_ms);
}

static void look(struct bucket *b)
{
    uint64_t number = 0;
    os_random(&number, sizeof number);
    (void)snprintf(b->key, sizeof b->key, "%sholdfast-doctor-%016" PRIx64, b->to->prefix, number);
    if (look_list(b) && look_put(b))
        look_delete(b);
    look_clock(b);
}

static struct s3_options options_of(struct bucket *b, struct tls_config *tls)
{
    const struct config_destination *to = b->to;
    return (struct s3_options){.endpoint = to->endpoint,
                               .bucket = to->bucket,
                               .region = to->region,
                               .addressing = to->addressing == ADDRESSING_VIRTUAL ? S3_VIRTUAL : S3_PATH,
                               .tls = tls,
                               .dns = b->doctor->dns,
                               .credentials = place_keys_give,
                               .arg = b->keys};
}

static void with_tls(struct bucket *b)
{
    char key[64];
    bool secure = strncmp(b->to->endpoint, "https://", 8) == 0;
    struct tls_config *tls = NULL;
    (void)snprintf(key, sizeof key, "destination %s", b->to->name);
    struct doctor_files f = {.key = key, .ca = b->to->ca, .cert = "", .cert_key = ""};
    if (secure)
        doctor_tls(b->doctor, b->probe, &f, &tls);
    if (secure && !tls)
        return;
    struct s3_options o = options_of(b, tls);
    err e = s3_open(&o, &b->s3);
    if (e == OK)
        look(b);
    else
        doctor_failed(b->doctor, b->probe, DOCTOR_BAD, b->subject, e, "");
    s3_close(b->s3);
    tls_config_release(tls);
}

void doctor_s3(struct doctor *d, const struct doctor_probe *p)
{
    struct bucket *b = calloc(1, sizeof *b);
    if (!b) {
        doctor_say(d, p, DOCTOR_UNKNOWN, d->config->backup.destinations[p->index].name, "no memory to look at it");
        return;
    }
    b->doctor = d;
    b->probe = p;
    b->to = &d->config->backup.destinations[p->index];
    (void)snprintf(b->subject, sizeof b->subject, "destination %s", b->to->name);
    lane_open(&b->lane, "doctor", mem_task(), 1);
    if (place_keys_open(&b->lane, b->to, &b->keys) == OK)
        with_tls(b);
    else
        doctor_say(d, p, DOCTOR_UNKNOWN, b->subject, "no memory for its credentials");
    place_keys_close(b->keys);
    lane_close(&b->lane);
    free(b);
}
