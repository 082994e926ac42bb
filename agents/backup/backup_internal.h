/* backup_internal: what the files of this agent share.   Layer   agents/backup, private.   The rest: as backup.h says. */
#ifndef HOLDFAST_BACKUP_INTERNAL_H
#define HOLDFAST_BACKUP_INTERNAL_H

#include "agents/backup/backup.h"
#include "board/rt/file.h"
#include "board/rt/metric.h"
#include "net/api/etcd/etcd.h"

struct backup_destination {
    const struct config_destination *config;
    struct lane lane; /* the disk */
    ms next_at;       /* the schedule's */
    unsigned failures_in_a_row;
    err last_error;
    struct series *last_success, *size, *duration, *next_run;
};

struct backup {
    const struct config *config;
    struct dns *dns;
    struct lane files; /* certificates and keys */
    struct backup_destination destinations[CONFIG_DESTINATIONS_MAX];
};

/* source.c: a client for the configured etcd; certificates are read anew each time, so that rotated ones are used. */
MUST_USE err backup_source_open(struct backup *b, ms deadline, struct etcd **out);

/* intake.c: the stream's bytes on their way to the writer, with the last 32 held back. */
struct backup_intake {
    struct writer *writer;
    struct buf *filling;
    uint8_t tail[SHA256_BYTES];
    size_t tail_len;
    uint64_t total_bytes;
};
MUST_USE err intake_open(struct backup_intake *i, struct lane *l, const char *path, ms deadline);
MUST_USE err intake_add(struct backup_intake *i, struct bytes data, ms deadline);
/* After the last byte: flushes, compares the digest with the trailer and appends the trailer. E_CORRUPT. */
MUST_USE err intake_check(struct backup_intake *i, ms deadline, char sha256[2 * SHA256_BYTES + 1]);
void intake_close(struct backup_intake *i); /* an uncommitted file goes; idempotent */

/* names.c: etcd-snapshot-YYYYMMDD-HHMMSS.db */
void backup_name(int64_t epoch_s, char out[BACKUP_NAME_MAX]);
bool backup_name_time(const char *name, int64_t *epoch_s);

/* metrics.c */
MUST_USE err backup_metrics_open(struct backup_destination *d);
void backup_metrics_done(struct backup_destination *d, const struct backup_record *r);
void backup_metrics_failed(struct backup_destination *d, err why);

#endif
