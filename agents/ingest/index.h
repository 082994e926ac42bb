/* index: which objects are known, and in what state they were last told: so that nothing is told twice, and a delete that a watch
 * missed is noticed when the kind is listed again. Fixed memory, whatever the cluster holds.
 *
 * Layer    agents/ingest.                             Blocks   calls with a deadline park the fiber (the names' file).
 * Owner    the caller; its lane outlives it.          Memory   INDEX_ENTRY_BYTES an entry and one buffer of INDEX_BUFFER, taken
 * at open. Uids, namespaces and names lie in a file, not in memory. Errors   E_FULL no entry is left: the object is not in it;
 * the index stays as it is, and index_is_whole() is false until it is cleared or objects leave: who relies on it takes a fresh
 * snapshot. Those of the disk: the same.
 *
 * The file is scratch: made anew at open, never synced, removed at close; compacted when more than half of it is garbage. */
#ifndef HOLDFAST_INGEST_INDEX_H
#define HOLDFAST_INGEST_INDEX_H

#include "agents/ingest/info.h"
#include "board/rt/pool.h"

#define INDEX_ENTRY_BYTES 24
#define INDEX_BUFFER      KIB(16)

#define INDEX_KEY_BYTES 16
/* The first 16 bytes of the SHA-256 of the kind's number and the uid; the spool's key, too. Its first 8 alone tell apart. */
void index_key(enum ingest_kind kind, struct bytes uid, uint8_t out[INDEX_KEY_BYTES]);

struct index;
/* folder: exists. entries: at most 75 % of the slots are used. */
MUST_USE err index_open(const char *folder, struct lane *lane, unsigned entries, struct index **out);
void index_close(struct index *x, ms deadline); /* NULL is fine */
void index_clear(struct index *x);

enum index_was { INDEX_NEW, INDEX_CHANGED, INDEX_SAME };
/* The object is there, with that digest of its Info; seen in the list that runs, if one does. E_FULL, and those of the disk: it
 * was not taken in; *was is INDEX_NEW then. */
MUST_USE err index_put(struct index *x, enum ingest_kind kind, const uint8_t key[INDEX_KEY_BYTES], uint64_t digest,
                       const struct info_names *names, ms deadline, enum index_was *was);
/* It is there, whatever its state: seen in the list that runs. Nothing when it is not in the index. */
void index_touch(struct index *x, const uint8_t key[INDEX_KEY_BYTES]);
bool index_remove(struct index *x, enum ingest_kind kind, const uint8_t key[INDEX_KEY_BYTES]); /* false: it was not in it */

/* A list of one kind begins (again): nothing of it was seen yet. */
void index_list_begin(struct index *x, enum ingest_kind kind);
/* It has ended: gone() is told of each that was not seen, then it is forgotten. The names are views until gone() returns;
 * resource_version is empty. An error of gone() or of the disk ends it: what was not told yet stays, call it again. */
typedef err index_gone(void *arg, enum ingest_kind kind, const uint8_t key[INDEX_KEY_BYTES], const struct info_names *names);
MUST_USE err index_list_end(struct index *x, enum ingest_kind kind, index_gone *gone, void *arg, ms deadline);

unsigned index_count(const struct index *x, enum ingest_kind kind); /* objects of the kind */
bool index_is_whole(const struct index *x);                         /* no object was refused since it was cleared */
struct index_stats {
    unsigned entries, entries_max;
    uint64_t file_bytes, garbage_bytes, refused;
};
struct index_stats index_stats(const struct index *x);

#endif
