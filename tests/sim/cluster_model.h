/* cluster_model: the API server of a cluster of two kinds of objects: each change that they ever saw, and the lists and watches
 * that tell of it over HTTP/1.1. What goes wrong with it is a field. For the stories of agents/ingest.
 *
 * Layer    tests.   Owner   cluster lies in memory that all lives share: main() takes it.   Blocks   never; its peer's fibers do.
 * Memory   static, of a life.   Errors   those of listening; else a failed SIM_CHECK(). */
#ifndef HOLDFAST_SIM_CLUSTER_MODEL_H
#define HOLDFAST_SIM_CLUSTER_MODEL_H

#include "board/rt/err.h"

#define KINDS       2   /* hub32's kube client has four connections; over HTTP/1.1 a watch takes one, and two are spared */
#define NAMES       300 /* of a kind */
#define LIVES       40  /* of a name: deleted and made anew, it is another object */
#define CHANGES_MAX 6000
#define CLUSTER_AT  "127.0.0.1:8001"

/* An object's "uid" is KIND.NAME.LIFE, its label "v" the value. */
enum change { ADDED, MODIFIED, DELETED };
struct logged {
    uint8_t kind, change, life;
    uint16_t name;
    uint32_t version, value; /* value: the version at which what is told of it changed last */
    uint16_t padding;
};
struct cluster {
    struct logged log[CHANGES_MAX];
    unsigned logged, compacted; /* compacted: versions up to it cannot be watched from */
    /* how the API server is */
    bool down, stick_watch, stick_list, expire; /* the latter three: once; then they are false again */
    int refused;                                /* lists of pods are, with this status; 401: all lists; 429: watches */
    unsigned page;                              /* objects of one; 0: as asked for */
};
extern struct cluster *cluster;

/* How a kind is called in URLs, in events, and where its list begins in a snapshot. */
struct cluster_kind {
    const char *plural, *word, *snapshot_key;
};
extern const struct cluster_kind cluster_kinds[KINDS];

/* An object is made, or changed (value: in what is told of it), or deleted; what is not there is not deleted. padding: bytes that
 * a new one carries. */
void cluster_change(unsigned kind, unsigned name, enum change change, bool value, unsigned padding);
const struct logged *cluster_last(unsigned kind, unsigned name); /* its last change; NULL: it never was */
void cluster_compact(void);                                      /* nothing can be watched from what was before now */
MUST_USE err cluster_open(void);                                 /* once a life: it listens at CLUSTER_AT */
void cluster_close(void);                                        /* also of one that did not open */

#endif
