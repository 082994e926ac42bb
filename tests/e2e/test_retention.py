"""`holdfast backup retention --explain`: against the rule written down in Python, its exact output, and its bounds."""
from __future__ import annotations

import datetime
import json
import random
import subprocess
import time

import pytest

from peers import apt
from peers.backup import now
from peers.proc import run

UTC = datetime.timezone.utc
BUCKETS = {
    "last": lambda line, t: line,
    "hourly": lambda line, t: (t.date(), t.hour),
    "daily": lambda line, t: t.date(),
    "weekly": lambda line, t: t.isocalendar()[:2],
    "monthly": lambda line, t: (t.year, t.month),
    "yearly": lambda line, t: t.year,
}


@pytest.fixture
def ask(holdfast):
    """Runs it on standard input, in an empty environment; what it printed, as an object unless the code is not 0."""
    def run(lines: str | bytes, *args: str, code: int = 0, out: str = "json"):
        done = subprocess.run([holdfast, "backup", "retention", "--explain", "--stdin", "-o", out, *args],
                              input=lines.encode() if isinstance(lines, str) else lines, capture_output=True, timeout=120, env={})
        assert done.returncode == code, done.stderr.decode()
        assert (done.stderr == b"") == (code == 0)
        if code or out == "text":
            assert code == 0 or done.stdout == b""
            return done.stderr.decode() if code else done.stdout.decode()
        return json.loads(done.stdout)
    return run


def decided(backups: list[tuple[int, str]], keep: dict[str, int], now_s: float = float("inf")) -> dict:
    """The rule, literally: line numbers from 1 to reasons, or to a guard."""
    order = sorted(((at, line, state) for line, (at, state) in enumerate(backups, 1)), reverse=True)
    verified = [(at, line) for at, line, state in order if state == "verified" and at <= now_s]
    reasons: dict[int, list[str]] = {}
    for rule, name in BUCKETS.items():
        seen: list = []
        for at, line in verified:
            bucket = name(line, datetime.datetime.fromtimestamp(at, UTC))
            if bucket not in seen and len(seen) < keep.get(rule, 0):
                seen.append(bucket)
                reasons.setdefault(line, []).append(rule)
    answer: dict = {}
    for at, line, state in order:
        replaced = state == "bad" and any(other > at for other, _ in verified)
        if line in reasons:
            answer[line] = reasons[line]
        elif at > now_s:
            answer[line] = "future"
        elif state != "verified" and not replaced:
            answer[line] = "unverified"
        elif verified and line == verified[0][1]:
            answer[line] = "newest-verified"
    return answer


def written(at: int, way: int) -> str:
    moment = datetime.datetime.fromtimestamp(at, UTC)
    if way == 0:
        return str(at)
    if way == 1:
        return moment.astimezone(datetime.timezone(datetime.timedelta(minutes=at % 1440 - 720))).isoformat()
    return moment.strftime("etcd-snapshot-%Y%m%d-%H%M%S.db") + ["", ".zst", ".age", ".zst.age"][at % 4]


@pytest.mark.parametrize("seed", range(40))
def test_random_lists_are_decided_as_the_rule_says(ask, seed):
    dice = random.Random(seed)
    span = dice.choice([3600, 86400 * 3, 86400 * 90, 86400 * 2000])
    backups = [(1780000000 + dice.randrange(span), dice.choice(["verified"] * 4 + ["unverified", "bad"])) for _ in range(dice.randrange(150))]
    keep = {rule: dice.randrange(1, 15) for rule in BUCKETS if dice.random() < 0.5} or {"daily": 7}
    now_s = 1780000000 + span // 2 if dice.random() < 0.3 else None
    lines = "".join(written(at, dice.randrange(3)) + ("" if state == "verified" and dice.random() < 0.5 else "\t" + state)
                    + dice.choice(["\n", "\r\n"]) for at, state in backups)
    said = ask(lines, "--keep", ",".join(f"{rule}={n}" for rule, n in keep.items()), *(["--now", str(now_s)] if now_s else []))
    want = decided(backups, keep, now_s or float("inf"))
    assert {item["line"]: item["guard"] or item["reasons"] for item in said["keep"]} == want
    assert all(bool(item["reasons"]) != bool(item["guard"]) for item in said["keep"])
    assert {item["line"] for item in said["remove"]} == set(range(1, len(backups) + 1)) - set(want)
    for item in said["keep"] + said["remove"]:
        assert item["at"] == backups[item["line"] - 1][0]
    for items in (said["keep"], said["remove"]):
        assert [(i["at"], i["line"]) for i in items] == sorted((i["at"], i["line"]) for i in items)


def test_the_output_is_this_to_the_byte(holdfast):
    lines = "2026-03-01T02:00:00Z\r\n\n1772330401\nnonsense\netcd-snapshot-20260101-020000.db\tbad\n"
    done = subprocess.run([holdfast, "backup", "retention", "--explain", "--stdin", "-o", "json"], input=lines.encode(), capture_output=True, env={})
    assert done.stdout.decode() == (
        '{"keep":[{"line":3,"at":1772330401,"reasons":["daily","weekly","monthly"],"guard":null}],'
        '"remove":[{"line":5,"at":1767232800,"why":"bad, and a newer verified one is there"},'
        '{"line":1,"at":1772330400,"why":"no rule keeps it"}],"ignored":[{"line":4,"why":"no time: epoch seconds, RFC 3339 or '
        'etcd-snapshot-YYYYMMDD-HHMMSS[-HUBID8].db[.zst][.age] belong here"}]}\n')
    assert done.stderr == b"" and done.returncode == 0


def daily(begin: str, count: int) -> str:
    first = int(datetime.datetime.fromisoformat(begin + "T02:00:00+00:00").timestamp())
    return "".join(f"{first + 86400 * day}\n" for day in range(count))


@pytest.mark.parametrize("begin, count, kept", [("2026-03-01", 1, 1), ("2026-03-01", 10, 8), ("2026-01-01", 60, 11)])
def test_so_many_of_a_daily_series_stay(ask, begin, count, kept):
    said = ask(daily(begin, count))
    assert len(said["keep"]) == kept and len(said["remove"]) == count - kept and said["ignored"] == []
    assert said["keep"][-1]["reasons"] == ["daily", "weekly", "monthly"]


def test_nothing_in_nothing_out(ask):
    assert ask("") == ask("\n\r\n\n") == {"keep": [], "remove": [], "ignored": []}


def test_bytes_that_are_no_text_are_ignored(ask):
    said = ask(b"\xff\xfe\n\0\n1\0\n" + b"9" * 70000 + b"\n5\n")
    assert [item["line"] for item in said["ignored"]] == [1, 2, 3, 4] and [item["line"] for item in said["keep"]] == [5]


@pytest.mark.parametrize("profile", ["edge16", "hub32"])
def test_a_hundred_thousand_lines_and_no_more(ask, profile):
    lines = daily("1990-01-01", 365) + "".join(f"{1700000000 + 977 * n}\n" for n in range(100000 - 365))
    said = ask(lines, "--profile", profile)
    assert len(said["keep"]) + len(said["remove"]) == 100000
    assert "more than 100000 lines" in ask(lines + "1\n", "--profile", profile, code=2)


@pytest.mark.parametrize("args, says", [
    (["--keep", "daily=0"], "nothing would be kept"),
    (["--keep", "dayly=7"], "no such rule"),
    (["--keep", "daily=7,daily=7"], "a second time"),
    (["--now", "tomorrow"], "--now takes epoch seconds or RFC 3339"),
    (["--destination", "local"], "do not go together"),
    (["--level", "4"], "does not take --level"),
])
def test_wrong_use_is_told(ask, args, says):
    assert says in ask("5\n", *args, code=2)


def test_it_must_be_asked_to_explain(holdfast):
    done = subprocess.run([holdfast, "backup", "retention", "--stdin"], input=b"", capture_output=True, env={})
    assert done.returncode == 2 and b"backup prune" in done.stderr and done.stdout == b""


def test_lost_output_is_no_success(holdfast):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([holdfast, "backup", "retention", "--explain", "--stdin"], input=b"5\n", stdout=full, stderr=subprocess.PIPE, env={})
    assert done.returncode == 1 and b"could not be written" in done.stderr


def test_people_read_lines_and_a_sum(ask):
    said = ask("1772330400\n1772330401\nx\n5\tunverified\n", "--keep", "daily=1", out="text").splitlines()
    assert [" ".join(line.split()) for line in said[1:3]] == ["2026-03-01T02:00:00Z line 1 remove no rule keeps it",
                                                             "2026-03-01T02:00:01Z line 2 keep daily"]
    assert said[0].endswith("guarded: unverified") and said[-1] == "2 stay, 1 would go, 1 ignored"


def test_destinations_are_asked_as_they_are(start_etcd, make_hub):
    etcd = start_etcd()
    etcd.fill(20, big=0)
    hub = make_hub(endpoints=[etcd.url])
    for _ in range(2):
        assert now(hub).code == 0
        time.sleep(1.1)
    unknown = hub.backups / "etcd-snapshot-20250101-020000.db"
    unknown.write_bytes(b"")
    before = sorted(path.name for path in hub.backups.iterdir())
    done = hub.command("backup", "retention", "--explain", "--destination", "local", "-o", "json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    listed = json.loads(hub.command("backup", "list", "-o", "json").stdout)
    states = {"good": "verified", "unknown": "unverified", "bad": "bad"}
    taken = [(int(datetime.datetime.fromisoformat(r["taken_at"]).timestamp()), states[r["verdict"]]) for r in listed]
    want = decided(taken, {"daily": 7, "weekly": 4, "monthly": 12})
    assert {item["name"]: item["guard"] or item["reasons"] for item in said["keep"]} == {listed[n - 1]["name"]: want[n] for n in want}
    assert len(said["keep"]) + len(said["remove"]) == len(listed) == 3
    assert said["keep"][0] == {"name": unknown.name, "at": 1735696800, "reasons": [], "guard": "unverified"}
    assert said["ignored"] == []
    done = hub.command("backup", "retention", "--explain", "--keep", "last=9", "--now", "2026-01-01T00:00:00Z", "-o", "json")
    (everything,) = json.loads(done.stdout)
    assert everything["destination"] == "local" and everything["remove"] == []
    assert [item["guard"] for item in everything["keep"]][0] == "unverified"
    assert sorted(path.name for path in hub.backups.iterdir()) == before
    assert hub.command("backup", "retention", "--explain", "--destination", "nas").returncode == 2


RESTIC_POLICIES = [{"daily": 7, "weekly": 4, "monthly": 12}, {"last": 3, "yearly": 2}, {"hourly": 5, "daily": 2}, {"weekly": 6}, {"monthly": 3},
                   {"last": 1, "hourly": 2, "daily": 3, "weekly": 4, "monthly": 5, "yearly": 6}, {"daily": 100}]


@pytest.mark.cluster
def test_it_is_what_restic_forgets(ask, tmp_path):
    """The real one, on snapshots of made-up times: the same stay, for the same reasons, but for restic's "oldest" one, a rule we do not have."""
    restic = apt.unpacked("bookworm", ["restic"]) / "usr/bin/restic"
    env = {"PATH": "/usr/bin:/bin", "TZ": "UTC", "RESTIC_PASSWORD": "x", "RESTIC_REPOSITORY": str(tmp_path / "repository"), "HOME": str(tmp_path)}
    run([restic, "init", "-q", "--no-cache"], env=env)
    (tmp_path / "file").write_text("content")
    dice = random.Random(53)
    times = {int(datetime.datetime.fromisoformat(text + "+00:00").timestamp()) for text in
             ["2026-12-27T23:59:59", "2026-12-28T00:00:00", "2027-01-03T23:59:59", "2027-01-04T00:00:00", "2024-02-29T12:00:00", "2027-01-04T00:30:00"]}
    times |= {1798761600 - dice.randrange(dice.choice([86400 * 10, 86400 * 100, 86400 * 900])) for _ in range(24)}
    for at in sorted(times, key=lambda at: at % 97):
        when = datetime.datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        run([restic, "backup", "-q", "--no-cache", "--host", "h", "--time", when, tmp_path / "file"], env=env)
    for keep in RESTIC_POLICIES:
        done = run([restic, "forget", "--no-cache", "--dry-run", "--json", *(f"--keep-{rule}={n}" for rule, n in keep.items())], env=env)
        want = {}
        for reason in json.loads(done.stdout)[0]["reasons"]:
            rules = [match.removesuffix(" snapshot") for match in reason["matches"] if not match.startswith("oldest")]
            if rules:
                want[int(datetime.datetime.fromisoformat(reason["snapshot"]["time"].replace("Z", "+00:00")).timestamp())] = rules
        said = ask("".join(f"{at}\n" for at in times), "--keep", ",".join(f"{rule}={n}" for rule, n in keep.items()))
        assert {item["at"]: item["reasons"] for item in said["keep"]} == want, keep
        assert len(said["remove"]) == len(times) - len(want)
