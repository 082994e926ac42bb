/* envelope: the bodies that are sent: events, heartbeat, the head, rows and tail of a snapshot (sections 4.2 to 4.4 of the
 * platform's protocol). The agent and `holdfast ingest preview` write by these functions alone.
 *
 * Layer    agents, ingest.   Blocks   never.   Owner, memory   the caller's text; nothing is kept.
 * Errors   E_BUDGET it does not fit; then the text is as long as it was before. */
#ifndef HOLDFAST_INGEST_ENVELOPE_H
#define HOLDFAST_INGEST_ENVELOPE_H

#include "agents/ingest/info.h"

/*    id        event_types: lower  upper */
#define INGEST_CHANGE_TABLE(X)                                                                                                   \
    X(ADDED, "added", "ADDED")                                                                                                   \
    X(MODIFIED, "modified", "UPDATED")                                                                                           \
    X(DELETED, "deleted", "DELETED")

enum ingest_change {
#define X(id, lower, upper) INGEST_##id,
    INGEST_CHANGE_TABLE(X)
#undef X
        INGEST_CHANGE_COUNT
};

enum event_types { EVENT_TYPES_LOWER, EVENT_TYPES_UPPER };

struct envelope {
    const char *cluster_uid, *cluster_name;
    const char *agent_version, *kubernetes_version, *platform, *region; /* NULL or "": left out */
    enum event_types types;
};

const char *ingest_change_text(enum ingest_change change, enum event_types types); /* "added"; static */
bool ingest_change_find(struct bytes text, enum ingest_change *out);               /* in either spelling */

/* info: of that object; not written for INGEST_DELETED. */
MUST_USE err envelope_event(const struct envelope *e, enum ingest_change change, enum ingest_kind kind,
                            const struct info_names *names, struct bytes info, struct text *out);
/* body: of len bytes, as envelope_event() wrote it, perhaps of another change or in the other spelling, with room for
 * ENVELOPE_RENAMED_MORE bytes more. It is of `change` then; its length. What is no event's stays as it is. */
#define ENVELOPE_RENAMED_MORE 8
MUST_USE size_t envelope_event_rename(enum ingest_change change, enum event_types types, char *body, size_t len);
MUST_USE err envelope_heartbeat(const struct envelope *e, struct text *out);

/* A snapshot is: head; then for each kind of the table, in its order: begin, Infos with "," between, end; then tail. */
MUST_USE err envelope_snapshot_head(const struct envelope *e, struct text *out);
MUST_USE err envelope_kind_begin(enum ingest_kind kind, struct text *out); /* ,"pods":[ */
MUST_USE err envelope_kind_end(struct text *out);
MUST_USE err envelope_snapshot_tail(struct text *out);

#endif
