# SPDX-License-Identifier: MIT
"""A deposit answered 202 is credited exactly once: whatever is killed, whatever the
broker forgets, whichever server is down."""

import os
import pathlib
import random
import shutil
import sqlite3
import time

import pytest

import harness
from harness import Api, Worker, check_ledger, deposit_body, states, wait_for

KILLS = int(os.environ.get("T_KILLS", "20"))
SEED = int(os.environ.get("T_SEED") or random.randrange(2**32))
# A deposit whose message is lost is published again after this (60 s unless set).
QUICK = {"DEPOSIT_REENQUEUE_SECONDS": "2", "DEPOSIT_REENQUEUE_MAX_SECONDS": "4",
         "DEPOSIT_SWEEP_GRACE": "1", "DEPOSIT_SWEEP_INTERVAL": "0.2"}


# What is about the ledger alone needs no third broker.
LEDGERS = pytest.mark.parametrize("setup", ["embedded", "real"], indirect=True)


def credited(setup):
    return states(setup.ledger).get("credited", 0)


def unacked(setup):
    """Claims that are not settled, of all workers."""
    if setup.rabbitmq:
        return sum(unacked for _, unacked in setup.rabbitmq.queues().values())
    if setup.redis:
        return int(setup.redis.cli("HLEN", "unacked"))
    claims = pathlib.Path(setup.broker.removeprefix("filesystem://")) / "claims"
    return sum(1 for _ in claims.glob("*/*.msg"))


def waiting(setup):
    if setup.rabbitmq:
        return setup.rabbitmq.length("deposits")
    if setup.redis:
        return int(setup.redis.cli("LLEN", "deposits"))
    queue = pathlib.Path(setup.broker.removeprefix("filesystem://")) / "queue"
    return sum(1 for _ in queue.glob("*.msg"))


def post_many(api, user, count, amount="1"):
    ids = []
    for _ in range(count):
        status, answer, _ = api.webhook(deposit_body(user, amount))
        assert status == 202, answer
        ids.append(answer["tx_id"])
    return ids


def assert_all_credited(setup, total, seconds=90):
    wait_for(lambda: credited(setup) == total, f"{total} deposits credited", seconds, every=0.2)
    status, text = check_ledger(setup.ledger)
    assert status == 0, text
    assert text.splitlines()[-1] == f"{total} deposits credited, 0 lost"
    assert f"sum of the wallets       {total}" in text


def counter(setup):
    """A quick look at how many are credited, for use while a test runs."""
    if setup.postgres:
        import psycopg2
        connection = psycopg2.connect(setup.ledger)
        connection.autocommit = True
        cursor = connection.cursor()

        def count():
            cursor.execute("SELECT count(*) FROM transactions WHERE state = 'credited'")
            return cursor.fetchone()[0]
    else:
        path = setup.ledger.removeprefix("sqlite:///")
        connection = sqlite3.connect(path, timeout=30, isolation_level=None)

        def count():
            return connection.execute(
                "SELECT count(*) FROM transactions WHERE state = 'credited'").fetchone()[0]
    return count


def test_kills_of_the_worker(setup, started):
    """kill -9 while deposits are being credited, again and again, most of the time
    with claims that are not acked."""
    print(f"T_SEED={SEED}")
    rng = random.Random(SEED)
    total = 1000
    api = Api(setup.folder, setup.ledger, setup.broker, **QUICK)
    started.append(api.process)
    user = api.register()
    post_many(api, user, total)
    count = counter(setup)
    at_kill, held_at_kill = [], []
    for kill in range(KILLS):
        # Small windows, so that a kill falls between two of them.
        worker = Worker(setup.folder, setup.ledger, setup.broker, "-c", "1",
                        "--prefetch-multiplier", "8", backend=setup.backend, **QUICK)
        started.append(worker)
        low = total * (0.06 + 0.85 * kill / KILLS)
        goal = min(total * 0.94, max(low, count() + 1))
        deadline = time.monotonic() + 60
        while count() < goal and time.monotonic() < deadline:
            assert worker.alive(), worker.log()
        until = time.monotonic() + rng.random() * 0.01
        while time.monotonic() < until:
            pass
        worker.child.send_signal(harness.signal.SIGSTOP)
        at_kill.append(count())
        held_at_kill.append(unacked(setup))
        worker.kill()
    assert all(total * 0.05 <= n <= total * 0.95 for n in at_kill), at_kill
    assert sum(1 for n in held_at_kill if n > 0) >= KILLS * 0.8, held_at_kill
    last = Worker(setup.folder, setup.ledger, setup.broker, "-c", "2", backend=setup.backend,
                  **QUICK)
    started.append(last)
    assert_all_credited(setup, total)
    assert last.stop() == 0
    assert api.stop() == 0


def test_kills_of_the_api(setup, started):
    """Killed at any instant, between commit and publish too: what it answered 202
    is credited, and nothing is credited twice."""
    print(f"T_SEED={SEED}")
    rng = random.Random(SEED)
    worker = Worker(setup.folder, setup.ledger, setup.broker, "-c", "2", backend=setup.backend,
                    **QUICK)
    started.append(worker)
    worker.ready()
    api = Api(setup.folder, setup.ledger, setup.broker, **QUICK)
    user = api.register()
    api.process.kill()
    accepted = set()
    for _ in range(10):
        api = Api(setup.folder, setup.ledger, setup.broker, **QUICK)
        started.append(api.process)
        stop_at = rng.randrange(5, 60)
        for n in range(60):
            if n == stop_at:
                api.process.child.send_signal(harness.signal.SIGKILL)
            try:
                status, answer, _ = api.webhook(deposit_body(user, "1"), headers={})
            except OSError:
                break
            assert status == 202, answer
            accepted.add(answer["tx_id"])
        api.process.kill()
    # A commit whose answer the kill swallowed is a deposit too.
    stored = sum(v for k, v in states(setup.ledger).items() if k != "balanced")
    assert stored >= len(accepted) > 0
    assert_all_credited(setup, stored)
    assert worker.stop() == 0


def test_api_killed_between_commit_and_publish(setup, started):
    """No broker can be reached when the API dies: nothing was published at all."""
    scheme = "amqp" if setup.rabbitmq else "redis"
    dead_broker = (f"{scheme}://{harness.LOOPBACK}:{harness.free_port()}/0" if setup.redis
                   else "filesystem:///proc/nowhere")
    for _ in range(10):
        api = Api(setup.folder, setup.ledger, dead_broker, **QUICK)
        started.append(api.process)
        user = api.register()
        post_many(api, user, 3)
        api.process.kill()
    worker = Worker(setup.folder, setup.ledger, setup.broker, "-c", "2", backend=setup.backend,
                    **QUICK)
    started.append(worker)
    assert_all_credited(setup, 30)
    assert worker.stop() == 0


def forget_everything(setup):
    if setup.rabbitmq:
        with setup.rabbitmq.channel() as channel:
            channel.queue_purge("deposits")
        return
    if setup.redis:
        setup.redis.cli("FLUSHALL")
        return
    spool = pathlib.Path(setup.broker.removeprefix("filesystem://"))
    for path in [*spool.glob("queue/*"), *spool.glob("claims/*/*")]:
        path.unlink(missing_ok=True)


def test_broker_that_forgets(setup, started):
    """FLUSHALL, purge_queue or an emptied spool folder in mid-flight: a delay, not a loss, and
    nothing is restarted."""
    total = 600
    api = Api(setup.folder, setup.ledger, setup.broker, **QUICK)
    started.append(api.process)
    user = api.register()
    post_many(api, user, total)
    worker = Worker(setup.folder, setup.ledger, setup.broker, "-c", "1",
                    "--prefetch-multiplier", "4", backend=setup.backend, **QUICK)
    started.append(worker)
    count = counter(setup)
    wait_for(lambda: count() > total * 0.05, "some are credited", every=0.001)
    worker.child.send_signal(harness.signal.SIGSTOP)
    # RabbitMQ gives out what is claimed until it is acked: that is not lost.
    lost = waiting(setup) + (0 if setup.rabbitmq else unacked(setup))
    forget_everything(setup)
    worker.child.send_signal(harness.signal.SIGCONT)
    assert lost > 0, "everything was settled before the broker forgot"
    assert_all_credited(setup, total)
    post_many(api, user, 10)
    assert_all_credited(setup, total + 10)
    assert worker.stop() == 0 and api.stop() == 0


def test_emptied_spool_folder_itself(tmp_path, started):
    """The whole folder is removed; both programs make it again."""
    broker, ledger = f"filesystem://{tmp_path}/spool", f"sqlite:///{tmp_path}/l.db"
    api = Api(tmp_path, ledger, broker, **QUICK)
    worker = Worker(tmp_path, ledger, broker, "-c", "1", **QUICK)
    started += [api.process, worker]
    worker.ready()
    user = api.register()
    post_many(api, user, 5)
    wait_for(lambda: states(ledger).get("credited") == 5, "5 credited")
    shutil.rmtree(tmp_path / "spool")
    post_many(api, user, 5)
    wait_for(lambda: states(ledger).get("credited") == 10, "10 credited", 60)
    assert worker.stop() == 0 and api.stop() == 0


def test_broker_down(redis, postgres_server, tmp_path, started):
    """Webhooks are answered 202 all the same, and credited when it returns."""
    own = harness.Redis(tmp_path)
    ledger = postgres_server.url(postgres_server.new_database())
    api = Api(tmp_path, ledger, own.url(), **QUICK)
    worker = Worker(tmp_path, ledger, own.url(), "-c", "1", backend=own.url(1), **QUICK)
    started += [api.process, worker]
    worker.ready()
    user = api.register()
    post_many(api, user, 5)
    wait_for(lambda: states(ledger).get("credited") == 5, "5 credited")
    own.stop()
    post_many(api, user, 20)
    assert states(ledger)["received"] == 20
    metrics = api.get("/metrics")[1]
    failed = [line for line in metrics.splitlines()
              if line.startswith("webhook_enqueue_failed_total ")]
    assert failed and float(failed[0].split()[1]) > 0, failed
    own.start()
    back = time.monotonic()
    wait_for(lambda: states(ledger).get("credited") == 25, "25 credited", 30)
    print(f"credited {time.monotonic() - back:.1f} s after the broker's return")
    assert check_ledger(ledger)[0] == 0
    assert worker.stop() == 0 and api.stop() == 0
    own.stop()


def test_database_down(tmp_path_factory, tmp_path, redis, started):
    """503 and Retry-After, nothing pretended; tasks wait and are retried."""
    own = harness.Postgres(tmp_path_factory.mktemp("pg"))
    database = own.new_database()
    ledger = own.url(database)
    api = Api(tmp_path, ledger, redis.url(), DB_POOL_TIMEOUT="1", **QUICK)
    user = api.register()
    post_many(api, user, 5)
    own.stop()
    status, answer, headers = api.webhook(deposit_body(user))
    assert status == 503 and answer["ok"] is False and answer["error"], answer
    assert int(headers["Retry-After"]) > 0
    assert api.request("GET", "/readyz")[0] == 503
    assert api.request("GET", "/healthz")[0] == 200
    assert api.request("GET", "/api/v1/health")[:2] == (200, {"status": "ok"})
    own.start()
    worker = Worker(tmp_path, ledger, redis.url(), "-c", "1", backend=redis.url(1), **QUICK)
    started += [api.process, worker]
    wait_for(lambda: states(ledger).get("credited") == 5, "5 credited", 60)
    # Down while the worker runs: the tasks retry, the deposits arrive in the end.
    own.stop()
    redis.client().lpush("deposits", *forged_messages(redis, ledger, 1))
    wait_for(lambda: worker.events("deposit_task_failed"), "a task failed for the database")
    own.start()
    wait_for(lambda: api.webhook(deposit_body(user))[0] == 202, "the API is back", 30)
    wait_for(lambda: states(ledger).get("credited") == 6, "6 credited", 60)
    assert check_ledger(ledger)[0] == 0
    assert worker.stop() == 0 and api.stop() == 0
    own.stop()


def forged_messages(redis, ledger, count):
    """Messages for deposits that do not exist, as anyone who reaches the broker
    could write them."""
    import base64
    import json
    import uuid

    made = []
    for _ in range(count):
        task_id, tx_id = str(uuid.uuid4()), str(uuid.uuid4())
        body = json.dumps([[tx_id], {}, {}]).encode()
        made.append(json.dumps({
            "body": base64.b64encode(body).decode(), "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": "app.tasks.deposits.process_deposit", "id": task_id},
            "properties": {"correlation_id": task_id, "delivery_mode": 2, "priority": 0,
                           "delivery_info": {"exchange": "", "routing_key": "deposits"},
                           "body_encoding": "base64", "delivery_tag": str(uuid.uuid4())}}))
    return made


def test_a_forged_message_credits_nothing(redis, postgres_server, tmp_path, started):
    ledger = postgres_server.url(postgres_server.new_database())
    api = Api(tmp_path, ledger, redis.url())
    worker = Worker(tmp_path, ledger, redis.url(), backend=redis.url(1))
    started += [api.process, worker]
    worker.ready()
    client = redis.client()
    client.lpush("deposits", *forged_messages(redis, ledger, 3), "not json", "{}", '{"body": 1}')
    wait_for(lambda: len(worker.events("deposit_task_failed")) == 3, "the tasks failed")
    wait_for(lambda: client.llen("deposits.dead") == 3, "the broken ones are dead-lettered")
    wait_for(lambda: client.hlen("unacked") == 0, "all are settled")
    counts = states(ledger)
    assert counts.pop("balanced") and not any(counts.values())
    assert worker.stop() == 0 and api.stop() == 0


def test_confirmations_and_late_users(setup, started):
    api = Api(setup.folder, setup.ledger, setup.broker, **QUICK)
    worker = Worker(setup.folder, setup.ledger, setup.broker, backend=setup.backend, **QUICK)
    started += [api.process, worker]
    worker.ready()
    user = api.register()
    body = deposit_body(user, "7.5", confirmations=1)
    tx_id = api.webhook(body)[1]["tx_id"]
    wait_for(lambda: api.get(f"/api/v1/transactions/{tx_id}")[1]["state"]
             == "awaiting_confirmations", "it waits for confirmations")
    body["confirmations"] = 2
    assert api.webhook(body)[1]["tx_id"] == tx_id
    body["confirmations"] = 1  # never lowered
    assert api.webhook(body)[0] == 202
    assert api.get(f"/api/v1/transactions/{tx_id}")[1]["confirmations"] == 2
    body["confirmations"] = 3
    assert api.webhook(body)[0] == 202
    wait_for(lambda: api.get(f"/api/v1/transactions/{tx_id}")[1]["state"] == "credited",
             "it is credited")
    assert api.get(f"/api/v1/wallets/{user}")[1]["deposit_balance"] == "7.5"
    assert check_ledger(setup.ledger)[0] == 0
    assert worker.stop() == 0 and api.stop() == 0


@LEDGERS
def test_wallet_changed_behind_our_back(setup, started):
    api = Api(setup.folder, setup.ledger, setup.broker, **QUICK)
    worker = Worker(setup.folder, setup.ledger, setup.broker, **QUICK)
    started += [api.process, worker]
    user = api.register()
    post_many(api, user, 3)
    wait_for(lambda: credited(setup) == 3, "3 credited")
    assert worker.stop() == 0 and api.stop() == 0
    assert check_ledger(setup.ledger)[0] == 0
    if setup.postgres:
        setup.postgres.sql(setup.database, "UPDATE wallets SET deposit_balance = "
                                           "deposit_balance + 0.000000000000000001")
    else:
        with sqlite3.connect(setup.ledger.removeprefix("sqlite:///")) as connection:
            connection.execute("UPDATE wallets SET deposit_balance = '3.000000000000000001'")
        connection.close()
    status, text = check_ledger(setup.ledger)
    assert status == 1 and "1 lost" in text.splitlines()[-1], text


@LEDGERS
def test_a_deposit_taken_back(setup, started):
    """A status that says that it failed stops a deposit that is not credited, whatever
    confirmations it brings, and is told about one that is."""
    api = Api(setup.folder, setup.ledger, setup.broker, **QUICK)
    worker = Worker(setup.folder, setup.ledger, setup.broker, backend=setup.backend, **QUICK)
    started += [api.process, worker]
    user = api.register()
    waits = deposit_body(user, "5", confirmations=1, status="pending")
    tx_id = api.webhook(waits)[1]["tx_id"]
    wait_for(lambda: api.get(f"/api/v1/transactions/{tx_id}")[1]["state"]
             == "awaiting_confirmations", "it waits")
    status, answer, _ = api.webhook({**waits, "confirmations": 9, "status": "reverted"})
    assert status == 409 and answer["tx_id"] == tx_id, answer
    assert api.get(f"/api/v1/transactions/{tx_id}")[1]["state"] == "conflict"
    assert api.webhook({**waits, "confirmations": 9})[0] == 202
    done = deposit_body(user, "7")
    paid = api.webhook(done)[1]["tx_id"]
    wait_for(lambda: credited(setup) == 1, "the other one is credited")
    status, answer, _ = api.webhook({**done, "status": "failed"})
    assert status == 409 and answer["tx_id"] == paid, answer
    assert api.get(f"/api/v1/transactions/{paid}")[1]["state"] == "credited"
    counts = states(setup.ledger)
    assert (counts["conflict"], counts["credited"], counts["balanced"]) == (1, 1, True)
    assert worker.stop() == 0 and api.stop() == 0


@LEDGERS
def test_one_deposit_in_two_spellings(setup, started):
    api = Api(setup.folder, setup.ledger, setup.broker, **QUICK)
    started.append(api.process)
    body = deposit_body(api.register())
    first = api.webhook(body)[1]["tx_id"]
    body["tx_hash"] = "0x" + body["tx_hash"][2:].upper()
    status, answer, _ = api.webhook(body)
    assert (status, answer["tx_id"]) == (202, first)
    other = [api.webhook({**body, "tx_hash": h})[1]["tx_id"] for h in ("Base58Ab", "base58ab")]
    assert len({first, *other}) == 3
    assert api.stop() == 0


@LEDGERS
def test_migrations_by_command_and_at_once(setup, started):
    """MIGRATE_ON_START=0 leaves an empty database alone; --migrate fills it; several
    instances that start at once on an empty one agree."""
    import subprocess

    lazy = Worker(setup.folder, setup.ledger, setup.broker, MIGRATE_ON_START="0")
    started.append(lazy)
    lazy.ready()
    assert check_ledger(setup.ledger)[0] != 0
    assert lazy.stop() == 0
    done = subprocess.run([harness.WORKER, "--migrate"], text=True, stdout=subprocess.PIPE,
                          env=harness.plain_env(DATABASE_URL=setup.ledger))
    assert done.returncode == 0 and "up to date" in done.stdout
    assert check_ledger(setup.ledger)[1].splitlines()[-1] == "0 deposits credited, 0 lost"
    if setup.postgres:
        fresh = setup.postgres.url(setup.postgres.new_database())
    else:
        fresh = f"sqlite:///{setup.folder}/fresh.db"
    workers = [Worker(setup.folder, fresh, setup.broker) for _ in range(4)]
    started += workers
    for worker in workers:
        worker.ready()
    assert all(worker.stop() == 0 for worker in workers)
    assert check_ledger(fresh)[0] == 0


@LEDGERS
def test_explain(setup, started):
    import subprocess

    api = Api(setup.folder, setup.ledger, setup.broker, **QUICK)
    worker = Worker(setup.folder, setup.ledger, setup.broker, backend=setup.backend, **QUICK)
    started += [api.process, worker]
    tx_id = post_many(api, api.register(), 1, "3.25")[0]
    wait_for(lambda: credited(setup) == 1, "it is credited")

    def explain(word):
        return subprocess.run([harness.WORKER, "--explain", word], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=harness.plain_env(DATABASE_URL=setup.ledger))

    done = explain(tx_id)
    assert done.returncode == 0, done.stderr
    for word in (tx_id, "credited", "3.25", "journal"):
        assert word in done.stdout, done.stdout
    assert explain("00000000-0000-4000-8000-000000000000").returncode == 1
    assert worker.stop() == 0 and api.stop() == 0


def test_sigterm_gives_back(setup, started):
    """Stops fetching at once, gives back what has not started, exits 0."""
    total = 300
    api = Api(setup.folder, setup.ledger, setup.broker, **QUICK)
    started.append(api.process)
    post_many(api, api.register(), total)
    count = counter(setup)
    worker = Worker(setup.folder, setup.ledger, setup.broker, "-c", "1",
                    "--prefetch-multiplier", "4", backend=setup.backend, **QUICK)
    started.append(worker)
    wait_for(lambda: count() > 0, "some are credited", every=0.001)
    assert worker.stop() == 0
    assert unacked(setup) == 0
    after = Worker(setup.folder, setup.ledger, setup.broker, backend=setup.backend, **QUICK)
    started.append(after)
    assert_all_credited(setup, total)
    assert after.stop() == 0 and api.stop() == 0
