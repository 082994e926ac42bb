/* store: the database as a program, for the stock sqlite3 and for SIGKILL to meet (test_store.py).
 *
 *   store put FOLDER FROM COUNT    writes items FROM, FROM+1, …, prints each number when it is acknowledged, and ends
 *   store hold FOLDER              prints "open", and ends at SIGTERM
 *   store list FOLDER              prints the numbers that are there, reading everything
 * Exit 0 good; 1 with the error on stderr; 2 usage. */
#include "hal/store.h"
#include "board/rt/buf.h"
#include "board/rt/fiber.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEM_BYTES 3000

static const struct store_schema schema = {
    (const char *const[]){"CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT UNIQUE, value BLOB)", NULL}};

static struct {
    const char *verb, *folder;
    int64_t from, count;
} want;
static struct fiber *main_fiber;
static bool ended;

static void on_signal(int number)
{
    ended = ended || number == SIGTERM;
    fiber_wake(main_fiber);
}

static err put_work(struct store_tx *tx, void *arg)
{
    static const uint8_t content[ITEM_BYTES] = "an item";
    int64_t id = *(int64_t *)arg;
    char name[32];
    (void)snprintf(name, sizeof name, "item %lld", (long long)id);
    const struct store_value values[] = {store_integer(id), store_text(name),
                                         store_blob((struct bytes){content, sizeof content})};
    return store_exec(tx, "INSERT OR REPLACE INTO item VALUES(?1, ?2, ?3)", values, COUNT_OF(values));
}

static err number_row(void *arg, const struct store_value *columns, size_t count)
{
    (void)arg;
    (void)count;
    (void)printf("%lld\n", (long long)columns[0].integer);
    return columns[1].integer == ITEM_BYTES ? OK : E_INVALID;
}

static err list_work(struct store_tx *tx, void *arg)
{
    return store_query(tx, "SELECT id, length(hex(value)) / 2 FROM item ORDER BY id", NULL, 0, number_row, arg);
}

static err use(struct store *s)
{
    if (strcmp(want.verb, "list") == 0)
        return store_read(s, list_work, NULL, 0, loop_now() + SECONDS(20));
    for (int64_t id = want.from; id < want.from + want.count; id++) {
        TRY(store_write(s, put_work, &id, sizeof id, loop_now() + SECONDS(20)));
        (void)printf("%lld\n", (long long)id);
        (void)fflush(stdout);
    }
    if (strcmp(want.verb, "hold") != 0)
        return OK;
    (void)printf("open\n");
    (void)fflush(stdout);
    while (!ended)
        TRY(fiber_park(FOREVER));
    return OK;
}

static err main_run(void *arg)
{
    struct store *s = NULL;
    char text[1024];
    (void)arg;
    main_fiber = fiber_self();
    loop_on_signal(on_signal);
    err e = store_open(want.folder, &schema, loop_now() + SECONDS(20), &s);
    if (e == OK)
        e = use(s);
    if (e != OK)
        (void)fprintf(stderr, "store: %s %s\n", err_name(e), trail_text(e, text, sizeof text));
    store_close(s, loop_now() + SECONDS(20));
    return e;
}

int main(int argc, char **argv)
{
    bool puts_items = argc == 5 && strcmp(argv[1], "put") == 0;
    if (!puts_items && !(argc == 3 && (strcmp(argv[1], "hold") == 0 || strcmp(argv[1], "list") == 0))) {
        (void)fprintf(stderr, "usage: store put FOLDER FROM COUNT | store hold FOLDER | store list FOLDER\n");
        return 2;
    }
    want.verb = argv[1];
    want.folder = argv[2];
    want.from = puts_items ? strtoll(argv[3], NULL, 10) : 0;
    want.count = puts_items ? strtoll(argv[4], NULL, 10) : 0;
    log_setup(LOG_WARN, LOG_LOGFMT, 2);
    if (mem_boot(&profile_edge16, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    return loop_run(main_run, NULL) == OK ? 0 : 1;
}
