/* source: what is configured, and etcd. */
#include "agents/backup/source.h"

#include "board/rt/mem.h"
#include "net/api/etcd/etcd_files.h"

#include <stdio.h>
#include <stdlib.h>

/* Where there is room for one part only, the system's certificate authorities are to fit in too. */
size_t source_window_bytes(void)
{
    return mem_profile()->task[TASK_BACKUP].heap_bytes < MIB(12) ? KIB(256) : 0;
}

err backup_source_open(struct backup *b, ms deadline, struct etcd **out)
{
    const struct config *c = b->config;
    struct etcd_files files = {.endpoint_count = c->backup.endpoint_count,
                               .ca = c->backup.ca,
                               .cert = c->backup.cert,
                               .key = c->backup.key,
                               .lane = &b->files,
                               .dns = b->options.dns,
                               .window_bytes = source_window_bytes()};
    for (unsigned i = 0; i < files.endpoint_count; i++)
        files.endpoints[i] = c->backup.endpoints[i];
    return etcd_files_open(&files, deadline, out, NULL);
}

/* --- etcd's own stream --- */

struct etcd_source {
    struct source source; /* first */
    struct etcd *etcd;
    struct etcd_snapshot *stream;
};

static struct etcd_source *etcd_of(struct source *s)
{
    return CONTAINER_OF(s, struct etcd_source, source);
}

static err connect_etcd(struct source *s, ms deadline, struct backup_record *r, uint64_t *db_bytes)
{
    struct etcd_status status;
    struct etcd *etcd = etcd_of(s)->etcd;
    TRY(etcd_connect_best(etcd, deadline, &status));
    r->cluster_id = status.cluster_id;
    r->member_id = status.member_id;
    (void)snprintf(r->source, sizeof r->source, "etcd");
    (void)snprintf(r->etcd_version, sizeof r->etcd_version, "%s", status.version);
    (void)snprintf(r->endpoint, sizeof r->endpoint, "%s", etcd_endpoint(etcd));
    *db_bytes = status.db_bytes > 0 ? (uint64_t)status.db_bytes : 0;
    return OK;
}

static err start_etcd(struct source *s, ms deadline)
{
    return etcd_snapshot_start(etcd_of(s)->etcd, deadline, &etcd_of(s)->stream);
}

static err next_etcd(struct source *s, ms idle_ms, struct bytes *piece, uint64_t *remaining, bool *more)
{
    return etcd_snapshot_next(etcd_of(s)->stream, idle_ms, piece, remaining, more);
}

static void close_etcd(struct source *s)
{
    etcd_snapshot_end(etcd_of(s)->stream);
    etcd_close(etcd_of(s)->etcd);
    free(etcd_of(s));
}

static err source_open_etcd(struct backup *b, ms deadline, struct source **out)
{
    struct etcd_source *s = calloc(1, sizeof *s);
    if (!s)
        return E_BUDGET;
    s->source = (struct source){connect_etcd, start_etcd, next_etcd, close_etcd};
    *out = &s->source;
    return backup_source_open(b, deadline, &s->etcd);
}

/* --- the doors --- */

err source_open(struct backup *b, ms deadline, struct source **out)
{
    *out = NULL;
    err e = b->config->backup.source == SOURCE_TALOS ? source_open_talos(b, deadline, out) : source_open_etcd(b, deadline, out);
    if (e != OK) {
        source_close(*out);
        *out = NULL;
    }
    return e;
}

err source_connect(struct source *s, ms deadline, struct backup_record *r, uint64_t *db_bytes)
{
    return s->connect(s, deadline, r, db_bytes);
}

err source_start(struct source *s, ms deadline)
{
    return s->start(s, deadline);
}

err source_next(struct source *s, ms idle_ms, struct bytes *piece, uint64_t *remaining, bool *more)
{
    return s->next(s, idle_ms, piece, remaining, more);
}

void source_close(struct source *s)
{
    if (s)
        s->close(s);
}
