# SPDX-License-Identifier: MIT
# The test suites of test.sh. Each adds to the counters passed and failed.
# Sourced, not run.

ASAN_BUILD=build-asan
VENV_57=$PWD/build-venv/celery-5.7.0
VENV_52=$PWD/build-venv/celery-5.2.7
VENV_SCHEMATHESIS=$PWD/build-venv/schemathesis
FUZZ_SECONDS=${FUZZ_SECONDS:-3}

export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

ok() { passed=$((passed + 1)); }
not_ok() { failed=$((failed + 1)); say "FAILED: $*"; }

# Configures and builds directory $1 with meson options; a failed build is a
# failed test. Compiler in CC.
built() {
  local dir=$1
  shift
  if [ ! -f "$dir/build.ninja" ] &&
    ! meson setup "$dir" "$@" >"$dir.setup.log" 2>&1; then
    tail -n 30 "$dir.setup.log" >&2
    not_ok "configuring $dir"
    return 1
  fi
  if ! ninja -C "$dir" >"$dir.build.log" 2>&1; then
    grep -E 'error|FAILED|warning' "$dir.build.log" | head -n 30 >&2
    not_ok "building $dir"
    return 1
  fi
}

asan_build() {
  built $ASAN_BUILD -Db_sanitize=address,undefined -Dbuildtype=debugoptimized \
    -Db_lundef=false
}

# Runs meson test in $1 with the options that follow and adds its counts.
meson_tests() {
  local dir=$1 log
  shift
  log=$dir.test.log
  meson test -C "$dir" --print-errorlogs "$@" >"$log" 2>&1
  local status=$? good bad
  good=$(awk '/^Ok: /{print $2}' "$log")
  bad=$(awk '/^(Fail|Timeout|Unexpected Pass): /{n += $NF} END {print n + 0}' "$log")
  passed=$((passed + ${good:-0}))
  failed=$((failed + bad))
  if [ "$status" -ne 0 ]; then
    [ "$bad" -gt 0 ] || not_ok "meson test in $dir"
    tail -n 80 "$log" >&2
  fi
}

# Makes folder $1 hold the packages that follow. The marker lists them: a venv that
# was made for others is completed.
make_venv() {
  local dir=$1
  shift
  [ "$(cat "$dir/.packages" 2>/dev/null)" = "$*" ] && return 0
  python3 -m venv "$dir" &&
    "$dir/bin/pip" install -q --disable-pip-version-check "$@" &&
    echo "$*" >"$dir/.packages"
}

make_venvs() {
  make_venv "$VENV_57" 'celery[redis]==5.7.0' flower psycopg2-binary msgpack \
    brotli backports.zstd pytest pytest-timeout pytest-xdist &&
    make_venv "$VENV_52" 'celery[redis]==5.2.7' kombu==5.2.4 'setuptools<81' psycopg2-binary
}

own_sources() { git ls-files 'proto/*.[ch]' 'common/*.[ch]' 'worker/*.[ch]' 'api/*.[ch]' 'tests/*.[ch]'; }

suite_format() {
  if own_sources | xargs clang-format --dry-run -Werror 2>build-format.log; then
    ok
  else
    grep -E '^[a-z].*: (warning|error)' build-format.log | cut -d: -f1 | sort -u | head >&2
    not_ok "clang-format"
  fi
  rm -f build-format.log
}

# Also what is installed, since this build has no sanitizer that a user's program
# would have to share.
suite_clang() {
  CC=clang built build-clang -Dwerror=true || return
  ok
  if tests/lint/installed.sh build-clang; then ok; else not_ok "what is installed"; fi
  meson_tests build-clang --suite lint
}

# What the last commit changed, one process a file: clang-tidy 14 reports false
# findings when it gets several.
suite_tidy() {
  CC=clang built build-clang -Dwerror=true || return
  local changed
  if ! changed=$(git diff --name-only --diff-filter=d "${T_TIDY_BASE:-HEAD~1}" -- '*.c'); then
    say "the last commit's parent is not here (a shallow clone?): all files are looked at"
    changed=$(git ls-files '*.c')
  fi
  changed=$(grep -vE '^tests/' <<<"$changed")
  if [ -z "$changed" ]; then
    ok
    return
  fi
  if printf '%s\n' "$changed" | xargs -n 1 -P 2 clang-tidy -p build-clang --quiet \
    >build-clang.tidy.log 2>/dev/null; then
    ok
  else
    grep -E '(warning|error):' build-clang.tidy.log | head -n 30 >&2
    not_ok "clang-tidy"
  fi
}

# A PostgreSQL for the ledger's C tests; the system tests start their own.
with_postgres() {
  local dir bin port status user=()
  dir=$(mktemp -d)
  bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1)
  if [ "$(id -u)" -eq 0 ]; then
    user=(runuser -u postgres --)
    chown postgres "$dir"
  fi
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  (cd / && "${user[@]}" "$bin/initdb" -D "$dir/data" -A trust -U cricalgo -E UTF8 --no-sync) \
    >"$dir.log" 2>&1 &&
    (cd / && "${user[@]}" "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/server.log" \
      -o "-p $port -h 127.0.0.1 -k ''" start) >>"$dir.log" 2>&1 || {
    cat "$dir.log" >&2
    not_ok "starting PostgreSQL"
    return 1
  }
  LEDGER_TEST_PG="postgresql://cricalgo@127.0.0.1:$port/postgres" "$@"
  status=$?
  (cd / && "${user[@]}" "$bin/pg_ctl" -D "$dir/data" -m fast -w stop) >>"$dir.log" 2>&1
  rm -rf "$dir" "$dir.log"
  return "$status"
}

suite_unit() {
  asan_build || return
  make_venvs || { not_ok "installing Celery with pip"; return; }
  CELERY_PYTHON=$VENV_57/bin/python with_postgres \
    meson_tests $ASAN_BUILD --no-suite model
}

suite_threads() {
  built build-tsan -Db_sanitize=thread -Dbuildtype=debugoptimized -Db_lundef=false &&
    meson_tests build-tsan --suite threads
}

suite_model() {
  asan_build && meson_tests $ASAN_BUILD --suite model
}

fuzz_targets() {
  if [ -n "${FUZZ_TARGET:-}" ]; then
    printf 'build-fuzz/tests/fuzz_%s\n' "$FUZZ_TARGET"
  else
    find build-fuzz/tests -maxdepth 1 -type f -name 'fuzz_*' -perm -u+x | sort
  fi
}

suite_fuzz() {
  CC=clang built build-fuzz -Dfuzz=true -Db_lundef=false -Dbuildtype=debugoptimized || return
  local target name limit found=0
  if [ -n "${FUZZ_TARGET:-}" ]; then
    limit=(-runs="${T_RUNS:-10000000}")
  else
    limit=(-max_total_time="$FUZZ_SECONDS")
  fi
  for target in $(fuzz_targets); do
    found=1
    name=${target##*/fuzz_}
    mkdir -p "build-fuzz/corpus/$name"
    if "$target" "${limit[@]}" -max_len=65536 -rss_limit_mb=2048 -timeout=10 \
      -artifact_prefix="build-fuzz/$name-" "build-fuzz/corpus/$name" \
      "tests/fuzz/corpus/$name" >"build-fuzz/$name.log" 2>&1; then
      ok
      grep -E 'Done [0-9]+ runs' "build-fuzz/$name.log" | sed "s/^/   $name: /" >&2
    else
      tail -n 30 "build-fuzz/$name.log" >&2
      not_ok "fuzz_$name"
    fi
  done
  [ "$found" -eq 1 ] || not_ok "no fuzz target"
}

# Lines of proto/ that run: by the corpora alone (those that fuzzing grew count too,
# where there are any), then with the unit tests and the recorded traffic.
suite_coverage() {
  ensure_packages gcovr
  built build-coverage -Db_coverage=true -Dbuildtype=debug || return
  find build-coverage -name '*.gcda' -delete
  local replay name
  for replay in build-coverage/tests/replay_*; do
    [ -f "$replay" ] || continue
    name=${replay##*/replay_}
    find "tests/fuzz/corpus/$name" ${T_GROWN:+"$T_GROWN/$name"} -type f -print0 2>/dev/null |
      xargs -0 -r -n 500 "$replay" >/dev/null || not_ok "replay of $name"
  done
  covered "the corpora alone" "${T_COVERAGE_CORPORA:-97}"
  meson test -C build-coverage --suite unit >build-coverage.log 2>&1 ||
    not_ok "unit tests with coverage"
  covered "the corpora, the unit tests and the recorded traffic" 98
}

# $1: by what, $2: the percentage of proto/'s lines to reach.
covered() {
  local report percent
  report=$(cd build-coverage && gcovr -r .. --filter '../proto/' proto 2>/dev/null)
  percent=$(grep '^TOTAL' <<<"$report" | grep -oE '[0-9]+%' | tr -d %)
  say "   proto/ by $1:"
  grep -E '^(proto/|TOTAL)' <<<"$report" | sed 's/^/   /' >&2
  if [ "${percent:-0}" -ge "$2" ]; then ok; else not_ok "coverage by $1: ${percent:-0} % of $2 %"; fi
}

# $1: the build folder whose programs run, $2: a marker expression, then pytest's
# own arguments. Says what the tests printed of their figures.
system_tests() {
  local build=$1 mark=$2 log select=() status summary
  shift 2
  make_venvs || { not_ok "installing Celery with pip"; return; }
  log=$build.system.log
  [ -z "${T_SELECT:-}" ] || select=(-k "$T_SELECT")
  (cd tests/system && CRICALGO_BUILD=$PWD/../../$build \
    CRICALGO_PY57=$VENV_57/bin/python CRICALGO_PY52=$VENV_52/bin/python \
    "$VENV_57/bin/python" -m pytest -q -p no:cacheprovider --timeout 300 --durations 10 \
    -rP --ignore=test_api.py -m "$mark" "${select[@]}" "$@") >"$log" 2>&1
  status=$?
  summary=$(tail -n 1 "$log")
  passed=$((passed + $(count_of passed "$summary")))
  failed=$((failed + $(count_of failed "$summary") + $(count_of 'error' "$summary")))
  if [ "$status" -ne 0 ]; then
    grep -vE '^(=|_)* (PASSES|test_.*) (=|_)*$' "$log" | tail -n 150 >&2
    [[ $summary == *failed* || $summary == *error* ]] || not_ok "pytest"
  else
    grep -A 12 'slowest 10 durations' "$log" >&2
  fi
  grep -E '^[A-Za-z, ]+: [0-9]+ (kills|faults)' "$log" | sed 's/^/   /' >&2
}

make_schemathesis() {
  make_venv "$VENV_SCHEMATHESIS" schemathesis==4.32.5 &&
    export CRICALGO_SCHEMATHESIS=$VENV_SCHEMATHESIS/bin/schemathesis
}

# What measures time runs by itself; the rest, which waits most of the time, two
# files at a time.
suite_system() {
  asan_build || return
  make_schemathesis || { not_ok "installing schemathesis with pip"; return; }
  system_tests $ASAN_BUILD "not chaos" test_idle.py
  system_tests $ASAN_BUILD "not chaos" --ignore=test_idle.py -n 2 --dist loadfile
}

# Many more requests than by default against what openapi.json says (minutes).
suite_openapi() {
  asan_build || return
  make_schemathesis || { not_ok "installing schemathesis with pip"; return; }
  T_OPENAPI_EXAMPLES=${T_OPENAPI_EXAMPLES:-1000} T_SEED=${T_SEED:-$RANDOM} \
    system_tests $ASAN_BUILD "not chaos" test_openapi.py --timeout 1800
}

# 100,000 generated webhooks, and 500 slow and 10,000 idle connections (minutes).
suite_edge() {
  asan_build || return
  T_HOSTILE=${T_HOSTILE:-100000} T_SEED=${T_SEED:-$RANDOM} \
    system_tests $ASAN_BUILD "not chaos" test_hostile.py --timeout 1800
  system_tests $ASAN_BUILD chaos test_front.py --timeout 1800
}

# The long tests of the brokers: failpoints and leases with sanitizers, then a
# thousand kills and two hundred faults a broker, in the build that is run.
suite_chaos() {
  built build-failpoints -Db_sanitize=address,undefined -Dbuildtype=debugoptimized \
    -Db_lundef=false -Dfailpoints=true && built build-release -Dbuildtype=release || return
  asan_build || return
  CRICALGO_FAILPOINTS=$PWD/build-failpoints system_tests $ASAN_BUILD chaos
  T_ALARM_SECONDS=20 T_SELECT=memory_alarm system_tests $ASAN_BUILD "not chaos" test_rabbitmq.py
  T_CHAOS_KILLS=${T_CHAOS_KILLS:-1000} T_CHAOS_FAULTS=${T_CHAOS_FAULTS:-200} T_CHAOS_RESUME=2 \
    system_tests build-release "not chaos" --timeout 7200 test_chaos.py
}

# The releases between the oldest and the newest, as clients and as workers, each with
# the kombu of its days: pip would take a later one, which refuses its redis-py.
suite_versions() {
  asan_build || return
  local pair version kombu dir releases=
  for pair in 5.3.6/5.3.5 5.4.0/5.4.2 5.5.3/5.5.4 5.6.3/5.6.2; do
    version=${pair%/*} kombu=${pair#*/}
    dir=$PWD/build-venv/celery-$version-kombu-$kombu
    make_venv "$dir" "celery[redis]==$version" "kombu==$kombu" packaging 'setuptools<81' \
      psycopg2-binary ||
      { not_ok "installing Celery $version with pip"; return; }
    releases+="$version=$dir/bin/python "
  done
  CRICALGO_RELEASES=$releases system_tests $ASAN_BUILD "not chaos" test_interop.py \
    -k "python_client_of_our_worker or our_api_and_a_python_worker"
}

# What the newest Celery writes, recorded on a Redis of its own (about 2 minutes),
# against our codec: it is read, and it is what our writers make.
suite_vectors() {
  asan_build || return
  local venv=$PWD/build-venv/celery-newest out=$ASAN_BUILD/celery-newest.jsonl
  { [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"; } &&
    "$venv/bin/pip" install -q --disable-pip-version-check --upgrade \
      'celery[redis]' msgpack pyyaml || { not_ok "installing the newest Celery with pip"; return; }
  "$venv/bin/python" tests/vectors/capture.py --out "$out" >"$out.log" 2>&1 ||
    { tail -n 30 "$out.log" >&2; not_ok "recording Celery"; return; }
  grep 'vectors of celery' "$out.log" >&2
  newest_passes "reading the newest Celery's messages" \
    "$ASAN_BUILD/tests/vectors/test_vectors" --without-amqp "$out"
  newest_passes "writing the newest Celery's bytes" \
    "$ASAN_BUILD/tests/vectors/test_vector_bytes" "$out"
  newest_passes "the newest kombu on what we write" \
    "$venv/bin/python" tests/interop/test_codec.py "$ASAN_BUILD/tests/interop/codec_tool" "$out"
}

# $1: what it is about; then a command.
newest_passes() {
  local what=$1 log=$ASAN_BUILD/newest.log
  shift
  if "$@" >"$log" 2>&1; then
    ok
  else
    tail -n 40 "$log" >&2
    not_ok "$what"
  fi
}

# "3 failed, 17 passed in 5.1s" and the word: its number.
count_of() {
  local n
  n=$(grep -oE "[0-9]+ $1" <<<"$2" | head -n 1 | cut -d' ' -f1)
  printf '%d' "${n:-0}"
}

# The README's first command, in a Debian 12 that has nothing but itself.
suite_fresh() {
  ensure_packages debootstrap
  local root
  root=$(mktemp -d)
  say "bootstrapping Debian 12 into a temporary folder"
  if ! debootstrap --variant=minbase bookworm "$root" "$(fresh_mirror)" >"$root.log" 2>&1; then
    tail -n 20 "$root.log" >&2
    not_ok "debootstrap"
    rm -rf "$root" "$root.log"
    return
  fi
  cp /etc/resolv.conf "$root/etc/"
  cp -r /etc/apt/. "$root/etc/apt/"
  git clone -q . "$root/cricalgo"
  mount --bind /proc "$root/proc"
  mount --bind /dev "$root/dev"
  local command
  for command in 'scripts/quickstart.sh --once --port 0' ${T_FRESH_TESTS:+scripts/test.sh}; do
    if chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CI=true \
      bash -c "cd /cricalgo && $command" >"$root.log" 2>&1; then
      ok
      tail -n 1 "$root.log" >&2
    else
      tail -n 40 "$root.log" >&2
      not_ok "$command in a fresh Debian"
    fi
  done
  # Never through a mount that is still there: it is this machine's /dev.
  if umount "$root/proc" && umount "$root/dev"; then
    rm -rf --one-file-system "$root" "$root.log"
  else
    say "left behind, something is still mounted in it: $root"
  fi
}

# Where this machine gets Debian from.
fresh_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | sort -u | head -n 1
}
