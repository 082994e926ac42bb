"""kubefill: objects of all twenty kinds, in the proportions of a cluster.

    filled = fill(plane, pods=10_000)       # filled.counts, filled.planted, filled.seconds
    bump(plane, "Pod", filled.named["Pod"]) # one change each: the label holdfast.test/version counts up

Secrets and ConfigMaps hold `planted`, a text that must never leave the cluster, in Secrets at the three alignments of
base64; env values, arguments and the last-applied annotation of pods hold it too. Nothing scales: workloads ask for no
pods, so that `pods` is how many there are.

Above DIRECT_FROM pods the first of each kind is made through the API server, and the others are copies of it, written
into etcd, from where the API server learns of them as of another API server's: 20,000 objects take some 10 s in place of
two minutes.
"""
from __future__ import annotations

import base64
import json
import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Callable, Iterable, Sequence

from .gateway import Gateway
from .kube import ControlPlane
from .kubekinds import KINDS
from .platform import VERSION_LABEL

# Of each kind, one for so many pods; two at least.
PER_PODS = {"Namespace": 500, "Node": 200, "Service": 10, "Deployment": 10, "StatefulSet": 50, "DaemonSet": 200, "Job": 50,
            "CronJob": 100, "Ingress": 50, "NetworkPolicy": 50, "ConfigMap": 5, "Secret": 5, "PersistentVolumeClaim": 20,
            "ServiceAccount": 50, "Role": 50, "ClusterRole": 100, "RoleBinding": 50, "ClusterRoleBinding": 100, "Event": 5}
DIRECT_FROM = 500
_ETCD = {"Service": "services/specs", "Node": "minions", "Ingress": "ingress"}  # where the folder is not the plural
IMAGE = "registry.example/team/app:1.2.3"


@dataclass
class Filled:
    planted: str
    seconds: float = 0
    counts: dict[str, int] = field(default_factory=dict)
    named: dict[str, list[tuple[str | None, str]]] = field(default_factory=dict)  # kind: (namespace, name)


def _meta(namespace: str | None, name: str, **labels: str) -> dict:
    meta = {"name": name, "labels": {"app.kubernetes.io/name": name, VERSION_LABEL: "1", **labels},
            "annotations": {"example.org/note": 'tags <b> & "quotes", 日本, \u2028', "kubectl.kubernetes.io/last-applied-configuration": "{}"}}
    return {**meta, "namespace": namespace} if namespace else meta


def pod(namespace: str, name: str, node: str | None = None, planted: str = "planted", containers: int = 2, **labels: str) -> dict:
    """A pod with every part that the agent looks at; some 3 KB as the API server tells it."""
    meta = _meta(namespace, name, **labels)
    meta["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = planted
    spec = {"containers": [_container(at, planted) for at in range(containers)], "volumes": [
        {"name": "tmp", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "conf", "optional": True}},
        {"name": "key", "secret": {"secretName": "key", "optional": True}}],
        "initContainers": [{"name": "init", "image": IMAGE, "command": ["sh", "-c", planted]}],
        "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 0}
    return {"metadata": meta, "spec": {**spec, "nodeName": node} if node else spec}


def _container(at: int, planted: str) -> dict:
    made = {"name": f"c{at}", "image": IMAGE, "args": [planted], "env": [{"name": "TOKEN", "value": planted}, {"name": "LEVEL", "value": "info"}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "conf", "mountPath": "/etc/app", "readOnly": True}]}
    if at == 0:
        made["ports"] = [{"containerPort": 8080, "name": "http"}]
        made["securityContext"] = {"privileged": False, "runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}
    return made


def _template(at: int) -> dict:
    return {"metadata": {"labels": {"app": f"a{at}"}}, "spec": {"containers": [{"name": "main", "image": IMAGE}], "nodeSelector": {"disk": "none"}}}


def _service(at: int) -> dict:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "grpc", "port": 9000, "targetPort": 9001, "protocol": "TCP"}]
    return {"spec": {"selector": {"app": f"a{at}"}, "ports": ports, "clusterIP": "None"}}


def _workload(**more: object) -> Callable[[int], dict]:
    return lambda at: {"spec": {"selector": {"matchLabels": {"app": f"a{at}"}}, "template": _template(at), **more}}


def _job(at: int) -> dict:
    template = {"metadata": {}, "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE}]}}
    return {"spec": {"suspend": True, "parallelism": 1 + at % 3, "completions": 3, "template": template}}


def _ingress(at: int) -> dict:
    def path(port: dict) -> dict:
        return {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": port}}}
    rules = [{"host": f"a{at}.example.org", "http": {"paths": [path({"number": 80}), path({"name": "http"})]}}, {"host": "bare.example.org"}]
    return {"spec": {"ingressClassName": "nginx", "rules": rules, "tls": [{"hosts": [f"a{at}.example.org"], "secretName": "tls"}]}}


def _policy(at: int) -> dict:
    return {"spec": {"podSelector": {"matchLabels": {"app": f"a{at}"}}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}, {}]}}


def _secret(planted: str) -> Callable[[int], dict]:
    def make(at: int) -> dict:
        data = {f"key{shift}": base64.b64encode(("x" * shift + planted).encode()).decode() for shift in range(3)}
        return {"type": "Opaque", "data": data, **({"immutable": True} if at % 10 == 9 else {})}
    return make


def _claim(_: int) -> dict:
    return {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": {"requests": {"storage": "1.5Gi"}}}}


def _account(at: int) -> dict:
    return {"imagePullSecrets": [{"name": "pull"}], **({"automountServiceAccountToken": False} if at % 2 else {})}


def _role(at: int) -> dict:
    return {"rules": [{"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["get"]},
                      {"apiGroups": ["apps"], "resources": ["pods", f"custom{at % 7}"], "verbs": ["list"]}]}


def _binding(kind: str) -> Callable[[int], dict]:
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}, {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]
    return lambda at: {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": f"r{at}"}, "subjects": subjects}


def _event(at: int) -> dict:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"type": "Normal" if at % 3 else "Warning", "reason": "Started", "message": f"container <{at}> started", "count": 1 + at % 5,
            "source": {"component": "kubelet", "host": "node-0"}, "firstTimestamp": now, "lastTimestamp": now}


def makers(planted: str) -> dict[str, Callable[[int], dict]]:
    """What an object of the kind is besides its metadata; Pods, Namespaces, Nodes have their own ways."""
    return {"Service": _service, "Deployment": _workload(replicas=0), "StatefulSet": _workload(replicas=0, serviceName="db"),
            "DaemonSet": _workload(), "Job": _job, "Ingress": _ingress, "NetworkPolicy": _policy, "Secret": _secret(planted),
            "CronJob": lambda at: {"spec": {"schedule": "0 3 * * 1", "suspend": True, "jobTemplate": _job(at)}},
            "ConfigMap": lambda at: {"data": {"zebra": planted, "apple": planted * 20}, "binaryData": {"bin": base64.b64encode(planted.encode()).decode()}},
            "PersistentVolumeClaim": _claim, "ServiceAccount": _account, "Role": _role, "ClusterRole": _role,
            "RoleBinding": _binding("Role"), "ClusterRoleBinding": _binding("ClusterRole"), "Event": _event}


def make(kind: str, at: int, namespace: str, planted: str = "planted", prefix: str = "f", nodes: Sequence[str] = ()) -> dict:
    """One object of any kind but Namespace and Node."""
    name = f"{prefix}{at}"
    if kind == "Pod":
        return pod(namespace, name, nodes[at % len(nodes)] if nodes else None, planted)
    whole = kind in ("ClusterRole", "ClusterRoleBinding")
    body = {"metadata": _meta(None if whole else namespace, name), **makers(planted)[kind](at)}
    if kind == "Event":
        body["involvedObject"] = {"kind": "Pod", "name": name, "namespace": namespace, "uid": "some-uid"}
    return body


def fill(plane: ControlPlane, pods: int = 200, planted: str | None = None, prefix: str = "f", kinds: Iterable[str] | None = None,
         running: bool = True, direct: bool | None = None) -> Filled:
    """Makes `pods` pods, on nodes when the plane has some, and the other kinds (or those named) in proportion; with
    running and kwok, returns when all pods run. direct: see above; default by the number of pods."""
    began = time.monotonic()
    filled = Filled(planted or "planted-" + secrets.token_hex(12))
    how = _directly if direct or (direct is None and pods > DIRECT_FROM) else _through_api
    wanted = {kind: max(2, pods // per) for kind, per in PER_PODS.items()} | {"Pod": pods}
    spaces = [f"{prefix}-ns{at}" for at in range(wanted.pop("Namespace"))]
    nodes = [f"{prefix}-node{at}" for at in range(wanted.pop("Node"))] if kinds is None or "Node" in kinds else []
    _ground(plane, filled, spaces, nodes)
    homes = nodes or [f"node-{at}" for at in range(plane.nodes)]
    for kind, count in wanted.items():
        if kinds is None or kind in kinds:
            bodies = [make(kind, at, spaces[at % len(spaces)], filled.planted, prefix, homes) for at in range(count)]
            how(plane, kind, bodies)
            filled.named[kind] = [(body["metadata"].get("namespace"), body["metadata"]["name"]) for body in bodies]
    if running and plane.with_kwok and "Pod" in filled.named:
        wait_running(plane, pods)
    filled.counts = {kind: len(named) for kind, named in filled.named.items()}
    filled.seconds = time.monotonic() - began
    return filled


def _ground(plane: ControlPlane, filled: Filled, spaces: list[str], nodes: list[str]) -> None:
    plane.client.many(lambda name: plane.create_namespace(name, labels={VERSION_LABEL: "1"}), spaces)
    plane.client.many(lambda name: plane.create_node(name, **{VERSION_LABEL: "1"}), nodes)
    filled.named["Namespace"] = [(None, name) for name in spaces]
    filled.named["Node"] = [(None, name) for name in nodes]


def _through_api(plane: ControlPlane, kind: str, bodies: list[dict]) -> None:
    plane.client.many(lambda body: plane.client.create(kind, body), bodies)


def _directly(plane: ControlPlane, kind: str, bodies: list[dict]) -> None:
    """The first by the API server; the others as copies with their own name, namespace, uid, labels and node."""
    plane.client.create(kind, bodies[0])
    meta = bodies[0]["metadata"]
    if kind == "Pod" and plane.with_kwok:
        plane.wait(lambda: plane.client.get(kind, meta["name"], meta["namespace"])["status"]["phase"] == "Running", "the first pod running")
    model = plane.client.get(kind, meta["name"], meta.get("namespace"))
    write_directly(plane, kind, (_copy(model, body) for body in bodies[1:]))
    plane.wait(lambda: plane.client.count(kind) >= len(bodies), f"{len(bodies)} {kind} seen")


def _copy(model: dict, body: dict) -> dict:
    meta = {**model["metadata"], **body["metadata"], "uid": str(uuid.uuid4())}
    made = {**model, "metadata": meta}
    if "nodeName" in body.get("spec", ()):
        made["spec"] = {**model["spec"], "nodeName": body["spec"]["nodeName"]}
    return made


def write_directly(plane: ControlPlane, kind: str, objects: Iterable[dict]) -> int:
    """Puts whole objects into etcd; how many. The API server reads JSON there as well as its own form. Each by itself:
    those of one transaction would share a resourceVersion, and a watch that is cut between them goes on behind all."""
    local, gateways = threading.local(), []

    def one(body: dict) -> None:
        if not hasattr(local, "gateway"):
            local.gateway = Gateway(plane.etcd.back_port)
            gateways.append(local.gateway)
        meta = body["metadata"]
        meta.pop("resourceVersion", None)
        where = "/".join(part for part in (meta.get("namespace"), meta["name"]) if part)
        whole = {"apiVersion": KINDS[kind].version, "kind": kind, **body}
        local.gateway.put_many([(f"/registry/{_ETCD.get(kind, KINDS[kind].plural)}/{where}".encode(), json.dumps(whole).encode())])

    try:
        return len(plane.client.many(one, objects, threads=4))
    finally:
        for gateway in gateways:
            gateway.close()


def wait_running(plane: ControlPlane, at_least: int, seconds: float | None = None) -> None:
    """Until there are so many pods and all run; kwok sees to some 100 to 300 a second on 2 cores."""
    def enough() -> bool:
        others = plane.client.call("GET", "/api/v1/pods?limit=1&fieldSelector=status.phase%21%3DRunning")["items"]
        return not others and plane.client.count("Pod") >= at_least
    plane.wait(enough, f"{at_least} pods running", seconds or 60 + at_least / 20)


def bump(plane: ControlPlane, kind: str, named: Iterable[tuple[str | None, str]], version: int = 2, **labels: str) -> int:
    """One change of each object: its version label; how many."""
    body = {"metadata": {"labels": {VERSION_LABEL: str(version), **labels}}}
    return len(plane.client.many(lambda one: plane.client.patch(kind, one[1], body, one[0]), list(named)))


def bump_directly(plane: ControlPlane, kind: str, version: int = 2, namespace: str | None = None, **labels: str) -> int:
    """The same for all objects of the kind (of the namespace), by etcd: thousands a second. What others change meanwhile is undone."""
    objects = plane.client.list(kind, namespace)
    for one in objects:
        one["metadata"].setdefault("labels", {}).update({VERSION_LABEL: str(version), **labels})
    return write_directly(plane, kind, objects)


def remove(plane: ControlPlane, kind: str, named: Iterable[tuple[str | None, str]]) -> int:
    return len(plane.client.many(lambda one: plane.client.delete(kind, one[1], one[0]), list(named)))
