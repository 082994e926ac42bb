/* retention_print: item by item. */
#include "board/retention_print.h"

#include <stdio.h>

static const char *why_of(const struct retention_item *i)
{
    return i->replaced ? "bad, and a newer verified one is there" : "no rule keeps it";
}

/* --- JSON --- */

static void flush(struct retention_print *p)
{
    ASSERT(!p->out.cut);
    (void)fwrite(p->out.at, 1, p->out.len, stdout); /* main() asks ferror() */
    p->out = text_over(p->bytes, sizeof p->bytes);
}

static void json_begin(struct retention_print *p, const struct retention_list *l, const struct retention_item *i)
{
    json_object(&p->w);
    if (l->names)
        json_put_text(&p->w, "name", l->names[i->id]);
    else
        json_put_u64(&p->w, "line", i->id);
    json_put_i64(&p->w, "at", i->at_s);
}

static void json_kept(struct retention_print *p, const struct retention_list *l, const struct retention_item *i)
{
    json_begin(p, l, i);
    json_key(&p->w, "reasons");
    json_array(&p->w);
    for (enum retention_rule r = 0; r < RETENTION_RULE_COUNT; r++)
        if (i->rules >> r & 1)
            json_text(&p->w, retention_rule_name(r));
    json_array_end(&p->w);
    json_put_text(&p->w, "guard", retention_guard_name(i->guard));
    json_object_end(&p->w);
    flush(p);
}

static void json_removed(struct retention_print *p, const struct retention_list *l, const struct retention_item *i)
{
    json_begin(p, l, i);
    json_put_text(&p->w, "why", why_of(i));
    json_object_end(&p->w);
    flush(p);
}

static void json_items(struct retention_print *p, const struct retention_list *l, bool keep,
                       void (*one)(struct retention_print *p, const struct retention_list *l, const struct retention_item *i))
{
    json_array(&p->w);
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].keep == keep)
            one(p, l, &l->items[i]);
    json_array_end(&p->w);
}

static void json_ignored(struct retention_print *p, const struct retention_list *l)
{
    json_array(&p->w);
    for (size_t i = 0; i < l->ignored_count; i++) {
        json_object(&p->w);
        json_put_u64(&p->w, "line", l->ignored[i].line);
        json_put_text(&p->w, "why", l->ignored[i].why);
        json_object_end(&p->w);
        flush(p);
    }
    json_array_end(&p->w);
}

static void json_list(struct retention_print *p, const struct retention_list *l)
{
    json_object(&p->w);
    if (l->destination)
        json_put_text(&p->w, "destination", l->destination);
    json_key(&p->w, "keep");
    json_items(p, l, true, json_kept);
    json_key(&p->w, "remove");
    json_items(p, l, false, json_removed);
    json_key(&p->w, "ignored");
    json_ignored(p, l);
    json_object_end(&p->w);
    flush(p);
}

/* --- lines --- */

static void line_why(const struct retention_item *i)
{
    const char *between = "";
    for (enum retention_rule r = 0; r < RETENTION_RULE_COUNT; r++)
        if (i->rules >> r & 1) {
            (void)printf("%s%s", between, retention_rule_name(r));
            between = ", ";
        }
    if (i->guard != GUARD_NONE)
        (void)printf("guarded: %s", retention_guard_name(i->guard));
    (void)printf("%s\n", i->keep ? "" : why_of(i));
}

static void line_item(const struct retention_list *l, const struct retention_item *i)
{
    char when[TIME_TEXT_MAX];
    text_rfc3339(i->at_s, when, sizeof when);
    if (l->names)
        (void)printf("%-20s  %-32s  %-6s  ", when, l->names[i->id], i->keep ? "keep" : "remove");
    else
        (void)printf("%-20s  line %-6u  %-6s  ", when, i->id, i->keep ? "keep" : "remove");
    line_why(i);
}

static void lines_list(const struct retention_list *l)
{
    size_t kept = 0;
    if (l->destination)
        (void)printf("%s:\n", l->destination);
    for (size_t i = 0; i < l->count; i++) {
        line_item(l, &l->items[i]);
        kept += l->items[i].keep;
    }
    for (size_t i = 0; i < l->ignored_count; i++)
        (void)printf("%-20s  line %-6u  ignore  %s\n", "-", l->ignored[i].line, l->ignored[i].why);
    (void)printf("%zu stay, %zu would go", kept, l->count - kept);
    (void)printf(l->ignored_count ? ", %zu ignored\n" : "\n", l->ignored_count);
}

/* --- both --- */

void retention_print_open(struct retention_print *p, bool json)
{
    p->json = json;
    p->out = text_over(p->bytes, sizeof p->bytes);
    p->w = json_write_to(&p->out);
}

void retention_print_list(struct retention_print *p, const struct retention_list *l)
{
    if (p->json)
        json_list(p, l);
    else
        lines_list(l);
}

void retention_print_all(struct retention_print *p)
{
    if (p->json)
        json_array(&p->w);
}

void retention_print_failure(struct retention_print *p, const char *destination, const char *why)
{
    (void)fprintf(stderr, "holdfast: %s\n", why);
    if (!p->json)
        return;
    json_object(&p->w);
    json_put_text(&p->w, "destination", destination);
    json_put_text(&p->w, "error", why);
    json_object_end(&p->w);
    flush(p);
}

void retention_print_all_end(struct retention_print *p)
{
    if (p->json)
        json_array_end(&p->w);
}

void retention_print_close(struct retention_print *p)
{
    if (!p->json)
        return;
    text_add(&p->out, "\n");
    flush(p);
}
