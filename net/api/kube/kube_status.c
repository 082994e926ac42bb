/* kube_status: what a refused request says (metav1.Status, k8s.io/apimachinery/pkg/apis/meta/v1), and what would allow it. */
#include "net/api/kube/kube_internal.h"

#include "board/rt/text.h"

#include <string.h>

static const struct pick_field details_fields[] = {{"retryAfterSeconds", PICK_SCALAR, NULL}, {NULL, PICK_SCALAR, NULL}};
const struct pick_field kube_status_fields[] = {{"reason", PICK_SCALAR, NULL},
                                                {"message", PICK_SCALAR, NULL},
                                                {"code", PICK_SCALAR, NULL},
                                                {"details", PICK_OBJECT, details_fields},
                                                {NULL, PICK_SCALAR, NULL}};

static const char *const verb_names[] = {
#define X(id, name, method, content_type) name,
    KUBE_VERBS(X)
#undef X
};

const char *kube_verb_name(enum kube_verb v)
{
    return verb_names[v];
}

void kube_text_printable(struct bytes from, char *out, size_t cap)
{
    size_t len = 0;
    while (from.len > 0 && from.at[from.len - 1] <= ' ')
        from.len--;
    for (size_t i = 0; i < from.len && len + 1 < cap; i++)
        out[len++] = from.at[i] < ' ' || from.at[i] == 127 ? ' ' : (char)from.at[i];
    if (len < from.len) { /* not in the middle of a character */
        while (len > 0 && ((uint8_t)out[len - 1] & 0xc0) == 0x80)
            len--;
        len -= len > 0 && (uint8_t)out[len - 1] >= 0xc0;
    }
    out[len] = 0;
}

void kube_status_read(const struct pick_node *status, struct kube_status *out)
{
    int64_t number;
    kube_text_printable(pick_text_at(status, "reason"), out->reason, sizeof out->reason);
    kube_text_printable(pick_text_at(status, "message"), out->message, sizeof out->message);
    if (out->code == 0 && pick_to_i64(pick_at(status, "code"), &number) && number >= 100 && number < 600)
        out->code = (int)number;
    if (out->retry_after_s < 0 && pick_to_i64(pick_at(status, "details.retryAfterSeconds"), &number) && number > 0)
        out->retry_after_s = (int)(number < KUBE_RETRY_AFTER_S ? number : KUBE_RETRY_AFTER_S);
}

/* Codes and reasons: RFC 9110 and metav1.StatusReason. */
err kube_status_err(const struct kube_status *s, enum kube_verb verb)
{
    switch (s->code) {
    case 401:
    case 403:
        return E_DENIED;
    case 404:
        return E_ABSENT;
    case 409:
        return verb == KUBE_CREATE && strcmp(s->reason, "AlreadyExists") == 0 ? E_EXISTS : E_AGAIN;
    case 410:
        return E_AGAIN;
    case 400:
    case 422:
        return E_INVALID;
    case 405:
    case 406:
    case 415:
        return E_UNSUPPORTED;
    case 413:
        return E_RANGE;
    case 429:
        return E_BUSY;
    default:
        return E_REMOTE;
    }
}

/* --- what is missing --- */

struct place { /* of a path: /api/v1/namespaces/a/pods/b/status */
    struct bytes group, name_space, resource, name, part;
};

static struct bytes segment_next(struct bytes *rest)
{
    struct bytes s = *rest;
    while (s.len > 0 && *s.at == '/')
        s = bytes_after(s, 1);
    const uint8_t *end = s.len > 0 ? memchr(s.at, '/', s.len) : NULL;
    size_t len = end ? (size_t)(end - s.at) : s.len;
    *rest = bytes_after(s, len);
    return (struct bytes){s.at, len};
}

static bool place_of(const char *path, struct place *out)
{
    struct bytes rest = {(const uint8_t *)path, strcspn(path, "?")}, root = segment_next(&rest);
    *out = (struct place){.group = {.len = 0}};
    if (bytes_equal_text(root, "apis"))
        out->group = segment_next(&rest);
    else if (!bytes_equal_text(root, "api"))
        return false;
    (void)segment_next(&rest); /* the version */
    out->resource = segment_next(&rest);
    out->name = segment_next(&rest);
    out->part = segment_next(&rest);
    if (bytes_equal_text(out->resource, "namespaces") && out->part.len > 0 && !bytes_equal_text(out->part, "status") &&
        !bytes_equal_text(out->part, "finalize")) {
        out->name_space = out->name;
        out->resource = out->part;
        out->name = segment_next(&rest);
        out->part = segment_next(&rest);
    }
    return out->resource.len > 0;
}

/* `User "system:serviceaccount:a:b" cannot list…`: as the authorizer has it. */
static struct bytes user_in(const char *message)
{
    const char *from = strstr(message, "User \"");
    size_t len = from ? strcspn(from + 6, "\"") : 0;
    return from && from[6 + len] == '"' ? (struct bytes){(const uint8_t *)from + 6, len} : (struct bytes){.len = 0};
}

#define WORDS(b) (int)(b).len, (const char *)(b).at

static void forbidden_text(struct text *t, const struct kube_status *s, enum kube_verb verb, const char *path)
{
    struct place p;
    struct bytes user = user_in(s->message);
    const char *words = kube_verb_name(verb);
    text_addf(t, "give %.*s%s", (int)size_min(user.len, 100), user.len > 0 ? (const char *)user.at : "",
              user.len > 0 ? " " : "us ");
    if (!place_of(path, &p)) {
        text_addf(t, "a ClusterRole: nonResourceURLs [%.*s], verbs [get]", (int)strcspn(path, "?"), path);
        return;
    }
    text_addf(t, "a %sClusterRole", p.name_space.len > 0 ? "Role in its namespace or a " : "");
    text_addf(t, ": apiGroups [\"%.*s\"], resources [%.*s", WORDS(p.group), WORDS(p.resource));
    if (p.part.len > 0)
        text_addf(t, "/%.*s", WORDS(p.part));
    text_addf(t, "], verbs [%s]", words);
}

void kube_status_missing(struct kube_status *s, enum kube_verb verb, const char *path)
{
    struct text t = text_over(s->missing, sizeof s->missing);
    if (s->code == 401)
        text_add(&t, "the API server does not take our token or certificate: has it expired, is it of this cluster?");
    else if (s->code == 403)
        forbidden_text(&t, s, verb, path);
}
