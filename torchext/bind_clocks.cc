#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "bind.h"
#include "init.h"
#include "stats/python_worker.h"
#include "stats/spell_usage.h"
#include "stats/step_clock.h"

// What is called here for each batch or sample holds the GIL: each call takes less than a
// microsecond.

namespace py = pybind11;

namespace stoker {
namespace {

// `time`: None, or a function that tests give.
Clock ClockOf(const py::object& time) {
  if (time.is_none()) return &NowNs;
  return [time] { return time().cast<int64_t>(); };
}

template <typename T>
T* MemoryOf(const at::Tensor& memory, size_t count) {
  TORCH_CHECK(memory.is_contiguous() && memory.device().is_cpu() &&
                  memory.nbytes() >= count * sizeof(T) &&
                  reinterpret_cast<uintptr_t>(memory.data_ptr()) % alignof(T) == 0,
              "memory must be a contiguous, aligned tensor of the CPU, and large enough");
  return reinterpret_cast<T*>(memory.data_ptr());
}

// A worker's row of its iterator's block.
class WorkerRow : public PythonWorker {
 public:
  WorkerRow(at::Tensor histograms, at::Tensor slow, const py::object& time)
      : PythonWorker(MemoryOf<Histogram>(histograms, kPythonKinds),
                     MemoryOf<PythonSlowSample>(slow, kPythonSlowKept), ClockOf(time),
                     // In a time that tests make, a core is always there.
                     ThreadTimesReader(ClockOf(time), time.is_none())),
        histograms_(std::move(histograms)),
        slow_(std::move(slow)) {}

 private:
  at::Tensor histograms_;
  at::Tensor slow_;
};

// An index as torch's samplers give it; nothing where a sample has none of that kind.
std::optional<int64_t> IndexOf(const py::handle& index) {
  if (!PyLong_Check(index.ptr())) return std::nullopt;
  int overflow = 0;
  const int64_t value = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow != 0) return std::nullopt;
  return value;
}

// Note [An iterator in C]
// A stream of quick samples is asked for thousands of them in a second, and each method call of
// Python's would cost as much as such a sample. So what stands for a dataset's iterator has the C
// slot of next(); Python is called when work on a batch begins, and when it is over without one.
struct StreamIterator {
  py::object samples;
  py::object row_object;
  WorkerRow* row = nullptr;  // the same
  int64_t number = 0;        // of the next sample
};

PyObject* NextOfStream(PyObject* self) {
  StreamIterator* const stream = MadeOf<StreamIterator>(self);
  if (stream == nullptr) {
    PyErr_SetString(PyExc_TypeError, "the iterator has not been made");
    return nullptr;
  }
  try {
    if (!stream->row->at_work()) stream->row_object.attr("begin")();
    PyObject* const iterator = stream->samples.ptr();
    PyObject* const sample = Py_TYPE(iterator)->tp_iternext(iterator);
    if (sample != nullptr) {
      stream->row->Sample(stream->number++);
      return sample;
    }
    const bool over =
        PyErr_Occurred() == nullptr || PyErr_ExceptionMatches(PyExc_StopIteration) != 0;
    const py::error_scope kept;  // the exception, which the call must not see
    stream->row_object.attr("end")(!over);
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
  return nullptr;
}

PyObject* ItselfAsIterator(PyObject* self) {
  Py_INCREF(self);
  return self;
}

int VisitStream(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (const StreamIterator* const stream = MadeOf<StreamIterator>(self)) {
    Py_VISIT(stream->samples.ptr());
    Py_VISIT(stream->row_object.ptr());
  }
  return 0;
}

// The samples only: a cycle goes through them, and the row is still needed.
int ClearStream(PyObject* self) {
  if (StreamIterator* const stream = MadeOf<StreamIterator>(self)) {
    const py::object samples = std::exchange(stream->samples, py::iter(py::tuple()));
  }
  return 0;
}

void BindWorker(py::module_* m) {
  m->attr("one_by_one_ns") = PythonWorker::kOneByOneNs;
  m->def("add_native_span", [](int64_t ns) { NativeSpansNs() += ns; }, py::arg("ns"));
  py::class_<WorkerRow>(*m, "WorkerRow")
      .def("__init__", Init(+[](at::Tensor histograms, at::Tensor slow, const py::object& time) {
             return std::make_unique<WorkerRow>(std::move(histograms), std::move(slow), time);
           }),
           kInit, py::arg("histograms"), py::arg("slow"), py::arg("time") = py::none())
      .def("begin", &WorkerRow::Begin)
      .def(
          "sample", [](WorkerRow& row, const py::handle& index) { row.Sample(IndexOf(index)); },
          py::arg("index"))
      .def("end_together", &WorkerRow::EndTogether, py::arg("count"))
      .def("end", &WorkerRow::End, py::arg("lost") = false)
      .def("begin_collate", &WorkerRow::BeginCollate)
      .def("end_collate", &WorkerRow::EndCollate);
  // See Note [An iterator in C].
  py::class_<StreamIterator>(*m, "StreamIterator",
                             py::custom_type_setup([](PyHeapTypeObject* type) {
                               type->ht_type.tp_flags |= Py_TPFLAGS_HAVE_GC;
                               type->ht_type.tp_traverse = &VisitStream;
                               type->ht_type.tp_clear = &ClearStream;
                               type->ht_type.tp_iter = &ItselfAsIterator;
                               type->ht_type.tp_iternext = &NextOfStream;
                             }))
      .def("__init__", Init(+[](py::object samples, py::object row) {
             if (!PyIter_Check(samples.ptr())) throw py::type_error("samples must be an iterator");
             auto* const its_row = row.cast<WorkerRow*>();
             return std::make_unique<StreamIterator>(
                 StreamIterator{std::move(samples), std::move(row), its_row});
           }),
           kInit, py::arg("samples"), py::arg("row"));
}

// (number, at_s, wait_s, step_s, first, ready, device_idle_s or None, blame)
py::tuple StepTuple(const LoopStep& step) {
  const auto seconds = [](int64_t ns) { return static_cast<double>(ns) * 1e-9; };
  py::tuple blame(step.blamed ? step.blame_ns.size() : 0);
  for (size_t i = 0; i < blame.size(); ++i) blame[i] = seconds(step.blame_ns[i]);
  const py::object idle =
      step.device_idle_s < 0 ? py::none() : py::object(py::float_(step.device_idle_s));
  return py::make_tuple(step.number, seconds(step.at_ns), seconds(step.wait_ns),
                        seconds(step.step_ns), step.first, step.ready, idle, std::move(blame));
}

py::list StepList(const StepClock& clock) {
  py::list list;
  for (const LoopStep& step : clock.Steps()) list.append(StepTuple(step));
  return list;
}

void BindStepClock(py::module_* m) {
  py::class_<StepClock>(*m, "StepClock")
      .def("__init__", Init(+[](size_t kept, const py::object& time) {
             const Clock clock = ClockOf(time);
             return std::make_unique<StepClock>(kept, clock, ThreadTimesReader(clock, false));
           }),
           kInit, py::arg("kept"), py::arg("time") = py::none())
      .def("epoch_begins", &StepClock::EpochBegins)
      .def("iterator_made", &StepClock::IteratorMade)
      .def("ended", &StepClock::Ended)
      .def("asked", &StepClock::Asked)
      .def(
          "answered", [](StepClock& clock, int ready) { return clock.Answered(ready, nullptr); },
          py::arg("ready") = -1)
      .def(
          "answered_by_core",
          [](StepClock& clock, int ready, const StepBlame& blame) {
            return clock.Answered(ready, &blame);
          },
          py::arg("ready"), py::arg("blame_ns"))
      .def("begin_step", &StepClock::BeginStep)
      .def("leave_out", &StepClock::LeaveOut)
      .def("device_was_idle", &StepClock::DeviceIdle, py::arg("number"), py::arg("idle_s"))
      .def("steps", &StepList)
      .def_readonly("wait", &StepClock::wait)
      .def_readonly("step", &StepClock::step)
      .def_readonly("batch", &StepClock::batch)
      .def_readonly("device_idle", &StepClock::device_idle)
      .def_readonly("began_ns", &StepClock::began_ns)
      .def_readonly("last_ns", &StepClock::last_ns)
      .def_readonly("first_batch_ns", &StepClock::first_batch_ns)
      .def_readonly("first_wait_ns", &StepClock::first_wait_ns)
      .def_readonly("wait_cpu_ns", &StepClock::wait_cpu_ns)
      .def_readonly("batches", &StepClock::batches);
}

}  // namespace

void BindClocks(py::module_* m) {
  BindWorker(m);
  BindStepClock(m);
}

}  // namespace stoker
