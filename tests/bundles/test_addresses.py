"""Images and results at addresses give the files of local ones."""

import csv
import filecmp
import json
from pathlib import Path

import fsspec
import numpy as np
import pytest
import tifffile
import zarr
from bundle_settings import QUICK_WORDS
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from served_folders import serve

from medseg_ext.cli.main import main
from medseg_ext.images.blocks import open_block_image
from medseg_ext.images.boxes import Box

pytest.importorskip("aiohttp")

OPTIONS = ["--bundle", "dsb2018_unet", "--object_diameter_px", "24", *QUICK_WORDS]
TILES = ["--large_image_px", "20000", "--tile_size", "96", "--tile_margin", "64"]
OF_THE_RUN = ("provenance_inference.json", "summary.csv", "gallery.html", "coco.json")


def write_ome_zarr(path: Path, pixels: np.ndarray, *, zarr_format: int) -> None:
    """Write grey pixels with a level of half the size."""
    group = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    for number, each in enumerate((pixels, pixels[::2, ::2])):
        group.create_array(str(number), shape=each.shape, chunks=(64, 64), dtype=each.dtype)[:] = each
    levels = [
        {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": [2**number, 2**number]}]}
        for number in range(2)
    ]
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    told = {"multiscales": [{"axes": axes, "datasets": levels, "version": "0.4"}]}
    group.attrs.update(told if zarr_format == 2 else {"ome": {"version": "0.5", **told}})


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A folder with an image of each kind: two OME-Zarr, of which one is large, a PNG with an odd name, and a TIFF."""
    folder = tmp_path_factory.mktemp("images")
    rows, columns = np.mgrid[:160, :128]
    discs = sum(((rows - y) ** 2 + (columns - x) ** 2 < 120) * 180 for y, x in ((30, 40), (90, 70), (130, 25)))
    pixels = (discs + 20).astype(np.uint8)
    write_ome_zarr(folder / "four.ome.zarr", pixels, zarr_format=2)
    write_ome_zarr(folder / "five.ome.zarr", np.tile(pixels, (1, 2)), zarr_format=3)
    Image.fromarray(pixels[:100]).save(folder / "well #1? 50%.png")
    (folder / "inner").mkdir()
    tifffile.imwrite(folder / "inner" / "plate & lid.tif", pixels[:, :100], tile=(32, 32))
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def served(images):
    with serve(images) as server:
        yield server


@pytest.fixture(scope="module")
def of_local(images, tmp_path_factory) -> Path:
    """Results of the folder by its path."""
    output = tmp_path_factory.mktemp("local") / "out"
    assert segment(images, "--recursive", "--output", output, *TILES) == 0
    return output


@pytest.fixture
def store():
    """A new object store in memory."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    return fsspec.filesystem("memory")


def segment(*words):
    return main(["segment", *map(str, words), *OPTIONS])


def summary(folder):
    with (folder / "summary.csv").open(encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def assert_same_files(one: Path, other: Path) -> None:
    names = [{file.name for file in each.iterdir() if file.name[0] != "."} - set(OF_THE_RUN) for each in (one, other)]
    assert names[0] == names[1]
    assert len(names[0]) > 4
    assert filecmp.cmpfiles(one, other, [name for name in names[0] if (one / name).is_file()], shallow=False)[1:] == (
        [],
        [],
    )


def test_images_by_http_give_the_files_of_local_ones(served, of_local, tmp_path):
    assert segment(served.url, "--recursive", "--output", tmp_path / "out", *TILES) == 0
    assert_same_files(of_local, tmp_path / "out")
    rows, local = summary(tmp_path / "out"), summary(of_local)
    assert {row["image"] for row in rows.values()} == {
        f"{served.url}/{name}"
        for name in ("four.ome.zarr", "five.ome.zarr", "well%20%231%3F%2050%25.png", "inner/plate%20%26%20lid.tif")
    }
    assert all(row | {"image": ""} == rows[key] | {"image": ""} for key, row in local.items())


def test_results_at_an_address_are_those_of_a_local_folder_and_are_gone_on_with(images, store, tmp_path, capsys):
    few = [images / "inner", images / "well #1? 50%.png"]
    asked = ["--output_format", "ome-zarr-0.5", "--formats", "classes,overlay,csv,roi,coco"]
    assert segment(*few, "--output", tmp_path / "local", *asked) == 0
    assert segment(*few, "--output", "memory://lab/run 1", *asked) == 0
    assert "gallery  memory://lab/run 1/gallery.html" in capsys.readouterr().out
    assert_same_results(tmp_path / "local", store)
    record = json.loads(store.cat("/lab/run 1/provenance_inference.json"))
    assert record["settings"]["output_dir"] == "memory://lab/run 1"

    store.rm("/lab/run 1/plate & lid_classes.png")
    store.rm("/lab/run 1/plate & lid_instances.ome.zarr/zarr.json")
    store.pipe("/lab/run 1/plate & lid_instances.ome.zarr/9/stale", b"of nobody")
    assert segment(*few, "--output", "memory://lab/run 1", *asked, "--resume") == 0
    assert "1 of 2 images were done before" in capsys.readouterr().err
    assert_same_results(tmp_path / "local", store)
    assert segment(*few, "--output", "memory://lab/run 1", *asked, "--resume", "--tta", "True") == 2
    assert "memory://lab/run 1 holds results of other settings" in capsys.readouterr().err

    others = images / "inner" / "plate & lid.tif"
    assert segment(others, "--output", "memory://lab/run 1") == 2
    assert "memory://lab/run 1 holds the results of other images" in capsys.readouterr().err
    assert_same_results(tmp_path / "local", store)
    asked[-1] = "classes,overlay,csv,roi"
    assert segment(others, "--output", "memory://lab/run 1", *asked, "--overwrite", "--no-gallery") == 0
    left = store.find("/lab")
    assert "/lab/run 1/plate & lid_rois.zip" in left
    assert not [name for name in left if "well" in name or name.endswith(("coco.json", "gallery.html"))]


def assert_same_results(local, store):
    there = {name.removeprefix("/lab/run 1/") for name in store.find("/lab/run 1")}
    assert there == {
        path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file() and path.name[0] != "_"
    }
    for name in there - {"provenance_inference.json", ".medseg.done.jsonl"}:
        assert store.cat(f"/lab/run 1/{name}") == (local / name).read_bytes(), name


class Guarded(MemoryFileSystem):
    """A store that takes no file whose name has `refused` in it, and may tell nothing of images with results."""

    protocol = "guarded"
    refused = "\0"
    notes_taken = 99
    is_deaf = False

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("guarded://"))

    def put_file(self, lpath, rpath, **options):
        if rpath.endswith("done.jsonl"):
            Guarded.notes_taken -= 1
        if self.refused in rpath or Guarded.notes_taken < 0:
            raise PermissionError(f"403 for {rpath}")
        super().put_file(lpath, rpath, **options)

    def info(self, path, **options):
        if self.is_deaf and path.startswith("/images/") and self.find("/lab/run/a_overlay.png"):
            raise TimeoutError
        return super().info(path, **options)


@pytest.fixture
def guarded(store):
    Guarded.refused, Guarded.notes_taken, Guarded.is_deaf = "\0", 99, False
    fsspec.register_implementation("guarded", Guarded, clobber=True)
    return Guarded


def test_results_of_a_run_that_was_killed_at_once_are_not_overwritten_by_those_of_other_images(
    images, guarded, capsys, tmp_path
):
    few = [images / "inner", images / "well #1? 50%.png"]
    to = ["--output", "guarded://lab/run", "--no-gallery"]
    guarded.refused = "done.jsonl"  # as if it were killed before it could write its notes at the end
    assert segment(*few, *to) == 2  # nor does it begin without
    guarded.refused, guarded.notes_taken = "\0", 1
    assert segment(*few, *to) == 2
    left = {name: guarded().cat(name) for name in guarded().find("/lab/run")}
    assert "/lab/run/plate & lid_overlay.png" in left
    guarded.notes_taken = 99
    (tmp_path / "plate & lid.png").write_bytes((images / "well #1? 50%.png").read_bytes())
    capsys.readouterr()
    assert segment(tmp_path, *to) == 2
    assert "guarded://lab/run holds the results of other images" in capsys.readouterr().err
    assert {name: guarded().cat(name) for name in guarded().find("/lab/run")} == left
    assert segment(*few, *to, "--resume") == 0
    assert "0 of 2 images were done before" in capsys.readouterr().err


def test_an_image_that_is_done_but_cannot_be_noted_keeps_its_results(images, guarded, capsys):
    guarded().pipe("/images/a.png", (images / "well #1? 50%.png").read_bytes())
    run = ["guarded://images/a.png", "--output", "guarded://lab/run", "--no-gallery"]
    guarded.is_deaf = True
    assert segment(*run) == 0
    guarded.is_deaf = False
    assert {"/lab/run/a_overlay.png", "/lab/run/a_instances.tif"} <= set(guarded().find("/lab"))
    assert segment(*run, "--resume") == 0
    assert "0 of 1 image were done before" in capsys.readouterr().err.replace("images", "image")


@pytest.mark.parametrize(
    ("before", "now", "rc"),
    [
        (None, [], 0),  # somebody else's
        (["--formats", "csv,coco"], ["--formats", "geojson"], 2),  # refused before the run begins
    ],
)
def test_a_coco_file_that_a_run_does_not_write_stays_as_it_is(before, now, rc, images, store):
    run = [images / "inner", "--output", "memory://lab/run", "--no-gallery"]
    store.pipe(
        "/lab/run/coco.json", b'{"info": {"description": "by hand"}, "images": [], "annotations": [], "categories": []}'
    )
    if before is not None:
        store.rm("/lab/run/coco.json")
        assert segment(*run, *before) == 0
    content = store.cat("/lab/run/coco.json")
    assert segment(*run, *now) == rc
    assert store.cat("/lab/run/coco.json") == content


def test_an_upload_that_fails_is_told_with_its_address_and_the_others_are_done(images, guarded, capsys):
    few = [images / "inner", images / "well #1? 50%.png", "--output", "guarded://lab/run", "--no-gallery"]
    guarded.refused = "well #1? 50%_overlay"
    assert segment(*few) == 1
    assert "well #1? 50%.png: guarded://lab/run cannot be written to (PermissionError: 403" in capsys.readouterr().out
    left = {name.rpartition("/")[2] for name in guarded().find("/lab")}
    assert "plate & lid_overlay.png" in left
    assert not {name for name in left if "well" in name}
    guarded.refused = "summary"
    assert segment(*few) == 2
    assert "error: guarded://lab/run cannot be written to (PermissionError: 403" in capsys.readouterr().err
    guarded.refused = "provenance"
    assert segment(*few, "--resume") == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("error: guarded://lab/run cannot be written to")
    assert "get the right to it, or give credentials as fsspec takes them" in told[-1]


def test_a_server_that_refuses_or_breaks_off_costs_only_the_images_it_has(images, of_local, tmp_path, capsys):
    with serve(images) as server:
        server.forbidden, server.cut = "plate", "five.ome.zarr/0/c/0/1"
        assert segment(server.url, "--recursive", "--output", tmp_path / "out", "--no-gallery") == 1
        told = {row["image"].rpartition("/")[2]: row["status"] for row in summary(tmp_path / "out").values()}
        assert {name for name, status in told.items() if status == "ok"} == {
            "four.ome.zarr",
            "well%20%231%3F%2050%25.png",
        }
        assert "cannot be read (ClientResponseError: 403" in told["plate%20%26%20lid.tif"]
        assert "cannot be read, or is damaged (ClientPayloadError" in told["five.ome.zarr"]
        assert "try again" in told["five.ome.zarr"]
        capsys.readouterr()
        server.forbidden = server.cut = "\0"
        assert segment(server.url, "--recursive", "--output", tmp_path / "out", "--no-gallery", "--resume") == 0
        assert "2 of 4 images were done before" in capsys.readouterr().err


def test_secrets_of_an_address_reach_the_server_but_no_file_and_no_message(served, tmp_path, capsys):
    address = served.url.replace("://", "://ada:pass-word@") + "/inner/plate%20%26%20lid.tif?X-Signature=sign-ature"
    assert segment(address, "--output", tmp_path / "out", "--formats", "csv,geojson,coco") == 0
    assert any("sign-ature" in path for path in served.sent)
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    told = "".join(capsys.readouterr()).encode()
    assert b"plate%20%26%20lid.tif" in written
    assert not [word for word in (b"pass-word", b"sign-ature", b"ada:") if word in written + told]
    assert main(["rerun", str(tmp_path / "out")]) == 2
    assert "lid.tif; give --trust if you know that address" in capsys.readouterr().err


def test_of_an_ome_zarr_only_the_chunks_are_fetched_that_a_box_touches(served):
    served.sent.clear()
    image = open_block_image(f"{served.url}/five.ome.zarr")
    assert image.read(Box(10, 70, 20, 90)).shape == (10, 20, 3)
    assert [path for path in served.sent if "/c/" in path] == ["/five.ome.zarr/0/c/0/1"]


@pytest.mark.slow
def test_workers_read_and_write_at_addresses(images, of_local, tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "out").mkdir()
    output = f"simplecache::file://{tmp_path}/out"  # a store that processes share
    options = [*OPTIONS[: OPTIONS.index("--num_workers")], *OPTIONS[OPTIONS.index("--num_workers") + 2 :]]
    with serve(images) as server:
        address = server.url.replace("://", "://ada:pass-word@")
        words = ["segment", address, "--recursive", "--output", output, *TILES, *options, "--workers", "2"]
        assert main(words) == 0
    assert_same_files(of_local, tmp_path / "out")
    assert not [file for file in (tmp_path / "out").iterdir() if b"pass-word" in file.read_bytes()]
