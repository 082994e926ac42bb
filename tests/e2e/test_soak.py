"""The soak for two minutes: that it can tell good from wrong, and a first look at both. `make soak` runs it for an hour."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parents[1] / "soak" / "soak.py"
pytestmark = pytest.mark.cluster


def test_two_minutes(holdfast, capsys):
    done = subprocess.run([sys.executable, "-B", SOAK, "--minutes", "2", "--patience", "5", "--binary", holdfast], capture_output=True, timeout=900)
    with capsys.disabled():
        print("\n" + done.stdout.decode())
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()[-2000:]
