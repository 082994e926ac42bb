/* take: one snapshot into one destination: what its parts share. take.c the story, take_stream.c from the source, take_plain.c as
 * a plain file, take_packed.c as an object of any place, take_copy.c from a file that lies here already.
 *
 * Layer    agents/backup, private: take*.c.       Blocks   parks the fiber.
 * Owner    backup_take().                         Memory   as pack.h, place.h, source.h say.
 * Errors   as backup_take(). */
#ifndef HOLDFAST_BACKUP_TAKE_H
#define HOLDFAST_BACKUP_TAKE_H

#include "agents/backup/source.h"

#define RUN_NAME_CLASHES_MAX 5

struct rate { /* of the plain bytes, in windows of RATE_WINDOW_MS */
    ms began, window_at;
    uint64_t window_bytes;
    uint64_t least; /* bytes a second, of the slowest whole window; UINT64_MAX: there was none */
};

struct run { /* one snapshot in the making */
    struct backup *backup;
    struct backup_destination *to;
    const struct backup_watcher *watcher;
    struct backup_record *record;
    struct source *source;
    struct backup_intake intake;
    struct place_put *put;
    ms since;             /* a plain file that was begun at or after it may be copied */
    int64_t not_before_s; /* its name is not of an earlier second; 0: any */
    struct rate rate;
    ms began, deadline; /* deadline: of all until the stream has ended; FOREVER then */
    unsigned level;
    bool recorded, streams;
    uint64_t db_bytes; /* about; 0: not known */
};

ms run_disk_deadline(const struct run *r);
bool run_is_bad(const struct run *r);
void run_level_reached(struct run *r); /* after all verification that was asked for */
/* The next second's name, once that has come: by the clock that does not jump. */
MUST_USE err run_next_second(struct run *r);

void run_begin(struct run *r); /* record and deadline, from now */

/* take_stream.c */
MUST_USE err run_wait_while_held(struct run *r); /* while the guardian is at work; begins anew after it */
MUST_USE err run_connect(struct run *r);         /* not while it is; to what backup.source says; record and db_bytes follow */
MUST_USE err run_receive(struct run *r, const char *what); /* all of the source, into the intake; what: for the watcher */
void run_hang_up(struct run *r);                           /* idempotent */
bool run_was_slow(const struct run *r);                    /* some minute of it was below backup.min_rate */

/* take_packed.c */
MUST_USE err take_packed(struct run *r);
MUST_USE err run_put_begin(struct run *r); /* names it, and begins the object and its packing */
MUST_USE err run_put_end(struct run *r);   /* all of it is on its way; what is stored goes into the record */
MUST_USE err run_put_keep(struct run *r,
                          bool renames);      /* under its name, or, where it may be renamed, a later one; and its record */
MUST_USE err run_check_stream(struct run *r); /* levels 1 and 2; E_CORRUPT */
/* All that was asked for, from a copy on a disk; NULL: there is none. E_CORRUPT; E_CANCELED. */
MUST_USE err run_verify_copy(struct run *r, struct lane *first, struct lane *second, const struct writer *copy);
void run_judge_rate(struct run *r); /* does the next one go through the stage */

/* take_copy.c */
/* *gone: there is nothing to copy, another way is to be gone. */
MUST_USE err take_copy(struct run *r, bool *gone);
MUST_USE err take_staged(struct run *r, bool *gone);

/* take_plain.c */
MUST_USE err take_plain(struct run *r);
/* Levels 3 and 4 of the file at `path`, and HashKV. E_CANCELED only: all else is a verdict. */
MUST_USE err run_verify(struct run *r, struct lane *first, struct lane *second, const char *path);

#endif
