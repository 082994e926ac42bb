#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/format/crc32c.h"

#include <stdlib.h>
#include <string.h>

/* RFC 3720, B.4. Each vector is 32 bytes (48 the last): first + i * step, or the bytes themselves. */
static const uint8_t iscsi_read[48] = {
    0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18,
    0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static const struct {
    const char *name;
    size_t len;
    int first, step;
    const uint8_t *at;
    uint32_t crc;
} vectors[] = {
    {"nothing", 0, 0, 0, NULL, 0x00000000},
    {"32 of 0x00", 32, 0x00, 0, NULL, 0x8a9136aa},
    {"32 of 0xff", 32, 0xff, 0, NULL, 0x62a8ab43},
    {"32 ascending", 32, 0x00, 1, NULL, 0x46dd794e},
    {"32 descending", 32, 0x1f, -1, NULL, 0x113fdb5c},
    {"an iSCSI read command", 48, 0, 0, iscsi_read, 0xd9963a56},
    {"123456789", 9, 0, 0, (const uint8_t *)"123456789", 0xe3069283},
};

static struct bytes vector_bytes(size_t i, uint8_t *storage)
{
    for (size_t n = 0; n < vectors[i].len; n++)
        storage[n] = vectors[i].at ? vectors[i].at[n] : (uint8_t)(vectors[i].first + (int)n * vectors[i].step);
    return (struct bytes){storage, vectors[i].len};
}

static void each_kind_gives_the_vectors(void **state)
{
    (void)state;
    unsigned kinds = 0;
    for (unsigned kind = 0; kind < CRC32C_KIND_COUNT; kind++) {
        if (!crc32c_force((enum crc32c_kind)kind))
            continue;
        kinds++;
        for (size_t i = 0; i < COUNT_OF(vectors); i++) {
            uint8_t storage[64];
            uint32_t crc = crc32c(0, vector_bytes(i, storage));
            if (crc != vectors[i].crc)
                fail_msg("%s, kind %u: %08x", vectors[i].name, kind, crc);
        }
    }
    assert_true(kinds >= 1);
    assert_true(crc32c_force(CRC32C_PORTABLE)); /* always there */
}

static uint8_t noise[3000];

/* Any length, unaligned, in one piece and chained: every kind agrees with the portable one. */
static void pieces_and_kinds_agree(void **state)
{
    (void)state;
    srand(1);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)rand();
    for (size_t len = 0; len < 2900; len += len < 100 ? 1 : 53) {
        struct bytes data = {noise + len % 16, len};
        assert_true(crc32c_force(CRC32C_PORTABLE));
        uint32_t want = crc32c(0, data);
        for (unsigned kind = 0; kind < CRC32C_KIND_COUNT; kind++) {
            if (!crc32c_force((enum crc32c_kind)kind))
                continue;
            uint32_t chained = 0;
            for (size_t at = 0, n; at < len; at += n) {
                n = size_min(len - at, (size_t)rand() % 150);
                chained = crc32c(chained, (struct bytes){data.at + at, n});
            }
            assert_int_equal(crc32c(0, data), want);
            assert_int_equal(chained, want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_gives_the_vectors),
        cmocka_unit_test(pieces_and_kinds_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
