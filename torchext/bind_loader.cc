#include <pybind11/stl.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/pybind.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bind.h"
#include "errors.h"
#include "init.h"
#include "memory/recycling_allocator.h"
#include "pipeline/executor.h"
#include "pipeline/loader.h"
#include "tensors.h"
#include "torch_host_allocator.h"

namespace py = pybind11;

namespace stoker {
namespace {

// How long a wait may keep Python from noticing Ctrl-C.
constexpr std::chrono::milliseconds kSignalCheck{100};

std::shared_ptr<Loader> MakeLoader(const SampleSet& samples, int workers, int prefetch,
                                   bool pin_memory, std::shared_ptr<DecodeIndex> index) {
  const py::gil_scoped_release no_gil;
  std::shared_ptr<HostAllocator> allocator;
  if (pin_memory) allocator = MakePinnedAllocator();
  if (!allocator) {
    // Batches of samples in flight, the consumer's, and one spare; labels are blocks of their own.
    allocator = std::make_shared<RecyclingAllocator>(static_cast<size_t>(prefetch) + 2);
  }
  return std::make_shared<Loader>(samples, LoaderOptions{workers, prefetch}, std::move(allocator),
                                  workers > 0 ? SharedExecutor(workers) : nullptr,
                                  std::move(index));
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

// (name, None) for a file or (name, bytes); the bytes are copied.
SampleSource MakeSource(const py::handle& source) {
  const auto pair = py::cast<py::tuple>(source);
  SampleSource made{py::cast<std::string>(py::cast<py::bytes>(pair[0])), nullptr};
  if (!pair[1].is_none()) {
    made.bytes = std::make_shared<const std::string>(py::cast<std::string>(py::bytes(pair[1])));
  }
  return made;
}

void Submit(Loader& loader, std::vector<int64_t> indices, const std::optional<py::list>& sources) {
  std::vector<SampleSource> made;
  if (sources) {
    for (const py::handle source : *sources) made.push_back(MakeSource(source));
  }
  const py::gil_scoped_release no_gil;
  loader.Submit(std::move(indices), std::move(made));
}

// (images, labels, failures, wait), failures being (position, occurrence, DataError), and wait
// being (complete batches when it was asked for, what the workers did while it was waited for, in
// nanoseconds).
py::tuple TakeBatch(Loader& loader) {
  at::Tensor images;
  at::Tensor labels;
  std::vector<SampleFailure> failures;
  BatchWait wait;
  {
    const py::gil_scoped_release no_gil;
    Batch batch = loader.Next();
    images = ImagesTensor(&batch, loader.format(), loader.sample_size());
    labels = LabelsTensor(&batch);
    failures = std::move(batch.failures);
    wait = batch.wait;
  }
  py::list errors;
  for (const SampleFailure& failure : failures) {
    errors.append(py::make_tuple(failure.position, failure.occurrence, PythonError(failure.error)));
  }
  return py::make_tuple(images, labels, errors, py::make_tuple(wait.ready, wait.blame));
}

// The oldest batch, which Wait has said is ready, as TakeBatch gives it. With `got`: into `got[0]`,
// so that it is not lost where a signal's handler raises as this returns; and where it is lost,
// because there is no memory for what Python has of it, that is MemoryError, the class.
py::object Next(Loader& loader, const std::optional<py::list>& got) {
  if (!got) return TakeBatch(loader);
  const size_t in_flight = loader.in_flight();
  try {
    (*got)[0] = TakeBatch(loader);
  } catch (...) {
    if (loader.in_flight() == in_flight) throw;
    (*got)[0] = py::reinterpret_borrow<py::object>(PyExc_MemoryError);
  }
  return py::none();
}

// Into position `position` of `images`, a batch of this loader.
int64_t LoadInto(Loader& loader, int64_t index, uint32_t occurrence, const at::Tensor& images,
                 int64_t position, const py::object& source) {
  const Size size = loader.sample_size();
  TORCH_CHECK(
      images.dim() == 4 && images.size(1) == loader.format().channels &&
          images.size(2) == size.height && images.size(3) == size.width &&
          images.scalar_type() == DtypeOf(loader.format()) && position >= 0 &&
          position < images.size(0) &&
          images.is_contiguous(loader.format().channels_last ? at::MemoryFormat::ChannelsLast
                                                             : at::MemoryFormat::Contiguous),
      "images must be a batch of this loader");
  std::optional<SampleSource> made;
  if (!source.is_none()) made = MakeSource(source);
  auto* slot = static_cast<char*>(images.data_ptr()) +
               static_cast<size_t>(position) * loader.format().SampleBytes(size);
  const py::gil_scoped_release no_gil;
  return loader.LoadInto(index, occurrence, made ? &*made : nullptr, slot);
}

py::list Pending(Loader& loader) {
  py::list pending;
  for (const PendingSample& sample : loader.Pending()) {
    pending.append(py::make_tuple(sample.index, FsDecode(sample.path)));
  }
  return pending;
}

// Of each worker.
std::vector<double> WorkSeconds(const Loader& loader) {
  std::vector<double> seconds;
  for (const int64_t ns : loader.WorkNs()) seconds.push_back(static_cast<double>(ns) * 1e-9);
  return seconds;
}

}  // namespace

void BindLoader(py::module_* m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m->def("has_pinned_memory", [] { return MakePinnedAllocator() != nullptr; });
  py::class_<Loader, std::shared_ptr<Loader>>(*m, "Loader")
      .def("__init__", Init(&MakeLoader), kInit, py::arg("samples"), py::arg("workers"),
           py::arg("prefetch"), py::arg("pin_memory"), py::arg("index") = nullptr)
      .def("start_epoch", &Loader::StartEpoch, py::arg("base_seed"), py::arg("epoch"), NoGil())
      .def("stop", &Loader::Stop, NoGil())
      .def("submit", &Submit, py::arg("indices"), py::arg("sources") = py::none())
      .def("skip", &Loader::Skip, py::arg("indices"), NoGil())
      .def("end_of_indices", &Loader::EndOfIndices, NoGil())
      .def("wait", &Wait, py::arg("timeout_s"))
      .def("next", &Next, py::arg("got") = py::none())
      .def("pending", &Pending)
      .def("load_into", &LoadInto, py::arg("index"), py::arg("occurrence"), py::arg("images"),
           py::arg("position"), py::arg("source") = py::none())
      .def_property_readonly("in_flight", &Loader::in_flight)
      .def_property_readonly("prefetch", &Loader::prefetch)
      .def_property_readonly("pid", &Loader::pid)
      .def("stats", &Loader::Stats, NoGil())
      .def("work_s", &WorkSeconds, NoGil());
}

}  // namespace stoker
