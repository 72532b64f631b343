# SPDX-License-Identifier: MIT
"""A real nginx with the shipped k8s/nginx: of the requests, the canary gets the share
that the step's name says, to two in a hundred."""
import collections
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import threading

import pytest

import harness

NGINX = pathlib.Path(__file__).resolve().parents[2] / "k8s/nginx"
STEPS = {"stable": 0, "canary-10": 10, "canary-25": 25, "canary-50": 50, "canary-100": 100}
REQUESTS = 1000


class Backend:
    """An API that says which it is."""

    def __init__(self, name):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: no wait for an ACK

            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                backend.requests.append((self.command, self.path, dict(self.headers)))
                body = name.encode()
                self.send_response(backend.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, *args):
                pass

        backend = self
        self.status, self.requests = 200, []
        self.server = http.server.ThreadingHTTPServer((harness.LOOPBACK, 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def backends():
    both = {name: Backend(name) for name in ("stable", "canary")}
    yield both
    for backend in both.values():
        backend.stop()


class Nginx:
    """The shipped files, but for where they are and listen, and where names lead."""

    def __init__(self, folder, backends):
        self.folder = folder
        self.port = harness.free_port()
        shipped = (NGINX / "upstream-weight.conf").read_text()
        self.conf = self.replaced(shipped, {
            "listen 80;": f"listen {harness.LOOPBACK}:{self.port};",
            "/etc/nginx/cricalgo/step.conf;": f"{folder}/cricalgo/step.conf;"})
        (folder / "conf.d").mkdir()
        (folder / "conf.d/cricalgo-upstream.conf").write_text(self.conf)
        (folder / "cricalgo/weights").mkdir(parents=True)
        for path in (NGINX / "weights").glob("*.conf"):
            text = path.read_text()
            for name, backend in backends.items():
                server = f"app-{name}.cricalgo-staging.svc.cluster.local:8000"
                text = text.replace(server, f"{harness.LOOPBACK}:{backend.port}")
            assert "svc.cluster.local" not in text
            (folder / "cricalgo/weights" / path.name).write_text(text)
        (folder / "nginx.conf").write_text(
            f"pid {folder}/pid; daemon off; worker_processes 2; error_log {folder}/error.log;\n"
            "events { worker_connections 128; }\nhttp { access_log off;\n"
            + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in
                      ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            + f"include {folder}/conf.d/*.conf; }}\n")
        self.process = None

    @staticmethod
    def replaced(text, pairs):
        for old, new in pairs.items():
            assert text.count(old) >= 1, f"{old} is not there"
            text = text.replace(old, new)
        return text

    def step(self, name):
        """What the file's head says: the link, then a reload."""
        subprocess.run(["ln", "-sfn", f"weights/{name}.conf", self.folder / "cricalgo/step.conf"],
                       check=True)
        assert self.test() == (0, ""), self.test()
        if self.process is None:
            self.process = harness.Process("nginx", ["nginx", "-c", self.folder / "nginx.conf"],
                                           self.folder)
            harness.wait_for(self.answers, "nginx answers")
            return
        before = self.workers()
        os.kill(self.process.pid, signal.SIGHUP)
        harness.wait_for(lambda: not before & self.workers() and self.workers(),
                         "nginx's new workers, and none of the old")

    def test(self):
        done = subprocess.run(["nginx", "-t", "-q", "-c", self.folder / "nginx.conf"],
                              capture_output=True, text=True, check=False)
        lines = [x for x in done.stderr.splitlines() if "could not open error log" not in x]
        return done.returncode, "\n".join(lines)

    def workers(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return set(pathlib.Path(path).read_text().split())

    def answers(self):
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False

    def get(self, path, method="GET", body=None, conn=None):
        conn = conn or http.client.HTTPConnection(harness.LOOPBACK, self.port, timeout=10)
        conn.request(method, path, body=body, headers={"Host": "api.cricalgo-staging.example.com"})
        answer = conn.getresponse()
        return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory, backends):
    nginx = Nginx(tmp_path_factory.mktemp("nginx"), backends)
    nginx.step("stable")
    yield nginx
    nginx.process.stop(10)


def shares(nginx, path, method="GET", body=None, count=REQUESTS):
    conn = http.client.HTTPConnection(harness.LOOPBACK, nginx.port, timeout=10)
    counted = collections.Counter()
    for _ in range(count):
        status, text = nginx.get(path, method, body, conn)
        assert status == 200
        counted[text] += 1
    conn.close()
    return counted


@pytest.mark.parametrize("step", STEPS)
def test_share_of_the_canary(nginx, step):
    nginx.step(step)
    for path, method, body in (("/api/v1/health", "GET", None),
                               ("/api/v1/webhooks/bep20", "POST", b"{}")):
        counted = shares(nginx, path, method, body)
        share = 100 * counted["canary"] / REQUESTS
        assert abs(share - STEPS[step]) <= 2, (step, method, counted)
        if STEPS[step] in (0, 100):
            assert len(counted) == 1, counted


def test_a_wrong_share_would_be_seen(nginx):
    """25 % is not within two of any other step."""
    nginx.step("canary-25")
    share = 100 * shares(nginx, "/api/v1/health")["canary"] / REQUESTS
    assert [s for s, wanted in STEPS.items() if abs(share - wanted) <= 2] == ["canary-25"]


def test_health_is_answered_here_and_metrics_are_not_shown(nginx, backends):
    for backend in backends.values():
        backend.requests.clear()
    assert nginx.get("/health") == (200, "healthy\n")
    for path in ("/metrics", "/metrics/", "/metrics%2f", "/metrics%5c", "/x/../metrics", "/%6detrics",
                 "/readyz", "/other"):
        status, text = nginx.get(path)
        assert status == 404, path
        assert json.loads(text) | {"request_id": ""} == {
            "ok": False, "error": "no such path", "field": None, "request_id": "",
            "type": "urn:cricalgo:error:not_found", "title": "Not Found", "status": 404,
            "detail": "no such path", "code": "not_found"}
    assert not any(b.requests for b in backends.values())


@pytest.mark.parametrize("given, kept", [("mine-1", True), ("a" * 64, True), ("a" * 65, False),
                                         ("a/b", False)])
def test_a_well_formed_request_id_is_kept(nginx, backends, given, kept):
    nginx.step("stable")
    backends["stable"].requests.clear()
    conn = http.client.HTTPConnection(harness.LOOPBACK, nginx.port, timeout=10)
    conn.request("GET", "/api/v1/health", headers={"X-Request-Id": given})
    conn.getresponse().read()
    passed = backends["stable"].requests[0][2]["X-Request-Id"]
    assert (passed == given) is kept
    conn.request("GET", "/nothing", headers={"X-Request-Id": given})
    answer = conn.getresponse()
    assert (answer.status, answer.getheader("Content-Type")) == (404, "application/json")
    told = json.loads(answer.read())["request_id"]
    assert told == answer.getheader("X-Request-Id") and (told == given) is kept
    conn.close()


def test_only_webhooks_are_sent_again(nginx, backends):
    """A canary that fails: a webhook goes to the other one, another POST does not."""
    nginx.step("canary-50")
    backends["canary"].status = 503
    try:
        assert set(shares(nginx, "/api/v1/webhooks/bep20", "POST", b"{}", 20)) == {"stable"}
        nginx.step("canary-100")
        nginx.step("canary-50")  # forgets the failures
        answers = [nginx.get("/api/v1/tasks/t", "POST", b"{}")[0] for _ in range(2)]
        assert 503 in answers, answers
    finally:
        backends["canary"].status = 200


def test_the_real_address_is_passed_on(nginx, backends):
    nginx.step("stable")
    backends["stable"].requests.clear()
    nginx.get("/api/v1/health")
    headers = backends["stable"].requests[0][2]
    assert headers["X-Real-IP"] == headers["X-Forwarded-For"] == harness.LOOPBACK
    assert headers["Host"] == "api.cricalgo-staging.example.com"


def test_weights_are_a_hundred_and_of_one_name():
    for step, canary in STEPS.items():
        text = (NGINX / f"weights/{step}.conf").read_text()
        assert re.findall(r"^upstream (\S+)", text, re.M) == ["cricalgo_upstream"]
        weights = dict(re.findall(r"server app-(\w+)\..* weight=(\d+)", text))
        assert sum(map(int, weights.values())) == 100
        assert int(weights.get("canary", 0)) == canary
    services = (NGINX.parent / "base/services.yaml").read_text()
    assert "name: app-stable" in services and "name: app-canary" in services


def test_an_unknown_upstream_is_refused(nginx):
    """nginx -t, the step before each reload, can fail."""
    path = nginx.folder / "conf.d/cricalgo-upstream.conf"
    path.write_text(nginx.conf.replace("http://cricalgo_upstream", "http://cricalgo_upstraem"))
    code, text = nginx.test()
    path.write_text(nginx.conf)
    assert code != 0 and "host not found in upstream" in text


@pytest.mark.parametrize("change, finds", [
    (None, None),
    (("Host $host;", "Host $http_host;"), "host_spoofing"),
    (("http://cricalgo_upstream;", "http://$arg_to;"), "ssrf"),
])
def test_gixy(nginx, tmp_path, change, finds):
    """No hole of the usual kinds; one that is made is found."""
    text = nginx.conf if change is None else nginx.conf.replace(*change)
    assert change is None or text != nginx.conf
    path = tmp_path / "nginx.conf"
    path.write_text("worker_rlimit_nofile 2048;\nevents { worker_connections 1024; }\n"
                    f"http {{\n{text}\n}}\n")
    done = subprocess.run(["gixy", path], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (finds is None), done.stdout + done.stderr
    assert finds is None or f"[{finds}]" in done.stdout, done.stdout
