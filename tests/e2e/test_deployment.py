"""What is deployed, file by file: the CRD is what the program prints, RBAC is what the agent asks for and no more, the pod is restricted,
its memory limit is the profile's. What Helm makes of the chart, and an API server of it all, is in test_chart.py."""
import json
import re
import subprocess

import pytest
import yaml

from tests.peers import manifests
from tests.peers.manifests import BASE, CHART, CONFIG, CRD, ROOT

PROFILES = {"edge16": 16, "hub32": 32, "hub64": 64}


def base():
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return manifests.read(*(BASE / name for name in names if name.endswith(".yaml")))


def check(holdfast, path):
    return subprocess.run([holdfast, "check", "--config", path], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("path", [CRD, CHART / "crds" / CRD.name], ids=["crds", "chart"])
def test_the_crd_is_what_the_program_prints(holdfast, path):
    printed = subprocess.run([holdfast, "crd", "obsykagents.obsyk.io"], capture_output=True, text=True, timeout=120)
    assert printed.returncode == 0 and path.read_text() == printed.stdout, f"holdfast crd > {path.relative_to(ROOT)}"


def test_crd_names():
    crd = yaml.safe_load(CRD.read_text())
    names = crd["spec"]["names"]
    assert (crd["metadata"]["name"], crd["spec"]["group"], crd["spec"]["scope"]) == ("obsykagents.obsyk.io", "obsyk.io", "Namespaced")
    assert names == {"kind": "ObsykAgent", "listKind": "ObsykAgentList", "plural": "obsykagents", "singular": "obsykagent",
                     "shortNames": ["oa"]}
    [version] = crd["spec"]["versions"]
    assert [(column["name"], column["type"]) for column in version["additionalPrinterColumns"]] == [
        ("Cluster", "string"), ("Platform", "string"), ("Last Sync", "date"), ("Age", "date")]
    schema = version["schema"]["openAPIV3Schema"]
    assert "required" not in schema and version["subresources"] == {"status": {}}
    rate = schema["properties"]["spec"]["properties"]["rateLimit"]["properties"]
    assert {key: (row["minimum"], row["maximum"], row["default"]) for key, row in rate.items()} == {
        "eventsPerSecond": (1, 5000, 10), "burstSize": (1, 5000, 20)}


@pytest.mark.parametrize("words, code, says", [
    ([], 0, "kind: ObsykAgent\n"), (["ObsykAgent"], 0, "kind: ObsykAgent\n"), (["obsykagents"], 0, "kind: ObsykAgent\n"),
    (["pods"], 2, "there is no resource \"pods\"; there are: obsykagents.obsyk.io")], ids=str)
def test_the_crd_command(holdfast, words, code, says):
    done = subprocess.run([holdfast, "crd", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == code and says in done.stdout + done.stderr


def test_base_may_do_what_the_agent_needs_and_no_more():
    assert manifests.rules(base()) == manifests.needed()


def test_the_charts_kinds_are_the_programs():
    rows = yaml.safe_load((CHART / "files/kinds.yaml").read_text())
    assert {kind: (row["group"], row["resource"]) for kind, row in rows.items()} == manifests.kinds()
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert schema["kinds"]["items"]["enum"] == list(rows)
    assert schema["profile"]["enum"] == list(PROFILES)


def test_values_are_in_the_schema_and_the_other_way_round():
    def compare(values, schema, path=""):
        names = set(schema.get("properties", {})) - {"global"}
        if not names:
            return
        optional = {".podDisruptionBudget.maxUnavailable"}
        assert {f"{path}.{name}" for name in names} - optional == {f"{path}.{name}" for name in values}
        for name in names & set(values):
            compare(values[name], schema["properties"][name], f"{path}.{name}")
    compare(yaml.safe_load((CHART / "values.yaml").read_text()), json.loads((CHART / "values.schema.json").read_text()))


def test_base_configuration_is_good(holdfast):
    done = check(holdfast, BASE / "holdfast.yaml")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((BASE / "holdfast.yaml").read_text())["listen"] == ":9464"


def restricted(pod):
    """Pod Security Standards, restricted, and a root file system that is not written to."""
    [container] = pod["containers"]
    own = container["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["allowPrivilegeEscalation"] is False and own["capabilities"] == {"drop": ["ALL"]} and own["readOnlyRootFilesystem"]
    assert own["runAsUser"] == own["runAsGroup"] == pod["securityContext"]["fsGroup"] == 65532
    assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {"configMap", "emptyDir", "persistentVolumeClaim"}
    return container


def test_base_pod_is_restricted_and_bounded(holdfast):
    container = restricted(manifests.one(base(), "Deployment")["spec"]["template"]["spec"])
    profile = container["args"][container["args"].index("--profile") + 1]
    assert container["args"][0] == "run" and container["args"][-1] == "/etc/holdfast/holdfast.yaml"
    assert container["resources"]["limits"] == {"memory": f"{PROFILES[profile] + 16}Mi"}
    assert [port["containerPort"] for port in container["ports"]] == [9464]
    assert [container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")] == [
        {"path": "/healthz", "port": "metrics"}, {"path": "/readyz", "port": "metrics"}]


def test_kustomizations_name_files_that_are_there():
    for path in CONFIG.rglob("kustomization.yaml"):
        for name in yaml.safe_load(path.read_text())["resources"]:
            assert (path.parent / name).exists(), f"{path.relative_to(ROOT)}: {name}"


def test_the_example_agent_is_an_agent():
    [agent] = manifests.read(CONFIG / "kustomize/example/agent.yaml")
    properties = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert (agent["apiVersion"], agent["kind"]) == ("obsyk.io/v1", "ObsykAgent")
    assert set(properties["required"]) <= set(agent["spec"]) <= set(properties["properties"])


def test_the_image_has_no_root_and_no_shell():
    lines = (ROOT / "images/container/Containerfile").read_text().splitlines()
    last = lines[max(at for at, line in enumerate(lines) if line.startswith("FROM")):]
    assert last[0] == "FROM scratch" and "USER 65532:65532" in last and 'ENTRYPOINT ["/holdfast"]' in last
    assert not [line for line in last if line.startswith("RUN")]
    assert not re.search(r"(?i)password|token|secret", "\n".join(lines))
