"""From image files to result files, through MONAI's own evaluator and with hostile images."""

import csv
import json
import logging
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from monai.transforms import Compose, CopyItemsd, LoadImaged, ScaleIntensityRanged
from PIL import Image

from medseg_ext.datasets.collate import collate_same_size
from medseg_ext.datasets.image_list import list_images
from medseg_ext.datasets.readable_images import ReadableImages
from medseg_ext.errors import DataError
from medseg_ext.handlers.failing_images import iterate_or_report
from medseg_ext.handlers.object_writer import ObjectWriter
from medseg_ext.images.result_names import DONE_FILE
from medseg_ext.inferers.diameter_estimate import DiameterEstimator
from medseg_ext.inferers.size_normalised import SizeNormalisedInferer
from medseg_ext.objects.formats import ResultFormats
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_files import write_objects
from medseg_ext.objects.result_folder import ResultFolder
from medseg_ext.transforms.decoders import DecodeSemanticd
from medseg_ext.transforms.readers import RGBReader

KEEP_ORIGINAL = CopyItemsd("image", names="original_image")
CELL_NAMES = ["background", "cytoplasm", "nucleus"]


class BrightIsForeground(torch.nn.Module):
    """Logits of background, nucleus and centre distance: what is brighter than a half is nucleus."""

    def forward(self, image):
        grey = image.mean(dim=1, keepdim=True)
        return torch.cat([torch.zeros_like(grey), 20 * (grey - 0.5), torch.full_like(grey, -20)], dim=1)


def segment(
    images, output_dir, *, diameter_px=20, working_diameter_px=20, after_loading=(KEEP_ORIGINAL,), num_workers=0
):
    load = LoadImaged("image", reader=RGBReader(), ensure_channel_first=True)
    dataset = ReadableImages(list_images(images), Compose([load, *after_loading]))
    decoder = DecodeSemanticd(min_area_px=1)
    sizes = {"working_diameter_px": working_diameter_px}
    names = {"class_names": ["background", "nucleus"], "object_name": "nucleus"}
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader(dataset, batch_size=1, collate_fn=collate_same_size, num_workers=num_workers),
        network=BrightIsForeground(),
        iteration_update=iterate_or_report,
        inferer=SizeNormalisedInferer(
            SimpleInferer(),
            object_diameter_px=diameter_px,
            estimator=DiameterEstimator(inferer=SimpleInferer(), decoder=decoder, **sizes),
            **sizes,
        ),
        postprocessing=decoder,
        val_handlers=[ObjectWriter(ResultFolder(output_dir, images=dataset, **names))],
    )
    evaluator.run()
    with (output_dir / "summary.csv").open(encoding="utf-8") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def names_of(image_id):
    return {path.name for path in ResultFormats().paths(Path(), image_id).values()}


def two_bars(height=12, width=20, dtype=np.uint8):
    """Make a dark image with an upright bar at the left and a flat one at the bottom right."""
    image = np.zeros((height, width), dtype=dtype)
    image[1:7, 2:5] = image[9:11, 8:18] = np.iinfo(dtype).max
    return image


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def test_every_file_has_the_size_of_its_image_and_agrees_with_the_others(images, tmp_path):
    Image.fromarray(two_bars()).save(images / "a.png")
    (row,) = segment(images, tmp_path / "out").values()
    assert (row["status"], row["height"], row["width"], row["objects"]) == ("ok", "12", "20", "2")
    instances = tifffile.imread(tmp_path / "out" / "a_instances.tif")
    assert instances.dtype == np.uint16
    assert ((instances > 0) == (two_bars() > 0)).all()
    assert (np.asarray(Image.open(tmp_path / "out" / "a_classes.png")) == (instances > 0)).all()
    assert Image.open(tmp_path / "out" / "a_overlay.png").size == (20, 12)
    table = list(csv.DictReader((tmp_path / "out" / "a_objects.csv").open()))
    assert sorted(int(row["area_px"]) for row in table) == [18, 20]
    assert {float(row["mean_green"]) for row in table} == {1.0}
    assert len(json.loads((tmp_path / "out" / "a_objects.geojson").read_text())["features"]) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == names_of("a") | {"summary.csv", DONE_FILE}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_intensities_and_overlay_are_of_the_image_as_it_came(images, tmp_path, num_workers):
    """And not as the network sees it: here with most of its values made black or white."""
    grey = two_bars(dtype=np.uint8) // 4 * 3
    Image.fromarray(np.stack([grey, grey // 3, 0 * grey], axis=-1)).save(images / "a.png")
    stretch = ScaleIntensityRanged("image", a_min=0.1, a_max=0.2, b_min=0, b_max=1, clip=True)
    segment(images, tmp_path / "out", after_loading=[KEEP_ORIGINAL, stretch], num_workers=num_workers)
    table = list(csv.DictReader((tmp_path / "out" / "a_objects.csv").open()))
    means = [[float(row[f"mean_{colour}"]) for colour in ("red", "green", "blue")] for row in table]
    assert means == [pytest.approx([189 / 255, 63 / 255, 0], rel=1e-5)] * 2
    overlay = np.asarray(Image.open(tmp_path / "out" / "a_overlay.png"))
    assert (overlay[two_bars() == 0] == 0).all()
    assert overlay[3, 3].tolist() == [255, 85, 0]  # the middle of the upright bar: its brightest value is white


def test_a_preprocessing_that_keeps_no_original_is_told_what_to_do(images, tmp_path):
    Image.fromarray(two_bars()).save(images / "a.png")
    with pytest.raises(DataError, match="hands on no 'original_image': copy the image before it is changed"):
        segment(images, tmp_path / "out", after_loading=[])


def save_images_of_every_kind(folder):
    """Save the same two bars in eight ways."""
    grey = Image.fromarray(two_bars())
    grey.save(folder / "grey.png")
    grey.save(folder / "jpeg.jpg", quality=100)
    grey.save(folder / "bitmap.bmp")
    grey.convert("P").save(folder / "palette.png")
    with_alpha = grey.convert("RGB")
    with_alpha.putalpha(7)
    with_alpha.save(folder / "alpha.png")
    Image.fromarray(two_bars(dtype=np.uint16)).save(folder / "deep.png")
    tifffile.imwrite(folder / "deep.tif", two_bars(dtype=np.uint16))
    sideways = Image.Exif()
    sideways[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    Image.fromarray(np.rot90(two_bars())).save(folder / "turned.jpg", exif=sideways, quality=100)


def test_images_of_every_kind_give_the_same_objects(images, tmp_path):
    save_images_of_every_kind(images)
    rows = segment(images, tmp_path / "out")
    assert len(rows) == 8
    assert {(row["status"], row["height"], row["width"]) for row in rows.values()} == {("ok", "12", "20")}
    for path in (tmp_path / "out").glob("*_instances.tif"):
        assert ((tifffile.imread(path) > 0) == (two_bars() > 0)).all(), path.name


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 2)])
@pytest.mark.parametrize("value", [0, 255])
def test_the_smallest_images_are_done(images, tmp_path, size, value):
    Image.fromarray(np.full(size, value, dtype=np.uint8)).save(images / "a.png")
    (row,) = segment(images, tmp_path / "out").values()
    assert (int(row["height"]), int(row["width"])) == size
    assert row["objects"] == ("1" if value else "0")


@pytest.mark.parametrize("size", [(1, 900), (900, 1), (61, 33)])
def test_objects_have_the_size_of_the_image_and_not_that_of_the_network(images, tmp_path, size):
    Image.fromarray(np.full(size, 255, dtype=np.uint8)).save(images / "a.png")
    for number, working_diameter_px in enumerate((5, 60)):
        out = tmp_path / f"out{number}"
        (row,) = segment(images, out, working_diameter_px=working_diameter_px).values()
        assert float(row["scale"]) == pytest.approx(working_diameter_px / 20, rel=0.05)
        assert float(row["object_diameter_px"]) == 20
        assert tifffile.imread(out / "a_instances.tif").shape == size


def test_names_with_spaces_and_other_letters_are_kept(images, tmp_path):
    Image.fromarray(two_bars()).save(images / "Probe 1, Größe 細胞.png")
    rows = segment(images, tmp_path / "out")
    assert rows.keys() == {"Probe 1, Größe 細胞.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *names_of("Probe 1, Größe 細胞"),
        "summary.csv",
        DONE_FILE,
    }


def test_two_images_of_one_stem_do_not_share_files(images, tmp_path):
    Image.fromarray(two_bars()).save(images / "a.png")
    Image.fromarray(two_bars(15, 25)).save(images / "a.bmp")
    rows = segment(images, tmp_path / "out")
    assert {row["id"]: row["width"] for row in rows.values()} == {"a.bmp": "25", "a.png": "20"}
    assert tifffile.imread(tmp_path / "out" / "a.bmp_instances.tif").shape == (15, 25)


def test_two_images_that_differ_only_in_case_do_not_share_files(images, tmp_path):
    Image.fromarray(two_bars()).save(images / "A.png")
    Image.fromarray(two_bars(15, 25)).save(images / "a.png")
    rows = segment(images, tmp_path / "out")
    assert {row["id"]: row["width"] for row in rows.values()} == {"A": "20", "a_2": "25"}
    names = [path.name.lower() for path in (tmp_path / "out").iterdir()]
    assert len(set(names)) == len(names) == 12


def test_ids_that_are_one_name_on_some_systems_are_refused(tmp_path):
    items = [{"image": f"/in/{name}.png", "id": name} for name in ("Plate", "plate")]
    images = SimpleNamespace(data=items, large=[], unreadable=[], page=0, channel=None, remarks={})
    folder = ResultFolder(tmp_path / "out", images=images, class_names=["background", "nucleus"], object_name="nucleus")
    with pytest.raises(DataError, match=r"/in/plate\.png and /in/Plate\.png would share their files"):
        folder.start()
    assert not (tmp_path / "out").exists()


def test_an_image_is_not_overwritten_under_a_name_in_other_case(images):
    """A hard link is what both names are where the file system ignores case."""
    Image.fromarray(two_bars()).save(images / "a.png")
    Image.fromarray(two_bars()).save(images / "A_overlay.png")
    os.link(images / "A_overlay.png", images / "a_overlay.png")
    with pytest.raises(DataError, match=r"_overlay\.png is one of the images, and would be overwritten"):
        segment([images / "a.png", images / "A_overlay.png"], images)


def test_damaged_images_are_reported_and_the_others_done(images, tmp_path, caplog):
    Image.fromarray(two_bars()).save(images / "good.png")
    noise = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    Image.fromarray(noise).save(images / "cut.png")
    (images / "cut.png").write_bytes((images / "cut.png").read_bytes()[:2000])
    (images / "empty.tif").write_bytes(b"")
    (images / "text.jpg").write_text("no image")
    tifffile.imwrite(images / "nan.tif", np.full((3, 4), np.nan, dtype=np.float32))
    with caplog.at_level(logging.ERROR):
        rows = segment(images, tmp_path / "out")
    assert list(rows) == ["cut.png", "empty.tif", "good.png", "nan.tif", "text.jpg"]
    assert rows.pop("good.png")["objects"] == "2"
    for name, row in rows.items():
        assert row["status"].startswith("error: ")
        assert str(images) not in row["status"]
        assert row["objects"] == ""
        assert str(images / name) in caplog.text


def test_of_damaged_images_alone_each_is_in_the_summary_and_the_first_in_the_error(images, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    for name in ("a.png", "b.png"):
        Image.fromarray(noise).save(images / name)
        (images / name).write_bytes((images / name).read_bytes()[:2000])
    with pytest.raises(
        DataError, match=r"none of 2 images is done; the first: a\.png: error: is not an image, or is cut"
    ):
        segment(images, tmp_path / "out")
    with (tmp_path / "out" / "summary.csv").open(encoding="utf-8") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["a.png", "b.png"]


def test_no_readable_image_is_refused_with_a_name_and_a_reason(images):
    (images / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"none of 1 images.*a\.png: is not an image, or is cut short"):
        ReadableImages(list_images(images))


def test_a_second_run_replaces_the_first(images, tmp_path):
    Image.fromarray(two_bars()).save(images / "a.png")
    segment(images, tmp_path / "out")
    Image.fromarray(np.zeros((4, 5), dtype=np.uint8)).save(images / "a.png")
    (row,) = segment(images, tmp_path / "out").values()
    assert (row["objects"], row["width"]) == ("0", "5")
    assert tifffile.imread(tmp_path / "out" / "a_instances.tif").shape == (4, 5)


@pytest.mark.parametrize(("source", "target"), [("images", "link"), ("link", "images")])
def test_an_image_is_not_overwritten_by_way_of_a_link_to_its_folder(images, tmp_path, source, target):
    Image.fromarray(two_bars()).save(images / "a.png")
    Image.fromarray(two_bars()).save(images / "a_overlay.png")
    before = (images / "a_overlay.png").read_bytes()
    folders = {"images": images, "link": tmp_path / "link"}
    folders["link"].symlink_to(images)
    with pytest.raises(DataError, match=r"a_overlay\.png is one of the images, and would be overwritten"):
        segment(folders[source], folders[target])
    assert (images / "a_overlay.png").read_bytes() == before


def test_the_ratio_of_nucleus_and_cytoplasm_has_a_column_only_where_both_are_classes(images, tmp_path):
    Image.fromarray(two_bars()).save(images / "a.png")
    (row,) = segment(images, tmp_path / "out").values()
    assert row["status"] == "ok"
    assert not any("ratio" in name for name in row)


def test_an_image_is_never_overwritten(images):
    Image.fromarray(two_bars()).save(images / "a.png")
    Image.fromarray(two_bars()).save(images / "a_classes.png")
    before = (images / "a_classes.png").read_bytes()
    with pytest.raises(DataError, match=r"a_classes\.png is one of the images"):
        segment(images, images)
    assert (images / "a_classes.png").read_bytes() == before
    assert len(list(images.iterdir())) == 2


@pytest.mark.parametrize("target", ["images", "images/../images", "link"])
@pytest.mark.parametrize("source", ["images", "images/a.png", "link"])
def test_results_are_not_written_beside_the_images_where_a_later_run_would_read_them(images, tmp_path, source, target):
    Image.fromarray(two_bars()).save(images / "a.png")
    (tmp_path / "link").symlink_to(images)
    with pytest.raises(DataError, match=r"is the folder of the image .*a\.png.*give another folder"):
        segment(tmp_path / source, tmp_path / target)
    assert [path.name for path in images.iterdir()] == ["a.png"]


@pytest.mark.parametrize("target", [".", "images/objects"])
def test_results_above_or_inside_the_folder_of_the_images_are_never_read_as_images(images, tmp_path, target):
    Image.fromarray(two_bars()).save(images / "a.png")
    for _ in range(2):
        assert list(segment(images, tmp_path / target)) == ["a.png"]


def objects_of(instances):
    return Objects(
        instances=torch.as_tensor(instances, dtype=torch.int32)[None],
        classes=torch.as_tensor(instances > 0, dtype=torch.uint8)[None],
        scores=torch.ones(int(instances.max())),
    )


@pytest.mark.parametrize(("label", "dtype"), [(65535, np.uint16), (65536, np.uint32)])
def test_more_than_65535_objects_keep_their_labels(tmp_path, label, dtype):
    instances = np.array([[0, label, 1]])
    write_objects(tmp_path, "a", objects_of(instances), np.zeros((1, 3, 3)), class_names=CELL_NAMES, object_name="cell")
    written = tifffile.imread(tmp_path / "a_instances.tif")
    assert written.dtype == dtype
    assert (written == instances).all()


def test_the_size_of_a_pixel_is_that_of_the_page(tmp_path):
    """Pixels of 1 µm on the first page, and of 2 µm on the second; the object has 10 of them."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for per_cm in (10_000, 5_000):
            pixels = np.zeros((8, 8), dtype=np.uint8)
            tiff.write(pixels, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER", metadata=None)
    instances = np.zeros((8, 8), dtype=np.int32)
    instances[2:4, 1:6] = 1
    for page, area_um2 in ((0, 10), (1, 40)):
        dataset = ReadableImages(list_images(tmp_path / "a.tif"), page=page)
        names = {"class_names": ["background", "nucleus"], "object_name": "nucleus"}
        folder = ResultFolder(tmp_path, images=dataset, **names)
        folder.write(dataset.data[0], objects_of(instances), np.zeros((8, 8, 3), np.float32))
        (row,) = csv.DictReader((tmp_path / "a_objects.csv").open())
        assert float(row["area_um2"]) == area_um2


def test_a_failed_write_leaves_the_older_file_and_nothing_half_written(tmp_path, monkeypatch):
    options = {"class_names": CELL_NAMES, "object_name": "cell"}
    write_objects(tmp_path, "a", objects_of(np.array([[0, 1]])), np.zeros((1, 2, 3)), **options)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fill_disk(path, target):
        raise OSError("no space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fill_disk)
    with pytest.raises(OSError, match="no space"):
        write_objects(tmp_path, "a", objects_of(np.array([[1, 1]])), np.zeros((1, 2, 3)), **options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class ListedImages(list):
    """Items that count how often somebody goes through all of them."""

    walks = 0

    def __iter__(self):
        self.walks += 1
        return super().__iter__()


@pytest.mark.parametrize("count", [3, 300])
def test_the_work_for_an_image_does_not_grow_with_their_number(tmp_path, count):
    items = ListedImages({"image": str(tmp_path / f"{number}.png"), "id": str(number)} for number in range(count))
    images = SimpleNamespace(data=items, large=[], unreadable=[], page=0, channel=None, remarks={})
    results = ResultFolder(
        tmp_path / "out", images=images, class_names=["background", "nucleus"], object_name="nucleus"
    )
    engine = Engine(lambda engine, batch: [{"error": "is cut short"}])
    ObjectWriter(results).attach(engine)
    with pytest.raises(DataError, match=f"none of {count} images is done"):
        engine.run([[{"id": str(number)}] for number in range(count)])
    assert items.walks < 10


class SlowFolder:
    """Takes a while for each image, and remembers how many it was given at once."""

    def __init__(self, items, *, fails=()):
        self.images = SimpleNamespace(data=items)
        self.written, self.failed, self.summaries, self.fails = [], [], 0, fails
        self.busy = threading.Lock()

    def start(self):
        pass

    def write(self, item, objects, original, *, metadata=None):
        with self.busy:
            time.sleep(0.05)
            if item["id"] in self.fails:
                raise RuntimeError(item["id"])
            self.written.append(item["id"])

    def add_failure(self, item, reason):
        self.failed.append(item["id"])

    def summarise(self):
        self.summaries += 1
        self.seen_at_summary = list(self.written)


def run_engine(folder, items, seen=None):
    maps = {"pred_instances": torch.zeros(1, 2, 2), "pred_classes": torch.zeros(1, 2, 2), "pred_scores": torch.zeros(0)}

    def step(engine, item):
        engine.state.batch = [{**item, "original_image": torch.zeros(3, 2, 2)}]
        if seen is not None:
            seen.append(len(folder.written))
        return [maps]

    engine = Engine(step)
    writer = ObjectWriter(folder)
    writer.attach(engine)
    return engine, writer, lambda: engine.run(items)


def test_the_network_goes_on_while_an_image_is_written_and_at_most_one_waits():
    items = [{"id": str(number)} for number in range(6)]
    folder, seen = SlowFolder(items), []
    *_, run = run_engine(folder, items, seen)
    run()
    assert folder.written == [item["id"] for item in items]
    assert folder.seen_at_summary == folder.written
    # When the network sees an image, the one before may be in writing, and those before that are written.
    assert all(number - 2 < n_written <= number for number, n_written in enumerate(seen))
    assert any(n_written < number for number, n_written in enumerate(seen))


def test_what_is_being_written_when_a_run_is_stopped_is_written_to_its_end():
    items = [{"id": str(number)} for number in range(3)]
    folder = SlowFolder(items)
    engine, writer, run = run_engine(folder, items)

    def stop(engine):
        raise KeyboardInterrupt

    engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), stop)
    with pytest.raises(KeyboardInterrupt):
        run()
    writer.close()
    assert folder.written == ["0", "1"]
    assert folder.summaries == 0


def test_an_error_that_no_image_explains_ends_the_run():
    items = [{"id": str(number)} for number in range(3)]
    *_, run = run_engine(SlowFolder(items, fails=["2"]), items)
    with pytest.raises(RuntimeError, match="2"):
        run()
