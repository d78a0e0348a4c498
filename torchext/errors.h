// The core's errors as Python's.
#pragma once

#include <torch/csrc/utils/pybind.h>

#include <string>

#include "base/error.h"

namespace stoker {

// A stoker.DataError with the fields of `error`. Needs the GIL, as all here.
pybind11::object PythonError(const DataError& error);

// Text from bytes that may be no UTF-8 (a file's name in a message): such bytes come as Python has
// them in names, as surrogates.
pybind11::str Text(const std::string& bytes);

// os.fsdecode.
pybind11::object FsDecode(const std::string& path);

}  // namespace stoker
