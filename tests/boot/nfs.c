/* nfs: proves that the machine can mount an export, with the same words that holdfast gives to mount(2).
 *
 * Layer    tests.   Blocks   as long as the server does.   Memory   static.   Errors   told on the console, exit 1.
 *
 * Run by init before holdfast. /etc/nfs has lines: source, type, options, and names of outages. It mounts it on /nfs, writes
 * /nfs/from-guest (BYTES of a pattern, fsync, rename) and reads it back. For each outage it tells its name; two children write
 * until that fails or hangs; what hangs is unmounted by force. It tells what that was worth and how long it took. What even force
 * does not free, the kernel holds until the server is back: then one child is killed, which must end it at once, and the other
 * has to end when the server is back. It asks for the server back, and writes until that works again. Then it unmounts. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BYTES        (3 << 20)
#define LINE         400
#define HANGS_MS_MIN 20000
#define FREED_MS_MAX 10000
#define ENDS_MS_MAX  120000 /* a hang, on a slow machine */
#define UNKNOWN      255

static unsigned char written[BYTES], seen[BYTES];

static void fail(const char *what)
{
    (void)printf("nfs: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void line(FILE *f, char out[LINE])
{
    if (!fgets(out, LINE, f))
        fail("/etc/nfs");
    out[strcspn(out, "\n")] = 0;
}

static void put(void)
{
    for (size_t i = 0; i < BYTES; i++)
        written[i] = (unsigned char)(i * 31 + i / 251);
    int fd = open("/nfs/from-guest.part", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        fail("open");
    for (size_t at = 0; at < BYTES;) {
        ssize_t n = write(fd, written + at, BYTES - at);
        if (n < 0)
            fail("write");
        at += (size_t)n;
    }
    if (fsync(fd) != 0 || close(fd) != 0)
        fail("fsync");
    if (rename("/nfs/from-guest.part", "/nfs/from-guest") != 0)
        fail("rename");
}

static void get(void)
{
    size_t at = 0;
    ssize_t n = 1;
    int fd = open("/nfs/from-guest", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail("open again");
    while (at < BYTES && (n = read(fd, seen + at, BYTES - at)) > 0)
        at += (size_t)n;
    close(fd);
    if (n < 0 || at != BYTES || memcmp(seen, written, BYTES) != 0)
        fail("what was read is not what was written");
}

static long long now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* 0, or errno: of one small durable write. */
static int touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int e = write(fd, "x", 1) != 1 || fsync(fd) != 0 ? errno : 0;
    if (close(fd) != 0 && e == 0)
        e = errno;
    return e;
}

static char source[LINE], type[LINE], options[LINE];

static int mount_it(void)
{
    return mount(source, "/nfs", type, MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
}

/* Of a child: its exit code, -1 when it still runs by then. */
static int ended(pid_t child, long long by_ms)
{
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (now_ms() >= by_ms)
            return -1;
        (void)usleep(20000);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

/* The kernel lets its own ERESTARTSYS, 512, out of what was freed by force: no exit code. */
static int number_of(int e)
{
    return e > UNKNOWN ? UNKNOWN : e;
}

static pid_t touching(const char *path)
{
    pid_t child = fork();
    if (child == 0)
        _exit(number_of(touch(path)));
    return child;
}

/* As os_unmount() does it: each force ends what waits just then. */
static void unmount_by_force(void)
{
    for (int i = 0; i < 20; i++) {
        if (umount2("/nfs", MNT_FORCE) == 0)
            return;
        (void)usleep(50000);
    }
    if (umount2("/nfs", MNT_DETACH) != 0)
        fail("umount by force");
}

enum { FREE_TO_GO, TO_BE_KILLED, CHILDREN };
static const char *const PATHS[CHILDREN] = {"/nfs/touched", "/nfs/touched-too"};

struct outage {
    const char *name;
    pid_t children[CHILDREN];
    int ends[CHILDREN]; /* ended()'s */
    long long began_ms;
};

static bool hang(const struct outage *o)
{
    return o->ends[FREE_TO_GO] < 0 || o->ends[TO_BE_KILLED] < 0;
}

static void await(struct outage *o, long long by_ms)
{
    for (int i = 0; i < CHILDREN; i++)
        if (o->ends[i] < 0)
            o->ends[i] = ended(o->children[i], by_ms);
}

/* Writes until one does not succeed. */
static void write_until_it_ends(struct outage *o)
{
    do {
        o->began_ms = now_ms();
        for (int i = 0; i < CHILDREN; i++) {
            o->children[i] = touching(PATHS[i]);
            o->ends[i] = -1;
        }
        await(o, o->began_ms + HANGS_MS_MIN);
        (void)usleep(100000);
    } while (o->ends[FREE_TO_GO] == 0 && o->ends[TO_BE_KILLED] == 0);
}

static void kill_one(struct outage *o)
{
    long long began = now_ms();
    if (o->ends[TO_BE_KILLED] >= 0)
        return;
    (void)kill(o->children[TO_BE_KILLED], SIGKILL);
    o->ends[TO_BE_KILLED] = ended(o->children[TO_BE_KILLED], began + ENDS_MS_MAX);
    (void)printf("nfs: %s %s after %lld ms\n", o->name,
                 o->ends[TO_BE_KILLED] == EINTR ? "let itself be killed" : "could not be killed", now_ms() - began);
}

static void force(struct outage *o)
{
    long long began = now_ms();
    (void)printf("nfs: %s hangs after %lld ms\n", o->name, began - o->began_ms);
    unmount_by_force();
    await(o, began + FREED_MS_MAX);
    (void)printf("nfs: %s was %s by force after %lld ms\n", o->name, hang(o) ? "not freed" : "freed", now_ms() - began);
    kill_one(o);
}

static void outage(const char *name)
{
    struct outage o = {.name = name};
    (void)printf("nfs: outage %s\n", name);
    write_until_it_ends(&o);
    bool forced = hang(&o);
    if (forced)
        force(&o);
    else
        (void)printf("nfs: %s failed after %lld ms: %s\n", name, now_ms() - o.began_ms,
                     strerror(o.ends[0] ? o.ends[0] : o.ends[1]));
    (void)printf("nfs: back after %s\n", name);
    o.began_ms = now_ms();
    if (hang(&o)) {
        await(&o, o.began_ms + ENDS_MS_MAX);
        (void)printf("nfs: %s was %s after %lld ms\n", name, hang(&o) ? "still held" : "let go", now_ms() - o.began_ms);
    }
    while (forced && mount_it() != 0)
        (void)usleep(100000);
    while (touch(PATHS[0]) != 0)
        (void)usleep(100000);
    (void)printf("nfs: works again after %lld ms, %s\n", now_ms() - o.began_ms, name);
}

int main(void)
{
    char name[LINE];
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    FILE *f = fopen("/etc/nfs", "re");
    if (!f)
        fail("/etc/nfs");
    line(f, source);
    line(f, type);
    line(f, options);
    if (mkdir("/nfs", 0755) != 0 && errno != EEXIST)
        fail("mkdir");
    if (mount_it() != 0)
        fail("mount");
    put();
    get();
    while (fgets(name, sizeof name, f)) {
        name[strcspn(name, "\n")] = 0;
        outage(name);
    }
    (void)fclose(f);
    if (umount2("/nfs", 0) != 0)
        fail("umount");
    (void)printf("nfs: mounted %s as %s with %s, wrote and read %d bytes\n", source, type, options, BYTES);
    return 0;
}
