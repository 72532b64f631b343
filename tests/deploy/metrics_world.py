# SPDX-License-Identifier: MIT
"""A real Prometheus, fed by an exporter that says what a test wants it to say."""
import http.server
import json
import threading
import time
import urllib.parse
import urllib.request

import harness

SCRAPE = "100ms"
BOUNDS = (0.1, 1, 2, 5, 10)


class Version:
    """The pods of one version: counters that grow with time."""

    def __init__(self):
        self.requests = self.errors = 0.0
        self.buckets = [0.0] * (len(BOUNDS) + 1)
        self.latency, self.error_share, self.rate = 0.05, 0.0, 100.0

    def grow(self, seconds):
        count = self.rate * seconds
        self.requests += count * (1 - self.error_share)
        self.errors += count * self.error_share
        for i, bound in enumerate((*BOUNDS, float("inf"))):
            if self.latency <= bound:
                self.buckets[i] += count

    def text(self):
        lines = [f'http_requests_total{{code="202"}} {self.requests}',
                 f'http_requests_total{{code="500"}} {self.errors}',
                 f"http_request_duration_seconds_count {self.buckets[-1]}",
                 f"http_request_duration_seconds_sum {self.buckets[-1] * self.latency}"]
        for bound, count in zip((*BOUNDS, "+Inf"), self.buckets):
            lines.append(f'http_request_duration_seconds_bucket{{le="{bound}"}} {count}')
        lines.append("db_pool_connections_active 3\ndb_pool_connections_max 50")
        return "\n".join(lines) + "\n"


class World:
    """Exporter of stable, canary, worker and a node, and the Prometheus."""

    RULES = """
groups:
  - name: test
    interval: 200ms
    rules:
      - {alert: Warned, expr: test_warning > 0, labels: {severity: warning}}
      - {alert: Critical, expr: test_critical > 0, labels: {severity: critical}}
"""

    def __init__(self, folder):
        self.lock = threading.Lock()
        self.last = time.monotonic()
        self.idle = 0.0
        self.versions = {"stable": Version(), "canary": Version()}
        self.reset()
        world = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = world.page(self.path.strip("/")).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((harness.LOOPBACK, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        target = f"{harness.LOOPBACK}:{self.server.server_port}"
        jobs = "".join(
            f"  - job_name: {job}\n    metrics_path: /{page}\n    static_configs:\n"
            f"      - {{targets: ['{target}'], labels: {{{labels}}}}}\n"
            for job, page, labels in (("cricalgo-app", "stable", "version: stable"),
                                      ("cricalgo-canary", "canary", "version: canary"),
                                      ("cricalgo-worker", "worker", ""), ("node", "node", "")))
        (folder / "rules.yml").write_text(self.RULES)
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {SCRAPE}, evaluation_interval: 200ms}}\n"
            f"rule_files: [rules.yml]\nscrape_configs:\n{jobs}")
        self.port = harness.free_port()
        self.url = f"http://{harness.LOOPBACK}:{self.port}"
        self.prometheus = harness.Process("prometheus", [
            "prometheus", f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data", f"--web.listen-address={harness.LOOPBACK}:{self.port}",
            # Fresh samples count at once, absent ones are absent at once.
            "--query.lookback-delta=1s", "--log.level=warn"], folder)
        harness.wait_for(self.answers, "Prometheus has scraped twice")

    def reset(self):
        with self.lock:
            for version in self.versions.values():
                version.latency, version.error_share, version.rate = 0.05, 0.0, 100.0
            self.queue, self.growth, self.pool, self.cpu, self.memory = 0.0, 0.0, 0.1, 0.2, 0.3
            self.difference, self.warning, self.critical = 0, 0, 0
            self.node = self.worker = True

    def page(self, name):
        with self.lock:
            now = time.monotonic()
            seconds, self.last = now - self.last, now
            for version in self.versions.values():
                version.grow(seconds)
            self.idle += seconds * (1 - self.cpu)
            self.queue += self.growth * seconds
            if name in self.versions:
                text = self.versions[name].text()
                return text.replace("active 3", f"active {50 * self.pool}")
            if name == "worker" and self.worker:
                return (f'celery_queue_length{{queue_name="deposits"}} {self.queue}\n'
                        f'ledger_difference{{kind="balance"}} {self.difference}\n'
                        f"test_warning {self.warning}\ntest_critical {self.critical}\n")
            if name == "node" and self.node:
                return (f'node_cpu_seconds_total{{cpu="0",mode="idle"}} {self.idle}\n'
                        f"node_memory_MemAvailable_bytes {(1 - self.memory) * 1e9}\n"
                        f"node_memory_MemTotal_bytes 1e9\n")
            return ""

    def query(self, expression):
        url = f"{self.url}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=10) as answer:
            return [float(r["value"][1]) for r in json.load(answer)["data"]["result"]]

    def answers(self):
        assert self.prometheus.alive(), self.prometheus.log()
        try:
            return self.query("sum(rate(http_requests_total[2s]))") not in ([], [0.0])
        except OSError:
            return False

    def settled(self):
        """Good values in every window that a test uses."""
        self.reset()
        harness.wait_for(
            lambda: self.query("histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket[2s])) by (le))")[:1] < [1]
            and sum(self.query('rate(http_requests_total{code="500"}[2s])')) == 0
            and self.query("max(avg_over_time(celery_queue_length[2s]))") == [0]
            and self.query('count(ALERTS{alertstate="firing"})') == []
            and (self.query('avg(rate(node_cpu_seconds_total[2s]))') or [0])[0] > 0.7,
            "the metrics are good")

    def stop(self):
        self.prometheus.stop()
        self.server.shutdown()
        self.server.server_close()
