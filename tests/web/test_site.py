"""webvm.site: what the folder holds, what a second build leaves alone, and what it says when it cannot."""

import argparse
import hashlib
import json
import os
import subprocess

import pytest

from webvm import site
from webvm.block import Manifest

from .conftest import PROJECT, build


def times(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_everything_that_site_json_names_is_there(fake_site):
    fields = json.loads((fake_site / "site.json").read_text())
    for name in (fields["pyodide"], fields["lock"], fields["snapshot"], *fields["sizes"]):
        assert (fake_site / name).exists(), name
    assert all((fake_site / name).stat().st_size == size for name, size in fields["sizes"].items())


def test_lock_is_our_own_and_its_checksums_are_right(fake_site):
    lock, = fake_site.glob("wheels-*/pyodide-lock.json")
    packages = json.loads(lock.read_text())["packages"]
    assert set(packages) == {"micropip", "webvm"}
    for package in packages.values():
        assert hashlib.sha256((lock.parent / package["file_name"]).read_bytes()).hexdigest() == package["sha256"]


def test_pages_name_no_other_host(fake_site):
    for name in site.PAGES:
        text = (fake_site / name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text.replace("https://example.org/disk/", ""), name


def test_second_build_changes_no_file(fake_site, fake_source):
    before = times(fake_site)
    build(fake_site, fake_source)
    after = times(fake_site)
    assert after == before | {key: after[key] for key in after if key.name == "site.json"}


def test_changed_source_replaces_wheel_and_snapshot(fake_source, tmp_path):
    build(tmp_path, fake_source, snapshot=False)
    old = {path.name for path in tmp_path.glob("wheels-*")}
    extra = fake_source / "webvm/extra.py"
    extra.write_text('"""New."""\n')
    try:
        build(tmp_path, fake_source, snapshot=False)
    finally:
        extra.unlink()
    assert len(list(tmp_path.glob("wheels-*"))) == 1 and old.isdisjoint({path.name for path in tmp_path.glob("wheels-*")})


def test_disk_is_cut_again_only_when_the_image_changed(fake_source, tmp_path):
    image, out = tmp_path / "image", tmp_path / "site"
    image.write_bytes(os.urandom(200_000))
    build(out, fake_source, image, snapshot=False)
    before = times(out / "disk")
    build(out, fake_source, image, snapshot=False)
    assert times(out / "disk") == before
    image.write_bytes(os.urandom(200_001))
    build(out, fake_source, image, snapshot=False)
    assert json.loads((out / "disk/manifest.json").read_text())["size"] == 200_001


def test_disk_elsewhere_is_named_and_not_copied(fake_source, tmp_path):
    build(tmp_path, fake_source, "https://example.org/disk/", snapshot=False)
    assert json.loads((tmp_path / "site.json").read_text())["disk"] == "https://example.org/disk/"
    assert not (tmp_path / "disk").exists()


@pytest.mark.parametrize("spoil, told", [
    (lambda source: (source / "web").mkdir(), "npm ci"),
    (lambda source: (source / "web/node_modules").mkdir(parents=True), "index.html is missing"),
])
def test_incomplete_checkout_is_told(tmp_path, spoil, told):
    spoil(tmp_path)
    with pytest.raises(site.SiteError, match=told):
        build(tmp_path / "out", tmp_path)


def test_missing_image_is_told(fake_source, tmp_path):
    with pytest.raises(site.SiteError, match="no such image"):
        build(tmp_path, fake_source, tmp_path / "none.ext4", snapshot=False)


def test_command_line_gives_a_line_and_status_1_when_it_cannot(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    site.add_arguments(parser)
    assert site.main(parser.parse_args([str(tmp_path), "--disk", str(tmp_path / "none"), "--no-snapshot"])) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"webvm site: {tmp_path / 'none'}: no such image"


def test_packs_that_a_start_needs_are_listed(fake_source, tmp_path):
    """Of the tiny image: its superblock is in the first of them, and so is the shell's own file."""
    image = PROJECT / "build/tiny.ext4"
    build(tmp_path, fake_source, image, snapshot=False)
    manifest = Manifest.parse((tmp_path / "disk/manifest.json").read_bytes())
    boot = json.loads((tmp_path / "site.json").read_text())["boot"]
    assert boot["identity"] == manifest.identity
    start = [pack for pack in manifest.packs if f"disk/{pack.path}" in boot["packs"]]
    assert [pack.chunks[-1] for pack in start] == list(boot["packs"].values())
    chunks = [number for pack in start for number in pack.chunks]
    extents = subprocess.run(["debugfs", "-R", "blocks /bin/bash", image], capture_output=True, text=True, check=True).stdout.split()
    assert 0 in chunks and int(extents[0]) * 4096 // 65536 in chunks
    assert sum(pack.stat().st_size for pack in (tmp_path / "disk/packs").iterdir()) > sum(sum(pack.lengths) for pack in start) > 1_000_000


def test_a_site_without_packs_has_every_chunk_in_a_file(fake_source, tmp_path):
    image = PROJECT / "build/tiny.ext4"
    build(tmp_path, fake_source, image, snapshot=False, packs=False)
    manifest = Manifest.parse((tmp_path / "disk/manifest.json").read_bytes())
    assert manifest.packs == () and json.loads((tmp_path / "site.json").read_text())["boot"]["packs"] == {}
    assert all((tmp_path / "disk" / manifest.path(name)).exists() for name in manifest.chunks if name)
