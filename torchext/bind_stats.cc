#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "bind.h"
#include "errors.h"
#include "init.h"
#include "pipeline/loader_stats.h"
#include "stats/histogram.h"
#include "stats/worker_clock.h"

namespace py = pybind11;

namespace stoker {
namespace {

py::dict HistogramDict(const HistogramSnapshot& h) {
  py::dict d;
  d["count"] = h.count;
  d["total_s"] = static_cast<double>(h.total_ns) * 1e-9;
  d["mean_s"] = h.mean_ns() * 1e-9;
  d["p50_s"] = h.QuantileNs(0.5) * 1e-9;
  d["p90_s"] = h.QuantileNs(0.9) * 1e-9;
  d["p99_s"] = h.QuantileNs(0.99) * 1e-9;
  d["max_s"] = static_cast<double>(h.max_ns) * 1e-9;
  return d;
}

py::dict IndexDict(const IndexCounts& counts) {
  const auto samples = [&](IndexOutcome outcome) {
    return counts.samples[static_cast<size_t>(outcome)];
  };
  py::dict d;
  d["used"] = samples(IndexOutcome::kUsed);
  d["nothing"] = samples(IndexOutcome::kNothing);
  d["unknown"] = samples(IndexOutcome::kUnknown);
  d["recorded"] = samples(IndexOutcome::kRecorded);
  d["rejected"] = samples(IndexOutcome::kRejected);
  d["decoded_bytes"] = counts.decoded_bytes;
  d["plain_bytes"] = counts.plain_bytes;
  return d;
}

double Seconds(int64_t ns) { return static_cast<double>(ns) * 1e-9; }

py::dict UsageDict(const UsageTotals& usage) {
  py::dict d;
  d["reads"] = usage.reads;
  d["read_s"] = Seconds(usage.read_ns);
  d["read_cpu_s"] = Seconds(usage.read_cpu_ns);
  d["slow_reads"] = HistogramDict(usage.slow_reads);
  d["work_s"] = Seconds(usage.work_ns);
  d["work_cpu_s"] = Seconds(usage.work_cpu_ns);
  return d;
}

// (index, path, seconds by stage), slowest first.
py::list SlowSampleList(const std::vector<SlowSample>& samples) {
  py::list list;
  for (const SlowSample& sample : samples) {
    std::array<double, kStageCount> stage_s{};
    for (size_t s = 0; s < stage_s.size(); ++s) stage_s[s] = Seconds(sample.stage_ns[s]);
    list.append(py::make_tuple(sample.index, FsDecode(sample.path), stage_s));
  }
  return list;
}

py::dict BlameDict(const StateTimes& blame) {
  py::dict d;
  for (int s = 0; s < kStageCount; ++s) {
    d[StageName(static_cast<Stage>(s))] = Seconds(blame[static_cast<size_t>(s)]);
  }
  d["off"] = Seconds(blame[StateOf(OffState::kIdle)] + blame[StateOf(OffState::kWaiting)]);
  return d;
}

py::dict StatsDict(const LoaderStats& stats) {
  py::dict stages;
  for (int s = 0; s < kStageCount; ++s) {
    stages[StageName(static_cast<Stage>(s))] = HistogramDict(stats.stages[static_cast<size_t>(s)]);
  }
  py::dict d;
  d["stages"] = stages;
  d["waiting_s"] = Seconds(stats.waiting_ns);
  d["idle_s"] = Seconds(stats.idle_ns);
  d["usage"] = UsageDict(stats.usage);
  d["blame"] = BlameDict(stats.blame_ns);
  d["queue"] = stats.queue;
  d["slow_samples"] = SlowSampleList(stats.slow_samples);
  d["batches"] = stats.batches;
  d["index"] = IndexDict(stats.index);
  return d;
}

// Histograms in the memory of a tensor, which processes may share: one process writes, any read.
class SharedHistograms {
 public:
  static constexpr size_t kBytes = sizeof(Histogram);
  static_assert(std::is_standard_layout_v<Histogram> && std::atomic<uint64_t>::is_always_lock_free);

  // `memory`: contiguous uint8, zeros at first, SharedHistograms.bytes for each histogram.
  explicit SharedHistograms(at::Tensor memory) : memory_(std::move(memory)) {
    TORCH_CHECK(memory_.scalar_type() == at::kByte && memory_.is_contiguous() &&
                    memory_.device().is_cpu() &&
                    reinterpret_cast<uintptr_t>(memory_.data_ptr()) % alignof(Histogram) == 0,
                "memory must be a contiguous, aligned uint8 tensor of the CPU");
  }
  size_t size() const { return memory_.nbytes() / kBytes; }
  void Record(size_t n, int64_t ns, uint64_t times) { At(n)->Record(ns, times); }
  double TotalSeconds(size_t n) const { return Seconds(At(n)->total_ns()); }
  HistogramSnapshot Snapshot(size_t n) const {
    HistogramSnapshot snapshot;
    At(n)->AddTo(&snapshot);
    return snapshot;
  }

 private:
  Histogram* At(size_t n) const {
    if (n >= size()) throw py::index_error("there are " + std::to_string(size()) + " histograms");
    return reinterpret_cast<Histogram*>(memory_.data_ptr()) + n;
  }
  at::Tensor memory_;
};

}  // namespace

void BindStats(py::module_* m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m->attr("spans_per_sample") = kSpansPerSample;
  m->attr("usages_per_sample") = kUsagesPerSample;
  m->def("measure_span_ns", &MeasureSpanNs, py::arg("spans"), NoGil());
  m->def("measure_usage_ns", &MeasureUsageNs, py::arg("readings"), NoGil());
  py::class_<HistogramSnapshot>(*m, "HistogramSnapshot")
      .def("__init__", Init(&MakeUnique<HistogramSnapshot>), kInit)
      .def("add", &HistogramSnapshot::Add, py::arg("other"))
      .def("since", &HistogramSnapshot::Since, py::arg("earlier"))
      .def("to_dict", &HistogramDict);
  py::class_<Histogram>(*m, "Histogram")
      .def("__init__", Init(&MakeUnique<Histogram>), kInit)
      .def("record", py::overload_cast<int64_t>(&Histogram::Record), py::arg("ns"))
      .def("snapshot", [](const Histogram& histogram) {
        HistogramSnapshot snapshot;
        histogram.AddTo(&snapshot);
        return snapshot;
      });
  py::class_<SharedHistograms>(*m, "SharedHistograms")
      .def("__init__", Init(&MakeUnique<SharedHistograms, at::Tensor>), kInit, py::arg("memory"))
      .def("record", &SharedHistograms::Record, py::arg("n"), py::arg("ns"), py::arg("times") = 1)
      .def("snapshot", &SharedHistograms::Snapshot, py::arg("n"))
      .def("total_s", &SharedHistograms::TotalSeconds, py::arg("n"))
      .def("__len__", &SharedHistograms::size)
      .def_readonly_static("bytes", &SharedHistograms::kBytes);
  py::class_<LoaderStats>(*m, "StatsSum")
      .def("__init__", Init(&MakeUnique<LoaderStats>), kInit)
      .def("add", &LoaderStats::Add, py::arg("sum"))
      .def("since", &LoaderStats::Since, py::arg("earlier"))
      .def("to_dict", &StatsDict);
}

}  // namespace stoker
