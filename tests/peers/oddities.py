"""oddities: objects as no cluster has them, but as one may: members gone, null, empty, odd or unknown; repeatable by seed.

    for body in odd_objects("Pod", 200, seed=1): …      # peers.infos and the binary must agree on every one
"""
from __future__ import annotations

import random
from typing import Iterator

from .kubefill import make, pod

TEXTS = ("", "a", "<b> & 'c'", 'quote " and \\ back', "line\nend\ttab\r\b\f", "\x01\x1f\x7f", "日本語", "😀", "\u2028\u2029", "\ufffd", "x" * 300, "true", "0", "null")
NUMBERS = (0, 1, 7, 65535, 2147483647)
QUANTITIES = ("0", "1", "1000m", "0.5", "1.5", "1000", "1000k", "2048Mi", "1000Mi", "1.5Gi", "0.5Gi", "16393236Ki", "110", "12e6", "1.250", "250m", "4Ti", "100M")
KEYS = ("app", "a.b/c", "kubernetes.io/x", "kubectl.kubernetes.io/y", "app.kubernetes.io/z", "x.kubernetes.io/w", "node-role.kubernetes.io/master",
        "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/", "node-role.kubernetes.io/gpu", "é", "Z", "<k>", "k\u2028")
STRING_MAPS = ("labels", "annotations", "selector", "matchLabels", "nodeSelector", "data", "binaryData")
QUANTITY_MAPS = ("requests", "limits", "capacity")
TIMES = ("creationTimestamp", "firstTimestamp", "lastTimestamp", "startTime", "completionTime", "lastScheduleTime", "startedAt", "finishedAt")
UNKNOWN = ({"deep": [{"er": [1, 2.5e3, None, True, "x"]}]}, "text", [], {}, None, -1.5)
WHEN = "2026-01-02T03:04:05Z"

_VOLUMES = [{"emptyDir": {}}, {"configMap": {"name": "c"}}, {"secret": {"secretName": "s"}}, {"persistentVolumeClaim": {"claimName": "p"}},
            {"hostPath": {"path": "/h"}}, {"projected": {}}, {"downwardAPI": {}}, {"csi": {"driver": "d"}}, {"nfs": {"server": "n", "path": "/e"}},
            {"ephemeral": {}}, {"rbd": {}}, {"hostPath": {"path": "/two"}, "emptyDir": {}}]
_STATES = [{"running": {"startedAt": WHEN}}, {"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": {"exitCode": 1, "finishedAt": WHEN}}, {}]
# What kubefill's objects do not have.
MORE: dict[str, dict] = {
    "Namespace": {"status": {"phase": "Active"}},
    "Node": {"status": {"conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}, {"type": "Ready", "status": "False"}],
                        "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"}, "nodeInfo": {
                            "kubeletVersion": "v1.36.3", "containerRuntimeVersion": "containerd://2", "osImage": "Debian", "architecture": "arm64"}}},
    "Deployment": {"status": {"replicas": 3, "readyReplicas": 2, "availableReplicas": 1, "updatedReplicas": 3}},
    "StatefulSet": {"status": {"readyReplicas": 2, "currentReplicas": 1}},
    "DaemonSet": {"status": {"desiredNumberScheduled": 4, "currentNumberScheduled": 3, "numberReady": 2, "numberAvailable": 1}},
    "Job": {"status": {"succeeded": 1, "failed": 2, "active": 3, "startTime": WHEN, "completionTime": WHEN}},
    "CronJob": {"status": {"active": [{"name": "a"}, {"name": "b"}], "lastScheduleTime": WHEN}},
    "Ingress": {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example"}, {"ports": []}]}}},
    "PersistentVolumeClaim": {"status": {"phase": "Bound"}},
    "ServiceAccount": {"secrets": [{"name": "s1"}, {"name": "s2"}]},
}


def rich(kind: str, at: int) -> dict:
    """An object with every part that the agent looks at."""
    if kind in ("Namespace", "Node"):
        body: dict = {"metadata": {"name": f"o{at}", "labels": {}, "annotations": {}}}
    else:
        body = pod("apps", f"o{at}", "node-0") if kind == "Pod" else make(kind, at, "apps", prefix="o")
    body["metadata"].update(uid=f"uid-{at}", creationTimestamp=WHEN, ownerReferences=[{"kind": "ReplicaSet", "name": "r"}, {"kind": "CronJob", "name": "c"}])
    body.update({"apiVersion": "v1", "kind": kind, **MORE.get(kind, {})})
    if kind == "Pod":
        body["spec"]["volumes"] = [{"name": f"v{index}", **volume} for index, volume in enumerate(_VOLUMES)]
        statuses = [{"name": f"c{index}", "ready": True, "restartCount": index, "state": state} for index, state in enumerate(_STATES)]
        body["status"] = {"phase": "Running", "qosClass": "Burstable", "hostIP": "192.0.2.9", "podIP": "10.0.0.9", "containerStatuses": statuses,
                          "initContainerStatuses": [{"name": "init", "state": _STATES[at % 4]}], "conditions": [{"type": "Ready", "status": "True", "reason": "x"}]}
    return body


class Odd:
    def __init__(self, seed: object):
        self.random = random.Random(repr(seed))

    def one_in(self, count: int) -> bool:
        return self.random.randrange(count) == 0

    def object(self, body: dict, name: str = "") -> dict:
        """Members in another order, some gone, null or unknown ones among them."""
        if name in STRING_MAPS and not any(isinstance(value, dict) for value in body.values()):
            return self.strings(body)
        if name in QUANTITY_MAPS:
            return {key: self.random.choice(QUANTITIES) for key in body if not self.one_in(6)}
        members = [(key, None if self.one_in(25) else self.value(key, value)) for key, value in body.items() if not self.one_in(12)]
        if self.one_in(6):
            members.append(("unknown" + self.random.choice("ab"), self.random.choice(UNKNOWN)))
        if self.one_in(3):
            self.random.shuffle(members)
        return dict(members)

    def strings(self, body: dict) -> dict:
        made = {key: value if self.random.random() < 0.7 else self.random.choice(TEXTS) for key, value in body.items() if not self.one_in(6)}
        for key in self.random.sample(KEYS, self.random.randrange(4)):
            made[key] = self.random.choice(TEXTS)
        return {} if self.one_in(10) else made

    def value(self, name: str, value: object) -> object:
        if isinstance(value, dict):
            return {} if self.one_in(20) else self.object(value, name)
        if isinstance(value, list):
            return [] if self.one_in(15) else [self.value(name, one) for one in value for _ in range(1 + self.one_in(15)) if not self.one_in(15)]
        if isinstance(value, bool) or name in TIMES or name in ("storage",):
            return value if not isinstance(value, bool) or self.one_in(2) else not value
        if isinstance(value, int):
            return value if self.random.random() < 0.7 else self.random.choice(NUMBERS)
        return value if self.random.random() < 0.8 else self.random.choice(TEXTS)


def odd_objects(kind: str, count: int, seed: int = 0) -> Iterator[dict]:
    """`count` of a kind; the first is whole. All have uid, name and namespace, without which nothing is told of an object."""
    for at in range(count):
        whole = rich(kind, at)
        odd = Odd((kind, seed, at)).object(whole) if at else whole
        odd["metadata"] = {**(odd.get("metadata") or {}), **{name: whole["metadata"][name] for name in ("uid", "name", "namespace") if name in whole["metadata"]}}
        yield odd
