/* backup_items: gathered items. */
#include "board/backup_items.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES KIB(8)
#define AROUND      3 /* of an item: the bracket or comma before it, and "]" and a zero behind the last one */

/* Room for `more` bytes. */
static bool grow(struct backup_items *i, size_t more)
{
    size_t cap = i->cap ? i->cap : FIRST_BYTES;
    if (more > i->bytes_max || i->len > i->bytes_max - more)
        return false;
    while (cap < i->len + more)
        cap *= 2;
    if (cap == i->cap)
        return true;
    char *at = realloc(i->at, cap);
    if (!at)
        return false;
    i->at = at;
    i->cap = cap;
    return true;
}

void backup_items_add(struct backup_items *i, struct bytes json)
{
    if (!grow(i, json.len + AROUND)) {
        i->left_out++;
        return;
    }
    i->at[i->len] = i->len ? ',' : '[';
    memcpy(i->at + i->len + 1, json.at, json.len);
    i->len += 1 + json.len;
}

const char *backup_items_array(struct backup_items *i)
{
    if (i->len == 0)
        return "[]";
    memcpy(i->at + i->len, "]", 2);
    return i->at;
}

void backup_items_close(struct backup_items *i)
{
    free(i->at);
    *i = (struct backup_items){.bytes_max = i->bytes_max};
}
