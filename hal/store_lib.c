/* The library's needs of its host: mutexes, time, randomness, and a VFS of its name. Its allocator is the C library's, so ours.
 */
#include "hal/store_inside.h"

#include <pthread.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdlib.h>

/* --- mutexes: without an operating system of its own the library has none that lock --- */

struct sqlite3_mutex {
    pthread_mutex_t mutex;
};

#define STATIC_FIRST SQLITE_MUTEX_STATIC_MAIN
#define STATIC_LAST  SQLITE_MUTEX_STATIC_VFS3

static struct sqlite3_mutex statics[STATIC_LAST - STATIC_FIRST + 1];

static void mutex_init(struct sqlite3_mutex *m, bool recursive)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    if (recursive)
        pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&m->mutex, &kind);
    pthread_mutexattr_destroy(&kind);
}

static int mutexes_init(void)
{
    for (size_t i = 0; i < COUNT_OF(statics); i++)
        mutex_init(&statics[i], false);
    return SQLITE_OK;
}

static int mutexes_end(void)
{
    return SQLITE_OK;
}

static sqlite3_mutex *mutex_alloc(int kind)
{
    if (kind >= STATIC_FIRST)
        return kind <= STATIC_LAST ? &statics[kind - STATIC_FIRST] : NULL;
    struct sqlite3_mutex *m = malloc(sizeof *m);
    if (m != NULL)
        mutex_init(m, kind == SQLITE_MUTEX_RECURSIVE);
    return m;
}

static void mutex_free(sqlite3_mutex *m)
{
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

static void mutex_enter(sqlite3_mutex *m)
{
    pthread_mutex_lock(&m->mutex);
}

static int mutex_try(sqlite3_mutex *m)
{
    return pthread_mutex_trylock(&m->mutex) == 0 ? SQLITE_OK : SQLITE_BUSY;
}

static void mutex_leave(sqlite3_mutex *m)
{
    pthread_mutex_unlock(&m->mutex);
}

/* --- time and randomness --- */

/* Only between two looks at the WAL's index that another connection is changing: microseconds. */
int store_lib_sleep(struct sqlite3_vfs *v, int microseconds)
{
    (void)v;
    int64_t until_ns = os_mono_ns() + (int64_t)microseconds * 1000;
    while (os_mono_ns() < until_ns)
        sched_yield();
    return microseconds;
}

int store_lib_random(struct sqlite3_vfs *v, int bytes, char *out)
{
    (void)v;
    os_random(out, (size_t)bytes);
    return bytes;
}

/* Milliseconds since noon of 24 November 4714 BC, https://sqlite.org/c3ref/vfs.html: 2,440,587.5 days before 1970. */
int store_lib_now(struct sqlite3_vfs *v, long long *out)
{
    (void)v;
    *out = 210866760000000 + os_wall_ms();
    return SQLITE_OK;
}

/* --- the VFS that the library wants to have before it is asked for any other; it opens nothing --- */

static int open_nothing(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *flags_out)
{
    (void)v;
    (void)name;
    (void)flags;
    (void)flags_out;
    f->pMethods = NULL;
    return SQLITE_CANTOPEN;
}

static sqlite3_vfs nothing = {.iVersion = 2,
                              .szOsFile = sizeof(sqlite3_file),
                              .mxPathname = OS_PATH_MAX,
                              .zName = "holdfast",
                              .xOpen = open_nothing,
                              .xRandomness = store_lib_random,
                              .xSleep = store_lib_sleep,
                              .xCurrentTimeInt64 = store_lib_now};

int sqlite3_os_init(void)
{
    return sqlite3_vfs_register(&nothing, 1);
}

int sqlite3_os_end(void)
{
    return SQLITE_OK;
}

static err lib_start(void)
{
    static const sqlite3_mutex_methods mutexes = {.xMutexInit = mutexes_init,
                                                  .xMutexEnd = mutexes_end,
                                                  .xMutexAlloc = mutex_alloc,
                                                  .xMutexFree = mutex_free,
                                                  .xMutexEnter = mutex_enter,
                                                  .xMutexTry = mutex_try,
                                                  .xMutexLeave = mutex_leave};
    int code = sqlite3_config(SQLITE_CONFIG_MUTEX, &mutexes);
    if (code == SQLITE_OK)
        code = sqlite3_initialize();
    if (code == SQLITE_OK)
        return OK;
    return trail(code == SQLITE_NOMEM ? E_BUDGET : E_INVALID, "starting SQLite: %s", sqlite3_errstr(code));
}

err store_lib_start(void)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    static bool started;
    err e = OK;
    pthread_mutex_lock(&once);
    if (!started)
        e = lib_start();
    started = e == OK;
    pthread_mutex_unlock(&once);
    return e;
}
