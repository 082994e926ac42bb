/* The command line: what is understood, what is refused with which words, and help for everything there is. */
#include "board/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WORDS_MAX 12

/* A table of its own: main.c's belongs to the program. */
static enum exit_code nothing(const struct command_line *line)
{
    (void)line;
    return EXIT_GOOD;
}
const struct command commands[] = {{"run", "be the hub", "cp", nothing, NULL, NULL},
                                   {"check", "look at it", "coP", nothing, NULL, NULL},
                                   {"backup now", "one snapshot", "cpov", nothing, NULL, "24"},
                                   {"backup verify", "look into one", "opv", nothing, "FILE", "134"},
                                   {"backup restore", "get one back", "cpoIT", nothing, "BACKUP", NULL},
                                   {"backup rehearse", "try that", "cpo", nothing, "[DESTINATION]", NULL},
                                   {"backup prune", "remove old ones", "copdn", nothing, NULL, NULL},
                                   {"backup retention", "tell which", "cokidte", nothing, NULL, NULL},
                                   {"etcd defrag", "make it small", "cponasb", nothing, NULL, NULL},
                                   {"ingest preview", "show it", "pKEUNV", nothing, "[FILE]", NULL},
                                   {"version", "tell it", "l", nothing, NULL, NULL},
                                   {0}};

struct line {
    const char *words[WORDS_MAX];
    err want;
    const char *command, *config, *profile;
    const char *file, *destination, *keep, *now, *identity, *to;
    const char *kind, *event_types, *cluster_uid, *cluster_name, *agent_version;
    unsigned level;
    bool json, licenses, help, dry_run, print, from_stdin, explain, all, nospace, without_backup;
    const char *says; /* on stderr */
};
#define TAKEN(...)      .words = {__VA_ARGS__}, .config = CONFIG_PATH_DEFAULT, .profile = PROFILE_DEFAULT
#define REFUSED(s, ...) .words = {__VA_ARGS__}, .want = E_USAGE, .says = (s)
static const struct line lines[] = {
    {.words = {NULL}, .config = CONFIG_PATH_DEFAULT, .profile = PROFILE_DEFAULT},
    {TAKEN("run"), .command = "run"},
    {TAKEN("backup", "now"), .command = "backup now"},
    {TAKEN("backup", "now", "-o", "json"), .command = "backup now", .json = true},
    {TAKEN("-o", "json", "backup", "now"), .command = "backup now", .json = true},
    {TAKEN("backup", "-o", "json", "now"), .command = "backup now", .json = true},
    {TAKEN("backup", "now", "-o=json"), .command = "backup now", .json = true},
    {TAKEN("backup", "now", "-o", "text"), .command = "backup now"},
    {TAKEN("version", "--licenses"), .command = "version", .licenses = true},
    {TAKEN("--help"), .help = true},
    {TAKEN("-h"), .help = true},
    {TAKEN("run", "--help"), .command = "run", .help = true},
    {TAKEN("backup", "--help"), .help = true},
    {.words = {"run", "--config", "/x"}, .command = "run", .config = "/x", .profile = PROFILE_DEFAULT},
    {.words = {"run", "--config=/x"}, .command = "run", .config = "/x", .profile = PROFILE_DEFAULT},
    {.words = {"run", "--profile=edge16"}, .command = "run", .config = CONFIG_PATH_DEFAULT, .profile = "edge16"},
    {TAKEN("backup", "now", "--level", "2"), .command = "backup now", .level = 2},
    {TAKEN("backup", "now", "--level=4"), .command = "backup now", .level = 4},
    {TAKEN("--level", "1", "backup", "verify", "/x.db"), .command = "backup verify", .file = "/x.db", .level = 1},
    {TAKEN("backup", "verify", "now"), .command = "backup verify", .file = "now"},
    {TAKEN("backup", "verify", "--help"), .command = "backup verify", .help = true},
    {TAKEN("backup", "restore", "nas/latest", "--to", "/x.db"), .command = "backup restore", .file = "nas/latest", .to = "/x.db"},
    {TAKEN("backup", "restore", "--identity=/k", "x", "--to=/x"), .command = "backup restore", .file = "x", .identity = "/k",
     .to = "/x"},
    {TAKEN("backup", "rehearse"), .command = "backup rehearse"},
    {TAKEN("backup", "rehearse", "nas"), .command = "backup rehearse", .file = "nas"},
    {TAKEN("check", "--print"), .command = "check", .print = true},
    {TAKEN("backup", "prune", "--dry-run", "--destination", "nas"), .command = "backup prune", .dry_run = true,
     .destination = "nas"},
    {TAKEN("backup", "retention", "--explain", "--keep", "daily=7,weekly=4", "--stdin", "--now=5"), .command = "backup retention",
     .explain = true, .keep = "daily=7,weekly=4", .from_stdin = true, .now = "5"},
    {TAKEN("backup", "retention", "--keep=last=3"), .command = "backup retention", .keep = "last=3"},
    {TAKEN("etcd", "defrag"), .command = "etcd defrag"},
    {TAKEN("etcd", "defrag", "--all", "--dry-run"), .command = "etcd defrag", .all = true, .dry_run = true},
    {TAKEN("etcd", "defrag", "--nospace"), .command = "etcd defrag", .nospace = true},
    {TAKEN("etcd", "defrag", "--without-backup"), .command = "etcd defrag", .without_backup = true},
    {TAKEN("ingest", "preview", "-k", "Pod", "x.json"), .command = "ingest preview", .kind = "Pod", .file = "x.json"},
    {TAKEN("ingest", "preview", "--event-types=upper", "--cluster-uid=u", "--cluster-name=n", "--agent-version=v"),
     .command = "ingest preview", .event_types = "upper", .cluster_uid = "u", .cluster_name = "n", .agent_version = "v"},
    {REFUSED("does not take -k", "backup", "now", "-k", "Pod")},
    {REFUSED("\"etcd\" needs another word", "etcd")},
    {REFUSED("does not take --all", "backup", "now", "--all")},
    {REFUSED("--nospace takes no value", "etcd", "defrag", "--nospace=1")},
    {REFUSED("`holdfast backup verify` needs another word: FILE", "backup", "verify")},
    {REFUSED("\"y\" is one word too many", "backup", "verify", "x", "y")},
    {REFUSED("\"y\" is one word too many", "backup", "rehearse", "x", "y")},
    {REFUSED("needs another word: BACKUP", "backup", "restore", "--to", "/x")},
    {REFUSED("--to needs a value", "backup", "restore", "x", "--to")},
    {REFUSED("does not take --to", "backup", "verify", "x", "--to", "/x")},
    {REFUSED("does not take --identity", "backup", "rehearse", "--identity", "/k")},
    {REFUSED("--level takes 1, 2, 3 or 4, not \"5\"", "backup", "verify", "x", "--level", "5")},
    {REFUSED("--level takes 1, 2, 3 or 4, not \"22\"", "backup", "now", "--level", "22")},
    {REFUSED("--level needs a value, not an empty one", "backup", "now", "--level=")},
    {REFUSED("this command's --level is 2 or 4, not 3", "backup", "now", "--level", "3")},
    {REFUSED("this command's --level is 1, 3 or 4, not 2", "backup", "verify", "x", "--level", "2")},
    {REFUSED("does not take --level", "run", "--level", "2")},
    {REFUSED("--destination needs a value", "backup", "prune", "--destination")},
    {REFUSED("does not take --destination", "backup", "now", "--destination", "nas")},
    {REFUSED("does not take --dry-run", "backup", "now", "--dry-run")},
    {REFUSED("--stdin takes no value", "backup", "retention", "--stdin=yes")},
    {REFUSED("--help takes no value", "-h=1")},
    {REFUSED("no command \"walk\"; see", "walk")},
    {REFUSED("no command \"\"; see", "")},
    {REFUSED("no command \"later\"; see", "backup", "later")},
    {REFUSED("no command \"chekc\" (did you mean `holdfast check`?); see", "chekc")},
    {REFUSED("no command \"chekc\" (did you mean `holdfast check`?); see", "chekc", "/x")},
    {REFUSED("no command \"nwo\" (did you mean `holdfast backup now`?); see", "backup", "nwo")},
    {REFUSED("no command \"bakcup\" (did you mean `holdfast backup now`?); see", "bakcup", "now", "x")},
    {REFUSED("no command \"verify\" (did you mean `holdfast backup verify`?); see", "verify", "/x")},
    {REFUSED("no command \"a-word-longer-than-any-command-there-is-or-will-be\"; see",
             "a-word-longer-than-any-command-there-is-or-will-be", "now")},
    {REFUSED("\"backup\" needs another word: now, verify, restore, rehearse, prune, retention; see", "backup")},
    {REFUSED("\"fast\" is one word too many", "run", "fast")},
    {REFUSED("no option --quickly; see", "run", "--quickly")},
    {REFUSED("no option --levle (did you mean --level?); see", "backup", "verify", "x", "--levle", "3")},
    {REFUSED("no option --confg=/x (did you mean --config?); see", "run", "--confg=/x")},
    {REFUSED("no option --version (did you mean `holdfast version`?); see", "--version")},
    {REFUSED("no option -x; see", "-x")},
    {REFUSED("no option -; see", "run", "-")},
    {REFUSED("--help takes no value", "run", "--help=1")},
    {REFUSED("--licenses takes no value", "version", "--licenses=yes")},
    {REFUSED("--config needs a value", "run", "--config")},
    {REFUSED("no profile \"hub99\"", "run", "--profile", "hub99")},
    {REFUSED("not \"xml\"", "backup", "now", "-o", "xml")},
    {REFUSED("does not take -o", "run", "-o", "json")},
    {REFUSED("does not take --licenses", "run", "--licenses")},
    {REFUSED("one word too many", "a", "b", "c", "d", "e", "f", "g", "h", "i")},
};

/* What is printed to `fd` meanwhile. */
static char said[8192];
static int kept;
static FILE *listening;

static void listen_to(int fd)
{
    (void)fflush(NULL);
    listening = tmpfile();
    assert_non_null(listening);
    kept = dup(fd);
    (void)dup2(fileno(listening), fd);
}

static void listen_end(int fd)
{
    (void)fflush(NULL);
    (void)dup2(kept, fd);
    (void)close(kept);
    rewind(listening);
    said[fread(said, 1, sizeof said - 1, listening)] = 0;
    (void)fclose(listening);
}

static void check_text(const char *got, const char *wanted)
{
    assert_string_equal(got ? got : "", wanted ? wanted : "");
}

static void check_line(const struct command_line *got, const struct line *l)
{
    check_text(got->command ? got->command->words : NULL, l->command);
    check_text(got->config_path, l->config);
    check_text(got->profile->name, l->profile);
    check_text(got->file, l->file);
    check_text(got->destination, l->destination);
    check_text(got->keep, l->keep);
    check_text(got->now, l->now);
    check_text(got->identity, l->identity);
    check_text(got->to, l->to);
    check_text(got->kind, l->kind);
    check_text(got->event_types, l->event_types);
    check_text(got->cluster_uid, l->cluster_uid);
    check_text(got->cluster_name, l->cluster_name);
    check_text(got->agent_version, l->agent_version);
    assert_int_equal(got->level, l->level);
    assert_true(got->json == l->json && got->licenses == l->licenses && got->help == l->help);
    assert_true(got->dry_run == l->dry_run && got->print == l->print);
    assert_true(got->from_stdin == l->from_stdin && got->explain == l->explain);
    assert_true(got->all == l->all && got->nospace == l->nospace && got->without_backup == l->without_backup);
}

static void what_is_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        const struct line *l = &lines[i];
        char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t) "holdfast"};
        int argc = 1;
        struct command_line got;
        while (argc <= WORDS_MAX && l->words[argc - 1]) {
            argv[argc] = (char *)(uintptr_t)l->words[argc - 1];
            argc++;
        }
        listen_to(STDERR_FILENO);
        err e = command_parse(argc, argv, &got);
        listen_end(STDERR_FILENO);
        print_message("%zu %s: %s", i, argc > 1 ? argv[1] : "", said[0] ? said : "\n");
        assert_int_equal(e, l->want);
        if (e != OK) {
            assert_non_null(strstr(said, l->says));
            continue;
        }
        assert_string_equal(said, "");
        check_line(&got, l);
    }
}

static void help_for_everything(void **state)
{
    (void)state;
    listen_to(STDOUT_FILENO);
    command_help(NULL);
    listen_end(STDOUT_FILENO);
    for (const struct command *c = commands; c->words; c++)
        assert_true(strstr(said, c->words) && strstr(said, c->help));
    assert_true(strstr(said, "--config FILE") && strstr(said, "exit codes: 0 good"));
    listen_to(STDOUT_FILENO);
    command_help(&commands[0]);
    listen_end(STDOUT_FILENO);
    assert_true(strstr(said, "be the hub") && strstr(said, "--profile") && strstr(said, "--help"));
    assert_null(strstr(said, "--licenses"));
    listen_to(STDOUT_FILENO);
    command_help(&commands[3]);
    listen_end(STDOUT_FILENO);
    assert_true(strstr(said, "holdfast backup verify FILE: look into one") && strstr(said, "--level N"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_understood), cmocka_unit_test(help_for_everything)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
