/* retention_input: cuts pieces into lines and keeps what they say. */
#include "agents/backup/retention_input.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 256

/* The array with room for one more; NULL: no memory, and it is as it was. */
static void *grown(void *array, size_t count, size_t *room, size_t each)
{
    if (count < *room)
        return array;
    size_t more = size_min(*room ? *room * 2 : ROOM_FIRST, RETENTION_LINES_MAX);
    void *larger = realloc(array, more * each);
    *room = larger ? more : *room;
    return larger;
}

static err no_memory(const struct retention_input *in)
{
    return trail(E_BUDGET, "no memory for what line %u says", in->line);
}

static err ignore(struct retention_input *in, const char *why)
{
    struct retention_ignored *all = grown(in->ignored, in->ignored_count, &in->ignored_room, sizeof *all);
    if (!all)
        return no_memory(in);
    in->ignored = all;
    all[in->ignored_count++] = (struct retention_ignored){why, in->line};
    return OK;
}

static err line_take(struct retention_input *in, struct bytes line)
{
    struct retention_item item;
    const char *why = NULL;
    if (!retention_read_line(line, &item, &why))
        return ignore(in, why);
    struct retention_item *all = grown(in->items, in->count, &in->room, sizeof *all);
    if (!all)
        return no_memory(in);
    item.id = in->line;
    in->items = all;
    all[in->count++] = item;
    return OK;
}

static err line_end(struct retention_input *in)
{
    size_t len = in->len;
    in->len = 0;
    if (in->line == RETENTION_LINES_MAX)
        return E_RANGE;
    in->line++;
    if (len > RETENTION_LINE_BYTES + 1)
        return ignore(in, "longer than any time or name");
    if (len > 0 && in->bytes[len - 1] == '\r')
        len--;
    if (len > RETENTION_LINE_BYTES)
        return ignore(in, "longer than any time or name");
    return len > 0 ? line_take(in, (struct bytes){in->bytes, len}) : OK;
}

err retention_input_add(struct retention_input *in, struct bytes piece)
{
    while (piece.len > 0) {
        const uint8_t *end = memchr(piece.at, '\n', piece.len);
        size_t len = end ? (size_t)(end - piece.at) : piece.len, used = end ? len + 1 : len;
        if (in->len < sizeof in->bytes)
            memcpy(in->bytes + in->len, piece.at, size_min(len, sizeof in->bytes - in->len));
        in->len = size_min(in->len + len, sizeof in->bytes + 1);
        piece = (struct bytes){piece.at + used, piece.len - used};
        if (end)
            TRY(line_end(in));
    }
    return OK;
}

err retention_input_end(struct retention_input *in)
{
    return in->len > 0 ? line_end(in) : OK;
}

void retention_input_close(struct retention_input *in)
{
    free(in->items);
    free(in->ignored);
    *in = (struct retention_input){0};
}
