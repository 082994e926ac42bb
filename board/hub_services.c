/* hub_services: what a hub opens where `data` and `listen` say: the lock, the listener, the store, the control socket. */
#include "board/hub.h"

#include "board/rt/log.h"
#include "board/rt/text.h"

#include <stdio.h>
#include <string.h>

#define START_MS_MAX SECONDS(30)
#define STOP_MS_MAX  SECONDS(7)

static err check_row(void *arg, const struct store_value *columns, size_t count)
{
    struct bytes told = columns[0].bytes;
    (void)arg;
    ASSERT(count == 1);
    return bytes_equal_text(told, "ok") ? OK : trail(E_CORRUPT, "%.*s", (int)told.len, (const char *)told.at);
}

static err check_work(struct store_tx *tx, void *arg)
{
    return store_query(tx, "PRAGMA quick_check(1)", NULL, 0, check_row, arg);
}

/* All of it is read once: damage is found now, when it can be begun anew. */
static err open_whole(struct hub_services *s, const struct store_schema *schema, ms deadline)
{
    TRY(store_open(s->data, schema, deadline, &s->store));
    err e = store_read(s->store, check_work, NULL, 0, deadline);
    if (e != E_CORRUPT)
        return e;
    store_close(s->store, deadline);
    s->store = NULL;
    return e;
}

/* What it keeps can be made again from the destinations; a hub that cannot keep it is still a hub. */
static void open_store(struct hub_services *s)
{
    static const struct store_schema schema = {backup_schema};
    ms deadline = loop_now() + START_MS_MAX;
    err e = open_whole(s, &schema, deadline);
    if (e == E_CORRUPT) {
        log_error("the store is damaged: it is set aside as holdfast.db.damaged and begun anew", F("data", s->data), F_ERR(e));
        e = store_set_aside(s->data, deadline);
        if (e == OK)
            e = open_whole(s, &schema, deadline);
    }
    if (s->store == NULL)
        log_error("no store: the hub goes on without what it remembers", F("data", s->data), F_ERR(e));
    trail_clear();
}

static err open_all(struct hub *h, const struct config *c)
{
    struct hub_services *s = &h->services;
    TRY(control_lock_take(&s->lock, s->data, loop_now() + START_MS_MAX));
    TRY(hub_listen(h, &c->listen));
    open_store(s);
    return hub_control_start(h, s->data, &s->control);
}

err services_start(struct hub *h, const struct config *c)
{
    struct hub_services *s = &h->services;
    if (s->open && h->metrics && strcmp(s->data, c->data) == 0 && addr_equal(&h->listen, &c->listen))
        return OK;
    if (confine_holds(CONFINE_SECCOMP) || confine_holds(CONFINE_LANDLOCK))
        return trail(E_CONFIG, "restart needed: data or listen changed");
    services_stop(h, loop_now() + STOP_MS_MAX);
    (void)snprintf(s->data, sizeof s->data, "%s", c->data);
    s->lock = (struct control_lock){.fd = -1};
    s->open = true;
    err e = open_all(h, c);
    if (e != OK)
        services_stop(h, loop_now() + STOP_MS_MAX);
    return e;
}

void services_stop(struct hub *h, ms deadline)
{
    struct hub_services *s = &h->services;
    if (!s->open)
        return;
    control_stop(s->control, deadline);
    store_close(s->store, deadline);
    control_lock_give(&s->lock);
    *s = (struct hub_services){0};
}
