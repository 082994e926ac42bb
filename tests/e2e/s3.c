/* s3: the S3 client as a program, for real servers to meet (test_s3.py). Each argument list is one call; several, with "--"
 * between them, use one client one after another.
 *
 *   s3 ENDPOINT BUCKET [put KEY FILE | put-new KEY FILE | head KEY | get KEY [FROM] | delete KEY | list PREFIX [AFTER] |
 *                       upload KEY FILE PART_BYTES | upload-new … | upload-leave … | uploads PREFIX | abort KEY UPLOAD_ID |
 *                       prune PREFIX | stats] [-- …]
 * Answers on stdout, a line each: "KEY BYTES MODIFIED_S ETAG", "KEY UPLOAD_ID INITIATED_S", or the object's bytes.
 * Environment: S3_ACCESS_KEY, S3_SECRET_KEY, S3_TOKEN, S3_REGION, S3_CA (PEM), S3_VIRTUAL=1, S3_MS (the deadline of each call,
 * default 20000), S3_KEYS_FILE: a file of two or three lines in place of the keys, read before each request.
 * Exit 0 good; 1 with "CODE words" on stderr; 2 usage. */
#include "net/api/s3/s3.h"
#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "tests/e2e/pem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX  MIB(64)
#define ARGS_MAX  4
#define PIECE_MAX KIB(8)

static struct {
    const char *endpoint, *bucket;
    int count;
    char **words;
    ms timeout;
} want;

static uint8_t content[FILE_MAX]; /* what is sent lies in its caller's memory, not the client's heap */

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static void line_copy(char *out, size_t cap, const char *text)
{
    (void)snprintf(out, cap, "%.*s", (int)strcspn(text, "\r\n"), text);
}

static err keys_read(const char *path, struct s3_credentials *out)
{
    char line[2048];
    char *into[] = {out->access_key, out->secret_key, out->session_token};
    size_t caps[] = {sizeof out->access_key, sizeof out->secret_key, sizeof out->session_token};
    FILE *f = fopen(path, "r");
    if (!f)
        return trail(E_ABSENT, "%s", path);
    for (size_t i = 0; i < COUNT_OF(into) && fgets(line, sizeof line, f); i++)
        line_copy(into[i], caps[i], line);
    (void)fclose(f);
    return OK;
}

static err credentials(void *arg, struct s3_credentials *out)
{
    (void)arg;
    const char *file = setting("S3_KEYS_FILE", NULL);
    if (file)
        return keys_read(file, out);
    line_copy(out->access_key, sizeof out->access_key, setting("S3_ACCESS_KEY", ""));
    line_copy(out->secret_key, sizeof out->secret_key, setting("S3_SECRET_KEY", ""));
    line_copy(out->session_token, sizeof out->session_token, setting("S3_TOKEN", ""));
    return OK;
}

static ms deadline(void)
{
    return loop_now() + want.timeout;
}

static void object_print(const char *key, const struct s3_object *o)
{
    printf("%s %llu %lld %s %s\n", key, (unsigned long long)o->bytes, (long long)o->modified_s, o->etag,
           o->confirmed ? "confirmed" : "unconfirmed");
}

static err file_load(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return trail(E_ABSENT, "%s", path);
    *len = fread(content, 1, sizeof content, f);
    (void)fclose(f);
    return OK;
}

static err put(struct s3 *c, char **w, bool is_new)
{
    struct s3_object o;
    size_t len = 0;
    TRY(file_load(w[2], &len));
    TRY(s3_put(c, w[1], NULL, (struct bytes){content, len}, is_new, deadline(), &o));
    object_print(w[1], &o);
    return OK;
}

static err head(struct s3 *c, char **w)
{
    struct s3_object o;
    TRY(s3_head(c, w[1], deadline(), &o));
    object_print(w[1], &o);
    return OK;
}

static err get(struct s3 *c, char **w)
{
    struct s3_get *g = NULL;
    uint8_t piece[PIECE_MAX];
    size_t got = 1;
    TRY(s3_get_open(c, w[1], w[2] ? strtoull(w[2], NULL, 10) : 0, deadline(), &g));
    err e = OK;
    while (e == OK && got > 0) {
        e = s3_get_read(g, piece, sizeof piece, deadline(), &got);
        if (e == OK)
            (void)fwrite(piece, 1, got, stdout);
    }
    s3_get_end(g);
    return e;
}

static err item_print(void *arg, const struct s3_item *i)
{
    (void)arg;
    printf("%s %llu %lld %s\n", i->key, (unsigned long long)i->bytes, (long long)i->modified_s, i->etag);
    return OK;
}

static err item_delete(void *arg, const struct s3_item *i)
{
    return s3_delete(arg, i->key, deadline());
}

static err pending_print(void *arg, const struct s3_pending *p)
{
    (void)arg;
    printf("%s %s %lld\n", p->key, p->upload_id, (long long)p->initiated_s);
    return OK;
}

static err parts_send(struct s3_upload *u, FILE *f, size_t part_bytes)
{
    size_t len;
    for (unsigned number = 1; (len = fread(content, 1, part_bytes, f)) > 0; number++)
        TRY(s3_upload_part(u, number, (struct bytes){content, len}, deadline()));
    return OK;
}

static err upload_end(struct s3_upload *u, char **w, err e)
{
    struct s3_object o;
    if (e == OK && strcmp(w[0], "upload-leave") == 0) {
        printf("%s\n", s3_upload_id(u));
        return OK;
    }
    if (e == OK)
        e = s3_upload_complete(u, strcmp(w[0], "upload-new") == 0, deadline(), &o);
    if (e == OK)
        object_print(w[1], &o);
    else
        err_ignore(s3_upload_abort(u, deadline())); /* the first error is told */
    return e;
}

static err upload(struct s3 *c, char **w)
{
    struct s3_upload *u = NULL;
    FILE *f = fopen(w[2], "rb");
    if (!f)
        return trail(E_ABSENT, "%s", w[2]);
    err e = s3_upload_open(c, w[1], NULL, deadline(), &u);
    if (e == OK)
        e = upload_end(u, w, parts_send(u, f, size_min(strtoull(w[3], NULL, 10), sizeof content)));
    s3_upload_close(u);
    (void)fclose(f);
    return e;
}

static err stats(struct s3 *c)
{
    struct mem_use use = mem_use(mem_task());
    printf("heap_peak %zu heap %zu skew_ms %lld\n", use.peak_bytes, use.used_bytes, (long long)s3_clock_skew_ms(c));
    return OK;
}

static const struct {
    const char *name;
    int least, most;
} calls[] = {{"put", 2, 2},   {"put-new", 2, 2}, {"head", 1, 1},       {"get", 1, 2},          {"delete", 1, 1},
             {"list", 1, 2},  {"upload", 3, 3},  {"upload-new", 3, 3}, {"upload-leave", 3, 3}, {"uploads", 1, 1},
             {"abort", 2, 2}, {"prune", 1, 1},   {"stats", 0, 0}};

static err call(struct s3 *c, char **w)
{
    if (strncmp(w[0], "upload", 6) == 0 && strcmp(w[0], "uploads") != 0)
        return upload(c, w);
    if (strncmp(w[0], "put", 3) == 0)
        return put(c, w, strcmp(w[0], "put-new") == 0);
    switch (*w[0]) {
    case 'h':
        return head(c, w);
    case 'g':
        return get(c, w);
    case 'd':
        return s3_delete(c, w[1], deadline());
    case 'l':
        return s3_list(c, w[1], w[2] ? w[2] : "", want.timeout, item_print, NULL);
    case 'p':
        return s3_list(c, w[1], "", want.timeout, item_delete, c);
    case 'u':
        return s3_list_uploads(c, w[1], want.timeout, pending_print, NULL);
    case 'a':
        return s3_abort(c, w[1], w[2], deadline(), NULL);
    default:
        return stats(c);
    }
}

/* The next call's words; false: usage. */
static bool words_next(int *at, char *out[ARGS_MAX + 1])
{
    int n = 0;
    memset(out, 0, (ARGS_MAX + 1) * sizeof *out);
    for (; *at < want.count && strcmp(want.words[*at], "--") != 0; (*at)++, n++) {
        if (n == ARGS_MAX)
            return false;
        out[n] = want.words[*at];
    }
    (*at)++;
    for (size_t i = 0; n > 0 && i < COUNT_OF(calls); i++)
        if (strcmp(out[0], calls[i].name) == 0)
            return n - 1 >= calls[i].least && n - 1 <= calls[i].most;
    return false;
}

static err calls_run(struct s3 *c)
{
    char *w[ARGS_MAX + 1];
    for (int at = 0; at < want.count;) {
        if (!words_next(&at, w))
            return E_USAGE;
        TRY(call(c, w));
    }
    return OK;
}

static err tls_open(struct tls_config **out)
{
    struct tls_options o = {.trust = NULL};
    const char *ca = setting("S3_CA", NULL);
    *out = NULL;
    if (!ca)
        return OK;
    TRY(trust_read(ca, &o.trust));
    err e = tls_config_open(&o, out);
    tls_trust_release(o.trust);
    return e;
}

static err ask(void)
{
    struct s3_options o = {.endpoint = want.endpoint,
                           .bucket = want.bucket,
                           .region = setting("S3_REGION", ""),
                           .addressing = getenv("S3_VIRTUAL") ? S3_VIRTUAL : S3_PATH,
                           .credentials = credentials};
    struct s3 *c = NULL;
    err e = tls_open(&o.tls);
    if (e == OK)
        e = dns_open(&o.dns);
    if (e == OK)
        e = s3_open(&o, &c);
    if (e == OK)
        e = calls_run(c);
    s3_close(c);
    if (o.dns)
        dns_close(o.dns);
    tls_config_release(o.tls);
    return e;
}

/* The trail is the fiber's, so the complaint is made in it. */
static err ask_run(void *arg)
{
    char text[1024];
    (void)arg;
    err e = ask();
    if (e != OK)
        fprintf(stderr, "%s %s\n", err_name(e), trail_text(e, text, sizeof text));
    return e;
}

/* In the task that has the memory for it. */
static err main_run(void *arg)
{
    struct group g;
    (void)arg;
    group_open(&g, TASK_BACKUP);
    err e = group_spawn(&g, "s3", ask_run, NULL);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    return e;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: s3 ENDPOINT BUCKET CALL [ARGUMENT...] [-- CALL ...]; see the source's first lines\n");
        return 2;
    }
    want.endpoint = argv[1];
    want.bucket = argv[2];
    want.words = argv + 3;
    want.count = argc - 3;
    want.timeout = strtoll(setting("S3_MS", "20000"), NULL, 10);
    log_setup(LOG_WARN, LOG_LOGFMT, 2);
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    err e = loop_run(main_run, NULL);
    return e == OK ? 0 : e == E_USAGE ? 2 : 1;
}
