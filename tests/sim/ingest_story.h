/* ingest_story: the whole ingest agent between cluster_model and mirror_model, and what may happen to the three of them, step by
 * step; the law is that in the end what the platform was told is what the API server has.
 *
 * Layer    tests.   Owner   the story; it outlives its run.   Blocks   parks the fiber.   Memory   TASK_INGEST the agent's.
 * Errors   the agent's own; a story that went otherwise ends the life. */
#ifndef HOLDFAST_SIM_INGEST_STORY_H
#define HOLDFAST_SIM_INGEST_STORY_H

#include "tests/support/platform_peer.h"

/* With the numbers a and b of its step. */
enum op {
    END,
    SET,         /* objects a..b of each kind are made or changed */
    TOUCH,       /* a..b change in what is not told */
    DELETE,      /* a..b */
    FILL,        /* a..b are made, large */
    WAIT,        /* a ms */
    LAW,         /* both are the same within a ms (0: 20 min), and stay so */
    API_DOWN,    /* a: 1 or 0; its connections are cut */
    COMPACT,     /* nothing can be watched from what was before now */
    EXPIRE,      /* the next continue token is too old */
    PAGE,        /* a objects a page */
    STICK_WATCH, /* the next event's object comes by half */
    STICK_LIST,
    API_SILENT,    /* a: 1 or 0; its connections stay, nothing arrives */
    REFUSE,        /* with status a, 0: no more; see `refused` */
    PLATFORM_DOWN, /* a: 1 or 0 */
    RESTART,
    HELD,       /* a: 1: it is restarted, and finds that another hub holds its spool; 0: that one is killed */
    JUMP,       /* the wall clock, by a s */
    DISK,       /* a bytes are free from now on; 0: all */
    REVOKE,     /* the platform's tokens so far */
    SNAPSHOTS,  /* there were at least a, at most b */
    ATTEMPTS,   /* to send one: at least a, at most b, ever */
    EVENTS,     /* there were at least a, at most b */
    UNKNOWN,    /* of these, changes of what the platform did not know: at least a, at most b */
    FLAT,       /* the agent's memory is what it was at the first FLAT */
    HEARTBEATS, /* there were at least a, at most b */
    STATUS,     /* `ingest status` has text a of the next enum, b times */
    RESET       /* counts of snapshots and events begin anew */
};
enum { NO_WAIT, NEXT_SNAPSHOT, IS_HELD }; /* of a watch; of one that was refused; of the spool, by another hub */
struct step {
    enum op op;
    int64_t a, b;
};
#define STEPS_MAX  24
#define TELLS(...) .steps = {__VA_ARGS__}
struct story {
    const char *name;
    struct step steps[STEPS_MAX];
    struct platform_fault faults[3];
    int64_t spool_bytes;
};

extern struct platform_peer story_platform;

void story_share(void);                   /* in main(), once: the models' memory */
void story_setup(void *arg);              /* struct sim_case's, of a struct story: all is new */
void story_reboot(const struct story *s); /* the next life: the models know what they knew, but nobody's switch is on */
MUST_USE err story_run(void *arg);        /* struct sim_case's: starts the agent, does all steps, stops it */
MUST_USE err story_in_world(const struct story *s, err (*body)(const struct story *s)); /* body between both servers' lives */
MUST_USE err story_start(void);                                                         /* the agent */
void story_stop(void);                                                                  /* as SIGTERM does it */
MUST_USE err story_step(const struct story *s, const struct step *step);
void story_law(const struct story *s, ms within); /* as LAW */

#endif
