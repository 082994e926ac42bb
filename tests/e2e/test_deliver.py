"""Tokens and deliveries: assertions verified by openssl, and everything by the strict platform (tests/peers/platform), over HTTP/2
and HTTP/1.1. The program is tests/e2e/deliver.c: e2e/deliver beside the binary under test."""
from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from peers.ca import Ca
from peers.platform import SNAPSHOT_KEYS, Keys, Platform
from peers.proc import run


@pytest.fixture(scope="module")
def program(holdfast) -> Path:
    path = holdfast.parent / "e2e" / "deliver"
    assert os.access(path, os.X_OK), f"{path} is not there: run `make probes`"
    return path


@pytest.fixture(scope="module")
def ca(tmp_path_factory) -> Ca:
    return Ca(tmp_path_factory.mktemp("ca"))


def told(program: Path, platform: Platform, *args: object, key: Path | None = None, code: int = 0) -> dict[str, str]:
    trust = ["-c", platform.tls.ca] if platform.tls else []
    done = run([program, platform.url, platform.client_id, key or platform.private_key, *trust, *map(str, args)], check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return dict(re.findall(r'(\w+)=("[^"]*"|\S+)', done.stdout.decode()))


def der_integer(number: bytes) -> bytes:
    number = number.lstrip(b"\0") or b"\0"
    number = b"\0" + number if number[0] & 0x80 else number
    return b"\2" + bytes([len(number)]) + number


def unpadded(text: str) -> bytes:
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("form", ["sec1", "pkcs8"])
def test_openssl_verifies(program, tmp_path, form):
    """X-1, X-5: r and s, 32 bytes each, verified by openssl; claims as RFC 7523 and ingest.md 5.2 have them."""
    keys = Keys(tmp_path)
    for _ in range(5):
        done = run([program, "https://api.obsyk.test/", "client-7", getattr(keys, form), "-j"])
        head, claims, signature = done.stdout.decode().strip().split(".")
        assert json.loads(unpadded(head)) == {"alg": "ES256", "typ": "JWT"}
        said = json.loads(unpadded(claims))
        assert list(said) == ["iss", "sub", "aud", "exp", "iat", "jti"]
        assert said["iss"] == said["sub"] == "client-7" and said["aud"] == ["https://api.obsyk.test/"]
        assert said["exp"] == said["iat"] + 300
        raw = unpadded(signature)
        assert len(raw) == 64
        both = der_integer(raw[:32]) + der_integer(raw[32:])
        (tmp_path / "signature").write_bytes(b"\x30" + bytes([len(both)]) + both)
        (tmp_path / "signed").write_text(f"{head}.{claims}")
        subprocess.run(["openssl", "dgst", "-sha256", "-verify", keys.public, "-signature", tmp_path / "signature",
                        tmp_path / "signed"], check=True, capture_output=True)


WRONG_KEYS = [  # name, openssl's words, what is told
    ("P-384", ["ecparam", "-name", "secp384r1", "-genkey", "-noout"], "a P-384 key: ES256 needs P-256"),
    ("P-521", ["ecparam", "-name", "secp521r1", "-genkey", "-noout"], "a P-521 key: ES256 needs P-256"),
    ("RSA", ["genpkey", "-algorithm", "RSA"], "an RSA key, not ECDSA"),
    ("Ed25519", ["genpkey", "-algorithm", "ED25519"], "not ECDSA"),
    ("encrypted", ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes-128-cbc", "-pass", "pass:x"],
     "decrypt it first"),
]


@pytest.mark.parametrize("name, words, tells", WRONG_KEYS, ids=[case[0] for case in WRONG_KEYS])
def test_other_keys_are_named(program, tmp_path, name, words, tells):
    """X-2, X-3: keys as openssl writes them."""
    key = tmp_path / "key.pem"
    key.write_bytes(run(["openssl", *words]).stdout)
    done = run([program, "https://api.obsyk.test", "c", key, "-j"], check=False)
    assert done.returncode == 1 and tells in done.stderr.decode()


def test_ec_parameters_in_front(program, tmp_path):
    """X-4."""
    key = tmp_path / "key.pem"
    key.write_bytes(run(["openssl", "ecparam", "-name", "prime256v1", "-genkey"]).stdout)
    assert key.read_text().startswith("-----BEGIN EC PARAMETERS-----")
    run([program, "https://api.obsyk.test", "c", key, "-j"])


@pytest.mark.cluster
@pytest.mark.parametrize("http2", [True, False], ids=["h2", "http/1.1"])
def test_all_is_taken(program, ca, tmp_path, http2):
    """Events, heartbeats and a snapshot, by a platform that refuses what departs from the contract."""
    snapshot = tmp_path / "snapshot.json"
    said = {"cluster_uid": "c-1", "cluster_name": "lab", **{name: [] for name in SNAPSHOT_KEYS.values()}}
    snapshot.write_text(json.dumps(said, separators=(",", ":")))
    with Platform(tmp_path / "platform", tls=ca.server("platform"), http2=http2) as platform:
        platform.expect(lenient=True)
        line = told(program, platform, "-e", 500, "-h", 3, "-s", snapshot)
        assert platform.count("events") == 500 and platform.count("heartbeats") == 3 and platform.count("snapshots") == 1
        assert platform.count("tokens") == 1 and platform.count("repeats") == 0
        platform.assert_clean()
    assert line["delivered"] == "504" and line["protocol"] == ("h2" if http2 else "http/1.1") and line["again"] == "0"


@pytest.mark.cluster
def test_another_key_is_refused(program, ca, tmp_path):
    other = Keys(tmp_path, "other")
    with Platform(tmp_path / "platform", tls=ca.server("platform")) as platform:
        line = told(program, platform, "-h", 1, key=other.sec1, code=1)
    assert line["later"] == "1" and line["reason"] == '"the platform refuses the credentials"'
