#!/usr/bin/env python3
"""Runs the benchmarks and prints one line a figure: name, ours, the peer's where there is one, the ratio.

    python3 tools/bench.py             # all
    python3 tools/bench.py render      # those whose name holds the word

The programs must be built (`make bench` does so). A peer is a program of others that does the same work on
the same machine in the same run, turn by turn with ours; a ratio above 1 means that Kiban needs less. Each
figure is the median of some runs; behind the ratio stand their number and the smallest and largest, ours
and then the peer's. Figures of a machine that does other work beside are not worth a comparison.
"""

import hashlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
from collections import namedtuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
RUNS = 7
# For what takes seconds.
FEW = 3

# A line: what it is, samples of ours, their unit, and of a peer its name and samples.
Figure = namedtuple("Figure", "name ours unit peer", defaults=(None,))
# What some commands needed together, one after the other: seconds, CPU seconds, the largest peak of
# resident memory in MB.
Cost = namedtuple("Cost", "wall cpu memory")

# Runs the commands on its input and tells what each needed. A child's peak of memory begins at that of the
# process that started it, so this is a process of its own, and as small as Python gets (8 MB, the smallest
# that can be told).
METER = """
import json, os, sys, time
costs = []
for command in json.load(sys.stdin):
    start = time.perf_counter()
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    child = os.posix_spawn(command[0], command, os.environ, file_actions=quiet)
    status, usage = os.wait4(child, 0)[1:]
    code = os.waitstatus_to_exitcode(status)
    if code:
        sys.exit(f"{' '.join(command)} ended with {code}")
    unit = 1 if sys.platform == "darwin" else 1024
    costs.append((time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6))
print(json.dumps(costs))
"""


def target():
    return pathlib.Path(output(ROOT / "tools" / "target-dir").strip()) / "release"


def output(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, cwd=ROOT).stdout


def cost(commands):
    asked = json.dumps([[str(word) for word in command] for command in commands])
    meter = [sys.executable, "-I", "-S", "-c", METER]
    said = subprocess.run(meter, input=asked, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    walls, cpus, memories = zip(*json.loads(said))
    return Cost(sum(walls), sum(cpus), max(memories))


def compared(ours, theirs=None, runs=RUNS):
    """Costs of our commands and of a peer's, turn by turn; the first turn warms the machine and is left out."""
    turns = [(cost(ours), cost(theirs) if theirs else None) for _ in range(runs + 1)][1:]
    return [mine for mine, _ in turns], [other for _, other in turns]


def figures(name, ours, peer=None, theirs=None):
    """The three figures of some runs."""
    for field, what, unit in (("wall", "wall time", "s"), ("cpu", "CPU", "s"), ("memory", "peak memory", "MB")):
        other = (peer, [getattr(c, field) for c in theirs]) if peer else None
        yield Figure(f"{name}: {what}", [getattr(c, field) for c in ours], unit, other)


def scheduler(release):
    """Placing 20,000 pods on 1,000 nodes. kube-scheduler cannot run without a control plane: no peer."""
    found = {}
    for _ in range(FEW):
        for line in output(release / "examples" / "schedule_bench").splitlines():
            words = line.split()
            facts = dict(word.split("=", 1) for word in words[1:] if "=" in word)
            name = f"{words[0]}: {facts['pods']} pods on {facts['nodes']} nodes"
            found.setdefault(name, []).append(float(facts["pods"]) / max(float(facts["seconds"]), 1e-9))
    for name, samples in found.items():
        yield Figure(name, samples, "pods/s")


def render_many(release):
    """A repository of a thousand apps, in process."""
    scale, found = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}, {}
    for _ in range(FEW):
        line = output(release / "examples" / "render_many", "1000")
        for name, number, unit in re.findall(r"(resolve|render|text) ([\d.]+)(s|ms|µs)", line):
            found.setdefault(name, []).append(float(number) * scale[unit])
    for name, samples in found.items():
        yield Figure(f"render: 1000 apps in process: {name}", samples, "s")


def repository(folder, apps):
    """A repository of apps that call each other, with a mesh and a job each."""
    (folder / "platform.yaml").write_text(
        "apiVersion: kiban.dev/v1\nkind: Platform\nenvironments: { prod: {} }\nmesh: istio\n"
    )
    for index in range(apps):
        calls = [i for i in (index + step * 7 for step in (1, 2, 3)) if i < apps]
        # A caller waits longer than the ones that it calls, and retries none: a law.
        lines = "".join(f"  app-{i}: {{ timeout: {20_000 - i}ms, retries: 0 }}\n" for i in calls)
        app = folder / f"app-{index}" / "app.yaml"
        app.parent.mkdir()
        app.write_text(
            f"apiVersion: kiban.dev/v1\nkind: App\nname: app-{index}\nteam: team-{index % 20}\ntier: 2\n"
            f"image: registry.example/app-{index}\nports: {{ http: 8080, metrics: 9090 }}\n"
            "health: { ready: /ready, live: /live }\nscale: { from: 3, to: 9 }\nshutdown: 25s\n"
            + ("calls:\n" + lines if calls else "")
            + 'env: { LOG_LEVEL: info }\njobs: { clean: { schedule: "@daily", run: [clean] } }\n'
        )
        pin = app.parent / "env" / "prod.pin.yaml"
        pin.parent.mkdir()
        digest = hashlib.sha256(app.parent.name.encode()).hexdigest()
        pin.write_text(
            "apiVersion: kiban.dev/v1\nkind: Pin\nimages:\n"
            f"  registry.example/app-{index}: {{ digest: 'sha256:{digest}', tag: 1.0.0 }}\n"
        )


def chart(folder, name, files):
    """A chart of these objects as a team would have it: name and image of the app are its values."""
    texts = {path.name: path.read_text() for path in files}
    image = re.search(r"^ *(?:- )?image: (\S+)$", "\n".join(texts.values()), re.M)
    values = {"name": name} | ({"image": image[1]} if image else {})
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n")
    # JSON is YAML.
    (folder / "values.yaml").write_text(json.dumps(values))
    for file, text in texts.items():
        text = text.replace("{{", '{{ "{{" }}')
        if image:
            text = text.replace(image[1], "{{ .Values.image }}")
        text = re.sub(rf"(?<![\w/.-]){re.escape(name)}(?![\w/.-])", "{{ .Values.name }}", text)
        (folder / "templates" / file).write_text(text)


def charts(rendered, folder):
    """One chart with a chart for each app in it; the folders of those."""
    (folder / "charts").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: all\nversion: 1.0.0\n")
    parts = []
    for app in sorted(p for p in rendered.iterdir() if p.is_dir()):
        part = folder / "charts" / app.name
        chart(part, app.name, sorted(app.glob("*.yaml")))
        parts.append(part)
    return parts


# Both read as YAML, sorted by what names an object: equal, or what is not.
SAME = """
import sys, yaml
def read(path):
    objects = [o for o in yaml.load_all(open(path), yaml.CSafeLoader) if o]
    key = lambda o: (o["apiVersion"], o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"])
    return {key(o): o for o in objects}
ours, theirs = map(read, sys.argv[1:])
different = [k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)]
if different:
    sys.exit(f"the chart makes other objects: {sorted(different)[:3]}")
print(len(ours))
"""


def same_objects(ours, theirs, folder):
    """How many objects two commands print, which must be the same ones."""
    files = []
    for name, command in (("ours", ours), ("theirs", theirs)):
        files.append(folder / f"{name}.yaml")
        files[-1].write_text(output(*command))
    return int(output(TOOLS / "venv" / "bin" / "python", "-c", SAME, *files))


def against_helm(release, name, apps, folder):
    """A repository from the command line, and helm with charts of the same objects."""
    ours = [release / "kiban", "render", "-e", "prod", apps]
    if not ((TOOLS / "helm").exists() and (TOOLS / "venv").exists()):
        mine, _ = compared([ours])
        yield from figures(f"render: {name}", mine)
        return
    output(*ours, "--out", folder / "rendered")
    parts = charts(folder / "rendered" / "prod", folder / "all")
    helm = lambda path: [TOOLS / "helm", "template", "release", path]  # noqa: E731
    count = same_objects(ours, helm(folder / "all"), folder)
    name = f"render: {name}, {count} objects"
    mine, theirs = compared([ours], [helm(folder / "all")])
    yield from figures(name, mine, "helm template", theirs)
    # As charts are used: a release is one app. The peer takes long enough for fewer turns.
    mine, theirs = compared([ours], [helm(part) for part in parts], RUNS if len(parts) < 20 else FEW)
    yield from figures(f"{name}, {len(parts)} charts", mine, f"{len(parts)} of helm template", theirs)


def render_helm(release):
    """The shop, and a repository of two hundred apps."""
    with tempfile.TemporaryDirectory(prefix="kiban-bench-") as folder:
        folder = pathlib.Path(folder)
        for part in ("shop", "many", "apps"):
            (folder / part).mkdir()
        yield from against_helm(release, "the shop", ROOT / "examples" / "shop", folder / "shop")
        repository(folder / "apps", 200)
        yield from against_helm(release, "200 apps", folder / "apps", folder / "many")


def demo(release):
    """From the command to the shop, applied and ready. kind and minikube need a container runtime: no peer."""
    with tempfile.TemporaryDirectory(prefix="kiban-bench-") as folder:
        kubeconfig = pathlib.Path(folder) / "kubeconfig"
        shop = pathlib.Path(folder) / "shop.git"
        command = [release / "kiban", "demo", "--once", "--kubeconfig", kubeconfig, "--repository", shop]
        mine, _ = compared([command])
    yield from figures("demo: the shop applied, every pod ready", mine)


SIZE = (1000, 20_000, 50)  # nodes, pods, watchers


def embedded_cluster(release):
    """The embedded cluster at size, and how its figures grow from a tenth of it. What it stands for needs
    etcd and a control plane: no peer."""
    sizes = []
    for nodes, pods in ((SIZE[0] // 10, SIZE[1] // 10), SIZE[:2]):
        found = {}
        for _ in range(FEW):
            for line in output(release / "examples" / "scale_bench", nodes, pods, SIZE[2]).splitlines():
                if said := re.fullmatch(r"[^:]+: (.+): ([\d.]+) ?(\S*)", line.strip()):
                    found.setdefault((said[1], said[3]), []).append(float(said[2]))
        for (name, unit), samples in found.items():
            yield Figure(f"sim: {nodes} nodes, {pods} pods: {name}", samples, unit)
        sizes.append(found)
    tenth, whole = sizes
    for name, unit in tenth:
        if unit and (name, unit) in whole and (before := statistics.median(tenth[name, unit])):
            growth = [sample / before for sample in whole[name, unit]]
            yield Figure(f"sim: ten times the size: {name}", growth, "times")


# Flux 2.9, 1,000 Kustomizations: what its own benchmark says of a machine of 16 cores and another API server.
FLUX_PUBLISHED = {"first: time": 4 * 60 + 13, "first: memory that it grew by": 223 * 1.048576}


def reconcile(release):
    """A repository of a thousand apps of twelve objects, followed on the embedded cluster, which is a process
    of its own. Flux is not run: its figures are the published ones, of another machine and API server."""
    found = {}
    for _ in range(FEW):
        for said in output(release / "examples" / "reconcile_bench", "1000").splitlines():
            name, _, value = said.rpartition(": ")
            amount, _, unit = value.partition(" ")
            found.setdefault((name, unit), []).append(float(amount))
    for (name, unit), samples in found.items():
        published = FLUX_PUBLISHED.get(name)
        peer = ("Flux, as published elsewhere", [published]) if published else None
        yield Figure(f"reconcile: 1000 apps: {name}", samples, unit, peer)


BENCHES = [scheduler, render_many, render_helm, demo, embedded_cluster, reconcile]


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def scaled(figure):
    """Small times in milliseconds."""
    peer = figure.peer
    if figure.unit != "s" or statistics.median(figure.ours) >= 1:
        return figure
    peer = (peer[0], [s * 1e3 for s in peer[1]]) if peer else None
    return Figure(figure.name, [s * 1e3 for s in figure.ours], "ms", peer)


def line(figure):
    figure = scaled(figure)
    ours, peer, unit = statistics.median(figure.ours), figure.peer, f" {figure.unit}".rstrip()
    theirs, ratio = "-", "-"
    spread = f"{len(figure.ours)} runs: {number(min(figure.ours))} to {number(max(figure.ours))}"
    if peer:
        median = statistics.median(peer[1])
        theirs, ratio = f"{number(median)}{unit} ({peer[0]})", f"{median / ours:.1f}" if ours else "-"
        spread += f"; {number(min(peer[1]))} to {number(max(peer[1]))}"
    return f"{figure.name:<66} {number(ours) + unit:>13} {theirs:>38} {ratio:>6}   {spread}"


def main():
    words = sys.argv[1:]
    release, failed = target(), False
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores / 2:
        print(f"bench: other work is on this machine (load {load:.1f}, {cores} cores): of its times, only CPU tells", file=sys.stderr)
    print(f"{'figure':<66} {'ours':>13} {'peer':>38} {'ratio':>6}   spread")
    for bench in BENCHES:
        if words and not any(word in bench.__name__ for word in words):
            continue
        try:
            for figure in bench(release):
                print(line(figure), flush=True)
        except (OSError, KeyError, ValueError, subprocess.CalledProcessError) as error:
            failed = True
            why = "\n".join((getattr(error, "stderr", "") or str(error)).splitlines()[-5:])
            print(f"{bench.__name__} could not be measured: {why}", file=sys.stderr)
    sys.exit(3 if failed else 0)


if __name__ == "__main__":
    main()
