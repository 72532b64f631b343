# SPDX-License-Identifier: MIT
"""The API says what is so: not ready while writes fail, "unknown" when it does not
know, 400 for what nobody could mean. Against the running API."""

import http.client
import json
import os
import signal
import subprocess
import threading
import time
import uuid

import pytest

import harness
from harness import deposit_body, wait_for

STRANGER = {"ok", "error", "field", "request_id", "type", "title", "status", "detail", "code"}


@pytest.fixture
def postgres(tmp_path_factory):
    """A server of one's own: what is done to it is done to all that use it."""
    server = harness.Postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


def api_on(tmp_path, started, ledger, **settings):
    api = harness.Api(tmp_path, ledger, f"filesystem://{tmp_path}/spool", **settings)
    started.append(api.process)
    return api


USER = str(uuid.uuid4())


def hook(api, tx_hash=None):
    body = deposit_body(USER)
    return api.webhook({**body, "tx_hash": tx_hash or body["tx_hash"]})


def ready(api):
    return api.request("GET", "/readyz")[0] == 200


def check_unready(api):
    """One word to strangers, the rest in the log."""
    status, answer, headers = api.request("GET", "/readyz")
    assert (status, answer["error"], answer["code"]) == (503, "unavailable", "unavailable")
    assert set(answer) == STRANGER and int(headers["Retry-After"]) > 0
    return api.process.events("not_ready")[-1]["error"]


# --- writes that fail --------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder],
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        pytest.skip(f"a file system of 1 MiB cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(path):
    with open(path, "wb", buffering=0) as f:
        try:
            while f.write(b"x" * 4096) == 4096:
                pass
        except OSError:
            pass


def test_sqlite_on_a_full_disk_is_not_ready(tmp_path, started, small_disk):
    api = api_on(tmp_path, started, f"sqlite:///{small_disk}/l.db")
    assert hook(api)[0] == 202 and ready(api)
    fill(small_disk / "fill")
    # The log has room for a few more pages that it took before.
    wait_for(lambda: hook(api)[0] == 503, "a webhook is not stored")
    assert "write failed" in check_unready(api) or "full" in check_unready(api)
    # Also while nobody sends anything: the probe writes.
    assert not ready(api)
    os.unlink(small_disk / "fill")
    wait_for(lambda: ready(api), "it is ready again")
    assert hook(api)[0] == 202


def test_the_probe_alone_finds_a_full_disk(tmp_path, started, small_disk):
    """No webhook comes; another program fills the disk."""
    api = api_on(tmp_path, started, f"sqlite:///{small_disk}/l.db")
    assert ready(api)
    fill(small_disk / "fill")
    wait_for(lambda: not ready(api), "it is not ready")
    assert "SQLite" in api.process.events("not_ready")[-1]["error"]
    os.unlink(small_disk / "fill")
    wait_for(lambda: ready(api), "it is ready again")


def test_postgres_that_takes_no_writes_is_not_ready(tmp_path, started, postgres):
    database = postgres.new_database()
    api = api_on(tmp_path, started, postgres.url(database))
    assert hook(api)[0] == 202 and ready(api)
    postgres.sql(database, "ALTER SYSTEM SET default_transaction_read_only = on")
    postgres.sql(database, "SELECT pg_reload_conf()")
    wait_for(lambda: not ready(api), "it is not ready")
    assert "default_transaction_read_only" in check_unready(api)
    assert hook(api)[0] == 503 and not ready(api)
    postgres.sql(database, "ALTER SYSTEM RESET default_transaction_read_only")
    postgres.sql(database, "SELECT pg_reload_conf()")
    wait_for(lambda: ready(api), "it is ready again")
    assert hook(api)[0] == 202


def test_a_write_that_fails_is_remembered(tmp_path, started, postgres):
    database = postgres.new_database()
    api = api_on(tmp_path, started, postgres.url(database))
    assert hook(api)[0] == 202
    postgres.sql(database, """
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE 'no space left on device' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON transactions
        FOR EACH ROW EXECUTE FUNCTION full_disk()""")
    assert ready(api)
    status, answer, _ = hook(api)
    assert (status, answer["code"]) == (503, "unavailable")
    assert "write failed" in check_unready(api)
    postgres.sql(database, "DROP TRIGGER full_disk ON transactions")
    wait_for(lambda: ready(api), "it is ready again")
    assert hook(api)[0] == 202


def test_readiness_tells_strangers_nothing(tmp_path, started):
    api = api_on(tmp_path, started, "postgresql://someone:geheim@127.0.0.1:1/ledger")
    assert "connect" in check_unready(api)
    for _ in range(20):
        text = json.dumps(api.request("GET", "/readyz")[1])
        for word in ("127.0.0.1", "someone", "geheim", "PostgreSQL", "refused"):
            assert word not in text
    assert len(api.process.events("not_ready")) == 1, "probes do not fill the log"
    assert "geheim" not in api.process.log()


def test_a_worker_tells_strangers_nothing_either(tmp_path, started, tmp_path_factory):
    own = harness.Postgres(tmp_path_factory.mktemp("pg"))
    port = harness.free_port()
    worker = harness.Worker(tmp_path, own.url(own.new_database()),
                            f"filesystem://{tmp_path}/spool", METRICS_PORT=port).ready()
    started.append(worker)

    def ask():
        connection = http.client.HTTPConnection(harness.LOOPBACK, port, timeout=30)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    wait_for(lambda: ask()[0] == 200, "the worker is ready")
    own.stop()
    status, answer = ask()
    assert (status, answer["error"], set(answer)) == (503, "unavailable", STRANGER)
    assert "PostgreSQL" in worker.events("not_ready")[0]["error"]


def test_a_currency_that_a_source_lists_is_known(tmp_path, started):
    sources = harness.ROOT / "docs/sources/alchemy-address-activity.json"
    listed = {c["name"] for s in json.loads(sources.read_text())["sources"] for c in s["currencies"]}
    api = api_on(tmp_path, started, f"sqlite:///{tmp_path}/l.db", WEBHOOK_SOURCES_FILE=sources,
                 WEBHOOK_CHAINS="bep20,erc20", ALCHEMY_SIGNING_KEY="whsec_inventedAlchemyKey01")
    user = api.register()
    assert listed
    for currency in listed | {"USDT"}:
        status, answer, _ = api.get(f"/api/v1/wallets/{user}", currency=currency.lower())
        assert (status, answer["currency"], answer["total_balance"]) == (200, currency.upper(), "0")
    status, answer, _ = api.get(f"/api/v1/wallets/{user}", currency="NONE")
    assert (status, answer["code"], answer["field"]) == (404, "currency", "currency")


# --- outcomes that nobody knows ----------------------------------------------


def processes_of(server):
    """The server's own, and those that serve connections; first of all runuser,
    which stops itself when its child is stopped, and has to go on after it."""
    parent = int((server.data / "postmaster.pid").read_text().splitlines()[0])
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], stdout=subprocess.PIPE,
                          text=True, check=True)
    return [server.process.pid, parent, *(int(pid) for pid in done.stdout.split())]


def keep_going(process):
    """runuser stops itself once more when it learns late that its child was stopped."""
    def run():
        while process.alive():
            process.child.send_signal(signal.SIGCONT)
            time.sleep(0.1)

    threading.Thread(target=run, daemon=True).start()


def test_a_stopped_database_leaves_the_outcome_open(tmp_path, started, postgres):
    database = postgres.new_database()
    api = api_on(tmp_path, started, postgres.url(database), DB_STATEMENT_TIMEOUT="1")
    assert hook(api)[0] == 202
    hashes = [f"0x{uuid.uuid4().hex}" for _ in range(5)]
    answers = {}

    def send(tx_hash):
        answers[tx_hash] = hook(api, tx_hash)

    stopped = processes_of(postgres)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        threads = [threading.Thread(target=send, args=(h,)) for h in hashes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)
        keep_going(postgres.process)
    unknown = [h for h in hashes if answers[h][1]["code"] == "outcome_unknown"]
    assert unknown, answers
    for tx_hash in hashes:
        status, answer, headers = answers[tx_hash]
        assert status == 503 and int(headers["Retry-After"]) > 0
        assert "nothing was stored" not in answer["error"]
        if tx_hash in unknown:
            assert answer["error"] == "the outcome is unknown; send it again"
    # What was sent is done when the database goes on, whatever we had said.
    wait_for(lambda: ready(api), "it is ready again")
    wait_for(lambda: int(postgres.sql(database, "SELECT count(*) FROM transactions")) > 1,
             "what was sent is stored")
    stored = set(postgres.sql(database, "SELECT tx_hash FROM transactions").split())
    assert stored & set(hashes) <= set(unknown), "what was said not to be stored is not"
    for tx_hash in hashes:
        wait_for(lambda h=tx_hash: hook(api, h)[0] == 202, "sent again")
    assert int(postgres.sql(database, "SELECT count(*) FROM transactions")) == 6
