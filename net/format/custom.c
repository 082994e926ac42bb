/* custom: rows and conditions. */
#include "net/format/custom_inside.h"

#include <stdio.h>
#include <string.h>

const char *custom_row_key(const struct custom_row *r)
{
    const char *dot = strrchr(r->path, '.');
    return dot ? dot + 1 : r->path;
}

bool custom_row_within(const struct custom_row *r, const char *parent)
{
    size_t len = strlen(parent);
    return len == 0 || (strncmp(r->path, parent, len) == 0 && r->path[len] == '.');
}

const struct custom_row *custom_row_next(const struct custom *c, const char *parent, const struct custom_row *before)
{
    size_t head = *parent ? strlen(parent) + 1 : 0;
    for (const struct custom_row *r = before ? before + 1 : c->rows; r < c->rows + c->row_count; r++)
        if (custom_row_within(r, parent) && custom_row_key(r) == r->path + head)
            return r;
    return NULL;
}

/* --- conditions --- */
static const char *const status_names[] = {[CUSTOM_UNKNOWN] = "Unknown", [CUSTOM_FALSE] = "False", [CUSTOM_TRUE] = "True"};

const char *custom_status_name(enum custom_status s)
{
    return status_names[s];
}

static struct custom_condition *find(struct custom_conditions *all, const char *type)
{
    for (unsigned i = 0; i < all->count; i++)
        if (strcmp(all->list[i].type, type) == 0)
            return &all->list[i];
    return NULL;
}

const struct custom_condition *custom_condition_find(const struct custom_conditions *all, const char *type)
{
    return find((struct custom_conditions *)all, type);
}

static bool is_word(const char *text, size_t cap) /* a type or reason of ours: a part of what Kubernetes allows */
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    return len > 0 && len < cap && text[len] == 0;
}

static void message_set(char out[CUSTOM_MESSAGE_MAX], const char *message)
{
    size_t len = strlen(message);
    if (len >= CUSTOM_MESSAGE_MAX) {
        len = CUSTOM_MESSAGE_MAX - 1;
        while (len > 0 && ((unsigned char)message[len] & 0xC0) == 0x80) /* amid a character */
            len--;
    }
    memcpy(out, message, len);
    memset(out + len, 0, CUSTOM_MESSAGE_MAX - len);
}

err custom_condition_set(struct custom_conditions *all, const char *type, enum custom_status status, const char *reason,
                         const char *message, int64_t generation, int64_t now_s)
{
    struct custom_condition *one = find(all, type);
    ASSERT(is_word(type, CUSTOM_TYPE_MAX) && is_word(reason, CUSTOM_REASON_MAX));
    if (!one) {
        if (all->count == CUSTOM_CONDITIONS_MAX)
            return trail(E_FULL, "condition %s: %d others are there", type, CUSTOM_CONDITIONS_MAX);
        one = &all->list[all->count++];
        *one = (struct custom_condition){.status = status, .last_transition_s = now_s};
        (void)snprintf(one->type, sizeof one->type, "%s", type);
    }
    if (one->status != status)
        one->last_transition_s = now_s;
    one->status = status;
    one->observed_generation = generation;
    (void)snprintf(one->reason, sizeof one->reason, "%s", reason);
    message_set(one->message, message);
    return OK;
}
