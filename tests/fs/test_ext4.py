"""The ext4 reader against images that mke2fs and the kernel made: the source tree and a real mount are the judges."""

import os
import pickle
import shutil
from pathlib import Path

import ext4_reference as reference
import pytest
from ext4_images import debugfs, mke2fs, mounted, read_image, run

KERNEL_KEYS = "mode uid gid nlink size rdev blocks blksize ino atime mtime ctime xattrs target data digest names".split()
SOURCE_KEYS = "mode uid gid nlink size rdev xattrs target digest names".split()

# fmt: off
FORMATS = (
    # name             mke2fs arguments                                                  megabytes
    ("default",        "-t ext4",                                                        24),
    ("1k",             "-t ext4 -b 1024",                                                24),
    ("2k",             "-t ext4 -b 2048",                                                24),
    ("4k",             "-t ext4 -b 4096",                                                24),
    ("64k",            "-t ext4 -b 65536 -N 2000",                                       256),
    ("ext2",           "-t ext2 -b 1024",                                                24),
    ("ext2_4k",        "-t ext2 -b 4096",                                                24),
    ("ext3",           "-t ext3 -b 2048",                                                24),
    ("revision_0",     "-t ext2 -r 0 -b 1024 -O none",                                   24),
    ("no_extents",     "-t ext4 -b 1024 -O ^extents,^64bit",                             24),
    ("no_extents_4k",  "-t ext4 -b 4096 -O ^extents,^64bit",                             24),
    ("no_csum",        "-t ext4 -b 4096 -O ^metadata_csum",                              24),
    ("gdt_csum",       "-t ext4 -b 1024 -g 1024 -O ^metadata_csum,uninit_bg",            24),
    ("gdt_csum_32",    "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg,^64bit",             24),
    ("no_64bit",       "-t ext4 -b 4096 -O ^64bit",                                      24),
    ("csum_seed",      "-t ext4 -b 1024 -O metadata_csum_seed",                          24),
    ("inline",         "-t ext4 -b 1024 -I 256 -O inline_data",                          24),
    ("inline_1024",    "-t ext4 -b 4096 -I 1024 -O inline_data",                         24),
    ("inline_no_csum", "-t ext4 -b 4096 -I 256 -O inline_data,^metadata_csum,^dir_index", 24),
    ("inode_128",      "-t ext4 -b 4096 -I 128",                                         24),
    ("inode_512",      "-t ext4 -b 2048 -I 512",                                         24),
    ("no_dir_index",   "-t ext4 -b 1024 -O ^dir_index",                                  24),
    ("no_flex_bg",     "-t ext4 -b 1024 -g 2048 -O ^flex_bg",                            24),
    ("meta_bg",        "-t ext4 -b 1024 -g 256 -O meta_bg,^resize_inode",                24),
    ("meta_bg_32",     "-t ext4 -b 1024 -g 256 -O meta_bg,^resize_inode,^64bit,^flex_bg", 24),
    ("sparse_super2",  "-t ext4 -b 1024 -g 1024 -O sparse_super2,^resize_inode",         24),
    ("no_sparse",      "-t ext2 -b 1024 -g 1024 -O ^sparse_super,^resize_inode",          24),
    ("no_filetype",    "-t ext4 -b 1024 -O ^filetype",                                   24),
    ("bigalloc",       "-t ext4 -b 1024 -C 8192 -O bigalloc",                            48),
    ("bigalloc_4k",    "-t ext4 -b 4096 -C 65536 -O bigalloc",                           96),
    ("ea_inode",       "-t ext4 -b 1024 -O ea_inode",                                    24),
    ("large_dir",      "-t ext4 -b 1024 -O large_dir",                                   24),
    ("plain",          "-t ext4 -b 1024 -O ^huge_file,^extra_isize,^dir_nlink,^large_file", 24),
    ("others",         "-t ext4 -b 4096 -O encrypt,verity,mmp,project,quota,orphan_file", 24),
    ("no_journal",     "-t ext4 -b 4096 -O ^has_journal",                                24),
)
# fmt: on


@pytest.fixture(scope="session")
def can_mount(tmp_path_factory) -> None:
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("NOT ROOT: NOTHING IS COMPARED WITH A REAL MOUNT")
    mounted("facts", mke2fs(tmp_path_factory.mktemp("probe") / "probe.img", "-t ext4", 1))


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    reference.build(os.fsencode(root))
    return root


@pytest.fixture(scope="session")
def tree_facts(tree) -> dict[bytes, dict]:
    return reference.facts(os.fsencode(tree))


def assert_same(found: dict, expected: dict, keys) -> None:
    assert set(found) == set(expected)
    for path, facts in expected.items():
        for key in keys:
            # The size of a directory is its file system's affair.
            if key in facts and not (key == "size" and "ino" not in keys and "names" in facts):
                assert found[path][key] == facts[key], (path, key)


@pytest.fixture(scope="module", params=FORMATS, ids=[row[0] for row in FORMATS])
def image(request, tree, tmp_path_factory) -> Path:
    name, arguments, megabytes = request.param
    image = mke2fs(tmp_path_factory.mktemp(name) / "image", arguments, megabytes, tree)
    yield image
    image.unlink()


@pytest.fixture
def source_keys(image) -> list[str]:
    """mke2fs copies no extended attributes to a file system of revision 0."""
    old = "Filesystem revision #:    0" in debugfs(image, "show_super_stats -h")
    return [key for key in SOURCE_KEYS if not (old and key == "xattrs")]


def kernel_facts(image: Path) -> tuple[dict, tuple]:
    return pickle.loads(mounted("facts", image))


def test_a_tree_reads_back_as_it_was(image, tree_facts, source_keys):
    found, _ = read_image(image)
    assert found[b""].pop("names") == sorted([*tree_facts[b""]["names"], b"lost+found"])
    assert_same(found, {**tree_facts, b"": {}}, source_keys)


def test_the_kernel_sees_the_same(image, can_mount):
    expected, expected_statfs = kernel_facts(image)
    found, found_statfs = read_image(image)
    assert_same(found, expected, KERNEL_KEYS)
    assert found_statfs == expected_statfs


def test_the_kernel_sees_the_same_in_what_it_wrote_itself(image, can_mount, tmp_path):
    run("cp", "--sparse=always", str(image), str(tmp_path / "copy"))
    image = tmp_path / "copy"
    mounted("change", image)
    expected, expected_statfs = kernel_facts(image)
    found, found_statfs = read_image(image)
    assert_same(found, expected, KERNEL_KEYS)
    assert found_statfs == expected_statfs
