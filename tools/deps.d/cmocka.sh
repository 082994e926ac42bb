# cmocka: the unit test library; in tests only.
build_cmocka() {
    local folder=$work/cmocka major minor patch
    IFS=. read -r major minor patch <<<"$(dep_field cmocka version)"
    unpack cmocka "$folder"
    sed -e "s/@cmocka_VERSION_MAJOR@/$major/" -e "s/@cmocka_VERSION_MINOR@/$minor/" -e "s/@cmocka_VERSION_PATCH@/$patch/" \
        "$folder/include/cmocka_version.h.cmake" >"$folder/include/cmocka_version.h"
    compile_archive libcmocka.a "$folder" -O2 -Iinclude -DCMOCKA_STATIC -D_GNU_SOURCE -D_XOPEN_SOURCE=700 \
        -DHAVE_MALLOC_H -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H -DHAVE_STRINGS_H -DHAVE_STRSIGNAL -DHAVE_SIGLONGJMP \
        -DHAVE_GCC_THREAD_LOCAL_STORAGE -DHAVE_CLOCK_REALTIME -DHAVE_STRUCT_TIMESPEC -- src/cmocka.c
    install_headers . "$folder"/include/cmocka{,_pbc,_version}.h
}
