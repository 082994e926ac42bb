/* hub_confine: what a hub may still do once it has its configuration. */
#include "board/hub.h"

#include "board/rt/file.h"
#include "board/rt/log.h"
#include "board/rt/metric.h"
#include "net/api/kube/kube.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/capability.h>

#define LOOK_UP_MS SECONDS(5)
#define AGAIN_MS   SECONDS(60)

static struct family layer_family = {.name = "holdfast_confinement",
                                     .help = "1 while this part of the confinement is in force.",
                                     .type = METRIC_GAUGE,
                                     .labels = {"layer"}};
static struct series *layer_series[CONFINE_LAYER_COUNT];

err hub_confine_metrics(void)
{
    for (enum confine_layer l = 0; l < CONFINE_LAYER_COUNT; l++) {
        const char *name = confine_layer_name(l);
        TRY(metric_series(&layer_family, &name, &layer_series[l]));
    }
    return OK;
}

/* --- which paths --- */
/* Beside what the configuration names: names are resolved, zones and authorities read, our own numbers looked up. In /etc files
 * are replaced by new ones, so it is the folder. */
static const struct confine_path always[] = {
    {"/etc", CONFINE_READ},       {"/usr/share/zoneinfo", CONFINE_READ}, {"/usr/share/ca-certificates", CONFINE_READ},
    {"/proc/self", CONFINE_READ}, {"/dev/null", CONFINE_WRITE},
};
static const char *const linked[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/localtime", "/etc/ssl/certs/ca-certificates.crt"};

/* Files and folders that a configuration names; "" ones are not counted. */
#define FILES_MAX   (11 + HUB_KUBE_FILES + 4 * CONFIG_DESTINATIONS_MAX)
#define WRITTEN_MAX (3 + CONFIG_DESTINATIONS_MAX)
#define FOLDERS_MAX (2 * (FILES_MAX + 1 + 4)) /* of the files, of the configuration itself, of `linked` */
_Static_assert(FOLDERS_MAX + WRITTEN_MAX + 1 + 5 <= CONFINE_PATHS_MAX, "with `data` and `always`");

static size_t keep_named(const char **list, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (*list[i])
            list[kept++] = list[i];
    return kept;
}

static size_t files_read(const struct config *c, const struct hub_kube_files *kube, const char *out[FILES_MAX])
{
    bool in_pod = c->ingest.enabled && !*c->kubernetes.kubeconfig;
    const char *const common[] = {c->backup.ca,
                                  c->backup.cert,
                                  c->backup.key,
                                  c->backup.talos_config,
                                  c->backup.identity_file,
                                  c->notify.ca,
                                  c->kubernetes.kubeconfig,
                                  in_pod ? KUBE_ACCOUNT_FOLDER "/token" : "",
                                  c->ingest.ca,
                                  c->ingest.client_id_file,
                                  c->ingest.private_key_file};
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(common); i++)
        out[n++] = common[i];
    for (size_t i = 0; i < HUB_KUBE_FILES; i++)
        out[n++] = kube->path[i];
    for (unsigned i = 0; i < c->backup.destination_count; i++) {
        const struct config_destination *d = &c->backup.destinations[i];
        out[n++] = d->ca;
        out[n++] = d->access_key_file;
        out[n++] = d->secret_key_file;
        out[n++] = d->session_token_file;
    }
    return keep_named(out, n);
}

static size_t folders_written(const struct config *c, const char *out[WRITTEN_MAX])
{
    size_t n = 0;
    for (unsigned i = 0; i < c->backup.destination_count; i++)
        out[n++] = c->backup.destinations[i].path; /* "" of s3 */
    out[n++] = c->backup.stage;
    out[n++] = c->backup.scratch;
    out[n++] = c->ingest.enabled ? c->ingest.spool_path : "";
    return keep_named(out, n);
}

struct list { /* on the heap while it is made */
    struct confine_path paths[CONFINE_PATHS_MAX];
    size_t count;
    char folders[FOLDERS_MAX][OS_PATH_MAX];
    size_t folder_count;
    struct hub_kube_files kube;
};

static void add(struct list *l, const char *path, enum confine_access access)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->paths[i].access == access && strcmp(l->paths[i].path, path) == 0)
            return;
    ASSERT(l->count < CONFINE_PATHS_MAX);
    l->paths[l->count++] = (struct confine_path){path, access};
}

/* The folder that a file lies in. */
static void add_folder_of(struct list *l, const char *file)
{
    ASSERT(l->folder_count < FOLDERS_MAX);
    char *folder = l->folders[l->folder_count++];
    (void)snprintf(folder, OS_PATH_MAX, "%s", file);
    char *slash = strrchr(folder, '/');
    if (!slash)
        (void)snprintf(folder, OS_PATH_MAX, ".");
    else
        slash[slash == folder] = 0; /* "/x" is in "/" */
    add(l, folder, CONFINE_READ);
}

struct resolve_job {
    char path[OS_PATH_MAX];
    char real[OS_PATH_MAX]; /* "": the same, or none */
};

static err resolve(void *job)
{
    struct resolve_job *j = job;
    char real[PATH_MAX];
    if (realpath(j->path, real) && strcmp(real, j->path) != 0 && strlen(real) < sizeof j->real)
        (void)snprintf(j->real, sizeof j->real, "%.*s", (int)sizeof j->real - 1, real);
    return OK;
}

/* And, where the name is a link, as in a mounted Secret, the folder it leads to. */
static void add_file(struct list *l, const char *file)
{
    struct resolve_job j = {.real = ""};
    struct lane lane;
    if (!*file)
        return;
    add_folder_of(l, file);
    (void)snprintf(j.path, sizeof j.path, "%s", file);
    lane_open(&lane, "links", TASK_BOARD, 1);
    if (lane_call(&lane, resolve, &j, sizeof j, NULL, loop_now() + LOOK_UP_MS) == OK && *j.real)
        add_folder_of(l, j.real);
    lane_close(&lane);
}

/* Made now, so that it is this folder that is allowed, and not the one above. */
static void add_made(struct list *l, const char *folder)
{
    struct lane lane;
    lane_open(&lane, "folders", TASK_BOARD, 1);
    err e = file_make_folder(&lane, folder, loop_now() + LOOK_UP_MS);
    if (e != OK)
        log_warn("cannot make a folder that is written to later", F("path", folder), F_ERR(e));
    lane_close(&lane);
    add(l, folder, CONFINE_WRITE);
}

static void list_paths(struct list *l, const char *config_path, const struct config *c)
{
    const char *files[FILES_MAX], *written[WRITTEN_MAX];
    hub_kube_files(c, &l->kube);
    size_t file_count = files_read(c, &l->kube, files), written_count = folders_written(c, written);
    add_made(l, c->data);
    for (size_t i = 0; i < written_count; i++)
        add_made(l, written[i]);
    add_file(l, config_path);
    for (size_t i = 0; i < file_count; i++)
        add_file(l, files[i]);
    for (size_t i = 0; i < COUNT_OF(linked); i++)
        add_file(l, linked[i]);
    for (size_t i = 0; i < COUNT_OF(always); i++)
        add(l, always[i].path, always[i].access);
}

/* --- giving up --- */
static void tell(const char *missing)
{
    for (enum confine_layer l = 0; l < CONFINE_LAYER_COUNT; l++)
        series_set(layer_series[l], confine_holds(l));
    if (*missing)
        log_warn("this kernel cannot confine us wholly", F("missing", missing));
    else
        log_info_0("privileges are given up");
}

static bool wants_mounts(const struct config *c)
{
    for (unsigned i = 0; i < c->backup.destination_count; i++)
        if (c->backup.destinations[i].type == DESTINATION_NFS && c->backup.destinations[i].mount)
            return true;
    return false;
}

static err give_up(struct hub *h, const struct list *l, const struct config *c)
{
    char words[256];
    struct text missing = text_over(words, sizeof words);
    struct confine_options o = {.paths = l->paths,
                                .path_count = l->count,
                                .capabilities = (uint64_t)1 << CAP_DAC_READ_SEARCH,
                                .capabilities_else = (uint64_t)1 << CAP_DAC_OVERRIDE,
                                .mounts = wants_mounts(c),
                                .deadline = loop_now() + LOOK_UP_MS};
    if (init_of_machine())
        o.capabilities |= (uint64_t)1 << CAP_SYS_BOOT;
    if (o.mounts)
        o.capabilities |= (uint64_t)1 << CAP_SYS_ADMIN;
    err e = confine(&o, &missing);
    if (e == E_TIMEOUT || e == E_BUSY) {
        log_warn("privileges cannot be given up yet", F_ERR(e), F_MS("next_try", AGAIN_MS));
        h->confine_again = loop_now() + AGAIN_MS;
        return OK;
    }
    if (e == OK)
        tell(words);
    return e;
}

err hub_confine(struct hub *h, const struct config *c)
{
    bool again = h->confine_again != FOREVER;
    if (h->line->unconfined || (!again && confine_holds(CONFINE_NO_NEW_PRIVS)))
        return OK;
    h->confine_again = FOREVER;
    struct list *l = calloc(1, sizeof *l);
    if (!l)
        return E_BUDGET;
    list_paths(l, h->line->config_path, c);
    err e = give_up(h, l, c);
    free(l);
    return e;
}

static bool lacks(const char *path, enum confine_access access, struct text *why)
{
    if (!*path || confine_allows_path(path, access))
        return false;
    text_addf(why, "restart needed: %s may not be %s any more", path, access == CONFINE_WRITE ? "written to" : "read");
    return true;
}

struct writable_job {
    char path[OS_PATH_MAX];
    bool refused, no_folder;
};

static err look_whether_writable(void *job)
{
    struct writable_job *j = job;
    struct stat s;
    j->no_folder = stat(j->path, &s) == 0 && !S_ISDIR(s.st_mode);
    j->refused = !j->no_folder && access(j->path, W_OK | X_OK) != 0 && errno == EACCES;
    return OK;
}

/* A folder of another user's, which took CAP_DAC_OVERRIDE. What is no folder fails at each backup, as after a restart. */
static bool lacks_capability(const char *folder, struct text *why)
{
    struct writable_job j = {.refused = false};
    struct lane lane;
    if (!confine_holds(CONFINE_CAPABILITIES))
        return false;
    (void)snprintf(j.path, sizeof j.path, "%s", folder);
    lane_open(&lane, "folders", TASK_BOARD, 1);
    err_ignore(
        lane_call(&lane, look_whether_writable, &j, sizeof j, NULL, loop_now() + LOOK_UP_MS)); /* late: the backup will tell */
    lane_close(&lane);
    if (j.no_folder)
        log_warn("a destination is not a folder: every backup into it fails", F("path", folder));
    if (j.refused)
        text_addf(why, "restart needed: %s is another user's, and the capability to write there was given up", folder);
    return j.refused;
}

/* It may have become what it is since; a restart would change nothing for the better. */
static bool is_written(const struct config *c, const char *path)
{
    const char *written[WRITTEN_MAX];
    size_t count = c ? folders_written(c, written) : 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(written[i], path) == 0)
            return true;
    return false;
}

static bool lacks_file(const struct config *c, struct text *why)
{
    const char *files[FILES_MAX];
    struct hub_kube_files kube;
    hub_kube_files(c, &kube);
    size_t count = files_read(c, &kube, files);
    for (size_t i = 0; i < count; i++)
        if (lacks(files[i], CONFINE_READ, why))
            return true;
    return false;
}

bool hub_confined_from(const struct config *c, const struct config *now, struct text *why)
{
    const char *written[WRITTEN_MAX];
    size_t written_count = folders_written(c, written);
    if (wants_mounts(c) && !confine_allows_mounts()) {
        text_add(why, "restart needed: a destination is to be mounted, and the right to mount was given up");
        return true;
    }
    if (lacks_file(c, why))
        return true;
    for (size_t i = 0; i < written_count; i++)
        if (!is_written(now, written[i]) && (lacks(written[i], CONFINE_WRITE, why) || lacks_capability(written[i], why)))
            return true;
    return false;
}
