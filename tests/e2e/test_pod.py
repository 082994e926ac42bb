"""The hub as a cluster runs it: the image of images/container, the manifests that are shipped, a pod as the API server admits it, its container
run by runc under its security context (peers.pod); in-cluster account, RBAC as shipped, tokens that rotate, a role that lacks a rule."""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from peers.container import Container, bind, why_not
from peers.image import Image
from peers.kube import ControlPlane
from peers.kube_law import Law
from peers.kubefill import fill
from peers.manifests import BASE, CHART, CONFIG, values_file
from peers.pod import ACCOUNT, Pod
from peers.proc import free_port, run, wait_for

pytestmark = pytest.mark.cluster
SPACE, SECRET = "holdfast", "obsyk-credentials"


@pytest.fixture(scope="module")
def containers():
    if why_not():
        pytest.skip(why_not())


@pytest.fixture(scope="module")
def image(containers, holdfast, tmp_path_factory):
    made = Image(holdfast, tmp_path_factory.mktemp("image") / "image")
    yield made
    made.remove()


@pytest.fixture(scope="module")
def plane(containers, tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), kwok=False, nodes=1) as made:
        fill(made, 30, running=False)
        yield made


@pytest.fixture
def space(plane, platform):
    """The namespace, restricted, with the platform's credentials; all that was made in it goes afterwards."""
    plane.kubectl("apply", "-f", BASE / "namespace.yaml")
    plane.wait(lambda: plane.kubectl("get", "configmap", "kube-root-ca.crt", "-n", SPACE, check=False).returncode == 0, "the cluster's CA in the namespace")
    plane.kubectl("create", "secret", "generic", SECRET, "-n", SPACE, f"--from-literal=client_id={platform.client_id}",
                  f"--from-file=private_key={platform.private_key}")
    yield
    plane.kubectl("delete", "deployments,replicasets,obsykagents,leases,secrets", "--all", "-n", SPACE, check=False)


def helm(plane, platform, ca, folder, port):
    """Chart, values and nothing else; the platform's authority is the one that a ConfigMap names."""
    plane.kubectl("create", "configmap", "platform-ca", "-n", SPACE, f"--from-file=ca.crt={ca.cert}")
    values = {"agent": {"clusterName": "home", "platformURL": platform.url, "rateLimit": {"eventsPerSecond": 1000, "burstSize": 1000}},
              "ingest": {"caConfigMap": "platform-ca"}, "extraConfig": {"listen": f"127.0.0.1:{port}"}}
    plane.helm("install", "hf", CHART, "--namespace", SPACE, "--values", values_file(folder, values))
    return "hf-holdfast", lambda: (plane.helm("uninstall", "hf", "--namespace", SPACE, check=False),
                                   plane.kubectl("delete", "configmap", "platform-ca", "-n", SPACE, check=False))


def kustomize(plane, platform, ca, folder, port):
    """An overlay of the base, as docs/OPERATIONS.md has it: the ConfigMap's files and the agent are one's own."""
    made = folder / "overlay"
    made.mkdir()
    config = yaml.safe_load((BASE / "holdfast.yaml").read_text())
    config["listen"] = f"127.0.0.1:{port}"
    config["ingest"]["ca"] = "/etc/holdfast/ca.crt"
    (made / "holdfast.yaml").write_text(json.dumps(config))
    (made / "ca.crt").write_bytes(ca.cert.read_bytes())
    agent = yaml.safe_load((CONFIG / "kustomize/example/agent.yaml").read_text())
    agent["spec"] |= {"platformURL": platform.url, "rateLimit": {"eventsPerSecond": 1000, "burstSize": 1000}}
    (made / "agent.yaml").write_text(json.dumps(agent))
    (made / "kustomization.yaml").write_text(json.dumps({
        "namespace": SPACE, "resources": [os.path.relpath(BASE, made.resolve()), "agent.yaml"],
        "configMapGenerator": [{"name": "holdfast", "behavior": "merge", "files": ["holdfast.yaml", "ca.crt"]}]}))
    plane.kubectl("apply", "-k", CONFIG / "crds")
    plane.kubectl("wait", "--for=condition=Established", "crd/obsykagents.obsyk.io", "--timeout=60s")
    plane.wait(lambda: plane.kubectl("get", "obsykagents", "-A", check=False).returncode == 0, "the CRD served")
    plane.kubectl("apply", "-k", made)
    return "holdfast", lambda: plane.kubectl("delete", "-k", made, "--ignore-not-found", check=False)


@pytest.fixture
def deploy(plane, image, platform, space, ca, tmp_path):
    """deploy(how): the pod of the Deployment that the manifests make, not started."""
    undo, made = [], []

    def make(how=helm):
        port = free_port()
        name, remove = how(plane, platform, ca, tmp_path, port)
        undo.append(remove)
        label = "app.kubernetes.io/name=holdfast"
        plane.wait(lambda: plane.kubectl_json("get", "pods", "-l", label, "-n", SPACE)["items"], f"a pod of Deployment {name}, admitted")
        body, = plane.kubectl_json("get", "pods", "-l", label, "-n", SPACE)["items"]
        made.append(Pod(plane, tmp_path / "pod", image, body, port))
        return made[-1]

    yield make
    for one in made:
        one.close()
    for one in undo:
        one()
    if made:
        plane.wait(lambda: not plane.kubectl_json("get", "pods", "-n", SPACE)["items"], "the pods gone")


def status(pod):
    done = pod.run("ingest", "status", "-o", "json")
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def create(plane, name):
    plane.kubectl("create", "configmap", name, "-n", "default", "--from-literal=a=b")


def confined(pod):
    """What the kernel says of its PID 1."""
    told = dict(line.split(":\t", 1) for line in Path(f"/proc/{pod.pid}/status").read_text().splitlines() if ":\t" in line)
    assert told["Uid"].split() == told["Gid"].split() == ["65532"] * 4 and told["Groups"].split() == ["65532"]
    assert told["NSpid"].split()[-1] == "1" and told["NoNewPrivs"] == "1" and told["Seccomp"] == "2"
    assert {told[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    mounts = {line.split()[4]: line.split()[5].split(",")[0] for line in Path(f"/proc/{pod.pid}/mountinfo").read_text().splitlines()}
    assert mounts["/"] == mounts["/etc/holdfast"] == mounts[ACCOUNT] == "ro" and mounts["/var/lib/holdfast"] == "rw"


@pytest.mark.parametrize("how", [helm, kustomize], ids=["helm", "kustomize"])
def test_a_pod_streams_its_cluster(plane, platform, deploy, how):
    pod = deploy(how)
    pod.start()
    assert pod.get("/healthz")[0] == 200
    law = Law(plane, platform)
    law.holds()
    create(plane, f"made-{how.__name__}")
    law.holds()
    assert platform.count("snapshots") == 1 and platform.count("older") == 0
    confined(pod)
    now = status(pod)
    assert now["streaming"] and now["agents"][0]["last_snapshot"], now
    done = pod.run("doctor", "-o", "json")
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    wait_for(lambda: pod.run("ingest", "status").returncode == 0, "it says that all is well", 120)
    peak, limit = pod.memory_peak(), 48 << 20
    print(f"ingest: a pod by {how.__name__}: memory peak of its cgroup {peak >> 20} of {limit >> 20} MiB")
    assert peak <= limit
    lease = plane.kubectl_json("get", "lease", "obsyk-operator.obsyk.io", "-n", SPACE)
    assert lease["spec"]["holderIdentity"].startswith(pod.name)
    assert pod.stop() == 0
    lease = plane.kubectl_json("get", "lease", "obsyk-operator.obsyk.io", "-n", SPACE)
    assert not lease["spec"].get("holderIdentity"), "given back at its end"


def refused(plane, token):
    done = run(["curl", "--silent", "--cacert", plane.ca.cert, "--header", f"Authorization: Bearer {token}", "--output", "/dev/null", "--write-out", "%{http_code}",
                f"{plane.url}/api/v1/namespaces"], check=False)
    return done.stdout == b"401"


def bound(plane, pod, name):
    """The pod's token is now one that ends with this Secret."""
    plane.kubectl("create", "secret", "generic", name, "-n", SPACE)
    token = pod.token(name)
    pod.rotate(token)
    return token


def revoke(plane, name, token):
    """And every connection is a new one from now on."""
    plane.kubectl("delete", "secret", name, "-n", SPACE)
    plane.wait(lambda: refused(plane, token), f"the token of {name} refused", 60)
    plane.api.restart()


def test_tokens_rotate_under_it(plane, platform, deploy):
    """kubelet replaces the file, the old token ends: nothing is lost, nothing restarted. One that ends before it is replaced is told, and the new
    one is taken when it comes."""
    pod = deploy()
    first = bound(plane, pod, "bound-1")
    pod.start()
    law = Law(plane, platform)
    law.holds()
    pid = pod.pid
    pod.rotate(pod.token())
    pod.wait_log("token was read anew")
    revoke(plane, "bound-1", first)
    create(plane, "after-the-first")
    law.holds()
    assert "does not take our token" not in pod.log_text() and first not in pod.log_text()

    second = bound(plane, pod, "bound-2")
    pod.wait_log("token was read anew", count=2)
    revoke(plane, "bound-2", second)
    pod.wait_log("nothing is streamed", "does not take our token")
    assert pod.probe("livenessProbe") and pod.probe("readinessProbe")
    create(plane, "while-nobody-knew-us")
    pod.rotate(pod.token())
    law.holds(180)
    assert pod.pid == pid and platform.count("older") == 0


def test_a_rule_that_is_missing_is_named(plane, platform, deploy):
    pod = deploy()
    role = plane.kubectl_json("get", "clusterrole", "hf-holdfast")
    less = {**role, "rules": [{**rule, "resources": [name for name in rule["resources"] if name != "pods"]} for rule in role["rules"]]}
    plane.kubectl("replace", "-f", "-", data=less)
    pod.start()
    user = f"system:serviceaccount:{SPACE}:hf-holdfast"
    pod.wait_log("Pod", f"give {user} a ClusterRole", "resources [pods], verbs [list]")
    done = pod.run("doctor", "-o", "json")
    lines = [line["words"] for line in json.loads(done.stdout)["lines"] if line["subject"] == "rbac"]
    assert done.returncode == 1 and len(lines) == 1 and "may not list, watch pods; add to its ClusterRole" in lines[0], lines
    assert "pods" in pod.get("/readyz?verbose")[1]
    platform.clear("problems")  # doctor knocked at its door
    others = Law(plane, platform, [kind for kind in Law(plane, platform).kinds if kind != "Pod"])
    others.holds()
    plane.kubectl("replace", "-f", "-", data=role | {"metadata": {**role["metadata"], "resourceVersion": ""}})
    Law(plane, platform).holds(330)  # asked for again after as long as it was forbidden, five minutes at most (net/api/kube/kube_watch.h)


# --- the image alone ---

def test_the_image(image):
    """What is configured and what is in it, and no more."""
    config = image.config
    assert config["User"] == "65532:65532" and config["Entrypoint"] == ["/holdfast"] and config["Cmd"] == ["run"]
    assert config["ExposedPorts"] == {"9464/tcp": {}} and not config.get("Volumes") and [word.split("=")[0] for word in config["Env"]] == ["PATH"]
    files = [path.relative_to(image.root).as_posix() for path in image.root.rglob("*") if not path.is_dir()]
    assert {path for path in files if not path.startswith("usr/share/zoneinfo/")} == {"etc/ssl/certs/ca-certificates.crt", "holdfast"}
    assert "usr/share/zoneinfo/Europe/Oslo" in files
    binary, data = (image.root / "holdfast").stat(), (image.root / "var/lib/holdfast").stat()
    assert (binary.st_uid, binary.st_mode & 0o7777) == (0, 0o755) and data.st_uid == data.st_gid == 65532
    assert not [path for path in image.root.rglob("*") if path.lstat().st_mode & 0o6000], "nothing is set-uid"


@pytest.fixture
def box(image, tmp_path):
    """box(words, config=None): as `docker run --read-only --cap-drop ALL --memory 48m IMAGE words` starts it."""
    made = []

    def run_it(*words, config=None):
        port, folder = free_port(), tmp_path / f"box{len(made)}"
        data = folder / "data"
        data.mkdir(parents=True)
        os.chown(data, 65532, 65532)  # a volume takes the owner of what it covers
        mounts = [bind(data, "/var/lib/holdfast", writable=True)]
        if config is not None:
            (folder / "holdfast.yaml").write_text(json.dumps({"version": 1, "listen": f"127.0.0.1:{port}", "data": "/var/lib/holdfast", **config}))
            mounts.append(bind(folder / "holdfast.yaml", "/etc/holdfast.yaml"))
        made.append(Container(folder, image, [*image.config["Entrypoint"], *(words or image.config["Cmd"])], port=port, uid=65532, gid=65532, mounts=mounts,
                              memory=48 << 20, env={} if config else {"HOLDFAST_LISTEN": f"127.0.0.1:{port}"}))
        return made[-1].start()

    yield run_it
    for one in made:
        one.close()


def test_the_image_runs(box, holdfast):
    told = box("version")
    assert told.proc.wait(60) == 0
    assert told.log_text() == run([holdfast, "version"]).stdout.decode()

    hub = box(config={"log": {"format": "json"}})
    hub.wait_get("/readyz")
    assert hub.get("/healthz")[0] == 200 and "holdfast_" in hub.get("/metrics")[1]
    now = hub.exec("budget", "-o", "json")
    assert now.returncode == 0, now.stderr
    peak = hub.memory_peak()
    assert hub.stop() == 0
    print(f"image: memory peak {peak >> 20} of 48 MiB")
    assert peak <= 48 << 20


def test_without_a_configuration_it_waits_and_says_why(box):
    hub = box()
    hub.wait_log("waiting for a configuration", "/etc/holdfast.yaml")
    hub.wait_get("/healthz")
    assert hub.get("/readyz")[0] == 503 and hub.stop() == 0
