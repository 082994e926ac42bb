# cJSON: the parser and printer, without its utilities. Depth is bounded by CJSON_NESTING_LIMIT, ours (the house's limit is 32).
build_cjson() {
    unpack cjson "$work/cjson"
    compile_archive libcjson.a "$work/cjson" -Os -DCJSON_NESTING_LIMIT=32 -- cJSON.c
    install_headers cjson "$work/cjson/cJSON.h"
}
