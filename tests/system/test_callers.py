# SPDX-License-Identifier: MIT
"""Who may call what: tokens and their scopes, callers on this machine, and what SIGHUP
reads again. Against the running API."""

import json
import re
import signal
import subprocess
import uuid

import pytest

import harness

JSON = {"Content-Type": "application/json"}
TOKENS = "reader:read:token-of-reader, sender:tasks:token-of-sender,clerk:users:token-of-clerk"
READ = "/api/v1/transactions"
REGISTER = "/api/v1/auth/register"


def bearer(token):
    return {"Authorization": "Bearer " + token}


def api_with(tmp_path, started, **settings):
    api = harness.Api(tmp_path, f"sqlite:///{tmp_path}/l.db", f"filesystem://{tmp_path}/spool",
                      **settings)
    started.append(api.process)
    return api


def status_of(api, token, method="GET", path=READ, body=None):
    return api.request(method, path, body, {**JSON, **bearer(token)})[0]


def test_a_token_opens_what_its_scopes_say(tmp_path, started):
    api = api_with(tmp_path, started, API_TOKEN=TOKENS, API_TASKS_ALLOWED="app.add",
                   CELERY_RESULT_BACKEND=f"file://{tmp_path}/results")
    task = str(uuid.uuid4())
    for method, path, scope in (("GET", READ, "reader"), ("GET", f"{READ}/{task}", "reader"),
                                ("GET", f"/api/v1/wallets/{task}", "reader"),
                                ("POST", "/api/v1/tasks/app.add", "sender"),
                                ("GET", f"/api/v1/tasks/{task}", "sender")):
        body = "{}" if method == "POST" else None
        for name in ("reader", "sender", "clerk"):
            status, answer, headers = api.request(method, path, body,
                                                  {**JSON, **bearer("token-of-" + name)})
            if name == scope:
                assert status in (200, 202) or answer["code"] == "not_found", (path, answer)
            else:
                assert (status, answer["code"]) == (403, "scope"), (path, name)
                assert 'error="insufficient_scope"' in headers["WWW-Authenticate"]
        status, answer, headers = api.request(method, path, body, JSON)
        assert (status, answer["code"]) == (401, "unauthorized")
        assert headers["WWW-Authenticate"] == "Bearer"


def test_a_choice_of_user_id_needs_the_scope(tmp_path, started):
    api = api_with(tmp_path, started, API_TOKEN=TOKENS)
    user = str(uuid.uuid4())
    document = json.dumps({"username": "chosen", "user_id": user})
    for headers in ({}, bearer("token-of-reader"), bearer("wrong-token")):
        status, answer, _ = api.request("POST", REGISTER, document, {**JSON, **headers})
        assert (status, answer["code"], answer["field"]) == (403, "scope", "user_id")
    status, answer, _ = api.request("POST", REGISTER, document, {**JSON, **bearer("token-of-clerk")})
    assert (status, answer["user_id"]) == (201, user)
    event = api.process.events("user_id_chosen")[0]
    assert (event["user_id"], event["caller"]) == (user, "clerk")


def test_whose_a_name_is_is_not_for_strangers(tmp_path, started):
    api = api_with(tmp_path, started, API_TOKEN=TOKENS)
    alice = api.request("POST", REGISTER, json.dumps({"username": "alice", "telegram_id": 11}),
                        JSON)[1]["user_id"]
    for document in ({"username": "alice"}, {"username": "zzz", "telegram_id": 11}):
        for headers in ({}, bearer("token-of-reader"), bearer("wrong-token")):
            status, answer, _ = api.request("POST", REGISTER, json.dumps(document),
                                            {**JSON, **headers})
            assert (status, answer["code"], answer["ok"]) == (409, "user_taken", False)
            assert alice not in json.dumps(answer) and "user_id" not in answer
        status, answer, _ = api.request("POST", REGISTER, json.dumps(document),
                                        {**JSON, **bearer("token-of-clerk")})
        assert (status, answer["user_id"]) == (409, alice)


def test_a_log_tells_the_name_and_never_the_token(tmp_path, started):
    api = api_with(tmp_path, started, API_TOKEN="plain-token\n" + TOKENS.replace(", ", "\n"),
                   API_TASKS_ALLOWED="app.add")
    for token, name in (("plain-token", "token1"), ("token-of-sender", "sender")):
        status, answer, _ = api.request("POST", "/api/v1/tasks/app.add", "{}",
                                        {**JSON, **bearer(token)})
        assert status == 202
        event = [e for e in api.process.events("task_sent") if e["task_id"] == answer["task_id"]]
        assert (event[0]["caller"], event[0]["task"]) == (name, "app.add")
    assert "plain-token" not in api.process.log() and "token-of" not in api.process.log()


@pytest.mark.parametrize("tokens, words", [
    (",", "holds no token"), (" ", "holds no token"), ("\n", "holds no token"),
    ("hidden7", "8 to 512"), ("ops:raed:hidden-token", "NAME:SCOPE+SCOPE:TOKEN"),
    ("hidden-token,hidden-token", "not there twice"), ("a:b", "NAME:SCOPE")])
def test_wrong_tokens_are_refused_at_start(tmp_path, tokens, words):
    for arguments in (["--check-config"], []):
        done = subprocess.run(
            [harness.API, *arguments], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=20, cwd=tmp_path,
            env=harness.plain_env(DATABASE_URL=f"sqlite:///{tmp_path}/l.db", API_TOKEN=tokens,
                                  WEBHOOK_SECRET=harness.SECRET, PORT=0,
                                  CELERY_BROKER_URL=f"filesystem://{tmp_path}/spool"))
        assert done.returncode == 2, done.stdout
        assert "API_TOKEN" in done.stdout and words in done.stdout and "accepted" in done.stdout
        assert "hidden" not in done.stdout


def test_without_a_token_only_this_machine_itself_is_answered(tmp_path, started):
    api = api_with(tmp_path, started, API_TOKEN=None)
    here = f"{harness.LOOPBACK}:{api.port}"

    def ask(**headers):
        names = {k.replace("_", "-"): v for k, v in headers.items()}
        status, answer, _ = api.request("GET", READ, headers=names)
        if status == 403:
            assert answer["code"] == "local_only"
        return status

    assert ask() == 200
    for host in (here, harness.LOOPBACK, "localhost", f"LOCALHOST:{api.port}", "[::1]:8000"):
        assert ask(Host=host) == 200, host
    for host in ("evil.example", f"{harness.LOOPBACK}.evil.example", "localhost.evil.example"):
        assert ask(Host=host) == 403, host
        assert ask(Host=host, Origin="http://evil.example") == 403
    assert ask(Origin=f"http://{here}") == 200
    for origin in ("http://evil.example", f"http://{harness.LOOPBACK}:1", f"https://{here}", "null"):
        assert ask(Origin=origin) == 403, origin
    for name in ("Forwarded", "Via", "X_Forwarded_For", "X_Forwarded_Host", "x_forwarded_proto",
                 "X_Real_IP", "CF_Connecting_IP", "CF_Ray", "True_Client_IP",
                 "X_Envoy_External_Address"):
        assert ask(**{name: harness.LOOPBACK}) == 403, name
    # The same holds for what only scopes allow, and for tasks.
    document = json.dumps({"username": "chosen", "user_id": str(uuid.uuid4())})
    assert api.request("POST", REGISTER, document, {**JSON, "Origin": "http://evil"})[0] == 403
    assert api.request("POST", REGISTER, document, JSON)[0] == 201
    assert api.request("POST", "/api/v1/tasks/x", "{}", {**JSON, "Host": "evil"})[1]["code"] \
        == "local_only"


# --- SIGHUP ------------------------------------------------------------------


def reload(api, event):
    before = len(api.process.events(event))
    api.process.child.send_signal(signal.SIGHUP)
    harness.wait_for(lambda: len(api.process.events(event)) > before, event)
    return api.process.events(event)[-1]


def figure(api, name):
    text = api.request("GET", "/metrics")[1]
    return float(re.search(rf"(?m)^{name} (\S+)$", text)[1])


def test_sighup_reads_tokens_and_secrets_again(tmp_path, started):
    tokens, secrets = tmp_path / "tokens", tmp_path / "secrets"
    tokens.write_text("first-token\n")
    secrets.write_text("first-secret\n")
    api = api_with(tmp_path, started, API_TOKEN=None, API_TOKEN_FILE=tokens,
                   WEBHOOK_SECRET=None, WEBHOOK_SECRET_FILE=secrets)

    def hook(secret):
        return api.webhook(harness.deposit_body(str(uuid.uuid4())), secret=secret)[0]

    assert status_of(api, "first-token") == 200 and status_of(api, "second-token") == 401
    assert hook("first-secret") == 202 and hook("second-secret") == 401
    tokens.write_text("ops:read:second-token\nother:read:third-token\n")
    secrets.write_text("second-secret\n")
    assert status_of(api, "second-token") == 401, "nothing is read without the signal"
    reload(api, "reloaded")
    assert status_of(api, "first-token") == 401
    assert status_of(api, "second-token") == 200 and status_of(api, "third-token") == 200
    assert hook("first-secret") == 401 and hook("second-secret") == 202


@pytest.mark.parametrize("name, bad", [
    ("API_TOKEN", "short\n"), ("API_TOKEN", ""), ("API_TOKEN", ",\n"), ("API_TOKEN", None),
    ("WEBHOOK_SECRET", "whsec_\n"), ("WEBHOOK_SECRET", ""), ("WEBHOOK_SECRET", ",")])
def test_wrong_secrets_leave_the_old_in_force(tmp_path, started, name, bad):
    files = {"API_TOKEN": tmp_path / "tokens", "WEBHOOK_SECRET": tmp_path / "secrets"}
    files["API_TOKEN"].write_text("first-token\n")
    files["WEBHOOK_SECRET"].write_text("first-secret\n")
    api = api_with(tmp_path, started, API_TOKEN=None, API_TOKEN_FILE=files["API_TOKEN"],
                   WEBHOOK_SECRET=None, WEBHOOK_SECRET_FILE=files["WEBHOOK_SECRET"])
    # The other file's good news does not come into force alone.
    files["API_TOKEN"].write_text("second-token\n")
    files["WEBHOOK_SECRET"].write_text("second-secret\n")
    if bad is None:
        files[name].unlink()
    else:
        files[name].write_text(bad)
    began = figure(api, "config_last_reload_success_timestamp_seconds")
    assert figure(api, "config_last_reload_successful") == 1
    event = reload(api, "reload_failed")
    assert name in event["error"] and "second" not in api.process.log()
    assert figure(api, "config_last_reload_successful") == 0
    assert figure(api, "config_last_reload_success_timestamp_seconds") == began
    assert status_of(api, "first-token") == 200 and status_of(api, "second-token") == 401
    assert api.webhook(harness.deposit_body(str(uuid.uuid4())), secret="first-secret")[0] == 202
    files["API_TOKEN"].write_text("third-token\n")
    files["WEBHOOK_SECRET"].write_text("third-secret\n")
    reload(api, "reloaded")
    assert figure(api, "config_last_reload_successful") == 1
    assert figure(api, "config_last_reload_success_timestamp_seconds") > began
    assert status_of(api, "first-token") == 401 and status_of(api, "third-token") == 200


def test_no_request_is_lost_while_tokens_change(tmp_path, started):
    """A token that is in both files works throughout."""
    tokens = tmp_path / "tokens"
    tokens.write_text("constant-token,other-token-0\n")
    api = api_with(tmp_path, started, API_TOKEN=None, API_TOKEN_FILE=tokens)
    for turn in range(1, 20):
        tokens.write_text(f"other-token-{turn}\nconstant-token\n")
        api.process.child.send_signal(signal.SIGHUP)
        for _ in range(5):
            assert status_of(api, "constant-token") == 200
    harness.wait_for(lambda: status_of(api, "other-token-19") == 200, "the last token is in force")
    assert status_of(api, "other-token-0") == 401
