/* doctor: how lines are told. The probes meet real peers in tests/e2e/test_doctor.py. */
#include "board/doctor.h"

#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "config/config.h"
#include "hal/mount.h"
#include "tests/unit/check.h"

#include <string.h>

static const struct doctor_probe probe = {.order = 1};

/* What a peer says is harmless on a terminal. */
static err words_are_harmless(void *arg)
{
    struct doctor *d = arg;
    d->deadline = loop_now() + SECONDS(1);
    doctor_say(d, &probe, DOCTOR_BAD, "a", "%s", "\x1b[2Jone\ntwo\x7fthree\xc3\xa9");
    CHECK(d->line_count == 1 && strcmp(d->lines[0].words, " [2Jone two three\xc3\xa9") == 0);
    return OK;
}

static const struct {
    const char *name;
    err error;
    enum doctor_state state, wanted;
    bool late;
    const char *words;
} failures[] = {
    {"in time", E_TIMEOUT, DOCTOR_BAD, DOCTOR_BAD, false, "look"},
    {"no time was left", E_TIMEOUT, DOCTOR_BAD, DOCTOR_UNKNOWN, true, "time was used up"},
    {"no time was left for what is only doubtful", E_TIMEOUT, DOCTOR_WARN, DOCTOR_WARN, true, "time was used up"},
    {"another fault, late", E_REFUSED, DOCTOR_BAD, DOCTOR_BAD, true, "look"},
};

/* A thing is not called bad because others took the time. */
static err late_is_unknown(void *arg)
{
    struct doctor *d = arg;
    for (size_t i = 0; i < COUNT_OF(failures); i++) {
        d->line_count = 0;
        d->deadline = failures[i].late ? loop_now() - 1 : loop_now() + SECONDS(60);
        doctor_failed(d, &probe, failures[i].state, "a", trail(failures[i].error, "asking"), "look");
        bool good = d->lines[0].state == failures[i].wanted && strstr(d->lines[0].words, failures[i].words);
        if (!good)
            print_error("%s: %s\n", failures[i].name, d->lines[0].words);
        CHECK(good);
    }
    return OK;
}

static const struct {
    const char *name;
    bool mount; /* as it is configured */
    struct mount_state found;
    enum doctor_state wanted;
    const char *words;
} mounts[] = {
    {"as it should be", true, {true, "nfs4", "nas:/x"}, DOCTOR_GOOD, "nas:/x is mounted on /m"},
    {"mounted by others", false, {true, "nfs", "nas:/x"}, DOCTOR_GOOD, "nas:/x is mounted on /m"},
    {"none", false, {false, "", ""}, DOCTOR_BAD, "mount nas:/x there"},
    {"no NFS", true, {true, "ext4", "/dev/sda1"}, DOCTOR_BAD, "and no NFS"},
    {"another export", true, {true, "nfs4", "nas:/y"}, DOCTOR_BAD, "nas:/y is mounted on /m, and not nas:/x"},
    {"another name of it", false, {true, "nfs4", "10.0.0.2:/x"}, DOCTOR_WARN, "is that nas:/x?"},
};

static void mounts_are_judged(void **state)
{
    struct config_destination to = {.server = "nas", .export = "/x", .path = "/m"};
    struct doctor_mount told;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(mounts); i++) {
        to.mount = mounts[i].mount;
        doctor_judge_mount(&to, &mounts[i].found, &told);
        if (told.state != mounts[i].wanted || !strstr(told.words, mounts[i].words))
            fail_msg("%s: %d, %s", mounts[i].name, told.state, told.words);
    }
}

static struct doctor d;

static void harmless(void **state)
{
    (void)state;
    fibers_run(words_are_harmless, &d, OK);
}

static void late(void **state)
{
    (void)state;
    fibers_run(late_is_unknown, &d, OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(harmless), cmocka_unit_test(late), cmocka_unit_test(mounts_are_judged)};
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
