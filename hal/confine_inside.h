/* confine_inside: what the files of confinement share.   Layer   hal, private.   The rest: as confine.h says. */
#ifndef HOLDFAST_CONFINE_INSIDE_H
#define HOLDFAST_CONFINE_INSIDE_H

#include "hal/confine.h"

#include "board/rt/os.h"

/* --- confine_files.c: Landlock --- */
struct confine_files {
    int abi;      /* 0: none here */
    int ruleset;  /* -1: none */
    bool open;    /* it leaves files alone: mounts are wanted */
    bool foreign; /* a CONFINE_WRITE path is another user's, and closed to us but for CAP_DAC_OVERRIDE */
    char why[96]; /* abi 0: why */
};
/* On a pool thread: opens every path and makes the ruleset. Replaces what was made before. */
MUST_USE err confine_files_make(const struct confine_options *o, struct confine_files *f);
/* On each thread, once. */
MUST_USE err confine_files_enter(const struct confine_files *f);
void confine_files_remember(const struct confine_options *o);

/* --- confine_calls.c: seccomp --- */
/* For all threads at once. E_ABSENT: the kernel has none, `why` says so. */
struct confine_calls {
    bool children, power, mounts; /* what is wanted of the calls that are only allowed for it */
};
MUST_USE err confine_calls(const struct confine_calls *wanted, struct text *why);

#endif
