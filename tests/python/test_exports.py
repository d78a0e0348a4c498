"""A record for other tools: TensorBoard, JSON Lines, Prometheus, profilers, and the live line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up import recording_of
from python_datasets import Opaque
from recordings import recording

from stoker import DataError, DataLoader, ImageList, LoaderStats
from stoker import transforms as T
from stoker.diagnosis import judge, live
from stoker.diagnosis.live import LiveLine, line_for
from stoker.stats import DeviceStats, Durations, ranges, to_prometheus
from stoker.stats.meter import Reading

SAMPLE = re.compile(r'^([a-z_:][a-z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[0-9.e+-]+)$')


class Writer:
    """What a SummaryWriter is asked for."""

    def __init__(self) -> None:
        self.added: dict[str, tuple[float, int | None]] = {}

    def add_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        assert tag not in self.added
        self.added[tag] = (scalar_value, global_step)


@pytest.fixture
def stats() -> LoaderStats:
    device = DeviceStats("cuda", Durations(7, 0.7, 0.1, 0.1, 0.2, 0.3, 0.3))
    return dataclasses.replace(recording().stats, device=device)


def test_scalars_carry_the_records_figures(stats: LoaderStats) -> None:
    writer = Writer()
    stats.to_tensorboard(writer, 17)
    assert {step for _, step in writer.added.values()} == {17}
    assert writer.added["loader/images_per_s"][0] == stats.images_per_s
    assert writer.added["loader/wait_share"][0] == stats.wait_share
    assert writer.added["loader/data_time_s"][0] == stats.wait.mean_s
    assert writer.added["loader/batch_time_s"][0] == stats.batch.mean_s
    assert writer.added["loader/device_idle_s"][0] == 0.1
    for name, stage in stats.stages.items():
        assert writer.added[f"loader/stage/{name}_s"][0] == stage.mean_s
        assert writer.added[f"loader/stage/{name}_busy_share"][0] == stage.busy_share
    other = Writer()
    stats.to_tensorboard(other, 17, prefix="val")
    assert {tag.replace("val/", "loader/", 1) for tag in other.added} == set(writer.added)


def test_a_real_summary_writer_takes_them(stats: LoaderStats, tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", exc_type=ImportError)
    with tensorboard.SummaryWriter(str(tmp_path)) as writer:
        stats.to_tensorboard(writer, 3)
    assert any(tmp_path.iterdir())


def test_lines_of_json_are_appended_and_read_back(stats: LoaderStats, tmp_path: Path) -> None:
    file = tmp_path / "loader.jsonl"
    before = time.time()
    stats.to_jsonl(file, step=1)
    stats.to_jsonl(file, step=2, rank=5)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[1]["rank"] == 5
    assert before <= lines[0]["time"] <= lines[1]["time"] <= time.time()
    assert LoaderStats.from_dict(lines[0]["stats"]) == stats


def parsed(text: str) -> dict[str, float]:
    """Samples of the text format; fails where a line is none."""
    values = {}
    for line in text.splitlines():
        if line.startswith("# "):
            continue
        match = SAMPLE.match(line)
        assert match is not None, line
        key = match.group(1) + (match.group(2) or "")
        assert key not in values, f"twice: {key}"
        values[key] = float(match.group(3))
    return values


def test_prometheus_text(stats: LoaderStats) -> None:
    text = stats.to_prometheus()
    assert text.endswith("\n")
    values = parsed(text)
    assert values["stoker_batches_total"] == stats.batches
    assert values["stoker_samples_total"] == stats.samples
    assert values["stoker_data_time_seconds_sum"] == stats.wait.total_s
    assert values["stoker_data_time_seconds_count"] == stats.wait.count
    assert values['stoker_data_time_seconds{quantile="0.99"}'] == stats.wait.p99_s
    assert values['stoker_stage_time_seconds_sum{stage="decode"}'] == stats.stages["decode"].total_s
    assert values['stoker_stage_time_seconds{stage="decode",quantile="0.5"}'] == stats.stages["decode"].p50_s
    assert values['stoker_device_idle_seconds{quantile="0.9"}'] == 0.2
    assert values['stoker_worker_time_seconds_total{state="cpu"}'] == stats.usage.cpu_s


def check_heads(text: str) -> None:
    """Each metric has one head, and its values, and none else, behind it."""
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("#"):
            name = line.partition("{")[0].partition(" ")[0]
            base = name if name in kinds else re.sub("_(sum|count)$", "", name)
            assert base == list(kinds)[-1], line
            assert (kinds[base] == "counter") == name.endswith("_total"), line
    assert text.count("# HELP ") == len(kinds)


def test_each_metric_of_the_text_has_one_head_before_its_samples(stats: LoaderStats) -> None:
    check_heads(stats.to_prometheus(job="a"))


def test_several_records_are_one_text(stats: LoaderStats) -> None:
    val = dataclasses.replace(stats, batches=3, device=None)  # and so without some of the metrics
    text = to_prometheus({"val": val, "train": stats}, job="a")
    check_heads(text)
    values = parsed(text)
    assert values['stoker_batches_total{job="a",loader="train"}'] == stats.batches
    assert values['stoker_batches_total{job="a",loader="val"}'] == 3
    one = parsed(stats.to_prometheus(job="a", loader="train"))
    assert {**one, **parsed(val.to_prometheus(job="a", loader="val"))} == values
    assert parsed(to_prometheus({"x": stats}, "rank")) == parsed(stats.to_prometheus(rank="x"))
    assert to_prometheus({}) == ""
    for label, labels in (("stage", {}), ("job", {"job": "a"})):
        with pytest.raises(ValueError, match=f"the label '{label}' is taken"):
            to_prometheus({"x": stats}, label, **labels)


def test_labels_are_escaped(stats: LoaderStats) -> None:
    labels = {"job": 'a "b" \\ c\nd'}
    for key in parsed(stats.to_prometheus(**labels)):
        assert r'job="a \"b\" \\ c\nd"' in key


# ---- profilers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [True, False])
def test_waits_show_in_a_profile(numbered: list[Path], native: bool) -> None:
    dataset: Any = ImageList(numbered, range(40), T.CenterCrop(8))
    loader: Any = DataLoader(dataset if native else Opaque(dataset), 4, num_workers=0)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        batches = len(list(loader))
    counts = {event.key: event.count for event in profile.key_averages()}
    # On the Python path the request that finds the epoch over waits too.
    assert counts[ranges.WAIT] == batches + (not native)


def test_without_a_profiler_there_is_no_range(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranges.wait_range() is ranges.wait_range()

    def refused(name: str) -> None:
        raise AssertionError("a range was begun")

    monkeypatch.setattr(torch.profiler, "record_function", refused)
    with ranges.wait_range():
        pass


def test_where_cuda_is_in_use_ranges_are_nvtx_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda.nvtx, "range_push", lambda name: seen.append(f"push {name}"))
    monkeypatch.setattr(torch.cuda.nvtx, "range_pop", lambda: seen.append("pop"))
    with contextlib.suppress(ZeroDivisionError), ranges.wait_range():
        seen.append("inside")
        raise ZeroDivisionError
    assert seen == [f"push {ranges.WAIT}", "inside", "pop"]


# ---- the live line -------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watched(numbered: list[Path], out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a loader with ``progress=True`` writes in two epochs, a line for each batch."""
    monkeypatch.setattr(live, "TERMINAL_S", 0.0)
    monkeypatch.setattr(live, "LOG_S", 0.0)
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=1, progress=True)
    loader._live = LiveLine(out)
    for _ in range(2):
        for _ in loader:
            time.sleep(0.001)
    return out.getvalue()


def test_a_log_gets_whole_lines(numbered: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = watched(numbered, io.StringIO(), monkeypatch).splitlines()
    assert len(lines) == 19  # of 20 batches: the first begins the first line
    for line in lines:
        assert re.fullmatch(
            r"stoker: [\d,]+ images/s · waiting \d+% · queue \d\.\d of 2 · "
            r"(too early to tell|step-bound|balanced|bursty|start-up|loader-bound( \(.+\))?)",
            line,
        )


def test_a_terminal_gets_one_line_for_each_epoch(
    numbered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = watched(numbered, Terminal(), monkeypatch)
    assert text.count("\n") == 2
    assert text.endswith("\n")
    shown = text.split("\r")[1:]
    assert len(shown) == 19
    assert {len(line.rstrip("\n")) for line in shown} == {live.WIDTH}


class Narrow(Terminal):
    """A terminal of 60 columns."""

    def fileno(self) -> int:
        return 4711


def test_no_line_is_wider_than_its_terminal(numbered: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def size(descriptor: int) -> os.terminal_size:
        assert descriptor == 4711
        return os.terminal_size((60, 20))

    monkeypatch.setattr(live.os, "get_terminal_size", size)
    shown = watched(numbered, Narrow(), monkeypatch).split("\r")[1:]
    assert {len(line.rstrip("\n")) for line in shown} == {59}


@pytest.mark.parametrize("columns", [0, 1, None])
def test_a_terminal_of_unknown_width(
    numbered: list[Path], monkeypatch: pytest.MonkeyPatch, columns: int | None
) -> None:
    """A pseudo-terminal whose size nobody has set; a stand-in for standard error without a descriptor."""
    out = Narrow()
    if columns is None:
        monkeypatch.setattr(Narrow, "fileno", property(lambda self: self.descriptor))
    else:
        monkeypatch.setattr(live.os, "get_terminal_size", lambda descriptor: os.terminal_size((columns, 0)))
    shown = watched(numbered, out, monkeypatch).split("\r")[1:]
    assert {len(line.rstrip("\n")) for line in shown} == {live.WIDTH}


def test_the_width_of_a_log_is_not_asked_for(numbered: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_width", lambda out: pytest.fail("asked for"))
    assert watched(numbered, io.StringIO(), monkeypatch)


@pytest.mark.parametrize("path", ["native", "python"])
@pytest.mark.parametrize("end", ["left", "raised"])
def test_what_is_printed_behind_a_loop_begins_a_line(
    numbered: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, end: str
) -> None:
    monkeypatch.setattr(live, "TERMINAL_S", 0.0)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    images = ImageList([*numbered[:20], bad], range(21), T.CenterCrop(8))
    loader = DataLoader(images if path == "native" else Opaque(images), 4, num_workers=0, progress=True)
    assert loader.native == (path == "native")
    loader._live = LiveLine(out := Terminal())
    batches = iter(loader)
    for _ in range(3 if end == "left" else 5):
        next(batches)
    assert "\n" not in out.getvalue()
    if end == "left":
        del batches
    else:
        with pytest.raises(DataError):
            next(batches)
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().endswith("\n")


def test_the_line_and_the_report_have_the_same_verdict() -> None:
    """No device has been looked at, so no accelerator is praised."""
    run = recording_of(0.0005, 0.1, waiting_s=100.0)
    headline = judge(run).headline
    assert headline.startswith("Step-bound: ")
    assert line_for(run, run.stats).endswith(" · step-bound")


def test_lines_are_as_far_apart_as_they_should_be(
    numbered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(live.time, "perf_counter", lambda: now)
    out, asked = io.StringIO(), []
    line = LiveLine(out)
    loader = DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=0)

    def since(earlier: Reading | None) -> tuple[LoaderStats, Reading]:
        asked.append((now, earlier))
        return loader._stats_since(earlier)

    for _ in range(200):
        line.show(loader.recording, since)
        now += 1
    assert [at for at, _ in asked] == [1000, *range(1030, 1200, 30)]
    # Each line stands for what has come since the one before it.
    assert asked[0][1] is None
    assert len({id(earlier) for _, earlier in asked}) == len(asked)
    assert len(out.getvalue().splitlines()) == len(asked) - 1


def test_nothing_is_written_without_progress(numbered: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    for _ in DataLoader(ImageList(numbered, range(40), T.CenterCrop(8)), 4, num_workers=1):
        pass
    assert capfd.readouterr() == ("", "")
