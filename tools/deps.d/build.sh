# build: makes one variant's prefix. Sourced by tools/deps, after fetch.sh; runs under the variant's lock.
#
# Order        musl and the compiler wrapper first, then the libraries, one at a time with `jobs` compilers each; SQLite, one
#              long compile, goes beside them.
# Same bytes   no path of this machine reaches an object, archives carry no time and no owner, file order is fixed.

for recipe in musl mbedtls nghttp2 cjson libyaml sqlite3 zstd cmocka; do . "$here/deps.d/$recipe.sh"; done

# What every library is compiled with. -fPIE: all ends up in a static-pie program. Frames larger than a page are probed, for our fibers'
# stacks have guards of one page (gcc for aarch64 takes them for 64 KiB otherwise).
flags_set() {
    flags=(-ffunction-sections -fdata-sections -fPIE -fstack-protector-strong -fstack-clash-protection -fno-common -pipe -w)
    case $variant in
    host) flags+=(-g -fno-omit-frame-pointer) ;;
    aarch64) flags+=(-mno-outline-atomics --param=stack-clash-protection-guard-size=12) ;; # musl itself is compiled without the wrapper that says so
    esac
}

# compile_archive ARCHIVE FOLDER [FLAG…] -- SOURCE…   sources and -I are relative to FOLDER
# A source named a/b.c becomes the member b.o, so base names must be unique; the order given is the order kept.
compile_archive() {
    local archive=$1 folder=$2 own=() source objects=()
    shift 2
    while [ "$1" != -- ]; do own+=("$1"); shift; done
    shift
    for source; do objects+=(".o/$(object_name "$source")"); done
    (
        cd "$folder"
        mkdir -p .o
        export cc_line="'$build_cc' -std=gnu11 $(printf "'%s' " "${flags[@]}" "-ffile-prefix-map=$PWD=." "${own[@]}")"
        for source; do printf '%s %s\0' "$source" ".o/$(object_name "$source")"; done |
            xargs -0 -P "$jobs" -n 1 sh -c 'eval "$cc_line -c ${1% *} -o ${1#* }"' sh
        "$build_ar" rcD "$stage/lib/$archive" "${objects[@]}"
    )
}
object_name() { local base=${1##*/}; printf '%s\n' "${base%.*}.o"; }

# Installs headers: install_headers SUBFOLDER FILE…
install_headers() {
    local folder=$stage/include/$1
    shift
    mkdir -p "$folder"
    install -m 644 "$@" "$folder/"
}

# Kernel headers are the distribution's: linked, not copied, beside musl's.
link_kernel_headers() {
    local name triple
    triple=$("$cc" -dumpmachine)
    for name in linux asm asm-generic mtd misc rdma scsi sound video xen; do
        if [ -d "$headers/$triple/$name" ]; then ln -s "$headers/$triple/$name" "$stage/include/$name"
        elif [ -d "$headers/$name" ] && [ ! -e "$stage/include/$name" ]; then ln -s "$headers/$name" "$stage/include/$name"; fi
    done
    [ -e "$stage/include/asm/unistd.h" ] || die "no asm/unistd.h for $triple under $headers; on Debian: apt install linux-libc-dev"
}

# PREFIX/bin/cc finds everything relative to itself, so a prefix can be moved. For aarch64: atomics inline (libgcc's helpers and
# the libc then need no agreement), and the linker's detour around a Cortex-A53 erratum, which gcc's own specs would ask for.
install_wrapper() {
    local cc1= link=
    if [ "$variant" = aarch64 ]; then cc1=-mno-outline-atomics link=--fix-cortex-a53-843419; fi
    mkdir -p "$stage/bin" "$stage/lib"
    if [ "$variant" = host ]; then
        printf '#!/bin/sh\nexec gcc "$@"\n' >"$stage/bin/cc"
    else
        sed -e "s/@CC@/$cc/" -e "s/@VARIANT@/$variant/" "$here/deps.d/cc.in" >"$stage/bin/cc"
        sed -e "s/@CC1@/$cc1/" -e "s/@LINK@/$link/" "$here/deps.d/musl.specs.in" >"$stage/lib/musl.specs"
    fi
    chmod 755 "$stage/bin/cc"
}

step() {
    local started=$SECONDS
    "build_$1"
    say "$variant: $1 $(dep_field "$1" version) built in $((SECONDS - started)) s"
}

# work: sources and objects; stage: becomes the prefix by one rename.
build_prefix() {
    local prefix=$1 started=$SECONDS beside
    need make make; need patch patch; need xz xz-utils; need bzip2 bzip2; need flock util-linux
    rm -rf "$cache/deps/.work-$variant"-* # of runs that were killed; we hold the lock
    work=$(mktemp -d "$cache/deps/.work-$variant-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    stage=$work/stage
    build_cc=$stage/bin/cc
    build_ar=$("$cc" -print-prog-name=ar)
    flags_set
    mkdir -p "$stage/include" "$stage/lib"
    install_wrapper
    if [ "$variant" != host ]; then link_kernel_headers; step musl; fi
    step sqlite3 & beside=$!
    for name in zstd mbedtls nghttp2 libyaml cjson cmocka; do step "$name"; done
    wait "$beside"
    chmod 755 "$stage"
    mv -T "$stage" "$prefix"
    say "$variant: all built in $((SECONDS - started)) s"
}
