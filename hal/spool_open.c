/* Which files there are, which of them count, and all of them read: one job. */
#include "hal/spool_inside.h"

#include "board/rt/text.h"

#include <stdio.h>
#include <string.h>

#define NAME_DIGITS 8
#define NAME_END    ".spool"

struct found_file {
    uint32_t number, previous, previous_end, first, header_bytes, end;
    bool valid, counts;
};

struct finding {
    struct spool *s;
    unsigned count;
    struct found_file files[SPOOL_SEGMENTS_MAX]; /* ascending; the newest ones */
    bool other_identity;
};

/* --- names --- */

static uint32_t number_of(const char *name)
{
    uint32_t number = 0;
    if (strlen(name) != NAME_DIGITS + strlen(NAME_END) || strcmp(name + NAME_DIGITS, NAME_END) != 0)
        return 0;
    for (unsigned i = 0; i < NAME_DIGITS; i++) {
        const char *digit = strchr("0123456789abcdef", name[i]);
        if (!digit)
            return 0;
        number = number << 4 | (uint32_t)(digit - "0123456789abcdef");
    }
    return number;
}

static void file_add(struct finding *f, uint32_t number)
{
    if (f->count == SPOOL_SEGMENTS_MAX) {
        if (number < f->files[0].number)
            return;
        memmove(f->files, f->files + 1, --f->count * sizeof *f->files);
    }
    unsigned i = f->count++;
    for (; i > 0 && f->files[i - 1].number > number; i--)
        f->files[i] = f->files[i - 1];
    f->files[i] = (struct found_file){.number = number};
}

static err files_list(struct finding *f)
{
    char name[OS_NAME_MAX];
    for (uint64_t cursor = 0;;) {
        TRY(trail(os_list(f->s->folder, &cursor, name), "listing %s", f->s->folder));
        if (name[0] == 0)
            return OK;
        uint32_t number = number_of(name);
        if (number != 0)
            file_add(f, number);
    }
}

/* --- headers --- */

struct open_file {
    os_fd fd;
};

static err file_read(void *arg, uint64_t at, void *into, size_t cap, size_t *got)
{
    return os_file_read(((struct open_file *)arg)->fd, at, into, cap, got);
}

static err open_it(const struct spool *s, uint32_t number, enum os_open how, struct open_file *out)
{
    char path[OS_PATH_MAX];
    spool_path(s, number, path);
    return trail(os_file_open(path, how, &out->fd), "opening %s", path);
}

static void header_take(struct finding *f, struct found_file *file, struct bytes in)
{
    struct spool_file h;
    file->valid = spool_file_unpack(in, file->number, &h);
    if (!file->valid)
        return;
    struct bytes ours = {(const uint8_t *)f->s->identity, f->s->identity_bytes};
    file->previous = h.previous;
    file->previous_end = h.previous_end;
    file->first = h.first;
    file->header_bytes = (uint32_t)spool_file_header_bytes(h.identity.len);
    if (!bytes_equal(h.identity, ours))
        f->other_identity = true;
}

/* *began: it is longer than a header, so it had one. */
static err header_read(struct finding *f, struct found_file *file, bool *began)
{
    struct open_file in;
    size_t got = 0;
    TRY(open_it(f->s, file->number, OS_READ, &in));
    err e = os_file_read(in.fd, 0, f->s->chunk, SPOOL_FILE_HEADER_BYTES + SPOOL_IDENTITY_MAX + 1, &got);
    os_file_close(in.fd);
    if (e == OK)
        header_take(f, file, (struct bytes){f->s->chunk, got});
    *began = got > SPOOL_FILE_HEADER_BYTES + f->s->identity_bytes;
    return e;
}

/* --- which count --- */

/* The newest one with a header, and the first number that counts as it knows it. */
static err newest_find(struct finding *f, unsigned *newest)
{
    bool began = false;
    for (*newest = f->count; *newest > 0; --*newest) {
        struct found_file *file = &f->files[*newest - 1];
        TRY(header_read(f, file, &began));
        if (file->valid)
            return OK;
        if (began)
            spool_is_lost(f->s, 1);
    }
    return OK;
}

static err first_find(struct finding *f, const struct found_file *newest, uint32_t *first)
{
    struct spool_replay look = {.number = newest->number, .end = UINT32_MAX, .good = newest->header_bytes, .looks = true};
    struct open_file in;
    *first = newest->first;
    TRY(open_it(f->s, newest->number, OS_WRITE, &in));
    struct spool_source from = {file_read, &in};
    /* What is read may be in the kernel's memory only: nothing is built on what a power cut could take back. */
    err e = os_file_sync(in.fd);
    if (e == OK)
        e = spool_replay_file(f->s, &from, &look);
    os_file_close(in.fd);
    if (look.first != 0)
        *first = look.first;
    return e;
}

struct link {
    uint32_t number, end; /* the one that is to come; UINT32_MAX: any */
};

static err chain_step(struct finding *f, struct found_file *file, struct link *wanted)
{
    bool began = false;
    if (file->number > wanted->number)
        return OK; /* an attempt that failed */
    if (file->number < wanted->number && wanted->number != UINT32_MAX) {
        spool_is_lost(f->s, 1);
        wanted->end = UINT32_MAX;
    }
    TRY(header_read(f, file, &began));
    if (!file->valid)
        spool_is_lost(f->s, 1);
    file->counts = file->valid;
    file->end = wanted->end;
    *wanted = file->valid ? (struct link){file->previous, file->previous_end} : (struct link){UINT32_MAX, UINT32_MAX};
    return OK;
}

static err chain_follow(struct finding *f, unsigned newest, uint32_t first)
{
    struct link wanted = {f->files[newest - 1].number, UINT32_MAX};
    for (unsigned i = newest; i > 0 && wanted.number >= first && f->files[i - 1].number >= first; i--)
        TRY(chain_step(f, &f->files[i - 1], &wanted));
    if (wanted.number >= first && wanted.number != UINT32_MAX)
        spool_is_lost(f->s, 1);
    return OK;
}

/* --- all of it --- */

static err file_replay(struct spool *s, const struct found_file *file)
{
    struct spool_replay r = {.number = file->number, .end = file->end, .good = file->header_bytes};
    struct open_file in;
    r.slot = spool_slot_of(s, 0);
    s->segments[r.slot] = (struct spool_segment){.number = file->number};
    TRY(open_it(s, file->number, OS_READ, &in));
    struct spool_source from = {file_read, &in};
    err e = spool_replay_file(s, &from, &r);
    os_file_close(in.fd);
    s->segments[r.slot].bytes = r.good;
    s->file_bytes += r.good;
    s->newest = file->number;
    s->newest_end = r.good;
    s->current = r.slot;
    return e;
}

static void rest_remove(const struct finding *f)
{
    char path[OS_PATH_MAX];
    for (unsigned i = 0; i < f->count; i++)
        if (!f->files[i].counts) {
            spool_path(f->s, f->files[i].number, path);
            err_ignore(os_unlink(path)); /* it counts for nothing, here or not */
        }
}

static err replay_all(struct finding *f, unsigned newest)
{
    struct spool *s = f->s;
    if (newest == 0)
        return OK;
    f->other_identity = false;
    TRY(first_find(f, &f->files[newest - 1], &s->file_first));
    TRY(chain_follow(f, newest, s->file_first));
    for (unsigned i = 0; i < newest; i++)
        if (f->files[i].counts)
            TRY(file_replay(s, &f->files[i]));
    return OK;
}

static err find_all(struct finding *f)
{
    struct spool *s = f->s;
    unsigned newest = 0;
    TRY(files_list(f));
    s->next_number = f->count > 0 ? f->files[f->count - 1].number + 1 : 1;
    TRY(newest_find(f, &newest));
    TRY(replay_all(f, newest));
    spool_replay_end(s);
    s->suspect = true; /* what may lie behind the end is left to itself */
    if (f->other_identity || s->stats.oversized > 0) {
        spool_forget(s);
        s->lost = false;
        s->clearing = true;
    }
    rest_remove(f);
    return OK;
}

err spool_run_open(void *job)
{
    struct finding f = {.s = *(struct spool **)job};
    return find_all(&f);
}
