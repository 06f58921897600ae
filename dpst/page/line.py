"""A line of jobs of which one runs at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable

# Does a job.
Job = Callable[[], None]
# Gets the number of jobs that come first.
OnPlace = Callable[[int], None]


class Line:
    """Runs jobs in a thread of its own, one after the other, and reports to those that wait how many come first."""

    def __init__(self) -> None:
        self._jobs: list[tuple[object, Job, OnPlace]] = []  # the first one is running
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def join(self, owner: object, job: Job, on_place: OnPlace) -> None:
        """Adds a job, which must not raise, at the end of the line."""
        with self._changed:
            self._jobs.append((owner, job, on_place))
            if len(self._jobs) > 1:
                on_place(len(self._jobs) - 1)
            self._changed.notify()

    def count(self, owner: object) -> int:
        """The number of its owner's jobs that wait or run."""
        with self._changed:
            return sum(each[0] is owner for each in self._jobs)

    def leave(self, owner: object) -> bool:
        """Takes out what waits for its owner; returns whether there was something. What runs goes on."""
        with self._changed:
            staying = [each for each in self._jobs[1:] if each[0] is not owner]
            has_left = len(staying) < len(self._jobs[1:])
            if has_left:
                self._jobs[1:] = staying
                self._report_places()
            return has_left

    def close(self) -> None:
        """Runs nothing more, and waits for what runs."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _report_places(self) -> None:
        for place, (_, _, on_place) in enumerate(self._jobs[1:], 1):
            on_place(place)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._jobs)
                if self._closed:
                    return
                job = self._jobs[0][1]
            job()
            with self._changed:
                self._jobs.pop(0)
                self._report_places()
