from webvm.disk import apt
from webvm.disk.apt import Source

BOOKWORM = {"ID": "debian", "VERSION_CODENAME": "bookworm"}

ONE_LINE = """
# deb http://old.example/debian bookworm main
deb http://one.example/debian bookworm main contrib   # inline
deb [ arch=amd64 signed-by=/keys/one.gpg ] http://one.example/security bookworm-security main
deb-src http://one.example/debian bookworm main
deb [trusted=yes] file:/srv/flat ./
"""

DEB822 = """\
Types: deb deb-src
# a comment between fields
URIs: http://one.example/debian
  http://two.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /keys/one.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://inline.example/debian
Suites: sid
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEZ
"""


def test_one_line_sources_are_read():
    assert apt.one_line(ONE_LINE) == [
        Source("http://one.example/debian", "bookworm", ("main", "contrib")),
        Source("http://one.example/security", "bookworm-security", ("main",), "/keys/one.gpg"),
        Source("file:/srv/flat", "./", ()),
    ]


def test_deb822_sources_are_read():
    assert apt.deb822(DEB822) == [
        Source("http://one.example/debian", "bookworm", ("main",), "/keys/one.gpg"),
        Source("http://one.example/debian", "bookworm-updates", ("main",), "/keys/one.gpg"),
        Source("http://two.example/debian", "bookworm", ("main",), "/keys/one.gpg"),
        Source("http://two.example/debian", "bookworm-updates", ("main",), "/keys/one.gpg"),
        Source("http://inline.example/debian", "sid", ("main",)),
    ]


def test_only_files_that_apt_reads_are_read(tmp_path):
    (tmp_path / "sources.list").write_text("deb http://a.example bookworm main\n")
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/b.sources").write_text("Types: deb\nURIs: http://b.example\nSuites: x\nComponents: y\n")
    (tmp_path / "sources.list.d/c.list.disabled").write_text("deb http://c.example bookworm main\n")
    assert [source.uri for source in apt.configured(tmp_path)] == ["http://a.example", "http://b.example"]


def test_a_debian_machine_s_mirrors_serve_another_suite():
    sources = [
        Source("http://third.example", "bookworm", ("stable",)),
        Source("http://one.example/debian", "bookworm", ("main",), "/keys/one.gpg"),
        Source("http://two.example/debian", "bookworm", ("main",)),
        Source("http://one.example/debian", "bookworm-updates", ("main",)),
        Source("http://one.example/security", "bookworm-security", ("main", "contrib")),
        Source("http://one.example/debian", "bookworm-backports", ("main",)),
        Source("http://db.example/apt", "bookworm-pgdg", ("main",)),
    ]
    assert apt.for_suite("trixie", sources, BOOKWORM, keyrings=()) == [
        Source("http://one.example/debian", "trixie", ("main",), "/keys/one.gpg"),
        Source("http://one.example/debian", "trixie-updates", ("main",)),
        Source("http://one.example/security", "trixie-security", ("main",)),
    ]


def test_the_archive_s_keyring_stands_in_for_keys_not_named(tmp_path):
    keyring = tmp_path / "debian-archive-keyring.pgp"
    keyring.touch()
    sources = [Source("http://one.example/debian", "stable", ("main",))]
    (found,) = apt.for_suite("trixie", sources, BOOKWORM, keyrings=(str(tmp_path / "none.gpg"), str(keyring)))
    assert found == Source("http://one.example/debian", "trixie", ("main",), str(keyring))


def test_a_machine_that_is_not_debian_leaves_the_mirror_to_mmdebstrap():
    sources = [Source("http://archive.example/ubuntu", "noble", ("main",))]
    assert apt.for_suite("trixie", sources, {"ID": "ubuntu", "VERSION_CODENAME": "noble"}, keyrings=()) == []


def test_os_release_loses_its_quotes(tmp_path):
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    assert apt.os_release(tmp_path / "os-release") == BOOKWORM
    assert apt.os_release(tmp_path / "missing") == {}
