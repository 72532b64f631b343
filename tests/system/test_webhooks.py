# SPDX-License-Identifier: MIT
"""One valid webhook moves money once: chains and secrets, identity, words, the inbox,
replays, conflicts and their exit. On SQLite and on PostgreSQL, with a worker."""

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import time
import uuid

import pytest

import harness
from harness import SECRET, wait_for

BTC = "btc-chain-secret"
JSON = {"Content-Type": "application/json"}


class World:
    """An API with two chains, each with a secret of its own, and a worker."""

    def __init__(self, setup, started, **settings):
        self.setup = setup
        self.settings = {"WEBHOOK_CHAINS": "bep20,btc", "WEBHOOK_SECRET": None,
                         "WEBHOOK_SECRET_BEP20": SECRET, "WEBHOOK_SECRET_BTC": BTC,
                         "DEPOSIT_SWEEP_INTERVAL": "0.2", "DEPOSIT_SWEEP_GRACE": "0.2", **settings}
        self.api = harness.Api(setup.folder, setup.ledger, setup.broker, **self.settings)
        started.append(self.api.process)
        self.worker = harness.Worker(setup.folder, setup.ledger, setup.broker,
                                     DEPOSIT_SWEEP_INTERVAL="0.1", DEPOSIT_SWEEP_GRACE="0.2").ready()
        started.append(self.worker)
        self.user = self.api.register()

    def body(self, **more):
        return {"tx_hash": "0x" + uuid.uuid4().hex * 2, "amount": "1.5", "user_id": self.user,
                "confirmations": 12, **more}

    def state(self, tx_id):
        return self.api.get(f"/api/v1/transactions/{tx_id}")[1]["state"]

    def settled(self, tx_id, state="credited"):
        wait_for(lambda: self.state(tx_id) == state, f"{tx_id} is {state}")

    def balance(self, currency="USDT"):
        return self.api.get(f"/api/v1/wallets/{self.user}", currency=currency)[1]["deposit_balance"]

    def rows(self):
        return self.api.get("/api/v1/transactions", limit=500)[1]["transactions"]

    def inbox(self, columns="*", where="1=1"):
        """Rows of the inbox, from the database."""
        sql = f"SELECT {columns} FROM inbox WHERE {where} ORDER BY received_at"
        if self.setup.postgres:
            text = self.setup.postgres.sql(self.setup.database, f"SELECT json_agg(r) FROM ({sql}) r")
            return json.loads(text) if text.strip() else []
        import sqlite3
        with sqlite3.connect(f"{self.setup.folder}/ledger.db") as db:
            db.row_factory = sqlite3.Row
            return [dict(r) for r in db.execute(sql)]

    def tool(self, program, *options, **more):
        env = harness.plain_env(DATABASE_URL=self.setup.ledger, CELERY_BROKER_URL=self.setup.broker,
                                **{k: v for k, v in {**self.settings, **more}.items() if v is not None})
        return subprocess.run([str(program), *options], env=env, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)

    def metric(self, line):
        for row in self.api.request("GET", "/metrics")[1].splitlines():
            if row.startswith(line + " "):
                return float(row.rsplit(" ", 1)[1])
        return None


# The edge is the same on every broker, but not on every ledger.
BOTH = pytest.mark.parametrize("setup", ["embedded", "real"], indirect=True)
EMBEDDED = pytest.mark.parametrize("setup", ["embedded"], indirect=True)


@pytest.fixture
def world(setup, started):
    return World(setup, started)


def ok(answer, status=202):
    assert answer[0] == status, answer
    return answer[1]


# --- E1, E2: a signature counts for its chain ------------------------------------------


@BOTH
def test_a_signed_body_counts_on_its_own_path_alone(world):
    raw = json.dumps(world.body()).encode()
    first = ok(world.api.webhook(raw))
    before = world.metric('webhook_refused_total{code="404"}') or 0
    for path, status, code in (("bep20", 202, None), ("btc", 401, "signature"), ("erc20", 404, "unknown_source"),
                               ("bsc", 404, "unknown_source"), ("anything", 404, "unknown_source"),
                               ("health", 404, "unknown_source"), ("BEP20", 202, None)):
        answer = ok(world.api.webhook(raw, chain=path), status)
        if code:
            assert answer["code"] == code, path
        else:
            assert answer["tx_id"] == first["tx_id"]
    assert world.metric('webhook_refused_total{code="404"}') == before + 4
    ok(world.api.webhook(raw, chain="a,b" + "c" * 80), 404)
    told = [e for e in world.api.process.events("webhook_refused") if e["reason"] == "unknown_source"]
    assert [e.get("source") for e in told[-5:]] == ["erc20", "bsc", "anything", "health", None]
    world.settled(first["tx_id"])
    assert world.balance() == "1.5"
    assert len(world.rows()) == 1


@EMBEDDED
def test_a_shared_secret_needs_the_chain_in_the_signed_body(setup, started):
    world = World(setup, started, WEBHOOK_SECRET=SECRET, WEBHOOK_SECRET_BEP20=None, WEBHOOK_SECRET_BTC=None)
    answer = ok(world.api.webhook(world.body()), 422)
    assert (answer["field"], bool(answer["inbox_id"])) == ("chain", True)
    named = world.body(chain="bep20")
    ok(world.api.webhook(named))
    assert ok(world.api.webhook(named, chain="btc"), 422)["field"] == "chain"
    assert [r["chain"] for r in world.rows()] == ["bep20"]


def standard(body, secret, name, at=None, prefix="webhook"):
    at = str(int(at or time.time()))
    mac = hmac.new(secret, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    return {**JSON, f"{prefix}-id": name, f"{prefix}-timestamp": at,
            f"{prefix}-signature": "v1," + base64.b64encode(mac).decode()}


@BOTH
def test_an_event_id_stands_for_one_body(world):
    raw = json.dumps(world.body()).encode()
    other = json.dumps(world.body()).encode()
    hook = "/api/v1/webhooks/bep20"
    first = ok(world.api.request("POST", hook, raw, standard(raw, SECRET.encode(), "msg_1")))
    world.settled(first["tx_id"])
    again = ok(world.api.request("POST", hook, raw, standard(raw, SECRET.encode(), "msg_1", prefix="svix")))
    assert (again["tx_id"], again["state"], again["inbox_id"]) == (first["tx_id"], "credited", first["inbox_id"])
    before = world.metric('webhook_inbox_total{outcome="reused"}')
    refused = ok(world.api.request("POST", hook, other, standard(other, SECRET.encode(), "msg_1")), 409)
    assert refused["code"] == "event_reused"
    assert world.metric('webhook_inbox_total{outcome="reused"}') == before + 1
    assert len(world.rows()) == 1 and len(world.inbox()) == 2


@EMBEDDED
def test_a_missing_and_a_wrong_signature_are_told_apart(world):
    raw = json.dumps(world.body()).encode()
    hook = "/api/v1/webhooks/bep20"
    old = int(time.time()) - 4000
    for headers, code, reason in ((JSON, "signature_missing", "missing"),
                                  ({**JSON, "X-Signature": "0" * 64}, "signature", "wrong"),
                                  (standard(raw, SECRET.encode(), "msg", old), "stale", "stale")):
        answer = ok(world.api.request("POST", hook, raw, headers), 401)
        assert answer["code"] == code
        assert world.metric(f'webhook_signatures_refused_total{{reason="{reason}"}}') == 1
        assert world.api.process.events("webhook_refused")[-1]["reason"] == reason
    assert world.rows() == [] and world.inbox() == []


# --- E3, E4: identity --------------------------------------------------------------------


@BOTH
def test_a_hash_in_three_spellings_is_one_deposit(world):
    digits = uuid.uuid4().hex * 2
    ids = {ok(world.api.webhook(world.body(tx_hash=text), chain="btc", secret=BTC))["tx_id"]
           for text in (digits, digits.upper(), "0x" + digits)}
    assert len(ids) == 1
    ids = {ok(world.api.webhook(world.body(tx_hash=text)))["tx_id"]
           for text in ("0x" + digits, "0X" + digits.upper(), digits)}
    assert len(ids) == 1
    assert len(world.rows()) == 2
    for text in ("0x" + digits, digits.upper(), "0X" + digits.upper()):
        assert len(world.api.get("/api/v1/transactions", tx_hash=text)[1]["transactions"]) == 2


@BOTH
def test_another_index_waits_for_a_human(world):
    body = world.body(to_address="0xAbC0000000000000000000000000000000000001")
    first = ok(world.api.webhook(body))
    held = [ok(world.api.webhook({**body, "log_index": i})) for i in (3, 7)]
    assert [h["state"] for h in held] == ["conflict", "conflict"]
    row = world.api.get(f"/api/v1/transactions/{held[0]['tx_id']}")[1]
    assert row["conflict_reason"] == "possible_duplicate"
    assert world.api.get(f"/api/v1/transactions/{first['tx_id']}")[1]["log_index"] is None
    world.settled(first["tx_id"])
    assert world.balance() == "1.5"
    done = world.tool(harness.WORKER, "--resolve", held[0]["tx_id"], "credit", "--reason", "two payouts")
    assert done.returncode == 0, done.stdout
    world.settled(held[0]["tx_id"])
    done = world.tool(harness.WORKER, "--resolve", held[1]["tx_id"], "reject", "--reason", "told twice")
    assert done.returncode == 0, done.stdout
    assert world.state(held[1]["tx_id"]) == "rejected"
    assert world.balance() == "3"
    told = world.tool(harness.WORKER, "--explain", held[0]["tx_id"]).stdout
    assert "deposit_resolved" in told and "two payouts" in told
    done = world.tool(harness.WORKER, "--resolve", held[0]["tx_id"], "reject", "--reason", "too late")
    assert done.returncode == 1 and "is credited" in done.stdout
    for wrong in (["--resolve", held[0]["tx_id"]], ["--resolve", held[0]["tx_id"], "maybe", "--reason", "x"],
                  ["--resolve", held[0]["tx_id"], "credit"]):
        done = world.tool(harness.WORKER, *wrong)
        assert done.returncode == 2 and "credit|reject --reason" in done.stdout
    status, text = harness.check_ledger(world.setup.ledger)
    assert status == 0 and text.splitlines()[-1] == "2 deposits credited, 0 lost"


# --- E5 to E8: words and amounts -----------------------------------------------------------


@BOTH
def test_only_words_that_mean_final_are_credited(world):
    words = {"confirmed": "credited", "Success": "credited", " completed ": "credited", True: "credited",
             "pending": "awaiting_confirmations", "mempool": "awaiting_confirmations",
             "refunded": "conflict", "orphaned": "conflict", "removed": "conflict", "chargeback": "conflict",
             "double_spend": "conflict", "invalid": "conflict", " failed ": "conflict", 0: "conflict",
             "what is this": "conflict"}
    ids = {word: ok(world.api.webhook(world.body(status=word)))["tx_id"] for word in words}
    for word, state in words.items():
        world.settled(ids[word], state)
    removed = ok(world.api.webhook(world.body(removed=True)))
    assert removed["state"] == "conflict"
    assert world.balance() == "6"
    # What was pending becomes final.
    row = world.api.get(f"/api/v1/transactions/{ids['pending']}")[1]
    ok(world.api.webhook(world.body(tx_hash=row["tx_hash"], status="confirmed")))
    world.settled(ids["pending"])


@BOTH
def test_an_odd_amount_does_not_stop_the_right_one(world):
    body = world.body(amount="1", confirmations=1)
    first = ok(world.api.webhook(body))
    world.settled(first["tx_id"], "awaiting_confirmations")
    odd = {**body, "amount": "1.0000000000000000001"}
    for _ in range(2):
        answer = ok(world.api.webhook(odd), 409)
        assert answer["tx_id"] == first["tx_id"] and "another amount" in answer["error"]
    ok(world.api.webhook({**body, "confirmations": 12}))
    world.settled(first["tx_id"])
    assert world.balance() == "1"


@BOTH
def test_a_contradiction_is_recorded_once(world):
    body = world.body()
    first = ok(world.api.webhook(body))
    world.settled(first["tx_id"])
    for i in range(3):
        answer = ok(world.api.webhook({**body, "status": "reverted", "confirmations": 20 + i}), 409)
        assert answer["code"] == "contradiction" and "status" in answer["error"]
        assert (answer["tx_id"], answer["state"]) == (first["tx_id"], "credited")
    told = world.tool(harness.WORKER, "--explain", first["tx_id"]).stdout
    assert told.count("deposit_contradicted") == 1
    removed = ok(world.api.webhook({**body, "removed": True}), 409)
    assert removed["state"] == "credited"
    assert world.balance() == "1.5"


# --- E9 to E11: what is understood, and what is kept ------------------------------------------


@BOTH
def test_harmless_spellings_are_understood(world):
    raw = b"\xef\xbb\xbf" + json.dumps(
        {**world.body(), "confirmations": "12", "block_number": "0x10", "to_address": "", "log_index": "0x9c",
         "currency": ""}).replace('"1.5"', "15e-1").encode()
    first = ok(world.api.webhook(raw))
    row = world.api.get(f"/api/v1/transactions/{first['tx_id']}")[1]
    assert (row["amount"], row["confirmations"], row["block_number"], row["to_address"], row["log_index"]) == (
        "1.5", 12, 16, None, 156)
    assert ok(world.api.webhook(world.body(user_id="")))["state"] == "received"
    world.settled(first["tx_id"])


@BOTH
def test_what_is_refused_is_kept_once_and_counted(world):
    bad = json.dumps({"tx_hash": "0x1", "amount": "123456789012345678901"}).encode()
    first = ok(world.api.webhook(bad), 422)
    assert first["field"] == "amount" and first["deposits"][0]["state"] == "refused"
    for _ in range(2):
        assert ok(world.api.webhook(bad), 422)["inbox_id"] == first["inbox_id"]
    twice = b'{"tx_hash":"0x1","amount":"1","\\u0061mount":"2"}'
    assert ok(world.api.webhook(twice), 422)["error"] == "a key stands twice in one object"
    ok(world.api.webhook(b"not json"), 400)
    rows = world.inbox("id, source, outcome, error, field, seen")
    assert [(r["outcome"], r["seen"], r["field"]) for r in rows] == [
        ("refused", 3, "amount"), ("refused", 1, None), ("refused", 1, None)]
    assert rows[0]["source"] == "bep20"
    assert world.metric('webhook_inbox_total{outcome="refused"}') == 3
    assert world.metric('webhook_inbox_total{outcome="repeated"}') == 2
    kept = world.api.process.events("webhook_kept_refused")
    assert kept[0]["inbox_id"] == first["inbox_id"] and kept[0]["field"] == "amount"
    # What was not signed leaves nothing.
    ok(world.api.webhook(bad, secret="somebody else"), 401)
    assert len(world.inbox()) == 3 and world.rows() == []


@BOTH
def test_the_inbox_has_the_body_and_what_came_with_it(world):
    raw = json.dumps(world.body()).encode()
    answer = ok(world.api.webhook(raw, headers={"X-Request-Id": "mine-1", "User-Agent": "sender/1"}))
    assert answer["deposits"] == [{"tx_id": answer["tx_id"], "state": "received", "error": None}]
    row, = world.inbox()
    assert (row["id"], row["request_id"], row["outcome"]) == (answer["inbox_id"], "mine-1", "stored")
    headers = json.loads(row["headers"])
    assert (headers["User-Agent"], headers["client"]) == ("sender/1", "127.0.0.1")
    ids = row["tx_ids"] if isinstance(row["tx_ids"], list) else json.loads(row["tx_ids"])
    assert ids == [answer["tx_id"]]
    body = bytes.fromhex(row["body"].removeprefix("\\x")) if isinstance(row["body"], str) else row["body"]
    assert body == raw
    assert world.api.get(f"/api/v1/transactions/{answer['tx_id']}")[1]["inbox_id"] == answer["inbox_id"]


@BOTH
def test_a_replay_takes_what_a_new_mapping_understands(world):
    named = json.dumps(world.body(chain="bsc")).encode()
    refused = ok(world.api.webhook(named), 422)
    ignored = ok(world.api.webhook(b'{"tx_hash":1}'), 422)
    done = world.tool(harness.API, "--replay", refused["inbox_id"])
    assert done.returncode == 1 and done.stdout.splitlines()[-1] == "1 replayed, 1 still refused"
    # The body says a chain that the source does not have; it is renamed.
    renamed = {"WEBHOOK_CHAINS": "bsc:evm", "WEBHOOK_SECRET_BEP20": None, "WEBHOOK_SECRET_BTC": None,
               "WEBHOOK_SECRET_BSC": SECRET}
    rename = "UPDATE inbox SET source = 'bsc'"
    if world.setup.postgres:
        world.setup.postgres.sql(world.setup.database, rename)
    else:
        import sqlite3
        with sqlite3.connect(f"{world.setup.folder}/ledger.db") as db:
            db.execute(rename)
    done = world.tool(harness.API, "--replay", "--since", "2026-01-01", **renamed)
    assert done.returncode == 1 and done.stdout.splitlines()[-1] == "2 replayed, 1 still refused", done.stdout
    row, = world.rows()
    assert (row["chain"], row["tx_hash"]) == ("bsc", json.loads(named)["tx_hash"])
    assert world.api.get(f"/api/v1/transactions/{row['tx_id']}")[1]["inbox_id"] == refused["inbox_id"]
    world.settled(row["tx_id"])
    # Nothing is left of the first one; it does not credit twice either.
    done = world.tool(harness.API, "--since", "2026-01-01", **renamed)
    assert [line.split()[0] for line in done.stdout.splitlines()[:-1]] == [ignored["inbox_id"]]
    done = world.tool(harness.API, "--replay", refused["inbox_id"], **renamed)
    assert done.returncode == 0 and len(world.rows()) == 1
    assert world.tool(harness.API, "--since", "yesterday").returncode == 1
    assert world.tool(harness.API, "--replay", "nothing").returncode == 1


@BOTH
def test_old_webhooks_are_deleted(setup, started):
    world = World(setup, started, WEBHOOK_INBOX_RETENTION="1", DEPOSIT_MONITOR_INTERVAL="0.2")
    answer = ok(world.api.webhook(world.body()))
    wait_for(lambda: not world.inbox(), "the inbox is empty")
    world.settled(answer["tx_id"])


# --- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize("settings, says", [
    ({"WEBHOOK_SECRET": ","}, "WEBHOOK_SECRET"),
    ({"WEBHOOK_SECRET": "x"}, "8 to 256"),
    ({"WEBHOOK_SECRET": " "}, "WEBHOOK_SECRET"),
    ({"WEBHOOK_SECRET": "whsec_not-base-64!"}, "base64"),
    ({"WEBHOOK_SECRET": SECRET, "WEBHOOK_SECRET_ERC20": SECRET}, "WEBHOOK_SECRET_ERC20"),
    ({"WEBHOOK_SECRET": SECRET, "WEBHOOK_SECRET_ERC20_FILE": "/dev/null"}, "WEBHOOK_SECRET_ERC20_FILE"),
    ({"WEBHOOK_SECRET_BEP20": SECRET, "WEBHOOK_CHAINS": "bep20,btc"}, "WEBHOOK_SECRET_BTC"),
    ({"WEBHOOK_SECRET": SECRET, "WEBHOOK_CHAINS": "a b"}, "WEBHOOK_CHAINS"),
    ({"WEBHOOK_SECRET": SECRET, "WEBHOOK_CHAINS": "bep20:other,bep20"}, "WEBHOOK_CHAINS"),
    ({"WEBHOOK_SECRET": SECRET, "WEBHOOK_CHAINS": "eth,bep20,erc20:evm"}, "names of one network"),
    ({"WEBHOOK_SECRET": SECRET, "CHAIN_DECIMALS": '{"trc20":6}'}, "CHAIN_DECIMALS"),
    ({"WEBHOOK_SECRET": SECRET, "CHAIN_ASSUME_FINAL": "trc20"}, "CHAIN_ASSUME_FINAL"),
    ({}, "WEBHOOK_SECRET"),
])
def test_wrong_settings_are_named(settings, says):
    done = subprocess.run([str(harness.API), "--check-config"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=harness.plain_env(**settings))
    assert done.returncode == 2, done.stdout
    assert says in done.stdout
    assert SECRET not in done.stdout


@EMBEDDED
def test_a_chain_s_secret_comes_from_a_file_and_is_read_again(setup, started, tmp_path):
    file = tmp_path / "secret"
    file.write_text("first-secret\n")
    world = World(setup, started, WEBHOOK_SECRET_BEP20=None, WEBHOOK_SECRET_BEP20_FILE=str(file))
    ok(world.api.webhook(world.body(), secret="first-secret"))
    file.write_text("second-secret,first-secret\n")
    os.kill(world.api.process.pid, signal.SIGHUP)
    wait_for(lambda: world.api.process.events("reloaded"), "the secrets are read again")
    ok(world.api.webhook(world.body(), secret="second-secret"))
    file.write_text("x\n")
    os.kill(world.api.process.pid, signal.SIGHUP)
    failed = wait_for(lambda: world.api.process.events("reload_failed"), "the wrong secret is told of")
    assert "WEBHOOK_SECRET_BEP20" in failed[0]["error"]
    ok(world.api.webhook(world.body(), secret="second-secret"))
