#include "net/format/yaml_read.h"

#include "board/rt/text.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct yaml {
    yaml_parser_t parser;
    yaml_event_t event; /* of the last yaml_next(), which borrowed its text */
    struct bytes input;
    unsigned depth, documents;
    bool at_end;
    err error; /* sticky */
    struct yaml_problem problem;
};

#define TAB_WHAT "a tab is used to indent; use spaces"

/* libyaml 0.2.5 tells its problems in these words (scanner.c, parser.c, reader.c); ours also say what to do. */
static const struct {
    const char *theirs, *ours;
} words[] = {
    {"found a tab character", TAB_WHAT},
    {"found character that cannot start any token", "no value can start with this character; put the value in quotes"},
    {"mapping values are not allowed in this context",
     "a colon where no key can be; indent the line, or put the value in quotes"},
    {"could not find expected ':'", "a key without its colon; write key: value"},
    {"did not find expected ',' or ']'", "the list in brackets is not closed; put commas between its items and ] at its end"},
    {"did not find expected ',' or '}'", "the map in braces is not closed; put commas between its keys and } at its end"},
    {"did not find expected key", "the line is not indented like its neighbours; line the keys up"},
    {"did not find expected '-' indicator", "the line is neither a list item nor part of one; start it with - or line it up"},
    {"did not find expected node content", "a value is missing; write one"},
    {"found unexpected end of stream", "the file ends inside a quoted text; close the quote"},
    {"found unknown escape character", "no such escape; double the backslash or use single quotes"},
    {"control characters are not allowed", "a control character; remove it"},
    {"did not find expected <document start>", "this does not belong to what is above it; line it up or remove it"},
};

static const char *words_find(const yaml_parser_t *p)
{
    for (size_t i = 0; p->problem && i < COUNT_OF(words); i++)
        if (strncmp(p->problem, words[i].theirs, strlen(words[i].theirs)) == 0)
            return words[i].ours;
    return p->error == YAML_READER_ERROR ? "the file is not UTF-8; save it as UTF-8"
                                         : "this is not YAML; check the indentation and the quotes here";
}

static struct yaml_mark mark_of(yaml_mark_t m)
{
    return (struct yaml_mark){(unsigned)m.line + 1, (unsigned)m.column + 1};
}

/* The reader tells an offset in bytes and no mark. */
static struct yaml_mark mark_of_offset(struct bytes input, size_t offset)
{
    struct yaml_mark m = {1, 1};
    for (size_t i = 0; i < size_min(offset, input.len); i++) {
        if (input.at[i] == '\n')
            m = (struct yaml_mark){m.line + 1, 1};
        else if ((input.at[i] & 0xC0) != 0x80)
            m.column++;
    }
    return m;
}

static bool is_tab(const struct yaml *y)
{
    size_t at = y->parser.problem_mark
                    .index; /* in characters: right as long as what is before is ASCII, and only the words depend on it */
    return y->parser.error == YAML_SCANNER_ERROR && at < y->input.len && y->input.at[at] == '\t';
}

static err fail(struct yaml *y, err e, struct yaml_mark mark, const char *what)
{
    y->error = e;
    y->problem = (struct yaml_problem){mark, what};
    return e;
}

static err parser_failed(struct yaml *y)
{
    const yaml_parser_t *p = &y->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return fail(y, E_BUDGET, mark_of(p->mark), "no memory left to read it; shorten the file");
    if (p->error == YAML_READER_ERROR)
        return fail(y, E_CONFIG, mark_of_offset(y->input, p->problem_offset), words_find(p));
    return fail(y, E_CONFIG, mark_of(p->problem_mark), is_tab(y) ? TAB_WHAT : words_find(p));
}

/* Editors of other systems begin a file so (YAML 1.2, 5.2); the parser, told the encoding, takes it for text. */
static struct bytes without_byte_order_mark(struct bytes input)
{
    static const uint8_t mark[] = {0xEF, 0xBB, 0xBF};
    bool marked = input.len >= sizeof mark && memcmp(input.at, mark, sizeof mark) == 0;
    return marked ? (struct bytes){input.at + sizeof mark, input.len - sizeof mark} : input;
}

err yaml_open(struct bytes input, struct yaml **out)
{
    *out = NULL;
    input = without_byte_order_mark(input);
    if (input.len > YAML_BYTES_MAX)
        return trail(E_RANGE, "YAML of %zu bytes, at most %zu are read", input.len, YAML_BYTES_MAX);
    struct yaml *y = calloc(1, sizeof *y);
    if (!y || !yaml_parser_initialize(&y->parser)) {
        free(y);
        return trail(E_BUDGET, "reading YAML");
    }
    y->input = input;
    yaml_parser_set_encoding(&y->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&y->parser, input.len ? input.at : (const uint8_t *)"", input.len);
    *out = y;
    return OK;
}

static err node_start(struct yaml *y, struct yaml_event *out, enum yaml_kind kind, const yaml_char_t *tag)
{
    out->kind = kind;
    if (tag)
        return fail(y, E_CONFIG, out->mark, "tags are not supported; remove the !");
    if (kind != YAML_SCALAR && ++y->depth > YAML_DEPTH_MAX)
        return fail(y, E_CONFIG, out->mark, "nested too deep; nothing here needs that");
    return OK;
}

static err scalar(struct yaml *y, struct yaml_event *out)
{
    out->text = (struct bytes){y->event.data.scalar.value, y->event.data.scalar.length};
    out->plain = y->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return node_start(y, out, YAML_SCALAR, y->event.data.scalar.tag);
}

/* Turns libyaml's event into ours. *told: it is one the caller sees. */
static err event_take(struct yaml *y, struct yaml_event *out, bool *told)
{
    *told = true;
    *out = (struct yaml_event){.kind = YAML_END, .mark = mark_of(y->event.start_mark)};
    switch (y->event.type) {
    case YAML_SCALAR_EVENT:
        return scalar(y, out);
    case YAML_MAPPING_START_EVENT:
        return node_start(y, out, YAML_MAP, y->event.data.mapping_start.tag);
    case YAML_SEQUENCE_START_EVENT:
        return node_start(y, out, YAML_LIST, y->event.data.sequence_start.tag);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        y->depth--;
        out->kind = y->event.type == YAML_MAPPING_END_EVENT ? YAML_MAP_END : YAML_LIST_END;
        return OK;
    case YAML_ALIAS_EVENT:
        return fail(y, E_CONFIG, out->mark, "aliases are not supported; write the value out");
    case YAML_STREAM_END_EVENT:
        y->at_end = true;
        return OK;
    case YAML_DOCUMENT_START_EVENT:
        *told = false;
        return ++y->documents > 1 ? fail(y, E_CONFIG, out->mark, "a second document; keep one") : OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    *told = false;
    return OK;
}

err yaml_next(struct yaml *y, struct yaml_event *event)
{
    bool told = false;
    *event = (struct yaml_event){.kind = YAML_END};
    while (!told && y->error == OK && !y->at_end) {
        yaml_event_delete(&y->event);
        if (!yaml_parser_parse(&y->parser, &y->event))
            return parser_failed(y);
        TRY(event_take(y, event, &told));
    }
    return y->error;
}

bool yaml_is_null(const struct yaml_event *e)
{
    return e->kind == YAML_SCALAR && e->plain &&
           (e->text.len == 0 || bytes_equal_text(e->text, "~") || bytes_equal_text(e->text, "null"));
}

struct yaml_problem yaml_problem(const struct yaml *y)
{
    return y->problem;
}

void yaml_close(struct yaml *y)
{
    if (!y)
        return;
    yaml_event_delete(&y->event);
    yaml_parser_delete(&y->parser);
    free(y);
}
