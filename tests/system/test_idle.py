# SPDX-License-Identifier: MIT
"""A worker that waits costs the server little and wakes at once."""

import base64
import json
import random
import socket
import threading
import time
import uuid

from harness import ModuleWorker, wait_for

SEP = b"\x06\x16"
STEPS = (0, 3, 6, 9)
QUEUES = ("first", "second")


def envelope(queue, task, args, priority=0):
    task_id = str(uuid.uuid4())
    body = json.dumps([args, {}, {}]).encode()
    return task_id, json.dumps({
        "body": base64.b64encode(body).decode(), "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": task_id},
        "properties": {"correlation_id": task_id, "delivery_mode": 2, "priority": priority,
                       "delivery_info": {"exchange": "", "routing_key": queue},
                       "body_encoding": "base64", "delivery_tag": str(uuid.uuid4())}})


def start(redis, tmp_path, started, *options):
    worker = ModuleWorker(tmp_path, redis.url(), redis.url(1), "-Q", ",".join(QUEUES), *options)
    started.append(worker)
    return worker.ready()



def test_idle_costs_at_most_three_commands_a_second(redis, tmp_path, started):
    client = redis.client()
    start(redis, tmp_path, started)
    wait_for(lambda: client.info("clients")["connected_clients"] >= 3, "it is connected")
    seconds = 12
    before = client.info("stats")["total_commands_processed"]
    begin = time.monotonic()
    # The very thing measured is what happens while nothing does.
    wait_for(lambda: time.monotonic() - begin >= seconds, "the time is over", seconds + 5, 0.5)
    # Scripts' inner calls are counted by the server too: eight lists, two tables
    # and the time for each claim of a second.
    spent = client.info("stats")["total_commands_processed"] - before
    passed = time.monotonic() - begin
    assert spent / passed <= 3, f"{spent} commands in {passed:.1f} s"


def test_push_to_claimed(redis, tmp_path, started):
    """The wake-up reaches four priority steps and two queues at once."""
    client = redis.client()
    worker = start(redis, tmp_path, started, "-c", "1")
    pushed = {}
    rng = random.Random(7)
    for n in range(300):
        queue, step = rng.choice(QUEUES), rng.choice(STEPS)
        key = queue.encode() + (SEP + str(step).encode() if step else b"")
        task_id, raw = envelope(queue, "t.echo", [n], step)
        wait_for(lambda: client.hlen("unacked") == 0, "the worker is idle", every=0.001)
        pushed[task_id] = time.time()
        client.lpush(key, raw)
        wait_for(lambda: client.exists("celery-task-meta-" + task_id, ) or
                 redis.client(1).exists("celery-task-meta-" + task_id), "the result",
                 every=0.001)
    claimed = {e["id"]: e["ts"] for e in worker.events("task_received")}
    waits = sorted(claimed[i] - pushed[i] for i in pushed)
    p50, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    print(f"push to claimed: p50 {p50 * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms")
    assert p99 < 0.005, waits[-10:]


def test_three_connections(redis, tmp_path, started):
    """Commands, pub/sub, results: at any concurrency."""
    client = redis.client()
    start(redis, tmp_path, started, "-c", "8")
    task_id, raw = envelope("first", "t.echo", [1])
    client.lpush("first", raw)
    wait_for(lambda: redis.client(1).exists("celery-task-meta-" + task_id), "the result")
    ours = [c for c in client.client_list() if c["name"].startswith("celery-c")]
    assert len(ours) == 3, ours


class Proxy:
    """Between the worker and Redis. Armed, it cuts the connection instead of handing
    back the next answer that carries claimed messages."""

    def __init__(self, port):
        self.port = port
        self.armed = threading.Event()
        self.cut = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.own_port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self.pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, True), daemon=True).start()

    def pump(self, source, sink, answers):
        try:
            while data := source.recv(65536):
                if answers and self.armed.is_set() and b"t.echo" in data:
                    self.armed.clear()
                    self.cut.set()
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


def test_a_claim_whose_answer_is_lost(redis, tmp_path, started):
    """The server has claimed for us and we do not know what: it comes back, and no
    later claim writes over it."""
    client = redis.client()
    proxy = Proxy(redis.port)
    worker = ModuleWorker(tmp_path, f"redis://127.0.0.1:{proxy.own_port}/0", redis.url(1),
                          "-Q", ",".join(QUEUES))
    started.append(worker)
    worker.ready()
    proxy.armed.set()
    ids = []
    for n in range(20):
        task_id, raw = envelope("first", "t.echo", [n])
        ids.append(task_id)
        client.lpush("first", raw)
    wait_for(proxy.cut.is_set, "the proxy has cut a claim's answer")
    results = redis.client(1)
    wait_for(lambda: all(results.exists("celery-task-meta-" + i) for i in ids), "all ran", 20)
    wait_for(lambda: client.hlen("unacked") == 0, "nothing is left claimed")
    assert worker.events("lost_claims_given_back")
    assert worker.stop() == 0
    proxy.close()
