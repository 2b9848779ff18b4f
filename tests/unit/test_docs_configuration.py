"""The page about settings says what the table of settings says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from thoth_core.setting_specs import BY_NAME, SPECS, Spec
from thoth_core.settings_edit import CLIENT_FIELDS
from thoth_core.supervisor.desk import SERVICE_FIELDS
from thoth_core.unread_names import unknown_names

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text("utf-8")


def rows() -> dict[str, list[str]]:
    """Name to the cells of its row in the table of settings."""
    section = PAGE.split("## The settings")[1].split("\n## ")[0]
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        name = re.fullmatch(r"`([A-Z_]+)`", cells[0])
        if name:
            assert name[1] not in found, f"{name[1]} stands there twice"
            assert len(cells) == 5, line
            found[name[1]] = cells
    return found


ROWS = rows()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_setting_stands_on_the_page_with_its_default(spec: Spec) -> None:
    default = ROWS[spec.name][1].replace("`", "")
    assert default == (spec.default_text or spec.default)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_other_name_of_a_setting_is_named_in_its_row(spec: Spec) -> None:
    assert all(f"`{alias}`" in " ".join(ROWS[spec.name]) for alias in spec.aliases)


def test_the_page_names_no_setting_that_there_is_not() -> None:
    assert set(ROWS) == {spec.name for spec in SPECS}


def test_a_choice_is_listed_whole() -> None:
    for name in ("THOTH_LONG_TEXT", "THOTH_PRECISION", "RAG_CHUNK_ENCODING"):
        for value in re.findall(r"`([^`]+)`", ROWS[name][2]):
            BY_NAME[name].parse(value)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_what_the_service_compares_is_said_to_be_the_services(spec: Spec) -> None:
    if spec.field in SERVICE_FIELDS:
        assert ROWS[spec.name][3] in ("service", "both")


def test_the_names_that_nothing_reads_are_those_that_are_reported() -> None:
    section = PAGE.split("## Names that nothing reads")[1]
    listed = set(re.findall(r"`([A-Z_]+\*?)`", section)) - {"THOTH_EMBED_WORKERS"}
    assert listed
    for name in listed:
        assert unknown_names([name.replace("*", "FTS5")]), name


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_clients_settings_need_no_restart_and_are_called_so(spec: Spec) -> None:
    assert (spec.field in CLIENT_FIELDS) == (ROWS[spec.name][3] == "client")
