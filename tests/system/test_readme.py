# SPDX-License-Identifier: MIT
"""The README's worker: its code, compiled by its line, run by its line, called by its
client, as a stranger would."""

import os
import re
import subprocess

import harness

README = (harness.ROOT / "README.md").read_text()
SECTION = README[README.index("## A worker of your own"):README.index("## On a server")]


def block(language):
    return re.search(rf"```{language}\n(.*?)```", SECTION, re.S)[1]


def test_the_readme_s_worker_answers(redis, started, tmp_path):
    (tmp_path / "t.c").write_text(block("c"))
    compiled, run = block("sh").strip().splitlines()
    root = tmp_path / "installed"
    subprocess.run(["meson", "install", "-C", harness.BUILD.resolve(), "--destdir", root, "--quiet", "--no-rebuild"],
                   check=True, stdout=subprocess.DEVNULL)
    found, = root.rglob("celery.pc")
    env = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(root), "PKG_CONFIG_PATH": str(found.parent),
           "PATH": f"{harness.CELERYC.resolve().parent}:{os.environ['PATH']}"}
    done = subprocess.run(compiled, shell=True, cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    here = {"redis://localhost/0": redis.url(0), "redis://localhost/1": redis.url(1)}
    client = block("python")
    for there, url in here.items():
        run, client = run.replace(there, url), client.replace(there, url)
    worker = harness.Process("readme", run.split(), tmp_path,
                             {**harness.plain_env(METRICS_PORT=0), "PATH": env["PATH"]}, cwd=tmp_path)
    started.append(worker)
    harness.wait_for(lambda: worker.events("worker_ready") or not worker.alive(), "the worker is ready")
    assert worker.alive(), worker.log()
    assert worker.events("worker_ready")[0]["results"] == redis.url(1)
    done = subprocess.run([harness.PY57, "-c", client], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "5"), done.stdout


def test_a_worker_says_that_results_go_nowhere(redis, started, tmp_path):
    worker = harness.Process("no-results", [harness.CELERYC, "-A", harness.MODULE,
                                            f"--broker={redis.url(0)}", "worker"], tmp_path,
                             harness.plain_env(METRICS_PORT=0))
    started.append(worker)
    harness.wait_for(lambda: worker.events("worker_ready") or not worker.alive(), "the worker is ready")
    assert worker.alive(), worker.log()
    assert worker.events("worker_ready")[0]["results"] == "disabled: no result backend is set"


def celeryc(*words):
    return subprocess.run([harness.CELERYC, *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=harness.plain_env())


def test_a_worker_without_a_module_is_refused():
    for words in (["worker"], ["worker", "-b", "redis://127.0.0.1:1/0"]):
        done = celeryc(*words)
        assert done.returncode == 2 and "-A ./module.so" in done.stdout, done.stdout
    assert celeryc("worker", "--help").returncode == 0


def test_one_set_of_exit_statuses():
    done = celeryc("bogus")
    assert done.returncode == 2 and "there is no command 'bogus'" in done.stdout
    assert celeryc().returncode == 2
    assert celeryc("call").returncode == 2
    assert celeryc("call", "t.add", "-b", "redis://127.0.0.1:1/0").returncode == 69
