#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Benchmarks: ours and the other side by side in one run on one machine, medians
# of at least five, one line a figure: name ours other ratio. Writes the tables of
# docs/benchmarks.md from the same run.
#
#   scripts/bench.sh [NAME...]    codec  drain  webhooks  memory  rabbitmq    (all of them)
#   BENCH_RUNS=5 BENCH_TASKS=20000   repetitions and tasks of a drain
#   BENCH_SINCE=COMMIT scripts/bench.sh since    webhooks, in turns with that commit's API
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/packages.sh
. scripts/lib/suites.sh

case ${1:-} in -h | --help) sed -n '4,10s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
ensure_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" wrk
passed=0 failed=0
built build-release -Dbuildtype=release || exit 1
make_venvs || die "installing Celery with pip failed"
if [[ " $* " == *" since "* ]]; then
  : "${BENCH_SINCE:?names the commit to compare with}"
  other=build-since/$BENCH_SINCE
  mkdir -p "$other"
  git archive "$BENCH_SINCE" | tar -x -C "$other"
  [ -f "$other/build/build.ninja" ] ||
    meson setup "$other/build" "$other" -Dbuildtype=release -Dtests=false >"$other.log" 2>&1
  ninja -C "$other/build" api/cricalgo-api >"$other.log" 2>&1 || die "building $BENCH_SINCE failed: $other.log"
  export BENCH_SINCE_API=$PWD/$other/build/api/cricalgo-api
fi
CRICALGO_BUILD=$PWD/build-release CRICALGO_PY57=$VENV_57/bin/python \
  CRICALGO_PY52=$VENV_52/bin/python \
  exec "$VENV_57/bin/python" tests/bench/bench.py "$@"
