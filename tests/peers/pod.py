"""pod: what a kubelet does for one pod: its volumes, environment and security context made real, its container run by runc (peers.container).

    with Pod(plane, folder, image, plane.kubectl_json("get", "pod", …), port) as pod:    # as the API server has it, admission and all
        pod.start()
        pod.probe("readinessProbe"); pod.run("ingest", "status", "-o", "json"); pod.rotate(token)

ConfigMaps and the projected service account are written as kubelet does it (a link ..data that is replaced), the token is a TokenRequest's,
an emptyDir is the fsGroup's. It has no network of its own, so the configuration names a free port of 127.0.0.1.
"""
from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import image as images
from .container import Container, bind
from .kube import ControlPlane
from .proc import wait_for

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
MEMORY = {"Ki": 10, "Mi": 20, "Gi": 30}


class Pod(Container):
    """One container's pod; not started. `body` is the Pod of the API server."""

    def __init__(self, plane: ControlPlane, folder: Path, image: images.Image, body: dict, port: int):
        self.plane, self.folder, self.body = plane, folder, body
        self.space, self.name = body["metadata"]["namespace"], body["metadata"]["name"]
        [self.container] = body["spec"]["containers"]
        own, whole = self.container["securityContext"], body["spec"]["securityContext"]
        assert own["allowPrivilegeEscalation"] is False and own["capabilities"] == {"drop": ["ALL"]} and own["readOnlyRootFilesystem"] is True
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"} and not body["spec"].get("hostNetwork")
        self.uid, self.fs_group = own["runAsUser"], whole["fsGroup"]
        self.volumes = {volume["name"]: self._volume(volume) for volume in body["spec"]["volumes"]}
        limit = self.container["resources"]["limits"]["memory"]
        env = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(plane.port), "KUBERNETES_PORT": f"tcp://127.0.0.1:{plane.port}",
               **{row["name"]: row["value"] for row in self.container.get("env", ())}}
        super().__init__(folder, image, [*image.config["Entrypoint"], *self.container["args"]], port=port, uid=self.uid, gid=own["runAsGroup"],
                         groups=[self.fs_group], env=env, mounts=self._mounts(), host=self.name, memory=int(limit[:-2]) << MEMORY[limit[-2:]])

    # --- volumes ---

    def _volume(self, volume: dict) -> Path:
        path = self.folder / "volumes" / volume["name"]
        path.mkdir(parents=True)
        if "emptyDir" in volume:
            os.chown(path, 0, self.fs_group)
            path.chmod(0o2777)
        elif "configMap" in volume:
            self.write(path, self._config_map(volume["configMap"]["name"]))
        else:
            self.write(path, self._projected(volume["projected"]["sources"]))
        return path

    def _config_map(self, name: str) -> dict[str, str]:
        return self.plane.wait(lambda: self.plane.kubectl_json("get", "configmap", name, "-n", self.space), f"ConfigMap {name}")["data"]  # type: ignore[index]

    def _projected(self, sources: list[dict]) -> dict[str, str]:
        found = {}
        for source in sources:
            if "serviceAccountToken" in source:
                found[source["serviceAccountToken"]["path"]] = self.token()
            elif "configMap" in source:
                data = self._config_map(source["configMap"]["name"])
                found |= {item["path"]: data[item["key"]] for item in source["configMap"]["items"]}
            else:
                [item] = source["downwardAPI"]["items"]
                assert item["fieldRef"]["fieldPath"] == "metadata.namespace"
                found[item["path"]] = self.space
        return found

    def write(self, folder: Path, files: dict[str, str]) -> None:
        """As kubelet's AtomicWriter does: a folder of its own, then ..data is turned to it by a rename; each name is a link."""
        made = Path(tempfile.mkdtemp(prefix="..2026_", dir=folder))
        made.chmod(0o755)
        for name, text in files.items():
            file = made / name
            file.write_text(text)
            os.chown(file, self.uid if name == "token" else 0, self.fs_group)
            file.chmod(0o640 if name == "token" else 0o644)
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        before = os.readlink(folder / "..data") if (folder / "..data").is_symlink() else None
        (folder / "..data_tmp").symlink_to(made.name)
        (folder / "..data_tmp").rename(folder / "..data")
        if before:
            shutil.rmtree(folder / before)

    @property
    def account(self) -> Path:
        """Where the service account lies, seen from outside."""
        [mount] = [mount for mount in self.container["volumeMounts"] if mount["mountPath"] == ACCOUNT]
        return self.volumes[mount["name"]]

    def token(self, secret: str | None = None) -> str:
        """A new one from the TokenRequest API, bound to this pod as kubelet asks for it, or to a Secret."""
        kind, name = ("Secret", secret) if secret else ("Pod", self.name)
        return self.plane.kubectl("create", "token", self.body["spec"]["serviceAccountName"], "-n", self.space, "--duration=3607s",
                                  f"--bound-object-kind={kind}", f"--bound-object-name={name}").stdout.decode().strip()

    def rotate(self, token: str) -> None:
        now = {name: (self.account / name).read_text() for name in ("ca.crt", "namespace")}
        self.write(self.account, {**now, "token": token})

    def _mounts(self) -> list[dict]:
        etc = {"resolv.conf": "nameserver 127.0.0.1\n", "hosts": "127.0.0.1 localhost\n", "hostname": self.name + "\n"}
        for name, text in etc.items():
            (self.folder / name).write_text(text)
        own = [bind(self.volumes[mount["name"]], mount["mountPath"], not mount.get("readOnly")) for mount in self.container["volumeMounts"]]
        return [bind(self.folder / name, f"/etc/{name}") for name in etc] + own

    # --- while it runs ---

    def start(self, wait: bool = True, seconds: float = 120) -> "Pod":
        """With wait, until the readiness probe is good."""
        super().start()
        if wait:
            wait_for(lambda: self.probe("readinessProbe"), "the readiness probe", seconds, self.proc, every=0.05)
        return self

    def probe(self, name: str) -> bool:
        """As kubelet asks: 200 to 399 is good."""
        return 200 <= self.get(self.container[name]["httpGet"]["path"])[0] < 400

    def run(self, *words: str) -> subprocess.CompletedProcess:
        """`kubectl exec`, with the pod's configuration."""
        return self.exec(*words, "--config", self.container["args"][-1])
