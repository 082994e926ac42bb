/* Fuzzes `ingest preview`, and with it projections, Infos and bodies. The first byte: 0 a line; 1 a quantity and a time; else one
 * of the kinds, and the rest is what kubectl prints, in pieces of a size that the input's length chooses. What is printed is one
 * line of JSON; a bad line prints nothing and is told once; pieces change nothing; what is canonical stays as it is. */
#include "agents/ingest/preview.h"
#include "net/format/quantity.h"
#include "net/format/rfc3339.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

#define ROOM KIB(256)

static uint64_t arena[ROOM / sizeof(uint64_t)];
static char info[ROOM], body[ROOM], printed[2][4 * ROOM];

struct run {
    struct text out;
    unsigned told;
};

static void sink(void *arg, struct bytes out)
{
    text_add_bytes(&((struct run *)arg)->out, out);
}

static void tell(void *arg, const char *message)
{
    struct run *r = arg;
    r->told++;
    ASSERT(*message && !strchr(message, '\n'));
}

static void run_open(struct run *r, struct preview *p, unsigned n)
{
    *r = (struct run){.out = text_over(printed[n], sizeof printed[n])};
    preview_open(p, &(struct preview_options){.envelope = {.cluster_uid = "c", .cluster_name = "n"},
                                              .arena = arena,
                                              .arena_bytes = sizeof arena,
                                              .info = info,
                                              .info_bytes = sizeof info,
                                              .body = body,
                                              .body_bytes = sizeof body,
                                              .sink = sink,
                                              .tell = tell,
                                              .arg = r});
}

/* Whole objects, a line each. */
static void check_lines(struct bytes out)
{
    static const struct pick_field nothing[] = {{0}};
    while (out.len > 0) {
        const uint8_t *end = memchr(out.at, '\n', out.len);
        struct json_pick p;
        size_t used;
        bool done;
        ASSERT(end);
        size_t len = (size_t)(end - out.at);
        json_pick_open(&p, &(struct json_pick_options){.fields = nothing, .arena = arena, .arena_bytes = sizeof arena});
        ASSERT(json_pick_feed(&p, (struct bytes){out.at, len}, &used, &done) == OK && done && used == len);
        out = bytes_after(out, len + 1);
    }
}

static void fuzz_line(struct bytes line)
{
    struct run r;
    struct preview p;
    run_open(&r, &p, 0);
    bool good = preview_line(&p, line);
    ASSERT(r.told == !good && (good || r.out.len == 0));
    if (r.out.cut)
        return;
    struct bytes out = {(const uint8_t *)r.out.at, r.out.len};
    ASSERT(!good || memchr(out.at, '\n', out.len) == out.at + out.len - 1);
    check_lines(out);
}

static bool objects_by(struct bytes text, enum ingest_kind kind, size_t step, unsigned n, struct run *r)
{
    struct preview p;
    bool going = true;
    run_open(r, &p, n);
    preview_objects(&p, kind);
    while (going && text.len > 0) {
        size_t len = size_min(step, text.len);
        going = preview_feed(&p, (struct bytes){text.at, len});
        text = bytes_after(text, len);
    }
    return preview_end(&p);
}

static void fuzz_objects(struct bytes text, enum ingest_kind kind)
{
    struct run whole, pieces;
    bool good = objects_by(text, kind, size_max(text.len, 1), 0, &whole);
    bool same = objects_by(text, kind, text.len % 37 + 1, 1, &pieces);
    ASSERT(good == same && good == (whole.told == 0) && whole.told == pieces.told && whole.out.len == pieces.out.len);
    ASSERT(memcmp(whole.out.at, pieces.out.at, whole.out.len) == 0);
    if (!whole.out.cut)
        check_lines((struct bytes){(const uint8_t *)whole.out.at, whole.out.len});
}

static void fuzz_values(struct bytes text)
{
    char once[QUANTITY_TEXT_MAX], again[QUANTITY_TEXT_MAX], moment[TIME_TEXT_MAX];
    int64_t at_s, back_s;
    if (quantity_canonical(text, once))
        ASSERT(quantity_canonical(bytes_of(once), again) && strcmp(once, again) == 0);
    if (!rfc3339_read(text, &at_s))
        return;
    text_rfc3339(at_s, moment, sizeof moment);
    if (at_s >= RFC3339_ZERO_S && strlen(moment) == 20)
        ASSERT(rfc3339_read(bytes_of(moment), &back_s) && back_s == at_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > KIB(64))
        return 0;
    struct bytes text = {data + 1, size - 1};
    if (data[0] == 0)
        fuzz_line(text);
    else if (data[0] == 1)
        fuzz_values(text);
    else
        fuzz_objects(text, (enum ingest_kind)(data[0] % INGEST_KIND_COUNT));
    trail_clear();
    return 0;
}
