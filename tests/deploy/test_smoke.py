# SPDX-License-Identifier: MIT
"""scripts/smoke_and_checks.sh: its checks, variables, artifacts and exit codes,
on the real programs and on one that answers wrong."""
import http.server
import json
import os
import re
import shutil
import subprocess
import threading

import pytest

import harness
from harness import LOOPBACK, ROOT, SECRET, TOKEN, free_port

SCRIPT = ROOT / "scripts/smoke_and_checks.sh"
CHECKS = ["health", "register", "webhook", "processing", "transactions", "metrics"]
ARTIFACTS = {"health.json", "register_resp.json", "webhook_resp.json", "transaction.json",
             "transactions.json", "metrics.txt"}


def smoke(folder, port, path=None, cwd=None, **variables):
    """(exit status, output, artifacts' folder)"""
    artifacts = folder / f"artifacts-{len(list(folder.iterdir()))}"
    env = {"PATH": path or os.environ["PATH"], "STAGING_HOST": f"http://{LOOPBACK}:{port}",
           "ARTIFACT_DIR": str(artifacts), "SMOKE_TIMEOUT": "20", **variables}
    done = subprocess.run(["bash", str(SCRIPT)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env={k: v for k, v in env.items() if v is not None}, cwd=cwd)
    return done.returncode, done.stdout, artifacts


def test_the_script_is_clean():
    subprocess.run(["shellcheck", SCRIPT], check=True)
    subprocess.run(["shfmt", "-i", "2", "-ci", "-d", SCRIPT], check=True)


def test_the_checks_in_their_order():
    text = SCRIPT.read_text()
    assert re.findall(r"(?m)^check_(\w+)\(\)", text) == CHECKS
    assert re.findall(r"(?m)^check_(\w+)$", text) == CHECKS
    assert set(re.findall(r"exit (\d)", text)) == {"2", "3", "4"}


def test_all_is_well(system, tmp_path):
    status, text, artifacts = smoke(tmp_path, system.api.port, WEBHOOK_SECRET=SECRET + ",older",
                                    API_TOKEN=TOKEN)
    assert status == 0 and "Smoke test passed, 0 warnings" in text, text
    written = {path.name for path in artifacts.iterdir() if path.stat().st_size > 0}
    assert written == ARTIFACTS
    for name in ARTIFACTS - {"metrics.txt"}:
        json.loads((artifacts / name).read_text())
    deposit = json.loads((artifacts / "transaction.json").read_text())
    assert deposit["state"] == "credited" and deposit["amount"] == "0.001"
    assert re.search(r"\d+ lines with http_requests_total", text)
    # The second run meets its user again and sends another deposit.
    status, text, again = smoke(tmp_path, system.api.port, WEBHOOK_SECRET=SECRET, API_TOKEN=TOKEN)
    assert status == 0 and "409" in text, text
    assert json.loads((again / "transaction.json").read_text())["tx_id"] != deposit["tx_id"]


def test_it_works_without_jq(system, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash curl sed head od tr date mkdir grep cut sha256sum cat sleep").split():
        (tools / name).symlink_to(shutil.which(name))
    status, text, _ = smoke(tmp_path, system.api.port, path=str(tools), WEBHOOK_SECRET=SECRET,
                            API_TOKEN=TOKEN)
    assert status == 0 and "0 warnings" in text, text


def test_without_a_token_the_credit_is_not_checked(system, tmp_path):
    status, text, _ = smoke(tmp_path, system.api.port, WEBHOOK_SECRET=SECRET)
    assert status == 0 and "2 warnings" in text and "API_TOKEN" in text, text


def test_no_server_is_2(tmp_path):
    status, text, _ = smoke(tmp_path, free_port())
    assert status == 2 and "FAILED: GET /api/v1/health answered 000" in text, text


@pytest.mark.parametrize("secret", ["wrong", None])
def test_a_refused_webhook_is_3(system, tmp_path, secret):
    status, text, artifacts = smoke(tmp_path, system.api.port, WEBHOOK_SECRET=secret,
                                    API_TOKEN=TOKEN)
    assert status == 3 and "answered 401" in text, text
    assert json.loads((artifacts / "webhook_resp.json").read_text())["ok"] is False


def test_a_deposit_that_nobody_credits_is_4(tmp_path, started):
    api = harness.Api(tmp_path, f"sqlite:///{tmp_path}/l.db", f"filesystem://{tmp_path}/spool")
    started.append(api.process)
    status, text, _ = smoke(tmp_path, api.port, WEBHOOK_SECRET=SECRET, API_TOKEN=TOKEN,
                            SMOKE_TIMEOUT="1")
    assert status == 4 and "is 'received'" in text, text


def test_the_secret_stands_in_no_command_line(tmp_path, system):
    """curl and the rest get it by pipe or environment."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("curl", "sha256sum", "od", "sed"):
        (tools / name).write_text(f'#!/bin/bash\necho "$0 $*" >>{tmp_path}/argv\n'
                                  f'exec {shutil.which(name)} "$@"\n')
        (tools / name).chmod(0o755)
    status, text, _ = smoke(tmp_path, system.api.port, path=f"{tools}:{os.environ['PATH']}",
                            WEBHOOK_SECRET=SECRET, API_TOKEN=TOKEN)
    assert status == 0, text
    argv = (tmp_path / "argv").read_text()
    assert "api/v1/webhooks" in argv and SECRET not in argv and TOKEN not in argv
    assert SECRET.encode().hex() not in argv


class Wrong(http.server.BaseHTTPRequestHandler):
    """Healthy, takes the webhook, and fails at everything that only warns."""

    def answer(self, status, body):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/api/v1/health":
            self.answer(200, b'{"status":"ok"}')
        elif self.path.startswith("/api/v1/transactions/"):
            self.answer(200, b'{"tx_id":"x","state":"unmatched"}')
        else:
            self.answer(500, b"no")

    def do_POST(self):
        if "webhooks" in self.path:
            self.answer(202, b'{"ok":true,"tx_id":"x"}')
        else:
            self.answer(500, b"no")

    def log_message(self, *_):
        pass


def test_the_rest_only_warns(tmp_path):
    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Wrong)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        status, text, _ = smoke(tmp_path, server.server_port)
    finally:
        server.shutdown()
    assert status == 0 and "4 warnings" in text, text


def test_the_defaults(tmp_path):
    """The original's: localhost:8000, artifacts/smoke_<UTC>."""
    text = SCRIPT.read_text()
    assert "${STAGING_HOST:-http://localhost:8000}" in text
    _, text, _ = smoke(tmp_path, free_port(), cwd=tmp_path, ARTIFACT_DIR=None)
    assert re.search(r"Artifacts in artifacts/smoke_\d{8}T\d{6}Z:", text), text
