/* Packing and unpacking: what goes in comes back, with the right sums, in bounded memory; damage, an early end, a missing key, a
 * destination that fails and a lane that sticks are errors, and nothing of theirs stays. */
#include "tests/unit/check.h"

#include "agents/backup/pack.h"
#include "board/rt/mem.h"
#include "board/rt/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOON      (loop_now() + SECONDS(60))
#define PLAIN_MAX MIB(3)

static uint8_t plain[PLAIN_MAX], stored[PLAIN_MAX + KIB(64)], back[PLAIN_MAX + KIB(1)];
static size_t stored_len, back_len, largest;
static err put_error;
static struct age_identity ours[1], others[1];

/* Identities made for this test. */
#define OURS   "AGE-SECRET-KEY-1T8UUHJDPVE9055FLR8DT2ZRY5WWNNHXU9YHCZJ5K7ZDTU8A7QE5Q5X9LHV\n"
#define OTHERS "AGE-SECRET-KEY-12GSA60XDY5Q6XGD73H2E5LW8MZ95M5E7DGD2L90Z0PAWR9VY30XSP57HRM\n"

static void content_make(void)
{
    uint32_t seed = 7;
    for (size_t i = 0; i < sizeof plain; i++) {
        seed = seed * 1664525u + 1013904223u;
        plain[i] = i % 4096 < 700 ? (uint8_t)(seed >> 24) : (uint8_t)(i >> 5 & 15); /* some of it cannot be packed */
    }
}

static err keep(uint8_t *at, size_t cap, size_t *len, struct buf *b)
{
    bool fits = *len + b->len <= cap;
    CHECK(fits && b->len > 0);
    if (fits)
        memcpy(at + *len, b->at, b->len);
    *len += fits ? b->len : 0;
    largest = size_max(largest, b->len);
    buf_release(b);
    return OK;
}

static err keep_stored(void *arg, struct buf *b, ms deadline)
{
    CHECK(arg == &stored_len && deadline > loop_now());
    if (put_error != OK) {
        buf_release(b);
        return trail(put_error, "as told");
    }
    return keep(stored, sizeof stored, &stored_len, b);
}

static err keep_back(void *arg, struct buf *b, ms deadline)
{
    CHECK(arg == &back_len && deadline > loop_now());
    return keep(back, sizeof back, &back_len, b);
}

static struct buf *piece(const uint8_t *at, size_t len)
{
    struct buf *b = NULL;
    CHECK(buf_wait(BACKUP_PIECE_BYTES, SOON, &b) == OK);
    memcpy(b->at, at, len);
    b->len = len;
    return b;
}

static void nothing_is_left(size_t used_before)
{
    for (unsigned i = 0; i < BUFFER_CLASSES; i++)
        CHECK(buf_use(i).used == 0);
    CHECK(mem_use(TASK_BACKUP).used_bytes == used_before);
    CHECK(pool_stats().jobs == 0);
}

/* --- there and back --- */

struct form {
    const char *name;
    bool zstd, sealed;
};
static const struct form forms[] = {
    {"as it is", false, false}, {"zstd", true, false}, {"age", false, true}, {"zstd, age", true, true}};
static const size_t sizes[] = {0,     1, 31, 32, 33, 511, KIB(64) - 1, KIB(64), KIB(64) + 1, BACKUP_PIECE_BYTES, KIB(700) + 32,
                               MIB(3)};

static struct pack_form form_of(const struct form *f, struct age_recipient *r)
{
    memcpy(r->key, ours[0].key, sizeof r->key);
    return (struct pack_form){.zstd = f->zstd, .recipients = r, .recipient_count = f->sealed};
}

static err feed(struct pack *p, size_t len, struct pack_sums *sums)
{
    size_t hashed = len > SHA256_BYTES ? len - SHA256_BYTES : 0;
    for (size_t at = 0, n; at < hashed; at += n) {
        n = size_min(BACKUP_PIECE_BYTES, hashed - at);
        TRY(pack_append(p, piece(plain + at, n), true, SOON));
    }
    struct pack_sums before;
    TRY(pack_flush(p, SOON, &before));
    CHECK(before.plain_bytes == hashed && before.stored_bytes >= stored_len);
    TRY(pack_append(p, piece(plain + hashed, len - hashed), false, SOON));
    TRY(pack_end(p, SOON, sums));
    CHECK(memcmp(before.plain_sha256, sums->plain_sha256, SHA256_BYTES) == 0);
    return OK;
}

static err pack_it(struct lane *l, const struct form *f, size_t len, struct pack_sums *sums)
{
    struct age_recipient r;
    struct pack_form form = form_of(f, &r);
    struct pack *p = NULL;
    stored_len = largest = 0;
    TRY(pack_open(l, &form, keep_stored, &stored_len, &p));
    err e = feed(p, len, sums);
    pack_close(p);
    return e;
}

static err unpack_it(struct lane *l, const struct age_identity *keys, size_t step, struct pack_sums *sums, unsigned *was)
{
    struct unpack *u = NULL;
    err e = OK;
    back_len = largest = 0;
    TRY(unpack_open(l, keys, keys ? 1 : 0, keep_back, &back_len, &u));
    for (size_t at = 0; e == OK && at < stored_len; at += step)
        e = unpack_append(u, piece(stored + at, size_min(step, stored_len - at)), SOON);
    CHECK(e == OK);
    e = unpack_end(u, SOON, sums);
    *was = unpack_was_sealed(u) + 2u * unpack_was_compressed(u);
    CHECK(unpack_broken(u) == e);
    unpack_close(u);
    return e;
}

static bool is_digest(const uint8_t *at, size_t len, const uint8_t *digest)
{
    uint8_t right[SHA256_BYTES];
    sha256_of((struct bytes){at, len}, right);
    return memcmp(right, digest, SHA256_BYTES) == 0;
}

static bool sums_are_right(const struct pack_sums *s, size_t len)
{
    return s->plain_bytes == len && s->stored_bytes == stored_len && is_digest(stored, stored_len, s->stored_sha256) &&
           is_digest(plain, len > SHA256_BYTES ? len - SHA256_BYTES : 0, s->plain_sha256);
}

static void there_and_back(struct lane *l, const struct form *f, size_t len)
{
    struct pack_sums sums = {0}, again = {0};
    static const size_t steps[] = {BACKUP_PIECE_BYTES, 4097, 7};
    unsigned was = 9;
    trail_clear();
    CHECK(pack_it(l, f, len, &sums) == OK);
    CHECK(sums_are_right(&sums, len) && (stored_len <= BACKUP_PIECE_BYTES || largest == BACKUP_PIECE_BYTES));
    CHECK(!f->zstd || len < KIB(64) || stored_len < len / 2);
    CHECK(f->sealed || f->zstd || stored_len == len);
    for (size_t i = 0; i < (stored_len > KIB(8) ? 2 : 3); i++) {
        CHECK(unpack_it(l, f->sealed ? ours : NULL, steps[i], &again, &was) == OK);
        bool right =
            sums_are_right(&again, len) && back_len == len && memcmp(back, plain, len) == 0 && was == f->sealed + 2u * f->zstd;
        if (!right)
            print_error("%s, %zu bytes in steps of %zu: %zu back\n", f->name, len, steps[i], back_len);
        CHECK(right);
    }
}

static err all_forms(void *arg)
{
    struct lane l;
    (void)arg;
    size_t before = mem_use(TASK_BACKUP).used_bytes;
    lane_open(&l, "pack", TASK_BACKUP, 1);
    for (size_t f = 0; f < COUNT_OF(forms); f++)
        for (size_t s = 0; s < COUNT_OF(sizes); s++)
            there_and_back(&l, &forms[f], sizes[s]);
    lane_close(&l);
    nothing_is_left(before);
    return OK;
}

static void all_forms_and_sizes_return(void **state)
{
    (void)state;
    fibers_run(all_forms, NULL, OK);
}

static err memory(void *arg)
{
    struct lane l;
    struct pack_sums sums;
    (void)arg;
    lane_open(&l, "pack", TASK_BACKUP, 1);
    mem_peak_reset(TASK_BACKUP);
    size_t before = mem_use(TASK_BACKUP).used_bytes;
    CHECK(pack_it(&l, &forms[3], MIB(1), &sums) == OK);
    size_t peak = mem_use(TASK_BACKUP).peak_bytes - before;
    print_message("packing on %s: %zu KiB\n", mem_profile()->name, peak / 1024);
    CHECK(peak > KIB(64) && peak <= MIB(3));
    lane_close(&l);
    return OK;
}

static void memory_is_bounded(void **state)
{
    (void)state;
    fibers_run(memory, NULL, OK);
}

/* --- what is damaged, cut, or not for us --- */

struct damage {
    const char *name;
    unsigned form;       /* of forms */
    size_t flip_at, cut; /* from 1; from the end */
    const struct age_identity *keys;
    err wanted;
};
#define AT_THE_END SIZE_MAX
static const struct damage damages[] = {
    {"zstd, in its middle", 1, 200000, 0, NULL, E_CORRUPT},
    {"zstd, its last byte", 1, AT_THE_END, 0, NULL, E_CORRUPT},
    {"zstd, a byte short", 1, 0, 1, NULL, E_CORRUPT},
    {"zstd, cut", 1, 0, 100000, NULL, E_CORRUPT},
    {"age, in its header", 2, 60, 0, ours, E_CORRUPT},
    {"age, in its middle", 2, 200000, 0, ours, E_CORRUPT},
    {"age, its last byte", 2, AT_THE_END, 0, ours, E_CORRUPT},
    {"age, a byte short", 2, 0, 1, ours, E_CORRUPT},
    {"age, cut", 2, 0, KIB(100), ours, E_CORRUPT},
    {"both, in the middle", 3, 100000, 0, ours, E_CORRUPT},
    {"both, a byte short", 3, 0, 1, ours, E_CORRUPT},
    {"no key", 3, 0, 0, NULL, E_DENIED},
    {"another's key", 3, 0, 0, others, E_DENIED},
};

static void damaged(struct lane *l, const struct damage *d)
{
    struct pack_sums sums, found = {0};
    unsigned was;
    trail_clear();
    CHECK(pack_it(l, &forms[d->form], MIB(1), &sums) == OK);
    if (d->flip_at)
        stored[size_min(d->flip_at, stored_len) - 1] ^= 0x10;
    stored_len -= d->cut;
    err e = unpack_it(l, d->keys, BACKUP_PIECE_BYTES, &found, &was);
    bool same = memcmp(found.stored_sha256, sums.stored_sha256, SHA256_BYTES) == 0;
    bool right = (e == d->wanted || (e == E_DENIED && d->flip_at == 60)) && found.stored_bytes == stored_len &&
                 is_digest(stored, stored_len, found.stored_sha256) && same == !(d->flip_at || d->cut) && back_len <= MIB(1);
    if (!right)
        print_error("%s: %s, %zu bytes\n", d->name, err_name(e), back_len);
    CHECK(right);
}

static err all_damage(void *arg)
{
    struct lane l;
    (void)arg;
    size_t before = mem_use(TASK_BACKUP).used_bytes;
    lane_open(&l, "pack", TASK_BACKUP, 1);
    for (size_t i = 0; i < COUNT_OF(damages); i++)
        damaged(&l, &damages[i]);
    lane_close(&l);
    trail_clear();
    nothing_is_left(before);
    return OK;
}

static void damage_is_told_and_what_is_stored_is_summed_up(void **state)
{
    (void)state;
    fibers_run(all_damage, NULL, OK);
}

/* --- what fails around it --- */

static err failing(void *arg)
{
    struct lane l;
    struct pack_sums sums;
    char why[160];
    (void)arg;
    size_t before = mem_use(TASK_BACKUP).used_bytes;
    lane_open(&l, "pack", TASK_BACKUP, 1);
    put_error = E_NOSPACE;
    for (size_t f = 0; f < COUNT_OF(forms); f++) {
        trail_clear();
        CHECK(pack_it(&l, &forms[f], PLAIN_MAX, &sums) == E_NOSPACE);
        CHECK(strstr(trail_text(E_NOSPACE, why, sizeof why), "as told"));
    }
    put_error = OK;
    trail_clear();
    mem_set_task(TASK_BACKUP);
    void *rest = malloc(mem_use(TASK_BACKUP).limit_bytes - mem_use(TASK_BACKUP).used_bytes - KIB(400));
    mem_set_task(TASK_BOARD);
    CHECK(rest && pack_it(&l, &forms[1], KIB(1), &sums) == E_BUDGET);
    free(rest);
    trail_clear();
    lane_close(&l);
    nothing_is_left(before);
    return OK;
}

static void a_failing_destination_and_a_spent_heap_are_told(void **state)
{
    (void)state;
    fibers_run(failing, NULL, OK);
}

static err run_stuck(void *job)
{
    char byte;
    return read(*(int *)job, &byte, 1) == 1 ? OK : E_IO;
}

static void until_it_is_over(void)
{
    for (ms end = SOON; pool_stats().jobs > 0 && loop_now() < end;)
        CHECK(fiber_sleep(loop_now() + 2) == OK);
}

/* A job of the lane sticks: the deadline ends the wait, and what waited behind it goes with it. */
static err sticking(void *arg)
{
    int ends[2];
    struct lane l;
    struct age_recipient r;
    struct pack_form form = form_of(&forms[3], &r);
    struct pack *p = NULL;
    struct pack_sums sums;
    (void)arg;
    size_t before = mem_use(TASK_BACKUP).used_bytes;
    CHECK(pipe(ends) == 0);
    lane_open(&l, "pack", TASK_BACKUP, 4);
    CHECK(lane_submit(&l, run_stuck, &ends[0], sizeof ends[0], NULL, SOON) == OK);
    stored_len = 0;
    CHECK(pack_open(&l, &form, keep_stored, &stored_len, &p) == OK);
    CHECK(pack_append(p, piece(plain, KIB(64)), true, SOON) == OK);
    CHECK(pack_append(p, piece(plain, KIB(64)), true, loop_now() + 50) == E_TIMEOUT);
    CHECK(pack_append(p, piece(plain, KIB(64)), true, SOON) == E_TIMEOUT); /* it stays so */
    CHECK(pack_end(p, SOON, &sums) == E_TIMEOUT);
    pack_close(p);
    CHECK(stored_len == 0);
    CHECK(write(ends[1], "x", 1) == 1);
    until_it_is_over();
    trail_clear();
    lane_close(&l);
    nothing_is_left(before);
    close(ends[0]);
    close(ends[1]);
    return OK;
}

static void a_lane_that_sticks_costs_a_deadline(void **state)
{
    (void)state;
    fibers_run(sticking, NULL, OK);
}

static err endless(void *arg)
{
    struct age_recipient r;
    struct pack_form form = form_of(&forms[3], &r);
    struct pack *p = NULL;
    err e = pack_open(arg, &form, keep_stored, &stored_len, &p);
    for (size_t i = 0; e == OK; i++) {
        stored_len = 0;
        struct buf *b = NULL;
        e = buf_wait(BACKUP_PIECE_BYTES, SOON, &b);
        if (e == OK) {
            memcpy(b->at, plain + i % 8 * 1000, BACKUP_PIECE_BYTES);
            b->len = BACKUP_PIECE_BYTES;
            e = pack_append(p, b, true, SOON);
        }
    }
    pack_close(p);
    return e;
}

static err canceling(void *arg)
{
    (void)arg;
    size_t before = mem_use(TASK_BACKUP).used_bytes;
    for (ms after = 0; after < 30; after += 3) {
        struct lane l;
        struct group g;
        lane_open(&l, "pack", TASK_BACKUP, 1);
        group_open(&g, TASK_BACKUP);
        CHECK(group_spawn(&g, "packing", endless, &l) == OK);
        CHECK(fiber_sleep(loop_now() + after) == OK);
        group_cancel(&g);
        CHECK(group_join(&g, SOON) == OK); /* canceled is no failure */
        group_close(&g);
        until_it_is_over();
        lane_close(&l);
    }
    trail_clear();
    nothing_is_left(before);
    return OK;
}

static void canceling_leaves_nothing(void **state)
{
    (void)state;
    fibers_run(canceling, NULL, OK);
}

/* --- a destination's word --- */

static void a_form_is_what_the_configuration_says(void **state)
{
    (void)state;
    struct config_destination c = {.name = "away", .compress = COMPRESS_ZSTD, .recipient_count = 1};
    struct age_recipient keys[CONFIG_RECIPIENTS_MAX], one;
    struct pack_form form;
    char text[AGE_TEXT_MAX];
    memcpy(one.key, ours[0].key, sizeof one.key);
    age_recipient_print(&one, text);
    memcpy(c.recipients[0], text, sizeof c.recipients[0]);
    assert_int_equal(pack_form_of(&c, keys, &form), OK);
    assert_true(form.zstd && form.recipient_count == 1 && form.recipients == keys);
    assert_memory_equal(keys[0].key, ours[0].key, sizeof one.key);
    c.recipients[0][9] ^= 1;
    assert_int_equal(pack_form_of(&c, keys, &form), E_CONFIG);
    trail_clear();
}

static int boot(void **state)
{
    (void)state;
    content_make();
    unsigned count = 0;
    return mem_boot(&profile_hub32, MEM_LAZY) == OK && buf_boot() == OK &&
                   age_identities_parse(bytes_of(OURS), ours, 1, &count) == OK && count == 1 &&
                   age_identities_parse(bytes_of(OTHERS), others, 1, &count) == OK
               ? 0
               : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_forms_and_sizes_return),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(damage_is_told_and_what_is_stored_is_summed_up),
        cmocka_unit_test(a_failing_destination_and_a_spent_heap_are_told),
        cmocka_unit_test(a_lane_that_sticks_costs_a_deadline),
        cmocka_unit_test(canceling_leaves_nothing),
        cmocka_unit_test(a_form_is_what_the_configuration_says),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
