/* nfs: proves that the machine can mount an export, with the same words that holdfast gives to mount(2).
 *
 * Layer    tests.   Blocks   as long as the server does.   Memory   static.   Errors   told on the console, exit 1.
 *
 * Run by init before holdfast. /etc/nfs has three lines: source, type, options. It mounts it on /nfs, writes /nfs/from-guest
 * (BYTES of a pattern, fsync, rename), reads it back, and unmounts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES (3 << 20)
#define LINE  400

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

int main(void)
{
    char source[LINE], type[LINE], options[LINE];
    FILE *f = fopen("/etc/nfs", "re");
    if (!f)
        fail("/etc/nfs");
    line(f, source);
    line(f, type);
    line(f, options);
    (void)fclose(f);
    if (mkdir("/nfs", 0755) != 0 && errno != EEXIST)
        fail("mkdir");
    if (mount(source, "/nfs", type, MS_NOSUID | MS_NODEV | MS_NOEXEC, options) != 0)
        fail("mount");
    put();
    get();
    if (umount2("/nfs", 0) != 0)
        fail("umount");
    (void)printf("nfs: mounted %s as %s with %s, wrote and read %d bytes\n", source, type, options, BYTES);
    return 0;
}
