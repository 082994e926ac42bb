"""What net/format/age and net/format/zstd write and read, against the real age and zstd, both ways. The probe is tests/e2e/pack.c."""
from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from peers.agebox import AgeKey, compress, decompress, encrypt, zstd_facts
from peers.proc import PeerError, run

KIB, MIB = 1 << 10, 1 << 20
CHUNK, TAG = 64 * KIB, 16
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * MIB]
SPANS = [(64 * KIB, 64 * KIB), (256 * KIB, 256 * KIB), (4093, 70001)]


@pytest.fixture(scope="session")
def probe(holdfast) -> Path:
    path = holdfast.parent / "e2e/pack"
    assert os.access(path, os.X_OK), f"{path} is not there: run `make VARIANT=x86_64 probes`"
    return path


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> list[AgeKey]:
    folder = tmp_path_factory.mktemp("keys")
    return [AgeKey(folder / f"{n}.txt") for n in range(8)]


def pack(probe: Path, source: Path, out: Path, *words: object, spans: tuple[int, int] = SPANS[0]) -> subprocess.CompletedProcess:
    with open(source, "rb") as stdin, open(out, "wb") as stdout:
        return subprocess.run([probe, *map(str, words), "--in", str(spans[0]), "--out", str(spans[1])], stdin=stdin, stdout=stdout,
                              stderr=subprocess.PIPE, timeout=60, check=False)


def packed(*args, **how) -> None:
    done = pack(*args, **how)
    assert done.returncode == 0, done.stderr.decode()


def refused(*args, **how) -> str:
    done = pack(*args, **how)
    assert done.returncode == 1, f"exit {done.returncode}"
    return done.stderr.decode()


def content(folder: Path, size: int) -> Path:
    """Half of it compresses."""
    path = folder / f"plain-{size}"
    path.write_bytes((random.Random(size).randbytes(size // 2) + b"/registry/pods/default/web-" * size)[:size])
    return path


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spans", SPANS)
def test_age_both_ways(probe, keys, tmp_path, size, spans):
    plain, ours, back = content(tmp_path, size), tmp_path / "ours.age", tmp_path / "back"
    packed(probe, plain, ours, "encrypt", "-r", keys[0].recipient, spans=spans)
    back.touch()  # age makes no file of nothing
    assert keys[0].decrypt(ours, back).read_bytes() == plain.read_bytes()
    theirs = encrypt(plain, tmp_path / "theirs.age", [keys[0].recipient])
    for file in (ours, theirs):
        packed(probe, file, back, "decrypt", "-i", keys[0].file, spans=spans)
        assert back.read_bytes() == plain.read_bytes()


def test_each_of_several_identities_opens_it(probe, keys, tmp_path):
    plain, ours, back = content(tmp_path, 100_000), tmp_path / "ours.age", tmp_path / "back"
    everyone = [key.recipient for key in keys]
    packed(probe, plain, ours, "encrypt", *[word for r in everyone for word in ("-r", r)])
    theirs = encrypt(plain, tmp_path / "theirs.age", everyone)
    for key in keys:
        assert key.decrypt(ours, back).read_bytes() == plain.read_bytes()
        packed(probe, theirs, back, "decrypt", "-i", key.file)
        assert back.read_bytes() == plain.read_bytes()
    both = tmp_path / "both.txt"
    both.write_text(keys[1].file.read_text() + keys[0].file.read_text())
    single = encrypt(plain, tmp_path / "single.age", [keys[0].recipient])
    packed(probe, single, back, "decrypt", "-i", both)
    assert back.read_bytes() == plain.read_bytes()


def test_not_for_us(probe, keys, tmp_path):
    plain, out, back = content(tmp_path, 100), tmp_path / "x.age", tmp_path / "back"
    encrypt(plain, out, [keys[0].recipient, keys[1].recipient])
    told = refused(probe, out, back, "decrypt", "-i", keys[2].file, "-i", keys[3].file)
    assert "E_DENIED none of the 2 identities given opens this age file (it has 2 recipients)" in told
    ssh = tmp_path / "ssh"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ssh])
    run(["age", "-R", ssh.with_suffix(".pub"), "-r", keys[0].recipient, "-o", out, plain])
    packed(probe, out, back, "decrypt", "-i", keys[0].file)  # what is for others is passed over
    assert back.read_bytes() == plain.read_bytes()
    assert "E_DENIED" in refused(probe, out, back, "decrypt", "-i", keys[1].file)
    encrypt(plain, out, [keys[0].recipient], armor=True)
    assert "E_UNSUPPORTED the age file is armored" in refused(probe, out, back, "decrypt", "-i", keys[0].file)
    assert "is an SSH key" in refused(probe, plain, out, "encrypt", "-r", ssh.with_suffix(".pub").read_text())
    for word in (keys[0].secret, keys[0].secret.lower()):
        told = refused(probe, plain, out, "encrypt", "-r", word)
        assert "is a secret key" in told and keys[0].secret[20:] not in told.upper()


def verdict(key: AgeKey, source: Path, out: Path) -> bool:
    try:
        key.decrypt(source, out)
        return True
    except PeerError:
        return False


@pytest.mark.parametrize("place", ["version", "share", "body", "code", "nonce", "first chunk", "its tag", "last chunk", "last tag"])
def test_flipped_bytes(probe, keys, tmp_path, place):
    plain, file, back = content(tmp_path, CHUNK + 1000), tmp_path / "x.age", tmp_path / "back"
    data = bytearray(encrypt(plain, file, [keys[0].recipient]).read_bytes())
    header = data.index(b"\n---") + 1 + 4 + 43 + 1
    payload = header + 16
    at = {"version": 3, "share": 40, "body": 80, "code": header - 20, "nonce": header + 3, "first chunk": payload + 100,
          "its tag": payload + CHUNK + 3, "last chunk": payload + CHUNK + TAG + 7, "last tag": len(data) - 1}[place]
    data[at] ^= 1
    file.write_bytes(data)
    told = refused(probe, file, back, "decrypt", "-i", keys[0].file)
    assert "E_CORRUPT" in told or ("E_DENIED" in told and place in ("share", "body")), told
    assert back.stat().st_size in ((0, CHUNK) if place.startswith("last") else (0,))
    assert not verdict(keys[0], file, tmp_path / "theirs")


def test_cut_at_each_chunk(probe, keys, tmp_path):
    plain, ours, file, back = content(tmp_path, 3 * CHUNK + 5), tmp_path / "ours.age", tmp_path / "x.age", tmp_path / "back"
    packed(probe, plain, ours, "encrypt", "-r", keys[0].recipient)
    data = ours.read_bytes()
    payload = data.index(b"\n---") + 1 + 4 + 43 + 1 + 16
    cuts = [0, 1, 21, payload - 17, payload - 1] + [payload + n * (CHUNK + TAG) + d for n in range(4) for d in (-1, 0, 1)] + [len(data) - 1]
    for cut in cuts:
        file.write_bytes(data[:cut])
        assert "E_CORRUPT" in refused(probe, file, back, "decrypt", "-i", keys[0].file), cut
        assert back.stat().st_size <= max(0, cut - payload)
        assert not verdict(keys[0], file, tmp_path / "theirs"), cut
    file.write_bytes(data + b"x")
    assert "E_CORRUPT" in refused(probe, file, back, "decrypt", "-i", keys[0].file)
    assert not verdict(keys[0], file, tmp_path / "theirs")


# --- zstd ---

@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level,window", [(1, 19), (2, 19), (3, 20)])
def test_zstd_both_ways(probe, tmp_path, size, level, window):
    plain, ours, back = content(tmp_path, size), tmp_path / "ours.zst", tmp_path / "back"
    for spans in SPANS:
        packed(probe, plain, ours, "compress", "--level", level, "--window", window, spans=spans)
        assert decompress(ours, back).read_bytes() == plain.read_bytes()
        theirs = compress(plain, tmp_path / "theirs.zst", level, f"--zstd=wlog={window}")
        for file in (ours, theirs):
            packed(probe, file, back, "decompress", "--window", window, spans=spans)
            assert back.read_bytes() == plain.read_bytes()
    assert "XXH64" in zstd_facts(ours)
    assert ours.stat().st_size <= theirs.stat().st_size * 1.02 + 20


def test_zstd_windows(probe, tmp_path):
    plain, back = content(tmp_path, 3 * MIB), tmp_path / "back"
    usual = compress(plain, tmp_path / "usual.zst")  # one file of known size: a window of 2 MiB
    packed(probe, usual, back, "decompress", "--window", 21)
    assert back.read_bytes() == plain.read_bytes()
    assert "a window of 2048 KiB is wanted, 1024 KiB is the most here" in refused(probe, usual, back, "decompress", "--window", 20)
    with open(plain, "rb") as stdin:  # of a stream: as large as is asked for
        long = tmp_path / "long.zst"
        long.write_bytes(subprocess.run(["zstd", "-q", "-c", "--long=27"], stdin=stdin, stdout=subprocess.PIPE, check=True).stdout)
    assert "E_RANGE decompressing: a window of 131072 KiB is wanted" in refused(probe, long, back, "decompress", "--window", 21)


def test_zstd_streams(probe, tmp_path):
    one, two, back = content(tmp_path, 100_000), content(tmp_path, 7), tmp_path / "back"
    file = tmp_path / "x.zst"
    a, b = compress(one, tmp_path / "a.zst").read_bytes(), compress(two, tmp_path / "b.zst").read_bytes()
    file.write_bytes(a + b"\x5f\x2a\x4d\x18\x05\0\0\0hello" + b)
    packed(probe, file, back, "decompress")
    assert back.read_bytes() == one.read_bytes() + two.read_bytes()
    for bad, words in ((a[:-1], "cut off inside a frame"), (a + b[:5], "cut off inside a frame"), (a + b"\0", "something else follows"),
                       (a + bytes(9), "something else follows the zstd frames"), (b"", "nothing there"), (b"x" * 9, "this is no zstd file"),
                       (a[:-1] + bytes([a[-1] ^ 1]), "E_CORRUPT")):
        file.write_bytes(bad)
        assert words in refused(probe, file, back, "decompress")


def test_all_of_it(probe, keys, tmp_path):
    """The way of a backup, there by us and back by the real tools, and the other way."""
    plain = content(tmp_path, 3 * MIB)
    packed(probe, plain, tmp_path / "a.zst", "compress")
    packed(probe, tmp_path / "a.zst", tmp_path / "a.zst.age", "encrypt", "-r", keys[0].recipient, "-r", keys[1].recipient)
    keys[1].decrypt(tmp_path / "a.zst.age", tmp_path / "b.zst")
    assert decompress(tmp_path / "b.zst", tmp_path / "b").read_bytes() == plain.read_bytes()
    encrypt(compress(plain, tmp_path / "c.zst"), tmp_path / "c.zst.age", [keys[0].recipient])
    packed(probe, tmp_path / "c.zst.age", tmp_path / "d.zst", "decrypt", "-i", keys[0].file)
    packed(probe, tmp_path / "d.zst", tmp_path / "d", "decompress", "--window", 21)
    assert (tmp_path / "d").read_bytes() == plain.read_bytes()
