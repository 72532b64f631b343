#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Benchmarks: ours and the other side by side in one run on one machine, medians
# of at least five, one line a figure: name ours other ratio. Writes the tables of
# docs/benchmarks.md from the same run.
#
#   scripts/bench.sh [NAME...]    codec  drain  webhooks  memory  rabbitmq    (all of them)
#   BENCH_RUNS=5 BENCH_TASKS=20000   repetitions and tasks of a drain
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/packages.sh
. scripts/lib/suites.sh

case ${1:-} in -h | --help) sed -n '4,9s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
ensure_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" wrk
passed=0 failed=0
built build-release -Dbuildtype=release || exit 1
make_venvs || die "installing Celery with pip failed"
CRICALGO_BUILD=$PWD/build-release CRICALGO_PY57=$VENV_57/bin/python \
  CRICALGO_PY52=$VENV_52/bin/python \
  exec "$VENV_57/bin/python" tests/bench/bench.py "$@"
