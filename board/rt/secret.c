#include "board/rt/secret.h"

#include <string.h>

#if defined(HOLDFAST_CHECKED) || defined(HOLDFAST_HOST_LIBC)
bool wipe_is_off;
#elif defined(HOLDFAST_NO_WIPE)
static const bool wipe_is_off = true;
#else
static const bool wipe_is_off = false;
#endif

void wipe(void *at, size_t len)
{
    if (len > 0 && !wipe_is_off)
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
