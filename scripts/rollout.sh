#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Brings a new image to production in steps, and takes it back by itself.
#
#   scripts/rollout.sh run IMAGE       canary at 10, 25, 50, 100 % of the traffic, each
#                                      watched through the gates; then app and worker get
#                                      the image, traffic goes back to app, the canary
#                                      rests. A gate that breaks rolls back. Started
#                                      again after an interruption it goes on where it
#                                      stood
#   scripts/rollout.sh status          the step in force, the images, the gates now
#   scripts/rollout.sh check           the success criteria: measured value, pass or fail
#   scripts/rollout.sh rollback        traffic to stable first, then the old images
#   scripts/rollout.sh compose-backup  keeps the compose file as .bak, before it changes
#   scripts/rollout.sh compose-rollback  down, the .bak back in place, up -d
#
# Options
#   --dry-run            print what would be run, or asked; touch and ask nothing
#   -n, --namespace N    cricalgo-staging (NAMESPACE)
#   --prometheus URL     http://localhost:9090 (PROMETHEUS_URL)
#   --istio DIR          k8s/istio; production: k8s/overlays/production/istio
#   --canary FILE        k8s/deploy/app-canary.yaml
#   --steps "10 25 …"    the shares, each with its file in --istio: "10 25 50 100"
#   --watch SECONDS      how long the first step is watched: 1800
#   --watch-next SECONDS how long each other step, and the end, is watched: 1800
#   --poll SECONDS       between two looks at the gates: 20
#   --breaches N         looks in a row that break a gate before it counts: 3
#   --no-data SECONDS    how long a gate may have no value at the end of a step: 600
#   --window RANGE       of the gates' rates: 5m
#   --pod-timeout TIME   for pods to be ready: 300s
#   --again              take an image that was rolled back before
#   --compose-file FILE  compose/docker-compose.staging.yml
#   --load-report FILE   artifacts/k6_summary.json, for check
#
# check runs scripts/smoke_and_checks.sh (SMOKE) when STAGING_HOST is set. DB_INSTANCE, a
# regular expression, names the database's host among the node metrics.
# Needs kubectl, curl and jq; compose-rollback docker-compose (COMPOSE: another).
#
# Exit codes
#   0  done: the image is in production; every criterion passes; rolled back as asked
#   1  check: a criterion fails or could not be measured
#   2  wrong usage, or something needed is missing
#   3  run: rolled back, stable serves the old image; the last line says why
#   4  a rollback did not end: its commands are printed, run them by hand
#   5  run refused: another rollout is under way, or this image was rolled back before
#   130, 143  interrupted: the step in force stays; run or rollback goes on from it
set -euo pipefail
cd "$(dirname "$0")/.."

NAMESPACE=${NAMESPACE:-cricalgo-staging}
PROMETHEUS_URL=${PROMETHEUS_URL:-http://localhost:9090}
COMPOSE=${COMPOSE:-docker-compose}
SMOKE=${SMOKE:-scripts/smoke_and_checks.sh}
DB_INSTANCE=${DB_INSTANCE:-.*}
GROWTH_WINDOW=${GROWTH_WINDOW:-30m}
dry_run=0
istio=k8s/istio
canary=k8s/deploy/app-canary.yaml
steps="10 25 50 100"
watch=1800
watch_next=1800
poll=20
breaches=3
no_data=600
window=5m
pod_timeout=300s
again=0
compose_file=compose/docker-compose.staging.yml
load_report=artifacts/k6_summary.json

VIRTUAL_SERVICE='app-virtualservice'
STEP_KEY=cricalgo/step
SINCE_KEY=cricalgo/step-since
STATE_KEY=cricalgo/rollout-state
OLD_APP_KEY=cricalgo/rollout-old-app
OLD_WORKER_KEY=cricalgo/rollout-old-worker
CANARY_SELECTOR='version="canary"'
STABLE_SELECTOR='version="stable"'

usage() { sed -n '4,55s/^# \{0,1\}//p' "$0"; }
say() { printf '%s %s\n' "$(date -u +%H:%M:%SZ)" "$*"; }
die() {
  printf 'rollout: %s\n' "$2" >&2
  exit "$1"
}

# --- the cluster ----------------------------------------------------------

# What changes something goes through here.
run() {
  if [ "$dry_run" -eq 1 ]; then
    printf '%q ' "$@" | sed 's/ $//'
    echo
  else
    "$@"
  fi
}

change() { run kubectl -n "$NAMESPACE" "$@"; }

# $1 kind, $2 name, $3 jq filter: its value, empty when there is none.
ask() {
  kubectl -n "$NAMESPACE" get "$1" "$2" --ignore-not-found -o json | jq -r "($3) // empty" ||
    die 2 "no answer about $1 $2 from the cluster"
}

# Waits for the pods of Deployment $1, and can be interrupted meanwhile.
waiting=
pods_ready() {
  change rollout status "deployment/$1" --timeout="$pod_timeout" &
  waiting=$!
  wait "$waiting"
}

annotation() { ask "$1" "$2" ".metadata.annotations[\"$3\"]"; }

# The image of container $2 of Deployment $1.
image_of() {
  ask deployment "$1" ".spec.template.spec.containers[] | select(.name == \"$2\") | .image"
}

# The step in force, "stable" when no VirtualService was ever applied.
step_in_force() {
  local step
  step=$(annotation virtualservice "$VIRTUAL_SERVICE" "$STEP_KEY") || return
  printf '%s\n' "${step:-stable}"
}

apply_step() {
  say "traffic: $1"
  change apply -f "$istio/virtualservice-$1.yaml" &&
    change annotate virtualservice "$VIRTUAL_SERVICE" "$SINCE_KEY=$1@$(now)" --overwrite
}

# When step $1 began. Applied by hand, or interrupted before it was noted: now.
begun() {
  local since
  if [ "$dry_run" -eq 1 ]; then
    now
    return
  fi
  since=$(annotation virtualservice "$VIRTUAL_SERVICE" "$SINCE_KEY") || return
  case $since in
    "$1@"*) printf '%s\n' "${since#*@}" ;;
    *)
      since=$(now)
      change annotate virtualservice "$VIRTUAL_SERVICE" "$SINCE_KEY=$1@$since" --overwrite >&2
      printf '%s\n' "$since"
      ;;
  esac
}

# Somebody else may have moved the traffic while we watched.
still_at() {
  local step
  [ "$dry_run" -eq 0 ] || return 0
  step=$(step_in_force)
  [ "$step" = "$1" ] || die 5 "somebody moved the traffic from $1 to $step; nothing more is done"
}

set_state() { change annotate deployment app-canary "$STATE_KEY=$1" --overwrite; }

now() {
  if [ "$dry_run" -eq 1 ]; then echo NOW; else date -u +%s; fi
}

# --- the gates --------------------------------------------------------------

# One a line, tab-separated: name, needed (a step does not end without a value) or
# optional, what the value must stay at or below, query. $1 selects the series of the
# pods on trial; the rest is shared by both versions.
gates() {
  local on="{$1}" failed="{code=~\"5..\"${1:+,$1}}"
  local w=$window
  cat <<EOF
p95_seconds	needed	2	histogram_quantile(0.95, sum(rate(http_request_duration_seconds_bucket${on}[$w])) by (le))
p99_seconds	needed	5	histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket${on}[$w])) by (le))
error_rate	needed	0.005	(sum(rate(http_requests_total${failed}[$w])) or vector(0)) / sum(rate(http_requests_total${on}[$w]))
db_pool_used	needed	0.9	db_pool_connections_active / db_pool_connections_max
queue_depth	needed	50	max by (queue_name) (avg_over_time(celery_queue_length[$w]))
cpu_percent	optional	80	100 - (avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$w])) * 100)
memory_used	optional	0.85	1 - (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)
ledger_difference	optional	0	max(ledger_difference)
critical_alerts	needed	0	count(ALERTS{alertstate="firing",severity="critical"}) or vector(0)
EOF
}

# The greatest value of query $1; empty when there is none, or no answer.
measure() {
  curl -fsS --max-time 10 -G "$PROMETHEUS_URL/api/v1/query" --data-urlencode "query=$1" \
    2>/dev/null |
    jq -r '[.data.result[]?.value[1] | select(. != "NaN") | if . == "+Inf" then 1e308 elif . == "-Inf" then -1e308 else tonumber end] | max // empty' \
      2>/dev/null || true
}

# Whether number $1 is above $2.
above() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 > b + 0) }'; }

# Shortened for people.
short() { LC_ALL=C printf '%.4g' "$1"; }

# Watches the gates of series $1 for $2 seconds, begun at $3. 1: a gate broke, or had
# no value for too long; the reason is in $broken.
broken=
watch_gates() {
  local selector=$1 length=$2 begin=$3 line name need limit query value missing looks=()
  local -A row=()
  if [ "$dry_run" -eq 1 ]; then
    echo "# for $length s, every $poll s, at or below:"
    gates "$selector" | while IFS=$'\t' read -r name need limit query; do
      echo "#   $name $limit ($need): $query"
    done
    return 0
  fi
  while :; do
    missing=
    looks=()
    while IFS=$'\t' read -r name need limit query; do
      value=$(measure "$query")
      if [ -z "$value" ]; then
        [ "$need" = optional ] || missing+=" $name"
        looks+=("$name=?")
        row[$name]=0
        continue
      fi
      looks+=("$name=$(short "$value")")
      if above "$value" "$limit"; then
        row[$name]=$((${row[$name]:-0} + 1))
        if [ "${row[$name]}" -ge "$breaches" ]; then
          broken="$name is $(short "$value"), the gate is $limit"
          say "${looks[*]}"
          return 1
        fi
      else
        row[$name]=0
      fi
    done < <(gates "$selector")
    line="${looks[*]}"
    local over=$(($(date -u +%s) - begin - length))
    say "$line"
    if [ "$over" -ge 0 ]; then
      local high=0
      for name in "${!row[@]}"; do [ "${row[$name]}" -eq 0 ] || high=1; done
      if [ -z "$missing" ]; then
        # A gate that is being broken is looked at until it is clear.
        [ "$high" -eq 1 ] || return 0
      elif [ "$over" -ge "$no_data" ]; then
        broken="no value for$missing"
        return 1
      fi
    fi
    sleep "$poll" &
    wait $!
  done
}

# --- back -------------------------------------------------------------------

# Undoes Deployment $1 where its container $2 does not run image $3 any more.
undo() {
  local image
  if [ "$dry_run" -eq 0 ]; then
    image=$(image_of "$1" "$2") || return
    [ "$image" != "$3" ] || return 0
    if [ -z "$3" ]; then
      say "$1: no rollout noted its image before; it keeps $image"
      return 0
    fi
  else
    echo "# where $1 has the new image:"
  fi
  say "$1: back to ${3:-the old image}"
  change rollout undo "deployment/$1" || return
  [ "$dry_run" -eq 1 ] && return 0
  image=$(image_of "$1" "$2") || return
  # The revision before is another one when somebody changed the Deployment besides.
  if [ "$image" != "$3" ]; then
    change set image "deployment/$1" "$2=$3" || return
  fi
  pods_ready "$1"
}

# First the traffic, then the images. Repeatable at any point.
roll_back() {
  local why=$1 old_app='' old_worker='' ok=1
  trap '' INT TERM
  say "rolling back: $why"
  apply_step stable || ok=0
  if [ "$dry_run" -eq 0 ]; then
    old_app=$(annotation deployment app-canary "$OLD_APP_KEY") || ok=0
    old_worker=$(annotation deployment app-canary "$OLD_WORKER_KEY") || ok=0
  fi
  set_state "rolling back: $why" || ok=0
  undo app app "$old_app" || ok=0
  undo worker worker "$old_worker" || ok=0
  change scale deployment app-canary --replicas=0 || ok=0
  if [ "$ok" -eq 1 ]; then set_state "rolled back: $why" || ok=0; fi
  if [ "$ok" -eq 0 ]; then
    say "the rollback did not end. By hand, in this order:"
    dry_run=1
    apply_step stable | grep kubectl
    echo "kubectl -n $NAMESPACE set image deployment/app app=${old_app:-OLD_IMAGE}"
    echo "kubectl -n $NAMESPACE set image deployment/worker worker=${old_worker:-OLD_IMAGE}"
    echo "kubectl -n $NAMESPACE scale deployment app-canary --replicas=0"
    exit 4
  fi
}

fail_back() {
  roll_back "$1"
  say "rolled back: $1"
  exit 3
}

# --- forward ------------------------------------------------------------------

# The next greater share after $1, empty after the last.
next_share() {
  local share
  for share in $steps; do
    if [ "$share" -gt "$1" ]; then
      echo "$share"
      return
    fi
  done
}

begin_canary() {
  local image=$1 app worker
  if [ "$dry_run" -eq 0 ]; then
    app=$(image_of app app)
    worker=$(image_of worker worker)
    if [ -z "$app" ] || [ -z "$worker" ]; then
      die 2 "there is no Deployment app or worker in $NAMESPACE"
    fi
    [ "$app" != "$image" ] || die 2 "app runs $image already"
  else
    app=OLD_IMAGE worker=OLD_IMAGE
  fi
  say "canary: $image beside $app"
  # No traffic goes there yet: what fails here needs no rollback.
  if ! {
    change apply -f "$istio/destinationrule.yaml" &&
      change apply -f "$canary" &&
      change annotate deployment app-canary "$OLD_APP_KEY=$app" "$OLD_WORKER_KEY=$worker" \
        "$STATE_KEY=running" --overwrite &&
      change set image deployment/app-canary "app=$image"
  }; then
    die 2 "the canary could not be deployed; the traffic was not touched"
  fi
}

promote() {
  local image=$1 name
  for name in app worker; do
    say "$name: $image"
    change set image "deployment/$name" "$name=$image" ||
      fail_back "$name could not be given the image"
    pods_ready "$name" ||
      fail_back "$name's pods did not become ready"
  done
  apply_step stable || fail_back "the VirtualService could not be applied"
}

# How far it came is read from the cluster: the state noted on app-canary, the step on
# the VirtualService, the images of the Deployments.
command_run() {
  local image=$1 step=stable state='' running=''
  if [ "$dry_run" -eq 0 ]; then
    [ -n "$(measure 'vector(1)')" ] || die 2 "no answer from Prometheus at $PROMETHEUS_URL"
    step=$(step_in_force)
    running=$(image_of app-canary app)
    state=$(annotation deployment app-canary "$STATE_KEY")
  fi
  case $state in
    "rolling back"*) die 5 "a rollback did not end: scripts/rollout.sh rollback" ;;
    "rolled back"*)
      [ "$running" != "$image" ] || [ "$again" -eq 1 ] ||
        die 5 "$image was $state; --again takes it all the same"
      ;;
    done)
      if [ "$running" = "$image" ]; then
        say "$image is in production already"
        return
      fi
      ;;
    running)
      [ "$running" = "$image" ] || [ "$step" = stable ] ||
        die 5 "a rollout of $running is at $step: end it with run $running, or with rollback"
      ;;
  esac
  if [ "$state" = running ] && [ "$running" = "$image" ]; then
    say "going on with $image at $step"
    if [ "$step" = stable ] && [ "$(image_of worker worker)" = "$image" ]; then
      settle "$image"
      return
    fi
  else
    [ "$step" = stable ] || die 5 "the traffic is at $step, and no rollout of ours is under way"
    begin_canary "$image"
  fi
  pods_ready app-canary || fail_back "the canary's pods did not become ready"
  climb "$step"
  promote "$image"
  settle "$image"
}

# From step $1 through all shares.
climb() {
  local step=$1 share=0 length begin first=${steps%% *}
  [ "$step" = stable ] || share=${step#canary-}
  while :; do
    if [ "$share" != 0 ]; then
      length=$watch_next
      [ "$share" != "$first" ] || length=$watch
      begin=$(begun "canary-$share")
      watch_gates "$CANARY_SELECTOR" "$length" "$begin" ||
        fail_back "at $share %: $broken"
      still_at "canary-$share"
    fi
    share=$(next_share "$share")
    [ -n "$share" ] || break
    apply_step "canary-$share" || fail_back "the VirtualService could not be applied"
  done
}

# The new image serves everything: the last look, then the canary may rest.
settle() {
  local begin
  begin=$(begun stable)
  watch_gates "$STABLE_SELECTOR" "$watch_next" "$begin" ||
    fail_back "after the promotion: $broken"
  still_at stable
  set_state 'done'
  change scale deployment app-canary --replicas=0
  say "$1 is in production"
}

command_status() {
  local name need limit query value
  if [ "$dry_run" -eq 1 ]; then
    echo "kubectl -n $NAMESPACE get virtualservice $VIRTUAL_SERVICE"
    echo "kubectl -n $NAMESPACE get deployment app worker app-canary -o wide"
    return
  fi
  say "traffic: $(step_in_force), since $(annotation virtualservice "$VIRTUAL_SERVICE" "$SINCE_KEY")"
  say "app: $(image_of app app)  worker: $(image_of worker worker)  canary: $(image_of app-canary app)"
  say "rollout: $(annotation deployment app-canary "$STATE_KEY")"
  gates "" | while IFS=$'\t' read -r name need limit query; do
    value=$(measure "$query")
    printf '  %-18s %-10s at most %s\n' "$name" "${value:+$(short "$value")}" "$limit"
  done
}

# --- success criteria -----------------------------------------------------------

failures=0
criterion() {
  local verdict=$1 name=$2 value=$3 bound=$4
  [ "$verdict" = PASS ] || failures=$((failures + 1))
  printf '%-7s  %-34s %-12s %s\n' "$verdict" "$name" "$value" "$bound"
}

# $1 name, $2 words for the bound, $3 bound, $4 query
measured() {
  local value
  if [ "$dry_run" -eq 1 ]; then
    echo "# $1 $2: $4"
    return
  fi
  value=$(measure "$4")
  if [ -z "$value" ]; then
    criterion UNKNOWN "$1" '-' "$2"
  elif above "$value" "$3"; then
    criterion FAIL "$1" "$(short "$value")" "$2"
  else
    criterion PASS "$1" "$(short "$value")" "$2"
  fi
}

command_check() {
  local w=$window slow
  slow=http_request_duration_seconds_bucket
  measured 'p95 latency, s' '<= 2' 2 "histogram_quantile(0.95, sum(rate(${slow}[$w])) by (le))"
  measured 'p99 latency, s' '<= 5' 5 "histogram_quantile(0.99, sum(rate(${slow}[$w])) by (le))"
  measured 'error rate' '<= 0.005' 0.005 \
    "(sum(rate(http_requests_total{code=~\"5..\"}[$w])) or vector(0)) / sum(rate(http_requests_total[$w]))"
  measured 'queue depth' '<= 50' 50 "max by (queue_name) (avg_over_time(celery_queue_length[$w]))"
  measured 'queue growth, tasks/min' '<= 5' 5 "max by (queue_name) (deriv(celery_queue_length[$GROWTH_WINDOW])) * 60"
  measured 'database CPU, %' '<= 80' 80 \
    "100 - (avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\",instance=~\"$DB_INSTANCE\"}[$w])) * 100)"
  measured 'alerts firing' '0' 0 'count(ALERTS{alertstate="firing"}) or vector(0)'
  if [ "$dry_run" -eq 1 ]; then
    echo "$SMOKE"
    echo "# all thresholds met in $load_report"
    return
  fi
  check_smoke
  check_load
  [ "$failures" -eq 0 ]
}

check_smoke() {
  local status=0
  if [ -z "${STAGING_HOST:-}" ]; then
    criterion UNKNOWN 'smoke tests' '-' 'exit 0; set STAGING_HOST'
    return
  fi
  "$SMOKE" >/dev/null 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    criterion PASS 'smoke tests' "exit $status" 'exit 0'
  else
    criterion FAIL 'smoke tests' "exit $status" 'exit 0'
  fi
}

check_load() {
  local crossed
  if ! crossed=$(jq -r '[.metrics | to_entries[] | .key as $m | .value.thresholds // {} | to_entries[] | select(.value.ok != true) | "\($m): \(.key)"] | join(", ")' "$load_report" 2>/dev/null); then
    criterion UNKNOWN 'load test thresholds' '-' "no report $load_report"
  elif [ -n "$crossed" ]; then
    criterion FAIL 'load test thresholds' 'crossed' "$crossed"
  else
    criterion PASS 'load test thresholds' 'met' "report of $(date -u -r "$load_report" +%Y-%m-%dT%H:%MZ)"
  fi
}

# --- compose -----------------------------------------------------------------------

command_compose_backup() {
  [ -f "$compose_file" ] || die 2 "there is no $compose_file"
  if [ -f "$compose_file.bak" ] && ! cmp -s "$compose_file" "$compose_file.bak"; then
    run mv "$compose_file.bak" "$compose_file.bak.$(date -u +%Y%m%dT%H%M%SZ)"
  fi
  run cp -p "$compose_file" "$compose_file.bak"
  say "kept as $compose_file.bak"
}

command_compose_rollback() {
  [ -f "$compose_file.bak" ] || [ "$dry_run" -eq 1 ] || die 2 "there is no $compose_file.bak"
  local compose
  read -ra compose <<<"$COMPOSE"
  run "${compose[@]}" -f "$compose_file" down
  run mv "$compose_file.bak" "$compose_file"
  run "${compose[@]}" -f "$compose_file" up -d
}

# --- command line ------------------------------------------------------------------

need() {
  local tool
  [ "$dry_run" -eq 0 ] || return 0
  for tool in "$@"; do
    command -v "$tool" >/dev/null || die 2 "$tool is not installed"
  done
}

words=()
while [ $# -gt 0 ]; do
  option=$1
  case $option in
    -h | --help)
      usage
      exit 0
      ;;
    --dry-run) dry_run=1 ;;
    --again) again=1 ;;
    -n | --namespace | --prometheus | --istio | --canary | --steps | --watch | --watch-next | \
      --poll | --breaches | --no-data | --window | --pod-timeout | --compose-file | --load-report)
      [ $# -ge 2 ] || die 2 "$option needs a value"
      shift
      case $option in
        -n | --namespace) NAMESPACE=$1 ;;
        --prometheus) PROMETHEUS_URL=$1 ;;
        --istio) istio=$1 ;;
        --canary) canary=$1 ;;
        --steps) steps=$1 ;;
        --watch) watch=$1 ;;
        --watch-next) watch_next=$1 ;;
        --poll) poll=$1 ;;
        --breaches) breaches=$1 ;;
        --no-data) no_data=$1 ;;
        --window) window=$1 ;;
        --pod-timeout) pod_timeout=$1 ;;
        --compose-file) compose_file=$1 ;;
        --load-report) load_report=$1 ;;
      esac
      ;;
    -*) die 2 "there is no option $option; --help lists them" ;;
    *) words+=("$option") ;;
  esac
  shift
done

left_at() {
  local status=$1
  trap '' INT TERM
  [ -z "$waiting" ] || kill "$waiting" 2>/dev/null || true
  say "interrupted: the traffic stays where it is. On: scripts/rollout.sh run IMAGE. Back: scripts/rollout.sh rollback"
  exit "$status"
}

case ${words[0]:-} in
  run)
    [ ${#words[@]} -eq 2 ] || die 2 "run takes one image"
    need kubectl curl jq awk
    for share in $steps; do
      [ "$dry_run" -eq 1 ] || [ -f "$istio/virtualservice-canary-$share.yaml" ] ||
        die 2 "there is no $istio/virtualservice-canary-$share.yaml"
    done
    trap 'left_at 130' INT
    trap 'left_at 143' TERM
    command_run "${words[1]}"
    ;;
  status)
    need kubectl curl jq awk
    command_status
    ;;
  check)
    need curl jq awk
    command_check
    ;;
  rollback)
    need kubectl jq
    roll_back "asked for by ${USER:-$(id -un)}"
    say "rolled back: stable serves"
    ;;
  compose-backup) command_compose_backup ;;
  compose-rollback) command_compose_rollback ;;
  '')
    usage >&2
    exit 2
    ;;
  *) die 2 "there is no command ${words[0]}; --help lists them" ;;
esac
