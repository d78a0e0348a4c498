#include <ATen/record_function.h>
#include <torch/csrc/utils/pybind.h>
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bind.h"
#include "init.h"

namespace py = pybind11;

namespace stoker {
namespace {

// A batch's indices as 64-bit numbers, or where something in it is no index, its repr. `batch`: a
// list, a tuple or one index.
uint32_t ChecksumOf(uint32_t crc, const py::object& batch) {
  const bool several = PyList_Check(batch.ptr()) || PyTuple_Check(batch.ptr());
  const auto count = [&] { return several ? PySequence_Fast_GET_SIZE(batch.ptr()) : 1; };
  std::vector<int64_t> indices;
  indices.reserve(static_cast<size_t>(count()));
  for (Py_ssize_t i = 0; i < count(); ++i) {  // which an index's own __index__ may change
    const auto item =
        several ? py::reinterpret_borrow<py::object>(PySequence_Fast_GET_ITEM(batch.ptr(), i))
                : batch;
    indices.push_back(PyLong_AsLongLong(item.ptr()));
    if (indices.back() != -1 || PyErr_Occurred() == nullptr) continue;
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_OverflowError)) {
      throw py::error_already_set();
    }
    PyErr_Clear();
    const py::str text = py::repr(batch);
    Py_ssize_t size = 0;
    const char* const bytes = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
    if (bytes == nullptr) throw py::error_already_set();
    return static_cast<uint32_t>(
        crc32_z(crc, reinterpret_cast<const Bytef*>(bytes), static_cast<size_t>(size)));
  }
  if (indices.empty()) return crc;  // zlib takes a null pointer for a wish to begin anew
  return static_cast<uint32_t>(crc32_z(crc, reinterpret_cast<const Bytef*>(indices.data()),
                                       indices.size() * sizeof(int64_t)));
}

// How far a pass has come: of the batches that were had, or that raised.
struct Place {
  int64_t batches = 0;
  int64_t samples = 0;
  uint32_t checksum = 0;
  int64_t raised = 0;
  py::object sampler_state = py::none();  // its own, behind the last of them
};

// A batch that the sampler gave.
struct DrawnBatch {
  uint32_t checksum;  // with those before it
  int64_t samples;
  py::object indices;
  py::object sampler_state;  // behind it
};

// Where one pass over a sampler is: what it has drawn, what of that it has given to its iterator,
// and what the consumer has had. Each method is one step, which nothing can come into the midst of.
// Holds the GIL.
class Passage {
 public:
  explicit Passage(bool batched) : batched_(batched) {}

  // The sampler has given a batch. `batch`: where it has no length, a list is made of it.
  void Note(py::object batch, py::object sampler_state) {
    if (batched_ && !py::hasattr(batch, "__len__")) batch = py::list(batch);
    const auto samples = batched_ ? static_cast<int64_t>(py::len(batch)) : 1;
    const uint32_t before = drawn_.empty() ? place_.checksum : drawn_.back().checksum;
    const uint32_t checksum = ChecksumOf(before, batch);
    drawn_.push_back({checksum, samples, std::move(batch), std::move(sampler_state)});
  }

  // Something is drawn that has not been given.
  bool HasMore() const { return Ahead() < drawn_.size(); }

  py::object Give() {
    if (!HasMore()) throw std::out_of_range("nothing is drawn that has not been given");
    py::object batch = drawn_[Ahead()].indices;
    ++given_;
    return batch;
  }

  // The batch of this number is the next that is given: an exception kept it from being taken.
  void GiveAgain(int64_t number) { given_ = std::min(given_, std::max(number, place_.batches)); }
  void GiveAgainTheOldest() { GiveAgain(place_.batches); }

  // The consumer has had the oldest batch drawn, or it has raised.
  void Deliver(bool raised) {
    Oldest();
    const DrawnBatch oldest = std::move(drawn_.front());  // whose end may run Python's code
    drawn_.pop_front();
    const Place gone =
        std::exchange(place_, {place_.batches + 1, place_.samples + oldest.samples, oldest.checksum,
                               place_.raised + (raised ? 1 : 0), oldest.sampler_state});
  }

  // The oldest batch drawn is made; the consumer gets it next, and has had it when it is let go.
  void Keep(py::object data) {
    Oldest();
    const Place gone = std::exchange(before_, place_);
    Deliver(false);
    has_kept_ = true;
    std::swap(kept_, data);
  }
  // It is this, in its place.
  void KeepInstead(py::object data) {
    has_kept_ = true;
    std::swap(kept_, data);
  }
  void LetGo() {
    has_kept_ = false;
    const py::object kept = std::exchange(kept_, py::object());
  }

  // Of the batches before: their number, and what is known of them.
  void StandBehind(int64_t batches, int64_t samples, int64_t raised) {
    given_ += batches;
    place_.batches = batches;
    place_.samples = samples;
    place_.raised = raised;
  }
  // Behind these batches, with nothing drawn.
  void GoTo(int64_t batches, int64_t samples, uint32_t checksum, int64_t raised,
            py::object sampler_state) {
    const std::deque<DrawnBatch> drawn = std::exchange(drawn_, {});
    const Place gone =
        std::exchange(place_, {batches, samples, checksum, raised, std::move(sampler_state)});
    given_ = batches;
  }

  const DrawnBatch& Oldest() const {
    if (drawn_.empty()) throw std::out_of_range("nothing is drawn");
    return drawn_.front();
  }
  const Place& had() const { return has_kept_ ? before_ : place_; }
  const Place& place() const { return place_; }
  size_t drawn() const { return drawn_.size(); }
  int64_t given() const { return given_; }
  bool has_kept() const { return has_kept_; }
  py::object kept() const { return has_kept_ ? kept_ : py::object(py::none()); }

  int Visit(visitproc visit, void* arg) const {
    Py_VISIT(kept_.ptr());
    Py_VISIT(place_.sampler_state.ptr());
    Py_VISIT(before_.sampler_state.ptr());
    for (const DrawnBatch& batch : drawn_) {
      Py_VISIT(batch.indices.ptr());
      Py_VISIT(batch.sampler_state.ptr());
    }
    return 0;
  }
  void Clear() {
    LetGo();
    const std::deque<DrawnBatch> drawn = std::exchange(drawn_, {});
    const Place place = std::exchange(place_, {});
    const Place before = std::exchange(before_, {});
    given_ = 0;
  }

 private:
  size_t Ahead() const { return static_cast<size_t>(given_ - place_.batches); }

  const bool batched_;
  std::deque<DrawnBatch> drawn_;  // the first is of the number place_.batches
  int64_t given_ = 0;             // of the epoch, those before a resume included
  Place place_;                   // behind the kept one
  Place before_;                  // before it
  bool has_kept_ = false;
  py::object kept_;
};

int VisitPassage(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  const Passage* const passage = MadeOf<Passage>(self);
  return passage == nullptr ? 0 : passage->Visit(visit, arg);
}

int ClearPassage(PyObject* self) {
  if (Passage* const passage = MadeOf<Passage>(self)) passage->Clear();
  return 0;
}

void BindPlace(py::class_<Passage>* passage) {
  passage->def_property_readonly("batches", [](const Passage& p) { return p.had().batches; })
      .def_property_readonly("samples", [](const Passage& p) { return p.had().samples; })
      .def_property_readonly("checksum", [](const Passage& p) { return p.had().checksum; })
      .def_property_readonly("raised", [](const Passage& p) { return p.had().raised; })
      .def_property_readonly("sampler_state",
                             [](const Passage& p) { return p.had().sampler_state; })
      .def_property_readonly("number", [](const Passage& p) { return p.place().batches; })
      .def_property_readonly("drawn", &Passage::drawn)
      .def_property_readonly("given", &Passage::given)
      .def_property_readonly("has_kept", &Passage::has_kept);
}

}  // namespace

void BindPassage(py::module_* m) {
  m->def("batch_checksum", &ChecksumOf, py::arg("checksum"), py::arg("batch"));
  m->def("is_profiled", [] { return at::hasCallbacks(); });
  py::class_<Passage> passage(*m, "Passage", py::custom_type_setup([](PyHeapTypeObject* type) {
    type->ht_type.tp_flags |= Py_TPFLAGS_HAVE_GC;
    type->ht_type.tp_traverse = &VisitPassage;
    type->ht_type.tp_clear = &ClearPassage;
  }));
  passage.def("__init__", Init(&MakeUnique<Passage, bool>), kInit, py::arg("batched"))
      .def("note", &Passage::Note, py::arg("batch"), py::arg("sampler_state") = py::none())
      .def("has_more", &Passage::HasMore)
      .def("give", &Passage::Give)
      .def("give_again", &Passage::GiveAgain, py::arg("number"))
      .def("give_again", &Passage::GiveAgainTheOldest)
      .def("delivered", &Passage::Deliver, py::arg("raised") = false)
      .def("keep", &Passage::Keep, py::arg("data"))
      .def("keep_instead", &Passage::KeepInstead, py::arg("data"))
      // By a store, not a call: Python runs signals' handlers behind calls.
      .def_property("kept", &Passage::kept, [](Passage& p, const py::none&) { p.LetGo(); })
      .def("oldest", [](const Passage& p) { return p.Oldest().indices; })
      .def("go_to", &Passage::GoTo, py::arg("batches"), py::arg("samples"), py::arg("checksum"),
           py::arg("raised"), py::arg("sampler_state"))
      .def("stand_behind", &Passage::StandBehind, py::arg("batches"), py::arg("samples"),
           py::arg("raised"));
  BindPlace(&passage);
}

}  // namespace stoker
