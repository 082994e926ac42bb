/* spool_model: what a spool was given and told us, over all its lives, and the law that it must hold: what was committed and not
 * done is given again, in order; nothing is invented; per key never an older state after a newer. For tests/sim/test_spool*.c.
 *
 * Layer    tests.   Owner   spool_model lies in memory that is shared with the lives that a power cut ends: main() takes it.
 * Blocks   parks the fiber.   Memory   TASK_BACKUP the spool's lane.   Errors   a failed SIM_CHECK(); the spool's own. */
#ifndef HOLDFAST_SIM_SPOOL_MODEL_H
#define HOLDFAST_SIM_SPOOL_MODEL_H

#include "hal/spool.h"

#define SOON       (loop_now() + SECONDS(60))
#define KEYS       4
#define EVENTS_MAX 400
#define BODY_MAX   3000
#define OUT_MAX    8

/* Events count from 1; 0 is none. */
enum state {
    UNSURE, /* the power went while it was appended */
    WAITS,
    OUT,
    DONE,
    REPLACED, /* by event.by */
    CANCELED
};
struct event {
    uint8_t key; /* KEYS: a mark */
    uint8_t type, state;
    bool tried, done_durable;
    unsigned by;
    uint64_t seq;
};
struct model {
    unsigned events, committed;      /* committed: all up to it are, as we were told */
    unsigned given_newest[KEYS + 1]; /* the newest that went out */
    unsigned cleared;                /* all up to it are dropped for good */
    unsigned clearing;               /* or perhaps */
    unsigned note_durable;           /* the note is at least this one */
    struct event event[EVENTS_MAX];
};
extern struct model *spool_model;

struct life {
    struct spool *s;
    struct {
        uint64_t place;
        unsigned event;
    } out[OUT_MAX];
    unsigned outs;
    uint8_t body[BODY_MAX];
};
struct look {
    unsigned newest[KEYS]; /* that was given now */
    bool seen[EVENTS_MAX];
    unsigned order[EVENTS_MAX], count; /* 0: a mark */
};

void model_setup(void *arg);                                     /* of each case: a machine, a folder, nothing known */
MUST_USE err model_open(const char *folder, struct spool **out); /* on a lane that model_end() closes */
void model_end(void);
MUST_USE err model_op(struct life *l);                 /* one of those that a life consists of, drawn */
MUST_USE err model_live(struct life *l, unsigned ops); /* many; what is full is cleared */
MUST_USE err model_life(unsigned ops);                 /* the same of a spool opened and closed */
MUST_USE err model_flush(struct life *l);
void model_told(const struct life *l); /* what the spool says of commits */
/* The spool was opened again: all is given now, and the law holds of what was committed. */
void model_law(struct life *l, struct look *k, unsigned committed);
void model_new_page(void); /* after it nothing waits */

#endif
