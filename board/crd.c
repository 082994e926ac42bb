/* crd: `holdfast crd [NAME]`: the CustomResourceDefinitions of what the hub understands, for kubectl apply. */
#include "board/command.h"

#include "agents/ingest/agent_resource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CRD_BYTES_MAX KIB(32)

static const struct custom *const resources[] = {&obsyk_agent_resource};

static bool is_meant(const struct custom *c, const char *name)
{
    size_t plural = strlen(c->plural);
    if (!name || strcmp(name, c->kind) == 0 || strcmp(name, c->plural) == 0 || strcmp(name, c->singular) == 0)
        return true;
    return strncmp(name, c->plural, plural) == 0 && name[plural] == '.' && strcmp(name + plural + 1, c->group) == 0;
}

static unsigned print_meant(const char *name, char *page)
{
    unsigned printed = 0;
    for (size_t i = 0; i < COUNT_OF(resources); i++) {
        struct text out = text_over(page, CRD_BYTES_MAX);
        if (!is_meant(resources[i], name))
            continue;
        custom_crd(resources[i], &out);
        ASSERT(!out.cut);
        (void)printf("%s%s", printed++ ? "---\n" : "", page);
    }
    return printed;
}

enum exit_code command_crd(const struct command_line *line)
{
    char *page = malloc(CRD_BYTES_MAX); /* no static of a hub that never prints it */
    unsigned printed = page ? print_meant(line->file, page) : 0;
    free(page);
    if (printed > 0)
        return EXIT_GOOD;
    (void)fprintf(stderr, "holdfast: there is no resource \"%s\"; there are:", line->file);
    for (size_t i = 0; i < COUNT_OF(resources); i++)
        (void)fprintf(stderr, " %s.%s", resources[i]->plural, resources[i]->group);
    (void)fprintf(stderr, "\n");
    return EXIT_WRONG_USE;
}
