/* sha256: SHA-256 (FIPS 180-4), by the CPU's own instructions where it has any.
 *
 * Layer    format.                                   Blocks   never; large inputs belong on the pool.
 * Owner    the caller; the state may be copied and   Memory   struct sha256, 104 bytes, no pointers.
 *          thrown away at any time.                  Errors   none.
 * Threads  different states from any thread; sha256_force() before there are threads. */
#ifndef HOLDFAST_SHA256_H
#define HOLDFAST_SHA256_H

#include "board/rt/base.h"

#define SHA256_BYTES       32
#define SHA256_BLOCK_BYTES 64

struct sha256 { /* zeroed is not valid: sha256_start() */
    uint32_t h[8];
    uint64_t total_bytes;
    uint8_t block[SHA256_BLOCK_BYTES]; /* the last total_bytes % 64 bytes, not yet hashed */
};

void sha256_start(struct sha256 *s);
void sha256_update(struct sha256 *s, struct bytes data);
/* The digest of all so far. Wipes the state; to go on, finish a copy. */
void sha256_finish(struct sha256 *s, uint8_t digest[SHA256_BYTES]);
void sha256_of(struct bytes data, uint8_t digest[SHA256_BYTES]);

enum sha256_kind { SHA256_PORTABLE, SHA256_X86_SHA, SHA256_ARM_SHA2, SHA256_KIND_COUNT };
const char *sha256_implementation(void); /* "portable", "x86 sha-ni", "armv8 sha2": the one in use */
/* For tests and benchmarks: false (and no change) when this CPU cannot. */
bool sha256_force(enum sha256_kind kind);

#endif
