# SPDX-License-Identifier: MIT
"""Threats of SECURITY.md that touch several parts at once: a stolen webhook, a sender
who floods, secrets in what is written and answered."""

import hashlib
import hmac
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import uuid

import harness
from harness import SECRET, TOKEN, wait_for

JSON = {"Content-Type": "application/json"}
SOURCE = {"name": "own", "signature": {"scheme": "hmac", "header": "X-Own"}, "secrets_env": "OWN_KEY",
          "chains": ["bep20"], "fields": {"tx_hash": "/h", "amount": "/a"}}


def api_with(tmp_path, started, **settings):
    api = harness.Api(tmp_path, f"sqlite:///{tmp_path}/ledger.db", f"filesystem://{tmp_path}/spool", **settings)
    started.append(api.process)
    return api


def inbox(tmp_path, columns="*"):
    with sqlite3.connect(f"{tmp_path}/ledger.db") as db:
        return db.execute(f"SELECT {columns} FROM inbox").fetchall()


def signature(raw, secret=SECRET):
    return hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


def balance(api, user):
    return api.get(f"/api/v1/wallets/{user}")[1]["deposit_balance"]


def test_a_stolen_webhook_is_worth_nothing(tmp_path, started):
    """Its signature has no time, and the inbox has forgotten it: the deposit has not."""
    quick = {"DEPOSIT_SWEEP_INTERVAL": "0.1", "DEPOSIT_SWEEP_GRACE": "0.1"}
    api = api_with(tmp_path, started, WEBHOOK_CHAINS="bep20,erc20", WEBHOOK_SECRET_ERC20="another-secret",
                   WEBHOOK_INBOX_RETENTION="1", DEPOSIT_MONITOR_INTERVAL="0.2", **quick)
    started.append(harness.Worker(tmp_path, f"sqlite:///{tmp_path}/ledger.db", f"filesystem://{tmp_path}/spool",
                                  **quick).ready())
    user = api.register()
    raw = json.dumps(harness.deposit_body(user)).encode()
    status, first, _ = api.webhook(raw)
    assert status == 202
    wait_for(lambda: balance(api, user) == "1.5", "the deposit is credited")
    wait_for(lambda: not inbox(tmp_path), "the inbox has forgotten it")
    for header in ("X-Signature", "X-Hub-Signature-256", "X-Webhook-Signature"):
        for path in ("webhooks/bep20", "webhook/bep20", "webhooks/BEP20", "webhooks/bep20?chain=erc20"):
            answer = api.request("POST", "/api/v1/" + path, raw, {**JSON, header: signature(raw)})
            assert (answer[0], answer[1]["tx_id"], answer[1]["state"]) == (202, first["tx_id"], "credited")
    for path, code in (("erc20", "signature"), ("bsc", "unknown_source")):
        assert api.webhook(raw, chain=path)[1]["code"] == code
    # Nobody but its sender can change it.
    changed = raw.replace(b'"1.5"', b'"9.5"')
    assert api.request("POST", "/api/v1/webhooks/bep20", changed, {**JSON, "X-Signature": signature(raw)})[0] == 401
    assert len(api.get("/api/v1/transactions")[1]["transactions"]) == 1
    assert balance(api, user) == "1.5"


def test_strangers_fill_no_inbox(tmp_path, started):
    """What is not signed leaves nothing behind, whatever is in it."""
    api = api_with(tmp_path, started)
    for i in range(20):
        raw = json.dumps({"tx_hash": f"0x{i}", "amount": "1", "metadata": {"x": "y" * 1000}}).encode()
        assert api.webhook(raw, secret="guessed-secret")[0] == 401
        assert api.request("POST", "/api/v1/webhooks/bep20", raw, JSON)[0] == 401
        assert api.webhook(raw, chain="nobody")[0] == 404
    assert inbox(tmp_path) == []
    assert api.get("/api/v1/transactions")[1]["transactions"] == []


def test_a_sender_that_floods_fills_the_inbox_at_its_rate(tmp_path, started):
    """Beyond its rate nothing is kept, and one wrong body is one row however often it comes."""
    sources = tmp_path / "sources.json"
    sources.write_text(json.dumps({"sources": [{**SOURCE, "rate_per_second": 3}]}))
    api = api_with(tmp_path, started, WEBHOOK_SOURCES_FILE=sources, OWN_KEY="own-secret")

    def post(number):
        raw = json.dumps({"h": f"0x{number}", "a": "1"}).encode()
        return api.request("POST", "/api/v1/webhooks/own", raw, {**JSON, "X-Own": signature(raw, "own-secret")})[0]

    answers = [post(i) for i in range(40)]
    assert set(answers) == {202, 429}
    assert len(inbox(tmp_path)) == answers.count(202) < 40
    for _ in range(10):
        assert api.webhook(b'{"amount":"1"}')[0] == 400
    assert inbox(tmp_path, "seen, outcome")[-1] == (10, "refused")
    assert len(inbox(tmp_path)) == answers.count(202) + 1


def test_no_secret_is_written_or_answered(tmp_path, started):
    """Not by a start, a request, a refusal, a reload or a tool; not at level debug."""
    files = {name: tmp_path / name for name in ("own", "btc")}
    files["own"].write_text("hidden-own-key\n")
    files["btc"].write_text("hidden-btc-secret\n")
    sources = tmp_path / "sources.json"
    sources.write_text(json.dumps({"sources": [SOURCE]}))
    settings = {"WEBHOOK_SECRET": "hidden-secret,hidden-older", "API_TOKEN": "ops:operate+read:hidden-token",
                "WEBHOOK_CHAINS": "bep20,btc", "WEBHOOK_SECRET_BTC_FILE": files["btc"], "OWN_KEY_FILE": files["own"],
                "WEBHOOK_SOURCES_FILE": sources, "CELERY_C_SIGN_KEYS": "k1:hidden-signing-key",
                "CELERY_BROKER_URL": "redis://:hidden-password@127.0.0.1:1/0"}
    api = api_with(tmp_path, started, DEBUG="1", LOG_LEVEL="debug", **settings)
    answers = []

    def ask(*request):
        answers.append(api.request(*request))
        return answers[-1][0]

    for secret, expected in (("hidden-secret", 202), ("hidden-older", 202), ("hidden-wrong", 401)):
        raw = json.dumps(harness.deposit_body(str(uuid.uuid4()))).encode()
        assert ask("POST", "/api/v1/webhooks/bep20", raw, {**JSON, "X-Signature": signature(raw, secret)}) == expected
    # Senders that put the secret itself where its signature belongs.
    for name in ("X-Signature", "Authorization", "X-Own"):
        assert ask("POST", "/api/v1/webhooks/bep20", raw, {**JSON, name: "hidden-secret"}) == 401
    for token, expected in (("hidden-token", 200), ("hidden-nothing", 401)):
        assert ask("GET", "/api/v1/transactions", None, {"Authorization": "Bearer " + token}) == expected
    assert ask("GET", "/api/v1/transactions?token=hidden-token", None, {}) == 401
    assert ask("GET", "/metrics", None, {}) == 200
    files["btc"].write_text("hidden\n")  # too short
    os.kill(api.process.pid, signal.SIGHUP)
    wait_for(lambda: api.process.events("reload_failed"), "the short secret is told of")
    files["btc"].write_text("hidden-btc-secret\n")
    env = harness.plain_env(DATABASE_URL=f"sqlite:///{tmp_path}/ledger.db", **settings)
    shown = "".join(subprocess.run([program, option], env=env, text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT).stdout
                    for program, option in ((harness.API, "--check-config"), (harness.WORKER, "--check-config"),
                                            (harness.API, "--since=2026-01-01"), (harness.WORKER, "--check-ledger")))
    assert "********" in shown
    kept = str(inbox(tmp_path, "headers"))
    for what in (api.process.log(), json.dumps([a[1:] for a in answers]), shown, kept):
        assert "hidden" not in what and TOKEN not in what
    assert "hidden" not in pathlib.Path(f"/proc/{api.process.pid}/cmdline").read_text()
