#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Asks a Prometheus every query of a folder of dashboards (*.json) and alerts
(*.yaml), such as celery-exporter's mixin, and lists those that have no answer:
check_mixin.py FOLDER URL. Exit status 1 when there are any."""
import json
import pathlib
import re
import sys
import urllib.parse
import urllib.request

import yaml

VARIABLES = {"__rate_interval": "1m", "__interval": "30s", "__range": "1h", "cluster": "",
             "namespace": "", "job": ".*celery.*", "queue_name": ".*", "task": ".*"}
# An empty answer is right where nothing of the kind happened.
QUIET = re.compile(r"celery_task_(retried|rejected|revoked)_total.* > 0$", re.DOTALL)


def ask(url, expression):
    query = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?{query}") as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        return error.read().decode()


def panels(dashboard):
    rows = [panel for row in dashboard.get("rows", []) for panel in row["panels"]]
    for panel in [*dashboard.get("panels", []), *rows]:
        yield panel
        yield from panel.get("panels", [])


def expressions(folder):
    for path in sorted(folder.rglob("*.json")):
        for panel in panels(json.loads(path.read_text())):
            for target in panel.get("targets", []):
                yield f"{path.name}: {panel.get('title')}", target["expr"]
    for path in sorted(folder.rglob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                # What is compared, whatever comes of it.
                yield rule["alert"], re.split(r"(?:==|>|<)(?=[^=<>]*$)", rule["expr"])[0]


def unanswered(folder, url):
    missing, count = [], 0
    for where, expression in expressions(folder):
        count += 1
        filled = re.sub(r"\$\{?(\w+)\}?", lambda m: VARIABLES[m[1]], expression)
        result = ask(url, filled)
        if isinstance(result, str) or (not result and not QUIET.search(filled.strip())):
            missing.append((where, filled, result))
    return missing, count


def main():
    missing, count = unanswered(pathlib.Path(sys.argv[1]), sys.argv[2].rstrip("/"))
    for where, expression, result in missing:
        print(f"{where}\n    {' '.join(expression.split())}\n    {result}")
    print(f"{count} queries, {len(missing)} without an answer")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
