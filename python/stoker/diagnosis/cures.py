"""What would help, in order, with the throughput that each is predicted to bring."""

from __future__ import annotations

import math
from dataclasses import replace

from ._words import counted
from .hot import hottest, is_native, native_share
from .limits import STRANGERS, others_of, share_of_cores
from .model import Model, best_workers, model_of, predicted, rate_with_workers, steady_rate
from .recording import Recording
from .steady import MOST_AHEAD, lost_with, steady_of
from .verdict import Cure, Verdict

WORTH_IT = 1.03  # what brings less is not named
ENOUGH = 1.02  # workers that bring this much of the step's pace are enough

_VARIANTS = {
    "fast": ("the fast pixel mode", 'pixels="fast"'),
    "index": ("the decode index", 'builds itself during the next epoch (index="auto")'),
    "uint8": ("uint8 to the device", "convert and normalize on the device"),
}


def cures_for(recording: Recording, verdict: Verdict) -> tuple[Cure, ...]:
    """The cures of a verdict, best first; none where nothing is to be done."""
    if verdict.kind in ("unknown", "accelerator-bound"):
        return ()
    if verdict.kind == "start-up":
        return _for_start_up(recording)
    model = model_of(recording, verdict)
    measured = steady_rate(recording)
    if model is None or measured <= 0:
        return ()
    found = _Cures(recording, verdict, model, measured)
    cures = found.bursts() if verdict.kind == "bursty" else found.all()
    worth = [c for c in cures if c.images_per_s == 0 or c.images_per_s >= WORTH_IT * measured]
    return tuple(sorted(worth, key=lambda c: -c.images_per_s))


def _for_start_up(recording: Recording) -> tuple[Cure, ...]:
    if recording.stats.path != "python" or recording.stats.workers == 0:
        return ()
    if recording.facts.get("persistent_workers") == "True" or not any(
        step.first and step.number > 0 for step in recording.steps
    ):
        return (Cure("longer", "longer epochs", 0.0, "worker processes start once in each"),)
    return (
        Cure("persistent", "persistent_workers=True", 0.0, "worker processes start once, not each epoch"),
    )


class _Cures:
    """The cures of one recording."""

    def __init__(self, recording: Recording, verdict: Verdict, model: Model, measured: float) -> None:
        self.recording, self.verdict = recording, verdict
        self.model, self.measured = model, measured

    def rate(self, then: Model) -> float:
        return predicted(self.measured, self.model, then)

    def all(self) -> list[Cure]:
        if self.verdict.cause == "hand-over" and self.recording.stats.path == "native":
            return self.larger_batches()
        cures = [*self.workers(), *self.settings(), *self.native(), *self.cores(), *self.threads()]
        cures += [*self.function(), *self.images()]
        if self.verdict.limit == "hand-over":
            how = "uint8 in place of float32, crops in place of whole images, one tensor in place of many"
            cures.append(Cure("hand-over", "less to hand over for each batch", 0.0, how))
        if self.verdict.limit == "collate":
            how = "stack there, and do the rest (MixUp, CutMix, …) to the batch in the step, on the device"
            cures.append(Cure("collate", "less work in collate_fn", 0.0, how))
        if self.verdict.limit == "fetch":
            cures.append(
                Cure("fetch", "a stoker_sample that returns a path", 0.0, "the workers then read the file")
            )
        return cures

    def larger_batches(self) -> list[Cure]:
        """Fewer of them to take over."""
        stats = self.recording.stats
        each = round(stats.samples / max(1, stats.batches))
        how = f"the loop takes as long to be handed many samples as to be handed {counted(each, 'sample')}"
        return [Cure("batches", "larger batches", 0.0, how)]

    def workers(self) -> list[Cure]:
        """More of them, as far as the cores (or, where they sleep, storage) let that help."""
        model = self.model
        # They may get more than strangers leave: see Note [The throughput model].
        cores = max(1, math.ceil(max(model.cores, model.all_cores)))
        asleep = model.asleep_s / max(model.cpu_s + model.asleep_s, 1e-12)
        most = cores if asleep < 0.1 else max(cores, min(64, round(cores / max(1 - asleep, 0.02))))
        counts = range(1, max(most, model.workers) + 1)
        rates = [rate_with_workers(self.measured, model, n, self.verdict.limit) for n in counts]
        best = best_workers(rates)
        if best <= model.workers:
            return []
        how = "they sleep much of the time, so there may be more than cores" if best > cores else ""
        return [Cure("workers", f"num_workers {model.workers} → {best}", rates[best - 1], how, best)]

    def settings(self) -> list[Cure]:
        """Cheaper images, by what trials have found."""
        stats, variants = self.recording.stats, self.recording.variants
        ways = dict(_VARIANTS)
        if stats.index_problem:
            del ways["index"]  # which cannot be added to
        elif stats.index.recorded:
            ways["index"] = (ways["index"][0], "is being built: the next epoch goes by it")
        shares = {key: variants[key] for key in ways if variants.get(key, 1.0) < 1}
        cures = [
            Cure(key, ways[key][0], self.rate(self.model.with_cost(share)), ways[key][1], share)
            for key, share in shares.items()
        ]
        together = variants.get("all", 1.0)
        doable = not (stats.index_problem and "index" in variants)
        if len(shares) > 1 and doable and together < 0.97 * min(shares.values()):
            *first, last = (ways[key][0] for key in shares)
            how = f"{', '.join(first)} and {last}"
            cures.append(
                Cure("all", "these together", self.rate(self.model.with_cost(together)), how, together)
            )
        return cures

    def native(self) -> list[Cure]:
        """C++ in place of Python."""
        stats = self.recording.stats
        if stats.path != "python":
            return []
        if "native" in self.recording.variants:
            share = self.recording.variants["native"]
            # What the worker processes do beside loading, as pickling batches, goes with them, and what the
            # loop does to take them over.
            beside_s = 0.0
            if self.model.workers:
                beside_s = max(0.0, stats.system.worker_cpu_s - stats.usage.cpu_s) + stats.wait_cpu_s
            other_s = max(0.0, self.model.other_cpu_s - beside_s / max(1, stats.samples))
            workers = max(1, self.model.workers)
            then = replace(self.model.with_cost(share), workers=workers, other_cpu_s=other_s)
            return [Cure("native", "stoker's native path", self.rate(then), "from stoker import DataLoader")]
        python, native = (stats.stages[n].total_s if n in stats.stages else 0.0 for n in ("python", "native"))
        if native <= 0 or python < 0.1 * (python + native):
            return []
        then = self.model.with_cost(native / (python + native))
        return [
            Cure(
                "native",
                "native transforms in place of those in Python",
                self.rate(then),
                "at most: as if those cost nothing",
            )
        ]

    def cores(self) -> list[Cure]:
        """More cores, where they are what is missing."""
        model, limit = self.model, self.verdict.limit
        if limit not in ("cores", "quota"):
            return []
        share, all_of_them = share_of_cores(self.recording.stats), self.recording.stats.system.all_cores
        then = replace(
            model, cores=model.cores + share, workers=max(model.workers, math.ceil(model.cores + share))
        )
        return [
            Cure(
                "cores",
                f"cores {all_of_them:g} → {2 * all_of_them:g}",
                self.rate(then),
                "with as many workers",
                2 * all_of_them,
            )
        ]

    def threads(self) -> list[Cure]:
        """Fewer threads beside the workers, where those take the cores."""
        if self.verdict.limit != "oversubscription":
            return []
        model = self.model
        stats = self.recording.stats
        threads = stats.system.torch_threads
        others = others_of(stats)
        if others == "threads inside the worker processes":
            return [Cure("threads", "one thread in each worker process", 0.0, self._one_thread(), 1)]
        if others in STRANGERS:
            then = replace(model, cores=share_of_cores(stats), no_core_s=0.0)
            what = "without the machine's other processes"
            if others != "processes":
                what = "a machine whose cores are its own"
            return [Cure("others", what, max(then.rate(), self.measured))]
        alone = replace(model, other_cpu_s=0.0, no_core_s=0.0).rate()
        fewer = max(1, min(round(stats.system.my_cores - model.workers), threads))
        what = f"(torch has {threads}: torch.set_num_threads({fewer}))"
        if fewer == threads:
            what = f"(not torch's, which has {threads}: NumPy's, OpenCV's, …)"
        return [
            Cure(
                "threads",
                f"fewer threads beside the workers {what}",
                max(alone, self.measured),
                "as far as the step does not need them",
                fewer,
            )
        ]

    def _one_thread(self) -> str:
        """How that is done, without what is done already."""
        if self.recording.facts.get("OMP_NUM_THREADS") == "1":
            return "in worker_init_fn: cv2.setNumThreads(0), and as much for pools of the dataset's own"
        return "in worker_init_fn: cv2.setNumThreads(0); outside: OMP_NUM_THREADS=1"

    def function(self) -> list[Cure]:
        """The script's own code that takes most of the workers' time, and what would do the same quicker."""
        if self.recording.stats.path != "python":
            return []
        if not self.recording.profile:
            return self._not_profiled()
        hot = hottest(self.recording)
        if hot is None or (hot.kind == "transform" and is_native(hot.name)):  # which self.images() names
            return []
        asleep = self.verdict.limit in ("asleep", "storage")
        rate = 0.0 if asleep else self.rate(self.model.with_cost(1 - hot.share))
        what, how = f"a quicker {hot.words.removeprefix('the ')}", "at most: as if it took no time"
        if asleep:
            what, how = f"less waiting in {hot.words}", "several requests at a time, or data on a local disk"
        elif hot.in_loops:
            what = f"NumPy or torch in place of the loop in {hot.words}"
        return [Cure("function", what, rate, how)]

    def _not_profiled(self) -> list[Cure]:
        if self.verdict.kind != "loader-bound" or self.verdict.cause != "python":
            return []
        how = "tells which function and line takes the time"
        return [Cure("diagnose", "to know more: stoker diagnose SCRIPT", 0.0, how)]

    def images(self) -> list[Cure]:
        """Images loaded in C++, where the script's own data set loads them in Python."""
        stats, variants = self.recording.stats, self.recording.variants
        native = stats.stages.get("native")
        share = native_share(self.recording)
        if stats.path != "python" or "native" in variants or (native is not None and native.total_s > 0):
            return []
        if share == 0 or self.recording.few_looks:
            return []
        rate = 0.0
        if "images" in variants:
            rate = self.rate(self.model.with_cost(max(0.0, 1 - share) + variants["images"]))
            rate = rate if rate >= WORTH_IT * self.measured else 0.0  # not until the rest is quicker
        how = "from stoker import DataLoader · def stoker_sample(self, index): return path, label"
        return [Cure("images", "stoker_sample and stoker.transforms", rate, how)]

    def bursts(self) -> list[Cure]:
        """More batches ahead, which even out what is fast enough on average."""
        stats, verdict = self.recording.stats, self.verdict
        reach = min(verdict.capacity, verdict.pace) if verdict.capacity > 0 else verdict.pace
        steady = steady_of(self.recording)
        longest = max(steady.lost, default=0.0)
        mean_s = (steady.time_s - steady.idle_s) / max(1, steady.steps)
        covers = math.ceil(longest / max(mean_s, 1e-9))  # batches that the loop gets through meanwhile
        if covers > MOST_AHEAD:
            return [
                Cure("samples", "smaller or fewer slow samples", reach, "no queue is as long as their waits")
            ]
        now = stats.ahead or max(1, len(stats.queue) - 1)
        ahead = now + covers
        # How long the workers together take for one; 0 where nothing of their work is known.
        batch_s = stats.samples / stats.batches / verdict.capacity if verdict.capacity > 0 else 0.0
        while ahead < MOST_AHEAD and lost_with(ahead, steady.own, batch_s) > verdict.lost_share / 10:
            ahead += 1
        each = max(1, stats.workers) if stats.path == "python" else 1  # prefetch_factor is of each process
        factor, more = -(-now // each), -(-ahead // each)
        more_ahead = counted((more - factor) * each, "more batch", "more batches")
        how = f"{more_ahead} ahead, which take memory, cover the longest wait"
        return [Cure("prefetch", f"prefetch_factor {factor} → {more}", reach, how, more)]


def enough_workers(recording: Recording, verdict: Verdict) -> int:
    """Fewer workers that would feed an accelerator-bound run as well; 0: there are none."""
    model = model_of(recording, verdict)
    if model is None or model.workers < 2:
        return 0
    for n in range(1, model.workers):
        if replace(model, workers=n).loader_rate() >= 1.1 * ENOUGH / max(model.step_s, 1e-12):
            return n
    return 0


def with_cures(recording: Recording, verdict: Verdict) -> Verdict:
    """The verdict, and what would help."""
    return replace(verdict, cures=cures_for(recording, verdict))
