# SPDX-License-Identifier: MIT
"""The README's first command, on both set-ups; and that it can fail."""

import re
import sqlite3
import subprocess

import pytest

import harness


def quickstart(*options, seconds=280):
    env = {k: v for k, v in harness.plain_env().items() if k != "CC"}
    return subprocess.run(["scripts/quickstart.sh", "--once", "--port", "0", *options],
                          cwd=harness.ROOT, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds)


def last_line(done):
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.timeout(300)
def test_embedded(tmp_path):
    path = tmp_path / "ledger.db"
    done = quickstart("--ledger", f"sqlite:///{path}", "--broker", f"filesystem://{tmp_path}/spool",
                      "--backend", f"file://{tmp_path}/results")
    assert done.returncode == 0, done.stdout[-4000:]
    match = re.fullmatch(r"(\d+) deposits credited, 0 lost", last_line(done))
    assert match and int(match[1]) >= 40
    for what, least in (("duplicate", 5), ("wrong signature", 3), ("unknown user", 2),
                        ("too few confirmations", 2), ("more decimals", 1)):
        assert done.stdout.count(f"  {what}") >= least, what
    # A wallet changed behind our back: the same command must not say that all is
    # well.
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE wallets SET deposit_balance = '0.5' WHERE user_id = "
                           "(SELECT min(user_id) FROM wallets)")
    connection.close()
    done = quickstart("--ledger", f"sqlite:///{path}", "--broker", f"filesystem://{tmp_path}/spool",
                      "--backend", f"file://{tmp_path}/results")
    assert done.returncode == 1, done.stdout[-4000:]
    assert re.fullmatch(r"\d+ deposits credited, [1-9]\d* lost", last_line(done))


def test_real_servers(redis, postgres_server):
    ledger = postgres_server.url(postgres_server.new_database())
    done = quickstart("--broker", redis.url(), "--ledger", ledger, "--backend", redis.url(1))
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.fullmatch(r"\d{2,} deposits credited, 0 lost", last_line(done))


def test_real_servers_with_rabbitmq(redis, rabbitmq, postgres_server):
    ledger = postgres_server.url(postgres_server.new_database())
    done = quickstart("--broker", rabbitmq.url, "--ledger", ledger, "--backend", redis.url(1))
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.fullmatch(r"\d{2,} deposits credited, 0 lost", last_line(done))
    assert rabbitmq.queues()["deposits"] == (0, 0)


@pytest.mark.parametrize("options, words", [
    (["--port", "http"], ["--port", "http", "0 to 65535"]),
    (["--samples", "3"], ["--samples", "3", "at least 50"]),
    (["--nonsense"], ["--nonsense"]),
])
def test_wrong_options(options, words):
    done = quickstart(*options)
    assert done.returncode == 2, done.stdout
    for word in words:
        assert word in done.stdout


def test_unreachable_server():
    """A database that is not there: one sentence, and no sample is posted."""
    done = quickstart("--ledger", f"postgresql://nobody@{harness.LOOPBACK}:{harness.free_port()}/x")
    assert done.returncode != 0
    assert "not ready" in done.stdout or "ended with status" in done.stdout, done.stdout[-2000:]
