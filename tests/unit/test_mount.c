/* What is mounted where, read from lines as kernels write them; and the mounts that are refused before the kernel is asked. */
#include "tests/unit/check.h"

#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "hal/mount_table.h"
#include "net/proto/stream.h"

#include <string.h>
#include <unistd.h>

#define SOON (loop_now() + SECONDS(60))

static const struct line_case {
    const char *name, *line, *path;
    const char *type, *source; /* NULL: not of this path */
} lines[] = {
    {"nfs", "36 25 0:51 / /mnt/x rw,nosuid,nodev,noexec,relatime - nfs4 nas:/x rw,vers=4.2,soft", "/mnt/x", "nfs4", "nas:/x"},
    {"one optional field", "36 25 0:51 / /mnt/x rw shared:1 - nfs4 nas:/x rw", "/mnt/x", "nfs4", "nas:/x"},
    {"three optional fields", "36 25 0:51 / /mnt/x rw shared:1 master:2 propagate_from:3 - nfs nas:/x rw", "/mnt/x", "nfs",
     "nas:/x"},
    {"a slash at the end", "36 25 0:51 / /mnt/x rw - nfs4 nas:/x rw", "/mnt/x/", "nfs4", "nas:/x"},
    {"the root", "1 0 8:1 / / rw - ext4 /dev/sda1 rw", "/", "ext4", "/dev/sda1"},
    {"a space", "36 25 0:51 / /mnt/a\\040b rw - nfs4 nas:/a\\040b rw", "/mnt/a b", "nfs4", "nas:/a b"},
    {"a backslash", "36 25 0:51 / /mnt/a\\134b rw - nfs4 nas:/x rw", "/mnt/a\\b", "nfs4", "nas:/x"},
    {"no source", "36 25 0:51 / /mnt/x rw - tmpfs none rw", "/mnt/x", "tmpfs", "none"},
    {"another path", "36 25 0:51 / /mnt/y rw - nfs4 nas:/x rw", "/mnt/x", NULL, NULL},
    {"below it", "36 25 0:51 / /mnt/x/y rw - nfs4 nas:/x rw", "/mnt/x", NULL, NULL},
    {"above it", "36 25 0:51 / /mnt rw - nfs4 nas:/x rw", "/mnt/x", NULL, NULL},
    {"the root within it", "36 25 0:51 /mnt/x / rw - nfs4 nas:/x rw", "/mnt/x", NULL, NULL},
    {"cut before the dash", "36 25 0:51 / /mnt/x rw", "/mnt/x", NULL, NULL},
    {"cut after the type", "36 25 0:51 / /mnt/x rw - nfs4", "/mnt/x", NULL, NULL},
    {"cut in the path", "36 25 0:51 /", "/mnt/x", NULL, NULL},
    {"empty", "", "/mnt/x", NULL, NULL},
};

static void lines_are_read(void **unused)
{
    unsigned wrong = 0;
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        const struct line_case *c = &lines[i];
        struct mount_state s = {0};
        bool is = mount_line_is_of(bytes_of(c->line), c->path, &s);
        if (is != (c->type != NULL) || s.mounted != is ||
            (is && (strcmp(s.type, c->type) != 0 || strcmp(s.source, c->source) != 0))) {
            print_error("%s: %d %s %s\n", c->name, is, s.type, s.source);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static const struct text_case {
    const char *name;
    struct mount_nfs mount;
    const char *at, *source, *options;
} texts[] = {
    {"defaults",
     {.server = "nas", .export = "/x"},
     "10.0.2.2:0",
     "nas:/x",
     "vers=4.0,proto=tcp,port=2049,soft,timeo=100,retrans=2,addr=10.0.2.2"},
    {"all told",
     {.server = "10.0.2.2", .export = "/x/", .version_minor = 2, .timeout_ds = 30, .retries = 1},
     "10.0.2.2:12049",
     "10.0.2.2:/x",
     "vers=4.2,proto=tcp,port=12049,soft,timeo=30,retrans=1,addr=10.0.2.2"},
    {"IPv6",
     {.server = "fd00::2", .export = "/"},
     "[fd00::2]:0",
     "[fd00::2]:/",
     "vers=4.0,proto=tcp6,port=2049,soft,timeo=100,retrans=2,addr=fd00::2"},
    {"IPv6 in brackets, a zone",
     {.server = "[fe80::2]", .export = "/a/b//"},
     "[fe80::2%3]:0",
     "[fe80::2]:/a/b",
     "vers=4.0,proto=tcp6,port=2049,soft,timeo=100,retrans=2,addr=fe80::2%3"},
};

static void texts_are_made(void **unused)
{
    char source[MOUNT_SOURCE_MAX], options[MOUNT_OPTIONS_MAX], longest[MOUNT_SOURCE_MAX + 8];
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct mount_nfs m = texts[i].mount;
        assert_int_equal(addr_parse(bytes_of(texts[i].at), &m.at), OK);
        assert_int_equal(mount_source(&m, source), OK);
        assert_string_equal(source, texts[i].source);
        assert_int_equal(mount_options(&m, options), OK);
        assert_string_equal(options, texts[i].options);
    }
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    struct mount_nfs m = {.server = longest, .export = "/x"};
    assert_int_equal(mount_source(&m, source), E_RANGE);
    assert_int_equal(mount_options(&m, options), E_INVALID);
}

/* --- NULL calls --- */
static const struct answer_case {
    const char *name;
    uint8_t bytes[MOUNT_ANSWER_BYTES];
    err want;
} answers[] = {
    {"good", {0x80, 0, 0, 24, 1, 2, 3, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, OK},
    {"another version", {0x80, 0, 0, 32, 1, 2, 3, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}, E_UNSUPPORTED},
    {"another program", {0x80, 0, 0, 24, 1, 2, 3, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, E_UNSUPPORTED},
    {"an error", {0x80, 0, 0, 24, 1, 2, 3, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5}, E_REMOTE},
    {"refused", {0x80, 0, 0, 24, 1, 2, 3, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, E_DENIED},
    {"to another call", {0x80, 0, 0, 24, 1, 2, 3, 5, 0, 0, 0, 1}, E_PROTOCOL},
    {"a call", {0x80, 0, 0, 24, 1, 2, 3, 4, 0, 0, 0, 0}, E_PROTOCOL},
    {"in pieces", {0, 0, 0, 24, 1, 2, 3, 4, 0, 0, 0, 1}, E_PROTOCOL},
    {"a web server", "HTTP/1.1 400 Bad Request\r\n\r", E_PROTOCOL},
};

static void answers_are_told_apart(void **unused)
{
    static const uint8_t call[MOUNT_CALL_BYTES] = {0x80, 0, 0, 40, 1, 2, 3,    4,    0, 0, 0, 0,
                                                   0,    0, 0, 2,  0, 1, 0x86, 0xA3, 0, 0, 0, 4};
    uint8_t made[MOUNT_CALL_BYTES];
    (void)unused;
    mount_call(0x01020304, made);
    assert_memory_equal(made, call, sizeof made);
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        if (mount_answer(0x01020304, answers[i].bytes) != answers[i].want)
            fail_msg("%s", answers[i].name);
}

/* --- against this machine --- */
static err look(void *arg)
{
    struct mount_state s;
    struct lane l;
    (void)arg;
    lane_open(&l, "mounts", TASK_BOARD, 1);
    CHECK(mount_look(&l, "/proc", SOON, &s) == OK && s.mounted && strcmp(s.type, "proc") == 0);
    CHECK(mount_look(&l, "/proc/self", SOON, &s) == OK && !s.mounted && s.type[0] == 0);
    CHECK(mount_look(&l, "relative", SOON, &s) == E_INVALID);
    lane_close(&l);
    return OK;
}

static void what_is_mounted_here(void **unused)
{
    (void)unused;
    fibers_run(look, NULL, OK);
}

static char folder[64];
static char link_path[96];

static err refused(void *arg)
{
    struct lane l;
    bool ours = true;
    char why[512];
    struct mount_nfs m = {.server = "nas", .export = "/x", .path = "/proc"};
    (void)arg;
    lane_open(&l, "mounts", TASK_BOARD, 1);
    CHECK(addr_parse(bytes_of("127.0.0.1:1"), &m.at) == OK); /* tcpmux: nobody */
    CHECK(mount_nfs(&l, &m, SOON, &ours) == E_BUSY && !ours);
    CHECK(strstr(trail_text(E_BUSY, why, sizeof why), "is mounted there") != NULL);
    m.path = folder;
    CHECK(mount_nfs(&l, &m, SOON, &ours) == E_REFUSED && !ours);
    CHECK(strstr(trail_text(E_REFUSED, why, sizeof why), "mounting nas:/x on /tmp/holdfast-test-mount-") != NULL);
    CHECK(symlink(folder, link_path) == 0); /* what is mounted shows the folder: it would never be found */
    m.path = link_path;
    CHECK(mount_nfs(&l, &m, SOON, &ours) == E_INVALID && !ours);
    CHECK(strstr(trail_text(E_INVALID, why, sizeof why), folder) != NULL);
    CHECK(unlink(link_path) == 0);
    m.path = "tmp";
    CHECK(mount_nfs(&l, &m, SOON, &ours) == E_INVALID);
    err e = mount_remove(&l, folder, SOON); /* without the right to, that comes first */
    CHECK(e == E_ABSENT || e == E_DENIED);
    CHECK(os_unlink(folder) != OK); /* a folder */
    lane_close(&l);
    return OK;
}

static void what_is_refused(void **unused)
{
    (void)unused;
    (void)snprintf(folder, sizeof folder, "/tmp/holdfast-test-mount-%d", getpid());
    (void)snprintf(link_path, sizeof link_path, "%s-link", folder);
    fibers_run(refused, NULL, OK);
    assert_int_equal(remove(folder), 0);
}

/* --- a server that answers --- */

static struct sock listener;

static const struct reply_case {
    const char *name;
    size_t len;
    uint8_t bytes[28]; /* the xid is put in */
    err want;
} replies[] = {
    {"good", 28, {0x80, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 1}, OK},
    {"denied: a short one", 24, {0x80, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 5}, E_DENIED},
    {"denied: other versions", 28, {0x80, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, E_DENIED},
    {"SSH", 9, "SSH-2.0\r\n", E_PROTOCOL},
    {"an answer of nothing", 4, {0x80}, E_PROTOCOL},
};

static err reply(void *arg)
{
    const struct reply_case *t = arg;
    struct stream *s = NULL;
    struct addr peer;
    uint8_t call[MOUNT_CALL_BYTES], bytes[28];
    TRY(tcp_accept(&listener, SOON, &s, &peer));
    err e = stream_read_full(s, call, sizeof call, SOON);
    memcpy(bytes, t->bytes, sizeof bytes);
    if (bytes[0] == 0x80)
        memcpy(bytes + 4, call + 4, 4);
    if (e == OK)
        e = stream_write(s, bytes, t->len, SOON);
    if (e == OK) { /* the line stays until the other side goes */
        err gone = stream_read_full(s, call, 1, SOON);
        e = gone == E_CLOSED || gone == E_RESET ? OK : E_PROTOCOL;
    }
    stream_close(s);
    return e;
}

static err knock_all(void *arg)
{
    struct addr at;
    (void)arg;
    CHECK(sock_listen(&listener, &(struct addr){.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, &at) == OK);
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        struct group g;
        struct reply_case t = replies[i];
        group_open(&g, TASK_BOARD);
        CHECK(group_spawn(&g, "server", reply, &t) == OK);
        err e = mount_knock(&at, loop_now() + SECONDS(2));
        if (e != t.want)
            print_error("%s: %s\n", t.name, err_name(e));
        CHECK(e == t.want);
        CHECK(group_join(&g, SOON) == OK);
        group_close(&g);
    }
    sock_close(&listener);
    return OK;
}

/* Behind the first address of the name nobody is. */
static err knock_in_turn(void *arg)
{
    struct addr at, found;
    struct dns *dns = NULL;
    struct dns_config config = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    char why[512];
    (void)arg;
    (void)snprintf(config.hosts_path, sizeof config.hosts_path, "%s", folder);
    FILE *f = fopen(folder, "w");
    CHECK(f && fputs("127.0.0.2 nas\n127.0.0.1 nas\n", f) >= 0 && fclose(f) == 0);
    CHECK(dns_open_with(&config, &dns) == OK);
    CHECK(sock_listen(&listener, &(struct addr){.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, &at) == OK);
    struct group g;
    struct reply_case t = replies[0];
    group_open(&g, TASK_BOARD);
    CHECK(group_spawn(&g, "server", reply, &t) == OK);
    CHECK(mount_server(dns, "nas", at.port, SOON, &found) == OK && found.port == at.port && found.ip[3] == 1);
    CHECK(group_join(&g, SOON) == OK);
    group_close(&g);
    sock_close(&listener);
    CHECK(mount_server(dns, "nas", at.port, SOON, &found) == E_REFUSED);
    (void)trail_text(E_REFUSED, why, sizeof why);
    CHECK(strstr(why, "the NFS server nas") && strstr(why, "127.0.0.1:") && strstr(why, "127.0.0.2:"));
    dns_close(dns);
    return OK;
}

static void a_name_has_many_addresses(void **unused)
{
    (void)unused;
    (void)snprintf(folder, sizeof folder, "/tmp/holdfast-test-hosts-%d", getpid());
    fibers_run(knock_in_turn, NULL, OK);
    assert_int_equal(remove(folder), 0);
}

static void servers_answer(void **unused)
{
    (void)unused;
    fibers_run(knock_all, NULL, OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read),
        cmocka_unit_test(texts_are_made),
        cmocka_unit_test(answers_are_told_apart),
        cmocka_unit_test(what_is_mounted_here),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(servers_answer),
        cmocka_unit_test(a_name_has_many_addresses),
    };
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    return cmocka_run_group_tests_name("mount", tests, NULL, NULL);
}
