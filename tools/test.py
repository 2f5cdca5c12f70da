#!/usr/bin/env python3
"""Runs every test and ends with one line that counts them: passed, failed, skipped.

A test that cannot run for want of a peer (.tools/missing, another operating system, no test data) says
so in the file named by KIBAN_SKIPS; it is named here and counted as skipped, not as passed.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored")
FAILED = re.compile(r"^test (\S+) \.\.\. FAILED")


def run(command, skips):
    """Runs a cargo command, shows what it prints, adds up its result lines, and gathers what failed."""
    counts, failures = [0, 0, 0], []
    environment = {**os.environ, "KIBAN_SKIPS": str(skips)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, errors="replace")
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        if found := RESULT.match(line):
            counts = [a + int(b) for a, b in zip(counts, found.groups())]
        elif found := FAILED.match(line):
            failures.append(found[1])
    return process.wait(), counts, failures


def main():
    with tempfile.TemporaryDirectory(prefix="kiban-test-") as folder:
        skips = pathlib.Path(folder) / "skips"
        command = ["cargo", "test", "--workspace", "--locked", "--no-fail-fast", *sys.argv[1:]]
        code, (passed, failed, ignored), failures = run(command, skips)
        notes = sorted(set(skips.read_text().splitlines())) if skips.exists() else []
    # A test may lack two things and say so twice.
    skipped = {note.split(": ")[0] for note in notes}
    for line in notes:
        print(f"skipped: {line}")
    for name in failures:
        print(f"failed: {name}")
    if code and not failures:
        print("failed: cargo itself, see above: something does not build, or a test ended its process")
    print(f"{passed - len(skipped)} passed, {failed} failed, {len(skipped) + ignored} skipped")
    sys.exit(code or (1 if passed == 0 else 0))


if __name__ == "__main__":
    main()
