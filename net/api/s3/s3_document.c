/* s3_document: an answer's XML, read as it comes: one element's text at a time, in fixed memory. */
#include "net/api/s3/s3_internal.h"
#include "net/format/xml_read.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES KIB(2)
#define DRAIN_MAX   KIB(64)
#define LEVELS      3 /* root, child, grandchild: what is deeper is read over */

struct reading {
    struct xml_read xml;
    const struct s3_document *document;
    char names[LEVELS][XML_NAME_MAX];
    bool has_children[LEVELS], too_long;
    size_t len;
    char value[S3_VALUE_MAX];
    uint8_t piece[PIECE_BYTES];
};

static void opened(struct reading *r)
{
    unsigned depth = r->xml.depth;
    r->len = 0;
    r->too_long = false;
    if (depth >= 2 && depth <= LEVELS + 1)
        r->has_children[depth - 2] = true;
    if (depth > LEVELS)
        return;
    r->has_children[depth - 1] = false;
    memcpy(r->names[depth - 1], r->xml.name, strlen(r->xml.name) + 1);
}

static void text_came(struct reading *r)
{
    size_t n = size_min(r->xml.text.len, sizeof r->value - 1 - r->len);
    if (r->xml.depth > LEVELS || r->xml.depth < 2)
        return;
    memcpy(r->value + r->len, r->xml.text.at, n);
    r->len += n;
    r->too_long = r->too_long || n < r->xml.text.len;
}

static err closed(struct reading *r)
{
    unsigned depth = r->xml.depth;
    if (depth < 2 || depth > LEVELS || (depth == LEVELS && r->has_children[depth - 1]))
        return OK;
    if (r->too_long)
        return trail(E_PROTOCOL, "an answer's <%s> of more than %zu bytes", r->xml.name, S3_VALUE_MAX - 1);
    const char *text = r->has_children[depth - 1] ? NULL : r->value;
    r->value[r->len] = 0;
    struct s3_element e = {r->names[0], depth == LEVELS ? r->names[1] : "", r->names[depth - 1], text};
    r->len = 0;
    return r->document->element(r->document->arg, &e);
}

static err piece_read(struct reading *r, struct bytes piece)
{
    enum xml_event event;
    xml_feed(&r->xml, piece);
    while ((event = xml_next(&r->xml)) != XML_MORE) {
        if (event == XML_REFUSED)
            return trail(E_PROTOCOL, "the answer's XML, line %u: %s", r->xml.line, r->xml.why);
        if (event == XML_OPEN)
            opened(r);
        else if (event == XML_TEXT)
            text_came(r);
        else
            TRY(closed(r));
    }
    return OK;
}

static err all_read(struct reading *r, struct s3_slot *s, const struct s3_call *call)
{
    uint64_t total = 0;
    size_t got = 1;
    while (got > 0) {
        TRY(http_receive_body(s->connection, r->piece, sizeof r->piece, s3_silence(call), &got));
        total += got;
        if (total > r->document->bytes_max)
            return trail(E_PROTOCOL, "an answer of more than %llu bytes", (unsigned long long)r->document->bytes_max);
        TRY(piece_read(r, (struct bytes){r->piece, got}));
        fiber_breathe();
    }
    bool begun = r->xml.depth > 0;
    return xml_end(&r->xml) ? OK : trail(begun ? E_CLOSED : E_PROTOCOL, "the answer's XML, line %u: %s", r->xml.line, r->xml.why);
}

err s3_document_read(const struct s3_document *d, struct s3_slot *s, const struct s3_call *call)
{
    struct reading *r = calloc(1, sizeof *r);
    if (!r)
        return E_BUDGET;
    r->document = d;
    xml_start(&r->xml);
    err e = all_read(r, s, call);
    free(r);
    return e;
}

void s3_drain(struct s3_slot *s, ms deadline)
{
    uint8_t piece[256];
    uint64_t mark = trail_mark();
    size_t got = 1;
    for (size_t total = 0; got > 0 && total < DRAIN_MAX; total += got)
        if (http_receive_body(s->connection, piece, sizeof piece, deadline, &got) != OK)
            break;
    trail_rewind(mark);
}
