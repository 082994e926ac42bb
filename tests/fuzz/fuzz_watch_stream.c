/* Any bytes as the body of a watch: read at once and in steps, the same events come, in the same order, and none behind a fault.
 */
#include "tests/fuzz/fuzz.h"

#include "board/rt/log.h"
#include "board/rt/text.h"
#include "net/api/kube/kube_watch_inside.h"

#include <string.h>

#define TOLD_MAX KIB(8)

static const struct pick_field metadata_fields[] = {{"name", PICK_SCALAR, NULL},
                                                    {"resourceVersion", PICK_SCALAR, NULL},
                                                    {"labels", PICK_MAP, NULL},
                                                    {"ownerReferences", PICK_COUNT, NULL},
                                                    {NULL, PICK_SCALAR, NULL}};
static const struct pick_field fields[] = {
    {"metadata", PICK_OBJECT, metadata_fields}, {"data", PICK_KEYS, NULL}, {"status", PICK_ANY, NULL}, {NULL, PICK_SCALAR, NULL}};

static struct kube kube;
static struct kube_watches set;
static uint64_t arena[128];
static uint8_t piece_bytes[KUBE_PIECE];

static void set_begin(struct buf *piece, bool name_only)
{
    struct watch *w = &set.watches[0];
    memset(&kube, 0, sizeof kube);
    memset(&set, 0, sizeof set);
    set.kube = &kube;
    set.piece = piece;
    set.fields[0] = (struct pick_field){"type", PICK_SCALAR, NULL};
    set.fields[1] = (struct pick_field){"object", PICK_OBJECT, fields};
    json_pick_open(&set.pick, &(struct json_pick_options){.fields = set.fields, .arena = arena, .arena_bytes = sizeof arena});
    *w = (struct watch){.is = WATCH_OPEN, .tag = 7, .fields = fields, .name_only = name_only};
    w->path = (char *)(uintptr_t) "/api/v1/pods";
    set.current = w;
}

static void event_tell(struct text *t, const struct kube_event *v)
{
    ASSERT(v->tag == 7 && strlen(v->resource_version) < KUBE_OPAQUE_MAX);
    ASSERT((v->status != NULL) ==
           (v->type == KUBE_EVENT_GONE || v->type == KUBE_EVENT_FORBIDDEN || v->type == KUBE_EVENT_ABSENT));
    ASSERT(v->status || *v->resource_version);
    struct bytes name = pick_text_at(v->object, "metadata.name");
    text_addf(t, "%s %s ", kube_event_name(v->type), v->resource_version);
    text_add_bytes(t, (struct bytes){name.at, size_min(name.len, 32)});
    for (const struct pick_node *key = pick_first(pick_at(v->object, "data")); key; key = pick_next(key))
        text_add_bytes(t, pick_key(key));
    text_add(t, "\n");
}

static void run(struct bytes in, size_t step, bool name_only, struct text *t)
{
    struct buf piece = {.at = piece_bytes, .cap = sizeof piece_bytes};
    set_begin(&piece, name_only);
    for (size_t at = 0; at < in.len && set.current; at += piece.len) {
        piece.len = size_min(step, in.len - at);
        memcpy(piece.at, in.at + at, piece.len);
        set.at = 0;
        bool more = true;
        while (more) {
            struct kube_event v;
            bool have = false;
            more = watch_step(&set, &v, &have);
            if (have)
                event_tell(t, &v);
            ASSERT(set.at <= piece.len || !set.current);
            for (size_t i = 0; i < set.at; i++)
                ASSERT(piece.at[i] == 0); /* wiped once it was fed */
        }
        if (!set.current)
            piece.len = in.len; /* watch_forget() has emptied it */
    }
    text_addf(t, "%d %d", set.current != NULL, set.watches[0].name_only);
    json_pick_wipe(&set.pick);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char once[TOLD_MAX], slowly[TOLD_MAX];
    struct text a = text_over(once, sizeof once), b = text_over(slowly, sizeof slowly);
    if (size < 1)
        return 0;
    log_setup(LOG_ERROR, LOG_LOGFMT, 2);
    struct bytes in = {data + 1, size - 1};
    run(in, KUBE_PIECE, data[0] & 0x80, &a);
    run(in, 1 + (data[0] & 0x7f), data[0] & 0x80, &b);
    ASSERT(strcmp(once, slowly) == 0);
    trail_clear();
    return 0;
}
