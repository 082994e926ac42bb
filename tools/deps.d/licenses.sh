# licenses: third-party notices, out of the lock and the verified archives. Sourced by tools/deps, after fetch.sh.

# Mbed TLS ships both texts of its dual licence in one file; we take it under the first, which ends where the GPL begins. The file is
# read to its end: tar, left in the middle of it, would fail, or not, as the clock has it.
licence_text() {
    local name=$1 file
    file=$(dep_field "$name" licence_file)
    tar -xOf "$(archive_path "$name")" --wildcards --no-wildcards-match-slash "*/$file" |
        if [ "$name" = mbedtls ]; then awk '/GNU GENERAL PUBLIC LICENSE/ { past = 1 } !past { print }'; else cat; fi
}

licenses() {
    local name fixes
    printf 'holdfast contains the following software by others.\n'
    for name in $(dep_names); do
        [ "$(dep_field "$name" in)" = binary ] || continue
        fixes=$(dep_fixes "$name" | sed 's/\.patch$//' | paste -sd ' ')
        printf '\n================================================================================\n'
        printf '%s %s\nLicence: %s\n' "$name" "$(dep_field "$name" version)" "$(dep_field "$name" licence)"
        [ -z "$fixes" ] || printf 'Changed by: %s\n' "$fixes"
        printf -- '--------------------------------------------------------------------------------\n\n'
        licence_text "$name"
    done
}
