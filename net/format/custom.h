/* custom: a custom resource of Kubernetes from one table: its CRD as YAML, its reader, and the patch of its status.
 *
 * Layer    format.                                 Blocks   never.      Threads  the loop's.
 * Owner    tables are static; the caller owns the  Memory   the caller's struct.
 *          struct that is read into.
 * Errors   E_INVALID fields are wrong, `errors` has a line each: "spec.rateLimit.burstSize: 6000: at most 5000"; E_FULL,
 *          E_RANGE as said below. Wrong rows are our bug, asserted.
 *
 * A new resource: a struct that begins with struct custom_meta, rows, a struct custom, a line in board/crd.c. */
#ifndef HOLDFAST_CUSTOM_H
#define HOLDFAST_CUSTOM_H

#include "board/rt/err.h"
#include "board/rt/text.h"
#include "net/format/json_pick.h"

#define CUSTOM_NAME_MAX       254 /* RFC 1123 subdomain, and the zero */
#define CUSTOM_UID_MAX        64
#define CUSTOM_VERSION_MAX    64 /* a resourceVersion is opaque */
#define CUSTOM_CONDITIONS_MAX 8
#define CUSTOM_TYPE_MAX       64   /* of a condition; all with the zero */
#define CUSTOM_REASON_MAX     128  /* Kubernetes allows 1024 */
#define CUSTOM_MESSAGE_MAX    1024 /* Kubernetes allows 32768 */
#define CUSTOM_ERRORS_BYTES   1024 /* what `errors` should hold */

/*        type        in the schema      its format     the field in the struct */
#define CUSTOM_TYPE_TABLE(X)                                                                                                     \
    X(OBJECT, "object", NULL)      /* none: its rows follow */                                                                   \
    X(TEXT, "string", NULL)        /* char[]; "" absent */                                                                       \
    X(INT32, "integer", "int32")   /* int64_t; 0 absent in a status */                                                           \
    X(INT64, "integer", "int64")   /* int64_t; likewise */                                                                       \
    X(BOOL, "boolean", NULL)       /* bool */                                                                                    \
    X(DURATION, "string", NULL)    /* ms, rounded up; written as in Go: 1h30m */                                                 \
    X(TIME, "string", "date-time") /* int64_t, epoch seconds; 0 absent */                                                        \
    X(COUNTS, "object", NULL)      /* int64_t[], one a key; 0 absent */                                                          \
    X(CONDITIONS, "array", NULL)   /* struct custom_conditions */

enum custom_type {
#define X(type, schema, format) CUSTOM_##type,
    CUSTOM_TYPE_TABLE(X)
#undef X
};

struct custom_meta { /* of metadata; first in every resource's struct */
    char name[CUSTOM_NAME_MAX], namespace[CUSTOM_NAME_MAX], uid[CUSTOM_UID_MAX], resource_version[CUSTOM_VERSION_MAX];
    int64_t generation;
    bool is_ending; /* it has a deletionTimestamp */
};

enum custom_status { CUSTOM_UNKNOWN, CUSTOM_FALSE, CUSTOM_TRUE };
struct custom_condition { /* metav1.Condition */
    char type[CUSTOM_TYPE_MAX], reason[CUSTOM_REASON_MAX], message[CUSTOM_MESSAGE_MAX];
    enum custom_status status;
    int64_t observed_generation, last_transition_s;
};
struct custom_conditions {
    struct custom_condition list[CUSTOM_CONDITIONS_MAX];
    unsigned count;
    bool more; /* the object has some that do not fit in here: a patch would lose them, and is refused */
};

struct custom_row {
    const char *path; /* "spec.rateLimit.burstSize"; an object before what is in it */
    const char *help; /* the schema's description */
    enum custom_type type;
    size_t offset, bytes;                     /* of the field */
    bool required;                            /* in its object, when that is there */
    bool is_positive;                         /* what is not above zero is taken for absent (INT32, DURATION) */
    const char *fallback;                     /* as in YAML: 10, "5m" without the quotes; NULL none */
    int64_t least, most;                      /* INT32, INT64: of the value; TEXT: of its characters; both 0: no bounds */
    const char *pattern;                      /* TEXT: RE2, for the API server */
    const char *(*check)(struct bytes value); /* TEXT, for us: NULL fine, else what it should be */
    const char *const *keys;                  /* COUNTS: NULL ends */
};

struct custom_column {
    const char *name, *type, *path; /* "Last Sync", "date", ".status.lastSyncTime" */
};

struct custom {
    const char *group, *version, *kind, *list_kind, *plural, *singular;
    const char *const *short_names; /* NULL ends */
    const char *help;
    bool is_namespaced;
    const struct custom_row *rows; /* "spec" and "status" are among them */
    size_t row_count;
    const struct custom_column *columns;
    size_t column_count;
    size_t bytes; /* of its struct */
};

/* The CustomResourceDefinition (apiextensions.k8s.io/v1), one YAML document without "---". */
void custom_crd(const struct custom *c, struct text *out);

/* What is picked of an object: some of metadata, spec and status as they are, so that a value of a wrong kind harms only its own
 * object. For kube_ask(), lists and watches. */
extern const struct pick_field custom_fields[];
/* One object as the API server gives it, picked by custom_fields. Fields that are absent get their default, else zero; unknown
 * ones are passed over. On E_INVALID what is good was read, metadata too: the fault is this one object's, and can be told in its
 * status. Of `status` what is no good is taken for absent. */
MUST_USE err custom_read(const struct custom *c, const struct pick_node *object, void *out, struct text *errors);

enum custom_change { CUSTOM_SAME, CUSTOM_TIMES, CUSTOM_CHANGED };
/* The JSON merge patch (RFC 7396) that makes `old`'s status that of `new`: only fields of the table, only those that differ, null
 * for those that became absent. Conditions go as a whole list, hence old's resourceVersion is in it: the API server answers 409
 * when the object has changed meanwhile. *change: CUSTOM_SAME nothing differs, `out` is empty; CUSTOM_TIMES only moments do that
 * were told before. E_RANGE `out` is too small, or conditions there do not fit (`more`). */
MUST_USE err custom_patch(const struct custom *c, const void *old, const void *new, struct text *out, enum custom_change *change);

/* --- conditions --- */
/* Sets the one of this type by Kubernetes' convention: last_transition_s becomes now_s only when the status is another than
 * before. A longer message is cut at a whole character. E_FULL: CUSTOM_CONDITIONS_MAX others are there. */
MUST_USE err custom_condition_set(struct custom_conditions *all, const char *type, enum custom_status status, const char *reason,
                                  const char *message, int64_t generation, int64_t now_s);
const struct custom_condition *custom_condition_find(const struct custom_conditions *all, const char *type); /* NULL: none */
const char *custom_status_name(enum custom_status s);                                                        /* "True" */

#endif
