/* pb: the protobuf wire format, bounded. A reader over a span and a writer into the caller's buffer; no schema, no allocation.
 *
 * Layer    format.                                        Blocks   never.
 * Owner    views point into the caller's message, and     Memory   the caller's.
 *          live as long as it does.
 * Errors   sticky: reader.error is E_PROTOCOL from the first bad byte on, writer.overflow once something did not fit. The
 *          caller reads or writes everything, then looks once.
 * Source   protobuf.dev/programming-guides/encoding. Groups (wire types 3 and 4, deprecated) are refused. */
#ifndef HOLDFAST_PB_H
#define HOLDFAST_PB_H

#include "board/rt/err.h"

#define PB_NUMBER_MAX 0x1FFFFFFFu /* 29 bits: a tag is a uint32 with the wire type in its low 3 */
#define PB_VARINT_MAX 10          /* bytes of a 64-bit varint */

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_field {
    uint32_t number;
    enum pb_wire wire;
    uint64_t value;     /* VARINT, FIXED32, FIXED64; else 0 */
    struct bytes bytes; /* BYTES: a view; else empty */
};

struct pb_reader {
    struct bytes rest;
    err error;
};

/*  struct pb_field f;
 *  struct pb_reader r = pb_read(message);
 *  while (pb_next(&r, &f))
 *      switch (f.number) {
 *      case 1: id = pb_u64(&r, &f); break;
 *      case 2: name = pb_bytes(&r, &f); break;
 *      }                                        unknown fields need nothing
 *  return r.error;                                                                  */
struct pb_reader pb_read(struct bytes message);
/* The next field; false at the end and on an error, which only r->error tells apart. */
MUST_USE bool pb_next(struct pb_reader *r, struct pb_field *out);
/* The field's value as this type. Another wire type sets r->error and gives 0 or empty. */
uint64_t pb_u64(struct pb_reader *r, const struct pb_field *f); /* uint32, uint64, enum */
int64_t pb_i64(struct pb_reader *r, const struct pb_field *f);  /* int32, int64: two's complement */
int64_t pb_sint(struct pb_reader *r, const struct pb_field *f); /* sint32, sint64: zigzag */
bool pb_bool(struct pb_reader *r, const struct pb_field *f);
uint64_t pb_fixed(struct pb_reader *r, const struct pb_field *f);     /* fixed32, fixed64, and floats as their bits */
struct bytes pb_bytes(struct pb_reader *r, const struct pb_field *f); /* string, bytes, message */
/* The same, copied into out[0..cap) with a zero, cut to fit. */
void pb_text(struct pb_reader *r, const struct pb_field *f, char *out, size_t cap);
/* A varint at the start of `in` and its length in *used; for packed fields. E_PROTOCOL. */
MUST_USE err pb_varint(struct bytes in, uint64_t *value, size_t *used);

struct pb_writer {
    uint8_t *at;
    size_t cap, len;
    bool overflow; /* nothing more was written since; len is meaningless */
};

/* Fields are written as given, also zero ones: proto3's "absent when zero" is the caller's choice. */
struct pb_writer pb_write_over(void *storage, size_t cap);
void pb_put_u64(struct pb_writer *w, uint32_t number, uint64_t value);
void pb_put_i64(struct pb_writer *w, uint32_t number, int64_t value);
void pb_put_sint(struct pb_writer *w, uint32_t number, int64_t value);
void pb_put_bool(struct pb_writer *w, uint32_t number, bool value);
void pb_put_fixed32(struct pb_writer *w, uint32_t number, uint32_t value);
void pb_put_fixed64(struct pb_writer *w, uint32_t number, uint64_t value);
void pb_put_bytes(struct pb_writer *w, uint32_t number, struct bytes value);
void pb_put_text(struct pb_writer *w, uint32_t number, const char *value);
/* A nested message: everything between begin and end, given begin's result. Lengths are canonical; O(its bytes) when >= 128. */
size_t pb_begin(struct pb_writer *w, uint32_t number);
void pb_end(struct pb_writer *w, size_t mark);
/* The message. E_RANGE: it did not fit. */
MUST_USE err pb_written(const struct pb_writer *w, struct bytes *out);

#endif
