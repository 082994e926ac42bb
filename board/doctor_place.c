/* doctor_place: folders and NFS mounts: there, writable, with room for the database. */
#include "board/doctor.h"

#include "board/rt/file.h"
#include "hal/mount_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A file that is never committed: what should stay of it, the hub removes as it does its own leftovers. */
static err try_writing(struct lane *l, const char *folder, ms deadline)
{
    char path[OS_PATH_MAX];
    struct writer *w = NULL;
    struct buf *b = NULL;
    if (snprintf(path, sizeof path, "%s/holdfast-doctor", folder) >= (int)sizeof path)
        return trail(E_RANGE, "%s", folder);
    TRY(buf_take(KIB(4), &b));
    err e = writer_open(l, path, 1, NULL, 0, deadline, &w);
    if (e != OK) {
        buf_release(b);
        return e;
    }
    memset(b->at, 0, KIB(4));
    b->len = KIB(4);
    e = writer_append(w, b, false, deadline);
    if (e == OK)
        e = writer_flush(w, deadline);
    writer_close(w);
    return e;
}

static void tell_room(struct doctor *d, const struct doctor_probe *p, const char *subject, uint64_t room)
{
    uint64_t need = (uint64_t)d->db_bytes;
    if (need == 0)
        doctor_say(d, p, DOCTOR_GOOD, subject, "%" PRIu64 " MiB free", room >> 20);
    else if (room < need)
        doctor_say(d, p, DOCTOR_BAD, subject, "%" PRIu64 " MiB free, and the database has %" PRIu64 "; make room, or keep fewer",
                   room >> 20, need >> 20);
    else
        doctor_say(d, p, room < 2 * need ? DOCTOR_WARN : DOCTOR_GOOD, subject, "%" PRIu64 " MiB free: %" PRIu64 " snapshots",
                   room >> 20, room / need);
}

static void look_folder(struct doctor *d, const struct doctor_probe *p, struct lane *l, const char *subject, const char *path)
{
    struct os_stat s;
    uint64_t room = 0, all = 0;
    err e = file_stat(l, path, doctor_until(d), &s);
    if (e == E_ABSENT) {
        trail_clear();
        doctor_say(d, p, DOCTOR_WARN, subject, "%s is not there; the hub makes it when it starts", path);
        return;
    }
    if (e == OK && s.kind != OS_FOLDER) {
        doctor_say(d, p, DOCTOR_BAD, subject, "%s is not a folder; give one", path);
        return;
    }
    if (e == OK)
        e = try_writing(l, path, doctor_until(d));
    if (e != OK) {
        doctor_failed(d, p, DOCTOR_BAD, subject, e,
                      e == E_TIMEOUT || e == E_BUSY ? "the disk or its server does not answer" : "let this user write there");
        return;
    }
    doctor_say(d, p, DOCTOR_GOOD, subject, "%s can be written to", path);
    e = file_space(l, path, doctor_until(d), &room, &all);
    if (e == OK)
        tell_room(d, p, subject, room);
    else
        doctor_failed(d, p, DOCTOR_UNKNOWN, subject, e, "how much room there is cannot be told");
}

/* --- NFS --- */
static void look_server(struct doctor *d, const struct doctor_probe *p, const char *subject, const struct config_destination *to)
{
    struct addr at;
    err e = mount_server(d->dns, to->server, (uint16_t)to->port, doctor_until(d), &at);
    if (e == OK)
        doctor_say(d, p, DOCTOR_GOOD, subject, "%s answers; the hub mounts %s when it needs it", to->server, to->export);
    else
        doctor_failed(d, p, DOCTOR_BAD, subject, e, doctor_advice(e));
}

void doctor_judge_mount(const struct config_destination *to, const struct mount_state *s, struct doctor_mount *out)
{
    const struct mount_nfs m = {.server = to->server, .export = to->export};
    char wanted[MOUNT_SOURCE_MAX] = "";
    struct text words = text_over(out->words, sizeof out->words);
    bool is_it = mount_source(&m, wanted) == OK && strcmp(wanted, s->source) == 0;
    out->state = DOCTOR_BAD;
    if (!s->mounted) {
        text_addf(&words, "nothing is mounted on %s; mount %s there, or give mount: true", to->path, wanted);
    } else if (strncmp(s->type, "nfs", 3) != 0) {
        text_addf(&words, "%s (%s) is mounted on %s, and no NFS", s->source, s->type, to->path);
    } else if (is_it) {
        out->state = DOCTOR_GOOD;
        text_addf(&words, "%s is mounted on %s", s->source, to->path);
    } else if (to->mount) { /* the hub would not put its own over it */
        text_addf(&words, "%s is mounted on %s, and not %s; unmount it, or correct server and export", s->source, to->path,
                  wanted);
    } else { /* the same place may have many names */
        out->state = DOCTOR_WARN;
        text_addf(&words, "%s is mounted on %s; is that %s?", s->source, to->path, wanted);
    }
}

/* True: it is mounted as it should be. */
static bool look_mount(struct doctor *d, const struct doctor_probe *p, struct lane *l, const char *subject,
                       const struct config_destination *to)
{
    struct mount_state state;
    struct doctor_mount told;
    err e = mount_look(l, to->path, doctor_until(d), &state);
    if (e == OK && !state.mounted)
        e = mount_path_check(l, to->path, doctor_until(d));
    if (e == E_INVALID)
        doctor_failed(d, p, DOCTOR_BAD, subject, e, "give the path that it leads to");
    else if (e != OK)
        doctor_failed(d, p, DOCTOR_UNKNOWN, subject, e, "what is mounted cannot be told");
    else if (!state.mounted && to->mount)
        look_server(d, p, subject, to);
    if (e != OK || (!state.mounted && to->mount))
        return false;
    doctor_judge_mount(to, &state, &told);
    doctor_say(d, p, told.state, subject, "%s", told.words);
    return told.state != DOCTOR_BAD;
}

void doctor_destination(struct doctor *d, const struct doctor_probe *p)
{
    const struct config_destination *to = &d->config->backup.destinations[p->index];
    char subject[DOCTOR_SUBJECT_MAX];
    struct lane l;
    (void)snprintf(subject, sizeof subject, "destination %s", to->name);
    lane_open(&l, "doctor", mem_task(), 1);
    if (to->type != DESTINATION_NFS || look_mount(d, p, &l, subject, to))
        look_folder(d, p, &l, subject, to->path);
    lane_close(&l);
}
