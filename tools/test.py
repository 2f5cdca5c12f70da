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


def run(command, skips):
    """Runs a cargo command, shows what it prints, and adds up its result lines."""
    passed = failed = ignored = 0
    environment = {**os.environ, "KIBAN_SKIPS": str(skips)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        sys.stdout.write(line)
        if found := RESULT.match(line):
            passed, failed, ignored = (a + int(b) for a, b in zip((passed, failed, ignored), found.groups()))
    return process.wait(), passed, failed, ignored


def main():
    with tempfile.TemporaryDirectory(prefix="kiban-test-") as folder:
        skips = pathlib.Path(folder) / "skips"
        code, passed, failed, ignored = run(
            ["cargo", "test", "--workspace", "--locked", "--no-fail-fast", *sys.argv[1:]], skips
        )
        skipped = sorted(set(skips.read_text().splitlines())) if skips.exists() else []
    for line in skipped:
        print(f"skipped: {line}")
    count = len(skipped) + ignored
    print(f"{passed - len(skipped)} passed, {failed} failed, {count} skipped")
    if code == 0 and passed == 0:
        sys.exit("no test ran")
    sys.exit(code)


if __name__ == "__main__":
    main()
