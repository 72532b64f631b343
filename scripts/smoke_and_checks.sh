#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Smoke test of a running deployment: health, registration, a webhook, its
# credit, the transactions, the metrics.
#
# Usage: [VARIABLE=value …] scripts/smoke_and_checks.sh
#   STAGING_HOST    where it runs (default http://localhost:8000)
#   ARTIFACT_DIR    where the answers are kept (default artifacts/smoke_<UTC>)
#   WEBHOOK_SECRET  signs the webhook when set (of several, the first)
#   API_TOKEN       for the transactions and the look at the deposit (ditto)
#   SMOKE_TIMEOUT   seconds that the deposit may take (default 60)
# Exit status: 0 all well; 2 health failed; 3 the webhook failed; 4 the deposit was
# not credited. Registration, transactions and metrics only warn.
# Needs curl; jq is used when there.
set -euo pipefail

STAGING_HOST=${STAGING_HOST:-http://localhost:8000}
STAGING_HOST=${STAGING_HOST%/}
ARTIFACT_DIR=${ARTIFACT_DIR:-artifacts/smoke_$(date -u +%Y%m%dT%H%M%SZ)}
SMOKE_TIMEOUT=${SMOKE_TIMEOUT:-60}
SECRET=${WEBHOOK_SECRET:-}
SECRET=${SECRET%%,*}
TOKEN=${API_TOKEN:-}
TOKEN=${TOKEN%%,*}
TOKEN=${TOKEN##*:} # NAME:SCOPES:TOKEN
USER_ID=
TX_ID=
WARNINGS=0

log() { printf '[%s] %s\n' "$(date -u +%H:%M:%S)" "$*"; }
warn() {
  WARNINGS=$((WARNINGS + 1))
  log "WARNING: $*"
}

# The status of a request: request METHOD PATH FILE [curl's options]. The body goes
# to FILE and nothing else does; 000 when there was no answer.
request() {
  local method=$1 path=$2 file=$3
  shift 3
  curl -sS -X "$method" --connect-timeout 5 --max-time 30 -o "$ARTIFACT_DIR/$file" \
    -w '%{http_code}' "$@" "$STAGING_HOST$path" 2>>"$ARTIFACT_DIR/curl_errors.txt" || true
}

# A text member of a JSON object in a file: json_text FILE NAME.
json_text() {
  if command -v jq >/dev/null 2>&1; then
    jq -r --arg name "$2" '.[$name] // empty' "$ARTIFACT_DIR/$1" 2>/dev/null || true
  else
    sed -n "s/.*\"$2\": *\"\([^\"]*\)\".*/\1/p" "$ARTIFACT_DIR/$1" | head -n 1
  fi
}

# A secret never stands in a command line: curl reads it from a file.
authorized() {
  if [ -n "$TOKEN" ]; then
    request "$@" -H @<(printf 'Authorization: Bearer %s\n' "$TOKEN")
  else
    request "$@"
  fi
}

check_health() {
  local status
  log "1. health"
  status=$(request GET /api/v1/health health.json)
  if [ "$status" != 200 ]; then
    log "FAILED: GET /api/v1/health answered $status, expected 200"
    exit 2
  fi
  log "   $(cat "$ARTIFACT_DIR/health.json")"
}

check_register() {
  local status
  log "2. registration"
  # With a token that may see users, the 409 tells whose the name is.
  status=$(authorized POST /api/v1/auth/register register_resp.json \
    -H 'Content-Type: application/json' \
    -d '{"telegram_id":999999999,"username":"smoke_test_user"}')
  case $status in
    200 | 201 | 409)
      USER_ID=$(json_text register_resp.json user_id)
      log "   $status, user ${USER_ID:-unknown}"
      ;;
    *) warn "POST /api/v1/auth/register answered $status, expected 200, 201 or 409" ;;
  esac
}

check_webhook() {
  local status body user='' sign=() signature
  log "3. webhook"
  [ -z "$USER_ID" ] || user=",\"user_id\":\"$USER_ID\""
  body=$(printf '{"tx_hash":"smoke-%s-%s","amount":"0.001","confirmations":12%s,"metadata":{"note":"smoke_test"}}' \
    "$(date +%s)" "$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')" "$user")
  if [ -n "$SECRET" ]; then
    signature=$(printf '%s' "$body" | hmac)
    sign=(-H "X-Signature: sha256=$signature")
  fi
  status=$(request POST /api/v1/webhooks/bep20 webhook_resp.json \
    -H 'Content-Type: application/json' ${sign[@]+"${sign[@]}"} -d "$body")
  TX_ID=$(json_text webhook_resp.json tx_id)
  if [ "$status" != 202 ] || [ -z "$TX_ID" ]; then
    log "FAILED: POST /api/v1/webhooks/bep20 answered $status, expected 202 with a tx_id"
    log "   $(head -c 500 "$ARTIFACT_DIR/webhook_resp.json" 2>/dev/null)"
    exit 3
  fi
  log "   202, deposit $TX_ID"
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then
    sha256sum | cut -c1-64
  else
    shasum -a 256 | cut -c1-64
  fi
}

# The HMAC-SHA256 of standard input under SECRET in hexadecimal digits. By hand:
# openssl would take the key on its command line, where everyone can read it.
hmac() {
  local key byte i inner='' outer='' digest
  key=$(printf '%s' "$SECRET" | od -An -v -tx1 | tr -d ' \n')
  [ ${#key} -le 128 ] || key=$(printf '%s' "$SECRET" | sha256)
  for ((i = 0; i < 64; i++)); do
    byte=${key:2*i:2}
    byte=$((16#${byte:-0}))
    inner+=$(printf '\\x%02x' $((byte ^ 0x36)))
    outer+=$(printf '\\x%02x' $((byte ^ 0x5c)))
  done
  digest=$({
    printf '%b' "$inner"
    cat
  } | sha256)
  for ((i = 0; i < 32; i++)); do
    outer+="\\x${digest:2*i:2}"
  done
  printf '%b' "$outer" | sha256
}

check_processing() {
  local status state='' deadline
  log "4. credit, within $SMOKE_TIMEOUT s"
  deadline=$(($(date +%s) + SMOKE_TIMEOUT))
  while :; do
    status=$(authorized GET "/api/v1/transactions/$TX_ID" transaction.json)
    case $status in
      200) state=$(json_text transaction.json state) ;;
      401 | 403)
        warn "GET /api/v1/transactions/$TX_ID answered $status: without API_TOKEN the credit is not checked"
        return
        ;;
    esac
    case $state in
      credited) break ;;
      unmatched) [ -n "$USER_ID" ] || break ;;
    esac
    [ "$(date +%s)" -lt "$deadline" ] || break
    sleep 0.5
  done
  case $state:$USER_ID in
    credited:*) log "   credited" ;;
    unmatched:) warn "the deposit is unmatched: there was no user to credit" ;;
    *)
      log "FAILED: after $SMOKE_TIMEOUT s deposit $TX_ID is '${state:-unknown}' (answer $status), not credited"
      exit 4
      ;;
  esac
}

check_transactions() {
  local status count
  log "5. transactions"
  status=$(authorized GET /api/v1/transactions transactions.json)
  if [ "$status" != 200 ]; then
    warn "GET /api/v1/transactions answered $status, expected 200"
    return
  fi
  count=$(tr ',' '\n' <"$ARTIFACT_DIR/transactions.json" | grep -c '"tx_id"' || true)
  log "   $count on the first page"
}

check_metrics() {
  local status name count
  log "6. metrics"
  status=$(request GET /metrics metrics.txt)
  if [ "$status" = 404 ]; then
    log "   none at this address: METRICS_PORT has them"
    return
  fi
  if [ "$status" != 200 ]; then
    warn "GET /metrics answered $status, expected 200"
    return
  fi
  for name in http_requests_total celery_task; do
    count=$(grep -c "$name" "$ARTIFACT_DIR/metrics.txt" || true)
    log "   $count lines with $name"
  done
}

summary() {
  local status=$? file
  log "Artifacts in $ARTIFACT_DIR:"
  for file in "$ARTIFACT_DIR"/*; do
    [ ! -s "$file" ] || log "   ${file##*/}"
  done
  if [ "$status" -eq 0 ]; then
    log "Smoke test passed, $WARNINGS warnings"
  else
    log "Smoke test FAILED with status $status, $WARNINGS warnings"
  fi
}

mkdir -p "$ARTIFACT_DIR"
log "Smoke test of $STAGING_HOST"
trap summary EXIT
check_health
check_register
check_webhook
check_processing
check_transactions
check_metrics
