/* mount_table: a line of /proc/self/mountinfo.   Source   proc_pid_mountinfo(5).
 *
 * Layer    hal, private.   Blocks   never.   Memory   the caller's.   Errors   none: what is no such line is no mount. */
#ifndef HOLDFAST_MOUNT_TABLE_H
#define HOLDFAST_MOUNT_TABLE_H

#include "hal/mount.h"

/* True: it tells of what is mounted on `path`, and *out is that. */
bool mount_line_is_of(struct bytes line, const char *path, struct mount_state *out);
/* "server:/export", brackets around an IPv6 literal, no / at its end. E_RANGE. */
MUST_USE err mount_source(const struct mount_nfs *m, char out[MOUNT_SOURCE_MAX]);
/* RFC 5531: a NULL call of NFSv4, with its record mark; and what the answer to it says. */
#define MOUNT_CALL_BYTES   44
#define MOUNT_MARK_BYTES   4
#define MOUNT_ANSWER_BYTES 28 /* with its mark; a refusal may be shorter: zeroes follow */
void mount_call(uint32_t xid, uint8_t out[MOUNT_CALL_BYTES]);
MUST_USE err mount_answer_length(const uint8_t mark[MOUNT_MARK_BYTES], size_t *len); /* of what follows. E_PROTOCOL: no mark */
MUST_USE err mount_answer(uint32_t xid, const uint8_t in[MOUNT_ANSWER_BYTES]);
/* The text mount(2) takes for NFSv4; linux, fs/nfs/fs_context.c. E_RANGE, E_INVALID the address is no IP. */
#define MOUNT_OPTIONS_MAX 160
MUST_USE err mount_options(const struct mount_nfs *m, char out[MOUNT_OPTIONS_MAX]);

#endif
