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

// What Python's `self` of a class that is bound holds; null before it has been made. Python's
// garbage collector knows an object before pybind11 has laid it out, and may look at it just then.
template <typename T>
T* MadeOf(PyObject* self) {
  auto* const instance = reinterpret_cast<pybind11::detail::instance*>(self);
  if (!instance->simple_layout && instance->nonsimple.values_and_holders == nullptr) return nullptr;
  auto made = instance->get_value_and_holder();
  return made.holder_constructed() ? made.template value_ptr<T>() : nullptr;
}

template <typename T, typename... Args>
std::unique_ptr<T> MakeUnique(Args... args) {
  return std::make_unique<T>(std::forward<Args>(args)...);
}

}  // namespace stoker
