# SPDX-License-Identifier: MIT
"""A real Kubernetes API server on loopback, with etcd, in a temporary folder.

    kube = Kube(folder)             # ready when this returns
    kube.kubectl("apply", "-f", path)   # the finished process; check() raises
    kube.get("deployment", "app", "-n", "cricalgo-staging")
    kube.kubeconfig                 # for programs that call kubectl themselves
    kube.kubectl_path
    kube.stop()

What is not here, and a test must play itself: the controllers, the scheduler and the
nodes. A Deployment makes no ReplicaSet and no Pod, no status is ever set by itself,
a rollout is never "finished" and its revisions are not counted (rollout undo finds no
history), an HPA or ScaledObject scales nothing, a Service gets no endpoints, deleting
a Deployment leaves its pods, a namespace that is deleted stays Terminating. Istio,
KEDA and the Prometheus operator are their definitions only. set_deployment_status()
says what a Deployment's controller would; rollout_done() says it of one that is well.
Admission is the server's own: Pod Security is enforced, ServiceAccounts are not asked
for. There is no admission webhook.
"""
import json
import os
import pathlib
import ssl
import subprocess
import time
import urllib.request

import harness
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = pathlib.Path(os.environ.get("CRICALGO_TOOLS", ROOT / "build-tools"))
TOKEN = "loopback-only"


class Kube:
    kubectl_path = TOOLS / "bin" / "kubectl"

    def __init__(self, folder, crds=True):
        self.folder = pathlib.Path(folder)
        self.port = harness.free_port()
        self.url = f"https://{harness.LOOPBACK}:{self.port}"
        self.kubeconfig = self.folder / "kubeconfig"
        self.etcd = self.server = None
        self._write_files()
        try:
            self._start()
            if crds:
                self.install_crds()
        except BaseException:
            self.stop()
            raise

    def _write_files(self):
        subprocess.run(["openssl", "genrsa", "-out", self.folder / "sa.key", "2048"],
                       check=True, capture_output=True)
        (self.folder / "tokens.csv").write_text(f"{TOKEN},admin,1,system:masters\n")
        self.kubeconfig.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "kube",
            "clusters": [{"name": "kube", "cluster": {
                "server": self.url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "kube", "context": {"cluster": "kube", "user": "admin"}}]}))
        self.kubeconfig.chmod(0o600)

    def _start(self):
        client, peer = harness.free_port(), harness.free_port()
        etcd = f"http://{harness.LOOPBACK}:{client}"
        peers = f"http://{harness.LOOPBACK}:{peer}"
        self.etcd = harness.Process("etcd", [
            "etcd", "--data-dir", self.folder / "etcd", "--listen-client-urls", etcd,
            "--advertise-client-urls", etcd, "--listen-peer-urls", peers,
            "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}",
            "--unsafe-no-fsync"], self.folder)
        key = self.folder / "sa.key"
        self.server = harness.Process("kube-apiserver", [
            TOOLS / "bin" / "kube-apiserver", f"--etcd-servers={etcd}",
            f"--bind-address={harness.LOOPBACK}", f"--advertise-address={harness.LOOPBACK}",
            f"--secure-port={self.port}", f"--cert-dir={self.folder}/certs",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            f"--service-account-issuer={self.url}", "--service-cluster-ip-range=10.0.0.0/24",
            f"--token-auth-file={self.folder}/tokens.csv", "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none",
        ], self.folder)
        harness.wait_for(self.ready, "the API server answers /readyz", 120)

    def ready(self):
        for process in (self.etcd, self.server):
            assert process.alive(), f"{process.name} died: {process.log()[-3000:]}"
        request = urllib.request.Request(f"{self.url}/readyz",
                                         headers={"Authorization": f"Bearer {TOKEN}"})
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                return answer.status == 200
        except OSError:
            return False

    def install_crds(self):
        """Istio's, KEDA's and the Prometheus operator's definitions; served when this
        returns."""
        self.check("apply", "--server-side", "-f", TOOLS / "crds")
        self.check("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")

    def kubectl(self, *args, stdin=None):
        """The finished process, whatever its status."""
        return subprocess.run([str(self.kubectl_path), f"--kubeconfig={self.kubeconfig}",
                               *[str(a) for a in args]], input=stdin, capture_output=True,
                              text=True, timeout=120, check=False,
                              env={**os.environ, "KUBECONFIG": str(self.kubeconfig)})

    def check(self, *args, stdin=None):
        """Its standard output; raises with what it said when it fails."""
        done = self.kubectl(*args, stdin=stdin)
        if done.returncode != 0:
            raise AssertionError(f"kubectl {args}: {done.stderr}{done.stdout}")
        return done.stdout

    def get(self, *args):
        return json.loads(self.check("get", *args, "-o", "json"))

    def create_namespace(self, name):
        """For real: one of the same dry run does not count."""
        if self.kubectl("get", "namespace", name).returncode != 0:
            self.check("create", "--save-config", "namespace", name)

    def set_status(self, kind, name, namespace, **status):
        self.check("patch", kind, name, "-n", namespace, "--subresource=status",
                   "--type=merge", "-p", json.dumps({"status": status}))

    def set_deployment_status(self, name, namespace, ready, reason="NewReplicaSetAvailable"):
        """Says of the newest revision that ready pods are there; reason
        ProgressDeadlineExceeded says that no more will come."""
        d = self.get("deployment", name, "-n", namespace)
        wanted, now = d["spec"].get("replicas", 1), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        stuck = reason == "ProgressDeadlineExceeded"

        def condition(kind, good, why):
            return {"type": kind, "status": "True" if good else "False", "reason": why,
                    "lastUpdateTime": now, "lastTransitionTime": now, "message": why}

        self.set_status("deployment", name, namespace,
                        observedGeneration=d["metadata"]["generation"], replicas=wanted,
                        updatedReplicas=wanted, readyReplicas=ready, availableReplicas=ready,
                        unavailableReplicas=wanted - ready,
                        conditions=[
                            condition("Available", ready >= wanted, "MinimumReplicasAvailable"),
                            condition("Progressing", not stuck, reason)])

    def rollout_done(self, name, namespace):
        d = self.get("deployment", name, "-n", namespace)
        self.set_deployment_status(name, namespace, d["spec"].get("replicas", 1))

    def stop(self):
        for process in (self.server, self.etcd):
            if process is not None and process.alive():
                process.kill()
