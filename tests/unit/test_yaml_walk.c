/* What yaml_walk gives of a document, and the words for what is none. */
#include "net/format/yaml_walk.h"

#include "board/rt/mem.h"
#include "board/rt/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LONG_256                                                                                                                 \
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"   \
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"   \
    "kkkkkkkkkkkkkkkk"

static const struct {
    const char *name, *yaml, *told;
    err want;
} cases[] = {
    {"keys, of which `in` is looked into", "a: 1\nin: {b: 2, c: 3}\nd: 4\n", "a in( b c ) d ", OK},
    {"lists and maps are passed over", "a: [1, {x: y}, [2]]\nin: {b: {in: {z: 1}}, c: []}\n", "a in( b c ) ", OK},
    {"an empty map", "{}", "", OK},
    {"an empty key", "'': 1\nin: {'': 2}", " in(  ) ", OK},
    {"a key that is too long", LONG_256 ": 1\nb: 2\n", " b ", OK},
    {"a file that is empty", "", "file: 1: not a map of keys", E_CONFIG},
    {"a file that is a list", "- a\n", "file: 1: not a map of keys", E_CONFIG},
    {"a file that is null", "~", "file: 1: not a map of keys", E_CONFIG},
    {"a map that is a text", "a: 1\nin: x\n", "in: 2: not a map of keys", E_CONFIG},
    {"a map that is null", "a: 1\nin:\n", "in: 2: not a map of keys", E_CONFIG},
    {"a key that is a list", "a: 1\nin: {[x]: 1}\n", "in: 2: a key is a word", E_CONFIG},
    {"no YAML", "a: 1\nb: [\n", ": 3: a value is missing", E_CONFIG},
};

struct told {
    struct yaml_walk walk;
    struct text text;
};

static err wrong(const struct yaml_walk *w, err code, const char *where, const char *what)
{
    struct told *t = CONTAINER_OF(w, struct told, walk);
    t->text.len = 0;
    text_addf(&t->text, "%s: %u: %s", where, w->event.mark.line, what);
    return code;
}

static err inner_key(void *arg, const char *key)
{
    struct told *t = arg;
    text_addf(&t->text, "%s ", key);
    return yaml_walk_skip(&t->walk);
}

static err outer_key(void *arg, const char *key)
{
    struct told *t = arg;
    if (strcmp(key, "in") != 0)
        return inner_key(arg, key);
    text_add(&t->text, "in( ");
    TRY(yaml_walk_map(&t->walk, "in", inner_key, t));
    text_add(&t->text, ") ");
    return OK;
}

static void table(void **unused)
{
    (void)unused;
    uint64_t before = mem_use(TASK_BOARD).used_bytes;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char words[512];
        struct told t = {.walk = {.wrong = wrong}, .text = text_over(words, sizeof words)};
        err got = yaml_walk_file(&t.walk, bytes_of(cases[i].yaml), "file", outer_key, &t);
        bool begins = strncmp(words, cases[i].told, strlen(cases[i].told)) == 0;
        if (got != cases[i].want || !(got == OK ? strcmp(words, cases[i].told) == 0 : begins))
            fail_msg("%s: %s, \"%s\"", cases[i].name, err_name(got), words);
    }
    assert_int_equal(mem_use(TASK_BOARD).used_bytes, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table)};
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    return cmocka_run_group_tests_name("yaml_walk", tests, NULL, NULL);
}
