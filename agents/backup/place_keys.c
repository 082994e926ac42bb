/* place_keys: what S3 requests are signed with. Files are looked at before each request and read again when they are others: a
 * mounted Secret is replaced while we run. Never in a log, a trail or a metric; wiped when they are let go. */
#include "agents/backup/place_keys.h"

#include "board/rt/file.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MS_MAX SECONDS(10)

/* the field, its file's key, the environment's name, whether there must be one */
#define KEY_TABLE(X)                                                                                                             \
    X(access_key, "AWS_ACCESS_KEY_ID", true)                                                                                     \
    X(secret_key, "AWS_SECRET_ACCESS_KEY", true)                                                                                 \
    X(session_token, "AWS_SESSION_TOKEN", false)

enum {
#define X(field, variable, needed) KEY_##field,
    KEY_TABLE(X)
#undef X
        KEY_COUNT
};

struct place_keys {
    struct lane *files;
    const struct config_destination *config;
    struct os_stat seen[KEY_COUNT]; /* of the files, when they were read */
    bool loaded;
    struct s3_credentials now;
};

static const char *file_of(const struct place_keys *k, size_t which)
{
    const char *const files[] = {
#define X(field, variable, needed) k->config->field##_file,
        KEY_TABLE(X)
#undef X
    };
    return files[which];
}

/* One word of printable ASCII: a newline behind it is an editor's. */
static err take_word(struct bytes text, char *out, size_t cap, const char *from)
{
    if (text.len > 0 && text.at[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.at[text.len - 1] == '\r')
        text.len--;
    if (text.len == 0)
        return trail(E_INVALID, "%s is empty: the key belongs there, on one line", from);
    if (text.len >= cap)
        return trail(E_INVALID, "%s is longer than %zu bytes: only the key belongs there", from, cap - 1);
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] >= 0x7f)
            return trail(E_INVALID, "%s has a blank or a strange byte in it: only the key belongs there", from);
    memcpy(out, text.at, text.len);
    out[text.len] = 0;
    return OK;
}

/* --- files --- */

static bool is_same(const struct os_stat *a, const struct os_stat *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes && a->modified_ms == b->modified_ms;
}

static err look(struct place_keys *k, struct os_stat now[KEY_COUNT], bool *same)
{
    *same = k->loaded;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *file = file_of(k, i);
        now[i] = (struct os_stat){0};
        if (file[0])
            TRY(file_stat(k->files, file, loop_now() + LOOK_MS_MAX, &now[i]));
        *same = *same && is_same(&now[i], &k->seen[i]);
    }
    return OK;
}

static err read_one(struct place_keys *k, const char *file, char *out, size_t cap)
{
    struct buf *b = NULL;
    out[0] = 0;
    if (!file[0])
        return OK;
    TRY(file_read_small(k->files, file, KIB(4), loop_now() + LOOK_MS_MAX, &b));
    err e = take_word((struct bytes){b->at, b->len}, out, cap, file);
    wipe(b->at, b->len);
    buf_release(b);
    return e;
}

static err from_files(struct place_keys *k)
{
    struct os_stat now[KEY_COUNT];
    bool same = false;
    TRY(look(k, now, &same));
    if (same)
        return OK;
    k->loaded = false;
#define X(field, variable, needed) TRY(read_one(k, k->config->field##_file, k->now.field, sizeof k->now.field));
    KEY_TABLE(X)
#undef X
    memcpy(k->seen, now, sizeof now);
    k->loaded = true;
    return OK;
}

/* --- the environment --- */

static err read_variable(const char *name, bool needed, char *out, size_t cap)
{
    const char *value = getenv(name);
    out[0] = 0;
    if (value && value[0])
        return take_word(bytes_of(value), out, cap, name);
    return needed ? trail(E_ABSENT, "no credentials: neither access_key_file and secret_key_file nor the environment's %s", name)
                  : OK;
}

static err from_environment(struct place_keys *k)
{
#define X(field, variable, needed) TRY(read_variable(variable, needed, k->now.field, sizeof k->now.field));
    KEY_TABLE(X)
#undef X
    return OK;
}

/* --- the whole --- */

err place_keys_open(struct lane *files, const struct config_destination *c, struct place_keys **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return E_BUDGET;
    (*out)->files = files;
    (*out)->config = c;
    return OK;
}

void place_keys_close(struct place_keys *k)
{
    if (k)
        wipe(&k->now, sizeof k->now);
    free(k);
}

err place_keys_give(void *keys, struct s3_credentials *out)
{
    struct place_keys *k = keys;
    TRY(k->config->access_key_file[0] ? from_files(k) : from_environment(k));
    *out = k->now;
    return OK;
}
