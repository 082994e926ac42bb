"""holdfast doctor on a cluster: each thing that may lack is named once, with what to do. With a real API server in the cluster suite."""
from __future__ import annotations

import json
import subprocess

import pytest

from tests.peers import manifests
from tests.peers.kubeconfig import Login, write_kubeconfig
from tests.peers.manifests import BASE, CONFIG
from tests.peers.proc import free_port, run

NAMESPACE, SECRET = "holdfast", "obsyk-credentials"


def settings(kubeconfig, **ingest):
    return {"version": 1, "kubernetes": {"kubeconfig": str(kubeconfig)}, "ingest": {"enabled": True, **ingest}}


@pytest.fixture
def doctor(holdfast, tmp_path):
    """doctor(config): exit code, {subject: [(state, words)]}."""
    def look(config, **env):
        file = tmp_path / "holdfast.yaml"
        file.write_text(json.dumps(config))
        done = subprocess.run([holdfast, "doctor", "--config", file, "-o", "json"], capture_output=True, timeout=90, env=env, check=False)
        found = {}
        for line in json.loads(done.stdout)["lines"]:
            found.setdefault(line["subject"], []).append((line["state"], line["words"]))
        return done.returncode, found
    return look


def signing_key(curve="prime256v1"):
    return run(["openssl", "ecparam", "-name", curve, "-genkey", "-noout"]).stdout.decode()


def test_settings_of_the_file(doctor, tmp_path):
    client_id, key = tmp_path / "client_id", tmp_path / "key"
    config = settings(tmp_path / "none", source="config", platform_url=f"http://127.0.0.1:{free_port()}", cluster_name="home",
                      credentials={"client_id_file": str(client_id), "private_key_file": str(key)})
    code, found = doctor(config)
    assert code == 1 and "not there" in found["ingest.credentials.client_id_file"][0][1] and "not there" in found["kubernetes"][0][1]
    assert found["ingest.platform_url"][0][0] == "bad" and "connection refused" in found["ingest.platform_url"][0][1]
    client_id.write_text("me\n")
    key.write_text(signing_key())
    _, found = doctor(config)
    assert found["ingest.credentials.client_id_file"] == [("ok", f"{client_id} can be used")]
    assert found["ingest.credentials.private_key_file"] == [("ok", f"{key} can be used")]
    key.write_text("never-to-be-told")
    _, found = doctor(config)
    assert "no PEM block in it" in found["ingest.credentials.private_key_file"][0][1] and "never-to-be-told" not in str(found)


def test_no_api_server(doctor, ca, tmp_path):
    login = Login("home", f"https://127.0.0.1:{free_port()}", ca.cert, token="t")
    code, found = doctor(settings(write_kubeconfig(tmp_path / "kubeconfig", [login])))
    assert code == 1 and found["kubernetes"][0][0] == "bad" and "connection refused" in found["kubernetes"][0][1]
    assert "rbac" not in found and "agents" not in found  # nothing can be said of them


def test_no_way_to_a_cluster(doctor):
    code, found = doctor({"version": 1, "ingest": {"enabled": True}})
    assert code == 1 and "kubernetes.kubeconfig" in found["kubernetes"][0][1]
    code, found = doctor({"version": 1})
    assert code == 0 and "kubernetes" not in found


# --- a real API server ---

@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    from tests.peers.kube import ControlPlane
    with ControlPlane(tmp_path_factory.mktemp("plane"), manager=False, kwok=False, nodes=0) as plane:
        plane.create_namespace(NAMESPACE)
        yield plane


@pytest.fixture
def account(plane, tmp_path):
    """account(leave_out=Rule…): a kubeconfig of an account with the base's roles less some rules."""
    def make(*leave_out, token=None):
        rules = {"cluster": [], "namespace": []}
        for rule in sorted(manifests.rules(manifests.read(BASE / "rbac.yaml")) - set(leave_out)):
            names = {"resourceNames": [rule.name]} if rule.name else {}
            rules[rule.where].append({"apiGroups": [rule.group], "resources": [rule.resource], "verbs": [rule.verb], **names})
        plane.service_account("holdfast", NAMESPACE, rules["cluster"], rules["namespace"])
        login = Login("home", plane.url, plane.ca.cert, token or plane.token("holdfast", NAMESPACE), namespace=NAMESPACE)
        return write_kubeconfig(tmp_path / "kubeconfig", [login])
    return make


@pytest.fixture
def crd(plane):
    plane.kubectl("apply", "-k", CONFIG / "crds")
    plane.wait_crd()
    yield
    plane.kubectl("delete", "obsykagents", "--all", "-A")


def make_agent(plane, name="a", **spec):
    plane.kubectl("apply", "-f", "-", data={
        "apiVersion": "obsyk.io/v1", "kind": "ObsykAgent", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"platformURL": f"http://127.0.0.1:{free_port()}", "clusterName": "home", "credentialsSecretRef": {"name": SECRET}, **spec}})


def make_secret(plane, **data):
    plane.kubectl("delete", "secret", SECRET, "-n", NAMESPACE, "--ignore-not-found")
    if data:
        plane.kubectl("create", "secret", "generic", SECRET, "-n", NAMESPACE, *(f"--from-literal={key}={value}" for key, value in data.items()))


@pytest.mark.cluster
def test_the_crd_is_missing(doctor, plane, account):
    code, found = doctor(settings(account()))
    assert code == 1 and found["kubernetes"][0][0] == "ok" and "Kubernetes v1.36" in found["kubernetes"][0][1]
    assert found["agents"] == [("bad", "the cluster does not know ObsykAgents; holdfast crd | kubectl apply -f -")]
    assert found["rbac"] == [("ok", found["rbac"][0][1])] and "permissions that it needs are there" in found["rbac"][0][1]


@pytest.mark.cluster
def test_the_base_lacks_nothing(doctor, plane, account, crd):
    from tests.peers.receiver import Receiver
    config = settings(account())
    code, found = doctor(config)
    assert code == 0 and found["agents"][0][0] == "warn" and "there is no ObsykAgent" in found["agents"][0][1]
    make_secret(plane, client_id="me", private_key=signing_key())
    with Receiver() as receiver:
        make_agent(plane, platformURL=receiver.webhook.rpartition("/")[0])
        code, found = doctor(config)
    assert code == 0 and found["rbac"][0][0] == "ok" and "agents" not in found, found
    assert found["agent holdfast/a"] == [("ok", f"its Secret {SECRET} has a client id, and a key that can sign"), ("ok", "its platform 127.0.0.1 answers")]


LACKS = [
    ([("cluster", "", "pods", "list"), ("cluster", "", "pods", "watch")], "may not list, watch pods; add to its ClusterRole: "
     "{apiGroups: [\"\"], resources: [pods], verbs: [list, watch]}"),
    ([("cluster", "apps", "deployments", "watch")], "may not watch deployments; add to its ClusterRole: "
     "{apiGroups: [apps], resources: [deployments], verbs: [list, watch]}"),
    ([("cluster", "obsyk.io", "obsykagents/status", "patch")], "may not patch obsykagents/status; add to its ClusterRole: "
     "{apiGroups: [obsyk.io], resources: [obsykagents/status], verbs: [patch]}"),
    ([("namespace", "coordination.k8s.io", "leases", "update", "obsyk-operator.obsyk.io")], "may not update leases; add to its Role in holdfast: "
     "{apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [obsyk-operator.obsyk.io], verbs: [get, update]}"),
    ([("namespace", "", "secrets", "get", SECRET)], "may not get secrets; add to its Role in holdfast: "
     f"{{apiGroups: [\"\"], resources: [secrets], resourceNames: [{SECRET}], verbs: [get]}}"),
]


@pytest.mark.cluster
@pytest.mark.parametrize("rules, words", LACKS, ids=[rules[0][2] for rules, _ in LACKS])
def test_a_rule_is_missing(doctor, plane, account, crd, rules, words):
    make_secret(plane, client_id="me", private_key=signing_key())
    make_agent(plane)
    code, found = doctor(settings(account(*(manifests.Rule(*rule) for rule in rules))))
    assert code == 1 and found["rbac"] == [("bad", words)]


@pytest.mark.cluster
def test_only_the_kinds_that_are_on_are_asked_for(doctor, plane, account, crd):
    kubeconfig = account(*(rule for rule in manifests.needed() if rule.where == "cluster" and rule.group == "batch"))
    assert doctor(settings(kubeconfig))[1]["rbac"][0][0] == "bad"
    assert doctor(settings(kubeconfig, kinds=["Pod", "Namespace"]))[1]["rbac"][0][0] == "ok"


@pytest.mark.cluster
def test_secrets_and_agents(doctor, plane, account, crd):
    config = settings(account())
    make_secret(plane)
    make_agent(plane)
    make_agent(plane, "bad", syncInterval="soon")
    code, found = doctor(config)
    assert code == 1 and found["agent holdfast/bad"][0] == (
        "bad", 'spec.syncInterval: "soon": no duration; write it like 30s, 5m or 1h30m')
    secret, platform = found["agent holdfast/a"]
    assert secret == ("bad", f"its Secret is not there; kubectl -n holdfast create secret generic {SECRET} --from-file=client_id --from-file=private_key")
    assert platform[0] == "bad" and "connection refused" in platform[1]
    make_secret(plane, client_id="never-to-be-told")
    _, found = doctor(config)
    assert "never-to-be-told" not in str(found)
    assert found["agent holdfast/a"][0] == ("bad", f"its Secret {SECRET} has no key private_key; add it")
    make_secret(plane, client_id=" ", private_key=signing_key("secp384r1"))
    _, found = doctor(config)
    assert found["agent holdfast/a"][:2] == [("bad", "client_id of its Secret: empty: write the client id into it"),
                                             ("bad", "private_key of its Secret: a P-384 key: ES256 needs P-256")]


@pytest.mark.cluster
def test_who_we_are_is_not_known(doctor, plane, account):
    code, found = doctor(settings(account(token="x.y.z")))
    assert code == 1 and found["kubernetes"][0][0] == "bad" and "make new ones" in found["kubernetes"][0][1]
    assert "x.y.z" not in str(found)


@pytest.mark.cluster
def test_another_authority(doctor, plane, other_ca, tmp_path):
    login = Login("home", plane.url, other_ca.cert, token="t")
    code, found = doctor(settings(write_kubeconfig(tmp_path / "kubeconfig", [login])))
    assert code == 1 and "not signed by the CA" in found["kubernetes"][0][1]
