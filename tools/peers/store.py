"""The cache of what was fetched: made whole or not at all, checked before it is used again."""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

CACHE = pathlib.Path(
    os.environ.get("KIBAN_TOOLS_CACHE")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kiban" / "tools"
)
ATTEMPTS = 4
# A client that says nothing for so long has been forgotten by its server; seconds.
PATIENCE = 900


class CannotBeHad(Exception):
    """What trying again does not change: another operating system, a program that is not there."""


def run(*command, **more):
    """What a command printed; where it fails, an OSError with its last words."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE, **more)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} did not end within {PATIENCE} s") from error
    if done.returncode:
        words = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        # apt begins what counts with E: and W:, pip with ERROR:; the rest is progress.
        marked = [line for line in words if line.startswith(("E:", "W:", "ERROR:"))]
        raise OSError(f"{command[0]} ended with {done.returncode}: {'; '.join((marked or words)[-3:])}")
    return done.stdout


def retry(what, action):
    """Runs `action` up to ATTEMPTS times, with growing waits between."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (OSError, ValueError) as error:
            if attempt == ATTEMPTS:
                raise
            wait = 5 * attempt
            print(f"tools: {what} failed ({error}), trying again in {wait} s", file=sys.stderr, flush=True)
            time.sleep(wait)


def once(function):
    """One run for all threads that call it with the same arguments: they share its answer, or its error."""
    lock, made = threading.Lock(), {}

    def answer(*arguments):
        try:
            return function(*arguments), None
        except Exception as error:  # noqa: BLE001: it is raised where it is asked for
            return None, error

    @functools.wraps(function)
    def asked(*arguments):
        with lock:
            if arguments not in made:
                made[arguments] = answer(*arguments)
        value, error = made[arguments]
        if error:
            raise error
        return value

    return asked


def digest(path):
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def digests(folder):
    """The digest of every file below a folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return {str(p.relative_to(folder)): digest(p) for p in files}


def noted(path):
    """What a stamp holds; nothing where it is not there or torn."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def plain(value):
    """A value as it comes back from a stamp."""
    return json.loads(json.dumps(value))


def tree(name, wanted, make, fresh=False):
    """A folder of the cache with every file's digest noted; `make(folder)` fills it and returns notes.

    It is made anew where something else is wanted than what it was made for, or a file is not as it was.
    """
    folder, stamp = CACHE / name, CACHE / f"{name}.json"
    known, wanted = noted(stamp), plain(wanted)
    if not fresh and known.get("wanted") == wanted and folder.is_dir() and digests(folder) == known.get("files"):
        return folder, known.get("notes")
    part = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}.", suffix=".part", dir=CACHE))

    def filled():
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        return make(part)

    try:
        notes = retry(name, filled)
        stamp.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        part.chmod(0o755)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    stamp.write_text(json.dumps({"wanted": wanted, "notes": notes, "files": digests(folder)}, indent=1))
    return folder, notes


def stamped(name, wanted, make):
    """A folder that must be made where it stays; made anew when something else is wanted."""
    folder = CACHE / name
    stamp = folder / "wanted.json"
    if noted(stamp) != plain(wanted):
        shutil.rmtree(folder, ignore_errors=True)
        retry(name, lambda: make(folder))
        stamp.write_text(json.dumps(wanted))
    return folder


def size(path):
    """Bytes that a file or a folder takes."""
    path = pathlib.Path(path).resolve()
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and not p.is_symlink()]
    return sum(p.stat().st_size for p in files)


@contextlib.contextmanager
def alone():
    """The cache for this process: another one that fills it is waited for."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"tools: another run fills {CACHE}, waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        # What a run left that was ended in the middle.
        for part in CACHE.glob("*.part"):
            shutil.rmtree(part, ignore_errors=True)
        yield
