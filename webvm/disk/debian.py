"""A profile's packages as a tree: what mmdebstrap makes of them, and what a person then expects to find.

The tree is the same whoever builds it: nothing of the host, of the moment or of the mirror stays in it.
"""

import json
import os
import re
import stat
import subprocess
from pathlib import Path

from . import apt
from .errors import DiskError
from .profile import Profile
from .tree import Node, Tree

NOT_UNPACKED = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/lintian/*",
)
# What building leaves behind, and what names the mirror; a guest has no network to reach it by.
LEFTOVERS = (
    b"etc/apt", b"etc/machine-id", b"var/cache/apt", b"var/cache/ldconfig", b"var/lib/apt", b"var/lib/dbus/machine-id",
    b"var/cache/debconf/config.dat-old", b"var/cache/debconf/templates.dat-old", b"var/lib/dpkg/status-old",
    b"var/lib/dpkg/lock", b"var/lib/dpkg/lock-frontend", b"var/lib/dpkg/diversions-old", b"var/lib/dpkg/statoverride-old",
    b"var/log/alternatives.log", b"var/log/apt", b"var/log/bootstrap.log", b"var/log/dpkg.log",
)
USER, UID = b"user", 1000


def bootstrap(profile: Profile, tar: Path) -> None:
    """Runs mmdebstrap (as root, in a user namespace or under fakechroot: what the machine allows); its output is shown."""
    sources = apt.for_suite(profile.suite, apt.configured(), apt.os_release())
    command = [
        "mmdebstrap", "--architectures=amd64", f"--variant={profile.variant}", "--format=tar", "--skip=check/signed-by",
        f"--include={','.join(profile.packages)}",
        *(f"--dpkgopt={option}" for option in NOT_UNPACKED),
        *(f"--aptopt={option}" for option in apt.network_options()),
        profile.suite, str(tar),
        *(source_line(source) for source in sources),
    ]
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")
    except FileNotFoundError as error:
        raise DiskError("mmdebstrap is not installed: apt-get install mmdebstrap") from error
    said = ""
    with process.stderr:
        for line in process.stderr:
            print(f"  {line.rstrip()}", flush=True)
            said += line
    if process.wait():
        hint = ""
        if "NO_PUBKEY" in said:
            hint = f": this machine lacks the keys of Debian {profile.suite}; a newer debian-archive-keyring has them"
        elif os.geteuid() != 0:
            hint = ": an ordinary user needs newuidmap and a range in /etc/subuid and /etc/subgid; root needs neither"
        raise DiskError(f"mmdebstrap failed{hint}")


def source_line(source: apt.Source) -> str:
    signed = f"[signed-by={source.signed_by}] " if source.signed_by else ""
    return f"deb {signed}{source.uri} {source.suite} {' '.join(source.components)}"


def furnish(tree: Tree, profile: Profile, files: Path) -> None:
    """The login user, the files of disk/files, the manifest; then everything dated as the newest package.

    files: a folder of text files to lay over the root; what it has in home/user is the user's.
    """
    date = newest_package(tree)
    for path in LEFTOVERS:
        tree.remove(path)
    tree.write(b"etc/machine-id", b"", 0o444)
    days = date // 86400                            # shadow(5) counts days; an empty password lets `su` in
    home = b"home/" + USER
    add_line(tree, b"etc/passwd", USER, b"%s:x:%d:%d::/%s:/bin/bash" % (USER, UID, UID, home))
    add_line(tree, b"etc/group", USER, b"%s:x:%d:" % (USER, UID))
    add_line(tree, b"etc/gshadow", USER, b"%s:!::" % USER)
    add_line(tree, b"etc/passwd", b"root", b"root:x:0:0:root:/root:/bin/bash")
    for name in b"root", USER:
        add_line(tree, b"etc/shadow", name, b"%s::%d:0:99999:7:::" % (name, days))
    tree.put(home, Node(stat.S_IFDIR | 0o755, UID, UID))
    for path, node in list(tree.nodes.items()):
        if path.startswith(b"etc/skel/") and stat.S_ISREG(node.mode):
            tree.write(home + path.removeprefix(b"etc/skel"), tree.read(path), 0o644, UID, UID)
    for file in sorted(files.rglob("*")):
        if file.is_file():                          # permissions here are the checkout's, by some umask
            tree.write(os.fsencode(file.relative_to(files)), file.read_bytes())
    for path, node in tree.nodes.items():
        if path.startswith(home + b"/"):
            node.uid = node.gid = UID
    manifest = {"profile": profile.name, "suite": profile.suite, "date": date, "packages": installed(tree)}
    tree.write(b"etc/webvm-image.json", json.dumps(manifest, indent=1).encode() + b"\n")
    for node in tree.nodes.values():
        node.mtime = min(node.mtime, date) or date


def newest_package(tree: Tree) -> int:
    """When the newest package was made. Copyright files are as old as their package, whenever it was installed."""
    dates = [node.mtime for path, node in tree.nodes.items() if re.fullmatch(rb"usr/share/doc/[^/]+/copyright", path)]
    if not dates:
        raise DiskError("mmdebstrap installed no package")
    return max(dates)


def add_line(tree: Tree, path: bytes, name: bytes, line: bytes) -> None:
    """Sets `name`'s line of a colon-separated file of /etc, its owner and permissions kept."""
    old = tree.nodes.get(path) or Node(stat.S_IFREG | 0o644)
    lines = tree.read(path).splitlines()
    names = [other.split(b":")[0] for other in lines]
    if name in names:
        lines[names.index(name)] = line
    else:
        lines.append(line)
    tree.write(path, b"\n".join(lines) + b"\n", stat.S_IMODE(old.mode), old.uid, old.gid)


def installed(tree: Tree) -> dict[str, str]:
    """Package names to versions, as dpkg has them."""
    status = tree.read(b"var/lib/dpkg/status").decode()
    pairs = re.findall(r"(?m)^Package: (\S+)\n(?:.+\n)*?Version: (\S+)\n", status)
    return dict(sorted(pairs))
