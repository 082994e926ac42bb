"""The alert rules that ship: promtool's opinion, each one firing and silent (alerts_test.yaml), and whether that test would notice;
and that the metrics they use are there, on a running hub and on a real etcd."""
from __future__ import annotations

import http.client
import math
import re
from pathlib import Path

import pytest

from peers.kubeconfig import Login, write_kubeconfig
from peers.prom import Prometheus, check_rules, parse
from peers.proc import free_port, run, wait_for

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests/e2e/alerts_test.yaml"
FILES = {path.name: path.read_text() for path in sorted((ROOT / "config/alerts").glob("*.rules.yaml"))}
RULE = re.compile(r"^ +- alert: (\w+)\n(?:.*\n)*?(?=\n|\Z)", re.M)
ALERTS = [(file, match[1]) for file, text in FILES.items() for match in RULE.finditer(text)]


def test_all_are_seen():
    assert set(FILES) == {"holdfast.rules.yaml", "etcd.rules.yaml"}
    assert [name for _, name in ALERTS] == re.findall(r"alert: (\w+)", "".join(FILES.values())) and len(ALERTS) > 20


@pytest.mark.parametrize("file", FILES)
def test_promtool_likes_them(file):
    check_rules(ROOT / "config/alerts" / file)


def promtool(folder: Path, files: dict[str, str]) -> tuple[int, str]:
    """`promtool test rules` with these in the place of those that ship."""
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "test.yaml").write_text(TESTS.read_text().replace("../../config/alerts/", ""))
    done = run(["promtool", "test", "rules", folder / "test.yaml"], check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def test_each_fires_and_is_silent(tmp_path):
    code, said = promtool(tmp_path, FILES)
    assert code == 0, said


@pytest.mark.parametrize("name", [name for _, name in ALERTS])
def test_each_is_expected_to_fire(name):
    assert re.search(rf'exp_samples:(?:\n +- .*)*\n +- .*alertname="{name}"', TESTS.read_text())


@pytest.mark.parametrize("expr", ["vector(1) > 2", 'label_replace(vector(1), "instance", "good", "", "")'], ids=["never", "always"])
def test_that_test_would_notice(tmp_path, expr):
    for file, name in (("holdfast.rules.yaml", "HoldfastClockUntrusted"), ("etcd.rules.yaml", "EtcdDatabaseFragmentation")):
        changed, count = re.subn(rf"(- alert: {name}\n(?: +#.*\n)? +expr: ).*", lambda found: found[1] + expr, FILES[file])
        assert count == 1
        code, said = promtool(tmp_path, {**FILES, file: changed})
        assert code == 1 and "FAILED" in said, f"{name}: {expr} passes"


def names_of(file: str, prefix: str) -> set[str]:
    expressions = "\n".join(re.findall(r"expr: (.*)", FILES[file]))
    return set(re.findall(rf"\b{prefix}\w+", expressions))


def test_the_hub_has_these_metrics(make_hub, start_etcd, tmp_path):
    hub = make_hub(endpoints=[start_etcd().url])
    (tmp_path / "file").write_text("in the way")
    hub.config["backup"]["destinations"].append({"name": "broken", "type": "directory", "path": str(tmp_path / "file")})
    hub.config["backup"]["etcd"].update(guardian=True, quota="8GiB")
    hub.config["notify"] = {"webhook": f"http://127.0.0.1:{free_port()}/"}
    config = write_kubeconfig(tmp_path / "kubeconfig", [Login("nobody", f"http://127.0.0.1:{free_port()}", ca=None, token="none")])
    hub.config["kubernetes"] = {"kubeconfig": str(config)}
    credentials = {"client_id_file": str(tmp_path / "client-id"), "private_key_file": str(tmp_path / "key")}
    hub.config["ingest"] = {"enabled": True, "source": "config", "platform_url": f"http://127.0.0.1:{free_port()}", "cluster_name": "none",
                            "cluster_uid": "none", "credentials": credentials}
    hub.start()
    hub.wait_snapshot()
    wait_for(lambda: "holdfast_backup_failures_total" in hub.metrics(), "the failure", 30, hub.proc)
    hub.wait_idle()
    snapshot = hub.snapshots()[0]
    snapshot.write_bytes(snapshot.read_bytes()[:-1] + b"?")
    assert hub.command("backup", "rehearse", "local").returncode == 1
    wait_for(lambda: "holdfast_etcd_member_up" in hub.metrics(), "a look at etcd", 30, hub.proc)
    wait_for(lambda: "holdfast_ingest_platform_up" in hub.metrics(), "the platform", 30, hub.proc)
    wanted = names_of("holdfast.rules.yaml", "holdfast_")
    assert len(wanted) > 10
    wait_for(lambda: wanted <= set(hub.metrics()), f"all of {sorted(wanted)}", 120, hub.proc)
    assert hub.metric("holdfast_backup_last_success_timestamp_seconds", destination="local") > 0
    assert not hub.metric("holdfast_backup_last_success_timestamp_seconds", destination="broken") > 0  # 0 or NaN: NeverSucceeded
    assert hub.metric("holdfast_backup_next_run_timestamp_seconds", destination="broken") > 0
    assert hub.metric("holdfast_ingest_leading") == 0 and hub.metric("holdfast_ingest_platform_up", agent="config") == 0


def test_a_hub_that_is_well_is_silent(make_hub, start_etcd, tmp_path):
    """By each rule's expression, over what a real hub exposes that has never read a backup back and streams to nobody."""
    hub = make_hub(endpoints=[start_etcd().url])
    hub.config["backup"]["destinations"].append({"name": "packed", "type": "directory", "path": str(tmp_path / "packed"), "compress": "zstd"})
    hub.config["backup"]["etcd"].update(guardian=True)
    hub.start()
    for name in ("local", "packed"):
        hub.wait_metric("holdfast_backup_last_success_timestamp_seconds", lambda at: at > 0, destination=name)
        assert math.isnan(hub.metric("holdfast_backup_rehearsal_verdict", destination=name))
    with Prometheus(tmp_path / "prometheus", hub.port) as server:
        for file, name in ALERTS:
            if file == "holdfast.rules.yaml":
                (expr,) = re.findall(rf"- alert: {name}\n(?: +#.*\n)* +expr: (.*)", FILES[file])
                wait_for(lambda: server.query("up == 1") and not server.query(expr), f"{name} to be silent: {expr}", 60, hub.proc)


def test_etcd_has_these_metrics(start_etcd, etcd_version):
    etcd = start_etcd(etcd_version)
    connection = http.client.HTTPConnection("127.0.0.1", etcd.metrics_port, timeout=10)
    connection.request("GET", "/metrics")
    there = set(parse(connection.getresponse().read().decode()))
    wanted = names_of("etcd.rules.yaml", "(?:etcd|process)_")
    assert len(wanted) > 7 and wanted - there == set()
