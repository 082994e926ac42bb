"""holdfast check: what it says of good, doubtful and wrong files, and with which exit code."""
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.peers.proc import run

SAMPLES = Path(__file__).resolve().parents[2] / "config/samples"
GOOD = """version: 1
backup:
  etcd: {{endpoints: [http://127.0.0.1:2379], ca: {ca}, cert: {cert}, key: {key}}}
  destinations:
    - {{name: local, type: directory, path: /b}}
"""


@pytest.fixture
def check(holdfast, tmp_path):
    def look(yaml, *words, env=None):
        file = tmp_path / "holdfast.yaml"
        file.write_text(yaml)
        done = subprocess.run([holdfast, "check", "--config", file, *words], capture_output=True, text=True, timeout=120,
                              env={**os.environ, **(env or {})})
        return done.returncode, done.stdout, done.stderr.replace(str(file), "FILE")
    return look


@pytest.fixture
def files(tmp_path):
    paths = {}
    for name in ("ca", "cert", "key"):
        paths[name] = tmp_path / f"{name}.pem"
        paths[name].write_text("")
        paths[name].chmod(0o600)
    return paths


@pytest.mark.parametrize("yaml, line, told", [
    ("version: 1\n", None, None),
    ("version: 1\ningest: {enabled: true, kinds: [Pod, Node]}\n", "  streams       2 kinds to where ObsykAgents say", "crd"),
    ((SAMPLES / "ingest.yaml").read_text(), "  streams       7 kinds to https://api.obsyk.ai, as home", "https://api.obsyk.ai")],
    ids=["off", "crd", "config"])
def test_what_is_streamed(check, yaml, line, told):
    lines = check(yaml)[1].splitlines()
    assert [one for one in lines if one.startswith("  streams")] == ([line] if line else [])
    assert json.loads(check(yaml, "-o", "json")[1])["ingest"] == told


KUBECONFIG = """current-context: a
contexts: [{name: a, context: {cluster: a, user: a}}]
clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: a, user: {USER}}]
"""


@pytest.mark.parametrize("user, code, told", [
    ("token: x", 0, None),
    ("exec: {command: aws}", 2, "line 4: users[a].user.exec: plugins are never run; use a token"),
    ("token: [", 2, "line ")], ids=["good", "exec", "no YAML"])
def test_the_kubeconfig_is_read(check, tmp_path, user, code, told):
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG.replace("USER", user))
    path.chmod(0o600)
    got, _, said = check(f"version: 1\ningest: {{enabled: true}}\nkubernetes: {{kubeconfig: {path}}}\n")
    assert got == code and said == ("" if told is None else said)
    assert told is None or said.startswith(f"FILE: kubernetes.kubeconfig: {path}: {told}"), said


def test_a_good_one(check, files):
    code, out, said = check(GOOD.format(**files))
    assert code == 0 and said == "" and out.splitlines()[0].endswith("holdfast.yaml: good")
    assert re.search(r"next runs +20\d\d-\d\d-\d\dT02:00:00Z, ", out) and "keeps daily 7, weekly 4, monthly 12" in out


def test_as_json(check, files):
    code, out, said = check(GOOD.format(**files) + "notify: {webhook: https://h/}\n", "-o", "json")
    told = json.loads(out)
    assert code == 0 and told["verdict"] == "good" and told["warnings"] == [] and said == ""
    assert told["schedule"] == "0 2 * * *" and len(told["next_runs"]) == 3 and told["webhook"] and not told["ping_url"]
    assert told["destinations"][0]["retention"] == {"last": 0, "hourly": 0, "daily": 7, "weekly": 4, "monthly": 12, "yearly": 0}


def test_every_kind_of_destination(check, tmp_path):
    yaml = ("version: 1\nbackup:\n  destinations:\n    - {name: a, type: directory, path: /b}\n"
            "    - {name: n, type: nfs, server: nas, export: /x, path: /mnt/x}\n"
            "    - {name: s, type: s3, endpoint: \"https://s3.lan\", bucket: etcd, prefix: home}\n"
            "  etcd: {endpoints: [http://127.0.0.1:2379]}\n")
    code, out, _ = check(yaml)
    assert code == 0 and "  a             /b, keeps" in out and "  n             nas:/x on /mnt/x, keeps" in out
    assert "  s             https://s3.lan/etcd/home/, compressed, keeps" in out
    told = json.loads(check(yaml, "-o", "json")[1])["destinations"]
    assert [(d["type"], d["path"], d["compressed"], d["recipients"]) for d in told] == [
        ("directory", "/b", False, 0), ("nfs", "/mnt/x", False, 0), ("s3", None, True, 0)]
    assert told[2]["place"] == "https://s3.lan/etcd/home/"


def test_what_is_printed_reads_back(check):
    yaml = "version: 1\nbackup: {every: 1h, max_age: 2h}\nnotify: {ping_url: http://p.lan/x}\n"
    code, once, _ = check(yaml, "--print", env={"HOLDFAST_LOG_LEVEL": "debug"})
    assert code == 0 and "level: debug" in once and "every: 1h" in once and "schedule" not in once
    assert check(once, "--print")[:2] == (0, once)


@pytest.mark.parametrize("zone,offsets", [
    ("Europe/Berlin", {"+01:00", "+02:00"}), ("CET-1CEST,M3.5.0,M10.5.0/3", {"+01:00", "+02:00"}), ("<+0545>-5:45", {"+05:45"}),
    ("UTC", {"Z"}), ("NST3:30", {"-03:30"}),
])
def test_by_the_clock_of_the_place(zone, offsets, check, files):
    code, out, said = check(GOOD.format(**files) + f'  timezone: "{zone}"\n')
    assert code == 0, said
    assert {m for m in re.findall(r"T02:00:00(\S+?)(?:,|$)", out, re.M)} <= offsets and out.count("T02:00:00") == 3


@pytest.mark.parametrize("yaml,words", [
    ("backup: {timezone: Europe/Nowhere}", ["FILE:2:20: backup.timezone: ", "Europe/Nowhere", "; write UTC"]),
    ("backup: {schedule: '0 2 * *'}", ["FILE:2:20: backup.schedule: "]),
    ("backup: {schedule: '0 2 30 2 *'}", ["FILE:2:20: backup.schedule: ", "never comes"]),
    ("backup: {every: 1h, schedule: '@daily'}", ["FILE:2:31: backup.schedule: ", "remove one"]),
    ("backup:\n  destinations:\n    - {name: a, type: directory, path: /b}\n    - {name: b, type: directory, path: //b/./c/..}",
     ["FILE:5:40: backup.destinations[1].path: is the folder of destination \"a\" too"]),
    ("backup:\n  destinations:\n    - {name: a, type: s3, endpoint: 'https://s', bucket: bbb}\n    - {name: b, type: s3, endpoint: 'https://s/', bucket: bbb}",
     ["backup.destinations[1].bucket: is that of destination \"a\" too"]),
    ("bakup: {}", ["FILE:2:1: bakup: unknown key; did you mean \"backup\"?"]),
    ("data: /a\ndata: /b", ["FILE:3:1: data: given twice"]),
    ("log: {level: 3}", ["FILE:2:14: log.level: "]),
    ("backup: {destinations: [{name: a}]}", ["FILE:2:25: backup.destinations[0].type: required and missing"]),
    ("backup: {destinations: [{name: a, type: directory}]}", ["FILE:2:25: backup.destinations[0].path: required and missing"]),
    ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", ["FILE:3:8: aliases are not supported"]),
    ("#" * 2_000_000, ["FILE:1:1: the file is larger than 255 KiB"]),
    ("notify: {webhook: 'https://u:geheim@h/'}", ["FILE:2:19: notify.webhook: "]),
], ids=lambda v: v[:30] if isinstance(v, str) else "")
def test_a_wrong_one(yaml, words, check):
    for options in ([], ["--print"], ["-o", "json"]):
        code, out, said = check(f"version: 1\n{yaml}\n", *options)
        assert code == 2 and all(word in said for word in words) and "geheim" not in said + out, said
        assert json.loads(out)["verdict"] == "bad" if "json" in options else out == ""


def test_what_hangs_holds_nobody_up(check, files, tmp_path):
    """A pipe nobody writes to is read for ever, like a file on a server that is gone."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    start = time.monotonic()
    code, _, said = check(GOOD.format(**files) + f"  rehearse: {{identity_file: {tmp_path / 'pipe'}}}\n")
    assert code == 0 and f"{tmp_path / 'pipe'} is no file" in said and time.monotonic() - start < 60, said


def test_no_file(holdfast, tmp_path):
    done = run([holdfast, "check", "--config", tmp_path / "none.yaml"], check=False)
    assert done.returncode == 2 and str(tmp_path / "none.yaml") in done.stderr.decode()


def test_a_key_open_to_others(check, files):
    files["key"].chmod(0o640)
    code, _, said = check(GOOD.format(**files))
    assert code == 0 and said == f"FILE: warning: backup.etcd.key: {files['key']} is open to others (mode 0640); chmod 600 it\n"


@pytest.mark.parametrize("change,words", [
    (("ca.pem", "no.pem"), "backup.etcd.ca: there is no "),
    (("http://127.0.0.1", "http://10.0.0.1"), "backup.etcd.endpoints[0]: http://10.0.0.1:2379 is not encrypted"),
    (("path: /b}", "path: /}\n    - {name: two, type: directory, path: /proc/self/root}"), "backup.destinations[1].path: local has the same"),
    (("  destinations", "  max_age: 1h\n  destinations"), "backup.max_age: shorter than the 24 h 0 min between two runs"),
    (("  destinations", "  schedule: 0 8-18 * * 1-5\n  max_age: 20h\n  destinations"), "backup.max_age: shorter than the 62 h 0 min"),
    (("  destinations", "  every: 48h\n  destinations"), "backup.max_age: shorter than the 48 h 0 min"),
], ids=["ca", "http", "folder", "max_age", "weekend", "every"])
def test_what_is_likely_wrong(change, words, check, files):
    code, out, said = check(GOOD.format(**files).replace(*change))
    assert code == 0 and out and said.startswith("FILE: warning: ") and words in said and said.count("\n") == 1, said
