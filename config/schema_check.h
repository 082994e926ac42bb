/* schema_check: what the texts of a configuration may be; for the rows of config/schema.c.
 *
 * Layer    config, and only schema*.c.   Blocks   never.   Memory   none.
 * Errors   NULL: fine; else "is what it is; what to do", static. */
#ifndef HOLDFAST_CONFIG_SCHEMA_CHECK_H
#define HOLDFAST_CONFIG_SCHEMA_CHECK_H

#include "board/rt/err.h"

const char *check_name(struct bytes value);
const char *check_endpoint(struct bytes value);
const char *check_url(struct bytes value);
const char *check_s3_endpoint(struct bytes value);
const char *check_bucket(struct bytes value);
const char *check_prefix(struct bytes value);
const char *check_region(struct bytes value);
const char *check_server(struct bytes value);
const char *check_platform_url(struct bytes value);
const char *check_cluster_name(struct bytes value);
const char *check_cluster_uid(struct bytes value);
const char *check_kind(struct bytes value);

#endif
