"""The store met by the stock sqlite3 (Python's) and by SIGKILL.

The program is tests/e2e/store.c: $HOLDFAST_STORE, else e2e/store beside the binary under test.
"""
from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

KILLS = 12
SECONDS_MAX = 60


@pytest.fixture(scope="session")
def program(holdfast) -> Path:
    path = Path(os.environ.get("HOLDFAST_STORE", holdfast.parent / "e2e" / "store"))
    assert os.access(path, os.X_OK), f"{path} is not there: run `make probes`, or set HOLDFAST_STORE"
    return path


def run(program, *arguments, code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS_MAX)
    assert done.returncode == code, done.stderr
    return done


def numbers(program, folder) -> list[int]:
    return [int(line) for line in run(program, "list", folder).stdout.split()]


def stock(folder, mode: str = "rw") -> sqlite3.Connection:
    return sqlite3.connect(f"file:{folder}/holdfast.db?mode={mode}", uri=True, timeout=0)


def test_the_stock_library_reads_a_closed_file(program, tmp_path):
    run(program, "put", tmp_path, 1, 300)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["holdfast.db"]
    with stock(tmp_path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*), min(id), max(id), sum(length(value)) FROM item").fetchone() == (300, 1, 300, 900000)
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()
    assert numbers(program, tmp_path) == list(range(1, 301))  # looking has changed nothing


def test_the_stock_library_waits_outside_and_so_do_we(program, tmp_path):
    run(program, "put", tmp_path, 1, 3)
    held = subprocess.Popen([program, "hold", tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert held.stdout.readline() == "open\n"
        for mode in ("rw", "ro"):
            db = stock(tmp_path, mode)
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                db.execute("SELECT * FROM item")
            db.close()
        second = run(program, "list", tmp_path, code=1)
        assert "E_BUSY" in second.stderr and "holdfast.db is open in another process" in second.stderr
    finally:
        held.send_signal(signal.SIGTERM)
        assert held.wait(SECONDS_MAX) == 0
    db = stock(tmp_path)
    db.execute("SELECT count(*) FROM item").fetchone()
    busy = run(program, "list", tmp_path, code=1)
    assert "E_BUSY" in busy.stderr
    db.close()
    assert numbers(program, tmp_path) == [1, 2, 3]


def test_what_the_stock_library_writes_is_refused_not_believed(program, tmp_path):
    run(program, "put", tmp_path, 1, 3)
    with stock(tmp_path) as db:
        db.execute("UPDATE item SET name = 'else' WHERE id = 2")
    db.close()
    refused = run(program, "list", tmp_path, code=1)
    assert "E_CORRUPT" in refused.stderr and "is damaged in" in refused.stderr and "holdfast.db" in refused.stderr


def test_a_killed_writer_loses_nothing_it_told(program, tmp_path):
    dice = random.Random(20261121)
    told: set[int] = set()
    for kill in range(KILLS):
        writer = subprocess.Popen([program, "put", tmp_path, str(kill * 100000), "100000"], stdout=subprocess.PIPE, text=True)
        for _ in range(dice.randrange(1, 200)):
            told.add(int(writer.stdout.readline()))
        writer.kill()
        told.update(int(line) for line in writer.stdout.read().split("\n")[:-1])
        writer.wait(SECONDS_MAX)
        if kill % 3 == 0:  # looked into as the manual says, before the next start
            with stock(tmp_path, "ro") as db:
                assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            db.close()
    there = numbers(program, tmp_path)
    assert told <= set(there)
    with stock(tmp_path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
