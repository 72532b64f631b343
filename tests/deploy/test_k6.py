# SPDX-License-Identifier: MIT
"""The load tests of k6/: their types, and a short run of each against the real
programs. k6 itself is not used; k6run/README.md says what runs them instead."""
import concurrent.futures
import decimal
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import pytest

import harness

K6 = harness.ROOT / "k6"
RUNNER = pathlib.Path(__file__).parent / "k6run" / "k6run.mjs"
TOOLS = pathlib.Path(os.environ.get("CRICALGO_TOOLS", harness.ROOT / "build-tools"))
SCRIPTS = ["webhook_test.js", "soak_test.js", "spike_test.js"]
CROSSED, INVALID, BROKEN = 99, 104, 107
# One iteration of each of two virtual users.
SHORT = ["--vus", "2", "--iterations", "2"]


def types(script):
    return subprocess.run(
        [TOOLS / "k6/node_modules/.bin/tsc", "--noEmit", "--allowJs", "--checkJs", "--strict",
         "--noImplicitAny", "false", "--skipLibCheck", "--module", "esnext",
         "--moduleResolution", "bundler", "--target", "es2022", "--types", "k6",
         "--typeRoots", TOOLS / "k6/node_modules/@types", script],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("script", SCRIPTS)
def test_types(script):
    done = types(K6 / script)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("old, new, says", [
    ("newUser,", "newUsr,", "newUsr"),
    ("thresholds:", "treshold:", "treshold"),
    ("response.timings.duration", "response.timings.durations", "durations"),
])
def test_types_fail_on_a_mistake(tmp_path, old, new, says):
    shutil.copytree(K6, tmp_path / "k6")
    script = tmp_path / "k6" / "webhook_test.js"
    text = script.read_text()
    assert old in text
    script.write_text(text.replace(old, new, 1))
    done = types(script)
    assert done.returncode != 0 and says in done.stdout


class System:
    """API and worker on the embedded set-up."""

    def __init__(self, folder, worker=True):
        self.folder = folder
        (folder / "results").mkdir()
        broker, self.ledger = f"filesystem://{folder}/spool", f"sqlite:///{folder}/ledger.db"
        self.api = harness.Api(folder, self.ledger, broker, HTTP_THREADS=60,
                               WEBHOOK_ALLOW_UNSIGNED=0)
        self.url = f"http://{harness.LOOPBACK}:{self.api.port}"
        self.metrics = harness.free_port()
        self.worker = worker and harness.Worker(
            folder, self.ledger, broker, backend=f"file://{folder}/results",
            METRICS_PORT=self.metrics).ready()

    def stop(self):
        if self.worker:
            assert self.worker.stop() == 0
        assert self.api.stop() == 0


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    system = System(tmp_path_factory.mktemp("k6"))
    yield system
    system.stop()


def run(folder, script, *options, artifacts=True, **env):
    """(exit status, output, summary or None)."""
    folder.mkdir(parents=True, exist_ok=True)
    if artifacts:
        (folder / "artifacts").mkdir(exist_ok=True)
    settings = {"WEBHOOK_SECRET": harness.SECRET, "API_TOKEN": harness.TOKEN,
                "PATH": os.environ["PATH"], **{k: str(v) for k, v in env.items()}}
    done = subprocess.run(["node", RUNNER, "run", *options, K6 / script], cwd=folder,
                          env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=120)
    found = list((folder / "artifacts").glob("*_summary.json")) if artifacts else []
    return done.returncode, done.stdout, json.loads(found[0].read_text()) if found else None


RUNS = {
    "webhook_test.js": ("k6", {"VUS": 6, "DURATION": "3s"}),
    "soak_test.js": ("soak", {"VUS": 4, "DURATION": "2s", "RAMP": "1s"}),
    "spike_test.js": ("spike", {"BASE_VUS": 2, "SPIKE_VUS": 8, "CALM": "2s", "RISE": "500ms",
                                "HOLD": "500ms"}),
}


def run_in_time(folder, script, *options, **env):
    """run(); again where nothing failed but the response times: this machine may be
    busy with something else."""
    for attempt in range(3):
        done = run(folder / str(attempt), script, *options, **env)
        failed = {line.split()[1] for line in done[1].splitlines() if line.startswith("  FAIL")}
        if failed - {"http_req_duration:", "health_response_time:", "health_success_rate:",
                     "webhook_response_time:", "webhook_response_time{part:first}:",
                     "webhook_response_time{part:last}:", "webhook_response_time{part:before}:",
                     "webhook_response_time{part:after}:", "webhook_success_rate:"}:
            break
        if done[0] == 0:
            break
    return done


@pytest.fixture(scope="module")
def runs(system, tmp_path_factory):
    """All three at once; each fills the wallet of a user of its own."""
    folder = tmp_path_factory.mktemp("runs")

    def one(script):
        return run_in_time(
            folder / script, script, STAGING_HOST=system.url, TEST_RUN="a-run",
            QUEUE_METRICS=f"http://{harness.LOOPBACK}:{system.metrics}/metrics", **RUNS[script][1])

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(RUNS, pool.map(one, RUNS)))


@pytest.mark.parametrize("script", RUNS)
def test_a_run(system, runs, script):
    status, output, summary = runs[script]
    assert status == 0, output
    metrics = summary["metrics"]
    iterations = metrics["iterations"]["values"]["count"]
    assert iterations > 0 and "k6run_iterations_failed" not in metrics
    accepted = metrics["deposit_amount_accepted"]["values"]["count"]
    assert accepted > 0 and metrics["deposit_amount_uncredited"]["values"]["count"] == 0
    user = summary["setup_data"]["user"]
    deposits = system.api.get("/api/v1/transactions", user_id=user, limit=500)[1]["transactions"]
    assert len(deposits) == iterations and {d["state"] for d in deposits} == {"credited"}
    wallet = system.api.get(f"/api/v1/wallets/{user}")[1]
    assert decimal.Decimal(wallet["deposit_balance"]) * 1000 == accepted
    assert "Test run             a-run" in output and "not credited 0.000" in output
    assert output.count("PASS") >= 5 and "FAIL" not in output and "none" not in output


def test_the_queue_is_watched(runs):
    status, output, summary = runs["soak_test.js"]
    assert summary["metrics"]["queue_length"]["values"]["max"] >= 0
    assert "queue_length: p(95)<50" in output


def test_the_original_thresholds_and_metrics(runs):
    summary = runs["webhook_test.js"][2]
    thresholds = {name: sorted(m["thresholds"]) for name, m in summary["metrics"].items()
                  if "thresholds" in m}
    assert thresholds == {
        "http_req_duration": ["p(95)<2000", "p(99)<5000"],
        "http_req_failed": ["rate<0.005"],
        "webhook_response_time": ["p(95)<1000"],
        "webhook_success_rate": ["rate>0.99"],
        "health_response_time": ["p(95)<100"],
        "health_success_rate": ["rate>0.99"],
        # Ours: a 202 is a promise.
        "deposit_amount_uncredited": ["count<=0"],
    }
    assert "webhook_enqueue_rate" in summary["metrics"]
    assert {c["name"] for c in summary["root_group"]["checks"]} == {
        "health status is 200", "health response time < 100ms", "health has status field",
        "webhook status is 202", "webhook response time < 1s", "webhook response has ok field",
        "webhook response has tx_id field"}


class Slow(http.server.BaseHTTPRequestHandler):
    """Right answers, too late."""
    protocol_version = "HTTP/1.1"

    def answer(self, code, body):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        time.sleep(0.15)
        self.answer(200, b'{"status":"healthy"}')

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(1.1)
        self.answer(202, b'{"ok":true,"tx_id":"x"}')

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def broken_runs(system, runs, tmp_path_factory):
    """One iteration of two users each, all at once, against what is broken."""
    folder = tmp_path_factory.mktemp("broken")
    slow = http.server.ThreadingHTTPServer((harness.LOOPBACK, 0), Slow)
    threading.Thread(target=slow.serve_forever, daemon=True).start()
    no_worker = System(tmp_path_factory.mktemp("no-worker"), worker=False)
    nobody = f"http://{harness.LOOPBACK}:{harness.free_port()}"
    wanted = {
        "no secret": {"STAGING_HOST": system.url, "WEBHOOK_SECRET": ""},
        "placeholder": {"STAGING_HOST": system.url, "WEBHOOK_SECRET": "your-webhook-secret-key"},
        "original body": {"STAGING_HOST": no_worker.url, "CHECK_CREDITED": 0},
        "no api": {"STAGING_HOST": nobody},
        "slow": {"STAGING_HOST": f"http://{harness.LOOPBACK}:{slow.server_port}",
                 "CHECK_CREDITED": 0},
        "not credited": {"STAGING_HOST": no_worker.url, "SETTLE_SECONDS": 1},
        "no folder": {"STAGING_HOST": system.url, "artifacts": False},
    }
    try:
        with concurrent.futures.ThreadPoolExecutor(7) as pool:
            done = pool.map(lambda name: run(folder / name, "webhook_test.js", *SHORT,
                                             **wanted[name]), wanted)
            return dict(zip(wanted, done)) | {"states": harness.states(no_worker.ledger)}
    finally:
        slow.shutdown()
        slow.server_close()
        no_worker.stop()


@pytest.mark.parametrize("name", ["no secret", "placeholder"])
def test_without_a_secret_nothing_is_signed(broken_runs, name):
    """The API refuses what is not signed, and the thresholds see it."""
    status, output, summary = broken_runs[name]
    assert status == CROSSED, output
    checks = {c["name"]: c for c in summary["root_group"]["checks"]}
    assert checks["webhook status is 202"]["passes"] == 0
    assert checks["health status is 200"]["fails"] == 0
    assert "FAIL  webhook_success_rate: rate>0.99" in output


def test_the_original_body_is_still_answered_202(broken_runs):
    status, output, summary = broken_runs["original body"]
    checks = {c["name"]: c for c in summary["root_group"]["checks"]}
    assert checks["webhook status is 202"]["passes"] == 2, output
    assert "credits were not checked" in output
    # Two of these, and two of the run that no worker looks at.
    assert sum(v for k, v in broken_runs["states"].items() if k != "balanced") == 4


def test_an_api_that_is_not_there(broken_runs):
    status, output, summary = broken_runs["no api"]
    assert status == CROSSED, output
    assert "FAIL  http_req_failed: rate<0.005" in output
    assert summary["metrics"]["http_req_failed"]["values"]["rate"] == 1


def test_a_slow_api(broken_runs):
    status, output, _ = broken_runs["slow"]
    assert status == CROSSED, output
    assert "FAIL  webhook_response_time: p(95)<1000" in output
    assert "FAIL  health_response_time: p(95)<100" in output
    assert "PASS  http_req_failed: rate<0.005" in output


def test_accepted_and_not_credited(broken_runs):
    """No worker: every webhook is answered 202, no promise is kept."""
    status, output, _ = broken_runs["not credited"]
    assert status == CROSSED, output
    assert "FAIL  deposit_amount_uncredited: count<=0" in output
    assert "PASS  http_req_failed: rate<0.005" in output


def test_a_missing_artifact_folder_is_said(broken_runs):
    """And the report is on the terminal all the same."""
    _, output, _ = broken_runs["no folder"]
    assert output.count("could not save the summary") == 2
    assert "PASS  http_req_failed" in output


@pytest.mark.nightly
def test_on_servers(tmp_path):
    done = subprocess.run([sys.executable, RUNNER.parent / "on_servers.py", K6 / "webhook_test.js",
                           "--vus", "2", "--iterations", "4"], cwd=tmp_path, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    # The response times are the machine's business.
    assert done.returncode in (0, CROSSED), done.stdout
    assert "PASS  deposit_amount_uncredited: count<=0" in done.stdout
    assert done.stdout.splitlines()[-1] == "4 deposits credited, 0 lost"


@pytest.mark.parametrize("text, code, says", [
    ("export const options = {thresholds: {http_req_duration: ['p95<1']}};"
     "export default function () {}", INVALID, "is no expression"),
    ("export const options = {thresholds: {http_req_failed: ['p(95)<1']}};"
     "export default function () {}", INVALID, "a rate has no p(95)"),
    ("export const options = {thresholds: {nothing: ['count<1']}};"
     "export default function () {}", INVALID, "no such metric"),
    ("export const options = {vuss: 1}; export default function () {}", INVALID, "vuss"),
    ("throw new Error('early'); export default function () {}", BROKEN, "early"),
    ("import x from 'k6/ws'; export default function () {}", BROKEN, "k6/ws"),
    ("import fs from 'node:fs'; export default function () {}", BROKEN, "node:fs"),
    ("export const options = {iterations: 1}; export function setup() { throw new Error('no'); }"
     "export default function () {}", BROKEN, "setup"),
])
def test_the_runner_refuses(tmp_path, text, code, says):
    script = tmp_path / "s.js"
    script.write_text(text)
    status, output, _ = run(tmp_path, script)
    assert status == code and says in output


def test_the_runner_counts_as_k6_does(tmp_path):
    script = tmp_path / "s.js"
    script.write_text("""
        import { check, group } from 'k6';
        import { Counter, Gauge, Rate, Trend } from 'k6/metrics';
        import crypto from 'k6/crypto';
        const c = new Counter('c'), g = new Gauge('g'), r = new Rate('r'), t = new Trend('t');
        export const options = { iterations: 1, summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
          thresholds: { c: ['count==3'], 't{part:a}': ['max<=2'], never: [] } };
        delete options.thresholds.never;
        export default function () {
          c.add(5); c.add(-2); g.add(7); g.add(4);
          [true, false, 1, 0].forEach((x) => r.add(x));
          for (let i = 1; i <= 4; i += 1) t.add(i, { part: i < 3 ? 'a' : 'b' });
          group('outer', () => check(1, { one: (x) => x === 1, two: (x) => x === 2 }));
          if (crypto.hmac('sha256', 'key', 'The quick brown fox jumps over the lazy dog', 'hex')
              !== 'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8') throw new Error('hmac');
        }
        export function handleSummary(data) { return { 'artifacts/s_summary.json': JSON.stringify(data) }; }
    """)
    status, output, summary = run(tmp_path, script)
    assert status == 0, output
    values = {name: m["values"] for name, m in summary["metrics"].items()}
    assert values["c"]["count"] == 3
    assert values["g"] == {"value": 4, "min": 4, "max": 7}
    assert values["r"] == {"rate": 0.5, "passes": 2, "fails": 2}
    assert values["t"] == {"med": 2.5, "p(95)": pytest.approx(3.85), "p(99)": pytest.approx(3.97),
                           "max": 4}
    assert values["t{part:a}"]["max"] == 2
    assert "k6run_iterations_failed" not in values
    assert summary["root_group"]["checks"] == [
        {"name": "one", "path": "::outer::one", "passes": 1, "fails": 0},
        {"name": "two", "path": "::outer::two", "passes": 0, "fails": 1}]
