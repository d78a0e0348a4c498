"""docs/compatibility.md is what its script makes of this Stoker and this torchvision."""

from __future__ import annotations

import inspect

import pytest
import torch.utils.data as torch_data
from torchvision_operators import define_operators

import stoker

if not define_operators():
    pytest.skip("torchvision is not installed", allow_module_level=True)

import compatibility

from stoker._torchvision import NATIVE_NAMES


def test_the_page_is_up_to_date() -> None:
    assert compatibility.PAGE.read_text() == compatibility.page(), "run python tests/python/compatibility.py"


def test_every_argument_of_torchs_is_one_of_ours() -> None:
    ours = inspect.signature(stoker.DataLoader.__init__).parameters
    assert set(inspect.signature(torch_data.DataLoader.__init__).parameters) <= set(ours)
    assert set(compatibility.ARGUMENTS) == set(ours) - {"self"}


def test_what_the_core_has_is_what_the_table_calls_native() -> None:
    native = {
        name
        for name in compatibility.names()
        if any("native" in compatibility.where(name, before) for before in compatibility.BEFORE.values())
    }
    assert native == set(NATIVE_NAMES) & set(compatibility.names())
