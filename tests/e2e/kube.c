/* kube: the Kubernetes client as a program, for a real API server to meet (test_kube_client.py).
 *
 *   kube KUBECONFIG CONTEXT list PATH [LIMIT]      a line an item: "NAMESPACE/NAME UID VERSION", then "list VERSION COUNT
 * REMAINING" kube KUBECONFIG CONTEXT follow SECONDS PATH... lists each, then watches all: "PATH TYPE NAMESPACE/NAME VERSION",
 * GONE is listed again: "PATH LISTED NAMESPACE/NAME VERSION"; "PATH SYNCED VERSION" ends a list kube KUBECONFIG CONTEXT get PATH
 * its name kube KUBECONFIG CONTEXT put create|update|patch PATH BODY kube KUBECONFIG CONTEXT delete PATH UID kube KUBECONFIG
 * CONTEXT lease NAMESPACE NAME IDENTITY SECONDS   "held", "lost" as it changes Exit 0 good; 1 with "CODE words" on stderr; 2
 * usage. An object called the-end ends a follow before its time. KUBE_PROFILE=edge16. On stderr at last "peak BYTES", of the
 * task's heap, "h2 BOOL connects COUNT". */
#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/api/kube/kube_watch.h"
#include "net/api/kube/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    int count;
    char **words;
} want;
static struct kube *kube;
static uint64_t arena[8192];

static const struct pick_field metadata_fields[] = {{"name", PICK_SCALAR, NULL},
                                                    {"namespace", PICK_SCALAR, NULL},
                                                    {"uid", PICK_SCALAR, NULL},
                                                    {"resourceVersion", PICK_SCALAR, NULL},
                                                    {NULL, PICK_SCALAR, NULL}};
static const struct pick_field fields[] = {{"metadata", PICK_OBJECT, metadata_fields}, {NULL, PICK_SCALAR, NULL}};

static const char *word(int i)
{
    return i < want.count ? want.words[i] : NULL;
}

static void field_print(const struct pick_node *object, const char *path, const char *end)
{
    struct bytes b = pick_text_at(object, path);
    printf("%.*s%s", (int)b.len, b.at ? (const char *)b.at : "", end);
}

static err item_print(void *arg, const struct kube_item *i)
{
    if (arg)
        printf("%s LISTED ", (const char *)arg);
    field_print(i->object, "metadata.namespace", "/");
    field_print(i->object, "metadata.name", " ");
    if (!arg)
        field_print(i->object, "metadata.uid", " ");
    field_print(i->object, "metadata.resourceVersion", "\n");
    return OK;
}

static err list_all(const char *path, const char *limit, const char *label, struct kube_page *page)
{
    struct kube_list list = {.path = path,
                             .fields = fields,
                             .limit = limit ? (unsigned)atoi(limit) : 0,
                             .arena = arena,
                             .arena_bytes = sizeof arena,
                             .item = item_print,
                             .arg = (void *)(uintptr_t)label};
    err e = E_AGAIN;
    for (unsigned i = 0; e == E_AGAIN && i < 5; i++) {
        *page = (struct kube_page){.remaining = 0};
        e = kube_list_all(kube, &list, page, loop_now() + SECONDS(60));
    }
    return e;
}

static err do_list(void)
{
    struct kube_page page;
    TRY(list_all(word(1), word(2), NULL, &page));
    printf("list %s %llu %lld\n", page.resource_version, (unsigned long long)page.items, (long long)page.remaining);
    return OK;
}

/* --- follow --- */

static err sync_one(struct kube_watches *w, unsigned tag, bool again)
{
    struct kube_page page;
    const char *path = word((int)tag);
    err e = list_all(path, "50", path, &page);
    if (e != OK)
        return e;
    printf("%s SYNCED %s\n", path, page.resource_version);
    return again ? kube_watch_restart(w, tag, page.resource_version)
                 : kube_watch_add(w, path, page.resource_version, fields, tag);
}

static void event_print(const struct kube_event *v)
{
    printf("%s %s ", word((int)v->tag), kube_event_name(v->type));
    field_print(v->object, "metadata.namespace", "/");
    field_print(v->object, "metadata.name", " ");
    printf("%s%s%s\n", v->resource_version, v->status ? " " : "", v->status ? v->status->missing : "");
}

static err follow(struct kube_watches *w)
{
    ms until = loop_now() + SECONDS(atoi(word(1)));
    for (int i = 2; word(i); i++)
        TRY(sync_one(w, (unsigned)i, false));
    for (;;) {
        struct kube_event v;
        (void)fflush(stdout);
        err e = kube_watch_next(w, until, &v);
        if (e == E_TIMEOUT)
            return OK;
        TRY(e);
        event_print(&v);
        if (v.type == KUBE_EVENT_GONE)
            TRY(sync_one(w, v.tag, true));
        if (v.object && bytes_equal_text(pick_text_at(v.object, "metadata.name"), "the-end"))
            return OK;
    }
}

static err do_follow(void)
{
    static uint64_t events[8192];
    struct kube_watches *w = NULL;
    TRY(kube_watches_open(kube, events, sizeof events, &w));
    err e = follow(w);
    kube_watches_close(w);
    return e;
}

/* --- the rest --- */

static err ask(enum kube_verb verb, const char *path, const char *body)
{
    struct kube_into into = {.fields = fields, .arena = arena, .arena_bytes = sizeof arena};
    TRY(kube_ask(kube, verb, path, bytes_of(body), &into, loop_now() + SECONDS(60)));
    field_print(into.object, "metadata.name", "\n");
    return OK;
}

static err do_lease(void)
{
    struct lease *l = NULL;
    ms until = loop_now() + SECONDS(atoi(word(4)));
    TRY(lease_start(&(struct lease_options){.kube = kube, .name_space = word(1), .name = word(2), .identity = word(3)}, &l));
    err e = OK;
    for (bool held = true; e == OK; held = !held) {
        e = lease_wait(l, held, until);
        if (e == OK)
            printf("%s\n", held ? "held" : "lost");
        (void)fflush(stdout);
    }
    lease_stop(l, loop_now() + SECONDS(5));
    return e == E_TIMEOUT ? OK : e;
}

static err perform(void)
{
    const char *verb = word(0);
    if (strcmp(verb, "list") == 0 && word(1))
        return do_list();
    if (strcmp(verb, "follow") == 0 && word(2))
        return do_follow();
    if (strcmp(verb, "get") == 0 && word(1))
        return ask(KUBE_GET, word(1), "");
    if (strcmp(verb, "put") == 0 && word(3))
        return ask(*word(1) == 'c' ? KUBE_CREATE : *word(1) == 'u' ? KUBE_UPDATE : KUBE_PATCH, word(2), word(3));
    if (strcmp(verb, "delete") == 0 && word(2))
        return kube_delete(kube, word(1), word(2), NULL, loop_now() + SECONDS(60));
    return strcmp(verb, "lease") == 0 && word(4) ? do_lease() : E_USAGE;
}

static err with_client(void *arg)
{
    static struct lane lane;
    const char *const *files = arg;
    struct dns *dns = NULL;
    char text[1024];
    lane_open(&lane, "kube files", mem_task(), 4);
    TRY(dns_open(&dns));
    err e = kube_open(&(struct kube_options){.kubeconfig = files[0], .context = files[1], .lane = &lane, .dns = dns},
                      loop_now() + SECONDS(20), &kube);
    if (e == OK)
        e = perform();
    if (e != OK)
        fprintf(stderr, "%s %s\n", err_name(e), trail_text(e, text, sizeof text));
    if (kube) {
        struct kube_stats s = kube_stats(kube);
        fprintf(stderr, "h2 %d connects %llu retries %llu\n", s.h2, (unsigned long long)s.connects,
                (unsigned long long)s.retries);
    }
    fprintf(stderr, "peak %zu\n", mem_use(TASK_INGEST).peak_bytes);
    kube_close(kube);
    dns_close(dns);
    lane_close(&lane);
    return e;
}

static err main_run(void *arg)
{
    struct group g;
    group_open(&g, TASK_INGEST);
    err e = group_spawn(&g, "kube", with_client, arg);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    return e;
}

int main(int argc, char **argv)
{
    const char *profile = getenv("KUBE_PROFILE");
    const char *files[2];
    if (argc < 4) {
        fprintf(stderr, "usage: kube KUBECONFIG CONTEXT VERB [ARGUMENT...]; see the source's first lines\n");
        return 2;
    }
    files[0] = argv[1];
    files[1] = argv[2];
    want.count = argc - 3;
    want.words = argv + 3;
    log_setup(LOG_INFO, LOG_LOGFMT, 2);
    if (mem_boot(profile && strcmp(profile, "edge16") == 0 ? &profile_edge16 : &profile_hub32, MEM_LAZY) != OK ||
        buf_boot() != OK)
        return 1;
    err e = loop_run(main_run, files);
    return e == OK ? 0 : e == E_USAGE ? 2 : 1;
}
