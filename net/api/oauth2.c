#include "net/api/oauth2.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/secret.h"
#include "board/rt/sync.h"
#include "net/api/oauth2_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 4 /* of one take: credentials that change while a token is fetched for them make it begin anew */

static bool is_loopback(const char *host)
{
    struct addr a;
    uint64_t mark = trail_mark();
    bool numeric = addr_parse_ip(bytes_of(host), &a) == OK;
    trail_rewind(mark);
    return numeric ? addr_is_loopback(&a) : strcmp(host, "localhost") == 0;
}

err oauth2_platform(const char *platform_url, bool allow_plaintext, struct url *out)
{
    TRY(trail(url_parse(platform_url, out), "the platform's URL"));
    if (strchr(out->path, '?'))
        return trail(E_INVALID, "the platform's URL has a query: paths are appended to it, leave the query out");
    if (!out->tls && !allow_plaintext && !is_loopback(out->host))
        return trail(E_INVALID, "the platform's URL is http, and %s is not this host: use https, or set allow_plaintext",
                     out->host);
    size_t len = strlen(out->path);
    while (len > 0 && out->path[len - 1] == '/')
        out->path[--len] = 0;
    return OK;
}

/* --- open, close --- */

err oauth2_open(const struct oauth2_options *options, struct oauth2 **out)
{
    *out = NULL;
    struct url url;
    TRY(oauth2_platform(options->platform_url, options->allow_plaintext, &url));
    if (strlen(options->platform_url) >= JWT_AUDIENCE_MAX || strlen(url.path) + sizeof OAUTH2_PATH > URL_PATH_MAX)
        return trail(E_RANGE, "the platform's URL is too long");
    if (url.tls && !options->tls)
        return trail(E_INVALID,
                     "the platform's URL is https, and there is no CA bundle to verify it by: name one with ingest.ca");
    struct oauth2 *o = calloc(1, sizeof *o);
    if (!o)
        return trail(E_BUDGET, "a platform's tokens");
    o->url = url;
    memcpy(o->url.path + strlen(url.path), OAUTH2_PATH, sizeof OAUTH2_PATH);
    (void)snprintf(o->audience, sizeof o->audience, "%s", options->platform_url);
    o->dns = options->dns;
    o->tls = options->tls ? tls_config_share(options->tls) : NULL;
    lane_open(&o->lane, "oauth2", options->task, 2);
    *out = o;
    return OK;
}

static void token_drop(struct oauth2 *o)
{
    oauth2_release(o->token);
    o->token = NULL;
    o->expires_at = o->renew_at = 0;
}

void oauth2_close(struct oauth2 *o)
{
    if (!o)
        return;
    ASSERT(!o->fetching);
    token_drop(o);
    lane_close(&o->lane);
    tls_config_release(o->tls);
    wipe(o, sizeof *o);
    free(o);
}

err oauth2_set_credentials(struct oauth2 *o, const char *client_id, const struct pem_key *key)
{
    struct bytes now = {o->key.scalar, sizeof o->key.scalar}, next = {key->scalar, sizeof key->scalar};
    if (client_id[0] == 0 || strlen(client_id) >= JWT_CLIENT_ID_MAX)
        return trail(E_RANGE, "the client id is empty, or longer than %d bytes", JWT_CLIENT_ID_MAX - 1);
    if (o->has_credentials && strcmp(o->client_id, client_id) == 0 && bytes_equal_secret(now, next))
        return OK;
    (void)snprintf(o->client_id, sizeof o->client_id, "%s", client_id);
    o->key = *key;
    o->has_credentials = true;
    o->generation++;
    token_drop(o);
    return OK;
}

/* --- tokens --- */

void oauth2_release(struct oauth2_token *t)
{
    if (!t || --t->users > 0)
        return;
    wipe(t->authorization, strlen(t->authorization));
    free(t->authorization);
    free(t);
}

static bool is_valid(const struct oauth2 *o)
{
    return o->token && loop_now() < o->expires_at;
}

static err give(struct oauth2 *o, struct oauth2_token **out)
{
    o->token->users++;
    *out = o->token;
    return OK;
}

bool oauth2_is_due(const struct oauth2 *o)
{
    return o->has_credentials && !o->fetching && (!is_valid(o) || loop_now() >= o->renew_at);
}

err oauth2_take_now(struct oauth2 *o, struct oauth2_token **out)
{
    *out = NULL;
    return is_valid(o) ? give(o, out) : E_AGAIN;
}

void oauth2_invalidate(struct oauth2 *o, const struct oauth2_token *t)
{
    if (t && o->token == t)
        token_drop(o);
}

/* A fifth of its life, or 300 s: the original's margin alone would let no token of five minutes be kept at all. */
static void token_keep(struct oauth2 *o, struct oauth2_token *t, ms since, int64_t life_s)
{
    token_drop(o);
    o->token = t;
    o->expires_at = since + SECONDS(life_s);
    o->renew_at = o->expires_at - ms_min(SECONDS(OAUTH2_MARGIN_S), SECONDS(life_s) / 5);
}

/* --- one fetch at a time --- */

static void flight_end(struct oauth2 *o, err e, bool shared)
{
    o->fetching = false;
    o->flights++;
    o->flight_error = e;
    o->flight_is_shared = shared;
    o->last_error = e;
    *(e == OK ? &o->fetched : &o->failed) += 1;
    if (e != OK) {
        size_t end = strlen(err_text(e)) + strlen(": ");
        trail_text(e, o->why, sizeof o->why);
        size_t len = strlen(o->why);
        o->why[len > end ? len - end : 0] = 0;
    }
    waitq_wake_all(&o->waiting);
}

static err fetch(struct oauth2 *o, ms deadline)
{
    ms now = loop_now(), bound = now + (is_valid(o) ? OAUTH2_RENEW_MS_MAX : OAUTH2_FETCH_MS_MAX);
    uint64_t generation = o->generation;
    struct oauth2_token *t = NULL;
    int64_t life_s = 0;
    o->fetching = true;
    err e = trail(oauth2_exchange(o, ms_min(bound, deadline), &t, &life_s), "a token from %s", o->url.host);
    if (e == OK && generation == o->generation)
        token_keep(o, t, now, life_s);
    else
        oauth2_release(t); /* got by credentials that are not in force any more */
    if (e != OK && is_valid(o)) {
        o->renew_at = loop_now() + OAUTH2_RENEW_PAUSE_MS;
        log_warn("a token could not be renewed, the old one is still valid", F("host", o->url.host), F("error", err_name(e)),
                 F_I64("for_s", (o->expires_at - loop_now()) / 1000));
    }
    flight_end(o, e, e != E_CANCELED && !(e == E_TIMEOUT && deadline < bound));
    return e;
}

/* OK: look again. Else what the one who fetched was told, unless it had less time than us. */
static err await(struct oauth2 *o, ms deadline)
{
    uint64_t flights = o->flights;
    TRY(waitq_wait(&o->waiting, deadline));
    if (o->flights != flights && o->flight_error != OK && o->flight_is_shared)
        return trail(o->flight_error, "%s", o->why);
    return OK;
}

err oauth2_take(struct oauth2 *o, ms deadline, struct oauth2_token **out)
{
    err e = OK;
    *out = NULL;
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        if (!o->has_credentials)
            return trail(E_ABSENT, "no client id and key yet");
        if (is_valid(o) && (o->fetching || loop_now() < o->renew_at))
            return give(o, out);
        uint64_t mark = trail_mark();
        e = o->fetching ? await(o, deadline) : fetch(o, deadline);
        if (is_valid(o)) {
            trail_rewind(mark);
            return give(o, out);
        }
        if (e != OK)
            return e;
    }
    return trail(E_AGAIN, "the credentials change faster than tokens come");
}

struct oauth2_state oauth2_state(const struct oauth2 *o)
{
    struct oauth2_state s = {.has_credentials = o->has_credentials,
                             .has_token = is_valid(o),
                             .fetching = o->fetching,
                             .fetched = o->fetched,
                             .failed = o->failed,
                             .last_status = o->last_status,
                             .last_error = o->last_error};
    if (s.has_token) {
        s.expires_at = o->expires_at;
        s.expires_s = (loop_wall_ms() + o->expires_at - loop_now()) / 1000;
    }
    return s;
}
