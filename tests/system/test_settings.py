# SPDX-License-Identifier: MIT
"""Wrong settings: each program ends with status 2 and a sentence that names the
variable, the value and what is accepted. Secrets never show."""

import subprocess

import pytest

import harness

WRONG = [
    # program, environment, arguments, what the sentence must hold
    (harness.API, {}, [], ["WEBHOOK_SECRET"]),
    (harness.API, {"WEBHOOK_SECRET": "whsec_"}, [], ["WEBHOOK_SECRET", "8 to 256"]),
    (harness.API, {"WEBHOOK_SECRET": "test-secret", "PORT": "http"}, [], ["PORT", "http", "0 to 65535"]),
    (harness.API, {"WEBHOOK_SECRET": "test-secret", "DATABASE_URL": "mysql://u:hidden@h/d"}, [],
     ["mysql", "postgresql"]),
    (harness.API, {"WEBHOOK_SECRET": "test-secret", "CONFIRMATION_THRESHOLD": "-1"}, [],
     ["CONFIRMATION_THRESHOLD", "-1"]),
    (harness.API, {"WEBHOOK_SECRET": "test-secret", "CELERY_BROKER_URL": "kafka://u:hidden@h"}, [],
     ["kafka", "redis://"]),
    (harness.WORKER, {"CELERY_BROKER_URL": "kafka://u:hidden@h"}, [], ["kafka", "redis://"]),
    (harness.WORKER, {"CELERY_WORKER_CONCURRENCY": "many"}, [],
     ["CELERY_WORKER_CONCURRENCY", "many", "1 to 1024"]),
    (harness.WORKER, {"CELERY_ACCEPT_CONTENT": '["pickle"]'}, [], ["pickle", "json"]),
    (harness.WORKER, {"CELERY_TASK_SERIALIZER": "msgpack"}, [],
     ["CELERY_TASK_SERIALIZER", "msgpack", "CELERY_ACCEPT_CONTENT"]),
    (harness.WORKER, {"CELERY_TASK_SERIALIZER": "pickle"}, [],
     ["CELERY_TASK_SERIALIZER", "pickle", "json|msgpack"]),
    (harness.WORKER, {"CELERY_TASK_PROTOCOL": "3"}, [],
     ["CELERY_TASK_PROTOCOL", "3", "1 to 2"]),
    (harness.WORKER, {}, ["-P", "gevent"], ["gevent", "threads"]),
    (harness.WORKER, {}, ["--no-such-option"], ["--no-such-option", "--help"]),
    (harness.WORKER, {"DATABASE_URL": "oracle://u:hidden@h/d"}, [], ["oracle", "postgresql"]),
    (harness.WORKER, {"CELERY_BROKER_TRANSPORT_OPTIONS": "{"}, [],
     ["CELERY_BROKER_TRANSPORT_OPTIONS", "JSON object"]),
    (harness.WORKER, {"CELERY_RESULT_BACKEND": "mongodb://u:hidden@h"}, [], ["mongodb", "redis://"]),
    (harness.CELERYC, {}, ["worker", "-A", "/nonexistent.so"], ["/nonexistent.so"]),
]


@pytest.mark.parametrize("program, env, arguments, words", WRONG,
                         ids=lambda v: v.name if hasattr(v, "name") else None)
def test_wrong_setting(tmp_path, program, env, arguments, words):
    env = {"DATABASE_URL": f"sqlite:///{tmp_path}/l.db",
           "CELERY_BROKER_URL": f"filesystem://{tmp_path}/spool", "METRICS_PORT": "0", **env}
    done = subprocess.run([program, *arguments], env=harness.plain_env(**env), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    assert done.returncode == 2, (done.returncode, done.stdout)
    for word in words:
        assert word in done.stdout, done.stdout
    assert "hidden" not in done.stdout


# A program, its arguments and the settings that it takes from files.
FROM_FILES = [
    (harness.API, ["--check-config"],
     ["DATABASE_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "WEBHOOK_SECRET", "API_TOKEN",
      "CELERY_C_SIGN_KEYS", "CELERY_BROKER_TRANSPORT_OPTIONS"]),
    (harness.WORKER, ["--check-config"],
     ["DATABASE_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "CELERY_C_SIGN_KEYS",
      "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS"]),
    (harness.CELERYC, ["call", "t.add"], ["CELERY_BROKER_URL", "CELERY_C_SIGN_KEYS"]),
    (harness.CELERYC, ["dead", "list"], ["CELERY_BROKER_URL"]),
]


@pytest.mark.parametrize("program, arguments, names", FROM_FILES,
                         ids=lambda v: v.name if hasattr(v, "name") else None)
def test_what_can_hold_a_secret_comes_from_a_file(tmp_path, program, arguments, names):
    def run(**env):
        done = subprocess.run([program, *arguments], env=harness.plain_env(**env), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20,
                              cwd=tmp_path)
        return done.returncode, done.stdout

    good = {"WEBHOOK_SECRET": "secret-secret"} if program == harness.API else {}
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for name in names:
        rest = {k: v for k, v in good.items() if k != name}
        code, text = run(**rest, **{name + "_FILE": "/nowhere"})
        assert code == 2 and f"{name}_FILE='/nowhere' cannot be read" in text, text
        code, text = run(**rest, **{name + "_FILE": str(empty)})
        assert code == 2 and f"{name}_FILE=" in text and "a file of 1 to" in text, text
        code, text = run(**rest, **{name: "hidden", name + "_FILE": str(empty)})
        assert code == 2 and f"{name} and {name}_FILE are both set" in text, text
        assert "hidden" not in text
    code, text = run(**good, CELERY_TASK_PROTOCOL_FILE=str(empty))
    if arguments != ["dead", "list"]:
        assert code == 2 and "CELERY_TASK_PROTOCOL_FILE is not accepted" in text, text


def test_addresses_from_files_are_used(tmp_path):
    for name, value in (("db", f"sqlite:///{tmp_path}/from-file.db\n"),
                        ("broker", f"filesystem://{tmp_path}/spool\n")):
        (tmp_path / name).write_text(value)
    env = harness.plain_env(DATABASE_URL_FILE=tmp_path / "db", REDIS_URL_FILE=tmp_path / "broker",
                            WEBHOOK_SECRET="secret-secret", METRICS_PORT=0)
    done = subprocess.run([harness.API, "--migrate"], env=env, cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "from-file.db").exists()
    assert not (tmp_path / "cricalgo.db").exists()
    for program in (harness.API, harness.WORKER):
        shown = subprocess.run([program, "--check-config"], env=env, text=True, cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
        assert f"CELERY_BROKER_URL=filesystem://{tmp_path}/spool" in shown, shown


@pytest.mark.parametrize("program", [harness.API, harness.WORKER, harness.CELERYC],
                         ids=lambda p: p.name)
def test_help_and_version(program):
    env = harness.plain_env()
    shown = subprocess.run([program, "--help"], env=env, stdout=subprocess.PIPE, text=True)
    assert shown.returncode == 0 and len(shown.stdout) > 200
    shown = subprocess.run([program, "--version"], env=env, stdout=subprocess.PIPE, text=True)
    assert shown.returncode == 0 and shown.stdout.startswith(program.name + " ")


def test_check_config_hides_secrets(tmp_path):
    env = harness.plain_env(
        WEBHOOK_SECRET="topsecret1", API_TOKEN="topsecret2",
        DATABASE_URL="postgresql://u:topsecret3@h/d", CELERY_BROKER_URL="redis://:topsecret4@h/0")
    for program in (harness.API, harness.WORKER):
        shown = subprocess.run([program, "--check-config"], env=env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert shown.returncode == 0, shown.stdout
        assert "topsecret" not in shown.stdout and "********" in shown.stdout


def test_what_people_paste(tmp_path, started):
    """`celery -A proj worker --loglevel=info -Q deposits` with our program's name."""
    env = harness.plain_env(DATABASE_URL=f"sqlite:///{tmp_path}/l.db", METRICS_PORT=0)
    worker = harness.Process("worker", [
        harness.WORKER, "-A", "app.celery_app", "worker", "--loglevel=info", "-Q", "deposits",
        "--concurrency=2", "-b", f"filesystem://{tmp_path}/spool"], tmp_path, env)
    started.append(worker)
    harness.wait_for(lambda: worker.events("worker_ready"), "the worker is ready")
    assert worker.events("option_without_effect")
    assert worker.stop() == 0


def test_password_leaves_the_command_line(tmp_path, started, redis):
    env = harness.plain_env(DATABASE_URL=f"sqlite:///{tmp_path}/l.db", METRICS_PORT=0)
    redis.cli("CONFIG", "SET", "requirepass", "argvsecret")
    try:
        worker = harness.Process("worker", [
            harness.WORKER, "-b",
            f"redis://:argvsecret@{harness.LOOPBACK}:{redis.port}/0"], tmp_path, env)
        started.append(worker)
        harness.wait_for(lambda: worker.events("worker_ready"), "the worker is ready")
        with open(f"/proc/{worker.pid}/cmdline", "rb") as words:
            assert b"argvsecret" not in words.read()
        assert worker.stop() == 0
        assert "argvsecret" not in worker.log()
    finally:
        import subprocess as s
        s.run(["redis-cli", "-p", str(redis.port), "-a", "argvsecret", "CONFIG", "SET",
               "requirepass", ""], stdout=s.DEVNULL, stderr=s.DEVNULL, check=True)
