# SPDX-License-Identifier: MIT
"""k8s/ applied to a real API server, and bad samples refused by it. Long: the server
has to be built first."""
import json
import re

import pytest
import yaml

import k8s_world
from k8s_world import K8S, OVERLAYS, STEPS
from kube import Kube
from test_k8s import SAMPLES, load_sample

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def kube(tmp_path_factory):
    kube = Kube(tmp_path_factory.mktemp("kube"))
    kube.create_namespace("plain")
    for name in ("staging", "production"):
        kube.check("apply", "-f", K8S / f"overlays/{name}/namespace.yaml")
    yield kube
    kube.stop()


@pytest.fixture(scope="module")
def worlds():
    return {overlay: k8s_world.load_world(overlay) for overlay in OVERLAYS}


def dry_run(kube, text, *args):
    return kube.kubectl("apply", "--dry-run=server", "--validate=strict", *args, "-f", "-",
                        stdin=text)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_is_accepted(kube, worlds, overlay):
    """First asked, then applied; a second time nothing changes."""
    built = yaml.safe_dump_all(k8s_world.kustomize(K8S / "overlays" / overlay))
    asked = dry_run(kube, built)
    assert asked.returncode == 0 and "Warning" not in asked.stderr, asked.stderr
    done = kube.kubectl("apply", "--validate=strict", "-f", "-", stdin=built)
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
    again = kube.check("apply", "-f", "-", stdin=built)
    # kubectl sends a budget's selector again each time, and nothing comes of it.
    changed = [line for line in again.splitlines() if not line.endswith("unchanged")
               and not line.startswith("poddisruptionbudget")]
    assert changed == []
    app = kube.get("deployment", "app", "-n", worlds[overlay].namespace)
    modes = [v["secret"]["defaultMode"] for v in app["spec"]["template"]["spec"]["volumes"]
             if "secret" in v]
    assert modes == [0o440]
    for o in worlds[overlay].of("HorizontalPodAutoscaler", "ScaledObject"):
        if o["metadata"]["name"] in ("worker", "worker-hpa"):
            kube.check("delete", o["kind"], o["metadata"]["name"], "-n", worlds[overlay].namespace)


def test_kubectl_builds_the_overlays_itself(kube):
    """kubectl apply -k, with the kustomize that kubectl has inside."""
    for overlay in OVERLAYS:
        done = kube.kubectl("apply", "--dry-run=server", "-k", K8S / "overlays" / overlay)
        assert done.returncode == 0, done.stderr


def test_plain_files_are_accepted(kube):
    """kubectl -n NAMESPACE apply -f FILE, each by itself."""
    files = [p for p in k8s_world.manifest_files()]
    for path in files:
        args = [] if "kind: Namespace" in path.read_text() else ["-n", "plain"]
        done = kube.kubectl(*args, "apply", "--validate=strict", "-f", path)
        assert done.returncode == 0 and "Warning" not in done.stderr, f"{path}: {done.stderr}"


@pytest.mark.parametrize("folder", ["base", "deploy", "hpa", "istio", "monitoring"])
def test_folders_are_accepted(kube, folder):
    done = kube.kubectl("-n", "plain", "apply", "--validate=strict", "-f", K8S / folder)
    assert done.returncode == 0, done.stderr


def test_each_step_replaces_the_last(kube):
    """The original's commands: one object, and its annotation says which is in force."""
    namespace = "cricalgo-staging"
    for step in [*STEPS, "stable"]:
        kube.check("-n", namespace, "apply", "-f", K8S / f"istio/virtualservice-{step}.yaml")
        found = kube.get("virtualservice", "-n", namespace)["items"]
        assert [k8s_world.step_of(v) for v in found] == [step]
        weights = {r["destination"]["subset"]: r["weight"]
                   for r in found[0]["spec"]["http"][1]["route"]}
        assert weights.get("canary", 0) == STEPS[step]
    said = kube.check("-n", namespace, "get", "virtualservice", "app-virtualservice",
                      "-o", "jsonpath={.metadata.annotations.cricalgo/step}")
    assert said == "stable"


def test_pods_pass_the_restricted_standard(kube, worlds):
    """The namespace enforces it on pods: ours are taken, one that is root is not."""
    for _, template in worlds["staging"].pods():
        pod = {"apiVersion": "v1", "kind": "Pod",
               "metadata": {**template["metadata"], "name": "p", "namespace": "cricalgo-staging"},
               "spec": template["spec"]}
        done = dry_run(kube, yaml.safe_dump(pod))
        assert done.returncode == 0, done.stderr
        pod["spec"] = json.loads(json.dumps(template["spec"]))
        pod["spec"]["securityContext"]["runAsNonRoot"] = False
        done = dry_run(kube, yaml.safe_dump(pod))
        assert done.returncode != 0 and "restricted" in done.stderr, done.stderr


def test_a_test_can_play_the_controllers(kube):
    """What scripts that wait for a rollout need of kube.py."""
    namespace = "cricalgo-staging"
    kube.check("-n", namespace, "apply", "-f", K8S / "deploy/app-canary.yaml")
    waits = kube.kubectl("-n", namespace, "rollout", "status", "deployment/app-canary",
                         "--timeout=1s")
    assert waits.returncode != 0
    kube.rollout_done("app-canary", namespace)
    done = kube.kubectl("-n", namespace, "rollout", "status", "deployment/app-canary",
                        "--timeout=5s")
    assert done.returncode == 0, done.stderr
    kube.set_deployment_status("app-canary", namespace, 0, "ProgressDeadlineExceeded")
    stuck = kube.kubectl("-n", namespace, "rollout", "status", "deployment/app-canary",
                         "--timeout=5s")
    assert stuck.returncode != 0 and "progress deadline" in stuck.stderr, stuck.stderr
    kube.check("-n", namespace, "scale", "deployment/app-canary", "--replicas=0")
    assert kube.get("deployment", "app-canary", "-n", namespace)["spec"]["replicas"] == 0


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_bad_sample(kube, worlds, path):
    sample = load_sample(path)
    _, target = k8s_world.patched(worlds[sample.get("in", "staging")], sample)
    done = dry_run(kube, yaml.safe_dump(target))
    if "apiserver" in sample["caught"]:
        assert done.returncode != 0, "the API server takes it"
        assert re.search(sample["caught"]["apiserver"], done.stderr), done.stderr
    elif "apiserver" in sample.get("missed", []):
        assert done.returncode == 0, done.stderr
