/* hub_ingest: the ingest agent of a configuration: its fiber, its line of /readyz, what `holdfast ingest status` asks. */
#include "board/etcd_answer.h"
#include "board/hub.h"

#include "board/rt/buf.h"
#include "board/rt/log.h"

#define STATUS_BYTES KIB(255)

err hub_ingest_start(struct hub *h)
{
    struct hub_epoch *e = &h->epoch;
    char name[GUARDIAN_NAME_MAX / 2];
    group_open(&e->streams, TASK_INGEST);
    if (!e->config->ingest.enabled)
        return OK;
    struct ingest_options o = {
        .config = e->config, .dns = h->dns, .version = version_text(), .host = etcd_host_name(name, sizeof name)};
    mem_set_task(TASK_INGEST); /* its buffers are its own */
    err opened = ingest_open(&o, &e->ingest);
    mem_set_task(TASK_BOARD);
    TRY(opened);
    e->lines[e->line_count++] = (struct ready_line){"ingest", ingest_is_well, e->ingest};
    return group_spawn(&e->streams, "ingest", ingest_run, e->ingest);
}

void hub_ingest_stop(struct hub *h, ms deadline)
{
    struct hub_epoch *e = &h->epoch;
    err ended = group_join(&e->streams, deadline);
    if (ended == E_TIMEOUT)
        log_error("the ingest agent did not end in time", F_ERR(ended));
    group_close(&e->streams);
    struct ingest *ingest = e->ingest;
    e->ingest = NULL; /* `ingest status` may ask while it closes */
    ingest_close(ingest);
}

err hub_ingest_status(void *arg, struct http_exchange *x)
{
    const struct hub *h = arg;
    struct buf *b = NULL;
    if (!h->epoch.ingest)
        return control_result(x, NULL, "this hub does not ingest: ingest.enabled is false in its configuration", EXIT_WRONG_USE);
    TRY(buf_take(STATUS_BYTES, &b));
    struct text t = text_over((char *)b->at, b->cap);
    struct json_writer w = json_write_to(&t);
    char words[256];
    struct text why = text_over(words, sizeof words);
    ingest_status_json(h->epoch.ingest, &w);
    bool well = ingest_is_well(h->epoch.ingest, &why);
    err e = json_done(&w) ? control_result(x, t.at, NULL, well ? EXIT_GOOD : EXIT_BAD)
                          : control_result(x, NULL, "the answer is too long", EXIT_CANNOT_TELL);
    buf_release(b);
    return e;
}
