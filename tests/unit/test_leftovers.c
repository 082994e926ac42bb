/* Folders of spools that nobody owns any more: which are an ObsykAgent's by their name, and that nothing else is ever removed. */
#include "agents/ingest/leftovers.h"
#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOON (loop_now() + SECONDS(10))

static const struct {
    const char *folder, *name_space, *name; /* name NULL: it is none */
} names[] = {
    {"obsyk_a", "obsyk", "a"}, {"a-b_c.d-9", "a-b", "c.d-9"},
    {"config", NULL, NULL},    {"ingest.lock", NULL, NULL},
    {"_a", NULL, NULL},        {"a_", NULL, NULL},
    {"_", NULL, NULL},         {"a_b_c", NULL, NULL},
    {"A_b", NULL, NULL},       {"a_b c", NULL, NULL},
    {"a_-b", NULL, NULL},      {"a_b.", NULL, NULL},
    {".a_b", NULL, NULL},      {"lost+found_a", NULL, NULL},
    {"..", NULL, NULL},
};

static void names_of_agents(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char name_space[OS_NAME_MAX], name[OS_NAME_MAX];
        bool is = leftover_split(names[i].folder, name_space, name);
        if (is != (names[i].name != NULL) || (is && (strcmp(name_space, names[i].name_space) || strcmp(name, names[i].name))))
            fail_msg("%s: %d", names[i].folder, is);
    }
}

/* --- on a disk --- */
static char parent[] = "/tmp/holdfast-left-XXXXXX";
static struct lane lane;

static const struct {
    const char *name;
    const char *inside[4]; /* a name that ends with a slash is a folder's, with an @ a link's */
    err want;
} folders[] = {
    {"a_empty", {NULL}, OK},
    {"b_usual", {"00000001.spool", "000000ff.spool", "snapshot.json"}, OK},
    {"c_other-file", {"00000001.spool", "notes.txt"}, E_INVALID},
    {"d_other-number", {"1.spool"}, E_INVALID},
    {"e_longer", {"00000001.spool.old"}, E_INVALID},
    {"f_folder", {"snapshot.json/"}, E_INVALID},
    {"g_link", {"00000001.spool@"}, E_INVALID},
    {"h_hidden", {".snapshot.json"}, E_INVALID},
};

static const char *below(const char *folder, const char *name)
{
    static char path[OS_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s%s%s", parent, folder, name ? "/" : "", name ? name : "");
    return path;
}

static void put(const char *folder, const char *inside)
{
    char name[64];
    size_t len = strlen(inside) - (strchr("/@", inside[strlen(inside) - 1]) != NULL);
    (void)snprintf(name, sizeof name, "%.*s", (int)len, inside);
    if (inside[len] == '/')
        assert_int_equal(mkdir(below(folder, name), 0700), 0);
    else if (inside[len] == '@')
        assert_int_equal(symlink("/etc/hostname", below(folder, name)), 0);
    else
        assert_int_equal(fclose(fopen(below(folder, name), "w")), 0);
}

static unsigned count_inside(const char *folder)
{
    char name[OS_NAME_MAX];
    unsigned count = 0;
    for (uint64_t cursor = 0; os_list(below(folder, NULL), &cursor, name) == OK && *name;)
        count++;
    return count;
}

static int make(void **state)
{
    (void)state;
    if (!mkdtemp(parent))
        return -1;
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        assert_int_equal(mkdir(below(folders[i].name, NULL), 0700), 0);
        for (size_t n = 0; n < COUNT_OF(folders[i].inside) && folders[i].inside[n]; n++)
            put(folders[i].name, folders[i].inside[n]);
    }
    assert_int_equal(symlink(parent, below("z_link", NULL)), 0);
    assert_int_equal(fclose(fopen(below("y_file", NULL), "w")), 0);
    assert_int_equal(mkdir(below("config", NULL), 0700), 0);
    return 0;
}

static int take_away(void **state)
{
    char command[sizeof parent + 16];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", parent);
    return system(command);
}

static err each_in_order(void *arg)
{
    char name[OS_NAME_MAX] = "";
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        CHECK(leftover_next(&lane, parent, name, SOON) == OK && strcmp(name, folders[i].name) == 0);
    }
    CHECK(leftover_next(&lane, parent, name, SOON) == OK && !*name); /* neither a link nor a file, nor "config" */
    CHECK(leftover_next(&lane, "/proc/nothing", name, SOON) == E_ABSENT);
    trail_clear();
    return OK;
}

static err removed(void *arg)
{
    struct stat s;
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        unsigned before = count_inside(folders[i].name);
        err e = leftover_remove(&lane, parent, folders[i].name, SOON);
        bool there = stat(below(folders[i].name, NULL), &s) == 0;
        bool good = e == folders[i].want && there == (e != OK) && (!there || count_inside(folders[i].name) == before);
        if (!good)
            print_error("%s: %s\n", folders[i].name, err_name(e));
        CHECK(good);
        trail_clear();
    }
    return OK;
}

static void on_a_disk(void **state)
{
    (void)state;
    lane_open(&lane, "files", mem_task(), 1);
    fibers_run(each_in_order, NULL, OK);
    fibers_run(removed, NULL, OK);
    lane_close(&lane);
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_agents),
        cmocka_unit_test_setup_teardown(on_a_disk, make, take_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
