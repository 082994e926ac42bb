/* kube_list: a page of a collection, item by item. What was cut is asked for again, at the same version, and items that were
 * given are passed over; an item that does not fit is asked for alone, its metadata only. */
#include "net/api/kube/kube_internal.h"

#include "board/rt/text.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_USUAL 500 /* client-go's page */

static const struct pick_field name_fields[] = {{"name", PICK_SCALAR, NULL},
                                                {"namespace", PICK_SCALAR, NULL},
                                                {"uid", PICK_SCALAR, NULL},
                                                {"resourceVersion", PICK_SCALAR, NULL},
                                                {NULL, PICK_SCALAR, NULL}};
const struct pick_field kube_name_only_fields[] = {{"metadata", PICK_OBJECT, name_fields}, {NULL, PICK_SCALAR, NULL}};
static const struct pick_field list_metadata[] = {{"resourceVersion", PICK_SCALAR, NULL},
                                                  {"continue", PICK_SCALAR, NULL},
                                                  {"remainingItemCount", PICK_SCALAR, NULL},
                                                  {NULL, PICK_SCALAR, NULL}};

struct paging {
    struct kube_list *list;
    struct kube_page *page;
    struct kube_call call;
    char target[KUBE_TARGET_MAX];
    char pinned[KUBE_OPAQUE_MAX]; /* the version of a first page that was cut; "": not known */
    unsigned limit;
    unsigned given, seen; /* items of this page: told to the caller; read in this try */
    bool name_only;       /* the one item of this try does not fit */
    bool unfit;           /* the next item of this try does not */
    err error;            /* item()'s */
    struct pick_field fields[3];
    struct json_pick pick;
};

/* --- one try --- */

static err target_make(struct paging *p)
{
    struct text t = text_over(p->target, sizeof p->target);
    char limit[16];
    struct text number = text_over(limit, sizeof limit);
    text_addf(&number, "%u", p->limit);
    text_add(&t, p->list->path);
    kube_query_add(&t, "limit", bytes_of(limit));
    if (p->page->next[0])
        kube_query_add(&t, "continue", bytes_of(p->page->next));
    else if (p->given > 0 && !p->pinned[0])
        return trail(E_AGAIN, "a list that does not tell its version was cut: begin it again");
    else if (p->given > 0) {
        kube_query_add(&t, "resourceVersion", bytes_of(p->pinned));
        kube_query_add(&t, "resourceVersionMatch", bytes_of("Exact"));
    }
    return t.cut ? trail(E_RANGE, "a path or continue token that is too long") : OK;
}

static void text_keep(const struct pick_node *node, const char *path, struct text *out)
{
    text_add_bytes(out, pick_text_at(node, path));
}

static err item_see(void *arg, const struct pick_node *item)
{
    struct paging *p = arg;
    struct kube_item i = {.object = item, .oversized = p->name_only};
    if (p->seen++ < p->given)
        return OK;
    if (!p->pinned[0]) {
        struct text t = text_over(p->pinned, sizeof p->pinned);
        text_keep(json_pick_root(&p->pick), "metadata.resourceVersion", &t);
        if (t.cut)
            p->pinned[0] = 0;
    }
    p->error = p->list->item(p->list->arg, &i);
    if (p->error != OK)
        return p->error;
    p->given++;
    p->page->items++;
    p->call.moved = true;
    return OK;
}

static err page_read(struct paging *p)
{
    struct kube_page *page = p->page;
    const struct pick_node *root = json_pick_root(&p->pick);
    struct text version = text_over(page->resource_version, sizeof page->resource_version);
    struct text next = text_over(page->next, sizeof page->next);
    text_keep(root, "metadata.resourceVersion", &version);
    text_keep(root, "metadata.continue", &next);
    if (!pick_to_i64(pick_at(root, "metadata.remainingItemCount"), &page->remaining))
        page->remaining = -1;
    if (version.cut || next.cut)
        return trail(E_RANGE, "a resourceVersion or continue token over %d and %d bytes", KUBE_OPAQUE_MAX - 1,
                     KUBE_CONTINUE_MAX - 1);
    return version.len > 0 ? OK : trail(E_PROTOCOL, "a list without metadata.resourceVersion");
}

/* Reads one answer. That item() failed, or that an item did not fit, ends the tries: kube_list_page() sees to it. */
static err page_take(void *arg, struct kube_visit *v, ms deadline)
{
    struct paging *p = arg;
    p->seen = 0;
    json_pick_fields(&p->pick, p->fields);
    json_pick_begin(&p->pick);
    uint64_t mark = trail_mark();
    err e = kube_visit_feed(v, &p->pick, deadline);
    if (p->error != OK)
        return OK;
    p->unfit = v->unfit && !p->name_only;
    if (p->unfit) {
        trail_rewind(mark);
        return OK;
    }
    if (e == OK)
        return page_read(p);
    err again = target_make(p);
    return again == OK ? e : again;
}

/* --- a page --- */

/* After an answer that could not be read to its end: first what is before that item, for the continue token, then it alone. */
static void narrow(struct paging *p)
{
    p->limit = p->given > 0 ? p->given : 1;
    p->name_only = p->given == 0;
    p->unfit = false;
}

static void next_begin(struct paging *p)
{
    p->given = 0;
    p->pinned[0] = 0;
    p->limit = 1;
    p->name_only = true;
}

static err page_ask(struct kube *k, struct paging *p, ms deadline)
{
    unsigned usual = p->limit;
    for (;;) {
        p->fields[1].fields = p->name_only ? kube_name_only_fields : p->list->fields;
        TRY(target_make(p));
        TRY(kube_call(k, &p->call, deadline));
        if (p->error != OK)
            return p->error;
        if (p->unfit && p->limit < usual)
            return trail(E_RANGE, "%s%s: %u items were asked for, and more came", k->settings.server, p->list->path, p->limit);
        if (p->unfit)
            narrow(p);
        else if (p->limit < usual && !p->name_only && p->page->next[0])
            next_begin(p);
        else
            return OK;
    }
}

err kube_list_page(struct kube *k, struct kube_list *list, struct kube_page *page, ms deadline)
{
    struct paging *p = calloc(1, sizeof *p);
    if (!p)
        return E_BUDGET;
    p->list = list;
    p->page = page;
    p->limit = list->limit > 0 ? list->limit : LIMIT_USUAL;
    p->fields[0] = (struct pick_field){"metadata", PICK_OBJECT, list_metadata};
    p->fields[1] = (struct pick_field){"items", PICK_EACH, list->fields};
    p->call = (struct kube_call){
        .verb = KUBE_LIST, .path = list->path, .target = p->target, .take = page_take, .arg = p, .status = &list->status};
    json_pick_open(&p->pick,
                   &(struct json_pick_options){
                       .fields = p->fields, .arena = list->arena, .arena_bytes = list->arena_bytes, .item = item_see, .arg = p});
    err e = page_ask(k, p, deadline);
    json_pick_wipe(&p->pick);
    free(p);
    return e;
}

err kube_list_all(struct kube *k, struct kube_list *list, struct kube_page *page, ms deadline)
{
    do
        TRY(kube_list_page(k, list, page, deadline));
    while (page->next[0]);
    return OK;
}
