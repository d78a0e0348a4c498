"""``stoker index DIR``: what it builds, says, checks and refuses, and how an index grows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from conftest import OLD_S, RunScript, change_now, leave_alone, photo_like, write_photos
from index_helpers import cached, counts, epoch, errors, loader_of, report, run, same, written
from PIL import Image

from stoker.index import FILE_NAME

BUILD_KEYS = [
    "index", "images", "known", "checkpoints", "size_only", "small", "just_changed", "failures", "merged",
    "seconds", "interrupted",
]  # fmt: skip
VERIFY_KEYS = [
    "index", "images", "good", "size_only", "unknown", "small", "wrong", "others", "failures", "seconds",
]  # fmt: skip
INFO_KEYS = [
    "index", "entries", "blocks", "index_bytes", "images", "data_bytes", "checkpoints", "size_only",
    "unknown", "small", "others", "failures", "savings",
]  # fmt: skip


# ---- build, info, verify -------------------------------------------------------------------------


def test_build_and_again(data: Path) -> None:
    first = report(data)
    assert list(first) == BUILD_KEYS
    assert first["index"] == str(data / FILE_NAME)
    assert first["images"] == 16
    assert counts(first) == {"checkpoints": 16}
    assert (first["failures"], first["merged"], first["interrupted"]) == ([], False, False)
    content = (data / FILE_NAME).read_bytes()
    assert counts(report(data)) == {"known": 16}
    assert (data / FILE_NAME).read_bytes() == content


def test_words(data: Path) -> None:
    done = run(data, "--workers", 1)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"{data / FILE_NAME}: 16 entries added, 0 already there\n  16 images")
    assert "16 with checkpoints" in done.out
    assert "0 entries added, 16 already there" in run(data).out
    info = run(data, "--info")
    assert (info.status, info.err) == (0, "")
    assert info.out.startswith(f"{data / FILE_NAME}: covers 100.0% of 16 images\n")
    assert "16 entries in 1 block" in info.out
    assert "of the entropy decoding of RandomResizedCrop(224)" in info.out
    assert "of the entropy decoding of Resize(256) + CenterCrop(224)" in info.out
    verify = run(data, "--verify")
    assert (verify.status, verify.err) == (0, "")
    assert verify.out.startswith(f"{data / FILE_NAME}: all entries are right.\n  16 images · 16 give")


def test_info(data: Path) -> None:
    report(data)
    info = report(data, "--info")
    assert list(info) == INFO_KEYS
    assert (info["images"], info["entries"], info["blocks"]) == (16, 16, 1)
    assert counts(info) == {"checkpoints": 16}
    assert info["index_bytes"] == (data / FILE_NAME).stat().st_size
    assert info["data_bytes"] == sum(file.stat().st_size for file in data.rglob("*.jpg"))
    assert list(info["savings"]) == ["W1", "W2"]
    assert all(0 < share < 1 for share in info["savings"].values())
    write_photos(data / "a", 2)
    os.utime(data / "b" / "000.jpg", (OLD_S - 1, OLD_S - 1))
    later = report(data, "--info")
    assert counts(later) == {"checkpoints": 15, "unknown": 3}
    assert "covers 83.3% of 18 images" in run(data, "--info").out


def test_verify(data: Path) -> None:
    report(data)
    verified = report(data, "--verify")
    assert list(verified) == VERIFY_KEYS
    assert counts(verified) == {"good": 16}
    write_photos(data / "a", 2)
    assert counts(report(data, "--verify")) == {"good": 16, "unknown": 2}
    assert "all entries are right; 2 images have none" in run(data, "--verify").out


def test_images_of_every_kind(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write_photos(folder / "deep" / "er", 3)
    write_photos(folder / "progressive", 2, progressive=True)
    photo_like(300, 200).save(folder / "one.PNG")
    photo_like(300, 200).save(folder / "two.bmp")
    photo_like(30, 20).save(folder / "small.jpg")
    photo_like(400, 300).save(folder / "a JPEG named.webp", "JPEG", quality=90)
    (folder / "notes.txt").write_text("notes\n")
    leave_alone(folder)
    os.symlink(folder / "deep", folder / "link")
    built = report(folder)
    assert built["images"] == 12
    assert counts(built) == {"checkpoints": 7, "size_only": 4, "small": 1}
    assert counts(report(folder)) == {"known": 11, "small": 1}
    assert counts(report(folder, "--info")) == {"checkpoints": 7, "size_only": 4, "small": 1}
    assert counts(report(folder, "--verify")) == {"good": 7, "size_only": 4, "small": 1}
    assert "1 too small for an entry" in run(folder).out


def test_what_a_loader_leaves_of_other_formats_is_right(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write_photos(folder / "a", 1)
    photo_like(300, 200).save(folder / "a" / "turned.tiff", tiffinfo={0x0112: 6})
    turned = Image.Exif()
    turned[0x0112] = 6
    photo_like(300, 200).save(folder / "a" / "turned.png", exif=turned)
    leave_alone(folder)
    index = tmp_path / "my.index"
    loader = loader_of(folder, index=index)
    assert errors(epoch(loader)) == 0
    written(loader)
    assert counts(report(folder, "--out", index, "--verify")) == {"good": 1, "size_only": 2}


def test_what_changed_a_moment_ago_is_left_for_later(data: Path) -> None:
    change_now(data / "a" / "000.jpg")
    built = run(data)
    assert "1 image left out, changed a moment ago: run the command again" in built.out
    assert counts(report(data, "--info")) == {"checkpoints": 15, "unknown": 1}
    os.utime(data / "a" / "000.jpg", (OLD_S, OLD_S))
    assert counts(report(data)) == {"checkpoints": 1, "known": 15}


def test_damaged_images_are_listed_and_the_rest_is_done(data: Path) -> None:
    whole = (data / "a" / "000.jpg").read_bytes()
    (data / "a" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (data / "a" / "empty.jpg").write_bytes(b"")
    (data / "a" / "text.jpg").write_bytes(b"no image at all\n" * 1000)
    os.symlink("/nowhere/at all.jpg", data / "a" / "dangling.jpg")
    os.mkfifo(data / "a" / "pipe.jpg")
    leave_alone(data)
    built = report(data)
    assert built["images"] == 21
    assert built["checkpoints"] == 16
    failures = {os.path.basename(f["path"]): (f["stage"], f["reason"]) for f in built["failures"]}
    assert all(sorted(f) == ["path", "reason", "stage"] for f in built["failures"])
    assert failures["text.jpg"] == ("decode", "not an image of a known format")
    assert failures["dangling.jpg"][0] == "read"
    assert "No such file" in failures["dangling.jpg"][1]
    assert failures["pipe.jpg"][0] == "read"
    # Each image is in one of the counts, or a failure.
    assert sum(counts(built).values()) + len(failures) == 21
    words = run(data)
    assert words.status == 0
    assert "images have no part in it:" in words.out
    assert "text.jpg: cannot decode: not an image of a known format" in words.out
    for option in ("--info", "--verify"):
        assert report(data, option)["images"] == 21
    loader = loader_of(data, batch_size=1)
    assert same(epoch(loader), epoch(loader_of(data, batch_size=1, index=None)))
    assert loader.stats().index.used >= 16


def test_names_that_are_no_text(tmp_path: Path, run_script: RunScript) -> None:
    folder = os.fsencode(tmp_path) + b"/d\xe4ta"
    os.makedirs(folder)
    for number, file in enumerate(write_photos(tmp_path / "photos", 4)):
        shutil.copy2(os.fsencode(file), folder + b"/%d\xff\n \xc3\xa4.jpg" % number)
    with open(folder + b"/text\xfe.jpg", "wb") as f:
        f.write(b"no image" * 2000)
    os.utime(folder + b"/text\xfe.jpg", (OLD_S, OLD_S))
    built = report(os.fsdecode(folder))
    assert built["checkpoints"] == 4
    assert [os.fsencode(f["path"]) for f in built["failures"]] == [folder + b"/text\xfe.jpg"]
    assert counts(report(os.fsdecode(folder), "--verify"))["good"] == 4


@pytest.mark.parametrize("option", [[], ["--info"], ["--verify"]])
def test_names_that_are_no_text_in_words(tmp_path: Path, run_script: RunScript, option: list[str]) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/d\xe4ta")
    os.makedirs(folder)
    shutil.copy2(write_photos(tmp_path / "photos", 1)[0], folder)
    report(folder)
    # As in a locale like en_US.UTF-8.
    code = 'import stoker.cli; sys.stdout.reconfigure(encoding="utf-8", errors="strict"); stoker.cli.main()'
    done = run_script(code, "index", folder, *option)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 image" in done.stdout


# ---- growing and shrinking -----------------------------------------------------------------------


def test_new_files_are_appended(data: Path) -> None:
    report(data)
    before = (data / FILE_NAME).read_bytes()
    write_photos(data / "a", 2)
    again = report(data)
    assert counts(again) == {"checkpoints": 2, "known": 16}
    assert not again["merged"]
    after = (data / FILE_NAME).read_bytes()
    assert after[: len(before)] == before
    assert len(after) > len(before)
    info = report(data, "--info")
    assert (info["entries"], info["blocks"]) == (18, 2)
    assert counts(report(data, "--verify")) == {"good": 18}


def test_many_blocks_are_merged(data: Path) -> None:
    report(data)
    merged = []
    for _ in range(4):
        write_photos(data / "b", 1)
        merged.append(report(data)["merged"])
    assert merged == [False, False, False, True]
    info = report(data, "--info")
    assert (info["entries"], info["blocks"]) == (20, 1)
    assert counts(report(data, "--verify")) == {"good": 20}


def test_removed_files_are_dropped_when_there_are_enough(data: Path) -> None:
    report(data)
    before = (data / FILE_NAME).read_bytes()
    files = sorted(data.rglob("*.jpg"))
    for file in files[:2]:
        file.unlink()
    assert not report(data)["merged"]
    assert (data / FILE_NAME).read_bytes() == before
    files[2].unlink()
    done = run(data)
    assert "merged into one block, without entries of files that are gone" in done.out
    info = report(data, "--info")
    assert (info["entries"], info["blocks"]) == (13, 1)
    assert info["index_bytes"] < len(before)
    assert counts(report(data, "--verify")) == {"good": 13}
    assert not report(data)["merged"]


def test_changed_files_get_entries_anew(data: Path) -> None:
    report(data)
    files = sorted(data.rglob("*.jpg"))
    for number, file in enumerate(files[:5]):
        photo_like(401, 299, seed=500 + number).save(file, quality=85)
        os.utime(file, (OLD_S + 900, OLD_S + 900))
        again = report(data)
        assert counts(again) == {"checkpoints": 1, "known": 15}
        # One entry in eight may be of no use.
        assert again["merged"] == (number == 2)
    assert report(data, "--info")["entries"] == 18
    assert counts(report(data, "--verify")) == {"good": 16}


def test_a_part_of_the_data_leaves_the_other_entries(data: Path) -> None:
    report(data)
    assert counts(report(data / "a", "--out", data / FILE_NAME)) == {"known": 8}
    assert counts(report(data, "--info")) == {"checkpoints": 16}


def test_an_index_takes_at_most_one_hundredth(tmp_path: Path) -> None:
    for quality in (40, 92):
        folder = tmp_path / str(quality)
        write_photos(folder / "a", 40, quality=quality)
        report(folder)
        info = report(folder, "--info")
        assert info["checkpoints"] == 40
        assert 0.005 * info["data_bytes"] < info["index_bytes"] <= 0.01 * info["data_bytes"]


# ---- where to ------------------------------------------------------------------------------------


def test_out(data: Path, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    built = report("data", "--out", "my.index")
    assert built["index"] == str(tmp_path / "my.index")
    assert not (data / FILE_NAME).exists()
    assert cached(own_cache) == []
    assert counts(report("data", "--out", "my.index")) == {"known": 16}
    assert counts(report(data, "--out", tmp_path / "my.index", "--verify")) == {"good": 16}
    assert counts(report(data, "--out", tmp_path / "my.index", "--info")) == {"checkpoints": 16}
    for dataset, used in ((data, 16), ("data", 16)):
        loader = loader_of(dataset, index="my.index")
        epoch(loader)
        assert loader.stats().index.used == used
    loader = loader_of(data)
    epoch(loader)
    assert loader.stats().index.used == 0  # it is not where "auto" looks


def test_paths_to_one_folder_are_one(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report(data)
    (tmp_path / "link").symlink_to(data)
    monkeypatch.chdir(data / "a")
    for name in (f"{data}/", "..", "../../data", tmp_path / "link", "../../link/"):
        assert counts(report(name)) == {"known": 16}, name
        assert counts(report(name, "--verify")) == {"good": 16}, name


@pytest.mark.parametrize("option", [[], ["--verify"], ["--info"]])
def test_failures_say_why_in_one_line(tmp_path: Path, data: Path, option: list[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    text = tmp_path / "notes.txt"
    text.write_text("notes\n")
    cases: list[tuple[list[object], str]] = [
        (["/no/such/folder"], "/no/such/folder is not a folder"),
        ([text], f"{text} is not a folder"),
        ([empty], f"no images below {empty} (by name: .jpg, "),
        ([data, "--out", text], "notes.txt is not a decode index"),
        ([data, "--out", tmp_path], "is a folder, not an index file"),
        ([data, "--workers", 0], "workers must be at least 1"),
    ]
    if option:
        cases.append(([data], f"{data / FILE_NAME} does not exist: make it with stoker index"))
        cases.append(([data, "--info", "--verify"], "--info and --verify are two commands"))
    else:
        out = tmp_path / "no" / "such" / "folder"
        cases.append(([data, "--out", out], "the index could not be written"))
    for arguments, reason in cases:
        done = run(*arguments, *option)
        assert (done.status, done.out) == (1, ""), arguments
        assert done.err.startswith("stoker index: ")
        assert reason in done.err
        assert done.err.count("\n") == 1
    assert text.read_text() == "notes\n"
    assert list(empty.iterdir()) == []
    assert not (data / FILE_NAME).exists()


def test_something_else_of_the_indexs_name(data: Path) -> None:
    (data / FILE_NAME).write_text("notes\n")
    done = run(data)
    assert (done.status, done.err) == (1, f"stoker index: {data / FILE_NAME} is not a decode index\n")
    assert (data / FILE_NAME).read_text() == "notes\n"


def test_a_damaged_index_is_made_anew(data: Path) -> None:
    report(data)
    os.truncate(data / FILE_NAME, 30)
    assert run(data, "--info").status == 1
    assert "is damaged" in run(data, "--info").err
    assert counts(report(data, "--verify")) == {"unknown": 16}
    assert counts(report(data)) == {"checkpoints": 16}
    assert counts(report(data, "--verify")) == {"good": 16}


def test_help_is_there() -> None:
    done = run("--help")
    assert done.status == 0
    for option in ("--out", "--info", "--verify", "--workers", "--json"):
        assert option in done.out
