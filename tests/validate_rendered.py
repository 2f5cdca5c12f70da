#!/usr/bin/env python3
"""Validates rendered manifests against the Kubernetes JSON Schemas, and custom resources against their CRDs.

    validate_rendered.py FOLDER [--crds FILE_OR_FOLDER]... [--version 1.37] [--require-crds] [--kube-score PROGRAM]

FOLDER holds rendered YAML (all environments; `tests/golden` or the output of `kiban render --out`).
Built-in kinds are validated by the package kubernetes-validate in strict mode: unknown fields fail.
A kind that it has no schema for is validated against the CustomResourceDefinitions in --crds, strictly
too: a field that the CRD's schema lacks fails unless the schema says that it keeps unknown ones.
Without a CRD the kind is counted as skipped, by name; with --require-crds that fails.

With --kube-score the linter judges the files of each environment that is called prod, its optional tests
included; whatever it does not call OK fails, but for the exemptions of docs/practices.md.

Run it with an interpreter that has kubernetes-validate (1.37), jsonschema and PyYAML. Exit code 0: all
valid; 1: something is not; 2: wrong usage. The last line counts.
"""

import argparse
import collections
import pathlib
import subprocess
import sys

import jsonschema
import kubernetes_validate
import yaml


def documents(path):
    """The YAML documents of a file. Times stay texts, as in Kubernetes' own reader."""
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.yaml_implicit_resolvers = {
        key: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for key, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.load_all(file, Loader=loader) if document]


def yaml_files(root):
    root = pathlib.Path(root)
    return [root] if root.is_file() else sorted(root.rglob("*.yaml"))


def strict(schema):
    """A CRD's structural schema as a JSON Schema that refuses what it does not name."""
    if not isinstance(schema, dict):
        return schema
    out = {}
    for key, value in schema.items():
        if key in ("properties", "definitions"):
            out[key] = {name: strict(child) for name, child in value.items()}
        elif key in ("items", "not", "additionalProperties"):
            out[key] = strict(value)
        elif key in ("oneOf", "anyOf", "allOf"):
            # Branches only add demands to the properties above them; they do not close the map.
            out[key] = value
        elif not key.startswith("x-kubernetes-") and key not in ("description", "default", "example"):
            out[key] = value
    if schema.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
    if schema.get("nullable") and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    keeps = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
    if "properties" in out and "additionalProperties" not in out and not keeps:
        out["additionalProperties"] = False
    return out


def crd_schemas(paths):
    """Group, version and kind to schema, of all CRDs in files."""
    schemas = {}
    for root in paths:
        for path in yaml_files(root):
            for crd in documents(path):
                if crd.get("kind") != "CustomResourceDefinition":
                    continue
                spec = crd["spec"]
                for version in spec["versions"]:
                    schema = (version.get("schema") or {}).get("openAPIV3Schema")
                    if schema is None:
                        continue
                    schema = strict(schema)
                    for name in ("apiVersion", "kind"):
                        schema.setdefault("properties", {}).setdefault(name, {"type": "string"})
                    schema["properties"]["metadata"] = {"type": "object"}
                    key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                    schemas[key] = schema
    return schemas


def check(resource, version, crds):
    """None when valid, a sentence when not; LookupError for a kind without a schema."""
    key = (resource["apiVersion"], resource["kind"])
    if key in crds:
        error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(crds[key]).iter_errors(resource))
        return None if error is None else f"{error.json_path}: {error.message}"
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.SchemaNotFoundError as error:
        raise LookupError(str(key)) from error
    except kubernetes_validate.ValidationError as error:
        return f"$.{'.'.join(str(part) for part in error.path)}: {error.message}"
    return None


# The optional tests of kube-score that rendered objects keep; docs/practices.md says why not the others.
OPTIONAL = (
    "container-memory-requests-equal-limits",
    "container-ephemeral-storage-request-equals-limit",
    "container-ports-check",
    "container-seccomp-profile",
)


def kube_score(program, folder):
    """Lines of kube-score that are neither OK nor skipped, over the prod environment below a folder."""
    root = pathlib.Path(folder)
    prod = root if root.name == "prod" else root / "prod"
    command = [program, "score", "--output-format", "ci"]
    command += [part for test in OPTIONAL for part in ("--enable-optional-test", test)]
    command += [str(path) for path in yaml_files(prod)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = run.stdout.splitlines()
    bad = [line for line in lines if not line.startswith(("[OK]", "[SKIPPED]"))]
    ok = sum(line.startswith("[OK]") for line in lines)
    print(f"kube-score: {ok} OK, {len(bad)} not")
    return bad if ok else bad + [run.stderr.strip() or "kube-score judged nothing"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder")
    parser.add_argument("--crds", action="append", default=[], metavar="FILE_OR_FOLDER")
    parser.add_argument("--version", default="1.37")
    parser.add_argument("--require-crds", action="store_true")
    parser.add_argument("--kube-score", metavar="PROGRAM")
    args = parser.parse_args()
    if not pathlib.Path(args.folder).is_dir():
        parser.error(f"no folder {args.folder}")
    crds = crd_schemas(args.crds)
    valid = collections.Counter()
    skipped = collections.Counter()
    bad = 0
    for path in yaml_files(args.folder):
        for resource in documents(path):
            kind = f"{resource['apiVersion']} {resource['kind']}"
            try:
                problem = check(resource, args.version, crds)
            except LookupError:
                skipped[kind] += 1
                continue
            if problem is None:
                valid[kind] += 1
            else:
                bad += 1
                print(f"{path}: {kind} {resource['metadata']['name']}: {problem}")
    if args.kube_score:
        for line in kube_score(args.kube_score, args.folder):
            bad += 1
            print(line)
    for kind, count in sorted(skipped.items()):
        print(f"skipped: {count} of {kind}: no schema for it (see --crds)")
    print(f"rendered: {sum(valid.values())} valid of {len(valid)} kinds, {bad} invalid, {sum(skipped.values())} skipped")
    if not valid:
        print("nothing was validated: is the folder right?")
        return 1
    return 1 if bad or (skipped and args.require_crds) else 0


if __name__ == "__main__":
    sys.exit(main())
