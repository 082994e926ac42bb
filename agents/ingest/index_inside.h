/* index_inside: what the two files of the index share. For agents/ingest/index*.c only.
 *
 * Layer    agents/ingest.   Blocks   index_file.c parks the fiber.   Owner, Memory, Errors   as index.h says. */
#ifndef HOLDFAST_INGEST_INDEX_INSIDE_H
#define HOLDFAST_INGEST_INDEX_INSIDE_H

#include "agents/ingest/index.h"
#include "board/rt/buf.h"
#include "board/rt/hold.h"
#include "board/rt/os.h"

#define NAMES_UNIT       8u /* records begin at multiples of it */
#define NAMES_RECORD_MAX 1024u

struct entry {
    uint64_t hash; /* the first 8 bytes of the key; 0: a free slot */
    uint64_t digest;
    uint32_t at; /* of its record, in NAMES_UNITs */
    uint8_t kind, seen;
    uint16_t length; /* of its record */
};
_Static_assert(sizeof(struct entry) == INDEX_ENTRY_BYTES, "a packed row");

/* What jobs look at; it is gone when the last of them has ended, also one that sticks. */
struct names_disk {
    struct hold hold;
    os_fd fd;         /* -1: none */
    struct buf *tail; /* what is not yet in the file */
    char path[OS_PATH_MAX];
};

/* One record: its kind, three lengths, uid, namespace, name; padded with zeros. */
struct names_file {
    struct lane *lane;
    struct names_disk *disk; /* NULL: closed */
    uint64_t written;        /* bytes in the file; the tail begins there */
    uint64_t garbage;
};

struct index {
    struct entry *slots;
    size_t slot_count, entries_max;
    unsigned entries, counts[INGEST_KIND_COUNT];
    uint8_t generation[INGEST_KIND_COUNT];
    bool whole;
    uint64_t refused;
    struct names_file names;
};

/* --- index_file.c --- */
MUST_USE err names_open(struct names_file *f, const char *path, struct lane *lane, ms deadline);
void names_close(struct names_file *f, ms deadline);
/* Appends; *at in units, *length in bytes. */
MUST_USE err names_add(struct names_file *f, enum ingest_kind kind, const struct info_names *names, ms deadline, uint32_t *at,
                       uint16_t *length);
/* into: NAMES_RECORD_MAX; *names are views into it. */
MUST_USE err names_read(struct names_file *f, uint32_t at, uint16_t length, uint8_t *into, ms deadline, enum ingest_kind *kind,
                        struct info_names *names);
uint64_t names_bytes(const struct names_file *f);
/* Drops what no slot points to. */
MUST_USE err names_compact(struct index *x, ms deadline);

#endif
