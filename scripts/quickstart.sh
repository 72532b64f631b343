#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Sets up and runs the main job: builds into build/, starts the API and a worker
# on the embedded default (spool folder and SQLite, no server), posts signed
# sample webhooks, shows each deposit until it is settled, then serves until
# Ctrl-C.
#
#   scripts/quickstart.sh                 the above
#   scripts/quickstart.sh --once          stop after the samples; exit 0 only if
#                                         each ended in its right state and the
#                                         books balance
#   --broker URL --ledger URL --backend URL   the same job on real servers
#   --port P                              default 8000; 0 picks a free one
#   --samples N                           how many (at least 50)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/packages.sh

usage() { sed -n '4,19s/^# \{0,1\}//p' "$0"; }

once=0 port=8000 broker='' ledger='' backend='' samples=60
need() { [ $# -ge 2 ] || die "quickstart: $1 needs a value"; }
while [ $# -gt 0 ]; do
  case $1 in
    --once) once=1 ;;
    --port) need "$@"; port=$2; shift ;;
    --broker) need "$@"; broker=$2; shift ;;
    --ledger) need "$@"; ledger=$2; shift ;;
    --backend) need "$@"; backend=$2; shift ;;
    --samples) need "$@"; samples=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) say "quickstart: unknown option '$1'"; usage >&2; exit 2 ;;
  esac
  shift
done
[[ $port =~ ^[0-9]+$ && $port -le 65535 ]] || {
  say "quickstart: --port='$port' is not accepted; accepted: 0 to 65535"; exit 2; }
[[ $samples =~ ^[0-9]+$ && $samples -ge 50 ]] || {
  say "quickstart: --samples='$samples' is not accepted; accepted: at least 50"; exit 2; }

ensure_packages "${BUILD_PACKAGES[@]}"
say "Building into build/ (the first time takes about a minute)"
BUILD_TARGETS='api/cricalgo-api worker/cricalgo-worker worker/celeryc' \
  build_into build -Dtests=false

data=$PWD/build/quickstart
mkdir -p "$data"
broker=${broker:-filesystem://$data/spool}
ledger=${ledger:-sqlite:///$data/ledger.db}
backend=${backend:-file://$data/results}
case $backend in file://*) mkdir -p "${backend#file://}" ;; esac

exec python3 scripts/lib/quickstart.py --once "$once" --port "$port" \
  --samples "$samples" --broker "$broker" --ledger "$ledger" \
  --backend "$backend" --logs "$data" \
  --api build/api/cricalgo-api --worker build/worker/cricalgo-worker
