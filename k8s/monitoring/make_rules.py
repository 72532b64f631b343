#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The alert and recording rules of prometheus/ as a PrometheusRule, for clusters
with the Prometheus operator. Nothing but the groups changes places.

  make_rules.py [FILE...]   prints the object made of the files
  make_rules.py --write     writes prometheus-rules.yaml beside this file, made of
                            prometheus/alerts and prometheus/rules, and lists it
                            in Kustomization
"""
import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
PROMETHEUS = HERE.parents[1] / "prometheus"


def sources():
    return sorted(PROMETHEUS.glob("alerts/*.yaml")) + sorted(PROMETHEUS.glob("rules/*.yaml"))


def make(paths):
    groups = [g for p in paths for g in yaml.safe_load(pathlib.Path(p).read_text())["groups"]]
    body = yaml.safe_dump({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "cricalgo-rules",
                     "labels": {"app.kubernetes.io/part-of": "cricalgo"}},
        "spec": {"groups": groups},
    }, sort_keys=False, width=1000, allow_unicode=True)
    return "# SPDX-License-Identifier: MIT\n# Made by make_rules.py; edit what is in prometheus/.\n" + body


def main(words):
    if words != ["--write"]:
        sys.stdout.write(make(words))
        return
    (HERE / "prometheus-rules.yaml").write_text(make(sources()))
    listed = HERE / "Kustomization"
    if "prometheus-rules.yaml" not in listed.read_text():
        listed.write_text(listed.read_text().rstrip() + "\n  - prometheus-rules.yaml\n")


main(sys.argv[1:])
