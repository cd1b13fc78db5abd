import pytest

from webvm.disk import DiskError, profile, profile_names
from webvm.disk.build import DISK


def test_the_project_s_profiles_grow_from_each_other():
    tiny, standard, dev = (profile.load(DISK / "profiles", name) for name in ("tiny", "standard", "dev"))
    assert set(profile_names()) == {"tiny", "standard", "dev"}
    assert set(tiny.packages) < set(standard.packages) < set(dev.packages)
    assert {"bash", "coreutils"} <= set(tiny.packages)
    assert {"vim-tiny", "python3", "git", "xz-utils"} <= set(standard.packages)
    assert {"gcc", "g++", "make", "sqlite3", "lua5.4"} <= set(dev.packages)
    assert (dev.suite, dev.variant) == ("trixie", "essential")


def test_comments_and_repeated_packages_count_for_nothing(tmp_path):
    (tmp_path / "a").write_text("suite s # the suite\nvariant v\n\n# package x\npackage b\npackage b\n")
    assert profile.load(tmp_path, "a") == profile.Profile("a", "s", "v", ("b",))


def test_a_later_suite_overrides_an_included_one(tmp_path):
    (tmp_path / "a").write_text("suite s\nvariant v\npackage b\n")
    (tmp_path / "c").write_text("include a\nsuite t\n")
    assert profile.load(tmp_path, "c") == profile.Profile("c", "t", "v", ("b",))


@pytest.mark.parametrize(("text", "complaint"), [
    ("include a",            "includes itself"),
    ("include ../a",         "no profile '../a'"),
    ("include missing",      "no profile 'missing'; there are a"),
    ("pakcage b",            "a:1: not a statement of a profile: pakcage b"),
    ("suite s\npackage b c", "a:2: not a statement"),
    ("suite s",              "names no variant"),
])  # fmt: skip
def test_what_is_wrong_with_a_profile_is_said(tmp_path, text, complaint):
    (tmp_path / "a").write_text(text)
    with pytest.raises(DiskError, match=complaint):
        profile.load(tmp_path, "a")
