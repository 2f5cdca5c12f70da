#!/usr/bin/env python3
"""Write crates/schema/generated/kubernetes-1.37.txt, the type table of the built-in kinds.

    python3 tools/schema/generate.py            # writes the table
    python3 tools/schema/generate.py --check    # exits 1 if the checked-in table is not current

It needs python3 with pip, go (1.26 or later) and cargo, each set up to reach its own registry.
Sources, all facts (names, numbers, rules) and none of them prose:

* the Go types of k8s.io/api and its siblings, by tools/schema/facts: JSON names, presence rules,
  protobuf numbers, patch strategies, enum constants, and server-side apply's list rules and
  defaults (go.mod pins the release);
* `_definitions.json` of the Python package kubernetes-validate: which fields are required, and a
  second opinion on every name and list rule;
* the crate k8s-openapi (the version in Cargo.lock): plural and scope of each kind;
* tools/schema/kinds.py: what discovery says and none of these states.

Where two sources disagree the run fails, or prints the difference and says which one it took.
"""

import argparse
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile

import kinds

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RELEASE = "1.37"
VALIDATE = "kubernetes-validate==1.37.0"
FORMAT = 1
OUT = os.path.join(ROOT, "crates/schema/generated/kubernetes-%s.txt" % RELEASE)

SCALARS = {"string", "bytes", "bool", "int32", "int64", "float", "quantity", "intorstring",
           "time", "microtime", "duration", "any"}
GO_NAMES = {"string": "string", "bytes": "[]uint8", "bool": "bool", "int32": "int32",
            "int64": "int64", "float": "float64", "quantity": "resource.Quantity",
            "intorstring": "intstr.IntOrString", "time": "v1.Time", "microtime": "v1.MicroTime",
            "duration": "v1.Duration"}


def fail(text):
    sys.exit("generate.py: " + text)


def go_facts():
    out = subprocess.run(["go", "run", "./facts"], cwd=HERE, check=True,
                         stdout=subprocess.PIPE)
    return json.loads(out.stdout)


def definitions(wheel_dir):
    if not wheel_dir:
        wheel_dir = tempfile.mkdtemp()
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                        "--dest", wheel_dir, VALIDATE], check=True)
    wheel = glob.glob(os.path.join(wheel_dir, "kubernetes_validate-*.whl"))[0]
    with zipfile.ZipFile(wheel) as z:
        name = [n for n in z.namelist() if n.endswith("v%s.0-local/_definitions.json" % RELEASE)]
        return json.loads(z.read(name[0]))["$defs"]


def collections():
    """(group, version, kind) -> (plural, namespaced), from k8s-openapi's Resource impls."""
    meta = json.loads(subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--locked"], cwd=ROOT, check=True,
        stdout=subprocess.PIPE).stdout)
    crate = [p for p in meta["packages"] if p["name"] == "k8s-openapi"][0]
    base = os.path.join(os.path.dirname(crate["manifest_path"]), "src", "v" + RELEASE.replace(".", "_"))
    found = {}
    pattern = re.compile(
        r'const GROUP: [^=]*= "(.*?)";\s*const KIND: [^=]*= "(.*?)";\s*const VERSION: [^=]*= "(.*?)";'
        r'\s*const URL_PATH_SEGMENT: [^=]*= "(.*?)";\s*type Scope = crate::(\w+);')
    for path in glob.glob(base + "/**/*.rs", recursive=True):
        with open(path) as f:
            for g, k, v, plural, scope in pattern.findall(f.read()):
                if scope != "SubResourceScope":
                    found[g, v, k] = (plural, scope == "NamespaceResourceScope")
    return found


def model_name(go):
    """k8s.io/api/core/v1.Pod -> io.k8s.api.core.v1.Pod."""
    path, _, name = go.rpartition(".")
    return "io.k8s." + path.removeprefix("k8s.io/").replace("/", ".") + "." + name


class Table:
    def __init__(self, facts, defs):
        self.go = {model_name(n): fs for n, fs in facts["types"].items()}
        self.apply = facts["apply"]
        self.defs = defs
        self.done = {}
        self.notes = []

    def shape(self, go):
        for prefix in ("[]", "{}"):
            if go.startswith(prefix):
                return prefix + self.shape(go[2:])
        return go if go in SCALARS else model_name(go)

    def flat(self, name):
        """Fields as JSON has them (embedded structs spread), and the embedded protobuf messages."""
        fields, inline = [], []
        for f in self.go[name] or []:
            if "inline" not in f:
                fields.append(dict(f, shape=self.shape(f["shape"])))
                continue
            inner = self.shape(f["inline"])
            number = f.get("proto", 0)
            if number:
                inline.append((number, inner))
            fields += [dict(x, proto=0) for x in self.flat(inner)[0]]
        return sorted(fields, key=lambda f: f["name"]), sorted(inline)

    def add(self, name):
        if name in self.done:
            return
        fields, inline = self.flat(name)
        self.done[name] = (fields, inline)
        for _, inner in inline:
            self.add(inner)
        for f in fields:
            target = f["shape"].lstrip("[]{}")
            if target not in SCALARS:
                self.add(target)

    def go_name(self, shape):
        if shape.startswith("[]"):
            return "[]" + self.go_name(shape[2:])
        if shape.startswith("{}"):
            return "map[string]" + self.go_name(shape[2:])
        if shape in GO_NAMES:
            return GO_NAMES[shape]
        return ".".join(shape.split(".")[-2:])

    def rules(self, name, field):
        """Server-side apply's rule of one field: (list rule, map is atomic, default)."""
        schema = self.defs.get(name, {}).get("properties", {}).get(field["name"], {})
        listed = schema.get("x-kubernetes-list-type")
        keys = schema.get("x-kubernetes-list-map-keys", [])
        declared = "map:" + ",".join(keys) if listed == "map" else listed
        atomic = schema.get("x-kubernetes-map-type") == "atomic"
        rule = next((f for f in self.apply.get(name, []) if f.get("name") == field["name"]), None)
        if rule is None:
            if name in self.apply and field["shape"] != "any":
                self.notes.append("%s.%s: not in the apply schema" % (name, field["name"]))
            return declared or "atomic", atomic, None
        is_list = field["shape"].startswith("[]")
        if is_list:
            applied = "atomic"
            if rule.get("relation") == "associative":
                applied = "map:" + ",".join(rule["keys"]) if rule.get("keys") else "set"
            if applied != (declared or "atomic"):
                self.notes.append("%s.%s: list rule %s (apply schema), %s (definitions): took the first"
                                  % (name, field["name"], applied, declared))
            declared = applied
        elif (rule.get("relation") == "atomic") != atomic:
            self.notes.append("%s.%s: atomic differs" % (name, field["name"]))
        return declared or "atomic", atomic or (not is_list and rule.get("relation") == "atomic"), \
            rule.get("default")

    def type_atomic(self, name):
        applied = [f for f in self.apply.get(name, []) if "name" not in f]
        return bool(applied and applied[0].get("relation") == "atomic") or \
            self.defs.get(name, {}).get("x-kubernetes-map-type") == "atomic"

    def field_line(self, name, f):
        shape = f["shape"]
        schema = self.defs.get(name, {})
        words = [f["name"], str(f.get("proto", 0)), short(shape)]
        required = f["name"] in schema.get("required", [])
        if required:
            words.append("required")
        if f.get("pointer"):
            words.append("pointer")
        if always(f, shape):
            words.append("always")
        rule, atomic, default = self.rules(name, f)
        if shape.startswith("[]") and rule != "atomic":
            words.append("list=" + rule)
        if atomic:
            words.append("atomic")
        if f.get("strategy"):
            words.append("patch=" + f["strategy"])
            declared = schema.get("properties", {}).get(f["name"], {})
            if name in self.defs and declared.get("x-kubernetes-patch-strategy") != f["strategy"]:
                self.notes.append("%s.%s: patch strategy differs" % (name, f["name"]))
        if f.get("mergeKey"):
            words.append("key=" + f["mergeKey"])
        if f["go"] != self.go_name(shape):
            words.append("go=" + f["go"])
        if default is not None and default != zero(shape):
            words.append("default=" + json.dumps(default))
        if any(" " in w for w in words):
            fail("space in a word of %s: %s" % (name, words))
        if f.get("enum"):
            words.append("enum=" + "|".join(f["enum"]))
        return " " + " ".join(words)

    def check_names(self, name, fields):
        theirs = set(self.defs.get(name, {}).get("properties", {}))
        ours = {f["name"] for f in fields}
        if name in self.defs and theirs != ours:
            self.notes.append("%s: definitions only %s, Go only %s"
                              % (name, sorted(theirs - ours), sorted(ours - theirs)))

    def lines(self):
        for name in sorted(self.done):
            fields, inline = self.done[name]
            self.check_names(name, fields)
            yield "type %s%s" % (short(name), " atomic" if self.type_atomic(name) else "")
            for number, inner in inline:
                yield " + %d %s" % (number, short(inner))
            for f in fields:
                yield self.field_line(name, f)


def zero(shape):
    return {"string": "", "bool": False, "int32": 0, "int64": 0, "float": 0}.get(shape)


def always(f, shape):
    """Go writes the field even when it is zero: no omitempty, or omitempty on a struct."""
    if f.get("omitzero"):
        return False
    if not f.get("omitempty"):
        return True
    if f.get("pointer") or shape.startswith(("[]", "{}")):
        return False
    return shape in ("quantity", "intorstring", "time", "microtime", "duration", "any") or \
        shape not in SCALARS


PREFIXES = {}


def short(shape):
    """Replaces a type's package by its abbreviation."""
    for prefix in ("[]", "{}"):
        if shape.startswith(prefix):
            return prefix + short(shape[2:])
    if shape in SCALARS:
        return shape
    package, _, name = shape.rpartition(".")
    parts = package.split(".")
    PREFIXES.setdefault(package, "meta/v1" if parts[-2] == "meta" else "/".join(parts[-2:]))
    return PREFIXES[package] + "." + name


def kind_lines(found, table, by_gvk):
    for group, version, rows in kinds.GROUPS:
        for kind, verbs, shorts, categories, subresources in rows:
            type_name = model_name(by_gvk[group, version, kind])
            table.add(type_name)
            plural, namespaced = found.get((group, version, kind), ("", False))
            if verbs and not plural:
                fail("no plural for " + kind)
            if not verbs:
                plural, namespaced = "", False
            words = ["kind", group or "-", version, kind, short(type_name), plural or "-",
                     "namespaced" if namespaced else "cluster"]
            for key, value in (("verbs", verbs), ("short", shorts), ("categories", categories),
                               ("sub", subresources)):
                if value:
                    words.append("%s=%s" % (key, value.replace(" ", ",")))
            yield " ".join(words)


HEADER = """\
# The built-in types of Kubernetes %s as facts: names, shapes, merge rules, protobuf numbers.
# Made by `make schema` (tools/schema/generate.py); do not edit. Its first lines say from what.
#
# format N           version of this notation
# prefix SHORT FULL  abbreviation of a package in type names
# kind GROUP VERSION KIND TYPE PLURAL SCOPE [verbs=] [short=] [categories=] [sub=]
#                    in the order of discovery; without verbs: a body, no collection
# type TYPE [atomic] followed by its parts, indented by one space:
#  + NUMBER TYPE     protobuf message whose fields stand flat in JSON
#  NAME NUMBER SHAPE WORDS
#    NUMBER  protobuf field; 0: none, or in a message above
#    SHAPE   []X list, {}X map, scalar or type
#    required  by the published schema    pointer  zero and absent differ
#    always    written even when zero     list=    set or map:KEYS (default: atomic)
#    atomic    owned whole                patch=, key=  strategic merge
#    go=       Go's name of the type, where it does not follow from the shape
#    default=  as JSON, where not zero    enum=    allowed values of it or its items,
#                                                to the end of the line
format %d
release %s
"""


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--check", action="store_true")
    args.add_argument("--wheel-dir", help="folder that has the kubernetes-validate wheel already")
    args = args.parse_args()
    facts, defs, found = go_facts(), definitions(args.wheel_dir), collections()
    by_gvk = {(k["group"], k["version"], k["kind"]): k["type"] for k in facts["kinds"]}
    meta = "k8s.io/apimachinery/pkg/apis/meta/v1."
    by_gvk["", "v1", "Status"] = meta + "Status"
    table = Table(facts, defs)
    kind_rows = list(kind_lines(found, table, by_gvk))
    type_rows = list(table.lines())
    prefix_rows = ["prefix %s %s" % (s, p) for p, s in sorted(PREFIXES.items(), key=lambda x: x[1])]
    if len(set(PREFIXES.values())) != len(PREFIXES):
        fail("two packages share an abbreviation")
    text = HEADER % (RELEASE, FORMAT, RELEASE) + "\n".join(prefix_rows + kind_rows + type_rows) + "\n"
    for note in table.notes:
        print("note: " + note, file=sys.stderr)
    known = {(g, v, k) for g, v, rows in kinds.GROUPS for k, *_ in rows}
    for gvk in sorted(found):
        if gvk not in known:
            print("note: no row for %s/%s %s" % gvk, file=sys.stderr)
    if args.check:
        with open(OUT) as f:
            sys.exit(0 if f.read() == text else "generate.py: %s is not current" % OUT)
    os.makedirs(os.path.dirname(OUT), exist_ok=True)
    with open(OUT, "w") as f:
        f.write(text)
    print("%s: %d types, %d kinds, %d bytes" % (OUT, len(table.done), len(kind_rows), len(text)))


if __name__ == "__main__":
    main()
