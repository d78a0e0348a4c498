#include "errors.h"

namespace py = pybind11;

namespace stoker {

py::str Text(const std::string& bytes) {
  PyObject* const text =
      PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogateescape");
  if (text == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(text);
}

py::object FsDecode(const std::string& path) {
  return py::module_::import("os").attr("fsdecode")(py::bytes(path.data(), path.size()));
}

py::object PythonError(const DataError& error) {
  const py::object type = py::module_::import("stoker.errors").attr("DataError");
  return type(error.index(), FsDecode(error.path()), StageName(error.stage()),
              Text(error.reason()));
}

}  // namespace stoker
