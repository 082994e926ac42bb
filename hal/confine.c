/* confine: the order of giving up, and what each thread does of it. */
#include "hal/confine_inside.h"

#include "board/rt/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#define CAPABILITY_LAST 63 /* of the two words that capset(2) takes */

static struct {
    struct confine_options options;
    struct confine_path paths[CONFINE_PATHS_MAX];
    char storage[CONFINE_PATHS_MAX][OS_PATH_MAX]; /* a job that hangs may still read them */
    struct confine_files files;
    uint64_t keep;
    struct lane lane;
    bool holds[CONFINE_LAYER_COUNT];
} state = {.files = {.ruleset = -1}};

static _Thread_local bool entered; /* this thread has given up its part */

const char *confine_layer_name(enum confine_layer l)
{
    static const char *const names[] = {
#define X(layer, name) name,
        CONFINE_LAYERS(X)
#undef X
    };
    return names[l];
}

bool confine_holds(enum confine_layer l)
{
    return state.holds[l];
}

static err refused(const char *what)
{
    return trail(E_IO, "giving up privileges: %s: %s", what, strerror(errno));
}

/* --- each thread's own --- */
static uint64_t permitted(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
    if (syscall(SYS_capget, &header, sets) != 0)
        return 0;
    return sets[0].permitted | (uint64_t)sets[1].permitted << 32;
}

static err bounding_drop(uint64_t keep, bool may)
{
    for (unsigned long c = 0; c <= CAPABILITY_LAST; c++) {
        if (keep & (uint64_t)1 << c || prctl(PR_CAPBSET_READ, c, 0, 0, 0) <= 0) /* < 0: this kernel has fewer */
            continue;
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) != 0 && may)
            return refused("the capability bounding set");
    }
    return OK;
}

static err capabilities_drop(uint64_t keep)
{
    uint64_t held = permitted();
    keep &= held;
    TRY(bounding_drop(keep, (held & (uint64_t)1 << CAP_SETPCAP) != 0));
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* EINVAL before Linux 4.3, which had none */
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = (uint32_t)keep, .permitted = (uint32_t)keep},
        {.effective = (uint32_t)(keep >> 32), .permitted = (uint32_t)(keep >> 32)}};
    return syscall(SYS_capset, &header, sets) == 0 ? OK : refused("capset");
}

static err enter(void *arg)
{
    (void)arg;
    if (entered)
        return OK;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return refused("no_new_privs");
    TRY(capabilities_drop(state.keep));
    TRY(confine_files_enter(&state.files));
    entered = true;
    return OK;
}

/* --- the whole --- */
static err core_dumps_off(void)
{
    struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return refused("PR_SET_DUMPABLE");
    return setrlimit(RLIMIT_CORE, &none) == 0 ? OK : refused("RLIMIT_CORE");
}

static void copy_options(const struct confine_options *o)
{
    ASSERT(o->path_count <= CONFINE_PATHS_MAX && o->tcp_port_count <= CONFINE_PORTS_MAX);
    state.options = *o;
    state.options.paths = state.paths;
    for (size_t i = 0; i < o->path_count; i++) {
        (void)snprintf(state.storage[i], OS_PATH_MAX, "%s", o->paths[i].path);
        state.paths[i] = (struct confine_path){state.storage[i], o->paths[i].access};
    }
    confine_files_remember(&state.options);
}

static err make_job(void *job)
{
    (void)job;
    return confine_files_make(&state.options, &state.files);
}

/* A path on a dead mount may hang here; then the lane refuses with E_BUSY until the thread comes back. */
static err look_up(const struct confine_options *o)
{
    char unused = 0;
    if (!state.lane.open)
        lane_open(&state.lane, "confinement", TASK_BOARD, 1);
    if (!state.lane.written_off)
        copy_options(o);
    return trail(lane_call(&state.lane, make_job, &unused, sizeof unused, NULL, o->deadline), "looking up what may be used");
}

bool confine_allows_mounts(void)
{
    return !state.holds[CONFINE_NO_NEW_PRIVS] || state.options.mounts;
}

static err enter_all(const struct confine_options *o)
{
    uint64_t else_keep = state.files.foreign ? o->capabilities_else : 0;
    state.keep = o->capabilities | else_keep;
    TRY(trail(os_offload_each(enter, NULL, o->deadline), "confining the pool's threads"));
    return enter(NULL);
}

err confine(const struct confine_options *o, struct text *missing)
{
    TRY(look_up(o));
    TRY(core_dumps_off());
    state.holds[CONFINE_CORE_DUMPS] = true;
    TRY(enter_all(o));
    state.holds[CONFINE_NO_NEW_PRIVS] = state.holds[CONFINE_CAPABILITIES] = true;
    state.holds[CONFINE_LANDLOCK] = state.files.abi > 0 && !state.files.open;
    if (state.files.abi == 0)
        text_addf(missing, "Landlock (%s): files are as open as their modes", state.files.why);
    else if (state.files.open)
        text_add(missing, "Landlock for files (it forbids mounting): files are as open as their modes");
    else if (state.files.abi < 4)
        text_addf(missing, "Landlock for ports (ABI %d, 4 is needed)", state.files.abi);
    char why[96];
    struct text words = text_over(why, sizeof why);
    const struct confine_calls wanted = {
        .children = o->children, .power = (state.keep & (uint64_t)1 << CAP_SYS_BOOT) != 0, .mounts = o->mounts};
    err e = state.holds[CONFINE_SECCOMP] ? OK : confine_calls(&wanted, &words);
    if (e == E_ABSENT)
        text_addf(missing, "%sseccomp (%s)", missing->len ? "; " : "", why);
    state.holds[CONFINE_SECCOMP] = e == OK;
    return e == E_ABSENT ? OK : e;
}
