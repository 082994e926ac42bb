"""config: the hub's configuration, written for tests.

    to_yaml(hub_config(data=…, listen="127.0.0.1:9464", endpoints=[…], client=cert, destination=DIR))

to_yaml writes nested dicts, lists, strings, numbers and booleans as block-style YAML, every string quoted.
"""
from __future__ import annotations

import json
from pathlib import Path
from typing import Iterator, Sequence

from .ca import Cert


def hub_config(*, data: Path, listen: str, endpoints: Sequence[str], client: Cert | None, destination: Path,
               every: str = "6h", ca: Path | None = None) -> dict:
    """The thin path's keys. `client` gives ca, cert and key; `ca` takes the place of its ca. Change the result
    freely before it is written."""
    etcd: dict = {"endpoints": list(endpoints)}
    if client:
        etcd.update(ca=str(ca or client.ca), cert=str(client.cert), key=str(client.key))
    elif ca:
        etcd["ca"] = str(ca)
    return {"version": 1, "data": str(data), "listen": listen, "backup": {
        "etcd": etcd, "every": every,
        "destinations": [{"name": "local", "type": "directory", "path": str(destination)}]}}


def to_yaml(value: dict) -> str:
    return "\n".join(_mapping(value, 0)) + "\n"


def _mapping(value: dict, indent: int) -> Iterator[str]:
    for key, item in value.items():
        yield from _entry(" " * indent + f"{key}:", item, indent)


def _entry(head: str, item: object, indent: int) -> Iterator[str]:
    if isinstance(item, dict) and item:
        yield head
        yield from _mapping(item, indent + 2)
    elif isinstance(item, list) and item:
        yield head
        for element in item:
            yield from _element(element, indent + 2)
    else:
        yield f"{head} {json.dumps(item)}"


def _element(element: object, indent: int) -> Iterator[str]:
    if not isinstance(element, dict) or not element:
        yield " " * indent + f"- {json.dumps(element)}"
        return
    for number, line in enumerate(_mapping(element, indent + 2)):
        yield line if number else " " * indent + "- " + line[indent + 2:]
