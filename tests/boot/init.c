/* init: what a machine has before holdfast: it loads the modules of /modules in order, brings the card up as qemu's user network
 * wants it, runs /before where there is one, leaves a witness and two orphans behind, and becomes `/holdfast run`, which stays
 * PID 1.
 *
 * Layer    tests.   Blocks   up to 10 s for the card.   Memory   static.   Errors   told on the console; then the kernel panics.
 *
 * The witness listens on port 9465 and answers one word a connection: "zombies" how many there are, "orphan" makes one,
 * "end" sends SIGTERM to PID 1. It needs /proc, which holdfast mounts. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODULES_MAX  64
#define WITNESS_PORT 9465
#define CARD_TRIES   100 /* of 100 ms */

static void fail(const char *what)
{
    (void)printf("boot: %s: %s\n", what, strerror(errno));
    _exit(1);
}

/* --- the card --- */
static void load_modules(void)
{
    for (int i = 0; i < MODULES_MAX; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "/modules/%02d.ko", i);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return;
        if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)
            fail(path);
        close(fd);
    }
}

static struct sockaddr address(const char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct sockaddr out;
    (void)inet_pton(AF_INET, text, &a.sin_addr);
    memcpy(&out, &a, sizeof out);
    return out;
}

static void bring_up(int s, const char *name, const char *ip, const char *mask)
{
    struct ifreq r = {0};
    (void)snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    for (int i = 0; ioctl(s, SIOCGIFFLAGS, &r) != 0; i++) {
        if (i == CARD_TRIES)
            fail(name);
        usleep(100000);
    }
    short flags = r.ifr_flags;
    r.ifr_addr = address(ip);
    if (ioctl(s, SIOCSIFADDR, &r) != 0)
        fail("the card's address");
    r.ifr_netmask = address(mask);
    if (ioctl(s, SIOCSIFNETMASK, &r) != 0)
        fail("the card's mask");
    r.ifr_flags = (short)(flags | IFF_UP);
    if (ioctl(s, SIOCSIFFLAGS, &r) != 0)
        fail("the card");
}

static void network_up(void)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bring_up(s, "lo", "127.0.0.1", "255.0.0.0");
    bring_up(s, "eth0", "10.0.2.15", "255.255.255.0"); /* qemu's user network, its defaults */
    struct rtentry route = {.rt_dst = address("0.0.0.0"),
                            .rt_gateway = address("10.0.2.2"),
                            .rt_genmask = address("0.0.0.0"),
                            .rt_flags = RTF_UP | RTF_GATEWAY};
    if (ioctl(s, SIOCADDRT, &route) != 0)
        fail("the default route");
    close(s);
}

/* --- what a test wants done first --- */
static void run_before(void)
{
    pid_t child = access("/before", X_OK) == 0 ? fork() : -1;
    int status = 0;
    if (child == 0) {
        (void)execl("/before", "/before", (char *)NULL);
        fail("/before");
    }
    if (child > 0 && waitpid(child, &status, 0) == child)
        (void)printf("boot: before ended with %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* --- the witness --- */
static bool is_zombie(const char *pid)
{
    char path[64], state = 0;
    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    int fields = fscanf(f, "%*d (%*[^)]) %c", &state);
    (void)fclose(f);
    return fields == 1 && state == 'Z';
}

static int zombies(void)
{
    int count = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));)
        count += e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_zombie(e->d_name);
    if (d)
        (void)closedir(d);
    return d ? count : -1;
}

/* A process whose parent is gone before it: PID 1 has to take it over, and away. */
static void orphan(unsigned lives_us)
{
    pid_t parent = fork();
    if (parent != 0)
        return;
    if (fork() == 0)
        usleep(lives_us);
    _exit(0);
}

static void answer(int fd)
{
    char word[16] = "", said[32];
    if (read(fd, word, sizeof word - 1) <= 0)
        return;
    if (strncmp(word, "orphan", 6) == 0) {
        orphan(300000);
        (void)waitpid(-1, NULL, 0); /* the orphan's parent is ours */
    }
    if (strncmp(word, "end", 3) == 0)
        (void)kill(1, SIGTERM);
    int len = snprintf(said, sizeof said, "%d\n", zombies());
    if (write(fd, said, (size_t)len) != len)
        return;
}

static void witness(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(WITNESS_PORT)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 8) != 0)
        fail("the witness");
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        answer(fd);
        close(fd);
    }
}

int main(void)
{
    char *const arguments[] = {(char[]){"/holdfast"}, (char[]){"run"}, NULL}, *const environment[] = {NULL};
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    load_modules();
    network_up();
    if (fork() == 0)
        witness();
    orphan(0);       /* ends before holdfast is there */
    orphan(3000000); /* and after */
    (void)printf("boot: the network is up\n");
    run_before();
    (void)execve("/holdfast", arguments, environment);
    fail("/holdfast");
}
