# SPDX-License-Identifier: MIT
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "chaos: takes minutes; scripts/test.sh chaos runs it")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = harness.Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis(redis_server):
    """The session's server, emptied."""
    redis_server.cli("FLUSHALL")
    return redis_server


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory):
    server = harness.RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    yield server
    server.close()


@pytest.fixture
def rabbitmq(rabbitmq_server):
    """The session's server, a virtual host of one's own on it."""
    return rabbitmq_server.vhost()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    server = harness.Postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest.fixture
def started():
    """Processes that a test starts: those that still run at its end are killed,
    and none of them may have died of a sanitizer's finding."""
    processes = []
    yield processes
    for process in processes:
        if process.alive():
            process.kill()
    for process in processes:
        log = process.log()
        assert "Sanitizer" not in log and "runtime error:" not in log, log[-5000:]


@pytest.fixture(params=["embedded", "real", "rabbitmq"])
def setup(request, tmp_path):
    """The set-ups of the product: (broker, ledger, backend) URLs in a namespace, with
    the servers behind them where there are any."""

    class Setup:
        name = request.param

    if request.param == "embedded":
        (tmp_path / "results").mkdir()
        Setup.broker = f"filesystem://{tmp_path}/spool"
        Setup.ledger = f"sqlite:///{tmp_path}/ledger.db"
        Setup.backend = f"file://{tmp_path}/results"
        Setup.redis = Setup.postgres = Setup.rabbitmq = None
    else:
        redis = request.getfixturevalue("redis")
        postgres = request.getfixturevalue("postgres_server")
        Setup.rabbitmq = None
        Setup.broker = redis.url(0)
        if request.param == "rabbitmq":
            Setup.rabbitmq = request.getfixturevalue("rabbitmq")
            Setup.broker = Setup.rabbitmq.url
        Setup.backend = redis.url(1)
        Setup.database = postgres.new_database()
        Setup.ledger = postgres.url(Setup.database)
        Setup.redis, Setup.postgres = redis, postgres
    Setup.folder = tmp_path
    return Setup
