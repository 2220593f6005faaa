import os
import zipfile

import pytest
from rights import as_nobody

from medseg_ext.datasets.sources import open_source
from medseg_ext.errors import DataError


def make_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def test_folder_and_archive_show_the_same_files(tmp_path):
    files = {"b/x.png": b"1", "a/y.png": b"2"}
    for name, data in files.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        (tmp_path / "set" / name).write_bytes(data)
    folder, archive = open_source(tmp_path / "set"), open_source(make_zip(tmp_path / "set.zip", files.items()))
    assert folder.names == archive.names == ["a/y.png", "b/x.png"]
    assert {name: folder.read(name) for name in files} == {name: archive.read(name) for name in files} == files


@pytest.mark.parametrize("junk", ["__MACOSX/._a.png", ".DS_Store", "a/.DS_Store", "a/Thumbs.db", "a/._b.png"])
def test_what_operating_systems_leave_behind_is_not_seen(tmp_path, junk):
    assert open_source(make_zip(tmp_path / "set.zip", [("a/b.png", b""), (junk, b"")])).names == ["a/b.png"]
    (tmp_path / "set" / junk).parent.mkdir(parents=True)
    (tmp_path / "set" / junk).write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        open_source(tmp_path / "set")


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png", "..\\evil.png"])
def test_archives_that_point_outside_are_refused_by_member(tmp_path, name):
    with pytest.raises(DataError, match=r"evil.png.*outside"):
        open_source(make_zip(tmp_path / "set.zip", [("a/b.png", b""), (name, b"")]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_with_one_name_twice_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"'a/b.png' twice"):
        open_source(make_zip(tmp_path / "set.zip", [("a/b.png", b"1"), ("a\\b.png", b"2")]))


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_archives_cut_short_are_refused(tmp_path, keep):
    path = make_zip(tmp_path / "set.zip", [(f"{n}.png", os.urandom(100)) for n in range(20)])
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(DataError, match=r"set.zip is not a ZIP archive, or is cut short"):
        open_source(path)


def test_files_of_another_kind_are_refused(tmp_path):
    (tmp_path / "set.tar").write_bytes(b"ustar" * 1000)
    with pytest.raises(DataError, match=r"set.tar is not a ZIP archive"):
        open_source(tmp_path / "set.tar")


def test_a_damaged_member_is_refused_by_name(tmp_path):
    path = make_zip(tmp_path / "set.zip", [("a.png", b"A" * 100)])
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"ABBA", 1))
    with pytest.raises(DataError, match=r"set.zip/a.png cannot be read"):
        open_source(path).read("a.png")


def test_files_that_are_gone_or_may_not_be_read_are_refused_with_the_remedy(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "mine.png").touch(mode=0)
    source = open_source(tmp_path)
    with pytest.raises(DataError, match=r"gone\.png cannot be read \(No such file.*\): bring it back, or remove"):
        source.read("gone.png")
    with as_nobody(), pytest.raises(DataError, match=r"mine\.png cannot be read \(Perm.*\): get the right to read it"):
        source.read("mine.png")


def test_missing_and_empty_sources_are_refused(tmp_path):
    with pytest.raises(DataError, match="none does not exist"):
        open_source(tmp_path / "none")
    with pytest.raises(DataError, match="is empty"):
        open_source(tmp_path)
    with pytest.raises(DataError, match="is empty"):
        open_source(make_zip(tmp_path / "empty.zip", []))


def test_hash_tells_changed_and_renamed_files(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    before = open_source(tmp_path).sha256(["a", "b"])
    assert open_source(tmp_path).sha256(["b", "a"]) == before
    (tmp_path / "b").write_bytes(b"3")
    assert open_source(tmp_path).sha256(["a", "b"]) != before
    (tmp_path / "b").rename(tmp_path / "c")
    (tmp_path / "c").write_bytes(b"2")
    assert open_source(tmp_path).sha256(["a", "c"]) != before


@pytest.fixture
def linked(tmp_path):
    """A folder with an image, to which links lead from beside it, from inside and from a folder elsewhere."""
    (tmp_path / "set" / "b").mkdir(parents=True)
    (tmp_path / "set" / "b" / "x.png").touch()
    (tmp_path / "elsewhere" / "c").mkdir(parents=True)
    (tmp_path / "elsewhere" / "c" / "y.png").touch()
    return tmp_path / "set"


def test_a_link_that_leads_back_ends_at_once_and_is_told(linked):
    (linked / "b" / "loop").symlink_to(linked)
    source = open_source(linked)
    assert source.names == ["b/x.png"]
    assert source.passed_over == ("b/loop",)


def test_links_to_folders_elsewhere_are_followed_once(linked):
    (linked / "far").symlink_to(linked.parent / "elsewhere")
    (linked / "near").symlink_to(linked.parent / "elsewhere" / "c")
    (linked.parent / "elsewhere" / "back").symlink_to(linked)
    source = open_source(linked)
    assert source.names == ["b/x.png", "far/c/y.png"]
    assert source.passed_over == ("far/back", "near")


def test_a_folder_keeps_its_own_name_whatever_the_names_of_links_to_it(linked):
    (linked / "a").symlink_to(linked / "b")
    assert open_source(linked).names == ["b/x.png"]


def test_links_through_one_another_end(linked):
    for name, other in (("p", "q"), ("q", "p")):
        (linked / name).mkdir()
        (linked / name / f"to_{other}").symlink_to(linked / other)
    assert open_source(linked).names == ["b/x.png"]
    assert open_source(linked).passed_over == ("p/to_q", "q/to_p")
