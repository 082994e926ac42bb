/* restore_next: the exact next commands. Talos: the official way, siderolabs' "Disaster Recovery". */
#include "board/restore_next.h"

#include "net/format/url.h"

#include <stdio.h>
#include <string.h>

#define COMMAND_MAX (2 * OS_PATH_MAX + 512)

static const char *const also_needed[] = {
    "the machine secrets or machine configurations of this cluster (Talos), or its certificates and keys: they are not in the "
    "snapshot",
    "the key of its EncryptionConfiguration (in Talos part of the machine secrets), where Secrets are encrypted at rest: without "
    "it none can be read",
    "after it: restart what watches the API server, for revisions have gone back",
};

/* As a word of the shell. */
static void add_word(struct text *t, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,@%+";
    if (word[strspn(word, plain)] == 0) {
        text_add(t, word);
        return;
    }
    text_add(t, "'");
    for (; *word; word++)
        *word == '\'' ? text_add(t, "'\\''") : text_add_bytes(t, (struct bytes){(const uint8_t *)word, 1});
    text_add(t, "'");
}

static const char *talos_wipe(void)
{
    return "talosctl -n IP reset --graceful=false --reboot --system-labels-to-wipe=EPHEMERAL";
}

static const char *talos_look(void)
{
    return "talosctl -n IP service etcd";
}

static const char *talos_bootstrap(const char *file, struct text *t)
{
    text_add(t, "talosctl -n IP bootstrap --recover-from=");
    add_word(t, file);
    return t->at;
}

/* The member it was taken from says its own address at least. */
static void host_of(const struct backup_record *r, char *out, size_t cap)
{
    struct url url;
    bool known = r && r->endpoint[0] && url_parse(r->endpoint, &url) == OK;
    (void)snprintf(out, cap, "%s", known ? url.host : "IP");
    trail_clear();
}

static const char *etcd_restore(const char *file, const struct backup_record *r, struct text *t)
{
    char host[CONFIG_URL_MAX];
    host_of(r, host, sizeof host);
    bool six = strchr(host, ':') != NULL;
    text_add(t, "etcdutl snapshot restore ");
    add_word(t, file);
    text_addf(t,
              " --data-dir /var/lib/etcd --name NAME --initial-cluster NAME=https://%s%s%s:2380"
              " --initial-advertise-peer-urls https://%s%s%s:2380",
              six ? "[" : "", host, six ? "]" : "", six ? "[" : "", host, six ? "]" : "");
    return t->at;
}

void restore_next_text(const char *file, const struct backup_record *r)
{
    char storage[COMMAND_MAX], other[COMMAND_MAX];
    struct text bootstrap = text_over(storage, sizeof storage), etcd = text_over(other, sizeof other);
    (void)printf(
        "\nNext, on Talos (IP: a control plane node's address):\n"
        "  1. On every control plane node whose etcd is dead, wipe its data:\n       %s\n"
        "     (where etcd has a volume of its own, Talos 1.14 and later: that label instead of EPHEMERAL)\n"
        "  2. Wait until etcd is in state Preparing on all of them:\n       %s\n"
        "  3. On ONE of them, once; never a second time, and never without --recover-from, which makes an empty cluster:\n"
        "       %s\n     The others join by themselves.\n",
        talos_wipe(), talos_look(), talos_bootstrap(file, &bootstrap));
    (void)printf(
        "\nNext, on plain etcd: on every member, etcd stopped and its data directory moved away, each with its own NAME and\n"
        "address and the same --initial-cluster, which lists them all; then start them all:\n       %s\n\nAlso needed:\n",
        etcd_restore(file, r, &etcd));
    for (size_t i = 0; i < COUNT_OF(also_needed); i++)
        (void)printf("  - %s\n", also_needed[i]);
}

void restore_next_json(struct json_writer *w, const char *file, const struct backup_record *r)
{
    char storage[COMMAND_MAX];
    struct text t = text_over(storage, sizeof storage);
    json_object(w);
    json_key(w, "talos");
    json_array(w);
    json_text(w, talos_wipe());
    json_text(w, talos_look());
    json_text(w, talos_bootstrap(file, &t));
    json_array_end(w);
    t = text_over(storage, sizeof storage);
    json_key(w, "etcd");
    json_array(w);
    json_text(w, etcd_restore(file, r, &t));
    json_array_end(w);
    json_key(w, "also_needed");
    json_array(w);
    for (size_t i = 0; i < COUNT_OF(also_needed); i++)
        json_text(w, also_needed[i]);
    json_array_end(w);
    json_object_end(w);
}
