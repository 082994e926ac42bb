#include "board/rt/secret.h"

#include <string.h>

void wipe(void *at, size_t len)
{
    if (len > 0)
        explicit_bzero(at, len);
}

void secret_wipe(struct secret *s)
{
    wipe(s->at, s->len);
    s->len = 0;
}

bool bytes_equal_secret(struct bytes a, struct bytes b)
{
    volatile uint8_t differ = 0; /* volatile: every byte is looked at */
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        differ = (uint8_t)(differ | (a.at[i] ^ b.at[i]));
    return differ == 0;
}
