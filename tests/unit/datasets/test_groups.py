import pytest

from medseg_ext.datasets.groups import Group, groups_of, read_groups
from medseg_ext.errors import DataError


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "groups.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_columns_are_found_by_name_and_others_are_ignored(tmp_path):
    path = write(tmp_path, "cluster,note,group,image_id\nf,hello,13,a\n,,14,b\n")
    assert read_groups(path) == {"a": Group("13", "f"), "b": Group("14", "")}


def test_a_spreadsheets_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    assert read_groups(write(tmp_path, "image_id,group\r\na,1\r\n", "utf-8-sig")) == {"a": Group("1")}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "lacks the column"),
        ("image_id,group\n", "no rows"),
        ("image_id,cluster\na,f\n", "lacks the column group"),
        ("image_id,group\na\n", "line 2: not as many values"),
        ("image_id,group\na,1,2\n", "line 2: not as many values"),
        ("image_id,group\na,\n", "line 2: image_id or group is empty"),
        ("image_id,group\na,1\na,2\n", "line 3: image 'a' stands in two groups"),
        ('image_id,group\n"a,1\n', "cannot be read as CSV"),
        ("image_id,group\n\x00,\x00\n", "groups.csv"),
    ],
)
def test_corrupt_tables_are_refused_by_file_and_line(tmp_path, text, complaint):
    with pytest.raises(DataError, match=complaint) as error:
        groups_of(["a"], write(tmp_path, text))
    assert "groups.csv" in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_groups(path)


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none.csv cannot be read"):
        read_groups(tmp_path / "none.csv")


def test_without_a_table_every_image_is_its_own_group():
    assert groups_of(["a", "b"], None) == ({"a": Group("a"), "b": Group("b")}, [], [])


def test_images_that_the_table_lacks_are_reported_and_join_no_group(tmp_path):
    path = write(tmp_path, "image_id,group\n1,2\n")
    groups, missing, _ = groups_of(["1", "2"], path)
    assert missing == ["2"]
    assert groups["1"].name == "2" != groups["2"].name


def test_names_of_files_are_taken_for_their_images(tmp_path):
    path = write(tmp_path, "image_id,group\n03_2.tif,x\nplate/b.ome.tif,y\nc.png,y\nc.png.tif,y\np/d.tif,z\n")
    groups, missing, without_image = groups_of(["03_2", "b", "c.png", "p_d"], path)
    assert {name: group.name for name, group in groups.items()} == {"03_2": "x", "b": "y", "c.png": "y", "p_d": "z"}
    assert not missing
    assert not without_image


def test_rows_of_no_image_are_told(tmp_path):
    path = write(tmp_path, "image_id,group\na,1\nimage01.tif,1\nplate/b.png,1\n")
    assert groups_of(["a", "img01"], path)[1:] == (["img01"], ["image01.tif", "plate/b.png"])


def test_two_files_of_one_image_in_two_groups_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"image 'a' stands in two groups, once as 'a\.png'"):
        groups_of(["a"], write(tmp_path, "image_id,group\na.tif,1\na.png,2\n"))


def test_the_table_of_another_data_set_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"names none of the images: it has 'b\.tif', and an image is 'a'"):
        groups_of(["a"], write(tmp_path, "image_id,group\nb.tif,1\n"))
