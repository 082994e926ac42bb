#include "tests/support/wired.h"

static err serve(void *arg)
{
    struct wired *w = arg;
    return server_run(&w->server, pipe_stream(&w->pipe, 1));
}

err wired_open(struct wired *w, size_t pipe_bytes_max, size_t window_bytes)
{
    group_open(&w->group, TASK_METRICS);
    TRY(pipe_open(&w->pipe, pipe_bytes_max));
    TRY(group_spawn(&w->group, "test server", serve, w));
    return h2_open(pipe_stream(&w->pipe, 0), "http", "etcd.test:2379", window_bytes, loop_now() + SECONDS(5), &w->h2);
}

void wired_close(struct wired *w)
{
    h2_close(w->h2);
    w->h2 = NULL;
    group_close(&w->group);
}
