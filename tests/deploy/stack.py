# SPDX-License-Identifier: MIT
"""Prometheus and what it watches, as processes on loopback."""
import json
import pathlib
import re
import urllib.error
import urllib.parse
import urllib.request

import yaml

import harness
from harness import LOOPBACK, ROOT, Process, free_port, wait_for

PROMETHEUS = ROOT / "prometheus"
RULES = [*sorted((PROMETHEUS / "alerts").glob("*.yaml")),
         *sorted((PROMETHEUS / "rules").glob("*.yaml"))]
DASHBOARDS = sorted((PROMETHEUS / "grafana" / "dashboards").glob("*.json"))

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def http_get(url, timeout=10):
    """(status, text)."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def rules_of(path):
    """The rules of a file, those of all groups."""
    return [rule for group in yaml.safe_load(path.read_text())["groups"]
            for rule in group["rules"]]


def alerts():
    return [rule for path in RULES for rule in rules_of(path) if "alert" in rule]


def shortened(text, factor):
    """A rule file whose times are divided by factor, 1 s at least; the
    expressions and thresholds stay."""

    def divide(match):
        return f"{max(1, round(int(match[1]) * _SECONDS[match[2]] / factor))}s"

    text = re.sub(r"(?<=\[)(\d+)([smhd])(?=\])", lambda m: divide(m), text)
    return re.sub(r"(?m)(?<=^ {8}for: )(\d+)([smhd])$", lambda m: divide(m), text)


class Prometheus(Process):
    """Debian's Prometheus on a free port. jobs: {name: [host:port, …]}."""

    def __init__(self, folder, jobs, rules=RULES, interval="1s", factor=1):
        folder = pathlib.Path(folder) / f"prometheus-{free_port()}"
        folder.mkdir()
        for path in rules:
            (folder / path.name).write_text(shortened(path.read_text(), factor))
        config = {
            "global": {"scrape_interval": interval, "evaluation_interval": interval,
                       "scrape_timeout": interval},
            "rule_files": [path.name for path in rules],
            "scrape_configs": [{"job_name": name, "static_configs": [{"targets": targets}]}
                               for name, targets in jobs.items()],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.port = free_port()
        super().__init__("prometheus", [
            "prometheus", f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data", "--storage.tsdb.retention.time=1d",
            f"--web.listen-address={LOOPBACK}:{self.port}"], folder)
        wait_for(self._ready, "Prometheus is ready")

    def _ready(self):
        assert self.alive(), self.log()
        try:
            return http_get(f"http://{LOOPBACK}:{self.port}/-/ready")[0] == 200
        except OSError:
            return False

    def api(self, path, **query):
        url = f"http://{LOOPBACK}:{self.port}/api/v1/{path}"
        if query:
            url += "?" + urllib.parse.urlencode(query)
        return json.loads(http_get(url)[1])

    def query(self, expression):
        """The result's samples; fails on an error."""
        answer = self.api("query", query=expression)
        assert answer["status"] == "success", (expression, answer)
        result = answer["data"]["result"]
        return result if answer["data"]["resultType"] != "scalar" else [result]

    def firing(self):
        return {alert["labels"]["alertname"] for alert in self.api("alerts")["data"]["alerts"]
                if alert["state"] == "firing"}


def metric_names(text):
    """Names of the samples in an exposition."""
    return {re.match(r"[a-zA-Z_:][a-zA-Z0-9_:]*", line)[0]
            for line in text.splitlines() if line and line[0] != "#"}


# What PromQL itself says in the expressions of rules and dashboards.
_WORDS = {"and", "or", "unless", "by", "on", "without", "ignoring", "group_left", "bool", "inf",
          "offset", "vector", "time", "sum", "max", "min", "avg", "count", "group", "topk",
          "rate", "irate", "increase", "round", "histogram_quantile", "avg_over_time",
          "max_over_time", "absent", "deriv", "clamp_min"}


def metrics_in(expression):
    """The metrics an expression reads."""
    text = re.sub(r'"[^"]*"', '""', expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = re.sub(r"\b(by|on|without|ignoring|group_left)\s*\([^)]*\)", " ", text)
    return set(re.findall(r"(?<![\w:.])[a-zA-Z_:][a-zA-Z0-9_:]*", text)) - _WORDS


def panels_of(dashboard):
    """All panels, also those inside rows and those of the oldest schema."""
    for panel in [*dashboard.get("panels", []),
                  *(p for row in dashboard.get("rows", []) for p in row["panels"])]:
        yield panel
        yield from panel.get("panels", [])


def queries_of(dashboard):
    """(panel's title, expression) of every target."""
    return [(panel.get("title", ""), target["expr"]) for panel in panels_of(dashboard)
            for target in panel.get("targets", []) if target.get("expr")]


def filled_in(expression, variables):
    """The expression with the dashboard's variables replaced."""
    values = {"__rate_interval": "1m", "__interval": "30s", "__range": "1h", **variables}
    return re.sub(r"\$\{?(\w+)\}?", lambda m: values[m[1]], expression)


class System:
    """API, worker, servers and Prometheus, with deposits of every kind done."""

    def __init__(self, folder, redis, postgres):
        self.folder = folder
        self.processes = []
        self.certificate = make_certificate(folder)
        self.database = postgres.new_database()
        self.ledger = postgres.url(self.database)
        self.broker = redis.url(6)
        self.backend = redis.url(7)

    def start(self):
        folder = self.folder
        settings = {"DEPOSIT_MONITOR_INTERVAL": 0.5, "LEDGER_AUDIT_INTERVAL": 1}
        self.api = harness.Api(folder, self.ledger, self.broker,
                               CELERY_RESULT_BACKEND=self.backend, API_TASKS_ALLOWED="*",
                               CERTIFICATE_FILES=self.certificate, **settings)
        self.processes.append(self.api.process)
        self.metrics_port = free_port()
        self.worker = harness.Worker(folder, self.ledger, self.broker, "-E",
                                     backend=self.backend, METRICS_PORT=self.metrics_port,
                                     **settings)
        self.processes.append(self.worker)
        self.node_port = free_port()
        self.processes.append(Process("node-exporter", [
            "prometheus-node-exporter", f"--web.listen-address={LOOPBACK}:{self.node_port}"],
            folder))
        self.worker.ready()
        self.prometheus = Prometheus(folder, {
            "cricalgo-app": [f"{LOOPBACK}:{self.api.port}"],
            "cricalgo-celery-worker": [f"{LOOPBACK}:{self.metrics_port}"],
            # The name that celery-exporter's oldest dashboard wants.
            "celery": [f"{LOOPBACK}:{self.metrics_port}"],
            "node": [f"{LOOPBACK}:{self.node_port}"],
        })
        self.processes.append(self.prometheus)

    def work(self):
        """Deposits that are credited, wait, contradict, are refused, and a task
        that fails."""
        # The counters' zeros first: a rate needs the step.
        wait_for(lambda: len(self.prometheus.query("up == 1")) == 4, "all targets are up")
        user = self.api.register()
        for _ in range(40):
            body = harness.deposit_body(user)
            assert self.api.webhook(body)[0] == 202
        assert self.api.webhook({**body, "amount": "9"})[0] == 409
        waits = harness.deposit_body(user, confirmations=0)
        assert self.api.webhook(waits)[0] == 202
        assert self.api.webhook(body, secret="wrong")[0] == 401
        self.fail_a_task()
        wait_for(lambda: self.prometheus.query(
            'celery_task_failed_total{exception="LookupError"}'), "Prometheus sees the failure")
        self.fail_a_task()
        wait_for(lambda: harness.states(self.ledger)["credited"] == 40, "all are credited")
        wait_for(lambda: harness.states(self.ledger)["awaiting_confirmations"] == 1, "one waits")
        assert self.api.webhook({**waits, "confirmations": 12})[0] == 202
        wait_for(lambda: harness.states(self.ledger)["credited"] == 41, "it is credited too")
        wait_for(lambda: self.prometheus.query("deposit:credited:rate5m > 0"),
                 "Prometheus has seen the credits")
        wait_for(lambda: self.prometheus.query('increase(celery_task_failed_total[1m]) > 0'),
                 "Prometheus sees it rise")

    def fail_a_task(self):
        status, answer, _ = self.api.request(
            "POST", "/api/v1/tasks/app.tasks.deposits.process_deposit",
            json.dumps({"args": ["00000000-0000-4000-8000-000000000000"],
                        "queue": "deposits"}),
            {"Content-Type": "application/json", "Authorization": "Bearer " + harness.TOKEN})
        assert status == 202, answer

    def scraped(self):
        """The names in fresh scrapes of the programs."""
        names = set()
        for port in (self.api.port, self.metrics_port, self.node_port):
            names |= metric_names(http_get(f"http://{LOOPBACK}:{port}/metrics")[1])
        return names

    def stop(self):
        for process in reversed(self.processes):
            process.stop()
        for process in self.processes:
            log = process.log()
            assert "Sanitizer" not in log and "runtime error:" not in log, log[-5000:]


def make_certificate(folder, days=30):
    import subprocess
    path = pathlib.Path(folder) / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days),
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", str(path.with_suffix(".key")), "-out", str(path)],
                   check=True, stderr=subprocess.DEVNULL)
    return path
