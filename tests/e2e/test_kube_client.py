"""net/api/kube against a real control plane: lists, watches, restarts, compaction, credentials, roles, leases. The probe is
tests/e2e/kube.c."""
from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from peers.ca import Ca
from peers.kube import ControlPlane
from peers.kubeconfig import Login, write_kubeconfig
from peers.proc import Proc, wait_for

pytestmark = pytest.mark.cluster
PODS, MAPS, NAMESPACES = "/api/v1/pods", "/api/v1/configmaps", "/api/v1/namespaces"


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), manager=False, kwok=False, nodes=1, watch_cache=False) as made:
        yield made


@pytest.fixture(scope="module")
def probe(holdfast):
    path = holdfast.parent / "e2e" / "kube"
    assert os.access(path, os.X_OK), f"{path} is not there: run `make probes`"
    return path


def ask(probe, config, *words, context="", good=True):
    done = subprocess.run([probe, config, context, *words], capture_output=True, text=True, timeout=120)
    assert (done.returncode == 0) == good, done.stderr
    return done.stdout.splitlines() if good else done.stderr


def config_map(name, data="x"):
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"key": data}}


class Follower:
    """The probe as it follows; `seen` are its lines."""

    def __init__(self, probe, plane, *paths, seconds=180, env=None):
        self.log = plane.folder / f"follow-{time.monotonic_ns()}.log"
        self.proc = Proc([probe, plane.admin_config, "", "follow", str(seconds), *paths], log=self.log, env=env)

    def seen(self):
        return self.log.read_text().rpartition("\n")[0].splitlines()  # whole ones

    def wait(self, line, seconds=60):
        wait_for(lambda: any(line in s for s in self.seen()), f"{line} in {self.log}", seconds, self.proc)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.kill()


def test_list_by_pages(plane, probe):
    for i in range(23):
        plane.client.create("ConfigMap", config_map(f"page-{i:02}"))
    whole = ask(probe, plane.admin_config, "list", MAPS)
    paged = ask(probe, plane.admin_config, "list", MAPS, "4")
    ours = "default/page-"  # a young API server still makes some of its own
    assert sorted(line for line in whole if line.startswith(ours)) == sorted(line for line in paged if line.startswith(ours))
    wanted = {f"{o['metadata']['namespace']}/{o['metadata']['name']} {o['metadata']['uid']} {o['metadata']['resourceVersion']}"
              for o in plane.objects("ConfigMap")}
    assert {line for line in paged if line.startswith(ours)} == {line for line in wanted if line.startswith(ours)} and len(wanted) >= 23
    assert [whole[-1].split()[2], paged[-1].split()[2]] == [str(len(whole) - 1), str(len(paged) - 1)]


def test_one_object(plane, probe):
    assert ask(probe, plane.admin_config, "put", "create", f"{NAMESPACES}/default/configmaps", '{"metadata":{"name":"one"}}') == ["one"]
    path = f"{NAMESPACES}/default/configmaps/one"
    assert ask(probe, plane.admin_config, "put", "patch", path, '{"data":{"a":"b"}}') == ["one"]
    assert plane.client.get("ConfigMap", "one", "default")["data"] == {"a": "b"}
    told = ask(probe, plane.admin_config, "put", "patch", path, '{"metadata":{"resourceVersion":"1"},"data":{"a":"c"}}', good=False)
    assert told.startswith("E_AGAIN") and "modified" in told
    told = ask(probe, plane.admin_config, "put", "create", f"{NAMESPACES}/default/configmaps", '{"metadata":{"name":"one"}}', good=False)
    assert told.startswith("E_EXISTS")
    told = ask(probe, plane.admin_config, "put", "create", f"{NAMESPACES}/default/configmaps", '{"metadata":{"name":"One!"}}', good=False)
    assert told.startswith("E_INVALID") and "One!" in told
    assert ask(probe, plane.admin_config, "delete", path, "another-uid", good=False).startswith("E_AGAIN")
    uid = plane.client.get("ConfigMap", "one", "default")["metadata"]["uid"]
    assert ask(probe, plane.admin_config, "delete", path, uid) == []
    assert ask(probe, plane.admin_config, "get", path, good=False).startswith("E_ABSENT")


def test_follow_two_kinds(plane, probe):
    with Follower(probe, plane, MAPS, NAMESPACES) as f:
        f.wait(f"{NAMESPACES} SYNCED")
        for i in range(20):
            plane.client.create("ConfigMap", config_map(f"live-{i}"))
        plane.client.patch("ConfigMap", "live-0", {"data": {"key": "y"}}, "default")
        plane.client.delete("ConfigMap", "live-1", "default")
        f.wait(f"{MAPS} DELETED default/live-1 ")
        lines = [s for s in f.seen() if s.startswith(f"{MAPS} ") and "/live-" in s]
        assert [s.split()[1:3] for s in lines] == [["ADDED", f"default/live-{i}"] for i in range(20)] + [
            ["MODIFIED", "default/live-0"], ["DELETED", "default/live-1"]]
        versions = [int(s.split()[3]) for s in lines]
        assert versions == sorted(versions)


def test_api_server_restarts(plane, probe):
    with Follower(probe, plane, MAPS, NAMESPACES) as f:
        f.wait(f"{NAMESPACES} SYNCED")
        plane.client.create("ConfigMap", config_map("before"))
        f.wait("ADDED default/before ")
        began = time.monotonic()
        plane.api.restart()
        plane.client.create("ConfigMap", config_map("after"))
        f.wait("ADDED default/after ")
        print(f"restart of the API server: heard again after {time.monotonic() - began:.1f} s")
        adds = [s for s in f.seen() if "default/before " in s]
        assert len(adds) == 1, adds  # the version went on: nothing twice


def test_compaction(plane, probe):
    with Follower(probe, plane, MAPS) as f:
        f.wait(f"{MAPS} SYNCED")
        plane.api.kill()
        # What happened meanwhile is forgotten by etcd before the watch is opened again.
        plane.api.start()
        plane.client.create("ConfigMap", config_map("lost"))
        plane.compact()
        f.wait("default/lost ", 90)


def test_compacted_while_away(plane, probe):
    with Follower(probe, plane, MAPS) as f:
        f.wait(f"{MAPS} SYNCED")
        os.kill(f.proc.pid, signal.SIGSTOP)
        plane.api.restart()
        for i in range(3):
            plane.client.create("ConfigMap", config_map(f"away-{i}"))
        plane.compact()
        os.kill(f.proc.pid, signal.SIGCONT)
        f.wait(f"{MAPS} GONE", 60)
        f.wait(f"{MAPS} LISTED default/away-2 ", 60)
        plane.client.create("ConfigMap", config_map("away-live"))
        f.wait(f"{MAPS} ADDED default/away-live ")


def test_half_open(plane, probe):
    with Follower(probe, plane, MAPS) as f:
        f.wait(f"{MAPS} SYNCED")
        plane.api.pause()
        time.sleep(32)  # what is tested is that silence is noticed, so there must be some
        plane.api.resume()
        plane.wait_serving()
        plane.client.create("ConfigMap", config_map("woken"))
        f.wait("ADDED default/woken ", 60)


def test_wrong_ca(plane, probe, tmp_path):
    other = Ca(tmp_path / "other", "another CA")
    config = write_kubeconfig(tmp_path / "k", [Login("x", plane.url, other.cert, token=plane.admin_token)])
    began = time.monotonic()
    told = ask(probe, config, "list", MAPS, good=False)
    assert told.startswith("E_CERT_UNTRUSTED") and time.monotonic() - began < 30, told


def test_certificates(plane, probe, tmp_path):
    good = write_kubeconfig(tmp_path / "good", [Login("x", plane.url, plane.ca.cert, cert=plane.admin_cert, inline=True)])
    assert ask(probe, good, "list", NAMESPACES)[-1].startswith("list ")
    ended = write_kubeconfig(tmp_path / "ended", [Login("x", plane.url, plane.ca.cert, cert=plane.ca.client("holdfast-ended", expired=True))])
    told = ask(probe, ended, "list", NAMESPACES, good=False)
    assert told.startswith(("E_DENIED", "E_CERT_WANTED", "E_TLS")), told
    print(told.splitlines()[0])


def test_exec_is_refused(plane, probe, tmp_path):
    config = write_kubeconfig(tmp_path / "k", [Login("x", plane.url, plane.ca.cert, exec="aws")])
    told = ask(probe, config, "list", MAPS, good=False)
    assert told.startswith("E_UNSUPPORTED") and "users[x].user.exec" in told and "client certificate" in told


def test_forbidden(plane, probe, tmp_path):
    token = plane.agent_account("narrow", "holdfast", kinds=["Pod"])
    config = plane.kubeconfig("narrow", token=token)
    assert ask(probe, config, "list", PODS)[-1].startswith("list ")
    told = ask(probe, config, "list", MAPS, good=False)
    assert told.startswith("E_DENIED")
    assert 'give system:serviceaccount:holdfast:narrow a ClusterRole: apiGroups [""], resources [configmaps], verbs [list]' in told
    plane.revoke("narrow", "holdfast")
    wait_for(lambda: "E_DENIED" in (subprocess.run([probe, config, "", "list", PODS], capture_output=True, text=True).stderr), "the token refused", 30)


def test_token_file(plane, probe, tmp_path):
    path = tmp_path / "token"
    path.write_text(plane.agent_account("filed", "holdfast") + "\n")
    config = plane.kubeconfig("filed", token_file=path)
    assert ask(probe, config, "list", PODS)[-1].startswith("list ")


def test_lease(plane, probe):
    def candidate(name):
        return Proc([probe, plane.admin_config, "", "lease", "default", "elected", name, "120"], log=plane.folder / f"lease-{name}.log")

    def says(name, word):
        return word in (plane.folder / f"lease-{name}.log").read_text().split()

    first = candidate("first")
    wait_for(lambda: says("first", "held"), "the first holds it", 30, first)
    second = candidate("second")
    try:
        lease = plane.client.call("GET", "/apis/coordination.k8s.io/v1/namespaces/default/leases/elected")["spec"]
        assert lease["holderIdentity"] == "first" and lease["leaseDurationSeconds"] == 15
        began = time.monotonic()
        first.kill()
        wait_for(lambda: says("second", "held"), "the second holds it", 90, second)
        print(f"another holder after {time.monotonic() - began:.1f} s")
        assert plane.client.call("GET", "/apis/coordination.k8s.io/v1/namespaces/default/leases/elected")["spec"]["leaseTransitions"] == 1
    finally:
        first.kill()
        second.kill()


@pytest.mark.parametrize("flags, h2", [(["--disable-http2-serving"], 0), (["--goaway-chance=0.02"], 1)], ids=["http1", "goaway"])
def test_other_servers(tmp_path, probe, flags, h2):
    """HTTP/1.1 only, a connection a watch; and connections that the server sends away now and then (0.02 is its most)."""
    with ControlPlane(tmp_path / "plane", manager=False, kwok=False, nodes=1, api_flags=flags) as plane:
        with Follower(probe, plane, MAPS, NAMESPACES, PODS, seconds=600) as f:
            f.wait(f"{PODS} SYNCED")
            for i in range(60):
                plane.client.create("ConfigMap", config_map(f"m-{i}"))
                ask(probe, plane.admin_config, "get", f"{NAMESPACES}/default/configmaps/m-{i}")
            plane.client.create("ConfigMap", config_map("the-end"))
            f.proc.wait(60)
            lines = f.seen()
            assert [s.split()[2] for s in lines if " ADDED default/m-" in s] == [f"default/m-{i}" for i in range(60)]
            told = next(s for s in lines if s.startswith("h2 "))
            assert told.startswith(f"h2 {h2} "), told
            print(told, next(s for s in lines if s.startswith("peak ")))
