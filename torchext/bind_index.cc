#include <pybind11/stl.h>
#include <sys/stat.h>
#include <torch/csrc/utils/pybind.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bind.h"
#include "errors.h"
#include "init.h"
#include "io/index_reader.h"
#include "io/index_writer.h"
#include "io/sample_table.h"
#include "pipeline/decode_index.h"
#include "pipeline/index_builder.h"
#include "pipeline/load_sample.h"

namespace py = pybind11;

namespace stoker {
namespace {

using Source = std::pair<std::string, std::string>;  // path, prefix

std::shared_ptr<DecodeIndex> MakeIndex(const std::string& samples_root,
                                       const std::vector<Source>& sources, bool record,
                                       const std::string& index_root, double share,
                                       const std::optional<std::string>& key,
                                       const std::string& no_key) {
  const py::gil_scoped_release no_gil;
  DecodeIndexOptions options;
  options.samples_root = samples_root;
  for (const auto& [path, prefix] : sources) options.sources.push_back({path, prefix});
  options.record = record;
  options.index_root = index_root;
  options.share = share;
  if (key) {
    if (key->size() != kIndexKeyBytes) throw py::value_error("key must have 16 bytes");
    std::memcpy(&options.key.emplace(), key->data(), kIndexKeyBytes);
  }
  options.no_key = no_key;
  return {new DecodeIndex(std::move(options)), [](DecodeIndex* index) {
            // Its end waits for a disk, with which Python has nothing to do.
            if (PyGILState_Check() != 0) {
              const py::gil_scoped_release released;
              delete index;
            } else {
              delete index;
            }
          }};
}

py::dict SourceDict(const DecodeIndex::SourceInfo& info) {
  py::dict d;
  d["path"] = py::bytes(info.path);
  d["state"] = IndexStateText(info.state);
  d["good"] = info.state == IndexState::kGood;
  d["entries"] = info.records;
  d["bytes"] = info.bytes;
  d["blocks"] = info.blocks;
  return d;
}

// Samples first to last − 1 of a table, one after the other. Counts by result, and what failed:
// (sample, stage, reason).
struct Tally {
  std::vector<int64_t> counts;
  std::vector<std::tuple<int64_t, std::string, std::string>> failures;
};

template <typename Work>
Tally ForSamples(const SampleTable& table, size_t first, size_t last, int results,
                 const Work& work) {
  Tally tally;
  tally.counts.resize(static_cast<size_t>(results));
  std::string path;
  for (size_t i = first; i < std::min(last, table.size()); ++i) {
    table.PathTo(i, &path);
    try {
      ++tally.counts[static_cast<size_t>(work(path, i))];
    } catch (const StageError& e) {
      tally.failures.emplace_back(static_cast<int64_t>(i), StageName(e.stage()), e.what());
    } catch (const std::bad_alloc&) {
      tally.failures.emplace_back(static_cast<int64_t>(i), StageName(Stage::kRead),
                                  "out of memory");
    }
  }
  return tally;
}

std::pair<std::vector<int64_t>, std::vector<std::tuple<int64_t, std::string, std::string>>> AsPair(
    Tally tally) {
  return {std::move(tally.counts), std::move(tally.failures)};
}

void BindBuilder(py::module_* m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  py::class_<IndexBuilder>(*m, "IndexBuilder")
      .def("__init__", Init(+[](std::shared_ptr<DecodeIndex> index, int64_t max_pixels) {
             DecodeLimits limits;
             limits.max_pixels = max_pixels;
             return std::make_unique<IndexBuilder>(std::move(index), limits);
           }),
           kInit, py::arg("index"), py::arg("max_pixels"))
      // ([known, checkpoints, size only, small, just changed], failures)
      .def(
          "build",
          [](IndexBuilder& builder, const SampleTable& table, size_t first, size_t last) {
            return AsPair(
                ForSamples(table, first, last, kBuildResults,
                           [&](const std::string& path, size_t) { return builder.Build(path); }));
          },
          py::arg("table"), py::arg("first"), py::arg("last"), NoGil())
      // ([checkpoints, size only, unknown, small, 0, others'], failures, the files' bytes)
      .def(
          "survey",
          [](IndexBuilder& builder, const SampleTable& table, size_t first, size_t last) {
            uint64_t sum = 0;
            Tally tally = ForSamples(table, first, last, kVerifyResults,
                                     [&](const std::string& path, size_t) {
                                       uint64_t bytes = 0;
                                       const VerifyResult result = builder.Survey(path, &bytes);
                                       sum += bytes;
                                       return result;
                                     });
            auto [counts, failures] = AsPair(std::move(tally));
            return std::tuple(std::move(counts), std::move(failures), sum);
          },
          py::arg("table"), py::arg("first"), py::arg("last"), NoGil())
      // ([good, size only, unknown, small, wrong], failures); the wrong ones are failures, too
      .def(
          "verify",
          [](IndexBuilder& builder, const SampleTable& table, size_t first, size_t last) {
            std::vector<int64_t> wrong;
            Tally tally = ForSamples(table, first, last, kVerifyResults,
                                     [&](const std::string& path, size_t i) {
                                       const VerifyResult result = builder.Verify(path);
                                       if (result == VerifyResult::kWrong) {
                                         wrong.push_back(static_cast<int64_t>(i));
                                       }
                                       return result;
                                     });
            for (const int64_t i : wrong) {
              tally.failures.emplace_back(i, StageName(Stage::kDecode),
                                          "its entry in the index is not this file's");
            }
            return AsPair(std::move(tally));
          },
          py::arg("table"), py::arg("first"), py::arg("last"), NoGil())
      // Bytes of entropy-coded data of one sample: (decoded without, decoded with the index); None
      // where it has no checkpoints.
      .def(
          "estimate",
          [](IndexBuilder& builder, const SampleTable& table, size_t index, const SamplePlan& plan,
             uint64_t seed) -> py::object {
            SampleKey key;
            key.base_seed = seed;
            key.index = index;
            try {
              const IndexEstimate e = builder.Estimate(table.Path(index), plan.ops, key);
              if (!e.known) return py::none();
              return py::make_tuple(e.plain_bytes, e.decoded_bytes);
            } catch (const StageError&) {
              return py::none();
            }
          },
          py::arg("table"), py::arg("index"), py::arg("plan"), py::arg("seed"));
}

// Whether a file, which is not opened, can have no entry; false where it is not there.
bool IsTooSmall(const DecodeIndex& index, const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  return index.TooSmall({static_cast<uint64_t>(status.st_size), 0});
}

}  // namespace

void BindIndex(py::module_* m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m->attr("index_share") = kIndexShare;
  m->def("hash_name", [](const std::string& path) { return HashName(path); }, py::arg("path"));
  // Its text has a file's name in it.
  static const py::handle index_error =
      py::exception<IndexError>(*m, "IndexError", PyExc_OSError).release();
  py::register_exception_translator([](std::exception_ptr e) {
    try {
      if (e) std::rethrow_exception(std::move(e));
    } catch (const IndexError& error) {
      PyErr_SetObject(index_error.ptr(), Text(error.what()).ptr());
    }
  });
  py::class_<DecodeIndex, std::shared_ptr<DecodeIndex>>(*m, "DecodeIndex")
      .def("__init__", Init(&MakeIndex), kInit, py::arg("samples_root"), py::arg("sources"),
           py::arg("record"), py::arg("index_root"), py::arg("share") = kIndexShare,
           py::arg("key") = py::none(), py::arg("no_key") = "")
      .def("flush", &DecodeIndex::Flush, py::arg("wait") = false, NoGil())
      .def("refresh", &DecodeIndex::Refresh, NoGil())
      .def("compact_to", &DecodeIndex::CompactTo, py::arg("table"), NoGil())
      .def_property_readonly("recording", &DecodeIndex::recording)
      .def_property_readonly("problem", [](const DecodeIndex& i) { return Text(i.problem()); })
      .def("sources",
           [](const DecodeIndex& index) {
             py::list list;
             for (const auto& info : index.Sources()) list.append(SourceDict(info));
             return list;
           })
      // How many of `count` samples, evenly spread over the table, have an entry (by name), or are
      // files too small for one.
      .def(
          "covered",
          [](const DecodeIndex& index, const SampleTable& table, size_t count) {
            DecodeIndex::Cursor cursor;
            std::string path;
            size_t covered = 0;
            count = std::min(count, table.size());
            for (size_t i = 0; i < count; ++i) {
              table.PathTo(i * table.size() / count, &path);
              covered += index.Contains(path, &cursor) || IsTooSmall(index, path) ? 1 : 0;
            }
            return std::pair(covered, count);
          },
          py::arg("table"), py::arg("count"), NoGil());
  // (state in words, or "" where it is good; root; whether it is one that is made anew)
  m->def(
      "index_root",
      [](const std::string& path) {
        IndexState state = IndexState::kMissing;
        const auto reader = IndexReader::Open(path, IndexKey{}, &state);
        return std::tuple<std::string, py::bytes, bool>(
            reader ? "" : IndexStateText(state), py::bytes(reader ? reader->root() : ""),
            state == IndexState::kDamaged || state == IndexState::kOlder);
      },
      py::arg("path"));
  BindBuilder(m);
}

}  // namespace stoker
