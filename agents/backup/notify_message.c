/* notify_message: what is said. */
#include "agents/backup/notify_internal.h"

#include "net/format/json_write.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const kind_names[] = {
#define X(id, name) [NOTIFY_##id] = (name),
    NOTIFY_KIND_TABLE(X)
#undef X
};

const char *notify_kind_name(enum notify_kind k)
{
    return kind_names[k];
}

/* Another's words: without what chat services take for markup or a mention. */
static void add_plain(struct text *t, const char *words)
{
    for (; *words; words++) {
        uint8_t c = (uint8_t)*words;
        if (c < ' ' || c == '<' || c == '>' || c == '@')
            c = ' ';
        text_add_bytes(t, (struct bytes){&c, 1});
    }
}

static void add_last(struct text *t, const struct notice *e)
{
    char at[TIME_TEXT_MAX];
    if (e->last_success_s == 0) {
        text_add(t, "; no good one is known");
        return;
    }
    text_rfc3339(e->last_success_s, at, sizeof at);
    text_addf(t, "; the newest good one is of %s", at);
}

static void add_what(struct text *t, const struct notice *e)
{
    switch (e->kind) {
    case NOTIFY_FAILED:
        text_add(t, "failed (");
        add_plain(t, e->reason);
        text_add(t, "): ");
        add_plain(t, e->words);
        add_last(t, e);
        return;
    case NOTIFY_STALE:
        text_add(t, "is stale");
        add_last(t, e);
        return;
    case NOTIFY_RECOVERED:
        text_add(t, "works again");
        add_last(t, e);
        return;
    case NOTIFY_PING:
    case NOTIFY_KIND_COUNT:
        ASSERT(false);
    }
}

void notify_sentence(const struct notify *n, const struct notice *e, char out[NOTIFY_SENTENCE_MAX])
{
    struct text t = text_over(out, NOTIFY_SENTENCE_MAX);
    text_addf(&t, "holdfast on %s: the etcd backup to %s ", n->host, e->destination);
    add_what(&t, e);
}

static void put_time(struct json_writer *w, const char *key, int64_t epoch_s)
{
    char at[TIME_TEXT_MAX];
    text_rfc3339(epoch_s, at, sizeof at);
    json_put_text(w, key, epoch_s == 0 ? NULL : at);
}

static void put_cluster(struct json_writer *w, uint64_t id)
{
    char hex[17];
    (void)snprintf(hex, sizeof hex, "%016" PRIx64, id);
    json_put_text(w, "cluster_id", id == 0 ? NULL : hex);
}

err notify_json(const struct notify *n, const struct notice *e, struct text *out)
{
    char sentence[NOTIFY_SENTENCE_MAX], event[32];
    (void)snprintf(event, sizeof event, "backup-%s", notify_kind_name(e->kind));
    notify_sentence(n, e, sentence);
    struct json_writer w = json_write_to(out);
    json_object(&w);
    json_put_text(&w, "event", event);
    json_put_text(&w, "destination", e->destination);
    json_put_text(&w, "reason", e->reason[0] ? e->reason : NULL);
    json_put_text(&w, "text", sentence);    /* Slack, Mattermost */
    json_put_text(&w, "content", sentence); /* Discord */
    json_put_text(&w, "host", n->host);
    put_time(&w, "at", e->at_s);
    put_cluster(&w, e->cluster_id);
    put_time(&w, "last_success", e->last_success_s);
    json_put_text(&w, "version", n->version);
    json_object_end(&w);
    return json_done(&w) ? OK : trail(E_RANGE, "a notification of more than %zu bytes", out->cap);
}
