"""gateway: etcd's keys through its JSON gateway, for filling, counting and comparing.

A Gateway speaks plain HTTP to one member and keeps its connection; it is not for use by two threads. Keys and
values are bytes. Errors of etcd are PeerError with its own text.
"""
from __future__ import annotations

import base64
import hashlib
import http.client
import json
import random
from dataclasses import dataclass
from typing import Iterable, Iterator

from .proc import PeerError

BATCH_OPS = 128  # etcd's default --max-txn-ops
BATCH_BYTES = 1 << 20


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _range_end(prefix: bytes) -> bytes:
    """The first key after all with this prefix; of the empty prefix, etcd's "all keys"."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b"\0"


def _span(prefix: bytes) -> dict[str, str]:
    return {"key": _b64(prefix or b"\0"), "range_end": _b64(_range_end(prefix))}


@dataclass(frozen=True)
class Filled:
    """What fill() left behind: live keys, and the store's revision."""
    live: int
    revision: int
    overwritten: int
    deleted: int
    big: int


class Gateway:
    def __init__(self, port: int, seconds: float = 60):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)

    def close(self) -> None:
        self._connection.close()

    def call(self, path: str, body: dict) -> dict:
        """One request, like call("/v3/kv/range", {…}); OSError when the member cannot be reached."""
        try:
            self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            data = answer.read()
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            raise ConnectionError(str(error)) from error
        if answer.status != 200:
            raise PeerError(f"etcd {path}: {answer.status} {data[:400].decode(errors='replace')}")
        return json.loads(data)

    def status(self) -> dict:
        """version, dbSize, leader, raftIndex… as etcd names them (numbers are strings)."""
        return self.call("/v3/maintenance/status", {})

    def revision(self) -> int:
        return int(self.call("/v3/kv/range", {**_span(b""), "count_only": True})["header"]["revision"])

    def put_many(self, items: Iterable[tuple[bytes, bytes]]) -> int:
        """Puts all, in transactions; how many. A key must not come twice within BATCH_OPS of itself."""
        count, ops, size = 0, [], 0
        for key, value in items:
            if ops and (len(ops) == BATCH_OPS or size + len(value) > BATCH_BYTES):
                self._txn(ops)
                ops, size = [], 0
            ops.append({"requestPut": {"key": _b64(key), "value": _b64(value)}})
            size += len(key) + len(value)
            count += 1
        self._txn(ops)
        return count

    def delete_many(self, keys: Iterable[bytes]) -> int:
        """Deletes all, in transactions; how many were asked for."""
        ops = [{"requestDeleteRange": {"key": _b64(key)}} for key in keys]
        for at in range(0, len(ops), BATCH_OPS):
            self._txn(ops[at:at + BATCH_OPS])
        return len(ops)

    def _txn(self, ops: list[dict]) -> None:
        if ops:
            self.call("/v3/kv/txn", {"success": ops})

    def compact(self, revision: int | None = None) -> int:
        """Compacts up to the revision (the newest, when none is given) and waits until it is done."""
        revision = revision or self.revision()
        self.call("/v3/kv/compaction", {"revision": revision, "physical": True})
        return revision

    def count(self, prefix: bytes = b"") -> int:
        return int(self.call("/v3/kv/range", {**_span(prefix), "count_only": True}).get("count", 0))

    def get(self, key: bytes) -> bytes | None:
        found = self.call("/v3/kv/range", {"key": _b64(key)}).get("kvs")
        return base64.b64decode(found[0].get("value", "")) if found else None

    def items(self, page: int = 500) -> Iterator[tuple[bytes, bytes, int]]:
        """Every key with value and modification revision, in order, read in pages."""
        start = b"\0"
        while True:
            answer = self.call("/v3/kv/range", {"key": _b64(start), "range_end": _b64(b"\0"), "limit": page})
            for entry in answer.get("kvs", ()):
                start = base64.b64decode(entry["key"])
                yield start, base64.b64decode(entry.get("value", "")), int(entry["mod_revision"])
            if not answer.get("more"):
                return
            start += b"\0"

    def digest(self) -> str:
        """SHA-256 over all keys, values and modification revisions: equal stores, equal digests."""
        total = hashlib.sha256()
        for key, value, revision in self.items():
            total.update(b"%d %d %d " % (len(key), len(value), revision) + key + value)
        return total.hexdigest()


def fill(gateway: Gateway, keys: int = 5000, big: int = 2, seed: int = 1, compact: bool = True) -> Filled:
    """Mixed sizes (most 64 B to 2 KiB, some to 16 KiB, `big` of them 1.1 MiB), 15 % overwritten, another 10 %
    made and deleted, one compaction. `keys` (and no fewer) are live in the end. About 1 s for 5,000."""
    rng = random.Random(seed)

    def value() -> bytes:
        return rng.randbytes(rng.randrange(64, 2048) if rng.randrange(20) else rng.randrange(2048, 16384))

    small = max(keys - big, 0)
    names = [b"/registry/things/space-%02d/thing-%06d" % (i % 37, i) for i in range(small)]
    gone = [b"/registry/gone/%06d" % i for i in range(keys // 10)]
    gateway.put_many((name, value()) for name in names + gone)
    gateway.put_many((b"/registry/big/%03d" % i, rng.randbytes(1153434)) for i in range(min(big, keys)))
    again = rng.sample(names, len(names) * 15 // 100)
    gateway.put_many((name, value()) for name in again)
    gateway.delete_many(gone)
    if compact:
        gateway.compact()
    return Filled(gateway.count(), gateway.revision(), len(again), len(gone), big)
