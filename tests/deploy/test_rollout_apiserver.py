# SPDX-License-Identifier: MIT
"""scripts/rollout.sh against a real kube-apiserver with the manifests of k8s/, a real
kubectl, and a real Prometheus. There are no controllers: the test plays the one of
Deployments, with its ReplicaSets, so that `rollout undo` finds a history. Long: the
server has to be built first."""
import hashlib
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

import harness
import metrics_world
from test_rollout import DONE, NEW, QUICK, REFUSED, ROLLED_BACK, SCRIPT, STEPS

kube_module = pytest.importorskip("kube", reason="the API server's fixture is not here yet")
pytestmark = pytest.mark.nightly

NAMESPACE = "cricalgo-staging"
K8S = harness.ROOT / "k8s"
REVISION = "deployment.kubernetes.io/revision"


class Controller(threading.Thread):
    """Plays the Deployment controller: a ReplicaSet for each template, numbered
    revisions, and pods that are ready at once; or, for images in `stuck`, never."""

    def __init__(self, kube):
        super().__init__(daemon=True)
        self.kube, self.stuck, self.error = kube, set(), None
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.ended = threading.Event()
        self.base = f"{kube.url}/apis/apps/v1/namespaces/{NAMESPACE}"

    def call(self, method, url, body=None):
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(
            url, method=method, data=json.dumps(body).encode() if body else None,
            headers={"Authorization": f"Bearer {kube_module.TOKEN}", "Content-Type": kind})
        with urllib.request.urlopen(request, timeout=10, context=self.context) as answer:
            return json.load(answer)

    def run(self):
        while not self.ended.wait(0.1):
            try:
                for deployment in self.call("GET", f"{self.base}/deployments")["items"]:
                    self.tend(deployment)
            except urllib.error.HTTPError as error:
                # Somebody else was faster; the next round sees it.
                if error.code != 409:
                    self.error = f"{error.code} {error.read()[:500]}"
            except OSError as error:
                self.error = str(error)

    def tend(self, deployment):
        meta, spec = deployment["metadata"], deployment["spec"]
        if deployment.get("status", {}).get("observedGeneration") == meta["generation"]:
            return
        template = spec["template"]
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        sets = [s for s in self.call("GET", f"{self.base}/replicasets")["items"]
                if s["metadata"]["ownerReferences"][0]["uid"] == meta["uid"]]
        numbers = {s["metadata"]["name"]: int(s["metadata"]["annotations"][REVISION]) for s in sets}
        name, newest = f"{meta['name']}-{digest}", max(numbers.values(), default=0)
        if name not in numbers:
            newest += 1
            self.call("POST", f"{self.base}/replicasets", self.replica_set(deployment, name, digest, newest))
        elif numbers[name] != newest:
            newest += 1
            self.call("PATCH", f"{self.base}/replicasets/{name}",
                      {"metadata": {"annotations": {REVISION: str(newest)}}})
        url = f"{self.base}/deployments/{meta['name']}"
        self.call("PATCH", url, {"metadata": {"annotations": {REVISION: str(newest)}}})
        wanted = spec["replicas"]
        ready = 0 if template["spec"]["containers"][0]["image"] in self.stuck else wanted
        conditions = [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                      {"type": "Progressing", "status": "True" if ready == wanted else "False",
                       "reason": "NewReplicaSetAvailable" if ready == wanted else "ProgressDeadlineExceeded"}]
        self.call("PATCH", f"{url}/status", {"status": {
            "observedGeneration": meta["generation"], "replicas": wanted, "updatedReplicas": wanted,
            "readyReplicas": ready, "availableReplicas": ready, "unavailableReplicas": wanted - ready,
            "conditions": conditions}})

    @staticmethod
    def replica_set(deployment, name, digest, revision):
        meta, spec = deployment["metadata"], deployment["spec"]
        labels = {**spec["template"]["metadata"]["labels"], "pod-template-hash": digest}
        template = json.loads(json.dumps(spec["template"]))
        template["metadata"]["labels"] = labels
        return {"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": name, "labels": labels, "annotations": {REVISION: str(revision)},
                             "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "controller": True,
                                                  "name": meta["name"], "uid": meta["uid"]}]},
                "spec": {"replicas": spec["replicas"], "template": template,
                         "selector": {"matchLabels": {**spec["selector"]["matchLabels"], "pod-template-hash": digest}}}}

    def stop(self):
        self.ended.set()
        self.join(20)


@pytest.fixture(scope="module")
def kube(tmp_path_factory):
    kube = kube_module.Kube(tmp_path_factory.mktemp("kube"))
    yield kube
    kube.stop()


@pytest.fixture(scope="module")
def metrics_of_module(tmp_path_factory):
    world = metrics_world.World(tmp_path_factory.mktemp("prometheus"))
    yield world
    world.stop()


class RealCluster:
    def __init__(self, kube, metrics, folder):
        self.kube, self.metrics, self.folder = kube, metrics, folder
        self.env = {**os.environ, "KUBECONFIG": str(kube.kubeconfig), "PROMETHEUS_URL": metrics.url,
                    "NAMESPACE": NAMESPACE, "PATH": f"{kube.kubectl_path.parent}:{os.environ['PATH']}"}
        kube.check("apply", "-f", K8S / "overlays/staging/namespace.yaml")
        for file in ("app.yaml", "worker.yaml"):
            kube.check("-n", NAMESPACE, "apply", "-f", K8S / "deploy" / file)
        # Traffic is at stable before the first rollout, and a Deployment has a
        # history before it is changed.
        kube.check("-n", NAMESPACE, "apply", "-f", K8S / "istio/virtualservice-stable.yaml")
        for name in ("app", "worker"):
            kube.check("-n", NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=60s")
        self.old = self.image("app")

    def image(self, name):
        deployment = self.kube.get("deployment", name, "-n", NAMESPACE)
        return deployment["spec"]["template"]["spec"]["containers"][0]["image"]

    def traffic(self):
        """(step, weights of stable and canary) in force."""
        service = self.kube.get("virtualservice", "app-virtualservice", "-n", NAMESPACE)
        weights = {}
        for route in [r for r in service["spec"]["http"] if r["name"] == "webhooks"][0]["route"]:
            weights[route["destination"]["subset"]] = route.get("weight", 100)
        return (service["metadata"]["annotations"]["cricalgo/step"],
                weights.get("stable", 0), weights.get("canary", 0))

    def replicas(self):
        return self.kube.get("deployment", "app-canary", "-n", NAMESPACE)["spec"]["replicas"]

    def start(self, *words):
        return harness.Process("rollout", [SCRIPT, *QUICK, "--pod-timeout", "60s", *words], self.folder, self.env)

    def reset(self):
        self.kube.kubectl("-n", NAMESPACE, "delete", "deployment", "app-canary", "app", "worker", "--ignore-not-found")
        self.kube.kubectl("-n", NAMESPACE, "delete", "replicaset", "--all")
        self.kube.kubectl("-n", NAMESPACE, "delete", "virtualservice", "--all")


@pytest.fixture
def cluster(kube, metrics_of_module, tmp_path):
    metrics_of_module.settled()
    controller = Controller(kube)
    controller.start()
    cluster = RealCluster(kube, metrics_of_module, tmp_path)
    cluster.controller = controller
    yield cluster
    controller.stop()
    cluster.reset()
    assert controller.error is None, controller.error


def wait_for_step(cluster, rollout, step):
    harness.wait_for(lambda: cluster.traffic()[0] == step or not rollout.alive(), f"traffic at {step}", 60)
    assert rollout.alive(), rollout.log()


def test_a_good_canary_goes_to_100(cluster):
    rollout = cluster.start("run", NEW)
    seen = []
    while rollout.alive():
        traffic = cluster.traffic()
        if not seen or seen[-1] != traffic:
            seen.append(traffic)
    assert rollout.child.wait() == DONE, rollout.log()
    assert cluster.image("app") == cluster.image("worker") == NEW and cluster.replicas() == 0
    assert cluster.traffic() == ("stable", 100, 0)
    expected = [("stable", 100, 0)] + [(f"canary-{s}", 100 - s, s) for s in STEPS] + [("stable", 100, 0)]
    # Looking may miss a step, but never sees another one.
    assert all(t in expected for t in seen) and len(seen) >= 4
    assert re.findall(r"traffic: (\S+)", rollout.log()) == [t[0] for t in expected[1:]]


def test_a_bad_canary_is_taken_back(cluster, metrics_of_module):
    rollout = cluster.start("run", NEW, "--watch-next", "60")
    wait_for_step(cluster, rollout, "canary-25")
    metrics_of_module.versions["canary"].error_share = 0.05
    assert rollout.child.wait(60) == ROLLED_BACK, rollout.log()
    assert cluster.traffic() == ("stable", 100, 0)
    assert cluster.image("app") == cluster.image("worker") == cluster.old and cluster.replicas() == 0


def test_after_the_promotion_the_old_image_comes_back(cluster, metrics_of_module):
    rollout = cluster.start("run", NEW, "--steps", "100", "--watch-next", "60")
    harness.wait_for(lambda: cluster.image("worker") == NEW or not rollout.alive(), "the worker has the image", 60)
    wait_for_step(cluster, rollout, "stable")
    metrics_of_module.versions["stable"].error_share = 0.5
    assert rollout.child.wait(90) == ROLLED_BACK, rollout.log()
    assert cluster.image("app") == cluster.image("worker") == cluster.old
    assert "deployment.apps/app rolled back" in rollout.log()
    assert "deployment.apps/worker rolled back" in rollout.log()


def test_pods_that_never_get_ready(cluster):
    cluster.controller.stuck.add(NEW)
    rollout = cluster.start("run", NEW)
    assert rollout.child.wait(90) == ROLLED_BACK, rollout.log()
    assert "pods did not become ready" in rollout.log()
    assert cluster.traffic() == ("stable", 100, 0) and cluster.image("app") == cluster.old


def test_an_interrupted_run_goes_on(cluster):
    rollout = cluster.start("run", NEW, "--watch-next", "600")
    wait_for_step(cluster, rollout, "canary-25")
    rollout.child.send_signal(signal.SIGKILL)
    rollout.child.wait()
    assert cluster.traffic() == ("canary-25", 75, 25)
    other = subprocess.run([SCRIPT, *QUICK, "run", NEW + "-other"], env=cluster.env, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
    assert other.returncode == REFUSED, other.stdout
    again = cluster.start("run", NEW)
    assert again.child.wait(120) == DONE, again.log()
    assert re.findall(r"traffic: (\S+)", again.log()) == ["canary-50", "canary-100", "stable"]
    assert cluster.image("app") == cluster.image("worker") == NEW
