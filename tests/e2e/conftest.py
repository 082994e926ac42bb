"""Fixtures of the end-to-end tests. The peers themselves are in tests/peers.

Run      /usr/bin/python3 -m pytest tests/e2e               everything that needs neither Go nor cargo
         /usr/bin/python3 -m pytest tests/e2e -m cluster    the rest
Binary   $HOLDFAST_BIN, default build/x86_64/holdfast. For another architecture, a wrapper script that calls the
         emulator.
A peer that cannot be had fails the test. Only what needs s3s-fs is skipped, where it is not built and there is no cargo to do so.
"""
from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from peers import cargobuild  # noqa: E402  (the path comes first)
from peers.ca import Ca  # noqa: E402
from peers.etcd import Etcd  # noqa: E402
from peers.hub import Hub  # noqa: E402
from peers.platform import Platform  # noqa: E402
from peers.streaming import Stream  # noqa: E402

LOG_LINES = 100
VERSIONS = ["3.4", "3.5", pytest.param("3.7", marks=pytest.mark.cluster)]


def pytest_collection_modifyitems(items) -> None:
    why = cargobuild.missing()
    for item in items if why else ():
        if "s3s-fs" in repr(getattr(item, "callspec", None) and item.callspec.params):
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    item.went_wrong = getattr(item, "went_wrong", False) or report.failed
    for hub in getattr(item, "hubs", ()) if report.failed else ():
        report.sections.append((f"log of {hub.folder.name}, its last lines", "\n".join(hub.log_text().splitlines()[-LOG_LINES:])))


@pytest.fixture(autouse=True)
def room(request, tmp_path):
    """What a good test wrote goes with it: etcd's logs alone are 64 MiB each. What a failed one wrote stays to be looked at."""
    yield
    if not getattr(request.node, "went_wrong", False):
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="session")
def holdfast() -> Path:
    """The binary under test."""
    path = Path(os.environ.get("HOLDFAST_BIN", ROOT / "build/x86_64/holdfast"))
    assert os.access(path, os.X_OK), f"{path} is not there: run `make` first, or set HOLDFAST_BIN"
    return path.resolve()


@pytest.fixture(scope="session")
def ca(tmp_path_factory) -> Ca:
    """The authority that is trusted in this session."""
    return Ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def other_ca(tmp_path_factory) -> Ca:
    """One that nobody trusts."""
    return Ca(tmp_path_factory.mktemp("other-ca"), "some other CA")


@pytest.fixture(scope="session")
def server_cert(ca):
    """For 127.0.0.1, ::1 and localhost."""
    return ca.server("server")


@pytest.fixture(scope="session")
def client_cert(ca):
    return ca.client("holdfast")


@pytest.fixture(params=VERSIONS)
def etcd_version(request) -> str:
    """Each etcd version; 3.7 in the cluster suite only."""
    return request.param


@pytest.fixture
def start_etcd(tmp_path, server_cert):
    """start_etcd(version="system", tls=server_cert, **options of Etcd): a running member, ended after the test."""
    started: list[Etcd] = []

    def start(version: str = "system", tls=server_cert, **how) -> Etcd:
        etcd = Etcd(tmp_path / f"etcd{len(started)}", version, tls, **how)
        started.append(etcd)
        return etcd.start()

    yield start
    for etcd in started:
        etcd.stop()


@pytest.fixture
def etcd(start_etcd, etcd_version) -> Etcd:
    """A running member of each version, over TLS with client certificates; empty."""
    return start_etcd(etcd_version)


@pytest.fixture
def make_hub(holdfast, tmp_path, client_cert, request):
    """make_hub(endpoints=[…], **options of Hub): not started, ended after the test; trusts `ca`. Of a test that fails, their logs are told."""
    made: list[Hub] = []
    request.node.hubs = made

    def make(**how) -> Hub:
        how.setdefault("client", client_cert)
        hub = Hub(holdfast, tmp_path / f"hub{len(made)}", **how)
        made.append(hub)
        return hub

    yield make
    for hub in made:
        hub.close()


@pytest.fixture
def start_big(tmp_path, server_cert):
    """start_big(tls=server_cert, **options of Etcd): (member, BigDb), on a copy of the 2 GiB database that is
    removed after the test. The cluster suite only: mark the test."""
    from peers import bigdb
    started: list[Etcd] = []

    def start(tls=server_cert, **how):
        big = bigdb.get()
        etcd = big.open(tmp_path / f"big{len(started)}", tls=tls, **how)
        started.append(etcd)
        return etcd.start(), big

    yield start
    for etcd in started:
        etcd.stop()
        shutil.rmtree(etcd.folder)


@pytest.fixture
def stream(holdfast, tmp_path, plane, ca):
    """stream(**options of Stream): entered, left after the test. The module has a control plane, `plane`."""
    open_ones = []

    def enter(**how):
        made = Stream(holdfast, tmp_path / f"stream{len(open_ones)}", plane, ca, **how)
        open_ones.append(made)
        return made.__enter__()

    yield enter
    for one in reversed(open_ones):
        one.__exit__()


@pytest.fixture
def platform(tmp_path, server_cert):
    with Platform(tmp_path / "platform", server_cert) as made:
        yield made
