/* oauth2_exchange: one request for a token, and what its answer says. */
#include "board/rt/mem.h"
#include "board/rt/secret.h"
#include "net/api/oauth2_inside.h"
#include "net/format/json_read.h"
#include "net/proto/web.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES KIB(16)

/* --- the answer --- */

static bool is_field_text(const char *s) /* nothing that could end a header line; RFC 6750 allows even less */
{
    size_t n = 0;
    while (s[n] > ' ' && s[n] < 0x7f)
        n++;
    return n > 0 && s[n] == 0;
}

/* Some servers write the number as a text. Absent, zero, or no number: a short life. */
static int64_t life_of(const struct json *document)
{
    const struct json *v = json_get(document, "expires_in");
    char text[24];
    uint64_t life = 0;
    if (!json_to_u64(v, &life) && (!json_to_text(v, text, sizeof text) || !text_to_u64(bytes_of(text), &life)))
        life = 0;
    if (life == 0)
        return OAUTH2_SHORT_LIFE_S;
    return life < OAUTH2_LIFE_S_MAX ? (int64_t)life : OAUTH2_LIFE_S_MAX;
}

static err token_of(const struct json *document, size_t room, struct oauth2_token **out)
{
    static const char scheme[] = "Bearer ";
    const size_t begin = sizeof scheme - 1;
    struct oauth2_token *t = calloc(1, sizeof *t);
    char *field = calloc(1, begin + room + 1); /* a text in JSON is never shorter than itself */
    err e = t && field ? OK : E_BUDGET;
    if (e == OK && (!json_to_text(json_get(document, "access_token"), field + begin, room + 1) || !is_field_text(field + begin)))
        e = trail(E_PROTOCOL, "the answer has no access_token that could be sent");
    if (e == OK && strlen(field + begin) > OAUTH2_TOKEN_MAX)
        e = trail(E_RANGE, "an access token of more than %d KiB", (int)(OAUTH2_TOKEN_MAX / 1024));
    if (e != OK) {
        if (field)
            wipe(field, begin + room + 1);
        free(field);
        free(t);
        return e;
    }
    memcpy(field, scheme, begin);
    *t = (struct oauth2_token){.authorization = field, .users = 1};
    *out = t;
    return OK;
}

err oauth2_read(struct bytes answer, struct oauth2_token **out, int64_t *life_s)
{
    struct json *document = NULL;
    unsigned line = 0;
    bool wiping = mem_wipes_freed();
    *out = NULL;
    mem_wipe_freed(true); /* the library copies the token */
    uint64_t mark = trail_mark();
    err e = json_parse(answer, &document, &line);
    if (e == E_CORRUPT) {
        trail_rewind(mark);
        e = trail(E_PROTOCOL, "the answer is no JSON (line %u)", line);
    }
    if (e == OK && memmem(answer.at, answer.len, "\\u0000", 6)) /* cut the text there, the library would */
        e = trail(E_PROTOCOL, "the answer has a zero in a text");
    if (e == OK) {
        *life_s = life_of(document);
        e = token_of(document, answer.len, out);
    }
    json_free(document);
    mem_wipe_freed(wiping);
    return e;
}

void oauth2_error_word(struct bytes answer, char out[OAUTH2_WORD_MAX])
{
    struct json *document = NULL;
    unsigned line = 0;
    uint64_t mark = trail_mark();
    out[0] = 0;
    if (json_parse(answer, &document, &line) == OK && json_to_text(json_get(document, "error"), out, OAUTH2_WORD_MAX) &&
        strspn(out, "abcdefghijklmnopqrstuvwxyz_") != strlen(out))
        out[0] = 0;
    json_free(document);
    trail_rewind(mark);
}

/* --- the request --- */

struct fetch { /* a secret as a whole */
    struct pem_key key;
    char client_id[JWT_CLIENT_ID_MAX];
    struct jwt_claims claims;
    struct text body;
    char storage[JWT_TEXT_MAX + 256]; /* the form; then the answer */
};
static_assert(sizeof(((struct fetch *)0)->storage) > OAUTH2_ANSWER_MAX, "the answer fits, and a byte that is too much");

static err sign_run(void *job)
{
    struct fetch *f = *(struct fetch **)job;
    return jwt_assertion(&f->claims, &f->key, &f->body);
}

/* In the order of the alphabet, as the original sends it; base64url has nothing to be escaped (ingest.md 5.3). */
static err form_write(struct oauth2 *o, struct fetch *f)
{
    struct fetch *job = f;
    f->key = o->key; /* what is in force may change while we compute */
    memcpy(f->client_id, o->client_id, sizeof f->client_id);
    f->claims = (struct jwt_claims){f->client_id, o->audience, loop_wall_ms() / 1000};
    f->body = text_over(f->storage, sizeof f->storage);
    text_add(&f->body, "assertion=");
    TRY(lane_call(&o->lane, sign_run, &job, sizeof job, NULL, FOREVER));
    text_add(&f->body, "&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
    return f->body.cut ? E_RANGE : OK;
}

static err answer_read(struct web_exchange *x, struct fetch *f, ms deadline, struct bytes *answer)
{
    size_t len = 0, got = 1;
    wipe(f->storage, sizeof f->storage);
    while (got > 0) {
        TRY(web_read(x, f->storage + len, OAUTH2_ANSWER_MAX + 1 - len, deadline, &got));
        len += got;
        if (len > OAUTH2_ANSWER_MAX)
            return trail(E_RANGE, "an answer of more than %d KiB", (int)(OAUTH2_ANSWER_MAX / 1024));
    }
    *answer = (struct bytes){(const uint8_t *)f->storage, len};
    return OK;
}

static err refused(unsigned status, struct bytes answer)
{
    char word[OAUTH2_WORD_MAX];
    if (status >= 300 && status < 400)
        return trail(E_REMOTE, "answered %u: redirects are not followed, the URL must be the final one", status);
    oauth2_error_word(answer, word);
    err e = status == 400 || status == 401 || status == 403 ? E_DENIED : E_REMOTE;
    return trail(e, "answered %u%s%s", status, word[0] ? " " : "", word);
}

static err converse(struct oauth2 *o, struct fetch *f, struct web *w, ms deadline, struct bytes *answer)
{
    static const struct http_header headers[] = {{"content-type", "application/x-www-form-urlencoded"},
                                                 {"user-agent", OAUTH2_USER_AGENT}};
    struct web_call call = {.method = "POST",
                            .path = o->url.path,
                            .headers = headers,
                            .header_count = COUNT_OF(headers),
                            .body = {(const uint8_t *)f->body.at, f->body.len}};
    struct web_exchange *x = NULL;
    int status = 0;
    TRY(web_open(w, &call, deadline, &x));
    err e = web_status(x, deadline, &status);
    if (e == OK) {
        o->last_status = (unsigned)status;
        e = answer_read(x, f, deadline, answer);
    }
    web_end(x);
    if (e == OK && (status < 200 || status > 299))
        e = refused((unsigned)status, *answer);
    return e;
}

static err fetch_run(struct oauth2 *o, struct fetch *f, ms deadline, struct oauth2_token **out, int64_t *life_s)
{
    struct web *w = NULL;
    struct bytes answer = {NULL, 0};
    o->last_status = 0;
    TRY(form_write(o, f));
    TRY(web_connect(o->dns, &o->url, o->tls, WINDOW_BYTES, deadline, &w));
    err e = converse(o, f, w, deadline, &answer);
    web_close(w);
    return e == OK ? oauth2_read(answer, out, life_s) : e;
}

err oauth2_exchange(struct oauth2 *o, ms deadline, struct oauth2_token **out, int64_t *life_s)
{
    *out = NULL;
    struct fetch *f = malloc(sizeof *f);
    if (!f)
        return trail(E_BUDGET, "a request for a token");
    err e = fetch_run(o, f, deadline, out, life_s);
    wipe(f, sizeof *f);
    free(f);
    return e;
}
