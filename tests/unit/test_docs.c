/* What the documentation shows is what the program knows: the table of options, and every sample configuration. Run from the root
 * of the tree, as `make` does. What is not in a table of C is compared by tools/docs-check. */
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "config/config.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MANUAL       "docs/OPERATIONS.md"
#define SAMPLES      "config/samples"
#define BLOCK_BEGIN  "<!-- options: from config_reference() -->\n"
#define BLOCK_END    "<!-- end of options -->"
#define FILE_BYTES   KIB(128)
#define SAMPLES_MIN  3
#define REFERENCE_KB 16

static char file[FILE_BYTES];

static struct bytes file_whole(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s: cannot be opened; tests run in the root of the tree", path);
    size_t len = fread(file, 1, sizeof file - 1, f);
    assert_int_equal(fclose(f), 0);
    assert_true(len > 0 && len < sizeof file - 1);
    file[len] = 0;
    return (struct bytes){(const uint8_t *)file, len};
}

static void the_manual_has_every_option(void **state)
{
    (void)state;
    static char storage[KIB(REFERENCE_KB)];
    struct text wanted = text_over(storage, sizeof storage);
    config_reference(&wanted);
    assert_false(wanted.cut);
    (void)file_whole(MANUAL);
    char *begin = strstr(file, BLOCK_BEGIN);
    char *end = begin ? strstr(begin, BLOCK_END) : NULL;
    if (!begin || !end)
        fail_msg(MANUAL ": the lines %s and %s are not there", BLOCK_BEGIN, BLOCK_END);
    *end = 0;
    if (strcmp(begin + strlen(BLOCK_BEGIN), storage) != 0)
        fail_msg(MANUAL ": the options have changed; put this between the two marks:\n%s", storage);
}

/* The text is in the file; it is emptied. */
static void file_has(struct text *t)
{
    assert_false(t->cut);
    if (!strstr(file, t->at))
        fail_msg(MANUAL ": this belongs there: %s", t->at);
    *t = text_over(t->at, t->cap);
}

/* Numbers of the profiles that the text repeats, and the names of all tasks. */
static void the_manual_has_the_bounds(void **state)
{
    (void)state;
    const struct profile *small = &profile_edge16, *middle = &profile_hub32, *large = &profile_hub64;
    char storage[256];
    struct text t = text_over(storage, sizeof storage);
    (void)file_whole(MANUAL);
    text_addf(&t, "| metric series | %u, %u, %u by profile;", small->metric_series, middle->metric_series, large->metric_series);
    file_has(&t);
    text_addf(&t, "| threads for blocking calls | %u, %u, %u by profile:", small->pool_threads, middle->pool_threads,
              large->pool_threads);
    file_has(&t);
    text_add(&t, "| HTTP connections at once | ");
    for (const struct profile *const *p = (const struct profile *[]){small, middle, large, NULL}; *p; p++)
        text_addf(&t, "%u on `%s`%s", (*p)->task[TASK_METRICS].connections - 2, (*p)->name, p[1] ? ", " : ";");
    file_has(&t);
    text_add(&t, " `task` is ");
    for (unsigned i = 0; i < TASK_COUNT; i++)
        text_addf(&t, "%s`%s`", i == 0 ? "" : i + 1 < TASK_COUNT ? ", " : " or ", task_name((enum task)i));
    file_has(&t);
}

static void sample_check(const char *name)
{
    char path[256], storage[KIB(4)];
    struct text errors = text_over(storage, sizeof storage);
    struct config *c = NULL;
    (void)snprintf(path, sizeof path, SAMPLES "/%s", name);
    err e = config_parse(file_whole(path), path, NULL, NULL, &c, &errors);
    if (e != OK)
        fail_msg("%s", storage);
    config_free(c);
}

static void every_sample_is_good(void **state)
{
    (void)state;
    unsigned count = 0;
    DIR *samples = opendir(SAMPLES);
    assert_non_null(samples);
    for (struct dirent *entry; (entry = readdir(samples)) != NULL;) {
        size_t len = strlen(entry->d_name);
        if (len < 5 || strcmp(entry->d_name + len - 5, ".yaml") != 0)
            continue;
        sample_check(entry->d_name);
        count++;
    }
    assert_int_equal(closedir(samples), 0);
    assert_true(count >= SAMPLES_MIN);
}

int main(void)
{
    if (mem_boot(&profile_edge16, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_manual_has_every_option),
        cmocka_unit_test(the_manual_has_the_bounds),
        cmocka_unit_test(every_sample_is_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
