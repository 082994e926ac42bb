"""boltfile: reads a bbolt file page by page, and damages it, one kind at a time.

    db = BoltFile(path)                       # an etcd snapshot, or the database without its trailer
    db.meta, db.pages(), db.kinds("leaf")     # the newest good meta; what is reachable from it
    for name, damage in DAMAGES.items():      # see boltdamage.py
        copy = db.copy(); damage.apply(copy, random.Random(1)); copy.seal().save(path)

seal() makes meta checksums and the SHA-256 trailer right again, so that only the damage itself is left to be found.
Layout: bbolt internal/common/{page,meta,inode,bucket}.go; all numbers little endian.
"""
from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

MAGIC, VERSION = 0xED0CDAED, 2
HEADER = 16           # id u64, flags u16, count u16, overflow u32
ELEMENT = 16          # of a branch: pos u32, ksize u32, child u64; of a leaf: flags u32, pos u32, ksize u32, vsize u32
META_SUMMED = 56      # bytes of a meta's body before its checksum
BRANCH, LEAF, META, FREELIST = 1, 2, 4, 16
KINDS = {"branch": BRANCH, "leaf": LEAF, "meta": META, "freelist": FREELIST}
BUCKET = 1            # a leaf element's flag: the value is a bucket's header, 16 bytes, then perhaps an inline page
NO_FREELIST = (1 << 64) - 1
TRAILER = 32


def fnv64a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & NO_FREELIST
    return value


@dataclass(frozen=True)
class Meta:
    """As the file says; `at` is the page, 0 or 1."""
    at: int
    magic: int
    version: int
    page_bytes: int
    flags: int
    root: int
    sequence: int
    freelist: int
    high: int      # the first page that was never used
    txid: int
    checksum: int
    good: bool


@dataclass(frozen=True)
class Page:
    """`parent` is the page that refers to it, None for a root; `bucket` the name of the bucket it belongs to, b"" the
    top level; `at` is the byte where it begins."""
    id: int
    kind: str
    count: int
    overflow: int
    at: int
    parent: int | None
    bucket: bytes


@dataclass(frozen=True)
class Element:
    """One entry of a page: `at` is where its 16 bytes lie, `key_at` its key; value_at and value_bytes are 0 in a branch,
    child is 0 in a leaf."""
    at: int
    key_at: int
    key_bytes: int
    value_at: int
    value_bytes: int
    flags: int
    child: int


class BoltFile:
    def __init__(self, source: Path | bytes | bytearray):
        data = bytearray(source if isinstance(source, (bytes, bytearray)) else Path(source).read_bytes())
        self.has_trailer = len(data) % 512 == TRAILER
        self.data = data[:-TRAILER] if self.has_trailer else data
        self.page_bytes = struct.unpack_from("<I", self.data, HEADER + 8)[0]
        if self.page_bytes not in (512 << i for i in range(12)) or len(self.data) % self.page_bytes:
            raise ValueError(f"no bbolt file: pages of {self.page_bytes}, {len(self.data)} bytes")

    def copy(self) -> "BoltFile":
        other = object.__new__(BoltFile)
        other.has_trailer, other.data, other.page_bytes = self.has_trailer, bytearray(self.data), self.page_bytes
        return other

    # --- reading

    def offset(self, page: int) -> int:
        return page * self.page_bytes

    def header(self, page: int) -> tuple[int, int, int, int]:
        """id, flags, count, overflow"""
        return struct.unpack_from("<QHHI", self.data, self.offset(page))

    def read_meta(self, at: int) -> Meta:
        start = self.offset(at) + HEADER
        fields = struct.unpack_from("<IIIIQQQQQQ", self.data, start)
        right = fnv64a(self.data[start:start + META_SUMMED])
        good = fields[0] == MAGIC and fields[1] == VERSION and fields[9] == right
        return Meta(at, *fields, good)

    @property
    def metas(self) -> tuple[Meta, Meta]:
        return self.read_meta(0), self.read_meta(1)

    @property
    def meta(self) -> Meta:
        """The one that counts: good, and the newest."""
        good = [meta for meta in self.metas if meta.good]
        if not good:
            raise ValueError("no good meta page")
        return max(good, key=lambda meta: meta.txid)

    def elements(self, page: int) -> list[Element]:
        _, flags, count, _ = self.header(page)
        return list(self._elements_at(self.offset(page), flags, count))

    def _elements_at(self, start: int, flags: int, count: int) -> Iterator[Element]:
        for number in range(count):
            at = start + HEADER + number * ELEMENT
            if flags & BRANCH:
                pos, key_bytes, child = struct.unpack_from("<IIQ", self.data, at)
                yield Element(at, at + pos, key_bytes, 0, 0, 0, child)
            else:
                kind, pos, key_bytes, value_bytes = struct.unpack_from("<IIII", self.data, at)
                yield Element(at, at + pos, key_bytes, at + pos + key_bytes, value_bytes, kind, 0)

    def key(self, element: Element) -> bytes:
        return bytes(self.data[element.key_at:element.key_at + element.key_bytes])

    def value(self, element: Element) -> bytes:
        return bytes(self.data[element.value_at:element.value_at + element.value_bytes])

    def pages(self) -> Iterator[Page]:
        """All that is reachable from the newest meta, parents first, in key order; the file must be sound."""
        return self._walk(self.meta.root, None, b"")

    def _walk(self, page: int, parent: int | None, bucket: bytes) -> Iterator[Page]:
        id_, flags, count, overflow = self.header(page)
        kind = {value: name for name, value in KINDS.items()}[flags]
        yield Page(id_, kind, count, overflow, self.offset(page), parent, bucket)
        for element in self.elements(page):
            if kind == "branch":
                yield from self._walk(element.child, page, bucket)
            elif element.flags & BUCKET and self.bucket_root(element):
                yield from self._walk(self.bucket_root(element), page, self.key(element))

    def bucket_root(self, element: Element) -> int:
        """0: it is inline."""
        return struct.unpack_from("<Q", self.data, element.value_at)[0]

    def kinds(self, kind: str, bucket: bytes | None = None) -> list[Page]:
        """Reachable pages of a kind, of one bucket or of all."""
        return [page for page in self.pages() if page.kind == kind and bucket in (None, page.bucket)]

    def bucket(self, name: bytes) -> Element:
        """The element of a top-level bucket; KeyError when there is none."""
        for page in self.kinds("leaf", b""):
            for element in self.elements(page.id):
                if self.key(element) == name:
                    return element
        raise KeyError(name)

    def in_use(self) -> set[int]:
        """Pages that are reachable, overflow included, with the metas and a stored freelist."""
        used = {0, 1}
        for page in self.pages():
            used.update(range(page.id, page.id + page.overflow + 1))
        if self.meta.freelist != NO_FREELIST:
            overflow = self.header(self.meta.freelist)[3]
            used.update(range(self.meta.freelist, self.meta.freelist + overflow + 1))
        return used

    def free(self) -> list[int]:
        """Pages below the high water mark that nobody uses."""
        used = self.in_use()
        return [page for page in range(self.meta.high) if page not in used]

    # --- writing

    def put(self, at: int, layout: str, *numbers: int) -> None:
        struct.pack_into("<" + layout, self.data, at, *numbers)

    def put_header(self, page: int, *, id: int | None = None, flags: int | None = None, count: int | None = None,
                   overflow: int | None = None) -> None:
        new = (id, flags, count, overflow)
        self.put(self.offset(page), "QHHI", *(old if mine is None else mine for old, mine in zip(self.header(page), new)))

    def put_meta(self, at: int, **fields: int) -> None:
        """Changes fields of one meta page; seal() makes its checksum right."""
        names = ("magic", "version", "page_bytes", "flags", "root", "sequence", "freelist", "high", "txid", "checksum")
        meta = self.read_meta(at)
        self.put(self.offset(at) + HEADER, "IIIIQQQQQQ", *(fields.get(name, getattr(meta, name)) for name in names))

    def store_freelist(self, pages: list[int] | None = None) -> int:
        """Gives a file whose freelist is not stored one that is, at the file's end: `pages`, else those that are free. The
        page it lies in. Sync'd freelists are what etcd before 3.5 and `bbolt compact` write."""
        free = self.free() if pages is None else pages
        count = len(free)
        body = struct.pack(f"<{count}Q", *free) if count < 0xFFFF else struct.pack(f"<{count + 1}Q", count, *free)
        at = self.meta.high
        used = (HEADER + len(body) + self.page_bytes - 1) // self.page_bytes
        del self.data[self.offset(at):]
        self.data += struct.pack("<QHHI", at, FREELIST, min(count, 0xFFFF), used - 1) + body
        self.data += bytes(self.offset(at + used) - len(self.data))
        for meta in (0, 1):
            self.put_meta(meta, freelist=at, high=at + used)
        self.sum_metas()
        return at

    def sum_metas(self, only: tuple[int, ...] = (0, 1)) -> "BoltFile":
        for at in only:
            start = self.offset(at) + HEADER
            self.put(start + META_SUMMED, "Q", fnv64a(self.data[start:start + META_SUMMED]))
        return self

    def seal(self, metas: tuple[int, ...] = (0, 1)) -> "BoltFile":
        """Right checksums in these metas, and a right trailer when saved."""
        self.has_trailer = True
        return self.sum_metas(metas)

    def save(self, path: Path) -> Path:
        """With the SHA-256 of what it is now, where it has a trailer."""
        trailer = hashlib.sha256(self.data).digest() if self.has_trailer else b""
        path = Path(path)
        path.write_bytes(bytes(self.data) + trailer)
        path.chmod(0o600)
        return path


def flip_bit(source: Path, target: Path, bit: int) -> Path:
    """A copy in which one bit differs; the trailer is left as it was."""
    data = bytearray(Path(source).read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    Path(target).write_bytes(data)
    return Path(target)
