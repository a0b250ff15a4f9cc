"""`tokensieve explain`: one page that tells what was read, whatever documents and labels hold."""

import gzip
import json
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html import escape
from pathlib import Path

import pytest

from e2e.conftest import LABELS, Cli, labelled_rows, listing, write_rows
from e2e.pages import Element, parsed
from support.folders import change_config, named
from tokensieve.words import WordsClassifier

EXPLAIN = ("explain", "--model", "model", "--input", "good.jsonl")
HOSTILE = [
    "<script>document.title='owned'</script> film & <b>law</b>",
    "</div></details><img src=x onerror=alert(1)> &lt;goal&gt; &amp; &#x3c;",
    "\u202eright to left\u202c \u2067שלום עליכם\u2069 film \u200fgoal",
    "{{ 7 * 7 }} {% raw %} law ]]> --> <!-- goal",
    "film " + "x" * 100_000 + " law",
    "Café cafe\u0301 東京 👩‍👩‍👧 \x1b[31mred\x1b[0m \x08 İstanbul",
    "a film " + "\u200b" * 5000 + " goal",
]


def page_of(cli: Cli, *options: object) -> Element:
    """The page that the command writes with these options."""
    outcome = cli(*EXPLAIN, "--output", "report.html", *options)
    assert outcome.code == 0, outcome.err
    return parsed(Path("report.html").read_text(encoding="utf-8"))


def documents_of(page: Element) -> dict[int, Element]:
    return {int((element.attributes["id"] or "")[1:]): element for element in page.all("details")}


def text_of(element: Element) -> Element:
    """The one text of a document."""
    (found,) = texts_of(element)
    return found


def texts_of(element: Element) -> list[Element]:
    return [own for own in element.all("div") if own.attributes.get("class") in ("t", "t whole")]


def test_a_page_tells_what_predict_tells(cli: Cli, work: Path) -> None:
    page = page_of(cli)
    cli("predict", "--model", "model", "--input", "good.jsonl", "--output", "out.jsonl", "--tokens")
    rows = [json.loads(line) for line in (work / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    found = documents_of(page)
    assert len(found) == len(rows) == 24
    for row, given in zip(rows, labelled_rows(24), strict=True):
        element = found[row["line"]]
        assert f"{row['line']}. {row['label']} {row['probabilities'][row['label']]:.2f}" in element.text
        assert f"Line {row['line']} of good.jsonl" in element.text
        text = text_of(element)
        assert text.text == given["text"]
        assert ("Every word of the text survives." in element.text) == (not text.dropped)
        kept = [token for token in row["tokens"] if not token.startswith("[") or token == "[UNK]"]
        assert [word.text for word in text.all("u")] == kept
        joined = dict(zip(row["tokens"], row["joined"], strict=True))
        assert all(int(word.attributes["data-c"] or 0) == joined[word.text] + 1 for word in text.all("u")[:1])
        assert f"→ {len(row['tokens'])} tokens → 3 combination tokens" in element.all("summary")[0].text


def test_every_word_that_left_tells_its_layer(cli: Cli, work: Path) -> None:
    page = page_of(cli)
    words = [word for text in map(text_of, page.all("details")) for word in text.dropped]
    assert words
    style = page.all("style")[0].text
    for word in words:
        assert f'.t {word.name}:hover::before{{content:"left in layer {word.name[2:]}; score " attr(s)' in style
        assert float(word.attributes["s"] or "") >= 0, "attention that was received"


def test_nothing_comes_from_elsewhere_and_one_script_may_run(cli: Cli, work: Path) -> None:
    page = page_of(cli)
    text = (work / "report.html").read_text(encoding="utf-8")
    assert "http://" not in text and "https://" not in text
    assert not page.all("link") and not page.all("img")
    (policy,) = [meta for meta in page.all("meta") if "http-equiv" in meta.attributes]
    rules = policy.attributes["content"] or ""
    assert "default-src 'none'" in rules
    (script,) = page.all("script")
    assert b64encode(sha256(script.text.encode()).digest()).decode() in rules


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_documents_are_text(cli: Cli, work: Path, text: str) -> None:
    write_rows(work / "good.jsonl", [{"text": text}])
    page = page_of(cli)
    assert len(page.all("script")) == 1
    shown = text_of(page)
    assert all(element in (*shown.dropped, *shown.all("u"), *shown.all("s")) for element in shown.below)
    read = shown.text
    for control, picture in (("\x1b", "\u241b"), ("\x08", "\u2408")):
        text = text.replace(control, picture)
    words = [element.text for element in (*shown.all("u"), *shown.dropped)]
    assert words and all(word in text for word in words)
    if len(text) < 1000:
        assert read == text
    else:
        assert "more characters]" in read
        assert len(read) < 5000


@pytest.fixture
def hostile_labels(save_classifier: Callable[..., Path], work: Path) -> Path:
    """A model with labels that are no plain words."""
    folder = save_classifier(work / "hostile", site="hidden")
    names = ["<script>document.title='owned'</script>", "\u202egnorw</bdi>\"'>", "{{ 7 * 7 }}"]
    return change_config(folder, **named(*names))


def test_hostile_labels_are_text(cli: Cli, work: Path, hostile_labels: Path) -> None:
    names = json.loads((hostile_labels / "config.json").read_text(encoding="utf-8"))["id2label"].values()
    rows = [{"text": row["text"], "label": name} for row, name in zip(labelled_rows(3), names, strict=True)]
    write_rows(work / "good.jsonl", rows)
    page = page_of(cli, "--model", "hostile", "--label-column", "label")
    text = (work / "report.html").read_text(encoding="utf-8")
    for name in names:
        assert name in page.text
        assert escape(name) != name or name.startswith("{{")
    assert "<script>document" not in text
    assert len(page.all("script")) == 1


def test_labels_give_a_confusion_and_a_curve(cli: Cli, work: Path) -> None:
    page = page_of(cli, "--label-column", "label")
    scores = cli("evaluate", "--model", "model", "--data", "good.jsonl", "--json").json()
    right = round(scores["accuracy"] * 24)
    assert f"{right} of 24 are right" in page.text
    assert f"Expected calibration error: {scores['ece']:.4f}" in page.text
    assert "Confusion" in page.text
    hits = sum(int(cell.text) for cell in page.all("td", class_="n hit") if cell.text.isdigit())
    assert hits == right
    assert sum("wrong" in element.all("summary")[0].text for element in page.all("details")) == 24 - right
    assert "Confusion" not in page_of(cli).text


def test_dense_is_beside_and_disagreements_come_first(
    cli: Cli, work: Path, save_classifier: Callable[..., Path]
) -> None:
    save_classifier(work / "dense", pruning="none", combine_layer=None)
    page = page_of(cli, "--dense", "dense")
    agrees = ["dense disagrees" not in element.all("summary")[0].text for element in page.all("details")]
    assert agrees == sorted(agrees)
    assert f"Dense disagrees on {agrees.count(False)}." in page.text
    assert page.text.count("Dense: ") == 24
    (work / "model.dense").symlink_to(work / "dense")
    assert "--dense model.dense" in cli(*EXPLAIN, "--output", "report.html").err


def test_the_check_is_told(cli: Cli, work: Path) -> None:
    page = page_of(cli, "--check")
    assert "Each document was read once more without the words that left: the label stands for " in page.text
    told = [element for element in page.all("details") if "Check: With the " in element.text]
    assert told
    assert "Kept is not a cause." in page.text


def test_a_bag_of_words_says_so(cli: Cli, work: Path) -> None:
    texts = ["film", "court", "goal"] * 4
    WordsClassifier.fit(texts, [0, 1, 2] * 4, LABELS).save(work / "bag")
    page = page_of(cli, "--model", "bag")
    assert "24 answered by a bag of words" in page.text
    assert page.text.count("nothing is kept or dropped") == 24
    assert not any(text.dropped or text.all("u") for text in map(text_of, page.all("details")))
    assert "answered by a bag of words" in cli("explain", "--model", "bag", "--input", "good.jsonl").out


def test_pairs(cli: Cli, work: Path) -> None:
    write_rows(work / "good.jsonl", [{"text": "the film", "second": "a goal of the team"}])
    page = page_of(cli, "--pair-column", "second")
    assert [text.text for text in texts_of(page)] == ["the film", "a goal of the team"]


def test_several_labels_a_document(cli: Cli, work: Path, save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier(work / "several", site="hidden")
    change_config(folder, problem_type="multi_label_classification", thresholds=[0.0, 1.0, 0.0])
    rows = [{"text": "the film of the court", "label": ["film", "sport"]}, {"text": "goal", "label": []}]
    write_rows(work / "good.jsonl", rows)
    page = page_of(cli, "--model", "several", "--label-column", "label")
    first, second = (documents_of(page)[number] for number in (1, 2))
    assert "True: film, sport (right)" in first.text
    assert "True: no label (the answer is wrong)" in second.text
    assert "1 of 2 are right" in page.text
    assert "Confusion" not in page.text
    outcome = cli("explain", "--model", "several", "--input", "good.jsonl", "--label-column", "label")
    assert "true: no label (the answer is wrong)" in outcome.out


def test_the_terminal_shows_words_without_orders(cli: Cli, work: Path) -> None:
    write_rows(work / "good.jsonl", [{"text": "film \x1b[31mgoal\x1b[0m \u202elaw"}])
    outcome = cli(*EXPLAIN, "--check")
    assert outcome.code == 0, outcome.err
    assert "\x1b" not in outcome.out and "\u202e" not in outcome.out
    assert "\u241b" in outcome.out and "<U+202E>" in outcome.out
    assert "[film]" in outcome.out
    assert "Kept is not a cause" in outcome.out


def test_so_many_documents(cli: Cli, work: Path) -> None:
    outcome = cli(*EXPLAIN, "--output", "report.html", "--max-documents", "5")
    assert "the first 5 documents" in outcome.err
    assert len(parsed((work / "report.html").read_text(encoding="utf-8")).all("details")) == 5
    page = page_of(cli, "--max-documents", "6", "--label-column", "label")
    assert len(page.all("details")) == 6
    assert "6 of 24 documents, each label in its share" in page.text


def test_bad_rows_are_told(cli: Cli, work: Path) -> None:
    write_rows(work / "good.jsonl", [{"text": "film"}, {"text": ""}, {"text": "law"}])
    assert "line 2" in cli(*EXPLAIN, "--output", "report.html").error()
    assert not (work / "report.html").exists()
    page = page_of(cli, "--on-bad-rows", "skip")
    assert len(page.all("details")) == 2
    assert "1 of 3 rows were left out" in page.text


def test_a_page_is_replaced_and_nothing_else(cli: Cli, work: Path) -> None:
    page_of(cli)
    page_of(cli, "--max-documents", "2")
    (work / "notes.html").write_text("<!doctype html><p>mine", encoding="utf-8")
    before = listing(work)
    assert "notes.html" in cli(*EXPLAIN, "--output", "notes.html").error()
    assert (work / "notes.html").read_text(encoding="utf-8") == "<!doctype html><p>mine"
    assert "is the input" in cli(*EXPLAIN, "--output", "good.jsonl").error()
    assert listing(work) == before


def test_compressed(cli: Cli, work: Path) -> None:
    assert cli(*EXPLAIN, "--output", "report.html.gz").code == 0
    assert len(parsed(gzip.decompress((work / "report.html.gz").read_bytes()).decode()).all("details")) == 24
    assert cli(*EXPLAIN, "--output", "report.html.gz").code == 0


@pytest.mark.parametrize(
    ("given", "hints"),
    [
        (("--max-documents", "0"), ("max_documents=0", "1 or more")),
        (("--input", "none.jsonl"), ("none.jsonl",)),
        (("--text-column", "body"), ("body",)),
        (("--model", "base"), ("base", "train")),
        (("--dense", "nowhere"), ("nowhere",)),
        (("--label-column", "title"), ("title",)),
        (("--output", "no/such/report.html"), ("no/such", "folder")),
    ],
)
def test_errors_name_place_and_remedy(cli: Cli, work: Path, given: tuple[str, ...], hints: tuple[str, ...]) -> None:
    before = listing(work)
    line = cli(*EXPLAIN, "--output", "report.html", *given).error()
    assert [hint for hint in hints if hint not in line] == [], line
    assert listing(work) == before


def test_another_dense_has_the_same_labels(cli: Cli, work: Path) -> None:
    WordsClassifier.fit(["film", "court"] * 4, [0, 1] * 4, ("film", "tax")).save(work / "bag")
    line = cli(*EXPLAIN, "--output", "report.html", "--dense", "bag").error()
    assert "same labels" in line
