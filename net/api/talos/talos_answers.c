/* talos_answers: what the unary calls answer. Field numbers: Talos, api/machine/machine.proto, api/common/common.proto. */
#include "net/api/talos/talos_internal.h"

#include "board/rt/text.h"

err talos_metadata(struct bytes message)
{
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    char words[TRAIL_TEXT_MAX] = "";
    while (pb_next(&r, &f))
        if (f.number == 2)
            pb_text(&r, &f, words, sizeof words);
    if (r.error == OK && words[0])
        return trail(E_REMOTE, "%s", words);
    return r.error;
}

/* Every answer is {repeated messages=1}, each {metadata=1; …}: one a node, and it is one node that we ask. Gives its fields but
 * the metadata to each(). */
static err answer_read(struct bytes answer, void (*each)(struct pb_reader *r, const struct pb_field *f, void *out), void *out)
{
    struct pb_field f;
    struct pb_reader outer = pb_read(answer);
    while (pb_next(&outer, &f)) {
        if (f.number != 1)
            continue;
        struct pb_reader r = pb_read(pb_bytes(&outer, &f));
        while (pb_next(&r, &f))
            if (f.number == 1)
                TRY(talos_metadata(pb_bytes(&r, &f)));
            else
                each(&r, &f, out);
        if (r.error != OK || outer.error != OK)
            break;
        return OK;
    }
    return E_PROTOCOL;
}

static err ask(struct talos *t, enum talos_call which, ms deadline,
               void (*each)(struct pb_reader *r, const struct pb_field *f, void *out), void *out)
{
    struct buf *answer = NULL;
    TRY(talos_unary(t, which, deadline, &answer));
    err e = answer_read((struct bytes){answer->at, answer->len}, each, out);
    buf_release(answer);
    if (e == E_PROTOCOL)
        e = trail(e, "unreadable answer");
    return e == OK ? OK : talos_failed(t, which, e);
}

/* --- EtcdStatus --- */
static void status_field(struct pb_reader *r, const struct pb_field *f, struct talos_status *out)
{
    switch (f->number) { /* EtcdMemberStatus */
    case 1:
        pb_text(r, f, out->protocol_version, sizeof out->protocol_version);
        break;
    case 2:
        out->db_bytes = pb_i64(r, f);
        break;
    case 3:
        out->db_in_use_bytes = pb_i64(r, f);
        break;
    case 4:
        out->leader_id = pb_u64(r, f);
        break;
    case 5:
        out->raft_index = pb_u64(r, f);
        break;
    case 6:
        out->raft_term = pb_u64(r, f);
        break;
    case 7:
        out->raft_applied_index = pb_u64(r, f);
        break;
    case 8:
        out->error_count++;
        break;
    case 9:
        out->is_learner = pb_bool(r, f);
        break;
    case 10:
        out->member_id = pb_u64(r, f);
        break;
    case 11:
        pb_text(r, f, out->storage_version, sizeof out->storage_version);
        break;
    default:
        break;
    }
}

static void status_each(struct pb_reader *r, const struct pb_field *f, void *out)
{
    struct pb_field inner;
    if (f->number != 2) /* EtcdStatus.member_status */
        return;
    struct pb_reader member = pb_read(pb_bytes(r, f));
    while (pb_next(&member, &inner))
        status_field(&member, &inner, out);
    if (member.error != OK)
        r->error = member.error;
}

err talos_status(struct talos *t, ms deadline, struct talos_status *out)
{
    *out = (struct talos_status){0};
    return ask(t, TALOS_EtcdStatus, deadline, status_each, out);
}

/* --- EtcdAlarmList --- */
struct alarms {
    struct talos_alarm *out;
    unsigned cap, *count;
};

static void alarms_each(struct pb_reader *r, const struct pb_field *f, void *out)
{
    struct alarms *a = out;
    struct talos_alarm one = {0};
    struct pb_field inner;
    if (f->number != 2) /* EtcdAlarm.member_alarms */
        return;
    struct pb_reader alarm = pb_read(pb_bytes(r, f));
    while (pb_next(&alarm, &inner))
        if (inner.number == 1)
            one.member_id = pb_u64(&alarm, &inner);
        else if (inner.number == 2)
            one.kind = (enum talos_alarm_kind)pb_u64(&alarm, &inner);
    if (alarm.error != OK)
        r->error = alarm.error;
    if (*a->count < a->cap)
        a->out[*a->count] = one;
    ++*a->count;
}

err talos_alarm_list(struct talos *t, ms deadline, struct talos_alarm *out, unsigned cap, unsigned *count)
{
    struct alarms a = {out, cap, count};
    *count = 0;
    err e = ask(t, TALOS_EtcdAlarmList, deadline, alarms_each, &a);
    if (e != OK)
        *count = 0;
    return e;
}

/* --- EtcdMemberList --- */
struct members {
    struct talos_member *out;
    unsigned cap, count;
};

static void member_field(struct pb_reader *r, const struct pb_field *f, struct talos_member *out)
{
    switch (f->number) { /* EtcdMember */
    case 2:
        out->id = pb_u64(r, f);
        break;
    case 3:
        pb_text(r, f, out->hostname, sizeof out->hostname);
        break;
    case 5:
        if (!out->client_url[0])
            pb_text(r, f, out->client_url, sizeof out->client_url);
        break;
    case 6:
        out->is_learner = pb_bool(r, f);
        break;
    default:
        break;
    }
}

static void members_each(struct pb_reader *r, const struct pb_field *f, void *out)
{
    struct members *m = out;
    struct pb_field inner;
    if (f->number != 3 || m->count++ >= m->cap) /* EtcdMembers.members */
        return;
    struct talos_member *one = &m->out[m->count - 1];
    *one = (struct talos_member){0};
    struct pb_reader member = pb_read(pb_bytes(r, f));
    while (pb_next(&member, &inner))
        member_field(&member, &inner, one);
    if (member.error != OK)
        r->error = member.error;
}

err talos_member_list(struct talos *t, ms deadline, struct talos_member *out, unsigned cap, unsigned *count)
{
    struct members m = {out, cap, 0};
    *count = 0;
    TRY(ask(t, TALOS_EtcdMemberList, deadline, members_each, &m));
    if (m.count > cap)
        return talos_failed(t, TALOS_EtcdMemberList, trail(E_RANGE, "%u members, more than %u", m.count, cap));
    *count = m.count;
    return OK;
}

/* --- Version, EtcdDefragment, EtcdAlarmDisarm --- */
static void version_each(struct pb_reader *r, const struct pb_field *f, void *out)
{
    struct pb_field inner;
    if (f->number != 2) /* Version.version: VersionInfo{tag=1; …} */
        return;
    struct pb_reader info = pb_read(pb_bytes(r, f));
    while (pb_next(&info, &inner))
        if (inner.number == 1)
            pb_text(&info, &inner, out, TALOS_TEXT_MAX);
    if (info.error != OK)
        r->error = info.error;
}

err talos_version(struct talos *t, ms deadline, char tag[TALOS_TEXT_MAX])
{
    tag[0] = 0;
    return ask(t, TALOS_Version, deadline, version_each, tag);
}

static void nothing_each(struct pb_reader *r, const struct pb_field *f, void *out)
{
    (void)r;
    (void)f;
    (void)out;
}

err talos_defragment(struct talos *t, ms deadline)
{
    return ask(t, TALOS_EtcdDefragment, deadline, nothing_each, NULL);
}

err talos_alarm_disarm(struct talos *t, ms deadline)
{
    return ask(t, TALOS_EtcdAlarmDisarm, deadline, nothing_each, NULL);
}
