"""LUTs: what they do to colours, and files of ours, of others and of nobody's."""

import itertools

import numpy as np
import pytest
from PIL import Image

from dpst.errors import UserError
from dpst.files.luts import Lut, check_lut_writable, tetrahedra


def colours(count=200, seed=0):
    return np.random.default_rng(seed).random((count, 3), dtype=np.float32)


def random_lut(size=5, seed=0):
    return Lut(np.random.default_rng(seed).random((size, size, size, 3), dtype=np.float32))


def cube(tmp_path, text, name="a.cube", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return str(path)


def rows(*shape):
    return "\n".join(f"{r} {g} {b}" for r, g, b in np.random.default_rng(1).random(shape).reshape(-1, 3))


def by_hand(table, colour):
    """Tetrahedral interpolation of one colour, in order from the dark corner along the channel that is furthest."""
    size = len(table)
    position = np.asarray(colour, np.float64) * (size - 1)
    corner = np.minimum(position.astype(int), size - 2)
    rest = position - corner
    value = table[tuple(corner)].astype(np.float64)
    for channel in np.argsort(-rest, kind="stable"):
        before = table[tuple(corner)].astype(np.float64)
        corner[channel] += 1
        value += rest[channel] * (table[tuple(corner)] - before)
    return value


# Looking up


def test_the_identity_changes_nothing():
    image = colours(24).reshape(4, 6, 3)
    np.testing.assert_allclose(Lut.identity(17)(image), image, atol=1e-6)


def test_nodes_get_the_colours_of_the_table():
    lut = random_lut()
    np.testing.assert_allclose(lut(Lut.identity(5).table), lut.table, atol=1e-5)


def test_between_nodes_each_colour_is_interpolated_in_its_tetrahedron():
    lut = random_lut()
    image = np.concatenate([colours(), np.float32(list(itertools.product((0, 0.3, 0.7, 1), repeat=3)))])  # with ties
    np.testing.assert_allclose(lut(image), [by_hand(lut.table, colour) for colour in image], atol=1e-5)


def test_weights_make_up_each_colour():
    position = 4 * colours().astype(np.float64)
    nodes, weights = tetrahedra(position, 5)
    places = np.stack([nodes // 25, nodes // 5 % 5, nodes % 5], -1)
    assert weights.min() >= 0 and nodes.min() >= 0 and nodes.max() < 125
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose((places * weights[..., None]).sum(1), position)


def test_large_photos_are_looked_up_in_parts():
    lut, image = random_lut(), colours(200_000)
    whole = lut(image)
    np.testing.assert_array_equal(whole[150_000:150_100], lut(image[150_000:150_100]))


def test_curves_change_each_channel_for_itself():
    table = np.float32([(0, 1, 0.5), (0.2, 0.5, 0.5), (1, 0, 0.5)])
    np.testing.assert_allclose(Lut(table)(np.float32([[0.25, 0.75, 0.1]])), [[0.1, 0.25, 0.5]], atol=1e-6)


@pytest.mark.parametrize("table", [Lut.identity(3).table, np.linspace(0, 1, 4, dtype=np.float32)[:, None].repeat(3, 1)])
def test_colours_outside_the_domain_get_what_its_ends_get(table):
    lut = Lut(table, (0.25, 0.0, 0.0), (0.75, 2.0, 1.0))
    np.testing.assert_allclose(
        lut(np.float32([[0.1, 0.5, 0.5], [0.5, 1, 0.2], [0.9, 0, 1]])), [(0, 0.25, 0.5), (0.5, 0.5, 0.2), (1, 0, 1)]
    )


# Files of our own


@pytest.mark.parametrize("lut", [random_lut(4), Lut(colours(7)), Lut(colours(7), (-0.5, 0.0, 0.125), (1.5, 2.0, 0.875))])
def test_a_cube_comes_back_as_it_was(lut, tmp_path):
    path = str(tmp_path / "a.cube")
    Lut(lut.table, lut.low, lut.high, 'a "good" look', ("one", "two")).write(path)
    back = Lut.read(path)
    np.testing.assert_allclose(back.table, lut.table, atol=1e-6)
    assert (back.low, back.high) == (lut.low, lut.high)
    assert (back.title, back.comments) == ("a 'good' look", ("one", "two"))


def test_red_runs_fastest_in_a_cube(tmp_path):
    path = tmp_path / "a.cube"
    Lut.identity(2).write(str(path))
    lines = [line for line in path.read_text().splitlines() if line[0].isdigit()]
    assert [line.split()[0][0] for line in lines] == list("01010101")
    assert [line.split()[2][0] for line in lines] == list("00001111")


def test_a_haldclut_comes_back_as_it_was(tmp_path):
    lut, path = random_lut(9), str(tmp_path / "a.png")
    lut.write(path)
    with Image.open(path) as picture:
        assert picture.size == (27, 27)
    np.testing.assert_allclose(Lut.read(path).table, lut.table, atol=1 / 65535)


@pytest.mark.parametrize(
    ("lut", "side"), [(Lut.identity(17), 512), (Lut.identity(65), 729), (Lut(np.linspace(0, 1, 5)[:, None].repeat(3, 1)), 512)]
)
def test_other_tables_are_made_finer_for_a_haldclut(lut, side, tmp_path):
    path = str(tmp_path / "a.png")
    lut.write(path)
    with Image.open(path) as picture:
        assert picture.size == (side, side)
    image = colours()
    np.testing.assert_allclose(Lut.read(path)(image), lut(image), atol=1e-4)


def test_a_haldclut_of_8_bits_is_read_with_red_fastest(tmp_path):
    levels = np.rint(np.linspace(0, 255, 9)).astype(np.uint8)
    flat = [(r, g, b) for b in levels for g in levels for r in levels]
    Image.fromarray(np.array(flat, np.uint8).reshape(27, 27, 3)).save(tmp_path / "a.png")
    image = colours()
    np.testing.assert_allclose(Lut.read(str(tmp_path / "a.png"))(image), image, atol=0.6 / 255)


@pytest.mark.parametrize("level", [3, 4, 8])
@pytest.mark.parametrize("look", ["identity", "warm", "grey", "negative", "posterised"])
def test_a_picture_of_tiles_is_read_as_what_it_is(tmp_path, level, look):
    """Tiles of red across and green down, a tile for each blue, as apps for phones have them; and HaldCLUTs, as what they are."""
    nodes = np.linspace(0, 1, level**2)
    looks = {
        "identity": lambda c: c,
        "warm": lambda c: np.clip(c * (1.2, 1, 0.7) + (0.05, 0, 0), 0, 1) ** (0.8, 1, 1.3),
        "grey": lambda c: np.repeat(c @ (0.3, 0.6, 0.1), 3).reshape(*c.shape),
        "negative": lambda c: 1 - c,
        "posterised": lambda c: np.round(4 * c) / 4,
    }
    grid = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), -1)  # (red, green, blue, 3)
    rows = np.concatenate(list(grid.transpose(2, 1, 0, 3))).reshape(level**3, level**3, 3)
    blues = list(grid.transpose(2, 1, 0, 3))
    tiles = np.vstack([np.hstack(blues[first : first + level]) for first in range(0, level**2, level)])
    for kind in (tiles, rows):
        Image.fromarray(np.rint(255 * looks[look](kind)).astype(np.uint8)).save(tmp_path / "a.png")
        np.testing.assert_allclose(Lut.read(str(tmp_path / "a.png")).table, looks[look](grid), atol=0.51 / 255)


# Files of others


def test_comments_blank_lines_and_all_usual_ends_of_lines(tmp_path):
    table = colours(8)
    numbers = [" ".join(map(str, row)) for row in table]
    lines = [
        "\ufeff# made by hand",
        "",
        'TITLE "x"',
        "LUT_3D_SIZE 2",
        "  ",
        "# the table",
        *numbers[:4],
        "# half",
        "",
        *numbers[4:],
        "",
    ]
    for end in ("\n", "\r\n", "\r"):
        lut = Lut.read(cube(tmp_path, end.join(lines)))
        np.testing.assert_allclose(lut.table[1, 0, 1], table[5], atol=1e-7)
        assert lut.title == "x"


def test_domain_and_resolves_range(tmp_path):
    lut = Lut.read(cube(tmp_path, f"LUT_1D_SIZE 3\nDOMAIN_MIN -1 0 0\nDOMAIN_MAX 1 2 3e0\n{rows(3, 3)}"))
    assert (lut.low, lut.high) == ((-1, 0, 0), (1, 2, 3))
    lut = Lut.read(cube(tmp_path, f"LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE -0.5 2\n{rows(8, 3)}"))
    assert (lut.low, lut.high) == ((-0.5,) * 3, (2,) * 3)
    assert lut.table.shape == (2, 2, 2, 3)


NO_SIZE = " has no LUT_1D_SIZE or LUT_3D_SIZE before its table; give a .cube file"
EIGHT = "not the 8 of LUT_3D_SIZE 2; get a complete copy"
BAD_CUBES = {
    "": NO_SIZE,
    "0 0 0\n": NO_SIZE,
    2000 * "#\n": NO_SIZE,
    "\x89PNG\r\n": NO_SIZE,
    "LUT_3D_SIZE 2\nLUT_1D_SIZE 2\n": " line 2 has LUT_1D_SIZE after LUT_3D_SIZE; export it again",
    "LUT_1D_SIZE 2\nLUT_1D_SIZE 2\n": " line 2 has LUT_1D_SIZE after LUT_1D_SIZE; export it again",
    "LUT_1D_SIZE 2\n0 0 0\n1 1 1\nLUT_3D_SIZE 2\n": " line 4 has LUT_3D_SIZE after a row of the table; export it again",
    "LUT_3D_SIZE 257\n": " line 1 has LUT_3D_SIZE 257, not a number from 2 to 256; export it again",
    "#\n\nLUT_3D_SIZE 1\n": " line 3 has LUT_3D_SIZE 1, not a number from 2 to 256; export it again",
    "LUT_1D_SIZE 99999999999999\n": " line 1 has LUT_1D_SIZE 99999999999999, not a number from 2 to 65536; export it again",
    "LUT_3D_SIZE two\n": " line 1 has LUT_3D_SIZE two, not a number from 2 to 256; export it again",
    "LUT_3D_SIZE\n": " line 1 has LUT_3D_SIZE , not a number from 2 to 256; export it again",
    "LUT_3D_SIZE 2\nDOMAIN_MIN 0 0\n": " line 2 has DOMAIN_MIN 0 0, not 3 numbers up to 1e+06; export it again",
    "LUT_1D_SIZE 2\nLUT_1D_INPUT_RANGE 0 9e9\n": (
        " line 2 has LUT_1D_INPUT_RANGE 0 9e9, not 2 numbers up to 1e+06; export it again"
    ),
    "LUT_1D_SIZE 2\nLUT_1D_INPUT_RANGE 0 1e-40\n0 0 0\n1 1 1\n": " has a domain from (0.0, 0.0, 0.0) to (1e-40, 1e-40, 1e-40), "
    "which is empty; export it again",
    "LUT_3D_SIZE 2\nDOMAIN_MAX 1 1 inf\n": " line 2 has DOMAIN_MAX 1 1 inf, not 3 numbers up to 1e+06; export it again",
    "LUT_1D_SIZE 2\nDOMAIN_MAX 0 1 1\n0 0 0\n1 1 1\n": " has a domain from (0.0, 0.0, 0.0) to (0.0, 1.0, 1.0), "
    "which is empty; export it again",
    "LUT_1D_SIZE 2\nLUT_3D_SIZE 2\nDOMAIN_MIN 0 0 0\n": " line 3 has a domain for two tables; "
    "give each its LUT_1D_INPUT_RANGE or LUT_3D_INPUT_RANGE",
    "LUT_3D_SIZE 2\n": f" has 0 rows, {EIGHT}",
    "LUT_3D_SIZE 2\n" + 7 * "0 0 0\n": f" has 7 rows, {EIGHT}",
    "LUT_3D_SIZE 2\n" + 9 * "0 0 0\n": f" has more rows, {EIGHT}",
    "LUT_1D_SIZE 3\nLUT_3D_SIZE 2\n" + 8 * "0 0 0\n": " has 8 rows, not the 11 of LUT_1D_SIZE 3 and LUT_3D_SIZE 2; "
    "get a complete copy",
    "LUT_3D_SIZE 2\n" + 8 * "0 0\n": " line 2 has '0 0', not three numbers; export it again",
    "LUT_3D_SIZE 2\n" + 7 * "0 0 0\n" + "0 nan 0\n": " has numbers that are not finite or above 1e+06; get a complete copy",
    "LUT_1D_SIZE 2\nnan nan nan\n0 0 0\n": " has numbers that are not finite or above 1e+06; get a complete copy",
    "LUT_3D_SIZE 2\n0 0 0\n\n0 0 x\n": " line 4 has '0 0 x', not three numbers; export it again",
    "LUT_3D_SIZE 2\n0 0 0\n0 0\n": " line 3 has '0 0', not three numbers; export it again",
    "LUT_3D_SIZE 2\n0,5,0,5,0,5\n": " line 2 has '0,5,0,5,0,5', not three numbers; export it again",
    "LUT_3D_SIZE 2\nLUT_IN_VIDEO_RANGE\n": " line 2 has 'LUT_IN_VIDEO_RANGE', no part of a .cube file; export it again",
    "LUT_3D_SIZE 2\nBMD_TITLE Film\n": " line 2 has 'BMD_TITLE Film', no part of a .cube file; export it again",
    "LUT_1D_SIZE 2\n" + 2 * "0 0 0\n" + 300_000 * "#\n": " has 600026 bytes, too many for LUT_1D_SIZE 2; export it again",
}


@pytest.mark.parametrize("text", BAD_CUBES)
def test_damaged_cubes_are_refused_in_a_line(text, tmp_path, caplog):
    path = cube(tmp_path, text, encoding="latin-1" if text.startswith("\x89") else "utf-8")
    with pytest.raises(UserError) as error:
        Lut.read(path)
    assert str(error.value) == f"LUT {path}{BAD_CUBES[text]}" and not caplog.records


def test_unknown_lines_before_the_size_are_skipped_with_a_warning(tmp_path, caplog):
    path = cube(tmp_path, "BMD_TITLE Film look\nmade by hand\n" + "\n".join(PLAIN))
    np.testing.assert_allclose(Lut.read(path).table, NUMBERS, atol=1e-7)
    (record,) = caplog.records
    assert record.getMessage() == f"LUT {path} line 1 has 'BMD_TITLE Film look', which is ignored"


NUMBERS = [(0, 0, 0), (0.25, 1, 0.125), (0, 0.5, 1), (1, 1, 0.0625)]
PLAIN = ["LUT_1D_SIZE 4", *(f"{r:.4f} {g:.4f} {b:.4f}" for r, g, b in NUMBERS)]
DIALECTS = {
    "comments behind": ("\n".join(["LUT_1D_SIZE\t4 # nodes", *(f"{row}\t# a row" for row in PLAIN[1:])]), "utf-8"),
    "decimal commas": ("\n".join(PLAIN).replace(".", ","), "utf-8"),
    "commas between": ("\n".join([PLAIN[0], *(row.replace(" ", ", ") for row in PLAIN[1:])]), "utf-8"),
    "commas alone": ("\n".join([PLAIN[0], *(row.replace(" ", ",") for row in PLAIN[1:])]), "utf-8"),
    "lower case": ('title "x"\nlut_1d_size 4\ndomain_max 1 1 1\n' + "\n".join(PLAIN[1:]), "utf-8"),
    "domain behind": ("\n".join([*PLAIN, "DOMAIN_MIN 0 0 0", "DOMAIN_MAX 1 1 1"]), "utf-8"),
    "Ctrl-Z": ("\n".join(PLAIN) + "\n\x1a", "utf-8"),
    "Ctrl-Z at once": ("\n".join(PLAIN) + "\x1amore", "utf-8"),
    "zeros": ("\n".join(PLAIN) + "\n" + 100 * "\0", "utf-8"),
    "UTF-16": ("\n".join(PLAIN), "utf-16"),
    "UTF-16 of a Mac": ("\ufeff" + "\n".join(PLAIN), "utf-16-be"),
    "exponents": ("\n".join([PLAIN[0], *(f"{r:.3E} +{g:.3e} {b:e}" for r, g, b in NUMBERS)]), "utf-8"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_meant_in_one_way_only_is_read(dialect, tmp_path):
    text, encoding = DIALECTS[dialect]
    lut = Lut.read(cube(tmp_path, text, encoding=encoding))
    np.testing.assert_allclose(lut.table, NUMBERS, atol=1e-7)
    assert (lut.low, lut.high) == ((0, 0, 0), (1, 1, 1))


def test_a_title_may_hold_a_hash(tmp_path):
    assert Lut.read(cube(tmp_path, 'TITLE "look #2"\n' + "\n".join(PLAIN))).title == "look #2"


def resolves(tmp_path):
    """Curves that square, of inputs up to 2, and a table of their results, 0 to 4, that swaps red and blue and halves all."""
    squares = [f"{x * x:.6f} {x * x:.6f} {x * x:.6f}" for x in np.linspace(0, 2, 257)]
    table = [f"{b / 2:.6f} {g / 2:.6f} {r / 2:.6f}" for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    head = ["LUT_1D_SIZE 257", "LUT_1D_INPUT_RANGE 0.0 2.0", "LUT_3D_SIZE 2", "LUT_3D_INPUT_RANGE 0.0 4.0"]
    return cube(tmp_path, "\n".join([*head, *squares, *table]))


def test_curves_before_a_table_are_applied_first(tmp_path):
    lut, image = Lut.read(resolves(tmp_path)), colours()
    expected = image.astype(np.float64)[:, ::-1] ** 2 / 8
    np.testing.assert_allclose(lut(image), expected, atol=1e-5)
    lut.write(str(tmp_path / "again.cube"))
    np.testing.assert_allclose(Lut.read(str(tmp_path / "again.cube"))(image), expected, atol=1e-5)
    lut.write(str(tmp_path / "again.png"))
    np.testing.assert_allclose(Lut.read(str(tmp_path / "again.png"))(image), expected, atol=1e-4)


def test_any_bytes_are_a_lut_or_refused_in_a_line(tmp_path):
    """Damage of every kind to a good file: bytes changed, cut out and put in."""
    random_lut(3).write(str(tmp_path / "good.cube"))
    random_lut(9).write(str(tmp_path / "good.png"))
    rng = np.random.default_rng(0)
    for name, count in (("good.cube", 300), ("good.png", 100)):
        good = (tmp_path / name).read_bytes()
        for number in range(count):
            start, length = rng.integers(len(good)), rng.integers(8)
            put = rng.bytes(rng.integers(8)) if number % 2 else bytes(rng.choice(list(b"0 1.e#-\nn9"), rng.integers(8)).tolist())
            path = tmp_path / f"bad{name[4:]}"
            path.write_bytes(good[:start] + put + good[start + length :])
            try:
                lut = Lut.read(str(path))
            except UserError as error:
                assert "\n" not in str(error) and "; " in str(error)
            else:
                assert np.isfinite(lut.table).all()


@pytest.mark.parametrize(("size", "message"), [((27, 28), "27x28 pixels, no HaldCLUT"), ((30, 30), "30x30 pixels, no HaldCLUT")])
def test_pictures_that_are_no_haldclut(size, message, tmp_path):
    path = str(tmp_path / "a.png")
    Image.new("RGB", size).save(path)
    with pytest.raises(UserError, match=f"^LUT {path} has {message}, which has 216x216, 343x343, 512x512 and so on; give one$"):
        Lut.read(path)


def test_pictures_too_large_for_a_haldclut_are_not_decoded(tmp_path):
    path = str(tmp_path / "a.png")
    Image.new("L", (4100, 4100)).save(path)
    with pytest.raises(UserError, match=r"a\.png has 4100x4100 pixels, more than 16\.7772 million"):
        Lut.read(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *[("none.cube", "No such file"), ("none.png", "does not exist")],
        *[("a.3dl", "unknown extension"), ("a.jpg", "save it as PNG$")],
    ],
)
def test_files_that_are_not_there_or_of_another_kind(name, message, tmp_path):
    with pytest.raises(UserError, match=message):
        Lut.read(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "message"), [("a.3dl", "unknown extension '.3dl'; use one of .cube, .png"), ("file/a.cube", "cannot be written")]
)
def test_places_where_a_lut_cannot_be_written(name, message, tmp_path):
    path = str(tmp_path / name)
    (tmp_path / "file").touch()
    for function in (check_lut_writable, Lut.identity(2).write):
        with pytest.raises(UserError, match=message):
            function(path)


def test_a_lut_replaces_a_file_whole(tmp_path):
    path = cube(tmp_path, "old")
    Lut.identity(2).write(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.cube"]
    assert Lut.read(path).table.shape == (2, 2, 2, 3)
