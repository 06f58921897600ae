"""The line of jobs: one at a time, in order, and everybody knows their place."""

import threading

import pytest

from dpst.page.line import Line


@pytest.fixture
def line():
    line = Line()
    yield line
    line.close()


class Held:
    """A job that runs until it is let go."""

    def __init__(self):
        self.begun, self.released = threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        assert self.released.wait(10)


def nothing(*_):
    pass


def test_jobs_run_one_at_a_time_in_their_order(line):
    running, most, order, ended = [], [], [], threading.Event()

    def job(number):
        running.append(number)
        most.append(len(running))
        order.append(number)
        running.remove(number)
        if number == 29:
            ended.set()

    for number in range(30):
        line.join(number, lambda number=number: job(number), nothing)
    assert ended.wait(10)
    assert order == list(range(30)) and set(most) == {1}


def test_those_who_wait_know_how_many_come_first(line):
    held, places, ended = Held(), {"b": [], "c": []}, threading.Event()
    line.join("a", held, lambda place: pytest.fail("the first one does not wait"))
    assert held.begun.wait(10)
    line.join("b", nothing, places["b"].append)
    line.join("c", ended.set, places["c"].append)
    held.released.set()
    assert ended.wait(10)
    assert places == {"b": [1], "c": [2, 1]}


def test_who_leaves_is_not_served_and_others_move_up(line):
    held, served, places, ended = Held(), [], [], threading.Event()
    line.join("a", held, nothing)
    assert held.begun.wait(10)
    line.join("b", lambda: served.append("b"), nothing)
    line.join("c", ended.set, places.append)
    assert line.leave("b") and not line.leave("b")
    assert places == [2, 1]
    assert not line.leave("a")  # it runs
    held.released.set()
    assert ended.wait(10)
    assert served == []


def test_a_closed_line_ends_what_runs_and_begins_nothing_more():
    line, held, served = Line(), Held(), []
    line.join("a", held, nothing)
    line.join("b", lambda: served.append("b"), nothing)
    assert held.begun.wait(10)
    closing = threading.Thread(target=line.close)
    closing.start()
    closing.join(0.1)
    assert closing.is_alive()  # it waits for what runs
    held.released.set()
    closing.join(10)
    assert not closing.is_alive() and served == []
