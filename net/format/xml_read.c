/* xml_read: one state a place in the grammar, one byte a step; runs of text are given as they lie. */
#include "net/format/xml_read.h"

#include "net/format/xml_inside.h"

#include <string.h>

/*    state         its step              what the next byte is */
#define STATE_TABLE(X)                                                                                                           \
    X(MARK, at_mark)                 /* the first bytes of all */                                                                \
    X(CONTENT, at_content)           /* text, '<' or '&' */                                                                      \
    X(ENTITY, at_entity)             /* behind '&' */                                                                            \
    X(TAG, at_tag)                   /* behind '<' */                                                                            \
    X(OPEN_NAME, at_open_name)       /* of the name, or behind it */                                                             \
    X(ATTRIBUTES, at_attributes)     /* white space, a name's first byte, '/' or '>' */                                          \
    X(ATTRIBUTE, at_attribute)       /* the rest of its name, white space or '=' */                                              \
    X(EQUALS, at_attribute)          /* white space or '=' */                                                                    \
    X(BEFORE_VALUE, at_before_value) /* white space or a quote */                                                                \
    X(VALUE, at_value)               /* up to that quote */                                                                      \
    X(AFTER_VALUE, at_after_value)   /* white space, '/' or '>' */                                                               \
    X(EMPTY_END, at_empty_end)       /* '>' behind '/' */                                                                        \
    X(CLOSE_NAME, at_close_name)     /* of the name, or behind it */                                                             \
    X(CLOSE_END, at_close_end)       /* white space or '>' */                                                                    \
    X(QUESTION, at_question)         /* up to "?>" */                                                                            \
    X(BANG, at_bang)                 /* behind "<!" */                                                                           \
    X(COMMENT_OPEN, at_comment_open) /* the second '-' */                                                                        \
    X(COMMENT, at_comment)           /* up to "-->" */                                                                           \
    X(CDATA_OPEN, at_cdata_open)     /* of "[CDATA[" */                                                                          \
    X(CDATA, at_cdata)               /* up to "]]>" */                                                                           \
    X(BAD, at_bad)                   /* nobody cares */

enum xml_state {
#define X(name, handler) AT_##name,
    STATE_TABLE(X)
#undef X
};

static const char cdata[] = "[CDATA[";

void xml_start(struct xml_read *x)
{
    memset(x, 0, sizeof *x);
    x->line = 1;
    x->name = "";
    x->state = AT_MARK;
}

void xml_feed(struct xml_read *x, struct bytes piece)
{
    ASSERT(x->at == x->in.len || x->state == AT_BAD);
    x->in = piece;
    x->at = 0;
}

static enum xml_event refuse(struct xml_read *x, const char *why)
{
    if (x->state != AT_BAD)
        x->why = why;
    x->state = AT_BAD;
    return XML_REFUSED;
}

static enum xml_event enter(struct xml_read *x, enum xml_state s)
{
    x->state = (unsigned)s;
    x->matched = 0;
    return XML_MORE;
}

/* --- text --- */

static enum xml_event give(struct xml_read *x, struct bytes text)
{
    x->text = text;
    x->depth = x->open;
    return XML_TEXT;
}

static enum xml_event give_held(struct xml_read *x, size_t len)
{
    return give(x, (struct bytes){x->held, len});
}

static const char *run_fault(const struct xml_read *x, uint8_t c)
{
    if (c == 0)
        return "a zero byte";
    return x->open == 0 && !xml_is_space(c) ? "text outside of the root element" : NULL;
}

/* The run up to a byte that ends it, or to the piece's end. What is before a fault is given first. */
static enum xml_event run(struct xml_read *x, const char *ends)
{
    const char *fault = NULL;
    size_t from = x->at;
    for (; x->at < x->in.len; x->at++) {
        uint8_t c = x->in.at[x->at];
        if (c == (uint8_t)ends[0] || c == (uint8_t)ends[1])
            break;
        if ((fault = run_fault(x, c)))
            break;
        x->line += c == '\n';
    }
    if (x->at > from && x->open > 0)
        return give(x, (struct bytes){x->in.at + from, x->at - from});
    return fault ? refuse(x, fault) : XML_MORE;
}

/* A byte order mark at the very beginning is let be: U+FEFF in UTF-8. */
static enum xml_event at_mark(struct xml_read *x, uint8_t c)
{
    static const uint8_t mark[] = {0xEF, 0xBB, 0xBF};
    if (c != mark[x->matched])
        return x->matched == 0 ? enter(x, AT_CONTENT) : refuse(x, "text outside of the root element");
    x->at++;
    return ++x->matched < sizeof mark ? XML_MORE : enter(x, AT_CONTENT);
}

static enum xml_event at_content(struct xml_read *x, uint8_t c)
{
    if (c == '<') {
        x->at++;
        return enter(x, AT_TAG);
    }
    if (c == '&') {
        x->at++;
        return x->open > 0 ? enter(x, AT_ENTITY) : refuse(x, "text outside of the root element");
    }
    return run(x, "<&");
}

static enum xml_event at_entity(struct xml_read *x, uint8_t c)
{
    x->at++;
    if (c != ';') {
        if (x->matched + 1 >= sizeof x->entity || (!xml_is_name(c) && c != '#'))
            return refuse(x, "an entity that is not XML's own");
        x->entity[x->matched++] = (char)c;
        return XML_MORE;
    }
    x->entity[x->matched] = 0;
    size_t len = xml_entity(x->entity, x->held);
    if (len == 0)
        return refuse(x, "an entity that is not XML's own");
    (void)enter(x, AT_CONTENT);
    return give_held(x, len);
}

/* --- tags --- */

static const char *name_local(const char *name)
{
    const char *colon = strchr(name, ':');
    return colon && colon[1] ? colon + 1 : name;
}

static enum xml_event name_begin(struct xml_read *x, uint8_t c)
{
    if (!xml_is_name_start(c))
        return refuse(x, "no name behind '<'");
    if (x->open == 0 && x->rooted)
        return refuse(x, "more than one root element");
    if (x->open == XML_DEPTH_MAX)
        return refuse(x, "too deep");
    x->starts[x->open] = x->names_len;
    return enter(x, AT_OPEN_NAME); /* which takes c */
}

static enum xml_event at_tag(struct xml_read *x, uint8_t c)
{
    if (c != '/' && c != '?' && c != '!')
        return name_begin(x, c);
    x->at++;
    if (c == '/')
        return x->open > 0 ? enter(x, AT_CLOSE_NAME) : refuse(x, "a closing tag without its opening one");
    return enter(x, c == '?' ? AT_QUESTION : AT_BANG);
}

static enum xml_event opened(struct xml_read *x)
{
    x->rooted = true;
    x->name = name_local(x->names + x->starts[x->open]);
    x->depth = ++x->open;
    return XML_OPEN;
}

static enum xml_event closed(struct xml_read *x)
{
    x->depth = x->open--;
    x->names_len = x->starts[x->open];
    x->name = name_local(x->names + x->names_len); /* there until another one is opened */
    (void)enter(x, AT_CONTENT);
    return XML_CLOSE;
}

static enum xml_event at_open_name(struct xml_read *x, uint8_t c)
{
    if (xml_is_name(c)) {
        if (x->matched + 1 >= XML_NAME_MAX || x->names_len + 2u > XML_NAMES_MAX)
            return refuse(x, "names that are too long");
        x->names[x->names_len++] = (char)c;
        x->matched++;
        x->at++;
        return XML_MORE;
    }
    x->names[x->names_len++] = 0;
    return enter(x, AT_AFTER_VALUE); /* which takes c */
}

static enum xml_event tag_end(struct xml_read *x, uint8_t c)
{
    x->at++;
    if (c == '/')
        (void)enter(x, AT_EMPTY_END);
    else
        (void)enter(x, AT_CONTENT);
    return opened(x);
}

static enum xml_event at_after_value(struct xml_read *x, uint8_t c)
{
    if (c == '/' || c == '>')
        return tag_end(x, c);
    return xml_is_space(c) ? enter(x, AT_ATTRIBUTES) : refuse(x, "a tag that is not well formed");
}

static enum xml_event at_attributes(struct xml_read *x, uint8_t c)
{
    if (c == '/' || c == '>')
        return tag_end(x, c);
    if (!xml_is_space(c) && !xml_is_name_start(c))
        return refuse(x, "a tag that is not well formed");
    x->at++;
    x->line += c == '\n';
    return xml_is_space(c) ? XML_MORE : enter(x, AT_ATTRIBUTE);
}

static enum xml_event at_attribute(struct xml_read *x, uint8_t c)
{
    x->at++;
    if (xml_is_name(c) && x->state == AT_ATTRIBUTE)
        return XML_MORE;
    if (c == '=')
        return enter(x, AT_BEFORE_VALUE);
    x->line += c == '\n';
    return xml_is_space(c) ? enter(x, AT_EQUALS) : refuse(x, "an attribute without value");
}

static enum xml_event at_before_value(struct xml_read *x, uint8_t c)
{
    x->at++;
    x->line += c == '\n';
    if (xml_is_space(c))
        return XML_MORE;
    x->quote = c;
    return c == '"' || c == '\'' ? enter(x, AT_VALUE) : refuse(x, "an attribute's value without quotes");
}

static enum xml_event at_value(struct xml_read *x, uint8_t c)
{
    x->at++;
    x->line += c == '\n';
    if (c == '<' || c == 0)
        return refuse(x, "an attribute's value that is not well formed");
    return c == x->quote ? enter(x, AT_AFTER_VALUE) : XML_MORE;
}

static enum xml_event at_empty_end(struct xml_read *x, uint8_t c)
{
    x->at++;
    return c == '>' ? closed(x) : refuse(x, "a tag that is not well formed");
}

static enum xml_event at_close_name(struct xml_read *x, uint8_t c)
{
    const char *name = x->names + x->starts[x->open - 1];
    if (xml_is_name(c)) {
        x->at++;
        return (uint8_t)name[x->matched++] == c ? XML_MORE : refuse(x, "a closing tag of another name");
    }
    return name[x->matched] == 0 ? enter(x, AT_CLOSE_END) : refuse(x, "a closing tag of another name");
}

static enum xml_event at_close_end(struct xml_read *x, uint8_t c)
{
    x->at++;
    x->line += c == '\n';
    if (c == '>')
        return closed(x);
    return xml_is_space(c) ? XML_MORE : refuse(x, "a tag that is not well formed");
}

/* --- what is not content --- */

static enum xml_event at_question(struct xml_read *x, uint8_t c)
{
    x->at++;
    x->line += c == '\n';
    if (c == '>' && x->matched > 0)
        return enter(x, AT_CONTENT);
    x->matched = c == '?';
    return c == 0 ? refuse(x, "a zero byte") : XML_MORE;
}

static enum xml_event at_bang(struct xml_read *x, uint8_t c)
{
    x->at++;
    if (c == '-')
        return enter(x, AT_COMMENT_OPEN);
    if (c == '[' && x->open > 0) {
        (void)enter(x, AT_CDATA_OPEN);
        x->matched = 1;
        return XML_MORE;
    }
    return refuse(x, c == 'D' ? "a document type definition" : "a declaration");
}

static enum xml_event at_comment_open(struct xml_read *x, uint8_t c)
{
    x->at++;
    return c == '-' ? enter(x, AT_COMMENT) : refuse(x, "a declaration");
}

/* Up to "-->"; "--" within is not well formed (XML 1.0 2.5), and let be. */
static enum xml_event at_comment(struct xml_read *x, uint8_t c)
{
    x->at++;
    x->line += c == '\n';
    if (c == '>' && x->matched >= 2)
        return enter(x, AT_CONTENT);
    x->matched = c == '-' ? x->matched + (x->matched < 2) : 0;
    return c == 0 ? refuse(x, "a zero byte") : XML_MORE;
}

static enum xml_event at_cdata_open(struct xml_read *x, uint8_t c)
{
    x->at++;
    if (c != (uint8_t)cdata[x->matched])
        return refuse(x, "a declaration");
    return cdata[++x->matched] ? XML_MORE : enter(x, AT_CDATA);
}

/* matched counts the brackets that may be the beginning of "]]>", and are text if they are not. */
static enum xml_event at_cdata(struct xml_read *x, uint8_t c)
{
    if (c == '>' && x->matched == 2) {
        x->at++;
        return enter(x, AT_CONTENT);
    }
    if (c == ']' && x->matched < 2) {
        x->at++;
        x->matched++;
        return XML_MORE;
    }
    if (x->matched == 0)
        return run(x, "]]");
    memset(x->held, ']', sizeof x->held);
    size_t brackets = c == ']' ? 1 : x->matched; /* of three, the first */
    x->at += c == ']';
    x->matched = c == ']' ? 2 : 0;
    return give_held(x, brackets);
}

static enum xml_event at_bad(struct xml_read *x, uint8_t c)
{
    (void)c;
    return refuse(x, x->why);
}

static enum xml_event step(struct xml_read *x, uint8_t c)
{
    static enum xml_event (*const steps[])(struct xml_read *, uint8_t) = {
#define X(name, handler) [AT_##name] = handler,
        STATE_TABLE(X)
#undef X
    };
    return steps[x->state](x, c);
}

enum xml_event xml_next(struct xml_read *x)
{
    enum xml_event event = XML_MORE;
    x->text = (struct bytes){NULL, 0};
    if (x->state == AT_BAD)
        return XML_REFUSED;
    while (event == XML_MORE && x->at < x->in.len)
        event = step(x, x->in.at[x->at]);
    return event;
}

bool xml_end(struct xml_read *x)
{
    if (x->state == AT_CONTENT && x->open == 0 && x->rooted)
        return true;
    (void)refuse(x, x->rooted ? "it ends in the middle" : "there is no element");
    return false;
}
