/* backup_internal: what the files of this agent share.   Layer   agents/backup, private.   The rest: as backup.h says. */
#ifndef HOLDFAST_BACKUP_INTERNAL_H
#define HOLDFAST_BACKUP_INTERNAL_H

#include "agents/backup/backup.h"
#include "agents/backup/trailer.h"
#include "board/rt/file.h"
#include "board/rt/metric.h"
#include "board/rt/sync.h"
#include "net/api/etcd/etcd.h"
#include "net/format/cron.h"
#include "net/format/zone.h"

#define BACKUP_DISK_MS_MAX SECONDS(50) /* for one call of the disk that is not the stream; less than the stall limit */

#define BACKUP_NO_SCRATCH "no-scratch"

#define BACKUP_TRIED_MAX 32 /* verified in vain in one day; others wait */

/* What a name says: the second it was begun in, the hub where more than one hub writes there, how the bytes are packed. */
enum backup_form { FORM_AGE = 1, FORM_ZSTD = 2 }; /* as bits in this order: so names of one second sort as numbers do */
struct backup_entry {
    int64_t at_s;
    uint32_t hub;   /* 0: none is in the name */
    uint16_t form;  /* enum backup_form bits */
    uint16_t kinds; /* enum backup_name_kind bits: what lies there under that name */
    /* as listed: */
    uint64_t bytes; /* 0: not told */
    uint64_t tag;   /* of the record: another one, another content; 0: not told */
};

struct place;
struct backup_destination {
    const struct config_destination *config;
    struct backup *owner;
    bool mounted_here;        /* reach.c: to be unmounted at the end */
    struct place *place;      /* place.h */
    struct lane lane, second; /* the disk; the second reader of a verification */
    bool busy;                /* a run is on its way, or waits for another destination's */
    bool at_work;             /* it waits no more */
    /* plan.c */
    ms began_at;          /* the last run of the schedule; 0: none yet */
    ms next_at;           /* of `every` */
    int64_t considered_s; /* of `schedule`: done with up to this moment */
    ms retry_at;          /* 0: the last run was good */
    unsigned failures_in_a_row;
    bool never_ran, waits_for_clock;
    struct backup_entry unread; /* the snapshot that is kept and could not be verified: that is tried again; at_s 0: none */
    /* stale.c */
    int64_t newest_good_s; /* 0: none */
    ms good_at;
    bool stale;
    bool renewing, renew_again; /* cache.c */
    /* tidy.c: what could not be verified is read again after a day */
    struct {
        struct backup_entry of;
        ms when;
    } tried[BACKUP_TRIED_MAX];
    unsigned tried_count;
    bool has_run;   /* a run has ended since the start */
    ms grace_until; /* till then a missed run may make good what is stale at the start */
    /* of the last run; "": it was good, or there was none */
    char failed[BACKUP_REASON_MAX];
    char failed_words[64]; /* the same for people */
    struct series *last_success, *size, *duration, *next_run, *level, *level_wanted, *stale_series, *rate, *through_stage;
    bool slow; /* the last stream was: see backup.min_rate */
    struct rehearse_state {
        int64_t considered_s; /* its schedule is done with up to this moment; 0: never rehearsed */
        ms retry_at;          /* 0: by the schedule */
        unsigned tries;       /* in a row that could not read it */
        struct series *at, *level, *verdict, *duration, *age;
    } rehearse; /* rehearse.h */
};

struct backup {
    const struct config *config;
    struct backup_options options;
    struct cron cron;                                         /* config->backup.schedule; where every_ms is 0 */
    struct cron rehearse_cron;                                /* config->backup.rehearse_schedule; where there is one */
    struct lane files;                                        /* certificates and keys */
    err cache_failed;                                         /* what the log was told last of the store; OK: nothing */
    bool streaming;                                           /* etcd is held by a snapshot */
    struct lane scratch, scratch_second, stage, stage_second; /* as a destination's two, of backup.verify.scratch, backup.stage */
    struct {                                                  /* the last good file of a plain folder, taken in this process */
        unsigned destination;
        struct backup_entry entry;
        ms at; /* when it was begun; 0: there is none */
    } fresh;
    struct sem one; /* what writes into a destination: one at a time, so that memory for one is enough */
    struct backup_destination destinations[CONFIG_DESTINATIONS_MAX];
};

/* source.c (see source.h): a client for the configured etcd; certificates are read anew each time, so that rotated ones are used.
 */
MUST_USE err backup_source_open(struct backup *b, ms deadline, struct etcd **out);

/* intake.c: the stream's bytes on their way to the writer, with the last 32 held back. */
struct pack;
struct backup_intake {
    struct writer *writer; /* with a pack: only a copy to be verified, given up when it fails; NULL: none */
    struct pack *pack;     /* pack.h; NULL: what is written is the file itself */
    struct buf *filling;
    struct trailer trailer;
};
MUST_USE err intake_open(struct backup_intake *i, struct lane *l, const char *path, ms deadline);
void intake_open_packed(struct backup_intake *i, struct pack *pack); /* takes it over */
MUST_USE err intake_add(struct backup_intake *i, struct bytes data, ms deadline);
/* After the last byte: appends what was held back, flushes, and tells what levels 1 and 2 are: VERDICT_BAD or VERDICT_UNKNOWN. */
MUST_USE err intake_check(struct backup_intake *i, ms deadline, struct backup_verification *out);
void intake_close(struct backup_intake *i); /* an uncommitted file goes; idempotent */

/* names.c: etcd-snapshot-YYYYMMDD-HHMMSS[-HUBID8].db[.zst][.age], and what we write beside it */
enum backup_name_kind {
    NAME_OTHER = 0, /* nobody's: never touched */
    NAME_SNAPSHOT = 1,
    NAME_RECORD = 2,   /* + ".json" */
    NAME_BAD = 4,      /* + ".bad" */
    NAME_LEFTOVER = 8, /* + ".part-XXXXXXXX", of any of these */
};
void backup_name(const struct backup_entry *of, enum backup_name_kind kind, char out[BACKUP_NAME_MAX]); /* NAME and its suffix */
enum backup_name_kind backup_name_kind(const char *name, struct backup_entry *out);                     /* kinds: that one */
int backup_name_compare(const struct backup_entry *a, const struct backup_entry *b); /* as strcmp() of their names: by time */
struct backup_entry backup_entry_of(const struct backup_record *r); /* its time and form; the hub that r->name has; kinds 0 */
/* Where NAME + suffix of `kind` is, as place_path() says. E_RANGE: too long. */
MUST_USE err backup_path(const struct backup_destination *to, const struct backup_entry *of, enum backup_name_kind kind,
                         char out[OS_PATH_MAX]);

/* record.c */
MUST_USE err backup_record_write(struct backup_destination *to, const struct backup_record *r); /* NAME.json, anew */
MUST_USE err backup_record_write_by(struct backup_destination *to, const struct backup_record *r, ms deadline);
/* False: what is told is no word of a record: "no-record", "record", "changed". */
bool backup_has_record(const struct backup_record *r);
void backup_finding_add(struct backup_verification *v, const char *code, uint64_t page, const char *format, ...)
    PRINTF_LIKE(4, 5);
void backup_verification_put(struct json_writer *w, const struct backup_verification *v); /* verdict … errors, into an object */

/* reach.c: of NFS: mounts it where it is to be and is not. OK: what is below its path is the destination. */
MUST_USE err backup_reach(struct backup_destination *to);
/* While it is written to, and little moves: an NFS server that is gone lets writes end well, one by one, after a timeout each
 * (they are in the page cache), and only the fsync at the end fails. So it is asked itself. OK: it answers, or we do not mount
 * it. */
MUST_USE err backup_ask(struct backup_destination *to);
void backup_leave(struct backup_destination *to); /* unmounts what backup_reach() has mounted; idempotent */

/* catalogue.c: one look at a destination. */
struct catalogue {
    struct backup_entry *entries; /* as their names sort; those without a file (NAME_RECORD only) too */
    size_t count, room;
    bool cut;                  /* there are more than BACKUP_RECORDS_MAX: these are the newest */
    struct backup_entry floor; /* the oldest one here; when cut */
};
MUST_USE err catalogue_open(struct backup_destination *to, struct catalogue *out); /* E_ABSENT: no such folder */
void catalogue_close(struct catalogue *c);                                         /* idempotent; legal on a zeroed one */
/* The record of what lies under that time's name; see backup_list() for what it is when there is none. */
MUST_USE err catalogue_record(struct backup_destination *to, const struct backup_entry *entry, struct backup_record *out);
/* The record of every snapshot of it, oldest first; an error, also of each(), ends it. */
typedef err catalogue_visit(void *arg, const struct backup_entry *entry, const struct backup_record *r);
MUST_USE err catalogue_each(struct backup_destination *to, const struct catalogue *c, catalogue_visit *each, void *arg);
/* Removes the snapshot of that time: its record first. A kill between the two leaves a snapshot nobody speaks for, which is
 * listed as unknown, kept, and verified anew; the other way round a later snapshot of the same name could meet the word of an
 * older one. */
MUST_USE err backup_remove(struct backup_destination *to, const struct backup_entry *entry);

/* cache.c: what a listing said, kept in the store for when a destination cannot be listed. Nothing happens without a store; what
 * fails is logged once a kind, and never fails the caller, whose trail stays as it is. */
void cache_renew(struct backup *b, struct backup_destination *to); /* lists it; nothing when it cannot be; at any time */
/* Its record, as long as the listing has the same tag for it. False: it is to be read. */
bool cache_find(struct backup_destination *to, const struct backup_entry *entry, struct backup_record *out);
void cache_keep(struct backup *b, const struct backup_destination *to, const struct backup_record *r); /* this one */
void cache_forget_others(struct backup *b); /* destinations that are not configured any more */
/* The records of a destination as they were, oldest first, from the name after `after` on ("": all). An error of each() ends it.
 */
void cache_recall(struct backup *b, struct backup_destination *to, const char *after,
                  err (*each)(void *arg, struct backup_record *r), void *arg);

/* tidy.c, prune.c: as backup_tidy() and backup_prune(), for who has begun already. */
MUST_USE err backup_tidy_now(struct backup *b, struct backup_destination *to, bool unknown_too);
MUST_USE err backup_keep_newest_bad(struct backup_destination *to);
MUST_USE err backup_prune_now(struct backup_destination *to, bool dry_run, backup_pruned *each, void *arg);
/* Renames a damaged snapshot to NAME.bad, r->path follows; one that keeps its name stays. */
MUST_USE err backup_set_aside(struct backup_destination *to, struct backup_record *r);
#define BACKUP_DAMAGED_LATER                                                                                                     \
    "damaged-later" /* a finding: it was good once; nobody deletes it before a newer good one is there                           \
                     */

/* metrics.c */
MUST_USE err backup_metrics_open(struct backup_destination *d);
void backup_metrics_close(struct backup_destination *d);                               /* the gauges go; what was counted stays */
void backup_metrics_kept(struct backup_destination *d, const struct backup_record *r); /* the newest that is not bad */
void backup_metrics_done(struct backup_destination *d, const struct backup_record *r);
void backup_metrics_failed(struct backup_destination *d, const char *reason);

/* The last stream: so many plain bytes in so long. */
void backup_metrics_stream(struct backup_destination *d, uint64_t bytes, ms took_ms);

/* backup.c: among writers of a destination. E_BUSY: one is at work in this one. */
MUST_USE err backup_begin(struct backup *b, unsigned destination);
void backup_end(struct backup *b, unsigned destination);
/* Tells of a good one, and of a failure: metrics, listeners, backup_is_well(). */
void backup_good(struct backup *b, struct backup_destination *to, const struct backup_record *r);
void backup_failed(struct backup *b, struct backup_destination *to, const char *reason, const char *words);
void backup_round(struct backup *b); /* tells that no run is under way or due, if so */
/* Hands back the result of a call of the disk or the network, and beats where a run is at work: each such call may take nearly as
 * long as a task may stand still. */
MUST_USE err backup_moved(const struct backup_destination *to, err e);
void backup_rest(const struct backup *b); /* rests, unless a run is at work: its stall is to be seen */

#endif
