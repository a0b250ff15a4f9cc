"""The pages in headless Chromium: at two widths, light and dark, with and without scripts, with hostile content."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.browser import DARK, LIGHT, Browser, find_browser
from e2e.conftest import LABELS, Cli, labelled_rows, write_rows
from e2e.test_cli_explain import EXPLAIN, HOSTILE
from e2e.test_cli_report import COMPAT
from support.folders import change_config, named

WIDTHS = (1200, 390)
OWNED = "<script>document.title='owned';window.owned=1;alert(1)</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser(find_browser(), tmp_path_factory.mktemp("browser"))


@pytest.fixture
def report(cli: Cli, work: Path) -> Path:
    """A page of labelled documents, some of them hostile."""
    rows = labelled_rows(6) + [{"text": text, "label": "film"} for text in HOSTILE]
    write_rows(work / "good.jsonl", rows)
    outcome = cli(*EXPLAIN, "--label-column", "label", "--check", "--output", "report.html")
    assert outcome.code == 0, outcome.err
    return work / "report.html"


@pytest.fixture
def run_page(cli: Cli, work: Path) -> Path:
    """A page of a run, with labels that are scripts and errors whose texts are."""
    shutil.copytree(COMPAT / "trained", work / "run")
    record = json.loads((work / "run" / "training.json").read_text(encoding="utf-8"))
    record |= {"labels": [OWNED], "data": OWNED}
    (work / "run" / "training.json").write_text(json.dumps(record), encoding="utf-8")
    rows = [{"text": f"{OWNED} {row['text']}", "label": row["label"]} for row in labelled_rows(9)]
    write_rows(work / "test.jsonl", rows)
    outcome = cli("report", "--model", "run", "--data", "test.jsonl", "--output", "run.html")
    assert outcome.code == 0, outcome.err
    return work / "run.html"


def colours(picture: Path) -> dict[tuple[int, int, int], int]:
    """How many pixels of a picture have each colour."""
    from PIL import Image

    with Image.open(picture) as image:
        pixels = image.convert("RGB").getcolors(image.width * image.height) or []
    return {colour: count for count, colour in pixels if isinstance(colour, tuple)}


def test_the_browser_runs_scripts_that_are_not_escaped(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(f"<!doctype html><title>mine</title>{OWNED.replace('alert(1)', '')}", encoding="utf-8")
    assert browser.look(page, "(page, window) => [page.title, window.owned]") == ["owned", 1]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_at_a_width(browser: Browser, report: Path, width: int) -> None:
    assert browser.look(report, "(page) => page.documentElement.scrollWidth", width=width) <= width
    light = colours(browser.picture(report, f"light-{width}", width=width, scheme=LIGHT))
    dark = colours(browser.picture(report, f"dark-{width}", width=width, scheme=DARK))
    assert max(light, key=light.__getitem__) == (255, 255, 255), "the page is light where light is preferred"
    assert sum(max(dark, key=dark.__getitem__)) < 150
    assert light[255, 224, 138] > 50, "survivors are marked"
    assert len(light) > 20 and len(dark) > 20


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_of_a_run_at_a_width(browser: Browser, run_page: Path, width: int) -> None:
    script = """(page, window) => [
      page.documentElement.scrollWidth, page.title, window.owned === undefined, page.images.length
    ]"""
    wide, title, *unharmed = browser.look(run_page, script, width=width)
    assert wide <= width
    assert (title, *unharmed) == ("The run of run", True, 0)
    light = colours(browser.picture(run_page, f"run-light-{width}", width=width, scheme=LIGHT))
    dark = colours(browser.picture(run_page, f"run-dark-{width}", width=width, scheme=DARK))
    assert max(light, key=light.__getitem__) == (255, 255, 255)
    assert sum(max(dark, key=dark.__getitem__)) < 150
    assert len(light) > 10 and len(dark) > 10


def test_scripts_in_documents_do_not_run(browser: Browser, cli: Cli, work: Path) -> None:
    write_rows(work / "good.jsonl", [{"text": f"film {OWNED}"}, *({"text": text} for text in HOSTILE)])
    assert cli(*EXPLAIN, "--output", "report.html").code == 0
    found = browser.look(
        work / "report.html",
        "(page, window) => [page.title, window.owned === undefined, page.images.length, page.scripts.length]",
    )
    assert found == ["What model read", True, 0, 1]


def test_scripts_in_labels_do_not_run(
    browser: Browser, cli: Cli, work: Path, save_classifier: Callable[..., Path]
) -> None:
    folder = save_classifier(work / "hostile", site="hidden")
    change_config(folder, **named(OWNED, "law", "sport"))
    write_rows(work / "good.jsonl", [{"text": "film", "label": OWNED}, {"text": "goal", "label": "law"}])
    assert cli(*EXPLAIN, "--model", "hostile", "--label-column", "label", "--output", "report.html").code == 0
    found = browser.look(
        work / "report.html",
        "(page, window) => [page.title, window.owned === undefined, page.images.length, page.scripts.length]",
    )
    assert found == ["What hostile read", True, 0, 1]


def test_the_policy_stops_what_an_escape_would_miss(browser: Browser, report: Path, tmp_path: Path) -> None:
    text = report.read_text(encoding="utf-8").replace('<h2 id="documents">', OWNED + '<h2 id="documents">')
    (tmp_path / "pierced.html").write_text(text, encoding="utf-8")
    found = browser.look(tmp_path / "pierced.html", "(page, window) => [page.title, window.owned === undefined]")
    assert found == ["What model read", True]


def test_spans_read_back_are_substrings(browser: Browser, report: Path) -> None:
    words = browser.look(
        report,
        "(page) => [...page.querySelectorAll('details')].map(own => [own.id, [...own.querySelectorAll('.t')].map("
        "text => [...text.children].filter(own => own.tagName !== 'S').map(word => word.textContent))])",
    )
    texts = [row["text"] for row in map(json.loads, Path("good.jsonl").read_text(encoding="utf-8").splitlines())]
    assert len(words) == len(texts)
    for name, (found,) in words:
        text, end = texts[int(name[1:]) - 1].replace("\x08", "\u2408").replace("\x1b", "\u241b"), 0
        assert found
        for word in found:
            end = text.index(word, end) + len(word)


def test_the_slider_strikes_what_has_left(browser: Browser, report: Path) -> None:
    found = browser.look(
        report,
        """(page, window) => {
          const range = page.querySelector("input[type=range]"), states = [];
          for (const value of [0, 1, range.max]) {
            range.value = value;
            range.dispatchEvent(new window.Event("input"));
            const struck = [...page.querySelectorAll(".t *")].filter(
              word => window.getComputedStyle(word).textDecorationLine === "line-through");
            states.push([page.querySelector("output").textContent, struck.length,
              struck.every(word => /^W-/.test(word.tagName))]);
          }
          const dropped = [...page.querySelectorAll(".t *")].filter(word => /^W-/.test(word.tagName)).length;
          const layer = range.dataset.layers.split(" ")[0];
          return [states, dropped, layer, page.querySelectorAll(".t w-" + layer).length];
        }""",
    )
    (before, first, last), dropped, layer, in_first = found
    assert before == ["before the first layer", 0, True]
    assert first == [f"after layer {layer}", in_first, True]
    assert last[1:] == [dropped, True]


def test_without_scripts_the_page_tells_the_same(browser: Browser, report: Path) -> None:
    script = """(page) => [
      page.querySelector(".slider").hidden,
      [...page.querySelectorAll("details[open]")].map(own => own.innerText),
      page.querySelectorAll("u").length,
    ]"""
    hidden, told, survivors = browser.look(report, script, scripts=False)
    assert hidden, "what would do nothing is not shown"
    assert browser.look(report, script) == [False, told, survivors]
    assert survivors
    assert len(told) == 6 + len(HOSTILE)
    for text in told:
        assert any(label in text for label in LABELS)
        assert "tokens" in text
