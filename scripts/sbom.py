#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a bill of materials (CycloneDX 1.6, JSON) of what built programs link:
each shared library as the Debian package and version it comes from, the programs
with their hashes, and who needs whom.

    scripts/sbom.py BUILD_DIR [-o FILE]

The same programs on the same packages give the same file, byte for byte;
SOURCE_DATE_EPOCH adds a timestamp. On Debian only. Exits 1 when a library belongs
to no package."""
import argparse
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse
import uuid

PROGRAMS = ("api/cricalgo-api", "worker/cricalgo-worker", "worker/celeryc", "worker/libcelery.so")
NAMESPACE = uuid.UUID("6f0f2a52-5b0e-4c62-9a43-5d1e3c7f8a10")


def lines(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def libraries(file):
    """Shared libraries that a file loads, directly or not: name to path."""
    found = {}
    for line in lines("ldd", file):
        match = re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line)
        if match:
            found[match[1] or pathlib.Path(match[2]).name] = match[2]
        elif "not found" in line:
            sys.exit(f"sbom: {file}: {line.strip()}")
    return found


def needed(file):
    return [m[1] for m in (re.search(r"\(NEEDED\).*\[(.*)\]", line) for line in lines("readelf", "-d", file)) if m]


def names_of(path):
    """The folders /lib and /usr/lib are one, but dpkg knows a file by one of them."""
    real = os.path.realpath(path)
    return {path, real, real.removeprefix("/usr"), "/usr" + path}


def packages_of(paths):
    """(name, version, architecture) of the Debian package of each file; two calls,
    since each reads dpkg's whole data base."""
    names = sorted(set().union(*map(names_of, paths)))
    done = subprocess.run(["dpkg-query", "-S", *names], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    owner = {}
    for line in done.stdout.splitlines():
        packages, file = line.split(": ", 1)
        owner[file] = packages.split(", ")[0]
    fields = "${binary:Package}\t${Package}\t${Version}\t${Architecture}\n"
    facts = {}
    for line in lines("dpkg-query", "-W", "-f", fields, *sorted(set(owner.values()))):
        full, *rest = line.split("\t")
        facts[full] = tuple(rest)
    found = {}
    for path in paths:
        known = [owner[n] for n in names_of(path) if n in owner]
        if not known:
            sys.exit(f"sbom: {path} belongs to no package")
        found[path] = facts[known[0]]
    return found


def distribution():
    fields = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines()
                  if "=" in line)
    return f"{fields['ID']}-{fields.get('VERSION_ID', 'unstable')}".replace('"', "")


def reference(name, version, arch, distro):
    def quoted(text):
        return urllib.parse.quote(text, safe="+.-~")
    return f"pkg:deb/debian/{quoted(name)}@{quoted(version)}?arch={arch}&distro={distro}"


def build_version(build):
    match = re.search(r'#define CRICALGO_VERSION "(.*)"', (build / "version.h").read_text())
    return match[1]


def bill(build):
    version, distro = build_version(build), distribution()
    root = f"pkg:generic/cricalgo@{version}"
    loaded = {name: libraries(build / name) for name in PROGRAMS}
    owners = packages_of(sorted({path for found in loaded.values() for path in found.values()}))
    programs, packages, edges, paths = [], {}, {root: set()}, {}
    for name in PROGRAMS:
        file = build / name
        ref = f"{root}#{file.name}"
        programs.append({
            "type": "library" if ".so" in file.name else "application", "bom-ref": ref,
            "name": file.name, "version": version, "licenses": [{"license": {"id": "MIT"}}],
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}]})
        edges[root].add(ref)
        for soname, path in loaded[name].items():
            paths[soname] = (path, owners[path])
            packages.setdefault(paths[soname][1], set()).add(soname)
        edges[ref] = {reference(*paths[n][1], distro) for n in needed(file) if n in paths}
    for soname, (path, owner) in paths.items():
        ref = reference(*owner, distro)
        mine = edges.setdefault(ref, set())
        mine |= {reference(*paths[n][1], distro) for n in needed(path) if n in paths} - {ref}
    components = programs + [{
        "type": "library", "bom-ref": reference(*owner, distro), "name": owner[0], "version": owner[1],
        "purl": reference(*owner, distro),
        "properties": [{"name": "soname", "value": s} for s in sorted(sonames)],
    } for owner, sonames in sorted(packages.items())]
    metadata = {"component": {"type": "application", "bom-ref": root, "name": "cricalgo",
                              "version": version, "licenses": [{"license": {"id": "MIT"}}]}}
    if "SOURCE_DATE_EPOCH" in os.environ:
        when = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
        metadata["timestamp"] = when.isoformat().replace("+00:00", "Z")
    found = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": metadata,
             "components": components,
             "dependencies": [{"ref": r, "dependsOn": sorted(e)} for r, e in sorted(edges.items())]}
    content = json.dumps(found, sort_keys=True)
    return {"serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, content)}", **found}


def main():
    parser = argparse.ArgumentParser(description="Bill of materials of built programs, CycloneDX 1.6.")
    parser.add_argument("build", type=pathlib.Path, metavar="BUILD_DIR")
    parser.add_argument("-o", "--output", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    for name in PROGRAMS:
        if not (options.build / name).exists():
            parser.error(f"{options.build / name} is not built")
    text = json.dumps(bill(options.build), indent=2) + "\n"
    if options.output:
        options.output.write_text(text)
    else:
        sys.stdout.write(text)


main()
