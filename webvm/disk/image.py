"""A tree as an ext4 image, made by e2fsprogs; root is not needed.

`mke2fs -d` copies names and contents from a folder unpacked for it, then `debugfs` sets what only root could have given
that folder: owners, modes, times, devices, extended attributes. An image is for reading (a guest writes elsewhere), so
it has no journal and no room to spare, and equal trees give equal images.
"""

import math
import os
import shutil
import stat
import subprocess
import uuid
from pathlib import Path

from .errors import DiskError
from .tree import Node, Tree, join, show

BLOCK = 4096
INODE = 256
ROOT_INODE = 2
FEATURES = "none,ext_attr,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum"
TOOLS_PATH = os.defpath + ":/usr/local/sbin:/usr/sbin:/sbin"      # Debian keeps e2fsprogs out of a user's PATH


def write_image(tree: Tree, out: Path, work: Path) -> None:
    """Makes `out`, whole or not at all. work: a folder of its own on the same host file system."""
    stage, part = work / "stage", work / "image"
    for path in tree.nodes:
        quote(path)                                  # refuses a name that debugfs cannot be told
    tree.unpack(stage, metadata=False)
    identity = str(uuid.UUID(bytes=tree.digest()[:16], version=4))
    date = max(node.mtime for node in tree.nodes.values())
    environment = {
        "PATH": TOOLS_PATH, "LC_ALL": "C", "MKE2FS_CONFIG": "/dev/null",
        "E2FSPROGS_FAKE_TIME": str(date), "SOURCE_DATE_EPOCH": str(date),
    }
    inodes = len(set(tree.nodes.values())) + 16
    blocks = estimate_blocks(tree, inodes)
    while not _mke2fs(stage, part, blocks, inodes, identity, environment):
        blocks += blocks // 50 + 8
    numbers = inode_numbers(part, tree, environment)
    _debugfs(part, metadata_commands(tree, numbers, work), environment)
    part.replace(out)


def estimate_blocks(tree: Tree, inodes: int) -> int:
    """Blocks the tree needs at least: contents, directories, long links, inode tables."""
    blocks = 64 + math.ceil(inodes * INODE / BLOCK)
    names: dict[bytes, int] = {}
    for path in tree.nodes:
        folder, _, name = path.rpartition(b"/")
        names[folder] = names.get(folder, 24) + 8 + math.ceil(len(name) / 4) * 4
    for path, node in tree.nodes.items():
        if node.is_directory:
            blocks += math.ceil(names.get(path, 24) / BLOCK)
    for node in set(tree.nodes.values()):
        if stat.S_ISREG(node.mode) or stat.S_ISLNK(node.mode) and node.size >= 60:
            blocks += math.ceil(node.size / BLOCK)
        blocks += bool(node.xattrs)
    return blocks


def inode_numbers(image: Path, tree: Tree, environment: dict[str, str]) -> dict[bytes, int]:
    """Paths to the inodes that mke2fs gave them. A number spares debugfs searching every directory on the way."""
    folders = [path for path, node in tree.items() if node.is_directory]
    listing = iter(_debugfs(image, [f"ls -p {quote(b'/' + path)}" for path in folders], environment).splitlines())
    numbers = {b"": ROOT_INODE}
    for folder in folders:
        for line in listing:
            if line.startswith(b"/"):                       # /inode/mode/uid/gid/name/size/
                _, number, _, _, _, name, *_ = line.split(b"/")
                if name not in (b".", b".."):
                    numbers[join(folder, name)] = int(number)
            elif not line:                                  # ends a directory
                break
    return numbers


def metadata_commands(tree: Tree, numbers: dict[bytes, int], work: Path) -> list[str]:
    """What debugfs is told: every inode's metadata, and the nodes that mke2fs was not given."""
    commands: list[str] = []
    done: dict[Node, str] = {}
    links: dict[Node, int] = {}             # debugfs's ln leaves the count alone
    for path, node in tree.items():
        if path in numbers:
            if node in done:
                continue
            name = f"<{numbers[path]}>"
        else:
            name = quote(b"/" + path)
            if node in done:
                links[node] += 1
                commands += [f"ln {done[node]} {name}", f"sif {name} links_count {links[node]}"]
                continue
            links[node] = 1
            folder, _, base = path.rpartition(b"/")
            kind = {stat.S_IFCHR: "c {} {}", stat.S_IFBLK: "b {} {}", stat.S_IFIFO: "p"}[stat.S_IFMT(node.mode)]
            commands += [f"cd {quote(b'/' + folder)}", f"mknod {quote(base)} {kind.format(*node.rdev)}"]
        done[node] = name
        for field, value in (
            ("mode", f"{node.mode:07o}"), ("uid", node.uid), ("gid", node.gid),
            *((time, f"@{node.mtime}") for time in ("atime", "mtime", "ctime", "crtime")),
        ):
            commands.append(f"sif {name} {field} {value}")
        for number, (attribute, value) in enumerate(node.xattrs.items()):
            file = work / f"xattr-{len(done)}-{number}"
            file.write_bytes(value)
            commands.append(f"ea_set -f {quote(os.fsencode(file))} {name} {quote(attribute)}")
    return commands


def quote(path: bytes) -> str:
    """A word of debugfs's command language, which knows no way to write a line's end."""
    if b"\n" in path or b"\r" in path:
        raise DiskError(f"{show(path.lstrip(b'/'))!r}: a name with a line break in it")
    return '"' + path.decode("utf-8", "surrogateescape").replace('"', '""') + '"'


def _mke2fs(stage: Path, out: Path, blocks: int, inodes: int, identity: str, environment: dict[str, str]) -> bool:
    """False when the image came out too small."""
    out.unlink(missing_ok=True)
    extended = f"hash_seed={identity},root_owner=0:0,lazy_itable_init=1,nodiscard"
    command = [
        "mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-I", str(INODE), "-N", str(inodes), "-m", "0", "-O", FEATURES,
        "-U", identity, "-L", "webvm", "-E", extended, "-d", str(stage), str(out), str(blocks),
    ]
    done = run_tool(command, environment)
    if done.returncode == 0:
        return True
    if b"Could not allocate" in done.stderr or b"No space" in done.stderr or b"too small" in done.stderr:
        return False
    raise DiskError(f"mke2fs: {done.stderr.decode(errors='replace').strip()}")


def _debugfs(image: Path, commands: list[str], environment: dict[str, str]) -> bytes:
    """What it prints, its own lines left out."""
    script = "\n".join([*commands, ""]).encode("utf-8", "surrogateescape")
    done = run_tool(["debugfs", "-w", "-f", "-", str(image)], environment, script)
    complaints = [line for line in done.stderr.splitlines() if not line.startswith(b"debugfs 1.")]
    if done.returncode or complaints:
        raise DiskError(f"debugfs: {b' '.join(complaints[:3]).decode(errors='replace')}")
    return b"".join(line for line in done.stdout.splitlines(keepends=True) if not line.startswith(b"debugfs: "))


def run_tool(command: list[str], environment: dict[str, str], text: bytes = b"") -> subprocess.CompletedProcess:
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise DiskError(f"{command[0]} is not installed: apt-get install e2fsprogs")
    return subprocess.run([program, *command[1:]], input=text, capture_output=True, env=environment)
