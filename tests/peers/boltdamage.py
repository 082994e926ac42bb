"""boltdamage: each kind of structural damage that level 3 (and 4) of a verification has to find, as functions on a BoltFile.

    for name, damage in DAMAGES.items():
        copy = db.copy()
        damage.apply(copy, random.Random(seed))     # db needs branch pages: some hundred keys
        copy.seal(damage.metas).save(path)          # the trailer is right: only the structure is not
        verdict of path: one of its errors has a code in damage.codes, a level of at most damage.level is reached

A damage without codes leaves a good file: what must not be taken for one.
"""
from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Callable

from .boltfile import BRANCH, BUCKET, FREELIST, LEAF, META, NO_FREELIST, BoltFile, Page

FAR = 1 << 40


@dataclass(frozen=True)
class Damage:
    """codes   one of these must be told (net/format/etcd_db.h); empty: the file is good
    level    the highest level that such a file may be given
    metas    whose checksums are made right again"""
    apply: Callable[[BoltFile, random.Random], None]
    codes: frozenset[str]
    level: int = 2
    metas: tuple[int, ...] = (0, 1)


DAMAGES: dict[str, Damage] = {}


def damage(name: str, *codes: str, level: int = 2, metas: tuple[int, ...] = (0, 1)):
    def take(apply: Callable[[BoltFile, random.Random], None]):
        DAMAGES[name] = Damage(apply, frozenset(codes), level, metas)
        return apply
    return take


def _leaf(db: BoltFile, rng: random.Random, elements: int = 2) -> Page:
    """Of bucket "key", with at least so many elements, no root."""
    return rng.choice([page for page in db.kinds("leaf", b"key") if page.count >= elements and page.parent is not None])


def _branch(db: BoltFile, rng: random.Random, elements: int = 2) -> Page:
    return rng.choice([page for page in db.kinds("branch", b"key") if page.count >= elements])


# --- headers

@damage("a leaf says it is another page", "page-id")
def _(db, rng):
    page = _leaf(db, rng)
    db.put_header(page.id, id=page.id + 1)


@damage("a branch says it is another page", "page-id")
def _(db, rng):
    page = _branch(db, rng)
    db.put_header(page.id, id=FAR)


for _name, _flags in (("a freelist", FREELIST), ("a meta page", META), ("nothing", 0), ("two things", LEAF | BRANCH)):
    @damage(f"a leaf is marked as {_name}", "page-flags")
    def _(db, rng, flags=_flags):
        db.put_header(_leaf(db, rng).id, flags=flags)


@damage("a branch is marked as a leaf", "page-flags", "element-range", "key-order", "bucket")
def _(db, rng):
    db.put_header(_branch(db, rng).id, flags=LEAF)


@damage("a leaf has more elements than fit", "page-count", "element-range")
def _(db, rng):
    db.put_header(_leaf(db, rng).id, count=0xFFF0)


@damage("a branch has more elements than fit", "page-count", "element-range", "child-range")
def _(db, rng):
    db.put_header(_branch(db, rng).id, count=0xFFF0)


@damage("a branch has no elements", "page-count")
def _(db, rng):
    db.put_header(_branch(db, rng).id, count=0)


@damage("an overflow reaches beyond the file", "overflow")
def _(db, rng):
    db.put_header(_leaf(db, rng).id, overflow=0xFFFFFFF0)


@damage("an overflow reaches over the next page in use", "child-twice", "overflow")
def _(db, rng):
    used = db.in_use()
    leaves = [page for page in db.kinds("leaf", b"key") if page.overflow == 0 and page.id + 1 in used and page.id + 1 < db.meta.high]
    db.put_header(rng.choice(leaves).id, overflow=1)


# --- children

@damage("a child beyond the high water mark", "child-range")
def _(db, rng):
    db.put(rng.choice(db.elements(_branch(db, rng).id)).at + 8, "Q", db.meta.high)


@damage("a child far outside of the file", "child-range")
def _(db, rng):
    db.put(rng.choice(db.elements(_branch(db, rng).id)).at + 8, "Q", FAR)


@damage("a child that is a meta page", "child-range", "page-flags")
def _(db, rng):
    db.put(rng.choice(db.elements(_branch(db, rng).id)).at + 8, "Q", rng.randrange(2))


@damage("a child with two parents", "child-twice")
def _(db, rng):
    first, second = rng.sample(db.elements(_branch(db, rng).id), 2)
    db.put(first.at + 8, "Q", second.child)


@damage("a branch that is its own child", "child-twice", "depth")
def _(db, rng):
    page = _branch(db, rng)
    db.put(rng.choice(db.elements(page.id)).at + 8, "Q", page.id)


@damage("a child that is an ancestor's bucket root", "child-twice", "depth")
def _(db, rng):
    db.put(rng.choice(db.elements(_branch(db, rng).id)).at + 8, "Q", db.meta.root)


# --- keys

@damage("two keys of a leaf changed places", "key-order")
def _(db, rng):
    page = _leaf(db, rng)
    elements = db.elements(page.id)
    at = rng.randrange(len(elements) - 1)
    first, second = (db.data[element.key_at:element.key_at + element.key_bytes] for element in elements[at:at + 2])
    size = min(len(first), len(second), 17)  # a revision; the tombstone's mark stays where it is
    db.data[elements[at].key_at:elements[at].key_at + size] = second[:size]
    db.data[elements[at + 1].key_at:elements[at + 1].key_at + size] = first[:size]


@damage("a key twice in a leaf", "key-order")
def _(db, rng):
    elements = db.elements(_leaf(db, rng).id)
    first, second = elements[0], elements[1]
    size = min(first.key_bytes, second.key_bytes, 17)
    db.data[second.key_at:second.key_at + size] = db.data[first.key_at:first.key_at + size]


@damage("two children of a branch changed places", "key-order")
def _(db, rng):
    elements = db.elements(_branch(db, rng).id)
    at = rng.randrange(len(elements) - 1)
    db.put(elements[at].at + 8, "Q", elements[at + 1].child)
    db.put(elements[at + 1].at + 8, "Q", elements[at].child)


@damage("a branch's key is above the first one below it", "key-order")
def _(db, rng):
    elements = db.elements(_branch(db, rng).id)
    element = elements[rng.randrange(1, len(elements))]
    db.data[element.key_at + 7] = 0xFF  # the last byte of the main revision


@damage("a leaf's last key is above the next leaf's first", "key-order")
def _(db, rng):
    branch = _branch(db, rng)
    child = db.elements(branch.id)[0].child
    while db.header(child)[1] & BRANCH:
        child = db.elements(child)[-1].child
    db.data[db.elements(child)[-1].key_at] = 0x7F


# --- elements

@damage("a key outside of its page", "element-range")
def _(db, rng):
    db.put(rng.choice(db.elements(_leaf(db, rng).id)).at + 4, "I", db.page_bytes * 1000)


@damage("a key that overlaps the element table", "element-range", "key-order", "revision", "record")
def _(db, rng):
    db.put(db.elements(_leaf(db, rng).id)[0].at + 4, "I", 0)


@damage("a value that reaches out of its page", "element-range")
def _(db, rng):
    page = _leaf(db, rng)
    element = rng.choice(db.elements(page.id))
    db.put(element.at + 12, "I", (page.overflow + 1) * db.page_bytes)


@damage("sizes that overflow 32 bits together", "element-range")
def _(db, rng):
    db.put(rng.choice(db.elements(_leaf(db, rng).id)).at + 4, "III", 0xFFFFFFF0, 0xFFFFFFF0, 0xFFFFFFF0)


@damage("a branch's key outside of its page", "element-range")
def _(db, rng):
    db.put(rng.choice(db.elements(_branch(db, rng).id)).at, "I", 0xFFFFFFF0)


# --- meta pages

@damage("both metas without magic", "meta")
def _(db, rng):
    for at in (0, 1):
        db.put_meta(at, magic=0)


@damage("both metas of another version", "meta")
def _(db, rng):
    for at in (0, 1):
        db.put_meta(at, version=3)


@damage("both metas with a wrong checksum", "meta", metas=())
def _(db, rng):
    for at in (0, 1):
        db.put_meta(at, sequence=db.read_meta(at).sequence + 1)


@damage("the metas' root beyond the file", "child-range", "meta")
def _(db, rng):
    for at in (0, 1):
        db.put_meta(at, root=FAR)


@damage("the metas' high water mark beyond the file", "meta", "overflow", "child-range")
def _(db, rng):
    for at in (0, 1):
        db.put_meta(at, high=FAR)


@damage("the metas' high water mark below pages in use", "child-range", "overflow", "meta", "freelist")
def _(db, rng):
    used = sorted(page.id for page in db.pages())
    for at in (0, 1):
        db.put_meta(at, high=used[len(used) // 2])


@damage("one meta damaged: the other counts", level=4, metas=())
def _(db, rng):
    older = min(db.metas, key=lambda meta: meta.txid)
    db.data[db.offset(older.at) + 16:db.offset(older.at) + 80] = rng.randbytes(64)


# --- buckets

@damage("a bucket's root beyond the file", "child-range", "bucket")
def _(db, rng):
    db.put(db.bucket(b"key").value_at, "Q", FAR)


@damage("a bucket's root is a meta page", "child-range", "page-flags", "bucket")
def _(db, rng):
    db.put(db.bucket(b"key").value_at, "Q", 1)


@damage("a bucket's root is the root itself", "child-twice", "depth")
def _(db, rng):
    db.put(db.bucket(b"key").value_at, "Q", db.meta.root)


@damage("a bucket too short for its header", "bucket")
def _(db, rng):
    db.put(db.bucket(b"key").at + 12, "I", 15)


@damage("an inline bucket that cannot be", "bucket", "page-flags", "page-count", "element-range")
def _(db, rng):
    inline = [element for page in db.kinds("leaf", b"") for element in db.elements(page.id)
              if element.flags & BUCKET and not db.bucket_root(element) and element.value_bytes >= 32]
    db.put(rng.choice(inline).value_at + 16 + 8, "HH", LEAF, 0xFFF0)  # its page's flags and count


# --- the freelist

@damage("a stored freelist is fine", level=4)
def _(db, rng):
    db.store_freelist()


@damage("a free page is in use", "free-in-use")
def _(db, rng):
    db.store_freelist(sorted([*db.free(), _leaf(db, rng).id]))


@damage("a free page beyond the file", "freelist")
def _(db, rng):
    db.store_freelist([*db.free(), FAR])


@damage("a free page that is a meta page", "freelist", "free-in-use")
def _(db, rng):
    db.store_freelist([1, *db.free()])


@damage("free pages out of order or twice", "freelist")
def _(db, rng):
    free = db.free() or [db.meta.high + 1]
    db.store_freelist([*free, free[-1]])


@damage("a lost page: neither free nor in use", "page-lost")
def _(db, rng):
    if not db.free():  # one more page that nobody has
        high = db.meta.high
        db.data += bytes(max(0, db.offset(high + 1) - len(db.data)))
        for at in (0, 1):
            db.put_meta(at, high=high + 1)
        db.sum_metas()
    db.store_freelist(db.free()[1:])


@damage("the freelist is a leaf", "freelist", "child-twice", "free-in-use", "page-flags")
def _(db, rng):
    page = _leaf(db, rng).id
    for at in (0, 1):
        db.put_meta(at, freelist=page)


@damage("the freelist lies beyond the file", "freelist")
def _(db, rng):
    for at in (0, 1):
        db.put_meta(at, freelist=NO_FREELIST - 1)


@damage("the freelist has more pages than fit", "freelist", "page-count")
def _(db, rng):
    db.put_header(db.store_freelist(), count=0xFFF0)


# --- what etcd sees

@damage("no bucket named key", "no-key-bucket", level=3)
def _(db, rng):
    element = db.bucket(b"key")
    db.data[element.key_at:element.key_at + 3] = b"kez"


@damage("a revision of the wrong length", "revision", level=3)
def _(db, rng):
    element = db.elements(_leaf(db, rng).id)[-1]
    db.put(element.at + 8, "II", element.key_bytes + 2, element.value_bytes - 2)


@damage("a revision without its mark", "revision", "key-order", level=3)
def _(db, rng):
    element = rng.choice(db.elements(_leaf(db, rng).id))
    db.data[element.key_at + 8] = 0x2F  # '/', one below '_'


@damage("a record that is no mvccpb.KeyValue", "record", level=3)
def _(db, rng):
    element = rng.choice(db.elements(_leaf(db, rng).id))
    db.data[element.value_at:element.value_at + 2] = b"\xff\xff"
