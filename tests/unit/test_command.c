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
const struct command commands[] = {{"run", "be the hub", "cp", nothing},
                                   {"backup now", "one snapshot", "cpo", nothing},
                                   {"version", "tell it", "l", nothing},
                                   {NULL, NULL, NULL, NULL}};

struct line {
    const char *words[WORDS_MAX];
    err want;
    const char *command, *config, *profile;
    bool json, licenses, help;
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
    {REFUSED("no command \"walk\"", "walk")},
    {REFUSED("no command \"later\"", "backup", "later")},
    {REFUSED("\"backup\" needs another word", "backup")},
    {REFUSED("\"fast\" is one word too many", "run", "fast")},
    {REFUSED("no option --fast", "run", "--fast")},
    {REFUSED("no option -x", "-x")},
    {REFUSED("no option -", "run", "-")},
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
        assert_string_equal(got.command ? got.command->words : "", l->command ? l->command : "");
        assert_string_equal(got.config_path, l->config);
        assert_string_equal(got.profile->name, l->profile);
        assert_true(got.json == l->json && got.licenses == l->licenses && got.help == l->help);
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
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_understood), cmocka_unit_test(help_for_everything)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
