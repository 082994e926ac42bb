# libyaml: all of it; the linker leaves out the emitter when nobody calls it.
build_libyaml() {
    local folder=$work/libyaml version major minor patch
    version=$(dep_field libyaml version)
    IFS=. read -r major minor patch <<<"$version"
    unpack libyaml "$folder"
    compile_archive libyaml.a "$folder" -Os -Iinclude -DYAML_DECLARE_STATIC "-DYAML_VERSION_MAJOR=$major" \
        "-DYAML_VERSION_MINOR=$minor" "-DYAML_VERSION_PATCH=$patch" "-DYAML_VERSION_STRING=\"$version\"" -- \
        src/{api,dumper,emitter,loader,parser,reader,scanner,writer}.c
    install_headers . "$folder/include/yaml.h"
}
