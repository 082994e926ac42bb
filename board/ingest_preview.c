/* ingest_preview: `holdfast ingest preview`. Lines or kubectl's JSON in, a line out for each: what the agent would send. No
 * configuration, network, clock or loop.
 *
 * Memory: the backup's slice, the largest there is: buffers of fixed size, and a line of at most LINE_BYTES_MAX, or what the
 * profile has room for. */
#include "board/command.h"

#include "agents/ingest/preview.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES_MAX MIB(8)
#define LINE_STEP      KIB(256)
#define ARENA_BYTES    MIB(2) /* less where the slice is small */
#define INFO_BYTES     MIB(1)
#define ENVELOPE_BYTES KIB(4) /* of an event beside its Info */
#define PIECE_BYTES    KIB(64)
#define UID_DEFAULT    "00000000-0000-0000-0000-000000000000"
#define NAME_DEFAULT   "preview"

struct input {
    struct preview preview;
    int fd;
    const char *name; /* of the file; NULL: standard input */
    bool by_line;
    uint64_t lines;
    bool good;
    uint8_t *line; /* by_line: what there is of the line that is being read */
    size_t len, cap;
    bool too_long;
};

static void sink(void *arg, struct bytes out)
{
    (void)arg;
    (void)fwrite(out.at, 1, out.len, stdout); /* main() asks ferror(stdout) */
}

static void tell(void *arg, const char *message)
{
    const struct input *in = arg;
    if (in->by_line)
        (void)fprintf(stderr, "line %llu: %s\n", (unsigned long long)in->lines, message);
    else
        (void)fprintf(stderr, "%s\n", message);
}

/* --- lines --- */
static bool is_blank(struct bytes line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] != ' ' && line.at[i] != '\t' && line.at[i] != '\r')
            return false;
    return true;
}

static void line_end(struct input *in)
{
    char message[128];
    struct bytes line = {in->line, in->len};
    in->lines++;
    if (in->too_long) {
        (void)snprintf(message, sizeof message, "longer than %zu KiB, which is all there is room for%s", in->cap / 1024,
                       in->cap < LINE_BYTES_MAX ? "; a larger --profile has more" : "; give its objects in several lines");
        tell(in, message);
        in->good = false;
    } else if (!is_blank(line) && !preview_line(&in->preview, line))
        in->good = false;
    in->len = 0;
    in->too_long = false;
}

static void line_add(struct input *in, struct bytes part)
{
    in->too_long = in->too_long || part.len > in->cap - in->len;
    if (in->too_long)
        return;
    if (part.len > 0)
        memcpy(in->line + in->len, part.at, part.len);
    in->len += part.len;
}

static void lines_take(struct input *in, struct bytes piece)
{
    while (piece.len > 0) {
        const uint8_t *end = memchr(piece.at, '\n', piece.len);
        size_t len = end ? (size_t)(end - piece.at) : piece.len;
        line_add(in, (struct bytes){piece.at, len});
        if (end)
            line_end(in);
        piece = bytes_after(piece, end ? len + 1 : len);
    }
}

/* --- input --- */
static enum exit_code read_failed(const struct input *in)
{
    (void)fprintf(stderr, "holdfast: %s cannot be read: %s\n", in->name ? in->name : "standard input", strerror(errno));
    return EXIT_BAD;
}

/* Whoever waits for the answer to a line gets it before the next is waited for. */
static ssize_t piece_read(const struct input *in, uint8_t *into)
{
    ssize_t got;
    if (fflush(stdout) != 0)
        return 0; /* nobody reads any more; main() tells */
    do
        got = read(in->fd, into, PIECE_BYTES);
    while (got < 0 && errno == EINTR);
    return got;
}

static enum exit_code input_read(struct input *in, uint8_t *piece)
{
    ssize_t got;
    bool going = true;
    while (going && (got = piece_read(in, piece)) != 0) {
        if (got < 0)
            return read_failed(in);
        if (in->by_line)
            lines_take(in, (struct bytes){piece, (size_t)got});
        else
            going = preview_feed(&in->preview, (struct bytes){piece, (size_t)got});
    }
    if (in->by_line && (in->len > 0 || in->too_long))
        line_end(in);
    if (!in->by_line && !preview_end(&in->preview))
        in->good = false;
    return in->good ? EXIT_GOOD : EXIT_BAD;
}

/* --- options --- */
static enum exit_code options_read(const struct command_line *line, struct envelope *e, enum ingest_kind *kind)
{
    *e = (struct envelope){.cluster_uid = line->cluster_uid ? line->cluster_uid : UID_DEFAULT,
                           .cluster_name = line->cluster_name ? line->cluster_name : NAME_DEFAULT,
                           .agent_version = line->agent_version};
    if (line->event_types && strcmp(line->event_types, "upper") == 0)
        e->types = EVENT_TYPES_UPPER;
    else if (line->event_types && strcmp(line->event_types, "lower") != 0) {
        (void)fprintf(stderr, "holdfast: --event-types takes lower or upper, not \"%s\"\n", line->event_types);
        return EXIT_WRONG_USE;
    }
    if (!line->kind || ingest_kind_find(bytes_of(line->kind), kind))
        return EXIT_GOOD;
    (void)fprintf(stderr, "holdfast: -k takes one of");
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++)
        (void)fprintf(stderr, "%s %s", k ? "," : "", ingest_kinds[k].name);
    (void)fprintf(stderr, "; not \"%s\"\n", line->kind);
    return EXIT_WRONG_USE;
}

static enum exit_code no_room(void)
{
    (void)fprintf(stderr, "holdfast: there is no memory for the buffers; a larger --profile has more\n");
    return EXIT_BAD;
}

/* Buffers end with the process. */
static bool buffers_take(struct input *in, const struct envelope *e)
{
    size_t slice = mem_profile()->task[TASK_BACKUP].heap_bytes, info = size_min(INFO_BYTES, slice / 12);
    struct preview_options o = {.envelope = *e, .sink = sink, .tell = tell, .arg = in, .info_bytes = info};
    o.arena_bytes = size_min(ARENA_BYTES, slice / 6);
    o.body_bytes = info + ENVELOPE_BYTES;
    o.arena = malloc(o.arena_bytes);
    o.info = malloc(o.info_bytes);
    o.body = malloc(o.body_bytes);
    for (size_t cap = LINE_BYTES_MAX; in->by_line && !in->line && cap > 0; cap -= LINE_STEP) {
        in->line = malloc(cap);
        in->cap = cap;
    }
    preview_open(&in->preview, &o);
    return o.arena && o.info && o.body && (in->line || !in->by_line);
}

static bool input_open(struct input *in, const char *file)
{
    in->name = file;
    in->fd = file ? open(file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    return in->fd >= 0;
}

enum exit_code command_ingest_preview(const struct command_line *line)
{
    struct envelope envelope;
    enum ingest_kind kind;
    static struct input in;
    enum exit_code code = options_read(line, &envelope, &kind);
    if (code != EXIT_GOOD)
        return code;
    in.good = true;
    in.by_line = line->kind == NULL;
    if (mem_boot(line->profile, MEM_LAZY) != OK)
        return no_room();
    mem_set_task(TASK_BACKUP);
    if (!buffers_take(&in, &envelope))
        return no_room();
    if (!input_open(&in, line->file))
        return read_failed(&in);
    if (!in.by_line)
        preview_objects(&in.preview, kind);
    uint8_t *piece = malloc(PIECE_BYTES);
    code = piece ? input_read(&in, piece) : no_room();
    if (line->file)
        (void)close(in.fd);
    return code;
}
