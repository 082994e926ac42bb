#include "agents/ingest/fence.h"

#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "tests/support/pipe.h"
#include "tests/unit/check.h"

#include <string.h>

static ms until;

static ms told(const void *arg)
{
    return *(const ms *)arg;
}

static const struct {
    const char *name;
    ms from_now; /* when it shuts */
    err want;
} writes[] = {
    {"held for long", HOURS(1), OK},
    {"ended now", 0, E_CLOSED},
    {"ended", -1, E_CLOSED},
    {"held again", MINUTES(1), OK},
};

/* What was refused does not come later either, and reading goes on. */
static err writes_run(void *arg)
{
    struct pipe p;
    struct stream *s = NULL, *far;
    char got[64];
    size_t n = 0, passed = 0;
    (void)arg;
    CHECK(pipe_open(&p, KIB(1)) == OK);
    far = pipe_stream(&p, 1);
    CHECK(fence_put(pipe_stream(&p, 0), told, &until, &s) == OK);
    for (size_t i = 0; i < COUNT_OF(writes); i++) {
        until = os_mono() + writes[i].from_now;
        err e = stream_write(s, "x", 1, loop_now() + SECONDS(1));
        if (e != writes[i].want)
            print_error("%s: %s\n", writes[i].name, err_name(e));
        CHECK(e == writes[i].want);
        passed += e == OK;
    }
    until = 0;
    CHECK(stream_write(s, "y", 1, loop_now() + SECONDS(1)) == E_CLOSED);
    CHECK(stream_end(s, loop_now() + SECONDS(1)) == E_CLOSED);
    CHECK(stream_read(far, got, sizeof got, loop_now() + SECONDS(1), &n) == OK && n == passed && memcmp(got, "xx", n) == 0);
    CHECK(stream_write(far, "answer", 6, loop_now() + SECONDS(1)) == OK);
    CHECK(stream_read(s, got, sizeof got, loop_now() + SECONDS(1), &n) == OK && n == 6);
    stream_close(s);
    stream_close(far);
    trail_clear();
    return OK;
}

static void a_fence_is_shut_in_time(void **state)
{
    (void)state;
    fibers_run(writes_run, NULL, OK);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_hub64, MEM_LAZY) == OK && buf_boot() == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_fence_is_shut_in_time)};
    return cmocka_run_group_tests(tests, boot, NULL);
}
