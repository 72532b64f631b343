#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Sets up and passes the tests: installs what is missing, starts its own servers
# on free ports in temporary folders, stops them.
#
#   scripts/test.sh              the default suites, in under 20 minutes on 2 cores
#   scripts/test.sh NAME...      suites by name:
#       format tidy unit clang threads model fuzz system deploy
#   scripts/test.sh nightly      the long tests of what runs the product, and vectors
#   scripts/test.sh fuzz TARGET  10,000,000 executions of one target (T_RUNS)
#   scripts/test.sh coverage     lines of the codec that the corpora and the tests run
#                                (T_GROWN: a folder of corpora that fuzzing has grown)
#   scripts/test.sh chaos        leases, failpoints, 1,000 kills and 200 faults a broker
#                                (T_CHAOS_KILLS, T_CHAOS_FAULTS)
#   scripts/test.sh versions     Celery 5.3 to 5.6 as clients and as workers
#   scripts/test.sh edge         100,000 hostile requests, 500 slow and 10,000 idle connections
#   scripts/test.sh openapi      a thousand requests of each kind against openapi.json
#   scripts/test.sh vectors      records the newest Celery and checks the codec against it
#   scripts/test.sh fresh        the README's commands in a new Debian 12 folder
#
# T_SEED repeats a run of the system tests, T_KILLS is how often the worker is
# killed, T_SELECT passes -k to pytest. The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/packages.sh
# shellcheck source=lib/suites.sh
. scripts/lib/suites.sh
# shellcheck source=lib/deploy_suites.sh
. scripts/lib/deploy_suites.sh

usage() { sed -n '4,25s/^# \{0,1\}//p' "$0"; }

DEFAULT=(format unit clang tidy threads model fuzz system deploy)
case ${1:-} in
  -h | --help) usage; exit 0 ;;
  '') suites=("${DEFAULT[@]}") ;;
  *) suites=("$@") ;;
esac
if [ "${suites[0]}" = fuzz ] && [ ${#suites[@]} -eq 2 ]; then
  FUZZ_TARGET=${suites[1]}
  suites=(fuzz)
fi
for name in "${suites[@]}"; do
  declare -F "suite_$name" >/dev/null || {
    say "test: there is no suite '$name'; --help lists them"
    exit 2
  }
done

set -e
ensure_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
set +e

passed=0 failed=0
for name in "${suites[@]}"; do
  begin=$SECONDS
  before=$failed
  say "== $name"
  "suite_$name"
  say "== $name: $((SECONDS - begin)) s"
  [ "$failed" -eq "$before" ] || say "   again: scripts/test.sh $name"
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
