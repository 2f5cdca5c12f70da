"""GitHub's own descriptions of its API, out of the npm packages that carry them: OpenAPI and GraphQL.

What the forge's tests hold each request against.
"""

import pathlib
import shutil
import subprocess
import tarfile
import tempfile

# Package, version, the file in it, what it is called here.
PACKAGES = [
    ("@octokit/openapi", "23.0.2", "package/generated/api.github.com.json", "openapi.json"),
    ("@octokit/graphql-schema", "15.26.1", "package/schema.json", "graphql.json"),
]


def fetch(folder):
    """Writes the descriptions into `folder`, whole or not at all."""
    if shutil.which("npm") is None:
        raise OSError("there is no npm on this machine")
    with tempfile.TemporaryDirectory(prefix="kiban-github-") as work:
        work = pathlib.Path(work)
        made = work / "made"
        made.mkdir()
        for package, version, path, name in PACKAGES:
            subprocess.run(
                ["npm", "pack", "--silent", f"{package}@{version}"], cwd=work, check=True, capture_output=True
            )
            archive = work / f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz"
            with tarfile.open(archive) as tarball:
                (made / name).write_bytes(tarball.extractfile(path).read())
            archive.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)
