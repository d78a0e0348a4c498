#include <pybind11/stl.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/pybind.h>

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "bind.h"
#include "memory/recycling_allocator.h"
#include "pipeline/executor.h"
#include "pipeline/loader.h"
#include "stats/histogram.h"
#include "stats/worker_clock.h"
#include "tensors.h"
#include "torch_host_allocator.h"

namespace py = pybind11;

namespace stoker {
namespace {

// How long a wait may keep Python from noticing Ctrl-C.
constexpr std::chrono::milliseconds kSignalCheck{100};

std::shared_ptr<Loader> MakeLoader(std::shared_ptr<SampleTable> table, const SamplePlan& plan,
                                   int workers, int prefetch, bool pin_memory,
                                   std::shared_ptr<DecodeIndex> index) {
  std::shared_ptr<HostAllocator> allocator;
  if (pin_memory) allocator = MakePinnedAllocator();
  if (!allocator) {
    // Batches of samples in flight, the consumer's, and one spare; labels are blocks of their own.
    allocator = std::make_shared<RecyclingAllocator>(static_cast<size_t>(prefetch) + 2);
  }
  return std::make_shared<Loader>(
      std::move(table), plan, LoaderOptions{workers, prefetch}, std::move(allocator),
      workers > 0 ? SharedExecutor(workers) : nullptr, std::move(index));
}

// Waits for the oldest batch: False after `timeout_s` (0: no limit) without one. Ctrl-C ends it.
bool Wait(Loader& loader, double timeout_s) {
  const auto begin = std::chrono::steady_clock::now();
  for (;;) {
    bool ready = false;
    {
      const py::gil_scoped_release no_gil;
      ready = loader.WaitReady(kSignalCheck);
    }
    if (ready) return true;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
    if (timeout_s > 0 && waited.count() > timeout_s) return false;
  }
}

// (images, labels); the oldest batch, which Wait has said is ready.
std::pair<at::Tensor, at::Tensor> Next(Loader& loader) {
  const py::gil_scoped_release no_gil;
  Batch batch = loader.Next();
  at::Tensor images = ImagesTensor(&batch, loader.plan().format, loader.sample_size());
  return {std::move(images), LabelsTensor(&batch)};
}

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

py::dict StatsDict(const LoaderStats& stats) {
  py::dict stages;
  for (int s = 0; s < kStageCount; ++s) {
    stages[StageName(static_cast<Stage>(s))] = HistogramDict(stats.stages[static_cast<size_t>(s)]);
  }
  py::dict d;
  d["stages"] = stages;
  d["wait"] = HistogramDict(stats.consumer_wait);
  d["waiting_s"] = static_cast<double>(stats.waiting_ns) * 1e-9;
  d["idle_s"] = static_cast<double>(stats.idle_ns) * 1e-9;
  d["first_batch_s"] = static_cast<double>(stats.first_batch_ns) * 1e-9;
  d["batches"] = stats.batches;
  d["samples"] = stats.samples;
  d["failed_batches"] = stats.failed_batches;
  d["ready_at_request"] = stats.ready_at_request;
  d["max_running"] = stats.max_running;
  d["index"] = IndexDict(stats.index);
  return d;
}

}  // namespace

void BindLoader(py::module_* m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m->def("has_pinned_memory", [] { return MakePinnedAllocator() != nullptr; });
  m->attr("spans_per_sample") = kSpansPerSample;
  m->def("measure_span_ns", &MeasureSpanNs, py::arg("spans"), NoGil());
  py::class_<Histogram>(*m, "Histogram")
      .def(py::init<>())
      .def("record", &Histogram::Record, py::arg("ns"))
      .def("snapshot", [](const Histogram& histogram) {
        HistogramSnapshot snapshot;
        histogram.AddTo(&snapshot);
        return HistogramDict(snapshot);
      });
  py::class_<Loader, std::shared_ptr<Loader>>(*m, "Loader")
      .def(py::init(&MakeLoader), py::arg("table"), py::arg("plan"), py::arg("workers"),
           py::arg("prefetch"), py::arg("pin_memory"), py::arg("index") = nullptr, NoGil())
      .def("start_epoch", &Loader::StartEpoch, py::arg("base_seed"), py::arg("epoch"), NoGil())
      .def("stop", &Loader::Stop, NoGil())
      .def("submit", &Loader::Submit, py::arg("indices"), NoGil())
      .def("end_of_indices", &Loader::EndOfIndices, NoGil())
      .def("wait", &Wait, py::arg("timeout_s"))
      .def("next", &Next)
      .def_property_readonly("in_flight", &Loader::in_flight)
      .def_property_readonly("prefetch", &Loader::prefetch)
      .def_property_readonly("pid", &Loader::pid)
      .def("stats", [](const Loader& loader) { return StatsDict(loader.Stats()); });
  py::class_<LoaderStats>(*m, "StatsSum")
      .def(py::init<>())
      .def(
          "add", [](LoaderStats& sum, const Loader& loader) { sum.Add(loader.Stats()); },
          py::arg("loader"))
      .def("add", &LoaderStats::Add, py::arg("sum"))
      .def("to_dict", &StatsDict);
}

}  // namespace stoker
