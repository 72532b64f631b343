# SPDX-License-Identifier: MIT
"""Debian packages, systemd units, man pages, bill of materials. In the long tier the
packages are built, linted, and installed in a Debian of their own, where the two
services run as their unit would run them."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys

import pytest

import harness

DEBIAN = harness.ROOT / "debian"
PROGRAMS = {"cricalgo-api": harness.API, "cricalgo-worker": harness.WORKER}
PACKAGES = ("cricalgo-api", "cricalgo-worker", "libcelery1", "libcelery-dev", "celeryc")


# --- units --------------------------------------------------------------------

def unit(folder, name, *changes):
    """A unit whose program is the one that was built, with changes."""
    text = (DEBIAN / f"{name}.service").read_text()
    text = text.replace(f"/usr/bin/{name}", str(PROGRAMS[name]))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = folder / f"{name}.service"
    file.write_text(text)
    return file


def verify(file):
    # An unknown key is only printed, with status 0: any output is a failure.
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", file], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return done.stdout or ("failed" if done.returncode else "")


def exposure(file, threshold):
    return subprocess.run(["systemd-analyze", "security", "--offline=yes", f"--threshold={threshold}", file],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_unit(tmp_path, name):
    assert verify(unit(tmp_path, name)) == ""
    assert exposure(unit(tmp_path, name), 15) == 0


@pytest.mark.parametrize("old, new", [
    ("UMask=", "Umask="), ("Type=notify", "Type=notified"), (str(harness.API), "/usr/bin/nothing-there"),
    ("SystemCallFilter=@system-service", "SystemCallFilter=@no-such-group")])
def test_a_wrong_unit_is_found(tmp_path, old, new):
    file = unit(tmp_path, "cricalgo-api")
    file.write_text(file.read_text().replace(old, new))
    assert verify(file)


def test_an_open_unit_is_found(tmp_path):
    assert exposure(unit(tmp_path, "cricalgo-api", ("ProtectSystem=strict\n", ""),
                         ("CapabilityBoundingSet=\n", "")), 15) == 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_unit_waits_as_long_as_the_program_may_take(name):
    text = (DEBIAN / f"{name}.service").read_text()
    # 25 s for tasks, or twice 15 s for requests and publishing.
    assert int(re.search(r"TimeoutStopSec=(\d+)", text)[1]) > 45
    # The program says with 2 that trying again is of no use.
    assert "RestartPreventExitStatus=2" in text


class Supervisor:
    """The end of systemd: a socket that gets a service's states."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(30)

    def next(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))

    def waiting(self):
        try:
            self.socket.setblocking(False)
            return bool(self.socket.recv(4096, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(30)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_programs_notify(tmp_path, name):
    """READY when requests are answered, STOPPING at the signal."""
    supervisor, port = Supervisor(tmp_path), harness.free_port()
    (tmp_path / "results").mkdir()
    env = harness.plain_env(
        DATABASE_URL=f"sqlite:///{tmp_path}/ledger.db", CELERY_BROKER_URL=f"filesystem://{tmp_path}/spool",
        CELERY_RESULT_BACKEND=f"file://{tmp_path}/results", WEBHOOK_SECRET="test-secret", PORT=port,
        METRICS_PORT=port if name == "cricalgo-worker" else 0, NOTIFY_SOCKET=supervisor.path)
    process = harness.Process(name, [PROGRAMS[name]], tmp_path, env)
    try:
        state = supervisor.next()
        assert state["READY"] == "1" and state["STATUS"], state
        subprocess.run(["curl", "-fsS", f"http://{harness.LOOPBACK}:{port}/healthz"], check=True,
                       stdout=subprocess.DEVNULL)
        assert not supervisor.waiting()
        process.child.send_signal(signal.SIGTERM)
        assert supervisor.next()["STOPPING"] == "1"
    finally:
        status = process.stop()
    assert status == 0, process.log()


def test_a_program_that_cannot_start_never_says_it_is_ready(tmp_path):
    supervisor = Supervisor(tmp_path)
    env = harness.plain_env(WEBHOOK_SECRET="test-secret", DATABASE_URL="nonsense://", NOTIFY_SOCKET=supervisor.path)
    done = subprocess.run([harness.API], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert done.returncode == 2 and not supervisor.waiting()


# --- man pages -----------------------------------------------------------------

PAGES = sorted((harness.ROOT / "docs" / "man").glob("*.[1-8]"))


def findings(page):
    """What mandoc finds. That the other pages are not installed here is none."""
    done = subprocess.run(["mandoc", "-Tlint", page], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True)
    return [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_man_page(page):
    assert findings(page) == []
    text = page.read_text()
    for other in re.findall(r"^\.Xr (\S+) (\d)", text, re.M):
        assert other == ("systemd", "1") or (page.parent / ".".join(other)).exists(), other


def test_a_mistake_in_a_man_page_is_found(tmp_path):
    page = tmp_path / "x.8"
    page.write_text(PAGES[-1].read_text().replace(".Nm\n", ".Nmm\n", 1))
    assert findings(page)


@pytest.mark.parametrize("page, commands", [
    ("cricalgo-api.8", [[harness.API, "--help"]]),
    ("cricalgo-worker.8", [[harness.WORKER, "--help"]]),
    ("celeryc.1", [[harness.CELERYC, "worker", "--help"], [harness.CELERYC, "call", "--help"]]),
])
def test_what_a_man_page_names_exists(page, commands):
    text = (harness.ROOT / "docs" / "man" / page).read_text()
    shown = "".join(subprocess.run(c, stdout=subprocess.PIPE, text=True).stdout for c in commands)
    options = {"-" + o for o in re.findall(r"Fl (-[a-z-]+|[A-Za-z])\b", text)}
    assert options and {o for o in options if not re.search(rf"(?<![\w-]){o}\b", shown)} == set()
    variables = set(re.findall(r"Ev ([A-Z_]+)", text)) - {"NOTIFY_SOCKET"}
    assert variables and {v for v in variables if v not in shown} == set()


# --- bill of materials --------------------------------------------------------------

def sbom(build, **env):
    return subprocess.run([sys.executable, harness.ROOT / "scripts" / "sbom.py", build], check=True,
                          stdout=subprocess.PIPE, text=True, env={**os.environ, **env}).stdout


def sbom_errors(text):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


def test_the_bill_of_materials():
    text = sbom(harness.BUILD, SOURCE_DATE_EPOCH="0")
    assert sbom_errors(text) is None
    assert text == sbom(harness.BUILD, SOURCE_DATE_EPOCH="0")
    bill = json.loads(text)
    assert bill["metadata"]["timestamp"] == "1970-01-01T00:00:00Z"
    sonames = {p["value"]: c for c in bill["components"] for p in c.get("properties", [])}
    for program in (harness.API, harness.WORKER, harness.CELERYC):
        needed = set(re.findall(r"NEEDED.*\[(.*)\]", subprocess.run(
            ["readelf", "-d", program], stdout=subprocess.PIPE, text=True, check=True).stdout))
        refs = {sonames[n]["bom-ref"] for n in needed}
        entry, = [d for d in bill["dependencies"] if d["ref"].endswith("#" + program.name)]
        assert refs == set(entry["dependsOn"])
    version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "libpq5"], stdout=subprocess.PIPE,
                             text=True, check=True).stdout
    assert sonames["libpq.so.5"]["version"] == version
    # Every reference leads somewhere.
    known = {c["bom-ref"] for c in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    for entry in bill["dependencies"]:
        assert {entry["ref"], *entry["dependsOn"]} <= known


def test_a_wrong_bill_is_found():
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}
    assert sbom_errors(json.dumps(bill)) is None
    for key, value in (("tpye", "x"), ("version", "one")):
        assert sbom_errors(json.dumps({**bill, key: value})) is not None


# --- packages ----------------------------------------------------------------------

def test_no_secret_in_what_is_packaged():
    for file in (DEBIAN / "etc").iterdir():
        settings = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        assert not [s for s in settings if re.match(r".*(SECRET|TOKEN|PASSWORD|KEYS?)=", s)]
    for name in ("cricalgo-api", "cricalgo-worker"):
        text = (DEBIAN / f"{name}.postinst").read_text()
        assert "umask 077" in text and "0640" in text
        subprocess.run(["shellcheck", "-s", "sh", DEBIAN / f"{name}.postinst", DEBIAN / f"{name}.postrm"],
                       check=True)
    # What both do is the same.
    assert (DEBIAN / "cricalgo-api.postinst").read_text() == (DEBIAN / "cricalgo-worker.postinst").read_text()


def test_what_the_build_needs_is_asked_for():
    """scripts/lib/packages.sh is what a build is seen to need."""
    text = (harness.ROOT / "scripts/lib/packages.sh").read_text()
    wanted = set(re.search(r"BUILD_PACKAGES=\((.*?)\)", text, re.S)[1].split())
    control = (DEBIAN / "control").read_text()
    asked = set(re.findall(r"^ ([a-z0-9+.-]+)", control[:control.index("\n\n")], re.M))
    # dpkg-dev brings the compiler, meson brings ninja.
    assert wanted - asked - {"build-essential", "ninja-build"} == set()
    assert asked - wanted == {"debhelper-compat"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The packages, built from the files that git knows."""
    folder = tmp_path_factory.mktemp("deb")
    source = folder / "source"
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=harness.ROOT, check=True,
                           stdout=subprocess.PIPE, text=True).stdout.split("\n")
    for name in filter(None, names):
        if (harness.ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(harness.ROOT / name, source / name)
    done = subprocess.run(["dpkg-buildpackage", "-b", "-us", "-uc", "-j2"], cwd=source,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-5000:]
    return {name: next(folder.glob(f"{name}_*.deb")) for name in PACKAGES}


@pytest.mark.nightly
def test_lintian(packages, tmp_path):
    def lint(*files):
        return subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", *files],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    done = lint(*packages.values())
    assert done.returncode == 0, done.stdout
    # And it can fail: without its copyright file.
    subprocess.run(["dpkg-deb", "-R", packages["celeryc"], tmp_path / "x"], check=True)
    (tmp_path / "x/usr/share/doc/celeryc/copyright").unlink()
    subprocess.run(["dpkg-deb", "-b", tmp_path / "x", tmp_path / "bad.deb"], check=True,
                   stdout=subprocess.DEVNULL)
    assert lint(tmp_path / "bad.deb").returncode == 2


@pytest.fixture(scope="module")
def debian(packages, tmp_path_factory):
    """A Debian 12 of its own, with the packages' dependencies, the packages beside it."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for chroot")
    root = tmp_path_factory.mktemp("root") / "debian"
    # A user of this Debian must be able to reach it.
    for parent in [root.parent, *root.parent.parents]:
        if parent != pathlib.Path("/") and parent.stat().st_uid == 0:
            parent.chmod(parent.stat().st_mode | 0o055)
    wanted = {"ca-certificates"}
    for file in packages.values():
        depends = subprocess.run(["dpkg-deb", "-f", file, "Depends"], stdout=subprocess.PIPE, text=True,
                                 check=True).stdout
        wanted |= set(re.findall(r"(?:^|, )([a-z0-9.+-]+)", depends)) - set(PACKAGES)
    done = subprocess.run(["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(sorted(wanted))}",
                           "bookworm", root], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    for file in packages.values():
        shutil.copy(file, root / "tmp")
    yield root
    shutil.rmtree(root)


def inside(root, *argv, check=True, **options):
    done = subprocess.run(["chroot", *options.pop("chroot", []), root, *argv], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **options})
    assert not check or done.returncode == 0, done.stdout
    return done.stdout


def settings(root, program):
    """The environment that the unit's files give."""
    env = {}
    for name in ("cricalgo.env", f"{program.removeprefix('cricalgo-')}.env"):
        for line in (root / "etc/cricalgo" / name).read_text().splitlines():
            if line and not line.startswith("#"):
                key, value = line.split("=", 1)
                env[key] = value
    return env


@pytest.mark.nightly
def test_install_run_purge(debian, packages, tmp_path):
    inside(debian, "sh", "-c", "DEBIAN_FRONTEND=noninteractive dpkg -i /tmp/*.deb")
    for program in ("cricalgo-api", "cricalgo-worker", "celeryc"):
        inside(debian, program, "--help")
    # Secrets: this machine's own, and nobody else's to read.
    shared = debian / "etc/cricalgo/cricalgo.env"
    mode = stat.S_IMODE(shared.stat().st_mode)
    assert mode == 0o640 and shared.stat().st_uid == 0
    gid = shared.stat().st_gid
    assert f"cricalgo:x:{gid}:" in (debian / "etc/group").read_text()
    secrets = settings(debian, "cricalgo-api")
    assert re.fullmatch(r"[0-9a-f]{64}", secrets["WEBHOOK_SECRET"])
    assert re.fullmatch(r"[0-9a-f]{64}", secrets["API_TOKEN"]) and secrets["API_TOKEN"] != secrets["WEBHOOK_SECRET"]
    refused = inside(debian, "cat", "/etc/cricalgo/cricalgo.env", check=False, chroot=["--userspec=nobody:nogroup"])
    assert "Permission denied" in refused
    # A second installation keeps them.
    before = shared.read_text()
    inside(debian, "sh", "-c", "dpkg -i /tmp/cricalgo-api_*.deb")
    assert shared.read_text() == before

    # As the units: the user, the folders, the variables.
    inside(debian, "install", "-d", "-m", "700", "-o", "cricalgo", "-g", "cricalgo", "/var/lib/cricalgo",
           "/var/lib/cricalgo/results")
    processes = {}
    port = harness.free_port()
    try:
        for program in ("cricalgo-api", "cricalgo-worker"):
            env = settings(debian, program) | {"PATH": "/usr/bin:/bin", "PORT": str(port), "METRICS_PORT": "0"}
            processes[program] = harness.Process(
                program, [shutil.which("chroot"), "--userspec=cricalgo:cricalgo", debian, "/usr/bin/" + program], tmp_path, env)
        api = harness.Api.__new__(harness.Api)
        api.port, api.process = port, processes["cricalgo-api"]
        harness.wait_for(api._ready, "the installed API is ready")
        user = api.register()
        status, answer, _ = api.webhook(harness.deposit_body(user), secret=secrets["WEBHOOK_SECRET"])
        assert status == 202, answer

        def state():
            _, found, _ = api.request("GET", f"/api/v1/transactions/{answer['tx_id']}",
                                      headers={"Authorization": "Bearer " + secrets["API_TOKEN"]})
            return found["state"]

        harness.wait_for(lambda: state() == "credited", "the installed worker credits it")
    finally:
        statuses = {name: p.stop() for name, p in processes.items()}
    assert set(statuses.values()) == {0}
    output = inside(debian, "cricalgo-worker", "--check-ledger", **settings(debian, "cricalgo-worker"))
    assert output.splitlines()[-1] == "1 deposits credited, 0 lost"
    assert (debian / "usr/share/man/man8/cricalgo-api.8.gz").exists()

    inside(debian, "dpkg", "--purge", "cricalgo-api")
    assert shared.exists() and not (debian / "etc/cricalgo/api.env").exists()
    inside(debian, "dpkg", "--purge", "cricalgo-worker", "celeryc", "libcelery-dev", "libcelery1")
    assert not (debian / "etc/cricalgo").exists()
    # Money is not purged.
    assert (debian / "var/lib/cricalgo/cricalgo.db").exists()


@pytest.mark.nightly
def test_the_library_package_is_enough_to_write_a_worker(packages, tmp_path):
    for name in ("libcelery1", "libcelery-dev"):
        subprocess.run(["dpkg", "-x", packages[name], tmp_path], check=True)
    found, = tmp_path.rglob("celery.pc")
    env = {**os.environ, "PKG_CONFIG_PATH": str(found.parent), "PKG_CONFIG_SYSROOT_DIR": str(tmp_path)}
    flags = subprocess.run(["pkg-config", "--cflags", "celery"], env=env, stdout=subprocess.PIPE, text=True,
                           check=True).stdout.split()
    subprocess.run(["gcc", "-std=c11", "-Wall", "-Werror", "-shared", "-fPIC", *flags,
                    harness.ROOT / "tests/interop/t.c", "-o", tmp_path / "t.so"], check=True)
    library, = tmp_path.rglob("libcelery.so.1")
    soname = subprocess.run(["readelf", "-d", library], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "[libcelery.so.1]" in soname


def allowed_calls(text):
    """The system calls of a unit's filter."""
    groups = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout
    members = {}
    for line in groups.splitlines():
        if line.startswith("@"):
            current = members.setdefault(line.strip(), set())
        elif line.strip() and not line.strip().startswith("#"):
            current.add(line.strip())

    def calls(name):
        if not name.startswith("@"):
            return {name}
        return set().union(*(calls(m) for m in members[name])) if name in members else set()

    allowed = set()
    for value in re.findall(r"^SystemCallFilter=(.*)$", text, re.M):
        named = set().union(*(calls(n) for n in value.lstrip("~").split()))
        allowed = allowed - named if value.startswith("~") else allowed | named
    # systemd adds what every program needs to begin.
    return allowed | calls("@default")


@pytest.mark.nightly
def test_the_filter_lets_the_programs_work(packages, tmp_path):
    """What the programs call while they do everything is what the units allow."""
    for name in PROGRAMS:
        subprocess.run(["dpkg", "-x", packages[name], tmp_path], check=True)
    (tmp_path / "results").mkdir()
    port = harness.free_port()
    redis = harness.Redis(tmp_path)
    postgres = harness.Postgres(tmp_path)
    setups = [(f"sqlite:///{tmp_path}/ledger.db", f"filesystem://{tmp_path}/spool", f"file://{tmp_path}/results"),
              (postgres.url(postgres.new_database()), redis.url(1), redis.url(2))]
    called = {name: set() for name in PROGRAMS}
    try:
        for number, (ledger, broker, backend) in enumerate(setups):
            env = harness.plain_env(DATABASE_URL=ledger, CELERY_BROKER_URL=broker, CELERY_RESULT_BACKEND=backend,
                                    WEBHOOK_SECRET=harness.SECRET, API_TOKEN=harness.TOKEN, PORT=port,
                                    METRICS_PORT=0)
            traced = {name: harness.Process(name, [
                "strace", "-f", "-qq", "-o", tmp_path / f"{name}.{number}", tmp_path / "usr/bin" / name],
                tmp_path, env) for name in PROGRAMS}
            api = harness.Api.__new__(harness.Api)
            api.port, api.process = port, traced["cricalgo-api"]
            harness.wait_for(api._ready, "the traced API is ready")
            user = api.register()
            for _ in range(20):
                assert api.webhook(harness.deposit_body(user))[0] == 202
            harness.wait_for(lambda: harness.states(ledger)["credited"] == 20, "all are credited")
            for name, process in traced.items():
                # strace hands its own signal on to nobody: ask the program.
                child = int(subprocess.run(["pgrep", "-P", str(process.pid)], stdout=subprocess.PIPE, text=True,
                                           check=True).stdout)
                os.kill(child, signal.SIGTERM)
                assert process.child.wait(40) == 0, process.log()
                text = (tmp_path / f"{name}.{number}").read_text()
                called[name] |= set(re.findall(r"^\d+ +(\w+)\(", text, re.M))
    finally:
        redis.stop()
        postgres.stop()
    for name, calls in called.items():
        allowed = allowed_calls((DEBIAN / f"{name}.service").read_text())
        assert len(calls) > 30
        # SQLite calls fchown for root alone, as whom this may run; the units do not.
        assert calls - allowed - {"fchown"} == set(), name
    # The check can fail.
    assert "mount" not in allowed and "ptrace" not in allowed
