/* The spool on the real disk: what stands in for what, order, marks, what is repeated. Its files: test_spool_files.c. Power cuts
 * are tests/sim's. */
#include "tests/unit/spool_here.h"

#include <string.h>

#define OUTPUT_MAX 256

/* --- a row: what is done, and what comes out. A word each:
 * +aX ~aX -a   added, modified, deleted: key a, body X     |    a mark
 * n            next, given out and printed                 D    flush, then next and done until there is no more, printed
 * da ba        done, back: the one of key a that is out    F    flush         R    close and open      C    clear
 * A printed record ends with ! when it may have been sent before. --- */
static const struct row {
    const char *name, *words, *out;
} rows[] = {
    {"in order", "+a1 +b2 ~c3 -d D", "+a1 +b2 ~c3 -d"},
    {"added, added", "+a1 +b0 +a2 D", "+a2 +b0"},
    {"added, modified", "+a1 +b0 ~a2 D", "+a2 +b0"},
    {"added, deleted", "+a1 +b0 -a D", "+b0"},
    {"modified, added", "~a1 +b0 +a2 D", "~a2 +b0"},
    {"modified, modified", "~a1 +b0 ~a2 D", "~a2 +b0"},
    {"modified, deleted", "~a1 +b0 -a D", "-a +b0"},
    {"deleted, added", "-a +b0 +a1 D", "-a +b0 +a1"},
    {"deleted, modified", "-a +b0 ~a1 D", "-a +b0 ~a1"},
    {"deleted, deleted", "-a +b0 -a D", "-a +b0"},
    {"deleted, added, deleted", "-a +a1 -a D", "-a"},
    {"deleted, added, modified", "-a +a1 ~a2 D", "-a +a2"},
    {"many of one", "+a1 ~a2 ~a3 ~a4 +b0 ~a5 D", "+a5 +b0"},
    {"in the files as in memory", "+a1 +b0 F ~a2 D", "+a2 +b0"},
    {"added in a file, deleted", "+a1 F -a +b0 D R D", "+b0"},
    {"added in a file, deleted, at once opened", "+a1 F -a F R D", ""},
    {"modified in a file, deleted", "~a1 F -a F R D", "-a!"},
    {"what is out stays as it is", "+a1 n ~a2 n da n", "+a1 . ~a2"},
    {"what is out, then deleted", "+a1 n -a n da D", "+a1 . -a"},
    {"behind one that is out, two", "+a1 n ~a2 ~a3 n da D", "+a1 . ~a3"},
    {"deleted, added, and the first is out", "-a +a1 n n da n", "-a . +a1"},
    {"given back keeps its place", "+a1 +b2 n ba D", "+a1 +a1! +b2"},
    {"given back, then modified", "+a1 +b0 n ba ~a2 D", "+a1 +a2! +b0"},
    {"given back, then deleted: it may be there", "+a1 +b0 n ba -a D", "+a1 -a! +b0"},
    {"given back with a newer one behind", "+a1 n ~a2 ba D", "+a1 +a1! ~a2"},
    {"given back with a newer one behind, which is coalesced", "+a1 n ~a2 ba -a D", "+a1 +a1! -a"},
    {"several are out", "+a1 +b2 +c3 n n n db da dc n", "+a1 +b2 +c3 ."},
    {"done twice is done once", "+a1 +b2 n da da n", "+a1 +b2"},
    {"a mark waits for what is before it", "+a1 | +b2 n n da n n d| n", "+a1 . | . +b2"},
    {"a mark alone", "| n n d| n", "| . ."},
    {"two marks", "| | n n d| n d| n", "| . | ."},
    {"a mark given back", "| +a1 n b| D", "| |! +a1"},
    {"nothing is coalesced over a mark", "+a1 | ~a2 D", "+a1 | ~a2"},
    {"nothing is cancelled over a mark", "+a1 | -a D", "+a1 | -a"},
    {"after a mark it is", "+a1 | ~a2 ~a3 D", "+a1 | ~a3"},
    {"a cancelled one frees the mark", "+a1 | -a n da n", "+a1 |"},
    {"opened again", "+a1 +b2 -c R D", "+a1! +b2! -c!"},
    {"opened again, one was out", "+a1 +b2 n R D", "+a1 +a1! +b2!"},
    {"opened again, some are done", "+a1 +b2 +c3 n n db R D", "+a1 +b2 +a1! +c3!"},
    {"done before it is written", "+a1 n da R D", "+a1"},
    {"opened again, then modified", "+a1 +b2 R ~a3 D", "+a3! +b2!"},
    {"opened again, then deleted", "+a1 +b2 R -a D", "-a! +b2!"},
    {"a place is kept over two openings", "+a1 +b2 F ~a3 R +c4 R D", "+a3! +b2! +c4!"},
    {"a mark is durable", "+a1 | +b2 R n n da F n n d| F n", "+a1! . |! . +b2!"},
    {"not over a mark, opened again", "+a1 | R ~a2 D", "+a1! |! ~a2"},
    {"done is durable", "+a1 +b2 F n da R D", "+a1 +b2!"},
    {"all done, opened again", "+a1 +b2 F D R D +c3 D", "+a1 +b2 +c3"},
    {"a newer one waits for the disk to have it", "+a1 +b2 F ~a3 n n F n", "+b2 . +a3"},
    {"a newer one waits for the older to be done on the disk", "+a1 F n da ~a2 n F n", "+a1 . ~a2"},
    {"also when the older is being written", "+a1 F n ~a2 F da n F n", "+a1 . ~a2"},
    {"others do not wait", "+a1 +b1 F n da ~a2 n n", "+a1 +b1 ."},
    {"a mark waits for what is done to be so on the disk", "+a1 | F n da n F n", "+a1 . |"},
    {"what comes after a mark waits for the mark to be done on the disk", "| +a1 F n d| n F n", "| . +a1"},
    {"cleared", "+a1 +b2 | C n +c3 D", ". +c3"},
    {"cleared, opened again", "+a1 +b2 F C R D", ""},
    {"cleared while one is out", "+a1 n C da +a2 D", "+a1 +a2"},
    {"cleared, and then more", "+a1 F C +b2 R D", "+b2!"},
    {"opened many times", "+a1 R +b2 R +c3 R +d4 R n da R +e5 R D", "+a1! +b2! +c3! +d4! +e5!"},
};

struct play {
    struct spool *s;
    const struct row *row;
    char out[OUTPUT_MAX];
    struct {
        char key;
        uint64_t place;
    } given[16];
    unsigned given_count;
};

static void print(struct play *p, const char *format, ...) PRINTF_LIKE(2, 3);
static void print(struct play *p, const char *format, ...)
{
    size_t len = strlen(p->out);
    va_list arguments;
    va_start(arguments, format);
    if (len > 0)
        p->out[len++] = ' ';
    vsnprintf(p->out + len, sizeof p->out - len, format, arguments);
    va_end(arguments);
}

static bool play_next(struct play *p)
{
    uint8_t body[8] = {0};
    struct spool_record r;
    err e = spool_next(p->s, body, sizeof body, 0, &r);
    CHECK(e == OK || e == E_TIMEOUT);
    if (e != OK)
        return false;
    const char *again = r.repeated ? "!" : "";
    char key = r.type == SPOOL_MARK ? '|' : (char)r.key[0];
    if (r.type == SPOOL_MARK)
        print(p, "|%s", again);
    else
        print(p, "%c%c%.*s%s", "?+~-"[r.type], key, (int)r.bytes, (const char *)body, again);
    p->given[p->given_count].key = key;
    p->given[p->given_count++].place = r.place;
    return true;
}

static uint64_t play_given(const struct play *p, char key)
{
    for (unsigned i = p->given_count; i-- > 0;)
        if (p->given[i].key == key)
            return p->given[i].place;
    CHECK(key == 0); /* none of it is out */
    return 0;
}

static void play_drain(struct play *p)
{
    for (bool any = true; any;) {
        any = false;
        CHECK(spool_flush(p->s, SOON) == OK);
        for (; play_next(p); any = true)
            spool_done(p->s, p->given[--p->given_count].place);
    }
}

static void play_word(struct play *p, const char *word, size_t len)
{
    static const char types[] = "?+~-";
    uint64_t seq = 0;
    const char *type = strchr(types, *word);
    if (type)
        CHECK(put(p->s, (uint8_t)word[1], (enum spool_type)(type - types), word + 2, len - 2) == OK);
    else if (*word == '|')
        CHECK(spool_mark(p->s, SOON, &seq) == OK);
    else if (*word == 'n' && !play_next(p))
        print(p, ".");
    else if (*word == 'D')
        play_drain(p);
    else if (*word == 'd')
        spool_done(p->s, play_given(p, word[1]));
    else if (*word == 'b')
        spool_back(p->s, play_given(p, word[1]));
    else if (*word == 'F')
        CHECK(spool_flush(p->s, SOON) == OK);
    else if (*word == 'C')
        CHECK(spool_clear(p->s, SOON) == OK);
    else if (*word == 'R') {
        spool_close(p->s, SOON);
        p->s = opened();
    }
}

static void adds_up(const struct spool *s)
{
    struct spool_stats st;
    spool_look(s, &st);
    CHECK(st.appended == st.depth + st.coalesced + st.acknowledged + st.dropped);
    CHECK(st.lost == 0 && st.error == OK && st.overflows == 0);
}

static void play(const struct row *row)
{
    struct play p = {.s = opened(), .row = row};
    const char *at = row->words;
    while (*at) {
        size_t len = strcspn(at, " ");
        play_word(&p, at, len);
        at += len + (at[len] == ' ');
    }
    adds_up(p.s);
    CHECK(!spool_lost(p.s));
    spool_close(p.s, SOON);
    if (strcmp(p.out, row->out) != 0) {
        print_error("%s: `%s` gave `%s`, wanted `%s`\n", row->name, row->words, p.out, row->out);
        checks_failed++;
    }
    folder_empty();
}

static err rows_body(void)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        play(&rows[i]);
    return OK;
}

static void what_comes_out(void **state)
{
    (void)state;
    run(rows_body);
}

int main(void)
{
    if (mem_boot(&profile_hub64, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_out),
    };
    return cmocka_run_group_tests_name("spool", tests, folder_make, folder_remove);
}
