#include "errors.h"

namespace py = pybind11;

namespace stoker {

py::object FsDecode(const std::string& path) {
  return py::module_::import("os").attr("fsdecode")(py::bytes(path.data(), path.size()));
}

py::object PythonError(const DataError& error) {
  const py::object type = py::module_::import("stoker.errors").attr("DataError");
  return type(error.index(), FsDecode(error.path()), StageName(error.stage()), error.reason());
}

}  // namespace stoker
