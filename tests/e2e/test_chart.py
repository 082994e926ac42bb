"""The chart and the kustomization as Helm, kubectl and a real API server take them: lint, values of the original's chart, a whole install with its
upgrade, RBAC as the authorizer sees it, Pod Security, and what the CRD refuses."""
import json

import pytest
import yaml

from tests.peers import gobuild, manifests
from tests.peers.kube import ControlPlane
from tests.peers.manifests import CHART, CONFIG
from tests.peers.proc import PeerError, run

pytestmark = pytest.mark.cluster

ORIGINAL = yaml.safe_load("""
replicaCount: 1
image: {repository: registry.example/holdfast, pullPolicy: Always, tag: v1}
imagePullSecrets: [{name: pull}]
nameOverride: ""
fullnameOverride: obsyk-operator
agent:
  enabled: true
  clusterName: prod "one"
  platformURL: https://api.obsyk.ai
  credentialsSecretRef: {name: obsyk-credentials}
  clientId: me
  privateKey: "-----BEGIN EC PRIVATE KEY-----\\nMHc=\\n-----END EC PRIVATE KEY-----\\n"
  syncInterval: 10m
  rateLimit: {eventsPerSecond: 1000, burstSize: 1000}
serviceAccount: {create: true, annotations: {a: b}, name: mine}
podAnnotations: {c: d}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: t, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: ""
podSecurityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
securityContext: {allowPrivilegeEscalation: false, privileged: false, capabilities: {drop: [ALL]}, readOnlyRootFilesystem: true, runAsNonRoot: true,
  runAsUser: 65532, runAsGroup: 65532}
resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {cpu: 200m, memory: 256Mi}}
leaderElection: {enabled: true}
metrics: {enabled: true, port: 8080}
healthProbe: {port: 8081}
networkPolicy: {enabled: true, kubeAPIServerCIDR: 10.0.0.0/8, platformCIDR: 203.0.113.0/24, metrics: {namespaceSelector: {matchLabels: {m: n}}}}
podDisruptionBudget: {enabled: true, minAvailable: 1}
""")
NAMED = {"agent": {"clusterName": "home"}}


@pytest.fixture(scope="module")
def helm():
    return gobuild.helm()


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), kwok=False, nodes=0) as plane:
        yield plane


# --- Helm alone ---

@pytest.mark.parametrize("values", [NAMED, ORIGINAL, {"agent": {"enabled": False}}], ids=["named", "original", "no-agent"])
def test_lint(helm, tmp_path, values):
    run([helm, "lint", "--strict", CHART, "--values", manifests.values_file(tmp_path, values)])


@pytest.mark.parametrize("words, says", [
    ([], "agent.clusterName must be given"),
    (["--set", "agent.clusterName=h", "--set", "profile=hub33"], "/profile"),
    (["--set", "agent.clusterName=h", "--set", "kinds={Pods}"], "/kinds/0"),
    (["--set", "agent.clusterName=h", "--set", "agent.rateLimit.burstSize=6000"], "/agent/rateLimit/burstSize"),
    (["--set", "agent.clusterName=h", "--set", "agent.syncInterval=soon"], "/agent/syncInterval"),
    (["--set", "agent.clusterName=h", "--set", "repliaCount=1"], "repliaCount"),
    (["--set", "agent.clusterName=h", "--set", "replicaCount=2", "--set", "persistence.enabled=true"], "goes with replicaCount 1"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_wrong_values_are_refused(helm, words, says):
    with pytest.raises(PeerError, match=says):
        manifests.chart(helm, *words)


@pytest.mark.parametrize("only", [None, ["Pod", "Deployment"], ["Namespace", "ClusterRole"]], ids=["all", "two", "cluster-wide"])
def test_the_chart_grants_what_its_kinds_need_and_no_more(helm, tmp_path, only):
    values = {**NAMED, **({"kinds": only} if only else {})}
    assert manifests.rules(manifests.chart(helm, values=values, folder=tmp_path)) == manifests.needed(only=only)


def configuration(documents):
    return manifests.one(documents, "ConfigMap")["data"]["holdfast.yaml"]


@pytest.mark.parametrize("values", [
    {}, {"kinds": ["Pod"]}, {"extraConfig": {"log": {"level": "debug"}, "ingest": {"cluster_uid": "x"}}},
    {"ingest": {"eventTypes": "upper", "environment": "auto", "allowPlaintext": True, "spoolBytesMax": "1GiB"}}], ids=str)
def test_the_charts_configuration_is_good(helm, holdfast, tmp_path, values):
    file = tmp_path / "holdfast.yaml"
    file.write_text(configuration(manifests.chart(helm, values={**NAMED, **values}, folder=tmp_path)))
    run([holdfast, "check", "--config", file])
    told = yaml.safe_load(file.read_text())
    assert told["listen"] == ":9464" and told["ingest"]["enabled"] is True and told["ingest"]["source"] == "crd"
    for section in values.get("extraConfig", {}):
        assert values["extraConfig"][section].items() <= told[section].items()


@pytest.mark.parametrize("profile, memory", [("edge16", "32Mi"), ("hub32", "48Mi"), ("hub64", "80Mi")])
def test_the_limit_is_the_profiles(helm, tmp_path, profile, memory):
    documents = manifests.chart(helm, values={**NAMED, "profile": profile}, folder=tmp_path)
    [container] = manifests.one(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": {"memory": memory}, "requests": {"cpu": "50m", "memory": memory}}
    assert container["args"][:3] == ["run", "--profile", profile]


def test_values_of_the_original_mean_the_same(helm, tmp_path):
    documents = manifests.chart(helm, values=ORIGINAL, folder=tmp_path)
    agent = manifests.one(documents, "ObsykAgent")
    assert (agent["metadata"]["name"], agent["spec"]) == ("obsyk-operator-agent", {
        "clusterName": 'prod "one"', "platformURL": "https://api.obsyk.ai", "credentialsSecretRef": {"name": "obsyk-credentials"},
        "syncInterval": "10m", "rateLimit": {"eventsPerSecond": 1000, "burstSize": 1000}})
    secret = manifests.one(documents, "Secret")
    assert secret["metadata"]["name"] == "obsyk-credentials" and secret["type"] == "Opaque"
    assert secret["stringData"] == {"client_id": "me", "private_key": ORIGINAL["agent"]["privateKey"]}
    template = manifests.one(documents, "Deployment")["spec"]["template"]
    pod, [container] = template["spec"], template["spec"]["containers"]
    assert container["image"] == "registry.example/holdfast:v1" and container["imagePullPolicy"] == "Always"
    assert container["resources"] == ORIGINAL["resources"] and container["securityContext"] == ORIGINAL["securityContext"]
    assert pod["securityContext"] == ORIGINAL["podSecurityContext"] and pod["serviceAccountName"] == "mine"
    for key in ("nodeSelector", "tolerations", "affinity", "imagePullSecrets"):
        assert pod[key] == ORIGINAL[key]
    assert template["metadata"]["annotations"]["c"] == "d"
    assert manifests.one(documents, "PodDisruptionBudget")["spec"]["minAvailable"] == 1
    policy = manifests.one(documents, "NetworkPolicy")["spec"]
    assert policy["ingress"][0]["from"] == [{"namespaceSelector": {"matchLabels": {"m": "n"}}}]
    blocks = [peer["ipBlock"]["cidr"] for rule in policy["egress"] for peer in rule.get("to", [])]
    assert blocks == ["10.0.0.0/8", "203.0.113.0/24"]


def test_a_private_api_server_and_any_port_of_the_platform_are_let_through(helm, tmp_path):
    values = {"agent": {"clusterName": "h", "platformURL": "http://platform.lan:8080/base"}, "networkPolicy": {"enabled": True}}
    policy = manifests.one(manifests.chart(helm, values=values, folder=tmp_path), "NetworkPolicy")["spec"]
    _, api, platform = policy["egress"]
    assert api["to"] == platform["to"] == [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]
    assert [port["port"] for port in api["ports"]] == [443, 6443] and [port["port"] for port in platform["ports"]] == [8080]


# --- a real API server ---

def helm_in(plane, helm, *words, check=True):
    return run([helm, *words, "--kubeconfig", plane.admin_config], check=check, seconds=120)


def may(plane, account, rule):
    """What the authorizer says."""
    where = ["--namespace", "holdfast"] if rule.where == "namespace" else ["--all-namespaces"]
    group, _, resource = rule.group, None, rule.resource
    plain, _, part = resource.partition("/")
    what = f"{plain}.{group}" if group else plain
    words = ["--subresource", part] if part else []
    name = [f"{what}/{rule.name}"] if rule.name else [what]
    done = plane.kubectl("auth", "can-i", rule.verb, *name, *where, *words, f"--as=system:serviceaccount:{account}", check=False)
    return done.stdout.decode().strip().splitlines()[-1:] == ["yes"]


def installed_is_right(plane, account, agent):
    for rule in sorted(manifests.needed()):
        plane.wait(lambda: may(plane, account, rule), f"{account} may {rule}")  # the authorizer hears of it a little later
    for verb, group, resource in (("get", "", "pods"), ("delete", "", "pods"), ("create", "", "configmaps"), ("get", "", "secrets"),
                                  ("update", "obsyk.io", "obsykagents"), ("delete", "coordination.k8s.io", "leases")):
        assert not may(plane, account, manifests.Rule("cluster", group, resource, verb)), f"{account} may {verb} {resource}"
    plane.wait(lambda: plane.kubectl("get", "pods", "-n", "holdfast", "-o", "name").stdout.strip(), "a pod, let in under restricted")
    shown = plane.kubectl("get", "oa", agent, "-n", "holdfast").stdout.decode()
    assert shown.split()[:6] == ["NAME", "CLUSTER", "PLATFORM", "LAST", "SYNC", "AGE"] and "https://api.obsyk.ai" in shown


def restricted_namespace(plane):
    plane.create_namespace("holdfast")
    plane.kubectl("label", "namespace", "holdfast", "--overwrite", "pod-security.kubernetes.io/enforce=restricted")


def test_install_upgrade_and_uninstall(plane, helm, tmp_path):
    restricted_namespace(plane)
    full = {**NAMED, "networkPolicy": {"enabled": True}, "podDisruptionBudget": {"enabled": True}}
    values = manifests.values_file(tmp_path, full)
    helm_in(plane, helm, "install", "hf", CHART, "--namespace", "holdfast", "--values", values)
    installed_is_right(plane, "holdfast:hf-holdfast", "hf-holdfast-agent")
    helm_in(plane, helm, "upgrade", "hf", CHART, "--namespace", "holdfast", "--values", values, "--set",
            "persistence.enabled=true", "--set", "profile=edge16")
    claim = plane.kubectl_json("get", "pvc", "hf-holdfast", "-n", "holdfast")
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"
    helm_in(plane, helm, "uninstall", "hf", "--namespace", "holdfast")
    plane.kubectl("get", "crd", "obsykagents.obsyk.io")  # stays: deleting it deletes agents


def test_values_of_the_original_install(plane, helm, tmp_path):
    plane.create_namespace("old")
    values = manifests.values_file(tmp_path, ORIGINAL)
    helm_in(plane, helm, "install", "hf", CHART, "--namespace", "old", "--values", values)
    assert plane.kubectl_json("get", "obsykagent", "obsyk-operator-agent", "-n", "old")["spec"]["clusterName"] == 'prod "one"'
    helm_in(plane, helm, "uninstall", "hf", "--namespace", "old")


def test_kustomize(plane):
    restricted_namespace(plane)
    plane.kubectl("apply", "-k", CONFIG / "crds")
    plane.wait_crd()
    plane.kubectl("apply", "-k", CONFIG / "kustomize/example")
    installed_is_right(plane, "holdfast:holdfast", "agent")
    plane.kubectl("delete", "deployment,obsykagent", "--all", "-n", "holdfast")


# --- the CRD ---

def agent(**spec):
    return {"apiVersion": "obsyk.io/v1", "kind": "ObsykAgent", "metadata": {"name": "a", "namespace": "default"},
            "spec": {"platformURL": "https://x", "clusterName": "c", "credentialsSecretRef": {"name": "s"}, **spec}}


@pytest.fixture(scope="module")
def crd(plane):
    plane.kubectl("apply", "-k", CONFIG / "crds")
    plane.wait_crd()
    conditions = plane.kubectl_json("get", "crd", "obsykagents.obsyk.io")["status"]["conditions"]
    assert not [one for one in conditions if one["type"] == "NonStructuralSchema"]


@pytest.mark.parametrize("spec, says", [
    ({"rateLimit": {"burstSize": 5001}}, "less than or equal to 5000"), ({"rateLimit": {"eventsPerSecond": 0}}, "greater than or equal to 1"),
    ({"platformURL": "ftp://x"}, "platformURL"), ({"clusterName": ""}, "at least 1"), ({"clusterName": "x" * 254}, "253"),
    ({"credentialsSecretRef": {}}, "name: Required"), ({"syncInterval": 5}, "string")], ids=str)
def test_the_crd_refuses(plane, crd, spec, says):
    done = plane.kubectl("create", "--validate=false", "--dry-run=server", "-f", "-", data=agent(**spec), check=False)
    assert done.returncode != 0 and says in done.stderr.decode()


def test_the_crd_sets_defaults_and_keeps_statuses(plane, crd):
    plane.kubectl("create", "-f", "-", data=agent(rateLimit={}))
    try:
        made = plane.kubectl_json("get", "obsykagent", "a")
        assert made["spec"]["syncInterval"] == "5m" and made["spec"]["rateLimit"] == {"eventsPerSecond": 10, "burstSize": 20}
        status = {"clusterUID": "u", "observedGeneration": 1, "resourceCounts": {"pods": 3}, "lastSyncTime": "2026-11-21T09:51:32Z", "conditions": [
            {"type": "Available", "status": "True", "reason": "AgentRunning", "message": "", "lastTransitionTime": "2026-11-21T09:51:32Z"}]}
        patch = json.dumps({"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "status": status})
        plane.kubectl("patch", "obsykagent", "a", "--subresource=status", "--type=merge", "--patch", patch)
        assert plane.kubectl_json("get", "obsykagent", "a")["status"] == status
        again = plane.kubectl("patch", "obsykagent", "a", "--subresource=status", "--type=merge", "--patch", patch, check=False)
        assert b"Conflict" in again.stderr or b"modified" in again.stderr
    finally:
        plane.kubectl("delete", "obsykagent", "a")


def test_an_agent_without_a_spec_passes_as_in_the_original(plane, crd):
    bare = {**agent(), "spec": None}
    del bare["spec"]
    plane.kubectl("create", "--dry-run=server", "-f", "-", data=bare)
