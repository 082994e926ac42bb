/* sim_disk_names: folders. A change is atomic, but until its folder is synced it may be lost, alone or with others. */
#include "tests/sim/disk.h"

#include <stdio.h>
#include <string.h>

struct name *name_find(struct name *table, unsigned folder, const char *text, size_t len)
{
    for (size_t i = 0; i < disk->names_end; i++)
        if (table[i].used && table[i].folder == folder && strlen(table[i].text) == len && memcmp(table[i].text, text, len) == 0)
            return &table[i];
    return NULL;
}

unsigned path_find(const char *path, unsigned *folder, char leaf[OS_NAME_MAX])
{
    unsigned at = ROOT;
    *folder = ROOT;
    leaf[0] = 0;
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, "/");
        if (len > 0 && !(len == 1 && *p == '.')) {
            if (len >= OS_NAME_MAX || at == NO_INODE || !disk->inodes[at].folder) {
                *folder = NO_INODE;
                return NO_INODE;
            }
            *folder = at;
            snprintf(leaf, OS_NAME_MAX, "%.*s", (int)len, p);
            const struct name *n = name_find(disk->cached, at, p, len);
            at = n ? n->inode : NO_INODE;
        }
        p += len + (p[len] == '/');
    }
    return at;
}

static err name_put(struct name *table, const struct name *n)
{
    struct name *to = name_find(table, n->folder, n->text, strlen(n->text));
    unsigned i = 0;
    while (!to && i < disk->names_end && table[i].used)
        i++;
    if (!to && i == NAMES_MAX)
        return E_NOSPACE;
    if (!to) {
        disk->names_end += i == disk->names_end;
        to = &table[i];
    }
    *to = *n;
    to->used = true;
    return OK;
}

/* Out of order, `from` may by now be another file: then it stays. */
static err change_apply(struct name *table, const struct change *c)
{
    if (c->to.text[0])
        TRY(name_put(table, &c->to));
    struct name *from = c->from.text[0] ? name_find(table, c->from.folder, c->from.text, strlen(c->from.text)) : NULL;
    if (from && from->inode == c->from.inode)
        from->used = false;
    return OK;
}

static void journal_settle(size_t index)
{
    if (change_apply(disk->durable, &disk->journal[index]) != OK)
        sim_fail("more than %d names", NAMES_MAX);
    memmove(&disk->journal[index], &disk->journal[index + 1], (--disk->changes - index) * sizeof disk->journal[0]);
}

err name_change(const struct change *c)
{
    TRY(change_apply(disk->cached, c));
    if (disk->changes == CHANGES_MAX)
        journal_settle(0);
    disk->journal[disk->changes++] = *c;
    return OK;
}

err disk_create(unsigned folder, const char *leaf, bool is_folder, unsigned *out)
{
    inodes_collect();
    *out = inode_new(is_folder);
    if (*out == NO_INODE)
        return E_NOSPACE;
    disk->inodes[*out].modified_ms = os_wall_ms();
    struct change c = {.from.inode = NO_INODE, .to = {.folder = folder, .inode = *out}};
    memcpy(c.to.text, leaf, OS_NAME_MAX);
    return name_change(&c);
}

static bool touches(const struct change *c, unsigned folder)
{
    return (c->to.text[0] && c->to.folder == folder) || (c->from.text[0] && c->from.folder == folder);
}

void folder_settle(unsigned folder)
{
    for (size_t i = 0; i < disk->changes;)
        if (touches(&disk->journal[i], folder))
            journal_settle(i);
        else
            i++;
}

/* --- a power cut --- */
/* Half of the time as a journal does (a prefix), half as POSIX allows (any of them). */
static void names_cut(unsigned variant)
{
    size_t prefix = variant == 0 ? 0 : variant == 1 ? disk->changes : sim_draw(disk->changes + 1);
    bool any = variant > 1 && sim_chance(500);
    for (size_t i = 0; i < disk->changes; i++)
        if (any ? sim_chance(500) : i < prefix)
            if (change_apply(disk->durable, &disk->journal[i]) != OK)
                sim_fail("more than %d names", NAMES_MAX);
    disk->changes = 0;
}

static bool is_reachable(unsigned folder, unsigned depth)
{
    for (size_t i = 0; folder != ROOT && depth < 32; i++, depth++) {
        for (i = 0; i < disk->names_end && !(disk->durable[i].used && disk->durable[i].inode == folder); i++)
            ;
        if (i == disk->names_end)
            return false;
        folder = disk->durable[i].folder;
    }
    return folder == ROOT;
}

void names_power_cut(unsigned variant)
{
    names_cut(variant);
    for (size_t i = 0; i < disk->names_end; i++) {
        struct name *n = &disk->durable[i];
        n->used = n->used && is_reachable(n->folder, 0);
    }
    memcpy(disk->cached, disk->durable, disk->names_end * sizeof disk->cached[0]);
}

/* --- for setup and checks --- */
void sim_disk_folder(const char *path)
{
    unsigned folder, inode;
    char leaf[OS_NAME_MAX] = "";
    if (path_find(path, &folder, leaf) == NO_INODE && (folder == NO_INODE || disk_create(folder, leaf, true, &inode) != OK))
        sim_fail("cannot make %s", path);
    disk_settle_all();
}

void sim_disk_put(const char *path, struct bytes content)
{
    unsigned folder;
    char leaf[OS_NAME_MAX] = "";
    unsigned inode = path_find(path, &folder, leaf);
    if (inode == NO_INODE && (folder == NO_INODE || disk_create(folder, leaf, false, &inode) != OK))
        sim_fail("cannot make %s", path);
    disk->inodes[inode].bytes = 0;
    if (inode_write(&disk->inodes[inode], 0, content.at, content.len) != OK)
        sim_fail("no room for %s", path);
    disk_settle_all();
}

bool sim_disk_get(const char *path, void *into, size_t cap, size_t *len)
{
    unsigned folder;
    char leaf[OS_NAME_MAX] = "";
    unsigned inode = path_find(path, &folder, leaf);
    if (inode == NO_INODE || disk->inodes[inode].folder)
        return false;
    *len = (size_t)disk->inodes[inode].bytes;
    inode_read(&disk->inodes[inode], 0, into, size_min(cap, *len));
    return true;
}

const char *sim_disk_name(const char *path, unsigned index)
{
    unsigned folder;
    char leaf[OS_NAME_MAX] = "";
    unsigned inode = path_find(path, &folder, leaf);
    for (size_t i = 0; i < disk->names_end; i++)
        if (inode != NO_INODE && disk->cached[i].used && disk->cached[i].folder == inode && index-- == 0)
            return disk->cached[i].text;
    return NULL;
}

unsigned sim_disk_names(const char *folder)
{
    unsigned count = 0;
    while (sim_disk_name(folder, count))
        count++;
    return count;
}
