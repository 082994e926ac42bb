# musl: libc, its start files and headers. It knows itself which of its files must not carry a stack protector, and takes its
# position-independent objects into libc.a when the compiler makes PIEs by default.
build_musl() {
    unpack musl "$work/musl"
    (
        cd "$work/musl"
        ./configure --prefix=/ --target="$variant" --disable-shared --disable-wrapper \
            CC="$cc" AR="$build_ar" RANLIB="$("$cc" -print-prog-name=ranlib)" \
            CFLAGS="${flags[*]}" >configure.log 2>&1 || { cat configure.log; exit 1; }
        make -j "$jobs" >make.log 2>&1 || { tail -n 40 make.log; exit 1; }
        make DESTDIR=../stage install >install.log 2>&1
    )
    rm -f "$stage/lib/libxnet.a" "$stage/lib/libresolv.a" "$stage/lib/libcrypt.a" "$stage/lib/libutil.a"
}
