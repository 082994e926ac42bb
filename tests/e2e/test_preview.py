"""`holdfast ingest preview`: every form of input, order, options, faults with their lines, kubectl's lists, and its memory.

What an Info is made of, field by field, is in tests/unit/test_info.c.
"""
from __future__ import annotations

import json
import os
import random
import subprocess
import threading

import pytest

from peers.infos import CONVERTERS, go_json, info
from peers.limits import Watch

POD = {"metadata": {"name": "p", "namespace": "s", "uid": "u", "labels": {"b": "2", "a": "<1>"}, "managedFields": [{"f": {}}],
                    "creationTimestamp": "2024-01-15T10:30:00Z"}, "spec": {"nodeName": "w"}}
POD_INFO = ('{"uid":"u","name":"p","namespace":"s","labels":{"a":"\\u003c1\\u003e","b":"2"},"node_name":"w",'
            '"k8s_created_at":"2024-01-15T10:30:00Z"}')
NODE = {"metadata": {"name": "n", "uid": "nu"}}
ZERO = "00000000-0000-0000-0000-000000000000"
KEYS = ("namespaces pods services nodes deployments statefulsets daemonsets jobs cronjobs ingresses network_policies configmaps "
        "secrets pvcs service_accounts roles cluster_roles role_bindings cluster_role_bindings events").split()


@pytest.fixture
def preview(holdfast):
    """Runs it on standard input, in an empty environment; the lines of its output, and of its errors."""
    def run(text: str | bytes, *args: str, code: int = 0):
        done = subprocess.run([holdfast, "ingest", "preview", *args], input=text.encode() if isinstance(text, str) else text,
                              capture_output=True, timeout=300, env={})
        assert done.returncode == code, done.stderr.decode()
        assert (done.stderr == b"") == (code == 0)
        assert done.stdout == b"" or done.stdout.endswith(b"\n")
        return done.stdout.decode().splitlines(), done.stderr.decode().splitlines()
    return run


def lines(*values) -> str:
    return "".join(json.dumps(v, separators=(",", ":"), ensure_ascii=False) + "\n" for v in values)


def test_every_form_in_order(preview):
    out, _ = preview(lines({"kind": "Pod", "object": POD}, {"type": "added", "kind": "Pod", "object": POD},
                           {"type": "modified", "kind": "Pod", "object": POD}, {"type": "deleted", "kind": "Pod", "object": POD},
                           {"type": "deleted", "kind": "Node", "object": NODE}, {"heartbeat": {}}),
                     "--cluster-uid", "c-1", "--agent-version", "v9")
    head = '"kind":"Pod","uid":"u","name":"p","namespace":"s"'
    assert out == [POD_INFO,
                   '{"cluster_uid":"c-1","type":"added",%s,"object":%s}' % (head, POD_INFO),
                   '{"cluster_uid":"c-1","type":"modified",%s,"object":%s}' % (head, POD_INFO),
                   '{"cluster_uid":"c-1","type":"deleted",%s}' % head,
                   '{"cluster_uid":"c-1","type":"deleted","kind":"Node","uid":"nu","name":"n"}',
                   '{"cluster_uid":"c-1","agent_version":"v9"}']


def test_options_and_their_defaults(preview):
    text = lines({"type": "added", "kind": "Node", "object": {}}, {"type": "modified", "kind": "Node", "object": {}},
                 {"type": "deleted", "kind": "Node", "object": {}}, {"heartbeat": {}}, {"snapshot": []})
    out, _ = preview(text)
    assert [json.loads(line)["cluster_uid"] for line in out] == [ZERO] * 5
    assert [json.loads(line).get("type") for line in out[:3]] == ["added", "modified", "deleted"]
    assert json.loads(out[4])["cluster_name"] == "preview" and "agent_version" not in out[3] + out[4]
    out, _ = preview(text, "--event-types=upper", "--cluster-uid", "<u>", "--cluster-name", "näme", "--agent-version=1")
    assert [json.loads(line).get("type") for line in out[:3]] == ["ADDED", "UPDATED", "DELETED"]
    assert out[3] == '{"cluster_uid":"\\u003cu\\u003e","agent_version":"1"}'
    assert out[4].startswith('{"cluster_uid":"\\u003cu\\u003e","cluster_name":"näme","agent_version":"1","namespaces":[],"pods":[],')


def test_snapshot_order_and_empty_arrays(preview):
    def named(kind, name, **more):
        return {"kind": kind, "object": {"metadata": {"name": name}, **more}}
    items = [named("Event", "e1"), named("Pod", "p1"), named("Namespace", "n1"), named("Pod", "p2"),
             named("Service", "s1", spec={"selector": {"a": "]}\\\""}}),
             named("Deployment", "d1", spec={"selector": {"matchLabels": {"a": "b"}}})]
    out, _ = preview(lines({"snapshot": []}, {"x": [{"snapshot": 1}], "snapshot": items}, {"heartbeat": {}}))
    empty, full = (json.loads(line) for line in out[:2])
    assert list(empty) == list(full) == ["cluster_uid", "cluster_name", *KEYS]
    assert all(empty[key] == [] for key in KEYS)
    assert {key: [o["name"] for o in full[key]] for key in KEYS if full[key]} == {
        "namespaces": ["n1"], "pods": ["p1", "p2"], "services": ["s1"], "deployments": ["d1"], "events": ["e1"]}
    assert full["services"][0]["selector"] == {"a": "]}\\\""}
    assert out[2] == '{"cluster_uid":"%s"}' % ZERO
    # Spread over blanks and with the object first it is the same.
    spread = ' { "snapshot" : [ %s ] } \r\n' % " , ".join(
        '{ "object" : %s , "kind" : "%s" }' % (json.dumps(i["object"], indent=None), i["kind"]) for i in items)
    assert preview(spread)[0] == [out[1]]


def test_white_space_and_ends(preview):
    heartbeat = '{"cluster_uid":"%s"}' % ZERO
    assert preview("") == ([], [])
    assert preview("\n  \r\n\t\n") == ([], [])
    assert preview('{"heartbeat":{}}')[0] == [heartbeat]
    assert preview('\r\n{"heartbeat":{}}\r\n\r\n {"heartbeat":{}} \t\r\n')[0] == [heartbeat] * 2
    object_first = '{"object":{"metadata":{"name":"x"}},"more":[1,{"kind":"Node"}],"type":"deleted","kind":"Node"}'
    assert preview(object_first)[0] == ['{"cluster_uid":"%s","type":"deleted","kind":"Node","uid":"","name":"x"}' % ZERO]


TEXTS = ["a", "b", "web", "<&>\u2028", "ä🌊", "\x7f\x01\b\f\n\"\\/", "Ready", "True", "False", "CronJob", "x" * 300, "\ufffd"]
LABELS = ["a", "B", "app.kubernetes.io/x", "kubernetes.io/y", "kubectl.kubernetes.io/z", "é", "<k>", "node-role.kubernetes.io/master",
          "node-role.kubernetes.io/worker", "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/"]
QUANTITIES = ["100m", "1", "1000m", "1.5", "2048Mi", "1.5Gi", "16393236Ki", "12e6", "1.250", "0", "110", "1000k", 4]


class Shapes:
    """Random objects: wanted members with values of all sorts, or not there, or null, among unwanted ones."""

    def __init__(self, seed: int):
        self.draw = random.Random(seed)

    def text(self) -> str:
        return self.draw.choice(TEXTS)

    def number(self) -> int:
        return self.draw.choice([0, 1, 7, 2147483647])

    def yes(self) -> bool:
        return self.draw.random() < 0.5

    def time(self) -> str:
        return f"20{self.draw.randrange(10, 38)}-0{self.draw.randrange(1, 10)}-1{self.draw.randrange(10)}T0{self.draw.randrange(10)}:30:59Z"

    def quantity(self) -> str | int:
        return self.draw.choice(QUANTITIES)

    def map(self) -> dict:
        return {key: self.text() for key in self.draw.sample(LABELS, self.draw.randrange(len(LABELS)))}

    def texts(self) -> list:
        return [self.text() for _ in range(self.draw.randrange(4))]

    def each(self, **members) -> list:
        return [self.object(**members) for _ in range(self.draw.randrange(4))]

    def object(self, needed: dict | None = None, **members) -> dict:
        """Of `members`, functions by name, some; of `needed` all."""
        made = {name: make() for name, make in (needed or {}).items()}
        made.update((name, make() if self.draw.random() < 0.9 else None) for name, make in members.items() if self.draw.random() < 0.7)
        made[self.text() + "?"] = {"skipped": [1, {"kind": "x"}, None]}
        order = list(made.items())
        self.draw.shuffle(order)
        return dict(order)

    def container(self) -> dict:
        def resources():
            return self.object(requests=lambda: self.object(cpu=self.quantity, memory=self.quantity), limits=lambda: self.object(cpu=self.quantity, memory=self.quantity))
        return self.object(
            {"name": lambda: self.draw.choice("abc")}, image=self.text, resources=resources,
            ports=lambda: self.each(containerPort=lambda: 80, protocol=self.text, name=self.text),
            volumeMounts=lambda: self.each(needed={"name": self.text, "mountPath": self.text}, readOnly=self.yes),
            env=lambda: self.each(needed={"name": self.text}, value=self.text),
            securityContext=lambda: self.object(privileged=self.yes, runAsUser=self.number, runAsNonRoot=self.yes,
                                                capabilities=lambda: self.object(add=self.texts, drop=self.texts)))

    def status(self) -> dict:
        return self.object({"name": lambda: self.draw.choice("abc"), "ready": self.yes, "restartCount": self.number},
                           state=lambda: {self.draw.choice(["running", "waiting", "terminated"]): {"reason": "r"}})

    def volume(self) -> dict:
        some = {name: self.text for name in ("name", "secretName", "claimName", "path", "driver", "server")}
        kinds = "emptyDir configMap secret persistentVolumeClaim hostPath projected downwardAPI csi nfs ephemeral iscsi".split()
        return self.object({"name": self.text}, **{kind: lambda: self.object(**some) for kind in self.draw.sample(kinds, 2)})

    def several(self, make) -> list:
        return [make() for _ in range(self.draw.randrange(4))]

    def workload(self) -> dict:
        """All that a spec or status of any kind has, of the right sort."""
        template = {"spec": lambda: self.object(containers=lambda: self.several(self.container), nodeSelector=self.map)}
        backend = {"service": lambda: self.object(name=self.text, port=lambda: {self.draw.choice(["number", "name"]): self.number()})}
        http = {"paths": lambda: self.each(path=self.text, pathType=self.text, backend=lambda: self.object(**backend))}
        return dict(
            phase=self.text, nodeName=self.text, serviceAccountName=self.text, priorityClassName=self.text, qosClass=self.text, hostIP=self.text,
            podIP=self.text, conditions=lambda: self.each(needed={"type": self.text, "status": self.text}), type=self.text, clusterIP=self.text,
            containers=lambda: self.several(self.container), initContainers=lambda: self.several(self.container),
            containerStatuses=lambda: self.several(self.status), initContainerStatuses=lambda: self.several(self.status),
            volumes=lambda: self.several(self.volume), replicas=self.number, readyReplicas=self.number, availableReplicas=self.number,
            updatedReplicas=self.number, currentReplicas=self.number, strategy=lambda: self.object(type=self.text),
            updateStrategy=lambda: self.object(type=self.text), serviceName=self.text, template=lambda: self.object(**template),
            desiredNumberScheduled=self.number, currentNumberScheduled=self.number, numberReady=self.number, numberAvailable=self.number,
            completions=self.number, parallelism=self.number, succeeded=self.number, failed=self.number, startTime=self.time,
            completionTime=self.time, schedule=self.text, suspend=self.yes, concurrencyPolicy=self.text, lastScheduleTime=self.time,
            ingressClassName=self.text, rules=lambda: self.each(host=self.text, http=lambda: self.object(**http)),
            tls=lambda: self.each(hosts=self.texts, secretName=self.text), podSelector=lambda: self.object(matchLabels=self.map),
            policyTypes=self.texts, egress=self.texts, storageClassName=self.text, accessModes=self.texts, volumeName=self.text,
            volumeMode=self.text, loadBalancer=lambda: self.object(ingress=lambda: self.each(ip=self.text, hostname=self.text)),
            nodeInfo=lambda: self.object(kubeletVersion=self.text, containerRuntimeVersion=self.text, osImage=self.text, architecture=self.text),
            capacity=lambda: self.object(cpu=self.quantity, memory=self.quantity, pods=self.quantity),
            resources=lambda: self.object(requests=lambda: self.object(storage=self.quantity)))

    def of(self, kind: str) -> dict:
        """An object of that kind."""
        own = {"Service": {"selector": self.map, "ports": lambda: self.each(name=self.text, protocol=self.text, port=self.number,
                                                                           targetPort=lambda: self.draw.choice(["http", 80, 0]))},
               "NetworkPolicy": {"ingress": self.texts}}
        spec = {**self.workload(), "selector": lambda: self.object(matchLabels=self.map), **own.get(kind, {})}
        status = {**self.workload(), "active": self.texts if kind == "CronJob" else self.number}
        owners = {"ownerReferences": lambda: self.each(needed={"kind": self.text, "name": self.text})}
        meta = dict(uid=self.text, name=self.text, namespace=self.text, labels=self.map, annotations=self.map, **owners)
        named = dict(kind=self.text, name=self.text, namespace=self.text, uid=self.text)
        return self.object(
            {"metadata": lambda: {k: v for k, v in self.object(creationTimestamp=self.time, **meta).items() if v is not None}},
            spec=lambda: self.object(**spec), status=lambda: self.object(**status), data=self.map, binaryData=self.map, immutable=self.yes,
            type=self.text, secrets=lambda: self.each(name=self.text), imagePullSecrets=lambda: self.each(name=self.text),
            automountServiceAccountToken=self.yes, rules=lambda: self.each(resources=self.texts, verbs=self.texts),
            roleRef=lambda: self.object(**named), subjects=lambda: self.each(**named), reason=self.text, message=self.text, count=self.number,
            involvedObject=lambda: self.object(**named), source=lambda: self.object(component=self.text, host=self.text),
            firstTimestamp=self.time, lastTimestamp=self.time)


def without_nulls(value):
    """What null means: not there."""
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(4))
def test_against_the_second_opinion(preview, seed):
    """Random objects of every kind, as peers.infos has them, byte for byte; as kubectl's list the same."""
    shapes = Shapes(seed)
    for kind in CONVERTERS:
        objects = [shapes.of(kind) for _ in range(15)]
        wanted = [go_json(info(kind, without_nulls(one))).replace(b"\\u0008", b"\\b").replace(b"\\u000c", b"\\f").decode() for one in objects]
        out, _ = preview(lines(*({"object": one, "kind": kind} for one in objects)))
        for one, got, want in zip(objects, out, wanted, strict=True):
            assert got == want, f"seed {seed}, {kind}: {json.dumps(one)}"
        assert preview(json.dumps({"items": objects, "kind": f"{kind}List"}, indent=1), "-k", kind)[0] == wanted


WRONG = [
    ("not JSON", "byte 0"),
    ('{"kind":"Pod","object":{}', "ends inside"),
    ('{"kind":"Pod","object":{}} {}', "something is behind the object, from byte 27 on"),
    ("[]", "byte 0"),
    ("{}", '"kind" is missing'),
    ('{"object":{}}', '"kind" is missing'),
    ('{"kind":"Pod"}', '"object" is missing; objects as kubectl prints them are read with -k Pod'),
    ('{"kind":"Pod","object":null}', '"object" is missing'),
    ('{"kind":"ReplicaSet","object":{}}', '"ReplicaSet", which is none of the 20'),
    ('{"kind":"Pod","object":[]}', "object: a list where an object belongs"),
    ('{"kind":"Pod","object":{"spec":{"nodeName":{}}}}', "object.spec.nodeName: an object where"),
    ('{"type":"gone","kind":"Pod","object":{}}', '"type" is "gone"; added, modified and deleted'),
    ('{"kind":"Pod","object":{"metadata":{"creationTimestamp":"x"}}}', "metadata.creationTimestamp is no RFC 3339 time"),
    ('{"kind":"Node","object":{"status":{"capacity":{"cpu":"x"}}}}', "status.capacity.cpu is no quantity"),
    ('{"heartbeat":{},"snapshot":[]}', 'one of "object", "heartbeat" and "snapshot"'),
    ('{"snapshot":{}}', '"snapshot" is no list'),
    ('{"snapshot":[{"kind":"Pod","object":{}},{"kind":"Pod"}]}', 'snapshot[1]: "object" is missing'),
    ('{"snapshot":[{"heartbeat":{}}]}', "snapshot[0]: only"),
    ('{"snapshot":[7]}', "snapshot[0]: byte 0"),
]


def test_bad_lines_are_told_and_the_rest_goes_on(preview):
    out, errors = preview("".join('%s\n{"heartbeat":{}}\n' % bad for bad, _ in WRONG), code=1)
    assert out == ['{"cluster_uid":"%s"}' % ZERO] * len(WRONG)
    assert len(errors) == len(WRONG)
    for n, ((bad, says), error) in enumerate(zip(WRONG, errors)):
        assert error.startswith(f"line {2 * n + 1}: "), error
        assert says in error, (bad, error)


def test_invalid_utf8_and_depth(preview):
    out, errors = preview(b'{"kind":"Pod","object":{"metadata":{"name":"\xff"}}}\n{"heartbeat":{}}\n', code=1)
    assert len(out) == 1 and errors[0].startswith("line 1: byte 4")
    deep = '{"kind":"Pod","object":{"x":%s%s}}\n' % ("[" * 1000, "]" * 1000)
    out, errors = preview(deep + '{"heartbeat":{}}\n', code=1)
    assert len(out) == 1 and errors[0].startswith("line 1: ")


def test_long_lines(preview):
    def padded(size: int) -> str:
        line = '{"kind":"Node","object":{"spec":{"x":"%s"}}}'
        return line % ("y" * (size - len(line) + 2)) + "\n"
    out, errors = preview(padded(8 << 20) + padded((8 << 20) + 1) + padded(100), code=1)
    assert len(out) == 2
    assert errors == ["line 2: longer than 8192 KiB, which is all there is room for; give its objects in several lines"]
    out, errors = preview(padded(8 << 20) + padded(100), "--profile", "edge16", code=1)
    assert len(out) == 1 and "a larger --profile has more" in errors[0]
    big = {"metadata": {"annotations": {f"k{n}": "v" * 1000 for n in range(3000)}}}
    out, errors = preview(lines({"kind": "Node", "object": big}, {"kind": "Node", "object": {}}), code=1)
    assert len(out) == 1 and errors[0].startswith("line 1: ") and "a larger --profile has more room" in errors[0]


@pytest.mark.parametrize("args, says", [
    (["--event-types", "mixed"], 'lower or upper, not "mixed"'),
    (["-k", "pods"], "Namespace, Pod, Service"),
    (["--cluster-uid", ""], "needs a value"),
    (["--config", "/x"], "does not take --config"),
    (["a", "b"], "one word too many"),
])
def test_usage(preview, args, says):
    out, errors = preview("", *args, code=2)
    assert out == [] and says in errors[0]


def test_a_file(preview, holdfast, tmp_path):
    path = tmp_path / "objects.ndjson"
    path.write_text(lines({"kind": "Pod", "object": POD}))
    assert preview("", str(path))[0] == [POD_INFO]
    out, errors = preview("", str(tmp_path / "none"), code=1)
    assert out == [] and "No such file" in errors[0]


def test_kubectl(preview):
    pod = {"apiVersion": "v1", "kind": "Pod", **POD}
    for text in (pod, {"apiVersion": "v1", "items": [pod], "kind": "List", "metadata": {"resourceVersion": ""}},
                 {"kind": "PodList", "items": [POD]}):
        assert preview(json.dumps(text, indent=4), "-k", "Pod")[0] == [POD_INFO]
    for items in ([], None):
        assert preview(json.dumps({"kind": "List", "items": items}), "-k", "Pod") == ([], [])
    assert preview("", "-k", "Pod") == ([], [])
    assert preview(json.dumps(pod) + json.dumps(pod), "-k", "Pod")[0] == [POD_INFO] * 2


def test_kubectl_faults(preview):
    mixed = {"kind": "List", "items": [{"kind": "Pod", **POD}, {"kind": "Service"}, {"kind": "Pod", **POD}]}
    out, errors = preview(json.dumps(mixed), "-k", "Pod", code=1)
    assert out == [POD_INFO] * 2
    assert errors == ["item 2: is a Service, where -k has Pod; one kind at a time"]
    out, errors = preview(json.dumps({"kind": "Service"}), "-k", "Pod", code=1)
    assert out == [] and "is a Service" in errors[0]
    out, errors = preview(json.dumps({"items": [], "kind": "ServiceList"}), "-k", "Pod", code=1)
    assert out == [] and "is a ServiceList" in errors[0]
    out, errors = preview(json.dumps(mixed)[:-20], "-k", "Pod", code=1)
    assert len(out) == 1 and "byte" in errors[-1]
    bad = {"kind": "List", "items": [{"metadata": {"creationTimestamp": "x"}}, POD]}
    out, errors = preview(json.dumps(bad), "-k", "Pod", code=1)
    assert out == [POD_INFO] and errors[0].startswith("item 1: metadata.creationTimestamp")


def test_a_large_list_in_flat_memory(holdfast):
    """100 MB of kubectl's output: the memory is that of a small list."""
    item = json.dumps({"kind": "Secret", "metadata": {"name": "s", "namespace": "n", "uid": "u"}, "type": "Opaque",
                       "data": {"planted": "UExBTlRFRA" * 900}}).encode()
    peaks = []
    for count in (100, 11_000):
        with subprocess.Popen([holdfast, "ingest", "preview", "-k", "Secret"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env={}) as process:
            watch = Watch(process.pid)
            seen: list[int] = []
            reader = threading.Thread(target=lambda out=process.stdout: seen.append(sum(b"UExB" not in line for line in out)))
            reader.start()
            process.stdin.write(b'{"kind":"List","items":[' + item)
            for _ in range(count - 1):
                process.stdin.write(b"," + item)
            process.stdin.write(b"]}")
            process.stdin.flush()
            peaks.append(watch.stop().anon_peak)
            process.stdin.close()
            reader.join(300)
            assert process.wait(120) == 0
        assert seen == [count]
    print(f"\n{11_000 * len(item) / 1e6:.0f} MB of secrets: RssAnon peak {peaks[1] / 1024:.0f} KiB, of 1 MB {peaks[0] / 1024:.0f} KiB")
    assert peaks[1] < 4 << 20


def test_a_line_is_answered_before_the_next_comes(holdfast):
    with subprocess.Popen([holdfast, "ingest", "preview"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}) as process:
        for _ in range(3):
            process.stdin.write(b'{"heartbeat":{}}\n')
            process.stdin.flush()
            assert process.stdout.readline() == b'{"cluster_uid":"%s"}\n' % ZERO.encode()
        process.stdin.close()
        assert process.wait(120) == 0


def test_a_reader_that_goes_away_ends_it(holdfast):
    """Whatever SIGPIPE does in the process that started it."""
    for restore in (True, False):
        ours, theirs = os.pipe()
        with subprocess.Popen([holdfast, "ingest", "preview"], stdin=subprocess.PIPE, stdout=theirs, stderr=subprocess.DEVNULL,
                              restore_signals=restore, env={}) as process:
            os.close(theirs)
            os.close(ours)
            try:
                for _ in range(1000):
                    process.stdin.write(b'{"heartbeat":{}}\n' * 1000)
                process.stdin.close()
            except BrokenPipeError:
                pass
            assert process.wait(120) != 0
