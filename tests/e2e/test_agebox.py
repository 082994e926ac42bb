"""The harness of `age` and `zstd`: what it packs it opens, and what is damaged it refuses. No holdfast takes part."""
from __future__ import annotations

import os

import pytest

from peers.agebox import AgeKey, compress, encrypt, opened, zstd_facts
from peers.proc import PeerError


def test_packed_and_opened(tmp_path):
    plain = tmp_path / "x.db"
    plain.write_bytes(os.urandom(100_000) + bytes(500_000))
    one, two = AgeKey(tmp_path / "one"), AgeKey(tmp_path / "two")
    assert one.recipient != two.recipient and AgeKey(tmp_path / "one").secret == one.secret
    small = compress(plain, tmp_path / "x.db.zst")
    assert small.stat().st_size < 110_000 and "XXH64" in zstd_facts(small)
    sealed = encrypt(small, tmp_path / "x.db.zst.age", [one.recipient, two.recipient])
    (tmp_path / "again").mkdir()
    for key in (one, two):
        assert opened(sealed, tmp_path / "again", key).read_bytes() == plain.read_bytes()
    with pytest.raises(PeerError, match="identity did not match|no identity matched"):
        opened(sealed, tmp_path / "again", AgeKey(tmp_path / "three"))


@pytest.mark.parametrize("at", [0, 200, -1])
def test_damage_is_refused(tmp_path, at):
    plain, key = tmp_path / "x.db", AgeKey(tmp_path / "key")
    plain.write_bytes(os.urandom(1000))
    for path in (compress(plain, tmp_path / "x.db.zst"), encrypt(plain, tmp_path / "x.db.age", [key.recipient])):
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)
        with pytest.raises(PeerError):
            opened(path, tmp_path, key)
