/* bench_json: how fast json_pick reads a list of pods, by each kernel, beside cJSON. bench_simdjson.cpp reads the same file,
 * which readers.py makes.
 *
 *   bench_json FILE ROUNDS   a line each: name, MB a second of CPU (median, 10^6 bytes), pods, bytes of wanted texts, peak of
 * memory in bytes
 *
 * Layer    tests.   Blocks   seconds.   Memory   the file mapped; 1 GiB of addresses for cJSON.   Errors   exit code 1. */
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/format/json_pick.h"
#include "net/format/json_scan.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE      KIB(64)
#define ROUNDS_MAX 99

/* --- json_pick --- */

#define END                                                                                                                      \
    {                                                                                                                            \
        NULL, PICK_SCALAR, NULL                                                                                                  \
    }
static const struct pick_field owner[] = {
    {"kind", PICK_SCALAR, NULL}, {"name", PICK_SCALAR, NULL}, {"uid", PICK_SCALAR, NULL}, END};
static const struct pick_field metadata[] = {{"name", PICK_SCALAR, NULL},
                                             {"namespace", PICK_SCALAR, NULL},
                                             {"uid", PICK_SCALAR, NULL},
                                             {"resourceVersion", PICK_SCALAR, NULL},
                                             {"labels", PICK_MAP, NULL},
                                             {"ownerReferences", PICK_LIST, owner},
                                             {"creationTimestamp", PICK_SCALAR, NULL},
                                             END};
static const struct pick_field container[] = {{"name", PICK_SCALAR, NULL}, {"image", PICK_SCALAR, NULL}, END};
static const struct pick_field spec[] = {{"nodeName", PICK_SCALAR, NULL}, {"containers", PICK_LIST, container}, END};
static const struct pick_field state_of[] = {
    {"name", PICK_SCALAR, NULL}, {"ready", PICK_SCALAR, NULL}, {"restartCount", PICK_SCALAR, NULL}, END};
static const struct pick_field status[] = {
    {"phase", PICK_SCALAR, NULL}, {"podIP", PICK_SCALAR, NULL}, {"containerStatuses", PICK_LIST, state_of}, END};
static const struct pick_field pod_fields[] = {
    {"metadata", PICK_OBJECT, metadata}, {"spec", PICK_OBJECT, spec}, {"status", PICK_OBJECT, status}, END};
static const struct pick_field list_fields[] = {
    {"apiVersion", PICK_SCALAR, NULL}, {"items", PICK_EACH, pod_fields}, {"kind", PICK_SCALAR, NULL}, END};

struct sums {
    uint64_t pods, text_bytes, peak;
};

static uint64_t text_bytes(const struct pick_node *n)
{
    uint64_t bytes = pick_text(n).len;
    for (const struct pick_node *c = pick_first(n); c; c = pick_next(c))
        bytes += text_bytes(c);
    return bytes;
}

static err one_pod(void *arg, const struct pick_node *item)
{
    struct sums *s = arg;
    s->pods++;
    s->text_bytes += text_bytes(item);
    return OK;
}

static err by_json_pick(struct bytes text, struct sums *s)
{
    static struct json_pick p;
    static uint64_t arena[KIB(64) / 8];
    bool done = false;
    json_pick_open(&p, &(struct json_pick_options){list_fields, arena, sizeof arena, one_pod, s});
    for (size_t at = 0, used = 0; at < text.len && !done; at += used) {
        err e = json_pick_feed(&p, (struct bytes){text.at + at, size_min(PIECE, text.len - at)}, &used, &done);
        if (e != OK)
            return trail(e, "%s", json_pick_wrong(&p));
    }
    s->peak = json_pick_peak(&p);
    return json_pick_end(&p);
}

/* --- cJSON, with an allocator that costs next to nothing --- */

static uint8_t *pool;
static size_t pool_used;
#define POOL_BYTES MIB(1024)

static void *pool_take(size_t bytes)
{
    size_t at = pool_used;
    pool_used = size_round_up(at + bytes, 16);
    return pool_used <= POOL_BYTES ? pool + at : NULL;
}

static void pool_give(void *at)
{
    (void)at;
}

static err by_cjson(struct bytes text, struct sums *s)
{
    pool_used = 0;
    cJSON *root = cJSON_ParseWithLength((const char *)text.at, text.len);
    if (!root)
        return E_CORRUPT;
    s->pods = (uint64_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "items"));
    s->peak = pool_used;
    return OK;
}

/* --- measuring --- */

/* Of this thread's CPU, so that what else the machine does counts less. */
static int64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

typedef err reader(struct bytes text, struct sums *s);

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static err measure(const char *name, reader *read_all, struct bytes text, unsigned rounds)
{
    double speeds[ROUNDS_MAX];
    struct sums s = {0};
    for (unsigned i = 0; i < rounds; i++) {
        int64_t began_ns = cpu_ns();
        s = (struct sums){0};
        TRY(read_all(text, &s));
        speeds[i] = (double)text.len * 1000.0 / (double)(cpu_ns() - began_ns);
    }
    qsort(speeds, rounds, sizeof speeds[0], by_size);
    (void)printf("%s %.0f %llu %llu %llu\n", name, speeds[rounds / 2], (unsigned long long)s.pods,
                 (unsigned long long)s.text_bytes, (unsigned long long)s.peak);
    return OK;
}

static err measure_all(struct bytes text, unsigned rounds)
{
    static const char *const names[JSON_SCAN_KIND_COUNT] = {"json_pick/portable", "json_pick/sse2", "json_pick/avx2",
                                                            "json_pick/neon"};
    for (unsigned kind = 0; kind < JSON_SCAN_KIND_COUNT; kind++)
        if (json_scan_force((enum json_scan_kind)kind))
            TRY(measure(names[kind], by_json_pick, text, rounds));
    cJSON_Hooks hooks = {pool_take, pool_give};
    cJSON_InitHooks(&hooks);
    return measure("cJSON", by_cjson, text, rounds < 3 ? rounds : 3);
}

static int read_file(const char *file, unsigned rounds)
{
    struct stat st;
    char told[256];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return 1;
    const uint8_t *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    pool = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED || pool == MAP_FAILED)
        return 1;
    err e = measure_all((struct bytes){at, (size_t)st.st_size}, rounds);
    if (e != OK)
        (void)fprintf(stderr, "bench_json: %s\n", trail_text(e, told, sizeof told));
    return e == OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (mem_boot(profile_find("hub64"), MEM_LAZY) != OK)
        return 1;
    unsigned rounds = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    if (rounds == 0 || rounds > ROUNDS_MAX) {
        (void)fprintf(stderr, "usage: bench_json FILE ROUNDS\n");
        return 2;
    }
    return read_file(argv[1], rounds);
}
