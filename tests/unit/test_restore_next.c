/* The commands after a restore are right for any file name and address, and never the wrong ones. */
#include "board/restore_next.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name, *file, *endpoint; /* endpoint NULL: there is no record */
    const char *talos, *etcd;           /* parts of the JSON */
} cases[] = {
    {"no record", "/x/etcd.db", NULL, "--recover-from=/x/etcd.db\"", "--initial-cluster NAME=https://IP:2380 "},
    {"its own address", "etcd.db", "https://10.0.0.4:2379", "--recover-from=etcd.db\"", "NAME=https://10.0.0.4:2380 "},
    {"a name", "./e.db", "https://cp1.lan:2379", "--recover-from=./e.db\"",
     "--initial-advertise-peer-urls https://cp1.lan:2380\""},
    {"six", "e.db", "https://[fd00::4]:2379", "--recover-from=e.db\"", "NAME=https://[fd00::4]:2380 "},
    {"made anew", "e.db", "", "--recover-from=e.db\"", "NAME=https://IP:2380 "},
    {"a space", "/my files/e.db", NULL, "--recover-from='/my files/e.db'\"", "restore '/my files/e.db' --data-dir"},
    {"a quote", "it's.db", NULL, "--recover-from='it'\\\\''s.db'\"", "restore 'it'\\\\''s.db' "},
    {"a command", "$(reboot).db", NULL, "--recover-from='$(reboot).db'\"", "restore '$(reboot).db' "},
};

static void commands_are_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static char page[KIB(8)];
        static struct backup_record r;
        struct text t = text_over(page, sizeof page);
        struct json_writer w = json_write_to(&t);
        (void)snprintf(r.endpoint, sizeof r.endpoint, "%s", cases[i].endpoint ? cases[i].endpoint : "");
        restore_next_json(&w, cases[i].file, cases[i].endpoint ? &r : NULL);
        assert_true(json_done(&w));
        if (!strstr(page, cases[i].talos) || !strstr(page, cases[i].etcd))
            fail_msg("%s: %s", cases[i].name, page);
        assert_non_null(strstr(page, "reset --graceful=false --reboot --system-labels-to-wipe=EPHEMERAL"));
        assert_null(strstr(page, "skip-hash-check"));
        assert_null(strstr(page, "talosctl cp"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(commands_are_right)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
