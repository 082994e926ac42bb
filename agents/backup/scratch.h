/* scratch: files that are never to be: a plain copy to be verified at random, a stage for a slow destination. A writer's
 * temporary file, not committed, gone with its writer; what killed runs left is removed before the next one.
 *
 * Layer    agents/backup, private.               Blocks   parks the fiber.
 * Owner    the caller closes the writer; the     Memory   a writer; I/O buffers.
 *          lanes are struct backup's.            Errors   those of file.h. */
#ifndef HOLDFAST_BACKUP_SCRATCH_H
#define HOLDFAST_BACKUP_SCRATCH_H

#include "agents/backup/source.h"

/* Why there is no scratch file for a plain snapshot of so many bytes; NULL: there is to be one. Looks at the configuration and at
 * the free space; words are static. */
const char *scratch_refusal(struct backup *b, uint64_t bytes, ms deadline);
void scratch_tidy(
    struct backup *b); /* what killed runs left in backup.verify.scratch and backup.stage; what cannot go is logged */
/* FOLDER/NAME, for writer_open(); E_RANGE. */
MUST_USE err scratch_path(const char *folder, int64_t at_s, char out[OS_PATH_MAX]);

#endif
