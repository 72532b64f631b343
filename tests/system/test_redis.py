# SPDX-License-Identifier: MIT
"""Redis as it is run in earnest: TLS, a user with few rights, Sentinel, a socket."""

import json
import signal
import subprocess
import time

import pytest

import harness
from harness import LOOPBACK, ModuleWorker, Process, Redis, free_port, wait_for
from test_interop import INTEROP, python_env, python_ready, start_python_worker
from test_parked import envelope


class Setup:
    """What python_env() wants to know."""

    def __init__(self, folder, broker, backend):
        self.folder, self.broker, self.backend, self.ledger = folder, broker, backend, ""


def python_round_trip(setup, **more):
    """A Python client's task through our worker: its result."""
    code = ("import sys; from t import app; import os, json; "
            "app.conf.broker_transport_options = json.loads(os.environ.get('T_OPTIONS', '{}')); "
            "app.conf.result_backend_transport_options = app.conf.broker_transport_options; "
            "print(app.send_task('t.add', (2, 40)).get(timeout=30))")
    done = subprocess.run([harness.PY57, "-c", code], env=python_env(setup, **more), cwd=INTEROP,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90)
    assert done.returncode == 0 and done.stdout.strip().endswith("42"), done.stdout


def openssl(folder, *words):
    subprocess.run(["openssl", *map(str, words)], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def certificates(tmp_path):
    """An authority, and what it signed for localhost, for other names and for us."""
    openssl(tmp_path, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2,
            "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name, alternative in [("server", f"DNS:localhost,IP:{LOOPBACK}"), ("other", "DNS:other"),
                              ("client", "DNS:client")]:
        openssl(tmp_path, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (tmp_path / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
        openssl(tmp_path, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", 2, "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    return tmp_path


class TlsRedis(Redis):
    def __init__(self, folder, certificate):
        self.tls_port = free_port()
        super().__init__(folder, "--tls-port", self.tls_port, "--tls-cert-file",
                         folder / f"{certificate}.pem", "--tls-key-file",
                         folder / f"{certificate}.key", "--tls-ca-cert-file", folder / "ca.pem")

    def tls_url(self, db, host="localhost", **query):
        words = "&".join(f"{key}={value}" for key, value in query.items())
        return f"rediss://{host}:{self.tls_port}/{db}?{words}"


def check_config(broker):
    done = subprocess.run([harness.CELERYC, "call", "t.noop", "-b", broker], text=True,
                          env=harness.plain_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stderr


def test_tls(certificates, started):
    server = TlsRedis(certificates, "server")
    trusted = {"ssl_cert_reqs": "required", "ssl_ca_certs": certificates / "ca.pem",
               "ssl_certfile": certificates / "client.pem",
               "ssl_keyfile": certificates / "client.key"}
    try:
        setup = Setup(certificates, server.tls_url(0, **trusted), server.tls_url(1, **trusted))
        worker = ModuleWorker(setup.folder, setup.broker, setup.backend, "-c", "2").ready()
        started.append(worker)
        python_round_trip(setup)
        # More than a TLS record, both ways.
        big = "x" * 100_000
        sent = subprocess.run([harness.CELERYC, "call", "t.echo", "--args", json.dumps([big]),
                               "-b", server.tls_url(0, host=LOOPBACK, **trusted)],
                              env=harness.plain_env(), text=True, check=True,
                              stdout=subprocess.PIPE).stdout.strip()
        results = server.client(1)
        wait_for(lambda: results.exists(f"celery-task-meta-{sent}"), "the big result")
        assert json.loads(results.get(f"celery-task-meta-{sent}"))["result"] == big
        assert worker.stop() == 0

        # An authority that is not trusted, a client without a certificate, a file
        # that is not there, a server that speaks in the clear.
        without_ca = {**trusted}
        del without_ca["ssl_ca_certs"]
        status, says = check_config(server.tls_url(0, **without_ca))
        assert status == 69 and "certificate of localhost is refused" in says, says
        anonymous = {"ssl_ca_certs": certificates / "ca.pem"}
        status, says = check_config(server.tls_url(0, **anonymous))
        assert status == 69 and "TLS" in says, says
        status, says = check_config(server.tls_url(0, ssl_ca_certs="/nowhere.pem"))
        assert status == 2 and "/nowhere.pem" in says, says
        status, says = check_config(f"rediss://{LOOPBACK}:{server.port}/0?ssl_cert_reqs=none")
        assert status == 69 and "TLS" in says, says
    finally:
        server.stop()


def test_tls_checks_the_name(certificates):
    server = TlsRedis(certificates, "other")
    trusted = {"ssl_ca_certs": certificates / "ca.pem", "ssl_certfile": certificates / "client.pem",
               "ssl_keyfile": certificates / "client.key"}
    try:
        status, says = check_config(server.tls_url(0, **trusted))
        assert status == 69 and "hostname mismatch" in says, says
        status, says = check_config(server.tls_url(0, host=LOOPBACK, **trusted))
        assert status == 69 and "mismatch" in says, says
        assert check_config(server.tls_url(0, ssl_check_hostname="false", **trusted))[0] == 0
        assert check_config(server.tls_url(0, **{**trusted, "ssl_cert_reqs": "none"}))[0] == 0
    finally:
        server.stop()


def test_unix_socket(tmp_path, started):
    server = Redis(tmp_path, "--unixsocket", tmp_path / "redis.sock")
    try:
        path = f"{tmp_path}/redis.sock"
        setup = Setup(tmp_path, f"redis+socket://{path}?virtual_host=3",
                      f"redis+socket://{path}?virtual_host=4")
        worker = ModuleWorker(setup.folder, setup.broker, setup.backend, "-c", "1").ready()
        started.append(worker)
        python_round_trip(setup)
        assert worker.stop() == 0
    finally:
        server.stop()


def acl_lines():
    """The rules of docs/redis.md, as they stand there."""
    text = (harness.ROOT / "docs" / "redis.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("ACL SETUSER ")]
    assert lines, "docs/redis.md has no ACL SETUSER lines"
    return lines


def test_users_with_few_rights(redis, tmp_path, started):
    """The documented rules are enough for a worker with deposits' queues and for a
    producer, and nothing more than they need was refused."""
    for line in acl_lines():
        assert redis.cli(*line.split()) == "OK", line
    redis.cli("ACL", "LOG", "RESET")
    try:
        def url(user, db):
            return f"redis://{user}:{user}-password@{LOOPBACK}:{redis.port}/{db}"

        worker = ModuleWorker(tmp_path, url("celery-worker", 0), url("celery-worker", 0), "-c", "2",
                              "-E", "-Q", "celery,deposits").ready()
        started.append(worker)
        setup = Setup(tmp_path, redis.url(0), redis.url(0))
        python_round_trip(setup)
        sent = subprocess.run([harness.CELERYC, "call", "t.late", "--args", "[0]", "-Q", "deposits",
                               "-b", url("celery-producer", 0)], text=True,
                              env=harness.plain_env(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        assert sent.returncode == 0, sent.stderr
        client = redis.client()
        wait_for(lambda: client.exists(f"celery-task-meta-{sent.stdout.strip()}"), "its result")
        pong = subprocess.run([harness.PY57, "-m", "celery", "-A", "t", "inspect", "ping"],
                              env=python_env(setup), cwd=INTEROP, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        assert f"{worker.node}: OK" in pong.stdout, pong.stdout
        subprocess.run([harness.CELERYC, "call", "no.such", "-b", url("celery-producer", 0)],
                       env=harness.plain_env(), check=True, stdout=subprocess.DEVNULL)
        wait_for(lambda: client.llen("celery.dead") == 1, "the unknown task is kept")
        assert not worker.events("redis_tracking_refused"), "wake-ups work under the rules"
        # What a killed worker left is restored under the rules too.
        held = subprocess.run([harness.CELERYC, "call", "t.late", "--args", "[60]",
                               "-b", url("celery-producer", 0)], text=True, check=True,
                              env=harness.plain_env(), stdout=subprocess.PIPE).stdout.strip()
        wait_for(lambda: client.hlen("unacked") == 1, "it is claimed")
        worker.kill()
        again = ModuleWorker(tmp_path, url("celery-worker", 0), url("celery-worker", 0), "-c", "1",
                             CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT=0.1)
        started.append(again)
        wait_for(lambda: any(e["id"] == held for e in again.events("task_received")), "it came back")
        assert again.stop() == 0
        log = redis.client().execute_command("ACL", "LOG")
        assert log == [], log
        # And nothing beyond.
        denied = subprocess.run(
            ["redis-cli", "-p", str(redis.port), "--user", "celery-worker", "--pass",
             "celery-worker-password", "--no-auth-warning", "FLUSHALL"],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert "NOPERM" in denied.stdout
    finally:
        for user in ("celery-worker", "celery-producer"):
            redis.cli("ACL", "DELUSER", user)


def test_at_most_three_connections(redis, tmp_path, started):
    worker = ModuleWorker(tmp_path, redis.url(0), redis.url(1), "-c", "8", "-E").ready()
    started.append(worker)
    client = redis.client()
    for _ in range(50):
        subprocess.run([harness.CELERYC, "call", "t.late", "--args", "[0.2]", "-b", redis.url(0)],
                       env=harness.plain_env(), check=True, stdout=subprocess.DEVNULL)
    wait_for(lambda: client.hlen("unacked") > 0, "it works")
    most = 0

    def finished():
        nonlocal most
        names = [c["name"] for c in client.client_list() if c["name"].startswith("celery-c")]
        most = max(most, len(names))
        return client.llen("celery") == 0 and client.hlen("unacked") == 0

    wait_for(finished, "all are run")
    assert most == 3
    assert worker.stop() == 0


class Sentinels:
    """A master, a replica and three sentinels that watch them."""

    def __init__(self, folder, started):
        self.folder = folder
        self.nodes = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            extra = ["--repl-diskless-sync-delay", "0"]
            if self.nodes:
                extra += ["--replicaof", LOOPBACK, self.nodes[0].port]
            self.nodes.append(Redis(folder / name, *extra))
        wait_for(lambda: "state=online" in self.nodes[0].cli("INFO", "replication"),
                 "the replica follows")
        self.ports = [free_port() for _ in range(3)]
        for port in self.ports:
            conf = folder / f"sentinel-{port}.conf"
            conf.write_text(
                f"port {port}\nbind {LOOPBACK}\ndir {folder}\n"
                f"sentinel monitor m {LOOPBACK} {self.nodes[0].port} 2\n"
                "sentinel down-after-milliseconds m 1000\nsentinel failover-timeout m 5000\n")
            started.append(Process("sentinel", ["redis-server", conf, "--sentinel"], folder))
        wait_for(lambda: all(self.ask(port, "sentinels", "m").count("runid") == 2
                             for port in self.ports), "the sentinels know each other")
        wait_for(lambda: all("slave0" in self.ask(port, "MASTER", "m") or
                             self.ask(port, "replicas", "m") for port in self.ports),
                 "the sentinels know the replica")

    def ask(self, port, *words):
        return subprocess.run(["redis-cli", "-p", str(port), "SENTINEL", *words], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

    def url(self, db):
        return ";".join(f"sentinel://{LOOPBACK}:{port}/{db}" for port in self.ports)


def test_sentinel_failover(tmp_path, started):
    """The master dies under load: the worker goes on with the new one, and every
    task that the replica had got runs."""
    sentinels = Sentinels(tmp_path, started)
    options = json.dumps({"master_name": "m"})
    settings = {"CELERY_BROKER_TRANSPORT_OPTIONS": options,
                "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS": options}
    setup = Setup(tmp_path, sentinels.url(0), sentinels.url(1))
    try:
        worker = ModuleWorker(tmp_path, setup.broker, setup.backend, "-c", "2", **settings).ready()
        started.append(worker)
        python_round_trip(setup, T_OPTIONS=options)
        old, new = sentinels.nodes
        sent = [subprocess.run([harness.CELERYC, "call", "t.late", "--args", "[0.05]", "-b",
                                setup.broker], env=harness.plain_env(**settings), text=True,
                               check=True, stdout=subprocess.PIPE).stdout.strip()
                for _ in range(30)]
        old.cli("WAIT", 1, 1000)
        old.process.kill()
        wait_for(lambda: "role:master" in new.cli("INFO", "replication"), "the replica is promoted")
        back = time.monotonic()
        wait_for(lambda: worker.events("broker_back"), "the worker goes on")
        assert time.monotonic() - back < 5
        results = new.client(1)
        wait_for(lambda: all(results.exists(f"celery-task-meta-{task}") for task in sent),
                 "every task has run", 60)
        python_round_trip(setup, T_OPTIONS=options)
        assert worker.stop() == 0
    finally:
        for node in sentinels.nodes:
            if node.process.alive():
                node.stop()


def test_replies_leave_nothing_behind(redis, tmp_path, started):
    """A reply expires with nobody to read it, and to a client that has gone, that
    is whose binding is gone, none is written."""
    import kombu
    from kombu.pidbox import Mailbox

    worker = ModuleWorker(tmp_path, redis.url(0), redis.url(1), "-c", "1").ready()
    started.append(worker)
    client = redis.client()
    with kombu.Connection(redis.url(0)) as connection, connection.channel() as channel:
        gone, there = Mailbox("celery", type="fanout"), Mailbox("celery", type="fanout")
        # Both ask; one does not wait for its answer. When the second is answered, the
        # first has been seen.
        worker.child.send_signal(signal.SIGSTOP)
        gone._publish("ping", {}, reply_ticket="1", channel=channel)
        there._publish("ping", {}, reply_ticket="2", channel=channel)
        gone.reply_queue(channel).delete()
        worker.child.send_signal(signal.SIGCONT)
        key = there.reply_queue.name
        wait_for(lambda: client.llen(key) == 1, "the reply")
        assert b'"ticket"' in client.lindex(key, 0)
        wait_for(lambda: 0 < client.ttl(key) <= 60, "it expires")
        assert client.keys("*-*.reply.celery.pidbox") == [key.encode()]
    assert worker.stop() == 0


def test_no_peer_sweeps_our_bindings(redis, tmp_path, started):
    """A 5.7 peer removes binding tables whose deadline has passed and that list no
    queue for good: ours have either. The peer sweeps twice a second here."""
    worker = ModuleWorker(tmp_path, redis.url(0), redis.url(1), "-c", "1", "-Q", "celery,mine",
                          node="kept@test").ready()
    started.append(worker)
    client = redis.client()

    def ours():
        return {queue: (client.smembers(f"_kombu.binding.{queue}"),
                        client.smembers(f"_kombu.binding_permanent.{queue}"))
                for queue in ("celery", "mine")}

    bound = ours()
    for queue in ("celery", "mine"):
        row = f"{queue}\x06\x16\x06\x16{queue}".encode()
        assert bound[queue] == ({row}, {row})
    pidbox = b"\x06\x16\x06\x16kept@test.celery.pidbox"
    assert client.smembers("_kombu.binding.celery.pidbox") == {pidbox}
    now = client.time()[0] * 1000
    assert now + 3_500_000 < client.zscore("_kombu.binding_deadlines", "celery.pidbox") \
        <= now + 3_602_000
    # As after an hour without us, and a table of somebody who is gone.
    client.zadd("_kombu.binding_deadlines", {"celery": 1, "mine": 1, "gone": 1})
    client.sadd("_kombu.binding.gone", "a\x06\x16\x06\x16b")
    peer = Process("sweeper", [
        harness.PY57, "-c",
        "import sys, kombu.transport.redis as r; r.BINDING_SWEEP_INTERVAL = 0.5\n"
        "from t import app; app.worker_main(sys.argv[1:])",
        "worker", "-c", "1", "-n", "sweeper@python", "-Q", "other"], tmp_path,
        python_env(Setup(tmp_path, redis.url(0), redis.url(1))), cwd=INTEROP)
    started.append(peer)
    wait_for(lambda: not client.exists("_kombu.binding.gone"), "the peer has swept")
    assert set(client.zrange("_kombu.binding_deadlines", 0, -1)).isdisjoint({b"celery", b"mine"})
    assert ours() == bound
    assert pidbox in client.smembers("_kombu.binding.celery.pidbox")
    assert worker.stop() == 0
    assert peer.stop() == 0


def test_results_expire(redis, tmp_path, started):
    """After a day, or as CELERY_RESULT_EXPIRES says."""
    client = redis.client(1)

    def left(**settings):
        worker = ModuleWorker(tmp_path, redis.url(0), redis.url(1), "-c", "1", **settings)
        started.append(worker)
        worker.ready()
        sent = subprocess.run([harness.CELERYC, "call", "t.noop", "-b", redis.url(0)], text=True,
                              env=harness.plain_env(), check=True, stdout=subprocess.PIPE)
        key = f"celery-task-meta-{sent.stdout.strip()}"
        wait_for(lambda: client.exists(key), "the result")
        assert worker.stop() == 0
        return client.ttl(key)

    assert 86400 - 60 <= left() <= 86400
    assert 100 - 60 <= left(CELERY_RESULT_EXPIRES=100) <= 100
    assert left(CELERY_RESULT_EXPIRES=0) == -1, "0 is for ever, as in Celery"


def test_global_keyprefix(redis, tmp_path, started):
    """Broker and results under a prefix, with a Python worker and client beside us:
    tasks both ways, priorities, broadcasts; and not a key without it."""
    options = json.dumps({"global_keyprefix": "shop:"})
    setup = Setup(tmp_path, redis.url(6), redis.url(6))
    worker = ModuleWorker(tmp_path, setup.broker, setup.backend, "-c", "1", "-Q", "celery,ours",
                          node="c@prefix", CELERY_BROKER_TRANSPORT_OPTIONS=options,
                          CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS=options).ready()
    started.append(worker)
    python_round_trip(setup, T_OPTIONS=options, T_TRANSPORT=options)
    python = start_python_worker(setup, started, "5.7.0", "-c", "1", "-Q", "python",
                                 T_TRANSPORT=options)
    python_ready(python)
    sent = subprocess.run([harness.CELERYC, "call", "t.echo", "--args", "[1]", "-b", setup.broker,
                           "-Q", "python"], text=True, stdout=subprocess.PIPE,
                          env=harness.plain_env(CELERY_BROKER_TRANSPORT_OPTIONS=options))
    assert sent.returncode == 0
    wait_for(lambda: "succeeded in" in python.log(), "the Python worker has run it")
    ping = subprocess.run([harness.PY57, "-m", "celery", "-A", "t", "inspect", "ping", "-t", "3"],
                          env=python_env(setup, T_TRANSPORT=options), cwd=INTEROP, text=True,
                          stdout=subprocess.PIPE)
    assert "c@prefix: OK" in ping.stdout and "py570@python: OK" in ping.stdout, ping.stdout
    assert worker.stop() == 0
    keys = [key.decode() for key in redis.client(6).keys("*")]
    # t.py has no prefix for its results.
    assert [key for key in keys if not key.startswith("shop:")] == [
        "celery-task-meta-" + sent.stdout.strip()]
    assert len([key for key in keys if "celery-task-meta-" in key]) == 2


def test_priorities(redis, tmp_path, started):
    """Redis' four steps: the most urgent (0) first, within a step in their order."""
    client = redis.client(7)
    wanted = []
    for step, suffix in ((9, "\x06\x169"), (6, "\x06\x166"), (3, "\x06\x163"), (0, "")):
        for n in range(3):
            task_id, message = envelope("t.mark", [0], None, "celery")
            client.lpush(f"celery{suffix}", message)
            wanted.append((step, n, task_id))
    starts = tmp_path / "starts"
    starts.touch()
    worker = ModuleWorker(tmp_path, redis.url(7), redis.url(8), "-c", "1", T_STARTS=starts)
    started.append(worker)
    wait_for(lambda: len(starts.read_text().splitlines()) == 12, "all have run")
    ran = [line.split()[1] for line in starts.read_text().splitlines()]
    assert ran == [task_id for _, _, task_id in sorted(wanted)]
    assert worker.stop() == 0


def test_what_no_worker_can_read(redis, tmp_path, started):
    """Entries that are no JSON objects, in the queue and among the claims of others:
    dead letters byte for byte, and what stands behind them runs."""
    client = redis.client(9)
    junk = [b"\x80\x02}q\x00.", b"[]", b"{", b"{]}", b'{"body": "e30=", "headers": {}}']
    for raw in junk:
        client.lpush("celery", raw)
    # kombu's restore ends at such an entry, for the whole fleet.
    client.hset("unacked", "someone", b"\xff no tuple")
    client.zadd("unacked_index", {"someone": 1})
    task_id, message = envelope("t.mark", [0], None, "celery")
    client.lpush("celery", message)
    starts = tmp_path / "starts"
    starts.touch()
    worker = ModuleWorker(tmp_path, redis.url(9), redis.url(10), "-c", "1", T_STARTS=starts)
    started.append(worker)
    wait_for(lambda: task_id in starts.read_text(), "the task has run")
    wait_for(lambda: client.llen("celery.dead") == len(junk), "the junk is kept")
    dead = [entry.split(b"\n", 1) for entry in client.lrange("celery.dead", 0, -1)]
    assert sorted(raw for _, raw in dead) == sorted(junk)
    reasons = {raw: json.loads(facts)["x-dead-reason"] for facts, raw in dead}
    assert reasons == {**dict.fromkeys(junk, "undecodable"), junk[-1]: "content_refused"}
    wait_for(lambda: not client.hexists("unacked", "someone"), "the strange claim is taken out", 60)
    assert client.lrange("unacked.dead", 0, -1)[0].endswith(b"\xff no tuple")
    assert worker.stop() == 0


@pytest.mark.parametrize("store", ["redis", "file"])
def test_results_compressed(redis, tmp_path, started, store):
    """CELERY_RESULT_COMPRESSION, with Python 5.7.0 as the client."""
    backend = redis.url(1) if store == "redis" else f"file://{tmp_path}/results"
    (tmp_path / "results").mkdir()
    worker = ModuleWorker(tmp_path, redis.url(0), backend, "-c", "1",
                          CELERY_RESULT_COMPRESSION="lzma", CELERY_RESULT_EXTENDED=1,
                          CELERY_TASK_TRACK_STARTED=1)
    started.append(worker)
    worker.ready()
    done = subprocess.run([harness.PY57, INTEROP / "compressed_results.py"], text=True,
                          env=python_env(Setup(tmp_path, redis.url(0), backend)),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("read\n")
    assert worker.stop() == 0


def test_results_compressed_as_nobody_knows():
    done = subprocess.run([harness.CELERYC, "worker", "-A", harness.MODULE], text=True,
                          env=harness.plain_env(CELERY_RESULT_COMPRESSION="snappy"),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    assert done.returncode != 0
    assert "CELERY_RESULT_COMPRESSION='snappy' is not accepted" in done.stdout


def test_a_publish_that_nobody_answers(tmp_path):
    """A server that stands still: the caller gets an error within the 5 s of a
    publish, that says what was waited for."""
    server = Redis(tmp_path)
    try:
        server.process.child.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        done = subprocess.run([harness.CELERYC, "call", "t.noop", "-b", server.url(0)], text=True,
                              env=harness.plain_env(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)
        took = time.monotonic() - begin
        assert done.returncode == 69 and "in time" in done.stderr, done.stderr
        assert 4.5 < took < 9, took
    finally:
        server.process.child.send_signal(signal.SIGCONT)
        server.stop()
