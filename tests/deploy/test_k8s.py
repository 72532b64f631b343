# SPDX-License-Identifier: MIT
"""k8s/: schemas, Istio's own validation, policies, and what no validator sees. Each
file of k8s_bad/ is one defect put into the good manifests, and must be found."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

import k8s_world
from k8s_world import K8S, OVERLAYS, ROOT, STEPS, TOOLS, run

HERE = pathlib.Path(__file__).parent
SAMPLES = sorted((HERE / "k8s_bad").glob("*.yaml"))
# kube-score's opinions that we do not share, with the reason.
IGNORED = [
    # A version's image is never pushed twice; a registry that is down stops no start.
    "container-image-pull-policy",
    # Spread is asked for by topologySpreadConstraints.
    "deployment-has-host-podantiaffinity",
    # It does not know a ScaledObject; check_autoscalers wants two pods of either.
    "deployment-replicas",
]


@pytest.fixture(scope="session")
def worlds():
    return {overlay: k8s_world.load_world(overlay) for overlay in OVERLAYS}


@pytest.fixture(scope="session")
def schemas(tmp_path_factory):
    """Folders for kubeconform: Kubernetes' schemas, made to work without a network,
    and one made of each custom resource definition."""
    import kubernetes_validate

    folder = tmp_path_factory.mktemp("schemas")
    (folder / "k8s").mkdir()
    (folder / "crds").mkdir()
    source = pathlib.Path(kubernetes_validate.__file__).parent / \
        "kubernetes-json-schema/v1.37.0-local-strict"
    for path in source.glob("*.json"):
        text = path.read_text().replace('"/api/_definitions.json#', '"_definitions.json#')
        (folder / "k8s" / path.name).write_text(
            re.sub(r'"\$schema": *"http[^"]*",?', "", text))
    for path in (TOOLS / "crds").glob("*.yaml"):
        for crd in k8s_world.documents(path.read_text()):
            spec = crd["spec"]
            for version in spec["versions"]:
                schema = version["schema"]["openAPIV3Schema"]
                close(schema)
                # Some definitions leave out what every object has.
                schema["properties"].update(apiVersion={"type": "string"}, kind={"type": "string"},
                                            metadata={"type": "object"})
                group = spec["group"].split(".")[0]
                name = f"{spec['names']['kind'].lower()}-{group}-{version['name']}.json"
                (folder / "crds" / name).write_text(json.dumps(schema))
    return folder


def close(schema):
    """An object of known properties has no others."""
    if not isinstance(schema, dict):
        return
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("type", None)
    for value in list(schema.get("properties", {}).values()) + \
            [schema.get("items"), schema.get("additionalProperties")]:
        close(value)


def dump(objects, path):
    path.write_text(yaml.safe_dump_all(objects, sort_keys=False))
    return path


def kubeconform(schemas, *paths):
    done = run(TOOLS / "bin" / "kubeconform", "-strict", "-summary",
               "-schema-location", f"{schemas}/k8s/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
               "-schema-location", f"{schemas}/crds/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
               *paths)
    return done.returncode, done.stdout + done.stderr


def istioprog(path):
    done = run(TOOLS / "bin" / "istioprog", path)
    return done.returncode, done.stdout + done.stderr


def kube_score(path):
    ignored = [word for name in IGNORED for word in ("--ignore-test", name)]
    done = run(TOOLS / "bin" / "kube-score", "score", "--output-format", "ci",
               "--exit-one-on-warning", *ignored, path)
    found = [line for line in done.stdout.splitlines()
             if re.match(r"\[(WARNING|CRITICAL)\]", line)]
    return (1 if found or done.returncode else 0), "\n".join(found) + done.stderr


# --- what is there ------------------------------------------------------------


def test_original_paths():
    paths = ["hpa/app-hpa.yaml", "hpa/worker-hpa.yaml", "deploy/app-canary.yaml",
             "nginx/upstream-weight.conf", "istio/destinationrule.yaml"]
    paths += [f"istio/virtualservice-{step}.yaml" for step in STEPS]
    assert [p for p in paths if not (K8S / p).is_file()] == []


def test_autoscalers_have_the_originals_numbers(worlds):
    numbers = {}
    for o in worlds["staging"].of("HorizontalPodAutoscaler"):
        s = o["spec"]
        numbers[o["metadata"]["name"]] = (
            s["scaleTargetRef"]["name"], s["minReplicas"], s["maxReplicas"],
            s["metrics"][0]["resource"]["target"]["averageUtilization"])
    assert numbers["app-hpa"] == ("app", 3, 12, 50)
    assert numbers["worker-hpa"] == ("worker", 2, 10, 60)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_hpa_or_keda_never_both(worlds, overlay):
    kinds = [o["kind"] for o in worlds[overlay].of("HorizontalPodAutoscaler", "ScaledObject")
             if o["spec"]["scaleTargetRef"]["name"] == "worker"]
    assert kinds == (["ScaledObject"] if overlay.endswith("keda") else ["HorizontalPodAutoscaler"])


def test_plain_files_take_the_namespace_of_the_command():
    """kubectl -n NAMESPACE apply -f FILE: nothing in them says otherwise."""
    named = [p.relative_to(ROOT) for p in k8s_world.manifest_files()
             for o in k8s_world.documents(p.read_text()) if "namespace" in o["metadata"]]
    assert named == []


@pytest.mark.parametrize("folder", ["base", "deploy", "hpa", "istio", "monitoring"])
def test_folders_of_plain_files_hold_nothing_kubectl_refuses(folder):
    """kubectl apply -f FOLDER reads each .yaml: one that is kustomize's stops it."""
    for path in (K8S / folder).glob("*.y*ml"):
        for o in k8s_world.documents(path.read_text()):
            assert "kustomize" not in o["apiVersion"], path


def test_production_steps_differ_in_the_host_only():
    for step in STEPS:
        name = f"virtualservice-{step}.yaml"
        here = (K8S / "istio" / name).read_text()
        there = (K8S / "overlays/production/istio" / name).read_text()
        assert there == here.replace("api.cricalgo-staging.example.com",
                                     "api.cricalgo.example.com"), name


def test_canary_is_the_app_in_all_but_its_version():
    app = k8s_world.documents((K8S / "deploy/app.yaml").read_text())[0]
    canary = k8s_world.documents((K8S / "deploy/app-canary.yaml").read_text())[0]
    assert canary["spec"].pop("replicas") == 2
    del canary["metadata"]["annotations"]
    text = json.dumps(canary).replace('"app-canary"', '"app"').replace('"canary"', '"stable"')
    assert json.loads(text) == app


def test_secret_template_starts_no_api(tmp_path):
    """Applied as it is it must not take deposits with a secret that everyone knows."""
    data = k8s_world.secret_template()["stringData"]
    env = {**os.environ, **data, "PORT": "0"}
    done = run(k8s_world.PROGRAMS["cricalgo-api"], "--check-config", env=env, cwd=tmp_path)
    assert done.returncode == 2 and "WEBHOOK_SECRET" in done.stderr, done.stdout + done.stderr
    filled = {**env, "WEBHOOK_SECRET": "test-secret", "API_TOKEN": "test-token"}
    done = run(k8s_world.PROGRAMS["cricalgo-api"], "--check-config", env=filled, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_document_names_files_that_are_there():
    text = (ROOT / "docs/kubernetes.md").read_text()
    names = set(re.findall(r"(?:k8s|tests|compose|scripts)/[\w./*-]*[\w*/]", text))
    assert len(names) > 15
    # Others bring these.
    names -= {"compose/Dockerfile"}
    assert [n for n in sorted(names) if not list(ROOT.glob(n.rstrip("/")))] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_are_accepted(worlds, overlay):
    """Each program, given its pod's environment, finds nothing wrong with it."""
    world = worlds[overlay]
    secret = {**k8s_world.secret_template()["stringData"], "WEBHOOK_SECRET": "test-secret", "API_TOKEN": "test-token"}
    for name, container, _ in world.containers():
        env = {"PATH": os.environ["PATH"], **world.config()}
        for e in container.get("env", []):
            if "valueFrom" in e:
                env[e["name"]] = secret[e["valueFrom"]["secretKeyRef"]["key"]]
            elif e["name"].endswith("_FILE"):
                env[e["name"].removesuffix("_FILE")] = secret[pathlib.Path(e["value"]).name]
            else:
                env[e["name"]] = e["value"]
        program = k8s_world.PROGRAMS[container["command"][0]]
        done = run(program, *container.get("args", []), "--check-config", env=env)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        assert "CHANGE-ME" not in done.stdout, "a password in the open"


def documented_senders(folder):
    """What docs/kubernetes.md says of further senders, done: the ConfigMap's additions,
    and for each object that its commands make a folder of that name with its keys."""
    text = (ROOT / "docs/kubernetes.md").read_text()
    patch = yaml.safe_load(re.search(r"(?s)```yaml\n(# under patches.*?)```", text)[1])
    assert patch["metadata"]["name"] == "cricalgo-config"
    for name, keys in re.findall(r"create (?:secret generic|configmap) (\S+) \\\n(.*)", text):
        (folder / name).mkdir()
        for key, source in re.findall(r"--from-file=(\S+?)=(\S+)", keys):
            path = ROOT / source
            (folder / name / key).write_text(path.read_text() if path.exists() else f"secret-of-{key}\n")
    return patch["data"]


@pytest.mark.parametrize("deployment", ["app", "app-canary", "worker"])
def test_the_documented_senders_are_accepted(worlds, tmp_path, deployment):
    """Every path that the settings name is mounted, and both programs take the whole."""
    world = worlds["staging"]
    more = documented_senders(tmp_path)
    template = dict(world.pods())[deployment]
    container = template["spec"]["containers"][0]
    objects = {v["name"]: v.get("configMap", {}).get("name") or v.get("secret", {}).get("secretName")
               for v in template["spec"]["volumes"]}
    mounts = {m["mountPath"]: tmp_path / objects[m["name"]] for m in container["volumeMounts"]
              if objects[m["name"]]}
    env = {"PATH": os.environ["PATH"], **world.config(), "WEBHOOK_SECRET": "test-secret", "API_TOKEN": "test-token"}
    for name, value in more.items():
        where, _, key = value.rpartition("/")
        env[name] = str(mounts[where] / key) if where in mounts else value
    done = run(k8s_world.PROGRAMS[container["command"][0]], "--check-config", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    if deployment != "worker":
        assert not [v for v in env.values() if v.startswith("/run/secrets/senders")], "a path is not mounted"
        env["WEBHOOK_SECRET_ERC20_FILE"] = str(tmp_path / "nowhere")
        assert run(k8s_world.PROGRAMS["cricalgo-api"], "--check-config", env=env).returncode == 2


def test_what_need_not_be_there_stops_no_pod(worlds):
    """The objects that nobody makes at first are optional in every pod."""
    made = {o["metadata"]["name"] for o in worlds["staging"].of("ConfigMap")} | {"cricalgo-secrets"}
    for owner, template in worlds["staging"].pods():
        for volume in template["spec"].get("volumes", []):
            source = volume.get("configMap") or volume.get("secret")
            if source:
                name = source.get("name") or source.get("secretName")
                assert name in made or source.get("optional") is True, f"{owner}: {name}"


def test_connections_add_up_to_what_the_document_says(worlds):
    world = worlds["staging"]
    config = world.config()
    pool = int(config["DB_POOL_SIZE"]) + int(config["DB_MAX_OVERFLOW"])
    most = {o["spec"]["scaleTargetRef"]["name"]: o["spec"]["maxReplicas"]
            for o in world.of("HorizontalPodAutoscaler")}
    apps = (most["app"] + most["app-canary"]) * pool
    workers = most["worker"] * min(pool, int(config["CELERY_WORKER_CONCURRENCY"]) + 1)
    text = (ROOT / "docs/kubernetes.md").read_text()
    assert f"{apps} + {workers} = {apps + workers}" in text


# --- the good manifests -----------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("check", k8s_world.CHECKS)
def test_own_check(worlds, overlay, check):
    assert k8s_world.CHECKS[check](worlds[overlay]) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_schemas(worlds, schemas, tmp_path, overlay):
    objects = worlds[overlay].objects
    code, text = kubeconform(schemas, dump(objects, tmp_path / "all.yaml"))
    assert code == 0, text
    assert f"Valid: {len(objects)}, Invalid: 0, Errors: 0, Skipped: 0" in text, text


def test_schemas_of_plain_files(schemas):
    code, text = kubeconform(schemas, *k8s_world.manifest_files())
    assert code == 0 and "Skipped: 0" in text, text


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_istio_accepts(worlds, tmp_path, overlay):
    objects = worlds[overlay].objects
    ours = [o for o in objects if ".istio.io/" in o["apiVersion"]]
    code, text = istioprog(dump(objects, tmp_path / "all.yaml"))
    assert code == 0 and f"{len(ours)} objects of Istio, 0 findings" in text, text


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kube_score(worlds, tmp_path, overlay):
    code, text = kube_score(dump(worlds[overlay].objects, tmp_path / "all.yaml"))
    assert code == 0, text


def test_base_builds_without_any_operator():
    kinds = {o["apiVersion"] for o in k8s_world.kustomize(K8S / "base")}
    assert not any(group in kind for kind in kinds
                   for group in ("istio.io", "keda.sh", "coreos.com")), kinds


# --- each check is able to fail ------------------------------------------------------


def load_sample(path):
    sample = yaml.safe_load(path.read_text())
    assert set(sample) <= {"what", "in", "of", "patch", "caught", "missed"}, path
    return sample


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_bad_sample_is_caught(worlds, schemas, tmp_path, path):
    """By the checks that the sample names, with what it says; the others that run on
    the object and are listed as missing it do miss it: the list is true."""
    sample = load_sample(path)
    world, target = k8s_world.patched(worlds[sample.get("in", "staging")], sample)
    one, everything = tmp_path / "one.yaml", tmp_path / "all.yaml"
    dump([target], one)
    dump(world.objects, everything)
    tools = {"kubeconform": lambda: kubeconform(schemas, one), "istioprog": lambda: istioprog(one),
             "kube-score": lambda: kube_score(everything)}
    here = [c for c in sample["caught"] if c != "apiserver"]
    assert here or sample["missed"], "neither caught nor known to be missed"
    for checker in here:
        if checker in tools:
            code, text = tools[checker]()
            assert code != 0, f"{checker} misses it"
        else:
            text = "\n".join(k8s_world.CHECKS[checker](world))
        assert re.search(sample["caught"][checker], text), f"{checker} says: {text}"
    for checker in sample.get("missed", []):
        if checker in tools:
            code, text = tools[checker]()
            assert code == 0, f"{checker} does catch it: {text}"


def test_a_key_twice_is_refused(schemas, tmp_path):
    """What a YAML reader takes without a word: the last one wins."""
    text = (K8S / "base/configmap.yaml").read_text() + "  CURRENCY: USD\n"
    (tmp_path / "c.yaml").write_text(text)
    code, said = kubeconform(schemas, tmp_path / "c.yaml")
    assert code != 0 and "CURRENCY" in said, said


def test_every_check_has_a_bad_sample():
    shown = {c for path in SAMPLES for c in load_sample(path)["caught"]}
    assert set(k8s_world.CHECKS) | {"kubeconform", "istioprog", "kube-score", "apiserver"} == shown


@pytest.mark.parametrize("change, says", [
    (("- configmap.yaml", "- confgmap.yaml"), "confgmap.yaml"),
    (("resources:", "resuorces:"), 'unknown field "resuorces"'),
])
def test_kustomize_refuses(tmp_path, change, says):
    shutil.copytree(K8S, tmp_path / "k8s")
    path = tmp_path / "k8s/base/Kustomization"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ValueError, match=says):
        k8s_world.kustomize(tmp_path / "k8s/overlays/staging")


# --- the alerts as an object of the Prometheus operator ----------------------------------

MAKE_RULES = K8S / "monitoring/make_rules.py"


def test_rules_are_made_of_the_alerts(tmp_path, schemas):
    alerts = tmp_path / "a.yaml"
    alerts.write_text("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up == 0\n"
                      "    for: 2m\n    labels: {severity: critical}\n")
    done = run(sys.executable, MAKE_RULES, alerts)
    assert done.returncode == 0, done.stderr
    made = yaml.safe_load(done.stdout)
    assert made["kind"] == "PrometheusRule"
    assert made["spec"]["groups"] == yaml.safe_load(alerts.read_text())["groups"]
    path = tmp_path / "rule.yaml"
    path.write_text(done.stdout)
    assert kubeconform(schemas, path)[0] == 0
    path.write_text(done.stdout.replace("expr:", "exprs:"))
    assert kubeconform(schemas, path)[0] != 0


def test_rules_are_those_of_prometheus():
    """Once prometheus/alerts is there, the object is made of it and part of the build."""
    alerts = sorted((ROOT / "prometheus").glob("alerts/*.yaml"))
    alerts += sorted((ROOT / "prometheus").glob("rules/*.yaml"))
    rules = K8S / "monitoring/prometheus-rules.yaml"
    if not alerts:
        assert not rules.exists()
        return
    made = run(sys.executable, MAKE_RULES, *alerts).stdout
    assert rules.exists() and rules.read_text() == made, \
        "python3 k8s/monitoring/make_rules.py --write"
    assert "prometheus-rules.yaml" in (K8S / "monitoring/Kustomization").read_text()
