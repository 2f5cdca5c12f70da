#!/usr/bin/env python3
"""Holds the rules of the house that a command can hold; `make check` runs it.

    python3 tools/check.py            # prints each offence as path:line: what, ends with 1 if there is one
    python3 tools/check.py --sizes    # prints the longest functions and files, for whoever looks for work

Each rule is a function that yields offences, listed in RULES. The map of crates in ARCHITECTURE.md is
data here: what a crate may depend on is read from its table, so that the page is true or the check fails.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
ALLOWED_SIZES = "tools/allowed-sizes.txt"
FUNCTION_LINES = 100
FILE_LINES = 600

# What may stand on what, by floor: ours on the left, the floors it may depend on on the right.
FLOORS = {
    "pure": {"pure"},
    "border": {"pure", "border"},
    "domain": {"pure", "border"},
    "top": {"pure", "border", "domain", "top"},
    "tests": {"pure", "border", "domain", "top", "tests"},
}
# Crates that do work on the machine: none of them below a pure crate.
IMPURE = {"tokio", "hyper", "hyper-util", "mio", "socket2", "rustls", "kube", "kube-client", "kube-core", "k8s-openapi"}
# The client library of Kubernetes, and the one crate whose dependencies may hold it.
CLIENT = {"kube", "kube-client", "kube-core", "kube-runtime", "k8s-openapi"}
CLIENT_HOLDER = "kiban-kube"
# Git's formats, and the one crate that knows them.
GIT_HOLDER = "kiban-git"
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"
INHERITED = ("version", "edition", "rust-version", "license", "publish")


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


class World:
    """What the rules look at, read once."""

    def __init__(self):
        tracked = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        self.files = sorted(p for p in tracked.split("\0") if p and (ROOT / p).is_file())
        self.metadata = json.loads(run("cargo", "metadata", "--format-version", "1", "--locked"))
        self.packages = {p["id"]: p for p in self.metadata["packages"]}
        members = set(self.metadata["workspace_members"])
        self.members = {p["name"]: p for p in self.metadata["packages"] if p["id"] in members}
        self.used = self.built()
        self.edges = {}
        for node in self.metadata["resolve"]["nodes"]:
            deps = [(d["pkg"], {k["kind"] for k in d["dep_kinds"]}) for d in node["deps"]]
            self.edges[node["id"]] = [(i, kinds) for i, kinds in deps if self.key(i) in self.used]
        self.deny = tomllib.loads(self.text("deny.toml"))
        self.code = [p for p in self.files if p.endswith(".rs") and "/generated/" not in p]
        self.test_modules = set(self.find_test_modules())

    def key(self, package):
        return self.packages[package]["name"], self.packages[package]["version"]

    def built(self):
        """Names and versions of what some target really builds: metadata also holds features that are off."""
        every = ("--workspace", "--target", "all", "--edges", "all", "--prefix", "none", "--format", "{p}")
        lines = (line.split() for line in run("cargo", "tree", "--locked", *every).splitlines())
        return {(words[0], words[1].removeprefix("v")) for words in lines if words}

    def text(self, path):
        return (ROOT / path).read_text(encoding="utf-8")

    def below(self, package, kinds=(None, "build"), first=None):
        """Ids of all packages below one; `first` are the kinds of its own edges, where they differ."""
        found, todo = set(), [i for i, k in self.edges[package["id"]] if k & set(first or kinds)]
        while todo:
            at = todo.pop()
            if at not in found:
                found.add(at)
                todo += [i for i, k in self.edges[at] if k & set(kinds)]
        return found

    def names_below(self, package, **kinds):
        return {self.packages[i]["name"] for i in self.below(package, **kinds)}

    def find_test_modules(self):
        """Files of modules that are declared behind #[cfg(test)]."""
        for path in self.code:
            for name in re.findall(r"#\[cfg\(test\)\]\s*(?:pub(?:\([a-z]+\))? )?mod (\w+);", self.text(path)):
                here = pathlib.PurePosixPath(path)
                folder = here.parent if here.name in ("lib.rs", "main.rs") else here.with_suffix("")
                yield f"{folder / name}.rs"

    def is_test(self, path):
        """Whether a file holds only tests."""
        if "/tests/" in path or path.endswith("/tests.rs") or path in self.test_modules:
            return True
        return any(path.startswith(module.removesuffix(".rs") + "/") for module in self.test_modules)


# --- the map of crates


def table_of_crates(text):
    """Rows of ARCHITECTURE.md's table: name, floor, the crates of ours that it depends on."""
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if line.startswith("| `kiban") and len(cells) == 4:
            yield cells[0].strip("`"), cells[1], set(re.findall(r"`([a-z-]+)`", cells[2]))


def the_map_is_true(world):
    rows = {name: (floor, deps) for name, floor, deps in table_of_crates(world.text("ARCHITECTURE.md"))}
    for name in sorted(set(world.members) ^ set(rows)):
        yield f"ARCHITECTURE.md: {name} is a crate without a row in the map, or a row without a crate"
    for name in sorted(set(world.members) & set(rows)):
        package, (floor, stated) = world.members[name], rows[name]
        real = {d["name"] for d in package["dependencies"] if d["name"] in world.members and d["kind"] != "dev"}
        short = {d.removeprefix("kiban-") for d in real}
        if short != stated:
            yield (
                f"ARCHITECTURE.md: {name} depends on {', '.join(sorted(short)) or 'none of ours'}; the map says "
                f"{', '.join(sorted(stated)) or 'none'} (a new edge is a decision: change the map with it)"
            )
        if floor not in FLOORS:
            yield f"ARCHITECTURE.md: {name} is on the floor {floor}; there are {', '.join(FLOORS)}"
            continue
        for dep in sorted(real & set(rows)):
            if rows[dep][0] not in FLOORS[floor]:
                yield f"{name} ({floor}) depends on {dep} ({rows[dep][0]}), which no crate of its floor may"
        if floor == "pure":
            for bad in sorted(world.names_below(package) & IMPURE):
                yield f"{name} is pure, and {bad} is below it (cargo tree -p {name} -i {bad})"


def the_client_library_has_one_holder(world):
    for name, package in world.members.items():
        tests = name == "kiban-it"
        direct = {d["name"] for d in package["dependencies"] if not (tests and d["kind"] == "dev")}
        if name != CLIENT_HOLDER and direct & CLIENT:
            yield f"{name} names {', '.join(sorted(direct & CLIENT))}; only {CLIENT_HOLDER} may"
    foreign = [p for p in world.metadata["packages"] if p["name"] not in world.members and p["name"] not in CLIENT]
    for package in foreign:
        direct = {world.packages[i]["name"] for i, _ in world.edges.get(package["id"], [])}
        if direct & CLIENT:
            yield f"{package['name']} stands on {', '.join(sorted(direct & CLIENT))}: a second way to it"
    embedded = world.members.get("kiban-simcluster")
    if embedded and (bad := world.names_below(embedded, first=(None, "build", "dev")) & CLIENT):
        yield f"kiban-simcluster knows {', '.join(sorted(bad))}; it is tested with clients, and built without"


def git_has_one_holder(world):
    for name, package in world.members.items():
        direct = {d["name"] for d in package["dependencies"] if re.match(r"gix(-|$)|git2$|libgit2", d["name"])}
        if name != GIT_HOLDER and direct:
            yield f"{name} names {', '.join(sorted(direct))}; only {GIT_HOLDER} may"


def manifests_inherit(world):
    for path in [p for p in world.files if re.fullmatch(r"crates/[^/]+/Cargo\.toml", p)]:
        manifest = tomllib.loads(world.text(path))
        package, folder = manifest["package"], path.split("/")[1]
        if package["name"] != (folder if folder == "kiban" else f"kiban-{folder}"):
            yield f"{path}: the package is called {package['name']}; its folder says kiban-{folder}"
        if not package.get("description"):
            yield f"{path}: no description"
        for key in INHERITED:
            if package.get(key) != {"workspace": True}:
                yield f"{path}: {key}.workspace = true is missing"
        if manifest.get("lints") != {"workspace": True}:
            yield f"{path}: [lints] workspace = true is missing"
        if (ROOT / path).with_name("src").joinpath("lib.rs").exists() and manifest.get("lib", {}).get("doctest", True):
            yield f"{path}: [lib] doctest = false is missing (examples are tests, and tests are fast)"
        for section in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name, value in manifest.get(section, {}).items():
                if not (isinstance(value, dict) and value.get("workspace") is True):
                    yield f"{path}: {section}.{name}: versions live in the workspace's Cargo.toml"
                elif "features" in value:
                    yield f"{path}: {section}.{name}: features live in the workspace's Cargo.toml (one build for all)"


def workspace_holds_what_is_used(world):
    workspace = tomllib.loads(world.text("Cargo.toml"))["workspace"]["dependencies"]
    used = {d["name"] for p in world.members.values() for d in p["dependencies"]}
    for name in sorted(set(workspace) - used):
        yield f"Cargo.toml: no crate uses the workspace's {name}"


def crates_use_what_they_depend_on(world):
    for name, package in world.members.items():
        folder = pathlib.Path(package["manifest_path"]).parent.relative_to(ROOT).as_posix()
        sources = {p: world.text(p) for p in world.code if p.startswith(folder + "/")}
        for dep in package["dependencies"]:
            word = re.compile(rf"\b{(dep['rename'] or dep['name']).replace('-', '_')}\b")
            places = [p for p, text in sources.items() if word.search(OPAQUE.sub(blank, text))]
            # Named by nobody, it says which release the client is built for.
            if not places and (name, dep["name"]) != (CLIENT_HOLDER, "k8s-openapi"):
                yield f"{folder}/Cargo.toml: {dep['name']} is not used"
            elif places and dep["kind"] is None and all(world.is_test(p) or "/examples/" in p for p in places):
                yield f"{folder}/Cargo.toml: {dep['name']} is used by tests alone: it is a dev-dependency"


def there_is_one_kubernetes_release(world):
    """The type table, the Go libraries that judge it and the Rust types of the tests are of one release."""
    release = re.search(r'^RELEASE = "1\.(\d+)"', world.text("tools/schema/generate.py"), re.M)[1]
    tables = [p for p in world.files if p.startswith("crates/schema/generated/")]
    if tables != [f"crates/schema/generated/kubernetes-1.{release}.txt"]:
        yield f"crates/schema/generated: holds {', '.join(tables)}; tools/schema/generate.py makes 1.{release}"
    features = tomllib.loads(world.text("Cargo.toml"))["workspace"]["dependencies"]["k8s-openapi"]["features"]
    if features != [f"v1_{release}"]:
        yield f"Cargo.toml: k8s-openapi has {features}; the type table is of 1.{release}"
    # cli-utils, which judges readiness, brings the release that it was built with.
    judges = [p for p in world.files if p.endswith("/go.mod") and "sigs.k8s.io/cli-utils" not in world.text(p)]
    for path in judges:
        for module, minor in re.findall(r"^\s*(?:require )?(k8s\.io/\w+) v0\.(\d+)\.", world.text(path), re.M):
            if minor != release and module in ("k8s.io/api", "k8s.io/apimachinery"):
                yield f"{path}: {module} is of 1.{minor}; the type table is of 1.{release}"


# --- what comes in from outside


def licence_is_allowed(expression, allowed):
    """Whether an SPDX expression can be met with the allowed licences."""
    tokens = re.findall(r"\(|\)|[^\s()/]+|/", expression)

    def either():
        value = both()
        while tokens and tokens[0].upper() in ("OR", "/"):
            tokens.pop(0)
            value = both() or value
        return value

    def both():
        value = one()
        while tokens and tokens[0].upper() == "AND":
            tokens.pop(0)
            value = one() and value
        return value

    def one():
        token = tokens.pop(0)
        if token == "(":
            value = either()
            tokens.pop(0)
            return value
        if tokens and tokens[0].upper() == "WITH":
            token = f"{token} WITH {tokens[1]}"
            del tokens[:2]
            # An exception only adds permissions.
            return token in allowed or token.split(" ")[0] in allowed
        # "or later" is met by the version itself.
        return token.removesuffix("+") in allowed

    return either()


def dependencies_may_come_in(world):
    allowed = set(world.deny["licenses"]["allow"])
    banned = {d["name"]: d["reason"] for d in world.deny["bans"]["deny"]}
    used = [p for p in world.metadata["packages"] if world.key(p["id"]) in world.used]
    for package in sorted(used, key=lambda p: p["name"]):
        name = f"{package['name']} {package['version']}"
        licence = package["license"]
        if not licence:
            yield f"{name}: states no SPDX licence ({package['license_file'] or 'and has no file'})"
        elif not licence_is_allowed(licence, allowed):
            yield f"{name}: licence {licence} is not in deny.toml"
        if package["name"] in banned:
            yield f"{name}: banned ({banned[package['name']]})"
        if package["source"] is None:
            if not pathlib.Path(package["manifest_path"]).is_relative_to(ROOT):
                yield f"{name}: comes from {package['manifest_path']}, outside the checkout"
        elif package["source"] != CRATES_IO:
            yield f"{name}: comes from {package['source']}; crates.io is the only source"
        if package["name"] in world.members:
            for dep in package["dependencies"]:
                if dep["req"] == "*" and not dep.get("path"):
                    yield f"{name}: any version of {dep['name']} will do, it says"


# --- files


def every_file_says_what_it_is_for(world):
    for path in world.code:
        lines = world.text(path).splitlines()
        if not lines or not re.match(r"//! \S", lines[0]):
            yield f"{path}:1: the first line must say what the file is for (//! …)"
        if path.endswith("/mod.rs"):
            yield f"{path}: modules are foo.rs beside foo/"


# Lints that may be allowed in tests, and the files outside tests that may say more, with the reason there.
ALLOW = re.compile(r"#!?\[(?:allow|expect)\(([^)]*)\)\]")


def lints_are_silenced_with_a_reason(world):
    for path in world.code:
        lines = world.text(path).splitlines()
        for number, line in enumerate(lines, 1):
            found = ALLOW.search(line)
            if not found or "reason" in found[1] or world.is_test(path):
                continue
            around = lines[max(0, number - 2) : number + 1]
            if any("//" in other for other in around) or any("cfg(test)" in l or "mod tests" in l for l in around):
                continue
            if "unwrap_used" in found[1] and "#[cfg(test)]" in "\n".join(lines[:number]):
                continue
            yield f"{path}:{number}: {found[0]} without a reason beside it"


# A path below one person's or one machine's folders. Tests may speak of /tmp, which containers have too.
MACHINE_PATH = re.compile(r"(?<![\w./}\-])/(?:home|root|Users|work|opt/[a-z]+|mnt|tmp/[a-z]{2,3}/)(?:/[\w.-]+)+")
URL = re.compile(r"https?://([A-Za-z0-9.-]+)")
# Build files take the addresses of package indexes from the system's settings.
NO_HOSTS = re.compile(r"^(Makefile|\.ci/.*|tools/(?:peers/)?[^/]+\.(py|sh)|\.cargo/.*)$")


def nothing_names_a_machine(world):
    for path in world.files:
        if path in ("Cargo.lock", "LICENSE") or "/golden/" in path or "/generated/" in path:
            continue
        try:
            text = world.text(path)
        except UnicodeDecodeError:
            yield f"{path}: is no text; what is binary is made, not kept"
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if path != "tools/check.py" and (found := MACHINE_PATH.search(line)):
                yield f"{path}:{number}: {found[0]} is a path of one machine"
            if NO_HOSTS.match(path) and (found := URL.search(line)) and path != "tools/check.py":
                yield f"{path}:{number}: the host {found[1]} is written down"
    for path in world.files:
        if (ROOT / path).stat().st_size > 4 << 20:
            yield f"{path}: {(ROOT / path).stat().st_size >> 20} MB; what is that large is made, not kept"


LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
NAMED = re.compile(r"`((?:crates|tools|examples|docs|tests|\.ci)/[\w./-]+)`")


def pages_point_at_what_is_there(world):
    for path in [p for p in world.files if p.endswith(".md") and "/golden/" not in p]:
        here = (ROOT / path).parent
        for number, line in enumerate(world.text(path).splitlines(), 1):
            for target in LINK.findall(line):
                if "://" not in target and not target.startswith("mailto:") and not (here / target).exists():
                    yield f"{path}:{number}: the link {target} leads nowhere"
            for target in NAMED.findall(line):
                if not (ROOT / target.rstrip(".")).exists() and not (here / target).exists():
                    yield f"{path}:{number}: {target} is not there"


# --- sizes


# Everything that may hold a brace without meaning one.
OPAQUE = re.compile(
    r"//[^\n]*|/\*.*?\*/|b?r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\\n])'", re.DOTALL
)
FUNCTION = re.compile(r"\bfn\s+(\w+)")
TABLE = re.compile(r"\bmatch\b[^{};]*$|\b(?:json|vec|matches)!\s*$|(?:=|&|\(|,)\s*$")


def blank(found):
    """The text with everything but its line ends taken out."""
    return re.sub(r"[^\n]", " ", found[0])


def functions(text):
    """Functions of a file: name, line, lines, and lines without match bodies and bracketed tables."""
    code = OPAQUE.sub(blank, text)
    for found in FUNCTION.finditer(code):
        start = next((i for i in range(found.end(), len(code)) if code[i] in "{;"), len(code))
        # `;` inside of an array type does not end a declaration.
        while start < len(code) and code[start] == ";" and code.count("[", found.end(), start) > code.count("]", found.end(), start):
            start = next((i for i in range(start + 1, len(code)) if code[i] in "{;"), len(code))
        if start >= len(code) or code[start] == ";":
            continue
        end, tables = walk(code, start)
        first = code.count("\n", 0, found.start()) + 1
        lines = code.count("\n", found.start(), end) + 1
        inside = sum(max(0, code.count("\n", a, b) - 1) for a, b in tables)
        yield found[1], first, lines, lines - inside


def walk(code, start):
    """The end of the block that begins at `start`, and the outermost tables in it."""
    stack, tables = [], []
    for found in re.compile(r"[{}\[\]]").finditer(code, start):
        at, mark = found.start(), found[0]
        if mark in "{[":
            before = code[max(start, code.rfind("\n", 0, at - 200) if at > 200 else 0) : at]
            table = mark == "[" or bool(re.search(r"\bmatch\b[^{};]*$", before)) or before.rstrip().endswith("!")
            stack.append((at, table and not any(t for _, t in stack)))
        elif stack:
            opened, table = stack.pop()
            if table:
                tables.append((opened, at))
            if not stack:
                return at + 1, tables
    return len(code), tables


def without_tests(text):
    """How many lines a file has before the tests at its end."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.strip() == "#[cfg(test)]" and any(l.startswith("mod ") and l.endswith("{") for l in lines[number + 1 : number + 4]):
            return number
    return len(lines)


def measured(world):
    """What is over the limits: the name that the allow-list knows it by, where it is, its lines, the limit."""
    for path in world.code:
        text = world.text(path)
        lines = without_tests(text)
        if lines > FILE_LINES and not world.is_test(path):
            yield path, f"{path}:1", lines, FILE_LINES
        if text.count("\n") > FUNCTION_LINES:
            for name, line, _, bare in functions(text):
                if bare > FUNCTION_LINES:
                    yield f"{path} fn {name}", f"{path}:{line}", bare, FUNCTION_LINES


def allowed_sizes(text):
    rows = (line.rsplit(" ", 1) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return {name.strip(): int(lines) for name, lines in rows}


def sizes_are_kept(world):
    allowed = allowed_sizes(world.text(ALLOWED_SIZES))
    seen = set()
    for name, where, lines, limit in measured(world):
        seen.add(name)
        if name not in allowed:
            yield f"{where}: {name} has {lines} lines; the limit is {limit}"
        elif lines > allowed[name]:
            yield f"{where}: {name} grew from {allowed[name]} to {lines} lines; the allow-list only shrinks"
        elif lines < allowed[name]:
            yield f"{ALLOWED_SIZES}: {name} has {lines} lines now: write that down"
    for name in sorted(set(allowed) - seen):
        yield f"{ALLOWED_SIZES}: {name} keeps the limit now: take it off the list"
    before = subprocess.run(["git", "show", f"HEAD:{ALLOWED_SIZES}"], cwd=ROOT, capture_output=True, text=True)
    if before.returncode == 0:
        for name in sorted(set(allowed) - set(allowed_sizes(before.stdout))):
            yield f"{ALLOWED_SIZES}: {name} is new on a list that only shrinks"


def commands_are_listed(world):
    """Each target of the Makefile that a person calls stands in CONTRIBUTING.md."""
    page = world.text("CONTRIBUTING.md")
    for target in re.findall(r"^([a-z-]+):.*## ", world.text("Makefile"), re.M):
        if f"make {target}" not in page and target != "help":
            yield f"CONTRIBUTING.md: does not name make {target}"


# What must stand in a page: where the names are taken from, how, and the page.
NAMED_IN_PAGES = [
    ("crates/manifest/src/laws.rs", r'^    \("([a-z-]+)", "', "docs/laws.md"),
    ("crates/simcluster/src/nodes.rs", r"^//! \| `(sim\.kiban\.dev/[a-z-]+)`", "docs/sim.md"),
    ("crates/app/src/lib.rs", r"^    ([A-Z][a-z]+)\(verbs::", "README.md"),
    ("crates/app/src/lib.rs", r"^    ([A-Z][a-z]+)\(verbs::", "CHANGELOG.md"),
]


def pages_name_what_there_is(world):
    for source, pattern, page in NAMED_IN_PAGES:
        names = re.findall(pattern, world.text(source), re.M)
        if not names:
            yield f"{source}: holds none of what {page} lists; tools/check.py looks for {pattern}"
        text = world.text(page).lower()
        for name in names:
            if f"`{name.lower()}`" not in text and f"kiban {name.lower()}" not in text:
                yield f"{page}: does not name {name}, which is in {source}"


RULES = [
    the_map_is_true,
    the_client_library_has_one_holder,
    git_has_one_holder,
    manifests_inherit,
    workspace_holds_what_is_used,
    crates_use_what_they_depend_on,
    there_is_one_kubernetes_release,
    dependencies_may_come_in,
    every_file_says_what_it_is_for,
    lints_are_silenced_with_a_reason,
    nothing_names_a_machine,
    pages_point_at_what_is_there,
    sizes_are_kept,
    commands_are_listed,
    pages_name_what_there_is,
]


def check_itself():
    """The parts of this file that could be wrong without anyone seeing it."""
    allowed = {"MIT", "Apache-2.0"}
    for text, good in [
        ("MIT", True),
        ("MIT/Apache-2.0", True),
        ("GPL-3.0 OR MIT", True),
        ("GPL-3.0 AND MIT", False),
        ("(MIT OR GPL-3.0) AND Apache-2.0", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0 WITH Classpath-exception-2.0", False),
    ]:
        assert licence_is_allowed(text, allowed) is good, text
    source = 'fn a(x: [u8; 2]) {\n  let s = "}";\n  match x {\n    1 => {}\n    _ => {}\n  }\n}\nfn b() { let c = \'{\'; }\n'
    assert [(n, f, l, b) for n, f, l, b in functions(source)] == [("a", 1, 7, 5), ("b", 8, 1, 1)], list(functions(source))


def main():
    check_itself()
    world = World()
    if "--sizes" in sys.argv:
        found = [(bare, f"{p}:{f} {n}") for p in world.code for n, f, _, bare in functions(world.text(p))]
        files = [(without_tests(world.text(p)), p) for p in world.code if not world.is_test(p)]
        for lines, what in sorted(found)[:-40:-1] + sorted(files)[:-20:-1]:
            print(f"{lines:5} {what}")
        return
    count = 0
    for rule in RULES:
        for offence in rule(world):
            count += 1
            print(f"{offence}  [{rule.__name__}]")
    if count:
        sys.exit(f"check.py: {count} offences")
    print(f"check.py: {len(RULES)} rules hold for {len(world.files)} files and {len(world.used)} packages")


if __name__ == "__main__":
    main()
