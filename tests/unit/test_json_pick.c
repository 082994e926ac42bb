/* json_pick: what is JSON and what is none, what is kept of it, and that neither depends on where the pieces end. */
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/format/base64.h"
#include "net/format/json_pick.h"
#include "net/format/json_read.h"
#include "net/format/json_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t arena[KIB(64) / 8];

static void reader_open(struct json_pick *p, const struct pick_field *fields, size_t arena_bytes)
{
    json_pick_open(p, &(struct json_pick_options){.fields = fields, .arena = arena, .arena_bytes = arena_bytes});
}

/* Feeds text in pieces of `step`, each a block of its own, so that a byte too far is seen; then the end. */
static err feed_by(struct json_pick *p, struct bytes text, size_t first, size_t step, size_t *taken)
{
    bool done = false;
    err e = OK;
    *taken = 0;
    for (size_t at = 0, n = first; e == OK && !done && at < text.len; at += n, n = step) {
        size_t used = 0;
        n = size_max(size_min(n, text.len - at), 1);
        uint8_t *piece = malloc(n);
        assert_non_null(piece);
        memcpy(piece, text.at + at, n);
        e = json_pick_feed(p, (struct bytes){piece, n}, &used, &done);
        assert_true(used <= n && (done || e != OK || used == n));
        *taken += used;
        memset(piece, 0xDD, n);
        free(piece);
    }
    return e == OK ? json_pick_end(p) : e;
}

/* --- printing a tree, to compare it */

static void print_node(struct text *t, const struct pick_node *n)
{
    static const char *const marks[] = {"'", "", "T", "F", "{", "[", "#"};
    enum pick_kind kind = pick_kind_of(n);
    text_add(t, marks[kind]);
    text_add_bytes(t, pick_text(n));
    if (kind == PICK_IS_MARK)
        text_addf(t, "%llu", (unsigned long long)pick_count(n));
    uint64_t count = 0;
    for (const struct pick_node *c = pick_first(n); c; c = pick_next(c), count++) {
        if (count > 0)
            text_add(t, " ");
        if (kind == PICK_IS_OBJECT) {
            text_add_bytes(t, pick_key(c));
            text_add(t, ":");
        }
        print_node(t, c);
    }
    if (kind == PICK_IS_OBJECT || kind == PICK_IS_LIST)
        assert_int_equal(count, pick_count(n));
    text_add(t, kind == PICK_IS_OBJECT ? "}" : kind == PICK_IS_LIST ? "]" : kind == PICK_IS_TEXT ? "'" : "");
}

static const struct pick_field in_fields[] = {{"a", PICK_SCALAR, NULL}, {"b", PICK_SCALAR, NULL}, {NULL, PICK_SCALAR, NULL}};
static const struct pick_field all_fields[] = {
    {"s", PICK_SCALAR, NULL}, {"o", PICK_OBJECT, in_fields}, {"l", PICK_LIST, in_fields}, {"ls", PICK_LIST, NULL},
    {"m", PICK_MAP, NULL},    {"k", PICK_KEYS, NULL},        {"c", PICK_COUNT, NULL},     {"p", PICK_PRESENT, NULL},
    {"any", PICK_ANY, NULL},  {NULL, PICK_SCALAR, NULL},
};

#define D(x) "\xEF\xBF\xBD" x
static const struct {
    const char *name, *text, *tree;
} rows[] = {
    {"nothing wanted", "{\"x\":1,\"y\":{\"s\":2},\"z\":[{\"s\":1}]}", "{}"},
    {"empty", " {\n} ", "{}"},
    {"a text", "{\"s\":\"v\"}", "{s:'v'}"},
    {"an empty text", "{\"s\":\"\"}", "{s:''}"},
    {"numbers as written", "{\"s\":-1.50e+3}", "{s:-1.50e+3}"},
    {"true", "{\"s\" : true }", "{s:T}"},
    {"false", "{\"s\":false}", "{s:F}"},
    {"null is absent", "{\"s\":null,\"o\":null,\"l\":null,\"m\":null,\"k\":null,\"c\":null,\"p\":null,\"any\":null}", "{}"},
    {"an object", "{\"o\":{\"x\":[1],\"b\":2,\"a\":\"1\",\"ab\":3,\"\":4}}", "{o:{b:2 a:'1'}}"},
    {"a list", "{\"l\":[{\"a\":1},{},{\"b\":2,\"x\":{}}]}", "{l:[{a:1} {} {b:2}]}"},
    {"an empty list", "{\"l\":[ ]}", "{l:[]}"},
    {"a list of scalars", "{\"ls\":[\"x\",1,true,\"\"]}", "{ls:['x' 1 T '']}"},
    {"null items", "{\"l\":[null,{\"a\":1},null],\"ls\":[null,1]}", "{l:[{a:1}] ls:[1]}"},
    {"a map", "{\"m\":{\"k1\":\"v\",\"a.b/c\":2,\"\":\"e\"}}", "{m:{k1:'v' a.b/c:2 :'e'}}"},
    {"a map with null", "{\"m\":{\"k1\":null,\"k2\":\"x\"}}", "{m:{k2:'x'}}"},
    {"keys", "{\"k\":{\"one\":\"secret\",\"two\":{\"x\":[1,{}]},\"three\":[\"]\"],\"four\":null,\"five\":1}}",
     "{k:{one:#0 two:#0 three:#0 four:#0 five:#0}}"},
    {"a count of an array", "{\"c\":[1,[2,3],null,{\"x\":[]},\"]\"]}", "{c:#5}"},
    {"a count of an object", "{\"c\":{\"a\":{\"b\":1},\"c\":[1,2]}}", "{c:#2}"},
    {"a count of nothing", "{\"c\":[]}", "{c:#0}"},
    {"present, object", "{\"p\":{\"x\":{}},\"s\":1}", "{p:#0 s:1}"},
    {"present, text", "{\"p\":\"\",\"s\":1}", "{p:#0 s:1}"},
    {"present, number", "{\"p\":0}", "{p:#0}"},
    {"any", "{\"any\":[{\"t\":\"x\",\"n\":[[],{}],\"z\":null},null,1,\"\\n\",false]}", "{any:[{t:'x' n:[[] {}]} 1 '\n' F]}"},
    {"any scalar", "{\"any\":12}", "{any:12}"},
    {"escapes", "{\"s\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "{s:'\"\\/\b\f\n\r\t'}"},
    {"\\u", "{\"s\":\"\\u0041\\u00e9\\u20AC\\uFFFF\"}", "{s:'A\xC3\xA9\xE2\x82\xAC\xEF\xBF\xBF'}"},
    {"a pair", "{\"s\":\"\\ud83d\\udE00!\"}", "{s:'\xF0\x9F\x98\x80!'}"},
    {"the last pair", "{\"s\":\"\\udbff\\udfff\"}", "{s:'\xF4\x8F\xBF\xBF'}"},
    {"half a pair", "{\"s\":\"\\ud83dx\"}", "{s:'" D("x'}")},
    {"half a pair at the end", "{\"s\":\"\\ud83d\"}", "{s:'" D("'}")},
    {"the other half", "{\"s\":\"\\ude00x\"}", "{s:'" D("x'}")},
    {"two first halves", "{\"s\":\"\\ud83d\\ud83d\\ude00\"}", "{s:'" D("\xF0\x9F\x98\x80'}")},
    {"half and another", "{\"s\":\"\\ud83d\\u0041\"}", "{s:'" D("A'}")},
    {"half and an escape", "{\"s\":\"\\ud83d\\n\"}", "{s:'" D("\n'}")},
    {"an escaped key", "{\"\\u0073\":1,\"\\u006f\":{\"\\u0061\":2},\"\\u0173\":3}", "{s:1 o:{a:2}}"},
    {"an escaped key of a map", "{\"m\":{\"\\u0061\\n\":1}}", "{m:{a\n:1}}"},
    {"keys with quotes", "{\"s\\\"\":1,\"s\\\\\":2,\"\\\"s\":3,\"s\":4}", "{s:4}"},
    {"a key with a zero", "{\"s\\u0000\":1,\"\\u0000\":2}", "{}"},
    {"a text with a zero", "{\"m\":{\"a\":\"\\u0000\"}}", "{m:{a:'Z'}}"},
    {"UTF-8", "{\"s\":\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"}", "{s:'\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80'}"},
    {"twice: the last", "{\"s\":1,\"o\":{\"a\":1},\"s\":2,\"o\":{\"b\":2}}", "{s:2 o:{b:2}}"},
    {"twice: null last", "{\"s\":1,\"s\":null}", "{}"},
    {"three times", "{\"s\":1,\"o\":{},\"s\":null,\"s\":3}", "{o:{} s:3}"},
    {"twice by an escape", "{\"s\":1,\"\\u0073\":2}", "{s:2}"},
    {"twice in a map", "{\"m\":{\"a\":1,\"b\":2,\"a\":3,\"c\":4,\"c\":null}}", "{m:{b:2 a:3}}"},
    {"twice at once", "{\"m\":{\"a\":1,\"ab\":2,\"ab\":3,\"b\":4}}", "{m:{a:1 ab:3 b:4}}"},
    {"twice, in order before and behind", "{\"k\":{\"\":1,\"a\":2,\"c\":3,\"b\":4,\"d\":5,\"c\":6,\"e\":7}}",
     "{k:{:#0 a:#0 b:#0 d:#0 c:#0 e:#0}}"},
    {"twice, inside of what is in order", "{\"any\":{\"a\":{\"z\":1,\"y\":2,\"z\":3},\"b\":{\"x\":1,\"x\":2},\"b\":1}}",
     "{any:{a:{y:2 z:3} b:1}}"},
    {"twice in keys", "{\"k\":{\"a\":1,\"b\":2,\"\\u0061\":3}}", "{k:{b:#0 a:#0}}"},
    {"twice in any", "{\"any\":{\"a\":{\"b\":1},\"b\":2,\"a\":[1]}}", "{any:{b:2 a:[1]}}"},
    {"brackets in texts", "{\"x\":\"}]{[\\\"\",\"y\":[\"}\",\"\\\\\"],\"s\":\"{\\\\\"}", "{s:'{\\'}"},
    {"white space", "\t\r\n { \"o\"\t:\r{ \"a\"\n: 1 } , \"l\" : [ { } , { } ] }\n", "{o:{a:1} l:[{} {}]}"},
};

static void print_tree(const struct json_pick *p, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    print_node(&t, json_pick_root(p));
    for (size_t i = 0; i < t.len; i++)
        if (out[i] == 0)
            out[i] = 'Z';
}

static void row_is(size_t i, size_t first, size_t step)
{
    struct json_pick p;
    char tree[512];
    size_t taken = 0;
    struct bytes text = bytes_of(rows[i].text);
    memset(arena, 0xA5, sizeof arena);
    reader_open(&p, all_fields, sizeof arena);
    err e = feed_by(&p, text, first, step, &taken);
    if (e != OK || json_pick_inside(&p))
        fail_msg("%s, cut %zu/%zu: %s %s", rows[i].name, first, step, err_name(e), json_pick_wrong(&p));
    assert_int_equal(taken, strrchr(rows[i].text, '}') + 1 - rows[i].text);
    print_tree(&p, tree, sizeof tree);
    if (strcmp(tree, rows[i].tree) != 0)
        fail_msg("%s, cut %zu/%zu: %s, not %s", rows[i].name, first, step, tree, rows[i].tree);
}

static void what_is_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t len = strlen(rows[i].text);
        for (size_t first = 1; first <= len; first++)
            row_is(i, first, len);
        row_is(i, 1, 1);
        row_is(i, 2, 3);
    }
}

/* --- what is JSON: each alone as the value of a key that is skipped, of one that is kept, and as an item. */

static const struct {
    const char *name, *value;
    bool good;
} values[] = {
    {"zero", "0", true},
    {"minus zero", "-0", true},
    {"digits", "1234567890", true},
    {"a fraction", "0.0", true},
    {"an exponent", "1e5", true},
    {"E", "1E5", true},
    {"e+", "1e+05", true},
    {"e-", "12.5e-10", true},
    {"huge", "1e99999", true},
    {"leading zero", "01", false},
    {"minus leading zero", "-01", false},
    {"minus", "-", false},
    {"plus", "+1", false},
    {"no whole part", ".5", false},
    {"no fraction", "1.", false},
    {"no fraction, e", "1.e5", false},
    {"no exponent", "1e", false},
    {"no exponent, sign", "1e+", false},
    {"two points", "1.2.3", false},
    {"two e", "1e5e5", false},
    {"e point", "1e5.5", false},
    {"hexadecimal", "0x10", false},
    {"underscore", "1_000", false},
    {"infinity", "Infinity", false},
    {"minus infinity", "-Infinity", false},
    {"NaN", "NaN", false},
    {"minus minus", "--1", false},
    {"digits letters", "12a", false},
    {"two numbers", "1 2", false},
    {"full-width digit", "\xEF\xBC\x91", false},
    {"minus space", "- 1", false},
    {"a letter in front", "a1", false},
    {"true", "true", true},
    {"false", "false", true},
    {"null", "null", true},
    {"tru", "tru", false},
    {"truee", "truee", false},
    {"True", "True", false},
    {"nul", "nul", false},
    {"nulll", "nulll", false},
    {"falsy", "falsy", false},
    {"a word", "undefined", false},
    {"true1", "true1", false},
    {"true text", "true\"\"", false},
    {"number text", "1\"\"", false},
    {"text number", "\"\"1", false},
    {"text text", "\"\"\"\"", false},
    {"number word", "1true", false},
    {"zero byte word", "\x01", false},
    {"a bare backslash", "\\n", false},
    {"empty text", "\"\"", true},
    {"text", "\"abc\"", true},
    {"escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u1aF9\"", true},
    {"no such escape", "\"\\a\"", false},
    {"escape x", "\"\\x41\"", false},
    {"escape quote", "\"\\'\"", false},
    {"escape zero", "\"\\0\"", false},
    {"escape U", "\"\\U0041\"", false},
    {"escape newline", "\"\\\n\"", false},
    {"u short", "\"\\u004\"", false},
    {"u none", "\"\\u\"", false},
    {"u no hex", "\"\\u00g0\"", false},
    {"u minus", "\"\\u-041\"", false},
    {"u space", "\"\\u 041\"", false},
    {"u cut by escape", "\"\\u00\\n\"", false},
    {"u zero", "\"\\u0000\"", true},
    {"escaped escape", "\"\\\\u\"", true},
    {"many backslashes", "\"\\\\\\\\\\\\\"", true},
    {"odd backslashes", "\"\\\\\\\\\\\"", false},
    {"lone surrogate", "\"\\ud800\"", true},
    {"newline in text", "\"a\nb\"", false},
    {"tab in text", "\"\t\"", false},
    {"0x1F in text", "\"\x1F\"", false},
    {"DEL in text", "\"\x7F\"", true},
    {"open text", "\"abc", false},
    {"apostrophes", "'a'", false},
    {"no quotes", "abc", false},
    {"quote alone", "\"", false},
    {"escaped end", "\"\\\"", false},
    {"two bytes", "\"\xC2\x80\xDF\xBF\"", true},
    {"three bytes", "\"\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\"", true},
    {"four bytes", "\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\"", true},
    {"overlong 2", "\"\xC0\xAF\"", false},
    {"overlong 2b", "\"\xC1\xBF\"", false},
    {"overlong 3", "\"\xE0\x9F\xBF\"", false},
    {"overlong 4", "\"\xF0\x8F\xBF\xBF\"", false},
    {"surrogate", "\"\xED\xA0\x80\"", false},
    {"above U+10FFFF", "\"\xF4\x90\x80\x80\"", false},
    {"F5", "\"\xF5\x80\x80\x80\"", false},
    {"FF", "\"\xFF\"", false},
    {"continuation", "\"\x80\"", false},
    {"cut 2", "\"\xC3\"", false},
    {"cut 3", "\"\xE2\x82\"", false},
    {"cut 4", "\"\xF0\x9F\x98\"", false},
    {"cut and more", "\"\xE2\x82x\"", false},
    {"Latin-1", "\"\xE9\"", false},
    {"no-break space", "\xC2\xA0", false},
    {"BOM", "\xEF\xBB\xBF[]", false},
    {"form feed", "\f1", false},
    {"vertical tab", "\x0B", false},
    {"a comment", "1/*x*/", false},
    {"a comment //", "1//", false},
    {"hash", "#", false},
    {"array", "[]", true},
    {"array of all", "[1,\"a\",null,true,{},[]]", true},
    {"spaced", "[ 1 , 2 ]", true},
    {"open array", "[", false},
    {"open array 1", "[1", false},
    {"open array ,", "[1,", false},
    {"comma more", "[1,]", false},
    {"comma first", "[,1]", false},
    {"two commas", "[1,,2]", false},
    {"only a comma", "[,]", false},
    {"no comma", "[1 2]", false},
    {"no comma, text", "[\"a\" \"b\"]", false},
    {"no comma, array", "[[][]]", false},
    {"colon in array", "[1:2]", false},
    {"wrong end", "[1}", false},
    {"end more", "[]]", false},
    {"end alone", "]", false},
    {"colon alone", ":", false},
    {"comma alone", ",", false},
    {"nothing", "", false},
    {"array word", "[a]", false},
    {"object", "{}", true},
    {"object of all", "{\"a\":1,\"b\":[{}],\"c\":{\"d\":null}}", true},
    {"same keys", "{\"a\":1,\"a\":2}", true},
    {"empty key", "{\"\":0}", true},
    {"open object", "{", false},
    {"open object k", "{\"a\"", false},
    {"open object c", "{\"a\":", false},
    {"open object v", "{\"a\":1", false},
    {"open object ,", "{\"a\":1,", false},
    {"no value", "{\"a\":}", false},
    {"no colon", "{\"a\" 1}", false},
    {"no colon, text", "{\"a\"\"b\"}", false},
    {"two colons", "{\"a\"::1}", false},
    {"comma for colon", "{\"a\",1}", false},
    {"comma at the end", "{\"a\":1,}", false},
    {"comma first o", "{,\"a\":1}", false},
    {"two commas o", "{\"a\":1,,\"b\":2}", false},
    {"no comma o", "{\"a\":1 \"b\":2}", false},
    {"key a number", "{1:1}", false},
    {"key a word", "{a:1}", false},
    {"key null", "{null:1}", false},
    {"key an array", "{[]:1}", false},
    {"key an object", "{{}:1}", false},
    {"key alone", "{\"a\"}", false},
    {"wrong end o", "{\"a\":1]", false},
    {"crossed ends", "[{]}", false},
    {"crossed ends 2", "{\"a\":[}]", false},
    {"key with control", "{\"a\nb\":1}", false},
    {"key with bad escape", "{\"\\q\":1}", false},
    {"key no UTF-8", "{\"\xFF\":1}", false},
    {"colon for comma", "{\"a\":1:\"b\":2}", false},
};

static const struct pick_field any_fields[] = {{"any", PICK_ANY, NULL}, {"n", PICK_COUNT, NULL}, {NULL, PICK_SCALAR, NULL}};
static const char *const frames[][2] = {
    {"{\"x\":", "}"}, {"{\"any\":", "}"}, {"{\"x\":[0,", ",0]}"}, {"{\"any\":[0, ", " ]}"}, {"{\"n\":{\"a\":", ",\"b\":1}}"}};

static bool accepts(struct bytes text, size_t first, size_t step, char *why, size_t cap)
{
    struct json_pick p;
    size_t taken = 0;
    reader_open(&p, any_fields, sizeof arena);
    err e = feed_by(&p, text, first, step, &taken);
    if (e != OK && e != E_CORRUPT)
        fail_msg("%s: %s", err_name(e), json_pick_wrong(&p));
    struct text t = text_over(why, cap);
    text_add(&t, e == OK ? taken < text.len ? "more" : "" : json_pick_wrong(&p));
    assert_true(e == OK || strncmp(why, "byte ", 5) == 0);
    return e == OK && taken == text.len;
}

static void value_in_frame(size_t i, size_t frame)
{
    char storage[200], whole[160], cut[160];
    struct text t = text_over(storage, sizeof storage);
    text_addf(&t, "%s%s%s", frames[frame][0], values[i].value, frames[frame][1]);
    struct bytes text = {(const uint8_t *)storage, t.len};
    if (accepts(text, t.len, t.len, whole, sizeof whole) != values[i].good)
        fail_msg("%s, frame %zu: %s %s", values[i].name, frame, values[i].good ? "refused" : "accepted", whole);
    for (size_t first = 1; first <= t.len; first++) {
        bool same =
            accepts(text, first, first == t.len ? 1 : t.len, cut, sizeof cut) == values[i].good && strcmp(whole, cut) == 0;
        if (!same)
            fail_msg("%s, frame %zu, cut at %zu: %s, not %s", values[i].name, frame, first, cut, whole);
    }
}

static void what_is_json(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < JSON_SCAN_KIND_COUNT; kind++)
        if (json_scan_force((enum json_scan_kind)kind))
            for (size_t i = 0; i < COUNT_OF(values); i++)
                for (size_t frame = 0; frame < COUNT_OF(frames); frame++)
                    value_in_frame(i, frame);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_edge16, MEM_LAZY) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept),
        cmocka_unit_test(what_is_json),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
