/* check_look: next runs, and the warnings. */
#include "board/check.h"

#include "board/rt/file.h"
#include "net/format/kubeconfig.h"
#include "net/format/talosconfig.h"
#include "net/format/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS_MAX   SECONDS(10) /* at all files together; a dead mount must not hold the answer */
#define RUNS_MAX      20160       /* looked at for the longest gap: two weeks of minutes */
#define SPAN_S        ((int64_t)800 * 86400)
#define MODE_OF_OTHER 077 /* any right of group or others */

void check_warn(struct checked *c, const char *format, ...)
{
    va_list arguments;
    if (c->warning_count == CHECK_WARNINGS_MAX || c->text.cut)
        return;
    c->warnings[c->warning_count++] = c->text.len;
    va_start(arguments, format);
    text_addv(&c->text, format, arguments);
    va_end(arguments);
    if (c->text.len + 1 < c->text.cap) { /* the zero stays, the next begins after it */
        c->text.len++;
        c->text.at[c->text.len] = 0;
    } else {
        c->text.cut = true;
    }
}

const char *check_warning(const struct checked *c, unsigned i)
{
    return c->storage + c->warnings[i];
}

/* --- when --- */
static void look_schedule(struct checked *c, int64_t now_s)
{
    struct cron cron;
    char storage[128];
    struct text why = text_over(storage, sizeof storage);
    if (cron_parse(bytes_of(c->config->backup.schedule), &cron, &why) != OK) { /* config_parse() took it */
        trail_clear();
        return;
    }
    int64_t at = now_s;
    for (unsigned runs = 0; runs < RUNS_MAX && at < now_s + SPAN_S; runs++) {
        int64_t next = cron_next(&cron, &c->zone, at);
        if (next == INT64_MAX)
            return;
        if (runs < CHECK_RUNS)
            c->next_s[c->next_count++] = next;
        if (runs > 0 && next - at > c->gap_s)
            c->gap_s = next - at;
        at = next;
        fiber_breathe();
    }
}

static void look_when(struct checked *c, int64_t now_s)
{
    if (*c->config->backup.schedule)
        look_schedule(c, now_s);
    else
        c->gap_s = c->config->backup.every_ms / 1000;
    if (c->gap_s > c->config->backup.max_age_ms / 1000)
        check_warn(c,
                   "backup.max_age: shorter than the %lld h %lld min between two runs: every backup will be called stale; "
                   "make it longer than that",
                   (long long)c->gap_s / 3600, (long long)c->gap_s % 3600 / 60);
}

/* --- files --- */
struct named_file {
    const char *key, *path;
    bool secret;
};

static err look_file(struct checked *c, struct lane *l, const struct named_file *f, ms deadline)
{
    struct os_stat stat;
    if (!*f->path)
        return OK;
    err e = file_stat(l, f->path, deadline, &stat);
    if (e == E_CANCELED)
        return e;
    trail_clear(); /* the words below say it */
    if (e == E_ABSENT)
        check_warn(c, "%s: there is no %s; put it there before it is needed", f->key, f->path);
    else if (e != OK)
        check_warn(c, "%s: %s cannot be looked at: %s", f->key, f->path, err_text(e));
    else if (stat.kind != OS_FILE)
        check_warn(c, "%s: %s is no file", f->key, f->path);
    else if (f->secret && (stat.mode & MODE_OF_OTHER) != 0)
        check_warn(c, "%s: %s is open to others (mode %04o); chmod 600 it", f->key, f->path, stat.mode);
    return OK;
}

/* By a link or a bind mount; what the paths themselves tell was refused. Folders that are not made yet cannot be looked at. */
static err look_folders(struct checked *c, struct lane *l, ms deadline)
{
    const struct config_destination *d = c->config->backup.destinations;
    struct os_stat stats[CONFIG_DESTINATIONS_MAX] = {{0}};
    for (unsigned i = 0; i < c->config->backup.destination_count; i++) {
        err e = file_stat(l, d[i].path, deadline, &stats[i]);
        trail_clear();
        if (e == E_CANCELED)
            return e;
        if (e == OK && stats[i].kind != OS_FOLDER)
            check_warn(c, "backup.destinations[%u].path: %s is not a folder: every backup into it will fail", i, d[i].path);
        for (unsigned j = 0; j < i && stats[i].inode != 0; j++)
            if (stats[i].inode == stats[j].inode && stats[i].device == stats[j].device)
                check_warn(c, "backup.destinations[%u].path: %s has the same folder; each would remove what the other keeps", i,
                           d[j].name);
    }
    return OK;
}

/* What of it can be told without asking anybody: the file, and that Talos' default keys are not for this TLS. */
static err look_talosconfig(struct checked *c, struct lane *l, ms deadline)
{
    const char *path = c->config->backup.talos_config;
    struct talosconfig *config = NULL;
    struct buf *file = NULL;
    char why[CHECK_REFUSAL_BYTES - 64];
    if (c->config->backup.source != SOURCE_TALOS || !*path)
        return OK;
    err e = file_read_small(l, path, TALOSCONFIG_BYTES_MAX, deadline, &file);
    if (e == OK) {
        e = talosconfig_open((struct bytes){file->at, file->len}, NULL, &config);
        if (e == E_UNSUPPORTED || e == E_CONFIG) {
            trail_take(e, why, sizeof why);
            (void)snprintf(c->refusal, sizeof c->refusal, "backup.talos.config: %s", why);
        }
        wipe(file->at, file->len);
    }
    talosconfig_close(config);
    buf_release(file);
    trail_clear(); /* what cannot be read is a warning already */
    return e == E_CANCELED ? e : OK;
}

/* The same of a kubeconfig. */
static err look_kubeconfig(struct checked *c, struct lane *l, ms deadline)
{
    const char *path = c->config->kubernetes.kubeconfig;
    struct kubeconfig *config = NULL;
    struct buf *file = NULL;
    char why[CHECK_REFUSAL_BYTES - 64];
    if (!c->config->ingest.enabled || !*path)
        return OK;
    err e = file_read_small(l, path, KUBECONFIG_BYTES_MAX, deadline, &file);
    if (e == OK) {
        e = kubeconfig_open((struct bytes){file->at, file->len}, path, c->config->kubernetes.context, &config);
        if (e == E_UNSUPPORTED || e == E_CONFIG || e == E_CORRUPT) {
            trail_take(e, why, sizeof why);
            (void)snprintf(c->refusal, sizeof c->refusal, "kubernetes.kubeconfig: %s", why);
        }
        wipe(file->at, file->len);
    }
    kubeconfig_close(config);
    buf_release(file);
    trail_clear(); /* what cannot be read is a warning already */
    return e == E_CANCELED ? e : OK;
}

static err look_named(struct checked *c, struct lane *l, ms deadline)
{
    const struct config *g = c->config;
    const struct named_file files[] = {
        {"backup.etcd.ca", g->backup.ca, false},
        {"backup.etcd.cert", g->backup.cert, false},
        {"backup.etcd.key", g->backup.key, true},
        {"backup.talos.config", g->backup.source == SOURCE_TALOS ? g->backup.talos_config : "", true},
        {"backup.rehearse.identity_file", g->backup.identity_file, true},
        {"notify.ca", g->notify.ca, false},
        {"kubernetes.kubeconfig", g->ingest.enabled ? g->kubernetes.kubeconfig : "", true},
        {"ingest.ca", g->ingest.enabled ? g->ingest.ca : "", false},
        {"ingest.credentials.client_id_file", g->ingest.enabled ? g->ingest.client_id_file : "", false},
        {"ingest.credentials.private_key_file", g->ingest.enabled ? g->ingest.private_key_file : "", true},
    };
    for (size_t i = 0; i < COUNT_OF(files); i++)
        TRY(look_file(c, l, &files[i], deadline));
    return OK;
}

static err look_named_of(struct checked *c, struct lane *l, unsigned i, ms deadline)
{
    const struct config_destination *d = &c->config->backup.destinations[i];
    const struct named_file files[] = {{"ca", d->ca, false},
                                       {"access_key_file", d->access_key_file, true},
                                       {"secret_key_file", d->secret_key_file, true},
                                       {"session_token_file", d->session_token_file, true}};
    for (size_t f = 0; f < COUNT_OF(files); f++) {
        char key[64];
        (void)snprintf(key, sizeof key, "backup.destinations[%u].%s", i, files[f].key);
        TRY(look_file(c, l, &(struct named_file){key, files[f].path, files[f].secret}, deadline));
    }
    return OK;
}

static err look_files(struct checked *c)
{
    struct lane lane;
    ms deadline = loop_now() + LOOK_MS_MAX;
    lane_open(&lane, "check", mem_task(), 1);
    err e = look_named(c, &lane, deadline);
    for (unsigned i = 0; i < c->config->backup.destination_count && e == OK; i++)
        e = look_named_of(c, &lane, i, deadline);
    if (e == OK)
        e = look_talosconfig(c, &lane, deadline);
    if (e == OK)
        e = look_kubeconfig(c, &lane, deadline);
    if (e == OK)
        e = look_folders(c, &lane, deadline);
    lane_close(&lane);
    return e;
}

/* --- the rest --- */
static bool is_loopback(const char *host)
{
    struct addr a;
    bool numeric = addr_parse_ip(bytes_of(host), &a) == OK;
    trail_clear();
    return numeric ? addr_is_loopback(&a) : strcmp(host, "localhost") == 0;
}

static void look_endpoints(struct checked *c)
{
    for (unsigned i = 0; i < c->config->backup.endpoint_count; i++) {
        struct url url;
        const char *text = c->config->backup.endpoints[i];
        bool plain = url_parse(text, &url) == OK && !url.tls && !is_loopback(url.host);
        trail_clear();
        if (plain)
            check_warn(
                c, "backup.etcd.endpoints[%u]: %s is not encrypted: every Secret of the cluster goes over the wire; write https",
                i, text);
    }
}

err check_look(struct checked *out, const struct config *c, const struct config_zones *zones, int64_t now_s)
{
    *out = (struct checked){.config = c};
    out->text = text_over(out->storage, sizeof out->storage);
    TRY(config_zone(c->backup.timezone, zones, &out->zone));
    look_when(out, now_s);
    look_endpoints(out);
    TRY(look_files(out));
    return check_look_rehearse(out);
}
