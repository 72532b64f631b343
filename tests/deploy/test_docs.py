# SPDX-License-Identifier: MIT
"""What the documents say is true: their commands run, links lead somewhere, queries
parse and name metrics that exist, the path map's paths are there.

A block of commands is run as it stands unless a comment above it says otherwise:
`<!-- needs: cluster -->`, `docker` or `time` for what no test here can run (its
syntax, its files and its programs' names are looked at all the same), and
`<!-- tested-by: FILE -->` for what another test runs."""
import concurrent.futures
import hashlib
import hmac
import json
import pathlib
import re
import subprocess
import urllib.parse
import uuid

import pytest
import yaml

import harness

ROOT = harness.ROOT
DOCUMENTS = ["docs/runbook_prod_rollout.md", "docs/troubleshooting.md", "docs/from-the-python-rollout.md",
             "PERFORMANCE_ROLLOUT_SUMMARY.md", "CONTRIBUTING.md", "SECURITY.md"]
NEEDS = {"cluster", "docker", "time"}
BLOCK = re.compile(r"^((?:<!--[^\n]*-->\n)*)```(\w*)\n(.*?)^```$", re.M | re.S)
# Made by other parts of the tree; a document may name them before they are there.
PARTS = ("compose", "k8s", "prometheus")


class Block:
    def __init__(self, document, match):
        self.document, self.language, self.text = document, match[2], match[3]
        self.line = document_text(document)[:match.start()].count("\n") + 1
        marks = dict(re.findall(r"<!-- ([a-z-]+): (\S+) -->", match[1]))
        self.needs, self.tested_by = marks.get("needs"), marks.get("tested-by")

    def __repr__(self):
        return f"{self.document}:{self.line}"


def document_text(name):
    return (ROOT / name).read_text()


def blocks(language, documents=DOCUMENTS):
    return [b for name in documents for b in
            (Block(name, m) for m in BLOCK.finditer(document_text(name))) if b.language == language]


def absent_part(path):
    """Whether a path belongs to a part of the tree that is not here at all."""
    first = pathlib.Path(path).parts[0]
    return first in PARTS and not (ROOT / first).exists()


def missing_files(text):
    """The repository's files that commands name and that are not there."""
    words = re.findall(r"(?:\./)?((?:k8s|compose|prometheus|scripts|k6|tests|docs|debian)/[\w./*-]+)", text)
    missing = []
    for word in words:
        word = word.rstrip(".")
        # Made by a command before, or by the person.
        if word.endswith(".bak") or absent_part(word):
            continue
        if not list(ROOT.glob(word.rstrip("/"))):
            missing.append(word)
    return missing


@pytest.mark.parametrize("block", blocks("sh"), ids=repr)
def test_a_block_of_commands_is_sound(block):
    assert block.needs in NEEDS | {None}
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    missing = [m for m in missing_files(block.text) if not m.startswith("scripts/smoke_and_checks")
               or (ROOT / "compose").exists()]
    assert not missing, missing
    if block.tested_by:
        test = document_text(block.tested_by)
        scripts = re.findall(r"scripts/([\w.-]+)", block.text)
        assert scripts and all(name in test for name in scripts)


def test_unsound_blocks_are_found():
    assert subprocess.run(["bash", "-n"], input="if true; the\n", text=True,
                          stderr=subprocess.DEVNULL).returncode != 0
    assert missing_files("run scripts/nothing.sh now, and scripts/test.sh") == ["scripts/nothing.sh"]


def runnable():
    return [b for b in blocks("sh") if not b.needs and not b.tested_by]


def write_mapping(path, tx_hash):
    path.write_text(json.dumps({"sources": [{
        "name": "exchange", "signature": {"scheme": "hmac", "header": "X-Signature"}, "chains": ["bep20"],
        "secrets_env": "EXCHANGE_KEY", "fields": {"tx_hash": tx_hash, "amount": "/amount"}}]}))


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory):
    """The programs on real servers, and the variables that the documents name."""
    folder = tmp_path_factory.mktemp("docs")
    redis, postgres = harness.Redis(folder), harness.Postgres(folder)
    database = postgres.new_database()
    ledger, metrics = postgres.url(database), harness.free_port()
    mapping = folder / "sources.json"
    write_mapping(mapping, "/hash")
    sources = {"WEBHOOK_SOURCES_FILE": mapping, "EXCHANGE_KEY": "exchange-key"}
    api = harness.Api(folder, ledger, redis.url(1), CELERY_RESULT_BACKEND=redis.url(2), **sources)
    worker = harness.Worker(folder, ledger, redis.url(1), backend=redis.url(2),
                            METRICS_PORT=metrics).ready()
    user = api.register()
    assert api.webhook(harness.deposit_body(user))[0] == 202
    harness.wait_for(lambda: harness.states(ledger)["credited"] == 1, "a deposit is credited")
    api.get("/api/v1/transactions")
    # A deposit that waits for a human, and a webhook that a better mapping understands.
    first = harness.deposit_body(str(uuid.uuid4()))
    conflict = [api.webhook({**first, "log_index": n})[1] for n in (1, 2)][1]
    assert conflict["state"] == "conflict"
    refused = api.webhook({"txid": "0xrenamed", "amount": "1"}, chain="exchange", secret="exchange-key")[1]
    write_mapping(mapping, ["/hash", "/txid"])
    (folder / "embedded").mkdir()
    embedded = harness.Api(folder / "embedded", f"sqlite:///{folder}/embedded/ledger.db",
                           f"filesystem://{folder}/embedded/spool")
    embedded.webhook({"amount": "1"})
    url = f"http://{harness.LOOPBACK}:{api.port}"
    env = harness.plain_env(
        DATABASE_URL=ledger, CELERY_BROKER_URL=redis.url(1), API=url, STAGING_HOST=url,
        WORKER=f"http://{harness.LOOPBACK}:{metrics}", API_TOKEN=harness.TOKEN,
        WEBHOOK_SECRET=harness.SECRET, TX_ID=conflict["tx_id"], INBOX_ID=refused["inbox_id"],
        API_PID=api.process.pid, LEDGER=folder / "embedded/ledger.db", **sources)
    env["PATH"] = f"{harness.BUILD / 'api'}:{harness.BUILD / 'worker'}:{env['PATH']}"
    yield env
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda process: process.stop(), (api, worker, embedded)))
    for process in (redis, postgres):
        process.stop()


@pytest.mark.parametrize("block", runnable(), ids=repr)
def test_a_block_of_commands_runs(block, surroundings, tmp_path):
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], env=surroundings,
                          cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    if "--replay" in block.text:
        assert done.stdout.splitlines()[-1] == "1 replayed, 0 still refused"
    if "FROM inbox WHERE outcome" in block.text:
        assert "missing tx_hash or amount" in done.stdout.split("(1 row)")[1], "the same of SQLite"
    if "--check-ledger" in block.text:
        assert done.stdout.splitlines()[-1] == "1 deposits credited, 0 lost"


def test_a_wrong_command_would_fail(surroundings, tmp_path):
    for text in ('curl -fsS "$API/no-such-route"', 'psql "$DATABASE_URL" -c "SELECT none FROM nothing"',
                 "cricalgo-worker --check-ledgers"):
        assert subprocess.run(["bash", "-euo", "pipefail", "-c", text], env=surroundings, cwd=tmp_path,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0


def test_the_inventory_is_complete():
    """Every item that the Python rollout's users were promised has its section."""
    text = document_text("docs/troubleshooting.md")
    assert re.findall(r"^### (\d+)\.", text, re.M) == [str(n) for n in range(1, 22)]
    assert text.index("### 16.") < text.index("## Webhooks") < text.index("### 17.")
    for section in re.split(r"^### ", text, flags=re.M)[1:]:
        assert "Good:" in section and "```" in section, section[:60]
    runbook = document_text("docs/runbook_prod_rollout.md")
    for who in ("@ops-oncall", "@backend-lead", "@db-admin", "@devops-lead"):
        assert who in runbook


def test_what_the_guide_says_of_the_api(surroundings):
    """docs/from-the-python-rollout.md, row by row where a request can tell."""
    api = harness.Api.__new__(harness.Api)
    api.port = int(surroundings["API"].rsplit(":", 1)[1])
    token = {"Authorization": "Bearer " + harness.TOKEN}

    def post(path, body, **headers):
        return api.request("POST", path, body, {"Content-Type": "application/json", **headers})

    # Routes.
    for path in ("/api/v1/health", "/health", "/healthz"):
        assert api.request("GET", path)[:2] == (200, {"status": "ok"})
    assert api.request("GET", "/api/v1/webhooks/health")[0] == 200
    for path in ("/api/v1/login", "/api/v1/withdraw", "/api/v1/refresh"):
        assert post(path, "{}", **token)[0] in (404, 405)
    assert api.request("GET", "/api/v1/transactions")[0] in (401, 403)
    assert not [h for h in api.request("GET", "/api/v1/health", headers={"Origin": "http://x"})[2]
                if h.lower().startswith("access-control")]
    # The webhook.
    body = harness.deposit_body(api.register(), amount="12.50", reason="x", timestamp="y")
    status, first, _ = api.webhook(body)
    assert status == 202 and first["ok"] is True
    assert api.webhook(body)[1]["tx_id"] == first["tx_id"]
    for name in ("X-Hub-Signature-256", "X-Webhook-Signature"):
        raw = json.dumps(body).encode()
        signature = hmac.new(harness.SECRET.encode(), raw, hashlib.sha256).hexdigest()
        assert post("/api/v1/webhook/bep20", raw, **{name: "sha256=" + signature})[0] == 202
    assert post("/api/v1/webhooks/bep20", json.dumps(body))[0] == 401
    assert api.webhook(b"{not json")[0] == 400
    status, answer, _ = api.webhook({"amount": "1"})
    assert status == 400 and answer["error"] == "missing tx_hash or amount"
    assert api.webhook({**body, "tx_hash": "0xg", "amount": "-1"})[0] == 422
    del body["user_id"]
    status, answer, _ = api.webhook({**body, "tx_hash": "no-user"})
    assert status == 202
    harness.wait_for(lambda: api.get(f"/api/v1/transactions/{answer['tx_id']}")[1]["state"] == "unmatched",
                     "a deposit without a user is unmatched")
    assert api.webhook({**body, "tx_hash": "no-confirmations", "confirmations": 0})[1]["state"] in (
        "received", "awaiting_confirmations")
    # Register.
    for number, path in enumerate(("/api/v1/auth/register", "/api/v1/register")):
        user = json.dumps({"username": f"guide-{number}", "password": "long enough"})
        status, answer, _ = post(path, user)
        assert status == 201 and set(answer) & {"access_token", "refresh_token"} == set(), answer
        status, again, _ = post(path, user)
        assert status == 409 and "user_id" not in again
        status, again, _ = post(path, user, **token)
        assert status == 409 and again["user_id"] == answer["user_id"]


def test_what_the_guide_says_of_the_settings(surroundings):
    old = {"JWT_SECRET_KEY": "x", "SECRET_KEY": "x", "SENTRY_DSN": "x", "API_V1_PREFIX": "/x",
           "RATE_LIMIT_REQUESTS": "30", "ENABLE_TEST_TOTP_BYPASS": "false", "ENABLE_TEST_CONTEST_SEED": "false",
           "ENABLE_DEBUG_ENDPOINT": "false", "PLATFORM_COMMISSION_PCT": "5",
           "DATABASE_URL": surroundings["DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:")}
    for program in (["cricalgo-api"], ["cricalgo-worker", "-A", "app.celery_app.celery", "worker", "--loglevel=info",
                                       "--concurrency=8"]):
        done = subprocess.run([*program, "--check-config"], env=surroundings | old, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout


# --- PromQL -------------------------------------------------------------------

def queries():
    return [(b, line) for b in blocks("promql") for line in b.text.splitlines() if line]


def promtool(folder, expressions):
    rules = [{"record": f"r:{i}", "expr": e} for i, e in enumerate(expressions)]
    file = folder / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "docs", "rules": rules}]}))
    return subprocess.run(["promtool", "check", "rules", file], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


def test_queries_parse(tmp_path):
    found = queries()
    assert len(found) > 20
    for block, line in found:
        done = promtool(tmp_path, [line])
        assert done.returncode == 0, f"{block}: {line}\n{done.stdout}"
    assert promtool(tmp_path, ["sum(rate(x[5m])"]).returncode != 0


def names_of(expression):
    """The metrics that an expression reads."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring) *\([^)]*\)", " ", expression)
    words = set(re.findall(r"[A-Za-z_:][A-Za-z0-9_:]*(?! *\()\b", bare))
    return {w for w in words if not re.search(rf"\b{w} *\(", bare)} - {"or", "and", "bool"}


def test_queries_read_metrics_that_exist(surroundings):
    exported = set()
    for address in (surroundings["API"], surroundings["WORKER"]):
        text = subprocess.run(["curl", "-fsS", f"{address}/metrics"], stdout=subprocess.PIPE,
                              text=True, check=True).stdout
        exported |= set(re.findall(r"^([a-z_]+)[{ ]", text, re.M))
        for name, kind in re.findall(r"^# TYPE ([a-z_]+) (\w+)", text, re.M):
            parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            exported |= {name + part for part in parts}
    wanted = set()
    for block, line in queries():
        names = {n for n in names_of(line) if not n.startswith("node_")} - {"ALERTS"}
        assert names <= exported, f"{block}: {names - exported}"
        wanted |= names
    assert len(wanted) > 12
    assert names_of("a_b / on(x) c{d='e'}[5m]") == {"a_b", "c"}


# --- links and paths -------------------------------------------------------------

def anchors(path):
    found = set()
    for line in re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.S), re.M):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", line).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def broken_links(file):
    text = re.sub(r"^```.*?^```$", "", file.read_text(), flags=re.M | re.S)
    text = re.sub(r"`[^`\n]*`", "", text)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        url = urllib.parse.urlsplit(target)
        if url.scheme:
            continue
        path = (file.parent / url.path).resolve() if url.path else file
        if not path.exists() or (url.fragment and path.suffix == ".md"
                                 and url.fragment not in anchors(path)):
            if not (path.is_relative_to(ROOT) and absent_part(path.relative_to(ROOT))):
                broken.append(target)
    return broken


def markdown():
    done = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
                          cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [ROOT / name for name in done.stdout.split()]


def test_links_resolve():
    files = markdown()
    assert len(files) >= 10
    broken = {str(f.relative_to(ROOT)): broken_links(f) for f in files}
    assert not any(broken.values()), {k: v for k, v in broken.items() if v}


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "b.md").write_text("# A title, `code`\n")
    (tmp_path / "a.md").write_text("# Here\n[a](b.md#a-title-code) [b](#here) [c](none.md) [d](b.md#no) [e](#no)\n")
    assert broken_links(tmp_path / "a.md") == ["none.md", "b.md#no", "#no"]


def path_map():
    text = document_text("docs/from-the-python-rollout.md")
    table = text[text.index("## Where things are"):text.index("## Routes")]
    return [path for row in re.findall(r"^\| .* \| (.*) \|$", table, re.M)
            for path in re.findall(r"`([\w./-]+/[\w./-]*|[\w-]+\.md)`", row)]


def test_the_path_map():
    paths = path_map()
    assert len(paths) > 25
    for path in paths:
        if absent_part(path) or (path.startswith("scripts/smoke") and not (ROOT / "compose").exists()):
            continue
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", ["PERFORMANCE_ROLLOUT_SUMMARY.md", "SECURITY.md"])
def test_paths_in_tables(document):
    for row in re.findall(r"^\|.*\|$", document_text(document), re.M):
        for path in re.findall(r"`((?:\w+/)+[\w.-]*)`", row):
            if not absent_part(path) and not path.startswith("scripts/smoke"):
                assert (ROOT / path).exists(), path


def test_the_reasons_of_a_refusal_are_explained():
    """Each reason that the log gives for a webhook_refused has its line."""
    text = document_text("docs/troubleshooting.md")
    told = set(re.findall(r"(?m)^\| `(\w+)` \(40\d\) \|", text))
    code = document_text("api/handlers/webhooks.c")
    given = set(re.findall(r'LOG_STR\("reason", "(\w+)"\)', code))
    given |= set(re.findall(r'[?:] "(\w+)"', code[code.index("char *reason = "):].split(";")[0]))
    assert told == given


def named_tests(text):
    """[(threat, [file::test])] of SECURITY.md's table."""
    table = text[text.index("| against | by | tested in |"):text.index("## What is not defended")]
    rows = [row.strip("|").split(" | ") for row in re.findall(r"(?m)^\|.*\|$", table)[2:]]
    return [(row[0].strip(), re.findall(r"`(tests/[\w./]+::\w+)`", row[-1])) for row in rows]


def test_every_threat_names_its_test():
    rows = named_tests(document_text("SECURITY.md"))
    assert len(rows) > 25
    for threat, named in rows:
        assert named, f"no test of: {threat}"
        for test in named:
            path, _, name = test.partition("::")
            defined = rf"START_TEST\({name}\)|static void {name}\(void\)" if path.endswith(".c") else rf"(?m)^ *def {name}\("
            assert re.search(defined, document_text(path)), test


def test_the_summary_has_the_measured_figures():
    measured = dict(re.findall(r"^\| (\w+) \| ([\d.]+ \| [\d.]+) \|", document_text("docs/benchmarks.md"), re.M))
    rows = re.findall(r"`(\w+)` \| ([\d.]+ \| [\d.]+) \|", document_text("PERFORMANCE_ROLLOUT_SUMMARY.md"))
    assert len(rows) >= 5
    for figure, numbers in rows:
        assert measured[figure] == numbers, figure


def test_no_host_of_a_registry_and_no_path_of_a_machine():
    for name in DOCUMENTS:
        text = document_text(name)
        assert not re.search(r"pypi\.org|npmjs|docker\.io|ghcr\.io|proxy\.golang|/home/|/root/", text), name
