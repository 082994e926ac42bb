/* leftovers: folders of spools in ingest.spool.path: whose they are by their name, and their removal.
 *
 * Layer    agents/ingest.   Blocks   parks the fiber; the disk is the lane's.   Owner   nothing is kept.
 * Memory   none.            Errors   those of os.h; E_INVALID something in it is no spool's: nothing was removed. */
#ifndef HOLDFAST_INGEST_LEFTOVERS_H
#define HOLDFAST_INGEST_LEFTOVERS_H

#include "board/rt/os.h"
#include "board/rt/pool.h"

/* "NAMESPACE_NAME", as outlets of ObsykAgents name theirs. Kubernetes' names have no underline. False: it is none of these. */
bool leftover_split(const char *folder, char name_space[OS_NAME_MAX], char name[OS_NAME_MAX]);
/* The first folder behind `name`, in the order of bytes, of such a name; "" there is none. */
MUST_USE err leftover_next(struct lane *l, const char *parent, char name[OS_NAME_MAX], ms deadline);
/* With what is in it: NNNNNNNN.spool, snapshot.json. */
MUST_USE err leftover_remove(struct lane *l, const char *parent, const char *name, ms deadline);

#endif
