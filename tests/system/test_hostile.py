# SPDX-License-Identifier: MIT
"""Generated hostility: forged, replayed, smuggled and malformed webhooks, mixed with
good ones. What was announced by its sender is in the ledger once, and nothing else.
T_HOSTILE is how many, T_SEED repeats a run."""

import base64
import hashlib
import hmac
import json
import os
import random
import socket
import sqlite3
import time
import uuid

import harness
from harness import LOOPBACK, SECRET, wait_for

COUNT = int(os.environ.get("T_HOSTILE", 10000))
SEED = int(os.environ.get("T_SEED", random.randrange(2**32)))
BTC = "another-chain-secret"


def mac(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def head(path, body, *fields, method="POST", host="x", length=True):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", *fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


class Hostile:
    """Requests by kind: bytes to send, and whether its body is signed for its path."""

    def __init__(self, rng):
        self.rng = rng
        self.good = []  # (tx_hash, raw bytes of the whole request)
        self.expected = set()
        self.kept = set()

    def document(self, **more):
        self.last = "0x" + uuid.UUID(int=self.rng.getrandbits(128)).hex * 2
        return {"tx_hash": self.last, "amount": f"{self.rng.randrange(1, 999)}.{self.rng.randrange(10)}1",
                "confirmations": self.rng.randrange(20), **more}

    def signed(self, body, path="/api/v1/webhooks/bep20", secret=SECRET, *more):
        return head(path, body, f"X-Signature: {mac(body, secret)}", *more) + body

    def honest(self):
        body = json.dumps(self.document()).encode()
        request = self.signed(body)
        self.good.append((self.last, body))
        self.expected.add(("bep20", self.last))
        self.kept.add(body)
        return request

    def forged(self):
        body = json.dumps(self.document()).encode()
        right = mac(body)
        value = self.rng.choice([
            right[:-1], right + "0", "0" * 64, mac(body, "guess-the-secret"), mac(body + b" "), "",
            mac(body, BTC), right[::-1], "sha1=" + right, "sha256=sha256=" + right, f"{right}, {right}",
            "v1," + base64.b64encode(bytes.fromhex(right)).decode()])
        name = self.rng.choice(["X-Signature", "X-Hub-Signature-256", "X-Webhook-Signature", "webhook-signature"])
        return head("/api/v1/webhooks/bep20", body, f"{name}: {value}") + body

    def replayed(self):
        """An old body elsewhere, changed, or under another name."""
        if not self.good:
            return self.honest()
        _, body = self.rng.choice(self.good)
        signature = mac(body)
        path = self.rng.choice(["btc", "erc20", "bsc", "health", "bep20/", "bep20%00", "bep20%2f", "../webhooks/btc",
                                "bep20?chain=btc", "BTC", "btc;bep20", "bep20//", "*"])
        changed = self.rng.choice([body, body.replace(b"amount", b"amounT"), body + b" ", b" " + body,
                                   body[:-1] + b',"amount":"999999"}'])
        extra = self.rng.choice([[], [f"X-Forwarded-For: {self.rng.randrange(255)}.1.1.1"], ["X-Original-URL: /x"],
                                 ["X-HTTP-Method-Override: PUT"], [f"X-Request-Id: {uuid.uuid4()}"]])
        if changed == body and path.lower() in ("bep20?chain=btc",):
            self.kept.add(body)
        return head("/api/v1/webhooks/" + path, changed, f"X-Signature: {signature}", *extra) + changed

    def stale(self):
        body = json.dumps(self.document()).encode()
        at = int(time.time()) + self.rng.choice([-1, 1]) * self.rng.randrange(400, 10**6)
        signed = hmac.new(SECRET.encode(), f"id.{at}.".encode() + body, hashlib.sha256).digest()
        return head("/api/v1/webhooks/bep20", body, "webhook-id: id", f"webhook-timestamp: {at}",
                    "webhook-signature: v1," + base64.b64encode(signed).decode()) + body

    def smuggled(self):
        """Inside of a request that nobody may make stands one that would pass."""
        inner_body = json.dumps(self.document(to_address="smuggled")).encode()
        inner = self.signed(inner_body)
        framing = self.rng.choice([
            ["Content-Length: 0", "Transfer-Encoding: chunked"], ["Content-Length: 0", f"Content-Length: {len(inner)}"],
            [f"Content-Length: 0, {len(inner)}"], ["Content-Length: +0"], ["Content-Length : 0"],
            ["Content-Length: 0x0"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], ["Transfer-Encoding: xchunked"],
            ["Transfer-Encoding: \x0bchunked"], ["X: y\n"], ["X: y\rZ: 1"], [" folded: 1"], ["Content-Length: -1"],
            [*[f"X-{i}: 1" for i in range(70)], "Content-Length: 0"], ["Transfer-Encoding : chunked"],
            ["X: " + "y" * 20000]])
        prefix = head(self.rng.choice(["/healthz", "/api/v1/webhooks/bep20", "/"]), b"", *framing, length=False,
                      method=self.rng.choice(["GET", "POST"]))
        return prefix + inner

    def malformed(self):
        """Signed, and not what was agreed: kept, and no deposit."""
        body = self.rng.choice([
            b"", b"{", b"[]", b"null", b"\xff", b'{"tx_hash":"0x1"}', b'{"amount":"1"}',
            b'{"tx_hash":"0x1","amount":"1","amount":"2"}', b'{"tx_hash":"0x1","amount":NaN}',
            b'{"tx_hash":"0x1","amount":"-1"}', b'{"tx_hash":"0x1","amount":"1e99"}',
            b'{"tx_hash":["0x1"],"amount":"1"}',
            b'{"tx_hash":"0x1","amount":"1","chain":"btc"}', b'{"tx_hash":"0x1","amount":"1","user_id":"x"}',
            b'{"tx_hash":"0x1 ","amount":"1"}', b'{"tx_hash":"0x1","amount":"1","confirmations":-1}',
            b"[" * 500 + b"]" * 500, b'{"a":' * 100 + b"1" + b"}" * 100,
            b'{"tx_hash":"0x1","amount":"1","metadata":%d}' % self.rng.randrange(10**6)])
        if body:
            self.kept.add(body)
        return self.signed(body)

    def noise(self):
        return bytes(self.rng.randrange(256) for _ in range(self.rng.randrange(1, 300))) + b"\r\n\r\n"


def send(port, data):
    """All that comes back; the server may end the connection at any byte."""
    with socket.create_connection((LOOPBACK, port), timeout=20) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        got = b""
        try:
            while part := sock.recv(65536):
                got += part
        except ConnectionError:
            pass
        return got


def test_generated_requests_store_nothing_wrongly(tmp_path, started):
    print("seed", SEED)
    rng = random.Random(SEED)
    hostile = Hostile(rng)
    api = harness.Api(tmp_path, f"sqlite:///{tmp_path}/l.db", f"filesystem://{tmp_path}/spool",
                      WEBHOOK_CHAINS="bep20,btc", WEBHOOK_SECRET=None, WEBHOOK_SECRET_BEP20=SECRET,
                      WEBHOOK_SECRET_BTC=BTC, API_TOKEN=None)
    started.append(api.process)
    kinds = [hostile.honest, hostile.forged, hostile.replayed, hostile.stale, hostile.smuggled, hostile.malformed,
             hostile.noise]
    for i in range(COUNT):
        kind = kinds[i % len(kinds)]
        answer = send(api.port, kind())
        statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]
        if kind == hostile.honest:
            assert statuses == [202], (i, answer[:300])
        elif kind in (hostile.forged, hostile.stale):
            assert statuses == [401], (i, answer[:300])
        else:
            # Of a smuggled request nothing behind the refusal is looked at.
            assert len(statuses) <= 1 and 500 not in statuses, (i, answer[:300])
    assert api.process.alive()
    with sqlite3.connect(f"{tmp_path}/l.db") as db:
        rows = set(db.execute("SELECT chain, tx_hash FROM transactions"))
        bodies = {bytes(b) for b, in db.execute("SELECT body FROM inbox")}
        smuggled = db.execute("SELECT count(*) FROM transactions WHERE to_address = 'smuggled'").fetchone()[0]
    assert rows == hostile.expected and smuggled == 0
    assert bodies - {b""} == hostile.kept
    wait_for(lambda: api.get("/healthz")[0] == 200, "the API answers")
