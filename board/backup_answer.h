/* backup_answer: what the backup commands print and a running hub answers: made in one place, item by item.
 *
 * Layer    board.                          Blocks   parks the fiber, as the agent does.
 * Owner    the caller of everything.       Memory   one I/O buffer for the item in work.
 * Errors   are items too, so that nothing is silent: {"destination", "verdict", "reason", "error"}.  */
#ifndef HOLDFAST_BACKUP_ANSWER_H
#define HOLDFAST_BACKUP_ANSWER_H

#include "agents/backup/backup.h"
#include "board/command.h"
#include "net/format/json_read.h"

/* Takes the items of a JSON array one after another; an error ends the answer. */
struct answer {
    err (*item)(void *arg, struct bytes json);
    void *arg;
};

/* Is there something to back up, and the destination asked for? Else it is told on stderr, and the exit code is not EXIT_GOOD. */
enum exit_code answer_check(const struct command_line *line, const struct config *c);
/* Below, destination: NULL all of them. */
bool answer_knows(const struct config *c, const char *destination);
bool answer_wants(const struct config *c, unsigned i, const char *destination); /* is the i-th one meant */

/* Of what decides where backups go and what is told of them: two processes compare theirs by it. Returns out. */
#define ANSWER_DIGEST_MAX 33 /* half a SHA-256 in hex, and a zero */
const char *answer_digest(const struct config *c, char out[ANSWER_DIGEST_MAX]);
/* Writes one item by put(), BACKUP_RECORD_JSON_MAX bytes at most, and hands it over. */
MUST_USE err answer_item(const struct answer *to, void (*put)(struct json_writer *w, const void *what), const void *what);
/* The item of a failure. destination: NULL is null. */
MUST_USE err answer_failure(const struct answer *to, const char *destination, const char *reason, const char *words);

/* A snapshot into each: 0 all good, 4 some, 1 none; 75 none, because each is at work already. */
enum exit_code answer_now(struct backup *b, const struct config *c, const char *destination, unsigned level,
                          const struct backup_watcher *w, const struct answer *to);
/* All records, oldest first: 0, 4 when a destination cannot be listed, 1 when none can. */
enum exit_code answer_list(struct backup *b, const struct config *c, const char *destination, const struct answer *to);

/* What each destination's rules do not keep goes, or would: {name, destination, why, removed}. 0 all pruned, 4 some, 1 none, 75
 * all busy. */
enum exit_code answer_prune(struct backup *b, const struct config *c, const char *destination, bool dry_run,
                            const struct answer *to);

/* The newest backup of each is read back: its record, with what that found. 0 all good, 4 some, 1 none, 3 none could be judged,
 * 75 all busy. */
enum exit_code answer_rehearse(struct backup *b, const struct config *c, const char *destination, const struct backup_watcher *w,
                               const struct answer *to);

/* --- a command, from its line to its exit code --- */
struct answer_way {
    void (*line)(const struct json *item); /* prints an item as text */
    const char *path;                      /* what a running hub is asked; NULL: it only reads, asks nobody and takes no lock */
    enum exit_code (*answer)(const struct command_line *line, const struct config *c, struct backup *b,
                             const struct backup_watcher *w, const struct answer *to);
};
enum exit_code answer_command(const struct command_line *line, const struct answer_way *way);

/* --- printing, for the commands --- */
struct progress;
struct printer {
    bool json;                             /* -o json: an array on stdout */
    void (*line)(const struct json *item); /* else: prints an item's line of text */
    unsigned items;
    struct progress *progress; /* wiped before an item; NULL: there is none */
};
struct answer printer_open(struct printer *p);
void printer_close(struct printer *p); /* ends the array */
/* A whole array as a hub sent it. */
MUST_USE err printer_whole(struct printer *p, struct bytes array);
void print_taken(const struct json *item);  /* what `backup now` says of a record */
void print_listed(const struct json *item); /* a row of `backup list` */
void print_pruned(const struct json *item);
void print_rehearsed(const struct json *item);
void print_failed(const struct json *item); /* only what is wrong */

/* Bytes, rate and time left on a terminal; silent elsewhere. */
struct progress {
    ms began, shown_at;
    uint64_t began_bytes, done; /* when this piece of work was first heard of, and now */
    char what[32];
    bool terminal, shown;
};
struct progress progress_open(bool wanted);
void progress_show(void *progress, const char *what, uint64_t done_bytes, uint64_t total_bytes);
void progress_close(struct progress *p); /* wipes the line */

#endif
