"""kubekinds: the kinds that the ingest agent sends, and where the API server has them (ingest.md section 3).

    KINDS["Pod"].path("apps-1"), KINDS["Pod"].path(), KINDS["Deployment"].group
"""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    name: str
    version: str  # as in apiVersion
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """As RBAC names it; empty for core."""
        return self.version.rpartition("/")[0]

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        base = f"/apis/{self.version}" if "/" in self.version else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{base}{within}/{self.plural}" + (f"/{name}" if name else "")


_RBAC, _NET = "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1"
KINDS = {kind.name: kind for kind in (
    Kind("Namespace", "v1", "namespaces", False),
    Kind("Pod", "v1", "pods"),
    Kind("Service", "v1", "services"),
    Kind("Node", "v1", "nodes", False),
    Kind("Deployment", "apps/v1", "deployments"),
    Kind("StatefulSet", "apps/v1", "statefulsets"),
    Kind("DaemonSet", "apps/v1", "daemonsets"),
    Kind("Job", "batch/v1", "jobs"),
    Kind("CronJob", "batch/v1", "cronjobs"),
    Kind("Ingress", _NET, "ingresses"),
    Kind("NetworkPolicy", _NET, "networkpolicies"),
    Kind("ConfigMap", "v1", "configmaps"),
    Kind("Secret", "v1", "secrets"),
    Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims"),
    Kind("ServiceAccount", "v1", "serviceaccounts"),
    Kind("Role", _RBAC, "roles"),
    Kind("ClusterRole", _RBAC, "clusterroles", False),
    Kind("RoleBinding", _RBAC, "rolebindings"),
    Kind("ClusterRoleBinding", _RBAC, "clusterrolebindings", False),
    Kind("Event", "v1", "events"),
)}

# What else tests reach; no kinds of the agent's.
OTHERS = {kind.name: kind for kind in (
    Kind("ObsykAgent", "obsyk.io/v1", "obsykagents"),
    Kind("Lease", "coordination.k8s.io/v1", "leases"),
    Kind("CustomResourceDefinition", "apiextensions.k8s.io/v1", "customresourcedefinitions", False),
)}


def kind_of(name: str) -> Kind:
    return KINDS.get(name) or OTHERS[name]


def agent_rules(kinds=KINDS) -> list[dict]:
    """What the agent's ClusterRole grants (ingest.md 6.7): LIST and WATCH of the kinds, its CRs, Leases."""
    groups: dict[str, list[str]] = {}
    for name in kinds:
        groups.setdefault(KINDS[name].group, []).append(KINDS[name].plural)
    rules = [{"apiGroups": [group], "resources": plurals, "verbs": ["list", "watch"]} for group, plurals in groups.items()]
    return rules + [
        {"apiGroups": ["obsyk.io"], "resources": ["obsykagents"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["obsyk.io"], "resources": ["obsykagents/status"], "verbs": ["get", "patch", "update"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "patch", "update"]}]
