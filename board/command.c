/* command: parsing and help. */
#include "board/command.h"

#include "board/rt/text.h"

#include <stdio.h>
#include <string.h>

/*       letter flag          value     help */
#define OPTION_TABLE(X)                                                                                                          \
    X('c', "--config", "FILE", "configuration, instead of " CONFIG_PATH_DEFAULT)                                                 \
    X('p', "--profile", "NAME", "board profile: edge16, hub32 (the default) or hub64")                                           \
    X('o', "-o", "json", "print JSON, for programs")                                                                             \
    X('l', "--licenses", NULL, "print the licences of holdfast and of all parts it is built from")                               \
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
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (strlen(options[i].flag) == len && strncmp(options[i].flag, word, len) == 0)
            return &options[i];
    return NULL;
}

static err wrong(const char *format, const char *word)
{
    (void)fprintf(stderr, "holdfast: ");
    (void)fprintf(stderr, format, word); /* format: literals of this file */
    (void)fprintf(stderr, "; see `holdfast --help`\n");
    return E_USAGE;
}

static err option_take(struct command_line *line, char letter, const char *value)
{
    switch (letter) {
    case 'c':
        line->config_path = value;
        return OK;
    case 'p':
        line->profile = profile_find(value);
        return line->profile ? OK : wrong("there is no profile \"%s\": edge16, hub32 or hub64", value);
    case 'o':
        line->json = strcmp(value, "json") == 0;
        return line->json || strcmp(value, "text") == 0 ? OK : wrong("-o takes json or text, not \"%s\"", value);
    case 'l':
        line->licenses = true;
        return OK;
    default:
        line->help = true;
        return OK;
    }
}

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

static bool begins_a_command(const char *word)
{
    size_t len = strlen(word);
    for (const struct command *c = commands; c->words; c++)
        if (strncmp(c->words, word, len) == 0 && c->words[len] == ' ')
            return true;
    return false;
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
        return taken == count ? OK : wrong("\"%s\" is one word too many", words[taken]);
    }
    if (count == 1 && strcmp(words[0], "help") == 0) {
        line->help = true;
        return OK;
    }
    if (begins_a_command(words[0]) && count == 1)
        return line->help ? OK : wrong("\"%s\" needs another word", words[0]);
    return wrong("there is no command \"%s\"", words[count > 1 && begins_a_command(words[0]) ? 1 : 0]);
}

static err options_fit(const struct command_line *line, const bool given[])
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (given[i] && line->command && options[i].letter != 'h' && !strchr(line->command->options, options[i].letter))
            return wrong("this command does not take %s", options[i].flag);
    return OK;
}

#define WORDS_MAX 8

err command_parse(int argc, char **argv, struct command_line *out)
{
    *out = (struct command_line){.config_path = CONFIG_PATH_DEFAULT, .profile = profile_find(PROFILE_DEFAULT)};
    char *words[WORDS_MAX];
    bool given[COUNT_OF(options)] = {0};
    int count = 0;
    for (int i = 1; i < argc; i++) {
        const char *equals = argv[i][0] == '-' ? strchr(argv[i], '=') : NULL;
        if (argv[i][0] != '-') {
            if (count == WORDS_MAX)
                return wrong("\"%s\" is one word too many", argv[i]);
            words[count++] = argv[i];
            continue;
        }
        const struct option *o = option_find(argv[i], equals ? (size_t)(equals - argv[i]) : strlen(argv[i]));
        if (!o && strcmp(argv[i], "-h") != 0)
            return wrong("there is no option %s", argv[i]);
        const char *value = equals ? equals + 1 : NULL;
        if (o && !o->value && equals)
            return wrong("%s takes no value", o->flag);
        if (o && o->value && !value && !(value = argv[++i]))
            return wrong("%s needs a value", o->flag);
        if (o)
            given[o - options] = true;
        TRY(option_take(out, o ? o->letter : 'h', value));
    }
    TRY(command_take(out, words, count));
    return options_fit(out, given);
}

static void print_options(const char *letters)
{
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        const struct option *o = &options[i];
        char left[40];
        if (o->letter != 'h' && letters && !strchr(letters, o->letter))
            continue;
        (void)snprintf(left, sizeof left, "%s%s%s", o->flag, o->value ? " " : "", o->value ? o->value : "");
        (void)printf("  %-18s %s\n", left, o->help);
    }
}

void command_help(const struct command *one)
{
    if (one) {
        (void)printf("holdfast %s: %s\n\n", one->words, one->help);
        print_options(one->options);
        return;
    }
    (void)printf("holdfast %s: the hub node of a homelab or edge cluster in one binary\n\nusage: holdfast COMMAND [OPTIONS]\n\n",
                 version_text());
    for (const struct command *c = commands; c->words; c++)
        (void)printf("  %-18s %s\n", c->words, c->help);
    (void)printf("\n");
    print_options(NULL);
    (void)printf("\nexit codes: 0 good, 1 bad, 2 wrong use or configuration, 3 cannot tell, 4 partly done, 75 busy\n");
}
