/* Any bytes as holdfast.yaml: good and printed as itself, or told what is wrong. */
#include "config/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *parse(struct bytes yaml)
{
    char storage[KIB(8)];
    struct text errors = text_over(storage, sizeof storage);
    struct config *c = NULL;
    err e = config_parse(yaml, "h.yaml", NULL, NULL, &c, &errors);
    if ((e == OK) != (c != NULL) || (e == OK) != (errors.len == 0))
        abort();
    trail_clear();
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char storage[KIB(32)];
    struct text printed = text_over(storage, sizeof storage);
    struct config *c = parse((struct bytes){data, size});
    if (!c)
        return 0;
    config_print(c, &printed);
    struct config *again = parse(bytes_of(storage));
    if (printed.cut || !again || memcmp(again, c, sizeof *c) != 0)
        abort();
    config_free(again);
    config_free(c);
    return 0;
}
