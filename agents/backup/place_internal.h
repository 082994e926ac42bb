/* place_internal: what place*.c share.   Layer   agents/backup, private.   The rest: as place.h says. */
#ifndef HOLDFAST_BACKUP_PLACE_INTERNAL_H
#define HOLDFAST_BACKUP_PLACE_INTERNAL_H

#include "agents/backup/place.h"

/* One kind of place: what place.h has, without what is the same everywhere. NULL: E_UNSUPPORTED. */
struct place_kind {
    MUST_USE err (*open)(struct backup *b, struct backup_destination *to, struct place **out);
    void (*close)(struct place *p);
    void (*rest)(struct place *p); /* nobody is using it */
    void (*base)(const struct place *p, struct text *out);
    MUST_USE err (*list)(struct place *p, err (*each)(void *arg, const struct place_object *o), void *arg);
    MUST_USE err (*look)(struct place *p, struct backup_entry *entries, size_t count);
    MUST_USE err (*stat)(struct place *p, const char *name, struct place_object *out);
    MUST_USE err (*read_small)(struct place *p, const char *name, size_t bytes_max, struct buf **out);
    MUST_USE err (*write_small)(struct place *p, const char *name, struct bytes content, ms deadline);
    MUST_USE err (*remove)(struct place *p, const char *name);
    MUST_USE err (*rename_new)(struct place *p, const char *from, const char *to);
    MUST_USE err (*tidy)(struct place *p);
    MUST_USE err (*put_open)(struct place *p, const char *name, struct place_put **out);
    MUST_USE err (*put_append)(struct place_put *w, struct buf *b, ms deadline);
    MUST_USE err (*put_commit)(struct place_put *w, struct place_object *out);
    MUST_USE err (*put_rename)(struct place_put *w, const char *name);
    void (*put_recorded)(struct place_put *w); /* NULL: nothing is to be done */
    void (*put_close)(struct place_put *w);
    MUST_USE err (*get_open)(struct place *p, const char *name, struct place_get **out, struct place_object *object);
    MUST_USE err (*get_next)(struct place_get *g, ms idle_ms, struct buf **out);
    void (*get_close)(struct place_get *g);
};
extern const struct place_kind place_folder_kind, place_s3_kind;

struct place { /* the first member of each kind's own */
    const struct place_kind *kind;
    struct backup *backup;
    struct backup_destination *to;
    const char *folder;
    unsigned users;                  /* calls under way, puts and gets that are open */
    bool denied, wrote, told_denied; /* a list was refused; a put was not; that was told */
    bool wants_hub_id;
};
struct place_put {
    struct place *place;
    const char *name; /* as committed; the kind's */
};
struct place_get {
    struct place *place;
};

/* place_folder_io.c: the calls of a folder's puts and gets. */
MUST_USE err place_folder_put_open(struct place *p, const char *name, struct place_put **out);
MUST_USE err place_folder_put_append(struct place_put *w, struct buf *b, ms deadline);
MUST_USE err place_folder_put_commit(struct place_put *w, struct place_object *out);
MUST_USE err place_folder_put_rename(struct place_put *w, const char *name);
void place_folder_put_close(struct place_put *w);
MUST_USE err place_folder_get_open(struct place *p, const char *name, struct place_get **out, struct place_object *object);
MUST_USE err place_folder_get_next(struct place_get *get, ms idle_ms, struct buf **out);
void place_folder_get_close(struct place_get *get);

/* place_uploads.c: uploads and objects that have no record yet, in the store, so that the next hub knows what this one left.
 * Nothing without a store; what fails is logged. */
#define PLACE_NO_UPLOAD "-" /* for an upload's id: there is none, it was one PUT, or the parts are surely gone */
struct place_upload {
    const char *key, *id; /* id "": the server's answer was not heard */
    const char *object;   /* S3_OBJECT_ID_MAX; "": of a hub that knew none */
    int64_t asked_s;      /* by the wall clock, when the server was last asked for something that makes an upload or the object */
};
/* The server is about to be asked: its answer may never come. */
void place_upload_began(struct place *p, const char *key, const char *id, const char *object);
void place_upload_asks(struct place *p, const char *key, const char *id);    /* it is named now, or is to be completed */
void place_upload_no_more(struct place *p, const char *key, const char *id); /* only the object may still come */
void place_upload_ended(struct place *p, const char *key, const char *id);   /* nothing is left, or it has its record */
/* Each of this destination's, PLACE_UPLOADS_MAX at most; the one that each() returns OK for is forgotten, E_BUSY: from now on
 * only the object is looked for; any other error leaves it. */
#define PLACE_UPLOADS_MAX 64
MUST_USE err place_uploads_left(struct place *p, err (*each)(void *arg, const struct place_upload *u), void *arg);

#endif
