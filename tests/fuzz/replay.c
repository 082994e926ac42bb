/* replay: the fuzz targets without a fuzzer, in one program. Each target's file is a link to it, which runs the target over the
 * empty input and every file of a folder: what `make test` does with the saved corpus, on the objects of the sanitized tests.
 *
 *   fuzz_NAME [-OPTION...] FOLDER      options are the fuzzer's, and have no meaning here
 *
 * Prints "#N", the inputs run. Exit 0; 2 usage. A finding ends the process, one that takes too long by SIGALRM; its file was told
 * before. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_S_MAX 60

#define TEST(name) int name##_input(const uint8_t *data, size_t size);
#include TESTS
#undef TEST

static const struct target {
    const char *name;
    int (*run)(const uint8_t *data, size_t size);
} targets[] = {
#define TEST(name) {#name, name##_input},
#include TESTS
#undef TEST
};

static const struct target *target_find(const char *path)
{
    const char *slash = strrchr(path, '/');
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        if (strcmp(targets[i].name, slash ? slash + 1 : path) == 0)
            return &targets[i];
    return NULL;
}

/* In memory of exactly its size, so that a byte read behind it is found. */
static void input_run(const struct target *t, const char *path)
{
    FILE *f = fopen(path, "rb");
    ASSERT(f && fseek(f, 0, SEEK_END) == 0);
    long size = ftell(f);
    ASSERT(size >= 0 && fseek(f, 0, SEEK_SET) == 0);
    uint8_t *data = malloc((size_t)size);
    ASSERT((data || size == 0) && fread(data, 1, (size_t)size, f) == (size_t)size);
    ASSERT(fclose(f) == 0);
    fprintf(stderr, "%s\n", path);
    alarm(INPUT_S_MAX);
    t->run(data, (size_t)size);
    alarm(0);
    free(data);
}

int main(int argc, char **argv)
{
    const struct target *t = argc > 1 ? target_find(argv[0]) : NULL;
    DIR *folder = t ? opendir(argv[argc - 1]) : NULL;
    unsigned count = 0;
    if (!folder) {
        fprintf(stderr, "usage: fuzz_NAME [-OPTION...] FOLDER: no such target, or no such folder\n");
        return 2;
    }
    t->run((const uint8_t *)"", 0);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", argv[argc - 1], entry->d_name);
        input_run(t, path);
        count++;
    }
    closedir(folder);
    printf("#%u\n", count);
    return 0;
}
