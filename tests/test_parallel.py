"""Many items on several cores: results in order, and progress that is that of the work."""

import os
import pty
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import ROOT

from vc import parallel
from vc.corpus import audio
from vc.errors import DataError
from vc.parallel import map_threads


class Bar:
    """Takes note of what a progress bar is told."""

    def __init__(self, total, title):
        self.total, self.steps = total, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, step):
        self.steps.append(step)


@pytest.mark.parametrize("jobs", [1, 3])
def test_progress_goes_on_within_an_item_and_ends_with_it(jobs, monkeypatch):
    bars = []
    monkeypatch.setattr(parallel, "progress", lambda *words: bars.append(Bar(*words)) or bars[-1])

    def work(item, advance):
        for share in (0.25, 0.5, 0.75, 1.5):
            advance(share)
        if item == 2:
            raise DataError("no")
        return 10 * item

    *results, last = map_threads(work, [3, 1, 2], jobs, "x")
    assert results == [(3, 30), (1, 10)] and str(last[1]) == "no"
    [bar] = bars
    assert bar.total == sum(bar.steps) == 3 and min(bar.steps) >= 0 and sum(step > 0 for step in bar.steps) == 12


def test_reading_says_how_far_it_is(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(100_000), 32000)
    shares = []
    for _ in audio.blocks(tmp_path / "a.wav", 16000, advance=shares.append):
        pass
    assert len(shares) > 3 and shares == sorted(shares) and shares[-1] == pytest.approx(1)


def test_a_terminal_that_does_not_tell_its_width_shows_progress():
    ours, theirs = pty.openpty()  # it has no columns until somebody sets them
    code = "from vc.parallel import progress\nwith progress(4, 'x') as bar:\n    bar.update(1)\n    bar.refresh()"
    subprocess.run([sys.executable, "-c", code], stderr=theirs, cwd=ROOT, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "25%" in shown and "1/4" in shown
