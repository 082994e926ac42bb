# nghttp2: the HTTP/2 session library, without its tools. Its time is whole seconds of the monotonic clock, for rate limits only.
build_nghttp2() {
    local folder=$work/nghttp2 version sources
    version=$(dep_field nghttp2 version)
    unpack nghttp2 "$folder"
    sed -e "s/@PACKAGE_VERSION@/$version/" \
        -e "s/@PACKAGE_VERSION_NUM@/$(printf '0x%02x%02x%02x' ${version//./ })/" \
        "$folder/lib/includes/nghttp2/nghttp2ver.h.in" >"$folder/lib/includes/nghttp2/nghttp2ver.h"
    sources=$(cd "$folder/lib" && printf '%s\n' *.c)
    compile_archive libnghttp2.a "$folder/lib" -O2 -Iincludes -DNGHTTP2_STATICLIB -DBUILDING_NGHTTP2 \
        -DHAVE_ARPA_INET_H -DHAVE_NETINET_IN_H -DHAVE_CLOCK_GETTIME -DHAVE_DECL_CLOCK_MONOTONIC=1 -- $sources
    install_headers nghttp2 "$folder"/lib/includes/nghttp2/nghttp2{,ver}.h
}
