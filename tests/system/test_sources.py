# SPDX-License-Identifier: MIT
"""The definitions in docs/sources, each with bodies of its sender's form, and what
WEBHOOK_SOURCES_FILE refuses."""

import base64
import hashlib
import hmac
import json
import os
import signal
import sqlite3
import subprocess
import time

import pytest

import harness
from harness import SECRET, wait_for

SOURCES = harness.ROOT / "docs" / "sources"
KEYS = {"ALCHEMY_SIGNING_KEY": "whsec_inventedAlchemyKey01",
        "TATUM_HMAC_SECRET": "5f0c9a3e-0000-4000-8000-invented0001",
        "DEPOSITS_INC_SECRET": "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=,"
                               "whpk_2inpWwLgD/oVZFd1+x0roiKhlDOV7qBrlOLAV7e+adA=",
        "STRIPE_WEBHOOK_SECRET": "whsec_inventedStripeSecret01"}
CHAINS = {"WEBHOOK_CHAINS": "bep20,erc20,trc20,btc", "WEBHOOK_SECRET": SECRET}


def mac(key, message, digest=hashlib.sha256):
    return hmac.new(key, message, digest).digest()


def sign(source, body, at):
    """The headers that the sender would send, by its documentation."""
    if source == "alchemy":
        return {"X-Alchemy-Signature": mac(KEYS["ALCHEMY_SIGNING_KEY"].encode(), body).hex()}
    if source == "tatum":
        return {"x-payload-hash": base64.b64encode(
            mac(KEYS["TATUM_HMAC_SECRET"].encode(), body, hashlib.sha512)).decode()}
    if source == "stripe":
        signed = mac(KEYS["STRIPE_WEBHOOK_SECRET"].encode(), f"{at}.".encode() + body).hex()
        return {"Stripe-Signature": f"t={at},v1=00,v1={signed},v0=00"}
    key = base64.b64decode(KEYS["DEPOSITS_INC_SECRET"].split(",")[0].removeprefix("whsec_"))
    signed = base64.b64encode(mac(key, f"msg_2inventedMessageId000001.{at}.".encode() + body)).decode()
    return {"webhook-id": "msg_2inventedMessageId000001", "webhook-timestamp": str(at),
            "webhook-signature": f"v1,{signed} v2a,x"}


def sample(name):
    return (SOURCES / "samples" / f"{name}.json").read_bytes()


def test_the_signatures_are_the_documented_ones():
    """Computed apart from us, with the senders' own rules."""
    at = 1772619342
    assert sign("alchemy", sample("alchemy-token-native-internal-outgoing"), at)["X-Alchemy-Signature"] == (
        "699b22f1f0f0819ddc8c8905b4c9f279ada3c1153b7991ec92126e402dbcff7d")
    assert sign("tatum", sample("tatum-token-in"), at)["x-payload-hash"] == (
        "UOSmlpdzmLZtneHlz0mTW1FVMROGdWXkG0e8RoSKoxbgGlGGuEyFKahLrbA9HpxEeGEskPVrxhbyrBiCzfRW+g==")
    assert "v1,8bLgRISG01VuYGI+Rt1bFVCyZSI9oLoO/oyxA/WsMjQ=" in sign(
        "deposits-inc", sample("standard-confirmed"), at)["webhook-signature"]
    assert "v1=9ee7d183575a52c9c36201f82ad1ecbf7ef2fa19b24464de9ce37f1e8920f5f8" in sign(
        "stripe", sample("stripe-delivered"), at)["Stripe-Signature"]


class World:
    def __init__(self, tmp_path, started, sources=None, chains=None, **settings):
        self.file = tmp_path / "sources.json"
        self.chains = chains or {}
        self.write(sources if sources is not None else [
            s for path in sorted(SOURCES.glob("*.json")) for s in json.loads(path.read_text())["sources"]])
        self.api = harness.Api(tmp_path, f"sqlite:///{tmp_path}/l.db", f"filesystem://{tmp_path}/spool",
                               WEBHOOK_SOURCES_FILE=self.file, **{**CHAINS, **KEYS, **settings})
        started.append(self.api.process)

    def write(self, sources):
        self.file.write_text(json.dumps({"sources": sources, "chains": self.chains}))

    def post(self, source, body, at=None, **headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.api.request("POST", f"/api/v1/webhooks/{source}", raw, {
            "Content-Type": "application/json", **sign(source, raw, at or int(time.time())), **headers})

    def rows(self):
        return self.api.get("/api/v1/transactions", limit=500)[1]["transactions"]

    def row(self, tx_id):
        return self.api.get(f"/api/v1/transactions/{tx_id}")[1]


@pytest.fixture
def world(tmp_path, started):
    return World(tmp_path, started)


def test_alchemy_s_activity(world):
    status, answer, _ = world.post("alchemy", sample("alchemy-token-native-internal-outgoing"))
    assert status == 202, answer
    assert [d["state"] for d in answer["deposits"]] == ["received", "received", "received", "ignored"]
    assert answer["deposits"][3]["error"] == "a transfer to somebody else"
    assert "tx_id" not in answer and answer["inbox_id"]
    rows = [world.row(d["tx_id"]) for d in answer["deposits"][:3]]
    assert [(r["amount"], r["currency"], r["chain"]) for r in rows] == [
        ("125.5", "USDC", "erc20"), ("0.75", "ETH", "erc20"), ("0.02", "ETH", "erc20")]
    assert [r["log_index"] for r in rows[:2]] == [156, None] and rows[2]["log_index"] >= 2**30
    assert {r["inbox_id"] for r in rows} == {answer["inbox_id"]}
    assert rows[0]["block_number"] == 0x1502a1c
    # The same again, and the notice that has no activity.
    again = world.post("alchemy", sample("alchemy-token-native-internal-outgoing"))[1]
    assert [d["tx_id"] for d in again["deposits"]] == [d["tx_id"] for d in answer["deposits"]]
    status, answer, _ = world.post("alchemy", sample("alchemy-capacity"))
    assert (status, answer["deposits"]) == (202, [])


def test_alchemy_removes_what_a_reorganisation_took(world):
    first = json.loads(sample("alchemy-removed"))
    first["event"]["activity"][0]["log"]["removed"] = False
    first["id"] = "whevt_first"
    tx_id = world.post("alchemy", first)[1]["tx_id"]
    row = world.row(tx_id)
    assert (row["amount"], row["currency"], row["state"]) == ("12.34567890123456789", "USDT", "received")
    status, answer, _ = world.post("alchemy", sample("alchemy-removed"))
    assert (status, answer["tx_id"], answer["state"]) == (409, tx_id, "conflict")


def test_tokens_are_known_by_their_contract_alone(world):
    body = json.loads(sample("alchemy-removed"))
    entry = body["event"]["activity"][0]
    entry["log"]["removed"] = False
    entry["rawContract"]["address"] = "0x" + "ab" * 20  # calls itself USDT as well
    answer = world.post("alchemy", body)[1]
    assert answer["deposits"][0]["state"] == "ignored" and world.rows() == []


@pytest.mark.parametrize("name, state, money", [
    ("tatum-native", "received", ("0.75", "ETH", "erc20")),
    ("tatum-token-in", "received", ("25.5", "USDT", "bep20")),
    ("tatum-trc20", "received", ("20", "USDT", "trc20")),
    ("tatum-incoming-native", "received", ("0.0001", "ETH", "erc20")),
    ("tatum-incoming-fungible", "received", ("25.5", "USDT", "bep20")),
    ("tatum-mempool", "received", ("0.0042", "BTC", "btc")),
    ("tatum-reorg", "conflict", ("0.75", "ETH", "erc20")),
    ("tatum-token-out", "ignored", None),
    ("tatum-native-out", "ignored", None),
    ("tatum-fee", "ignored", None),
    ("tatum-spend", "ignored", None),
    ("tatum-outgoing-failed", "ignored", None),
])
def test_tatum_s_events(world, name, state, money):
    status, answer, _ = world.post("tatum", sample(name))
    assert (status, answer["deposits"][0]["state"]) == (202, state), answer
    rows = world.rows()
    assert [(r["amount"], r["currency"], r["chain"]) for r in rows] == ([money] if money else [])
    if name == "tatum-mempool":
        assert rows[0]["confirmations"] == 0


def test_a_token_of_tron_s_other_kind_is_not_a_trc20(world):
    """TRC-10 tokens are named by anybody; only TRC-20 transfers have a contract."""
    body = json.loads(sample("tatum-trc20"))
    body["type"] = "trc10"
    status, answer, _ = world.post("tatum", body)
    assert (status, answer["deposits"][0]["state"]) == (202, "ignored") and world.rows() == []


def test_a_fee_and_a_failed_call_transfer_nothing(world):
    """Feeds tell of calls with a value of zero beside the transfers that they make."""
    body = json.loads(sample("alchemy-token-native-internal-outgoing"))
    for entry in body["event"]["activity"]:
        entry["rawContract"]["rawValue"] = "0x0"
        entry["value"] = 0
    status, answer, _ = world.post("alchemy", body)
    assert (status, {d["state"] for d in answer["deposits"]}) == (202, {"ignored"}), answer
    assert answer["deposits"][0]["error"] == "nothing was transferred" and world.rows() == []


def test_a_name_of_a_token_refuses_nothing_where_contracts_count(world):
    body = json.loads(sample("alchemy-token-native-internal-outgoing"))
    strange = body["event"]["activity"][0]
    strange["rawContract"]["address"] = "0x" + "ab" * 20
    for name in ("Visit https://example.invalid to claim your reward of 1000", "\u2603 \u2603", ""):
        strange["asset"] = name
        body["id"] = f"whevt_{len(name)}"
        status, answer, _ = world.post("alchemy", body)
        assert (status, answer["deposits"][0]["state"]) == (202, "ignored"), answer
    assert len(world.rows()) == 2


def test_standard_webhooks(world):
    raw = sample("standard-confirmed")
    first = world.post("deposits-inc", raw)[1]
    row = world.row(first["tx_id"])
    assert (row["amount"], row["currency"], row["log_index"], row["confirmations"]) == ("125.5", "USDC", 156, 12)
    assert world.post("deposits-inc", raw)[1]["tx_id"] == first["tx_id"]
    # A thin one cannot be understood: it is kept, and told of.
    other = {"webhook-id": "msg_3", **sign("deposits-inc", sample("standard-thin"), int(time.time()))}
    status, answer, _ = world.post("deposits-inc", sample("standard-thin"), **other)
    assert (status, answer["code"]) == (409, "event_reused")
    status, answer, _ = world.post("deposits-inc", raw, at=int(time.time()) - 301)
    assert (status, answer["code"]) == (401, "stale")


def test_stripe_s_events(world):
    answer = world.post("stripe", sample("stripe-delivered"))[1]
    row = world.row(answer["tx_id"])
    assert (row["amount"], row["currency"], row["chain"]) == ("125.5", "USDC", "erc20")
    assert row["metadata"] == {"order_id": "inv-20417"}
    for name in ("stripe-rejected", "stripe-pending"):
        assert world.post("stripe", sample(name))[1]["deposits"][0]["state"] == "ignored"
    link = json.loads(sample("stripe-delivered"))
    link["id"] = "evt_other"
    details = link["data"]["object"]["transaction_details"]
    details["transaction_id"] = "https://explorer.example/tx/" + details["transaction_id"]
    assert world.post("stripe", link)[1]["tx_id"] == answer["tx_id"]
    # Who sends an event again may write it anew: the deposit is what counts.
    changed = json.loads(sample("stripe-delivered"))
    changed["created"] += 1
    assert world.post("stripe", changed)[1]["tx_id"] == answer["tx_id"]
    assert world.post("stripe", sample("stripe-delivered"), at=int(time.time()) - 400)[0] == 401
    assert len(world.rows()) == 1


# --- what every source can have --------------------------------------------------------


OWN = {"name": "own", "signature": {"scheme": "hmac", "header": "X-Own", "prefix": "mac="}, "secrets_env": "OWN_KEY",
       "chains": ["erc20"], "items": "/list", "assume_final": True,
       "fields": {"tx_hash": "/h", "amount": "/a", "log_index": "/i"}}


def own(world, body):
    raw = json.dumps(body).encode()
    return world.api.request("POST", "/api/v1/webhooks/own", raw, {
        "Content-Type": "application/json", "X-Own": "mac=" + mac(b"own-secret", raw).hex()})


def test_a_list_is_one_commit_with_an_answer_for_each(tmp_path, started):
    world = World(tmp_path, started, [{**OWN, "refused_status": 200}], OWN_KEY="own-secret")
    status, answer, _ = own(world, {"list": [{"h": "0x1", "a": "1", "i": 1}, {"h": "0x1", "a": "2", "i": 2},
                                             {"h": "0x1", "a": "1", "i": 3}, {"h": "0x2", "a": "x"}, 5]})
    assert status == 202
    assert [(d["state"], bool(d["tx_id"]), bool(d["error"])) for d in answer["deposits"]] == [
        ("received", True, False), ("received", True, False), ("conflict", True, False),
        ("refused", False, True), ("refused", False, True)]
    assert len({r["created_at"] for r in world.rows()}) <= 3 and len(world.rows()) == 3
    # All of it refused: this sender gives up on anything but 200.
    status, answer, _ = own(world, {"list": [{"h": "0x3", "a": "x"}]})
    assert (status, answer["ok"], answer["field"]) == (200, False, "amount")
    status, answer, _ = own(world, {"list": [{"h": "0x3", "a": "1"}] * 257})
    assert (status, answer["ok"], answer["field"]) == (200, False, "items")
    big = [{"h": f"0x{i:x}", "a": "1", "i": i} for i in range(100, 356)]
    status, answer, _ = own(world, {"list": big})
    assert status == 202 and all(d["state"] == "received" for d in answer["deposits"])


def test_a_replay_takes_the_rest_of_a_list(tmp_path, started):
    ours, later = "0x" + "a1" * 20, "0x" + "b2" * 20
    source = {**OWN, "fields": {**OWN["fields"], "to_address": "/to"}, "addresses": [ours]}
    world = World(tmp_path, started, [source], OWN_KEY="own-secret")
    answer = own(world, {"list": [{"h": "0x1", "a": "1", "to": ours}, {"h": "0x2", "a": "2", "to": later}]})[1]
    assert [d["state"] for d in answer["deposits"]] == ["received", "ignored"]

    def replay(*options):
        return subprocess.run([str(harness.API), "--replay", *options], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=harness.plain_env(
            DATABASE_URL=f"sqlite:///{tmp_path}/l.db", WEBHOOK_SOURCES_FILE=world.file, OWN_KEY="own-secret",
            CELERY_BROKER_URL=f"filesystem://{tmp_path}/spool", **CHAINS))

    def outcome():
        with sqlite3.connect(tmp_path / "l.db") as db:
            return db.execute("SELECT outcome FROM inbox").fetchall()

    assert outcome() == [("partial",)]
    world.write([{**source, "addresses": [ours, later]}])
    done = replay("--since", "2026-01-01")
    assert done.returncode == 0 and answer["inbox_id"] in done.stdout, done.stdout
    assert outcome() == [("stored",)] and len(world.rows()) == 2
    assert answer["inbox_id"] not in replay("--since", "2026-01-01").stdout
    # A mapping of before does not unmake it.
    world.write([source])
    assert replay(answer["inbox_id"]).returncode == 0 and outcome() == [("stored",)]


def test_what_the_ledger_cannot_hold_is_kept_all_the_same(tmp_path, started):
    world = World(tmp_path, started, [OWN], OWN_KEY="own-secret")
    with sqlite3.connect(tmp_path / "l.db") as db:
        db.execute("CREATE TRIGGER no BEFORE INSERT ON transactions WHEN NEW.amount = '42'"
                   " BEGIN SELECT RAISE(ABORT, 'no'); END")
    body = {"list": [{"h": "0x1", "a": "1"}, {"h": "0x2", "a": "42"}]}
    status, answer, _ = own(world, body)
    assert (status, answer["ok"], bool(answer["inbox_id"])) == (422, False, True), answer
    assert world.rows() == []
    with sqlite3.connect(tmp_path / "l.db") as db:
        assert db.execute("SELECT outcome, id FROM inbox").fetchall() == [("refused", answer["inbox_id"])]
        db.execute("DROP TRIGGER no")
    # The sender's next try takes all of it.
    assert own(world, body)[0] == 202 and len(world.rows()) == 2


def test_what_a_page_can_send_is_not_kept_without_a_signature(tmp_path, started):
    world = World(tmp_path, started, [], WEBHOOK_SECRET=None, WEBHOOK_ALLOW_UNSIGNED="1")
    status, answer, _ = world.api.request("POST", "/api/v1/webhooks/bep20", b'{"tx_hash":"0x1","amount":"1"}',
                                          {"Content-Type": "text/plain"})
    assert (status, "inbox_id" in answer) == (415, False), answer
    with sqlite3.connect(tmp_path / "l.db") as db:
        assert db.execute("SELECT count(*) FROM inbox").fetchone() == (0,)


def test_a_body_of_others_may_be_larger_than_ours(tmp_path, started):
    world = World(tmp_path, started, [OWN], OWN_KEY="own-secret")
    padding = "x" * (200 * 1024)
    assert own(world, {"list": [{"h": "0x1", "a": "1", "x": padding}]})[0] == 202
    status, answer, _ = own(world, {"list": [{"h": "0x2", "a": "1", "x": padding + "x" * 60 * 1024}]})
    assert (status, answer["code"]) == (413, "too_large")
    assert world.api.webhook({"tx_hash": "0x3", "amount": "1", "chain": "bep20", "x": "x" * 65000})[0] == 202
    status, answer, _ = world.api.webhook({"tx_hash": "0x4", "amount": "1", "x": padding})
    assert (status, answer["code"]) == (413, "too_large")


def test_addresses_and_rates_are_limited(tmp_path, started):
    world = World(tmp_path, started, [{**OWN, "rate_per_second": 2}, {**OWN, "name": "far", "secrets_env": "FAR_KEY",
                                                                     "allow_from": ["192.0.2.0/24", "2001:db8::/32"]}],
                  TRUSTED_PROXIES="127.0.0.1", OWN_KEY="own-secret", FAR_KEY="far-secret")
    statuses = [own(world, {"list": [{"h": f"0x{i}", "a": "1"}]}) for i in range(12)]
    limited = [s for s in statuses if s[0] == 429]
    assert limited and statuses[0][0] == 202 and limited[0][2]["Retry-After"] == "1"
    # Who repeats an old webhook from elsewhere does not use up the sender's share.
    raw = json.dumps({"list": [{"h": "0x1", "a": "1"}]}).encode()
    elsewhere = {"Content-Type": "application/json", "X-Own": "mac=" + mac(b"own-secret", raw).hex(),
                 "X-Forwarded-For": "192.0.2.7"}
    while own(world, {"list": [{"h": "0x1", "a": "1"}]})[0] != 429:
        pass
    assert world.api.request("POST", "/api/v1/webhooks/own", raw, elsewhere)[0] == 202
    raw = b'{"list":[]}'
    answer = world.api.request("POST", "/api/v1/webhooks/far", raw, {
        "Content-Type": "application/json", "X-Own": mac(b"far-secret", raw).hex()})
    assert (answer[0], answer[1]["code"]) == (403, "source_address")


def test_a_chain_s_own_path_has_limits_too(tmp_path, started):
    named = {"WEBHOOK_CHAINS": "bep20,btc", "WEBHOOK_SECRET": None, "WEBHOOK_SECRET_BEP20": SECRET,
             "WEBHOOK_SECRET_BTC": "another-secret"}
    world = World(tmp_path, started, [], {"bep20": {"log_index_stable": True, "refused_status": 200,
                                                   "status": {"final": ["paid"]}},
                                          "btc": {"allow_from": ["192.0.2.1"], "rate_per_second": 1}}, **named)
    for index in (1, 2):
        status, answer, _ = world.api.webhook({"tx_hash": "0x1", "amount": "1", "log_index": index, "status": "Paid"})
        assert (status, answer["state"]) == (202, "received")
    assert world.api.webhook({"tx_hash": "0x2", "amount": "1", "status": "confirmed"})[1]["state"] == "conflict"
    assert world.api.webhook({"tx_hash": "0x3"})[0] == 200
    status, answer, _ = world.api.webhook({"tx_hash": "0x4", "amount": "1"}, "btc", "another-secret")
    assert (status, answer["code"]) == (403, "source_address")


def test_the_paths_and_their_secrets_are_shown(tmp_path):
    """How many secrets each path has, and never one of them."""
    file = tmp_path / "sources.json"
    file.write_text(json.dumps({"sources": [{**OWN, "chains": {"a": "erc20", "b": "erc20", "c": "btc"},
                                             "fields": {**OWN["fields"], "chain": "/c"}}]}))
    done = subprocess.run([str(harness.API), "--check-config"], text=True, stdout=subprocess.PIPE,
                          env=harness.plain_env(WEBHOOK_SOURCES_FILE=file, OWN_KEY="own-secret,older-secret",
                                                WEBHOOK_SECRET_BTC="btc-secret", WEBHOOK_ALLOW_UNSIGNED="1", **CHAINS))
    assert done.returncode == 0
    unsigned = "; unsigned webhooks are accepted"
    assert [line for line in done.stdout.splitlines() if line.startswith("#")] == [
        f"# /api/v1/webhooks/{chain}: {chain} ({kind}); 1 secret{unsigned}{named}" for chain, kind, named in (
            ("bep20", "evm", "; a body must name its chain"), ("erc20", "evm", "; a body must name its chain"),
            ("trc20", "tron", "; a body must name its chain"), ("btc", "bitcoin", ""))] + [
        "# /api/v1/webhooks/own: erc20 (evm), btc (bitcoin); 2 secrets"]
    for secret in (SECRET, "own-secret", "older-secret", "btc-secret"):
        assert secret not in done.stdout


@pytest.mark.parametrize("chains, place", [
    ({"doge": {}}, "/chains/doge"), ({"bep20": {"items": "/x"}}, "/chains/bep20/items"), ([], "/chains")])
def test_what_is_wrong_of_a_chain_is_named_as_well(tmp_path, chains, place):
    file = tmp_path / "sources.json"
    file.write_text(json.dumps({"chains": chains}))
    done = subprocess.run([str(harness.API), "--check-config"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          env=harness.plain_env(WEBHOOK_SOURCES_FILE=file, **CHAINS))
    assert done.returncode == 2 and place in done.stdout, done.stdout


def test_the_file_is_read_again(tmp_path, started):
    world = World(tmp_path, started, [OWN], OWN_KEY="own-secret")
    body = {"list": [{"h": "0x1", "b": "1"}]}
    assert own(world, body)[0] == 400
    world.write([{**OWN, "fields": {**OWN["fields"], "amount": "/b"}}])
    os.kill(world.api.process.pid, signal.SIGHUP)
    wait_for(lambda: world.api.process.events("reloaded"), "the file is read again")
    assert own(world, body)[0] == 202
    world.file.write_text("{")
    os.kill(world.api.process.pid, signal.SIGHUP)
    failed = wait_for(lambda: world.api.process.events("reload_failed"), "the wrong file is told of")
    assert "WEBHOOK_SOURCES_FILE" in failed[0]["error"]
    assert own(world, body)[0] == 202


@pytest.mark.parametrize("change, place", [
    ({"name": "bep20"}, "/sources/0/name"),
    ({"name": "a/b"}, "/sources/0/name"),
    ({"nmae": "x"}, "/sources/0/nmae"),
    ({"secrets_env": "NOT_SET"}, "/sources/0/secrets_env"),
    ({"secrets_env": "SHORT"}, "/sources/0/secrets_env"),
    ({"signature": {"scheme": "md5"}}, "/sources/0/signature/scheme"),
    ({"signature": {"scheme": "hmac"}}, "/sources/0/signature"),
    ({"signature": {"scheme": "hmac", "header": "X Y"}}, "/sources/0/signature/header"),
    ({"signature": [{"scheme": "standard"}, 1]}, "/sources/0/signature/1"),
    ({"signature": {"scheme": "standard"}, "secrets_env": "RAW"}, "/sources/0"),
    ({"chains": ["doge"]}, "/sources/0/chains/0"),
    ({"chains": {"DOGE": "doge"}}, "/sources/0/chains/DOGE"),
    ({"chains": ["erc20", "bep20"]}, "/sources/0"),
    ({"chains": []}, "/sources/0"),
    ({"currencies": [{"name": "USDT"}]}, "/sources/0/currencies/0"),
    ({"currencies": [{"name": "USDT", "decimals": 19}]}, "/sources/0/currencies/0/decimals"),
    ({"currencies": [{"name": "USDT", "decimals": 6, "contract": "0x1"}]}, "/sources/0/currencies/0"),
    ({"amount_unit": "wei"}, "/sources/0/amount_unit"),
    ({"amount_unit": "base"}, "/sources/0"),
    ({"items": "list"}, "/sources/0/items"),
    ({"fields": {"tx_hash": "/h"}}, "/sources/0"),
    ({"fields": {"tx_hash": "h", "amount": "/a"}}, "/sources/0/fields/tx_hash"),
    ({"fields": {"tx_hash": "/h", "amount": "/a", "colour": "/c"}}, "/sources/0/fields"),
    ({"fields": {"tx_hash": "/h", "amount": {"pointer": "/a", "then": 1}}}, "/sources/0/fields/amount"),
    ({"status": {"final": "yes"}}, "/sources/0/status/final"),
    ({"accept": [{"pointer": "/x"}]}, "/sources/0/accept/0"),
    ({"refused_status": 500}, "/sources/0/refused_status"),
    ({"allow_from": ["300.0.0.1"]}, "/sources/0/allow_from"),
    ({"rate_per_second": 0}, "/sources/0/rate_per_second"),
    ({"log_index_stable": "yes"}, "/sources/0/log_index_stable"),
])
def test_what_is_wrong_in_the_file_is_named_by_its_place(tmp_path, change, place):
    file = tmp_path / "sources.json"
    file.write_text(json.dumps({"sources": [{**OWN, **change}]}))
    done = subprocess.run([str(harness.API), "--check-config"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          env=harness.plain_env(WEBHOOK_SOURCES_FILE=file, OWN_KEY="own-secret", SHORT="x",
                                                RAW="whsec_no-base-64!", **CHAINS))
    assert done.returncode == 2, done.stdout
    assert f"{place}" in done.stdout and "accepted" in done.stdout, done.stdout
    assert "own-secret" not in done.stdout


def test_two_sources_do_not_share_a_secret(tmp_path):
    file = tmp_path / "sources.json"
    # The last is the first source's key in the other form in which it may be written.
    for shared in (SECRET, "own-secret", "whsec_" + base64.b64encode(b"own-secret").decode()):
        file.write_text(json.dumps({"sources": [OWN, {**OWN, "name": "two", "secrets_env": "TWO"}]}))
        done = subprocess.run([str(harness.API), "--check-config"], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT,
                              env=harness.plain_env(WEBHOOK_SOURCES_FILE=file, OWN_KEY="own-secret", TWO=shared,
                                                    **CHAINS))
        assert done.returncode == 2 and "secret in common" in done.stdout, done.stdout
