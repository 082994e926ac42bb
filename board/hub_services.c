/* hub_services: what a hub opens where `data` and `listen` say: the lock, the listener, the store, the control socket. */
#include "board/hub.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <string.h>

#define START_MS_MAX SECONDS(30)
#define STOP_MS_MAX  SECONDS(7)

/* What it keeps can be made again from the destinations; a hub that cannot keep it is still a hub. */
static void open_store(struct hub_services *s)
{
    static const struct store_schema schema = {backup_schema};
    ms deadline = loop_now() + START_MS_MAX;
    err e = store_open(s->data, &schema, deadline, &s->store);
    if (e == E_CORRUPT) {
        log_error("the store is damaged: it is set aside as holdfast.db.damaged and begun anew", F("data", s->data), F_ERR(e));
        e = store_set_aside(s->data, deadline);
        if (e == OK)
            e = store_open(s->data, &schema, deadline, &s->store);
    }
    if (e != OK)
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
    if (s->open && strcmp(s->data, c->data) == 0 && addr_equal(&h->listen, &c->listen))
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
