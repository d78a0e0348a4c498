"""The README says what the committed figures say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", ROOT / "docs" / "figures" / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(key: str, round_: int, cpu_ms: float, **more: Any) -> str:
    return json.dumps(
        {
            "key": key,
            "version": f"{key} 1",
            "workload": "W1",
            "round": round_,
            "workers": 2,
            "batch": 64,
            "images_per_s": 1000 / cpu_ms,
            "cpu_s_per_image": cpu_ms * 1e-3,
            "first_batch_s": 0.1,
            "peak_rss_mb": 100,
            "other_cpus": 0.01,
            **more,
        }
    )


def test_the_readme_has_the_table_of_the_committed_figures(draw: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text()
    table = draw.table(json.loads(draw.PEERS.read_text()))
    assert table in readme
    assert draw.readme_with(table, readme) == readme
    assert "docs/peers.svg" in readme


def test_the_growth_page_has_the_table_of_the_committed_figures(draw: ModuleType) -> None:
    loaders = json.loads(draw.GROWTH.read_text())
    assert draw.growth_table(loaders) in draw.GROWTH_PAGE.read_text()
    assert {x["loader"] for x in loaders} == {"stoker", "dali", "torch"}


def test_the_index_page_has_the_table_of_the_committed_figures(draw: ModuleType) -> None:
    savings = json.loads(draw.SAVINGS.read_text())
    table = draw.savings_table(savings)
    assert table in draw.INDEX_PAGE.read_text()
    assert len(table.splitlines()) == 2 + sum(len(crops) for crops in savings["ratio"].values())


def test_the_readme_and_the_demos_picture_show_the_committed_figures(draw: ModuleType) -> None:
    figures = json.loads(draw.DEMO.read_text())
    assert figures["runs"]
    table = draw.demo_table(figures)
    assert table in (ROOT / "README.md").read_text()
    with Image.open(draw.DEMO_PICTURE) as picture:
        assert picture.info["Figures"] == draw.demo_mark()


def test_the_demos_table_is_of_the_median_run_and_has_the_range(draw: ModuleType) -> None:
    def run(speed: float) -> dict[str, Any]:
        one = {
            "images_per_s": 100.0, "cpu_s_per_image": 4e-3, "first_batch_s": 0.5, "wait_share": 0.5,
            "peak_memory_mb": 500.0, "loss": 0.5, "images": 60, "epochs": 2, "workers": 1, "device": "cpu",
        }  # fmt: skip
        return {"torch": one, "stoker": {**one, "images_per_s": speed}, "step_cpu_s_per_image": 1e-3}

    table = draw.demo_table({"runs": [run(300.0), run(150.0), run(200.0)]})
    assert "| Training speed | 100 images/s | 200 images/s | 2.00 × | 1.50 to 3.00 × |" in table


def test_figures_are_medians_of_quiet_runs(draw: ModuleType, tmp_path: Path) -> None:
    rows = [row("dali", r, ms) for r, ms in enumerate((3.0, 1.0, 2.0))]
    rows += [row("stoker", 0, 0.5), row("stoker", 1, 9.0, other_cpus=0.5), '{"key": "broken", "error": "x"}']
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(rows))
    figures = draw.take([file])
    own, dali = figures["workloads"]["W1"]
    assert (own["loader"], own["rounds"], own["cpu_ms_per_image"]) == ("stoker", 1, 0.5)
    assert (dali["cpu_ms_per_image"], dali["cpu_ms_per_image_min"]) == (2.0, 1.0)
    assert figures["left_out"] == 2
    assert "| DALI, CPU operators | 2.00 | 4.00 × |" in draw.table(figures)


def test_the_chart_names_every_loader(draw: ModuleType, tmp_path: Path) -> None:
    figures = json.loads(draw.PEERS.read_text())
    draw.chart(figures, tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").read_bytes()[:5] == b"<?xml"
