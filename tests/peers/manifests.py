"""manifests: what the deployment's files hold, read without Helm, kubectl or a cluster; and what the agent needs of a cluster.

    kinds()          {"Pod": ("", "pods"), …} as agents/ingest/kinds.h has them
    needed()         {Rule}: what the agent may have to ask, with all kinds on
    rules(documents) {Rule}: what a ClusterRole and a Role among the documents grant
    chart(helm, …)   the documents that the chart renders
"""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Iterable, NamedTuple

import yaml

from .proc import run

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
CHART = CONFIG / "helm" / "holdfast"
BASE = CONFIG / "kustomize" / "base"
CRD = CONFIG / "crds" / "obsykagents.obsyk.io.yaml"


class Rule(NamedTuple):
    """One permission. where: "cluster", or "namespace" (a Role beside the pod). name: of the one object, or ""."""
    where: str
    group: str
    resource: str
    verb: str
    name: str = ""


def kinds() -> dict[str, tuple[str, str]]:
    source = re.sub(r"\s*\\\n\s*", " ", (ROOT / "agents/ingest/kinds.h").read_text())
    words = dict(re.findall(r'#define (INGEST_\w+)\s+"(/api[^"]*)"', source))
    rows = re.findall(r'X\(\w+, "(\w+)", ("/api[^"]*"|INGEST_\w+), "(\w+)"', source)
    found = {}
    for kind, prefix, plural in rows:
        parts = words.get(prefix, prefix).strip('"').split("/")  # ["", "apis", "apps", "v1"]
        found[kind] = (parts[2] if parts[1] == "apis" else "", plural)
    return found


def constant(header: str, name: str) -> str:
    found = re.search(rf'#define {name}\s+"([^"]*)"', (ROOT / header).read_text())
    assert found, f"{header} has no {name}"
    return found[1]


def needed(secret: str = "obsyk-credentials", only: Iterable[str] | None = None) -> set[Rule]:
    of = kinds()
    rules = {Rule("cluster", *of[kind], verb) for kind in (only or of) for verb in ("list", "watch")}
    rules.add(Rule("cluster", *of["Namespace"], "list"))  # kube-system's uid
    rules |= {Rule("cluster", "obsyk.io", "obsykagents", verb) for verb in ("get", "list", "watch")}
    rules |= {Rule("cluster", "obsyk.io", "obsykagents/status", verb) for verb in ("get", "patch", "update")}
    rules |= {Rule("namespace", "", "secrets", verb, secret) for verb in ("get", "list", "watch")}
    lease = constant("agents/ingest/agent_resource.h", "OBSYK_LEASE")
    rules |= {Rule("namespace", "coordination.k8s.io", "leases", verb, lease) for verb in ("get", "patch", "update")}
    return rules | {Rule("namespace", "coordination.k8s.io", "leases", "create")}


def rules(documents: Iterable[dict]) -> set[Rule]:
    where = {"ClusterRole": "cluster", "Role": "namespace"}
    return {Rule(where[document["kind"]], group, resource, verb, name)
            for document in documents if document["kind"] in where
            for rule in document["rules"]
            for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]
            for name in rule.get("resourceNames", [""])}


def read(*paths: Path) -> list[dict]:
    return [document for path in paths for document in yaml.safe_load_all(path.read_text()) if document]


def one(documents: Iterable[dict], kind: str) -> dict:
    found = [document for document in documents if document["kind"] == kind]
    assert len(found) == 1, f"{len(found)} {kind}"
    return found[0]


def values_file(folder: Path, values: dict) -> Path:
    """As JSON: YAML 1.1, which Helm reads, takes a plain n for false."""
    path = folder / "values.yaml"
    path.write_text(json.dumps(values))
    return path


def chart(helm: Path, *words: object, values: dict | None = None, folder: Path | None = None) -> list[dict]:
    """`helm template` with the CRD; PeerError with Helm's words when it refuses."""
    more = []
    if values is not None:
        assert folder
        more = ["--values", values_file(folder, values)]
    done = run([helm, "template", "hf", CHART, "--namespace", "holdfast", "--include-crds", *more, *words])
    return [document for document in yaml.safe_load_all(done.stdout) if document]
