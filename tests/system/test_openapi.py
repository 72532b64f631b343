# SPDX-License-Identifier: MIT
"""openapi.json says what the server does: schemathesis sends what the document allows and
what it forbids, and compares every answer with it.

T_OPENAPI_EXAMPLES: how many requests of each kind an operation gets; T_SEED repeats."""

import json
import os
import pathlib
import re
import subprocess

import pytest

import harness

DOCUMENT = harness.ROOT / "api/web/openapi.json"
HOOKS = pathlib.Path(__file__).parent / "openapi"
EXAMPLES = os.environ.get("T_OPENAPI_EXAMPLES", "30")
SCHEMATHESIS = os.environ.get("CRICALGO_SCHEMATHESIS",
                              harness.ROOT / "build-venv/schemathesis/bin/schemathesis")


def compare(api, document, folder, *options):
    """(exit status, what schemathesis printed)"""
    if "CRICALGO_SCHEMATHESIS" not in os.environ and not pathlib.Path(SCHEMATHESIS).exists():
        pytest.skip("schemathesis is not installed; scripts/test.sh system does that")
    done = subprocess.run(
        [SCHEMATHESIS, "--config-file", HOOKS / "schemathesis.toml", "run", document,
         "--url", f"http://{harness.LOOPBACK}:{api.port}", "--continue-on-failure",
         "-H", "Authorization: Bearer " + harness.TOKEN, "-n", EXAMPLES,
         "--seed", os.environ.get("T_SEED", "1"), *options],
        env={**harness.plain_env(), "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
             "PYTHONPATH": str(HOOKS), "CRICALGO_SECRET": harness.SECRET, "NO_COLOR": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder)
    return done.returncode, done.stdout


@pytest.fixture(params=["sqlite", "postgres"])
def api(request, tmp_path, started):
    if request.param == "sqlite":
        ledger = f"sqlite:///{tmp_path}/l.db"
    else:
        server = request.getfixturevalue("postgres_server")
        ledger = server.url(server.new_database())
    api = harness.Api(tmp_path, ledger, f"filesystem://{tmp_path}/spool", API_TASKS_ALLOWED="*",
                      CELERY_RESULT_BACKEND=f"file://{tmp_path}/results")
    started.append(api.process)
    return api


def test_the_server_does_what_the_document_says(api, tmp_path):
    (tmp_path / "openapi.json").write_text(json.dumps(document()))
    status, text = compare(api, tmp_path / "openapi.json", tmp_path)
    assert status == 0, text[-20000:]
    assert re.search(r"Tested: (\d+)", text)[1] == str(len(operations(document())))
    generated = re.search(r"(\d+) generated", text)
    print(f"openapi: {generated[1]} requests")
    # Nothing of it was our fault or the database's.
    counted = [line for line in api.get("/metrics")[1].splitlines()
               if re.match(r'http_requests_total\{code="5', line)]
    assert counted == [], counted


@pytest.mark.parametrize("path, change, found", [
    ("Registration.username", {"type": "string", "minLength": 3, "maxLength": 48},
     "Schema-valid request rejected"),
    ("Webhook.amount", {"type": "string", "pattern": "^[0-9]e[0-9]$"}, "Schema-valid request rejected"),
    ("Registered.user_id", {"type": "integer"}, "Response violates schema"),
])
def test_a_difference_is_found(path, change, found, tmp_path, started):
    api = harness.Api(tmp_path, f"sqlite:///{tmp_path}/l.db", f"filesystem://{tmp_path}/spool")
    started.append(api.process)
    changed = document()
    schema, member = path.split(".")
    changed["components"]["schemas"][schema]["properties"][member] = change
    (tmp_path / "openapi.json").write_text(json.dumps(changed))
    status, text = compare(api, tmp_path / "openapi.json", tmp_path, "--include-path-regex",
                           "webhooks/.chain" if schema == "Webhook" else "/auth/register")
    assert status == 1 and found in text, text[-20000:]


def document():
    """With what it leaves to the settings: the chains."""
    described = json.loads(DOCUMENT.read_text())
    for path, item in described["paths"].items():
        if path.endswith("/{chain}"):
            item["parameters"][0]["schema"] = {"enum": ["bep20"]}
    return described


def operations(described):
    """Methods and paths, whatever the parts of the path are called."""
    return {(method.upper(), re.sub(r"\{\w+\}", "{}", path))
            for path, item in described["paths"].items() for method in item
            if method != "parameters"}


def test_every_route_is_described_and_no_other():
    routes = re.findall(r'\{"(GET|POST)",\s*"([^"]+)"', (harness.ROOT / "api/routes.c").read_text())
    assert len(routes) > 15
    assert operations(document()) == {(method, re.sub(r"\{\w+\}", "{}", path))
                                      for method, path in routes}


def test_every_refusal_is_described():
    """Each operation tells of what any can meet, guarded ones of the token's."""
    described = document()
    for path, item in described["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            codes = set(operation["responses"])
            assert {"400", "405", "431", "503"} <= codes, path
            if operation.get("security") == [{"token": []}]:
                assert {"401", "403"} <= codes, path
            if "requestBody" in operation:
                assert {"413", "415", "422"} <= codes, path
            assert "default" not in codes, "it would excuse everything"
