# SPDX-License-Identifier: MIT
"""Tests of what runs the product. They share the system tests' servers."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
import stack  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "nightly: takes minutes; scripts/test.sh nightly")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = harness.Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


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
    for process in reversed(processes):
        if process.alive():
            process.kill()
    for process in processes:
        log = process.log()
        assert "Sanitizer" not in log and "runtime error:" not in log, log[-5000:]


@pytest.fixture(scope="session")
def system(redis_server, postgres_server, tmp_path_factory):
    """API, worker, node exporter and a Prometheus that scrapes them."""
    running = stack.System(tmp_path_factory.mktemp("system"), redis_server, postgres_server)
    try:
        running.start()
        running.work()
        yield running
    finally:
        running.stop()
