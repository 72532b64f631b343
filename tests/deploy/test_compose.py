# SPDX-License-Identifier: MIT
"""compose/docker-compose.staging.yml with its profiles monitoring and mixed, run
as processes: three APIs behind nginx, PostgreSQL, Redis, our worker and a Python
one, Prometheus, Alertmanager, node exporter, Flower."""
import base64
import collections
import hashlib
import hmac
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import urllib.request
import uuid

import pytest

import compose_runner
import stack
from harness import LOOPBACK, ROOT, check_ledger, deposit_body, wait_for

SECRET, TOKEN, FLOWER = "compose-secret", "compose-token", "ops:compose-flower"
ERC20_SECRET, ALCHEMY_KEY = "compose-erc20-secret", "compose-alchemy-key"
# Eight senders with a pause stay below nginx's limit of 500 a second and client.
SENDERS, PAUSE_S = 8, 0.02


@pytest.fixture(scope="module")
def compose(tmp_path_factory):
    senders = tmp_path_factory.mktemp("senders")
    shutil.copy(ROOT / "docs/sources/alchemy-address-activity.json", senders / "sources.json")
    (senders / "alchemy.key").write_text(ALCHEMY_KEY + "\n")
    services = compose_runner.Compose(
        ROOT / "compose/docker-compose.staging.yml", tmp_path_factory.mktemp("compose"),
        {"POSTGRES_PASSWORD": "p", "WEBHOOK_SECRET": SECRET, "API_TOKEN": TOKEN,
         "FLOWER_BASIC_AUTH": FLOWER, "DEPOSIT_MONITOR_INTERVAL": "0.5",
         "WEBHOOK_CHAINS": "bep20,erc20", "WEBHOOK_SECRET_ERC20": ERC20_SECRET,
         "SOURCES_FOLDER": str(senders), "WEBHOOK_SOURCES_FILE": "/etc/cricalgo/sources.json",
         "ALCHEMY_SIGNING_KEY_FILE": "/etc/cricalgo/alchemy.key"},
        ["monitoring", "mixed"])
    try:
        services.up()
        yield services
    finally:
        services.down()


class Client:
    """One connection to nginx, made again when it is closed."""

    def __init__(self, port):
        self.port = port
        self.connection = None

    def post(self, path, body, headers=None):
        raw = json.dumps(body).encode()
        signature = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        if self.connection is None:
            self.connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        self.connection.request("POST", path, raw, {
            "Content-Type": "application/json", "X-Signature": signature, **(headers or {})})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.getheader("Connection") == "close":
            self.connection.close()
        return answer.status, text


def get(port, path, token=TOKEN):
    request = urllib.request.Request(f"http://{LOOPBACK}:{port}{path}",
                                     headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def new_user(port):
    status, text = Client(port).post("/api/v1/auth/register", {
        "telegram_id": uuid.uuid4().int % 2**50 + 1, "username": "u" + uuid.uuid4().hex[:20]})
    assert status == 201, text
    return json.loads(text)["user_id"]


class Load:
    """Webhooks from several threads until told to stop, each answer kept."""

    def __init__(self, port, user):
        self.answers = collections.Counter()
        self.failures = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(port, user))
                        for _ in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def run(self, port, user):
        client = Client(port)
        while not self.stopping.wait(PAUSE_S):
            try:
                status, text = client.post("/api/v1/webhooks/bep20", deposit_body(user))
            except OSError as error:
                status, text = "error", repr(error)
            self.answers[status] += 1
            if status != 202:
                self.failures.append((status, text))

    @property
    def count(self):
        return sum(self.answers.values())

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return self.answers


def test_every_service_is_there(compose):
    assert set(compose.running) == {
        "app1", "app2", "app3", "nginx", "worker", "postgres", "redis", "python-worker",
        "prometheus", "alertmanager", "node-exporter", "flower"}
    assert all(compose.healthy(name) for name in compose.services)


def test_a_health_check_can_fail(compose):
    compose.up()
    compose.kill("app3")
    assert not compose.healthy("app3")
    compose.up("app3")
    assert compose.healthy("app3")


def test_a_killed_api_fails_no_request(compose):
    """kill -9 of one of three while eight clients send: every webhook is answered
    202, and every one is credited once."""
    port = compose.port("nginx")
    user = new_user(port)
    load = Load(port, user)
    try:
        wait_for(lambda: load.count > 200, "the load runs")
        compose.kill("app2")
        killed_at = load.count
        wait_for(lambda: load.count > killed_at + 300, "the load goes on")
        compose.up("app2")
        back_at = load.count
        wait_for(lambda: load.count > back_at + 200, "the load goes on")
    finally:
        answers = load.stop()
    assert answers == {202: load.count}, load.failures[:5]
    log = compose.running["nginx"].log()
    assert "connect() failed" in log or "prematurely closed" in log, "the kill hit no request"
    wallet = f"/api/v1/wallets/{user}"
    wait_for(lambda: float(get(port, wallet)["deposit_balance"]) == 1.5 * load.count,
             f"{load.count} deposits are credited", 60, 0.2)
    status, text = check_ledger(compose.environment("app1")["DATABASE_URL"])
    assert status == 0 and "0 lost" in text, text


def test_all_apis_get_their_share(compose):
    lines = [json.loads(line) for line in compose.running["nginx"].log().splitlines()
             if line.startswith('{"ts"')]
    upstreams = collections.Counter(line["upstream"] for line in lines)
    for name in ("app1", "app2", "app3"):
        assert upstreams[f"{LOOPBACK}:{compose.ports[name, 8000]}"] > 20, upstreams


def test_the_smoke_test_passes(compose, tmp_path):
    done = subprocess.run([ROOT / "scripts/smoke_and_checks.sh"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={"PATH": compose.environment("app1")["PATH"],
                               "STAGING_HOST": compose.url("nginx"),
                               "ARTIFACT_DIR": str(tmp_path / "artifacts"),
                               "WEBHOOK_SECRET": SECRET, "API_TOKEN": TOKEN})
    assert done.returncode == 0 and "0 warnings" in done.stdout, done.stdout


def test_both_workers_take_part(compose):
    """The Python worker settles deposits from the same queue."""
    port = compose.port("nginx")
    user = new_user(port)
    client = Client(port)

    def settled_by_python():
        for _ in range(20):
            assert client.post("/api/v1/webhooks/bep20", deposit_body(user))[0] == 202
        return "succeeded in" in compose.running["python-worker"].log()

    wait_for(settled_by_python, "the Python worker has settled a deposit", 60, 0.2)
    assert compose.running["worker"].events("deposit_task_completed")


def test_flower_sees_both_workers(compose):
    def names():
        request = urllib.request.Request(
            compose.url("flower") + "/api/workers?refresh=1",
            headers={"Authorization": "Basic " + base64.b64encode(FLOWER.encode()).decode()})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return {name.split("@")[0] for name in json.load(answer)}
        except OSError:
            return set()

    wait_for(lambda: names() == {"celery", "python"}, "Flower lists both", 60, 0.5)


def test_prometheus_sees_everything(compose):
    url = compose.url("prometheus")
    wait_for(lambda: compose_runner.targets(url) == {
        "cricalgo-app": ["up"] * 3, "cricalgo-celery-worker": ["up"], "node": ["up"]},
        "all targets are up")
    managers = json.loads(stack.http_get(url + "/api/v1/alertmanagers")[1])["data"]
    assert len(managers["activeAlertmanagers"]) == 1
    rules = json.loads(stack.http_get(url + "/api/v1/rules")[1])["data"]["groups"]
    assert sum(rule["type"] == "alerting" for group in rules
               for rule in group["rules"]) == len(stack.alerts())


def test_an_alert_reaches_alertmanager(compose):
    """A service that is down: from the scrape to the receiver's list."""
    compose.kill("app3")
    try:
        def alerts():
            answer = stack.http_get(compose.url("prometheus") + "/api/v1/alerts")[1]
            return {alert["labels"]["alertname"] for alert in json.loads(answer)["data"]["alerts"]}
        wait_for(lambda: "ServiceDown" in alerts(), "ServiceDown is pending")
    finally:
        compose.up("app3")


# --- nginx's own rules -------------------------------------------------------


def test_the_clients_address_is_the_real_one(compose):
    """What a client claims in X-Forwarded-For is replaced: it gets no further than
    nginx, and the API does not take it for a local one."""
    status, _ = Client(compose.port("nginx")).post(
        "/api/v1/webhooks/forged", {"tx_hash": "0xforged", "amount": "1"},
        {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"})
    assert status == 404  # no chain has that name
    assert logged(compose, "/api/v1/webhooks/forged")["client"] == LOOPBACK


def test_further_senders_have_secrets_of_their_own(compose):
    """What .env.example says of further chains and sources reaches the programs."""
    def status(path, secret, header, body):
        signature = hmac.new(secret.encode(), json.dumps(body).encode(), hashlib.sha256).hexdigest()
        return Client(compose.port("nginx")).post("/api/v1/webhooks/" + path, body, {header: signature})[0]

    body = deposit_body(new_user(compose.port("nginx")))
    assert status("erc20", ERC20_SECRET, "X-Signature", body) == 202
    assert status("erc20", SECRET, "X-Signature", body) == 401
    assert status("bep20", ERC20_SECRET, "X-Signature", body) == 401
    feed = {"type": "ADDRESS_ACTIVITY", "event": {"network": "ETH_MAINNET", "activity": []}}
    assert status("alchemy", ALCHEMY_KEY, "X-Alchemy-Signature", feed) == 202
    assert status("alchemy", SECRET, "X-Alchemy-Signature", feed) == 401


def test_a_large_body_stops_at_nginx(compose):
    status, text = Client(compose.port("nginx")).post("/api/v1/webhooks/bep20",
                                                      {"tx_hash": "a" * 270000, "amount": "1"})
    assert status == 413 and json.loads(text)["error"] == "the body is too large"


def test_health_is_nginx_own(compose):
    with urllib.request.urlopen(compose.url("nginx") + "/health") as answer:
        assert answer.read() == b"healthy\n"
        assert answer.headers.get_all("Content-Type") == ["text/plain"]


def test_a_flood_is_answered_429(compose):
    port = compose.port("nginx")
    answers = collections.Counter()

    def flood():
        client = Client(port)
        for _ in range(40):
            answers[client.post("/api/v1/auth/register", {})[0]] += 1

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers[429] > 0 and answers[422] + answers[400] >= 40, answers
    wait_for(lambda: Client(port).post("/api/v1/auth/register", {})[0] != 429,
             "the client may come again")


@pytest.mark.parametrize("path,body,expected", [
    ("/api/v1/webhooks/bep20", {"tx_hash": "0xreplay", "amount": "1"}, 202),
    ("/api/v1/tasks/x", {"args": []}, 502)], ids=["webhook", "task"])
def test_only_webhooks_are_sent_again(compose, path, body, expected):
    """An app dies with a request in its hands: a webhook goes to the next one, a
    task does not, for it could have been sent already."""
    app, here = compose.running["app1"], compose.ports["app1", 8000]
    results = []

    def send():
        results.append(Client(compose.port("nginx")).post(path, body)[0])

    os.kill(app.pid, signal.SIGSTOP)
    try:
        # Round robin: the others answer until it is the stopped one's turn.
        while unread(here) == 0:
            results.clear()
            seen = len(compose.running["nginx"].log())
            thread = threading.Thread(target=send)
            thread.start()
            wait_for(lambda: unread(here) > 0 or not thread.is_alive(), "the request is somewhere")
        compose.kill("app1")
        thread.join(40)
    finally:
        if "app1" in compose.running:
            os.kill(app.pid, signal.SIGCONT)
        compose.up()
    assert results == [expected]
    line = logged(compose, path, seen)
    tried = line["upstream"].split(", ")
    # On the same app more than once when an idle connection of nginx had died.
    assert tried[0] == f"{LOOPBACK}:{here}" and len(set(tried)) == (2 if expected == 202 else 1), \
        line


def logged(compose, path, since=0):
    """nginx's line of a request; it is written after the answer."""
    def found():
        return [json.loads(line) for line in compose.running["nginx"].log()[since:].splitlines()
                if line.startswith('{"ts"') and line.endswith("}") and path in line]
    return wait_for(found, f"nginx logs {path}")[0]


def unread(port):
    """Bytes that wait to be read at a port of the loopback address."""
    waiting = 0
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table.read().splitlines()[1:]:
            words = line.split()
            if words[1].endswith(f":{port:04X}") and words[3] == "01":
                waiting += int(words[4].split(":")[1], 16)
    return waiting


# --- production --------------------------------------------------------------


def test_production_runs_behind_tls(redis_server, postgres_server, tmp_path):
    """docker-compose.prod.yml with a database and a broker elsewhere: a deposit over
    TLS, the certificate's end in the figures, a client behind a load balancer."""
    certificate = stack.make_certificate(tmp_path)
    tls = tmp_path / "tls"
    tls.mkdir()
    certificate.rename(tls / "fullchain.pem")
    certificate.with_suffix(".key").rename(tls / "privkey.pem")
    services = compose_runner.Compose(
        ROOT / "compose/docker-compose.prod.yml", tmp_path,
        {"WEBHOOK_SECRET": SECRET, "API_TOKEN": TOKEN, "TLS_FOLDER": str(tls),
         "CRICALGO_IMAGE": "cricalgo:0.1.0", "DB_POOL_SIZE": "2",
         "DATABASE_URL": postgres_server.url(postgres_server.new_database()),
         "CELERY_BROKER_URL": redis_server.url(11),
         "CELERY_RESULT_BACKEND": redis_server.url(12)})
    # A load balancer on this machine is trusted to say who the client is.
    trusted = services.own_folder("nginx") / "trusted-proxies.d"
    trusted.mkdir()
    (trusted / "lb.conf").write_text(f"set_real_ip_from {LOOPBACK};\n")
    try:
        services.up()
        body = deposit_body(new_user(services.port("nginx", 80)))
        assert Client(services.port("nginx", 80)).post(
            "/api/v1/webhooks/bep20", body, {"X-Forwarded-For": "203.0.113.9"})[0] == 202
        wait_for(lambda: '"client":"203.0.113.9","method":"POST","path":"/api/v1/webhooks'
                 in services.running["nginx"].log(), "nginx logs the client it was told of")
        environment = {"PATH": os.environ["PATH"], "CURL_CA_BUNDLE": str(tls / "fullchain.pem"),
                       "STAGING_HOST": f"https://localhost:{services.port('nginx', 443)}",
                       "ARTIFACT_DIR": str(tmp_path / "artifacts"), "WEBHOOK_SECRET": SECRET,
                       "API_TOKEN": TOKEN}
        done = subprocess.run([ROOT / "scripts/smoke_and_checks.sh"], text=True, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0 and "0 warnings" in done.stdout, done.stdout
        assert json.loads((tmp_path / "artifacts/metrics.txt").read_text())["ok"] is False
        metrics = stack.http_get(f"http://{LOOPBACK}:{services.port('app1', 9809)}/metrics")[1]
        assert "certificate_expiry_timestamp_seconds{path=" in metrics
        assert 'db_pool_connections_max' in metrics
    finally:
        services.down()
