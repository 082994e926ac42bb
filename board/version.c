/* version: which build this is, and whose work is in it. */
#include "board/command.h"

#include "licenses.inc"
#include "version.h"

#include <stdio.h>

const char *version_text(void)
{
    return HOLDFAST_VERSION;
}

const char *version_target(void)
{
    return HOLDFAST_TARGET;
}

enum exit_code command_version(const struct command_line *line)
{
    if (line->licenses)
        return fwrite(licenses, 1, licenses_len, stdout) == licenses_len ? EXIT_GOOD : EXIT_BAD;
    (void)printf("holdfast %s %s\n", version_text(), version_target());
    return EXIT_GOOD;
}
