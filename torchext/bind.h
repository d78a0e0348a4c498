// What module.cc registers; each function stands in the .cc of its name.
#pragma once

#include <torch/csrc/utils/pybind.h>

namespace stoker {

// Op, SamplePlan, SampleTable, SampleSet, Decoder: datasets and single samples.
void BindDataset(pybind11::module_* m);
// The clocks of torch's own iteration, and what is done there for each sample or batch.
void BindClocks(pybind11::module_* m);
// DecodeIndex and IndexBuilder.
void BindIndex(pybind11::module_* m);
// Loader.
void BindLoader(pybind11::module_* m);
// Passage: what an iterator has drawn and given; and whether a profiler looks.
void BindPassage(pybind11::module_* m);
// Histograms and the sums that loaders measure.
void BindStats(pybind11::module_* m);

}  // namespace stoker
