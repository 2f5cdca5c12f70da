"""Programs out of Debian packages, unpacked and not installed.

The mirrors are those that the system's own apt is set up with; lists, state and cache are apart, in a folder
that goes when the run ends, so that neither root nor a change of the system is needed. Signatures are
checked as ever.
"""

import pathlib
import re
import shlex
import shutil
import tempfile
from collections import namedtuple

from .store import CACHE, CannotBeHad, once, retry, run, tree

# Where Debian keeps the keys of its archive, on Debian.
KEYRINGS = ["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"]
# The suite of newer programs than the system's; what of Go they are runs on older systems too.
SID = "sid"
# The system's own suite: programs that need its libraries.
OWN = "own"

# What to get: the suite, packages, which paths of them to keep (a file, or a folder with all below), and the
# folder, if there is one, that the programs would look for where it would have been installed.
Wanted = namedtuple("Wanted", "suite packages keep home", defaults=(None,))
# The descriptor by which such a folder is handed to them.
DESCRIPTOR = 9

LIBRARY = re.compile(r"(lib[a-z0-9.+-]+|zlib1g)(?::any)?(?: \(>= ([^)]+)\))?$")
# The C library is the system's or none: its loader and it are of one version.
SYSTEM = {"libc6", "libgcc-s1", "libstdc++6"}


# What the system has apt do around an update is about the system.
HOOKS = ["APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success"]


def options(state, **more):
    """The arguments of apt with lists, state and cache below `state`, in a file that is read after the system's."""
    set_to = {
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        # apt would hand the fetching to a user who cannot see the caches of others.
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "60",
        "Acquire::https::Timeout": "60",
        **{name.replace("_", "::"): value for name, value in more.items()},
    }
    lines = [f"#clear {name};" for name in HOOKS] + [f'{name} "{value}";' for name, value in set_to.items()]
    path = state / "apt.conf"
    path.write_text("\n".join([*lines, ""]))
    return ["-c", path]


def mirrors():
    """Where the system gets Debian's main component from, in its order."""
    targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    rows = [line.split() for line in targets.splitlines()]
    # Security and updates have archives of their own, or none of their own in sid.
    found = [row[0] for row in rows if len(row) == 3 and row[2] == "main" and not re.search(r"[-/]", row[1])]
    if not found:
        raise CannotBeHad("the system's apt names no Debian archive")
    return list(dict.fromkeys(found))


def sources(mirror, keyring):
    return (
        f"Types: deb\nURIs: {mirror}\nSuites: {SID}\nComponents: main\n"
        f"Targets: Packages\nSigned-By: {keyring}\n"
    )


def update(arguments):
    run("apt-get", *arguments, "update")


def update_sid(arguments, source, keyring):
    """The lists of sid, from the first of the system's mirrors that has them."""
    failures = []
    for mirror in mirrors():
        source.write_text(sources(mirror, keyring))
        try:
            return update(arguments)
        except OSError as error:
            failures.append(str(error))
    raise OSError("; ".join(failures))


STATES = []


@once
def archive(suite):
    """The arguments with which apt knows a suite; its lists are fetched for that."""
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(program) is None:
            raise CannotBeHad(f"there is no {program} on this system, and it comes as a Debian package")
    state = pathlib.Path(tempfile.mkdtemp(prefix="apt.", suffix=".part", dir=CACHE))
    STATES.append(state)
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True)
    if suite == OWN:
        arguments = options(state)
        fetch_lists = lambda: update(arguments)  # noqa: E731
    else:
        keyring = next((k for k in KEYRINGS if pathlib.Path(k).exists()), None)
        if keyring is None:
            raise CannotBeHad("Debian's archive keyring is not on this system (package debian-archive-keyring)")
        source, status = state / "sid.sources", state / "status"
        status.touch()
        arguments = options(state, Dir_Etc_sourcelist=source, Dir_Etc_sourceparts="-", Dir_State_status=status)
        fetch_lists = lambda: update_sid(arguments, source, keyring)  # noqa: E731
    try:
        retry(f"the list of packages ({suite})", fetch_lists)
    except OSError as error:
        # Tried often enough, for all who want a package of it.
        raise CannotBeHad(str(error)) from error
    return arguments


def forget():
    """Removes the lists: the next run asks for new ones, if it needs any."""
    for state in STATES:
        shutil.rmtree(state, ignore_errors=True)


def stanza(apt, package):
    """What the archive says of a package, by field."""
    fields = {}
    for line in run("apt-cache", *apt, "show", "--no-all-versions", package).splitlines():
        if not line.strip():
            break
        name, _, value = line.partition(":")
        fields[name] = value.strip()
    if "Version" not in fields:
        raise CannotBeHad(f"the archive has no package {package}")
    return fields


def on_system(package):
    """The version of a package that the system has installed, or nothing."""
    try:
        state, _, version = run("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Version}", package).partition(" ")
    except OSError:
        return None
    return version if state == "installed" else None


def satisfied(package, least):
    """Whether the system has a package in this version or a later one."""
    version = on_system(package)
    if version is None or least is None:
        return version is not None
    try:
        run("dpkg", "--compare-versions", version, "ge", least)
        return True
    except OSError:
        return False


def with_libraries(apt, packages):
    """The packages, and of the libraries that they need those that the system lacks or has too old."""
    found, open_ = {}, list(packages)
    while open_:
        package = open_.pop(0)
        if package in found:
            continue
        found[package] = stanza(apt, package)
        needs = [need.split("|")[0].strip() for need in found[package].get("Depends", "").split(",")]
        for library, least in (match.groups() for match in map(LIBRARY.match, needs) if match):
            if satisfied(library, least):
                continue
            if library in SYSTEM:
                raise CannotBeHad(f"{package} needs {library} from {least or 'any version'} on, this system has {on_system(library)}")
            open_.append(library)
    return found


def unpack(wanted, folder):
    """Fetches packages and leaves of them what is wanted; apt checks them against the signed lists."""
    apt = archive(wanted.suite)
    packages = with_libraries(apt, wanted.packages)
    debs = folder / "debs"
    debs.mkdir()
    run("apt-get", *apt, "download", *packages, cwd=debs)
    for deb in sorted(debs.glob("*.deb")):
        run("dpkg-deb", "--extract", deb, folder)
    shutil.rmtree(debs)
    keep = list(wanted.keep)
    if set(packages) - set(wanted.packages):
        keep += ["lib", "usr/lib"]
    for path in sorted(folder.rglob("*"), reverse=True):
        relative = path.relative_to(folder)
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif not any(relative.is_relative_to(k) for k in keep):
            path.unlink()
    if wanted.home:
        move(folder, wanted.home)
    return {name: fields["Version"] for name, fields in packages.items()}


def move(folder, home):
    """Has the programs look for their folder behind a descriptor: the one path in them that must change.

    A text in a program can only be replaced by one of the same length, which a path into the cache is not.
    """
    old = f"/{home}".encode()
    start, end = b"/proc/self/fd", str(DESCRIPTOR).encode()
    new = start + b"/" * (len(old) - len(start) - len(end)) + end
    if len(new) != len(old):
        raise CannotBeHad(f"/{home} is too short a path to be replaced")
    for path in (folder / "usr" / "bin").iterdir():
        path.write_bytes(path.read_bytes().replace(old, new))


def fetch(name, wanted, fresh):
    """The folder of a peer, and the versions of its packages. What was fetched stays until `fresh`."""
    return tree(name, wanted, lambda folder: unpack(wanted, folder), fresh)


def libraries(folder):
    """The folders of a peer with libraries of its own."""
    return sorted({str(p.parent) for p in folder.rglob("lib*.so.*") if not p.is_dir()})


def script(program, folder, wanted, arguments=(), environment=None):
    """A program in its own folder as a shell script; nothing where it runs as it is."""
    lines = [f"export {name}={shlex.quote(str(value))}" for name, value in (environment or {}).items()]
    if paths := libraries(folder):
        lines.append(f"export LD_LIBRARY_PATH={shlex.quote(':'.join(paths))}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}")
    if wanted.home:
        lines.append(f"exec {DESCRIPTOR}<{shlex.quote(str(folder / wanted.home))}")
    words = " ".join(shlex.quote(str(word)) for word in [program, *arguments])
    return "\n".join(["#!/bin/sh", *lines, f'exec {words} "$@"', ""]) if lines or arguments else None
