/* mount: hal/mount.h against a real kernel and a real NFS server, inside the virtual machine (test_nfs.py), where it runs before
 * the hub.
 *
 *   mount IP:PORT EXPORT NOBODY-IP:PORT        or without arguments, these words from /etc/mount
 * Prints a line a step: its name, the error's name or what was found. Exit 0 when it got to the end; 1; 2 usage. */
#include "hal/mount.h"
#include "board/rt/buf.h"
#include "board/rt/fiber.h"
#include "board/rt/file.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH       "/nas"
#define OUTAGE_MS  SECONDS(40) /* until somebody has stopped the server, and brought it back */
#define PATIENT_MS SECONDS(30)
#define BRIEF_MS   SECONDS(4)

static char words[3][128]; /* server, export, where nobody listens */
static struct lane mounts, files, looks;

static void step(const char *name, err e)
{
    char text[512];
    (void)printf("mount: %s: %s%s%s\n", name, err_name(e), e == OK ? "" : ": ", e == OK ? "" : trail_text(e, text, sizeof text));
    trail_clear();
}

static err ask(const char *name, const char *at, const char *export)
{
    bool ours = false;
    struct mount_nfs m = {.server = "nas", .export = export, .path = PATH, .version_minor = 1, .timeout_ds = 10, .retries = 2};
    TRY(addr_parse(bytes_of(at), &m.at));
    err e = mount_nfs(&mounts, &m, loop_now() + PATIENT_MS, &ours);
    step(name, e);
    (void)printf("mount: %s: ours %d\n", name, ours);
    return OK;
}

static void look(const char *name)
{
    struct mount_state s;
    err e = mount_look(&looks, PATH, loop_now() + PATIENT_MS, &s);
    step(name, e);
    (void)printf("mount: %s: %s %s %s\n", name, s.mounted ? "mounted" : "nothing", s.type, s.source);
}

static err put(const char *name)
{
    struct writer *w = NULL;
    struct buf *b = NULL;
    err e = writer_open(&files, PATH "/from-holdfast", 1, NULL, 0, loop_now() + PATIENT_MS, &w);
    if (e == OK)
        e = buf_take(KIB(64), &b);
    if (e == OK) {
        memset(b->at, 'h', b->cap);
        b->len = b->cap;
        e = writer_append(w, b, false, loop_now() + PATIENT_MS);
    }
    if (e == OK)
        e = writer_commit(w, loop_now() + PATIENT_MS);
    writer_close(w);
    step(name, e);
    return e;
}

static err stuck(void)
{
    struct os_stat s;
    err e = OK;
    ms until = loop_now() + OUTAGE_MS;
    (void)printf("mount: stop the server\n");
    while (e == OK && loop_now() < until) {
        err_ignore(fiber_sleep(loop_now() + 100));
        e = file_space(&files, PATH, loop_now() + BRIEF_MS, &(uint64_t){0}, &(uint64_t){0});
    }
    step("a server that is stuck", e);
    step("on the same lane", file_stat(&files, PATH, loop_now() + BRIEF_MS, &s));
    (void)printf("mount: written off: %u\n", pool_stats().written_off);
    look("looked at, stuck");
    step("removed, stuck", mount_remove(&mounts, PATH, loop_now() + BRIEF_MS));
    look("looked at, removed");
    (void)printf("mount: start the server\n");
    for (until = loop_now() + PATIENT_MS; pool_stats().written_off > 0 && loop_now() < until;)
        err_ignore(fiber_sleep(loop_now() + 50));
    (void)printf("mount: written off afterwards: %u\n", pool_stats().written_off);
    return OK;
}

static err main_run(void *arg)
{
    (void)arg;
    lane_open(&mounts, "mounts", TASK_BOARD, 4);
    lane_open(&looks, "looks", TASK_BOARD, 4);
    lane_open(&files, "files", TASK_BOARD, 4);
    look("looked at, nothing there");
    TRY(ask("nobody listens", words[2], words[1]));
    TRY(ask("no such export", words[0], "/no-such-export"));
    TRY(ask("mounted", words[0], words[1]));
    look("looked at, mounted");
    TRY(ask("once more", words[0], words[1]));
    TRY(ask("another on top", words[0], "/another"));
    TRY(put("written"));
    TRY(stuck());
    err_ignore(fiber_sleep(loop_now() + SECONDS(2)));
    TRY(ask("mounted again", words[0], words[1]));
    step("removed", mount_remove(&mounts, PATH, loop_now() + PATIENT_MS));
    step("removed twice", mount_remove(&mounts, PATH, loop_now() + PATIENT_MS));
    lane_close(&files);
    lane_close(&looks);
    lane_close(&mounts);
    return OK;
}

static bool read_words(void)
{
    FILE *f = fopen("/etc/mount", "re");
    int count = f ? fscanf(f, "%127s %127s %127s", words[0], words[1], words[2]) : 0;
    if (f)
        (void)fclose(f);
    return count == 3;
}

int main(int argc, char **argv)
{
    for (int i = 1; argc == 4 && i < argc; i++)
        (void)snprintf(words[i - 1], sizeof words[i - 1], "%s", argv[i]);
    if (argc != 4 && !read_words()) {
        (void)fprintf(stderr, "usage: mount IP:PORT EXPORT NOBODY-IP:PORT\n");
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    bool own_proc = access("/proc/self", F_OK) != 0; /* the hub mounts it, later */
    if (own_proc && ((mkdir("/proc", 0755) != 0 && errno != EEXIST) || mount("proc", "/proc", "proc", 0, NULL) != 0))
        return 1;
    log_setup(LOG_WARN, LOG_LOGFMT, 2);
    if (mem_boot(&profile_edge16, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    err e = loop_run(main_run, NULL);
    if (own_proc)
        (void)umount("/proc");
    return e == OK ? 0 : 1;
}
