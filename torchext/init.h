// Python's constructors of the classes that are bound, in place of pybind11::init.
#pragma once

#include <torch/csrc/utils/pybind.h>

#include <memory>
#include <utility>

namespace stoker {

// A constructor: .def("__init__", Init(&Make), kInit, …), where Make returns the class's holder.
// With py::init, pybind11 makes the entry by which it finds an object again behind its own `try`,
// or without letting go of the object where that fails: no memory for the entry would end the
// process.
template <typename Holder, typename... Args>
auto Init(Holder (*make)(Args...)) {
  return [make](pybind11::detail::value_and_holder& self, Args... args) {
    Holder made = make(std::forward<Args>(args)...);
    self.value_ptr() = made.get();
    try {
      self.type->init_instance(self.inst, &made);
    } catch (...) {
      self.value_ptr() = nullptr;  // it is still `made`'s
      throw;
    }
  };
}

inline constexpr pybind11::detail::is_new_style_constructor kInit;

template <typename T, typename... Args>
std::unique_ptr<T> MakeUnique(Args... args) {
  return std::make_unique<T>(std::forward<Args>(args)...);
}

}  // namespace stoker
