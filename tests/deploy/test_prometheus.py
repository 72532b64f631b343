# SPDX-License-Identifier: MIT
"""The alerts: they load, each fires when it should and only then, every metric
they name exists, and on the real thing the queue's depth is seen to rise and
fall."""
import json
import re
import subprocess

import pytest
import yaml

import harness
import stack
from harness import LOOPBACK, ROOT, free_port, wait_for

UNIT_TESTS = sorted((stack.PROMETHEUS / "tests").glob("*.yaml"))
# Names, times and severities that the operators of the Python rollout know.
ORIGINAL = {
    "HTTPHighP95": ("> 2", "5m", "warning"),
    "HTTPHighP99": ("> 5", "3m", "critical"),
    "HTTPHighAvg": ("> 1.0", "5m", "warning"),
    "HighErrorRate": ("> 0.005", "2m", "critical"),
    "ModerateErrorRate": ("> 0.001", "5m", "warning"),
    "CeleryQueueDepthHigh": ("> 50", "5m", "warning"),
    "CeleryQueueDepthCritical": ("> 200", "2m", "critical"),
    "DatabasePoolExhausted": ("> 0.9", "3m", "warning"),
    "DatabasePoolCritical": ("> 0.95", "1m", "critical"),
    "WebhookProcessingSlow": ("> 1", "5m", "warning"),
    "WebhookEnqueueFailed": ("> 0.1", "2m", "critical"),
    "DepositTaskSlow": ("> 30", "5m", "warning"),
    "DepositTaskFailed": ("> 0.05", "3m", "critical"),
    "HighCPUUsage": ("> 80", "5m", "warning"),
    "HighMemoryUsage": ("> 0.85", "5m", "warning"),
}
NODE = {"node_cpu_seconds_total", "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"}


def run(*command, cwd=ROOT):
    return subprocess.run([str(word) for word in command], cwd=cwd, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


def passes(*command):
    done = run(*command)
    assert done.returncode == 0, done.stdout
    return done.stdout


def fails(*command):
    done = run(*command)
    assert done.returncode != 0, done.stdout
    return done.stdout


def test_the_rules_and_configurations_load():
    passes("promtool", "check", "rules", *stack.RULES)
    passes("promtool", "check", "config", stack.PROMETHEUS / "prometheus.yml")
    passes("amtool", "check-config", stack.PROMETHEUS / "alertmanager.yml")


def test_a_broken_rule_does_not_load(tmp_path):
    text = stack.RULES[0].read_text()
    (tmp_path / "type.yaml").write_text(text.replace("ledger_up == 0", 'ledger_up == "0"'))
    fails("promtool", "check", "rules", tmp_path / "type.yaml")
    (tmp_path / "template.yaml").write_text(text.replace("humanizeDuration", "humanizeTime", 1))
    fails("promtool", "check", "rules", tmp_path / "template.yaml")
    (tmp_path / "p.yml").write_text("rule_files: [missing.yaml]\nscrape_config: []\n")
    fails("promtool", "check", "config", tmp_path / "p.yml")


def test_alerts_reach_whom_they_should(tmp_path):
    config = stack.PROMETHEUS / "alertmanager.yml"
    for severity, receiver in (("critical", "pager"), ("warning", "chat")):
        passes("amtool", "config", "routes", "test", f"--config.file={config}",
               f"severity={severity}", f"--verify.receivers={receiver}")
    fails("amtool", "config", "routes", "test", f"--config.file={config}",
          "severity=warning", "--verify.receivers=pager")
    known = {rule["alert"] for rule in stack.alerts()}
    inhibited = set()
    for rule in yaml.safe_load(config.read_text())["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            inhibited |= set(re.search(r'"(.*)"', matcher)[1].split("|"))
    assert inhibited <= known, "an inhibit rule names no alert of ours"


def test_the_fifteen_of_the_python_rollout():
    groups = yaml.safe_load((stack.PROMETHEUS / "alerts/cricalgo_alerts.yaml").read_text())
    first = groups["groups"][0]
    assert first["name"] == "cricalgo.rules"
    found = {rule["alert"]: (rule["expr"][-len(ORIGINAL[rule["alert"]][0]):], rule["for"],
                             rule["labels"]["severity"]) for rule in first["rules"]}
    assert found == ORIGINAL


def test_every_alert_says_what_and_how_much():
    for rule in stack.alerts():
        assert set(rule["labels"]) == {"severity"}
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda p: p.stem)
def test_the_alerts_units(path):
    passes("promtool", "test", "rules", path)


def units_pass_with(folder, alert, expression):
    """Do an alert's own unit tests pass when it has this expression?"""
    rule = next(rule for rule in stack.alerts() if rule["alert"] == alert)
    cases = [case for path in UNIT_TESTS for case in yaml.safe_load(path.read_text())["tests"]
             if case["alert_rule_test"][0]["alertname"] == alert]
    assert len(cases) >= 2
    folder.mkdir()
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [
        {"name": "one", "rules": [{**rule, "expr": expression}]}]}))
    (folder / "tests.yaml").write_text(yaml.safe_dump({
        "rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": cases}))
    return run("promtool", "test", "rules", folder / "tests.yaml").returncode == 0


@pytest.mark.parametrize("alert", ORIGINAL)
def test_a_moved_threshold_fails_a_unit(tmp_path, alert):
    """The tests of the rules can fail: each threshold in turn is moved."""
    expression = next(rule["expr"] for rule in stack.alerts() if rule["alert"] == alert)
    threshold = ORIGINAL[alert][0]
    left = expression.removesuffix(threshold)
    assert units_pass_with(tmp_path / "right", alert, expression)
    for factor in (0.5, 1.9):
        moved = f"{left}> {float(threshold[2:]) * factor}"
        assert not units_pass_with(tmp_path / str(factor), alert, moved), moved


def unit_cases():
    """{alert: {True: fires somewhere, False: is shown not to fire}}"""
    cases = {}
    for path in UNIT_TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            assert test["input_series"], test["name"]
            for case in test["alert_rule_test"]:
                fires = bool(case.get("exp_alerts"))
                cases.setdefault(case["alertname"], set()).add(fires)
    return cases


def test_every_alert_has_a_case_for_and_a_case_against():
    cases = unit_cases()
    names = {rule["alert"] for rule in stack.alerts()}
    assert set(cases) == names
    assert [name for name in sorted(names) if cases[name] != {True, False}] == []


# --- on the running programs -------------------------------------------------


def expressions():
    """(where, expression) of every rule and panel."""
    for path in stack.RULES:
        for rule in stack.rules_of(path):
            yield rule.get("alert") or rule["record"], rule["expr"]
    for path in stack.DASHBOARDS:
        for title, expression in stack.queries_of(json.loads(path.read_text())):
            yield f"{path.stem}: {title}", stack.filled_in(expression, {"job": ".*",
                                                                        "queue_name": ".*"})


def unknown_metrics(pairs, scraped):
    recorded = {rule["record"] for path in stack.RULES for rule in stack.rules_of(path)
                if "record" in rule}
    known = scraped | recorded | {"up", "ALERTS"}
    return sorted({(where, name) for where, expression in pairs
                   for name in stack.metrics_in(expression) - known})


def test_every_metric_named_exists(system):
    scraped = system.scraped()
    assert NODE <= scraped
    assert unknown_metrics(expressions(), scraped) == []
    assert unknown_metrics([("x", 'sum by (job) (rate(no_such_total{a="b"}[5m])) > 1')],
                           scraped) == [("x", "no_such_total")]


def test_every_rule_is_healthy_and_none_of_ours_is_blind(system):
    """No rule fails to evaluate, and every comparison has something to compare."""
    groups = system.prometheus.api("rules")["data"]["groups"]
    assert all(rule["health"] == "ok" for group in groups for rule in group["rules"])
    for rule in stack.alerts():
        left = re.split(r" (?:==|>|<) (?=[^=<>]*$)", rule["expr"].split(" and ")[0])[0]
        # Without 5xx answers there is no series of them; a ratio of 0 needs none.
        if "5.." not in left:
            wait_for(lambda: system.prometheus.query(left), f"{rule['alert']} sees something", 15)


def test_the_metrics_table_names_what_is_there(system):
    """docs/operations.md lists our own metrics; each is scraped, and each of
    ours is listed."""
    text = (ROOT / "docs/operations.md").read_text()
    text = re.search(r"(?s)\n## Metrics\n(.*?)\n## ", text)[1]
    listed = set(re.findall(r"(?m)^\| `([a-z_0-9]+)(?:\{[^}]*\})?` \|", text))
    scraped = set()
    for port in (system.api.port, system.metrics_port):
        body = stack.http_get(f"http://{LOOPBACK}:{port}/metrics")[1]
        scraped |= set(re.findall(r"(?m)^# TYPE (\S+) ", body))
    assert listed == scraped


def test_the_ledger_difference_is_seen(system):
    """A wallet that is changed behind our back shows without a scrape asking."""
    def difference():
        return {sample["metric"]["kind"]: float(sample["value"][1])
                for sample in system.prometheus.query("max by (kind) (ledger_difference)")}

    def sql(text):
        subprocess.run(["psql", "-q", "-d", system.ledger, "-c", text], check=True)

    wait_for(lambda: difference() == {"wallets": 0, "credits": 0}, "the books balance")
    sql("UPDATE wallets SET deposit_balance = deposit_balance + 1")
    try:
        wait_for(lambda: difference().get("wallets") == 1, "the wallet is seen to differ")
        wait_for(lambda: "LedgerDifference" in system.prometheus.firing(), "the alert fires")
    finally:
        sql("UPDATE wallets SET deposit_balance = deposit_balance - 1")
    wait_for(lambda: difference() == {"wallets": 0, "credits": 0}, "the books balance again")
    wait_for(lambda: "LedgerDifference" not in system.prometheus.firing(), "the alert ends")


def test_what_waited_for_confirmations_is_told_apart(system):
    """Only what lacked nothing counts for the promise of 60 s."""
    text = stack.http_get(f"http://{LOOPBACK}:{system.metrics_port}/metrics")[1]
    count = {m[1]: float(m[2]) for m in re.finditer(
        r'deposit_credit_delay_seconds_count\{waited="(\w+)"\} (\S+)', text)}
    assert count["yes"] == 1 and count["no"] >= 40


def test_the_certificates_end_is_shown(system):
    end = system.prometheus.query("certificate_expiry_timestamp_seconds - time()")
    assert 29 * 86400 < float(end[0]["value"][1]) <= 30 * 86400
    assert end[0]["metric"]["path"] == str(system.certificate)


def test_one_process_shows_the_queue(system):
    """Sums over processes count a queue once: worker before API."""
    lengths = system.prometheus.query('celery_queue_length{job!="celery"}')
    assert [sample["metric"]["job"] for sample in lengths] == ["cricalgo-celery-worker"]


@pytest.mark.parametrize("kind", ["redis", "spool"])
def test_the_queue_is_shown_by_one_at_a_time(kind, request, tmp_path, started):
    """The API while no worker is asked, then the worker alone, then the API again."""
    if kind == "redis":
        broker = request.getfixturevalue("redis_server").url(9)
    else:
        broker = f"filesystem://{tmp_path}/spool"
    ledger, metrics_port = f"sqlite:///{tmp_path}/l.db", free_port()
    api = harness.Api(tmp_path, ledger, broker, DEPOSIT_MONITOR_INTERVAL=0.2,
                      CERTIFICATE_FILES=f"{tmp_path}/none.pem")
    started.append(api.process)

    def length(port):
        text = stack.http_get(f"http://{LOOPBACK}:{port}/metrics")[1]
        found = re.search(r'(?m)^celery_queue_length\{queue_name="deposits"\} (\S+)$', text)
        return float(found[1]) if found else None

    assert api.webhook(harness.deposit_body(api.register(), confirmations=12))[0] == 202
    wait_for(lambda: length(api.port) == 1, "the API shows the queue")
    text = stack.http_get(f"http://{LOOPBACK}:{api.port}/metrics")[1]
    assert f'certificate_expiry_timestamp_seconds{{path="{tmp_path}/none.pem"}} 0.0' in text
    worker = harness.Worker(tmp_path, ledger, broker, METRICS_PORT=metrics_port)
    started.append(worker)
    worker.ready()
    wait_for(lambda: length(metrics_port) == 0, "the worker shows it, empty")
    wait_for(lambda: length(api.port) is None, "the API does not any more")
    assert length(metrics_port) == 0
    worker.stop()
    wait_for(lambda: length(api.port) == 0, "the API shows it again")
    api.stop()


def test_queue_depth_fires_and_resolves(redis_server, postgres_server, tmp_path, started):
    """60 deposits and no worker: a real Prometheus sees CeleryQueueDepthHigh rise
    through pending to firing, and end when a worker runs. The rule file's times
    are shortened 60-fold, nothing else."""
    database = postgres_server.new_database()
    ledger, broker = postgres_server.url(database), redis_server.url(8)
    metrics_port = free_port()
    api = harness.Api(tmp_path, ledger, broker, DEPOSIT_MONITOR_INTERVAL=0.2)
    started.append(api.process)
    prometheus = stack.Prometheus(tmp_path, {
        "cricalgo-app": [f"{LOOPBACK}:{api.port}"],
        "cricalgo-celery-worker": [f"{LOOPBACK}:{metrics_port}"]}, factor=60)
    started.append(prometheus)
    user = api.register()
    for _ in range(60):
        assert api.webhook(harness.deposit_body(user))[0] == 202
    wait_for(lambda: prometheus.query('celery_queue_length{queue_name="deposits"} == 60'),
             "Prometheus sees the backlog")
    wait_for(lambda: "CeleryQueueDepthHigh" in prometheus.firing(), "CeleryQueueDepthHigh fires")
    assert {"NoDepositConsumer", "ServiceDown"} <= prometheus.firing()
    assert "CeleryQueueDepthCritical" not in prometheus.firing()

    worker = harness.Worker(tmp_path, ledger, broker, METRICS_PORT=metrics_port)
    started.append(worker)
    wait_for(lambda: not {"CeleryQueueDepthHigh", "NoDepositConsumer", "ServiceDown"}
             & prometheus.firing(), "the alerts end")
    assert harness.states(ledger)["credited"] == 60
    worker.stop()
    api.stop()
