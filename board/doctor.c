/* doctor: `holdfast doctor`. The probes in two rounds, some at a time; then the page. */
#include "board/doctor.h"

#include "board/check.h"
#include "board/rt/buf.h"
#include "board/zones.h"
#include "net/format/json_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES  KIB(128) /* each byte of the lines escaped, and their keys */
#define PROBES_MAX  32
#define ORDER_FIRST 1 /* 0: the configuration */

static const char *const state_words[] = {
#define X(state, word) [DOCTOR_##state] = (word),
    DOCTOR_STATES(X)
#undef X
};

/* --- telling --- */
ms doctor_until(const struct doctor *d)
{
    return ms_min(d->deadline, loop_now() + DOCTOR_PROBE_MS);
}

void doctor_say(struct doctor *d, const struct doctor_probe *p, enum doctor_state s, const char *subject, const char *format, ...)
{
    va_list arguments;
    if (d->line_count == DOCTOR_LINES_MAX) {
        d->left_out++;
        return;
    }
    struct doctor_line *l = &d->lines[d->line_count++];
    struct text t = text_over(l->words, sizeof l->words);
    l->order = p->order;
    l->state = s;
    (void)snprintf(l->subject, sizeof l->subject, "%s", subject);
    va_start(arguments, format);
    text_addv(&t, format, arguments);
    va_end(arguments);
    for (char *c = l->words; *c; c++) /* some are a peer's, and go to a terminal */
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? ' ' : *c;
}

void doctor_failed(struct doctor *d, const struct doctor_probe *p, enum doctor_state s, const char *subject, err e,
                   const char *advice)
{
    char why[DOCTOR_WORDS_MAX];
    bool late = e == E_TIMEOUT && loop_now() >= d->deadline;
    trail_text(e, why, sizeof why);
    trail_clear();
    if (late) { /* it had less time than it needs */
        s = s == DOCTOR_BAD ? DOCTOR_UNKNOWN : s;
        advice = "the examination's time was used up; mend what hangs, then look again";
    }
    doctor_say(d, p, s, subject, "%s%s%s", why, *advice ? "; " : "", advice);
}

const char *doctor_advice(err e)
{
    static const struct {
        err error;
        const char *advice;
    } rows[] = {
        {E_REFUSED, "is it running, and is this its port?"},
        {E_NAME, "look at the name, and at the name servers of this host"},
        {E_TIMEOUT, "does it hang, or does a firewall drop what we send?"},
        {E_UNREACHABLE, "look at the network between"},
        {E_CERT_UNTRUSTED, "give the CA that has signed its certificate"},
        {E_CERT_NAME, "use a name or address that its certificate has"},
        {E_CERT_TIME, "renew its certificate, or set this host's clock"},
        {E_CERT_WANTED, "give a certificate and key that its CA has signed"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].error == e)
            return rows[i].advice;
    return "";
}

/* --- the probes --- */
struct round {
    struct doctor *doctor;
    struct doctor_probe probes[PROBES_MAX];
    unsigned count, next;
};

static void add(struct round *r, void (*run)(struct doctor *d, const struct doctor_probe *p), unsigned index, unsigned *order)
{
    ASSERT(r->count < PROBES_MAX);
    r->probes[r->count++] = (struct doctor_probe){run, (*order)++, index};
}

static err worker(void *arg)
{
    struct round *r = arg;
    while (r->next < r->count && !fiber_canceled() && loop_now() < r->doctor->deadline) {
        const struct doctor_probe *p = &r->probes[r->next++];
        p->run(r->doctor, p);
        trail_clear();
    }
    return fiber_canceled() ? E_CANCELED : OK;
}

/* What nobody came to is told: silence would be praise. */
static void tell_left(struct round *r, err e)
{
    const struct doctor_probe *p = &r->probes[r->next];
    if (r->next < r->count)
        doctor_say(r->doctor, p, DOCTOR_UNKNOWN, "doctor", "%u of %u things were not looked at: %s; then look again",
                   r->count - r->next, r->count, e == OK ? "the time was used up, mend what hangs" : "no memory for it, wait");
}

static err round_run(struct round *r)
{
    struct group g;
    err e = OK;
    unsigned workers = fiber_use(mem_task()).count / 4; /* a probe takes up to three more: addresses that race, HTTP/2 */
    group_open(&g, mem_task());
    for (unsigned i = 0; i < workers && i < r->count && e == OK; i++)
        e = group_spawn(&g, "doctor", worker, r);
    err ended = group_join(&g, FOREVER);
    group_close(&g);
    if (ended == OK && (e == OK || e == E_BUDGET)) { /* fewer workers do */
        tell_left(r, e);
        return OK;
    }
    return e == OK ? ended : e;
}

static bool has_source(const struct config *c)
{
    return c->backup.source == SOURCE_TALOS ? c->backup.destination_count > 0 : c->backup.endpoint_count > 0;
}

/* Who is asked over the network, and then, knowing the size of the database, where it goes. */
static void first_round(struct round *r, const struct config *c, unsigned *order)
{
    if (has_source(c) && c->backup.source == SOURCE_TALOS)
        add(r, doctor_talos, 0, order);
    for (unsigned i = 0; c->backup.source == SOURCE_ETCD && i < c->backup.endpoint_count; i++)
        add(r, doctor_etcd, i, order);
    if (c->ingest.enabled)
        add(r, doctor_kube, 0, order);
    if (*c->notify.webhook)
        add(r, doctor_notify, 0, order);
    if (*c->notify.ping_url)
        add(r, doctor_notify, 1, order);
}

static void second_round(struct round *r, const struct config *c, unsigned *order)
{
    for (unsigned i = 0; i < c->backup.destination_count; i++) {
        add(r, c->backup.destinations[i].type == DESTINATION_S3 ? doctor_s3 : doctor_destination, i, order);
        if (c->backup.destinations[i].recipient_count > 0)
            add(r, doctor_keys, i, order);
    }
}

static err look_at_all(struct doctor *d)
{
    struct round *r = calloc(1, sizeof *r);
    struct doctor_probe own = {.order = ORDER_FIRST};
    unsigned order = ORDER_FIRST + 1;
    if (!r)
        return E_BUDGET;
    r->doctor = d;
    if (d->config->backup.source == SOURCE_ETCD)
        doctor_etcd_tls(d, &own);
    first_round(r, d->config, &order);
    err e = round_run(r);
    r->count = r->next = 0;
    second_round(r, d->config, &order);
    if (e == OK)
        e = round_run(r);
    own.order = order;
    doctor_clock(d, &own);
    free(r);
    return e;
}

/* --- the configuration itself: as check does --- */
static err look_at_configuration(struct doctor *d)
{
    struct zones zones;
    const struct doctor_probe p = {.order = 0};
    struct checked *c = malloc(sizeof *c);
    if (!c)
        return E_BUDGET;
    zones_open(&zones);
    struct config_zones finder = zones_finder(&zones);
    err e = check_look(c, d->config, &finder, loop_wall_ms() / 1000);
    zones_close(&zones);
    if (e == OK && c->refusal[0])
        doctor_say(d, &p, DOCTOR_BAD, "configuration", "%s", c->refusal);
    for (unsigned i = 0; e == OK && i < c->warning_count; i++)
        doctor_say(d, &p, DOCTOR_WARN, "configuration", "%s", check_warning(c, i));
    if (e == OK && d->line_count == 0)
        doctor_say(d, &p, DOCTOR_GOOD, "configuration", "no doubts about it");
    free(c);
    return e;
}

/* --- the page --- */
/* Stable: lines of one probe stay as they came. */
static void sort(struct doctor *d)
{
    for (unsigned i = 1; i < d->line_count; i++)
        for (unsigned j = i; j > 0 && d->lines[j - 1].order > d->lines[j].order; j--) {
            struct doctor_line swapped = d->lines[j];
            d->lines[j] = d->lines[j - 1];
            d->lines[j - 1] = swapped;
        }
}

static bool any(const struct doctor *d, enum doctor_state s)
{
    for (unsigned i = 0; i < d->line_count; i++)
        if (d->lines[i].state == s)
            return true;
    return false;
}

static enum exit_code verdict(const struct doctor *d)
{
    return any(d, DOCTOR_BAD) ? EXIT_BAD : any(d, DOCTOR_UNKNOWN) || d->left_out ? EXIT_CANNOT_TELL : EXIT_GOOD;
}

static void print_text(const struct doctor *d, struct text *out)
{
    for (unsigned i = 0; i < d->line_count; i++)
        text_addf(out, "%-8s %s: %s\n", state_words[d->lines[i].state], d->lines[i].subject, d->lines[i].words);
    if (d->left_out)
        text_addf(out, "%-8s %u more lines are left out\n", state_words[DOCTOR_UNKNOWN], d->left_out);
}

static void print_json(const struct doctor *d, struct text *out)
{
    static const char *const verdicts[] = {[EXIT_GOOD] = "good", [EXIT_BAD] = "bad", [EXIT_CANNOT_TELL] = "unknown"};
    struct json_writer w = json_write_to(out);
    json_object(&w);
    json_put_text(&w, "verdict", verdicts[verdict(d)]);
    json_put_u64(&w, "left_out", d->left_out);
    json_key(&w, "lines");
    json_array(&w);
    for (unsigned i = 0; i < d->line_count; i++) {
        json_object(&w);
        json_put_text(&w, "state", state_words[d->lines[i].state]);
        json_put_text(&w, "subject", d->lines[i].subject);
        json_put_text(&w, "words", d->lines[i].words);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    ASSERT(json_done(&w)); /* lines are bounded */
    text_add(out, "\n");
}

static enum exit_code print(struct doctor *d, bool json)
{
    struct buf *page = NULL;
    if (buf_take(PAGE_BYTES, &page) != OK)
        return EXIT_CANNOT_TELL;
    struct text out = text_over((char *)page->at, PAGE_BYTES);
    sort(d);
    (json ? print_json : print_text)(d, &out);
    (void)fwrite(out.at, 1, out.len, stdout);
    buf_release(page);
    return verdict(d);
}

/* --- the command --- */
static enum exit_code examine(const struct command_line *line, const struct config *config)
{
    struct doctor *d = calloc(1, sizeof *d);
    enum exit_code code = EXIT_CANNOT_TELL;
    if (!d)
        return code;
    d->config = config;
    d->deadline = loop_now() + DOCTOR_MS_MAX;
    err e = dns_open(&d->dns);
    if (e == OK)
        e = look_at_configuration(d);
    if (e == OK)
        e = look_at_all(d);
    if (e == OK)
        code = print(d, line->json);
    else if (e != E_CANCELED)
        (void)fprintf(stderr, "holdfast: the examination ended: %s\n", err_text(e));
    tls_config_release(d->etcd_tls);
    if (d->dns)
        dns_close(d->dns);
    free(d);
    return code;
}

static enum exit_code doctor(struct work *w)
{
    struct config *config = NULL;
    err e = command_config(w->line, &config);
    enum exit_code code = e == OK ? examine(w->line, config) : exit_code_of(e);
    config_free(config);
    trail_clear();
    return code;
}

enum exit_code command_doctor(const struct command_line *line)
{
    return command_run(&(struct work){.run = doctor, .line = line, .task = TASK_BACKUP, .name = "doctor"});
}
