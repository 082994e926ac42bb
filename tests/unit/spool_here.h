/* spool_here: a spool on the real disk, in a folder of its own, for tests/unit/test_spool*.c.
 *
 * Layer    tests.   Owner   static: folder and lane.   Blocks   as the spool does.   Memory   TASK_BOARD, given back by the end.
 * Errors   a failed CHECK(). */
#ifndef HOLDFAST_TEST_SPOOL_HERE_H
#define HOLDFAST_TEST_SPOOL_HERE_H

#include "tests/unit/check.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "hal/spool.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define SOON    (loop_now() + SECONDS(60))
#define SEGMENT KIB(64)
#define CLUSTER "cluster-a https://platform.example"

static char folder[] = "/tmp/test_spool-XXXXXX";
static struct lane lane;

static inline void folder_each(void (*each)(const char *path, void *arg), void *arg)
{
    char path[OS_PATH_MAX];
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            each(path, arg);
        }
    if (d)
        closedir(d);
}

static inline void remove_one(const char *path, void *arg)
{
    (void)arg;
    unlink(path);
}

static inline void folder_empty(void)
{
    folder_each(remove_one, NULL);
}

static inline void count_one(const char *path, void *arg)
{
    (void)path;
    ++*(unsigned *)arg;
}

static inline unsigned folder_files(void)
{
    unsigned count = 0;
    folder_each(count_one, &count);
    return count;
}

static inline void lane_once(void)
{
    if (!lane.open)
        lane_open(&lane, "spool", TASK_BOARD, 4);
}

static inline struct spool_options options(void)
{
    return (struct spool_options){.folder = folder,
                                  .identity = CLUSTER,
                                  .lane = &lane,
                                  .task = TASK_BOARD,
                                  .bytes_max = 6 * SEGMENT,
                                  .segment_bytes = SEGMENT,
                                  .buffer_bytes = KIB(16),
                                  .records_max = 64,
                                  .gather_ms = 100};
}

static inline struct spool *opened_with(const struct spool_options *o)
{
    struct spool *s = NULL;
    char why[300];
    lane_once();
    err e = spool_open(o, SOON, &s);
    if (e != OK)
        print_error("%s\n", trail_text(e, why, sizeof why));
    CHECK(e == OK);
    return s;
}

static inline struct spool *opened(void)
{
    struct spool_options o = options();
    return opened_with(&o);
}

struct body {
    err (*run)(void);
};

static inline err loop_body(void *arg)
{
    err e = ((const struct body *)arg)->run();
    lane_close(&lane);
    return e;
}

static inline void run(err (*body)(void))
{
    folder_empty();
    size_t before = mem_use(TASK_BOARD).used_bytes; /* the test library's own */
    fibers_run(loop_body, &(struct body){body}, OK);
    assert_int_equal(mem_use(TASK_BOARD).used_bytes, before);
}

static inline err put(struct spool *s, uint8_t key, enum spool_type type, const char *body, size_t bytes)
{
    uint8_t digest[SPOOL_KEY_BYTES] = {key};
    uint64_t seq;
    return spool_append(s, digest, type, (struct bytes){(const uint8_t *)body, bytes}, SOON, &seq);
}

static inline int folder_make(void **state)
{
    (void)state;
    log_setup(LOG_ERROR, LOG_LOGFMT, STDERR_FILENO);
    return mkdtemp(folder) == NULL;
}

static inline int folder_remove(void **state)
{
    (void)state;
    folder_empty();
    return rmdir(folder);
}

#endif
