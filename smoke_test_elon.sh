#!/usr/bin/env bash
# The hero's deal, then keys, limits, feeds, sealed prices; a kill -9 midway, a backup, an audit.
# Against the server that AME_BASE names (sandbox mode), else against a throw-away one. What would
# harm or needs the machine of a server (kill, backup, audit) is done to a throw-away one always.
# shellcheck source=scripts/smoke_steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/scripts/smoke_steps.sh"

keys_rotate_and_revoke() {
  local id old=$RIVAL_KEY new
  call GET /protocol/keys 200 "" "$old"
  id=$(tell 'a["keys"][0]["key_id"]')
  call POST "/protocol/keys/$id/rotate" 200 '{"grace_seconds": 60}' "$old"
  new=$(tell 'a["api_key"]')
  call POST /protocol/keys/validate 200 "{\"api_key\": \"$old\"}"
  want "the old key counts on for its grace" 'a["valid"] is True and a["status"] == "grace"'
  call POST "/protocol/keys/$id/revoke" 200 '{"reason": "smoke test"}' "$new"
  sleep 1 # revoking counts everywhere within a second
  call GET "/protocol/agents/$RIVAL/revenue-audit" 401 "" "$old"
  call GET "/protocol/agents/$RIVAL/revenue-audit" 200 "" "$new"
  RIVAL_KEY=$new
  say "key rotated, its predecessor revoked in its grace"
}

limit_is_met() {
  "$PYTHON" - "$BASE" "$SELLER_KEY" "$(SETTLE_BODY)" >"$ANSWER" <<'PROGRAM' || fail "no 429"
import http.client, json, sys
from urllib.parse import urlsplit

base, key, body = urlsplit(sys.argv[1]), sys.argv[2], sys.argv[3]
kind = http.client.HTTPSConnection if base.scheme == "https" else http.client.HTTPConnection
connection = kind(base.netloc, timeout=60)
for calls in range(1, 2001):
    headers = {"Content-Type": "application/json", "X-API-Key": key}
    connection.request("POST", "/protocol/settle", body, headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    if answer.status == 429:
        wait = {"calls": calls, "header": answer.headers["Retry-After"], **said}
        sys.exit(print(json.dumps(wait)))
    assert answer.status == 200 and said["_idempotent"] is True, said
sys.exit(1)
PROGRAM
  want "body and header agree" \
    'a["error"] == "rate_limited" and 0 < a["retry_after_seconds"] <= int(a["header"]) <= 60'
  local calls wait
  calls=$(tell 'a["calls"]')
  wait=$(tell 'a["header"]')
  call GET "/protocol/deals/$DEAL/replay" 200 "" "$BUYER_KEY"
  sleep "$wait"
  call POST /protocol/settle 200 "$(SETTLE_BODY)" "$SELLER_KEY"
  say "429 at settle replay $calls; others are served, and so is the caller after $wait s"
}

feeds_answer() {
  local narrow
  call GET /protocol/econ/feed 200
  want "the public feed says its guards" \
    'a["feed_type"] == "public" and a["k_anonymity_threshold"] >= 5 and
     a["delay_applied_seconds"] >= 3600'
  call GET /protocol/econ/feed/premium 401
  call POST /protocol/keys 200 '{"name": "narrow", "scopes": ["read"]}' "$SELLER_KEY"
  narrow=$(tell 'a["api_key"]')
  call GET /protocol/econ/feed/premium 403 "" "$narrow"
  call GET /protocol/econ/feed/premium 200 "" "$SELLER_KEY"
  want "premium is delayed alike" 'a["delay_applied_seconds"] >= 3600'
  say "feeds: public 200; premium 401, 403, 200"
}

sealed_price_is_nowhere() {
  local intent deal
  call POST /protocol/intents 200 \
    '{"capability": "marketing", "budget_usd": "99999999.00", "deadline_hours": 24}' "$BUYER_KEY"
  intent=$(tell 'a["intent_id"]')
  deal=$(tell 'a["deal_id"]')
  call POST "/protocol/intents/$intent/bids" 200 \
    '{"price_usd": "98765432.19", "delivery_hours": 12}' "$SELLER_KEY"
  call GET "/protocol/intents/$intent" 200
  cp "$ANSWER" "$WORK/seen_1.txt"
  call GET "/protocol/deals/$deal/timeline" 200
  cp "$ANSWER" "$WORK/seen_2.txt"
  call GET "/protocol/intents/$intent" 200 "" "$RIVAL_KEY"
  cp "$ANSWER" "$WORK/seen_3.txt"
  call GET /metrics 200
  cp "$ANSWER" "$WORK/seen_4.txt"
  # As text, in minor units, and as SQLite and a binary column would store that integer.
  "$PYTHON" - "$WORK" <<'PROGRAM' || fail "the sealed price stands in what is listed above"
import pathlib, sys

minor = 9876543219
forms = [b"98765432.19", str(minor).encode(), minor.to_bytes(6, "big"), minor.to_bytes(8, "little")]
places = [path for path in pathlib.Path(sys.argv[1]).rglob("*") if path.is_file()]
found = [path for path in places for form in forms if form in path.read_bytes()]
print(*found, sep="\n", file=sys.stderr)
sys.exit(bool(found))
PROGRAM
  call POST "/protocol/intents/$intent/close" 200 '{}' "$BUYER_KEY"
  want "the close reveals it" 'a["winning_price_minor"] == 9876543219'
  say "a sealed price is in no page${SERVER:+, database, log or book} before the close"
}

crash_midway() {
  deal_until_approved
  crash_server
  start_server
  call POST /protocol/go 200 "$(GO_BODY)" "$BUYER_KEY"
  want "the GO survived" 'a["_idempotent"] is True'
  call_and_crash POST /protocol/settle "$(SETTLE_BODY)" "$SELLER_KEY"
  start_server
  settle_twice
  pay_out
  replay_is_clean
  bundle_verifies
  say "kill -9 after GO and during settle: one charge, one payout"
}

# The call is on its way, or being worked on, when the server dies.
call_and_crash() {
  curl --silent --noproxy '*' --max-time 20 --request "$1" --header 'Content-Type: application/json' \
    --header "X-API-Key: $4" --data "$3" --output /dev/null "$BASE$2" &
  local caller=$!
  sleep 0.05
  crash_server
  wait "$caller" || true
}

backup_validates() {
  bash "$TOP/scripts/backup.sh" --out "$WORK/backups" >/dev/null || fail "no backup"
  bash "$TOP/scripts/backup.sh" --validate-only --out "$WORK/backups" >/dev/null ||
    fail "the backup is not valid"
  bash "$TOP/scripts/recover.sh" --latest --validate --out "$WORK/backups" >/dev/null ||
    fail "the backup cannot be restored"
  say "backup taken, valid, and restorable"
}

audit_is_clean() {
  "${SETTLEMENT[@]}" audit --json >"$ANSWER" || fail "settlement audit"
  want "no check fails" 'a["ok"] is True'
  say "settlement audit"
}

begin
hero_story
keys_rotate_and_revoke
feeds_answer
sealed_price_is_nowhere
limit_is_met
if [ -z "$SERVER" ]; then
  own_settings
  start_server
  say "what would harm $AME_BASE is done to a throw-away server, $BASE"
  register_agents
fi
crash_midway
backup_validates
audit_is_clean
echo "smoke_test_elon: passed"
