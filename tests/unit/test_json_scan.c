/* json_scan: each kernel finds what a reader byte by byte finds, wherever the windows end; and json_pick takes for JSON what
 * cJSON takes for it. */
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/format/json_pick.h"
#include "net/format/json_read.h"
#include "net/format/json_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- marks, as a reader byte by byte finds them; of text without escapes in its numbers and words --- */

struct plain {
    bool in_text, escaped, in_word;
};

static bool is_mark(struct plain *s, uint8_t byte)
{
    bool escaped = s->escaped;
    s->escaped = byte == '\\' && !escaped;
    if (byte == '"' && !escaped) {
        s->in_text = !s->in_text;
        s->in_word = false;
        return true;
    }
    if (s->in_text)
        return false;
    bool space = byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r', op = byte != 0 && strchr("{}[],:", byte);
    bool begins = !space && !op && !s->in_word;
    s->in_word = !space && !op;
    return op || begins;
}

static struct json_marks marks; /* 2 KiB */

static void marks_are(struct json_scan *s, struct plain *reference, struct bytes window, unsigned kind)
{
    size_t count = 0;
    json_scan(s, window, &marks);
    assert_true(marks.len <= window.len && (marks.len == window.len) == !marks.why);
    for (size_t i = 0; i < marks.len; i++) {
        if (!is_mark(reference, window.at[i]))
            continue;
        if (count >= marks.count || marks.at[count] != i)
            fail_msg("kernel %u: mark %zu is not at %zu but at %u of %zu", kind, count, i, marks.at[count], window.len);
        count++;
    }
    assert_int_equal(marks.count, count);
}

/* Every byte, most often those that matter; escapes are whole, so that the scan goes on. */
static void noise_make(uint8_t *at, size_t len)
{
    static const char often[] = "\"\"\"\"{}[],:,: \n\t\r  \\\\abc019-./\x01\x0C\x1A\x7F;|^";
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)(rand() % 64 == 0 ? rand() % 256 : often[(size_t)rand() % (sizeof often - 1)]);
}

static void each_kernel_finds_each_mark(void **state)
{
    (void)state;
    static uint8_t noise[JSON_SCAN_WINDOW];
    srand(7);
    for (unsigned round = 0; round < 3000; round++) {
        size_t len = (size_t)rand() % (round % 8 == 0 ? JSON_SCAN_WINDOW + 1 : 140);
        noise_make(noise, len);
        for (unsigned kind = 0; kind < JSON_SCAN_KIND_COUNT; kind++) {
            struct json_scan s = {0};
            struct plain reference = {0};
            if (!json_scan_force((enum json_scan_kind)kind))
                continue;
            for (size_t at = 0, n; at < len; at += n) {
                n = size_min(len - at, 1 + (size_t)rand() % 200);
                marks_are(&s, &reference, (struct bytes){noise + at, n}, kind);
                if (marks.why)
                    break;
            }
        }
    }
}

static void kernels_of_this_machine(void **state)
{
    (void)state;
    assert_true(json_scan_force(JSON_SCAN_PORTABLE));
#if defined(__x86_64__)
    assert_true(json_scan_force(JSON_SCAN_X86_SSE2));
    assert_false(json_scan_force(JSON_SCAN_ARM_NEON));
#elif defined(__aarch64__)
    assert_true(json_scan_force(JSON_SCAN_ARM_NEON));
    assert_false(json_scan_force(JSON_SCAN_X86_SSE2));
#endif
}

/* What is wrong in a text is found at the same place by all, at any offset from the blocks' ends. */
static const struct {
    const char *name, *text, *why;
    size_t at;
} wrong[] = {
    {"control", "\"a\x1F\"", "a control character in a text", 2},
    {"zero", "\"\\u0000\x01", "a control character in a text", 7},
    {"escape", "\"\\\\\\q", "no such escape", 4},
    {"hex", "\"\\u12\"", "no four hexadecimal digits after \\u", 5},
    {"UTF-8, first", "\"a\x80", "no UTF-8", 2},
    {"UTF-8, second", "\"\xE0\x9F", "no UTF-8", 2},
    {"UTF-8, third", "\"\xF0\x90\x80 ", "no UTF-8", 4},
    {"the first of two", "\"\x02\\q", "a control character in a text", 1},
    {"none", "\"\\u00e9\\\"\xF4\x8F\xBF\xBF\"", NULL, 14},
    {"outside of texts", "\x01\x02\t", NULL, 3},
};

static void wrong_is_found_at(size_t i, size_t before, size_t cut, unsigned kind)
{
    uint8_t text[200];
    struct json_scan s = {0};
    size_t len = before + strlen(wrong[i].text), done = 0;
    memset(text, ' ', sizeof text);
    memcpy(text + before, wrong[i].text, strlen(wrong[i].text));
    json_scan(&s, (struct bytes){text, cut}, &marks);
    if (!marks.why) {
        done = cut;
        json_scan(&s, (struct bytes){text + cut, len - cut}, &marks);
    }
    bool same = marks.why && wrong[i].why ? strcmp(marks.why, wrong[i].why) == 0 : marks.why == wrong[i].why;
    if (!same || done + marks.len != before + wrong[i].at)
        fail_msg("%s, kernel %u, after %zu, cut at %zu: %s at %zu", wrong[i].name, kind, before, cut,
                 marks.why ? marks.why : "nothing", done + marks.len - before);
}

static void what_is_wrong_in_texts(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < JSON_SCAN_KIND_COUNT; kind++)
        for (size_t i = 0; json_scan_force((enum json_scan_kind)kind) && i < COUNT_OF(wrong); i++)
            for (size_t before = 50; before < 70; before++)
                for (size_t cut = before; cut <= before + strlen(wrong[i].text); cut++)
                    wrong_is_found_at(i, before, cut, kind);
}

/* --- beside cJSON: random sequences of tokens, most of them nearly JSON --- */

static const struct pick_field any[] = {{"any", PICK_ANY, NULL}, {NULL, PICK_SCALAR, NULL}};

static bool pick_accepts(struct bytes text)
{
    static uint64_t arena[KIB(16) / 8];
    struct json_pick p;
    bool done = false;
    size_t used = 0;
    json_pick_open(&p, &(struct json_pick_options){any, arena, sizeof arena, NULL, NULL});
    if (json_pick_feed(&p, text, &used, &done) != OK || json_pick_end(&p) != OK)
        return false;
    while (used < text.len && text.at[used] == ' ')
        used++;
    return used == text.len;
}

static bool cjson_accepts(struct bytes text)
{
    struct json *document = NULL;
    unsigned line = 0;
    bool good = json_parse(text, &document, &line) == OK && json_kind_of(document) == JSON_OBJECT;
    json_free(document);
    return good;
}

static void value_make(struct text *t, unsigned depth)
{
    static const char *const scalars[] = {"1",        "-2.5e3",    "true", "null",        "\"\"",
                                          "\"a\\n\"", "\"}\\\\\"", "0",    "\"\\u00e9\"", "false"};
    unsigned what = (unsigned)rand() % (depth > 5 ? 2 : 4);
    if (what < 2) {
        text_add(t, scalars[(size_t)rand() % COUNT_OF(scalars)]);
        return;
    }
    text_add(t, what == 2 ? "[" : "{");
    for (unsigned i = 0, n = (unsigned)rand() % 4; i < n; i++) {
        text_add(t, i > 0 ? "," : "");
        text_add(t, what == 3 ? rand() % 2 ? "\"k\":" : "\"\" : " : "");
        value_make(t, depth + 1);
    }
    text_add(t, what == 2 ? "]" : " }");
}

/* One structural byte becomes another, goes, or comes twice: not one within a number or word, where cJSON is lenient. */
static void break_somewhere(struct text *t)
{
    size_t at = (size_t)rand() % t->len;
    if (!strchr("{}[],:\"", t->at[at]))
        return;
    switch (rand() % 3) {
    case 0:
        t->at[at] = "{}[],:\""[rand() % 7];
        return;
    case 1:
        t->at[at] = ' ';
        return;
    default:
        if (t->len + 2 < t->cap) {
            memmove(t->at + at + 1, t->at + at, t->len - at);
            t->len++;
        }
    }
}

static void cjson_agrees(void **state)
{
    (void)state;
    static char storage[4096];
    unsigned accepted = 0, refused = 0;
    srand(11);
    for (unsigned round = 0; round < 20000; round++) {
        struct text t = text_over(storage, sizeof storage);
        text_add(&t, round % 2 ? "{\"any\":" : "{\"x\":");
        value_make(&t, 0);
        text_add(&t, "}");
        for (unsigned i = 0; i < round % 3; i++)
            break_somewhere(&t);
        struct bytes text = {(const uint8_t *)storage, t.len};
        bool ours = pick_accepts(text), theirs = cjson_accepts(text);
        if (ours != theirs)
            fail_msg("%.*s: we %s it", (int)t.len, storage, ours ? "accept" : "refuse");
        accepted += ours;
        refused += !ours;
    }
    assert_true(accepted > 2000 && refused > 2000);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_edge16, MEM_LAZY) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kernel_finds_each_mark),
        cmocka_unit_test(kernels_of_this_machine),
        cmocka_unit_test(what_is_wrong_in_texts),
        cmocka_unit_test(cjson_agrees),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
