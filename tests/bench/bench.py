# SPDX-License-Identifier: MIT
"""The measurements of scripts/bench.sh."""

import datetime
import hashlib
import hmac
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))
import harness  # noqa: E402
from harness import Api, Process, wait_for  # noqa: E402
from test_parked import envelope, publish  # noqa: E402

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
TASKS = int(os.environ.get("BENCH_TASKS", "20000"))
PYTHON_TASKS = max(1000, TASKS // 10)
PARKED = int(os.environ.get("BENCH_PARKED", "1000000"))
PREFETCH = 64  # a slot; two slots on both sides
TICKS = os.sysconf("SC_CLK_TCK")


class Table:
    def __init__(self, title, note):
        self.title, self.note, self.rows = title, note, []

    def add(self, name, ours, other, ratio, detail=""):
        self.rows.append((name, ours, other, ratio, detail))
        print(f"{name} {ours} {other} {ratio}   {detail}", flush=True)

    def text(self):
        lines = [f"## {self.title}", "", self.note, "", "| figure | ours | other | ratio | |",
                 "| --- | --- | --- | --- | --- |"]
        lines += ["| " + " | ".join(map(str, row)) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"


def cpu_seconds(pids):
    """CPU time of processes and of their children, alive or reaped."""
    total = 0.0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])) / TICKS
    return total


def children(pid):
    done = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, text=True)
    return [int(p) for p in done.stdout.split()]


def python_message(redis):
    """One message of t.noop as Celery 5.7.0 writes it; the copies differ in ids."""
    code = "from t import app; app.send_task('t.noop')"
    subprocess.run([harness.PY57, "-c", code], cwd=ROOT / "tests" / "interop", check=True,
                   env=harness.plain_env(T_BROKER=redis.url(), PYTHONDONTWRITEBYTECODE="1"))
    return redis.client().rpop("celery").decode()


def fill(redis, message, count):
    redis.cli("FLUSHALL")
    client = redis.client()
    parsed = json.loads(message)
    task_id, tag = parsed["headers"]["id"], parsed["properties"]["delivery_tag"]
    pipe = client.pipeline(transaction=False)
    for n in range(count):
        pipe.lpush("celery", message.replace(task_id, str(uuid.uuid4()))
                   .replace(tag, str(uuid.uuid4())))
        if n % 5000 == 4999:
            pipe.execute()
    pipe.execute()


def drained(client):
    return client.llen("celery") == 0 and client.hlen("unacked") == 0


def drain(redis, message, count, start, options=()):
    """(tasks a second, worker's CPU µs a task, Redis' CPU µs a task). The worker is
    up and idle when the messages arrive in one step, so starting it costs nothing."""
    fill(redis, message, count)
    client = redis.client()
    client.rename("celery", "held")
    worker, pids = start(options)
    mine = pids()
    before, redis_before = cpu_seconds(mine), cpu_seconds([redis.process.pid])
    begin = time.monotonic()
    client.rename("held", "celery")
    wait_for(lambda: drained(client), "the queue is empty", 600, every=0.005)
    seconds = time.monotonic() - begin
    spent, redis_spent = cpu_seconds(pids()) - before, cpu_seconds([redis.process.pid]) - redis_before
    worker.stop()
    return count / seconds, spent / count * 1e6, redis_spent / count * 1e6


def start_ours(redis, folder, backend=None):
    def start(options):
        env = dict(METRICS_PORT="0", CELERY_TASK_ACKS_LATE="1")
        argv = [harness.CELERYC, "worker", "-A", harness.MODULE, "-b", redis.url(), "-c", "2",
                "--prefetch-multiplier", str(PREFETCH), "-l", "warning", "-n", "bench@ours",
                "--result-backend", backend or "disabled://", *options]
        worker = Process("ours", argv, folder, harness.plain_env(**env))
        client = redis.client()
        wait_for(lambda: any(c["name"] == "celery-c-worker" and c["sub"] != "0"
                             or c["psub"] != "0" for c in client.client_list()), "ours is ready")
        return worker, lambda: [worker.pid]
    return start


def start_python(redis, folder, backend=None):
    def start(options):
        env = harness.plain_env(T_BROKER=redis.url(), T_PREFETCH=str(PREFETCH), T_ACKS_LATE="1",
                                PYTHONDONTWRITEBYTECODE="1")
        if backend:
            env["T_BACKEND"] = backend
        worker = Process("python", [
            harness.PY57, "-m", "celery", "-A", "t", "worker", "-P", "prefork", "-c", "2",
            "-l", "info", "-n", "bench@python", "--without-mingle", "--without-gossip",
            *options], folder, env, cwd=ROOT / "tests" / "interop")
        wait_for(lambda: " ready." in worker.log(), "Celery is ready", 60)
        return worker, lambda: [worker.pid, *children(worker.pid)]
    return start


def bare_loop(redis, message, count):
    fill(redis, message, count)
    before = cpu_seconds([redis.process.pid])
    done = subprocess.run([harness.BUILD / "tests" / "bench" / "claim_loop", redis.url(), "celery",
                           str(2 * PREFETCH)], stdout=subprocess.PIPE, text=True, check=True,
                          stderr=subprocess.DEVNULL)
    total, seconds, cpu = done.stdout.split()
    assert int(total) == count, done.stdout
    return (count / float(seconds), float(cpu) / count * 1e6,
            (cpu_seconds([redis.process.pid]) - before) / count * 1e6)


def medians(measure):
    runs = [measure() for _ in range(RUNS)]
    return [statistics.median(column) for column in zip(*runs)]


def bench_drain(folder):
    table = Table("No-op tasks drained from Redis, acks late",
                  f"Messages made by Celery 5.7.0, prefetch {2 * PREFETCH} on both sides, two "
                  f"slots, medians of {RUNS} runs of {TASKS} tasks ({PYTHON_TASKS} for Python). "
                  "`kill -9` loses nothing on our side and may run a task twice; Celery loses "
                  "what is between its two round trips. The limit is a bare loop with the same "
                  "claim and ack scripts.")
    redis = harness.Redis(folder)
    message = python_message(redis)
    limit, limit_cpu, _ = medians(lambda: bare_loop(redis, message, TASKS))
    ours, cpu, redis_cpu = medians(lambda: drain(redis, message, TASKS, start_ours(redis, folder)))
    python, python_cpu, _ = medians(
        lambda: drain(redis, message, PYTHON_TASKS, start_python(redis, folder)))
    detail = f"worker CPU {cpu:.1f} µs a task, Redis {redis_cpu:.1f} µs"
    table.add("drain_vs_celery_tasks_per_s", f"{ours:.0f}", f"{python:.0f}", f"{ours / python:.1f}",
              detail + f"; Python {python_cpu:.0f} µs")
    table.add("drain_vs_bare_loop_tasks_per_s", f"{ours:.0f}", f"{limit:.0f}",
              f"{ours / limit:.2f}", detail + f"; the loop {limit_cpu:.1f} µs")
    events, events_cpu, _ = medians(
        lambda: drain(redis, message, TASKS, start_ours(redis, folder), ["-E"]))
    table.add("drain_with_events_tasks_per_s", f"{events:.0f}", f"{ours:.0f}",
              f"{events / ours:.2f}", f"against ours without events; {events_cpu - cpu:+.1f} µs a task")
    results, results_cpu, _ = medians(
        lambda: drain(redis, message, TASKS, start_ours(redis, folder, redis.url(1))))
    python_results, _, _ = medians(
        lambda: drain(redis, message, PYTHON_TASKS, start_python(redis, folder, redis.url(1))))
    table.add("drain_with_results_tasks_per_s", f"{results:.0f}", f"{python_results:.0f}",
              f"{results / python_results:.1f}", f"against Celery; {results_cpu:.1f} µs a task")
    redis.stop()
    return table


def wrk_script(folder, secret):
    path = pathlib.Path(folder) / "post.lua"
    # The signature is over the body, so each body is signed beforehand.
    bodies = []
    user = str(uuid.uuid4())
    for _ in range(50000):
        body = json.dumps({"tx_hash": "0x" + uuid.uuid4().hex * 2, "amount": "1.25",
                           "user_id": user, "confirmations": 12})
        signature = hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
        bodies.append(f"{signature} {body}")
    data = pathlib.Path(folder) / "bodies.txt"
    data.write_text("\n".join(bodies))
    path.write_text(f'''
local lines = {{}}
for line in io.lines("{data}") do lines[#lines + 1] = line end
local thread_count, at, step = 0, 0, 1
function setup(thread) thread:set("offset", thread_count) thread_count = thread_count + 1 end
function init(args) at = offset step = 2 end
function request()
  at = at + step
  local line = lines[at % #lines + 1]
  return wrk.format("POST", "/api/v1/webhooks/bep20",
    {{["Content-Type"] = "application/json", ["X-Signature"] = line:sub(1, 64)}}, line:sub(66))
end
function done(summary, latency, requests)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read
  io.write(string.format("RESULT %d %f %f %f %d\\n", summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, bad))
end
''')
    return path


def bench_webhooks(folder):
    table = Table("Webhooks made durable in PostgreSQL",
                  "64 connections of wrk, signed bodies with distinct keys, worker stopped, "
                  "synchronous_commit on, Redis as the broker. A request counts when it was "
                  "answered 202, which is after the commit. The other side is what pgbench commits "
                  "one row a transaction with the same 64 connections: the database's limit "
                  "without group commit.")
    postgres = harness.Postgres(folder)
    redis = harness.Redis(folder)
    rates, p50s, p99s = [], [], []
    for _ in range(max(3, RUNS - 2)):
        ledger = postgres.url(postgres.new_database())
        api = Api(folder, ledger, redis.url(), HTTP_THREADS="70", LOG_LEVEL="warning")
        script = wrk_script(folder, harness.SECRET)
        done = subprocess.run(["wrk", "-t2", "-c64", "-d3s", "-s", script,
                               f"http://{harness.LOOPBACK}:{api.port}"],
                              stdout=subprocess.PIPE, text=True, check=True)
        words = [l for l in done.stdout.splitlines() if l.startswith("RESULT")][0].split()
        requests, seconds, p50, p99, bad = map(float, words[1:])
        assert bad == 0, done.stdout
        rates.append(requests / seconds)
        p50s.append(p50)
        p99s.append(p99)
        api.stop()
    ours = statistics.median(rates)
    other = pgbench_single_rows(folder, postgres)
    table.add("webhooks_durable_per_s", f"{ours:.0f}", f"{other:.0f}", f"{ours / other:.2f}",
              f"p50 {statistics.median(p50s):.1f} ms, p99 {statistics.median(p99s):.1f} ms; "
              "other: pgbench, one row a commit")
    postgres.stop()
    redis.stop()
    return table


def one_webhook_run(folder, postgres, redis, script, program):
    """Rate, p50 and p99 in ms, µs of CPU of the API and of PostgreSQL a webhook."""
    harness.API = program
    api = Api(folder, postgres.url(postgres.new_database()), redis.url(), HTTP_THREADS="70",
              LOG_LEVEL="warning")
    server = int((postgres.data / "postmaster.pid").read_text().split()[0])
    pids = [api.process.pid], [server, *children(server)]
    before = [cpu_seconds(p) for p in pids]
    done = subprocess.run(["wrk", "-t2", "-c64", "-d3s", "-s", script,
                           f"http://{harness.LOOPBACK}:{api.port}"],
                          stdout=subprocess.PIPE, text=True, check=True)
    pids[1][1:] = children(server)
    used = [cpu_seconds(p) - b for p, b in zip(pids, before)]
    words = [l for l in done.stdout.splitlines() if l.startswith("RESULT")][0].split()
    requests, seconds, p50, p99, bad = map(float, words[1:])
    assert bad == 0, done.stdout
    api.stop()
    return [requests / seconds, p50, p99, *(u / requests * 1e6 for u in used)]


def bench_since(folder):
    """Pairs, in turns: the neighbours on the machine change slower than they do."""
    commit = os.environ["BENCH_SINCE"]
    table = Table(f"Webhooks, this version beside {commit}",
                  "The run of the table above, both versions in turns; medians of "
                  f"{RUNS} pairs, the ratio the median of the pairs' ratios. "
                  f"`BENCH_SINCE={commit} scripts/bench.sh since`.")
    postgres = harness.Postgres(folder)
    redis = harness.Redis(folder)
    script = wrk_script(folder, harness.SECRET)
    programs = {"ours": harness.API, "other": pathlib.Path(os.environ["BENCH_SINCE_API"])}
    runs = {name: [] for name in programs}
    for turn in range(RUNS):
        for name in sorted(programs, reverse=turn % 2 == 1):
            runs[name].append(one_webhook_run(folder, postgres, redis, script, programs[name]))
    for at, (figure, digits) in enumerate([("webhooks_per_s", 0), ("p50_ms", 1), ("p99_ms", 1), ("api_cpu_us", 1),
                                           ("postgres_cpu_us", 1)]):
        ours, other = ([run[at] for run in runs[name]] for name in ("ours", "other"))
        table.add(f"since_{figure}", f"{statistics.median(ours):.{digits}f}",
                  f"{statistics.median(other):.{digits}f}",
                  f"{statistics.median(a / b for a, b in zip(ours, other)):.2f}")
    postgres.stop()
    redis.stop()
    return table


def pgbench_single_rows(folder, postgres):
    database = postgres.new_database()
    postgres.sql(database, "CREATE TABLE one_row (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "
                           "tx_hash text NOT NULL UNIQUE, amount numeric(38,18), body bytea)")
    script = pathlib.Path(folder) / "insert.sql"
    script.write_text("INSERT INTO one_row (tx_hash, amount, body) VALUES "
                      "(gen_random_uuid()::text, 1.25, '\\x7b7d');\n")
    rates = []
    for _ in range(3):
        done = subprocess.run([postgres.bin / "pgbench", "-n", "-c", "64", "-j", "2", "-T", "3",
                               "-M", "prepared", "-f", script, "-h", harness.LOOPBACK, "-p",
                               str(postgres.port), "-U", "cricalgo", database],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=True)
        rates.append([float(l.split()[2]) for l in done.stdout.splitlines()
                      if l.startswith("tps")][0])
    return statistics.median(rates)


def pss_kib(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def bench_memory(folder):
    table = Table("Memory of a worker",
                  "PSS of all processes of the worker, two slots, connected to Redis.")
    redis = harness.Redis(folder)
    ours_worker, ours_pids = start_ours(redis, folder)(())
    python_worker, python_pids = start_python(redis, folder)(())
    ours, python = pss_kib(ours_pids()), pss_kib(python_pids())
    table.add("idle_pss_mib", f"{ours / 1024:.1f}", f"{python / 1024:.1f}",
              f"{python / ours:.1f}", "other: Celery 5.7.0, prefork -c 2; ratio is other to ours")
    ours_worker.stop()
    python_worker.stop()
    parked_memory(table, redis, folder)
    redis.stop()
    return table


def park(redis, start, count):
    """KiB that count tasks with an ETA in ten hours cost a worker that holds them."""
    redis.cli("FLUSHALL")
    worker, pids = start(())
    before = pss_kib(pids())
    client = redis.client()
    eta = time.time() + 36000
    for at in range(0, count, 10000):
        publish(client, *(envelope("t.noop", [], eta)[1] for _ in range(at, at + 10000)))
    wait_for(lambda: client.hlen("unacked") == count, "all are claimed", 600, every=0.5)
    cost = pss_kib(pids()) - before
    worker.kill()
    return cost


def parked_memory(table, redis, folder):
    ours = park(redis, start_ours(redis, folder), PARKED)
    table.add("parked_million_mib", f"{ours / 1024:.0f}", "-", "-",
              f"what {PARKED} tasks that wait for their ETA add; at most 50 is wanted")
    few = 20000
    python = park(redis, start_python(redis, folder), few)
    mine, other = ours * 1024 / PARKED, python * 1024 / few
    table.add("parked_bytes_a_task", f"{mine:.0f}", f"{other:.0f}", f"{other / mine:.0f}",
              f"other: Celery 5.7.0 with {few}")


PYTHON_CODEC = """
import json, statistics, sys, time
from kombu import Connection
from kombu.utils.json import dumps, loads
from celery import Celery
raw = open(sys.argv[1], encoding="utf-8").read()
app = Celery("bench", broker="memory://")
channel = Connection("memory://").channel()
args, kwargs, embed = loads(channel.Message(loads(raw), channel=channel).body)
headers = loads(raw)["headers"]

def kombu_loads():
    loads(raw)

def decode():
    message = channel.Message(loads(raw), channel=channel)
    message.accept = {"application/json"}
    message.headers["task"], message.headers["id"], message.decode()

from celery.worker.request import Request

@app.task(name=headers["task"])
def task(*args, **kwargs):
    pass

def request():
    message = channel.Message(loads(raw), channel=channel)
    message.accept = {"application/json"}
    message.payload
    Request(message, app=app, hostname="bench@host", task=task, on_ack=None, on_reject=None,
            connection_errors=(), body=message.body, headers=message.headers, decoded=False,
            utc=True)

def encode():
    task = app.amqp.as_task_v2(headers["id"], headers["task"], args, kwargs)
    body = dumps(task.body)
    message = channel.prepare_message(body, 0, "application/json", "utf-8", task.headers,
                                      dict(task.properties))
    channel._inplace_augment_message(message, "", "celery")
    dumps(message)

def ns(run, count=2000):
    rounds = []
    for _ in range(11):
        begin = time.thread_time()
        for _ in range(count):
            run()
        rounds.append((time.thread_time() - begin) / count * 1e9)
    return statistics.median(rounds)

print(json.dumps({"loads": ns(kombu_loads), "decode": ns(decode), "request": ns(request), "encode": ns(encode)}))
"""


def bench_codec(folder):
    table = Table("Codec, CPU nanoseconds a message",
                  "One plain task message of 1 KB as Celery 5.7.0 writes it, in one thread, medians. "
                  "A decode ends with the task's name, id, options and the checked arguments; an "
                  "encode with the envelope. No heap is used once the arena is warm.")
    code = ("import sys, json; from kombu import Connection; from celery import Celery\n"
            "from kombu.utils.json import dumps\n"
            "app = Celery('b', broker='memory://')\n"
            "c = Connection('memory://').channel()\n"
            "t = app.amqp.as_task_v2('d507a965-2fc5-499c-ba52-f2ab6ad46967', 'vec.add', "
            "[2, 'x' * 50], {})\n"
            "m = c.prepare_message(dumps(t.body), 0, 'application/json', 'utf-8', t.headers, "
            "dict(t.properties))\n"
            "c._inplace_augment_message(m, '', 'celery')\n"
            "open(sys.argv[1], 'w').write(dumps(m))")
    path = pathlib.Path(folder) / "message"
    subprocess.run([harness.PY57, "-c", code, path], check=True, env=harness.plain_env())
    done = subprocess.run([pathlib.Path(harness.BUILD) / "tests" / "bench" / "codec_loop", path],
                          check=True, stdout=subprocess.PIPE, text=True)
    ours = {name: float(ns) for name, ns in map(str.split, done.stdout.splitlines())}
    done = subprocess.run([harness.PY57, "-c", PYTHON_CODEC, path], check=True,
                          stdout=subprocess.PIPE, text=True, env=harness.plain_env())
    python = json.loads(done.stdout)
    size = path.stat().st_size

    def add(name, mine, other, detail):
        table.add(name, f"{mine:.0f}", f"{other:.0f}", f"{other / mine:.1f}", detail)

    add("decode_vs_kombu_ns", ours["decode"], python["decode"],
        f"{size} bytes; other: kombu's Message and its decode(), without Celery's strategy")
    add("decode_vs_celery_request_ns", ours["decode"], python["request"],
        "other: the same and Celery's Request, which is where its worker has what our decode ends with")
    add("decode_vs_kombu_loads_ns", ours["decode"], python["loads"],
        "other: kombu's loads of the envelope alone")
    add("decode_vs_cjson_ns", ours["decode"], ours["cjson"],
        "other: cJSON_Parse of the same bytes, envelope only")
    add("encode_vs_kombu_ns", ours["encode"], python["encode"],
        "other: as_task_v2, kombu's dumps and envelope")
    return table


def rabbit_message(vhost):
    """One message of t.noop as Celery 5.7.0 sends it: (headers, body, properties)."""
    code = "from t import app; app.send_task('t.noop')"
    subprocess.run([harness.PY57, "-c", code], cwd=ROOT / "tests" / "interop", check=True,
                   env=harness.plain_env(T_BROKER=vhost.url, PYTHONDONTWRITEBYTECODE="1"))
    message = vhost.take_all("celery")[0]
    properties = {k: v for k, v in message.properties.items() if k != "application_headers"}
    return message.headers, message.body, properties


def rabbit_fill(vhost, message, count):
    import amqp

    headers, body, properties = message
    with vhost.channel() as channel:
        channel.queue_purge("celery")
    connection = amqp.Connection(f"{harness.LOOPBACK}:{vhost.server.port}",
                                 virtual_host=vhost.name)
    connection.connect()
    channel = connection.channel()
    for _ in range(count):
        task_id = str(uuid.uuid4())
        properties["correlation_id"] = task_id
        channel.basic_publish(amqp.Message(body, application_headers={**headers, "id": task_id},
                                           **properties), routing_key="celery")
    connection.close()
    wait_for(lambda: vhost.length("celery") == count, "the queue is full", 60)


def beam(vhost):
    """The process of the server itself."""
    text = vhost.server.ctl("eval", "os:getpid().")
    return int(text.strip('"'))


def rabbit_drain(vhost, message, count, start):
    """(tasks a second, worker's CPU µs a task, RabbitMQ's). The worker is up and idle
    when it is told to consume. What is claimed and not acked at the end (the
    prefetch) does not count."""
    from celery import Celery

    rabbit_fill(vhost, message, count)
    worker, pids, node = start()
    app = Celery(broker=vhost.url)
    server = [beam(vhost)]
    with vhost.channel() as channel:
        before, server_before = cpu_seconds(pids()), cpu_seconds(server)
        begin = time.monotonic()
        app.control.add_consumer("celery", destination=[node])
        wait_for(lambda: channel.queue_declare("celery", passive=True).message_count == 0,
                 "the queue is empty", 600, every=0.01)
        seconds = time.monotonic() - begin
    spent, server_spent = cpu_seconds(pids()) - before, cpu_seconds(server) - server_before
    worker.stop()
    app.close()
    done = count - 2 * PREFETCH
    return done / seconds, spent / done * 1e6, server_spent / done * 1e6


def rabbit_ours(vhost, folder):
    def start():
        argv = [harness.CELERYC, "worker", "-A", harness.MODULE, "-b", vhost.url, "-c", "2",
                "-Q", "idle", "--prefetch-multiplier", str(PREFETCH), "-l", "warning", "-n",
                "bench@ours", "--result-backend", "disabled://"]
        worker = Process("ours", argv, folder,
                         harness.plain_env(METRICS_PORT="0", CELERY_TASK_ACKS_LATE="1"))
        wait_for(lambda: "idle" in vhost.queues(), "ours is ready")
        return worker, lambda: [worker.pid], "bench@ours"
    return start


def rabbit_python(vhost, folder):
    def start():
        worker = Process("python", [
            harness.PY57, "-m", "celery", "-A", "t", "worker", "-P", "prefork", "-c", "2", "-Q",
            "idle", "-l", "info", "-n", "bench@python", "--without-mingle", "--without-gossip"],
            folder, harness.plain_env(T_BROKER=vhost.url, T_PREFETCH=str(PREFETCH),
                                      T_ACKS_LATE="1", PYTHONDONTWRITEBYTECODE="1"),
            cwd=ROOT / "tests" / "interop")
        wait_for(lambda: " ready." in worker.log(), "Celery is ready", 60)
        return worker, lambda: [worker.pid, *children(worker.pid)], "bench@python"
    return start


def amqp_loop(*words):
    done = subprocess.run([harness.BUILD / "tests" / "bench" / "amqp_loop", *map(str, words)],
                          stdout=subprocess.PIPE, text=True, check=True)
    count, seconds, cpu = map(float, done.stdout.split())
    return count / seconds, cpu / count * 1e6


PYTHON_SEND = """
import sys, time
from celery import Celery
app = Celery("b", broker=sys.argv[1])
app.conf.broker_transport_options = {"confirm_publish": sys.argv[3] == "confirm"}
count = int(sys.argv[2])
app.send_task("t.noop")
begin, cpu = time.monotonic(), time.process_time()
for _ in range(count):
    app.send_task("t.noop")
print(count, time.monotonic() - begin, time.process_time() - cpu)
"""


def python_send(vhost, mode):
    done = subprocess.run([harness.PY57, "-c", PYTHON_SEND, vhost.url, str(PYTHON_TASKS), mode],
                          stdout=subprocess.PIPE, text=True, check=True, env=harness.plain_env())
    count, seconds, cpu = map(float, done.stdout.split())
    return count / seconds, cpu / count * 1e6


def bench_rabbitmq(folder):
    table = Table("RabbitMQ: no-op tasks drained, acks late; published with confirms",
                  f"Messages made by Celery 5.7.0, prefetch {2 * PREFETCH} on all sides, two "
                  f"slots, medians of {RUNS} runs of {TASKS} tasks ({PYTHON_TASKS} for Python). "
                  "`kill -9` loses nothing on either side and may run a task twice. The limit is "
                  "librabbitmq alone: deliver and ack, publish and read the confirms, 1,000 "
                  "under way. Celery's `send_task` has no confirms unless asked for.")
    server = harness.RabbitMQ(folder)
    vhost = server.vhost()
    message = rabbit_message(vhost)
    place = (harness.LOOPBACK, server.port, vhost.name, "celery")

    def limit():
        rabbit_fill(vhost, message, TASKS)
        return amqp_loop("consume", *place, 2 * PREFETCH, TASKS)

    bare, bare_cpu = medians(limit)
    ours, cpu, server_cpu = medians(
        lambda: rabbit_drain(vhost, message, TASKS, rabbit_ours(vhost, folder)))
    python, python_cpu, _ = medians(
        lambda: rabbit_drain(vhost, message, PYTHON_TASKS, rabbit_python(vhost, folder)))
    detail = f"worker CPU {cpu:.1f} µs a task, RabbitMQ {server_cpu:.1f} µs"
    table.add("rabbitmq_drain_vs_celery_tasks_per_s", f"{ours:.0f}", f"{python:.0f}",
              f"{ours / python:.1f}", detail + f"; Python {python_cpu:.0f} µs")
    table.add("rabbitmq_drain_vs_bare_tasks_per_s", f"{ours:.0f}", f"{bare:.0f}",
              f"{ours / bare:.2f}", detail + f"; the loop {bare_cpu:.1f} µs")

    def publish(measure):
        with vhost.channel() as channel:
            channel.queue_purge("celery")
        return measure()

    body = '[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
    bare, bare_cpu = medians(lambda: publish(
        lambda: amqp_loop("publish", *place, body, TASKS, json.dumps(message[0]))))
    ours, cpu = medians(lambda: publish(lambda: amqp_loop("ours", vhost.url, "celery", TASKS)))
    plain, plain_cpu = medians(lambda: publish(lambda: python_send(vhost, "plain")))
    sure, _ = medians(lambda: publish(lambda: python_send(vhost, "confirm")))
    table.add("rabbitmq_publish_vs_send_task_per_s", f"{ours:.0f}", f"{plain:.0f}",
              f"{ours / plain:.1f}", f"ours with confirms, {cpu:.1f} µs CPU a task; send_task "
              f"without, {plain_cpu:.0f} µs")
    table.add("rabbitmq_publish_vs_send_task_confirmed_per_s", f"{ours:.0f}", f"{sure:.0f}",
              f"{ours / sure:.1f}", "send_task with confirm_publish")
    table.add("rabbitmq_publish_vs_bare_per_s", f"{ours:.0f}", f"{bare:.0f}",
              f"{ours / bare:.2f}", f"the same message; the loop {bare_cpu:.1f} µs")
    server.close()
    return table


BENCHES = {"codec": bench_codec, "drain": bench_drain, "webhooks": bench_webhooks, "memory": bench_memory,
           "rabbitmq": bench_rabbitmq}


# What needs more than this tree.
OTHERS = {"since": bench_since}


def write_tables(tables):
    path = ROOT / "docs" / "benchmarks.md"
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE).stdout.strip()
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                if line.startswith("model name")), platform.machine())
    head = (f"# Benchmarks\n\nWritten by `scripts/bench.sh` on "
            f"{datetime.date.today().isoformat()} at {commit}: {os.cpu_count()} cores, {cpu}. Two "
            "shared cores run the client, the server and both sides, so ratios and CPU time a "
            "task say more than rates.\n\n")
    path.write_text(head + "\n".join(table.text() for table in tables))


def main():
    names = sys.argv[1:] or list(BENCHES)
    for name in names:
        if name not in {**BENCHES, **OTHERS}:
            sys.exit(f"bench: there is no '{name}'; there are: {' '.join({**BENCHES, **OTHERS})}")
    tables = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            tables.append({**BENCHES, **OTHERS}[name](folder))
    if set(names) == set(BENCHES):
        write_tables(tables)


if __name__ == "__main__":
    main()
