"""Recordings that are damaged or made up: refused with a reason, or good for a report like any other."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from made_up import on_device, on_python, recording_of, steps_of
from recordings import recording

from stoker.diagnosis import Recording, judge
from stoker.diagnosis.chrome_trace import chrome_trace
from stoker.diagnosis.cures import with_cures
from stoker.diagnosis.html_report import html_report
from stoker.diagnosis.words import render

PROFILE = {"python: f (a.py:3)": 0.5, "transform: ColorJitter": 0.2, "decode": 0.2, "read": 0.1}
GOOD = [
    recording_of(variants={"fast": 0.5}).to_dict(),
    {
        **recording_of(**on_python(), variants={"images": 0.4}).to_dict(),
        "profile": PROFILE,
        "loops": {"python: f (a.py:3)": 1.0},
        "looks": 200,
    },
    recording_of(steps=steps_of(0.06, 0.04, 0.02), device=on_device(0.02)).to_dict(),
    recording(steps=12, device=True).to_dict(),
    recording("python", steps=12, workers=0).to_dict(),
]
VALUES: list[Any] = [
    None, True, "", "x", "\ud800", "python: (", -1, 0, 1, 7, 10**30, -(10**30), 1e-300, 1e300, -0.5, 1.5,
    float("nan"), float("inf"), [], [1], {}, {"x": 1}, [[]], "native", "python",
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Of every value in there, how to get to it."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        found += places(part, (*path, key))
    return found


def mutated(random: Random) -> str:
    """A good recording in which a few values are others, gone, or too many; or its text is cut or stained."""
    record = json.loads(json.dumps(random.choice(GOOD)))
    for _ in range(random.choice((1, 1, 2, 5))):
        *path, last = random.choice(places(record))
        holder = record
        for key in path:
            holder = holder[key]
        what = random.random()
        if what < 0.75:
            number = isinstance(holder[last], (int, float))
            holder[last] = random.choice([v for v in VALUES if not number or random.random() < 0.3] or [0])
        elif what < 0.9:
            del holder[last]
        elif isinstance(holder, dict):
            holder[str(random.choice(VALUES))] = random.choice(VALUES)
        else:
            holder.extend([holder[last]] * random.choice((1, 30)))
    text = json.dumps(record)
    if random.random() < 0.1:
        at = random.randrange(len(text))
        text = text[:at] + random.choice(("", "}", '"', "[" * 5000, text[at + 5 :]))
    return text


def reported(made: Recording) -> None:
    """All that is made of a recording."""
    verdict = with_cures(made, judge(made))
    assert verdict.headline
    for text in (render(made, verdict, details=True), html_report(made, verdict), chrome_trace(made)):
        assert text
    assert Recording.from_json(made.to_json()) == made


@pytest.mark.parametrize("record", GOOD)
def test_those_that_are_mutated_are_good(record: dict[str, Any]) -> None:
    reported(Recording.from_json(json.dumps(record)))


def reason_of(text: str) -> str:
    """Why it is refused; "" where a report can be made of it."""
    try:
        made = Recording.from_json(text)
    except ValueError as error:
        return str(error)
    reported(made)
    return ""


def test_a_damaged_recording_is_refused_with_a_reason_or_good_for_a_report() -> None:
    reasons = []
    for seed in range(300):
        try:
            reasons.append(reason_of(mutated(Random(seed))))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
    refused = [reason for reason in reasons if reason]
    assert all("recording of" in reason and len(reason) < 300 for reason in refused)
    assert 80 < len(refused) < 280  # both are tried


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("stats", "workers"), "2", r"stats.workers is '2'"),
        (("stats", "workers"), 10**9, r"stats.workers is 1000000000"),
        (("stats", "system", "ranks"), 0, r"system.ranks is 0"),
        (("stats", "wait", "total_s"), float("nan"), r"wait.total_s is nan"),
        (("stats", "stages"), {"decode": 3}, r"stages\['decode'\] is 3"),
        (("profile",), {"decode": "much"}, r"profile\['decode'\] is 'much'"),
        (("looks",), True, "looks is True"),
    ],
)
def test_the_reason_names_the_value(path: tuple[str, ...], value: Any, reason: str) -> None:
    record = json.loads(json.dumps(GOOD[0]))
    holder = record
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    with pytest.raises(ValueError, match=reason):
        Recording.from_json(json.dumps(record))
