/* deliver_world: a platform and one who delivers to it, over HTTP/1.1 or over HTTP/2 in TLS, with the file of a snapshot: what
 * the simulations of tokens and deliveries take place in.
 *
 * Layer    tests.   Owner   one world at a time; main() has called certs_make().   Blocks   parks the fiber.
 * Memory   TASK_BOARD; the peer's TASK_BACKUP.   Errors   those of opening, and the body's own. */
#ifndef HOLDFAST_SIM_DELIVER_WORLD_H
#define HOLDFAST_SIM_DELIVER_WORLD_H

#include "agents/ingest/deliver.h"
#include "tests/support/platform_peer.h"

#define SNAPSHOT_FILE  "/data/snapshot.json"
#define SNAPSHOT_BYTES (KIB(100) + 7)

struct deliver_world {
    struct dns *dns;
    struct tls_config *tls;
    struct lane disk;
    struct oauth2 *oauth2;
    struct deliver *deliver;
};
typedef err deliver_body(struct deliver_world *w, const void *arg);

extern const struct pem_key deliver_key;      /* with it the world opens */
extern struct platform_peer deliver_platform; /* new in each life; its faults are the test's */
extern struct deliver_knobs {
    bool over_h2;
    ms shut_at; /* from then on nothing is ours to send; FOREVER in a new life */
    int looks;  /* after so many looks whether it is, it is not; -1, as in a new life: never so */
} deliver_knobs;

void deliver_world_setup(void *arg);             /* struct sim_case's */
void deliver_world_check(void *arg, err result); /* struct sim_case's */
/* Runs body between a platform and its end; that saw nothing wrong. with_file: SNAPSHOT_FILE is there. */
MUST_USE err deliver_world_run(deliver_body *body, const void *arg, bool with_file);
MUST_USE err deliver_world_open(struct deliver_world *w, bool with_file); /* for where there is no platform */
void deliver_world_close(struct deliver_world *w);
/* run, which is struct sim_case's, over each protocol with some seeds; false: one of them failed. */
MUST_USE bool deliver_world_over_both(const char *name, err (*run)(void *arg), const void *arg, bool h1_only);

#endif
