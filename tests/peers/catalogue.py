"""catalogue: what `holdfast backup list` and `backup verify` tell, held against the contract and against etcd's own tool.

    told = verify(hub.binary, file)             # Verdict: code, record, said
    for record in listed(hub): assert_good(hub.binary, record)
    assert_agrees(told.record, snapshot_status(file, "3.5"), "3.5.16")
"""
from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from .backup import check_file
from .hub import Hub
from .proc import PeerError, run

VERIFIED = {"path": str, "verdict": str, "level": int, "reason": (str, type(None)), "bytes": int, "db_bytes": int,
            "sha256": (str, type(None)), "hash": (int, type(None)), "revision": (int, type(None)),
            "keys": (int, type(None)), "pairs": (int, type(None)), "errors": list}
LISTED = {**VERIFIED, "name": str, "destination": str, "cluster_id": (str, type(None)), "member_id": (str, type(None)),
          "taken_at": str}
VERDICTS = ("good", "bad", "unknown")


@dataclass(frozen=True)
class Verdict:
    code: int
    record: dict
    said: str


def assert_shape(record: dict, fields: dict = VERIFIED) -> dict:
    """Every field of the contract, of its type; the record itself."""
    for name, kind in fields.items():
        assert name in record, f"no {name!r} in {record}"
        assert isinstance(record[name], kind) and not isinstance(record[name], bool), (name, record[name])
    assert record["verdict"] in VERDICTS and 0 <= record["level"] <= 4, record
    assert (record["verdict"] == "good") == (record["reason"] in (None, "no-scratch", "stored")), record
    for error in record["errors"]:
        assert isinstance(error["code"], str) and isinstance(error["text"], str) and "page" in error, error
    return record


def verify_line(binary: Path, file: Path, *args: str) -> list[str]:
    return [str(binary), "backup", "verify", str(file), "-o", "json", *args]


def verdict_of(code: int, out: bytes, said: bytes) -> Verdict:
    try:
        record = json.loads(out)
    except ValueError as error:
        raise PeerError(f"backup verify, exit {code}: no JSON: {out[:300]!r} {said[:600]!r}") from error
    return Verdict(code, assert_shape(record), said.decode(errors="replace"))


def verify(binary: Path, file: Path, *args: str, seconds: float = 600) -> Verdict:
    """`holdfast backup verify FILE -o json` to its end."""
    done = run(verify_line(binary, file, *args), check=False, seconds=seconds, env={"PATH": "/usr/bin:/bin"})
    return verdict_of(done.returncode, done.stdout, done.stderr)


def listed(hub: Hub, *args: str) -> list[dict]:
    """`holdfast backup list -o json`: records, each of the contract's shape."""
    done = hub.command("backup", "list", "-o", "json", *args)
    assert done.returncode == 0, done.stderr.decode()
    return [assert_shape(record, LISTED) for record in json.loads(done.stdout)]


def assert_good(told: Verdict) -> None:
    assert told.code == 0 and told.record["verdict"] == "good" and told.record["level"] == 4, told
    assert told.record["errors"] == [], told


def assert_whole(record: dict) -> None:
    """A record that says good is of a whole file with a right digest, verified to the end."""
    path = Path(record["path"])
    assert record["verdict"] == "good" and record["level"] == 4 and record["errors"] == [], record
    assert check_file(path).hex() == record["sha256"], path
    assert path.stat().st_size == record["bytes"] == record["db_bytes"] + 32, record


def assert_agrees(record: dict, status: dict, version: str) -> None:
    """With `snapshot status -w json` of that etcd: hash, revision, size, and keys as that version counts them."""
    distinct = tuple(int(part) for part in version.split(".")[:2]) >= (3, 6)
    ours = {"hash": record["hash"], "revision": record["revision"], "totalKey": record["keys" if distinct else "pairs"],
            "totalSize": record["db_bytes"]}
    assert ours == {name: status[name] for name in ours}, (version, status, record)


def together(lines: Sequence[Sequence[str]], width: int, seconds: float = 600) -> list[tuple[int, bytes, bytes]]:
    """Runs commands, `width` at a time: exit code, output and errors of each, in order."""
    done: list[tuple[int, bytes, bytes]] = []
    for at in range(0, len(lines), width):
        started = [subprocess.Popen(list(map(str, line)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, env={"PATH": "/usr/bin:/bin"}) for line in lines[at:at + width]]
        for child in started:
            try:
                out, said = child.communicate(timeout=seconds)
            except subprocess.TimeoutExpired as error:
                for each in started:
                    each.kill()
                raise PeerError(f"{child.args}: not done in {seconds} s") from error
            done.append((child.returncode, out, said))
    return done
