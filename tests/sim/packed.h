/* packed: what is in a file that was compressed and sealed on its way, as a reader of it finds it.
 *
 * Layer    tests.   Owner   packed; the bytes stay until the next call.   Blocks   never.   Memory   TASK_BACKUP the decoders'.
 * Errors   a failed SIM_CHECK(). */
#ifndef HOLDFAST_SIM_PACKED_H
#define HOLDFAST_SIM_PACKED_H

#include "agents/backup/backup_internal.h"
#include "net/format/age.h"

#define PACKED_BYTES_MAX MIB(1)

/* form: FORM_AGE, FORM_ZSTD, both or neither. */
struct bytes packed_open(struct bytes stored, unsigned form, const struct age_identity *identity);

#endif
