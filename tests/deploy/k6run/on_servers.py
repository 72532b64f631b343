#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a load test against one API and one worker on a PostgreSQL and a Redis of
their own, all on loopback, then lets the ledger check itself.

    CRICALGO_BUILD=build-release tests/deploy/k6run/on_servers.py k6/webhook_test.js

What follows the script's name goes to the runner. Ends with the runner's status."""
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "system"))
import harness  # noqa: E402


def main():
    script, *options = sys.argv[1:]
    # The postgres user must reach its own folder.
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        redis, postgres = harness.Redis(folder), harness.Postgres(folder)
        ledger = postgres.url(postgres.new_database())
        api = harness.Api(folder, ledger, redis.url(1), HTTP_THREADS=200)
        worker = harness.Worker(folder, ledger, redis.url(1), backend=redis.url(2)).ready()
        pathlib.Path("artifacts").mkdir(exist_ok=True)
        env = harness.plain_env(
            STAGING_HOST=f"http://{harness.LOOPBACK}:{api.port}", WEBHOOK_SECRET=harness.SECRET,
            API_TOKEN=harness.TOKEN)
        status = subprocess.run(["node", HERE / "k6run.mjs", "run", *options, script], env=env).returncode
        balanced, report = harness.check_ledger(ledger)
        print(report, end="")
        for process in (api, worker, redis, postgres):
            process.stop()
    return status or balanced


sys.exit(main())
