/* command: the command line. One table; `--help` is printed from it.
 *
 * Layer    board; nobody includes it.   Owner   argv's strings outlive everything.   Memory   static.
 * Errors   a wrong word is told on stderr with what would be right, exit code 2. */
#ifndef HOLDFAST_COMMAND_H
#define HOLDFAST_COMMAND_H

#include "board/rt/fiber.h"
#include "board/rt/mem.h"
#include "config/config.h"

/* Everywhere: DESIGN, "What a user meets". */
enum exit_code { EXIT_GOOD = 0, EXIT_BAD = 1, EXIT_WRONG_USE = 2, EXIT_CANNOT_TELL = 3, EXIT_PARTLY = 4, EXIT_BUSY = 75 };

#define CONFIG_PATH_DEFAULT "/etc/holdfast.yaml"
#define PROFILE_DEFAULT     "hub32"

struct command_line {
    const struct command *command; /* NULL: none given */
    const char *config_path;
    const struct profile *profile;
    const char *file;        /* the word after the command, where it takes one: `backup verify FILE` */
    const char *destination; /* --destination NAME; NULL: all */
    const char *keep;        /* --keep daily=7,…; NULL: the configuration's, or the default */
    const char *now;         /* --now T; NULL: not given */
    const char *identity;    /* --identity FILE; NULL: not given */
    const char *to;          /* --to FILE; NULL: not given */
    const char *kind, *event_types, *cluster_uid, *cluster_name, *agent_version; /* `ingest preview`; NULL: not given */
    unsigned level;                                                              /* --level; 0: not given */
    bool json, licenses, help, dry_run, print, from_stdin, explain;
    bool wait;                         /* --wait: `run` without a usable configuration waits for one */
    bool all, nospace, without_backup; /* `etcd defrag` */
    bool unconfined;                   /* --unconfined: `run` gives up no privileges */
};

struct command {
    const char *words;   /* "backup now" */
    const char *help;    /* one line; what follows it is printed by its own --help only */
    const char *options; /* the letters of those it takes: c --config, p --profile, o -o, v --level, d --destination, I
                            --identity, T --to, k --keep, t --now, i --stdin, e --explain, n --dry-run, P --print, l --licenses, w
                            --wait, u --unconfined, a --all, s --nospace, b --without-backup, K -k, E --event-types, U
                            --cluster-uid, N --cluster-name, V --agent-version */
    enum exit_code (*run)(const struct command_line *line);
    const char *file;   /* "BACKUP": what its last word is called, needed, but with "[" around it; NULL: takes none */
    const char *levels; /* the digits --level may be: "24"; NULL where it takes no --level */
};

extern const struct command commands[]; /* ended by words NULL; the wiring is in main.c */

/* OK; or E_USAGE, told on stderr already. */
MUST_USE err command_parse(int argc, char **argv, struct command_line *out);
void command_help(const struct command *c); /* NULL: all of them */

/* --- what commands are made of --- */

/* Boots memory and the loop and runs work(arg) in a fiber of `task`; SIGINT and SIGTERM cancel it. Returns its code, or EXIT_BAD
 * when it was canceled before it set one. */
struct work {
    enum exit_code (*run)(struct work *w);
    const struct command_line *line;
    enum task task;
    const char *name; /* the fiber's; static */
    enum exit_code code;
};
enum exit_code command_run(struct work *w);

/* Reads and checks the configuration file of the line; errors are told on stderr. */
MUST_USE err command_config(const struct command_line *line, struct config **out);
/* The same, with the lines into `errors`, which should hold CONFIG_ERRORS_BYTES. E_CONFIG, whatever was wrong; E_CANCELED. */
#define CONFIG_ERRORS_BYTES KIB(4)
MUST_USE err command_config_text(const char *path, struct config **out, struct text *errors);
void budget_log(const struct profile *p); /* the table of `holdfast budget`, as lines of the log */
enum exit_code exit_code_of(err e);

enum exit_code command_hub(const struct command_line *line);
enum exit_code command_check(const struct command_line *line);
enum exit_code command_doctor(const struct command_line *line);
enum exit_code command_backup_now(const struct command_line *line);
enum exit_code command_backup_list(const struct command_line *line);
enum exit_code command_backup_verify(const struct command_line *line);
enum exit_code command_backup_restore(const struct command_line *line);
enum exit_code command_backup_rehearse(const struct command_line *line);
enum exit_code command_backup_prune(const struct command_line *line);
enum exit_code command_backup_retention(const struct command_line *line);
enum exit_code command_etcd_status(const struct command_line *line);
enum exit_code command_ingest_status(const struct command_line *line);
enum exit_code command_etcd_defrag(const struct command_line *line);
enum exit_code command_crd(const struct command_line *line);
enum exit_code command_ingest_preview(const struct command_line *line);
enum exit_code command_budget(const struct command_line *line);
enum exit_code command_top(const struct command_line *line);
enum exit_code command_version(const struct command_line *line);

const char *version_text(void);   /* of this build; static */
const char *version_target(void); /* "x86_64"; static */

#endif
