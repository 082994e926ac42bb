"""`holdfast ingest preview`: every form of input, order, options, faults with their lines, kubectl's lists, and its memory.

What an Info is made of, field by field, is in tests/unit/test_info.c.
"""
from __future__ import annotations

import json
import os
import subprocess
import threading

import pytest

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
                              capture_output=True, timeout=120, env={})
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
            reader.join(60)
            assert process.wait(10) == 0
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
        assert process.wait(10) == 0


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
            assert process.wait(10) != 0
