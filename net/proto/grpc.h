/* grpc: unary and server-streaming calls over HTTP/2. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 *
 * Layer    proto.                                   Blocks   parks the fiber.
 * Owner    the caller owns calls; they end before   Memory   a call: one small block and the caller's message buffer.
 *          their connection.
 * Time     one deadline for the whole call, sent as grpc-timeout; a streaming call may also have one for each message.
 * Errors   E_REMOTE the server's status was not OK: grpc_status() has its number and words (also in the trail), mapped: 4
 * E_TIMEOUT, 7 and 16 E_DENIED, 12 E_UNSUPPORTED, 14 E_UNREACHABLE, 8 E_FULL, 5 E_ABSENT; E_RANGE a message larger than the
 * buffer; E_PROTOCOL no grpc-status, not gRPC, or a compressed message that was not asked for; E_CLOSED. */
#ifndef HOLDFAST_GRPC_H
#define HOLDFAST_GRPC_H

#include "net/proto/h2.h"

struct grpc_call;

/* path: "/etcdserverpb.Maintenance/Snapshot". metadata: more headers, e.g. talos-role. Sends the one request message and ends our
 * side. */
MUST_USE err grpc_start(struct h2 *h, const char *path, const struct h2_header *metadata, size_t count, struct bytes request,
                        ms deadline, struct grpc_call **out);
/* The next message into the caller's buffer. *more false: the stream ended with status OK. until: for this message; the call's
 * own deadline holds too. E_TIMEOUT between two messages: may be called again. Any other error, or within a message: the call is
 * over, and says so again. */
MUST_USE err grpc_receive(struct grpc_call *c, void *into, size_t cap, ms until, size_t *len, bool *more);
/* From now on a wait also ends, with E_TIMEOUT, when no byte of the answer came for so long. 0: no such limit. */
void grpc_limit_idle(struct grpc_call *c, ms idle_ms);
int grpc_status(const struct grpc_call *c, const char **message); /* -1: not told yet */
void grpc_end(struct grpc_call *c);                               /* cancels when it still runs; NULL is fine */

/* One request, one answer. */
MUST_USE err grpc_unary(struct h2 *h, const char *path, const struct h2_header *metadata, size_t count, struct bytes request,
                        void *into, size_t cap, ms deadline, size_t *len);

#endif
