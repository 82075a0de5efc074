# The steps of smoke_test_hero.sh and smoke_test_elon.sh; sourced by them, never run by itself.
#
# AME_BASE names the server to try; without it a throw-away one (SQLite, sandbox, a free port) is
# started and removed again. Every step checks status and content; the first that fails ends the run
# with its answer. Needs bash, curl and Python.
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${PYTHON:-python3}
if [ -x "$TOP/.venv/bin/settlement" ]; then
  SETTLEMENT=("$TOP/.venv/bin/settlement")
elif command -v settlement >/dev/null; then
  SETTLEMENT=(settlement)
else
  export PYTHONPATH="$TOP/src${PYTHONPATH:+:$PYTHONPATH}"
  SETTLEMENT=("$PYTHON" -m settlement)
fi
WORK=$(mktemp -d "${TMPDIR:-/tmp}/settlement-smoke.XXXXXX")
ANSWER=$WORK/answer.json
HEADERS=$WORK/headers.txt
BASE=${AME_BASE:-}
BASE=${BASE%/}
SERVER=

clean_up() {
  local code=$?
  stop_server
  if [ $code -ne 0 ] && [ -f "$WORK/server.log" ]; then
    echo "--- the end of the server's log" >&2
    tail -n 30 "$WORK/server.log" >&2
  fi
  rm -rf "$WORK"
  exit $code
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- tools ---------------------------------------------------------------------------------------

say() { printf 'ok   %s\n' "$*"; }

fail() {
  printf 'FAIL %s\n' "$*" >&2
  if [ -s "$ANSWER" ]; then head -c 2000 "$ANSWER" >&2; echo >&2; fi
  exit 1
}

# call METHOD PATH STATUS [BODY [KEY [CURL OPTION...]]]: one call that must be answered so.
call() {
  local method=$1 path=$2 wanted=$3 body=${4:-} key=${5:-} status
  shift $(($# < 5 ? $# : 5))
  local options=(--silent --show-error --noproxy '*' --max-time 60 --request "$method")
  options+=(--output "$ANSWER" --dump-header "$HEADERS" --write-out '%{http_code}')
  [ -z "$body" ] || options+=(--header 'Content-Type: application/json' --data "$body")
  [ -z "$key" ] || options+=(--header "X-API-Key: $key")
  : >"$ANSWER"
  status=$(curl "${options[@]}" "$@" "$BASE$path") || fail "$method $path: no answer"
  [ "$status" = "$wanted" ] || fail "$method $path: status $status, not $wanted"
}

# tell EXPRESSION: print a Python expression over the last answer, `a`.
tell() {
  "$PYTHON" -c '
import json, sys
from decimal import Decimal
a = json.load(open(sys.argv[1]), parse_float=Decimal)
print(eval(sys.argv[2]))' "$ANSWER" "$1" 2>/dev/null || printf 'nothing for: %s' "$1"
}

# want WHAT EXPRESSION: the expression over the last answer must be true.
want() {
  [ "$(tell "bool($2)")" = True ] || fail "$1: not $2"
}

# ask_until EXPRESSION METHOD PATH BODY KEY: the same call again until its answer says so.
ask_until() {
  local expression=$1 method=$2 path=$3 body=$4 key=$5 tries=0
  while :; do
    call_loosely "$method" "$path" "$body" "$key"
    [ "$(tell "bool($expression)")" != True ] || return 0
    tries=$((tries + 1))
    [ $tries -lt 120 ] || fail "$method $path: never came to $expression"
    sleep 0.25
  done
}

# As `call`, where 200 and 202 are both right: 202 is "not final yet, ask again".
call_loosely() {
  local method=$1 path=$2 body=$3 key=$4 status
  local options=(--silent --show-error --noproxy '*' --max-time 60 --request "$method")
  [ -z "$body" ] || options+=(--header 'Content-Type: application/json' --data "$body")
  status=$(curl "${options[@]}" --output "$ANSWER" --write-out '%{http_code}' \
    --header "X-API-Key: $key" "$BASE$path") || fail "$method $path: no answer"
  case $status in 200 | 202) ;; *) fail "$method $path: status $status" ;; esac
}

# --- a server of our own -------------------------------------------------------------------------

own_settings() {
  local name
  for name in $(compgen -e); do
    case $name in SETTLEMENT_*) unset "$name" ;; esac
  done
  export SETTLEMENT_PORT=0 SETTLEMENT_DATABASE="sqlite:///$WORK/settlement.db"
  export SETTLEMENT_SIGNING_KEY_FILE="$WORK/keys/log_signing.key"
  export SETTLEMENT_CHECKPOINT_FILE="$WORK/checkpoint.json" SETTLEMENT_RAIL_DIR="$WORK/rail"
  export SETTLEMENT_JOB_LEASE_SECONDS=5
}

start_server() {
  : >"$WORK/started.json"
  (cd "$WORK" && exec "${SETTLEMENT[@]}" serve --json) \
    >"$WORK/started.json" 2>>"$WORK/server.log" </dev/null &
  SERVER=$!
  local tries=0
  until [ -s "$WORK/started.json" ]; do
    kill -0 "$SERVER" 2>/dev/null || fail "the server did not start"
    tries=$((tries + 1))
    [ $tries -lt 300 ] || fail "the server did not start in time"
    sleep 0.2
  done
  cp "$WORK/started.json" "$ANSWER"
  BASE=$(tell 'a["url"]')
}

stop_server() {
  [ -n "$SERVER" ] || return 0
  kill -TERM "$SERVER" 2>/dev/null || true
  wait "$SERVER" 2>/dev/null || true
  SERVER=
}

crash_server() {
  kill -KILL "$SERVER"
  wait "$SERVER" 2>/dev/null || true
  SERVER=
}

begin() {
  if [ -z "$BASE" ]; then
    own_settings
    start_server
  fi
  call GET /ready 200
  call GET /health 200
  want "the server plays with pretend money" 'a["mode"] == "sandbox"'
  say "server $BASE"
}

# --- the hero's story ----------------------------------------------------------------------------

# register VARIABLE NAME: an agent; its id in VARIABLE, its key in VARIABLE_KEY.
register() {
  call POST /protocol/register 200 "{\"name\": \"$2\", \"capabilities\": [\"marketing\"]}"
  printf -v "$1" '%s' "$(tell 'a["agent_id"]')"
  printf -v "$1_KEY" '%s' "$(tell 'a["api_key"]')"
}

register_agents() {
  register BUYER "Smoke Buyer"
  register SELLER "Smoke Seller"
  register RIVAL "Smoke Rival"
  say "registered $BUYER, $SELLER and a rival bidder"
}

award_intent() {
  call POST /protocol/intents 200 \
    '{"capability": "marketing", "budget_usd": "100.00", "deadline_hours": 24}' "$BUYER_KEY"
  INTENT=$(tell 'a["intent_id"]')
  call POST "/protocol/intents/$INTENT/bids" 200 \
    '{"price_usd": "80.00", "delivery_hours": 12, "message": "by noon"}' "$SELLER_KEY"
  call POST "/protocol/intents/$INTENT/bids" 200 \
    '{"price_usd": "95.00", "delivery_hours": 20}' "$RIVAL_KEY"
  call GET "/protocol/intents/$INTENT" 200
  want "bids are sealed" 'a["bids"] == "sealed" and a["bid_count"] == 2'
  call POST "/protocol/intents/$INTENT/close" 200 '{}' "$BUYER_KEY"
  want "the better bid wins" "a['winner']['agent_id'] == '$SELLER'"
  DEAL=$(tell 'a["deal_id"]')
  say "intent with two sealed bids closed: deal $DEAL"
}

prove_and_verify() {
  call POST /protocol/proof-pack 200 "{\"agent_username\": \"$SELLER\", \"deal_id\": \"$DEAL\",
    \"vertical\": \"marketing\", \"proof_type\": \"landing_preview\",
    \"scope_summary\": \"Landing page, five sections\",
    \"proof_data\": {\"preview_url\": \"https://example.org/preview\"}}" "$SELLER_KEY"
  want "the price is the winning bid" 'a["estimated_price"] == 80'
  QUOTE=$(tell 'a["quote_id"]')
  LOCK=$(tell 'a["scope_lock_hash"]')
  PROOF=$(tell 'a["proof_hash"]')
  call POST /protocol/verify/provider 200 "{\"deal_id\": \"$DEAL\", \"proof_hash\": \"$PROOF\",
    \"proof_type\": \"landing_preview\",
    \"proof_data\": {\"preview_url\": \"https://example.org/preview\"}}" "$BUYER_KEY"
  want "the proof passes" 'a["verification"]["verified"] is True'
  local receipt
  receipt=$(tell 'a["receipt_hash"]')
  call GET "/protocol/verify/$DEAL/receipt" 200
  want "one receipt, the same" \
    "a['receipt_count'] == 1 and a['receipts'][0]['receipt_hash'] == '$receipt'"
  say "proof packed, verified, receipt $receipt"
}

GO_BODY() { printf '{"deal_id": "%s", "quote_id": "%s", "scope_lock_hash": "%s"}' "$DEAL" "$QUOTE" "$LOCK"; }

SETTLE_BODY() {
  printf '{"deal_id": "%s", "amount": "80.00", "actor_id": "%s", "counterparty_id": "%s"}' \
    "$DEAL" "$SELLER" "$BUYER"
}

go_twice() {
  call POST /protocol/go 200 "$(GO_BODY)" "$BUYER_KEY"
  want "the first GO is the original" 'a["_idempotent"] is False and a["amount"] == 80'
  local key
  key=$(tell 'a["go_key"]')
  call POST /protocol/go 200 "$(GO_BODY)" "$BUYER_KEY"
  want "the second GO is its replay" "a['_idempotent'] is True and a['go_key'] == '$key'"
  say "GO, and GO again: one approval"
}

settle_twice() {
  ask_until 'a.get("final") is not False' POST /protocol/settle "$(SETTLE_BODY)" "$SELLER_KEY"
  want "the split" \
    'a["gross_minor"] == 8000 and a["protocol_fee_minor"] == 252 and a["net_minor"] == 7748'
  call POST /protocol/settle 200 "$(SETTLE_BODY)" "$SELLER_KEY"
  want "the second settle is a replay" 'a["_idempotent"] is True and a["net_minor"] == 7748'
  say "settled, and settled again: 80.00 = 2.52 + 77.48, once"
}

pay_out() {
  local id
  ask_until 'a["payout"]["state"] in ("confirmed", "refused")' \
    POST /protocol/payouts "{\"deal_id\": \"$DEAL\"}" "$SELLER_KEY"
  want "the payout is confirmed" 'a["payout"]["state"] == "confirmed"'
  id=$(tell 'a["payout"]["payout_id"]')
  call GET "/protocol/payouts/$id" 200 "" "$SELLER_KEY"
  want "the whole net" 'a["payout"]["amount_minor"] == 7748'
  say "paid out $id"
}

replay_is_clean() {
  call GET "/protocol/deals/$DEAL/replay" 200 "" "$SELLER_KEY"
  want "the replay is clean" 'a["verdict"] == "clean" and a["ledger"]["duplicates"] == []'
  call GET "/protocol/deals/$DEAL/timeline" 200
  want "one of each" 'all([e["event_type"] for e in a["events"]].count(t) == 1 for t in
    ("GO_APPROVED", "PAYMENT_AUTHORIZED", "SETTLED", "PAYOUT_INITIATED", "PAYOUT_CONFIRMED"))'
  say "replay clean"
}

revenue_adds_up() {
  call GET "/protocol/agents/$SELLER/revenue-audit" 200 "" "$SELLER_KEY"
  want "the revenue audit equals the deal" \
    "Decimal(a['deals']['$DEAL']['gross']) == 80 and Decimal(a['credits']) == Decimal('77.48')"
  say "revenue audit"
}

bundle_verifies() {
  call GET "/protocol/proofs/$DEAL/export" 200
  cp "$ANSWER" "$WORK/bundle.json"
  call GET /protocol/merkle/public-key 200
  cp "$ANSWER" "$WORK/log_key.json"
  "${SETTLEMENT[@]}" verify "$WORK/bundle.json" --public-key "$WORK/log_key.json" --json \
    >"$ANSWER" || fail "the bundle does not verify"
  want "verified in full" 'a["verified"] is True and a["verification_level"] == "full"'
  sed 's/7748/7749/g' "$WORK/bundle.json" >"$WORK/tampered.json"
  if "${SETTLEMENT[@]}" verify "$WORK/tampered.json" --public-key "$WORK/log_key.json" \
    >/dev/null 2>&1; then
    fail "a bundle with one cent more verifies, too"
  fi
  say "bundle verified offline; with one changed cent it is refused"
}

deal_until_approved() {
  award_intent
  prove_and_verify
  go_twice
}

hero_story() {
  register_agents
  deal_until_approved
  settle_twice
  pay_out
  replay_is_clean
  revenue_adds_up
  bundle_verifies
}
