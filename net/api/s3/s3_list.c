/* s3_list: ListObjectsV2 and ListMultipartUploads, page by page; a page is given away as it is read.
 * Keys are asked for as they are, not URL-encoded: servers that do not know encoding-type send them plain and do not say so, and
 * "a%41" decoded would be another object. */
#include "net/api/s3/s3_internal.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES_MAX  MIB(8) /* 1000 keys of 1024 bytes, each byte as &#xX;, and what is around them */
#define EMPTY_PAGES_MAX 16     /* in a row: a server that goes on for ever */

struct listing {
    struct s3 *client;
    const char *prefix;
    bool uploads; /* what is listed: uploads, or objects */
    err (*each_object)(void *arg, const struct s3_item *item);
    err (*each_upload)(void *arg, const struct s3_pending *item);
    void *arg;
    struct s3_call *call; /* of this page */
    /* where to go on: with the server's token, else behind the last one given */
    char token[S3_TOKEN_MAX], last[S3_KEY_MAX], last_upload[S3_UPLOAD_ID_MAX];
    /* this page */
    bool truncated;
    unsigned given, empty_pages;
    char next_token[S3_TOKEN_MAX];
    /* this item */
    bool has_key, has_bytes;
    char key[S3_KEY_MAX], etag[S3_ETAG_MAX], upload_id[S3_UPLOAD_ID_MAX];
    uint64_t bytes;
    int64_t time_s;
};

static void objects_query(const void *arg, struct text *out)
{
    const struct listing *l = arg;
    if (*l->token)
        sigv4_put_param(out, "continuation-token", bytes_of(l->token));
    sigv4_put_param(out, "list-type", bytes_of("2"));
    sigv4_put_param(out, "max-keys", bytes_of("1000"));
    sigv4_put_param(out, "prefix", bytes_of(l->prefix));
    if (!*l->token && *l->last)
        sigv4_put_param(out, "start-after", bytes_of(l->last));
}

static void uploads_query(const void *arg, struct text *out)
{
    const struct listing *l = arg;
    if (*l->last)
        sigv4_put_param(out, "key-marker", bytes_of(l->last));
    sigv4_put_param(out, "max-uploads", bytes_of("1000"));
    sigv4_put_param(out, "prefix", bytes_of(l->prefix));
    if (*l->last_upload)
        sigv4_put_param(out, "upload-id-marker", bytes_of(l->last_upload));
    sigv4_put_param(out, "uploads", bytes_of(""));
}

/* --- one item --- */

static void item_begin(struct listing *l)
{
    l->has_key = l->has_bytes = false;
    *l->etag = *l->upload_id = 0;
    l->time_s = 0;
}

static err key_take(struct listing *l, const char *text)
{
    l->has_key = s3_copy(l->key, sizeof l->key, bytes_of(text)) && *l->key;
    return l->has_key ? OK : trail(E_PROTOCOL, "a key of 0 or more than %d bytes", S3_KEY_MAX - 1);
}

static err item_field(struct listing *l, const char *name, const char *text)
{
    if (strcmp(name, "Key") == 0)
        return key_take(l, text);
    if (strcmp(name, "Size") == 0)
        l->has_bytes = text_to_u64(bytes_of(text), &l->bytes);
    else if (strcmp(name, "LastModified") == 0 || strcmp(name, "Initiated") == 0)
        l->time_s = s3_iso_date(text);
    else if (strcmp(name, "ETag") == 0)
        (void)s3_copy(l->etag, sizeof l->etag, bytes_of(text));
    else if (strcmp(name, "UploadId") == 0 && !s3_copy(l->upload_id, sizeof l->upload_id, bytes_of(text)))
        return trail(E_PROTOCOL, "an upload id of more than %d bytes", S3_UPLOAD_ID_MAX - 1);
    return OK;
}

static err item_check(const struct listing *l)
{
    if (!l->has_key || (l->uploads ? !*l->upload_id : !l->has_bytes))
        return trail(E_PROTOCOL, "an entry without %s", !l->has_key ? "key" : l->uploads ? "upload id" : "size");
    if (strncmp(l->key, l->prefix, strlen(l->prefix)) != 0)
        return trail(E_PROTOCOL, "an entry that was not asked for: %.60s", l->key);
    if (strcmp(l->key, l->last) == 0 && strcmp(l->upload_id, l->last_upload) == 0)
        return trail(E_PROTOCOL, "the same entry twice: %.60s", l->key);
    return OK;
}

static err item_end(struct listing *l)
{
    struct s3_item object = {l->key, l->bytes, l->time_s, l->etag};
    struct s3_pending upload = {l->key, l->upload_id, l->time_s};
    TRY(item_check(l));
    err e = l->uploads ? l->each_upload(l->arg, &upload) : l->each_object(l->arg, &object);
    l->call->final = e != OK;
    TRY(e);
    l->given++;
    memcpy(l->last, l->key, strlen(l->key) + 1);
    memcpy(l->last_upload, l->upload_id, strlen(l->upload_id) + 1);
    item_begin(l);
    return OK;
}

/* --- one page --- */

static err page_field(struct listing *l, const char *name, const char *text)
{
    if (strcmp(name, "IsTruncated") == 0)
        l->truncated = strcmp(text, "true") == 0;
    if (strcmp(name, "NextContinuationToken") == 0 && !s3_copy(l->next_token, sizeof l->next_token, bytes_of(text)))
        *l->next_token = 0; /* too long: on behind the last key */
    return OK;
}

static err page_element(void *arg, const struct s3_element *e)
{
    struct listing *l = arg;
    const char *item = l->uploads ? "Upload" : "Contents";
    if (strcmp(e->root, "Error") == 0 && !*e->parent && e->text)
        s3_answer_field(&l->call->answer, e->name, e->text);
    if (strcmp(e->root, l->uploads ? "ListMultipartUploadsResult" : "ListBucketResult") != 0)
        return OK;
    if (!*e->parent && e->text)
        return page_field(l, e->name, e->text);
    if (strcmp(e->parent, item) == 0 && e->text)
        return item_field(l, e->name, e->text);
    return strcmp(e->name, item) == 0 && !e->text ? item_end(l) : OK;
}

static err page_take(struct s3_call *call, struct s3_slot *s, const struct http1_head *h)
{
    struct listing *l = call->take_arg;
    struct s3_document d = {page_element, l, PAGE_BYTES_MAX};
    (void)h;
    l->truncated = false;
    *l->next_token = 0;
    item_begin(l);
    err e = s3_document_read(&d, s, call);
    if (e != OK && l->given > 0)
        *l->token = 0; /* the next try goes on behind the last one given */
    return e;
}

static err page_ask(struct listing *l, ms page_ms)
{
    struct s3_call call = {.method = "GET",
                           .query = l->uploads ? uploads_query : objects_query,
                           .query_arg = l,
                           .deadline = loop_now() + page_ms,
                           .take = page_take,
                           .take_arg = l};
    l->call = &call;
    l->given = 0;
    return s3_ask(l->client, &call);
}

/* A page that leads nowhere would be asked for again for ever. */
static err page_turn(struct listing *l)
{
    l->empty_pages = l->given > 0 ? 0 : l->empty_pages + 1;
    if (l->given == 0 && (strcmp(l->token, l->next_token) == 0 || l->empty_pages > EMPTY_PAGES_MAX))
        return trail(E_PROTOCOL, "%s says that there is more, and gives nothing", l->client->authority);
    memcpy(l->token, l->next_token, sizeof l->token);
    return OK;
}

static err pages(struct listing *l, ms page_ms)
{
    do {
        TRY(page_ask(l, page_ms));
        if (l->truncated)
            TRY(page_turn(l));
    } while (l->truncated);
    return OK;
}

static struct listing *listing_new(struct s3 *c, const char *prefix, void *arg)
{
    struct listing *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->client = c;
    l->prefix = prefix;
    l->arg = arg;
    return l;
}

err s3_list(struct s3 *c, const char *prefix, const char *start_after, ms page_ms,
            err (*each)(void *arg, const struct s3_item *item), void *arg)
{
    if (strlen(prefix) >= S3_KEY_MAX || strlen(start_after) >= S3_KEY_MAX)
        return trail(E_RANGE, "a prefix of more than %d bytes", S3_KEY_MAX - 1);
    struct listing *l = listing_new(c, prefix, arg);
    if (!l)
        return E_BUDGET;
    l->each_object = each;
    memcpy(l->last, start_after, strlen(start_after) + 1);
    err e = pages(l, page_ms);
    free(l);
    return e;
}

err s3_list_uploads(struct s3 *c, const char *prefix, ms page_ms, err (*each)(void *arg, const struct s3_pending *item),
                    void *arg)
{
    if (strlen(prefix) >= S3_KEY_MAX)
        return trail(E_RANGE, "a prefix of more than %d bytes", S3_KEY_MAX - 1);
    struct listing *l = listing_new(c, prefix, arg);
    if (!l)
        return E_BUDGET;
    l->uploads = true;
    l->each_upload = each;
    err e = pages(l, page_ms);
    free(l);
    return e;
}
