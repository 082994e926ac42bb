/* Fuzzes etcd_db: the input is a database file, whose meta pages are made whole so that the rest is looked at. Nothing is read
 * beyond it, steps of any size tell the same, and what is good once is good again. */
#include "net/format/bbolt_page.h"
#include "net/format/etcd_db.h"

#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX  65536
#define STEPS_MAX 1000000 /* a hostile file may be slow, but it ends */

static uint8_t file[FILE_MAX];
static size_t file_bytes;

static err file_read(void *arg, uint64_t at, void *into, size_t len)
{
    (void)arg;
    ASSERT(at <= file_bytes && len <= file_bytes - at);
    memcpy(into, file + at, len);
    return OK;
}

static void put_u64(uint8_t *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* Magic, version, a page size that is one, no more pages than there are, and the checksum. */
static void meta_mend(size_t at, uint32_t page_bytes)
{
    static const uint8_t start[8] = {0xED, 0xDA, 0x0C, 0xED, 2, 0, 0, 0};
    if (at + BBOLT_HEADER_BYTES + BBOLT_META_BYTES > file_bytes)
        return;
    uint8_t *meta = file + at + BBOLT_HEADER_BYTES;
    memcpy(meta, start, sizeof start);
    put_u64(meta + 8, page_bytes);
    if (bbolt_u64(meta + 40) > file_bytes / page_bytes)
        put_u64(meta + 40, file_bytes / page_bytes);
    put_u64(meta + 56, bbolt_fnv64a((struct bytes){meta, BBOLT_META_SUMMED_BYTES}));
}

static struct etcd_db_status verdict(size_t memory, unsigned pages_max)
{
    struct etcd_db_source source = {file_read, NULL, file_bytes, 0};
    struct etcd_db *d = NULL;
    bool done = false;
    ASSERT(etcd_db_open(&source, memory, &d) == OK);
    for (unsigned n = 0; !done; n++) {
        ASSERT(n < STEPS_MAX && etcd_db_permille(d) < 1000);
        ASSERT(etcd_db_step(d, pages_max, &done) == OK);
    }
    struct etcd_db_status s = *etcd_db_status(d);
    ASSERT(s.structure_good || !s.logic_good);
    ASSERT((s.findings_total == 0) == s.logic_good);
    if (s.logic_good) {
        ASSERT(etcd_db_hash_kv_start(d, s.revision, s.compact_revision) == OK);
        for (done = false; !done;)
            ASSERT(etcd_db_step(d, pages_max, &done) == OK);
    }
    etcd_db_close(d);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > FILE_MAX)
        return 0;
    uint32_t page_bytes = 512u << data[0] % 4;
    file_bytes = size - 1;
    memcpy(file, data + 1, file_bytes);
    meta_mend(0, page_bytes);
    meta_mend(page_bytes, page_bytes);
    struct etcd_db_status a = verdict(ETCD_DB_MEMORY_MIN, 1), b = verdict(MIB(1), 64);
    ASSERT(a.findings_total == b.findings_total && a.hash == b.hash && a.keys == b.keys && a.pairs == b.pairs);
    ASSERT(a.revision == b.revision && a.structure_good == b.structure_good && a.logic_good == b.logic_good);
    return 0;
}
