#!/usr/bin/env python3
"""Runs the benchmarks and prints one line a figure: name, ours, the peer's where there is one, the ratio.

    python3 tools/bench.py             # all
    python3 tools/bench.py render      # those whose name holds the word

The programs must be built (`make bench` does so). A peer is a program of others that does the same work on
the same machine in the same run; a ratio above 1 means that Kiban needs less. Figures of a machine that does
other work beside are not worth a comparison.
"""

import os
import pathlib
import re
import resource
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
DATA = pathlib.Path(os.environ.get("KIBAN_TESTDATA") or ROOT.parent / "shared" / "data")
RUNS = 5


def target():
    out = subprocess.run([ROOT / "tools" / "target-dir"], check=True, capture_output=True, text=True).stdout
    return pathlib.Path(out.strip()) / "release"


def output(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, cwd=ROOT).stdout


def measured(*command):
    """The best of some runs of a command: seconds of wall time, and how many objects it wrote."""
    best, text = None, ""
    for _ in range(RUNS):
        start = time.perf_counter()
        text = output(*command)
        took = time.perf_counter() - start
        best = took if best is None else min(best, took)
    return best, len(re.findall(r"^kind: ", text, re.M))


def scheduler(release):
    """Placing 20,000 pods on 1,000 nodes. kube-scheduler cannot run without a control plane: no peer."""
    for line in output(release / "examples" / "schedule_bench").splitlines():
        words = line.split()
        figures = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        rate = float(figures["pods"]) / max(float(figures["seconds"]), 1e-9)
        yield f"{words[0]}: {figures['pods']} pods on {figures['nodes']} nodes", rate, "pods/s", None


def render_many(release):
    """A repository of a thousand apps, in process."""
    line = output(release / "examples" / "render_many", "1000")
    scale = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
    for name, number, unit in re.findall(r"(resolve|render|text) ([\d.]+)(s|ms|µs)", line):
        yield f"render: 1000 apps: {name}", float(number) * scale[unit], "s", None


def render_command(release):
    """From the command line, per object: the shop, and a chart that helm renders."""
    ours, objects = measured(release / "kiban", "render", "-e", "prod", ROOT / "examples" / "shop")
    peer = None
    chart = DATA / "helm-charts" / "podinfo"
    chart = next((p.parent for p in sorted(chart.rglob("Chart.yaml"))), None)
    if chart and (TOOLS / "helm").exists():
        theirs, count = measured(TOOLS / "helm", "template", "podinfo", chart)
        peer = ("helm template", theirs / count * 1e3) if count else None
    yield f"render: command line, {objects} objects, per object", ours / objects * 1e3, "ms", peer


SIZE = (1000, 20_000, 50)  # nodes, pods, watchers


def embedded_cluster(release):
    """The embedded cluster at size, and how its figures grow from a tenth of it."""
    runs = []
    for nodes, pods in ((SIZE[0] // 10, SIZE[1] // 10), SIZE[:2]):
        figures = {}
        for line in output(release / "examples" / "scale_bench", nodes, pods, SIZE[2]).splitlines():
            if found := re.fullmatch(r"[^:]+: (.+): ([\d.]+) ?(\S*)", line.strip()):
                figures[found[1]] = float(found[2])
                yield f"sim: {nodes} nodes, {pods} pods: {found[1]}", float(found[2]), found[3], None
        runs.append(figures)
    tenth, whole = runs
    for name in sorted(set(tenth) & set(whole)):
        if tenth[name]:
            yield f"sim: growth for ten times the size: {name}", whole[name] / tenth[name], "times", None


def start(release):
    """From the command to the first answer. What kind and minikube need is a container runtime: no peer."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    best, _ = measured(release / "kiban", "demo", "--once", "--kubeconfig", target().parent / "bench.kubeconfig")
    cpu = (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before) / RUNS
    yield "demo: the shop applied, every pod ready", best, "s", None
    yield "demo: CPU for it", cpu, "s", None


BENCHES = [scheduler, render_many, render_command, start, embedded_cluster]


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main():
    words = sys.argv[1:]
    release, failed = target(), False
    print(f"{'figure':<64} {'ours':>14} {'peer':>28} {'ratio':>8}")
    for bench in BENCHES:
        if words and not any(word in bench.__name__ for word in words):
            continue
        try:
            for name, ours, unit, peer in bench(release):
                theirs = f"{number(peer[1])} {unit} ({peer[0]})" if peer else "-"
                ratio = f"{peer[1] / ours:.1f}" if peer else "-"
                print(f"{name:<64} {number(ours) + ' ' + unit:>14} {theirs:>28} {ratio:>8}", flush=True)
        except (OSError, KeyError, ValueError, subprocess.CalledProcessError) as error:
            failed = True
            print(f"{bench.__name__}: could not be measured: {error}\n{getattr(error, 'stderr', '') or ''}", file=sys.stderr)
    sys.exit(3 if failed else 0)


if __name__ == "__main__":
    main()
