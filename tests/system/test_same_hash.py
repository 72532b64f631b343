# SPDX-License-Identifier: MIT
"""Webhooks that tell of the same transfers in many ways: both ledgers say the same of
each, and several APIs and a worker that hear of them at once neither fail nor credit
one twice."""

import collections
import json
import os
import random
import subprocess
import threading
import uuid

import pytest

import harness
from harness import SECRET, wait_for

SEED = int(os.environ.get("T_SEED") or random.SystemRandom().randrange(2**32))
BROKER = "filesystem://{}/spool"
# One that calls its indexes the chain's own, at the chain's own path.
SOURCES = {"chains": {"bep20": {"log_index_stable": True}}}
SETTINGS = {"WEBHOOK_CHAINS": "bep20,trc20,own:other", "WEBHOOK_SECRET": None, "WEBHOOK_SECRET_BEP20": SECRET,
            "WEBHOOK_SECRET_TRC20": "tron-secret", "WEBHOOK_SECRET_OWN": "own-secret",
            "DEPOSIT_SWEEP_INTERVAL": "0.2", "DEPOSIT_SWEEP_GRACE": "0.2"}
SECRETS = {"bep20": SECRET, "trc20": "tron-secret", "own": "own-secret"}
ADDRESSES = [None, "0x" + "aB" * 20, "0x" + "ab" * 20, "CD" * 20, "TQn9Y2khEsLJW1ChVWFMSMeRDow5KcbLSE"]


class Ledger:
    """A ledger with an API, and another one where it bears two."""

    def __init__(self, folder, url, started, apis=1, worker=True):
        folder.mkdir()
        (folder / "sources.json").write_text(json.dumps(SOURCES))
        self.url = url or f"sqlite:///{folder}/l.db"
        self.env = {**SETTINGS, "WEBHOOK_SOURCES_FILE": folder / "sources.json"}
        broker = BROKER.format(folder)
        self.apis = [harness.Api(folder, self.url, broker, **self.env) for _ in range(apis)]
        started += [api.process for api in self.apis]
        if worker:
            started.append(harness.Worker(folder, self.url, broker, DEPOSIT_SWEEP_INTERVAL="0.1",
                                          DEPOSIT_SWEEP_GRACE="0.1").ready())
        # Two with a name, and one whom nobody knows.
        self.users = [self.apis[0].register(), self.apis[0].register(), str(uuid.UUID(int=1))]
        self.names = {}  # tx_id: how often a first one was told before it

    def post(self, chain, body, api=0):
        status, answer, _ = self.apis[api].webhook(json.dumps(body).encode(), chain, SECRETS[chain])
        return status, answer

    def told(self, chain, body):
        """What a sender learns, with the first, second, … deposit instead of ids."""
        if "user_id" in body:
            body = {**body, "user_id": self.users[body["user_id"]]}
        status, answer = self.post(chain, body)
        name = self.names.setdefault(answer.get("tx_id"), len(self.names))
        return status, answer.get("state"), answer.get("code"), answer.get("error"), name

    def rows(self):
        rows, cursor = [], {}
        while True:
            page = self.apis[0].get("/api/v1/transactions", limit=500, **cursor)[1]
            rows += page["transactions"]
            if page["next_cursor"] is None:
                return rows
            cursor = {"cursor": page["next_cursor"]}

    def settled(self):
        """Nothing is left that could be credited."""
        return not [r for r in self.rows() if r["state"] == "received"]

    def check(self):
        done = subprocess.run([str(harness.WORKER), "--check-ledger"], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=harness.plain_env(DATABASE_URL=self.url))
        assert done.returncode == 0, done.stdout


def spelling(rng, digits):
    return rng.choice([digits, digits.upper(), "0x" + digits, "0X" + digits.upper()])


def webhook(rng, hashes, users):
    """One of many ways to tell of one of few transfers."""
    body = {"tx_hash": spelling(rng, rng.choice(hashes)), "amount": rng.choice(["1", "1.0", "2"]),
            "confirmations": rng.choice([0, 0, 1, 3, 5])}
    options = {"log_index": [None, None, 0, 1, 2], "to_address": ADDRESSES, "user_id": [users[0]] * 3 + [users[1], users[2], None],
               "block_number": [None, 100, 101], "currency": [None] * 8 + ["USDC"], "removed": [None] * 9 + [True],
               "status": [None] * 9 + ["pending"]}
    for name, values in options.items():
        value = rng.choice(values)
        if value is not None:
            body[name] = value
    return rng.choice(["bep20", "bep20", "trc20", "own"]), body


@pytest.mark.parametrize("worker", [False, True], ids=["before settlement", "with settlement"])
def test_both_ledgers_say_the_same(tmp_path, started, postgres_server, worker):
    print(f"T_SEED={SEED}")
    rng = random.Random(SEED)
    database = postgres_server.new_database()
    ledgers = [Ledger(tmp_path / "sqlite", None, started, worker=worker),
               Ledger(tmp_path / "postgres", postgres_server.url(database), started, worker=worker)]
    for _ in range(60):
        hashes = ["%064x" % rng.getrandbits(256)]
        for _ in range(8):
            chain, body = webhook(rng, hashes, [0, 1, 2])
            answers = [ledger.told(chain, body) for ledger in ledgers]
            assert answers[0] == answers[1], (chain, body)
            if worker:  # what is answered depends on what is settled
                for ledger in ledgers:
                    wait_for(ledger.settled, "all is settled")
    states = [collections.Counter((r["tx_hash"].lower()[-64:], r["log_index"], r["amount"], r["currency"], r["state"],
                                   r["user_id"] and ledger.users.index(r["user_id"]), r["confirmations"])
                                  for r in ledger.rows()) for ledger in ledgers]
    assert states[0] == states[1]
    for ledger in ledgers:
        ledger.check()


def test_at_once_none_fails_and_none_is_credited_twice(tmp_path, started, postgres_server):
    """Six senders, two APIs, a worker; a dozen transfers at a time."""
    print(f"T_SEED={SEED}")
    database = postgres_server.new_database()
    ledger = Ledger(tmp_path / "pg", postgres_server.url(database), started, apis=2)
    hashes = ["%064x" % random.Random(SEED).getrandbits(256) for _ in range(12)]
    failed = []

    def send(n):
        rng = random.Random(f"{SEED} {n}")
        for _ in range(150):
            chain, body = webhook(rng, hashes, ledger.users)
            status, answer = ledger.post(chain, body, n % 2)
            if status >= 500:
                failed.append(answer)

    senders = [threading.Thread(target=send, args=(n,)) for n in range(6)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert failed == []
    wait_for(ledger.settled, "all is settled")
    ledger.check()
    deadlocks = postgres_server.sql(database, "SELECT deadlocks FROM pg_stat_database"
                                              f" WHERE datname = '{database}'")
    assert int(deadlocks) == 0
    # Of one recipient, amount and block at most as many as a stable index can tell apart.
    credited = collections.Counter()
    for row in ledger.rows():
        if row["state"] == "credited":
            credited[(row["tx_hash"].lower()[-64:], row["amount"], row["user_id"])] += 1
    assert credited and max(credited.values()) <= len(ADDRESSES) + 3, credited


def test_one_recipient_s_transfer_without_an_index_is_one(tmp_path, started, postgres_server):
    """Its amount is told in nine ways at once, to three APIs: one is the first."""
    database = postgres_server.new_database()
    ledger = Ledger(tmp_path / "pg", postgres_server.url(database), started, apis=3, worker=False)
    for round_ in range(60):
        tx_hash = f"{round_:064x}"
        ledger.post("trc20", {"tx_hash": tx_hash, "amount": "7", "to_address": ADDRESSES[3]})
        together = threading.Barrier(9)
        statuses = []

        def send(n):
            together.wait()
            statuses.append(ledger.post("trc20", {"tx_hash": tx_hash, "amount": str(100 + n),
                                                  "to_address": ADDRESSES[1]}, n % 3)[0])

        senders = [threading.Thread(target=send, args=(n,)) for n in range(9)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert sorted(statuses) == [202] + [409] * 8
