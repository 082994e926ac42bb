# zstd: compressor and decompressor; no dictionaries builder, no formats from before 0.8, no threads of its own (the pool is
# ours); of the compressor the strategies of levels 1 to 3 (fast, dfast) only. The assembler decoder chooses by CPUID at run time.
zstd_left_out='GREEDY LAZY LAZY2 BTLAZY2 BTOPT BTULTRA'
build_zstd() {
    local folder=$work/zstd sources
    unpack zstd "$folder"
    sources=$(cd "$folder" && printf '%s\n' lib/common/*.c lib/compress/*.c lib/decompress/*.c lib/decompress/*.S)
    compile_archive libzstd.a "$folder" -O2 -DZSTD_LEGACY_SUPPORT=0 -DXXH_NAMESPACE=ZSTD_ \
        $(printf -- '-DZSTD_EXCLUDE_%s_BLOCK_COMPRESSOR ' $zstd_left_out) -Ilib -- $sources
    install_headers . "$folder"/lib/{zstd,zstd_errors}.h
}
