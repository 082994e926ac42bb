/* fence: a stream that lets nothing out after a moment which is asked for before each write: what waits in the buffers and
 * windows above it stays there. So a process that was stopped while it led tells nothing any more when it goes on.
 *
 * Layer    agents/ingest.                           Blocks   as the stream under it.
 * Owner    takes over `under`, also on error;       Memory   one small block of the current task's heap.
 *          stream_close() closes both.
 * Time     monotonic, read anew for each write: that of the turn may be as old as the stop.
 * Errors   E_CLOSED for a write after the moment. A write that has begun goes on: no more than that piece (a TLS record or two)
 *          can leave late. */
#ifndef HOLDFAST_INGEST_FENCE_H
#define HOLDFAST_INGEST_FENCE_H

#include "net/proto/stream.h"

/* until(arg): written to before that, 0 never. It is asked while the stream is open. E_BUDGET. */
MUST_USE err fence_put(struct stream *under, ms (*until)(const void *arg), const void *arg, struct stream **out);

#endif
