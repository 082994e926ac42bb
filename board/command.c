/* command: parsing and help. */
#include "board/command.h"

#include "board/rt/text.h"
#include "config/suggest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*       letter flag          value     help */
#define OPTION_TABLE(X)                                                                                                          \
    X('c', "--config", "FILE", "configuration, instead of " CONFIG_PATH_DEFAULT)                                                 \
    X('p', "--profile", "NAME", "board profile: edge16, hub32 (the default) or hub64")                                           \
    X('o', "-o", "json", "print JSON, for programs")                                                                             \
    X('v', "--level", "N", "how far to verify: 1 length, 2 SHA-256, 3 structure, 4 content (the default)")                       \
    X('d', "--destination", "NAME", "this destination only, instead of all")                                                     \
    X('I', "--identity", "FILE", "age identities that open an encrypted backup; else backup.rehearse.identity_file")             \
    X('T', "--to", "FILE", "where the plain snapshot is written; never over a file that is there")                               \
    X('k', "--keep", "LIST", "rules to keep by, like daily=7,weekly=4,monthly=12")                                               \
    X('t', "--now", "T", "the moment to take for now: epoch seconds or 2026-11-21T09:51:32Z")                                    \
    X('i', "--stdin", NULL, "read backups from standard input, one a line")                                                      \
    X('e', "--explain", NULL, "say for each backup why it stays or goes")                                                        \
    X('n', "--dry-run", NULL, "say what would be done, and do nothing")                                                          \
    X('P', "--print", NULL, "print the configuration in force, defaults and environment included")                               \
    X('l', "--licenses", NULL, "print the licences of holdfast and of all parts it is built from")                               \
    X('w', "--wait", NULL, "without a usable configuration: wait for one, as PID 1 does, instead of ending")                     \
    X('u', "--unconfined", NULL, "give up no privileges after start: for strace, gdb and perf")                                  \
    X('a', "--all", NULL, "every member, whatever there is to win")                                                              \
    X('s', "--nospace", NULL, "also end a NOSPACE alarm: compact, defragment all, disarm")                                       \
    X('K', "-k", "KIND", "read what `kubectl get -o json` prints, of this kind, instead of one JSON object a line")              \
    X('E', "--event-types", "T", "lower (added, modified, deleted; the default) or upper (ADDED, UPDATED, DELETED)")             \
    X('U', "--cluster-uid", "S", "the cluster's uid in what is sent; 00000000-0000-0000-0000-000000000000 by default")           \
    X('N', "--cluster-name", "S", "the cluster's name in a snapshot; preview by default")                                        \
    X('V', "--agent-version", "S", "the agent's version in snapshot and heartbeat; left out by default")                         \
    X('b', "--without-backup", NULL, "although no verified backup is fresh")                                                     \
    X('h', "--help", NULL, "print this help")

static const struct option {
    char letter;
    const char *flag, *value, *help;
} options[] = {
#define X(letter, flag, value, help) {letter, flag, value, help},
    OPTION_TABLE(X)
#undef X
};

static const struct option *option_find(const char *word, size_t len)
{
    if (len == 2 && strncmp(word, "-h", 2) == 0)
        return option_find("--help", strlen("--help"));
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (strlen(options[i].flag) == len && strncmp(options[i].flag, word, len) == 0)
            return &options[i];
    return NULL;
}

static err wrong(const char *format, ...) PRINTF_LIKE(1, 2);
static err wrong(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(stderr, "holdfast: ");
    (void)vfprintf(stderr, format, arguments);
    (void)fprintf(stderr, "; see `holdfast --help`\n");
    va_end(arguments);
    return E_USAGE;
}

/* --- values --- */
static err take_profile(struct command_line *line, const char *value)
{
    line->profile = profile_find(value);
    return line->profile ? OK : wrong("there is no profile \"%s\": edge16, hub32 or hub64", value);
}

static err take_format(struct command_line *line, const char *value)
{
    line->json = strcmp(value, "json") == 0;
    return line->json || strcmp(value, "text") == 0 ? OK : wrong("-o takes json or text, not \"%s\"", value);
}

static err take_level(struct command_line *line, const char *value)
{
    if (value[0] < '1' || value[0] > '4' || value[1])
        return wrong("--level takes 1, 2, 3 or 4, not \"%s\"", value);
    line->level = (unsigned)(value[0] - '0');
    return OK;
}

static const char TEXT_LETTERS[] = "cdktITKEUNV", FLAG_LETTERS[] = "ienPlwuhasb";

/* One that takes a value. */
static err value_take(struct command_line *line, const struct option *o, const char *value)
{
    if (!*value)
        return wrong("%s needs a value, not an empty one", o->flag);
    switch (o->letter) {
    case 'p':
        return take_profile(line, value);
    case 'o':
        return take_format(line, value);
    case 'v':
        return take_level(line, value);
    default:
        break;
    }
    const char **texts[] = {&line->config_path, &line->destination,  &line->keep,         &line->now,
                            &line->identity,    &line->to,           &line->kind,         &line->event_types,
                            &line->cluster_uid, &line->cluster_name, &line->agent_version};
    const char *letter = strchr(TEXT_LETTERS, o->letter);
    ASSERT(letter);
    *texts[letter - TEXT_LETTERS] = value;
    return OK;
}

/* One that takes none. */
static void flag_take(struct command_line *line, const struct option *o)
{
    bool *flags[] = {&line->from_stdin, &line->explain, &line->dry_run, &line->print,   &line->licenses,      &line->wait,
                     &line->unconfined, &line->help,    &line->all,     &line->nospace, &line->without_backup};
    const char *letter = strchr(FLAG_LETTERS, o->letter);
    ASSERT(letter);
    *flags[letter - FLAG_LETTERS] = true;
}

/* --- words --- */
/* How many of argv's words the command's name takes; 0: another command. */
static int words_match(const char *words, char **argv, int count)
{
    int taken = 0;
    for (const char *at = words; *at; taken++) {
        size_t len = strcspn(at, " ");
        if (taken >= count || strlen(argv[taken]) != len || strncmp(argv[taken], at, len) != 0)
            return 0;
        at += len + (at[len] == ' ');
    }
    return taken;
}

/* "now" of "backup now" and the word "backup"; NULL: another command. */
static const char *second_word(const struct command *c, const char *word)
{
    size_t len = strlen(word);
    return strncmp(c->words, word, len) == 0 && c->words[len] == ' ' ? c->words + len + 1 : NULL;
}

static bool begins_a_command(const char *word)
{
    for (const struct command *c = commands; c->words; c++)
        if (second_word(c, word))
            return true;
    return false;
}

/* `holdfast backup`: what may follow. */
static err word_missing(const char *word)
{
    char list[80];
    struct text t = text_over(list, sizeof list);
    for (const struct command *c = commands; c->words; c++)
        if (second_word(c, word))
            text_addf(&t, "%s%s", t.len ? ", " : "", second_word(c, word));
    return wrong("\"%s\" needs another word: %s", word, list);
}

/* A near one, also `list` for "backup list", which has only been cut short. */
static const char *command_near(char **words, int count)
{
    char joined[SUGGEST_BYTES_MAX + 2];
    (void)snprintf(joined, sizeof joined, "%s%s%s", words[0], count > 1 ? " " : "", count > 1 ? words[1] : "");
    struct suggestion whole = suggest_start(bytes_of(joined)), first = suggest_start(bytes_of(words[0]));
    for (const struct command *c = commands; c->words; c++) {
        const char *space = strchr(c->words, ' ');
        if (space && strcmp(space + 1, words[0]) == 0)
            return c->words;
        suggest_offer(&whole, c->words);
        suggest_offer(&first, c->words);
    }
    return whole.best ? whole.best : first.best;
}

static err command_unknown(char **words, int count)
{
    const char *word = words[count > 1 && begins_a_command(words[0]) ? 1 : 0], *near = command_near(words, count);
    return near ? wrong("there is no command \"%s\" (did you mean `holdfast %s`?)", word, near)
                : wrong("there is no command \"%s\"", word);
}

/* The command's own word, where it takes one, and nothing after it. */
static err file_take(struct command_line *line, char **words, int count)
{
    const struct command *c = line->command;
    if (c->file && c->file[0] == '[' && count == 0)
        return OK;
    if (c->file && count == 0)
        return line->help ? OK : wrong("`holdfast %s` needs another word: %s", c->words, c->file);
    if (c->file)
        line->file = words[0];
    int taken = c->file ? 1 : 0;
    return count <= taken ? OK : wrong("\"%s\" is one word too many", words[taken]);
}

static err command_take(struct command_line *line, char **words, int count)
{
    if (count == 0)
        return OK;
    for (const struct command *c = commands; c->words; c++) {
        int taken = words_match(c->words, words, count);
        if (taken == 0)
            continue;
        line->command = c;
        return file_take(line, words + taken, count - taken);
    }
    if (count == 1 && strcmp(words[0], "help") == 0) {
        line->help = true;
        return OK;
    }
    if (begins_a_command(words[0]) && count == 1)
        return line->help ? OK : word_missing(words[0]);
    return command_unknown(words, count);
}

static err level_fits(const struct command_line *line)
{
    const char *levels = line->command ? line->command->levels : NULL;
    if (line->level == 0 || !levels || strchr(levels, (char)('0' + line->level)))
        return OK;
    char list[24];
    struct text t = text_over(list, sizeof list);
    for (const char *c = levels; *c; c++)
        text_addf(&t, "%s%c", c == levels ? "" : c[1] ? ", " : " or ", *c);
    return wrong("this command's --level is %s, not %u", list, line->level);
}

static err options_fit(const struct command_line *line, const bool given[])
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (given[i] && line->command && options[i].letter != 'h' && !strchr(line->command->options, options[i].letter))
            return wrong("this command does not take %s", options[i].flag);
    return level_fits(line);
}

/* --- the whole line --- */
#define WORDS_MAX 8

struct reader {
    struct command_line *line;
    char **argv; /* ended by NULL */
    int at;      /* the word to read next */
    bool given[COUNT_OF(options)];
    char *words[WORDS_MAX];
    int count;
};

/* `--version`, which others have, is a command here. One letter is near to any other: those are not guessed at. */
static err option_unknown(const char *word, size_t len)
{
    struct suggestion near = suggest_start((struct bytes){(const uint8_t *)word, len});
    bool is_long = strncmp(word, "--", 2) == 0;
    for (size_t i = 0; is_long && i < COUNT_OF(options); i++)
        suggest_offer(&near, options[i].flag);
    for (const struct command *c = commands; is_long && c->words; c++)
        if (strcmp(word + 2, c->words) == 0)
            return wrong("there is no option %s (did you mean `holdfast %s`?)", word, c->words);
    return near.best ? wrong("there is no option %s (did you mean %s?)", word, near.best) : wrong("there is no option %s", word);
}

static err read_option(struct reader *r)
{
    const char *word = r->argv[r->at++];
    const char *equals = strchr(word, '=');
    size_t len = equals ? (size_t)(equals - word) : strlen(word);
    const struct option *o = option_find(word, len);
    if (!o)
        return option_unknown(word, len);
    if (!o->value && equals)
        return wrong("%s takes no value", o->flag);
    r->given[o - options] = true;
    if (!o->value) {
        flag_take(r->line, o);
        return OK;
    }
    const char *value = equals ? equals + 1 : r->argv[r->at];
    if (!value)
        return wrong("%s needs a value", o->flag);
    r->at += equals ? 0 : 1;
    return value_take(r->line, o, value);
}

static err read_word(struct reader *r)
{
    if (r->count == WORDS_MAX)
        return wrong("\"%s\" is one word too many", r->argv[r->at]);
    r->words[r->count++] = r->argv[r->at++];
    return OK;
}

err command_parse(int argc, char **argv, struct command_line *out)
{
    struct reader r = {.line = out, .argv = argv, .at = 1};
    *out = (struct command_line){.config_path = CONFIG_PATH_DEFAULT, .profile = profile_find(PROFILE_DEFAULT)};
    while (r.at < argc)
        TRY(argv[r.at][0] == '-' ? read_option(&r) : read_word(&r));
    TRY(command_take(out, r.words, r.count));
    return options_fit(out, r.given);
}

/* --- help --- */
/* Which levels there are is told by the command. */
static const char *help_of(const struct option *o, const char *levels, struct text *t)
{
    static const char *const names[] = {"1 length", "2 SHA-256", "3 structure", "4 content (the default)"};
    if (o->letter != 'v' || !levels)
        return o->help;
    text_add(t, "how far to verify: ");
    for (const char *c = levels; *c; c++)
        text_addf(t, "%s%s", c == levels ? "" : ", ", names[*c - '1']);
    return t->at;
}

static void print_options(const char *letters, const char *levels)
{
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        const struct option *o = &options[i];
        char left[40], storage[96];
        struct text t = text_over(storage, sizeof storage);
        if (o->letter != 'h' && letters && !strchr(letters, o->letter))
            continue;
        (void)snprintf(left, sizeof left, "%s%s%s", o->flag, o->value ? " " : "", o->value ? o->value : "");
        (void)printf("  %-20s %s\n", left, help_of(o, levels, &t));
    }
}

void command_help(const struct command *one)
{
    if (one) {
        (void)printf("holdfast %s%s%s: %s\n\n", one->words, one->file ? " " : "", one->file ? one->file : "", one->help);
        print_options(one->options, one->levels);
        return;
    }
    (void)printf("holdfast %s: the hub node of a homelab or edge cluster in one binary\n\nusage: holdfast COMMAND [OPTIONS]\n\n",
                 version_text());
    for (const struct command *c = commands; c->words; c++) {
        char left[40];
        (void)snprintf(left, sizeof left, "%s%s%s", c->words, c->file ? " " : "", c->file ? c->file : "");
        (void)printf("  %-20s %.*s\n", left, (int)strcspn(c->help, "\n"), c->help);
    }
    (void)printf("\n");
    print_options(NULL, NULL);
    (void)printf("\nexit codes: 0 good, 1 bad, 2 wrong use or configuration, 3 cannot tell, 4 partly done, 75 busy\n");
}
