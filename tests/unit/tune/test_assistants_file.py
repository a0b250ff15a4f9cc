"""What a search leaves: settings that other commands read as the encoder that was chosen, and all figures."""

import json
from pathlib import Path

import pytest

from tokensieve import ConfigError, ReductionConfig
from tokensieve.config.assigned import settings_of_file
from tokensieve.tune.assistants import Row
from tokensieve.tune.assistants_file import check_files, record_of, settings_record, write_files
from tokensieve.tune.configurations import Configuration
from unit.tune.few_shot_tasks import task

START = ReductionConfig.preset("fast")


@pytest.mark.parametrize("configuration", [Configuration(12, 0.3, 2), Configuration(1, 0.1, 4, True), None])
def test_the_settings_are_those_of_the_configuration(tmp_path: Path, configuration: Configuration | None) -> None:
    row = Row(configuration, {"one": -0.5}, 0.8, 0.9)
    record = record_of("model", [task("one", 0)], [row], row, {"tolerance": 1.0})
    write_files(tmp_path / "found.json", row, record)
    read = settings_of_file(tmp_path / "found.json", START)
    assert read == (ReductionConfig.preset("dense") if configuration is None else configuration.settings)
    figures = json.loads((tmp_path / "found.search.json").read_text(encoding="utf-8"))
    assert figures["settings"] == settings_record(row)
    assert figures["chosen"] == figures["rows"][0]
    assert figures["chosen"]["changes"] == {"one": -0.5}
    assert figures["tasks"] == {"one": {"labels": 3, "test": 45, "encoded": len(task("one", 0).documents)}}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.json", "found.search.json"]


def test_files_that_are_in_the_way(tmp_path: Path) -> None:
    output = tmp_path / "found.json"
    check_files(output, overwrite=False)
    row = Row(None, {"one": 0.0}, 1.0)
    write_files(output, row, record_of("model", [], [row], row, {}))
    with pytest.raises(ConfigError, match=r"exists.*--overwrite"):
        check_files(output, overwrite=False)
    check_files(output, overwrite=True)
    output.write_text('{"notes": 1}', encoding="utf-8")
    with pytest.raises(ConfigError, match="not overwritten"):
        check_files(output, overwrite=True)
    for name in ("found", "nowhere/found.json"):
        with pytest.raises(ConfigError, match="found"):
            check_files(tmp_path / name, overwrite=True)
