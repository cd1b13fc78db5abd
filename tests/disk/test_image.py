"""Images made from tarballs, judged by debugfs and e2fsck."""

import os
import re
import struct
import subprocess
import tarfile

import pytest

from webvm.cli import main
from webvm.disk import DiskError, build_tar
from webvm.disk.image import TOOLS_PATH

from .tarballs import DATE, folder, hard_link, member, symlink, write_tar

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)        # VFS_CAP_REVISION_2, effective, CAP_NET_RAW


def tool(*command) -> str:
    done = subprocess.run(command, capture_output=True, env={"PATH": TOOLS_PATH, "LC_ALL": "C"})
    return done.stdout.decode("utf-8", "surrogateescape")


def debugfs(image, request) -> str:
    return tool("debugfs", "-R", request, str(image))


def facts(image, path) -> dict:
    text = debugfs(image, f'stat "{path}"')
    owner = re.search(r"User:\s+(\d+)\s+Group:\s+(\d+)", text)
    return {
        "inode": int(re.search(r"Inode: (\d+)", text)[1]),
        "type": re.search(r"Type: ([A-Za-z ]+?) {2}", text + "  ")[1],
        "mode": int(re.search(r"Mode:\s+(\d+)", text)[1], 8),
        "owner": (int(owner[1]), int(owner[2])),
        "links": int(re.search(r"Links: (\d+)", text)[1]),
        "mtime": int(re.search(r" mtime: (0x\w+)", text)[1], 16),
        "text": text,
    }


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    work = tmp_path_factory.mktemp("image")
    header = {"SCHILY.xattr.security.capability": CAPABILITY.decode("utf-8", "surrogateescape")}
    tar = write_tar(
        work / "root.tar",
        folder("./", mode=0o751, uid=9, gid=8),
        folder("etc"), member("etc/shadow", data=b"root::\n", mode=0o640, gid=42),
        folder("bin"), member("bin/su", data=b"su", mode=0o4755), member("bin/ping", data=b"ping", pax_headers=header),
        hard_link("bin/su2", "bin/su"), symlink("bin/sh", "dash", uid=1), symlink("long", "x" * 200),
        folder("secret", mode=0o000, uid=1000, gid=1000), member("secret/x", data=b"s", mode=0o000, uid=1000, gid=70000),
        folder("tmp", mode=0o1777),
        folder("dev"), member("dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        member("dev/sda", tarfile.BLKTYPE, devmajor=8, devminor=0, mode=0o660, gid=6), hard_link("dev/disk", "dev/sda"),
        member("dev/pipe", tarfile.FIFOTYPE, mode=0o600, uid=5),
        member('odd/a "quoted" name', data=b"1"), member("odd/caf\udce9", data=b"2"), member("odd/<12>", data=b"3"),
        member("odd/ends with space ", data=b"4"), member("odd/#hash", data=b"5"),
        member("big", data=os.urandom(300_000)), member("holes", data=bytes(1_000_000) + b"end"), member("empty"),
    )
    build_tar(tar, work / "image.ext4")
    return work / "image.ext4"


def test_the_file_system_is_clean(image):
    done = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True, env={"PATH": TOOLS_PATH})
    assert done.returncode == 0, done.stdout


def test_the_image_has_no_journal_and_little_room_to_spare(image):
    superblock = tool("dumpe2fs", "-h", str(image))
    assert "has_journal" not in superblock
    assert "metadata_csum" in superblock
    blocks, free = (int(re.search(rf"^{name}:\s+(\d+)", superblock, re.M)[1]) for name in ("Block count", "Free blocks"))
    holes = 1_000_000 // 4096
    assert free - holes < blocks // 5


@pytest.mark.parametrize(("path", "kind", "mode", "owner"), [
    ("/",           "directory",         0o751,  (9, 8)),
    ("/etc/shadow", "regular",           0o640,  (0, 42)),
    ("/bin/su",     "regular",           0o4755, (0, 0)),
    ("/bin/sh",     "symlink",           0o644,  (1, 0)),
    ("/secret",     "directory",         0o000,  (1000, 1000)),
    ("/secret/x",   "regular",           0o000,  (1000, 70000)),
    ("/tmp",        "directory",         0o1777, (0, 0)),
    ("/dev/null",   "character special", 0o666,  (0, 0)),
    ("/dev/sda",    "block special",     0o660,  (0, 6)),
    ("/dev/pipe",   "FIFO",              0o600,  (5, 0)),
])  # fmt: skip
def test_metadata_come_out_as_the_tarball_has_them(image, path, kind, mode, owner):
    found = facts(image, path)
    assert (found["type"], found["mode"], found["owner"], found["mtime"]) == (kind, mode, owner, DATE)


def test_contents_and_links_come_out_right(image, tmp_path):
    assert debugfs(image, "cat /etc/shadow") == "root::\n"
    assert facts(image, "/bin/su")["inode"] == facts(image, "/bin/su2")["inode"]
    assert facts(image, "/bin/su")["links"] == 2
    assert facts(image, "/dev/sda")["inode"] == facts(image, "/dev/disk")["inode"]
    assert 'Fast link dest: "dash"' in facts(image, "/bin/sh")["text"]
    assert debugfs(image, "cat /long").rstrip("\0") == "x" * 200
    assert "Device major/minor number: 08:00" in facts(image, "/dev/sda")["text"]
    with tarfile.open(image.parent / "root.tar") as tar:
        for name in "big", "holes", "empty":
            debugfs(image, f"dump /{name} {tmp_path / name}")
            assert (tmp_path / name).read_bytes() == tar.extractfile(name).read()
    assert int(re.search(r"Blockcount: (\d+)", facts(image, "/holes")["text"])[1]) == 8


def test_names_are_kept_whatever_they_are(image):
    listing = debugfs(image, "ls -p /odd")
    names = sorted(line.split("/")[5] for line in listing.splitlines() if line)
    assert names == sorted([".", "..", 'a "quoted" name', "caf\udce9", "<12>", "ends with space ", "#hash"])


def test_file_capabilities_are_kept(image, tmp_path):
    debugfs(image, f"ea_get -f {tmp_path / 'value'} /bin/ping security.capability")
    assert (tmp_path / "value").read_bytes() == CAPABILITY


def test_places_for_the_guest_s_own_mounts_exist(image):
    assert all(facts(image, path)["type"] == "directory" for path in ("/dev", "/proc", "/sys", "/tmp"))


def test_equal_trees_give_equal_images(image, tmp_path):
    build_tar(image.parent / "root.tar", tmp_path / "again.ext4")
    assert (tmp_path / "again.ext4").read_bytes() == image.read_bytes()


def test_another_tree_has_another_uuid(image, tmp_path):
    build_tar(write_tar(tmp_path / "root.tar", member("etc/passwd", data=b"x")), tmp_path / "other.ext4")
    first, second = (re.search(r"Filesystem UUID:\s+(\S+)", tool("dumpe2fs", "-h", str(path)))[1]
                     for path in (image, tmp_path / "other.ext4"))
    assert first != second


def test_a_directory_of_many_blocks_fits(tmp_path):
    tar = write_tar(tmp_path / "root.tar", *(member(f"many/{number:04}-{'n' * 200}", data=b"x") for number in range(1000)))
    build_tar(tar, tmp_path / "image.ext4")
    assert debugfs(tmp_path / "image.ext4", "ls -p /many").count("nnn/") == 1000


def test_the_command_line_builds_and_adds(tmp_path, capsys):
    tar = write_tar(tmp_path / "root.tar", member("etc/passwd", data=b"x"), mode="w:gz")
    (tmp_path / "host").mkdir()
    (tmp_path / "host/file").write_text("added")
    out = tmp_path / "deep/image.ext4"
    assert main(["disk", "build", "--from", str(tar), "--add", f"{tmp_path / 'host'}:/srv/it", str(out)]) == 0
    assert debugfs(out, "cat /srv/it/file") == "added"
    assert facts(out, "/srv/it/file")["owner"] == (0, 0)
    assert os.listdir(out.parent) == ["image.ext4"]


def layers(tmp_path):
    return write_tar(tmp_path / "root.tar", member("manifest.json", data=b"[]"), folder("abc"))


@pytest.mark.parametrize(("make", "complaint"), [
    (lambda tmp_path: tmp_path / "missing.tar",                                   "missing.tar: no such file"),
    (layers,                                                                      "docker export"),
    (lambda tmp_path: write_tar(tmp_path / "root.tar"),                           "an empty tarball"),
    (lambda tmp_path: write_tar(tmp_path / "root.tar", member("a\nb")),           "a name with a line break"),
])  # fmt: skip
def test_what_cannot_be_an_image_gives_one_line_and_no_file(tmp_path, capsys, make, complaint):
    out = tmp_path / "out/image.ext4"
    assert main(["disk", "build", "--from", str(make(tmp_path)), str(out)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("webvm: ") and complaint in said and said.count("\n") == 1
    assert not out.exists() and (not out.parent.exists() or os.listdir(out.parent) == [])


def test_an_unknown_profile_names_those_there_are(tmp_path, capsys):
    assert main(["disk", "build", "--profile", "huge", str(tmp_path / "image.ext4")]) == 1
    assert "no profile 'huge'; there are dev, standard, tiny" in capsys.readouterr().err


def test_a_failure_leaves_an_older_image_alone(tmp_path):
    out = tmp_path / "image.ext4"
    out.write_bytes(b"old")
    with pytest.raises(DiskError):
        build_tar(write_tar(tmp_path / "root.tar", member("a\nb")), out)
    assert out.read_bytes() == b"old"
