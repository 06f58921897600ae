"""A short hunt with a fixed seed, the files found by long ones, and the hunt's own tests. `make fuzz` is the long hunt."""

import sys
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("workers are limited as Linux does it", allow_module_level=True)

from hostile import mutators, seeds, traps
from hostile.kinds import KINDS
from hostile.mutators import Edit, damaged
from hostile.runner import FOUND, Limits, Tally, Worker
from hostile.worker import READ, REFUSED

# Cases of each kind in the short run; fewer where each is a whole run of the program.
FEW = 40
RUNS = {"console": 10, "signals": 4, "leftovers": 10}


@pytest.fixture(scope="module")
def worker():
    with Worker() as worker:
        yield worker


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_short_hunt_finds_nothing(worker, kind, tmp_path):
    tally = Tally()
    count = RUNS.get(kind, FEW)
    for outcome, content in worker.tries(kind, seed=0, count=count):
        tally.add(kind, outcome, content)
    assert not tally.findings, f"{tally.table()}\nfiles in {tally.save(tmp_path, lambda _: KINDS[kind].extension)}"
    assert sum(tally.counts.values()) >= count // 2


@pytest.mark.parametrize("path", sorted(FOUND.glob("*")), ids=lambda path: path.name)
def test_what_was_found_is_found_no_more(worker, path):
    assert worker.tries_file(path.name.split("-")[0], path) in (READ, REFUSED)


@pytest.mark.parametrize("kind", KINDS)
def test_good_files_are_read(worker, kind, tmp_path):
    others = dict.fromkeys(("exif", "icc", "xmp"), seeds.pngs)
    others |= dict.fromkeys(("options", "names", "http", "calls", "places", *RUNS), list)
    for number, content in enumerate(others.get(kind, getattr(seeds, kind.rstrip("s") + "s", None))()):
        path = tmp_path / f"{number}{KINDS[kind].extension}"
        path.write_bytes(content)
        assert worker.tries_file(kind, path) == READ


@pytest.mark.slow
@pytest.mark.parametrize("trap", traps.KINDS)
def test_every_way_to_misbehave_is_noticed(trap):
    with Worker(Limits(seconds=1, clock=2 if trap == "sleep" else 60), "hostile.traps") as worker:
        outcomes = [outcome for outcome, _ in worker.tries(trap, seed=0, count=2)]
        assert set(outcomes) == {traps.EXPECTED[trap]}
        assert worker.tries_file("read", Path(__file__)) == READ  # a worker that died is replaced


@pytest.mark.slow
def test_same_seed_same_cases():
    with Worker() as one, Worker() as other:
        assert list(one.tries("cube", seed=3, count=20)) == list(other.tries("cube", seed=3, count=20))


@pytest.mark.parametrize(
    ("layout", "good"),
    [
        (mutators.PNG, seeds.pngs),
        (mutators.JPEG, seeds.jpegs),
        (mutators.WEBP, seeds.webps),
        (mutators.TIFF, seeds.tiffs),
        (mutators.TIFF, seeds.bigtiffs),
        (mutators.PICKLE, seeds.npys),
        (mutators.TEXT, seeds.cubes),
        (mutators.BLOCKS, seeds.h5s),
    ],
)
def test_pieces_put_together_are_the_file(layout, good):
    pieces = [layout.split(content) for content in good()]
    assert max(map(len, pieces)) > 2
    assert [layout.join(each) for each in pieces] == good()


def test_damage_to_a_png_has_right_checksums():
    content = damaged(seeds.pngs()[0], [Edit("write", 0, 8, 1, b"\0\0\0\x11")], mutators.PNG)
    assert mutators.PNG.split(content)[0][:12] != mutators.PNG.split(seeds.pngs()[0])[0][:12]
    assert mutators.PNG.join(mutators.PNG.split(content)) == content
