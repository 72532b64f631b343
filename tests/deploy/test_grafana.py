# SPDX-License-Identifier: MIT
"""The dashboards: every panel shows something on the running system, and
celery-exporter's find under our worker's /metrics what they read."""
import json
import os
import pathlib
import re

import pytest
import yaml

import check_mixin
import stack
from harness import LOOPBACK, wait_for

MIXIN = json.loads((pathlib.Path(__file__).parent / "celery_exporter_metrics.json").read_text())
QUERIES = [(path.stem, title, expression) for path in stack.DASHBOARDS
           for title, expression in stack.queries_of(json.loads(path.read_text()))]
VARIABLES = {"job": ".*", "queue_name": ".*"}


@pytest.mark.parametrize("path", stack.DASHBOARDS, ids=lambda p: p.stem)
def test_a_dashboard_is_whole(path):
    dashboard = json.loads(path.read_text())
    panels = list(stack.panels_of(dashboard))
    assert len({panel["id"] for panel in panels}) == len(panels)
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    text = path.read_text()
    used = set(re.findall(r"\$\{?(?!__)(\w+)\}?", text))
    assert used == defined, "variables that are used and those that are defined"
    for panel in panels:
        if panel["type"] != "row":
            assert panel["targets"] and panel["title"] and panel["gridPos"]["w"] <= 24
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(set(places)) == len(places), "two panels at one place"


def test_the_dashboards_are_provisioned():
    uids = [json.loads(path.read_text())["uid"] for path in stack.DASHBOARDS]
    assert len(uids) == len(set(uids)) == 3
    folder = stack.PROMETHEUS / "grafana/provisioning"
    provider, = yaml.safe_load((folder / "dashboards/cricalgo.yaml").read_text())["providers"]
    source, = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus" and source["isDefault"]
    compose = yaml.safe_load((stack.ROOT / "compose/docker-compose.staging.yml").read_text())
    mounts = compose["services"]["grafana"]["volumes"]
    inside = {volume.split(":")[1]: volume.split(":")[0] for volume in mounts if ":" in volume}
    assert inside[provider["options"]["path"]].endswith("/grafana/dashboards")
    assert inside["/etc/grafana/provisioning"].endswith("/grafana/provisioning")


@pytest.mark.parametrize("dashboard,title,expression", QUERIES,
                         ids=[f"{d}-{n}" for n, (d, _, _) in enumerate(QUERIES)])
def test_a_panel_shows_something(system, dashboard, title, expression):
    filled = stack.filled_in(expression, VARIABLES)
    wait_for(lambda: system.prometheus.query(filled), f"{dashboard}, {title}: {filled}", 15)


def test_an_empty_panel_is_noticed(system):
    assert system.prometheus.query("no_such_metric") == []
    with pytest.raises(AssertionError):
        system.prometheus.query("rate(up)")


# --- celery-exporter's mixin -------------------------------------------------


def samples(text):
    """{(name, labels' names)} of an exposition."""
    return {(m[1], tuple(sorted(re.findall(r'(\w+)="', m[2] or ""))))
            for m in re.finditer(r"(?m)^([a-zA-Z_:]\w*)(\{.*\})? \S+$", text)}


def test_the_worker_serves_what_the_mixin_reads(system):
    """Its own /metrics, no exporter beside it; names and labels exactly."""
    text = stack.http_get(f"http://{LOOPBACK}:{system.metrics_port}/metrics")[1]
    served = samples(text)
    wanted = {(name, tuple(labels)) for name, labels in MIXIN["metrics"].items()}
    assert wanted <= served
    names = {name for name, _ in wanted}
    assert {s for s in served if s[0] in names} == wanted, "labels that are not the exporter's"
    bounds = re.findall(r'celery_task_runtime_bucket\{[^}]*le="([^"]+)"', text)
    assert list(dict.fromkeys(bounds)) == MIXIN["runtime_bounds"]


@pytest.mark.skipif("CRICALGO_MIXIN" not in os.environ,
                    reason="CRICALGO_MIXIN names no folder with celery-exporter's mixin")
def test_the_real_mixin(system):
    missing, count = check_mixin.unanswered(
        pathlib.Path(os.environ["CRICALGO_MIXIN"]), f"http://{LOOPBACK}:{system.prometheus.port}")
    assert count > 50 and missing == []


def test_the_mixin_check_can_fail(system, tmp_path):
    (tmp_path / "d.json").write_text(json.dumps({"panels": [
        {"title": "good", "targets": [{"expr": 'sum(celery_worker_up{job=~"$job"})'}]},
        {"title": "empty", "targets": [{"expr": "celery_no_such_total"}]},
        {"title": "wrong", "targets": [{"expr": "sum(("}]}]}))
    missing, count = check_mixin.unanswered(
        tmp_path, f"http://{LOOPBACK}:{system.prometheus.port}")
    assert count == 3 and [where.split(": ")[1] for where, _, _ in missing] == ["empty", "wrong"]
