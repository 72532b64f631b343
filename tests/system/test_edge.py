# SPDX-License-Identifier: MIT
"""The API behind the nginx that we ship (compose/nginx.conf as it is, at other
ports) and behind HAProxy: E12 and E13 as a proxy passes them on, E20 to E22."""

import json
import re
import shutil
import socket
import uuid

import pytest

import harness
from test_front import Client, deposit, head, signed

HAPROXY = """
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
    option forwardfor
    option http-keep-alive
frontend f
    bind 127.0.0.1:{front}
    default_backend b
backend b
    server s 127.0.0.1:{back}
"""


class Edge:
    def __init__(self, api, nginx, haproxy, process):
        self.api, self.nginx, self.haproxy, self.process = api, nginx, haproxy, process
        # nginx and the raw requests below have it as any server has.
        self.port = nginx

    def log(self):
        return [json.loads(line) for line in self.process.log().splitlines()
                if line.startswith('{"ts"')]


def shipped_nginx(folder, port, api):
    """The file's text; what changes is where it listens, writes and forwards to."""
    text = (harness.ROOT / "compose/nginx.conf").read_text()
    text = text.replace("listen 80 default_server", f"listen 127.0.0.1:{port} default_server")
    text = re.sub(r"server app[123]:8000", f"server 127.0.0.1:{api}", text, count=1)
    text = re.sub(r" *server app[123]:8000.*\n", "", text)
    text = text.replace("/var/run/", f"{folder}/").replace("/etc/nginx/", f"{folder}/")
    places = "".join(f"    {kind}_temp_path {folder}/{kind};\n"
                     for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return "master_process off;\n" + text.replace("http {\n", "http {\n" + places)


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    if not (shutil.which("nginx") and shutil.which("haproxy")):
        pytest.fail("nginx and haproxy are needed")
    folder = tmp_path_factory.mktemp("edge")
    nginx, haproxy = harness.free_port(), harness.free_port()
    api = harness.Api(folder, f"sqlite:///{folder}/l.db", f"filesystem://{folder}/spool",
                      METRICS_PORT=0, TRUSTED_PROXIES="127.0.0.1")
    (folder / "nginx.conf").write_text(shipped_nginx(folder, nginx, api.port))
    (folder / "haproxy.cfg").write_text(HAPROXY.format(front=haproxy, back=api.port))
    processes = [harness.Process("nginx", ["nginx", "-c", folder / "nginx.conf", "-g",
                                           "daemon off;"], folder),
                 harness.Process("haproxy", ["haproxy", "-db", "-f", folder / "haproxy.cfg"],
                                 folder)]
    for port in (nginx, haproxy):
        harness.wait_for(lambda: socket.socket().connect_ex((harness.LOOPBACK, port)) == 0,
                         "the proxies listen")
    yield Edge(api, nginx, haproxy, processes[0])
    for process in processes:
        process.stop()
    assert api.stop() == 0
    assert "Sanitizer" not in api.process.log(), api.process.log()[-5000:]


def through(port, data):
    with Client(port) as client:
        return client.send(data).answer()


def is_problem(answer, status):
    got, headers, body = answer
    document = json.loads(body)
    assert got == status, answer
    assert headers["content-type"] == "application/json"
    assert document["ok"] is False and document["error"] and document["field"] is None
    assert document["request_id"] == headers["x-request-id"]
    assert document["status"] == status and document["title"] and document["code"] != "error"
    assert document["type"] == "urn:cricalgo:error:" + document["code"]
    assert document["detail"] == document["error"]
    assert headers["cache-control"] == "no-store"
    return document


@pytest.mark.parametrize("proxy", ["nginx", "haproxy"])
def test_a_deposit_through_each(edge, proxy):
    body = deposit()
    status, _, answer = through(getattr(edge, proxy), signed(body) + body)
    assert status == 202, answer


# --- E12, E13 through HAProxy ----------------------------------------------


def test_e12_the_field_that_haproxy_adds_is_seen_or_all_is_refused(edge):
    """HAProxy appends X-Forwarded-For behind all others."""
    for count in range(55, 70):
        filler = [f"X-{i}: y" for i in range(count)]
        status = through(edge.haproxy, head("GET", "/api/v1/transactions", *filler))[0]
        # Host, the field that HAProxy adds, and the filler.
        assert status == (401 if count + 2 <= 63 else 431), count


def test_e13_no_request_is_smuggled_through_haproxy(edge):
    inner = head("GET", "/health", "X-Request-Id: smuggled")
    for count in (61, 62, 63, 64, 65, 70):
        filler = [f"X-{i}: y" for i in range(count)]
        data = head("POST", "/api/v1/webhooks/bep20", *filler, f"Content-Length: {len(inner)}")
        with Client(edge.haproxy) as client:
            client.send(data + inner)
            assert client.answer()[0] in (401, 431)
            client.sock.settimeout(0.2)
            try:
                client.more()
            except TimeoutError:
                pass
            assert b"smuggled" not in client.rest


# --- E20 -------------------------------------------------------------------

METRICS = ["/metrics", "/metrics/", "/metrics%2f", "/metrics\\", "/metrics%5c", "//metrics",
           "/x\\..\\metrics", "/x/../metrics", "/x/%2e%2e/metrics", "/./metrics", "/%6detrics",
           "/METRICS", "/metrics?x", "/metrics;x", "/api/../metrics", "/api/..%2fmetrics",
           "/api/v1/..\\..\\metrics", "/health/../metrics", "http://a/metrics",
           "/api/%2e%2e/metrics"]


@pytest.mark.parametrize("path", METRICS)
def test_e20_no_metrics_through_the_edge(edge, path):
    for port in (edge.nginx, edge.haproxy, edge.api.port):
        status, _, body = through(port, head("GET", path))
        assert status in (400, 404), (status, body)
        assert b"http_requests_total" not in body


@pytest.mark.parametrize("path", ["/readyz", "/readyz/", "/other", "/healthz/x"])
def test_e20_what_is_not_listed_is_not_forwarded(edge, path):
    is_problem(through(edge.nginx, head("GET", path)), 404)
    line = harness.wait_for(lambda: [e for e in edge.log() if e["path"] == path],
                            "nginx has logged it")[-1]
    assert line["upstream"] == ""


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/health", "/healthz", "/api/v1/health"])
def test_e20_what_is_listed_is_served(edge, path):
    assert through(edge.nginx, head("GET", path))[0] == 200


# --- E21 -------------------------------------------------------------------


@pytest.mark.parametrize("path", [
    "/api/v1/register", "/api/v1/register/", "/api/v1/%72egister", "/api/v1/register%2f",
    "/api/v1//register", "/api/v1/x/../register", "/api/v1/auth/register",
    "/api/v1/auth/register/", "/api/v1/auth/register?x"])
def test_e21_each_form_is_limited(edge, path):
    """The burst is 40: of 60 at once some are refused, whatever the form. All forms
    share one limit, so an earlier test leaves less of it."""
    data = head("POST", path, "Content-Length: 2") + b"{}"
    statuses = [through(edge.nginx, data)[0] for _ in range(60)]
    assert statuses.count(429) > 5, statuses


def test_e21_the_answer_is_ours(edge):
    data = head("POST", "/api/v1/register/", "Content-Length: 2", "X-Request-Id: mine-1") + b"{}"
    answers = [through(edge.nginx, data) for _ in range(60)]
    document = is_problem(next(a for a in answers if a[0] == 429), 429)
    assert document["request_id"] == "mine-1"
    assert document["error"] == "too many requests"


# --- E22 -------------------------------------------------------------------


@pytest.mark.parametrize("given, kept", [
    ("mine-1", True), ("A.b_c-9" * 9, True), ("a" * 64, True), ("a" * 65, False), ("a b", False),
    ("a/b", False), ("a\"b", False), ("", False)])
def test_e22_a_well_formed_request_id_is_kept(edge, given, kept):
    for path in ("/api/v1/health", "/nothing"):
        _, headers, _ = through(edge.nginx, head("GET", path, f"X-Request-Id: {given}"))
        assert (headers["x-request-id"] == given) is kept, headers
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", headers["x-request-id"])


def test_e22_the_edges_errors_are_ours(edge):
    large = head("POST", "/api/v1/webhooks/bep20", "Content-Length: 270000", "X-Request-Id: big")
    document = is_problem(through(edge.nginx, large), 413)
    assert document["request_id"] == "big"
    is_problem(through(edge.nginx, head("GET", "/nothing")), 404)
    is_problem(through(edge.nginx, head("TRACE", "/health")), 405)
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"GET  HTTP/1.1\r\nHost: a\r\n\r\n",
                 head("GET", "/", "Content-Length: x"), b"G()T / HTTP/1.1\r\nHost: a\r\n\r\n",
                 head("GET", "/", "X: " + "y" * 9000)):
        is_problem(through(edge.nginx, data), 400)
    is_problem(through(edge.nginx, head("GET", "/" + "y" * 9000)), 414)
    is_problem(through(edge.nginx, head("GET", "/api/v1/transactions/" + uuid.uuid4().hex)), 401)


def test_e22_the_form_is_the_apis(edge):
    """The same members in the same order, and codes that the API has as well."""
    of_edge = through(edge.nginx, head("GET", "/nothing"))[2]
    of_api = through(edge.api.port, head("GET", "/nothing"))[2]
    edge_document, api_document = json.loads(of_edge), json.loads(of_api)
    assert list(edge_document) == list(api_document)
    for document in (edge_document, api_document):
        del document["request_id"]
    assert edge_document == api_document
    listed = set(re.findall(r"^\| `(\w+)` \| \d{3} \|",
                            (harness.ROOT / "docs/api.md").read_text(), re.M))
    for name in ("compose/nginx.conf", "k8s/nginx/upstream-weight.conf"):
        text = (harness.ROOT / name).read_text()
        codes = re.search(r"map \$status \$edge_code \{(.*?)\}", text, re.S)[1]
        assert set(re.findall(r"(\w+);", codes)) - {"error"} <= listed, name


def test_e22_no_instance(edge, tmp_path, started):
    """502 in our form, too."""
    port = harness.free_port()
    (tmp_path / "nginx.conf").write_text(shipped_nginx(tmp_path, port, harness.free_port()))
    process = harness.Process("nginx", ["nginx", "-c", tmp_path / "nginx.conf", "-g",
                                        "daemon off;"], tmp_path)
    started.append(process)
    harness.wait_for(lambda: socket.socket().connect_ex((harness.LOOPBACK, port)) == 0,
                     "nginx listens")
    document = is_problem(through(port, head("GET", "/api/v1/health")), 502)
    assert document["error"] == "no instance could be reached"
