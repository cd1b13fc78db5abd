"""What the profiles' images hold, read from the ones that scripts/setup built."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from webvm.disk import DiskError, debian
from webvm.disk.image import TOOLS_PATH
from webvm.disk.profile import Profile
from webvm.disk.tree import Node, Tree

from .test_image import debugfs, facts

BUILD = Path(__file__).parent.parent.parent / "build"
SMALL = Profile("small", "trixie", "essential", ("bash",))


@pytest.fixture(params=["tiny", "standard"])
def image(request):
    return BUILD / f"{request.param}.ext4"


@pytest.fixture
def tree(tmp_path):
    """As little as furnish needs."""
    tree = Tree(tmp_path / "spool")
    tree.write(b"usr/share/doc/bash/copyright", b"").mtime = 86400 * 100
    tree.write(b"usr/share/doc/late/changelog", b"").mtime = 86400 * 300
    tree.write(b"etc/passwd", b"root:*:0:0:root:/root:/bin/sh\nbin:x:2:2::/bin:/bin/false\n")
    tree.write(b"etc/shadow", b"root:*:1:0:99999:7:::\n", 0o640, 0, 42)
    tree.write(b"etc/skel/.profile", b"profile")
    tree.write(b"etc/apt/sources.list", b"deb http://mirror.example trixie main\n")
    tree.write(b"var/lib/dpkg/status", b"Package: bash\nStatus: ok\nVersion: 5.2-1\n\nPackage: zlib\nDescription: x\n y\nVersion: 1\n")
    return tree


@pytest.fixture
def files(tmp_path):
    """A checkout's disk/files, under a umask that would not do in an image."""
    (tmp_path / "files/home/user").mkdir(parents=True, mode=0o700)
    (tmp_path / "files/home/user/.bashrc").write_text("rc")
    (tmp_path / "files/hostname").write_text("webvm")
    (tmp_path / "files/hostname").chmod(0o600)
    return tmp_path / "files"


def test_furnishing_adds_the_user_and_keeps_the_others(tree, files):
    debian.furnish(tree, SMALL, files)
    assert tree.read(b"etc/passwd").splitlines() == [
        b"root:x:0:0:root:/root:/bin/bash", b"bin:x:2:2::/bin:/bin/false", b"user:x:1000:1000::/home/user:/bin/bash",
    ]
    assert tree.read(b"etc/shadow").splitlines() == [b"root::100:0:99999:7:::", b"user::100:0:99999:7:::"]
    shadow = tree.nodes[b"etc/shadow"]
    assert (stat.S_IMODE(shadow.mode), shadow.gid) == (0o640, 42)


def test_what_is_laid_over_has_one_owner_and_mode_whatever_the_checkout_s(tree, files):
    debian.furnish(tree, SMALL, files)
    owners = {path: (stat.S_IMODE(node.mode), node.uid) for path, node in tree.nodes.items()}
    assert owners[b"hostname"] == (0o644, 0)
    assert owners[b"home"] == (0o755, 0)
    assert owners[b"home/user"] == (0o755, 1000)
    assert owners[b"home/user/.bashrc"] == owners[b"home/user/.profile"] == (0o644, 1000)


def test_nothing_is_newer_than_the_newest_package_and_no_mirror_is_named(tree, files):
    debian.furnish(tree, SMALL, files)
    assert max(node.mtime for node in tree.nodes.values()) == 86400 * 100
    assert b"etc/apt" not in tree.nodes and b"etc/apt/sources.list" not in tree.nodes


def test_the_manifest_lists_packages_and_versions(tree, files):
    debian.furnish(tree, SMALL, files)
    assert json.loads(tree.read(b"etc/webvm-image.json")) == {
        "profile": "small", "suite": "trixie", "date": 86400 * 100, "packages": {"bash": "5.2-1", "zlib": "1"},
    }


def test_a_tree_without_packages_is_no_debian(tmp_path, files):
    tree = Tree(tmp_path / "spool")
    tree.put(b"etc", Node(stat.S_IFDIR | 0o755))
    with pytest.raises(DiskError, match="no package"):
        debian.furnish(tree, SMALL, files)


def test_an_image_is_a_clean_debian_13(image):
    assert subprocess.run(["e2fsck", "-fn", image], capture_output=True, env={"PATH": TOOLS_PATH}).returncode == 0
    assert 'VERSION_ID="13"' in debugfs(image, "cat /usr/lib/os-release")
    assert debugfs(image, "cat /etc/hostname") == "webvm\n"
    assert debugfs(image, "cat /etc/default/locale") == "LANG=C.UTF-8\n"
    assert debugfs(image, "cat /etc/resolv.conf") == ""
    assert debugfs(image, "cat /etc/motd").startswith("\nThis is Debian 13")
    assert facts(image, "/home/user")["owner"] == (1000, 1000)


def test_set_user_id_programs_keep_their_bit(image):
    found = facts(image, "/usr/bin/su")
    assert (found["mode"], found["owner"]) == (0o4755, (0, 0))


def test_the_manifest_agrees_with_dpkg(image):
    manifest = json.loads(debugfs(image, "cat /etc/webvm-image.json"))
    if not shutil.which("dpkg-query"):
        pytest.skip("dpkg-query, the judge, is not on this machine")
    listed = subprocess.run(
        ["dpkg-query", f"--admindir={image.with_suffix('.root')}/var/lib/dpkg", "-W", "-f", "${Package} ${Version}\n"],
        capture_output=True, text=True, check=True,
    ).stdout
    assert manifest["packages"] == dict(line.split() for line in listed.splitlines())
    assert manifest["profile"] == image.stem


def test_the_tree_to_chroot_into_is_the_image_s(image):
    """Every name, type, permission, size and (as root) owner below /usr and /etc, of the folder and of the image."""
    root = image.with_suffix(".root")
    owned = os.geteuid() == 0
    requests, expected = [], []
    for top in "usr", "etc":
        for folder, folders, names in os.walk(root / top):
            inside = "/" + os.path.relpath(folder, root)
            requests.append(f'ls -p "{inside}"')
            for name in folders + names:
                found = os.lstat(os.path.join(folder, name))
                size = "" if stat.S_ISDIR(found.st_mode) else str(found.st_size)
                expected.append((name, f"{found.st_mode:06o}", *((str(found.st_uid), str(found.st_gid)) if owned else ()), size))
    listing = subprocess.run(["debugfs", "-f", "-", image], input="\n".join(requests), capture_output=True, text=True, env={"PATH": TOOLS_PATH}).stdout
    actual = [
        (name, mode, *((uid, gid) if owned else ()), size)
        for mode, uid, gid, name, size in re.findall(r"(?m)^/\d+/(\d+)/(\d+)/(\d+)/([^/]+)/(\d*)/$", listing)
        if name not in (".", "..")
    ]
    assert len(actual) > 2000
    assert sorted(actual) == sorted(expected)


def test_a_shell_in_the_tree_starts_as_a_person_expects():
    root = BUILD / "standard.root"
    chroot = shutil.which("chroot", path=TOOLS_PATH)
    enter = [chroot, "--userspec=1000:1000", root] if os.geteuid() == 0 else ["unshare", "-r", chroot, root]
    script = "echo $LANG; type ls; echo $PAGER; git config user.name; python3 -c 'print(sum(range(10)))'; cd; pwd"
    done = subprocess.run(
        [*enter, "/bin/bash", "-l", "-i", "-c", script],
        capture_output=True, text=True, env={"HOME": "/home/user", "TERM": "xterm-256color", "PATH": TOOLS_PATH}, start_new_session=True,
    )
    assert done.stdout.splitlines() == ["C.UTF-8", "ls is aliased to `ls --color=auto'", "less", "user", "45", "/home/user"]
