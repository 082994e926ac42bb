/* etcd_files: a client out of paths: certificates are read anew each time, so that rotated ones are used.
 *
 * Layer    api.                                     Blocks   parks the fiber; files are read and parsed on the lane.
 * Owner    the caller; strings outlive the client.  Memory   a CA, a certificate and a key beyond etcd.h's, until etcd_close().
 * Errors   those of file.h and tls.h, with the key of the configuration in the trail. */
#ifndef HOLDFAST_ETCD_FILES_H
#define HOLDFAST_ETCD_FILES_H

#include "net/api/etcd/etcd.h"

struct etcd_files {
    const char *endpoints[ETCD_ENDPOINTS_MAX];
    unsigned endpoint_count;
    const char *ca, *cert, *key; /* "": the system's; none */
    struct lane *lane;
    struct dns *dns;
    size_t window_bytes; /* as in struct etcd_options */
};
/* *expires_s: of our client certificate; 0: there is none. NULL: not wanted. */
MUST_USE err etcd_files_open(const struct etcd_files *f, ms deadline, struct etcd **out, int64_t *expires_s);

#endif
