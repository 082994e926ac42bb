# SQLite: the amalgamation is made once by its own build and shared by all variants; here it is compiled with our options.
sqlite3_options=(
    -DSQLITE_THREADSAFE=1            # a reader and a writer connection, on two threads
    -DSQLITE_OS_OTHER=1              # our VFS only; the program defines sqlite3_os_init and sqlite3_os_end
    -DSQLITE_OMIT_LOAD_EXTENSION     # no dlopen in a static program
    -DSQLITE_OMIT_DEPRECATED
    -DSQLITE_OMIT_SHARED_CACHE
    -DSQLITE_OMIT_AUTOINIT           # sqlite3_initialize() is called at boot, in the right task
    -DSQLITE_DQS=0                   # "x" is a name, never a string
    -DSQLITE_DEFAULT_MEMSTATUS=1     # memory use is a metric
    -DSQLITE_TEMP_STORE=3            # temporary tables in memory, which is bounded
    -DSQLITE_MAX_EXPR_DEPTH=0        # all SQL is ours
    -DSQLITE_MAX_MMAP_SIZE=0         # no mapped files: no SIGBUS
)

sqlite3_amalgamation() {
    local made=$1 work=$1.part
    rm -rf "$work"
    unpack sqlite3 "$work"
    (
        cd "$work"
        ./configure --disable-tcl && make sqlite3.c
    ) >"$made.log" 2>&1 || { tail -n 40 "$made.log"; exit 1; }
    mkdir -p "$work/made"
    mv "$work"/sqlite3.[ch] "$work/made/"
    mv -T "$work/made" "$made"
    rm -rf "$work" "$made.log"
}

build_sqlite3() {
    local made key
    key=$({ dep_sum sqlite3; for fix in $(dep_fixes sqlite3); do cat "$here/deps.d/fixes/$fix"; done; } | sha256sum)
    made=$cache/deps/sqlite3-${key:0:16}
    (
        flock 8
        [ -d "$made" ] || sqlite3_amalgamation "$made"
    ) 8>"$cache/deps/.lock-sqlite3"
    mkdir "$work/sqlite3"
    ln -s "$made"/sqlite3.[ch] "$work/sqlite3/"
    compile_archive libsqlite3.a "$work/sqlite3" -Os "${sqlite3_options[@]}" -- sqlite3.c
    install_headers . "$made/sqlite3.h"
}
