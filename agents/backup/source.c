/* source: from configured paths to an etcd client. */
#include "agents/backup/backup_internal.h"

#include "net/api/etcd/etcd_files.h"

err backup_source_open(struct backup *b, ms deadline, struct etcd **out)
{
    const struct config *c = b->config;
    struct etcd_files files = {.endpoint_count = c->backup.endpoint_count,
                               .ca = c->backup.ca,
                               .cert = c->backup.cert,
                               .key = c->backup.key,
                               .lane = &b->files,
                               .dns = b->options.dns};
    for (unsigned i = 0; i < files.endpoint_count; i++)
        files.endpoints[i] = c->backup.endpoints[i];
    return etcd_files_open(&files, deadline, out, NULL);
}
