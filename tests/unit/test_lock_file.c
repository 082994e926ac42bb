/* The lock of a folder: one holder at a time, whose id is told; it ends with its process, however that ended. */
#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "hal/lock_file.h"
#include "tests/unit/check.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON (loop_now() + SECONDS(10))

static char folder[] = "/tmp/holdfast-lock-XXXXXX", path[sizeof folder + 8];
static struct lane lane;
static pid_t other; /* a process that holds it */

static err take(os_fd *fd, uint64_t *holder)
{
    *holder = 0;
    return lock_file_open(&lane, path, true, SOON, fd, holder);
}

static err one_holds_it(void *arg)
{
    os_fd one, two;
    uint64_t holder;
    struct stat s;
    (void)arg;
    CHECK(take(&one, &holder) == OK && one >= 0);
    CHECK(stat(path, &s) == 0 && (s.st_mode & 07777) == 0600);
    CHECK(take(&two, &holder) == E_BUSY && two == -1 && holder == (uint64_t)getpid());
    trail_clear();
    os_file_close(one);
    CHECK(take(&two, &holder) == OK);
    os_file_close(two);
    return OK;
}

static err after_a_kill(void *arg)
{
    os_fd fd;
    uint64_t holder;
    (void)arg;
    CHECK(take(&fd, &holder) == E_BUSY && fd == -1);
    trail_clear();
    CHECK(kill(other, SIGKILL) == 0 && waitpid(other, NULL, 0) == other);
    CHECK(take(&fd, &holder) == OK);
    os_file_close(fd);
    return OK;
}

static err no_words_in_it(void *arg)
{
    os_fd fd;
    uint64_t holder;
    (void)arg;
    CHECK(take(&fd, &holder) == E_BUSY && holder == 0);
    trail_clear();
    return OK;
}

static err no_lock(void *arg)
{
    os_fd fd;
    (void)arg;
    CHECK(lock_file_open(&lane, folder, false, SOON, &fd, NULL) == OK && fd >= 0); /* to read: a folder, too */
    os_file_close(fd);
    CHECK(lock_file_open(&lane, "/proc/nothing/here", true, SOON, &fd, NULL) != OK && fd == -1);
    trail_clear();
    CHECK(lock_file_open(&lane, "/proc/nothing/here", false, SOON, &fd, NULL) == E_ABSENT && fd == -1);
    trail_clear();
    return OK;
}

/* Without its id in it: as one that was killed between the two. */
static void hold_it(void)
{
    int ends[2];
    char ready;
    assert_int_equal(pipe(ends), 0);
    other = fork();
    if (other == 0) {
        os_fd fd;
        if (os_file_open(path, OS_WRITE, &fd) == OK && os_file_truncate(fd, 0) == OK && os_file_lock(fd) == OK &&
            write(ends[1], "r", 1) == 1)
            pause();
        _exit(1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &ready, 1), 1);
    close(ends[0]);
}

static void run(err (*body)(void *arg))
{
    lane_open(&lane, "lock", mem_task(), 1);
    fibers_run(body, NULL, OK);
    lane_close(&lane);
}

static void every_case(void **state)
{
    (void)state;
    run(one_holds_it);
    run(no_lock);
    hold_it();
    run(no_words_in_it);
    run(after_a_kill);
}

static int make_folder(void **state)
{
    (void)state;
    bool made = mkdtemp(folder) != NULL;
    (void)snprintf(path, sizeof path, "%s/a.lock", folder);
    return made ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return unlink(path) == 0 && rmdir(folder) == 0 ? 0 : -1;
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
