# SPDX-License-Identifier: MIT
"""Malformed requests, a table and some hundred generated ones, sent to nginx, to
HAProxy and to us. What one of them refuses for its form we refuse as well: then no
proxy before us can pass on what it reads in another way than we do."""

import contextlib
import itertools
import shutil
import socket

import pytest

import harness

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; proxy_ignore_client_abort on;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{front}; location / {{
        proxy_http_version 1.1; proxy_pass http://127.0.0.1:{back}; }} }}
    server {{ listen 127.0.0.1:{back}; add_header X-Backend yes always;
        location / {{ return 200 "backend"; }} }}
}}
"""
HAPROXY = """
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
    option http-buffer-request
frontend f
    bind 127.0.0.1:{front}
    default_backend b
backend b
    server s 127.0.0.1:{back}
"""
FIRST = b"GET /health HTTP/1.1\r\n"
HOST = b"Host: a\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex((harness.LOOPBACK, port)) == 0


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Ports by name; each server answers GET /health with 200."""
    if not (shutil.which("nginx") and shutil.which("haproxy")):
        pytest.fail("nginx and haproxy are needed")
    folder = tmp_path_factory.mktemp("framing")
    nginx, haproxy, back = (harness.free_port() for _ in range(3))
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, front=nginx, back=back))
    (folder / "haproxy.cfg").write_text(HAPROXY.format(front=haproxy, back=back))
    processes = [
        harness.Process("nginx", ["nginx", "-p", folder, "-c", folder / "nginx.conf"], folder),
        harness.Process("haproxy", ["haproxy", "-db", "-f", folder / "haproxy.cfg"], folder)]
    api = harness.Api(folder, f"sqlite:///{folder}/l.db", f"filesystem://{folder}/spool",
                      HTTP_CONNECTIONS_PER_PEER=0)
    for port in (nginx, haproxy, back):
        harness.wait_for(lambda: listens(port), "the proxies listen")
    yield {"nginx": nginx, "haproxy": haproxy, "ours": api.port}
    assert api.stop() == 0
    assert "Sanitizer" not in api.process.log(), api.process.log()[-5000:]
    for process in processes:
        process.stop()


def answer_of(port, data):
    """What comes back until the end; the client sends no more than data."""
    with socket.create_connection((harness.LOOPBACK, port), 10) as sock:
        got = b""
        with contextlib.suppress(OSError):  # refused before all was sent
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while piece := sock.recv(65536):
                got += piece
        return got


def refused(port, data):
    """Not answered by a 200 alone: an error, or no answer."""
    got = answer_of(port, data)
    heads = [line for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    return not heads or any(not line.startswith((b"HTTP/1.1 200", b"HTTP/1.1 100"))
                            for line in heads)


def table():
    """Whole requests."""
    lengths = [b"", b"Content-Length: 3\r\n", b"Content-Length: 3\r\nContent-Length: 3\r\n",
               b"Content-Length: 3\r\nContent-Length: 4\r\n", b"Content-Length: 3, 3\r\n",
               b"Content-Length: +3\r\n", b"Content-Length: -3\r\n", b"Content-Length: 0x3\r\n",
               b"Content-Length: 3 3\r\n", b"Content-Length:\r\n", b"Content-Length: 3;\r\n",
               b"Content-Length : 3\r\n", b"Content-Length:\r\n 3\r\n", b"Content_Length: 3\r\n",
               b"Content-Length: 99999999999999999999\r\n", b"Content-Length: \"3\"\r\n"]
    codings = [b"", CHUNKED, CHUNKED + CHUNKED, b"Transfer-Encoding: Chunked\r\n",
               b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
               b"Transfer-Encoding: chunked, chunked\r\n", b"Transfer-Encoding: chunked, gzip\r\n",
               b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding: chunked;a=b\r\n",
               b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding:\r\n chunked\r\n",
               b"Transfer-Encoding: \"chunked\"\r\n", b"Transfer-Encoding:\r\n",
               b"Transfer-Encoding: ,chunked\r\n", b"Transfer-Encoding:\x0bchunked\r\n"]
    versions = [b"GET /health HTTP/1.1\r\n", b"GET /health HTTP/1.0\r\n"]
    for version, length, coding in itertools.product(versions, lengths, codings):
        body = CHUNKS if coding else b"abc" if b"3" in length else b""
        yield version + HOST + length + coding + b"\r\n" + body


def lines():
    """One byte more, or another one, wherever it could matter."""
    places = [(b"G", b"ET /health HTTP/1.1\r\n" + HOST + b"\r\n"),
              (b"GET", b" /health HTTP/1.1\r\n" + HOST + b"\r\n"),
              (b"GET /health", b" HTTP/1.1\r\n" + HOST + b"\r\n"),
              (b"GET /health HTTP/1.1", b"\r\n" + HOST + b"\r\n"),
              (FIRST, HOST + b"\r\n"),
              (FIRST + b"Ho", b"st: a\r\n\r\n"),
              (FIRST + b"Host", b": a\r\n\r\n"),
              (FIRST + b"Host: a", b"b\r\n\r\n"),
              (FIRST + HOST + b"X", b": y\r\n\r\n"),
              (FIRST + HOST + b"X: y", b"z\r\n\r\n"),
              (FIRST + HOST + b"X: y\r\n", b"\r\n"),
              (FIRST + HOST + b"Content-Length: 3", b"\r\n\r\nabc"),
              (FIRST + HOST + CHUNKED + b"\r\n3", b"\r\nabc\r\n0\r\n\r\n"),
              (FIRST + HOST + CHUNKED + b"\r\n", CHUNKS),
              (FIRST + HOST + CHUNKED + b"\r\n3\r\nabc", b"\r\n0\r\n\r\n"),
              (FIRST + HOST + CHUNKED + b"\r\n3\r\nabc\r\n0", b"\r\n\r\n")]
    extra = [bytes([c]) for c in (*range(0x21), *b"\"(),/:;<=>?@[\\]{}", 0x7f, 0x80, 0xff)]
    for (before, after), byte in itertools.product(places, [*extra, b"\r\n", b" \r\n"]):
        yield before + byte + after
    whole = FIRST + HOST + b"X: y\r\n" + CHUNKED + b"\r\n" + CHUNKS
    for at in range(len(whole)):
        if whole[at:at + 1] in b"\r\n: ":
            yield whole[:at] + whole[at + 1:]
    for end in (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\x0b\r\n", b"\x85"):
        for at in [i for i in range(len(whole)) if whole[i:i + 2] == b"\r\n"]:
            yield whole[:at] + end + whole[at + 2:]


def heads():
    """Hosts, versions, sizes, paths."""
    for hosts in (b"", HOST + HOST, b"Host: b\r\n" + HOST, b"Host:\r\n", b"Host: a b\r\n",
                  b"Host: a/b\r\n", b"Host: a@b\r\n", b"Host: a,b\r\n", b"Host: a\\b\r\n"):
        yield FIRST + hosts + b"\r\n"
    for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.10", b"HTTP/1",
                    b"HTTP/01.1", b"HTTP/1.", b"http/1.1", b"HTP/1.1", b"HTTP /1.1", b"1.1", b""):
        yield b"GET /health " + version + b"\r\n" + HOST + b"\r\n"
    for target in (b"*", b"health", b"//health", b"/../health", b"/%00", b"/health%", b"/%zz",
                   b"http://a", b"a:80", b"http://", b"/\x01", b"/\x7f", b"/#", b"/a b", b""):
        yield b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    for count in (101, 200):
        yield FIRST + HOST + b"X: y\r\n" * count + b"\r\n"
    yield FIRST + HOST + b"X: " + b"y" * 40000 + b"\r\n\r\n"
    yield b"GET /" + b"y" * 40000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"


VALID = [FIRST + HOST + b"\r\n", FIRST + HOST + b"Content-Length: 3\r\n\r\nabc",
         FIRST + HOST + CHUNKED + b"\r\n" + CHUNKS,
         FIRST + HOST + CHUNKED + b"\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
         FIRST + HOST + b"X: a\tb \t\r\n\r\n", b"GET http://a/health HTTP/1.1\r\n" + HOST + b"\r\n",
         b"GET /health HTTP/1.0\r\n\r\n"]


@pytest.mark.parametrize("data", VALID, ids=range(len(VALID)))
def test_all_three_take_what_is_valid(servers, data):
    assert {name for name in servers if refused(servers[name], data)} == set()


@pytest.mark.parametrize("cases, least", [(table, 300), (lines, 400), (heads, 20)],
                         ids=lambda v: getattr(v, "__name__", ""))
def test_what_a_proxy_refuses_we_refuse(servers, cases, least):
    wrong, by_proxies = [], 0
    for data in cases():
        refusing = [name for name in ("nginx", "haproxy") if refused(servers[name], data)]
        by_proxies += bool(refusing)
        if refusing and not refused(servers["ours"], data):
            wrong.append((refusing, data))
    assert not wrong, "\n".join(map(str, wrong[:40])) + f"\n{len(wrong)} in all"
    assert by_proxies >= least
