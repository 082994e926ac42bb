"""Our etcd client's smaller calls against real members: alarms and the hash of the keys.

The program is tests/e2e/ask.c: e2e/ask beside the binary under test.
"""
from __future__ import annotations

import json
import os

import pytest

from peers.etcd import Cluster
from peers.proc import PeerError, run


@pytest.fixture(scope="session")
def ask(holdfast):
    """ask("hash", 5, url): the finished program."""
    path = holdfast.parent / "e2e" / "ask"
    assert os.access(path, os.X_OK), f"{path} is not there: run `make probes`"
    return lambda *words: run([path, *map(str, words)], check=False)


def asked(ask, etcd, client, *words) -> str:
    done = ask(*words, etcd.url, etcd.tls.ca, client.cert, client.key)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def refused(ask, etcd, client, *words) -> str:
    done = ask(*words, etcd.url, etcd.tls.ca, client.cert, client.key)
    assert done.returncode == 1 and done.stdout == b""
    return done.stderr.decode()


def write(etcd, keys: int) -> int:
    """One transaction a key; the newest revision."""
    for i in range(keys):
        etcd.gateway().put_many([(b"key %d" % (i % 20), b"value %d" % i)])
    return etcd.gateway().revision()


def their_hash(etcd, revision: int) -> int:
    line = etcd.etcdctl("endpoint", "hashkv", "--rev", revision, "-w", "json").stdout
    return json.loads(line)[0]["HashKV"]["hash"]


def test_hash_is_what_etcdctl_says(ask, etcd, client_cert):
    newest = write(etcd, 80)
    etcd.gateway().call("/v3/kv/compaction", {"revision": str(newest - 50)})
    for revision in (newest, newest - 1, newest - 49):
        assert asked(ask, etcd, client_cert, "hash", revision) == f"{their_hash(etcd, revision)} {newest - 50}\n"
    assert len({their_hash(etcd, revision) for revision in (newest, newest - 20)}) == 2


def test_hash_of_a_revision_that_is_not_there(ask, etcd, client_cert):
    newest = write(etcd, 80)
    etcd.gateway().call("/v3/kv/compaction", {"revision": str(newest - 5)})
    gone = refused(ask, etcd, client_cert, "hash", newest - 50)
    assert gone.startswith("E_ABSENT ") and "required revision has been compacted" in gone and etcd.url in gone
    ahead = refused(ask, etcd, client_cert, "hash", newest + 1000)
    assert ahead.startswith("E_ABSENT ") and "is a future revision" in ahead


def test_no_alarm(ask, etcd, client_cert):
    assert asked(ask, etcd, client_cert, "alarms") == ""


def test_a_full_database_is_an_alarm(ask, start_etcd, etcd_version, client_cert):
    etcd = start_etcd(etcd_version, flags=["--quota-backend-bytes", str(2 << 20)])
    with pytest.raises(PeerError, match="space"):
        for i in range(200):
            etcd.gateway().put_many([(b"k%d" % i, os.urandom(100_000))])
    member = int(etcd.gateway().status()["header"]["member_id"])
    assert asked(ask, etcd, client_cert, "alarms") == f"NOSPACE {member:x}\n"
    etcd.etcdctl("alarm", "disarm")
    assert asked(ask, etcd, client_cert, "alarms") == ""


def test_alarms_of_all_members(ask, tmp_path, server_cert, client_cert):
    with Cluster(tmp_path, 3, tls=server_cert).start() as cluster:
        first, *_, last = cluster.members
        member = int(last.gateway().status()["header"]["member_id"])
        last.gateway().call("/v3/maintenance/alarm", {"action": "ACTIVATE", "memberID": str(member), "alarm": "CORRUPT"})
        assert asked(ask, first, client_cert, "alarms") == f"CORRUPT {member:x}\n"


def test_strangers(ask, etcd, client_cert, other_ca):
    stranger = other_ca.client("stranger")
    assert refused(ask, etcd, stranger, "alarms").split()[0] in ("E_CERT_WANTED", "E_TLS", "E_CLOSED", "E_RESET")
