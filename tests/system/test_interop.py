# SPDX-License-Identifier: MIT
"""Python Celery 5.7.0 and 5.2.7 beside our programs, on real servers."""

import base64
import json
import os
import subprocess
import time

import pytest

import harness
from harness import Api, ModuleWorker, Process, Worker, deposit_body, wait_for

INTEROP = harness.ROOT / "tests" / "interop"
RELEASES = {"5.7.0": harness.PY57, "5.2.7": harness.PY52}
# scripts/test.sh versions: others, as "5.4.0=/path/to/python 5.6.0=…".
if os.environ.get("CRICALGO_RELEASES"):
    RELEASES = dict(pair.split("=", 1) for pair in os.environ["CRICALGO_RELEASES"].split())


def python_env(setup, **more):
    return harness.plain_env(
        T_BROKER=setup.broker, T_BACKEND=setup.backend, T_LEDGER=setup.ledger,
        PYTHONDONTWRITEBYTECODE="1", **more)


def start_python_worker(setup, started, release="5.7.0", *options, **more):
    """Without waiting for it: several start at the same time."""
    name = f"py{release.replace('.', '')}@python"
    worker = Process("pyworker", [
        RELEASES[release], "-m", "celery", "-A", "t", "worker", "-l", "info", "-n", name,
        *options], setup.folder, python_env(setup, **more), cwd=INTEROP)
    started.append(worker)
    return worker


def python_worker(setup, started, release="5.7.0", *options, **more):
    return python_ready(start_python_worker(setup, started, release, *options, **more))


def python_ready(worker):
    wait_for(lambda: " ready." in worker.log() or not worker.alive(),
             "the Python worker is ready", 60)
    assert worker.alive(), worker.log()
    return worker


@pytest.fixture(params=["redis", "rabbitmq"])
def real(request, redis, postgres_server, tmp_path):
    """Real servers: the broker is Redis or RabbitMQ, results are in Redis."""

    class Setup:
        rabbitmq = None
        broker, backend = redis.url(0), redis.url(1)
        database = postgres_server.new_database()
        ledger = postgres_server.url(database)
        server, postgres, folder = redis, postgres_server, tmp_path

    Setup.redis = redis
    if request.param == "rabbitmq":
        Setup.rabbitmq = request.getfixturevalue("rabbitmq")
        Setup.broker = Setup.rabbitmq.url
    return Setup


def waiting(real, queue):
    if real.rabbitmq:
        return real.rabbitmq.length(queue)
    return real.server.client().llen(queue)


def unacked(real):
    if real.rabbitmq:
        return sum(unacked for _, unacked in real.rabbitmq.queues().values())
    client = real.server.client()
    return client.hlen("unacked") + client.zcard("unacked_index")


def dead_letters(real, queue):
    """[(facts, the message's own headers)]."""
    if real.rabbitmq:
        return [(m.headers, m.headers) for m in real.rabbitmq.take_all(queue + ".dead")]
    entries = [e.split(b"\n", 1) for e in real.server.client().lrange(queue + ".dead", 0, -1)]
    return [(json.loads(facts), json.loads(raw)["headers"]) for facts, raw in entries]


@pytest.mark.parametrize("release", RELEASES)
def test_python_client_of_our_worker(real, started, release):
    worker = ModuleWorker(real.folder, real.broker, real.backend, "-c", "2")
    started.append(worker)
    worker.ready()
    done = subprocess.run([RELEASES[release], INTEROP / "client.py"], env=python_env(real),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180)
    assert done.returncode == 0, done.stdout
    assert release in done.stdout
    assert worker.stop() == 0
    # Nothing is left behind but the unknown task's message.
    assert unacked(real) == 0 and waiting(real, "celery") == 0
    dead = dead_letters(real, "celery")
    assert len(dead) == 1 and dead[0][0]["x-dead-reason"] == "unknown_task"
    assert dead[0][1]["task"] == "no.such"


@pytest.mark.parametrize("release", RELEASES)
def test_our_api_and_a_python_worker(real, started, release):
    api = Api(real.folder, real.ledger, real.broker)
    started.append(api.process)
    python_worker(real, started, release, "-Q", "deposits", "-c", "1")
    user = api.register()
    ids = []
    for _ in range(20):
        status, answer, _ = api.webhook(deposit_body(user, "2.25"))
        assert status == 202, answer
        ids.append(answer["tx_id"])
    wait_for(lambda: harness.states(real.ledger).get("credited") == 20, "20 credited", 60)
    assert harness.states(real.ledger)["balanced"]
    assert api.get(f"/api/v1/wallets/{user}")[1]["deposit_balance"] == "45"
    results = real.server.client(1)
    assert {json.loads(results.get(k))["result"]["state"]
            for k in results.keys("celery-task-meta-*")} == {"credited"}
    assert api.stop() == 0


def test_mixed_fleet(real, started):
    """Both kinds of worker on one queue: each does its share, together all of it,
    none of it twice."""
    total = 2000
    api = Api(real.folder, real.ledger, real.broker)
    started.append(api.process)
    user = api.register()
    for _ in range(total):
        assert api.webhook(deposit_body(user, "1"))[0] == 202
    wait_for(lambda: waiting(real, "deposits") == total, "all are queued")
    python = python_worker(real, started, "5.7.0", "-Q", "deposits", "-c", "2",
                           "--prefetch-multiplier", "1")
    # Ours is faster by far: it joins when Python has done its share.
    wait_for(lambda: harness.states(real.ledger).get("credited") >= total * 0.22,
             "Python has credited some", 120, every=0.2)
    ours = Worker(real.folder, real.ledger, real.broker, "-c", "1", "--prefetch-multiplier", "1",
                  backend=real.backend)
    started.append(ours)
    wait_for(lambda: harness.states(real.ledger).get("credited") == total, "all credited", 180,
             every=0.5)
    assert harness.states(real.ledger)["balanced"]
    assert real.postgres.sql(real.database, "SELECT sum(deposit_balance) FROM wallets") \
        .startswith(f"{total}")
    done_by_ours = [e["tx_id"] for e in ours.events("deposit_task_completed") if e["credited"]]
    results = real.server.client(1)
    finished = [json.loads(results.get(k)) for k in results.keys("celery-task-meta-*")]
    all_ids = {r["result"]["tx_id"] for r in finished}
    done_by_python = all_ids - set(done_by_ours)
    assert len(done_by_ours) == len(set(done_by_ours))
    assert len(all_ids) == total
    assert len(done_by_ours) >= total * 0.2, f"ours did {len(done_by_ours)} of {total}"
    assert len(done_by_python) >= total * 0.2, f"Python did {len(done_by_python)} of {total}"
    assert "CRITICAL" not in python.log() and "Error in timer" not in python.log()


def celery_command(setup, *words, seconds=30):
    return subprocess.run([harness.PY57, "-m", "celery", "-A", "t", *words],
                          env=python_env(setup), cwd=INTEROP, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds)


def inspect(setup, method, node):
    done = celery_command(setup, "inspect", method, "-j", "-d", node)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)[node]


def send(setup, task, *args, **options):
    code = ("import sys, json; from t import app; "
            "print(app.send_task(sys.argv[1], tuple(json.loads(sys.argv[2])), "
            "**json.loads(sys.argv[3])).id)")
    return subprocess.run([harness.PY57, "-c", code, task, json.dumps(list(args)),
                           json.dumps(options)],
                          env=python_env(setup), cwd=INTEROP, check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def test_tools_while_every_slot_is_busy(real, started):
    worker = ModuleWorker(real.folder, real.broker, real.backend, "-c", "2", node="busy@test")
    started.append(worker)
    worker.ready()
    ids = {send(real, "t.sleep", 60) for _ in range(3)}
    wait_for(lambda: len(inspect(real, "active", "busy@test")) == 2, "two tasks run")

    status = celery_command(real, "status", "-j")
    assert status.returncode == 0 and "busy@test" in status.stdout, status.stdout
    active = inspect(real, "active", "busy@test")
    reserved = inspect(real, "reserved", "busy@test")
    assert {r["id"] for r in active} | {r["id"] for r in reserved} == ids
    assert len(reserved) == 1 and reserved[0]["time_start"] is None
    assert all(r["args"] == [60] and r["name"] == "t.sleep" for r in active)
    stats = inspect(real, "stats", "busy@test")
    assert stats["pool"]["max-concurrency"] == 2 and len(stats["pool"]["processes"]) == 2
    assert stats["prefetch_count"] == 8 and isinstance(stats["clock"], str)
    assert inspect(real, "registered", "busy@test") == sorted(
        ["t.add", "t.boom", "t.die", "t.echo", "t.late", "t.mark", "t.noop", "t.note", "t.reject",
         "t.retry", "t.sleep"])
    assert [q["name"] for q in inspect(real, "active_queues", "busy@test")] == ["celery"]
    assert inspect(real, "scheduled", "busy@test") == []
    assert inspect(real, "revoked", "busy@test") == []
    conf = inspect(real, "conf", "busy@test")
    assert conf["worker_concurrency"] == 2
    assert inspect(real, "ping", "busy@test") == {"ok": "pong"}

    worker.kill()
    killed = time.monotonic()
    wait_for(lambda: "busy@test" not in celery_command(real, "status").stdout,
             "a killed worker is not listed", 5)
    assert time.monotonic() - killed < 6


def test_shutdown_by_remote_control(real, started):
    worker = ModuleWorker(real.folder, real.broker, real.backend, "-c", "1", node="going@test")
    started.append(worker)
    worker.ready()
    task = send(real, "t.sleep", 10)
    wait_for(lambda: inspect(real, "active", "going@test"), "the task runs")
    celery_command(real, "control", "shutdown", "-d", "going@test")
    assert worker.child.wait(20) == 0
    meta = json.loads(real.server.client(1).get("celery-task-meta-" + task))
    assert meta["status"] == "SUCCESS" and meta["result"] == "slept"


def listen_on_redis(real):
    pubsub = real.server.client().pubsub()
    pubsub.psubscribe("/0.celeryev/*")

    def receive():
        message = pubsub.get_message(timeout=0.1)
        if not message or message["type"] != "pmessage":
            return []
        envelope = json.loads(message["data"])
        assert set(envelope) == {"body", "content-encoding", "content-type", "headers",
                                 "properties"}
        return [(message["channel"].decode().removeprefix("/0.celeryev/"), envelope["headers"],
                 json.loads(base64.b64decode(envelope["body"])))]

    return receive


def listen_on_rabbitmq(real):
    import socket

    connection = real.rabbitmq.connect()
    channel = connection.channel()
    channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
    queue = channel.queue_declare(exclusive=True).queue
    channel.queue_bind(queue, "celeryev", "#")
    got = []
    channel.basic_consume(queue, no_ack=True, callback=got.append)

    def receive():
        try:
            connection.drain_events(timeout=0.1)
        except socket.timeout:
            pass
        taken = [(m.delivery_info["routing_key"], m.headers, json.loads(m.body)) for m in got]
        for m in got:
            assert m.properties["delivery_mode"] == 1
            assert m.properties["content_type"] == "application/json"
        got.clear()
        return taken

    return receive


def test_events_on_the_wire(real, started):
    """What monitors live on: online, a heartbeat every two seconds, the life of a
    task in order, offline."""
    listen = listen_on_rabbitmq if real.rabbitmq else listen_on_redis
    receive = listen(real)
    worker = ModuleWorker(real.folder, real.broker, real.backend, "-c", "1", "-E",
                          node="told@events")
    started.append(worker)
    worker.ready()
    task = send(real, "t.add", 2, 3)
    seen = []

    def read():
        for routing_key, headers, body in receive():
            assert headers == {"hostname": "told@events"}
            assert isinstance(body, list) == (routing_key == "task.multi")
            seen.extend((routing_key, time.time(), event)
                        for event in (body if isinstance(body, list) else [body]))
        return [s for s in seen if s[2]["type"] == "worker-heartbeat"]

    wait_for(lambda: len(read()) >= 5, "five heartbeats", 15, every=0)
    beats = read()
    # By the sender's clock: when we read them says more about this machine.
    gaps = [b[2]["timestamp"] - a[2]["timestamp"] for a, b in zip(beats, beats[1:])]
    assert all(1.5 < gap < 2.5 for gap in gaps), gaps
    assert seen[0][0] == "worker.online" and seen[0][2]["type"] == "worker-online"
    life = [s[2] for s in seen if s[2].get("uuid") == task]
    assert [e["type"] for e in life] == ["task-received", "task-started", "task-succeeded"]
    assert life[0]["args"] == "(2, 3)" and life[2]["result"] == "5"
    for _, _, event in seen:
        assert event["hostname"] == "told@events" and isinstance(event["pid"], int)
        assert repr(event["utcoffset"]) == "0.0" and isinstance(event["clock"], int)
        assert abs(event["timestamp"] - time.time()) < 60
    clocks = [s[2]["clock"] for s in seen]
    assert clocks == sorted(set(clocks))
    assert beats[-1][2]["freq"] == 2.0 and beats[-1][2]["active"] == 0
    assert beats[-1][2]["processed"] == 1 and len(beats[-1][2]["loadavg"]) == 3
    worker.stop()
    wait_for(lambda: read() and any(s[2]["type"] == "worker-offline" for s in seen), "offline")


def test_celeryc_call(real, started):
    worker = ModuleWorker(real.folder, real.broker, real.backend, "-c", "1")
    started.append(worker)
    worker.ready()

    def call(*words):
        return subprocess.run([harness.CELERYC, "call", *words], text=True,
                              env=harness.plain_env(CELERY_BROKER_URL=real.broker),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    done = call("t.add", "--args", "[2, 40]")
    assert done.returncode == 0, done.stderr
    key = "celery-task-meta-" + done.stdout.strip()
    wait_for(lambda: real.server.client(1).exists(key), "the result")
    assert json.loads(real.server.client(1).get(key))["result"] == 42
    assert call("t.noop").returncode == 0
    assert call("t.add", "--args", "{}").returncode == 2
    assert call().returncode == 2
    scheme = real.broker.split(":")[0]
    nowhere = call("t.noop", "-b", f"{scheme}://{harness.LOOPBACK}:{harness.free_port()}/0")
    assert nowhere.returncode == 69 and "cannot connect" in nowhere.stderr


def test_protocol_1_reaches_a_python_worker(redis, tmp_path, started):
    """And a worker of ours that publishes it reads its own retry."""
    class Setup:
        broker, backend, ledger, folder = redis.url(0), redis.url(1), "", tmp_path

    python = start_python_worker(Setup, started, "5.7.0", "-Q", "python", "-c", "1")
    worker = ModuleWorker(tmp_path, redis.url(0), redis.url(1), "-c", "1", CELERY_TASK_PROTOCOL=1)
    started.append(worker)
    worker.ready()

    def call(*words):
        done = subprocess.run(
            [harness.CELERYC, "call", *words], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=harness.plain_env(CELERY_BROKER_URL=redis.url(0), CELERY_TASK_PROTOCOL=1))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def result(task_id):
        key = "celery-task-meta-" + task_id
        done = lambda: json.loads(redis.client(1).get(key) or "{}").get("status") == "SUCCESS"
        wait_for(done, "the result")
        return json.loads(redis.client(1).get(key))["result"]

    call("t.noop", "-Q", "looked_at")
    envelope = json.loads(redis.client(0).lpop("looked_at"))
    assert envelope["headers"] == {}
    assert json.loads(base64.b64decode(envelope["body"]))["task"] == "t.noop"
    assert result(call("t.retry", "--args", "[2]")) == 2
    python_ready(python)
    assert result(call("t.add", "--args", "[2, 40]", "-Q", "python")) == 42


def test_our_programs_publish_as_they_are_told(redis, tmp_path, started):
    """Protocol 1 and msgpack: a task by hand, a deposit, and a deposit that the worker's
    own sweeper publishes; the worker runs them all."""
    import msgpack

    how = {"CELERY_TASK_PROTOCOL": "1", "CELERY_TASK_SERIALIZER": "msgpack",
           "DEPOSIT_REENQUEUE_SECONDS": "1", "DEPOSIT_REENQUEUE_MAX_SECONDS": "1",
           "DEPOSIT_SWEEP_GRACE": "1", "DEPOSIT_SWEEP_INTERVAL": "0.2"}
    ledger, client = f"sqlite:///{tmp_path}/l.db", redis.client(0)

    def take(queue):
        wait_for(lambda: client.llen(queue), f"a task in {queue}")
        envelope = json.loads(client.lpop(queue))
        assert "task" not in envelope["headers"]
        assert envelope["content-type"] == "application/x-msgpack"
        return msgpack.unpackb(base64.b64decode(envelope["body"]))["task"]

    api = Api(tmp_path, ledger, redis.url(0), API_TASKS_ALLOWED="t.noop", **how)
    started.append(api.process)
    status, answer, _ = api.request("POST", "/api/v1/tasks/t.noop", b'{"queue": "by_hand"}', {
        "Content-Type": "application/json", "Authorization": f"Bearer {harness.TOKEN}"})
    assert status == 202, answer
    assert take("by_hand") == "t.noop"
    assert api.webhook(deposit_body(api.register(), "2.25"))[0] == 202
    assert take("deposits") == "app.tasks.deposits.process_deposit"
    assert api.stop() == 0
    client.delete("deposits")
    how["CELERY_ACCEPT_CONTENT"] = '["json", "msgpack"]'
    sweeper = Worker(tmp_path, ledger, redis.url(0), "-Q", "other", **how).ready()
    started.append(sweeper)
    assert take("deposits") == "app.tasks.deposits.process_deposit"
    started.append(Worker(tmp_path, ledger, redis.url(0), **how).ready())
    wait_for(lambda: harness.states(ledger).get("credited") == 1, "credited", 60)


def test_a_retry_says_what_is_left(redis, tmp_path, started):
    """The property expiration, as Python's send_task computes it for a retry."""
    worker = ModuleWorker(tmp_path, redis.url(0), redis.url(1), "-c", "1")
    started.append(worker)
    worker.ready()
    with redis.client(0).monitor() as monitor:
        done = subprocess.run(
            [harness.CELERYC, "call", "t.retry", "--args", "[1]", "--expires", "100", "-b",
             redis.url(0)], text=True, env=harness.plain_env(), stdout=subprocess.PIPE)
        assert done.returncode == 0
        seen = []
        for command in monitor.listen():
            at = command["command"].find('{"body"')
            if at >= 0 and "x-celery" not in command["command"][:at]:
                seen.append(json.JSONDecoder().raw_decode(command["command"][at:])[0])
            if seen and seen[-1]["headers"]["retries"] == 1:
                break
    first, again = seen[0], seen[-1]
    assert first["headers"]["expires"] == again["headers"]["expires"]
    assert first["properties"]["expiration"] == "100000"
    assert 0 < int(again["properties"]["expiration"]) < 100000
    assert again["headers"]["parent_id"] == again["headers"]["id"]


def http_json(port, path):
    import urllib.request

    with urllib.request.urlopen(f"http://{harness.LOOPBACK}:{port}{path}", timeout=20) as answer:
        return json.loads(answer.read())


def test_flower(real, started):
    port = harness.free_port()
    flower = Process("flower", [
        harness.PY57, "-m", "celery", "-A", "t", "flower", f"--address={harness.LOOPBACK}",
        f"--port={port}"], real.folder,
        python_env(real, FLOWER_UNAUTHENTICATED_API="true"), cwd=INTEROP)
    started.append(flower)

    def answers():
        assert flower.alive(), flower.log()
        try:
            return http_json(port, "/workers?json=1") is not None
        except OSError:
            return False

    wait_for(answers, "Flower answers", 60)
    worker = ModuleWorker(real.folder, real.broker, real.backend, "-c", "2", "-E",
                          node="seen@flower")
    started.append(worker)
    worker.ready()
    wait_for(lambda: any(row["hostname"] == "seen@flower" and row["status"]
                         for row in http_json(port, "/workers?json=1")["data"]),
             "Flower shows the worker online")
    good = send(real, "t.add", 2, 3)
    bad = send(real, "t.boom", "bad thing")

    def task(task_id, state):
        try:
            info = http_json(port, f"/api/task/info/{task_id}")
        except OSError:
            return None
        return info if info["state"] == state else None

    info = wait_for(lambda: task(good, "SUCCESS"), "Flower shows the success")
    assert info["name"] == "t.add" and info["args"] == "(2, 3)" and info["kwargs"] == "{}"
    assert info["result"] == "5" and info["runtime"] >= 0 and info["worker"] == "seen@flower"
    info = wait_for(lambda: task(bad, "FAILURE"), "Flower shows the failure")
    assert info["exception"] == "ValueError('bad thing')" and info["traceback"]

    methods = {"stats", "active_queues", "registered", "scheduled", "active", "reserved",
               "revoked", "conf"}
    wait_for(lambda: methods <= set(http_json(port, "/api/workers?refresh=1&workername=seen@flower")
                                    .get("seen@flower", {})), "Flower has all eight answers")
    import urllib.request
    page = urllib.request.urlopen(f"http://{harness.LOOPBACK}:{port}/worker/seen@flower",
                                  timeout=20)
    assert page.status == 200
    assert worker.stop() == 0
    wait_for(lambda: all(not row["status"] for row in http_json(port, "/workers?json=1")["data"]
                         if row["hostname"] == "seen@flower"), "Flower shows it offline", 10)
    assert "Traceback" not in flower.log(), flower.log()
