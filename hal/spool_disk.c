/* The spool's jobs. Each carries its numbers; the spool itself is held and what they look at in it does not change meanwhile:
 * folder, identity, the pending batch, the chunk that nobody believes yet. */
#include "board/rt/fiber.h"
#include "hal/spool_inside.h"

#include <stdio.h>
#include <string.h>

void spool_path(const struct spool *s, uint32_t number, char out[OS_PATH_MAX])
{
    (void)snprintf(out, OS_PATH_MAX, "%.490s/%08x.spool", s->folder, (unsigned)number);
}

/* --- a file begins --- */

struct begin {
    uint32_t number, previous, previous_end, first;
};

/* Its header is durable before anything is behind it: a file that is longer had a header once. */
static err begin_write(const struct spool *s, const struct begin *b, os_fd fd, size_t *bytes)
{
    uint8_t header[SPOOL_FILE_HEADER_BYTES + SPOOL_IDENTITY_MAX];
    struct spool_file f = {b->number, b->previous, b->previous_end, b->first, {(const uint8_t *)s->identity, s->identity_bytes}};
    *bytes = spool_file_pack(&f, header);
    TRY(os_file_write(fd, 0, header, *bytes));
    TRY(os_file_sync(fd));
    return os_sync_folder(s->folder);
}

/* On an error nothing of it stays, as far as the disk lets us; a header that stays is as good as none. */
static err begin_file(const struct spool *s, const struct begin *b, os_fd *fd, size_t *bytes)
{
    char path[OS_PATH_MAX];
    spool_path(s, b->number, path);
    TRY(trail(os_file_open(path, OS_CREATE_NEW, fd), "making %s", path));
    err e = begin_write(s, b, *fd, bytes);
    if (e == OK)
        return OK;
    os_file_close(*fd);
    *fd = -1;
    err_ignore(os_unlink(path)); /* the first error is told */
    return trail(e, "beginning %s", path);
}

/* --- a commit --- */

struct commit_job {
    struct spool *s;
    struct begin begin;
    bool begins;
    uint64_t at;
    const struct spool_buffer *batch;
};

static err batch_write(const struct commit_job *j, os_fd fd)
{
    err e = os_file_write(fd, j->at, j->batch->at, j->batch->len);
    if (e == OK)
        return os_file_sync(fd);
    err_ignore(os_file_truncate(fd, j->at)); /* gives the space back, if it can */
    return e;
}

static err run_commit(void *job)
{
    struct commit_job *j = job;
    char path[OS_PATH_MAX];
    os_fd fd = -1;
    size_t header = 0;
    spool_path(j->s, j->begin.number, path);
    if (j->begins)
        TRY(begin_file(j->s, &j->begin, &fd, &header));
    else
        TRY(trail(os_file_open(path, OS_WRITE, &fd), "opening %s", path));
    if (j->begins)
        j->at = header;
    err e = batch_write(j, fd);
    os_file_close(fd);
    if (e != OK && j->begins)
        err_ignore(os_unlink(path)); /* were it to stay, it would be no worse */
    return trail(e, "writing %s", path);
}

static unsigned slot_take(struct spool *s, uint32_t number)
{
    unsigned slot = spool_slot_of(s, 0);
    ASSERT(slot < SPOOL_SEGMENTS_MAX);
    s->segments[slot] = (struct spool_segment){.number = number};
    return slot;
}

static void committed_to(struct spool *s, const struct commit_job *j)
{
    if (j->begins) {
        s->current = slot_take(s, j->begin.number);
        s->suspect = false;
        s->newest = j->begin.number;
        s->file_bytes += j->at;
        s->stats.written_bytes += j->at;
    }
    s->newest_end = (uint32_t)(j->at + j->batch->len);
    s->segments[s->current].bytes = s->newest_end;
    s->file_bytes += j->batch->len;
}

/* After an error it is not known what lies behind the newest file's end: the next try goes to a file of its own. */
err spool_disk_commit(struct spool *s, const struct spool_buffer *b)
{
    struct commit_job j = {.s = s, .batch = b, .at = s->newest_end};
    j.begins = s->suspect || s->newest == 0 || s->newest_end + b->len > s->options.segment_bytes;
    if (j.begins && spool_slot_of(s, 0) == SPOOL_SEGMENTS_MAX)
        return trail(E_FULL, "the spool has %d files", SPOOL_SEGMENTS_MAX);
    uint32_t number = j.begins ? s->next_number++ : s->newest;
    j.begin = (struct begin){number, s->newest, s->newest_end, s->file_first};
    s->stats.written_bytes += b->len;
    uint64_t generation = s->generation;
    err e = lane_call(s->options.lane, run_commit, &j, sizeof j, &s->hold, loop_now() + SPOOL_DISK_MS);
    if (e != OK || generation != s->generation)
        s->suspect = true;
    else
        committed_to(s, &j);
    return e;
}

/* --- files that hold nothing any more --- */

struct tidy_job {
    struct spool *s;
    unsigned count;
    bool clears;
    struct begin begin;
    size_t header_bytes;
    uint32_t numbers[SPOOL_SEGMENTS_MAX]; /* ascending; 0: is gone */
};
_Static_assert(sizeof(struct tidy_job) <= JOB_BYTES_MAX, "all of them in one job");

static err remove_one(const struct tidy_job *j, unsigned i)
{
    char path[OS_PATH_MAX];
    spool_path(j->s, j->numbers[i], path);
    err e = os_unlink(path);
    return e == E_ABSENT ? OK : trail(e, "removing %s", path);
}

static err run_tidy(void *job)
{
    struct tidy_job *j = job;
    for (unsigned i = 0; i < j->count; i++) {
        TRY(remove_one(j, i));
        j->numbers[i] = 0;
    }
    return OK;
}

static void numbers_below(const struct spool *s, uint32_t first, struct tidy_job *j)
{
    for (unsigned slot = 0; slot < SPOOL_SEGMENTS_MAX; slot++) {
        uint32_t number = s->segments[slot].number;
        if (number == 0 || number >= first)
            continue;
        unsigned i = j->count++;
        for (; i > 0 && j->numbers[i - 1] > number; i--)
            j->numbers[i] = j->numbers[i - 1];
        j->numbers[i] = number;
    }
}

static void slot_free(struct spool *s, unsigned slot)
{
    if (slot == SPOOL_SEGMENTS_MAX)
        return;
    s->file_bytes -= s->segments[slot].bytes;
    s->segments[slot] = (struct spool_segment){.number = 0};
}

err spool_disk_tidy(struct spool *s, uint32_t first)
{
    struct tidy_job j = {.s = s};
    uint32_t numbers[SPOOL_SEGMENTS_MAX];
    numbers_below(s, first, &j);
    memcpy(numbers, j.numbers, sizeof numbers);
    if (j.count == 0)
        return OK;
    uint64_t generation = s->generation;
    err e = lane_call(s->options.lane, run_tidy, &j, sizeof j, &s->hold, loop_now() + SPOOL_DISK_MS);
    for (unsigned i = 0; e == OK && generation == s->generation && i < j.count; i++)
        slot_free(s, spool_slot_of(s, numbers[i]));
    return e;
}

/* --- all of them --- */

/* A new file that nothing comes before makes the others count for nothing. Where there is no room for it, the oldest ones make
 * room, each for good before the next: a chain that begins too late is seen to be broken. */
static err run_clear(void *job)
{
    struct tidy_job *j = job;
    os_fd fd = -1;
    unsigned removed = 0;
    err e = begin_file(j->s, &j->begin, &fd, &j->header_bytes);
    for (; e == E_NOSPACE && removed < j->count; removed++) {
        TRY(remove_one(j, removed));
        TRY(os_sync_folder(j->s->folder));
        e = begin_file(j->s, &j->begin, &fd, &j->header_bytes);
    }
    if (e != OK)
        return e;
    os_file_close(fd);
    for (; removed < j->count; removed++)
        err_ignore(remove_one(j, removed)); /* the next open tries again */
    return OK;
}

err spool_disk_clear(struct spool *s)
{
    struct tidy_job j = {.s = s, .clears = true, .begin = {.number = s->next_number++}};
    j.begin.first = j.begin.number;
    numbers_below(s, UINT32_MAX, &j);
    err e = lane_call(s->options.lane, run_clear, &j, sizeof j, &s->hold, loop_now() + SPOOL_DISK_MS);
    s->suspect = true;
    if (e != OK)
        return e;
    for (unsigned slot = 0; slot < SPOOL_SEGMENTS_MAX; slot++)
        if (s->segments[slot].number != 0)
            slot_free(s, slot);
    s->current = slot_take(s, j.begin.number);
    s->newest = s->file_first = j.begin.number;
    s->newest_end = s->segments[s->current].bytes = (uint32_t)j.header_bytes;
    s->file_bytes += j.header_bytes;
    s->stats.written_bytes += j.header_bytes;
    s->suspect = false;
    return OK;
}

/* --- reading --- */

struct read_job {
    struct spool *s;
    uint32_t number, from;
    size_t cap, got;
};

static err run_read(void *job)
{
    struct read_job *j = job;
    char path[OS_PATH_MAX];
    os_fd fd = -1;
    spool_path(j->s, j->number, path);
    TRY(trail(os_file_open(path, OS_READ, &fd), "opening %s", path));
    err e = os_file_read(fd, j->from, j->s->chunk, j->cap, &j->got);
    os_file_close(fd);
    return trail(e, "reading %s", path);
}

static err chunk_read(struct spool *s, uint32_t number, uint32_t from)
{
    struct read_job j = {.s = s, .number = number, .from = from, .cap = s->chunk_cap};
    while (s->loading)
        TRY(waitq_wait(&s->progress, FOREVER)); /* at most as long as a call of the disk */
    s->loading = true;
    s->chunk_number = 0;
    err e = lane_call(s->options.lane, run_read, &j, sizeof j, &s->hold, loop_now() + SPOOL_DISK_MS);
    s->loading = false;
    waitq_wake_all(&s->progress);
    if (e != OK)
        return e;
    s->chunk_number = number;
    s->chunk_from = from;
    s->chunk_len = j.got;
    return OK;
}

static bool chunk_has(const struct spool *s, uint32_t number, uint32_t offset, struct bytes *out)
{
    if (s->chunk_number != number || number == 0 || offset < s->chunk_from || offset - s->chunk_from >= s->chunk_len)
        return false;
    *out = (struct bytes){s->chunk + (offset - s->chunk_from), s->chunk_len - (offset - s->chunk_from)};
    return out->len >= SPOOL_RECORD_BYTES && out->len >= spool_item_length(out->at);
}

err spool_chunk(struct spool *s, uint32_t at, struct spool_item *out)
{
    struct bytes in = {NULL, 0};
    uint32_t number = s->segments[at >> SPOOL_SLOT_SHIFT].number, offset = at & ((1u << SPOOL_SLOT_SHIFT) - 1);
    if (!chunk_has(s, number, offset, &in)) {
        err e = chunk_read(s, number, offset);
        if (e != OK)
            return e == E_ABSENT ? E_CORRUPT : e;
        if (!chunk_has(s, number, offset, &in))
            return trail(E_CORRUPT, "a record at %u of %08x.spool does not end", offset, number);
    }
    return spool_item_unpack(in, out) ? OK : trail(E_CORRUPT, "a record at %u of %08x.spool", offset, number);
}
