"""kube: a real control plane on loopback: etcd 3.7, kube-apiserver 1.36 over TLS with RBAC, controller manager, kwok.

    with ControlPlane(folder) as plane:                        # ready in some 5 s
        fill(plane, pods=200)                                  # peers.kubefill: all 20 kinds
        config = plane.kubeconfig("agent", token=plane.agent_account())
        plane.kubectl("get", "pods", "-A"); plane.objects("Pod")
        plane.api.kill(); plane.api.start(); plane.etcd.pause(); plane.compact()

Parts: plane.etcd (peers.etcd), plane.api, plane.manager, plane.kwok; each has start, stop, kill, restart, pause, resume.
Nodes are kwok's; pods with a nodeName of theirs become Running, and Jobs' pods complete. There is no scheduler.
"""
from __future__ import annotations

import itertools
import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Callable, Iterable, Sequence

from . import gobuild
from .ca import Ca, Cert
from .etcd import Etcd
from .kubeclient import KubeClient, Refused
from .kubeconfig import Login, write_kubeconfig
from .kubekinds import KINDS, agent_rules
from .proc import PeerError, Proc, free_port, run, wait_for

BUSY = (429, 500, 503, 504)
READY_SECONDS = 120  # 4 s on an idle machine; a restart with 10,000 pods 17 s on a busy one
NAMES = ("127.0.0.1", "::1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1")
SYSTEM = ("default", "kube-system", "kube-public", "kube-node-lease")
STAGES = ("node/fast/node-initialize", "node/heartbeat/node-heartbeat", "pod/fast/pod-ready", "pod/fast/pod-complete", "pod/fast/pod-delete")
_marks = itertools.count()


class Part:
    """One program of the plane, started again with the same line."""

    def __init__(self, folder: Path, line: Callable[[], Sequence[object]], ready: Callable[[], object] | None = None):
        self.folder, self.line, self.ready = folder, line, ready
        self.proc: Proc | None = None

    @property
    def pid(self) -> int:
        if self.proc is None:
            raise PeerError("not started")
        return self.proc.pid

    def start(self, wait: bool = True) -> "Part":
        if self.proc is not None and self.proc.alive():
            raise PeerError(f"{self.proc.name} runs already")
        line = [str(word) for word in self.line()]
        env = {"HOME": str(self.folder), "PATH": os.environ.get("PATH", "")}
        self.proc = Proc(line, log=self.folder / f"{Path(line[0]).name}.log", env=env)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        if self.ready and self.proc:
            wait_for(self.ready, f"{self.proc.name} ready", seconds, self.proc, every=0.05)

    def stop(self, seconds: float = 10) -> None:
        if self.proc:
            self.proc.stop(seconds)

    def kill(self) -> None:
        if self.proc and self.proc.alive():
            self.proc.kill()

    def restart(self) -> None:
        """Killed and started; returns when it serves again."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        if self.proc:
            self.proc.pause()

    def resume(self) -> None:
        if self.proc:
            self.proc.resume()


class ControlPlane:
    """Nothing runs before start(). Ports stay the same over restarts of the parts.

    manager      run the controller manager; False: none, namespaces get their default account from here
    kwok         run kwok, with `nodes` nodes of its own
    watch_cache  False: LIST and WATCH come from etcd itself, so that compact() is felt at once (410)
    watch_seconds  --min-request-timeout: a watch that asks for no timeout ends after so many seconds, or up to twice as many
    audit        write down who asked what: asked()
    event_ttl    how long core Events live ("1h")
    api_flags    more flags of the API server, last: --goaway-chance=0.02, --disable-http2-serving, --feature-gates=WatchList=false…
    """

    def __init__(self, folder: Path, *, manager: bool = True, kwok: bool = True, nodes: int = 2, watch_cache: bool = True,
                 watch_seconds: int | None = None, event_ttl: str = "1h", audit: bool = False, api_flags: Iterable[str] = ()):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.programs = gobuild.kubernetes()
        self.with_manager, self.with_kwok, self.nodes = manager, kwok, nodes
        self.options = [f"--watch-cache={str(watch_cache).lower()}", f"--event-ttl={event_ttl}"]
        if watch_seconds:
            self.options.append(f"--min-request-timeout={watch_seconds}")
        self.audit_log = self.folder / "audit.log"
        if audit:
            policy = self.folder / "audit.yaml"
            policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n")
            self.options += [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]
        self.options += api_flags
        self.ca = Ca(self.folder / "pki", "kubernetes test CA")
        self.cert = self.ca.server("apiserver", NAMES)
        self.admin_cert = self.ca.client("holdfast-admin")
        self.admin_token = secrets.token_hex(16)
        self.account_key = self.folder / "sa.key"
        self.port = free_port()
        self.etcd = Etcd(self.folder / "etcd", "3.7", flags=["--unsafe-no-fsync"])  # what it wrote outlives its process, not the machine
        self.api = Part(self.folder, self._api_line, self._api_ready)
        self.manager = Part(self.folder, self._manager_line)
        self.kwok = Part(self.folder, self._kwok_line)
        self.client = KubeClient(self.port, self.ca.cert, self.admin_token)
        self.admin_config = self.kubeconfig("admin", token=self.admin_token)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    # --- start and end ---

    def start(self) -> "ControlPlane":
        if not self.account_key.exists():
            run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.account_key])
            (self.folder / "tokens.csv").write_text(f'{self.admin_token},admin,1,"system:masters"\n')
        self.etcd.start()
        self.api.start()
        self._found()
        if self.with_manager:
            self.manager.start()
        if self.with_kwok:
            self.kwok.start()
            self.wait(lambda: all(is_ready(node) for node in self.objects("Node")), "nodes ready")
        return self

    def _found(self) -> None:
        """What every cluster has: its namespaces with their default accounts, a user by certificate, nodes."""
        for name in SYSTEM:
            self.wait(lambda: self._exists("Namespace", name), f"namespace {name}")
            self._default_account(name)
        self._ensure("ClusterRoleBinding", {"metadata": {"name": "holdfast-admin"},
                     "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                     "subjects": [{"kind": "User", "name": "holdfast-admin", "apiGroup": "rbac.authorization.k8s.io"}]})
        for at in range(self.nodes):
            self.create_node(f"node-{at}")

    def stop(self) -> None:
        for part in (self.kwok, self.manager, self.api):
            part.resume()
            part.kill()  # nothing of it is to last: no one waits for its drain
        self.etcd.stop()

    def __enter__(self) -> "ControlPlane":
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _api_line(self) -> list[object]:
        return [self.programs / "kube-apiserver", f"--etcd-servers={self.etcd.url}", f"--secure-port={self.port}",
                "--bind-address=127.0.0.1", "--advertise-address=10.96.0.1", "--endpoint-reconciler-type=none",
                f"--tls-cert-file={self.cert.cert}", f"--tls-private-key-file={self.cert.key}", f"--client-ca-file={self.ca.cert}",
                f"--token-auth-file={self.folder / 'tokens.csv'}", "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={self.account_key}",
                f"--service-account-signing-key-file={self.account_key}", "--service-cluster-ip-range=10.96.0.0/16",
                "--allow-privileged=true", "--profiling=false", *self.options]

    def _manager_line(self) -> list[object]:
        controllers = "*" if self.with_kwok else "*,-node-lifecycle-controller,-pod-garbage-collector-controller"
        return [self.programs / "kube-controller-manager", f"--kubeconfig={self.admin_config}", "--leader-elect=false",
                f"--service-account-private-key-file={self.account_key}", f"--root-ca-file={self.ca.cert}",
                "--use-service-account-credentials=true", f"--controllers={controllers}", f"--secure-port={free_port()}",
                "--bind-address=127.0.0.1", f"--cert-dir={self.folder}", "--kube-api-qps=200", "--kube-api-burst=400"]

    def _kwok_line(self) -> list[object]:
        stages = self.programs / "stages"
        files = [word for stage in STAGES for word in ("-c", stages / f"{stage.rsplit('/', 1)[1]}.yaml")]
        options = self.folder / "kwok.yaml"
        options.write_text("apiVersion: config.kwok.x-k8s.io/v1alpha1\nkind: KwokConfiguration\noptions:\n"
                           "  podPlayStageParallelism: 16\n  nodePlayStageParallelism: 4\n")
        return [self.programs / "kwok", f"--kubeconfig={self.admin_config}", "--manage-all-nodes", "--node-ip=127.0.0.1",
                "--cidr=10.0.0.1/16", "-c", options, *files]

    def _api_ready(self) -> bool:
        try:
            return bool(self.client.call("GET", "/readyz"))
        except Refused:
            return False

    def wait(self, check: Callable[[], object], what: str, seconds: float = READY_SECONDS) -> object:
        """Until check() is true; OSError counts as not yet, and so does what an API server that comes back refuses everybody for."""
        def patient() -> object:
            try:
                return check()
            except Refused as error:
                if error.status not in BUSY:
                    raise
                return None
        return wait_for(patient, what, seconds, self.api.proc, every=0.05)

    def wait_serving(self) -> None:
        """After a part was stopped: until requests are answered again."""
        self.wait(lambda: self._api_ready() and self.client.count("Namespace"), "the API server again")

    # --- objects ---

    def objects(self, kind: str) -> list[dict]:
        """The API server's truth: every object of a kind, whole."""
        return self.client.list(kind)

    def _exists(self, kind: str, name: str, namespace: str | None = None) -> bool:
        try:
            return bool(self.client.get(kind, name, namespace))
        except Refused as error:
            if error.status != 404:
                raise
            return False

    def _ensure(self, kind: str, body: dict) -> None:
        try:
            self.client.create(kind, body)
        except Refused as error:
            if error.status != 409:
                raise

    def _default_account(self, namespace: str) -> None:
        self._ensure("ServiceAccount", {"metadata": {"name": "default", "namespace": namespace}})

    def create_namespace(self, name: str, **metadata: object) -> None:
        """With its default account, which pods need and the controller manager would make a little later."""
        self._ensure("Namespace", {"metadata": {"name": name, **metadata}})
        self._default_account(name)

    def create_node(self, name: str, **labels: str) -> None:
        room = {"cpu": "1k", "memory": "4Ti", "pods": "1M"}
        self._ensure("Node", {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "node-role.kubernetes.io/worker": "", **labels},
                                           "annotations": {"kwok.x-k8s.io/node": "fake"}},
                              "status": {"capacity": room, "allocatable": room}})

    def create_pods(self, count: int, namespace: str = "default", prefix: str = "pod", **how: object) -> list[dict]:
        """`count` pods PREFIX-0…, spread over the nodes; `how` goes to kubefill.pod(). Some 500 to 1000 a second."""
        from .kubefill import pod
        return self.client.many(lambda at: self.client.create("Pod", pod(namespace, f"{prefix}-{at}", node=f"node-{at % max(self.nodes, 1)}", **how)),
                                range(count))

    def cluster_uid(self) -> str:
        return self.client.get("Namespace", "kube-system")["metadata"]["uid"]

    def compact(self, api: bool = False) -> int:
        """etcd forgets all but the newest revision; which that is. With a watch cache the API server still serves
        what it remembers: api=True restarts it too, so that every older version is answered by 410."""
        revision = self.etcd.gateway().revision()
        try:
            self.etcd.gateway().compact(revision)
        except PeerError as error:
            if "has been compacted" not in str(error):  # nothing was written since the last time
                raise
        if api:
            self.api.restart()
        return revision

    # --- who asks ---

    def service_account(self, name: str, namespace: str = "default", rules: Sequence[dict] = (), own: Sequence[dict] = ()) -> None:
        """An account with `rules` for the whole cluster and `own` in its namespace; replaced when they are there. In force when it
        returns: the authorizer hears of roles as everybody does, a little later."""
        self._ensure("ServiceAccount", {"metadata": {"name": name, "namespace": namespace}})
        mark = {"apiGroups": ["holdfast.test"], "resources": [f"mark{next(_marks)}"], "verbs": ["get"]}
        subject = [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]
        for prefix, given, where in (("Cluster", rules, {}), ("", own, {"namespace": namespace})):
            path = {"metadata": {"name": f"{namespace}-{name}" if prefix else name, **where}}
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": f"{prefix}Role", "name": path["metadata"]["name"]}
            self._put(f"{prefix}Role", {**path, "rules": [*given, {**mark, "resources": [mark["resources"][0] + prefix.lower()]}]})
            self._ensure(f"{prefix}RoleBinding", {**path, "roleRef": role, "subjects": subject})
            self.wait(lambda: self._may(f"system:serviceaccount:{namespace}:{name}", mark["resources"][0] + prefix.lower(), namespace),
                      f"the roles of {name} in force")

    def _may(self, user: str, resource: str, namespace: str) -> bool:
        """What the authorizer says of `get` in holdfast.test."""
        asked = {"group": "holdfast.test", "resource": resource, "verb": "get", "namespace": namespace}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": user, "resourceAttributes": asked}}
        return bool(self.client.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)["status"]["allowed"])

    def wait_crd(self) -> None:
        """The ObsykAgents' definition was applied: until it is served, and told of to who looks what there is."""
        self.kubectl("wait", "--for=condition=Established", "crd/obsykagents.obsyk.io", "--timeout=60s", seconds=90)
        self.wait(lambda: self.kubectl("get", "obsykagents", "-A", check=False).returncode == 0, "the CRD served")

    def _put(self, kind: str, body: dict) -> None:
        self._ensure(kind, body)
        metadata = body["metadata"]
        self.client.call("PUT", KINDS[kind].path(metadata.get("namespace"), metadata["name"]), body)

    def agent_account(self, name: str = "holdfast", namespace: str = "holdfast", kinds: Iterable[str] = KINDS,
                      secret: str = "obsyk-credentials") -> str:
        """An account with what the chart grants, the kinds narrowed if so wished; its token."""
        self.create_namespace(namespace)
        own = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get", "watch"]}]
        self.service_account(name, namespace, agent_rules(kinds), own)
        return self.token(name, namespace)

    def token(self, account: str, namespace: str = "default", seconds: int = 3600) -> str:
        """A token of the account; 600 s at least, by the API server's rule."""
        path = KINDS["ServiceAccount"].path(namespace, account) + "/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}}
        return self.client.call("POST", path, body)["status"]["token"]

    def revoke(self, account: str, namespace: str = "default") -> None:
        """Every token of the account is worth nothing: it is deleted and made again (its roles stay)."""
        self.client.delete("ServiceAccount", account, namespace)
        self.wait(lambda: not self._exists("ServiceAccount", account, namespace), "the account gone")
        self._ensure("ServiceAccount", {"metadata": {"name": account, "namespace": namespace}})

    def kubeconfig(self, name: str, *, token: str | None = None, token_file: Path | None = None, cert: Cert | None = None,
                   inline: bool = False, url: str | None = None) -> Path:
        """A file with one context, logged in by token, token file or client certificate; inline: certificates are
        in the file. Several contexts: peers.kubeconfig.write_kubeconfig."""
        login = Login(name, url or self.url, self.ca.cert, token, token_file, cert, inline)
        return write_kubeconfig(self.folder / f"{name}.kubeconfig", [login])

    def kubectl(self, *args: object, data: str | dict | None = None, check: bool = True, seconds: float = 60, config: Path | None = None) -> subprocess.CompletedProcess:
        """The real kubectl, as admin or with `config`; `data` is its standard input (-f -). stdout and stderr are bytes."""
        text = json.dumps(data) if isinstance(data, dict) else data
        line = [self.programs / "kubectl", f"--kubeconfig={config or self.admin_config}", f"--cache-dir={self.folder / 'kubectl'}", *map(str, args)]
        return run(line, seconds=seconds, check=check, data=None if text is None else text.encode(), env={"HOME": str(self.folder), "PATH": os.environ.get("PATH", "")})

    def asked(self, user: str) -> list[dict]:
        """What a user (system:serviceaccount:NAMESPACE:NAME) asked of the API server, in order: verb, requestURI, userAgent,
        objectRef, code (None while it is not answered). A watch is told when it begins. Only with audit=True."""
        found: dict[str, dict] = {}
        whole = self.audit_log.read_text().rpartition("\n")[0] if self.audit_log.exists() else ""  # the last line may be half written
        for line in whole.splitlines():
            one = json.loads(line)
            if one["user"].get("username") == user:
                one["code"] = one.get("responseStatus", {}).get("code", found.get(one["auditID"], {}).get("code"))
                found[one["auditID"]] = one
        return list(found.values())

    def helm(self, *args: object, check: bool = True, seconds: float = 120) -> subprocess.CompletedProcess:
        """The real helm, as admin."""
        env = {"HOME": str(self.folder), "PATH": os.environ.get("PATH", "")}
        return run([gobuild.helm(), f"--kubeconfig={self.admin_config}", *map(str, args)], seconds=seconds, check=check, env=env)

    def kubectl_json(self, *args: object, **how: object) -> dict:
        return json.loads(self.kubectl(*args, "-o", "json", **how).stdout)


def is_ready(node: dict) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in node.get("status", {}).get("conditions") or ())
