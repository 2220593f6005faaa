import csv
import re
from functools import partial
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image

from medseg_ext.objects.formats import ResultFormats
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_files import write_objects
from medseg_ext.pages import gallery, gallery_pictures
from medseg_ext.pages.area_histogram import area_histogram
from medseg_ext.pages.gallery import write_gallery
from medseg_ext.pages.gallery_pictures import GalleryPictures, read_pictures

VOID = {"img", "input", "meta", "link", "br", "rect", "line", "path"}
REASON = 'is not an image (<script>alert("x")</script> & more)'


class Page(HTMLParser):
    """The elements of a page, each with its attributes, its text and the elements around it."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        assert not self._open, [element["tag"] for element in self._open]

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs), "around": [id(each) for each in self._open]}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def find(self, tag, inside=None):
        return [e for e in self.elements if e["tag"] == tag and (inside is None or id(inside) in e["around"])]

    @property
    def cards(self):
        return {e["data-name"]: e for e in self.find("li") if "data-name" in e}


def draw(folder, name, boxes, *, shape=(60, 80), pictures):
    """Write what the writer makes of an image with bright boxes; returns its row of summary.csv."""
    instances = np.zeros(shape, dtype=np.int32)
    for label, (top, left, bottom, right) in enumerate(boxes, start=1):
        instances[top:bottom, left:right] = label
    image = np.repeat(((instances > 0) * 200 + 20).astype(np.uint8)[..., None], 3, axis=2)
    objects = Objects(
        instances=torch.as_tensor(instances)[None],
        classes=torch.as_tensor(instances > 0, dtype=torch.uint8)[None],
        scores=torch.linspace(0.5, 1, len(boxes)),
    )
    names = {"class_names": ["background", "nucleus"], "object_name": "nucleus"}
    show = partial(pictures.add, {"image": f"/in/{name}.png", "id": name})
    table = write_objects(folder, name, objects, image / np.float32(255), **names, show=show)
    mean = f"{np.mean(table['area_px']):.6g}" if boxes else ""
    sizes = {"height": str(shape[0]), "width": str(shape[1]), "objects": str(len(boxes)), "mean_area_px": mean}
    return {"image": f"{name}.png", "id": name, "status": "ok", "remarks": "", **sizes}


@pytest.mark.parametrize("output_format", ["tiff", "nifti", "ome-zarr"])
def test_pictures_of_a_run_without_overlays_are_those_of_one_with_them(tmp_path, output_format):
    instances = np.zeros((50, 70), np.int32)
    instances[5:20, 5:30], instances[20:40, 30:60] = 1, 2
    grey = np.uint8(instances > 0) * 200 + 20
    Image.fromarray(grey).save(tmp_path / "a.png")
    maps = torch.as_tensor(instances)[None]
    objects = Objects(maps, (maps > 0).to(torch.uint8), torch.ones(2))
    pixels = np.repeat(np.float32(grey[..., None]) / 255, 3, axis=2)
    item = {"image": str(tmp_path / "a.png"), "id": "a"}
    shown = []
    for formats in (ResultFormats(output_format), ResultFormats(output_format, ())):
        folder = tmp_path / str(len(shown))
        folder.mkdir()
        size = {"pixel_size_um": (0.5, 0.25)}
        names = {"class_names": ["background", "nucleus"], "object_name": "nucleus"}
        write_objects(folder, "a", objects, pixels, formats=formats, **names, **size)
        shown.append(read_pictures(folder, item, formats=formats, page=0, channel=None, **size))
    for with_overlay, without in zip(*shown, strict=True):
        np.testing.assert_array_equal(with_overlay, without)


def write(folder, rows, pictures):
    path = write_gallery(folder, rows=rows, pictures=pictures, title="Nuclei", bundle="net", object_name="nucleus")
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def pictures():
    return GalleryPictures(3)


@pytest.fixture
def results(tmp_path, pictures):
    unreadable = {"image": "bad <b>.tif", "id": "bad <b>", "status": f"error: {REASON}", "remarks": ""}
    return [
        draw(tmp_path, "50% #1? & 'ä'", [(2, 3, 12, 13), (20, 30, 40, 70)], pictures=pictures),
        draw(tmp_path, "empty", [], pictures=pictures),
        unreadable | {"height": "", "width": "", "objects": "", "mean_area_px": ""},
    ]


def test_every_image_has_a_card_with_its_state_and_numbers(results, tmp_path, pictures):
    cards = write(tmp_path, results, pictures).cards
    good, empty, bad = (cards[row["image"]] for row in results)
    assert (good["data-state"], good["data-objects"], good["data-area"]) == ("done", "2", "450")
    assert (empty["data-state"], empty["data-objects"], "data-area" in empty) == ("nothing found", "0", False)
    assert (bad["data-state"], "data-objects" in bad) == ("could not be done", False)
    assert REASON in bad["text"]


def test_pictures_are_inside_and_have_alternative_texts(results, tmp_path, pictures):
    page = write(tmp_path, results, pictures)
    pictures = [picture for picture in page.find("img") if "src" in picture]
    assert len(pictures) == 4
    assert all(picture["src"].startswith("data:image/jpeg;base64,") for picture in pictures)
    assert all(picture["alt"] for picture in page.find("img"))
    assert not page.find("link")
    assert not [script for script in page.find("script") if "src" in script]
    assert not re.search(r"https?://|@import|url\(", (tmp_path / "gallery.html").read_text(encoding="utf-8"))


def test_links_are_relative_and_lead_to_files(results, tmp_path, pictures):
    page = write(tmp_path, results, pictures)
    (tmp_path / "summary.csv").touch()
    addresses = [link["href"] for link in page.find("a")]
    assert len(addresses) == 1 + 2 * 5
    assert all((tmp_path / unquote(address)).is_file() for address in addresses)
    assert not any(set(address) & set("/#?&' ") for address in addresses)


def test_the_table_is_that_of_the_file_with_boxes_to_mark(results, tmp_path, pictures):
    page = write(tmp_path, results, pictures)
    card = page.cards[results[0]["image"]]
    rows = page.find("tr", inside=page.find("tbody", inside=card)[0])
    cells = [[cell["text"] for cell in page.find("td", inside=row)] for row in rows]
    assert cells == [["1", "0.50", "100"], ["2", "1", "800"]]
    assert [row["data-box"] for row in rows] == ["3 2 13 12", "30 20 70 40"]
    with (tmp_path / f"{results[0]['id']}_objects.csv").open(encoding="utf-8") as file:
        assert [row["area_px"] for row in csv.DictReader(file)] == [row[2] for row in cells]


def test_the_histogram_counts_every_object_once(results, tmp_path, pictures):
    page = write(tmp_path, results, pictures)
    bars = [re.search(r"px: (\d+) object", title["text"]) for title in page.find("title")]
    assert sum(int(bar[1]) for bar in bars if bar) == 2
    (figure,) = [svg for svg in page.find("svg") if svg.get("role") == "img"]
    assert "2 objects from 100 to 800 px" in figure["aria-label"]


def test_remarks_stand_in_the_card_and_beside_the_large_view(results, tmp_path, pictures):
    results[0]["remarks"] = "of 2 pages <page 0> was taken; --page chooses another | of 2 channels 0 was taken"
    results[2]["remarks"] = "of 3 pages page 0 was taken"
    page = write(tmp_path, results, pictures)
    said = [
        [p["text"] for p in page.find("p", inside=page.cards[row["image"]]) if p.get("class") == "remark"]
        for row in results
    ]
    both = ["Of 2 pages <page 0> was taken; --page chooses another", "Of 2 channels 0 was taken"]
    assert said == [2 * both, [], ["Of 3 pages page 0 was taken"]]
    assert any("2 with a remark" in fact["text"] for fact in page.find("li"))


def test_long_tables_are_cut_and_say_so(tmp_path, monkeypatch, pictures):
    monkeypatch.setattr(gallery, "MOST_ROWS", 10)
    boxes = [(5 * row, 5 * column, 5 * row + 3, 5 * column + 3) for row in range(4) for column in range(5)]
    page = write(tmp_path, [draw(tmp_path, "many", boxes, pictures=pictures)], pictures)
    (card,) = page.cards.values()
    assert len(page.find("tr", inside=page.find("tbody", inside=card)[0])) == 10
    assert "The first 10 of 20 objects" in card["text"]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), (3, 0, 5, 1, 4, 2)])
def test_the_page_stays_small_and_says_which_large_views_it_has(tmp_path, monkeypatch, order):
    monkeypatch.setattr(gallery_pictures, "PICTURE_CHARACTERS", 1_500_000)
    pictures = GalleryPictures(6)
    rows = {each: draw(tmp_path, f"{each}", [(1, 1, 300, 400)], shape=(400, 500), pictures=pictures) for each in order}
    pictures = GalleryPictures(6)
    noise = np.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=np.uint8)  # which does not compress
    for number in order:
        pictures.add({"image": f"/in/{number}.png", "id": str(number)}, noise, noise)
    rows = [rows[number] for number in range(6)]
    page = write(tmp_path, rows, pictures)
    embedded = sum(len(picture.get("src", "")) for picture in page.find("img"))
    assert embedded <= 1_500_000
    enlarged = [name for name, card in page.cards.items() if "The small picture, enlarged" in card["text"]]
    first = 6 - len(enlarged)
    assert 0 < first < 6
    assert enlarged == [row["image"] for row in rows[first:]]
    (note,) = [p["text"] for p in page.find("p") if "a large view in this page" in p["text"]]
    assert f"first {first} image" in note
    assert f"{len(enlarged)} of the others" in note


def test_the_memory_for_pictures_does_not_grow_with_their_number(monkeypatch):
    monkeypatch.setattr(gallery_pictures, "PICTURE_CHARACTERS", 200_000)
    picture = np.uint8(np.add.outer(np.arange(300), np.arange(400)) % 256)[..., None].repeat(3, axis=2)
    for number in (2, 20):
        pictures = GalleryPictures(number)
        for place in range(number):
            pictures.add({"image": f"/in/{place}.png", "id": str(place)}, picture, picture)
        assert len(pictures.small) == number
        assert 0 < len(pictures.large) <= number
        views = [*pictures.small.values(), *pictures.large.values()]
        assert sum(len(url) for each in views for url in each.values()) <= 200_000
    assert len(pictures.large) < 20


def test_bins_of_areas_hold_what_lies_between_their_edges():
    areas = np.random.default_rng(0).lognormal(5, 1, 500).round() + 1
    histogram = area_histogram(areas)
    for bar in histogram.bars[:-1]:
        assert bar.objects == sum(bar.low <= area < bar.high for area in areas)
    assert sum(bar.objects for bar in histogram.bars) == 500
    assert histogram.median == np.median(areas)


@pytest.mark.parametrize("areas", [[1], [7, 7, 7], [1, 1_000_000]])
def test_few_areas_give_a_histogram_too(areas):
    histogram = area_histogram(areas)
    assert sum(bar.objects for bar in histogram.bars) == len(areas)
    assert len(histogram.ticks) >= 2
    assert all(0 <= place <= 1 for place, _ in histogram.ticks)


def test_no_areas_give_no_histogram():
    assert area_histogram([]) is None
