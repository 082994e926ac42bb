/* source_talos: etcd's snapshot through Talos' machine API, over the node's socket or with a talosconfig. */
#include "agents/backup/source.h"

#include "board/rt/log.h"
#include "net/api/talos/talos.h"
#include "net/format/talosconfig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS_MAX SECONDS(10) /* for one endpoint of several */

struct talos_source {
    struct source source; /* first */
    struct backup *backup;
    struct talosconfig *config; /* NULL: the socket */
    struct tls_config *tls;
    struct talos *talos;
    struct talos_snapshot *stream;
    uint64_t db_bytes, come;
};

static struct talos_source *of(struct source *s)
{
    return CONTAINER_OF(s, struct talos_source, source);
}

static err connect_to(struct talos_source *s, const char *endpoint, ms deadline, struct talos_status *status)
{
    struct talos_options o = {
        .endpoint = endpoint, .tls = s->tls, .dns = s->backup->options.dns, .window_bytes = source_window_bytes()};
    if (!endpoint)
        o.socket = s->backup->config->backup.talos_socket;
    talos_close(s->talos);
    s->talos = NULL;
    TRY(talos_open(&o, &s->talos));
    TRY(talos_connect(s->talos, deadline, status));
    return status->is_learner ? trail(E_UNREACHABLE, "%s is a learner", talos_peer(s->talos)) : OK;
}

static err connect_any(struct talos_source *s, ms deadline, struct talos_status *status)
{
    err e = E_UNREACHABLE;
    if (!s->config)
        return connect_to(s, NULL, deadline, status);
    for (unsigned i = 0; i < s->config->endpoint_count; i++) {
        e = connect_to(s, s->config->endpoints[i], ms_min(deadline, loop_now() + CONNECT_MS_MAX), status);
        if (e == OK || e == E_CANCELED || i + 1 == s->config->endpoint_count)
            return e;
        log_warn("a Talos endpoint cannot be used", F("endpoint", s->config->endpoints[i]), F_ERR(e));
        trail_clear();
    }
    return e;
}

static err connect_talos(struct source *source, ms deadline, struct backup_record *r, uint64_t *db_bytes)
{
    struct talos_source *s = of(source);
    struct talos_status status;
    TRY(connect_any(s, deadline, &status));
    r->cluster_id = 0; /* Talos does not tell it */
    r->member_id = status.member_id;
    (void)snprintf(r->source, sizeof r->source, "talos");
    (void)snprintf(r->etcd_version, sizeof r->etcd_version, "%s", status.protocol_version);
    (void)snprintf(r->endpoint, sizeof r->endpoint, "%s", talos_peer(s->talos));
    *db_bytes = s->db_bytes = status.db_bytes > 0 ? (uint64_t)status.db_bytes : 0;
    return OK;
}

static err start_talos(struct source *s, ms deadline)
{
    return talos_snapshot_start(of(s)->talos, deadline, &of(s)->stream);
}

static err next_talos(struct source *source, ms idle_ms, struct bytes *piece, uint64_t *remaining, bool *more)
{
    struct talos_source *s = of(source);
    TRY(talos_snapshot_next(s->stream, idle_ms, piece, more));
    s->come += *more ? piece->len : 0;
    *remaining = s->db_bytes > s->come ? s->db_bytes - s->come : 0;
    return OK;
}

static void close_talos(struct source *source)
{
    struct talos_source *s = of(source);
    talos_snapshot_end(s->stream);
    talos_close(s->talos);
    tls_config_release(s->tls);
    talosconfig_close(s->config);
    free(s);
}

static err load(struct talos_source *s, ms deadline)
{
    struct buf *yaml = NULL;
    struct lane *files = &s->backup->files;
    const char *path = s->backup->config->backup.talos_config;
    if (!*path)
        return OK;
    TRY(file_read_small(files, path, TALOSCONFIG_BYTES_MAX, deadline, &yaml));
    err e = talosconfig_open((struct bytes){yaml->at, yaml->len}, NULL, &s->config);
    wipe(yaml->at, yaml->len);
    buf_release(yaml);
    if (e == OK)
        e = talos_tls_open(files, s->config, &s->tls);
    return trail(e, "backup.talos.config %s", path);
}

err source_open_talos(struct backup *b, ms deadline, struct source **out)
{
    struct talos_source *s = calloc(1, sizeof *s);
    if (!s)
        return E_BUDGET;
    s->source = (struct source){connect_talos, start_talos, next_talos, close_talos};
    s->backup = b;
    *out = &s->source;
    return load(s, deadline);
}
