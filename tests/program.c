/* program: all tests of a kind in one program, so that it is linked once. Each test's file is there under its own name, a link to
 * the one program; the name that it was started by says which it is. TESTS is the list of them, written by the Makefile. */
#include <stdio.h>
#include <string.h>

/* Their main()s, each by a name of its own. */
#define TEST(name) int name##_main(void);
#include TESTS
#undef TEST

static const struct {
    const char *name;
    int (*run)(void);
} tests[] = {
#define TEST(name) {#name, name##_main},
#include TESTS
#undef TEST
};

int main(int argc, char **argv)
{
    const char *path = argc > 0 ? argv[0] : "", *slash = strrchr(path, '/');
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        if (strcmp(tests[i].name, slash ? slash + 1 : path) == 0)
            return tests[i].run();
    fprintf(stderr, "%s: no test has this name\n", path);
    return 2;
}
