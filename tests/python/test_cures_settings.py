"""Cures that are other settings of the loader, by what trials have found."""

from __future__ import annotations

import pytest
from made_up import IMAGES, crowded, cures

from stoker import IndexStats


def test_settings_by_their_trials() -> None:
    found = cures(crowded(variants={"fast": 0.5, "index": 0.8, "uint8": 0.9, "all": 0.4}))
    assert list(found) == ["all", "cores", "fast", "index", "uint8"]
    assert found["fast"].value == 0.5
    # The cores bind: 38 s of the workers, half of it, and 1 s beside them.
    assert found["fast"].images_per_s == pytest.approx(640 * 39 / 20, rel=0.02)


def test_settings_together_are_named() -> None:
    found = cures(crowded(variants={"fast": 0.5, "index": 0.8, "uint8": 0.99, "all": 0.4}))
    assert "uint8" not in found  # which brings too little by itself
    assert found["all"].how == "the fast pixel mode, the decode index and uint8 to the device"
    found = cures(crowded(variants={"fast": 0.5, "uint8": 0.9, "all": 0.4}))
    assert found["all"].how == "the fast pixel mode and uint8 to the device"


def test_an_index_that_cannot_grow_is_no_cure() -> None:
    variants = {"fast": 0.9, "index": 0.6, "uint8": 0.8, "all": 0.3}
    assert {"fast", "index", "uint8", "all"} <= set(cures(crowded(variants=variants)))
    full = cures(crowded(variants=variants, index_problem="the disk is full"))
    assert {"fast", "index", "uint8", "all"} & set(full) == {"fast", "uint8"}


@pytest.mark.parametrize(("recorded", "how"), [(0, 'index="auto"'), (IMAGES, "is being built")])
def test_an_index_that_is_being_built_is_not_asked_for(recorded: int, how: str) -> None:
    index = IndexStats(recorded=recorded)
    assert how in cures(crowded(variants={"index": 0.6}, index=index))["index"].how


def test_settings_that_bring_nothing_are_not_named() -> None:
    found = cures(crowded(variants={"fast": 1.2, "index": 0.995, "uint8": 0.7, "all": 0.69}))
    assert list(found) == ["cores", "uint8"]  # nor all together, where one of them brings as much


def test_what_a_trial_does_not_know_is_not_named() -> None:
    assert not {"fast", "index", "uint8", "all"} & set(cures(crowded()))
