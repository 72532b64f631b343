# SPDX-License-Identifier: MIT
"""scripts/rollout.sh against a kubectl that records (standins/kubectl) and a real
Prometheus whose metrics the test chooses. Against a real kube-apiserver:
test_rollout_apiserver.py."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import textwrap

import pytest
import yaml

import harness
import metrics_world

SCRIPT = harness.ROOT / "scripts" / "rollout.sh"
STANDINS = pathlib.Path(__file__).parent / "standins"
OLD, NEW = "registry.invalid/cricalgo:1", "registry.invalid/cricalgo:2"
STEPS = (10, 25, 50, 100)
DONE, CRITERION_FAILS, USAGE, ROLLED_BACK, NOT_BACK, REFUSED = 0, 1, 2, 3, 4, 5
QUICK = ["--watch", "2", "--watch-next", "1", "--poll", "0.2", "--breaches", "2",
         "--no-data", "2", "--window", "1s"]


@pytest.fixture(scope="module")
def metrics_of_module(tmp_path_factory):
    world = metrics_world.World(tmp_path_factory.mktemp("prometheus"))
    yield world
    world.stop()


@pytest.fixture
def metrics(metrics_of_module):
    metrics_of_module.settled()
    return metrics_of_module


def deployment(name, container, image):
    return {"kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": 2, "template": {"spec": {
                "containers": [{"name": container, "image": image}]}}}}


class Cluster:
    """What kubectl talks to, and rollout.sh on top of it."""

    def __init__(self, folder, metrics):
        self.folder, self.metrics = folder, metrics
        self.istio = folder / "istio"
        self.istio.mkdir()
        for step in ("stable", *(f"canary-{s}" for s in STEPS)):
            (self.istio / f"virtualservice-{step}.yaml").write_text(yaml.safe_dump(
                {"kind": "VirtualService", "metadata": {
                    "name": "app-virtualservice", "annotations": {"cricalgo/step": step}}}))
        (self.istio / "destinationrule.yaml").write_text(yaml.safe_dump(
            {"kind": "DestinationRule", "metadata": {"name": "app-destination"}}))
        (folder / "app-canary.yaml").write_text(yaml.safe_dump(
            deployment("app-canary", "app", "registry.invalid/cricalgo:0")))
        (folder / "calls.jsonl").touch()
        self.save({"deployment/app": deployment("app", "app", OLD),
                   "deployment/worker": deployment("worker", "worker", OLD)})

    def save(self, world):
        (self.folder / "world.json").write_text(json.dumps(world))

    def world(self):
        return json.loads((self.folder / "world.json").read_text())

    def image(self, name):
        return self.world()[f"deployment/{name}"]["spec"]["template"]["spec"]["containers"][0]["image"]

    def annotation(self, kind, name, key):
        found = self.world().get(f"{kind}/{name}", {"metadata": {}})
        return found["metadata"].get("annotations", {}).get(key)

    def step(self):
        return self.annotation("virtualservice", "app-virtualservice", "cricalgo/step")

    def state(self):
        return self.annotation("deployment", "app-canary", "cricalgo/rollout-state")

    def replicas(self):
        return self.world()["deployment/app-canary"]["spec"]["replicas"]

    def fail(self, *starts):
        (self.folder / "fail.json").write_text(json.dumps([s.split() for s in starts]))

    def changes(self):
        """The calls that change something, without namespace, folder and times."""
        found = []
        for line in (self.folder / "calls.jsonl").read_text().splitlines():
            words = json.loads(line)[2:]
            if words[0] == "get" or words[:2] == ["rollout", "status"]:
                continue
            text = " ".join(words).replace(str(self.folder) + "/", "")
            found.append(re.sub(r"@[0-9]+", "@NOW", text))
        return found

    def env(self):
        return {**os.environ, "PATH": f"{STANDINS}:{os.environ['PATH']}", "KUBE_WORLD": str(self.folder),
                "PROMETHEUS_URL": self.metrics.url if self.metrics else "", "NAMESPACE": "cricalgo-staging"}

    def argv(self, *words):
        return [str(SCRIPT), "--istio", str(self.istio), "--canary", str(self.folder / "app-canary.yaml"),
                *QUICK, *words]

    def run(self, *words):
        done = subprocess.run(self.argv(*words), env=self.env(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=90)
        return done.returncode, done.stdout

    def start(self, *words):
        return harness.Process("rollout", self.argv(*words), self.folder, self.env())


@pytest.fixture
def cluster(tmp_path, metrics):
    return Cluster(tmp_path, metrics)


def dry_run(cluster, *words):
    """The changing commands that --dry-run prints, in the form of changes()."""
    status, output = cluster.run("--dry-run", *words)
    assert status == DONE, output
    lines = [line.removeprefix("kubectl -n cricalgo-staging ").replace("\\ ", " ")
             for line in output.splitlines() if line.startswith("kubectl")]
    return [line.replace(str(cluster.folder) + "/", "").replace("OLD_IMAGE", OLD)
            for line in lines if not line.startswith("rollout status")]


def test_a_good_canary_goes_to_100(cluster):
    status, output = cluster.run("run", NEW)
    assert status == DONE, output
    assert cluster.image("app") == cluster.image("worker") == NEW
    assert (cluster.step(), cluster.state(), cluster.replicas()) == ("stable", "done", 0)
    traffic = [c for c in cluster.changes() if c.startswith("apply -f istio/virtualservice")]
    assert traffic == [f"apply -f istio/virtualservice-canary-{s}.yaml" for s in STEPS] \
        + ["apply -f istio/virtualservice-stable.yaml"]
    # What --dry-run says is what is done.
    assert dry_run(cluster, "run", NEW) == cluster.changes()
    # Asked again, nothing is to be done.
    before = cluster.changes()
    status, output = cluster.run("run", NEW)
    assert status == DONE and "already" in output and cluster.changes() == before


def wait_for_step(cluster, rollout, step):
    harness.wait_for(lambda: cluster.step() == step or not rollout.alive(), f"traffic at {step}")
    assert rollout.alive(), rollout.log()


@pytest.mark.parametrize("gate, spoil", [
    ("error_rate", {"error_share": 0.02}),
    pytest.param("p95_seconds", {"latency": 3}, marks=pytest.mark.nightly),
])
def test_a_bad_canary_is_taken_back(cluster, metrics, gate, spoil):
    rollout = cluster.start("run", NEW, "--watch-next", "60")
    wait_for_step(cluster, rollout, "canary-25")
    for name, value in spoil.items():
        setattr(metrics.versions["canary"], name, value)
    assert rollout.child.wait(60) == ROLLED_BACK, rollout.log()
    assert f"rolled back: at 25 %: {gate} is" in rollout.log().splitlines()[-1]
    assert cluster.step() == "stable" and cluster.replicas() == 0
    assert cluster.image("app") == cluster.image("worker") == OLD
    # It was never changed, so undoing it would have brought the version before.
    assert not any("undo" in c for c in cluster.changes())
    after = cluster.changes()[cluster.changes().index("apply -f istio/virtualservice-canary-25.yaml") + 2:]
    assert after[0] == "apply -f istio/virtualservice-stable.yaml"
    assert cluster.state().startswith("rolled back: at 25 %")
    # The same image is not taken twice by mistake.
    status, output = cluster.run("run", NEW)
    assert status == REFUSED and "--again" in output


def test_trouble_after_the_promotion_undoes_it(cluster, metrics):
    """First the traffic, then the images."""
    rollout = cluster.start("run", NEW, "--watch-next", "30", "--steps", "100")
    # The one step is the first, watched for 2 s.
    wait_for_step(cluster, rollout, "stable")
    metrics.versions["stable"].error_share = 0.5
    assert rollout.child.wait(60) == ROLLED_BACK, rollout.log()
    assert "after the promotion: error_rate" in rollout.log()
    assert cluster.image("app") == cluster.image("worker") == OLD
    changes = cluster.changes()
    back = changes[changes.index("set image deployment/worker worker=" + NEW) + 3:]
    assert back[0] == "apply -f istio/virtualservice-stable.yaml"
    assert [c for c in back if "undo" in c] == ["rollout undo deployment/app",
                                                "rollout undo deployment/worker"]
    assert cluster.state().startswith("rolled back") and cluster.replicas() == 0


@pytest.mark.parametrize("sig, status", [
    (signal.SIGTERM, 143),
    pytest.param(signal.SIGINT, 130, marks=pytest.mark.nightly),
    pytest.param(signal.SIGKILL, -9, marks=pytest.mark.nightly)])
def test_an_interrupted_run_goes_on(cluster, sig, status):
    rollout = cluster.start("run", NEW, "--watch-next", "60")
    wait_for_step(cluster, rollout, "canary-25")
    harness.wait_for(lambda: "p95_seconds" in rollout.log().split("canary-25")[-1], "it watches")
    rollout.child.send_signal(sig)
    assert rollout.child.wait(20) == status, rollout.log()
    assert cluster.step() == "canary-25" and cluster.state() == "running"
    if sig != signal.SIGKILL:
        assert "interrupted" in rollout.log()
    before = len(cluster.changes())
    # Another image waits for its turn.
    code, output = cluster.run("run", OLD + "-other")
    assert code == REFUSED and "is at canary-25" in output
    code, output = cluster.run("run", NEW)
    assert code == DONE and f"going on with {NEW} at canary-25" in output, output
    traffic = [c for c in cluster.changes()[before:] if c.startswith("apply")]
    assert traffic == ["apply -f istio/virtualservice-canary-50.yaml",
                       "apply -f istio/virtualservice-canary-100.yaml",
                       "apply -f istio/virtualservice-stable.yaml"]
    assert cluster.image("app") == cluster.image("worker") == NEW


@pytest.mark.nightly
def test_an_interruption_after_the_promotion(cluster):
    rollout = cluster.start("run", NEW, "--watch-next", "60", "--steps", "100")
    wait_for_step(cluster, rollout, "stable")
    rollout.child.send_signal(signal.SIGTERM)
    assert rollout.child.wait(20) == 143
    before = len(cluster.changes())
    code, output = cluster.run("run", NEW)
    assert code == DONE, output
    assert [c for c in cluster.changes()[before:] if "since" not in c] == [
        "annotate deployment app-canary cricalgo/rollout-state=done --overwrite",
        "scale deployment app-canary --replicas=0"]


@pytest.mark.nightly
def test_by_hand(cluster):
    """rollback at any step; and what a person did meanwhile is respected."""
    rollout = cluster.start("run", NEW, "--watch", "60")
    wait_for_step(cluster, rollout, "canary-10")
    code, output = cluster.run("status")
    assert code == DONE and "traffic: canary-10" in output and f"canary: {NEW}" in output
    code, output = cluster.run("rollback")
    assert code == DONE, output
    assert cluster.step() == "stable" and cluster.replicas() == 0 and cluster.image("app") == OLD
    rollout.stop()
    # Moved by hand, while it watched.
    rollout = cluster.start("run", NEW, "--again")
    wait_for_step(cluster, rollout, "canary-10")
    subprocess.run([STANDINS / "kubectl", "-n", "cricalgo-staging", "apply", "-f",
                    cluster.istio / "virtualservice-canary-50.yaml"], env=cluster.env(), check=True)
    assert rollout.child.wait(30) == REFUSED, rollout.log()
    assert "somebody moved the traffic" in rollout.log() and cluster.step() == "canary-50"


def test_pods_that_never_get_ready(cluster):
    cluster.fail("rollout status deployment/app-canary")
    status, output = cluster.run("run", NEW)
    assert status == ROLLED_BACK and "pods did not become ready" in output
    assert cluster.step() == "stable" and cluster.image("app") == OLD and cluster.replicas() == 0


def test_a_cluster_that_fails_during_the_rollback(cluster):
    cluster.fail("rollout status deployment/app-canary", "apply -f " + str(cluster.istio / "virtualservice-stable.yaml"))
    status, output = cluster.run("run", NEW)
    assert status == NOT_BACK
    by_hand = output[output.index("By hand"):]
    assert by_hand.index("virtualservice-stable.yaml") < by_hand.index(f"app={OLD}") \
        < by_hand.index(f"worker={OLD}") < by_hand.index("--replicas=0")
    # Until it is, nothing new begins; and it can be ended by the command.
    assert cluster.run("run", NEW)[0] == REFUSED
    cluster.fail()
    assert cluster.run("rollback")[0] == DONE and cluster.step() == "stable"


def test_the_canary_file_is_refused(cluster):
    cluster.fail("apply -f " + str(cluster.folder / "app-canary.yaml"))
    status, output = cluster.run("run", NEW)
    assert status == USAGE and "traffic was not touched" in output
    assert cluster.step() is None


@pytest.mark.nightly
def test_no_metrics_is_no_success(cluster, metrics):
    metrics.worker = False
    rollout = cluster.run("run", NEW)
    assert rollout[0] == ROLLED_BACK and "no value for queue_depth" in rollout[1], rollout[1]
    nothing = f"http://{harness.LOOPBACK}:{harness.free_port()}"
    status, output = cluster.run("--prometheus", nothing, "run", NEW, "--again")
    assert status == USAGE and "no answer from Prometheus" in output


def status_rows(output):
    return {m[1]: (m[2], m[3]) for m in
            re.finditer(r"^  (\w+) +(\S*) +at most (\S+)$", output, re.M)}


GATES = {"p95_seconds": "2", "p99_seconds": "5", "error_rate": "0.005", "db_pool_used": "0.9",
         "queue_depth": "50", "cpu_percent": "80", "memory_used": "0.85",
         "ledger_difference": "0", "critical_alerts": "0"}


def test_every_gate_can_break(cluster, metrics):
    def spoilt():
        rows = status_rows(cluster.run("status")[1])
        assert {name: row[1] for name, row in rows.items()} == GATES
        return all(value and float(value) > float(limit) for value, limit in rows.values())

    assert not spoilt()
    metrics.pool, metrics.cpu, metrics.memory, metrics.queue = 0.95, 0.9, 0.9, 60
    metrics.difference = metrics.critical = 1
    for version in metrics.versions.values():
        version.latency, version.error_share = 8, 0.01
    harness.wait_for(spoilt, "all gates are broken", seconds=15)


def check_rows(output):
    return {re.split(r"  +", line)[1]: line.split()[0] for line in output.splitlines()}


def criteria(cluster, tmp_path, smoke=0, crossed=False):
    script = tmp_path / "smoke.sh"
    script.write_text(f"#!/bin/sh\nexit {smoke}\n")
    script.chmod(0o755)
    report = tmp_path / "k6_summary.json"
    report.write_text(json.dumps({"metrics": {
        "http_reqs": {"values": {}},
        "http_req_failed": {"thresholds": {"rate<0.005": {"ok": not crossed}}}}}))
    done = subprocess.run(
        cluster.argv("check", "--load-report", str(report)), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
        env=cluster.env() | {"SMOKE": str(script), "STAGING_HOST": "http://127.0.0.1:1",
                             "GROWTH_WINDOW": "2s"})
    return done.returncode, check_rows(done.stdout)


ROWS = ["p95 latency, s", "p99 latency, s", "error rate", "queue depth",
        "queue growth, tasks/min", "database CPU, %", "alerts firing", "smoke tests",
        "load test thresholds"]


def test_the_success_criteria(cluster, metrics, tmp_path):
    harness.wait_for(lambda: criteria(cluster, tmp_path) == (DONE, {r: "PASS" for r in ROWS}),
                     "all pass", seconds=15)
    metrics.cpu, metrics.queue, metrics.growth, metrics.warning = 0.9, 60, 10, 1
    for version in metrics.versions.values():
        version.latency, version.error_share = 8, 0.01
    harness.wait_for(lambda: criteria(cluster, tmp_path, smoke=3, crossed=True)
                     == (CRITERION_FAILS, {r: "FAIL" for r in ROWS}), "all fail", seconds=15)
    metrics.reset()
    metrics.node = metrics.worker = False
    missing = {"queue depth", "queue growth, tasks/min", "database CPU, %"}

    def unknown():
        return {name for name, verdict in criteria(cluster, tmp_path)[1].items()
                if verdict == "UNKNOWN"}

    harness.wait_for(lambda: unknown() == missing, "what is not measured is unknown", seconds=15)
    assert criteria(cluster, tmp_path)[0] == CRITERION_FAILS


def test_without_smoke_and_load_test_check_does_not_pass(cluster):
    status, output = cluster.run("check", "--load-report", str(cluster.folder / "none.json"))
    rows = check_rows(output)
    assert status == CRITERION_FAILS
    assert rows["smoke tests"] == rows["load test thresholds"] == "UNKNOWN"


def gate_queries(selector):
    """Names, thresholds and queries from the script itself."""
    text = SCRIPT.read_text()
    body = text[text.index("gates() {"):text.index("# The greatest value of query")]
    done = subprocess.run(["bash", "-c", f"window=5m\n{body}\ngates '{selector}'"],
                          stdout=subprocess.PIPE, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("selector", ["", 'version="canary"'])
def test_the_gates_parse(tmp_path, selector):
    rules = [{"record": f"r:{name}", "expr": query} for name, _, _, query in gate_queries(selector)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    assert len(rules) == len(GATES)
    subprocess.run(["promtool", "check", "rules", file], check=True, stdout=subprocess.DEVNULL)


ALERTS = harness.ROOT / "prometheus" / "alerts" / "cricalgo_alerts.yaml"


def test_the_gates_are_the_alerts():
    alerts = {rule["alert"]: rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"]
              for rule in group["rules"]}
    gates = {name: (limit, query) for name, _, limit, query in gate_queries("")}

    def same(text):
        text = text.replace("{}", "").replace(" or vector(0)", "")
        text = text.replace("http_requests_total{code=~\"5..\",}", "http_requests_total{code=~\"5..\"}")
        return re.sub(r"[()\s]", "", text)

    for gate, alert in (("p95_seconds", "HTTPHighP95"), ("p99_seconds", "HTTPHighP99"),
                        ("error_rate", "HighErrorRate"), ("queue_depth", "CeleryQueueDepthHigh"),
                        ("db_pool_used", "DatabasePoolExhausted"), ("cpu_percent", "HighCPUUsage"),
                        ("memory_used", "HighMemoryUsage")):
        limit, query = gates[gate]
        assert same(f"{query} > {limit}") == same(alerts[alert]), alert


MANIFESTS = harness.ROOT / "k8s"


def test_the_files_of_every_step_are_there():
    done = subprocess.run([SCRIPT, "--dry-run", "run", NEW], stdout=subprocess.PIPE, text=True, check=True)
    files = re.findall(r"apply -f (\S+)", done.stdout)
    assert len(files) == 7
    for file in files:
        documents = list(yaml.safe_load_all((harness.ROOT / file).read_text()))
        if "virtualservice" in file:
            step = documents[0]["metadata"]["annotations"]["cricalgo/step"]
            assert file.endswith(f"virtualservice-{step}.yaml")
            assert documents[0]["metadata"]["name"] == "app-virtualservice"
    canary, = [d for d in yaml.safe_load_all((MANIFESTS / "deploy" / "app-canary.yaml").read_text())
               if d["kind"] == "Deployment"]
    assert canary["metadata"]["name"] == "app-canary"
    assert canary["spec"]["template"]["spec"]["containers"][0]["name"] == "app"


def test_compose_backup_and_rollback(tmp_path):
    file, calls = tmp_path / "docker-compose.staging.yml", tmp_path / "calls"
    env = {**os.environ, "PATH": f"{STANDINS}:{os.environ['PATH']}", "COMPOSE_CALLS": str(calls)}

    def rollout(*words):
        return subprocess.run([SCRIPT, "--compose-file", file, *words], env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    assert rollout("compose-backup").returncode == USAGE
    file.write_text("old")
    assert rollout("compose-rollback").returncode == USAGE
    assert rollout("compose-backup").returncode == DONE
    file.write_text("new")
    dry = rollout("--dry-run", "compose-rollback").stdout.splitlines()
    assert dry == [f"docker-compose -f {file} down", f"mv {file}.bak {file}",
                   f"docker-compose -f {file} up -d"]
    assert rollout("compose-rollback").returncode == DONE
    assert [json.loads(line) for line in calls.read_text().splitlines()] == [
        [["-f", str(file), "down"], "new"], [["-f", str(file), "up", "-d"], "old"]]
    assert file.read_text() == "old" and not pathlib.Path(f"{file}.bak").exists()
    # An older copy is not overwritten.
    rollout("compose-backup")
    file.write_text("newer")
    rollout("compose-backup")
    assert pathlib.Path(f"{file}.bak").read_text() == "newer"
    assert [p.read_text() for p in tmp_path.glob("*.bak.*")] == ["old"]


@pytest.mark.parametrize("words", [[], ["run"], ["run", "a", "b"], ["walk"], ["--watch"], ["--fast"],
                                   ["run", NEW, "--steps", "10 33"]])
def test_wrong_usage(words):
    done = subprocess.run([SCRIPT, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env={**os.environ, "PATH": f"{STANDINS}:{os.environ['PATH']}"})
    assert done.returncode == USAGE and done.stdout


@pytest.mark.parametrize("words, says", [
    (["check"], ["# p95 latency, s <= 2: histogram_quantile(0.95", "scripts/smoke_and_checks.sh"]),
    (["status"], ["kubectl -n cricalgo-staging get virtualservice app-virtualservice"]),
    (["rollback"], ["apply -f k8s/istio/virtualservice-stable.yaml", "rollout undo deployment/app"])])
def test_a_dry_run_needs_nothing(tmp_path, words, says):
    """No kubectl, no Prometheus, no cluster."""
    for tool in ("bash", "dirname", "date", "sed", "cat", "id", "env"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = subprocess.run([SCRIPT, "--dry-run", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env={"PATH": str(tmp_path)})
    assert done.returncode == DONE, done.stdout
    for text in says:
        assert text in done.stdout


def test_help_names_every_option_and_exit_code():
    done = subprocess.run([SCRIPT, "--help"], stdout=subprocess.PIPE, text=True, check=True)
    text = SCRIPT.read_text()
    for option in set(re.findall(r"^ +(--[a-z-]+)\)", text, re.M)):
        assert option in done.stdout, option
    codes = set(re.findall(r"(?:die|exit) ([0-9]+)", text)) | {"1"}
    assert codes <= set(re.findall(r"^ +([0-9]+)", done.stdout, re.M)), codes


def test_lint():
    subprocess.run(["shellcheck", SCRIPT], check=True)
    subprocess.run(["shfmt", "-i", "2", "-ci", "-d", SCRIPT], check=True)


def test_lint_fails(tmp_path):
    bad = tmp_path / "bad.sh"
    bad.write_text(textwrap.dedent("""\
        #!/bin/bash
        if [ $1 == 2 ]; then
        echo $1
        fi
        """))
    assert subprocess.run(["shellcheck", bad], stdout=subprocess.DEVNULL).returncode == 1
    assert subprocess.run(["shfmt", "-i", "2", "-ci", "-d", bad], stdout=subprocess.DEVNULL).returncode == 1
    assert shutil.which("shfmt")
