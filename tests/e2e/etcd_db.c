/* etcd_db: what net/format/etcd_db says of a file, as JSON, for tests to compare with the stock tools.
 *
 *   etcd_db FILE [--memory BYTES] [--trailer] [--kv REVISION COMPACTED]
 *
 * --trailer leaves the last 32 bytes out. Exit 0 good, 1 not good, 2 usage, 3 cannot tell. */
#include "net/format/etcd_db.h"
#include "board/rt/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP_PAGES 256

static struct {
    const char *path;
    size_t memory;
    bool trailer, kv;
    int64_t revision, compacted;
} want = {.memory = MIB(1)};

static err file_read(void *arg, uint64_t at, void *into, size_t len)
{
    const int *fd = arg;
    for (size_t got = 0; got < len;) {
        ssize_t n = pread(*fd, (char *)into + got, len - got, (off_t)(at + got));
        if (n <= 0)
            return trail(E_IO, "reading %s", want.path);
        got += (size_t)n;
    }
    return OK;
}

static err run_all(struct etcd_db *d)
{
    bool done = false;
    while (!done)
        TRY(etcd_db_step(d, STEP_PAGES, &done));
    return OK;
}

static void text_print(const char *text)
{
    for (; *text != 0; text++)
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else
            putchar(*text);
}

static void findings_print(const struct etcd_db_status *s)
{
    printf("\"findings\":[");
    for (unsigned i = 0; i < s->finding_count; i++) {
        const struct etcd_db_finding *f = &s->findings[i];
        printf("%s{\"code\":\"%s\",\"page\":%llu,\"text\":\"", i > 0 ? "," : "", etcd_db_code_name(f->code),
               (unsigned long long)f->page);
        text_print(f->text);
        printf("\"}");
    }
    printf("],\"findings_total\":%llu", (unsigned long long)s->findings_total);
}

static void status_print(const struct etcd_db_status *s)
{
    printf("{\"structure\":%s,\"logic\":%s,", s->structure_good ? "true" : "false", s->logic_good ? "true" : "false");
    findings_print(s);
    printf(",\"page_bytes\":%u,\"pages\":%llu,\"db_bytes\":%llu,\"txid\":%llu", s->page_bytes, (unsigned long long)s->pages,
           (unsigned long long)s->db_bytes, (unsigned long long)s->txid);
    printf(",\"hash\":%u,\"revision\":%lld,\"compact_revision\":%lld", s->hash, (long long)s->revision,
           (long long)s->compact_revision);
    printf(",\"keys\":%llu,\"pairs\":%llu,\"version\":\"%s\",\"passes\":%u", (unsigned long long)s->keys,
           (unsigned long long)s->pairs, s->storage_version, s->passes);
}

static err hash_kv(struct etcd_db *d, const struct etcd_db_status *s)
{
    TRY(etcd_db_hash_kv_start(d, want.revision != 0 ? want.revision : s->revision, want.compacted));
    TRY(run_all(d));
    printf(",\"hash_kv\":%u", etcd_db_hash_kv(d));
    return OK;
}

static err verify(struct etcd_db *d, bool *good)
{
    TRY(run_all(d));
    const struct etcd_db_status *s = etcd_db_status(d);
    *good = s->structure_good && s->logic_good;
    status_print(s);
    err e = want.kv && *good ? hash_kv(d, s) : OK;
    printf("}\n");
    return e;
}

static bool options_read(int count, char **at)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(at[i], "--trailer") == 0)
            want.trailer = true;
        else if (strcmp(at[i], "--memory") == 0 && i + 1 < count)
            want.memory = strtoull(at[++i], NULL, 10);
        else if (strcmp(at[i], "--kv") == 0 && i + 2 < count) {
            want.kv = true;
            want.revision = strtoll(at[++i], NULL, 10);
            want.compacted = strtoll(at[++i], NULL, 10);
        } else if (want.path == NULL && at[i][0] != '-')
            want.path = at[i];
        else
            return false;
    }
    return want.path != NULL;
}

int main(int argc, char **argv)
{
    struct stat st;
    struct etcd_db *d = NULL;
    bool good = false;
    if (!options_read(argc - 1, argv + 1)) {
        fprintf(stderr, "usage: etcd_db FILE [--memory BYTES] [--trailer] [--kv REVISION COMPACTED]\n");
        return 2;
    }
    if (mem_boot(&profile_hub64, MEM_LAZY) != OK)
        return 3;
    mem_set_task(TASK_BACKUP); /* the largest heap */
    int fd = open(want.path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        perror(want.path);
        return 3;
    }
    uint64_t bytes = (uint64_t)st.st_size;
    struct etcd_db_source source = {file_read, &fd, want.trailer && bytes >= 32 ? bytes - 32 : bytes, 0};
    err e = etcd_db_open(&source, want.memory, &d);
    if (e == OK)
        e = verify(d, &good);
    etcd_db_close(d);
    if (e != OK) {
        char text[512];
        fprintf(stderr, "etcd_db: %s %s\n", err_name(e), trail_text(e, text, sizeof text));
        return 3;
    }
    return good ? 0 : 1;
}
