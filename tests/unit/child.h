/* child: runs a function in a child process, for what ends a process or may happen once in one.
 *
 * Layer    tests.   Blocks   until the child ended.   Memory   the caller's `said`.   Errors   the wait status.
 * The child's stderr is returned; it exits 0 when the function returns. Under AddressSanitizer abort() stays SIGABRT. */
#ifndef HOLDFAST_TEST_CHILD_H
#define HOLDFAST_TEST_CHILD_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_TEXT_MAX 8192

static inline void child_be(void (*run)(void), const int ends[2])
{
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGABRT, SIG_DFL); /* the test runner's handler would go on with the next test */
    dup2(ends[1], STDERR_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    run();
    _exit(0);
}

/* Returns 0 when it ran to its end, its exit code, or 1000 + the signal that ended it. */
static inline int child_run(void (*run)(void), char said[CHILD_TEXT_MAX])
{
    int ends[2], status;
    size_t len = 0;
    ssize_t n = pipe(ends);
    fflush(stdout);
    pid_t child = n == 0 ? fork() : -1;
    if (child < 0)
        return -1;
    if (child == 0)
        child_be(run, ends);
    close(ends[1]);
    while ((n = read(ends[0], said + len, CHILD_TEXT_MAX - 1 - len)) > 0)
        len += (size_t)n;
    said[len] = 0;
    close(ends[0]);
    if (waitpid(child, &status, 0) != child)
        return -1;
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

#endif
