"""`stoker diagnose` on the habits of training scripts, in one of them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from diagnose_runs import JSON, SCRIPTS, Ended, diagnosed, forked

PATTERNS = str(SCRIPTS / "patterns.py")


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cwd")


@pytest.fixture(scope="module")
def patterns(cwd: Path) -> Ended:
    return diagnosed(["--json", JSON, PATTERNS], cwd)


@pytest.fixture(scope="module")
def found(patterns: Ended) -> dict[str, Any]:
    return {f["facts"]["dataset"].removeprefix("Named, ").split()[0]: f for f in patterns.findings}


def test_nothing_is_changed(patterns: Ended, cwd: Path) -> None:
    alone = forked(PATTERNS, cwd)
    assert alone.status == 0, alone.stderr
    assert "\nNone 0\n" in alone.stdout  # loaders and their workers are gone when they are dropped
    assert "states [{'at': 3}, {'at': 3}] True\nstates [{'at': 0}, {'at': 3}] False\n" in alone.stdout
    assert patterns.stdout.splitlines() == alone.stdout.splitlines()
    # No word but the findings.
    assert patterns.stderr.startswith("\n" + patterns.findings[0]["verdict"]["headline"])
    assert patterns.stderr.endswith("\n\nThe report, with pictures: stoker-diagnosis.html\n")
    assert patterns.json["exit_status"] == 0
    assert set(patterns.json) == {"exit_status", "loaders"}


def test_loaders_made_anew_each_epoch_are_one(found: dict[str, Any]) -> None:
    assert found["40"]["stats"]["batches"] == 15
    assert found["40"]["stats"]["samples"] == 120


def test_a_validation_is_no_step_of_training_nor_the_other_way_round(
    patterns: Ended, found: dict[str, Any]
) -> None:
    times = [f["stats"]["wait"]["total_s"] + f["stats"]["step"]["total_s"] for f in patterns.findings]
    assert times == sorted(times, reverse=True)
    for size, step_s in (("42", 0.01), ("43", 0.002)):
        step, batches = found[size]["stats"]["step"], found[size]["stats"]["batches"]
        assert batches == 2 * ((int(size) + 1) // 2)
        assert step["count"] == batches - 2  # each epoch's last has no end but the other loader's beginning
        assert step_s <= step["total_s"] / step["count"]


def test_what_cannot_be_shown_is_left_out(found: dict[str, Any]) -> None:
    assert "transform" not in found["Rude"]["facts"]
    assert found["Rude"]["stats"]["samples"] == 45
    assert found["44"]["facts"]["loader"] == "__main__.OwnNames"


def test_data_pipes_are_measured(patterns: Ended) -> None:
    found = {
        (s["workers"], s["batches"], s["samples"], s["stages"]["python"]["count"])
        for s in (f["stats"] for f in patterns.findings if f["facts"]["dataset"] == "Pipe")
    }
    assert found == {(0, 5, 10, 10), (2, 10, 20, 20)}  # each worker loads all of them
