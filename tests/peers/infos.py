"""infos: what the ingest agent must send of an object, written from ingest.md section 3 alone: the second opinion.

    info("Pod", the API server's object), go_json(info)      # the Info, and its bytes as on the wire

Members are in the order of the wire. `some()` leaves out what is empty where the text has a "?".
"""
from __future__ import annotations

import json
import re
from typing import Callable

NO_TIME = "0001-01-01T00:00:00Z"
DROPPED = ("kubectl.kubernetes.io/", "kubernetes.io/")
ROLE = "node-role.kubernetes.io/"
# spec 3.2: first match wins; the member of the source that is told
VOLUMES = (("emptyDir", "emptyDir", None), ("configMap", "configMap", "name"), ("secret", "secret", "secretName"),
           ("persistentVolumeClaim", "pvc", "claimName"), ("hostPath", "hostPath", "path"), ("projected", "projected", None),
           ("downwardAPI", "downwardAPI", None), ("csi", "csi", "driver"), ("nfs", "nfs", None), ("ephemeral", "ephemeral", None))


def some(**members: object) -> dict:
    """Those that are not empty."""
    return {name: value for name, value in members.items() if value not in (None, "", 0, False, [], {})}


def at(body: dict | None, *path: str, absent: object = None) -> object:
    """A member of members; `absent` when something on the way is missing or null."""
    for name in path:
        if not isinstance(body, dict) or body.get(name) is None:
            return absent
        body = body[name]
    return body


def _decimal(text: str) -> tuple[int, int]:
    """(digits, exponent): the number is digits * 10**exponent."""
    whole, _, part = text.partition(".")
    return int(whole + part), -len(part)


def quantity(text: object) -> str:
    """Canonical, as the API server tells it (spec 3.0)."""
    text = str(text)
    match = re.fullmatch(r"([+-]?[0-9.]+)(|m|u|n|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE]([+-]?[0-9]+))", text)
    assert match, f"no quantity: {text}"
    digits, exponent = _decimal(match[1])
    suffix = match[2]
    if suffix.endswith("i"):
        power = "KMGTPE".index(suffix[0]) + 1
        value = digits * 1024 ** power * 10 ** max(exponent, 0)
        if exponent < 0 and value % 10 ** -exponent == 0:
            value, exponent = value // 10 ** -exponent, 0
        if exponent >= 0:
            while power and value % 1024 ** power:
                power -= 1
            power = max((up for up in range(7) if value % 1024 ** up == 0), default=0) if value else 0
            return f"{value // 1024 ** power}{'KMGTPE'[power - 1] + 'i' if power else ''}"
        return text
    if match[3] is not None or re.fullmatch(r"[0-9]+\.[0-9]{2}0", text):  # exponents, and the oddity of 3.0
        return text
    exponent += 3 * ("num kMGTPE".index(suffix) - 3) if suffix else 0
    while digits and digits % 10 == 0:
        digits, exponent = digits // 10, exponent + 1
    if not digits:
        return "0"
    digits, exponent = (digits * 10 ** (exponent % 3), exponent - exponent % 3)
    return f"{digits}{('num', 'kMGTPE')[exponent > 0][exponent // 3 + (3 if exponent < 0 else -1)] if exponent else ''}"


def text(body: dict, name: str) -> str:
    return body.get(name) or ""


def number(body: dict, name: str) -> int:
    return body.get(name) or 0


def each(body: dict | None, *path: str) -> list[dict]:
    """The objects of a list; none when it is missing. A null in it is an empty object."""
    return [one or {} for one in at(body, *path, absent=[])]  # type: ignore[attr-defined]


def pairs(body: dict | None, *path: str) -> dict:
    """A map of strings in byte order."""
    found = at(body, *path, absent={})
    return {name: found[name] or "" for name in sorted(found, key=str.encode)}  # type: ignore[index, call-overload]


def _created(body: dict) -> dict:
    return {"k8s_created_at": at(body, "metadata", "creationTimestamp", absent=NO_TIME)}


def _tags(meta: dict) -> dict:
    kept = {name: value for name, value in pairs(meta, "annotations").items() if not name.startswith(DROPPED)}
    return some(labels=pairs(meta, "labels"), annotations=kept)


def _head(body: dict, namespaced: bool = True) -> dict:
    meta = body.get("metadata") or {}
    return {name: text(meta, name) for name in ("uid", "name", *(["namespace"] if namespaced else []))} | _tags(meta)


def _first_image(body: dict) -> str:
    containers = each(body, "spec", "template", "spec", "containers")
    return text(containers[0], "image") if containers else ""


def _count(body: dict, *path: str) -> int:
    return at(body, *path, absent=0)  # type: ignore[return-value]


def namespace(body: dict) -> dict:
    return {**_head(body, False), **some(phase=at(body, "status", "phase"))}


def _security(context: dict | None) -> dict:
    if context is None:
        return {}
    made = {} if context.get("privileged") is None else {"privileged": context["privileged"]}
    user = context.get("runAsUser")
    root = (user is not None and user == 0) or context.get("runAsNonRoot") is False
    return {"security_context": {**made, **some(run_as_root=root, capabilities=at(context, "capabilities", "add"))}}


def _resources(spec: dict) -> dict:
    found = {f"{what}_{key}": at(spec, "resources", part, what) for what in ("cpu", "memory") for part, key in (("requests", "request"), ("limits", "limit"))}
    return {name: quantity(value) for name, value in found.items() if value is not None}


def _container(spec: dict, statuses: list[dict]) -> dict:
    status = next((one for one in statuses if text(one, "name") == text(spec, "name")), {})
    state = next((name for name in ("running", "waiting", "terminated") if at(status, "state", name) is not None), None)
    ports = [{"container_port": number(port, "containerPort"), **some(protocol=port.get("protocol"), name=port.get("name"))} for port in each(spec, "ports")]
    mounts = [{"name": text(mount, "name"), "mount_path": text(mount, "mountPath"), "read_only": mount.get("readOnly") or False}
              for mount in each(spec, "volumeMounts")]
    return {"name": text(spec, "name"), "image": text(spec, "image"), **some(state=state), "ready": status.get("ready") or False,
            "restart_count": number(status, "restartCount"), "resources": _resources(spec),
            **some(ports=ports, volume_mounts=mounts, env_var_names=[text(one, "name") for one in each(spec, "env")]), **_security(spec.get("securityContext"))}


def _volume(spec: dict) -> dict:
    for member, kind, source in VOLUMES:
        given = spec.get(member)
        if given is None:
            continue
        told = f"{text(given, 'server')}:{text(given, 'path')}" if member == "nfs" else text(given, source) if source else ""
        return {"name": text(spec, "name"), "type": kind, **some(source=told)}
    return {"name": text(spec, "name"), "type": "unknown"}


def _conditions(status: dict) -> list[dict]:
    return [{"type": text(one, "type"), "status": text(one, "status")} for one in each(status, "conditions")]


def pod(body: dict) -> dict:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    return {**_head(body), **some(
        node_name=spec.get("nodeName"), service_account=spec.get("serviceAccountName"), phase=status.get("phase"),
        qos_class=status.get("qosClass"), priority_class_name=spec.get("priorityClassName"), host_ip=status.get("hostIP"), pod_ip=status.get("podIP"),
        conditions=_conditions(status),
        containers=[_container(one, each(status, "containerStatuses")) for one in each(spec, "containers")],
        init_containers=[_container(one, each(status, "initContainerStatuses")) for one in each(spec, "initContainers")],
        volumes=[_volume(one) for one in each(spec, "volumes")])}


def service(body: dict) -> dict:
    spec = body.get("spec") or {}
    ports = [{**some(name=port.get("name")), "protocol": text(port, "protocol"), "port": number(port, "port"),
              **some(targetPort=str(0 if port.get("targetPort") is None else port["targetPort"]))} for port in each(spec, "ports")]
    return {**_head(body), **some(service_type=spec.get("type"), cluster_ip=spec.get("clusterIP"), ports=ports, selector=pairs(spec, "selector"))}


def _roles(labels: dict) -> list[str]:
    names = [name[len(ROLE):] for name in labels if name.startswith(ROLE) and len(name) > len(ROLE)]
    return sorted(("control-plane" if name == "master" else name for name in names), key=str.encode)


def node(body: dict) -> dict:
    status = body.get("status") or {}
    about = status.get("nodeInfo") or {}
    first = next((one for one in _conditions(status) if one["type"] == "Ready"), {})
    capacity = {f"{key}_capacity": quantity(at(status, "capacity", name, absent="0")) for key, name in (("cpu", "cpu"), ("memory", "memory"), ("pod", "pods"))}
    return {**_head(body, False), "status": "Ready" if first.get("status") == "True" else "NotReady",
            **some(roles=_roles(pairs(body, "metadata", "labels")), kubelet_version=about.get("kubeletVersion"),
                   container_runtime=about.get("containerRuntimeVersion"), os_image=about.get("osImage"), architecture=about.get("architecture")), **capacity}


def _selector(body: dict) -> dict:
    return pairs(body, "spec", "selector", "matchLabels")


def deployment(body: dict) -> dict:
    return {**_head(body), "replicas": at(body, "spec", "replicas", absent=1), "ready_replicas": _count(body, "status", "readyReplicas"),
            "available_replicas": _count(body, "status", "availableReplicas"), "updated_replicas": _count(body, "status", "updatedReplicas"),
            **some(strategy=at(body, "spec", "strategy", "type"), selector=_selector(body), image=_first_image(body))}


def stateful_set(body: dict) -> dict:
    return {**_head(body), "replicas": at(body, "spec", "replicas", absent=1), "ready_replicas": _count(body, "status", "readyReplicas"),
            "current_replicas": _count(body, "status", "currentReplicas"),
            **some(update_strategy=at(body, "spec", "updateStrategy", "type"), service_name=at(body, "spec", "serviceName"), selector=_selector(body), image=_first_image(body))}


def daemon_set(body: dict) -> dict:
    numbers = {"desired_number_scheduled": "desiredNumberScheduled", "current_number_scheduled": "currentNumberScheduled",
               "number_ready": "numberReady", "number_available": "numberAvailable"}
    return {**_head(body), **{name: _count(body, "status", member) for name, member in numbers.items()},
            **some(update_strategy=at(body, "spec", "updateStrategy", "type"), selector=_selector(body),
                   node_selector=pairs(body, "spec", "template", "spec", "nodeSelector"), image=_first_image(body))}


def job(body: dict) -> dict:
    owners = [text(one, "name") for one in each(body, "metadata", "ownerReferences") if one.get("kind") == "CronJob"]
    return {**_head(body), **{name: at(body, "spec", name, absent=1) for name in ("completions", "parallelism")},
            **{name: _count(body, "status", name) for name in ("succeeded", "failed", "active")},
            **some(start_time=at(body, "status", "startTime"), completion_time=at(body, "status", "completionTime"), owner_ref=owners[0] if owners else "")}


def cron_job(body: dict) -> dict:
    return {**_head(body), "schedule": at(body, "spec", "schedule", absent=""), "suspend": at(body, "spec", "suspend", absent=False),
            **some(concurrency_policy=at(body, "spec", "concurrencyPolicy"), last_schedule_time=at(body, "status", "lastScheduleTime")),
            "active_jobs": len(each(body, "status", "active"))}


def _ingress_path(path: dict) -> dict:
    port = at(path, "backend", "service", "port", "number")
    return some(path=path.get("path"), path_type=path.get("pathType"), service_name=at(path, "backend", "service", "name"), service_port=port)


def ingress(body: dict) -> dict:
    spec = body.get("spec") or {}
    rules = [some(host=rule.get("host"), paths=[_ingress_path(path) for path in each(rule, "http", "paths")]) for rule in each(spec, "rules")]
    tls = [some(hosts=one.get("hosts"), secret_name=one.get("secretName")) for one in each(spec, "tls")]
    balancers = [one.get("ip") or one.get("hostname") for one in each(body, "status", "loadBalancer", "ingress")]
    return {**_head(body), **some(ingress_class_name=spec.get("ingressClassName"), rules=rules, tls=tls, load_balancer_ips=[one for one in balancers if one])}


def network_policy(body: dict) -> dict:
    spec = body.get("spec") or {}
    return {**_head(body), **some(pod_selector=pairs(spec, "podSelector", "matchLabels"), policy_types=spec.get("policyTypes")),
            "ingress_rules": len(each(spec, "ingress")), "egress_rules": len(each(spec, "egress"))}


def _keys(body: dict, member: str) -> list[str]:
    return sorted(body.get(member) or (), key=str.encode)


def config_map(body: dict) -> dict:
    return {**_head(body), **some(data_keys=_keys(body, "data"), binary_keys=_keys(body, "binaryData")), "immutable": body.get("immutable") or False}


def secret(body: dict) -> dict:
    return {**_head(body), **some(type=body.get("type"), data_keys=_keys(body, "data")), "immutable": body.get("immutable") or False}


def claim(body: dict) -> dict:
    spec = body.get("spec") or {}
    asked = at(spec, "resources", "requests", "storage")
    return {**_head(body), **some(storage_class_name=spec.get("storageClassName"), access_modes=spec.get("accessModes"),
                                  storage_request=None if asked is None else quantity(asked), volume_name=spec.get("volumeName"),
                                  phase=at(body, "status", "phase"), volume_mode=spec.get("volumeMode"))}


def service_account(body: dict) -> dict:
    mounted = body.get("automountServiceAccountToken")
    names = {name: [text(one, "name") for one in each(body, member)] for name, member in (("secrets", "secrets"), ("image_pull_secrets", "imagePullSecrets"))}
    return {**_head(body), **some(**names), **({} if mounted is None else {"automount_service_account_token": mounted})}


def _role(whole: bool) -> Callable[[dict], dict]:
    def convert(body: dict) -> dict:
        rules = each(body, "rules")
        named = sorted({name or "" for rule in rules for name in rule.get("resources") or ()}, key=str.encode)
        return {**_head(body, not whole), "is_cluster": whole, "rule_count": len(rules), "resources": named}
    return convert


def _binding(whole: bool) -> Callable[[dict], dict]:
    def convert(body: dict) -> dict:
        role = body.get("roleRef") or {}
        subjects = [{"kind": text(one, "kind"), "name": text(one, "name"), **some(namespace=one.get("namespace"))} for one in each(body, "subjects")]
        return {**_head(body, not whole), "is_cluster": whole, "role_ref": {"kind": text(role, "kind"), "name": text(role, "name")}, **some(subjects=subjects)}
    return convert


def event(body: dict) -> dict:
    meta, about, source = body.get("metadata") or {}, body.get("involvedObject") or {}, body.get("source") or {}
    return {**{name: text(meta, name) for name in ("uid", "name", "namespace")}, **{name: text(body, name) for name in ("type", "reason", "message")},
            "involved_object": {"kind": text(about, "kind"), "name": text(about, "name"), **some(namespace=about.get("namespace"), uid=about.get("uid"))},
            "source": some(component=source.get("component"), host=source.get("host")),
            **some(first_timestamp=body.get("firstTimestamp"), last_timestamp=body.get("lastTimestamp")), "count": number(body, "count")}


CONVERTERS: dict[str, Callable[[dict], dict]] = {
    "Namespace": namespace, "Pod": pod, "Service": service, "Node": node, "Deployment": deployment, "StatefulSet": stateful_set,
    "DaemonSet": daemon_set, "Job": job, "CronJob": cron_job, "Ingress": ingress, "NetworkPolicy": network_policy, "ConfigMap": config_map,
    "Secret": secret, "PersistentVolumeClaim": claim, "ServiceAccount": service_account, "Role": _role(False), "ClusterRole": _role(True),
    "RoleBinding": _binding(False), "ClusterRoleBinding": _binding(True), "Event": event}


def info(kind: str, body: dict) -> dict:
    """The Info of an object, members in the order of the wire."""
    made = CONVERTERS[kind](body)
    if kind in ("Role", "RoleBinding") and not made["namespace"]:  # spec 3.16 and 3.18: "namespace?"
        del made["namespace"]
    return {**made, **_created(body)}


def event_body(cluster_uid: str, change: str, kind: str, body: dict, upper: bool = False) -> dict:
    """The POST body of one change (spec 4.3)."""
    meta = body["metadata"]
    told = {"added": "ADDED", "modified": "UPDATED", "deleted": "DELETED"}[change] if upper else change
    made = {"cluster_uid": cluster_uid, "type": told, "kind": kind, "uid": meta["uid"], "name": meta["name"], **some(namespace=meta.get("namespace"))}
    return made if change == "deleted" else {**made, "object": info(kind, body)}


def go_json(value: object) -> bytes:
    """As Go's encoder writes it: compact, members as they stand, <, > and & escaped, UTF-8 verbatim (spec 3.0)."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()
