#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""cricalgo-api from outside, on SQLite and on PostgreSQL.

Needs the programs' build folder in CRICALGO_BUILD and, for PostgreSQL, a
server of its own: it is started here, in a temporary folder, on a free port.
Only the standard library.
"""
import base64
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

BUILD = pathlib.Path(os.environ.get("CRICALGO_BUILD", "build"))
API = BUILD / "api" / "cricalgo-api"
SECRET = "test-secret-key"
HOOK = "/api/v1/webhooks/bep20"


def wait_for(condition, seconds=20):
    """Waits for a condition, not for a time."""
    until = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > until:
            raise AssertionError("not in time")
        time.sleep(0.02)


def sign(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Api:
    """One running cricalgo-api."""

    def __init__(self, folder, database, **env):
        self.log = open(folder / f"api-{uuid.uuid4()}.log", "w+b")
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")}
        self.process = subprocess.Popen(
            [API], stderr=self.log, stdout=self.log,
            env={**clean, "PORT": "0", "DATABASE_URL": database,
                 "CELERY_BROKER_URL": f"filesystem://{folder}/spool",
                 "WEBHOOK_SECRET": SECRET, **env})
        self.port = wait_for(self.find_port)

    def events(self):
        self.log.seek(0)
        lines = self.log.read().decode().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def find_port(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            raise AssertionError(self.log.read().decode())
        ports = [e["port"] for e in self.events() if e["event"] == "api_started"]
        return ports[0] if ports else None

    def call(self, method, path, body=None, headers=None, connection=None):
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        own.request(method, path, body=body, headers=headers or {})
        answer = own.getresponse()
        data = answer.read()
        if connection is None:
            own.close()
        kind = answer.headers.get("Content-Type", "")
        return answer.status, json.loads(data) if data and kind == "application/json" else data.decode(), answer.headers

    def hook(self, document, path=HOOK, headers=None, connection=None):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        sent = {"Content-Type": "application/json", "X-Signature": sign(body)}
        sent.update(headers or {})
        return self.call("POST", path, body, {k: v for k, v in sent.items() if v is not None}, connection)

    def rows(self):
        return self.call("GET", "/api/v1/transactions?limit=500")[1]["transactions"]

    def metric(self, line):
        text = self.call("GET", "/metrics")[1]
        for row in text.splitlines():
            if row.startswith(line + " "):
                return float(row.rsplit(" ", 1)[1])
        return None

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Postgres:
    """A server of our own."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.user:
            shutil.chown(folder, "postgres")
            folder.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.run("initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "--no-sync")
        self.start()

    def run(self, name, *arguments):
        subprocess.run([*self.user, self.bin / name, *arguments], check=True, cwd="/",
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        self.run("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o",
                 f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}", "start")

    def stop(self):
        self.run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def database(self):
        name = "t" + uuid.uuid4().hex[:8]
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", name)
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{name}"


# The members of every error (docs/api.md).
PROBLEM = {"ok", "error", "field", "request_id", "type", "title", "status", "detail", "code"}

# What is sent instead of the good document, and what comes back: the status, a
# part of the error, the field.
GOOD = {"tx_hash": "0xgood", "amount": "1.5"}
BAD = [
    (b"{", 400, "malformed JSON", None),
    (b"", 400, "malformed JSON", None),
    (b"[1]", 400, "must be a JSON object", None),
    (b'"x"', 400, "must be a JSON object", None),
    (b'{"tx_hash":"a","amount":NaN}', 400, "malformed JSON", None),
    (b'{"tx_hash":"a","amount":"1"} x', 400, "malformed JSON", None),
    (b'{"tx_hash":"\xff","amount":"1"}', 400, "malformed JSON", None),
    (b"[" * 5000 + b"]" * 5000, 400, "malformed JSON", None),
    ({}, 400, "missing tx_hash or amount", "tx_hash"),
    ({"tx_hash": "a"}, 400, "missing tx_hash or amount", "amount"),
    ({"amount": "1"}, 400, "missing tx_hash or amount", "tx_hash"),
    ({"tx_hash": "", "amount": "1"}, 400, "missing tx_hash or amount", "tx_hash"),
    ({"tx_hash": "a", "amount": None}, 400, "missing tx_hash or amount", "amount"),
    ({"tx_hash": 5, "amount": "1"}, 422, "tx_hash", "tx_hash"),
    ({"tx_hash": "a b", "amount": "1"}, 422, "tx_hash", "tx_hash"),
    ({"tx_hash": "é", "amount": "1"}, 422, "tx_hash", "tx_hash"),
    ({"tx_hash": "a\u0000", "amount": "1"}, 422, "tx_hash", "tx_hash"),
    ({"tx_hash": "x" * 129, "amount": "1"}, 422, "tx_hash", "tx_hash"),
    ({"tx_hash": "a", "amount": "0"}, 422, "above zero", "amount"),
    ({"tx_hash": "a", "amount": "-1"}, 422, "amount", "amount"),
    (b'{"tx_hash":"a","amount":-1}', 422, "amount", "amount"),
    ({"tx_hash": "a", "amount": "1,5"}, 422, "amount", "amount"),
    ({"tx_hash": "a", "amount": "x"}, 422, "amount", "amount"),
    ({"tx_hash": "a", "amount": True}, 422, "amount", "amount"),
    ({"tx_hash": "a", "amount": ["1"]}, 422, "amount", "amount"),
    ({"tx_hash": "a", "amount": "1" + "0" * 20}, 422, "20 digits", "amount"),
    ({**GOOD, "user_id": "bob"}, 422, "UUID", "user_id"),
    ({**GOOD, "user_id": 7}, 422, "UUID", "user_id"),
    ({**GOOD, "confirmations": -1}, 422, "confirmations", "confirmations"),
    ({**GOOD, "confirmations": 1.5}, 422, "confirmations", "confirmations"),
    ({**GOOD, "confirmations": 2 ** 64}, 422, "confirmations", "confirmations"),
    ({**GOOD, "chain": "eth"}, 422, "chain", "chain"),
    ({**GOOD, "log_index": -1}, 422, "log_index", "log_index"),
    ({**GOOD, "log_index": 2 ** 31}, 422, "log_index", "log_index"),
    ({**GOOD, "currency": "x" * 17}, 422, "currency", "currency"),
    ({**GOOD, "currency": 1}, 422, "currency", "currency"),
    ({**GOOD, "status": "x" * 65}, 422, "status", "status"),
    ({**GOOD, "metadata": []}, 422, "metadata", "metadata"),
]


class Common:
    """The cases of both databases."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="test-api-"))
        cls.api = Api(cls.folder, cls.new_database())

    @classmethod
    def tearDownClass(cls):
        cls.api.close()
        shutil.rmtree(cls.folder, ignore_errors=True)

    def problem(self, answer, status, error, field, kept=False):
        """kept: the body was signed, so the inbox has it."""
        self.assertEqual(answer[0], status, answer[1])
        self.assertEqual(set(answer[1]), PROBLEM | {"inbox_id", "deposits"} if kept else PROBLEM)
        self.assertIs(answer[1]["ok"], False)
        self.assertEqual((answer[1]["status"], answer[1]["detail"]), (status, answer[1]["error"]))
        self.assertEqual(answer[1]["type"], "urn:cricalgo:error:" + answer[1]["code"])
        self.assertEqual(answer[2]["Content-Type"], "application/json")
        self.assertEqual(answer[2]["Cache-Control"], "no-store")
        self.assertIn(error, answer[1]["error"])
        self.assertEqual(answer[1]["field"], field)
        self.assertEqual(answer[1]["request_id"], answer[2]["X-Request-Id"])

    def unique(self, **more):
        return {"tx_hash": "0x" + uuid.uuid4().hex, "amount": "1.5", "confirmations": 5, **more}

    def test_wrong_bodies_are_refused_and_not_stored(self):
        before = len(self.api.rows())
        for document, status, error, field in BAD:
            with self.subTest(document=str(document)[:60]):
                self.problem(self.api.hook(document), status, error, field, kept=True)
        self.assertEqual(len(self.api.rows()), before)

    def test_the_size_is_checked_first(self):
        body = b'{"tx_hash":"' + b"x" * 65536 + b'"}'
        self.problem(self.api.hook(body, headers={"X-Signature": "no"}), 413, "larger than 65536", None)
        document = self.unique(metadata={"pad": ""})
        pad = 65536 - len(json.dumps(document))
        document["metadata"]["pad"] = "x" * pad
        self.assertEqual(self.api.hook(document)[0], 202)
        document["metadata"]["pad"] += "x"
        self.problem(self.api.hook(document), 413, "larger than", None)

    def test_chunked_bodies_are_capped_too(self):
        def chunks(count):
            for _ in range(count):
                yield b" " * 1024

        connection = http.client.HTTPConnection("127.0.0.1", self.api.port, timeout=30)
        connection.request("POST", HOOK, body=chunks(70), encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked", "Content-Type": "application/json"})
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()

    def test_the_signature_is_checked_before_the_body(self):
        bad = b"not json"
        for headers in ({"X-Signature": None}, {"X-Signature": ""}, {"X-Signature": "0" * 64},
                        {"X-Signature": "sha256="}, {"X-Signature": sign(b"other")},
                        {"X-Signature": None, "X-Hub-Signature-256": sign(bad, "other")},
                        {"X-Signature": None, "webhook-signature": "v1,AAAA"}):
            with self.subTest(headers=headers):
                self.problem(self.api.hook(bad, headers=headers), 401, "Invalid webhook signature", None)

    def test_every_signature_header_opens(self):
        for name in ("X-Signature", "X-Hub-Signature-256", "X-Webhook-Signature"):
            for prefix in ("", "sha256="):
                body = json.dumps(self.unique()).encode()
                headers = {"X-Signature": None, name: prefix + sign(body)}
                self.assertEqual(self.api.hook(body, headers=headers)[0], 202)

    def test_standard_webhooks_have_a_window(self):
        for off, status in ((0, 202), (-290, 202), (290, 202), (-400, 401), (400, 401)):
            body = json.dumps(self.unique()).encode()
            at = str(int(time.time()) + off)
            name = "msg_" + uuid.uuid4().hex
            mac = hmac.new(SECRET.encode(), f"{name}.{at}.".encode() + body, hashlib.sha256)
            answer = self.api.hook(body, headers={
                "X-Signature": None, "webhook-id": name, "webhook-timestamp": at,
                "webhook-signature": "v1," + base64.b64encode(mac.digest()).decode()})
            self.assertEqual(answer[0], status, off)

    def test_the_content_type_must_be_json(self):
        for kind in ("text/plain", "application/jsonx", "application/x-www-form-urlencoded", None):
            answer = self.api.hook(self.unique(), headers={"Content-Type": kind})
            self.problem(answer, 415, "application/json", None, kept=True)
        answer = self.api.hook(self.unique(), headers={"Content-Type": "Application/JSON; charset=utf-8"})
        self.assertEqual(answer[0], 202)

    def test_paths_and_methods(self):
        self.problem(self.api.call("GET", "/nowhere"), 404, "no such path", None)
        answer = self.api.call("GET", HOOK)
        self.problem(answer, 405, "method not allowed", None)
        self.assertEqual(answer[2]["Allow"], "POST")
        self.assertEqual(self.api.call("DELETE", "/api/v1/transactions")[0], 405)
        self.assertEqual(self.api.hook(self.unique(), path="/api/v1/webhook/bep20")[0], 202)
        self.problem(self.api.hook(self.unique(), path="/api/v1/webhooks/a%20b"), 404, "no such chain", None)
        status, body, headers = self.api.call("HEAD", "/healthz")
        self.assertEqual((status, headers["Content-Length"]), (200, "15"))

    def test_request_ids(self):
        self.assertEqual(self.api.call("GET", "/healthz", headers={"X-Request-Id": "my-id.1"})[2]["X-Request-Id"], "my-id.1")
        self.assertNotEqual(self.api.call("GET", "/healthz", headers={"X-Request-Id": "a b"})[2]["X-Request-Id"], "a b")

    def test_a_webhook_is_stored_and_published(self):
        document = self.unique(confirmations=4, metadata={"note": "NaN \u20ac"}, block_number=7, status="confirmed",
                               to_address="0xto", log_index=3, unknown=[1])
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        status, body, _ = self.api.hook(document, headers={"traceparent": trace})
        self.assertEqual(status, 202)
        self.assertEqual((body["ok"], body["state"]), (True, "received"))
        path = "/api/v1/transactions/" + body["tx_id"]
        row = wait_for(lambda: (r := self.api.call("GET", path)[1])["enqueued_at"] and r)
        self.assertEqual((row["tx_hash"], row["amount"], row["currency"], row["chain"], row["log_index"]),
                         (document["tx_hash"], "1.5", "USDT", "bep20", 3))
        self.assertEqual((row["metadata"], row["block_number"], row["status"], row["to_address"]),
                         (document["metadata"], 7, "confirmed", "0xto"))
        self.assertEqual((row["confirmations"], row["confirmations_required"]), (4, 3))
        events = [e for e in self.api.events() if e["event"] == "deposit_enqueued" and e["tx_id"] == body["tx_id"]]
        self.assertEqual(len(events), 1)
        self.assertEqual(events[0]["tx_hash"], document["tx_hash"])
        published = [p.read_text() for p in self.folder.glob("spool/queue/*.msg")]
        self.assertTrue(any(trace in text for text in published))

    def test_the_smoke_tests_body(self):
        body = {"tx_hash": f"smoke-{uuid.uuid4()}", "amount": "0.001", "metadata": {"note": "smoke_test"}}
        self.assertEqual(self.api.hook(body)[0], 202)

    def test_exact_amounts(self):
        for amount, kept in (("99999999999999999999.999999999999999999",) * 2, ("0.000000000000000001",) * 2,
                             ("007.50", "7.5")):
            status, body, _ = self.api.hook(self.unique(amount=amount))
            self.assertEqual(self.api.call("GET", "/api/v1/transactions/" + body["tx_id"])[1]["amount"], kept)
        raw = b'{"tx_hash":"%s","amount":12345678901234567890.123456789012345678}' % uuid.uuid4().hex.encode()
        status, body, _ = self.api.hook(raw)
        self.assertEqual(self.api.call("GET", "/api/v1/transactions/" + body["tx_id"])[1]["amount"],
                         "12345678901234567890.123456789012345678")

    def test_a_duplicate_answers_the_first(self):
        document = self.unique(confirmations=1)
        first = self.api.hook(document)[1]
        for confirmations, kept in ((1, 1), (5, 5), (2, 5)):
            status, body, _ = self.api.hook({**document, "confirmations": confirmations})
            self.assertEqual((status, body["tx_id"]), (202, first["tx_id"]))
            row = self.api.call("GET", "/api/v1/transactions/" + first["tx_id"])[1]
            self.assertEqual(row["confirmations"], kept)
        other = self.api.hook({**document, "log_index": 1})[1]
        self.assertNotEqual(other["tx_id"], first["tx_id"])

    def test_a_contradiction_is_409(self):
        document = self.unique(user_id=str(uuid.uuid4()))
        first = self.api.hook(document)[1]
        for change in ({"amount": "2"}, {"currency": "DAI"}, {"user_id": str(uuid.uuid4())}):
            status, body, _ = self.api.hook({**document, **change})
            self.assertEqual((status, body["tx_id"], body["ok"]), (409, first["tx_id"], False))
        row = self.api.call("GET", "/api/v1/transactions/" + first["tx_id"])[1]
        self.assertEqual((row["amount"], row["currency"], row["user_id"]), ("1.5", "USDT", document["user_id"]))

    def test_too_many_decimals_are_set_aside(self):
        before = self.api.metric('deposit_conflicts_total{kind="stored"}')
        status, body, _ = self.api.hook(self.unique(amount="1.0000000000000000001"))
        self.assertEqual((status, body["state"]), (202, "conflict"))
        self.assertEqual(self.api.metric('deposit_conflicts_total{kind="stored"}'), before + 1)
        row = self.api.call("GET", "/api/v1/transactions/" + body["tx_id"])[1]
        self.assertIn("decimals", row["conflict_reason"])
        self.assertIsNone(row["enqueued_at"])

    def test_users_and_wallets(self):
        name = "u" + uuid.uuid4().hex[:12]
        number = uuid.uuid4().int % 10 ** 12 + 1
        headers = {"Content-Type": "application/json"}

        def register(document, path="/api/v1/auth/register"):
            return self.api.call("POST", path, json.dumps(document), headers)

        status, body, _ = register({"username": name, "telegram_id": number})
        self.assertEqual(status, 201)
        user = body["user_id"]
        for document in ({"username": name}, {"username": name.upper()}, {"username": name.title()},
                         {"username": "x" + name, "telegram_id": number}):
            status, body, _ = register(document, "/api/v1/register")
            self.assertEqual((status, body["user_id"], body["ok"]), (409, user, False))
        for document, field in (({"username": "ab"}, "username"), ({"username": "a" * 49}, "username"), ({}, "username"),
                                ({"username": 5}, "username"), ({"username": "a\u0000b"}, "username"),
                                ({"username": "abc\ud800"}, "username"), ({"username": "   "}, "username"),
                                ({"username": "al ice"}, "username"), ({"username": "al\u200bice"}, "username"),
                                ({"username": "\u202eecila"}, "username"), ({"username": "älice"}, "username"),
                                ({"username": "@alice"}, "username"), ({"username": "alice\n"}, "username"),
                                ({"username": "abcd", "telegram_id": "x"}, "telegram_id"),
                                ({"username": "abcd", "telegram_id": 0}, "telegram_id"),
                                ({"username": "abcd", "user_id": "x"}, "user_id")):
            self.problem(register(document), 422, field, field)
        self.problem(self.api.call("POST", "/api/v1/auth/register", "{", headers), 400, "JSON", None)
        for good in ("A.b-c_9", "a" * 48, "123"):
            self.assertIn(register({"username": good})[0], (201, 409), good)
        zero = dict.fromkeys(("deposit_balance", "winning_balance", "bonus_balance", "total_balance"), "0")
        status, body, _ = self.api.call("GET", "/api/v1/wallets/" + user)
        self.assertEqual((status, body), (200, {"user_id": user, "currency": "USDT", **zero}))
        self.problem(self.api.call("GET", "/api/v1/wallets/" + str(uuid.uuid4())), 404, "Wallet not found", "user_id")
        self.problem(self.api.call("GET", "/api/v1/wallets/nobody"), 404, "Wallet not found", "user_id")

    def test_pages(self):
        user = str(uuid.uuid4())
        ids = [self.api.hook(self.unique(user_id=user))[1]["tx_id"] for _ in range(7)]
        seen, cursor = [], ""
        while cursor is not None:
            page = self.api.call("GET", f"/api/v1/transactions?user_id={user}&limit=3&cursor={cursor}")[1]
            seen += [row["tx_id"] for row in page["transactions"]]
            cursor = page["next_cursor"]
        self.assertEqual(seen, ids[::-1])
        for query in ("limit=0", "limit=501", "limit=x", "limit=%2B5", "limit=+5", "state=x", "user_id=x",
                      "limit=" + "1" * 99, "tx_hash=a+b", "tx_hash=%C3%A9", "tx_hash=" + "x" * 129):
            answer = self.api.call("GET", "/api/v1/transactions?" + query)
            self.assertEqual((answer[0], answer[1]["field"]), (422, query.split("=")[0]), query)
        some = str(uuid.uuid4())
        for query in ("cursor=x", "cursor=1.x", f"cursor=9223372036854775807.{some}",
                      f"cursor=99999999999999999999.{some}", f"cursor=253402300800000000.{some}", "tx_hash=%ff",
                      "user_id=%ff", "state=%c3", "cursor=%ed%a0%80", "tx_hash=a%00b", "tx_hash=%4", "unknown=%ff",
                      "user_id=", "user_id", "state=", "tx_hash=", f"user_id={some}&user_id={some}",
                      f"user_id={some}&user%5Fid={some}", "limit=1&limit=2"):
            answer = self.api.call("GET", "/api/v1/transactions?" + query)
            self.problem(answer, 400, "", query.split("=")[0])
            self.assertEqual(answer[1]["code"], "parameter")
        for query in (f"cursor=253402300799999999.{some}", "unknown=1", "limit=", "cursor=", f"user%5Fid={some}"):
            self.assertEqual(self.api.call("GET", "/api/v1/transactions?" + query)[0], 200, query)
        self.assertEqual(self.api.call("GET", f"/api/v1/transactions?user%5Fid={some}")[1]["transactions"], [])
        for path, field in (("/api/v1/transactions/%ff", "tx_id"), ("/api/v1/wallets/%ff", "user_id"),
                            ("/api/v1/tasks/%ff", "id")):
            self.problem(self.api.call("GET", path), 400, "UTF-8", field)
        self.problem(self.api.call("GET", f"/api/v1/transactions/{some}?x=%ff"), 400, "UTF-8", "x")
        self.problem(self.api.call("GET", "/api/v1/transactions/" + str(uuid.uuid4())), 404, "no such", "tx_id")

    def test_either_spelling_finds_a_deposit(self):
        name = "0x" + uuid.uuid4().hex.upper() + "AbC1"
        tx_id = self.api.hook(self.unique(tx_hash=name))[1]["tx_id"]
        for spelling in (name, name.lower(), name.upper(), "0X" + name[2:].lower()):
            page = self.api.call("GET", "/api/v1/transactions?tx_hash=" + spelling)[1]
            self.assertEqual([row["tx_id"] for row in page["transactions"]], [tx_id], spelling)
        other = "Sig" + uuid.uuid4().hex
        self.api.hook(self.unique(tx_hash=other))
        self.assertEqual(len(self.api.call("GET", "/api/v1/transactions?tx_hash=" + other)[1]["transactions"]), 1)
        self.assertEqual(self.api.call("GET", "/api/v1/transactions?tx_hash=" + other.lower())[1]["transactions"], [])

    def test_currencies_in_any_case(self):
        document = json.dumps({"username": "u" + uuid.uuid4().hex[:12]})
        user = self.api.call("POST", "/api/v1/register", document, {"Content-Type": "application/json"})[1]["user_id"]
        path = f"/api/v1/wallets/{user}"
        for query in ("", "?currency=USDT", "?currency=usdt", "?currency=Usdt"):
            status, body, _ = self.api.call("GET", path + query)
            self.assertEqual((status, body["currency"], body["total_balance"]), (200, "USDT", "0"), query)
        answer = self.api.call("GET", path + "?currency=dai")
        self.problem(answer, 404, "nothing in this currency", "currency")
        self.assertEqual(answer[1]["code"], "currency")
        self.api.hook(self.unique(user_id=user, currency="dai"))
        self.assertEqual(self.api.call("GET", path + "?currency=Dai")[1]["currency"], "DAI")
        for query in ("?currency=%ff", "?currency=", "?currency", "?currency=DAI&currency=DAI"):
            self.problem(self.api.call("GET", path + query), 400, "", "currency")
        self.problem(self.api.call("GET", path + "?currency=" + "x" * 17), 422, "too long", "currency")
        self.problem(self.api.call("GET", path + "?currency=U%20D"), 422, "visible ASCII", "currency")

    def test_sixty_four_connections(self):
        hashes = [uuid.uuid4().hex for _ in range(320)]
        failures = []

        def work(start):
            connection = http.client.HTTPConnection("127.0.0.1", self.api.port, timeout=30)
            # Each hash is announced by four threads, in different orders.
            for i in range(20):
                name = hashes[(start * 5 + i * 7) % len(hashes)]
                answer = self.api.hook({"tx_hash": name, "amount": "1"}, connection=connection)
                if answer[0] != 202:
                    failures.append(answer)
                if answer[2]["Connection"] == "close":
                    connection.close()
            connection.close()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        sent = {hashes[(start * 5 + i * 7) % 320] for start in range(64) for i in range(20)}
        for name in sent:
            page = self.api.call("GET", "/api/v1/transactions?tx_hash=" + name)[1]
            self.assertEqual(len(page["transactions"]), 1)

    def test_the_small_routes(self):
        self.assertEqual(self.api.call("GET", "/api/v1/health")[:2], (200, {"status": "ok"}))
        for path in ("/health", "/healthz", "/readyz", "/api/v1/webhooks/health"):
            self.assertEqual(self.api.call("GET", path)[0], 200, path)
        described = self.api.call("GET", "/openapi.json")[1]
        self.assertEqual(described["openapi"], "3.1.0")
        self.assertIn("text/html", self.api.call("GET", "/")[2]["Content-Type"])
        for path, item in described["paths"].items():
            concrete = path.replace("{chain}", "bep20").replace("{tx_id}", "x").replace("{user_id}", "x").replace("{task}", "x")
            # "health" is also the name of a chain that may be posted to.
            for method in ("get",) if path.endswith("/health") else ("get", "post"):
                status = self.api.call(method.upper(), concrete)[0]
                self.assertEqual(status == 405, method not in item, (method, path))

    def test_the_page_has_nothing_of_its_own_to_run(self):
        status, page, headers = self.api.call("GET", "/")
        self.assertEqual((status, headers["Cache-Control"]), (200, "no-cache"))
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        self.assertEqual({policy[name] for name in ("script-src", "style-src", "connect-src")}, {"'self'"})
        self.assertEqual(policy["default-src"], "'none'")
        self.assertNotIn("unsafe", headers["Content-Security-Policy"])
        # Neither a script nor a style, nor an attribute that is one; what it names is there.
        self.assertRegex(page, r'<script src="/app\.js"></script>')
        self.assertEqual(re.findall(r"<script(?! src=)|<style|\son\w+=|\sstyle=|javascript:", page), [])
        for path, kind in (("/app.js", "text/javascript"), ("/app.css", "text/css")):
            self.assertIn(f'"{path}"', page)
            status, text, headers = self.api.call("GET", path)
            self.assertEqual((status, headers["Content-Type"]), (200, kind + "; charset=utf-8"))
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        for name in re.findall(r"at\('(\w+)'\)", self.api.call("GET", "/app.js")[1]):
            self.assertIn(f'id="{name}"', page)

    def test_money_and_users_are_not_kept(self):
        some = str(uuid.uuid4())
        for path in ("/api/v1/transactions", f"/api/v1/transactions/{some}", f"/api/v1/wallets/{some}", "/readyz",
                     "/api/v1/health", "/metrics", "/nowhere"):
            self.assertEqual(self.api.call("GET", path)[2]["Cache-Control"], "no-store", path)
        self.assertEqual(self.api.hook(self.unique())[2]["Cache-Control"], "no-store")
        self.assertEqual(self.api.call("GET", "/openapi.json")[2]["Cache-Control"], "no-cache")

    def test_requests_are_counted_by_pattern(self):
        self.api.call("GET", "/api/v1/transactions/" + str(uuid.uuid4()))
        text = self.api.call("GET", "/metrics")[1]
        self.assertIn('http_requests_total{code="404",method="GET",path="/api/v1/transactions/{tx_id}"}', text)
        self.assertIn('webhook_processing_duration_seconds_bucket{le="1.0"}', text)
        self.assertIn("db_pool_connections_max", text)

    def test_garbage_on_the_wire(self):
        for junk in (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"GET /" + b"a" * 30000 + b" HTTP/1.1\r\n\r\n",
                     b"POST " + HOOK.encode() + b" HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                     b"POST " + HOOK.encode() + b" HTTP/1.1\r\nContent-Length: 99\r\n\r\nshort"):
            with socket.create_connection(("127.0.0.1", self.api.port), timeout=30) as wire:
                try:
                    wire.sendall(junk)
                    wire.shutdown(socket.SHUT_WR)
                    while wire.recv(65536):
                        pass
                except OSError:
                    pass  # the server may hang up at any point of it
        self.assertEqual(self.api.call("GET", "/healthz")[0], 200)

    def test_a_restart_keeps_everything(self):
        database = self.new_database()
        first = Api(self.folder, database)
        self.addCleanup(first.close)
        ids = [first.hook(self.unique())[1]["tx_id"] for _ in range(3)]
        self.assertEqual(first.stop(signal.SIGKILL), -signal.SIGKILL)
        second = Api(self.folder, database)
        self.addCleanup(second.close)
        self.assertEqual({row["tx_id"] for row in second.rows()}, set(ids))
        self.assertEqual(second.stop(), 0)
        self.assertEqual(second.events()[-1]["event"], "api_stopped")

    def test_a_stop_answers_what_it_accepted(self):
        database = self.new_database()
        api = Api(self.folder, database)
        self.addCleanup(api.close)
        accepted, stopping = [], threading.Event()

        def work():
            connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
            while True:
                try:
                    answer = api.hook(self.unique(), connection=connection)
                except (OSError, http.client.HTTPException):
                    self.assertTrue(stopping.is_set())
                    return
                if answer[0] != 202:
                    self.assertEqual(answer[0], 503)
                    return
                accepted.append(answer[1]["tx_id"])

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(accepted) > 50)
        stopping.set()
        self.assertEqual(api.stop(), 0)
        for thread in threads:
            thread.join()
        again = Api(self.folder, database)
        self.addCleanup(again.close)
        for tx_id in accepted:
            self.assertEqual(again.call("GET", "/api/v1/transactions/" + tx_id)[0], 200)


class OnSqlite(Common, unittest.TestCase):
    @classmethod
    def new_database(cls):
        return f"sqlite://{cls.folder}/{uuid.uuid4()}/ledger.db"

    def test_a_locked_database_is_503(self):
        database = self.new_database()
        api = Api(self.folder, database)
        self.addCleanup(api.close)
        holder = sqlite3.connect(database[len("sqlite://"):], isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        status, _, headers = api.hook(self.unique())
        self.assertEqual((status, headers["Retry-After"]), (503, "5"))
        holder.execute("ROLLBACK")
        holder.close()
        self.assertEqual(api.rows(), [])
        self.assertEqual(api.hook(self.unique())[0], 202)


class OnPostgres(Common, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server_folder = pathlib.Path(tempfile.mkdtemp(prefix="test-api-pg-"))
        cls.server = Postgres(cls.server_folder)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.server.stop()
        shutil.rmtree(cls.server_folder, ignore_errors=True)

    @classmethod
    def new_database(cls):
        return cls.server.database()

    def test_a_database_that_is_away_is_503_and_comes_back(self):
        self.api.hook(self.unique())
        before = {row["tx_id"] for row in self.api.rows()}
        self.server.stop()
        try:
            status, body, headers = self.api.hook(self.unique())
            self.assertEqual((status, headers["Retry-After"], body["ok"]), (503, "5", False))
            self.assertEqual(self.api.call("GET", "/readyz")[0], 503)
            self.assertEqual(self.api.call("GET", "/api/v1/transactions")[0], 503)
            self.assertEqual(self.api.call("GET", "/api/v1/health")[0], 200)
            late = Api(self.folder, f"postgresql://postgres@127.0.0.1:{self.server.port}/postgres")
            self.addCleanup(late.close)
            self.assertEqual(late.hook(self.unique())[0], 503)
        finally:
            self.server.start()
        wait_for(lambda: self.api.call("GET", "/readyz")[0] == 200)
        self.assertEqual({row["tx_id"] for row in self.api.rows()}, before)
        self.assertEqual(self.api.hook(self.unique())[0], 202)
        wait_for(lambda: late.call("GET", "/readyz")[0] == 200)
        self.assertEqual(late.hook(self.unique())[0], 202)

    def test_several_instances_start_at_once(self):
        database = self.new_database()
        found = []

        def start():
            found.append(Api(self.folder, database))

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(found), 4)
        for api in found:
            self.assertEqual(api.hook({"tx_hash": "same", "amount": "1"})[0], 202)
            self.assertEqual(len(api.rows()), 1)
            api.close()


class Settings(unittest.TestCase):
    """Exit codes and who is let in."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="test-api-"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def run_api(self, *arguments, **env):
        return subprocess.run([API, *arguments], env={"PATH": os.environ["PATH"], "WEBHOOK_SECRET": SECRET, **env},
                              capture_output=True, text=True, timeout=30)

    def test_wrong_settings_exit_2_and_name_the_variable(self):
        for env, name, value in (({"WEBHOOK_SECRET": ""}, "WEBHOOK_SECRET", ""), ({"PORT": "70000"}, "PORT", "70000"),
                                 ({"PORT": "x"}, "PORT", "x"), ({"DATABASE_URL": "x"}, "x", "x"),
                                 ({"CHAIN_DECIMALS": "x"}, "CHAIN_DECIMALS", "x"),
                                 ({"LOG_LEVEL": "loud"}, "LOG_LEVEL", "loud"),
                                 ({"CELERY_BROKER_TRANSPORT_OPTIONS": "[]"}, "CELERY_BROKER_TRANSPORT_OPTIONS", "[]"),
                                 ({"CURRENCY": "a b"}, "CURRENCY", "a b"),
                                 ({"WEBHOOK_SECRET": "", "WEBHOOK_SECRET_FILE": "/nowhere"},
                                  "WEBHOOK_SECRET_FILE", "/nowhere")):
            with self.subTest(env=env):
                done = self.run_api("--check-config", **env)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(name, done.stderr)
                self.assertIn(value, done.stderr)
        for env in ({"DATABASE_URL": "mysql://a:geheim@b/c"}, {"DATABASE_URL": "sqlite://host/x"},
                    {"CELERY_BROKER_URL": "kafka://a:geheim@b", "DATABASE_URL": f"sqlite://{self.folder}/x.db"}):
            done = self.run_api(PORT="0", **env)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertNotIn("geheim", done.stderr)
        self.assertEqual(self.run_api("--nonsense").returncode, 2)

    def test_help_version_check_config_migrate(self):
        self.assertIn("WEBHOOK_SECRET_FILE", self.run_api("--help").stdout)
        self.assertRegex(self.run_api("--version").stdout, r"^cricalgo-api \d")
        done = self.run_api("--check-config", DATABASE_URL="postgresql://u:geheim@h/d")
        self.assertEqual(done.returncode, 0)
        self.assertNotIn("geheim", done.stdout)
        self.assertNotIn(SECRET, done.stdout)
        for _ in range(2):
            self.assertEqual(self.run_api("--migrate", DATABASE_URL=f"sqlite://{self.folder}/m.db").returncode, 0)
        self.assertEqual(self.run_api("--migrate", DATABASE_URL="postgresql://u:geheim@127.0.0.1:1/d").returncode, 1)

    def test_a_token_guards_the_reading_routes(self):
        api = Api(self.folder, f"sqlite://{self.folder}/t.db", API_TOKEN="first-token,second-token")
        self.addCleanup(api.close)
        for path in ("/api/v1/transactions", "/api/v1/transactions/x", "/api/v1/wallets/x"):
            answer = api.call("GET", path)
            self.assertEqual((answer[0], answer[2]["WWW-Authenticate"]), (401, "Bearer"))
            self.assertEqual(api.call("GET", path, headers={"Authorization": "Bearer third-token"})[0], 401)
            self.assertNotEqual(api.call("GET", path, headers={"Authorization": "Bearer second-token"})[0], 401)
        for path in ("/metrics", "/healthz", "/readyz"):
            self.assertEqual(api.call("GET", path)[0], 200)
        user = str(uuid.uuid4())
        document = json.dumps({"username": "chosen", "user_id": user})
        headers = {"Content-Type": "application/json"}
        self.assertEqual(api.call("POST", "/api/v1/auth/register", document, headers)[0], 403)
        status, body, _ = api.call("POST", "/api/v1/auth/register", document,
                                   {**headers, "Authorization": "Bearer first-token"})
        self.assertEqual((status, body["user_id"]), (201, user))

    def test_tasks_are_sent_when_allowed(self):
        api = Api(self.folder, f"sqlite://{self.folder}/k.db", API_TASKS_ALLOWED="app.add,mail.*",
                  CELERY_RESULT_BACKEND=f"file://{self.folder}/results")
        self.addCleanup(api.close)
        headers = {"Content-Type": "application/json"}

        def send(name, body):
            return api.call("POST", "/api/v1/tasks/" + name, body, headers)

        for name, status in (("app.add", 202), ("mail.send", 202), ("app.addx", 403), ("app.ad", 403), ("os.system", 403)):
            self.assertEqual(send(name, "{}")[0], status, name)
        for body, status, field in (("[]", 400, None), ("{", 400, None), ('{"args":{}}', 422, "args"),
                                    ('{"kwargs":[]}', 422, "kwargs"), ('{"queue":"a/b"}', 422, "queue"),
                                    ('{"queue":""}', 422, "queue"), ('{"countdown":-1}', 422, "countdown"),
                                    ('{"countdown":1.5}', 422, "countdown")):
            answer = send("app.add", body)
            self.assertEqual((answer[0], answer[1]["field"]), (status, field), body)
        status, body, _ = send("app.add", '{"args":[1208925819614629174706176,0.1],"queue":"other"}')
        self.assertEqual(status, 202)
        texts = [json.loads(p.read_text()) for p in self.folder.glob("spool/queue/*.other.msg")]
        self.assertEqual(len(texts), 1)
        self.assertEqual(texts[0]["headers"]["task"], "app.add")
        self.assertIn(b"1208925819614629174706176", base64.b64decode(texts[0]["body"]))
        status, result, _ = api.call("GET", "/api/v1/tasks/" + body["task_id"])
        self.assertEqual((status, result["status"], result["result"]), (200, "PENDING", None))
        self.assertEqual(api.call("GET", "/api/v1/tasks/x")[0], 404)

    def test_the_default_currency_is_kept_in_upper_case(self):
        api = Api(self.folder, f"sqlite://{self.folder}/c.db", CURRENCY="usdt")
        self.addCleanup(api.close)
        user = api.call("POST", "/api/v1/register", json.dumps({"username": "currency"}),
                        {"Content-Type": "application/json"})[1]["user_id"]
        tx_id = api.hook({"tx_hash": "0xcc", "amount": "2", "user_id": user, "confirmations": 9})[1]["tx_id"]
        self.assertEqual(api.call("GET", f"/api/v1/transactions/{tx_id}")[1]["currency"], "USDT")
        for query in ("", "?currency=usdt"):
            self.assertEqual(api.call("GET", f"/api/v1/wallets/{user}{query}")[1]["currency"], "USDT")

    def test_unsigned_webhooks_only_when_allowed(self):
        api = Api(self.folder, f"sqlite://{self.folder}/u.db", WEBHOOK_SECRET="", WEBHOOK_ALLOW_UNSIGNED="1")
        self.addCleanup(api.close)
        self.assertEqual(api.hook(GOOD, headers={"X-Signature": None})[0], 202)
        self.assertEqual(api.metric("webhook_unsigned_total"), 1)
        self.assertIn("webhooks_unsigned", [e["event"] for e in api.events()])
        both = Api(self.folder, f"sqlite://{self.folder}/u.db", WEBHOOK_ALLOW_UNSIGNED="1")
        self.addCleanup(both.close)
        self.assertEqual(both.hook(GOOD, headers={"X-Signature": None})[0], 202)
        self.assertEqual(both.hook(GOOD, headers={"X-Signature": "0" * 64})[0], 401)

    def test_secrets_rotate(self):
        api = Api(self.folder, f"sqlite://{self.folder}/r.db", WEBHOOK_SECRET="new-secret,old-secret")
        self.addCleanup(api.close)
        body = json.dumps(GOOD).encode()
        for secret, status in (("new-secret", 202), ("old-secret", 202), ("new-secret,old-secret", 401), (SECRET, 401)):
            self.assertEqual(api.hook(body, headers={"X-Signature": sign(body, secret)})[0], status)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
