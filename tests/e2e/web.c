/* web: our HTTP/2 and HTTP/1.1 client as a program, for others' servers to meet (test_web.py). One fiber has many exchanges open.
 *
 *   web URL [CA] [-1] [-m METHOD] [-n TIMES] [-k IN_FLIGHT] [-b BYTES] [-w WINDOW_BYTES] [-a AGAIN_MAX] [-p]
 *       -1 offers no HTTP/2, -p prints the last body. One line tells what came of it: protocol, exchanges, connections, again
 *       (refused or cut, and sent again), statuses other than 200, bytes, and CPU and wall time of an exchange in microseconds.
 * Exit 0 good; 1 with the error on stderr; 2 usage. */
#include "net/proto/web.h"
#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "tests/e2e/pem.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define IN_FLIGHT_MAX H2_STREAMS_MAX
#define BODY_MAX      KIB(256)

static struct {
    const char *url, *ca, *method;
    unsigned times, in_flight, again_max;
    size_t body, window;
    bool no_h2, print;
} want = {.method = "GET", .times = 1, .in_flight = 1, .again_max = 1000, .window = KIB(64)};

static struct url url;
static struct dns *dns;
static struct tls_config *tls;
static struct web *web;
static struct bell bell;
static struct web_exchange *open_now[IN_FLIGHT_MAX];
static unsigned in_flight, begun, done, again, other, connections;
static uint64_t bytes_read;
static uint8_t *body;
static bool was_h2;

static double seconds_of(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static double cpu_seconds(void)
{
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    return seconds_of(&use.ru_utime) + seconds_of(&use.ru_stime);
}

static double wall_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static err connect_again(void)
{
    if (web && (web_usable(web) || in_flight > 0))
        return OK;
    web_close(web);
    web = NULL;
    TRY(web_connect(dns, &url, tls, want.window, loop_now() + SECONDS(10), &web));
    web_hang(web, &bell);
    connections++;
    was_h2 = web_is_h2(web);
    return OK;
}

/* Refused, or the connection ended before an answer: it is counted and sent again. */
static bool can_be_again(err e)
{
    return (e == E_BUSY || e == E_CLOSED || e == E_RESET) && again < want.again_max;
}

static err begin_one(bool more)
{
    static const char token[] = "Bearer 3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed7e6dc881de23001b";
    const struct http_header fields[] = {{"content-type", "application/json"}, {"authorization", token}};
    struct web_call call = {.method = want.method,
                            .path = url.path,
                            .headers = fields,
                            .header_count = COUNT_OF(fields),
                            .body = {body, want.body},
                            .more = more};
    err e = web_open(web, &call, loop_now() + SECONDS(10), &open_now[in_flight]);
    if (e == OK) {
        in_flight++;
        begun++;
    } else if (can_be_again(e)) {
        again++;
        e = OK;
    }
    return e;
}

static err begin_all(void)
{
    TRY(connect_again());
    if (in_flight > want.in_flight / 2) /* several requests leave in one write */
        return OK;
    while (begun < want.times && in_flight < want.in_flight && web_usable(web) && web_room(web) > 0)
        TRY(begin_one(begun + 1 < want.times && in_flight + 1 < want.in_flight && web_room(web) > 1));
    err_ignore(web_flush(web, loop_now() + SECONDS(10))); /* each exchange tells its death */
    return OK;
}

static err read_on(struct web_exchange *x, int *status)
{
    static char piece[16384];
    size_t got = 1;
    TRY(web_status_now(x, status));
    while (got > 0) {
        TRY(web_read_now(x, piece, sizeof piece, &got));
        bytes_read += got;
        if (want.print && done + 1 == want.times)
            (void)fwrite(piece, 1, got, stdout);
        wipe(piece, got);
    }
    return OK;
}

static void end_one(unsigned i)
{
    web_end(open_now[i]);
    open_now[i] = open_now[--in_flight];
}

static err look_at_all(void)
{
    for (unsigned i = in_flight; i-- > 0;) {
        int status = 0;
        err e = read_on(open_now[i], &status);
        if (e == E_AGAIN)
            continue;
        end_one(i);
        if (e == OK) {
            done++;
            other += status != 200;
        } else if (can_be_again(e)) {
            again++;
            begun--;
        } else {
            return e;
        }
    }
    return OK;
}

static err exchanges(void)
{
    TRY(connect_again());
    double cpu = cpu_seconds(), wall = wall_seconds();
    while (done < want.times) {
        TRY(begin_all());
        if (in_flight > 0)
            TRY(bell_wait(&bell, loop_now() + SECONDS(20)));
        TRY(look_at_all());
    }
    fprintf(stderr, "protocol=%s exchanges=%u connections=%u again=%u other=%u bytes=%llu cpu_us=%.1f wall_us=%.1f peak=%zu\n",
            was_h2 ? "h2" : "http/1.1", done, connections, again, other, (unsigned long long)bytes_read,
            (cpu_seconds() - cpu) * 1e6 / done, (wall_seconds() - wall) * 1e6 / done, mem_use(TASK_BOARD).peak_bytes);
    return OK;
}

static err tls_ready(void)
{
    struct tls_options o = {.alpn = want.no_h2 ? NULL : web_alpn};
    TRY(trust_read(want.ca, &o.trust));
    err e = tls_config_open(&o, &tls);
    tls_trust_release(o.trust);
    return e;
}

static err main_run(void *arg)
{
    char text[1024];
    (void)arg;
    err e = url_parse(want.url, &url);
    if (e == OK && want.ca)
        e = tls_ready();
    if (e == OK)
        e = dns_open(&dns);
    if (e == OK)
        e = exchanges();
    if (e != OK)
        fprintf(stderr, "web: %s %s\n", err_name(e), trail_text(e, text, sizeof text));
    while (in_flight > 0)
        end_one(0);
    web_close(web);
    dns_close(dns);
    tls_config_release(tls);
    return e;
}

static bool options_read(int count, char **at)
{
    for (int i = 0; i < count; i++) {
        bool more = i + 1 < count;
        if (strcmp(at[i], "-1") == 0)
            want.no_h2 = true;
        else if (strcmp(at[i], "-p") == 0)
            want.print = true;
        else if (strcmp(at[i], "-m") == 0 && more)
            want.method = at[++i];
        else if (strcmp(at[i], "-n") == 0 && more)
            want.times = (unsigned)strtoul(at[++i], NULL, 10);
        else if (strcmp(at[i], "-k") == 0 && more)
            want.in_flight = (unsigned)strtoul(at[++i], NULL, 10);
        else if (strcmp(at[i], "-a") == 0 && more)
            want.again_max = (unsigned)strtoul(at[++i], NULL, 10);
        else if (strcmp(at[i], "-b") == 0 && more)
            want.body = strtoul(at[++i], NULL, 10);
        else if (strcmp(at[i], "-w") == 0 && more)
            want.window = strtoul(at[++i], NULL, 10);
        else if (i == 0 && at[i][0] != '-')
            want.ca = at[i];
        else
            return false;
    }
    return want.in_flight <= IN_FLIGHT_MAX && want.body <= BODY_MAX;
}

int main(int argc, char **argv)
{
    if (argc < 2 || !options_read(argc - 2, argv + 2)) {
        fprintf(
            stderr,
            "usage: web URL [CA] [-1] [-m METHOD] [-n TIMES] [-k IN_FLIGHT] [-b BYTES] [-w WINDOW_BYTES] [-a AGAIN_MAX] [-p]\n");
        return 2;
    }
    want.url = argv[1];
    (void)setvbuf(stdout, NULL, _IONBF, 0); /* no copy of what came stays in it */
    log_setup(LOG_WARN, LOG_LOGFMT, 2);
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK || (want.body && !(body = calloc(1, want.body))))
        return 1;
    if (want.body)
        memset(body, 'x', want.body);
    return loop_run(main_run, NULL) == OK ? 0 : 1;
}
