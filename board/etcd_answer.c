/* etcd_answer: from the guardian to items. */
#include "board/etcd_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *etcd_host_name(char *out, size_t cap)
{
    if (gethostname(out, cap) != 0 || !out[0])
        (void)snprintf(out, cap, "holdfast");
    out[cap - 1] = 0;
    return out;
}

struct etcd_wish etcd_wish_of(const struct command_line *line)
{
    return (struct etcd_wish){
        .dry_run = line->dry_run, .all = line->all, .nospace = line->nospace, .without_backup = line->without_backup};
}

/* --- status --- */

struct row {
    const struct guardian_view *v;
    unsigned member;
};

static void put_row(struct json_writer *w, const void *what)
{
    const struct row *r = what;
    guardian_member_json(w, r->v, r->member);
}

static enum exit_code tell_status(struct guardian *g, const struct guardian_view *v, struct text *why, const struct answer *to)
{
    for (unsigned i = 0; i < v->count; i++)
        if (answer_item(to, put_row, &(struct row){v, i}) != OK)
            return EXIT_CANNOT_TELL;
    bool well = guardian_is_well(g, why);
    if (!v->listed)
        return EXIT_CANNOT_TELL;
    return well ? EXIT_GOOD : EXIT_BAD;
}

enum exit_code answer_etcd_status(struct guardian *g, struct text *why, const struct answer *to)
{
    enum exit_code code = EXIT_CANNOT_TELL;
    struct guardian_view *v = calloc(1, sizeof *v);
    err e = v ? guardian_look(g, v) : E_BUDGET;
    if (e == OK)
        code = tell_status(g, v, why, to);
    else
        text_add(why, err_text(e));
    free(v);
    return code;
}

/* --- defrag --- */

struct steps {
    const struct answer *to;
    const struct backup_watcher *watcher;
    bool dry_run, told_end;
    err failed; /* of an item: the answer cannot be told, but what is begun goes on */
};

struct step {
    const struct guardian_decision *d;
    const struct guardian_view *v;
    bool is_done, has_member;
    ms took_ms, stall_ms;
    int64_t won_bytes;
    const char *error;
};

static void put_step(struct json_writer *w, const void *what)
{
    const struct step *s = what;
    json_object(w);
    json_put_text(w, "step", guardian_step_name(s->d->step));
    json_put_text(w, "member", s->has_member ? guardian_label(&s->v->members[s->d->member]) : NULL);
    json_put_text(w, "to", s->d->step == GUARDIAN_MOVE_LEADER ? guardian_label(&s->v->members[s->d->to]) : NULL);
    json_put_text(w, "why", s->d->why);
    json_put_bool(w, "done", s->is_done);
    json_put_i64(w, "took_ms", s->took_ms);
    json_put_i64(w, "stall_ms", s->stall_ms);
    json_put_i64(w, "won_bytes", s->won_bytes);
    if (s->error)
        json_put_text(w, "error", s->error);
    json_object_end(w);
}

static void tell(struct steps *t, struct step s)
{
    s.has_member = s.d->step == GUARDIAN_DEFRAG || s.d->step == GUARDIAN_MOVE_LEADER;
    err e = answer_item(t->to, put_step, &s);
    t->failed = t->failed == OK ? e : t->failed;
}

static void decided(void *arg, const struct guardian_decision *d, const struct guardian_view *v)
{
    struct steps *t = arg;
    bool is_end = d->step == GUARDIAN_REST || d->step == GUARDIAN_DOUBT;
    t->told_end = is_end;
    if (is_end || t->dry_run)
        tell(t, (struct step){.d = d, .v = v, .error = d->step == GUARDIAN_DOUBT ? d->why : NULL});
    else if (t->watcher)
        t->watcher->progress(t->watcher->arg, guardian_step_name(d->step), 0, 0);
}

static void done(void *arg, const struct guardian_decision *d, const struct guardian_view *v, ms took_ms, ms stall_ms,
                 int64_t won_bytes, err result)
{
    struct steps *t = arg;
    char words[256];
    uint64_t mark = trail_mark();
    struct step s = {.d = d, .v = v, .is_done = result == OK, .took_ms = took_ms, .stall_ms = stall_ms, .won_bytes = won_bytes};
    if (result != OK)
        s.error = trail_text(result, words, sizeof words);
    t->told_end = result != OK;
    tell(t, s);
    trail_rewind(mark);
}

static enum exit_code code_of(err e, unsigned steps)
{
    if (e == OK)
        return EXIT_GOOD;
    if (steps > 0)
        return EXIT_PARTLY;
    return e == E_BUSY ? EXIT_BUSY : EXIT_BAD;
}

enum exit_code answer_etcd_defrag(struct guardian *g, const struct config *c, const struct etcd_wish *wish,
                                  const struct backup_watcher *w, const struct answer *to)
{
    struct steps t = {.to = to, .watcher = w, .dry_run = wish->dry_run};
    struct guardian_watcher watcher = {decided, done, &t};
    struct guardian_order o = {.rules = guardian_rules_of(c), .dry_run = wish->dry_run, .by_hand = true};
    char words[512];
    unsigned steps = 0;
    o.rules.defrag = true; /* that is what was asked for */
    o.rules.all = wish->all;
    o.rules.nospace = wish->nospace;
    o.rules.without_backup = wish->without_backup;
    err e = guardian_act(g, &o, &watcher, &steps);
    if (e != OK && e != E_CANCELED && !t.told_end)
        t.failed = answer_failure(to, NULL, e == E_BUSY ? "busy" : "etcd", trail_text(e, words, sizeof words));
    trail_clear();
    return t.failed == OK ? code_of(e, steps) : EXIT_CANNOT_TELL;
}
