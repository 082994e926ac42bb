/* info: what of an object leaves the cluster: its Info, byte for byte (sections 3.0 to 3.20 of the platform's protocol).
 *
 * Layer    agents, ingest.                            Blocks   never.   Threads  any.
 * Owner    the caller owns tree and text; nothing     Memory   the text; while it runs 24 bytes for each key of a map, or status
 *          is kept.                                            of a container, of more than 32; the path of an nfs volume.
 * Errors   E_BUDGET the Info does not fit the text, or no memory to sort; E_INVALID a field that is no time, quantity or whole
 *          number: the trail names it. After an error the text is as long as it was before. */
#ifndef HOLDFAST_INGEST_INFO_H
#define HOLDFAST_INGEST_INFO_H

#include "agents/ingest/kinds.h"
#include "board/rt/text.h"

/* Appends the Info of `object`, read by ingest_kinds[kind].fields. Compact JSON, as Go's encoder escapes it, keys of maps and
 * lists made from maps in byte order: the same object always gives the same bytes. */
MUST_USE err info_write(enum ingest_kind kind, const struct pick_node *object, struct text *out);

/* Views into the tree; empty where absent. */
struct info_names {
    struct bytes uid, name, name_space, resource_version;
    struct bytes provider_id; /* of a Node: spec.providerID */
    struct bytes region;      /* of a Node: label topology.kubernetes.io/region */
};
struct info_names info_names(enum ingest_kind kind, const struct pick_node *object);

#endif
