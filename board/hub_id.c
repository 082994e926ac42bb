/* hub_id: read, or made once. Two hubs with one `data` cannot be, so two ids in one file cannot be either. */
#include "board/hub_id.h"

#include "board/rt/file.h"
#include "board/rt/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DIGITS 8

static bool is_needed(const struct config *c)
{
    for (unsigned i = 0; i < c->backup.destination_count; i++)
        if (c->backup.destinations[i].type == DESTINATION_S3)
            return true;
    return false;
}

static bool is_id(const uint8_t *at, size_t len)
{
    if (len != DIGITS + 1 || at[DIGITS] != '\n' || memcmp(at, "00000000", DIGITS) == 0)
        return false;
    for (size_t i = 0; i < DIGITS; i++)
        if ((at[i] < '0' || at[i] > '9') && (at[i] < 'a' || at[i] > 'f'))
            return false;
    return true;
}

static err read_file(struct lane *l, const char *path, ms deadline, char out[DIGITS + 1])
{
    struct buf *b = NULL;
    TRY(file_read_small(l, path, KIB(1), deadline, &b));
    bool good = is_id(b->at, b->len);
    if (good)
        memcpy(out, b->at, DIGITS);
    buf_release(b);
    out[good ? DIGITS : 0] = 0;
    return good ? OK
                : trail(E_CORRUPT,
                        "%s is not 8 hexadecimal digits and a newline: put this hub's back, or remove the file for a new one",
                        path);
}

static err make_file(struct lane *l, const char *path, ms deadline)
{
    struct writer *w = NULL;
    struct buf *b = NULL;
    uint32_t id = 0;
    while (id == 0)
        os_random(&id, sizeof id);
    TRY(writer_open(l, path, 1, NULL, 0, deadline, &w));
    err e = buf_wait(DIGITS + 2, deadline, &b);
    if (e == OK) {
        b->len = (size_t)snprintf((char *)b->at, DIGITS + 2, "%08" PRIx32 "\n", id);
        e = writer_append(w, b, false, deadline);
    }
    if (e == OK)
        e = writer_commit(w, deadline);
    writer_close(w);
    return e;
}

static err read_or_make(struct lane *l, const char *data, const char *path, ms deadline, char out[DIGITS + 1])
{
    uint64_t mark = trail_mark();
    err e = read_file(l, path, deadline, out);
    if (e != E_ABSENT)
        return e;
    trail_rewind(mark);
    TRY(file_make_folder(l, data, deadline));
    TRY(make_file(l, path, deadline));
    return read_file(l, path, deadline, out);
}

err hub_id_read(const struct config *c, ms deadline, char out[DIGITS + 1])
{
    char path[OS_PATH_MAX];
    struct lane lane;
    out[0] = 0;
    if (!is_needed(c))
        return OK;
    int n = snprintf(path, sizeof path, "%s/" HUB_ID_FILE, c->data);
    if (n <= 0 || (size_t)n >= sizeof path)
        return trail(E_RANGE, "%s/" HUB_ID_FILE, c->data);
    lane_open(&lane, "hub id", mem_task(), 2);
    err e = read_or_make(&lane, c->data, path, deadline, out);
    lane_close(&lane);
    return e;
}
