/* Fuzzes the protobuf reader: reads everything, writes it again, and reads that: the fields must be the same. */
#include "net/format/pb.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

#define DEPTH_MAX 4 /* how far bytes fields are also tried as messages */

static void write_again(struct pb_writer *w, const struct pb_field *f)
{
    switch (f->wire) {
    case PB_VARINT:
        pb_put_u64(w, f->number, f->value);
        break;
    case PB_FIXED32:
        pb_put_fixed32(w, f->number, (uint32_t)f->value);
        break;
    case PB_FIXED64:
        pb_put_fixed64(w, f->number, f->value);
        break;
    case PB_BYTES:
        pb_put_bytes(w, f->number, f->bytes);
        break;
    }
}

static void same_fields(struct bytes a, struct bytes b)
{
    struct pb_reader ra = pb_read(a), rb = pb_read(b);
    struct pb_field fa, fb;
    while (pb_next(&rb, &fb)) {
        bool has = pb_next(&ra, &fa);
        ASSERT(has && fa.number == fb.number && fa.wire == fb.wire && fa.value == fb.value && fa.bytes.len == fb.bytes.len);
        ASSERT(fa.bytes.len == 0 || memcmp(fa.bytes.at, fb.bytes.at, fa.bytes.len) == 0);
    }
    ASSERT(rb.error == OK);
}

static void try_message(struct bytes message, unsigned depth)
{
    static uint8_t storage[8192];
    struct pb_reader r = pb_read(message);
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    struct pb_field f;
    struct bytes again;
    while (pb_next(&r, &f)) {
        fuzz_is_within(f.bytes, message);
        write_again(&w, &f);
    }
    if (pb_written(&w, &again) == OK)
        same_fields(message, again);
    r = pb_read(message);
    while (depth < DEPTH_MAX && pb_next(&r, &f))
        try_message(f.bytes, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= 4096)
        try_message((struct bytes){data, size}, 0);
    return 0;
}
