/* The store on the real disk: schema, group commit, snapshots, damage, budgets, locks. Its stock reader is tested end to end. */
#include "tests/support/skip.h"
#include "tests/unit/check.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/metric.h"
#include "hal/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOON       (loop_now() + SECONDS(60))
#define PAGE_BYTES 4096

static char folder[] = "/tmp/test_store-XXXXXX";

static const char *at(const char *name)
{
    static char path[OS_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void folder_empty(void)
{
    static const char *const names[] = {"holdfast.db", "holdfast.db-wal", "holdfast.db-journal", "holdfast.db.damaged",
                                        "holdfast.db.damaged-wal"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        unlink(at(names[i]));
}

static const struct store_schema schema = {
    (const char *const[]){"CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT UNIQUE, value BLOB)", NULL}};
static const struct store_schema schema_two = {(const char *const[]){
    "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT UNIQUE, value BLOB)",
    "ALTER TABLE item ADD COLUMN extra TEXT DEFAULT 'none'; CREATE TABLE other(id INTEGER PRIMARY KEY)", NULL}};
static const struct store_schema schema_wrong = {
    (const char *const[]){"CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT UNIQUE, value BLOB)",
                          "CREATE TABLE half(id INTEGER); CREATE TABLE item(id INTEGER)", NULL}};

static struct store *opened(const struct store_schema *s)
{
    struct store *store = NULL;
    err e = store_open(folder, s, SOON, &store);
    char why[400];
    if (e != OK)
        print_error("%s\n", trail_text(e, why, sizeof why));
    CHECK(e == OK);
    return store;
}

/* --- work functions --- */

struct put {
    int64_t id;
    size_t value_bytes;
    err then; /* returned after the write */
};

static err put_work(struct store_tx *tx, void *arg)
{
    static uint8_t content[STORE_VALUE_BYTES_MAX];
    struct put *p = arg;
    char name[32];
    snprintf(name, sizeof name, "name-%lld", (long long)p->id);
    const struct store_value values[] = {store_integer(p->id), store_text(name),
                                         store_blob((struct bytes){content, p->value_bytes})};
    TRY(store_exec(tx, "INSERT INTO item(id, name, value) VALUES(?1, ?2, ?3)", values, COUNT_OF(values)));
    return p->then;
}

static err put(struct store *s, int64_t id, size_t value_bytes, err then)
{
    struct put p = {id, value_bytes, then};
    return store_write(s, put_work, &p, sizeof p, SOON);
}

static err integer_row(void *arg, const struct store_value *columns, size_t count)
{
    CHECK(count == 1 && columns[0].kind == STORE_INTEGER);
    *(int64_t *)arg = columns[0].integer;
    return OK;
}

static err count_work(struct store_tx *tx, void *arg)
{
    return store_query(tx, "SELECT count(*) FROM item", NULL, 0, integer_row, arg);
}

static int64_t count_items(struct store *s)
{
    int64_t count = -1;
    CHECK(store_read(s, count_work, &count, sizeof count, SOON) == OK);
    return count;
}

/* Every byte of every row, so every page of the table and of its index. */
static err all_work(struct store_tx *tx, void *arg)
{
    TRY(store_query(tx, "SELECT total(length(value) + length(hex(value)))+0 > -1 FROM item", NULL, 0, integer_row, arg));
    return store_query(tx, "SELECT count(*) FROM item INDEXED BY sqlite_autoindex_item_1 WHERE name > ''", NULL, 0, integer_row,
                       arg);
}

/* --- plain use --- */

static err ask_work(struct store_tx *tx, void *arg)
{
    int64_t *n = arg;
    const struct store_value values[] = {store_text("x"),
                                         store_blob((struct bytes){(const uint8_t *)"\0y", 2}),
                                         {.kind = STORE_REAL, .real = 0.5},
                                         store_text(NULL)};
    return store_query(tx, "SELECT ?1='x' AND ?2=x'0079' AND ?3=0.5 AND ?4 IS NULL AND typeof(?2)='blob'", values, 4, integer_row,
                       n);
}

static err wrong_count_work(struct store_tx *tx, void *arg)
{
    (void)arg;
    return store_exec(tx, "SELECT ?1, ?2", NULL, 0);
}

static err wrong_sql_work(struct store_tx *tx, void *arg)
{
    (void)arg;
    return store_exec(tx, "SELEKT 1", NULL, 0);
}

static err large_work(struct store_tx *tx, void *arg)
{
    const struct store_value v = store_blob((struct bytes){arg, STORE_VALUE_BYTES_MAX + 1});
    return store_exec(tx, "SELECT ?1", &v, 1);
}

static err stop_row(void *arg, const struct store_value *columns, size_t count)
{
    ++*(int64_t *)arg;
    (void)columns;
    (void)count;
    return E_FULL;
}

static err stop_work(struct store_tx *tx, void *arg)
{
    return store_query(tx, "SELECT 1 UNION SELECT 2", NULL, 0, stop_row, arg);
}

static err plain_body(void *arg)
{
    (void)arg;
    char why[400];
    struct store *s = opened(&schema);
    int64_t n = 0;
    CHECK(count_items(s) == 0);
    CHECK(put(s, 1, 10, OK) == OK);
    CHECK(put(s, 2, 20000, OK) == OK);
    CHECK(count_items(s) == 2);
    CHECK(put(s, 1, 10, OK) == E_EXISTS);
    const char *told = trail_text(E_EXISTS, why, sizeof why);
    CHECK(strstr(told, "holdfast.db") != NULL && strstr(told, "UNIQUE") != NULL && strstr(told, "INSERT") != NULL);
    trail_clear();
    CHECK(put(s, 3, 10, E_REFUSED) == E_REFUSED);
    CHECK(store_read(s, put_work, &(struct put){.id = 9}, sizeof(struct put), SOON) == E_READONLY);
    CHECK(store_read(s, ask_work, &n, sizeof n, SOON) == OK && n == 1);
    n = 0;
    CHECK(store_read(s, stop_work, &n, sizeof n, SOON) == E_FULL && n == 0); /* nothing is copied back with an error */
    CHECK(store_read(s, wrong_count_work, NULL, 0, SOON) == E_RANGE);
    CHECK(store_write(s, large_work, NULL, 0, SOON) == E_RANGE);
    CHECK(store_write(s, wrong_sql_work, NULL, 0, SOON) == E_INVALID);
    CHECK(store_read(s, count_work, &n, sizeof n, loop_now() - 1) == E_TIMEOUT);
    CHECK(count_items(s) == 2);
    trail_clear();
    struct store_stats st = store_stats(s);
    CHECK(st.commits == 2 && st.waiting == 0 && st.bytes_written > 3 * PAGE_BYTES);
    CHECK((uint64_t)metric_value("holdfast_store_written_bytes_total", NULL) == st.bytes_written);
    CHECK(metric_value("holdfast_store_commits_total", NULL) == 2);
    CHECK((uint64_t)metric_value("holdfast_store_requests_total", (const char *const[]){"write"}) == st.writes);
    store_close(s, SOON);
    CHECK(access(at("holdfast.db-wal"), F_OK) != 0 && access(at("holdfast.db-shm"), F_OK) != 0);
    s = opened(&schema);
    CHECK(count_items(s) == 2);
    store_close(s, SOON);
    return OK;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    folder_empty();
    fibers_run(plain_body, NULL, OK);
    assert_int_equal(mem_use(TASK_STORE).used_bytes, 0);
}

/* --- schema --- */

static err schema_body(void *arg)
{
    (void)arg;
    struct store *s = opened(&schema);
    CHECK(put(s, 1, 10, OK) == OK);
    store_close(s, SOON);
    CHECK(store_open(folder, &schema_wrong, SOON, &s) == E_INVALID); /* its second step fails whole */
    trail_clear();
    s = opened(&schema_two);
    CHECK(count_items(s) == 1);
    store_close(s, SOON);
    CHECK(store_open(folder, &schema, SOON, &s) == E_UNSUPPORTED && s == NULL);
    trail_clear();
    s = opened(&schema_two);
    store_close(s, SOON);
    return OK;
}

static void a_schema_grows_step_by_step(void **state)
{
    (void)state;
    folder_empty();
    fibers_run(schema_body, NULL, OK);
}

/* --- group commit --- */

#define WRITERS 11 /* fibers of a task in hub32, one less */

struct writing {
    struct store *store;
    int64_t id;
    err want;
};

static err writing_fiber(void *arg)
{
    struct writing *w = arg;
    for (int64_t i = 0; i < 4; i++)
        CHECK(put(w->store, w->id + i * 100, 100, w->want) == w->want);
    trail_clear();
    return OK;
}

static err group_body(void *arg)
{
    (void)arg;
    struct writing w[WRITERS];
    struct group g;
    struct store *s = opened(&schema);
    group_open(&g, TASK_BACKUP);
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        w[i] = (struct writing){s, (int64_t)i, i == 5 ? E_REFUSED : OK};
        CHECK(group_spawn(&g, "writing", writing_fiber, &w[i]) == OK);
    }
    CHECK(group_join(&g, SOON) == OK);
    struct store_stats st = store_stats(s);
    CHECK(st.writes == 4 * WRITERS && st.commits < 4 * WRITERS && st.commits >= 4);
    CHECK(st.waiting_peak > 1 && st.waiting == 0);
    CHECK(count_items(s) == 4 * (WRITERS - 1)); /* all but those of the one whose savepoint failed */
    store_close(s, SOON);
    return OK;
}

static void many_writers_share_commits(void **state)
{
    (void)state;
    folder_empty();
    fibers_run(group_body, NULL, OK);
}

/* --- giving up --- */

static err canceled_fiber(void *arg)
{
    struct store *s = arg;
    CHECK(fiber_sleep(FOREVER) == E_CANCELED);
    CHECK(put(s, 50, 10, OK) == E_CANCELED); /* queued, so it is dropped */
    return OK;
}

static atomic_bool slow_began, slow_may_end, late_gave_up;

static err slow_work(struct store_tx *tx, void *arg)
{
    TRY(put_work(tx, arg));
    atomic_store(&slow_began, true);
    for (unsigned i = 0; i < 20000 && !atomic_load(&slow_may_end); i++)
        usleep(1000);
    return OK;
}

static struct hold late_hold;

static void late_drop(struct hold *h)
{
    CHECK(h == NULL); /* the test keeps one to the end */
}

static err late_fiber(void *arg)
{
    struct put p = {60, 10, OK};
    hold_init(&late_hold, late_drop);
    for (ms span = 400; !slow_began && span < SECONDS(60); span *= 4) /* the thread has to have begun by then */
        CHECK(store_write_held(arg, slow_work, &p, sizeof p, &late_hold, loop_now() + span) ==
              E_TIMEOUT); /* and yet it is committed */
    late_gave_up = true;
    CHECK(atomic_load(&late_hold.count) == 2);
    trail_clear();
    return OK;
}

static err give_up_body(void *arg)
{
    (void)arg;
    struct group g;
    struct store *s = opened(&schema);
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "canceled", canceled_fiber, s) == OK);
    CHECK(group_spawn(&g, "late", late_fiber, s) == OK);
    AWAIT(slow_began);
    group_close(&g); /* the late one is canceled while its job runs: it waits for it, until its own deadline */
    CHECK(late_gave_up);
    slow_may_end = true;
    CHECK(put(s, 1, 10, OK) == OK);
    CHECK(count_items(s) == 2 && atomic_load(&late_hold.count) == 1);
    struct put last = {2, 10, OK};
    store_close(s, SOON);
    CHECK(last.id == 2);
    return OK;
}

static void who_gives_up_leaves_nothing_behind(void **state)
{
    (void)state;
    folder_empty();
    fibers_run(give_up_body, NULL, OK);
    assert_int_equal(mem_use(TASK_STORE).used_bytes, 0);
}

/* --- damage --- */

static void flip(const char *name, off_t where, uint8_t bit)
{
    uint8_t byte = 0;
    int fd = open(at(name), O_RDWR);
    CHECK(fd >= 0 && pread(fd, &byte, 1, where) == 1);
    byte ^= bit;
    CHECK(pwrite(fd, &byte, 1, where) == 1);
    close(fd);
}

static err open_and_read_all(void)
{
    struct store *s = NULL;
    int64_t n = 0;
    err e = store_open(folder, &schema, SOON, &s);
    if (e == OK)
        e = store_read(s, all_work, &n, sizeof n, SOON);
    store_close(s, SOON);
    trail_clear();
    return e;
}

static off_t file_bytes(const char *name)
{
    struct stat s = {0};
    CHECK(stat(at(name), &s) == 0);
    return s.st_size;
}

static err damage_body(void *arg)
{
    (void)arg;
    struct store *s = opened(&schema);
    for (int64_t i = 0; i < 60; i++)
        CHECK(put(s, i, i % 20 == 0 ? 20000 : 300, OK) == OK);
    store_close(s, SOON);
    off_t pages = file_bytes("holdfast.db") / PAGE_BYTES;
    CHECK(pages > 15 && open_and_read_all() == OK);
    for (off_t page = 0; page < pages; page++)
        for (unsigned n = 0; n < 3; n++) {
            static const off_t places[] = {0, 2000, PAGE_BYTES - 1}; /* and the sum itself */
            off_t where = page * PAGE_BYTES + places[n];
            flip("holdfast.db", where, 0x10);
            CHECK(open_and_read_all() == E_CORRUPT);
            flip("holdfast.db", where, 0x10);
        }
    CHECK(open_and_read_all() == OK);
    return OK;
}

static void a_flipped_bit_of_any_page_is_seen(void **state)
{
    (void)state;
    folder_empty();
    fibers_run(damage_body, NULL, OK);
}

/* While the store is open, below it: the page is in no cache when the table is larger than that. */
static err wal_damage_body(void *arg)
{
    (void)arg;
    int64_t n = 0;
    struct store *s = opened(&schema);
    for (int64_t i = 0; i < 12; i++)
        CHECK(put(s, i, 60000, OK) == OK);
    off_t frames = (file_bytes("holdfast.db-wal") - 32) / (24 + PAGE_BYTES);
    CHECK(frames > 180 && frames < 256 && store_read(s, all_work, &n, sizeof n, SOON) == OK);
    for (off_t f = 0; f < frames; f++)
        flip("holdfast.db-wal", 32 + f * (24 + PAGE_BYTES) + 24 + 100, 1);
    CHECK(store_read(s, all_work, &n, sizeof n, SOON) == E_CORRUPT);
    trail_clear();
    store_close(s, SOON);
    CHECK(access(at("holdfast.db-wal"), F_OK) == 0); /* not written back as if it were good */
    return OK;
}

static void a_flipped_bit_in_the_wal_is_seen(void **state)
{
    (void)state;
    folder_empty();
    fibers_run(wal_damage_body, NULL, OK);
}

static err aside_body(void *arg)
{
    (void)arg;
    struct store *s = NULL;
    CHECK(store_set_aside(folder, SOON) == E_ABSENT);
    FILE *f = fopen(at("holdfast.db"), "w");
    for (int i = 0; i < 3000; i++)
        CHECK(fputs("no database", f) >= 0);
    fclose(f);
    CHECK(store_open(folder, &schema, SOON, &s) == E_CORRUPT && s == NULL);
    CHECK(store_set_aside(folder, SOON) == OK);
    CHECK(file_bytes("holdfast.db.damaged") == 33000);
    s = opened(&schema);
    CHECK(store_set_aside(folder, SOON) == E_BUSY);
    CHECK(put(s, 1, 10, OK) == OK);
    store_close(s, SOON);
    CHECK(store_set_aside(folder, SOON) == OK); /* the newest only */
    CHECK(file_bytes("holdfast.db.damaged") < 33000 && access(at("holdfast.db"), F_OK) != 0);
    trail_clear();
    return OK;
}

static void a_damaged_file_is_set_aside(void **state)
{
    (void)state;
    folder_empty();
    fibers_run(aside_body, NULL, OK);
}

/* --- budgets --- */

static err hungry_work(struct store_tx *tx, void *arg)
{
    (void)arg; /* a sort of 64 MiB in memory */
    return store_exec(tx,
                      "SELECT value FROM (WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<2000) "
                      "SELECT randomblob(32000) AS value FROM n) ORDER BY value",
                      NULL, 0);
}

static err hungry_write_work(struct store_tx *tx, void *arg)
{
    TRY(put_work(tx, arg));
    return hungry_work(tx, arg);
}

static err hungry_fiber(void *arg)
{
    struct put p = {200, 10, OK};
    CHECK(store_write(arg, hungry_write_work, &p, sizeof p, SOON) == E_BUDGET);
    trail_clear();
    return OK;
}

static err budget_body(void *arg)
{
    (void)arg;
    struct writing w[6];
    struct group g;
    struct store *s = opened(&schema);
    CHECK(store_read(s, hungry_work, NULL, 0, SOON) == E_BUDGET);
    group_open(&g, TASK_BACKUP);
    for (size_t i = 0; i < COUNT_OF(w); i++) { /* in one batch with the hungry one, which undoes the transaction */
        w[i] = (struct writing){s, (int64_t)i, OK};
        CHECK(group_spawn(&g, "writing", i == 3 ? hungry_fiber : writing_fiber, i == 3 ? (void *)s : &w[i]) == OK);
    }
    CHECK(group_join(&g, SOON) == OK);
    CHECK(count_items(s) == 20);
    CHECK(mem_use(TASK_STORE).refusals > 0);
    trail_clear();
    store_close(s, SOON);
    return OK;
}

static void a_spent_slice_is_an_answer(void **state)
{
    (void)state;
#if defined(HOLDFAST_HOST_LIBC) && !defined(__SANITIZE_ADDRESS__)
    SKIP_BECAUSE("this build's memory is the host's, without slices");
#endif
    folder_empty();
    fibers_run(budget_body, NULL, OK);
    assert_int_equal(mem_use(TASK_STORE).used_bytes, 0);
}

static err bounds_body(void *arg)
{
    (void)arg;
    struct store *s = opened(&schema);
    for (int64_t i = 0; i < 400; i++)
        CHECK(put(s, i, 20000, OK) == OK);
    CHECK(file_bytes("holdfast.db-wal") < 2 * 256 * (24 + PAGE_BYTES)); /* it is written back and begun anew */
    int64_t n = 0;
    CHECK(store_read(s, all_work, &n, sizeof n, SOON) == OK && n == 400);
    CHECK(mem_use(TASK_STORE).refusals == *(const uint64_t *)arg);
    print_message("peak of the store's heap: %zu of %zu bytes\n", mem_use(TASK_STORE).peak_bytes,
                  mem_use(TASK_STORE).limit_bytes);
    store_close(s, SOON);
    return OK;
}

static void memory_and_wal_are_bounded(void **state)
{
    (void)state;
    folder_empty();
    mem_peak_reset(TASK_STORE);
    uint64_t refusals = mem_use(TASK_STORE).refusals;
    fibers_run(bounds_body, &refusals, OK);
    assert_true(mem_use(TASK_STORE).peak_bytes < mem_use(TASK_STORE).limit_bytes * 3 / 4);
}

/* --- locks --- */

static err busy_body(void *arg)
{
    (void)arg;
    struct store *s = opened(&schema), *second = NULL;
    CHECK(store_open(folder, &schema, SOON, &second) == E_BUSY && second == NULL);
    trail_clear();
    CHECK(put(s, 1, 10, OK) == OK);
    store_close(s, SOON);
    int fd = open(at("holdfast.db"), O_RDWR);
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0x40000002, .l_len = 510}; /* a stock reader */
    CHECK(fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0);
    CHECK(store_open(folder, &schema, SOON, &second) == E_BUSY);
    trail_clear();
    close(fd);
    s = opened(&schema);
    CHECK(count_items(s) == 1);
    store_close(s, SOON);
    return OK;
}

static void one_has_it_open(void **state)
{
    (void)state;
    folder_empty();
    fibers_run(busy_body, NULL, OK);
}

static err absent_body(void *arg)
{
    (void)arg;
    struct store *s = NULL;
    CHECK(store_open("/nonexistent", &schema, SOON, &s) == E_ABSENT && s == NULL);
    trail_clear();
    return OK;
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    (void)state;
    fibers_run(absent_body, NULL, OK);
    assert_int_equal(mem_use(TASK_STORE).used_bytes, 0);
}

static int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int folder_remove(void **state)
{
    (void)state;
    folder_empty();
    return rmdir(folder); /* it is empty */
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_schema_grows_step_by_step),
        cmocka_unit_test(many_writers_share_commits),
        cmocka_unit_test(who_gives_up_leaves_nothing_behind),
        cmocka_unit_test(a_flipped_bit_of_any_page_is_seen),
        cmocka_unit_test(a_flipped_bit_in_the_wal_is_seen),
        cmocka_unit_test(a_damaged_file_is_set_aside),
        cmocka_unit_test(a_spent_slice_is_an_answer),
        cmocka_unit_test(memory_and_wal_are_bounded),
        cmocka_unit_test(one_has_it_open),
        cmocka_unit_test(a_folder_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests_name("store", tests, folder_make, folder_remove);
}
