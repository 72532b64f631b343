# SPDX-License-Identifier: MIT
"""What is RabbitMQ's own: confirms, redelivery, hold queues, faults of the connection
and of the server, alarms, quorum and priority queues, TLS, rpc results."""

import json
import os
import signal
import subprocess
import time
import uuid

import pytest

import harness
from harness import Api, ModuleWorker, Process, Worker, deposit_body, wait_for
from proxy import Proxy
from test_interop import celery_command

INTEROP = harness.ROOT / "tests" / "interop"
# scripts/test.sh chaos takes 20.
ALARM_SECONDS = float(os.environ.get("T_ALARM_SECONDS", "4"))


def message(task, args, task_id=None, **headers):
    """(id, headers, body, properties) as Python's producer sends it."""
    task_id = task_id or str(uuid.uuid4())
    body = json.dumps([args, {}, {"callbacks": None, "errbacks": None, "chain": None,
                                  "chord": None}])
    return task_id, {"lang": "py", "task": task, "id": task_id, **headers}, body, {
        "content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2,
        "priority": 0, "correlation_id": task_id, "reply_to": ""}


def send(vhost, task, args, queue="celery", count=1, eta=None, **headers):
    import amqp

    ids = []
    if eta:
        headers["eta"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(eta)) + "+00:00"
    with vhost.channel() as channel:
        for _ in range(count):
            task_id, head, body, properties = message(task, args, **headers)
            channel.basic_publish(amqp.Message(body, application_headers=head, **properties),
                                  routing_key=queue, mandatory=True)
            ids.append(task_id)
    return ids


def declare(vhost, queue, **arguments):
    with vhost.channel() as channel:
        channel.queue_declare(queue, durable=True, auto_delete=False,
                              arguments={k.replace("_", "-"): v for k, v in arguments.items()})


@pytest.fixture
def fleet(rabbitmq, redis, tmp_path, started):
    """Starts workers and looks at their results."""

    class Fleet:
        vhost, folder, backend = rabbitmq, tmp_path, redis.url(1)
        results = redis.client(1)

        def start(self, *options, broker=rabbitmq.url, **settings):
            worker = ModuleWorker(tmp_path, broker, redis.url(1), *options, **settings)
            started.append(worker)
            return worker

        def worker(self, *options, **settings):
            return self.start(*options, **settings).ready()

        def done(self, ids):
            return sum(1 for v in self.results.mget(["celery-task-meta-" + i for i in ids]) if v)

        def wait(self, ids, seconds=60):
            wait_for(lambda: self.done(ids) == len(ids), f"{len(ids)} results", seconds, 0.05)

        def result(self, task_id):
            return json.loads(self.results.get("celery-task-meta-" + task_id))["result"]

    return Fleet()


# --- publishing ---------------------------------------------------------------------


def test_a_queue_that_vanished_is_declared_again(rabbitmq, redis, tmp_path, started):
    """Mandatory: without it the message would be gone, and nobody told."""
    ledger = f"sqlite:///{tmp_path}/l.db"
    api = Api(tmp_path, ledger, rabbitmq.url)
    started.append(api.process)
    user = api.register()
    assert api.webhook(deposit_body(user))[0] == 202
    wait_for(lambda: rabbitmq.length("deposits") == 1, "the first is queued")
    with rabbitmq.channel() as channel:
        channel.queue_delete("deposits")
    assert api.webhook(deposit_body(user))[0] == 202
    wait_for(lambda: rabbitmq.length("deposits") == 1, "the second is queued", 5)
    assert not api.process.events("deposit_enqueue_failed")
    assert api.stop() == 0


def call(vhost_url, *words, **env):
    return subprocess.run([harness.CELERYC, "call", *words, "-b", vhost_url], text=True,
                          env=harness.plain_env(**env), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)


def test_a_refused_publish_is_an_error(rabbitmq):
    """Confirms: a full queue nacks."""
    declare(rabbitmq, "full", x_max_length=1, x_overflow="reject-publish")
    assert call(rabbitmq.url, "t.noop", "-Q", "full").returncode == 0
    done = call(rabbitmq.url, "t.noop", "-Q", "full")
    assert done.returncode != 0 and "refused" in done.stderr, done.stderr
    assert rabbitmq.length("full") == 1
    # A name that the server keeps for itself can be neither declared nor reached.
    done = call(rabbitmq.url, "t.noop", "-Q", "amq.nowhere")
    assert done.returncode != 0 and done.stderr, done.stderr


def test_the_server_drops_what_has_expired(rabbitmq):
    """The property expiration is what tells it; nobody consumes here."""
    assert call(rabbitmq.url, "t.noop", "-Q", "expiring", "--expires", "30").returncode == 0
    with rabbitmq.channel() as channel:
        message = channel.basic_get("expiring", no_ack=True)
    assert message.properties["expiration"] == "30000"
    assert message.properties["application_headers"]["expires"]
    assert call(rabbitmq.url, "t.noop", "-Q", "expiring", "--expires", "0.3").returncode == 0
    assert call(rabbitmq.url, "t.noop", "-Q", "expiring").returncode == 0
    wait_for(lambda: rabbitmq.length("expiring") == 1, "one of two is left")


def test_urls(rabbitmq, rabbitmq_server):
    """kombu's forms, and a list whose first host is dead."""
    import urllib.parse

    base = rabbitmq.url
    name = urllib.parse.quote(rabbitmq.name)
    dead = f"amqp://{harness.LOOPBACK}:{harness.free_port()}/{name}"
    for url in (base.replace("amqp:", "pyamqp:"), base + "?heartbeat=7&connection_timeout=3",
                f"{dead};{base}", rabbitmq_server.url("/"),
                f"amqp://{harness.LOOPBACK}:{rabbitmq_server.port}//"):
        done = call(url, "t.noop", "-Q", "urls")
        assert done.returncode == 0, (url, done.stderr)
    wrong = base.replace("guest:guest", "guest:wrong-secret")
    done = call(wrong, "t.noop")
    assert done.returncode != 0 and "ACCESS_REFUSED" in done.stderr, done.stderr
    assert "wrong-secret" not in done.stderr
    for bad, word in ((base + "?heartbeat=x", "heartbeat"), (base + "?login_method=X", "PLAIN")):
        done = call(bad, "t.noop")
        assert done.returncode != 0 and word in done.stderr, done.stderr


def test_tls(rabbitmq_server, rabbitmq):
    certificates = rabbitmq_server.tls
    url = (f"amqps://guest:guest@localhost:{rabbitmq_server.tls_port}/{rabbitmq.name}")
    done = call(url + f"?ssl_ca_certs={certificates / 'ca.pem'}", "t.noop")
    assert done.returncode == 0, done.stderr
    assert rabbitmq.length("celery") == 1
    # Nobody vouches for the server; its name is another one.
    assert call(url, "t.noop").returncode != 0
    other = url.replace("localhost", harness.LOOPBACK)
    assert call(other + f"?ssl_ca_certs={certificates / 'ca.pem'}", "t.noop").returncode != 0
    assert call(other + "?ssl_cert_reqs=none", "t.noop").returncode == 0
    options = json.dumps({"ssl": {"ca_certs": str(certificates / "ca.pem")}})
    assert call(url.replace("amqps", "amqp"), "t.noop",
                CELERY_BROKER_TRANSPORT_OPTIONS=options).returncode == 0
    assert rabbitmq.length("celery") == 3


def test_a_worker_over_tls(rabbitmq_server, fleet):
    url = (f"amqps://guest:guest@localhost:{rabbitmq_server.tls_port}/{fleet.vhost.name}"
           f"?ssl_ca_certs={rabbitmq_server.tls / 'ca.pem'}")
    worker = fleet.start("-c", "1", broker=url).ready()
    fleet.wait(send(fleet.vhost, "t.echo", ["x" * 300000], count=3))
    retried = send(fleet.vhost, "t.retry", [1])[0]
    wait_for(lambda: fleet.done([retried]) and fleet.result(retried) == 1, "its second try")
    assert worker.stop() == 0


def test_a_worker_moves_to_the_next_host(rabbitmq_server, fleet):
    """The first host of the list is lost while it works."""
    proxy = Proxy(rabbitmq_server.port)
    url = fleet.vhost.url
    worker = fleet.start("-c", "1", broker=url.replace(f":{rabbitmq_server.port}/",
                                                       f":{proxy.port}/") + ";" + url).ready()
    fleet.wait(send(fleet.vhost, "t.echo", [1]))
    proxy.close()
    wait_for(lambda: worker.events("broker_back"), "it is back by the second one", 10)
    fleet.wait(send(fleet.vhost, "t.echo", [2]))
    assert worker.events("broker_back")[0]["lost_s"] < 2
    assert worker.stop() == 0


# --- declarations ---------------------------------------------------------------------


def entities(vhost, node):
    """Queues, exchanges and bindings, with what differs by its nature made equal."""
    server = vhost.server

    def rows(what, *columns):
        text = server.ctl(what, "-p", vhost.name, *columns, "--no-table-headers")
        text = text.replace(node, "NODE")
        rows = []
        for line in text.splitlines():
            words = ["celeryev.ID" if w.startswith("celeryev.") else w for w in line.split("\t")]
            if not words[0].startswith("amq."):
                rows.append(tuple(words))
        return sorted(rows)

    return (rows("list_queues", "name", "durable", "auto_delete", "exclusive", "arguments"),
            rows("list_exchanges", "name", "type", "durable", "auto_delete", "arguments"),
            rows("list_bindings", "source_name", "destination_name", "destination_kind",
                 "routing_key", "arguments"))


def test_declarations_are_python_s(rabbitmq, rabbitmq_server, redis, tmp_path, started, fleet):
    """Queue by queue, exchange by exchange, what celery 5.7 declares."""
    other = rabbitmq_server.vhost()
    python = Process("pyworker", [
        harness.PY57, "-m", "celery", "-A", "t", "worker", "-l", "info", "-n", "py@python",
        "-Q", "celery,deposits", "-c", "1", "-P", "solo"], tmp_path,
        harness.plain_env(T_BROKER=other.url, T_BACKEND=redis.url(1)), cwd=INTEROP)
    started.append(python)
    wait_for(lambda: " ready." in python.log(), "the Python worker is ready", 60)
    ours = fleet.worker("-Q", "celery,deposits", node="c@ours")
    expected = entities(other, "py@python")
    wait_for(lambda: entities(rabbitmq, "c@ours") == expected, f"the same as {expected}", 10)
    assert ours.stop() == 0


def test_add_and_cancel_consumer(fleet):
    from celery import Celery

    worker = fleet.worker("-c", "1", node="moves@test")
    app = Celery(broker=fleet.vhost.url)
    destination = ["moves@test"]
    assert app.control.add_consumer("more", reply=True, destination=destination)
    ids = wait_for(lambda: "more" in fleet.vhost.queues() and send(
        fleet.vhost, "t.echo", [1], "more"), "the queue is there")
    fleet.wait(ids, 10)
    queues = app.control.inspect(destination).active_queues()["moves@test"]
    assert [q["name"] for q in queues] == ["celery", "more"]
    app.control.cancel_consumer("more", reply=True, destination=destination)
    ids = send(fleet.vhost, "t.echo", [2], "more")
    fleet.wait(send(fleet.vhost, "t.echo", [3]), 10)
    assert fleet.vhost.queues()["more"] == (1, 0) and fleet.done(ids) == 0
    app.control.add_consumer("more", destination=destination)
    fleet.wait(ids, 10)
    assert worker.stop() == 0
    app.close()


# --- delivery -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_poison_message(fleet, kind):
    """It takes the whole worker along, five times; then it is a dead letter with its
    bytes, and what waited beside it has run."""
    if kind == "quorum":
        declare(fleet.vhost, "celery", x_queue_type="quorum")
    else:
        declare(fleet.vhost, "celery")
    with fleet.vhost.channel() as channel:
        import amqp
        poison, head, body, properties = message("t.die", [], odd={"a": [1, 2.5, None, True]})
        channel.basic_publish(amqp.Message(body, application_headers=head, message_id="m1",
                                           **properties), routing_key="celery")
    for attempt in range(5):
        worker = fleet.start("-c", "1")
        wait_for(lambda: not worker.alive(), f"kill {attempt + 1}", 20)
    good = send(fleet.vhost, "t.echo", [1], count=3)
    last = fleet.worker("-c", "1")
    fleet.wait(good)
    dead = wait_for(lambda: fleet.vhost.length("celery.dead") == 1
                    and fleet.vhost.take_all("celery.dead"), "the poison is a dead letter")[0]
    assert last.alive() and last.stop() == 0
    assert dead.headers["x-dead-reason"] == "poison"
    assert dead.headers["x-dead-queue"] == "celery"
    assert abs(dead.headers["x-dead-at"] - time.time()) < 60
    assert dead.body == body and dead.headers["id"] == poison
    assert dead.headers["odd"] == {"a": [1, 2.5, None, True]}
    for key, value in {**properties, "message_id": "m1"}.items():
        assert dead.properties[key] == value, key
    assert fleet.vhost.queues()["celery"] == (0, 0)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_poison_message_s_neighbours_run(fleet, kind):
    """The worker holds them all when it dies, five times over: only the poison is
    counted beyond the second time, and nothing stays behind in the suspects."""
    declare(fleet.vhost, "celery", **({"x_queue_type": "quorum"} if kind == "quorum" else {}))
    before = send(fleet.vhost, "t.late", [0.02], count=10)
    poison = send(fleet.vhost, "t.die", [])
    after = send(fleet.vhost, "t.late", [0.02], count=30)
    deaths = 0
    options = ("-c", "1", "--prefetch-multiplier", "64")
    worker = fleet.start(*options)

    def dead():
        """Starts the worker again whenever it has died."""
        nonlocal worker, deaths
        if not worker.alive():
            deaths += 1
            worker = fleet.start(*options)
        return fleet.vhost.length("celery.dead") > 0

    wait_for(dead, "the poison is a dead letter", 60)
    fleet.wait(before + after)
    assert deaths == 5
    assert [m.headers["id"] for m in fleet.vhost.take_all("celery.dead")] == poison
    assert worker.stop() == 0
    assert {name: count for name, count in fleet.vhost.queues().items()
            if name.startswith("celery")} == {
        "celery": (0, 0), "celery.dead": (0, 0), "celery.suspects": (0, 0)}


def test_suspects_that_wait(fleet):
    """A worker of ours finds those that an earlier one has left. Alone they go back to
    the task queue: declared so by our worker."""
    declare(fleet.vhost, "celery")
    poison = send(fleet.vhost, "t.die", [])
    for attempt in range(3):
        worker = fleet.start("-c", "1")
        wait_for(lambda: not worker.alive(), f"kill {attempt + 1}", 20)
    wait_for(lambda: fleet.vhost.length("celery.suspects") == 1, "it waits")
    text = fleet.vhost.server.ctl("list_queues", "-p", fleet.vhost.name, "name", "arguments",
                                  "--formatter", "json")
    arguments, = [row["arguments"] for row in json.loads(text) if row["name"] == "celery.suspects"]
    assert dict((name, value) for name, _, value in arguments) == {
        "x-message-ttl": 900000, "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "celery"}
    assert [m.headers["id"] for m in fleet.vhost.take_all("celery.suspects")] == poison
    task_id, head, body, properties = message("t.echo", ["back"], **{"x-deliveries": 3})
    fleet.vhost.publish("celery.suspects", body, head, **properties)
    worker = fleet.worker("-c", "1")
    fleet.wait([task_id])
    assert fleet.result(task_id) == "back"
    assert ("celery.suspects", "1") in consumers(fleet.vhost)
    # The limit that the others share still stands: four of one thread.
    send(fleet.vhost, "t.late", [30], count=20)
    wait_for(lambda: fleet.vhost.queues()["celery"] == (16, 4), "four are held", 10)
    worker.kill()


def test_dead_letters_keep_what_came(fleet):
    """Undecodable, not ours, of a wrong type: original bytes and facts."""
    worker = fleet.worker("-c", "1")
    junk = bytes(range(256))
    fleet.vhost.publish("celery", junk, {"n": 2**40, "deep": {"x": [{"y": "z"}]}},
                        content_type="application/x-odd", content_encoding="binary",
                        expiration="3600000", type="t", app_id="someone", timestamp=1700000000)
    fleet.vhost.publish("celery", b"{}", {})
    fleet.vhost.publish("celery", b"")
    _, head, body, properties = message("no.such", [1])
    fleet.vhost.publish("celery", body, head, **properties)
    wait_for(lambda: fleet.vhost.length("celery.dead") == 4, "four dead letters")
    dead = fleet.vhost.take_all("celery.dead")
    odd = next(m for m in dead if m.properties.get("type") == "t")
    assert (odd.body if isinstance(odd.body, bytes) else odd.body.encode()) == junk
    assert odd.headers["n"] == 2**40 and odd.headers["deep"] == {"x": [{"y": "z"}]}
    assert odd.headers["x-dead-expiration"] == "3600000" and "expiration" not in odd.properties
    assert odd.properties["content_type"] == "application/x-odd"
    assert odd.properties["app_id"] == "someone"
    reasons = sorted(m.headers["x-dead-reason"] for m in dead)
    assert "unknown_task" in reasons and set(reasons) <= {
        "unknown_task", "undecodable", "content_refused"}, reasons
    assert fleet.vhost.queues()["celery"] == (0, 0)
    assert worker.stop() == 0


def fits(vhost, queue, body, headers, properties):
    """Publishes, unless the server ends the connection for a frame that is too large."""
    import amqp

    try:
        with vhost.channel() as channel:
            channel.basic_publish(amqp.Message(body, application_headers=headers, **properties),
                                  routing_key=queue)
            channel.queue_declare(queue, passive=True)  # answered behind the publish
    except (OSError, amqp.AMQPError):
        return False
    return True


def test_headers_that_fill_a_frame(fleet):
    """Without room for our facts or our count: a dead letter as it came, and those
    beside it have theirs."""
    declare(fleet.vhost, "celery")
    task_id, head, body, properties = message("no.such", [1])
    declare(fleet.vhost, "probe")
    sizes = {}
    for name, task in (("first", "no.such"), ("second", "t.die")):
        low, high = 126000, 131072
        while high - low > 1:
            size = (low + high) // 2
            headers = {**head, "task": task, "id": name, "big": "x" * size}
            if fits(fleet.vhost, "probe", body, headers, properties):
                low = size
            else:
                high = size
        sizes[name] = low
        fleet.vhost.publish("celery", body, {**headers, "big": "x" * low}, **properties)
    fleet.vhost.publish("celery", body, head, **properties)
    worker = fleet.start("-c", "1")
    wait_for(lambda: not worker.alive(), "t.die takes it along", 20)
    worker = fleet.worker("-c", "1")
    wait_for(lambda: fleet.vhost.length("celery.dead") == 3, "three dead letters")
    dead = {m.headers["id"]: m.headers for m in fleet.vhost.take_all("celery.dead")}
    assert set(dead) == {"first", "second", task_id}
    for name, size in sizes.items():
        assert dead[name]["big"] == "x" * size and "x-dead-reason" not in dead[name]
    assert dead[task_id]["x-dead-reason"] == "unknown_task"
    fleet.wait(send(fleet.vhost, "t.echo", [1]))
    assert worker.stop() == 0


def test_a_forged_count_is_none(fleet):
    """x-delivery-count on a classic queue would stand still for ever."""
    declare(fleet.vhost, "celery")
    send(fleet.vhost, "t.die", [], **{"x-delivery-count": 1})
    for attempt in range(5):
        worker = fleet.start("-c", "1")
        wait_for(lambda: not worker.alive(), f"kill {attempt + 1}", 20)
    last = fleet.worker("-c", "1")
    wait_for(lambda: fleet.vhost.length("celery.dead") == 1, "the poison is a dead letter")
    assert last.stop() == 0


def test_nested_headers_are_no_harm(fleet):
    """As deep as a frame allows: refused, kept, and the worker lives."""
    import amqp
    import struct

    worker = fleet.worker("-c", "1")
    depth = 25000
    value = b""
    for _ in range(depth):
        value = b"A" + struct.pack(">I", len(value)) + value

    class Raw(dict):
        """Written by hand: py-amqp itself cannot nest so deep."""

    from amqp import serialization
    write = serialization._write_table

    def write_table(d, out, bits):
        if isinstance(d, Raw):
            data = b"\x04deep" + value
            out(struct.pack(">I", len(data)) + data)
        else:
            write(d, out, bits)

    serialization._write_table = write_table
    try:
        with fleet.vhost.channel() as channel:
            channel.basic_publish(amqp.Message(b"[[], {}, {}]", application_headers=Raw(x=1)),
                                  routing_key="celery")
    finally:
        serialization._write_table = write
    fleet.wait(send(fleet.vhost, "t.echo", [1]), 20)
    wait_for(lambda: fleet.vhost.length("celery.dead") == 1, "it is a dead letter")
    assert worker.alive() and worker.stop() == 0


def test_far_etas_wait_in_hold_queues(fleet):
    worker = fleet.worker("-c", "1", CELERY_BROKER_TRANSPORT_OPTIONS='{"hold_eta_above": 2}')
    now = time.time()
    far = send(fleet.vhost, "t.echo", [1], eta=now + 3700, **{"x-death": "a mark"})
    near = send(fleet.vhost, "t.echo", [2], eta=now + 8)
    queues = wait_for(lambda: {q: n for q, n in fleet.vhost.queues().items()
                               if q.startswith("celery.eta.")}, "they are held")
    wait_for(lambda: fleet.vhost.queues().get("celery.eta.11") == (1, 0), "the far one is held")
    assert "celery.eta.2" in queues or "celery.eta.2" in fleet.vhost.queues(), queues
    assert fleet.vhost.queues()["celery"] == (0, 0)
    fleet.wait(near, 20)
    assert now + 7 <= time.time() < now + 13
    assert fleet.done(far) == 0
    held = fleet.vhost.take_all("celery.eta.11")[0]
    assert "x-death" not in held.headers and held.headers["id"] == far[0]
    assert worker.stop() == 0


def test_priorities(fleet):
    """What was declared with x-max-priority is taken as it is; 9 before 0."""
    declare(fleet.vhost, "celery", x_max_priority=10)
    import amqp
    ids = {}
    with fleet.vhost.channel() as channel:
        for n, priority in enumerate([0, 3, 9, 5, 9, 0]):
            task_id, head, body, properties = message("t.echo", [n])
            properties["priority"] = priority
            channel.basic_publish(amqp.Message(body, application_headers=head, **properties),
                                  routing_key="celery")
            ids[task_id] = priority
    worker = fleet.worker("-c", "1", "--prefetch-multiplier", "1")
    fleet.wait(list(ids))
    order = [ids[e["id"]] for e in worker.events("task_received")]
    assert order == sorted(order, reverse=True), order
    assert worker.stop() == 0


def test_quorum_queue(fleet):
    """Per-consumer prefetch, beside a classic queue; killed under load; nothing lost."""
    declare(fleet.vhost, "q", x_queue_type="quorum")
    declare(fleet.vhost, "plain")
    ids = send(fleet.vhost, "t.late", [0.02], "q", 200)
    ids += send(fleet.vhost, "t.late", [0.02], "plain", 30)
    worker = fleet.worker("-Q", "q,plain", "-c", "2", "--prefetch-multiplier", "4")
    wait_for(lambda: fleet.done(ids) > 20, "some are done", every=0.001)
    # max(1, ceil(8 / 2)) for each of the two.
    assert consumers(fleet.vhost) >= {("q", "4"), ("plain", "4")}
    assert fleet.vhost.length("q") > 0
    worker.kill()
    second = fleet.worker("-Q", "q,plain", "-c", "2")
    fleet.wait(ids)
    assert second.stop() == 0
    assert fleet.vhost.length("q") == 0 and fleet.vhost.length("q.dead") == 0


def test_a_quorum_queue_that_hides(fleet):
    """The server names the first argument that differs, and a limit for all consumers
    of a channel ends the connection: learnt once."""
    declare(fleet.vhost, "q", x_queue_type="quorum", x_dead_letter_exchange="d")
    ids = send(fleet.vhost, "t.late", [0.01], "q", 20)
    worker = fleet.worker("-Q", "q", "-c", "7", "--prefetch-multiplier", "1")
    fleet.wait(ids)
    assert ("q", "7") in consumers(fleet.vhost)
    assert len(worker.events("broker_lost")) <= 1
    assert worker.stop() == 0


def test_suspects_that_we_may_not_consume(fleet):
    """Refused once; the worker lives, and what comes back stays in its queue."""
    user = "u" + uuid.uuid4().hex[:8]
    vhost = fleet.vhost
    vhost.server.ctl("add_user", user, "secret")
    vhost.server.ctl("set_permissions", "-p", vhost.name, user, ".*", ".*", "^(?!.*suspects).*$")
    declare(vhost, "celery")
    declare(vhost, "celery.suspects", x_message_ttl=900000, x_dead_letter_exchange="",
            x_dead_letter_routing_key="celery")
    url = vhost.url.replace("guest:guest", f"{user}:secret")
    poison = send(vhost, "t.die", [])
    for attempt in range(5):
        worker = fleet.start("-c", "1", broker=url)
        wait_for(lambda: not worker.alive(), f"kill {attempt + 1}", 20)
    last = fleet.start("-c", "1", broker=url).ready()
    fleet.wait(send(vhost, "t.echo", [1], count=3))
    assert len(last.events("amqp_suspects_refused")) == 1
    assert [m.headers["id"] for m in vhost.take_all("celery.dead")] == poison
    assert vhost.length("celery.suspects") == 0
    assert last.stop() == 0


def consumers(vhost):
    """{(queue, prefetch of its consumer)}."""
    text = vhost.server.ctl("list_consumers", "-p", vhost.name, "queue_name", "prefetch_count",
                            "--no-table-headers")
    return {tuple(line.split("\t")) for line in text.splitlines()}


def mailboxes(vhost):
    return {row for row in consumers(vhost) if row[0].startswith("celeryev.")
            or row[0].endswith(".celery.pidbox")}


@pytest.mark.parametrize("window,share", [(7, "4"), (1, "1"), (2, "1"), (3, "2")])
def test_each_consumer_s_share(fleet, window, share):
    """Beside a quorum queue: max(1, ceil(window / queues)) each."""
    declare(fleet.vhost, "q", x_queue_type="quorum")
    worker = fleet.worker("-Q", "q,plain", "-c", str(window), "--prefetch-multiplier", "1")
    assert consumers(fleet.vhost) - mailboxes(fleet.vhost) == {("q", share), ("plain", share)}
    assert worker.stop() == 0


def test_prefetch(fleet):
    """Python's window: concurrency times multiplier, for all queues together."""
    declare(fleet.vhost, "a")
    declare(fleet.vhost, "b")
    for queue in ("a", "b"):
        send(fleet.vhost, "t.late", [30], queue, 20)
    # One limit that all share, as Python's: with all of it from one queue.
    alone = fleet.worker("-Q", "a,c", "-c", "2", "--prefetch-multiplier", "3")
    wait_for(lambda: fleet.vhost.queues()["a"] == (14, 6), "six of one queue", 10)
    assert consumers(fleet.vhost) == {("a", "0"), ("c", "0")} | mailboxes(fleet.vhost)
    alone.kill()
    wait_for(lambda: fleet.vhost.queues()["a"] == (20, 0), "they are back", 10)
    port = harness.free_port()
    worker = fleet.worker("-Q", "a,b", "-c", "2", "--prefetch-multiplier", "3", METRICS_PORT=port)
    queues = wait_for(lambda: (q := fleet.vhost.queues())
                      and sum(n for _, n in q.values()) == 6 and q, "six are claimed", 10)
    # The lengths that autoscalers read.
    import urllib.request
    with urllib.request.urlopen(f"http://{harness.LOOPBACK}:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    for queue in ("a", "b"):
        length = [float(line.split()[-1]) for line in lines
                  if line.startswith("celery_queue_length{") and f'"{queue}"' in line]
        assert length == [queues[queue][0]], (queue, queues)
    worker.kill()


QUORUM = """
import sys
from celery import Celery
app = Celery("t", broker=sys.argv[1], backend=sys.argv[2])
app.conf.update(task_default_queue_type="quorum", task_default_exchange_type="topic",
                broker_transport_options={"confirm_publish": True},
                worker_detect_quorum_queues=True, broker_connection_retry_on_startup=True)
@app.task(name="t.echo")
def echo(x):
    return x
if sys.argv[3] == "send":
    print(app.send_task("t.echo", (5,), countdown=float(sys.argv[4])).id)
else:
    app.worker_main(["worker", "-P", "solo", "-n", "py@python", "-l", "info"])
"""


def delayed(vhost):
    """What native delayed delivery consists of."""
    return [[row for row in rows if "delayed" in row[0] or "delayed" in row[1]
             or (len(row) == 5 and row[3].startswith("#."))]
            for rows in entities(vhost, "none")]


def test_native_delayed_delivery(fleet, rabbitmq_server, started):
    """Queues and bindings as Celery 5.7 declares them; what its producer sends with a
    countdown arrives in time; what is far waits there too."""
    other = rabbitmq_server.vhost()
    script = fleet.folder / "quorum.py"
    script.write_text(QUORUM)
    python = Process("pyworker", [harness.PY57, script, other.url, fleet.backend, "work"],
                     fleet.folder, harness.plain_env())
    started.append(python)
    wait_for(lambda: " ready." in python.log() or not python.alive(), "Python is ready", 90)
    assert python.alive(), python.log()[-3000:]
    with fleet.vhost.channel() as channel:
        channel.exchange_declare("celery", "topic", durable=True, auto_delete=False)
    declare(fleet.vhost, "celery", x_queue_type="quorum")
    worker = fleet.worker("-c", "1",
                          CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps({"hold_eta_above": 2}))
    # (Python adds a binding of the queue with its plain key; so do we.)
    wait_for(lambda: delayed(fleet.vhost) == delayed(other), f"as Python: {delayed(other)}", 20, 1)
    sent = time.time()
    done = subprocess.run([harness.PY57, script, fleet.vhost.url, fleet.backend, "send", "5"],
                          env=harness.plain_env(), text=True, stdout=subprocess.PIPE, check=True)
    far = send(fleet.vhost, "t.echo", [1], eta=time.time() + 300)
    # What our worker sends there itself comes back in time, too.
    near = send(fleet.vhost, "t.echo", [6], eta=sent + 6)
    fleet.wait([done.stdout.strip()], 20)
    assert 4 <= time.time() - sent < 12 and fleet.result(done.stdout.strip()) == 5
    wait_for(lambda: fleet.vhost.length("celery_delayed_8") == 1, "the far one waits", 10)
    fleet.wait(near, 20)
    assert 5 <= time.time() - sent < 14 and fleet.result(near[0]) == 6
    assert fleet.done(far) == 0 and worker.stop() == 0


def test_answers_to_nowhere(fleet):
    """An exchange that is not there closes the channel of answers and events: it is
    opened again, also in the middle of a confirmed publish."""
    import types

    import amqp

    worker = fleet.worker("-c", "1", "-E", node="c@nowhere")
    ask = json.dumps({"method": "ping", "arguments": {}, "destination": None, "ticket": "t",
                      "reply_to": {"exchange": "nowhere", "routing_key": "x"}})
    for _ in range(5):
        # Both stand there when it goes on: it answers, then publishes dead letters.
        os.kill(worker.pid, signal.SIGSTOP)
        with fleet.vhost.channel() as channel:
            channel.basic_publish(amqp.Message(ask, content_type="application/json",
                                               content_encoding="utf-8"), exchange="celery.pidbox")
        send(fleet.vhost, "no.such", [])
        os.kill(worker.pid, signal.SIGCONT)
    wait_for(lambda: fleet.vhost.length("celery.dead") == 5, "five dead letters")
    setup = types.SimpleNamespace(broker=fleet.vhost.url, backend=fleet.backend, ledger="",
                                  folder=fleet.folder)
    ping = celery_command(setup, "inspect", "ping", "-t", "3")
    assert "c@nowhere: OK" in ping.stdout, ping.stdout
    assert not worker.events("broker_lost") and worker.stop() == 0


# --- faults -----------------------------------------------------------------------------


def test_consumer_cancel(fleet):
    """The queue is deleted under the worker: declared and consumed again."""
    worker = fleet.worker("-c", "1")
    fleet.wait(send(fleet.vhost, "t.echo", [1]))
    with fleet.vhost.channel() as channel:
        channel.queue_delete("celery")
    wait_for(lambda: worker.events("amqp_consumer_cancelled"), "the worker was told", 5)
    wait_for(lambda: "celery" in fleet.vhost.queues(), "the queue is back", 5)
    fleet.wait(send(fleet.vhost, "t.echo", [2]), 5)
    assert not worker.events("broker_lost")
    assert worker.stop() == 0


def test_closed_connections(fleet):
    """rabbitmqctl close_connection, again and again, under load: back within two
    seconds, every task runs."""
    worker = fleet.worker("-c", "2", "-E", "--prefetch-multiplier", "8")
    ids = send(fleet.vhost, "t.late", [0.05], count=800)
    for fault in range(4):
        at_fault = fleet.done(ids)
        wait_for(lambda: fleet.done(ids) > at_fault + 5, "work goes on", every=0.005)
        closed = 0
        for pid, properties in fleet.vhost.connections():
            # Both, only the publishing and only the consuming one in turn.
            if "celery-c-worker" in properties:
                closed += 1
                if fault < 2 or closed == fault - 1:
                    fleet.vhost.server.ctl("close_connection", pid, "test", check=False)
        assert closed == 2 and fleet.done(ids) < len(ids) - 16, "closed without load"
    fleet.wait(ids)
    back = worker.events("broker_back")
    assert back and all(e["lost_s"] < 2 for e in back), back
    wait_for(lambda: fleet.vhost.queues()["celery"] == (0, 0), "all are settled")
    # What had not started was forgotten, what ran got its new claim: only what was
    # done and not yet acked runs twice.
    runs = [e["id"] for e in worker.events("task_succeeded")]
    print(f"{len(runs) - len(ids)} of {len(ids)} ran twice, after {len(back)} losses")
    assert set(runs) == set(ids) and len(runs) - len(ids) <= 6 * len(back), len(runs)
    assert worker.stop() == 0


class Freezer:
    """Between the worker and RabbitMQ. Frozen, it hands nothing on and closes nothing;
    new connections pass."""

    def __init__(self, port):
        import socket
        import threading

        self.port = port
        self.pairs = []
        self.listener = socket.create_server((harness.LOOPBACK, 0))
        self.own_port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        import socket
        import threading

        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection((harness.LOOPBACK, self.port))
            frozen = threading.Event()
            self.pairs.append((client, server, frozen))
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(*ends, frozen), daemon=True).start()

    @staticmethod
    def pump(source, sink, frozen):
        try:
            while data := source.recv(65536):
                if frozen.is_set():
                    continue
                sink.sendall(data)
            if not frozen.is_set():
                sink.close()
        except OSError:
            pass

    def freeze(self):
        for _, _, frozen in self.pairs:
            frozen.set()

    def close(self):
        self.listener.close()
        for client, server, _ in self.pairs:
            client.close()
            server.close()


def test_heartbeats(fleet):
    """A peer that is silent and does not close is found out by its missing heartbeats;
    one that sends them is not taken for dead."""
    proxy = Freezer(fleet.vhost.server.port)
    url = fleet.vhost.url.replace(str(fleet.vhost.server.port), str(proxy.own_port))
    worker = fleet.start("-c", "1", broker=url + "?heartbeat=1")
    worker.ready()
    begin = time.time()
    wait_for(lambda: time.time() > begin + 4, "four intervals are over", 6)
    assert not worker.events("broker_lost") and not worker.events("amqp_publisher_lost")
    proxy.freeze()
    wait_for(lambda: worker.events("broker_back"), "found out, and connected anew", 15)
    fleet.wait(send(fleet.vhost, "t.echo", [1]), 15)
    assert worker.stop() == 0
    proxy.close()


def test_a_publish_that_nobody_answers(fleet, started):
    """A deadline of five seconds, then an error; the sweeper repeats it."""
    proxy = Freezer(fleet.vhost.server.port)
    url = fleet.vhost.url.replace(str(fleet.vhost.server.port), str(proxy.own_port))
    api = Api(fleet.folder, f"sqlite:///{fleet.folder}/l.db", url, DEPOSIT_SWEEP_GRACE="1",
              DEPOSIT_SWEEP_INTERVAL="0.2")
    started.append(api.process)
    user = api.register()
    assert api.webhook(deposit_body(user))[0] == 202
    wait_for(lambda: fleet.vhost.length("deposits") == 1, "the first is queued")
    proxy.freeze()
    begin = time.time()
    assert api.webhook(deposit_body(user))[0] == 202
    wait_for(lambda: api.process.events("deposit_enqueue_failed"), "it failed", 8)
    assert 4 < time.time() - begin < 7
    wait_for(lambda: fleet.vhost.length("deposits") >= 2, "published after all", 15)
    assert api.stop() == 0
    proxy.close()


def test_server_restart(fleet):
    """The broker goes away under load, and comes back: so do we, within two seconds,
    with the tasks and without a restart."""
    server = fleet.vhost.server
    worker = fleet.worker("-c", "2", "--prefetch-multiplier", "8")
    ids = send(fleet.vhost, "t.late", [0.01], count=600)
    wait_for(lambda: fleet.done(ids) > 50, "work goes on", every=0.005)
    server.ctl("stop_app")
    wait_for(lambda: worker.events("broker_lost"), "the worker noticed", 5)
    server.ctl("start_app")
    server.ctl("await_startup")
    up = time.time()
    # Results wait for nothing: what ran during the outage is stored.
    wait_for(lambda: worker.events("broker_back"), "the worker is back", 10, 0.01)
    assert worker.events("broker_back")[0]["ts"] - up < 2
    fleet.wait(ids)
    wait_for(lambda: fleet.vhost.queues()["celery"] == (0, 0), "all are settled")
    more = send(fleet.vhost, "t.echo", [1])
    fleet.wait(more, 5)
    assert worker.stop() == 0


def test_memory_alarm(fleet, started):
    """Under the alarm the server reads nothing from those who publish. Acks go on, the
    worker answers, publishes fail within five seconds, nothing is lost."""
    server, vhost = fleet.vhost.server, fleet.vhost
    ledger = f"sqlite:///{fleet.folder}/l.db"
    api = Api(fleet.folder, ledger, vhost.url, DEPOSIT_REENQUEUE_SECONDS="1",
              DEPOSIT_SWEEP_GRACE="1", DEPOSIT_SWEEP_INTERVAL="0.2")
    port = harness.free_port()
    worker = fleet.worker("-c", "3", "-E", "--prefetch-multiplier", "8", METRICS_PORT=port)
    started.append(api.process)
    user = api.register()
    for _ in range(3):
        assert api.webhook(deposit_body(user))[0] == 202
    # It ends when the load stands and the alarm is on.
    rejected = send(vhost, "t.reject", [5 + ALARM_SECONDS / 2])
    ids = send(vhost, "t.late", [0.02], count=int(ALARM_SECONDS * 100 * 2))
    wait_for(lambda: fleet.done(ids) > 20, "work goes on", every=0.005)
    assert not worker.events("task_rejected")
    server.ctl("set_vm_memory_high_watermark", "0.0001")
    try:
        begin = time.time()
        wait_for(lambda: worker.events("amqp_blocked"), "the worker was told", 5)
        before = fleet.done(ids)
        sent = time.time()
        status = api.webhook(deposit_body(user))[0]
        assert status == 202
        wait_for(lambda: api.process.events("deposit_enqueue_failed"), "the publish failed", 7)
        assert time.time() - sent < 6
        import urllib.request
        # Dead letters must be published: they wait, and keep nothing else waiting.
        while time.time() - begin < ALARM_SECONDS \
                or not worker.events("dead_letter_not_published"):
            assert time.time() - begin < ALARM_SECONDS + 30
            asked = time.time()
            urllib.request.urlopen(f"http://{harness.LOOPBACK}:{port}/readyz", timeout=2).read()
            assert time.time() - asked < 1
            left = fleet.done(ids)
            wait_for(lambda: fleet.done(ids) > left or left == len(ids), "acks go on", 2)
        assert fleet.done(ids) >= before + 20 * ALARM_SECONDS
        assert not worker.events("broker_lost")
    finally:
        server.ctl("set_vm_memory_high_watermark", "absolute", "2GB")
    fleet.wait(ids, 60)
    wait_for(lambda: vhost.length("deposits") >= 4, "the deposit is published after all", 30)
    wait_for(lambda: vhost.queues()["celery"] == (0, 0), "all are settled")
    dead = vhost.take_all("celery.dead")
    assert [m.headers["id"] for m in dead] == rejected
    assert dead[0].headers["x-dead-reason"] == "rejected"
    # Events flow again.
    wait_for(lambda: worker.events("amqp_unblocked"), "the worker was told", 5)
    fleet.wait(send(vhost, "t.echo", [1]), 5)
    assert worker.stop() == 0 and api.stop() == 0


# --- results --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_task_that_outlives_its_connections(fleet, rabbitmq_server, kind):
    """Delivered again while it runs, more often than a poison message may be: it is
    not started a second time, nor condemned."""
    declare(fleet.vhost, "celery", **({"x_queue_type": "quorum"} if kind == "quorum" else {}))
    proxy = Proxy(rabbitmq_server.port)
    worker = fleet.start("-c", "2", CELERY_C_MAX_DELIVERIES=2,
                         broker=fleet.vhost.url.replace(f":{rabbitmq_server.port}", f":{proxy.port}"))
    worker.ready()
    ids = send(fleet.vhost, "t.late", [5])
    wait_for(lambda: worker.events("task_received"), "it runs")
    for fault in range(1, 4):
        proxy.reset()
        wait_for(lambda: len(worker.events("claim_renewed")) == fault, "its new claim", 10)
    assert fleet.done(ids) == 0, "it was done before the last fault"
    fleet.wait(ids, 10)
    wait_for(lambda: fleet.vhost.queues()["celery"] == (0, 0), "it is acked", 5)
    assert len(worker.events("task_succeeded")) == 1 and worker.stop() == 0
    assert fleet.vhost.length("celery.dead") == 0
    proxy.close()


@pytest.mark.parametrize("release", ["5.7.0", "5.2.7"])
def test_rpc_results(rabbitmq, tmp_path, started, release):
    worker = ModuleWorker(tmp_path, rabbitmq.url, "rpc://", "-c", "2")
    started.append(worker)
    worker.ready()
    python = harness.PY57 if release == "5.7.0" else harness.PY52
    done = subprocess.run([python, INTEROP / "client.py"], cwd=INTEROP, text=True, timeout=180,
                          env=harness.plain_env(T_BROKER=rabbitmq.url, T_BACKEND="rpc://"),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert worker.stop() == 0


def test_deposits_with_rpc_results(rabbitmq, postgres_server, tmp_path, started):
    """Nobody waits for a deposit's result: it goes nowhere, and the task is acked."""
    ledger = postgres_server.url(postgres_server.new_database())
    api = Api(tmp_path, ledger, rabbitmq.url, CELERY_RESULT_BACKEND="rpc://")
    worker = Worker(tmp_path, ledger, rabbitmq.url, "-c", "1", backend="rpc://")
    started += [api.process, worker]
    user = api.register()
    for _ in range(10):
        assert api.webhook(deposit_body(user, "1"))[0] == 202
    wait_for(lambda: harness.states(ledger).get("credited") == 10, "10 credited")
    wait_for(lambda: rabbitmq.queues()["deposits"] == (0, 0), "all are settled", 10)
    assert worker.stop() == 0 and api.stop() == 0
