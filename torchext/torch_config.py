"""Prints what CMake must know of the installed torch: version|C++11 ABI|include folders|library folder."""

import torch
from torch.utils import cpp_extension

print(
    torch.__version__,
    int(torch.compiled_with_cxx11_abi()),
    ",".join(cpp_extension.include_paths()),
    cpp_extension.library_paths()[0],
    sep="|",
)
