/* xml_read: what is read how, whole and byte by byte; what is refused and where; the bounds. */
#include "net/format/xml_read.h"

#include "board/rt/text.h"
#include "tests/unit/check.h"

#include <string.h>

#define TOLD_MAX 2048

/* Events as text: "<a" opened, ">a" closed, other words are text; "!" and why. */
static const struct {
    const char *name, *xml, *events;
} cases[] = {
    {"one element", "<a></a>", "<a >a"},
    {"empty element", "<a/>", "<a >a"},
    {"text", "<a>hello</a>", "<a [hello] >a"},
    {"nested", "<a><b>1</b><b>2</b></a>", "<a <b [1] >b <b [2] >b >a"},
    {"white space is text", "<a> <b/>\n</a>", "<a [ ] <b >b [\n] >a"},
    {"declaration", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a/>", "<a >a"},
    {"instruction within", "<a><?php echo '?' ?>x</a>", "<a [x] >a"},
    {"byte order mark", "\xef\xbb\xbf<a/>", "<a >a"},
    {"attributes", "<a b=\"1\" c='>\"/'  d = \"2\" ><e f=\"\"/></a>", "<a <e >e >a"},
    {"namespace", "<R xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><K>k</K></R>", "<R <K [k] >K >R"},
    {"prefix", "<s:a xmlns:s=\"u\"><s:b/></s:a>", "<a <b >b >a"},
    {"entities", "<a>&lt;&gt;&amp;&quot;&apos;</a>", "<a [<>&\"'] >a"},
    {"numbers", "<a>&#65;&#x42;&#xe9;&#8364;&#x1F512;&#10;</a>", "<a [AB\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x92\n] >a"},
    {"entity among text", "<a>x&amp;y</a>", "<a [x&y] >a"},
    {"cdata", "<a><![CDATA[<b>&amp;]]></a>", "<a [<b>&amp;] >a"},
    {"brackets in cdata", "<a><![CDATA[]]x]]]y]]]]></a>", "<a []]x]]]y]]] >a"},
    {"empty cdata", "<a><![CDATA[]]></a>", "<a >a"},
    {"brackets in text", "<a>]]</a>", "<a []]] >a"},
    {"comments", "<!-- a --><a><!-- <b> -- ---><b/></a><!---->\n", "<a <b >b >a"},
    {"space in tags", "<a ></a\n>", "<a >a"},
    {"control characters, as keys may have", "<a>\x01&#x1b;\t&#13;</a>", "<a [\x01\x1b\t\r] >a"},
    {"beyond ASCII", "<\xc3\xa9>\xc3\xa9</\xc3\xa9>", "<\xc3\xa9 [\xc3\xa9] >\xc3\xa9"},
    {"an error of S3", "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>no &quot;k&quot;</Message></Error>",
     "<Error <Code [NoSuchKey] >Code <Message [no \"k\"] >Message >Error"},

    {"nothing", "", "!1 there is no element"},
    {"white space only", " \n ", "!2 there is no element"},
    {"declaration only", "<?xml version='1.0'?>", "!1 there is no element"},
    {"not closed", "<a><b></b>", "<a <b >b !1 it ends in the middle"},
    {"ends in a tag", "<a", "!1 there is no element"},
    {"ends in an entity", "<a>&am", "<a !1 it ends in the middle"},
    {"ends in a comment", "<a/><!-- ", "<a >a !1 it ends in the middle"},
    {"closes another", "<a><b></a></b>", "<a <b !1 a closing tag of another name"},
    {"closes the beginning of a name", "<ab></a>", "<ab !1 a closing tag of another name"},
    {"closes a longer name", "<a></ab>", "<a !1 a closing tag of another name"},
    {"closes another prefix", "<s:a></a>", "<a !1 a closing tag of another name"},
    {"closes nothing", "</a>", "!1 a closing tag without its opening one"},
    {"two roots", "<a/><b/>", "<a >a !1 more than one root element"},
    {"text before", "x<a/>", "!1 text outside of the root element"},
    {"text behind", "<a/>x", "<a >a !1 text outside of the root element"},
    {"entity before", "&amp;<a/>", "!1 text outside of the root element"},
    {"DTD", "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "!1 a document type definition"},
    {"DTD within", "<a><!DOCTYPE a></a>", "<a !1 a document type definition"},
    {"declaration of an element", "<a><!ELEMENT a ANY></a>", "<a !1 a declaration"},
    {"cdata outside", "<![CDATA[x]]>", "!1 a declaration"},
    {"nearly cdata", "<a><![CDATX[x]]></a>", "<a !1 a declaration"},
    {"nearly a comment", "<a><!-x--></a>", "<a !1 a declaration"},
    {"unknown entity", "<a>\n&nbsp;</a>", "<a [\n] !2 an entity that is not XML's own"},
    {"long entity", "<a>&aaaaaaaaaaaaaaaaaaaaaaaaaaaaa;</a>", "<a !1 an entity that is not XML's own"},
    {"empty entity", "<a>&;</a>", "<a !1 an entity that is not XML's own"},
    {"a bare ampersand", "<a>x & y</a>", "<a [x ] !1 an entity that is not XML's own"},
    {"number of nothing", "<a>&#;</a>", "<a !1 an entity that is not XML's own"},
    {"hex of nothing", "<a>&#x;</a>", "<a !1 an entity that is not XML's own"},
    {"number zero", "<a>&#0;</a>", "<a !1 an entity that is not XML's own"},
    {"number of a surrogate", "<a>&#xD800;</a>", "<a !1 an entity that is not XML's own"},
    {"number beyond Unicode", "<a>&#x110000;</a>", "<a !1 an entity that is not XML's own"},
    {"letters in a number", "<a>&#1f;</a>", "<a !1 an entity that is not XML's own"},
    {"no name", "< a/>", "!1 no name behind '<'"},
    {"a digit for a name", "<1/>", "!1 no name behind '<'"},
    {"attribute without value", "<a b/>", "!1 an attribute without value"},
    {"attribute without quotes", "<a b=1/>", "!1 an attribute's value without quotes"},
    {"tag in an attribute", "<a b=\"<\"/>", "!1 an attribute's value that is not well formed"},
    {"attributes without space", "<a b=\"1\"c=\"2\"/>", "!1 a tag that is not well formed"},
    {"slash in a tag", "<a / >", "<a !1 a tag that is not well formed"},
    {"line of a fault", "<a>\n<b\nc='\n'>\n</d></a>", "<a [\n] <b [\n] !5 a closing tag of another name"},
};

static bool told_text; /* the last event was text: pieces are put together */

static void tell(struct text *t, const struct xml_read *x, enum xml_event event)
{
    bool more = told_text && event == XML_TEXT;
    if (told_text && !more)
        text_add(t, "]");
    if (!more && t->len > 0)
        text_add(t, " ");
    told_text = event == XML_TEXT;
    if (event == XML_TEXT) {
        text_add(t, more ? "" : "[");
        text_add_bytes(t, x->text);
    } else if (event == XML_REFUSED) {
        text_addf(t, "!%u %s", x->line, x->why);
    } else {
        text_addf(t, "%c%s", event == XML_OPEN ? '<' : '>', x->name);
    }
}

/* Each piece in memory of its own, so that nothing is looked at behind it or after it. */
static void read_by(const char *xml, size_t step, struct text *t)
{
    struct xml_read x;
    enum xml_event event = XML_MORE;
    size_t len = strlen(xml);
    told_text = false;
    xml_start(&x);
    for (size_t at = 0; at < len && event != XML_REFUSED; at += step) {
        uint8_t piece[256];
        size_t n = size_min(size_min(step, sizeof piece), len - at);
        memcpy(piece, xml + at, n);
        xml_feed(&x, (struct bytes){piece, n});
        while ((event = xml_next(&x)) != XML_MORE) {
            tell(t, &x, event);
            if (event == XML_REFUSED)
                break;
        }
        memset(piece, '!', sizeof piece);
    }
    if (event != XML_REFUSED && !xml_end(&x))
        tell(t, &x, XML_REFUSED);
    if (event == XML_REFUSED) {
        assert_int_equal(xml_next(&x), XML_REFUSED);
        assert_false(xml_end(&x));
    }
}

static void documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const size_t steps[] = {256, 1, 2, 3, 7};
        for (size_t k = 0; k < COUNT_OF(steps); k++) {
            char told[TOLD_MAX];
            struct text t = text_over(told, sizeof told);
            assert_true(strlen(cases[i].xml) <= 256);
            read_by(cases[i].xml, steps[k], &t);
            if (strcmp(told, cases[i].events) != 0)
                fail_msg("%s, by %zu: %s", cases[i].name, steps[k], told);
        }
    }
}

/* The last event of a document that is all in one piece. */
static enum xml_event last_of(struct xml_read *x, const char *xml, unsigned *deepest)
{
    enum xml_event event;
    *deepest = 0;
    xml_start(x);
    xml_feed(x, bytes_of(xml));
    while ((event = xml_next(x)) != XML_MORE && event != XML_REFUSED)
        *deepest = x->depth > *deepest ? x->depth : *deepest;
    return event;
}

static void depth_is_bounded(void **state)
{
    char xml[8 * (XML_DEPTH_MAX + 2)];
    struct xml_read x;
    unsigned deepest;
    (void)state;
    for (unsigned depth = XML_DEPTH_MAX - 1; depth <= XML_DEPTH_MAX + 1; depth++) {
        struct text t = text_over(xml, sizeof xml);
        for (unsigned i = 0; i < depth; i++)
            text_add(&t, "<e>");
        for (unsigned i = 0; i < depth; i++)
            text_add(&t, "</e>");
        enum xml_event event = last_of(&x, xml, &deepest);
        assert_int_equal(event, depth <= XML_DEPTH_MAX ? XML_MORE : XML_REFUSED);
        assert_int_equal(deepest, depth <= XML_DEPTH_MAX ? depth : XML_DEPTH_MAX);
        if (event == XML_REFUSED)
            assert_string_equal(x.why, "too deep");
        else
            assert_true(xml_end(&x));
    }
}

static void names_are_bounded(void **state)
{
    char name[XML_NAME_MAX + 1], xml[4096];
    struct xml_read x;
    unsigned deepest;
    (void)state;
    for (size_t len = XML_NAME_MAX - 2; len <= XML_NAME_MAX; len++) {
        struct text t = text_over(xml, sizeof xml);
        memset(name, 'n', len);
        name[len] = 0;
        text_addf(&t, "<%s></%s>", name, name);
        assert_int_equal(last_of(&x, xml, &deepest), len < XML_NAME_MAX ? XML_MORE : XML_REFUSED);
    }
    struct text t = text_over(xml, sizeof xml);
    name[XML_NAME_MAX - 1] = 0;
    for (unsigned i = 0; i <= XML_NAMES_MAX / XML_NAME_MAX; i++)
        text_addf(&t, "<%s>", name);
    assert_int_equal(last_of(&x, xml, &deepest), XML_REFUSED);
    assert_int_equal(deepest, XML_NAMES_MAX / XML_NAME_MAX);
    assert_string_equal(x.why, "names that are too long");
}

static void zero_bytes(void **state)
{
    static const char in_text[] = "<a>\0</a>", in_comment[] = "<a><!--\0--></a>", in_attribute[] = "<a b='\0'/>";
    const struct bytes documents_with_zero[] = {{(const uint8_t *)in_text, sizeof in_text - 1},
                                                {(const uint8_t *)in_comment, sizeof in_comment - 1},
                                                {(const uint8_t *)in_attribute, sizeof in_attribute - 1}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(documents_with_zero); i++) {
        struct xml_read x;
        enum xml_event event;
        xml_start(&x);
        xml_feed(&x, documents_with_zero[i]);
        while ((event = xml_next(&x)) == XML_OPEN)
            assert_string_equal(x.name, "a");
        assert_int_equal(event, XML_REFUSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(documents), cmocka_unit_test(zero_bytes),
                                       cmocka_unit_test(depth_is_bounded), cmocka_unit_test(names_are_bounded)};
    print_message("struct xml_read: %zu bytes\n", sizeof(struct xml_read));
    return cmocka_run_group_tests_name("xml_read", tests, NULL, NULL);
}
