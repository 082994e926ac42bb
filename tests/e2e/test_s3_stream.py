"""A snapshot streamed into S3: one object and its record, or nothing at all; in the memory of its profile."""
from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from peers.backup import now
from peers.etcd import Etcd, restore
from peers.faulty import Faults, Proxy
from peers.s3fake import INTERNAL, NOT_PUT, S3Fake
from peers.s3store import Refusal

MIB = 1 << 20
PREFIX = "cluster/a/"
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
TAKEN = Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> tuple[Path, str]:
    file = tmp_path_factory.mktemp("age") / "ours"
    subprocess.run(["age-keygen", "-o", file], check=True, capture_output=True)
    return file, subprocess.run(["age-keygen", "-y", file], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory, server_cert):
    with Etcd(tmp_path_factory.mktemp("etcd"), tls=server_cert) as member:
        member.start().fill(4500, big=24)  # some 40 MiB, half of which cannot be packed
        yield member


@pytest.fixture
def s3(tmp_path, request, server_cert):
    """With TLS where the test says so."""
    with S3Fake(tmp_path / "s3", tls=server_cert if getattr(request, "param", False) else None) as server:
        server.client().make_bucket()
        yield server


@pytest.fixture
def site(make_hub, s3, etcd, keys, client_cert):
    """site(**options of the hub): one whose only destination is that server, sealed and compressed."""
    def make(endpoint: str = etcd.back_door, **how):
        hub = make_hub(endpoints=[endpoint], client=client_cert if endpoint.startswith("https") else None, **how)
        for name, word in (("access", s3.keys.access), ("secret", s3.keys.secret)):
            (hub.folder / name).write_text(word + "\n")
        hub.config["backup"]["destinations"] = [{
            "name": "off-site", "type": "s3", "endpoint": s3.url, "bucket": "backups", "prefix": PREFIX, "region": s3.region,
            "access_key_file": str(hub.folder / "access"), "secret_key_file": str(hub.folder / "secret"),
            "encrypt": {"recipients": [keys[1]]}, **({"ca": str(s3.tls.ca)} if s3.tls else {})}]
        hub.write_config()
        return hub
    return make


def stored(s3) -> list[str]:
    return sorted(s3.client().keys_of(PREFIX))


def nothing_is_there(s3) -> None:
    assert stored(s3) == [] and s3.client().uploads() == []


def assert_whole(s3, record: dict, keys, folder: Path) -> Path:
    content = s3.client().read(PREFIX + record["name"])
    assert record["stored_bytes"] == len(content) and record["stored_sha256"] == hashlib.sha256(content).hexdigest()
    assert json.loads(s3.client().read(PREFIX + record["name"] + ".json")) == record
    sealed, plain = folder / "stored", folder / "plain.db"
    sealed.write_bytes(content)
    subprocess.run(["bash", "-o", "pipefail", "-c", f"age -d -i {keys[0]} < {sealed} | zstd -d -q -c > {plain}"], check=True, timeout=300)
    whole = plain.read_bytes()
    assert hashlib.sha256(whole[:-32]).digest() == whole[-32:] and record["sha256"] == whole[-32:].hex()
    return plain


@pytest.mark.parametrize("profile", ["edge16", "hub32"])
@pytest.mark.parametrize("scratch", [False, True], ids=["no-scratch", "scratch"])
def test_one_object_and_its_record(s3, site, etcd, keys, tmp_path, scratch, profile):
    hub = site()
    if scratch:
        hub.config["backup"]["verify"] = {"scratch": str(hub.folder / "scratch")}
        hub.write_config()
    done = now(hub, "--profile", profile, "-o", "json")
    assert (done.code, done.said) == (0, "")
    record = done.record
    assert stored(s3) == [PREFIX + record["name"], PREFIX + record["name"] + ".json"] and s3.client().uploads() == []
    assert record["name"].endswith(".db.zst.age") and record["etag"] and record["stored_bytes"] > 10 * MIB
    assert (record["verdict"], record["level"], record["reason"]) == (("good", 4, None) if scratch else ("good", 2, "no-scratch"))
    plain = assert_whole(s3, record, keys, tmp_path)
    with restore(plain, tmp_path / "again") as again:
        again.start()
        assert again.count() == etcd.count()


def test_a_wrong_trailer_never_appears(s3, site, etcd):
    with Proxy(etcd.back_port, down=Faults(flip_at=2 * MIB, flip_in=b"/registry/things/")) as proxy:
        hub = site(f"http://127.0.0.1:{proxy.port}")
        done = now(hub, "-o", "json")
    assert done.code == 1 and done.failures[0]["reason"] == "corrupt" and "nothing was stored" in done.failures[0]["error"]
    nothing_is_there(s3)


@pytest.mark.parametrize("how", ["truncate_after", "reset_after"])
def test_a_stream_that_ends_early_never_appears(s3, site, etcd, how):
    with Proxy(etcd.back_port, down=Faults(**{how: 20 * MIB})) as proxy:
        done = now(site(f"http://127.0.0.1:{proxy.port}"), "-o", "json")
    assert done.code == 1
    nothing_is_there(s3)


@pytest.mark.parametrize("op,n", [("CreateMultipartUpload", 1), ("UploadPart", 1), ("UploadPart", 2), ("CompleteMultipartUpload", 1)])
def test_an_upload_that_fails_leaves_nothing_and_the_next_is_good(s3, site, keys, tmp_path, op, n):
    hub = site()
    s3.fault(op, n, INTERNAL, times=1000)
    done = now(hub, "-o", "json", seconds=300)
    assert done.code == 1 and done.failures[0]["destination"] == "off-site"
    nothing_is_there(s3)
    s3.clear()
    again = now(hub, "-o", "json")
    assert again.code == 0
    assert_whole(s3, again.record, keys, tmp_path)


def test_a_name_that_is_taken_is_another_second(s3, site, keys, tmp_path):
    s3.fault("CompleteMultipartUpload", 1, TAKEN)
    done = now(site(), "-o", "json")
    assert done.code == 0, done.said
    assert len(stored(s3)) == 2 and s3.client().uploads() == []
    assert_whole(s3, done.record, keys, tmp_path)


def test_a_server_that_lets_two_write_one_name_gets_names_with_the_hub(s3, site, keys, tmp_path):
    """It was asked to refuse the other, and did not: what lies there is the other's."""
    s3.fault("CompleteMultipartUpload", 1, another=True)
    hub = site()
    done = now(hub, "-o", "json")
    own = (hub.folder / "data" / "hub.id").read_text().strip()
    assert done.code == 0 and "names get the hub's id" in done.said, done.said
    assert f"-{own}.db" in done.record["name"] and len(stored(s3)) == 3 and s3.client().uploads() == []
    assert_whole(s3, done.record, keys, tmp_path)


def test_credentials_that_may_only_put(s3, site, keys, tmp_path):
    s3.denied = NOT_PUT
    done = now(site(), "-o", "json")
    assert done.code == 0, done.said
    s3.denied = frozenset()
    assert len(stored(s3)) == 2
    assert_whole(s3, done.record, keys, tmp_path)


@pytest.mark.parametrize("s3", [True], ids=["tls"], indirect=True)
@pytest.mark.parametrize("profile", ["edge16", "hub32"])
def test_in_the_memory_of_the_profile(s3, site, etcd, profile):
    """TLS on both sides."""
    hub = site(etcd.url, profile=profile, limited=True)
    hub.start()
    hub.wait_log("backup done", 1, 300)
    peak = hub.metric("holdfast_task_heap_peak_bytes", task="backup")
    print(f"{profile}: heap of the backup at its peak {peak / MIB:.2f} MiB")
    assert peak <= (8 if profile == "edge16" else 14) * MIB
    assert hub.metric("holdfast_task_refusals_total", task="backup") == 0
    assert len(stored(s3)) == 2


@pytest.mark.parametrize("s3", [True], ids=["tls"], indirect=True)
def test_beside_all_authorities_of_the_system(s3, site, etcd):
    """edge16, a bundle of the system's size in memory, TLS on both sides."""
    hub = site(etcd.url, profile="edge16", limited=True, every="10s")
    bundle = hub.folder / "bundle.pem"
    bundle.write_text(SYSTEM_BUNDLE.read_text() + s3.tls.ca.read_text())
    hub.config["backup"]["destinations"][0].update(ca=str(bundle), retention={"last": 9})
    hub.start()
    hub.wait_log("backup done", 3, 300)  # the heap has been used before, too
    print(f"edge16: heap of the backup at its peak {hub.metric('holdfast_task_heap_peak_bytes', task='backup') / MIB:.2f} MiB")
    assert hub.metric("holdfast_task_refusals_total", task="backup") == 0
    assert len(stored(s3)) >= 6


@pytest.mark.cluster
@pytest.mark.parametrize("s3", [True], ids=["tls"], indirect=True)
def test_a_large_database_on_the_smallest_board(s3, site, start_big, keys):
    """2 GiB through edge16, under RLIMIT_DATA."""
    etcd, _ = start_big()
    hub = site(etcd.url, profile="edge16", limited=True)
    hub.start()
    hub.wait_log("backup done", 1, 1800)
    peak = hub.metric("holdfast_task_heap_peak_bytes", task="backup")
    rate = hub.metric("holdfast_backup_stream_bytes_per_second", destination="off-site")
    print(f"edge16: heap of the backup at its peak {peak / MIB:.2f} MiB, {rate / MIB:.0f} MiB/s")
    assert peak <= 8 * MIB and len(stored(s3)) == 2
