"""The command line: ``stoker COMMAND``, also ``python -m stoker COMMAND``.

Each command has --json with stable keys, on standard output (``diagnose``, where the script writes there,
into a file), and exits with a status other than 0 after one line that says why when it fails.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from . import __version__
from .bench import (
    ACCELERATORS,
    WORKLOADS,
    BenchResult,
    as_dict,
    default_sweep,
    environment,
    render_bench,
    render_sweep,
    run_bench,
)
from .dataloader import PixelMode
from .demo.errors import DemoError

app = typer.Typer(
    name="stoker",
    help="A training data loader for PyTorch with a C++ core.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Command = TypeVar("Command", bound=Callable[..., Any])
_CLOSED, _INTERRUPTED = 141, 130  # a shell's exit statuses for SIGPIPE and SIGINT


def _in_one_line(command: Command) -> Command:
    """The command, which ends with one line instead of a traceback, whatever goes wrong."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            print(f"stoker {command.__name__}: interrupted", file=sys.stderr)
            raise typer.Exit(_INTERRUPTED) from None
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except (OSError, ValueError, RuntimeError, DemoError) as error:
            print(f"stoker {command.__name__}: {error}", file=sys.stderr)
        except Exception as error:
            if os.environ.get("STOKER_TRACEBACK"):
                raise
            print(
                f"stoker {command.__name__}: {type(error).__name__}: {error}"
                " (with STOKER_TRACEBACK=1 it shows where)",
                file=sys.stderr,
            )
        raise typer.Exit(1)

    return cast(Command, run)


_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of words.")]
_Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder of images; default: 1,000 photographs, derived once and cached."
    ),
]


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command(short_help="Train with torch's DataLoader, then with Stoker, and compare.")
@_in_one_line
def demo(
    data: _Data = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Workers of either loader.")] = None,
    epochs: Annotated[int, typer.Option(metavar="N", help="Epochs of each training.")] = 3,
    picture: Annotated[Path, typer.Option(metavar="FILE", help="Where to draw the comparison.")] = Path(
        "stoker-demo.png"
    ),
    as_json: _Json = False,
) -> None:
    """Train a small network fed by torch's DataLoader, then by Stoker, and compare."""
    from .demo import run_demo

    raise typer.Exit(run_demo(data, workers, epochs, picture, as_json))


@app.command(short_help="Measure the loader's speed, and what an image costs.")
@_in_one_line
def bench(
    data: _Data = None,
    workload: Annotated[str, typer.Option(metavar="NAME", help=f"One of {', '.join(WORKLOADS)}.")] = "W1",
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Threads; default: as many as the cores allow.")
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="Images in a batch.")] = 64,
    epochs: Annotated[int, typer.Option(metavar="N", help="Timed passes over the images.")] = 3,
    pixels: Annotated[str, typer.Option(metavar="MODE", help="Pixel mode: fast or exact.")] = "fast",
    use_index: Annotated[
        bool, typer.Option("--index/--no-index", help="Decode by the decode index, or without.")
    ] = True,
    emulate: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Feed emulated accelerators too: {', '.join(ACCELERATORS)}."),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(metavar="workers", help="'workers': one run each for 1, 2, 4 … up to all cores."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Measure images/s, CPU time per image by stage, first batch, memory, accelerators fed."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if batch < 1 or epochs < 1 or (workers is not None and workers < 0):
        raise ValueError("batch and epochs must be at least 1, and workers not negative")
    if sweep not in (None, "workers"):
        raise ValueError(f"--sweep takes 'workers', not {sweep!r}")
    if pixels not in ("fast", "exact"):
        raise ValueError(f"--pixels takes 'fast' or 'exact', not {pixels!r}")
    if data is None:
        from .demo.photos import demo_photos_with_progress

        data = demo_photos_with_progress(console)
    folder, mode = data, cast(PixelMode, pixels)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("images", total=None)

        def run(count: int | None) -> BenchResult:
            return run_bench(
                folder,
                workload,
                count,
                batch,
                epochs,
                mode,
                emulate,
                "auto" if use_index else None,
                lambda done, total: progress.update(task, completed=done, total=total),
            )

        results = [run(count) for count in (default_sweep() if sweep else [workers])]
    if as_json:
        dicts = [as_dict(result) for result in results]
        print(json.dumps({"sweep": dicts} if sweep else dicts[0], indent=2))
    else:
        print(render_sweep(results) if sweep else render_bench(results[0]))


@app.command(short_help="Make, check or describe a folder's decode index.")
@_in_one_line
def index(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images, at any depth.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The index file; default: stoker.index in DIR.")
    ] = None,
    info: Annotated[bool, typer.Option("--info", help="Say what the index covers and saves.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every entry against libjpeg-turbo.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Threads; default: all usable cores.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Make the decode index of a folder of images, so that crops of its JPEGs decode faster.

    Adds what an index that is there lacks, and can be interrupted and run again. The images stay as
    they are.
    """
    from rich.console import Console

    from . import index_command as command
    from ._progress import progress

    console = Console(stderr=True)
    if info and verify:
        raise ValueError("--info and --verify are two commands: give one of them")
    if workers is not None and workers < 1:
        raise ValueError("workers must be at least 1")
    report: command.BuildReport | command.VerifyReport | command.InfoReport
    if info:
        report = command.info(folder, out, workers)
        words = command.render_info(report)
    else:
        with progress(console, "images") as on_progress:
            if verify:
                report = command.verify(folder, out, workers, on_progress)
                words = command.render_verify(report)
            else:
                report = command.build(folder, out, workers, on_progress)
                words = command.render_build(report)
    print(json.dumps(command.as_dict(report), indent=2) if as_json else words)
    if isinstance(report, command.BuildReport) and report.interrupted:
        raise typer.Exit(130)
    if isinstance(report, command.VerifyReport) and report.wrong:
        raise typer.Exit(1)


@app.command(
    short_help="Run a script, and say why its training is as fast as it is.",
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
@_in_one_line
def diagnose(
    script: Annotated[
        list[str], typer.Argument(metavar="SCRIPT [ARGS]…", help="A training script and its arguments.")
    ],
    steps: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Give the verdict after so many steps; 0: when the script ends."
        ),
    ] = 0,
    headroom: Annotated[
        bool,
        typer.Option(
            "--headroom",
            help="Behind those steps (50 by default) hand out the same batches for 3 s: the step's own pace."
            " One rank only.",
        ),
    ] = False,
    stop: Annotated[
        bool,
        typer.Option("--stop", help="End the script once the verdict is given: after 50 steps by default."),
    ] = False,
    html: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the report.")] = Path(
        "stoker-diagnosis.html"
    ),
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a Chrome trace, for ui.perfetto.dev.")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the recording, as JSON.")
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Also write one JSON object: the exit status, all verdicts and figures.",
        ),
    ] = None,
) -> None:
    """Run a script as it is, whatever loader it uses, and say why its training is as fast as it is.

    The script keeps its output, its exceptions and its exit status; the verdict goes to standard error.
    """
    from .diagnosis.command import diagnose as run_diagnosis

    raise typer.Exit(run_diagnosis(script, steps, headroom, stop, html, trace, recording, json_file))


@app.command()
@_in_one_line
def env(as_json: _Json = False) -> None:
    """Print what a bug report or a figure should come with."""
    facts = {"stoker": __version__, **environment()}
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        for name, value in facts.items():
            print(f"{name.replace('_', ' '):14} {value}")


def main() -> None:
    """Entry point of the command ``stoker``."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, as behind `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the interpreter's own flush
        sys.exit(_CLOSED)
