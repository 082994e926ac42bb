"""`ingest preview` against a converter written by others from the specification alone: byte for byte, on odd objects of every kind."""
from __future__ import annotations

import json

import pytest

from peers.infos import go_json, info
from peers.kube_law import preview_differences
from peers.kubekinds import KINDS
from peers.oddities import odd_objects

COUNT = 150


@pytest.mark.parametrize("kind", KINDS)
def test_both_tell_the_same(holdfast, kind):
    found = preview_differences(holdfast, kind, list(odd_objects(kind, COUNT)))
    assert not found, f"{len(found)} of {COUNT}, first:\n{found[0]}"


def test_the_objects_are_odd_enough():
    """Of each kind many different Infos, and none that is told in full too rarely."""
    for kind in KINDS:
        told = [info(kind, body) for body in odd_objects(kind, COUNT)]
        full = max(len(one) for one in told)
        assert len({go_json(one) for one in told}) > COUNT * 0.9, kind
        assert sum(len(one) == full for one in told) >= 5, kind


def test_a_difference_is_told(holdfast, monkeypatch):
    """The comparison can fail: a converter that forgets a member is found out."""
    from peers import infos
    monkeypatch.setitem(infos.CONVERTERS, "Secret", lambda body: {name: value for name, value in infos.secret(body).items() if name != "type"})
    whole = next(iter(odd_objects("Secret", 1)))
    (found,) = preview_differences(holdfast, "Secret", [whole])
    assert json.loads(found.split("\n")[0].removeprefix("Secret: holdfast "))["type"] == "Opaque"
