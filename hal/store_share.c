/* Locks between the connections of one store, and the WAL's index, which lies in our memory. The mutex is never held over a call
 * of the disk. */
#include "hal/store_inside.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(STORE_SHARED_LOCKS == SQLITE_SHM_NLOCK, "as many as the library has");

struct store_share {
    pthread_mutex_t mutex;
    unsigned readers;     /* connections at SQLITE_LOCK_SHARED or above */
    const void *reserved; /* who is at SQLITE_LOCK_RESERVED or above */
    const void *pending;  /* who lets nobody in any more */
    unsigned joined;      /* connections that use the index */
    void *regions[STORE_SHARED_REGIONS_MAX];
    unsigned shared[STORE_SHARED_LOCKS]; /* how many have it */
    unsigned exclusive;                  /* a bit each */
};

err store_share_open(struct store_share **out)
{
    struct store_share *s = *out = calloc(1, sizeof *s);
    if (s == NULL)
        return E_BUDGET;
    pthread_mutex_init(&s->mutex, NULL); /* without attributes it cannot fail */
    return OK;
}

static void regions_free(struct store_share *s)
{
    for (size_t i = 0; i < STORE_SHARED_REGIONS_MAX; i++) {
        free(s->regions[i]);
        s->regions[i] = NULL;
    }
}

void store_share_close(struct store_share *s)
{
    if (s == NULL)
        return;
    regions_free(s);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

/* --- the database's file --- */

static bool lock_more(struct store_share *s, const void *who, int *level, int wanted)
{
    bool others_pending = s->pending != NULL && s->pending != who;
    bool others_reserved = s->reserved != NULL && s->reserved != who;
    if (wanted == SQLITE_LOCK_SHARED) {
        s->readers += others_pending ? 0 : 1;
        *level = others_pending ? *level : SQLITE_LOCK_SHARED;
        return !others_pending;
    }
    if (others_pending || others_reserved)
        return false;
    s->reserved = who;
    *level = SQLITE_LOCK_RESERVED;
    if (wanted == SQLITE_LOCK_RESERVED)
        return true;
    s->pending = who;
    *level = s->readers > 1 ? SQLITE_LOCK_PENDING : SQLITE_LOCK_EXCLUSIVE;
    return *level >= wanted;
}

bool store_share_lock(struct store_share *s, const void *who, int *level, int wanted)
{
    if (*level >= wanted)
        return true;
    pthread_mutex_lock(&s->mutex);
    bool got = lock_more(s, who, level, wanted);
    pthread_mutex_unlock(&s->mutex);
    return got;
}

void store_share_unlock(struct store_share *s, const void *who, int *level, int wanted)
{
    if (*level <= wanted)
        return;
    pthread_mutex_lock(&s->mutex);
    if (s->reserved == who)
        s->reserved = NULL;
    if (s->pending == who)
        s->pending = NULL;
    if (wanted == SQLITE_LOCK_NONE)
        s->readers--;
    *level = wanted;
    pthread_mutex_unlock(&s->mutex);
}

bool store_share_is_reserved(struct store_share *s)
{
    pthread_mutex_lock(&s->mutex);
    bool reserved = s->reserved != NULL;
    pthread_mutex_unlock(&s->mutex);
    return reserved;
}

/* --- the WAL's index --- */

static err region_make(struct store_share *s, unsigned index, size_t bytes)
{
    if (s->regions[index] == NULL)
        s->regions[index] = calloc(1, bytes);
    return s->regions[index] != NULL ? OK : E_BUDGET;
}

err store_share_region(struct store_share *s, struct store_share_mine *m, unsigned index, size_t bytes, bool make,
                       void volatile **out)
{
    err e = OK;
    *out = NULL;
    if (index >= STORE_SHARED_REGIONS_MAX)
        return E_BUDGET;
    pthread_mutex_lock(&s->mutex);
    s->joined += m->joined ? 0 : 1;
    m->joined = true;
    if (make)
        e = region_make(s, index, bytes);
    *out = s->regions[index];
    pthread_mutex_unlock(&s->mutex);
    return e;
}

static bool take_shared(struct store_share *s, struct store_share_mine *m, unsigned slot)
{
    if (m->shared & 1u << slot)
        return true;
    if (s->exclusive & 1u << slot)
        return false;
    s->shared[slot]++;
    m->shared |= 1u << slot;
    return true;
}

static bool take_exclusive(struct store_share *s, struct store_share_mine *m, unsigned first, unsigned count)
{
    unsigned bits = ((1u << count) - 1) << first;
    for (unsigned i = first; i < first + count; i++)
        if (s->shared[i] > 0)
            return false;
    if (s->exclusive & bits)
        return false;
    s->exclusive |= bits;
    m->exclusive |= bits;
    return true;
}

bool store_share_take(struct store_share *s, struct store_share_mine *m, unsigned first, unsigned count, bool exclusive)
{
    pthread_mutex_lock(&s->mutex);
    bool got = exclusive ? take_exclusive(s, m, first, count) : take_shared(s, m, first);
    pthread_mutex_unlock(&s->mutex);
    return got;
}

void store_share_give(struct store_share *s, struct store_share_mine *m, unsigned first, unsigned count)
{
    unsigned bits = ((1u << count) - 1) << first;
    pthread_mutex_lock(&s->mutex);
    for (unsigned i = first; i < first + count; i++)
        if (m->shared & 1u << i)
            s->shared[i]--;
    s->exclusive &= ~(bits & m->exclusive);
    m->shared &= ~bits;
    m->exclusive &= ~bits;
    pthread_mutex_unlock(&s->mutex);
}

void store_share_leave(struct store_share *s, struct store_share_mine *m)
{
    if (!m->joined)
        return;
    store_share_give(s, m, 0, STORE_SHARED_LOCKS);
    pthread_mutex_lock(&s->mutex);
    m->joined = false;
    if (--s->joined == 0)
        regions_free(s); /* whoever comes next builds the index anew from the WAL */
    pthread_mutex_unlock(&s->mutex);
}
