// The extension module stoker._C: registration only.
#include "base/error.h"
#include "bind.h"
#include "errors.h"
#include "image/simd.h"

namespace py = pybind11;

namespace {

// stoker::DataError becomes stoker.DataError, which carries the same fields.
void TranslateDataError(std::exception_ptr p) {
  try {
    if (p) std::rethrow_exception(p);
  } catch (const stoker::DataError& e) {
    const py::object error = stoker::PythonError(e);
    PyErr_SetObject(py::type::of(error).ptr(), error.ptr());
  }
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.doc() = "Stoker's C++ core. Private: use the package stoker.";
  m.attr("torch_version") = STOKER_TORCH_VERSION;
  py::register_exception_translator(&TranslateDataError);
  stoker::BindDataset(&m);
  stoker::BindIndex(&m);
  stoker::BindPassage(&m);
  stoker::BindStats(&m);
  stoker::BindClocks(&m);
  stoker::BindLoader(&m);
  m.def("simd_target", &stoker::SimdTarget);
  m.def("simd_targets", &stoker::SimdTargets);
  m.def("set_simd_target", &stoker::SetSimdTarget, py::arg("name"));
}
