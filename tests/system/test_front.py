# SPDX-License-Identifier: MIT
"""The front, by raw bytes: what it refuses and with which status, what it must
serve, and that slow clients cost the others nothing. The numbers E12 to E19 are
those of the cases that these tests stand for."""

import email.utils
import hashlib
import hmac
import json
import os
import pathlib
import resource
import select
import signal
import socket
import sqlite3
import statistics
import subprocess
import time
import uuid

import pytest

import harness

HOOK = "/api/v1/webhooks/bep20"
FIELDS_MAX = 63
HEAD_MAX = 16384
BODY_MAX = 262144


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("front")
    server = harness.Api(folder, f"sqlite:///{folder}/l.db", f"filesystem://{folder}/spool",
                         METRICS_PORT=0, HTTP_CONNECTIONS_PER_PEER=0,
                         TRUSTED_PROXIES="127.0.0.64/26")
    yield server
    assert server.stop() == 0
    log = server.process.log()
    assert "Sanitizer" not in log and "runtime error:" not in log, log[-5000:]


@pytest.fixture
def own_api(tmp_path, started):
    """An API with settings of one's own."""
    def start(**settings):
        server = harness.Api(tmp_path, f"sqlite:///{tmp_path}/l.db",
                             f"filesystem://{tmp_path}/spool", **settings)
        started.append(server.process)
        return server
    return start


class Client:
    """One connection; keeps what came behind an answer."""

    def __init__(self, port, source="127.0.0.1", timeout=10):
        self.sock = socket.create_connection((harness.LOOPBACK, port), timeout, (source, 0))
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def more(self):
        data = self.sock.recv(65536)
        self.rest += data
        return bool(data)

    def answer(self, body=True):
        """(status, headers with small names, body) of the next answer."""
        while b"\r\n\r\n" not in self.rest:
            assert self.more(), f"closed after {self.rest!r}"
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        length = int(headers.get("content-length", 0)) if body else 0
        while len(self.rest) < length:
            assert self.more(), "closed within the body"
        data, self.rest = self.rest[:length], self.rest[length:]
        return status, headers, data

    def closed(self):
        """Is the other end closed, with nothing before it?"""
        return self.rest == b"" and not self.more()


def ask(api, data, body=True):
    """(status, headers, body, closed) of one request that may be refused."""
    with Client(api.port) as client:
        status, headers, answer = client.send(data).answer(body)
        closed = headers["connection"] == "close"
        assert not closed or client.closed()
        return status, headers, answer, closed


def problem(api, data, status, word=None):
    """It is refused so, as JSON, and the connection ends."""
    got, headers, answer, closed = ask(api, data)
    document = json.loads(answer)
    assert got == status, (got, document)
    assert closed, "kept alive"
    assert document["ok"] is False
    assert document["request_id"] == headers["x-request-id"]
    assert word is None or word in document["error"], document
    return document


def head(method="GET", path="/health", *fields, version="HTTP/1.1", host="Host: a"):
    lines = [f"{method} {path} {version}", *([host] if host else []), *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def signed(body, *fields, path=HOOK, length=True):
    sign = hmac.new(harness.SECRET.encode(), body, hashlib.sha256).hexdigest()
    return head("POST", path, "Content-Type: application/json", f"X-Signature: {sign}", *fields,
                *([f"Content-Length: {len(body)}"] if length else []))


def deposit():
    return json.dumps(harness.deposit_body(str(uuid.uuid4()))).encode()


def metrics(api):
    port = api.process.events("api_started")[0]["metrics_port"]
    with Client(port) as client:
        return client.send(head("GET", "/metrics")).answer()[2].decode()


def metric(api, line):
    return next((float(row.rsplit(" ", 1)[1]) for row in metrics(api).splitlines()
                 if row.startswith(line + " ")), 0.0)


# --- E12, E13: fields ------------------------------------------------------


def test_e12_more_fields_than_can_be_seen(api):
    filler = [f"X-{i}: y" for i in range(64)]
    document = problem(api, head("GET", "/api/v1/transactions", *filler,
                                 "X-Forwarded-For: 1.2.3.4"), 431, str(FIELDS_MAX))
    assert document["field"] is None
    most = [f"X-{i}: y" for i in range(FIELDS_MAX - 1)]
    assert ask(api, head("GET", "/health", *most))[0] == 200
    problem(api, head("GET", "/health", *most, "X-Last: y"), 431, str(FIELDS_MAX))


def test_e13_a_body_is_no_request(api):
    filler = [f"X-{i}: y" for i in range(64)]
    inner = head("GET", "/health")
    with Client(api.port) as client:
        client.send(head("POST", HOOK, *filler, f"Content-Length: {len(inner)}") + inner)
        assert client.answer()[0] == 431
        assert client.closed()


# --- E14: framing ----------------------------------------------------------

BODY = b"x" * 73
FRAMING = {
    "two lengths": (["Content-Length: 73", "Content-Length: 72"], 400),
    "equal lengths": (["Content-Length: 73", "Content-Length: 73"], 400),
    "list of lengths": (["Content-Length: 73, 73"], 400),
    "plus": (["Content-Length: +73"], 400),
    "hexadecimal": (["Content-Length: 0x49"], 400),
    "blank before colon": (["Content-Length : 73"], 400),
    "length and coding": (["Content-Length: 73", "Transfer-Encoding: chunked"], 400),
    "coding and length": (["Transfer-Encoding: chunked", "Content-Length: 73"], 400),
    "two codings": (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
    "other coding": (["Transfer-Encoding: gzip, chunked"], 501),
    "identity": (["Transfer-Encoding: identity"], 501),
    "obs-fold": (["Content-Length: 73", "X-A: b", " c"], 400),
    "obs-fold of a length": (["Content-Length:", " 73"], 400),
    "carriage return": (["Content-Length: 73", "X-A: b\rc"], 400),
    "nul": (["Content-Length: 73", "X-A: b\0c"], 400),
    "control character": (["Content-Length: 73", "X-A: b\x01c"], 400),
    "name": (["Content-Length: 73", "X A: b"], 400),
    "second host": (["Content-Length: 73", "Host: a"], 400),
}


@pytest.mark.parametrize("name", FRAMING)
def test_e14_framing(api, name):
    fields, status = FRAMING[name]
    problem(api, head("POST", HOOK, *fields) + BODY, status)


@pytest.mark.parametrize("data", [
    head("POST", HOOK, "Transfer-Encoding: chunked", version="HTTP/1.0") + b"0\r\n\r\n",
    head("GET", "/health").replace(b"\r\nHost", b"\nHost"),
    head("GET", "/health").replace(b"\r\n\r\n", b"\n\r\n"),
    head("GET", "/health", host=None),
    head("GET", "/health", host="Host: a b"),
    head("GET", "/health", host="Host:"),
    b"GET /health\r\nHost: a\r\n\r\n",
    b"GET  /health HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /health HTTP/1.1 \r\nHost: a\r\n\r\n",
    head("POST", HOOK, "Transfer-Encoding: chunked") + b"3 \r\nabc\r\n0\r\n\r\n",
    head("POST", HOOK, "Transfer-Encoding: chunked") + b"3\nabc\r\n0\r\n\r\n",
    head("POST", HOOK, "Transfer-Encoding: chunked") + b"3\r\nabcd\r\n0\r\n\r\n",
    head("POST", HOOK, "Transfer-Encoding: chunked") + b"x\r\n",
], ids=range(13))
def test_e14_lines_hosts_and_chunks(api, data):
    problem(api, data, 400)


# --- E17: what is valid is served ------------------------------------------


def test_e17_absolute_form(api):
    assert ask(api, head("GET", "http://host/health"))[0] == 200
    assert ask(api, head("GET", "http://other:1/api/v1/health?x=y"))[0] == 200


def test_e17_chunks_extensions_trailers(api):
    body = deposit()
    chunks = b"%x;name=value;q=\"a b\"\r\n%s\r\n0\r\nX-Trailer: y\r\n\r\n" % (len(body), body)
    data = signed(body, "Transfer-Encoding: chunked", "Trailer: X-Trailer", length=False) + chunks
    with Client(api.port) as client:
        # The second request is answered as well: the first one's end was known.
        client.send(data + head("GET", "/health"))
        assert client.answer()[0] == 202
        assert client.answer()[0] == 200
        # Byte by byte.
        body = deposit()
        chunks = b"%X\r\n%s\r\n%X\r\n%s\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:])
        data = signed(body, "Transfer-Encoding: Chunked", length=False) + chunks
        for i in range(len(data)):
            client.send(data[i:i + 1])
        assert client.answer()[0] == 202


def test_e17_blanks_in_and_behind_values(api):
    body = deposit()
    data = signed(body, "X-Tab: a\tb", "X-Request-Id: \t mine-1 \t ")
    data = data.replace(b"\r\nContent-Type", b" \t\r\nContent-Type", 1)
    with Client(api.port) as client:
        status, headers, _ = client.send(b"\r\n" + data + body).answer()
    assert status == 202
    assert headers["x-request-id"] == "mine-1"


def test_e17_a_blank_behind_a_signature(api):
    body = deposit()
    sign = hmac.new(harness.SECRET.encode(), body, hashlib.sha256).hexdigest()
    data = head("POST", HOOK, f"X-Signature: {sign} ", f"Content-Length: {len(body)}",
                "Content-Type: application/json") + body
    assert ask(api, data)[0] == 202


def test_e17_head_and_old_versions(api):
    with Client(api.port) as client:
        status, headers, _ = client.send(head("HEAD", "/health")).answer(body=False)
        assert status == 200 and int(headers["content-length"]) > 0
        assert client.send(head("GET", "/health")).answer()[0] == 200, "the answer had a body"
    with Client(api.port) as client:
        status, headers, _ = client.send(head("GET", "/health", version="HTTP/1.0",
                                              host=None)).answer()
        assert status == 200 and headers["connection"] == "close" and client.closed()
    with Client(api.port) as client:
        old = head("GET", "/health", "Connection: keep-alive", version="HTTP/1.0", host=None)
        assert client.send(old).answer()[1]["connection"] == "keep-alive"
        assert client.send(old).answer()[0] == 200
    assert ask(api, head("GET", "/health", version="HTTP/1.7"))[0] == 200


def test_pipelined_requests_are_answered_in_order(api):
    """More than the front's input holds, probes and webhooks mixed."""
    count = 200
    data, want = b"", []
    for i in range(count):
        body = deposit()
        if i % 3 == 0:
            data += head("GET", "/health", f"X-Request-Id: r{i}")
            want.append((200, f"r{i}"))
        elif i % 3 == 1:
            data += signed(body, f"X-Request-Id: r{i}") + body
            want.append((202, f"r{i}"))
        else:
            data += head("GET", "/nothing", f"X-Request-Id: r{i}")
            want.append((404, f"r{i}"))
    with Client(api.port, timeout=30) as client:
        client.sock.setblocking(False)
        got = b""
        while got.count(b"HTTP/1.1 ") < count or data:
            readable, writable, _ = select.select([client.sock],
                                                  [client.sock] if data else [], [], 30)
            assert readable or writable
            if writable:
                data = data[client.sock.send(data):]
            if readable:
                got += client.sock.recv(65536)
        client.rest = got
        client.sock.settimeout(10)
        answers = [client.answer() for _ in range(count)]
    assert [(a[0], a[1]["x-request-id"]) for a in answers] == want


def test_answers_are_dated(api):
    before = int(time.time())
    _, headers, _, _ = ask(api, head())
    dated = email.utils.parsedate_to_datetime(headers["date"]).timestamp()
    assert before <= dated <= time.time()
    assert headers["date"] == email.utils.formatdate(dated, usegmt=True)


def test_a_stop_waits_for_a_body_on_its_way(own_api):
    server = own_api()
    body = deposit()
    with Client(server.port) as client, Client(server.port) as other:
        client.send(signed(body, "Expect: 100-continue"))
        while b"\r\n\r\n" not in client.rest:
            assert client.more()
        client.rest = b""
        client.send(body[:10])
        server.process.child.send_signal(signal.SIGTERM)
        harness.wait_for(lambda: server.process.events("api_stopping"), "it is stopping")
        harness.wait_for(lambda: other.send(head()).answer()[0] == 503, "new ones are refused")
        status, headers, _ = client.send(body[10:]).answer()
        assert status == 202 and headers["connection"] == "close"
    assert server.stop() == 0


def test_half_closed_clients_get_their_answer(api):
    with Client(api.port) as client:
        client.send(head("GET", "/health"))
        client.sock.shutdown(socket.SHUT_WR)
        assert client.answer()[0] == 200
        assert client.closed()
    with Client(api.port) as client:
        client.send(head("POST", HOOK, "Content-Length: 10") + b"12345")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.answer()[0] == 400
        assert client.closed()


# --- E18: limits -----------------------------------------------------------


def test_e18_head_size(api):
    problem(api, head("GET", "/health", "X-A: " + "a" * 20000), 431, str(HEAD_MAX))
    problem(api, b"GET /" + b"a" * 20000, 431, str(HEAD_MAX))
    rest = HEAD_MAX - len(head("GET", "/health", "X-A: "))
    assert ask(api, head("GET", "/health", "X-A: " + "a" * rest))[0] == 200
    problem(api, head("GET", "/health", "X-A: " + "a" * (rest + 1)), 431, str(HEAD_MAX))


def test_e18_expect(api):
    problem(api, head("GET", "/health", "Expect: banana"), 417)
    body = deposit()
    with Client(api.port) as client:
        client.send(signed(body, "Expect: 100-continue"))
        while b"\r\n\r\n" not in client.rest:
            assert client.more()
        assert client.rest == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.rest = b""
        assert client.send(body).answer()[0] == 202
    # No 100 where the body will not be read.
    for path, fields, status in [
            (HOOK, [f"Content-Length: {BODY_MAX + 1}"], 413),
            ("/nothing", ["Content-Length: 5"], 404),
            ("/api/v1/tasks/x", ["Content-Length: 5"], 401)]:
        assert ask(api, head("POST", path, "Expect: 100-continue", *fields))[0] == status


def test_e18_methods_and_versions(api):
    status, headers, _, _ = ask(api, head("TRACE", "/health"))
    assert status == 405 and headers["allow"] == "GET, HEAD"
    problem(api, head("BREW", "/health"), 501)
    problem(api, head("CONNECT", "host:80"), 501)
    problem(api, head("GET", "/health", version="HTTP/9.9"), 505)
    with Client(api.port) as client:
        client.send(head("GET", "/health", version="HTTP/9.9")).more()
        assert client.rest.startswith(b"HTTP/1.1 505 HTTP Version Not Supported\r\n")


@pytest.mark.parametrize("chunked", [False, True])
def test_e18_the_413_can_be_read(api, chunked):
    """All of a large body is sent before the answer is read."""
    size = 3 << 20
    if chunked:
        data = head("POST", HOOK, "Transfer-Encoding: chunked")
        data += b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
    else:
        data = head("POST", HOOK, f"Content-Length: {size}") + b"x" * size
    document = problem(api, data, 413, str(BODY_MAX))
    assert document["ok"] is False


# --- E19, E20: paths -------------------------------------------------------

@pytest.mark.parametrize("path", [
    HOOK + "%00x", "/api/v1/wallets/a%00x", "/api/v1/tasks/t.%0ax", "/api/v1/tasks/t%7f",
    "/health%2f", "/health%5c", "/health\\", "/x\\..\\health", "/x/../health", "/./health",
    "/x/%2e%2e/health", "//health", "/health//", "/health%", "/health%4", "/health%zz",
    "/health#x", "health", "http://", "ftp://a/health"])
def test_e19_e20_one_form_of_a_path(api, path):
    problem(api, head("GET", path), 400)


def test_e20_metrics_are_on_their_own_port(api):
    port = api.process.events("api_started")[0]["metrics_port"]
    assert port not in (-1, api.port)
    for path in ["/metrics", "/metrics/", "/%6detrics"]:
        assert ask(api, head("GET", path))[0] == 404, path
    for path in ["/metrics", "/healthz", "/readyz", "/health"]:
        with Client(port) as client:
            assert client.send(head("GET", path)).answer()[0] == 200, path
    for method, path in [("GET", "/"), ("GET", "/api/v1/transactions"), ("POST", HOOK)]:
        with Client(port) as client:
            assert client.send(head(method, path)).answer()[0] == 404, path
    for path in ["/healthz", "/readyz", "/api/v1/health"]:
        assert ask(api, head("GET", path))[0] == 200, path


def test_without_a_metrics_port_all_is_as_before(own_api):
    server = own_api()
    assert server.process.events("api_started")[0]["metrics_port"] == -1
    assert ask(server, head("GET", "/metrics"))[0] == 200


# --- nobody goes around the front ------------------------------------------


def test_the_engine_answers_nobody_else(api):
    """Its port is on loopback, but takes tickets of the front alone."""
    body = deposit()
    assert ask(api, signed(body) + body)[0] == 202  # its thread runs
    want = {"%08X:%04X" % (int.from_bytes(socket.inet_aton("127.0.0.1"), "little"), port)
            for port in (api.port, api.process.events("api_started")[0]["metrics_port"])}
    inodes = set()
    for fd in os.listdir(f"/proc/{api.process.pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{api.process.pid}/fd/{fd}"))
        except OSError:
            pass
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    listening = {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}
    engine = listening - want
    assert len(engine) == 1, listening
    port = int(engine.pop().split(":")[1], 16)
    for data in [head("GET", "/health"), signed(body) + body,
                 head("GET", "/", "X-Front-Ticket: " + "0" * 69)]:
        with Client(port) as client:
            status, _, answer = client.send(data).answer()
            assert (status, answer) == (403, b"")
            assert client.closed()
    # As the front's field from outside it means nothing.
    assert ask(api, head("GET", "/health", "X-Front-Ticket: x"))[0] == 200


# --- E15, E16: slow clients ------------------------------------------------


def test_the_limit_of_one_peer(own_api):
    server = own_api(HTTP_CONNECTIONS_PER_PEER=5, TRUSTED_PROXIES="127.0.0.9", METRICS_PORT=0)
    kept = [Client(server.port, "127.0.0.2") for _ in range(5)]
    for client in kept:
        assert client.send(head()).answer()[0] == 200
    with Client(server.port, "127.0.0.2") as client:
        status, headers, answer = client.answer()
        assert status == 429 and client.closed()
        assert json.loads(answer)["code"] == "rate_limited" and headers["retry-after"]
    trusted = [Client(server.port, "127.0.0.9") for _ in range(10)]
    for client in trusted:
        assert client.send(head()).answer()[0] == 200
    assert ask(server, head())[0] == 200  # another peer
    kept.pop().sock.close()
    harness.wait_for(lambda: Client(server.port, "127.0.0.2").send(head()).answer()[0] == 200,
                     "a place is free again")
    assert metric(server, 'http_front_refused_total{reason="peer_connections"}') >= 1
    for client in kept + trusted:
        client.sock.close()


def test_when_all_connections_are_taken_the_idle_one_goes(own_api):
    server = own_api(HTTP_CONNECTIONS_MAX=16, METRICS_PORT=0)
    clients = [Client(server.port) for _ in range(16)]
    for client in clients:
        assert client.send(head()).answer()[0] == 200
    assert clients[1].send(head()).answer()[0] == 200  # used again: not the oldest
    with Client(server.port) as late:
        assert late.send(head()).answer()[0] == 200
        assert clients[0].closed()
        assert clients[1].send(head()).answer()[0] == 200
    for client in clients:
        client.sock.close()


@pytest.fixture
def stuck(own_api, tmp_path):
    """An API whose ledger is locked: each webhook holds its thread."""
    server = own_api(HTTP_THREADS=4, HTTP_CONNECTIONS_MAX=20, METRICS_PORT=0)
    body = deposit()
    assert ask(server, signed(body) + body)[0] == 202
    lock = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    clients = []
    for _ in range(15):
        body = deposit()
        clients.append(Client(server.port).send(signed(body) + body))
    yield server, lock, clients
    for client in clients:
        client.sock.close()
    lock.close()


def test_probes_answer_while_every_thread_is_taken(stuck):
    server, lock, clients = stuck
    started = time.monotonic()
    for path in ("/healthz", "/health", "/api/v1/health"):
        assert ask(server, head("GET", path))[0] == 200
    port = server.process.events("api_started")[0]["metrics_port"]
    for path in ("/healthz", "/metrics"):
        with Client(port) as client:
            assert client.send(head("GET", path)).answer()[0] == 200
    # With the last place taken there is no other for a client, but for a probe.
    for _ in range(5):
        body = deposit()
        clients.append(Client(server.port).send(signed(body) + body))
    harness.wait_for(lambda: metric(server, "http_front_connections") >= 20, "all are taken")
    with Client(server.port) as client:
        assert client.answer()[0] == 503 and client.closed()
    assert metric(server, 'http_front_refused_total{reason="connections"}') == 1
    asked = subprocess.run([harness.API, "--health"], timeout=20,
                           env=harness.plain_env(PORT=server.port, METRICS_PORT=port))
    assert asked.returncode == 0
    assert time.monotonic() - started < 4
    lock.execute("ROLLBACK")
    # Four at a time: whoever waited is answered as well.
    assert {client.answer()[0] for client in clients} == {202}


@pytest.mark.chaos
def test_who_waits_too_long_for_a_thread_is_told(stuck):
    server, lock, clients = stuck
    told = [client for client in clients if select.select([client.sock], [], [], 7)[0]]
    answers = [client.answer() for client in told]
    busy = [a for a in answers if b"every thread is busy" in a[2]]
    assert len(busy) >= 11 and all(a[0] == 503 and a[1]["retry-after"] for a in busy)
    assert metric(server, 'http_front_refused_total{reason="busy"}') == len(busy)
    lock.execute("ROLLBACK")


def slow_clients(server, count):
    """Slow heads, slow bodies and silent ones, from peers of their own."""
    clients = []
    for i in range(count):
        client = Client(server.port, f"127.0.{1 + i % 40}.{2 + i // 40}")
        if i % 3 == 0:
            client.send(head("POST", HOOK, "Content-Length: 60000") + b"x")
        elif i % 3 == 1:
            client.send(b"GET /health HTTP/1.1\r\nHost: a\r\nX-A: ")
        clients.append(client)
    return clients


def trickle(clients):
    for i, client in enumerate(clients):
        if i % 3 != 2:
            client.send(b"x")


def served_beside(server, count, rounds):
    """Median of the seconds that a webhook takes while count others are slow."""
    clients = slow_clients(server, count)
    times = []
    for i in range(rounds):
        if i % 10 == 0:
            trickle(clients)
        body = deposit()
        started = time.monotonic()
        with Client(server.port) as client:
            assert client.send(signed(body) + body).answer()[0] == 202
        times.append(time.monotonic() - started)
        assert ask(server, head("GET", "/healthz"))[0] == 200
    for client in clients:
        client.sock.close()
    return statistics.median(times)


def test_e15_e16_a_hundred_slow_clients(own_api):
    server = own_api(HTTP_THREADS=4)
    assert served_beside(server, 100, 20) < 0.1


@pytest.mark.chaos
def test_e15_e16_five_hundred_slow_clients_are_ended(own_api):
    server = own_api(HTTP_THREADS=4, METRICS_PORT=0)
    assert served_beside(server, 500, 100) < 0.1
    clients = slow_clients(server, 60)
    started = time.monotonic()
    for i, client in enumerate(clients):
        client.sock.settimeout(20)
        if i % 3 == 2:
            assert client.closed()
        else:
            assert client.answer()[0] == 408
    assert 8 < time.monotonic() - started < 15
    assert metric(server, 'http_front_refused_total{reason="slow"}') == 40
    assert metric(server, 'http_front_refused_total{reason="silent"}') >= 20
    harness.wait_for(lambda: metric(server, "http_front_connections") <= 2,
                     "all of them are closed")


@pytest.mark.chaos
def test_ten_thousand_idle_connections(own_api):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10000, hard - 500)
    server = own_api(HTTP_CONNECTIONS_PER_PEER=0, METRICS_PORT=0)

    def resident():
        with open(f"/proc/{server.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    for _ in range(20):
        ask(server, head())
    before = resident()
    clients = []
    for i in range(count):
        client = Client(server.port, f"127.0.{1 + i // 250}.1")
        assert client.send(head()).answer()[0] == 200
        clients.append(client)
    assert (resident() - before) / count < 4096
    harness.wait_for(lambda: metric(server, "http_front_connections") >= count, "all are open")
    times = []
    for _ in range(50):
        started = time.monotonic()
        assert ask(server, head())[0] == 200
        times.append(time.monotonic() - started)
    assert statistics.median(times) < 0.02
    for client in clients:
        client.sock.close()


# --- who asks --------------------------------------------------------------


def test_wrong_settings_are_named(tmp_path):
    for name, value in [("TRUSTED_PROXIES", "10.0.0.0/33"), ("TRUSTED_PROXIES", "proxy.internal"),
                        ("METRICS_PORT", "70000"), ("METRICS_PORT", "8000"),
                        ("HTTP_CONNECTIONS_PER_PEER", "-1"),
                        ("HTTP_CONNECTIONS_MAX", "many")]:
        env = harness.plain_env(WEBHOOK_SECRET=harness.SECRET,
                                DATABASE_URL=f"sqlite:///{tmp_path}/l.db",
                                CELERY_BROKER_URL=f"filesystem://{tmp_path}/spool", **{name: value})
        done = subprocess.run([harness.API], env=env, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=20)
        assert done.returncode == 2
        assert name in done.stdout and value in done.stdout and "accepted" in done.stdout


def test_few_open_files_are_few_connections(own_api, tmp_path):
    """The soft limit is raised; what the hard one does not give is told."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    server = own_api(HTTP_CONNECTIONS_MAX=1000)
    assert not server.process.events("connections_limited")
    pid = server.process.pid
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] == limits[1]
    wrapper = tmp_path / "few.sh"
    wrapper.write_text(f"#!/bin/sh\nulimit -n 900\nexec {pathlib.Path(harness.API).resolve()}\n")
    wrapper.chmod(0o755)
    env = harness.plain_env(DATABASE_URL=f"sqlite:///{tmp_path}/f.db", PORT=0,
                            CELERY_BROKER_URL=f"filesystem://{tmp_path}/few",
                            WEBHOOK_SECRET=harness.SECRET, HTTP_THREADS=8,
                            HTTP_CONNECTIONS_PER_PEER=0)
    process = harness.Process("few", [wrapper], tmp_path, env)
    try:
        event = harness.wait_for(lambda: process.events("connections_limited"), "it is told")[0]
        assert (event["wanted"], event["open_files"]) == (10240, 900)
        assert 500 < event["possible"] < 700
        port = harness.wait_for(lambda: process.events("api_started"), "it has started")[0]["port"]
        # More than that are served all the same, the idle ones go.
        clients = [Client(port) for _ in range(event["possible"] + 50)]
        for client in clients[-20:]:
            assert client.send(head()).answer()[0] == 200
        for client in clients:
            client.sock.close()
    finally:
        assert process.stop() == 0


def test_an_ipv6_address_can_be_listened_on(own_api, tmp_path):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    port = harness.free_port()
    env = harness.plain_env(DATABASE_URL=f"sqlite:///{tmp_path}/6.db", HOST="::1", PORT=port,
                            CELERY_BROKER_URL=f"filesystem://{tmp_path}/spool6",
                            WEBHOOK_SECRET=harness.SECRET)
    process = harness.Process("api6", [harness.API], tmp_path, env)
    try:
        harness.wait_for(lambda: process.events("api_started"), "it has started")
        with socket.create_connection(("::1", port), 10) as sock:
            sock.sendall(head())
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
    finally:
        assert process.stop() == 0
