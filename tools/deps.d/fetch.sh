# fetch: brings the archives named in deps.lock into the cache. Sourced by tools/deps.
#
# Where from   the Debian mirrors this machine's own apt is configured for, through apt (so its proxies and certificates hold).
#              First the mirror's pool; then a private index (own lists, source releases only, system untouched), searched by
#              checksum. No address is written here or in the lock.
# Trust        the SHA-256 in the lock and nothing else: which place the bytes came from does not matter.
# Not there    is only the next try. Other bytes than pinned stop the run.

apt_quiet=(-q -o APT::Sandbox::User=root -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30)

# Base addresses of the mirrors apt is configured for, whatever the form of its source lists and although nothing was
# downloaded yet. Somebody else's repository among them costs a "not there". A mirror list is a file; addresses are its first
# column.
mirrors() {
    local uri component by
    apt-get indextargets --no-release-info --format '$(REPO_URI) $(COMPONENT) $(CREATED_BY)' |
        while read -r uri component by; do
            [ "$component $by" = "main Packages" ] || continue
            case $uri in
            mirror+file:*) uri=${uri#mirror+file:}; awk '/^[^#]/ { print $1 }' "${uri%/}" ;;
            *) printf '%s\n' "$uri" ;;
            esac
        done | sed 's,/*$,,' | awk '!seen[$0]++'
}

# Tries one address. Other bytes than pinned are kept aside and end the run.
fetch_from() {
    local uri=$1 name=$2 target=$3 part=$3.part.$$
    say "fetching $uri"
    /usr/lib/apt/apt-helper "${apt_quiet[@]}" download-file "$uri" "$part" >"$part.log" 2>&1 || {
        say "  not there: $(grep -m1 '^[EW]:' "$part.log" || echo 'no reason given')"
        rm -f "$part" "$part.log"
        return 1
    }
    rm -f "$part.log"
    check_sum "$part" "$name" "$target.rejected"
    mv "$part" "$target"
}

check_sum() {
    local file=$1 name=$2 rejected=$3 expected got
    expected=$(dep_sum "$name")
    got=$(sha256sum <"$file"); got=${got%% *}
    [ "$got" = "$expected" ] && return
    mv "$file" "$rejected"
    die "$(dep_field "$name" archive) is not what deps.lock pins.
  expected  $expected
  got       $got
  kept as   $rejected
  What to do: run again; a broken download or cache repairs itself. If it comes back the same, your mirror or proxy changes
  files (try another mirror), or upstream replaced the archive: compare the two, and only then change tools/deps.lock."
}

# Addresses under which the private index lists a file with this checksum.
index_find() {
    local sum=$1 list uri
    index_update
    apt-get "${apt_index[@]}" indextargets --format '$(FILENAME) $(REPO_URI)' | while read -r list uri; do
        [ -e "$list" ] || continue
        /usr/lib/apt/apt-helper cat-file "$list" | awk -v sum="$sum" -v uri="${uri%/}" '
            /^Directory:/ { directory = $2 }
            $1 == sum { file = $3 }
            /^$/ { if (file != "") print uri "/" directory "/" file; file = "" }'
    done | awk '!seen[$0]++'
}

# A private apt: deb-src lines of every release the lock hints at, on every mirror. Renewed after a day.
index_update() {
    local apt=$cache/apt keyring mirror release
    apt_index=("${apt_quiet[@]}" -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache")
    if [ -e "$apt/updated" ] && [ -z "$(find "$apt/updated" -mmin +1440)" ]; then return; fi
    mkdir -p "$apt/lists/partial" "$apt/cache"
    for keyring in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do [ ! -e "$keyring" ] || break; done
    for mirror in $(mirrors); do
        for release in $(for name in $(dep_names); do dep_field "$name" hint; done | tr , '\n' | sort -u); do
            printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$release"
        done
    done >"$apt/sources.list"
    say "reading source indexes"
    apt-get "${apt_index[@]}" update >"$apt/log" 2>&1 || true # a release one mirror lacks is no error
    touch "$apt/updated"
}

# Tries the pools, then what the index finds; the index is read only when the pools are exhausted.
fetch_one() {
    local name=$1 target=$2 archive source folder mirror uri
    archive=$(dep_field "$name" archive)
    source=$(dep_field "$name" source)
    case $source in lib*) folder=${source:0:4} ;; *) folder=${source:0:1} ;; esac
    for mirror in $(mirrors); do
        fetch_from "$mirror/pool/main/$folder/$source/$archive" "$name" "$target" && return
    done
    for uri in $(index_find "$(dep_sum "$name")"); do
        fetch_from "$uri" "$name" "$target" && return
    done
    die "$archive could not be had from any place this machine's apt knows ($(mirrors | wc -l) mirrors tried, then" \
        "their indexes). Put the file with SHA-256 $(dep_sum "$name") at $target, or run again later."
}

archive_path() { printf '%s/archives/%s-%s\n' "$cache" "$(dep_sum "$1")" "$(dep_field "$1" archive)"; }

fetch_all() {
    local name target
    mkdir -p "$cache/archives"
    (
        flock 9
        for name in $(dep_names); do
            target=$(archive_path "$name")
            if [ -e "$target" ]; then check_sum "$target" "$name" "$target.rejected"; continue; fi
            need apt-get apt
            fetch_one "$name" "$target"
        done
    ) 9>"$cache/archives/.lock" 1>&2
}

# Unpacks an archive into a folder that must not exist yet, without its outermost folder, and applies the fixes.
unpack() {
    local name=$1 folder=$2 fix
    mkdir -p "$folder"
    tar -xf "$(archive_path "$name")" -C "$folder" --strip-components=1 --no-same-owner
    for fix in $(dep_fixes "$name"); do
        patch -s -p1 --fuzz=0 -d "$folder" <"$here/deps.d/fixes/$fix" || die "$fix does not apply to $name"
    done
}
