import io
import os
import stat
import tarfile

import pytest

from webvm.disk.errors import DiskError
from webvm.disk.tree import Node, Tree

from .tarballs import DATE, folder, hard_link, member, symlink, write_tar


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "spool")


@pytest.fixture
def load(tree, tmp_path):
    def load(*members, mode="w"):
        tree.add_tar(write_tar(tmp_path / "root.tar", *members, mode=mode))
        return tree

    return load


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_a_tarball_s_members_become_nodes(load, mode):
    tree = load(
        folder("./etc", mode=0o750, uid=3, gid=4),
        member("./etc/passwd", data=b"root", mode=0o4755, uid=7, gid=70000),
        symlink("./etc/link", "../nowhere"),
        member("./null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        mode=mode,
    )
    assert [path for path, _ in tree.items()] == [b"", b"etc", b"etc/link", b"etc/passwd", b"null"]
    etc, passwd, link, null = (tree.nodes[path] for path in (b"etc", b"etc/passwd", b"etc/link", b"null"))
    assert (etc.mode, etc.uid, etc.gid) == (stat.S_IFDIR | 0o750, 3, 4)
    assert (passwd.mode, passwd.uid, passwd.gid, passwd.mtime) == (stat.S_IFREG | 0o4755, 7, 70000, DATE)
    assert tree.read(b"etc/passwd") == b"root"
    assert link.target == b"../nowhere"
    assert (null.mode, null.rdev) == (stat.S_IFCHR | 0o666, (1, 3))


def test_hard_links_share_a_node(load):
    tree = load(member("a", data=b"x"), hard_link("b/c", "./a"))
    assert tree.nodes[b"a"] is tree.nodes[b"b/c"]


def test_names_need_not_be_utf_8(load):
    assert b"caf\xe9" in load(member(b"caf\xe9".decode("utf-8", "surrogateescape"))).nodes


def test_extended_attributes_are_kept_byte_for_byte(load):
    value = bytes(range(256))
    header = {"SCHILY.xattr.security.capability": value.decode("utf-8", "surrogateescape")}
    assert load(member("ping", pax_headers=header)).nodes[b"ping"].xattrs == {b"security.capability": value}


def test_a_later_member_replaces_an_earlier_one(load):
    tree = load(member("a", data=b"1"), member("a", data=b"2"), symlink("l", "a"), member("l", data=b"3"))
    assert (tree.read(b"a"), tree.read(b"l")) == (b"2", b"3")


def test_an_absolute_name_is_below_the_root(load):
    assert load(member("//etc//passwd", data=b"x")).read(b"etc/passwd") == b"x"


def test_a_symbolic_link_is_followed_inside_the_tree_only(load, tmp_path):
    tree = load(
        folder("usr/bin"), symlink("bin", "usr/bin"), member("bin/sh", data=b"sh"),
        symlink("out", str(tmp_path)), member("out/escaped", data=b"!"),
        symlink("usr/up", "../../../../etc"), member("usr/up/passwd", data=b"up"),
    )
    assert tree.read(b"usr/bin/sh") == b"sh"
    assert tree.read(b"etc/passwd") == b"up"
    assert not (tmp_path / "escaped").exists()
    assert tree.read(os.fsencode(tmp_path).lstrip(b"/") + b"/escaped") == b"!"


@pytest.mark.parametrize(("members", "complaint"), [
    ([member("../evil")],                                        "leads out of the tree"),
    ([member("a/../../evil")],                                   "leads out of the tree"),
    ([hard_link("a", "../../etc/shadow")],                       "leads out of the tree"),
    ([hard_link("a", "etc/shadow")],                             "hard link to /etc/shadow, which is not there"),
    ([symlink("a", "b"), symlink("b", "a"), member("a/c")],      "too many symbolic links"),
    ([member("a"), member("a/b")],                               "/a is not a directory, but /a/b is below it"),
    ([folder("a"), member("a")],                                 "/a is first a directory"),
    ([member("a", b"Z")],                                        "unknown kind of tar member b'Z'"),
])  # fmt: skip
def test_a_hostile_tarball_is_refused(load, members, complaint):
    with pytest.raises(DiskError, match=complaint):
        load(*members)


def test_what_is_no_tarball_is_refused(tree, tmp_path):
    path = tmp_path / "root.tar"
    path.write_bytes(b"hello" * 1000)
    with pytest.raises(DiskError, match="not a tarball"):
        tree.add_tar(path)


def test_a_tarball_cut_short_is_refused(tree, tmp_path):
    path = write_tar(tmp_path / "root.tar", member("a", data=bytes(100_000)))
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(DiskError, match="not a tarball"):
        tree.add_tar(path)


def test_a_host_folder_comes_in_with_the_owner_asked_for(tree, tmp_path):
    host = tmp_path / "host"
    (host / "sub").mkdir(parents=True)
    (host / "sub/file").write_bytes(b"data")
    (host / "sub/file").chmod(0o640)
    (host / "link").symlink_to("sub/file")
    os.mkfifo(host / "fifo")
    tree.add_folder(host, b"opt/it", 5, 6)
    assert [path for path, _ in tree.items()] == [b"", b"opt", b"opt/it", b"opt/it/link", b"opt/it/sub", b"opt/it/sub/file"]
    file = tree.nodes[b"opt/it/sub/file"]
    assert (file.mode, file.uid, file.gid, tree.read(b"opt/it/sub/file")) == (stat.S_IFREG | 0o640, 5, 6, b"data")


def test_removing_takes_what_is_below_and_no_neighbour(tree):
    for path in b"var/lib/apt/lists", b"var/lib/apt-extra", b"var/lib/a":
        tree.write(path, b"")
    tree.remove(b"var/lib/apt")
    assert [path for path, _ in tree.items()] == [b"", b"var", b"var/lib", b"var/lib/a", b"var/lib/apt-extra"]


def test_the_digest_tells_every_difference(tmp_path):
    def digest(name, change=lambda tree: None):
        tree = Tree(tmp_path / name)
        tree.write(b"a", b"1").mtime = DATE
        tree.put(b"b", tree.nodes[b"a"])
        change(tree)
        return tree.digest()

    def unlink(tree):
        tree.write(b"b", b"1").mtime = DATE

    changes = [
        lambda tree: setattr(tree.nodes[b"a"], "uid", 1),
        lambda tree: setattr(tree.nodes[b"a"], "mtime", DATE + 1),
        lambda tree: tree.nodes[b"a"].xattrs.update({b"user.x": b"y"}),
        lambda tree: setattr(tree.nodes[b"a"], "content", tree.spool(io.BytesIO(b"2"))),
        lambda tree: tree.put(b"c", Node(stat.S_IFLNK | 0o777, target=b"a")),
        unlink,
    ]
    digests = [digest(str(number), change) for number, change in enumerate(changes)]
    assert digest("same") == digest("again")
    assert len({digest("plain"), *digests}) == 1 + len(changes)


def test_unpacking_with_metadata_gives_the_tree_back(load, tmp_path):
    tree = load(
        folder("d", mode=0o500), member("d/f", data=b"x", mode=0o640), hard_link("h", "d/f"), symlink("l", "d/f"),
    )
    tree.unpack(tmp_path / "out", metadata=True)
    file, link = os.stat(tmp_path / "out/d/f"), os.stat(tmp_path / "out/h")
    assert (stat.S_IMODE(file.st_mode), file.st_mtime, file.st_nlink) == (0o640, DATE, 2)
    assert file.st_ino == link.st_ino
    assert stat.S_IMODE(os.stat(tmp_path / "out/d").st_mode) == 0o500
    assert os.readlink(tmp_path / "out/l") == "d/f"
