#!/usr/bin/env python3
"""Runs every test and ends with one line that counts them: passed, failed, skipped.

A test that cannot run for want of a peer (.tools/missing, another operating system, no test data) says
so in the file named by KIBAN_SKIPS; it is named here and counted as skipped, not as passed. The line before
the last names the peers that were not there, with how many tests that cost.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import fetch

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored")
FAILED = re.compile(r"^test (\S+) \.\.\. FAILED")
# "no NAME in .tools": what a test says that found no program, or no folder, of that name.
WANTED = re.compile(r"\bno (.+?) in \.tools\b")
MISSING = ROOT / ".tools" / "missing"
# What is in .tools/, by the name of the peer that brings it.
PEERS = {place: peer.name for peer in fetch.peers(False) for place in peer.places}
PEERS["schemas of Gateway API and Istio"] = "crds"


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


def skipped_peers(notes):
    """Peers that could not be had, each with how many tests were skipped for want of it."""
    counts = dict.fromkeys(MISSING.read_text().split() if MISSING.exists() else [], 0)
    for test, name in {(note.split(": ")[0], found[1]) for note in notes if (found := WANTED.search(note))}:
        name = PEERS.get(name.split("/")[0], name)
        counts[name] = counts.get(name, 0) + 1
    return counts


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
    if peers := skipped_peers(notes):
        named = ", ".join(f"{name} ({count} {'test' if count == 1 else 'tests'})" for name, count in sorted(peers.items()))
        print(f"peers skipped: {len(peers)}: {named}")
    print(f"{passed - len(skipped)} passed, {failed} failed, {len(skipped) + ignored} skipped")
    sys.exit(code or (1 if passed == 0 else 0))


if __name__ == "__main__":
    main()
