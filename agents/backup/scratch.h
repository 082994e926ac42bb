/* scratch: files that are never to be: a plain copy to be verified at random (backup.verify.scratch), a stage for a slow
 * destination (backup.stage). A writer's temporary file, not committed, gone with its writer.
 *
 * Layer    agents/backup, private.               Blocks   parks the fiber.
 * Owner    the caller closes the writer; the     Memory   a writer; I/O buffers.
 *          lanes are struct backup's.            Errors   those of file.h. */
#ifndef HOLDFAST_BACKUP_SCRATCH_H
#define HOLDFAST_BACKUP_SCRATCH_H

#include "agents/backup/backup_internal.h"

#define SCRATCH_APPENDS_MAX 2 /* in flight: the buffers are those that are being packed */

/* For a database of about so many bytes. E_ABSENT: there is no backup.verify.scratch; E_RANGE larger than scratch_max; E_NOSPACE
 * it has no room. */
MUST_USE err scratch_open(struct backup *b, int64_t at_s, uint64_t db_bytes, ms deadline, struct writer **out);
/* Makes the folder, looks at its room, and names a file in it that nothing is named after. */
MUST_USE err scratch_room(struct lane *l, const char *folder, int64_t at_s, uint64_t db_bytes, ms deadline,
                          char out[OS_PATH_MAX]);
/* What killed runs left in both folders goes; what cannot go is logged. E_CANCELED. */
MUST_USE err scratch_tidy(struct backup *b);

#endif
