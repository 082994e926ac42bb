/* mount: what may stick in the kernel runs as a job with its own copy of everything; the words are made here. */
#include "hal/mount_table.h"

#include "board/rt/file.h"
#include "board/rt/text.h"
#include "hal/confine.h"
#include "net/proto/stream.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE           "/proc/self/mountinfo"
#define TABLE_BYTES_MAX MIB(4) /* some thousands of mounts */
#define NFS_PORT        2049
#define KNOCK_MS_MAX    SECONDS(10)

/* --- looking --- */
struct look_job {
    char path[OS_PATH_MAX];
    struct mount_state found;
};
_Static_assert(sizeof(struct look_job) <= JOB_BYTES_MAX, "it is copied");

/* What of window[0, *len) are whole lines; the rest moves to its start. The last one that is of the path counts: it lies on top.
 * A line longer than the window is not ours: its parts are no lines either. */
static void lines_take(uint8_t *window, size_t *len, size_t cap, struct look_job *j)
{
    size_t at = 0;
    const uint8_t *end;
    while (at < *len && (end = memchr(window + at, '\n', *len - at)) != NULL) {
        struct mount_state one = {0};
        if (mount_line_is_of((struct bytes){window + at, (size_t)(end - window) - at}, j->path, &one))
            j->found = one;
        at = (size_t)(end - window) + 1;
    }
    if (at == 0 && *len == cap)
        at = *len;
    *len -= at;
    memmove(window, window + at, *len);
}

static err table_read(os_fd fd, struct look_job *j)
{
    uint8_t window[KIB(8)];
    size_t len = 0, got = 0;
    for (uint64_t at = 0; at < TABLE_BYTES_MAX; at += got) {
        TRY(os_file_read(fd, at, window + len, sizeof window - len, &got));
        if (got == 0)
            return OK;
        len += got;
        lines_take(window, &len, sizeof window, j);
    }
    return trail(E_RANGE, "more than %zu bytes of mounts", TABLE_BYTES_MAX);
}

static err look_run(void *job)
{
    struct look_job *j = job;
    os_fd fd = -1;
    j->found = (struct mount_state){0};
    TRY(trail(os_file_open(TABLE, OS_READ, &fd), TABLE));
    err e = table_read(fd, j);
    os_file_close(fd);
    return e == OK ? OK : trail(e, TABLE);
}

static err path_copy(const char *path, char out[OS_PATH_MAX])
{
    size_t len = strlen(path);
    if (path[0] != '/' || len >= OS_PATH_MAX)
        return trail(E_INVALID, "a mount point is a whole path of %d characters at most: %s", OS_PATH_MAX - 1, path);
    memcpy(out, path, len + 1);
    return OK;
}

err mount_look(struct lane *l, const char *path, ms deadline, struct mount_state *out)
{
    struct look_job j;
    TRY(path_copy(path, j.path));
    err e = lane_call(l, look_run, &j, sizeof j, NULL, deadline);
    *out = e == OK ? j.found : (struct mount_state){0};
    return e;
}

/* --- mounting --- */
struct mount_job {
    char path[OS_PATH_MAX], source[MOUNT_SOURCE_MAX], options[MOUNT_OPTIONS_MAX];
};
_Static_assert(sizeof(struct mount_job) <= JOB_BYTES_MAX, "it is copied");

static err mount_run(void *job)
{
    struct mount_job *j = job;
    return os_mount(j->source, j->path, "nfs4", j->options);
}

/* --- asking the server, without the kernel --- */
static err ping(struct stream *s, ms deadline)
{
    uint8_t call[MOUNT_CALL_BYTES], answer[MOUNT_ANSWER_BYTES] = {0};
    uint32_t xid = 0;
    size_t len = 0;
    os_random(&xid, sizeof xid);
    mount_call(xid, call);
    TRY(stream_write(s, call, sizeof call, deadline));
    TRY(trail(stream_read_full(s, answer, MOUNT_MARK_BYTES, deadline), "waiting for its answer"));
    TRY(mount_answer_length(answer, &len));
    len = size_min(len, sizeof answer - MOUNT_MARK_BYTES);
    TRY(trail(stream_read_full(s, answer + MOUNT_MARK_BYTES, len, deadline), "waiting for the rest of its answer"));
    return mount_answer(xid, answer);
}

err mount_knock(const struct addr *at, ms deadline)
{
    struct addr to = *at;
    struct stream *s = NULL;
    ms until = ms_min(deadline, loop_now() + KNOCK_MS_MAX);
    to.port = to.port ? to.port : NFS_PORT;
    TRY(tcp_connect(&to, until, &s));
    err e = ping(s, until);
    stream_close(s);
    return e;
}

static err knock_each(const struct dns_answer *found, uint16_t port, ms deadline, struct addr *out)
{
    err e = E_NAME;
    for (unsigned i = 0; i < found->count && e != E_CANCELED; i++) {
        uint64_t mark = trail_mark();
        char text[ADDR_TEXT_MAX];
        *out = found->addresses[i];
        out->port = port ? port : NFS_PORT;
        e = mount_knock(out, loop_now() + (deadline - loop_now()) / (found->count - i));
        if (e == OK) {
            trail_rewind(mark);
            return OK;
        }
        e = trail(e, "knocking at %s", addr_text(out, text, sizeof text));
    }
    return e;
}

err mount_server(struct dns *d, const char *name, uint16_t port, ms deadline, struct addr *out)
{
    struct dns_answer *found = malloc(sizeof *found); /* 2 KiB, not for a fiber's stack */
    if (!found)
        return E_BUDGET;
    uint64_t mark = trail_mark();
    err e = dns_lookup(d, name, deadline, found);
    if (e == OK)
        e = knock_each(found, port, deadline, out);
    free(found);
    if (e == OK)
        trail_rewind(mark);
    return trail(e, "asking the NFS server %s whether it is there", name);
}

static err words_of(err e)
{
    switch ((int)e) {
    case E_DENIED:
        return trail(e, "mounting needs CAP_SYS_ADMIN; mount it yourself and give mount: false");
    case E_UNSUPPORTED:
        return trail(e, "this kernel has no NFSv4; load its modules, or mount it yourself and give mount: false");
    case E_REMOTE:
        return trail(e, "the server does not let this host mount it; look at its list of clients");
    case E_ABSENT:
        return trail(e, "the server has no such export");
    case E_INVALID:
        return trail(e, "the kernel refuses the mount options");
    default:
        return e;
    }
}

/* What is mounted shows where a path leads, not how it was written: under another name it would never be found again. */
static err plain_run(void *job)
{
    struct look_job *j = job;
    char real[PATH_MAX];
    size_t len = strlen(j->path);
    while (len > 1 && j->path[len - 1] == '/')
        j->path[--len] = 0;
    if (!realpath(j->path, real) || strcmp(real, j->path) == 0)
        return OK; /* what cannot be told, mount(2) tells */
    return trail(E_INVALID, "%s is %.200s by links, or not written plainly; give that as path", j->path, real);
}

err mount_path_check(struct lane *l, const char *path, ms deadline)
{
    struct look_job j;
    TRY(path_copy(path, j.path));
    return lane_call(l, plain_run, &j, sizeof j, NULL, deadline);
}

static err mount_new(struct lane *l, const struct mount_nfs *m, struct mount_job *j, ms deadline)
{
    if (!confine_allows_mounts())
        return trail(E_DENIED, "restart needed: the right to mount was given up when nothing was to be mounted");
    TRY(mount_options(m, j->options));
    TRY(trail(file_make_folder(l, j->path, deadline), "making the folder to mount on"));
    TRY(mount_path_check(l, j->path, deadline));
    TRY(mount_knock(&m->at, deadline));
    return words_of(lane_call(l, mount_run, j, sizeof *j, NULL, deadline));
}

static bool is_nfs(const char *type)
{
    return strcmp(type, "nfs") == 0 || strcmp(type, "nfs4") == 0;
}

static err mount_there(struct lane *l, const struct mount_nfs *m, struct mount_job *j, ms deadline, bool *ours)
{
    struct mount_state state;
    TRY(mount_look(l, j->path, deadline, &state));
    if (state.mounted && is_nfs(state.type) && strcmp(state.source, j->source) == 0)
        return OK;
    if (state.mounted)
        return trail(E_BUSY, "%s (%s) is mounted there; unmount it or give another path", state.source, state.type);
    TRY(mount_new(l, m, j, deadline));
    *ours = true;
    return OK;
}

err mount_nfs(struct lane *l, const struct mount_nfs *m, ms deadline, bool *ours)
{
    struct mount_job j;
    *ours = false;
    err e = path_copy(m->path, j.path);
    if (e == OK)
        e = mount_source(m, j.source);
    if (e == OK)
        e = mount_there(l, m, &j, deadline, ours);
    return e == OK ? OK : trail(e, "mounting %s:%s on %s", m->server, m->export, m->path);
}

/* --- unmounting --- */
struct unmount_job {
    char path[OS_PATH_MAX];
};

static err unmount_run(void *job)
{
    struct unmount_job *j = job;
    err e = os_unmount(j->path);
    return e == E_INVALID ? E_ABSENT : e;
}

err mount_remove(struct lane *l, const char *path, ms deadline)
{
    struct unmount_job j;
    TRY(path_copy(path, j.path));
    err e = lane_call(l, unmount_run, &j, sizeof j, NULL, deadline);
    return e == OK ? OK : trail(e, "unmounting %s", path);
}
