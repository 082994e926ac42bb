/* xml_read: a bounded pull reader for the XML that machines write to machines (S3's answers). XML 1.0, without DTDs.
 *
 * Layer    format.                                  Blocks   never.
 * Owner    the caller; a piece that was fed must    Memory   struct xml_read, some 650 bytes, whatever the document's size.
 *          stay until XML_MORE.
 * Errors   XML_REFUSED, for good: why and line tell. A DTD is refused (nothing of it is needed, and entities explode), so are
 *          tags that do not match, more than one root, entities that are not XML's own, zero bytes, and what is beyond the
 *          bounds below. Attributes are read over. Other control characters, which XML 1.0 does not have but keys of S3 may
 *          and some servers send, and UTF-8 are passed on as they are, not checked.
 *
 *   xml_start(&x);
 *   for each piece: xml_feed(&x, piece); while ((event = xml_next(&x)) != XML_MORE) …
 *   xml_end(&x): was that all of it? */
#ifndef HOLDFAST_XML_READ_H
#define HOLDFAST_XML_READ_H

#include "board/rt/base.h"

#define XML_DEPTH_MAX 32
#define XML_NAME_MAX  64  /* of one element, with its prefix and the zero */
#define XML_NAMES_MAX 512 /* of all open elements together */

enum xml_event {
    XML_MORE, /* the piece is used up */
    XML_OPEN, /* name, depth (1: the root). <a/> is an OPEN and a CLOSE */
    XML_TEXT, /* a piece of text: entities, CDATA and the ends of pieces cut it. White space too */
    XML_CLOSE,
    XML_REFUSED
};

struct xml_read {
    /* to be read after an event */
    unsigned depth;    /* of the element that was opened or closed, or that the text is in */
    const char *name;  /* of OPEN and CLOSE, without its prefix; valid until the next call */
    struct bytes text; /* of TEXT; not empty */
    unsigned line;     /* from 1 */
    const char *why;   /* of REFUSED; static */
    /* xml_read.c's own */
    struct bytes in;
    size_t at;
    unsigned state, matched, open;
    bool rooted, closing;
    uint8_t quote, held[8];
    char entity[12];
    uint16_t starts[XML_DEPTH_MAX], names_len;
    char names[XML_NAMES_MAX]; /* of the open elements, each with its zero */
};

void xml_start(struct xml_read *x);
void xml_feed(struct xml_read *x, struct bytes piece); /* before the first xml_next() and after each XML_MORE */
MUST_USE enum xml_event xml_next(struct xml_read *x);
bool xml_end(struct xml_read *x); /* the root was closed and nothing is open; else why says so */

#endif
