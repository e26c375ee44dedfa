"""The report's page in a real browser: it can be heard, sorted, read on a phone, and asks nobody for anything."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from browser import DESKTOP, PHONE, Browser, Page
from conftest import command, vowel

from vc.corpus import audio

RATE, SECONDS = 16000, 0.6
SENTENCES = 5
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
COLUMN = "[...document.querySelectorAll('table.sortable tbody tr')].map(row => row.cells[{}].textContent)"
HEADS = "[...document.querySelectorAll('table.sortable thead th')]"
SORTED = HEADS + ".map(head => head.getAttribute('aria-sort'))"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Of vowels against vowels and against noise, so that distortions have one digit before the point, and two."""
    folder = tmp_path_factory.mktemp("report")
    random = np.random.default_rng(0)
    for number in range(SENTENCES):
        sound = vowel(SECONDS, RATE, 120, number)
        noise = random.uniform(-0.3, 0.3, len(sound))
        for side, samples in (("c", sound if number % 2 else noise), ("r", vowel(SECONDS, RATE, 150, number))):
            (folder / side).mkdir(exist_ok=True)
            audio.write(folder / side / f"{number}.wav", samples, RATE)
    command(
        "evaluate",
        "--converted",
        folder / "c",
        "--reference",
        folder / "r",
        "--output",
        folder,
        "--jobs",
        1,
        "--measures",
        "none",
    )
    return folder / "report.html"


@pytest.fixture
def page(browser: Browser, report: Path):
    """Opened, and at the end without a fault and without a request."""
    with browser.open(report) as page:
        yield page
        assert page.faults == [] and page.requests == []


def focus(page: Page, wanted: str) -> None:
    """Press Tab until the focus is where the expression says."""
    for _ in range(100):
        if page.evaluate(f"document.activeElement === {wanted}"):
            return
        page.press("Tab")
    raise AssertionError(f"Tab never comes to {wanted}")


def direction(page: Page, column: int) -> str | None:
    """In which a column's figures go."""
    figures = [float(text) for text in page.evaluate(COLUMN.format(column))]
    assert len(set(figures)) > 1
    rising = sorted(figures)
    return "ascending" if figures == rising else "descending" if figures == rising[::-1] else None


def test_every_player_plays_all_of_its_recording(page):
    players = page.evaluate("document.querySelectorAll('audio').length")
    assert players == SENTENCES * len(("converted", "reference")) + len(("copy_synthesis",))
    durations = page.evaluate(
        "Promise.all([...document.querySelectorAll('audio')].map(audio => new Promise((done, failed) => {"
        " audio.onloadedmetadata = () => done(audio.duration); audio.onerror = failed; audio.load();"
        " audio.preload = 'metadata'; })))"
    )
    assert durations == pytest.approx([SECONDS] * players, abs=0.01)  # Chromium counts Opus's first 6.5 ms, too
    page.evaluate("document.querySelector('audio').play()")
    page.wait("document.querySelector('audio').currentTime > 0.2")
    page.wait("document.querySelector('audio').ended")


def test_the_table_sorts_by_click_both_ways_as_numbers(page):
    column = 1
    assert page.evaluate(SORTED)[column] == direction(page, column) == "descending"
    assert {len(text.partition(".")[0]) for text in page.evaluate(COLUMN.format(column))} == {1, 2}
    for wanted in ("ascending", "descending"):
        page.evaluate(f"{HEADS}[{column}].querySelector('button').click()")
        assert page.evaluate(SORTED)[column] == direction(page, column) == wanted


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_table_sorts_by_keyboard(page, key):
    column = 2
    page.evaluate("document.querySelector('table.sortable').closest('details').firstElementChild.focus()")
    page.press("Enter")
    focus(page, f"{HEADS}[{column}].querySelector('button')")
    for wanted in ("descending", "ascending", "descending"):
        page.press(key)
        stated = page.evaluate(SORTED)
        assert stated.pop(column) == direction(page, column) == wanted and set(stated) == {None}


def test_rows_stay_whole_when_they_are_sorted(page):
    rows = "[...document.querySelectorAll('table.sortable tbody tr')].map(row => row.textContent)"
    before = page.evaluate(rows)
    page.evaluate(f"{HEADS}[0].querySelector('button').click()")
    after = page.evaluate(rows)
    assert sorted(before) == sorted(after) and before != after


@pytest.mark.parametrize(("size", "dark"), [(PHONE, False), (PHONE, True), (DESKTOP, False), (DESKTOP, True)])
def test_the_page_is_never_wider_than_the_window(page, size, dark):
    page.show(size, dark)
    assert page.evaluate("innerWidth") == size[0] and page.evaluate(OVERFLOW) == 0


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(page, dark):
    page.show(DESKTOP, dark)
    assert page.contrast("p, th, td, small, h1, h2, h3, th button, figcaption, dt, dd, li") >= 4.5


@pytest.mark.parametrize("size", [(1280, 800), PHONE])
def test_the_first_screen_has_the_verdict_and_the_players(page, size):
    page.show(size)
    bottom = "[...document.querySelectorAll({!r})].map(each => each.getBoundingClientRect().bottom)"
    assert 0 < page.evaluate(bottom.format("h1"))[0] < page.evaluate(bottom.format("audio"))[1] <= size[1]
    assert page.evaluate("[...document.querySelectorAll('.wide table')].every(table => !table.checkVisibility())")


def test_no_label_is_small(page):
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    sizes = "[...document.querySelectorAll('body *')].map(each => parseFloat(getComputedStyle(each).fontSize))"
    assert min(page.evaluate(sizes)) >= 11
    pictures = page.evaluate("[...document.images].map(image => image.clientWidth / image.naturalWidth)")
    assert pictures and min(pictures) >= 1  # of pictures whose letters are 11 pixels high


def test_long_tables_are_short_at_first(page):
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    rows = "[...document.querySelectorAll('table.figures tbody tr')].filter(row => row.checkVisibility()).length"
    assert page.evaluate(rows) == 5
    page.evaluate("document.querySelector('table.figures').parentElement.nextElementSibling.click()")
    assert page.evaluate(rows) == page.evaluate("document.querySelectorAll('table.figures tbody tr').length") > 5


def test_pictures_are_described_and_headings_are_in_order(page):
    pictures = page.evaluate("[...document.images].map(image => [image.alt, image.naturalWidth])")
    assert len(pictures) == SENTENCES and all(alt and width > 0 for alt, width in pictures)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(head => +head.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_helper_sees_faults_requests_and_pale_text(browser, tmp_path):
    script = "console.error('said'); throw Error('thrown')"
    path = tmp_path / "bad.html"
    path.write_text(f"<p style='color: #999'>pale</p><b>black</b><img src='other.png'><script>{script}</script>")
    with browser.open(path) as page:
        said = " ".join(page.faults)
        assert "said" in said and "thrown" in said
        assert page.requests == [(tmp_path / "other.png").as_uri()]
        assert page.contrast("p") == pytest.approx(2.85, abs=0.01) and page.contrast("b") == pytest.approx(21)
