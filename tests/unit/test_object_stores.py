"""What is at addresses is listed and read, and each fault is one line with the address and the remedy."""

import sys
import traceback
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
import zarr
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from served_folders import serve

from medseg_ext import object_stores
from medseg_ext.addresses import address_of, place, trace_without_secrets, without_secrets
from medseg_ext.datasets.image_list import list_images
from medseg_ext.errors import DataError
from medseg_ext.folder_lock import FolderLock
from medseg_ext.images.blocks import open_block_image
from medseg_ext.images.boxes import Box
from medseg_ext.images.formats import read_header
from medseg_ext.images.read import read_rgb
from medseg_ext.objects.done_images import DoneImages, note_image
from medseg_ext.objects.formats import ResultFormats
from medseg_ext.objects.remote_results import RemoteResults

ODD_NAMES = ("a b.png", "50%25.png", "#1.png", "what?.png", "é&<x>.PNG", "a::b.png")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with images of odd names, one in a folder inside it, an OME-Zarr without a suffix, and others."""
    tmp_path /= "plate"
    for number, name in enumerate((*ODD_NAMES, "inner/a b.png", ".hidden.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 5 + number), 9 * number, np.uint8)).save(tmp_path / name, format="png")
    group = zarr.open_group(str(tmp_path / "inner" / "7"), mode="w", zarr_format=3)
    group.create_array("0", data=np.arange(12, dtype=np.uint8).reshape(3, 4), chunks=(2, 2))
    axes = [{"name": axis, "type": "space"} for axis in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


@pytest.fixture
def served(folder):
    pytest.importorskip("aiohttp")
    with serve(folder.parent) as server:
        yield server


@pytest.fixture
def store(folder):
    """The same in a store in memory."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    memory = fsspec.filesystem("memory")
    for file in folder.rglob("*"):
        if file.is_file():
            memory.pipe(f"/plate/{file.relative_to(folder)}", file.read_bytes())
    return memory


def names_and_pixels(items):
    return {item["id"]: (read_header(item["image"]).size, read_rgb(item["image"]).tobytes()) for item in items}


def test_a_folder_by_http_has_the_images_of_the_local_one(folder, served):
    for recursive in (False, True):
        local, found = list_images(folder, recursive=recursive), list_images(f"{served.url}/plate", recursive=recursive)
        assert names_and_pixels(found) == names_and_pixels(local)
        assert list_images(f"file://{folder}", recursive=recursive) == local
    single = [list_images(item["image"]) for item in found]
    assert [item["image"] for (item,) in single] == [item["image"] for item in found]


def test_each_name_is_that_of_its_file_in_an_address_of_a_local_one(folder):
    for name in ODD_NAMES:
        assert read_rgb(list_images((folder / name).as_uri())[0]["image"]).size
        assert place((folder / name).as_uri().replace("file://", "file://localhost")) == folder / name
        assert place(f"file://{folder}/{name.replace('%', '%25')}") == folder / name


def test_a_folder_of_an_object_store_has_the_images_of_the_local_one(folder, store):
    store.rm("/plate/a::b.png")  # two addresses in a row, to fsspec
    (folder / "a::b.png").unlink()
    found = list_images("memory://plate/", recursive=True)
    assert names_and_pixels(found) == names_and_pixels(list_images(folder, recursive=True))
    assert "memory://plate/inner/7" in [item["image"] for item in found]


def test_labels_and_results_at_an_address_are_told_and_not_segmented(store, caplog):
    for name in ("50%25_mask.png", "results/a_overlay.png", "inner/a b-labels.png"):
        store.pipe(f"/plate/{name}", b"")
    store.pipe("/plate/results/summary.csv", b"image,id,status\na.png,a,ok\n")
    names = [Path(item["image"]).name for item in list_images("memory://plate", recursive=True)]
    assert not {"50%25_mask.png", "a_overlay.png", "a b-labels.png"} & {*names}
    assert sum("as they are labels of images there" in each for each in caplog.messages) == 1
    assert any(each.endswith("earlier segmentation has written them: a_overlay.png") for each in caplog.messages)
    with pytest.raises(DataError, match="memory://plate/results holds no image but the results"):
        list_images("memory://plate/results")
    assert len(list_images("memory://plate/results/a_overlay.png")) == 1


def test_an_ome_zarr_is_read_where_what_is_not_there_is_refused(folder, served):
    served.tells_what_is_not_there = False
    with pytest.raises(DataError, match=r"inner/7\.zarr cannot be read \(ClientResponseError: 403"):
        read_header(f"{served.url}/plate/inner/7.zarr")
    (folder / "inner" / "7").rename(folder / "inner" / "7.zarr")
    image = open_block_image(f"{served.url}/plate/inner/7.zarr")
    assert image.read(Box(0, 0, 3, 4)).sum() > 0
    served.forbidden = "/c/1/1"
    with pytest.raises(DataError, match=r"7\.zarr cannot be read, or is damaged \(ClientResponseError: 403"):
        image.read(Box(0, 0, 3, 4))


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("nothing://a/b.png", "has the scheme nothing, which fsspec does not know: give s3, gs, az, https"),
        ("memory://nowhere/b.png", r"memory://nowhere/b\.png is not there: check the address$"),
        ("memory://nowhere", "memory://nowhere is not there"),
        ("memory://plate/inner", "inner holds no image: give PNG, .*; its folders .deep. may: give these, or --rec"),
        ("memory://plate/notes.txt", r"notes\.txt holds no image, or is none: give PNG"),
        ("memory://plate/README", "README is not an image: give PNG"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(address, told, store):
    store.rm("/plate/inner", recursive=True)
    store.pipe("/plate/inner/deep/a.png", b"")
    store.pipe("/plate/README", b"no image")
    with pytest.raises(DataError, match=told) as error:
        list_images(address)
    assert "\n" not in str(error.value)


def test_faults_of_a_server_are_told_in_one_line(served):
    served.forbidden, served.cut = "%231", "a%20b"
    for name, told in {
        "none.png": "is not there: check the address, where # and . in names are written %23 and %3F",
        "#1.png?token=secret": r"%231\.png cannot be read \(ClientResponseError: 403, [^?]*\): get the right to it, or",
        "a b.png": r"a%20b\.png cannot be read \(ClientPayloadError: .*\): check the address and the connection",
        "what?.png": "is not there",
    }.items():
        with pytest.raises(DataError, match=told):
            read_rgb(list_images(f"{served.url}/plate/{name}")[0]["image"])
    served.shutdown()
    served.server_close()
    with pytest.raises(DataError, match=r"\(ClientConnectorError: .*\): check the address and the connection, and try"):
        list_images(f"{served.url}/plate/50%2525.png")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://h/a.png?region=0,0,9,9&token=SECRET", "https://h/a.png"),
        ("https://h/a.png?by=it's&at=(1]&x=a::b&token=SECRET", "https://h/a.png"),
        ("zip://a?.png::https://h/z.zip?x=a,b&sig=SECRET", "zip://a?.png::https://h/z.zip"),
        ("simplecache::https://h/a::b.png?SECRET", "simplecache::https://h/a::b.png"),
        ("https://ada:SEC/RET@h/a.png", "https://h/a.png"),
        ("https://ada:p?SECRET@h:80/a@2x.png", "https://h:80/a@2x.png"),
        ("https://SECRET@h/a.png", "https://h/a.png"),
        ("sftp://ada:p@SECRET@h/a.png", "sftp://h/a.png"),
        ("https://h:8080/thumbs/a@2x.png", "https://h:8080/thumbs/a@2x.png"),
        ("github://org:repo@main/a.png", "github://org:repo@main/a.png"),
        ("abfs://container@account/a.png", "abfs://container@account/a.png"),
        ("s3://bucket/what?.png", "s3://bucket/what?.png"),
    ],
)
def test_an_address_is_shown_without_what_is_secret_and_with_all_else(given, shown):
    message = f"it (403, url='{given}') failed, {given}: no"
    if "'" not in given and "?SECRET@" not in given:
        assert "SECRET" not in without_secrets(message)  # also of what nobody has given
    assert (place(given), address_of(shown)) == (shown, given)
    assert without_secrets(message) == f"it (403, url='{shown}') failed, {shown}: no"


def test_no_traceback_has_the_signature_of_an_address(served):
    served.forbidden = "a%20b"
    address = place(f"{served.url}/plate/a b.png?at=0,0&signature=SECRET")
    with pytest.raises(DataError, match="ClientResponseError: 403") as error:
        read_rgb(address)
    assert "SECRET" not in "".join(traceback.format_exception(error.value))
    raised = ValueError(f"403, url='{address_of(address)}'")
    assert "ValueError: 403, url='http" in trace_without_secrets(raised)
    assert "SECRET" not in trace_without_secrets(raised)


def test_a_missing_package_is_told_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(DataError, match=r"needs a package for addresses of https: pip install 'medseg-ext\[remote\]'"):
        list_images("https://host/a.png")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(DataError, match="gs: pip install gcsfs"):
        list_images("gs://host/a.png")


def test_one_address_with_two_queries_is_refused_as_none_is_kept():
    with pytest.raises(DataError, match=r"https://host/get is given twice, with different users or queries"):
        list_images(["https://host/get?id=1", "https://host/get?id=2"])
    with pytest.raises(DataError, match=r"https://host/a\.zarr is an OME-Zarr, of which each file would need a query"):
        list_images("https://host/a.zarr?signature=1")


def test_a_file_is_fetched_once_for_all_that_is_read_of_it_and_few_are_kept(store):
    object_stores._copies._paths.clear()
    items = list_images("memory://plate/inner/a b.png") + list_images("memory://plate/a b.png")
    fetched = []
    read = MemoryFileSystem.get_file
    try:
        MemoryFileSystem.get_file = lambda self, path, *rest, **named: (
            fetched.append(path),
            read(self, path, *rest, **named),
        )[1]
        assert [len(names_and_pixels([item])) for item in items] == [1, 1]
    finally:
        MemoryFileSystem.get_file = read
    assert sorted(fetched) == ["/plate/a b.png", "/plate/inner/a b.png"]
    assert len(object_stores._copies._paths) <= object_stores.COPIES_KEPT


def test_a_file_that_has_changed_is_fetched_again(store):
    before = read_rgb("memory://plate/a b.png")
    store.pipe("/plate/a b.png", store.cat("/plate/inner/a b.png"))
    assert read_rgb("memory://plate/a b.png").shape != before.shape


def test_a_file_for_which_the_disk_has_no_room_is_refused(store, monkeypatch):
    monkeypatch.setattr(object_stores, "SPARED_BYTES", 2**60)
    with pytest.raises(DataError, match=r"memory://plate/what\?\.png has 0 MB, and .* room for 0 MB: free some, or"):
        read_rgb("memory://plate/what?.png")


def test_a_folder_that_is_an_address_is_no_folder_to_write_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="is an address, to which medseg segment --output alone writes"):
        FolderLock(Path("s3://bucket/run"), what="a training").acquire()
    assert not [*tmp_path.iterdir()]


def test_what_is_at_an_address_cannot_lead_out_of_the_local_folder(store, tmp_path):
    store.store["/run/a_instances.ome.zarr/../../../evil"] = store.store["/plate/notes.txt"]
    results = RemoteResults("memory://run", tmp_path / "in" / "it")
    with pytest.raises(DataError, match="expected a path inside the folder"):
        results.mirror()
    assert not list(tmp_path.rglob("evil"))


def test_what_is_here_without_its_content_is_never_written_to_the_address(store, tmp_path):
    tmp_path /= "out"
    there = {"coco.json": b'{"info":{"description":"Objects found by medseg segment"}, 1', "a_classes.png": b"123"}
    there |= {"a_instances.ome.zarr/zarr.json": b"{}", "a_instances.ome.zarr/0/c": b"4567", "gallery.html": b"<p>"}
    for name, content in there.items():
        store.pipe(f"/run/{name}", content)
    results = RemoteResults("memory://run", tmp_path)
    results.mirror()
    assert {name: (tmp_path / name).stat().st_size for name in there} == {name: len(there[name]) for name in there}
    RemoteResults("memory://run", tmp_path).put(tmp_path.iterdir())  # as another process does
    results.put(tmp_path.iterdir())
    results.finish()
    (tmp_path / "gallery.html").write_bytes(b"<q>")
    (tmp_path / "a_instances.ome.zarr" / "0" / "c").write_bytes(b"89ab")
    results.put(tmp_path.iterdir())
    now = there | {"gallery.html": b"<q>", "a_instances.ome.zarr/0/c": b"89ab"}
    assert {name.removeprefix("/run/"): store.cat(name) for name in store.find("/run")} == now


def test_what_another_process_has_put_there_is_dropped(store, tmp_path):
    (tmp_path / "a_classes.png").write_bytes(b"1")
    RemoteResults("memory://run", tmp_path).add([tmp_path / "a_classes.png"])
    RemoteResults("memory://run", tmp_path).drop([tmp_path / "a_classes.png", tmp_path / "never.zarr"])
    assert not store.find("/run/")


@pytest.mark.parametrize("root", ["memory://", "memory:///", "simplecache::memory:///"])
def test_the_root_of_a_store_is_listed(store, root):
    assert [entry.name for entry in object_stores.list_folder(root)] == ["plate"]
    (entry,) = object_stores.list_folder(root)
    assert "a b.png" in [each.name for each in object_stores.list_folder(entry.address)]


@pytest.mark.parametrize("at", ["", "inner", "inner/"])
def test_a_folder_of_a_zip_is_listed_also_its_root(store, at):
    content = store.cat("/plate/a b.png")
    with store.open("/z.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", content)
        archive.writestr("inner/b.png", content)
        archive.writestr("inner/c.png", content)
    (first, *_) = found = list_images(f"zip://{at}::memory://z.zip", recursive=True)
    names = ["inner/b.png", "inner/c.png"] if at else ["a.png", "inner/b.png", "inner/c.png"]
    assert [item["image"] for item in found] == [f"zip://{name}::memory://z.zip" for name in names]
    assert read_rgb(first["image"]).shape == (4, 5, 3)
    assert object_stores.describe(first["image"])[1]


@pytest.mark.parametrize(
    ("told", "goes_on"),
    [
        ({"ETag": "1"}, True),
        ({"modify": "20260101"}, True),  # ftp
        ({"modificationTime": 1}, True),  # webhdfs
        ({"CRC": 7}, True),  # zip
        ({}, False),
    ],
)
def test_a_run_goes_on_with_an_image_of_which_something_tells_that_it_has_not_changed(
    told, goes_on, store, tmp_path, monkeypatch
):
    monkeypatch.setattr(MemoryFileSystem, "info", lambda *_, **__: {"size": 3, "type": "file", **told})
    item, formats = {"image": place("memory://plate/a b.png"), "id": "a"}, ResultFormats(formats=())
    for path in formats.paths(tmp_path, "a").values():
        path.write_bytes(b"result")
    done = DoneImages(tmp_path, {}, formats=formats)
    done.start()
    done.add(note_image(item, {"id": "a"}, output_dir=tmp_path, formats=formats))
    done.close()
    assert bool(DoneImages(tmp_path, {}, formats=formats).resume([item])) == goes_on
    told.update({key: f"{value}0" for key, value in told.items()})
    assert not DoneImages(tmp_path, {}, formats=formats).resume([item])


def test_what_is_not_there_need_not_be_removed_whatever_a_client_says_of_it(store, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("550")

    monkeypatch.setattr(MemoryFileSystem, "rm", refuse)
    object_stores.remove("memory://plate", ["none.csv"])
    with pytest.raises(DataError, match=r"memory://plate/? cannot be written to \(ConnectionError: 550\)"):
        object_stores.remove("memory://plate", ["notes.txt"])


def test_a_name_that_is_a_pattern_removes_itself_alone(store):
    for name in ("a?.csv", "ab.csv", "[ab].csv", "z?.zarr/0", "zz.zarr/0"):
        store.pipe(f"/run/{name}", b"")
    object_stores.remove("memory://run", ["a?.csv", "[ab].csv", "z?.zarr", "none.csv", "none?.csv"])
    assert store.find("/run") == ["/run/ab.csv", "/run/zz.zarr/0"]
