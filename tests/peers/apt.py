"""apt: Debian packages of another release, unpacked into the cache; the system is not changed, no root needed.

    folder = unpacked("trixie", ["etcd-server", "etcd-client"])     # folder / "usr/bin/etcd"

The mirror is the one of the machine's own apt sources, whatever it is; signatures are checked with the installed
archive keyring. What is in the cache is used without asking the network again.
"""
from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from .proc import PeerError, cache_folder, made_once, run

_KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
_CONFIG = """\
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "{folder}/none";
Dir::Etc::preferences "{folder}/none/preferences";
Dir::Etc::preferencesparts "{folder}/none";
Dir::State "{folder}/state";
Dir::State::lists "{folder}/state/lists";
Dir::State::status "{folder}/state/status";
Dir::Cache "{folder}/cache";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "{user}";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
"""


@dataclass(frozen=True)
class Source:
    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    keyring: str  # "" when the entry names none


def _deb822(text: str) -> Iterator[Source]:
    for stanza in text.split("\n\n"):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t") and key:
                fields[key] += "\n" + line.strip()
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        signed = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            yield Source(uri, tuple(fields.get("suites", "").split()), tuple(fields.get("components", "").split()),
                         signed if signed.startswith("/") else "")


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        if not line.startswith("deb "):
            continue
        options, rest = "", line[4:].strip()
        if rest.startswith("["):
            options, _, rest = rest[1:].partition("]")
        words = rest.split()
        signed = [word[10:] for word in options.split() if word.startswith("signed-by=/")]
        if len(words) >= 3:
            yield Source(words[0], (words[1],), tuple(words[2:]), signed[0] if signed else "")


def sources(folder: Path = Path("/etc/apt")) -> list[Source]:
    """The machine's enabled `deb` sources."""
    found: list[Source] = []
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if path.is_file() and path.suffix in (".list", ".sources"):
            text = path.read_text(errors="replace")
            found += _deb822(text) if path.suffix == ".sources" else _one_line(text)
    return found


def codename() -> str:
    """This machine's Debian release, "" when it is none."""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    return ""


def _archive() -> tuple[str, str]:
    """URI and keyring of the main archive: the source that carries this release's own suite with `main`."""
    for source in sources():
        if {codename(), "stable"} & set(source.suites) and "main" in source.components:
            keyrings = [ring for ring in (source.keyring, *_KEYRINGS) if ring and os.path.exists(ring)]
            if not keyrings:
                raise PeerError("no keyring of the Debian archive (package debian-archive-keyring)")
            return source.uri, keyrings[0]
    raise PeerError("no source of the main Debian archive in /etc/apt: another release's packages cannot be had")


def _private_apt(folder: Path, release: str) -> dict[str, str]:
    """Writes an apt configuration of its own; the environment that makes apt use it."""
    uri, keyring = _archive()
    for part in ("none", "state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "state/status").touch()
    (folder / "sources.list").write_text(f"deb [arch=amd64 signed-by={keyring}] {uri} {release} main\n")
    user = "root" if os.getuid() == 0 else ""
    (folder / "apt.conf").write_text(_CONFIG.format(folder=folder, user=user))
    return {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C"}


def _dependency(package: str, env: dict[str, str]) -> str:
    """What a package without files stands for: the first it depends on."""
    words = run(["apt-cache", "depends", "--important", package], env=env).stdout.decode().split()
    if "Depends:" not in words:
        raise PeerError(f"{package} depends on nothing")
    return words[words.index("Depends:") + 1]


def unpacked(release: str, packages: Sequence[str], *, stand_ins: bool = False) -> Path:
    """The folder with the packages' files, newest of that release when first asked. About 6 s, then nothing.
    stand_ins: they have no files themselves and stand for the package that each depends on."""
    target = cache_folder("deb") / f"{release}-{'+'.join(sorted(packages))}"
    with made_once(target) as missing:
        if missing:
            _unpack(target, release, packages, stand_ins)
    return target


def _unpack(target: Path, release: str, packages: Sequence[str], stand_ins: bool) -> None:
    mine = f"{release}.{os.getpid()}"  # others may be at the same release right now
    private = cache_folder("apt", mine)
    env = _private_apt(private, release)
    run(["apt-get", "update", "-q"], env=env, seconds=300)
    if stand_ins:
        packages = [_dependency(package, env) for package in packages]
    downloads = cache_folder("apt", mine, "debs")
    run(["apt-get", "download", "-q", *packages], env=env, cwd=downloads, seconds=300)
    building = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    for package in packages:
        newest = max(downloads.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
        run(["dpkg", "-x", newest, building])
    (building / ".complete").touch()
    building.rename(target)
    shutil.rmtree(private, ignore_errors=True)
