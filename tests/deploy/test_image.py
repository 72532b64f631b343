# SPDX-License-Identifier: MIT
"""The image's root file system, built from what the Dockerfile says by
mmdebstrap, since there is no Docker here: its size, and both programs in it."""
import os
import re
import subprocess

import pytest

import harness
from harness import LOOPBACK, ROOT, free_port, wait_for
from test_compose_files import docker_packages

pytestmark = pytest.mark.nightly

BEYOND_BASE_MIB = 120
SUITE = "bookworm"


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def mebibytes(folder):
    return int(run("du", "-sxk", folder).split()[0]) / 1024


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """debian:12-slim's packages; the slim image has a little less than that."""
    folder = tmp_path_factory.mktemp("image") / "base"
    run("mmdebstrap", "--variant=minbase", "--skip=cleanup/reproducible", SUITE, folder)
    return folder


@pytest.fixture(scope="module")
def image(base):
    """The last stage, line by line: packages, programs, folder, user."""
    text = re.sub(r"\\\n", " ", (ROOT / "compose/Dockerfile").read_text())
    stage = text[text.rindex("\nFROM "):]
    packages = docker_packages()[1]
    folder = base.parent / "image"
    run("mmdebstrap", "--variant=minbase", "--skip=cleanup/reproducible",
        f"--include={','.join(sorted(packages))}", SUITE, folder)
    build = base.parent / "build"
    setup = re.search(r"meson setup /build (.*?) &&", text)[1].split()
    run("meson", "setup", build, *setup, cwd=ROOT)
    targets = re.search(r"ninja -C /build (.*?) &&", text)[1].split()
    run("ninja", "-j2", "-C", build, *targets)
    target = re.search(r"COPY --from=build /out/ (\S+)", stage)[1].strip("/")
    run("install", "-D", "-s", "-t", folder / target, *(build / name for name in targets))
    owner, group, mode, path = re.search(r"install -d -o (\d+) -g (\d+) -m (\d+) (\S+)",
                                         stage).groups()
    run("install", "-d", "-o", owner, "-g", group, "-m", mode, f"{folder}{path}")
    folder_user = re.search(r"(?m)^USER (\d+):(\d+)$", stage).groups()
    assert folder_user == (owner, group)
    return folder, dict(re.findall(r"(\w+)=(\S+)", re.search(r"(?m)^ENV (.*)$", stage)[1])), owner


def inside(image, *command):
    folder, _, user = image
    return ["/usr/sbin/chroot", f"--userspec={user}:{user}", str(folder), *map(str, command)]


def test_the_image_is_small(base, image, record_property):
    folder, _, _ = image
    more = mebibytes(folder) - mebibytes(base)
    programs = sum((folder / "usr/local/bin" / name).stat().st_size
                   for name in ("cricalgo-api", "cricalgo-worker", "celeryc")) / 2**20
    print(f"\nbase {mebibytes(base):.0f} MiB, image {mebibytes(folder):.0f} MiB: "
          f"{more:.1f} MiB beyond the base, {programs:.1f} MiB of them programs")
    assert 1 < more <= BEYOND_BASE_MIB


def test_no_library_is_missing(image):
    for name in ("cricalgo-api", "cricalgo-worker", "celeryc"):
        assert "not found" not in run(*inside(image, "ldd", f"/usr/local/bin/{name}"))
        assert run(*inside(image, name, "--version")).startswith(name)


def test_both_programs_run_in_it(image, redis_server, postgres_server, tmp_path, started):
    """As the image's user, with its environment: a deposit from the webhook to the
    wallet, and the health checks."""
    folder, environment, _ = image
    ledger = postgres_server.url(postgres_server.new_database())
    broker = redis_server.url(10)
    settings = {**environment, "DATABASE_URL": ledger, "CELERY_BROKER_URL": broker,
                "WEBHOOK_SECRET": harness.SECRET, "API_TOKEN": harness.TOKEN,
                "PATH": "/usr/local/bin:/usr/bin:/bin", "HOST": LOOPBACK}
    api = harness.Api.__new__(harness.Api)
    api.port = free_port()
    settings |= {"PORT": str(api.port), "METRICS_PORT": str(free_port())}
    api.process = harness.Process("image-api", inside(image, "cricalgo-api"), tmp_path, settings)
    worker = harness.Process("image-worker", inside(image, "cricalgo-worker", "worker"), tmp_path,
                             settings)
    started.extend([api.process, worker])
    wait_for(api._ready, "the API answers")
    for program in ("cricalgo-api", "cricalgo-worker"):
        wait_for(lambda: subprocess.run(inside(image, program, "--health"), env=settings,
                                        stderr=subprocess.DEVNULL).returncode == 0,
                 f"{program} --health says yes")
    user = api.register()
    status, answer, _ = api.webhook(harness.deposit_body(user))
    assert status == 202
    wait_for(lambda: api.get(f"/api/v1/transactions/{answer['tx_id']}")[1]["state"] == "credited",
             "the deposit is credited")
    identity = open(f"/proc/{api.process.pid}/status", encoding="ascii").read()
    assert re.search(r"(?m)^Uid:\t10001\t", identity)
    assert worker.stop() == 0 and api.stop() == 0
    assert subprocess.run(inside(image, "cricalgo-api", "--health"), env=settings,
                          stderr=subprocess.DEVNULL).returncode == 1


def test_the_image_holds_no_tools(image):
    """What nobody needs at run time is not there."""
    folder, _, _ = image
    for name in ("gcc", "python3", "curl", "meson"):
        assert not os.path.lexists(folder / "usr/bin" / name), name
