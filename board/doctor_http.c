/* doctor_http: who is told of backups can be reached; and what other clocks say. Nothing is posted, and no address is told beyond
 * its host: what is behind it may be a secret. */
#include "board/doctor.h"

#include "board/rt/os.h"
#include "net/proto/http_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define AHEAD_WARN_MS SECONDS(30)
#define AHEAD_BAD_MS  MINUTES(5) /* S3 refuses what is 15 minutes off */

void doctor_clock_seen(struct doctor *d, const char *host, int64_t ahead_ms)
{
    if (!d->date_known || llabs(ahead_ms) > llabs(d->ahead_ms)) {
        d->ahead_ms = ahead_ms;
        (void)snprintf(d->date_of, sizeof d->date_of, "%s", host);
    }
    d->date_known = true;
}

static void date_take(struct doctor *d, const char *host, const struct http1_head *head)
{
    struct bytes value;
    int64_t at_s = http1_find(head, "date", &value) ? http1_date_read(value) : 0;
    if (at_s != 0)
        doctor_clock_seen(d, host, loop_wall_ms() - at_s * 1000);
}

void doctor_clock(struct doctor *d, const struct doctor_probe *p)
{
    int64_t off_s = llabs(d->ahead_ms) / 1000;
    if (!os_wall_is_trusted())
        doctor_say(d, p, DOCTOR_BAD, "clock", "it is before the day this program was built; set it, or let NTP do so");
    else if (!d->date_known)
        doctor_say(d, p, DOCTOR_GOOD, "clock", "it is after the day this program was built; nobody was there to compare it with");
    else
        doctor_say(d, p,
                   llabs(d->ahead_ms) > AHEAD_BAD_MS    ? DOCTOR_BAD
                   : llabs(d->ahead_ms) > AHEAD_WARN_MS ? DOCTOR_WARN
                                                        : DOCTOR_GOOD,
                   "clock", "%" PRId64 " s %s that of %s%s", off_s, d->ahead_ms < 0 ? "behind" : "ahead of", d->date_of,
                   llabs(d->ahead_ms) > AHEAD_WARN_MS ? "; let NTP set it" : "");
}

/* --- reaching --- */
err doctor_ask_date(struct doctor *d, const struct url *u, struct tls_config *tls)
{
    struct http_connection *c = NULL;
    const struct http1_head *head = NULL;
    TRY(http_connect(d->dns, u, tls, doctor_until(d), &c));
    err e = http_send(c, &(struct http_call){.method = "HEAD", .path = "/"}, doctor_until(d));
    if (e == OK)
        e = http_receive_head(c, doctor_until(d), &head);
    if (e == OK)
        date_take(d, u->host, head);
    http_disconnect(c);
    return e;
}

void doctor_notify(struct doctor *d, const struct doctor_probe *p)
{
    const struct config *c = d->config;
    const char *option = p->index == 0 ? "notify.webhook" : "notify.ping_url";
    struct url u;
    struct tls_config *tls = NULL;
    struct doctor_files f = {.key = "notify", .ca = c->notify.ca, .cert = "", .cert_key = ""};
    err e = url_parse(p->index == 0 ? c->notify.webhook : c->notify.ping_url, &u);
    if (e == OK && u.tls)
        doctor_tls(d, p, &f, &tls);
    if (e == OK && u.tls && !tls)
        doctor_say(d, p, DOCTOR_UNKNOWN, option, "not asked: the CA is not usable, see notify.ca");
    else if (e == OK && (e = doctor_ask_date(d, &u, tls)) == OK)
        doctor_say(d, p, DOCTOR_GOOD, option, "%s answers", u.host);
    if (e != OK)
        doctor_failed(d, p, DOCTOR_BAD, option, e, doctor_advice(e));
    tls_config_release(tls);
}
