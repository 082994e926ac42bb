/* sim_backup: see sim_backup.h */
#include "tests/sim/sim_backup.h"

#include "board/rt/metric.h"
#include "net/format/sha256.h"
#include "tests/sim/sim.h"
#include "tests/support/etcd_file.h"

#include <stdio.h>

void sim_metrics_boot(void)
{
    static struct family any = {.name = "holdfast_sim", .help = "Here.", .type = METRIC_GAUGE};
    struct series *s = NULL;
    SIM_CHECK_ERR(metric_series(&any, NULL, &s), OK);
}

void sim_backup_config(struct config *out, const char *folder)
{
    *out = (struct config){0};
    out->backup.endpoint_count = out->backup.destination_count = 1;
    (void)snprintf(out->backup.endpoints[0], sizeof out->backup.endpoints[0], "http://10.0.0.1:2379");
    (void)snprintf(out->backup.destinations[0].name, sizeof out->backup.destinations[0].name, "local");
    (void)snprintf(out->backup.destinations[0].path, sizeof out->backup.destinations[0].path, "%s", folder);
    out->backup.every_ms = HOURS(6);
    out->backup.max_age_ms = HOURS(26);
    out->backup.idle_timeout_ms = SECONDS(30);
    out->backup.total_timeout_ms = HOURS(2);
}

size_t sim_snapshot_make(uint8_t *out, size_t cap)
{
    struct sha256 sha;
    struct etcd_file f = {.keys = 20, .deleted = 2, .value_bytes = 300};
    etcd_file_make(&f, out, cap - SHA256_BYTES);
    sha256_start(&sha);
    sha256_update(&sha, (struct bytes){out, f.bytes});
    sha256_finish(&sha, out + f.bytes);
    return f.bytes + SHA256_BYTES;
}
