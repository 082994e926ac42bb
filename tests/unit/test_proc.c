/* Child processes: how they end, what they say, what they inherit, and how they are ended. */
#include "tests/support/skip.h"
#include "tests/unit/check.h"

#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON    (loop_now() + SECONDS(60))
#define SAY_MAX 4096

/* All it says, until the end of its output. */
static size_t listen_to(struct proc *p, char say[SAY_MAX])
{
    size_t len = 0, got = 1;
    while (got > 0 && len < SAY_MAX - 1) {
        CHECK(sock_read(&p->output, say + len, SAY_MAX - 1 - len, SOON, &got) == OK);
        len += got;
    }
    say[len] = 0;
    return len;
}

static err spawn_shell(struct proc *p, const char *script)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const char *const envp[] = {"HELLO=world", NULL};
    return proc_spawn(p, argv, envp);
}

struct end_case {
    const char *name, *script, *says;
    int status;
};
static const struct end_case end_cases[] = {
    {"exit 0", "exit 0", "", 0},
    {"exit code", "exit 7", "", 7},
    {"killed", "kill -9 $$", "", 128 + SIGKILL},
    {"both outputs", "echo out; echo err >&2", "out\nerr\n", 0},
    {"only the given environment", "env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=", "HELLO=world\n", 0},
    {"stdin is empty", "cat; echo end", "end\n", 0},
    {"leads its group", "test $(ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat) -eq $$ && echo yes", "yes\n", 0},
};

static err end_body(void *arg)
{
    const struct end_case *c = arg;
    struct proc p;
    char say[SAY_MAX];
    int status;
    CHECK(spawn_shell(&p, c->script) == OK);
    (void)listen_to(&p, say);
    CHECK(strcmp(say, c->says) == 0);
    CHECK(proc_wait(&p, SOON, &status) == OK);
    CHECK(status == c->status);
    CHECK(proc_wait(&p, SOON, &status) == OK && status == c->status); /* still known */
    proc_close(&p);
    proc_close(&p);
    CHECK(proc_wait(&p, SOON, &status) == E_ABSENT);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD); /* no zombie */
    trail_clear();
    return OK;
}

static void children_end_and_tell(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(end_cases); i++) {
        print_message("%s\n", end_cases[i].name);
        fibers_run(end_body, (void *)(uintptr_t)&end_cases[i], OK);
    }
}

static err refused_body(void *arg)
{
    (void)arg;
    struct proc p;
    const char *const none[] = {"/nonexistent/program", NULL}, *const folder[] = {"/etc", NULL}, *const relative[] = {"sh", NULL};
    CHECK(proc_spawn(&p, none, NULL) == E_ABSENT);
    CHECK(proc_spawn(&p, folder, NULL) == E_DENIED);
    CHECK(proc_spawn(&p, relative, NULL) == E_INVALID);
    proc_close(&p);
    trail_clear();
    struct proc many[PROC_MAX];
    for (size_t i = 0; i < PROC_MAX; i++)
        CHECK(spawn_shell(&many[i], "exec sleep 100") == OK);
    CHECK(spawn_shell(&p, "exit 0") == E_BUDGET);
    trail_clear();
    for (size_t i = 0; i < PROC_MAX; i++)
        proc_close(&many[i]); /* kills */
    int status;
    err e = E_BUDGET;
    for (ms give_up = SOON; e == E_BUDGET && loop_now() < give_up;) { /* reaped by the loop */
        e = spawn_shell(&p, "exit 3");
        CHECK(fiber_sleep(loop_now() + 1) == OK);
    }
    trail_clear();
    CHECK(e == OK && proc_wait(&p, SOON, &status) == OK && status == 3);
    proc_close(&p);
    ms give_up = SOON;
    while (waitpid(-1, NULL, WNOHANG) == 0 && loop_now() < give_up)
        CHECK(fiber_sleep(loop_now() + 1) == OK);
    CHECK(loop_now() < give_up);
    return OK;
}

static void what_cannot_start_says_why(void **state)
{
    (void)state;
    fibers_run(refused_body, NULL, OK);
}

/* --- the deadline --- */

struct group_case {
    const char *name, *script;
    int status;
    ms least;
};
static const struct group_case group_cases[] = {
    {"ends by SIGTERM", "sleep 100 & echo $!; wait", 128 + SIGTERM, 0},
    {"its grandchild ignores SIGTERM", "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & wait", 128 + SIGTERM, 0},
    {"ignores SIGTERM itself", "trap '' TERM; sleep 100 & echo $!; while :; do sleep 0.1; done", 128 + SIGKILL, SECONDS(2)},
};

static bool is_running(int pid)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return false;
    int fields = fscanf(f, "%*d (%*[^)]) %c", &state);
    fclose(f);
    return fields == 1 && state != 'Z' && state != 'X';
}

static err group_body(void *arg)
{
    const struct group_case *c = arg;
    struct proc p;
    char say[32];
    size_t got;
    int status;
    CHECK(spawn_shell(&p, c->script) == OK);
    CHECK(sock_read(&p.output, say, sizeof say - 1, SOON, &got) == OK && got > 0);
    say[got < sizeof say ? got : 0] = 0;
    int grandchild = atoi(say);
    CHECK(grandchild > 1 && is_running(grandchild));
    ms before = loop_now();
    CHECK(proc_wait(&p, loop_now() + 10, &status) == E_TIMEOUT);
    trail_clear();
    CHECK(status == c->status);
    CHECK(loop_now() - before >= c->least && loop_now() - before < c->least + SECONDS(15));
    proc_close(&p);
    ms give_up = SOON;
    while (is_running(grandchild) && loop_now() < give_up)
        CHECK(fiber_sleep(loop_now() + 1) == OK);
    CHECK(!is_running(grandchild));
    return OK;
}

static void a_deadline_ends_the_whole_group(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(group_cases); i++) {
        print_message("%s\n", group_cases[i].name);
        fibers_run(group_body, (void *)(uintptr_t)&group_cases[i], OK);
    }
}

/* --- nothing leaks into it --- */

#define LIBC_SIGNALS_NONE 0x7fffffffull /* 32 and 33 are the C library's own */

static err leak_body(void *arg)
{
    (void)arg;
    enum { MANY = 3000 };
    static os_fd open_fds[MANY];
    struct rlimit files;
    struct proc p;
    char say[SAY_MAX];
    int status;
    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    size_t opened = 0;
    while (opened < MANY && os_file_open("/dev/null", OS_READ, &open_fds[opened]) == OK)
        opened++;
    CHECK(opened == MANY || files.rlim_cur < MANY + 64);
    CHECK(spawn_shell(&p, "ls /proc/$$/fd | tr '\\n' ' '; cat /proc/$$/status | grep -e ^SigBlk -e ^SigIgn") == OK);
    (void)listen_to(&p, say);
    unsigned long long blocked = 1, ignored = 1;
    const char *fields = strchr(say, 'S');
    CHECK(fields != NULL && sscanf(fields, "SigBlk: %llx SigIgn: %llx", &blocked, &ignored) == 2);
    CHECK(strncmp(say, "0 1 2 ", 6) == 0 && fields - say <= 12); /* at most the shell's own and the listing's besides */
    CHECK(blocked == 0 && (ignored & LIBC_SIGNALS_NONE) == 0);
    CHECK(proc_wait(&p, SOON, &status) == OK && status == 0);
    proc_close(&p);
    while (opened > 0)
        os_file_close(open_fds[--opened]);
    return OK;
}

static void a_child_inherits_neither_files_nor_signals(void **state)
{
    (void)state;
    fibers_run(leak_body, NULL, OK);
}

/* --- orphans --- */

static err orphan_body(void *arg)
{
    (void)arg;
    struct proc p;
    char say[32];
    size_t got;
    int status;
    CHECK(proc_reap_orphans() == 0); /* not ours to reap */
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    CHECK(spawn_shell(&p, "sleep 0.05 >/dev/null 2>&1 & echo $!; exit 5") == OK);
    CHECK(sock_read(&p.output, say, sizeof say - 1, SOON, &got) == OK && got > 0);
    say[got < sizeof say ? got : 0] = 0;
    int orphan = atoi(say);
    ms give_up = SOON; /* the loop reaps on SIGCHLD, ours too when it comes first */
    while (kill(orphan, 0) == 0 && loop_now() < give_up)
        CHECK(fiber_sleep(loop_now() + 1) == OK);
    CHECK(kill(orphan, 0) == -1);
    CHECK(proc_wait(&p, SOON, &status) == OK && status == 5); /* not lost to the reaping */
    proc_close(&p);
    CHECK(spawn_shell(&p, "sleep 0.05; exit 6") == OK);
    CHECK(proc_wait(&p, SOON, &status) == OK && status == 6); /* its end and SIGCHLD come in one turn */
    proc_close(&p);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
    return OK;
}

static void orphans_are_reaped_and_ours_are_kept(void **state)
{
    (void)state;
    if (prctl(PR_SET_CHILD_SUBREAPER, 0) != 0)
        SKIP_BECAUSE("no subreaper here (emulation)");
    fibers_run(orphan_body, NULL, OK);
}

int main(void)
{
    (void)signal(SIGCHLD, SIG_IGN); /* as a careless parent leaves it */
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_end_and_tell),
        cmocka_unit_test(what_cannot_start_says_why),
        cmocka_unit_test(a_deadline_ends_the_whole_group),
        cmocka_unit_test(a_child_inherits_neither_files_nor_signals),
        cmocka_unit_test(orphans_are_reaped_and_ours_are_kept),
    };
    return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
