# SPDX-License-Identifier: MIT
"""The manifests of k8s/ as objects, and the checks that no validator makes: each
takes a World and returns what is wrong with it, a line for each finding."""
import copy
import dataclasses
import os
import pathlib
import re
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
TOOLS = pathlib.Path(os.environ.get("CRICALGO_TOOLS", ROOT / "build-tools"))
BUILD = pathlib.Path(os.environ.get("CRICALGO_BUILD", ROOT / "build-asan"))
PROGRAMS = {
    "cricalgo-api": BUILD / "api" / "cricalgo-api",
    "cricalgo-worker": BUILD / "worker" / "cricalgo-worker",
}
OVERLAYS = ["staging", "staging-keda", "staging-plain", "production", "production-keda"]
STEPS = {"stable": 0, "canary-10": 10, "canary-25": 25, "canary-50": 50, "canary-100": 100}
# What a sidecar listens on for Prometheus; nothing of ours.
SIDECAR_PORTS = {15020, 15090}
DEFAULT_PORTS = {"postgresql": 5432, "redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}


def run(*argv, **kwargs):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True,
                          timeout=120, check=False, **kwargs)


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def documents(text):
    return [d for d in yaml.load_all(text, LOADER) if d is not None]


def manifest_files():
    """The plain files of objects, those that kubectl apply -f takes."""
    return sorted(p for p in K8S.rglob("*.yaml") if p.name != "kustomization.yaml")


def kustomize(folder):
    done = run(TOOLS / "bin" / "kustomize", "build", folder)
    if done.returncode != 0:
        raise ValueError(done.stderr)
    return documents(done.stdout)


@dataclasses.dataclass
class World:
    """Everything that is in a namespace during a rollout, the five steps included."""

    objects: list
    namespace: str

    def of(self, *kinds):
        return [o for o in self.objects if o["kind"] in kinds]

    def one(self, kind, name):
        return next((o for o in self.of(kind) if o["metadata"]["name"] == name), None)

    def pods(self):
        """(owner, template) of each Deployment."""
        return [(d["metadata"]["name"], d["spec"]["template"]) for d in self.of("Deployment")]

    def containers(self):
        return [(f"{owner}/{c['name']}", c, t["spec"]) for owner, t in self.pods()
                for c in t["spec"].get("initContainers", []) + t["spec"]["containers"]]

    def config(self):
        return self.one("ConfigMap", "cricalgo-config")["data"]

    def find(self, name):
        """By Kind/name; a VirtualService by its step."""
        kind, _, rest = name.partition("/")
        for o in self.of(kind):
            if rest in (o["metadata"]["name"], step_of(o)):
                return o
        raise KeyError(name)


def step_of(o):
    return o["metadata"].get("annotations", {}).get("cricalgo/step")


def steps_folder(overlay):
    return K8S / "istio" if overlay.startswith("staging") else K8S / "overlays/production/istio"


def load_world(overlay):
    built = kustomize(K8S / "overlays" / overlay)
    namespace = next(o["metadata"]["name"] for o in built if o["kind"] == "Namespace")
    plain = [K8S / "deploy/app-canary.yaml"]
    if any(o["kind"] == "Gateway" for o in built):
        plain += [steps_folder(overlay) / f"virtualservice-{step}.yaml" for step in STEPS]
    for path in plain:
        for o in documents(path.read_text()):
            o["metadata"]["namespace"] = namespace
            built.append(o)
    return World(built, namespace)


def patched(world, sample):
    """A copy of the world with a sample's defect: (world, the object)."""
    world = World(copy.deepcopy(world.objects), world.namespace)
    target = world.find(sample["of"])
    for step in sample["patch"]:
        where = target
        *parents, last = [p.replace("~1", "/") for p in step["path"].split("/")[1:]]
        for key in parents:
            where = where[int(key) if isinstance(where, list) else key]
        if isinstance(where, list):
            last = len(where) if last == "-" else int(last)
        if step["op"] == "remove":
            del where[last]
        elif step["op"] == "add" and isinstance(where, list):
            where.insert(last, step["value"])
        elif step["op"] == "add":
            assert last not in where, f"{step['path']} is there"
            where[last] = step["value"]
        else:
            assert step["op"] == "replace" and (isinstance(where, list) or last in where), step
            where[last] = step["value"]
    return world, target


# --- what the programs and KEDA know ---------------------------------------

_cache = {}


def cached(make):
    def get(*key):
        if (make, key) not in _cache:
            _cache[make, key] = make(*key)
        return _cache[make, key]
    return get


@cached
def settings_of(program):
    """name -> (secret with a _FILE form?, default), from --help."""
    done = run(PROGRAMS[program], "--help")
    assert done.returncode == 0, done.stderr
    found = {}
    for block in re.split(r"\n(?=  \S)", done.stdout):
        head, _, text = block.partition("\n")
        default = re.search(r"\(default ([^)]*)\)", text)
        name = re.search(r"\[([A-Z0-9_]+)\]|^  ([A-Z0-9_]+)", head)
        if name:
            name = name.group(1) or name.group(2)
            found[name] = (f"{name}_FILE" in head, default.group(1) if default else None)
    return found


@cached
def trigger_keys(kind):
    """name -> required?, from the source of KEDA's scaler of that type."""
    names = {"cpu": "cpu_memory", "memory": "cpu_memory"}
    source = TOOLS / "crds/scalers" / f"{names.get(kind, kind)}_scaler.go"
    if not source.exists():
        return None
    keys = {}
    for tag in re.findall(r'`keda:"(name=[^"]*)"`', source.read_text()):
        if "order=" in tag and "triggerMetadata" not in tag:
            continue
        required = "optional" not in tag and "default=" not in tag and "deprecated" not in tag
        for name in re.search(r"name=([^,]*)", tag).group(1).split(";"):
            keys[name.strip()] = required
    return keys


def matches(selector, labels):
    """An empty selector is no selector here: it finds everything by accident."""
    return bool(selector) and all(labels.get(k) == v for k, v in selector.items())


def template_labels(world, selector):
    return [(o, t) for o, t in world.pods() if matches(selector, t["metadata"]["labels"])]


def port_names(template):
    return {p["name"]: p["containerPort"] for c in template["spec"]["containers"]
            for p in c.get("ports", [])}


def secret_template():
    return documents((K8S / "secret.template.yaml").read_text())[0]


# --- the checks --------------------------------------------------------------


def check_namespaces(world):
    found = []
    for o in world.objects:
        have = o["metadata"].get("namespace")
        if o["kind"] != "Namespace" and have != world.namespace:
            found.append(f"{o['kind']}/{o['metadata']['name']} is in namespace {have}")
    return found


def check_images(world):
    version = re.search(r"version\s*:\s*'([^']+)'", (ROOT / "meson.build").read_text()).group(1)
    found = []
    for name, c, _ in world.containers():
        _, _, tag = c.get("image", "").rpartition(":")
        if tag in ("", "latest", c.get("image")):
            found.append(f"{name}: image {c.get('image')} is not pinned")
        elif tag != version and "@" not in c["image"]:
            found.append(f"{name}: image {c['image']}, but this is version {version}")
    return found


def check_security(world):
    found = []
    for name, c, pod in world.containers():
        of_pod, own = pod.get("securityContext", {}), c.get("securityContext", {})
        both = {**of_pod, **own}
        wanted = {
            "runs as root": both.get("runAsNonRoot") is True and both.get("runAsUser", 0) > 0,
            "no seccomp profile": both.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "writes its root file system": own.get("readOnlyRootFilesystem") is True,
            "keeps capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "may gain privileges": own.get("allowPrivilegeEscalation") is False,
            "has a token of the API server": pod.get("automountServiceAccountToken") is False,
            "gets variables of services": pod.get("enableServiceLinks") is False,
            "shares the node's namespaces": not any(
                pod.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")),
        }
        found += [f"{name}: {what}" for what, good in wanted.items() if not good]
    return found


def check_resources(world):
    found = []
    for name, c, _ in world.containers():
        for bound in ("requests", "limits"):
            for what in ("cpu", "memory", "ephemeral-storage"):
                if what not in c.get("resources", {}).get(bound, {}):
                    found.append(f"{name}: no {bound} of {what}")
    return found


def check_environment(world):
    """Every variable is one that the program reads, and what it must have is there."""
    everything = set(settings_of("cricalgo-api")) | set(settings_of("cricalgo-worker"))
    found = [f"ConfigMap: no program reads {name}" for name in world.config()
             if name not in everything]
    for name, c, pod in world.containers():
        program = c["command"][0]
        if program not in PROGRAMS:
            found.append(f"{name}: runs {program}")
            continue
        known = settings_of(program)
        mounted = {f"{m['mountPath']}/{i['path']}" for m in c.get("volumeMounts", [])
                   for v in pod.get("volumes", []) if v["name"] == m["name"]
                   for i in v.get("secret", {}).get("items", [])}
        for e in c.get("env", []):
            base = re.sub("_FILE$", "", e["name"])
            if base not in known:
                found.append(f"{name}: {program} does not read {e['name']}")
            elif base != e["name"] and not known[base][0]:
                found.append(f"{name}: {base} has no _FILE form")
            elif base != e["name"] and e.get("value") not in mounted:
                found.append(f"{name}: {e['name']} names {e.get('value')}, which is not mounted")
        for source in c.get("envFrom", []):
            if world.one("ConfigMap", source.get("configMapRef", {}).get("name")) is None:
                found.append(f"{name}: envFrom names no ConfigMap there is")
        given = {re.sub("_FILE$", "", e["name"]) for e in c.get("env", [])} | set(world.config())
        needed = {"DATABASE_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"}
        needed |= {"WEBHOOK_SECRET", "API_TOKEN", "HOST", "PORT"} if program == "cricalgo-api" \
            else {"METRICS_HOST", "METRICS_PORT"}
        found += [f"{name}: {missing} is not set" for missing in sorted(needed - given)]
    for host in ("HOST", "METRICS_HOST"):
        if world.config().get(host) != "0.0.0.0":
            found.append(f"ConfigMap: {host} is not 0.0.0.0, so no probe gets through")
    return found


def check_secrets(world):
    """Nothing secret in the open; every key that is asked for is in the template."""
    keys = set(secret_template()["stringData"])
    secretive = re.compile(r"SECRET|TOKEN|PASSWORD|KEYS?$|_URL$|RESULT_BACKEND$")
    found = [f"ConfigMap: {n} belongs into the Secret" for n, v in world.config().items()
             if secretive.search(n) or re.search(r"://[^/]*@", v)]
    for name, c, pod in world.containers():
        for e in c.get("env", []):
            ref = e.get("valueFrom", {}).get("secretKeyRef")
            if ref is None and secretive.search(e["name"]) and not e["name"].endswith("_FILE"):
                found.append(f"{name}: {e['name']} is in the open")
            if ref is not None and (ref["name"] != "cricalgo-secrets" or ref["key"] not in keys):
                found.append(f"{name}: {ref['name']}/{ref['key']} is not in the template")
        for v in pod.get("volumes", []):
            for item in v.get("secret", {}).get("items", []):
                if item["key"] not in keys:
                    found.append(f"{name}: {item['key']} is not in the template")
        accounts = {o["metadata"]["name"] for o in world.of("ServiceAccount")}
        if pod.get("serviceAccountName") not in accounts:
            found.append(f"{name}: no service account {pod.get('serviceAccountName')}")
    return found


def check_selectors(world):
    found = []
    for d in world.of("Deployment"):
        name, selector = d["metadata"]["name"], d["spec"]["selector"]["matchLabels"]
        owners = [o for o, _ in template_labels(world, selector)]
        if owners != [name]:
            found.append(f"Deployment/{name}: its selector finds the pods of {owners}")
        own = d["spec"]["template"]["metadata"]["labels"]
        for t in d["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            if not matches(t["labelSelector"]["matchLabels"], own):
                found.append(f"Deployment/{name}: spreads other pods than its own")
        if not d["spec"]["template"]["spec"].get("topologySpreadConstraints"):
            found.append(f"Deployment/{name}: its pods may all be on one node")
    return found


def check_services(world):
    found = []
    for s in world.of("Service"):
        name = s["metadata"]["name"]
        pods = template_labels(world, s["spec"]["selector"])
        if not pods:
            found.append(f"Service/{name}: selects no pod")
        for port in s["spec"]["ports"]:
            for owner, template in pods:
                target, ports = port.get("targetPort", port["port"]), port_names(template)
                if target not in ports and target not in ports.values():
                    found.append(f"Service/{name}: {owner} has no port {target}")
    both = world.one("Service", "app")
    versions = {t["metadata"]["labels"]["version"] for _, t in
                template_labels(world, both["spec"]["selector"])} if both else set()
    if versions != {"stable", "canary"}:
        found.append(f"Service/app: selects {sorted(versions)}, not stable and canary")
    return found


def check_probes(world):
    found = []
    ports = {"cricalgo-api": ["PORT", "METRICS_PORT"], "cricalgo-worker": ["METRICS_PORT"]}
    for name, c, _ in world.containers():
        declared = {p["name"]: p["containerPort"] for p in c.get("ports", [])}
        config = world.config() | {e["name"]: e["value"] for e in c.get("env", []) if "value" in e}
        real = [int(config.get(setting) or settings_of(c["command"][0])[setting][1])
                for setting in ports.get(c["command"][0])]
        if list(declared.values()) != real:
            found.append(f"{name}: declares {declared}, listens on {real}")
        if declared.get("metrics") != real[-1]:
            found.append(f"{name}: its metrics are not on the port of that name")
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"),
                            ("readinessProbe", "/readyz")):
            get = c.get(probe, {}).get("httpGet", {})
            if get.get("path") != path:
                found.append(f"{name}: {probe} asks {get.get('path')}, not {path}")
            if get.get("port") not in declared and get.get("port") not in declared.values():
                found.append(f"{name}: {probe} asks port {get.get('port')}")
            elif get["port"] != "metrics":
                found.append(f"{name}: {probe} asks a port that clients can fill")
    return found


def check_grace(world):
    """A pod gets the time that its program takes to stop."""
    found = []
    for name, c, pod in world.containers():
        program, config = c["command"][0], world.config()

        def seconds(setting):
            return float(config.get(setting) or settings_of(program)[setting][1])

        grace = pod.get("terminationGracePeriodSeconds", 30)
        pause = c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if program == "cricalgo-api":
            # Requests, then the publisher, each as long as SHUTDOWN_GRACE.
            needed = pause + 2 * seconds("SHUTDOWN_GRACE") + 5
            if pause < 5:
                found.append(f"{name}: refuses requests before the endpoints forget it")
        else:
            needed = pause + seconds("CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT") + 10
        if grace < needed:
            found.append(f"{name}: is killed after {grace} s and needs up to {needed:g}")
    return found


def check_ingress(world):
    found = []
    for i in world.of("Ingress"):
        hosts = {h for t in i["spec"].get("tls", []) for h in t["hosts"]}
        for rule in i["spec"]["rules"]:
            if rule["host"] not in hosts:
                found.append(f"Ingress: no certificate for {rule['host']}")
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = world.one("Service", backend["name"])
                names = [p["name"] for p in service["spec"]["ports"]] if service else []
                if backend["port"].get("name") not in names:
                    found.append(f"Ingress: no port {backend['port']} of {backend['name']}")
                if path["path"] == "/":
                    found.append("Ingress: routes /metrics to the world")
        if any("rewrite-target" in a for a in i["metadata"].get("annotations", {})):
            found.append("Ingress: rewrites paths")
    return found


def check_subsets(world):
    """What Istio takes without a word: subsets and hosts that are not there."""
    found, subsets = [], {}
    for rule in world.of("DestinationRule"):
        host = rule["spec"]["host"]
        service = world.one("Service", host)
        if service is None:
            found.append(f"DestinationRule: no Service {host}")
            continue
        for subset in rule["spec"]["subsets"]:
            pods = template_labels(world, {**service["spec"]["selector"], **subset["labels"]})
            if not pods:
                found.append(f"DestinationRule: subset {subset['name']} has no pods")
            subsets[host, subset["name"]] = True
    gateways = {g["metadata"]["name"]: [h.removeprefix("./") for s in g["spec"]["servers"]
                                        for h in s["hosts"]] for g in world.of("Gateway")}
    for v in world.of("VirtualService"):
        step, spec = step_of(v), v["spec"]
        if "mesh" not in spec.get("gateways", []):
            found.append(f"VirtualService {step}: does not hold inside the mesh")
        outside = [g for g in spec.get("gateways", []) if g != "mesh"]
        if not outside or not all(g in gateways for g in outside):
            found.append(f"VirtualService {step}: gateways {outside} are not there")
        for h in spec["hosts"]:
            if "." in h and not any(h in gateways.get(g, []) for g in outside):
                found.append(f"VirtualService {step}: no gateway takes {h}")
            if "." not in h and world.one("Service", h) is None:
                found.append(f"VirtualService {step}: no Service {h}")
        for d in [r["destination"] for http in spec["http"] for r in http.get("route", [])]:
            service = world.one("Service", d["host"])
            if service is None:
                found.append(f"VirtualService {step}: no Service {d['host']}")
                continue
            if (d["host"], d.get("subset")) not in subsets:
                found.append(f"VirtualService {step}: no subset {d.get('subset')}")
            if d.get("port", {}).get("number") not in [p["port"] for p in service["spec"]["ports"]]:
                found.append(f"VirtualService {step}: no port {d.get('port')} of {d['host']}")
    return found


def check_edge(world):
    """From outside Istio forwards what is listed, and nothing else."""
    found = []
    listed = ("/api/", "/", "/openapi.json", "/health", "/healthz")
    for v in world.of("VirtualService"):
        step, rules = step_of(v), v["spec"]["http"]
        if rules[-1].get("directResponse", {}).get("status") != 404 or rules[-1].get("match"):
            found.append(f"VirtualService {step}: does not end with 404")
        for rule in [r for r in rules if "route" in r]:
            for match in rule.get("match") or [{}]:
                if match.get("gateways") == ["mesh"]:
                    continue
                uri = match.get("uri", {"prefix": "/"})
                open_prefix = not uri.get("prefix", "/api/").startswith("/api/")
                if open_prefix or uri.get("exact", "/") not in listed:
                    found.append(f"VirtualService {step}: forwards {list(uri.values())[0]}")
    return found


def check_weights(world):
    """One object, one step each, and each says truly which it is."""
    found = []
    services = world.of("VirtualService")
    if not world.of("Gateway"):
        return found
    names = {(v["metadata"].get("namespace"), v["metadata"]["name"]) for v in services}
    if len(names) != 1:
        found.append(f"VirtualService: several objects, {sorted(n for _, n in names)}")
    if sorted(step_of(v) or "" for v in services) != sorted(STEPS):
        found.append(f"VirtualService: steps {[step_of(v) for v in services]}")
    shape = None
    for v in services:
        step = step_of(v)
        for http in v["spec"]["http"]:
            routes = http.get("route", [])
            if not routes:
                continue
            weights = {r["destination"].get("subset"): r.get("weight") for r in routes}
            if sum(weights.values()) != 100:
                found.append(f"VirtualService {step}: weights {weights} are not 100 in sum")
            if weights.get("canary", 0) != STEPS.get(step):
                found.append(f"VirtualService {step}: {weights} is not what its step says")
        rest = copy.deepcopy(v["spec"])
        for http in rest["http"]:
            http.pop("route", None)
        if shape is not None and rest != shape:
            found.append(f"VirtualService {step}: differs in more than the weights")
        shape = shape or rest
        for http in v["spec"]["http"]:
            prefix = [m.get("uri", {}).get("prefix", "") for m in http.get("match", [])]
            repeats = "gateway-error" in http.get("retries", {}).get("retryOn", "")
            if repeats and not all(p.startswith("/api/v1/webhook") for p in prefix + [""][:not prefix]):
                found.append(f"VirtualService {step}: repeats requests that are not webhooks")
    return found


def check_autoscalers(world):
    found = []
    scaled = {}
    for o in world.of("HorizontalPodAutoscaler", "ScaledObject"):
        scaled.setdefault(o["spec"]["scaleTargetRef"]["name"], []).append(o)
    for target, by in scaled.items():
        deployment = world.one("Deployment", target)
        if deployment is None:
            found.append(f"{by[0]['kind']}/{by[0]['metadata']['name']}: no Deployment {target}")
            continue
        if len(by) != 1:
            found.append(f"Deployment/{target}: scaled by {sorted(o['kind'] for o in by)}")
        for o in by:
            low = o["spec"].get("minReplicas", o["spec"].get("minReplicaCount", 0))
            high = o["spec"].get("maxReplicas", o["spec"].get("maxReplicaCount", 100))
            if not 2 <= low <= high:
                found.append(f"{o['kind']}/{o['metadata']['name']}: from {low} to {high}")
        # The canary's are those of its start; the others' would be set back by an apply.
        if "replicas" in deployment["spec"] and target != "app-canary":
            found.append(f"Deployment/{target}: sets replicas beside its autoscaler")
    for d in world.of("Deployment"):
        if d["metadata"]["name"] not in scaled:
            found.append(f"Deployment/{d['metadata']['name']}: nobody scales it")
    return found


def check_keda(world):
    """A trigger's metadata is free text to the API server; KEDA reads it at run time."""
    found = []
    for o in world.of("ScaledObject"):
        name = o["metadata"]["name"]
        kinds = [t["type"] for t in o["spec"]["triggers"]]
        if "cpu" not in kinds:
            found.append(f"ScaledObject/{name}: no trigger by CPU")
        if "redis" in kinds:
            found.append(f"ScaledObject/{name}: redis counts one list, not the priority steps")
        for t in o["spec"]["triggers"]:
            keys, metadata = trigger_keys(t["type"]), t["metadata"]
            if keys is None:
                found.append(f"ScaledObject/{name}: KEDA has no trigger {t['type']}")
                continue
            found += [f"ScaledObject/{name}: {t['type']} needs {k}"
                      for k, required in keys.items() if required and k not in metadata]
            found += [f"ScaledObject/{name}: {t['type']} does not know {k}"
                      for k in metadata if k not in keys]
            if t["type"] != "prometheus":
                continue
            query = metadata.get("query", "")
            metrics = set(re.findall(r"[a-z_]+(?=\{)", query))
            binary = PROGRAMS["cricalgo-worker"].read_bytes()
            found += [f"ScaledObject/{name}: the worker exports no {m}" for m in metrics
                      if b"\0" + m.encode() + b"\0" not in binary]
            if f'namespace="{world.namespace}"' not in query or 'queue_name="deposits"' not in query:
                found.append(f"ScaledObject/{name}: the query counts other queues: {query}")
            if not re.fullmatch(r"[0-9.]+", metadata.get("threshold", "")):
                found.append(f"ScaledObject/{name}: threshold {metadata.get('threshold')}")
            if metadata.get("ignoreNullValues") != "false":
                found.append(f"ScaledObject/{name}: takes no data for an empty queue")
        if "fallback" not in o["spec"]:
            found.append(f"ScaledObject/{name}: nothing to fall back to without Prometheus")
    return found


def check_disruption(world):
    """Every Deployment has one budget, and the fewest pods that there are allow for it."""
    found = []
    least = {}
    for o in world.of("HorizontalPodAutoscaler", "ScaledObject"):
        least[o["spec"]["scaleTargetRef"]["name"]] = \
            o["spec"].get("minReplicas", o["spec"].get("minReplicaCount", 0))
    covered = {}
    for budget in world.of("PodDisruptionBudget"):
        name, spec = budget["metadata"]["name"], budget["spec"]
        pods = template_labels(world, spec["selector"].get("matchLabels", {}))
        if not pods:
            found.append(f"PodDisruptionBudget/{name}: selects no pod")
        for owner, _ in pods:
            covered.setdefault(owner, []).append(name)
            there = least.get(owner, 0)
            allowed = spec["maxUnavailable"] if "maxUnavailable" in spec else \
                there - spec.get("minAvailable", 0)
            if not isinstance(allowed, int) or not 1 <= allowed < there:
                found.append(f"PodDisruptionBudget/{name}: of {there} pods {allowed} may go")
    for owner, _ in world.pods():
        if len(covered.get(owner, [])) != 1:
            found.append(f"Deployment/{owner}: budgets {covered.get(owner, [])}")
    return found


def check_network(world):
    found = []
    policies = world.of("NetworkPolicy")
    denied = set()
    opened = {owner: set() for owner, _ in world.pods()}
    egress = {owner: set() for owner, _ in world.pods()}
    for p in policies:
        name, spec = p["metadata"]["name"], p["spec"]
        pods = template_labels(world, spec["podSelector"].get("matchLabels", {}))
        if not pods:
            found.append(f"NetworkPolicy/{name}: selects no pod")
        if not spec.get("ingress") and not spec.get("egress") and \
                set(spec["policyTypes"]) == {"Ingress", "Egress"}:
            denied |= {owner for owner, _ in pods}
        for owner, template in pods:
            real = set(port_names(template).values()) | SIDECAR_PORTS
            for rule in spec.get("ingress", []):
                for port in rule.get("ports", []):
                    opened[owner].add(port["port"])
                    if port["port"] not in real:
                        found.append(f"NetworkPolicy/{name}: {owner} has no port {port['port']}")
                if not rule.get("ports") or not rule.get("from"):
                    found.append(f"NetworkPolicy/{name}: lets everyone to every port")
            for rule in spec.get("egress", []):
                egress[owner] |= {(x.get("protocol"), x["port"]) for x in rule.get("ports", [])}
                if not rule.get("ports"):
                    found.append(f"NetworkPolicy/{name}: lets {owner} go anywhere")
    needed = {("UDP", 53)}
    for url in secret_template()["stringData"].values():
        m = re.match(r"([a-z]+)://[^/]*?(?::([0-9]+))?(?:/|$)", url)
        if m:
            needed.add(("TCP", int(m.group(2) or DEFAULT_PORTS[m.group(1)])))
    for owner, template in world.pods():
        if owner not in denied:
            found.append(f"NetworkPolicy: nothing is denied to {owner}")
        for port in sorted(set(port_names(template).values()) - opened[owner]):
            found.append(f"NetworkPolicy: {owner}'s port {port} is closed to all")
        for missing in sorted(needed - egress[owner]):
            found.append(f"NetworkPolicy: {owner} cannot reach {missing}")
    return found


def check_monitors(world):
    found = []
    for m in world.of("ServiceMonitor"):
        services = [s for s in world.of("Service")
                    if matches(m["spec"]["selector"].get("matchLabels"), s["metadata"]["labels"])]
        names = [p["name"] for s in services for p in s["spec"]["ports"]]
        for e in m["spec"]["endpoints"]:
            if e["port"] not in names:
                found.append(f"ServiceMonitor: no Service has a port {e['port']}")
        wanted = [e["port"] for e in m["spec"]["endpoints"]]
        scraped = [owner for s in services for owner, _ in template_labels(world, s["spec"]["selector"])
                   if any(p["name"] in wanted for p in s["spec"]["ports"])]
        if sorted(scraped) != sorted(o for o, _ in world.pods()):
            found.append(f"ServiceMonitor: scrapes {sorted(scraped)}, each once is wanted")
        label = m["spec"].get("jobLabel", "")
        jobs = [s["metadata"]["labels"].get(label) for s in services]
        if sorted(jobs, key=str) != ["cricalgo-app", "cricalgo-celery-worker"]:
            found.append(f"ServiceMonitor: jobs {jobs}")
    return found


CHECKS = {name.removeprefix("check_"): f for name, f in sorted(globals().items())
          if name.startswith("check_")}
