#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bind.h"
#include "image/ops.h"
#include "init.h"
#include "io/sample_table.h"
#include "pipeline/load_sample.h"
#include "pipeline/sample_set.h"
#include "tensors.h"

namespace py = pybind11;

namespace stoker {
namespace {

std::pair<int, int> HeightWidth(const Size& size) { return {size.height, size.width}; }
Size FromHeightWidth(const std::pair<int, int>& hw) { return {hw.second, hw.first}; }

void BindOps(py::module_* m) {
  py::enum_<OpKind>(*m, "OpKind")
      .value("RESIZE", OpKind::kResize)
      .value("CENTER_CROP", OpKind::kCenterCrop)
      .value("RANDOM_CROP", OpKind::kRandomCrop)
      .value("RANDOM_RESIZED_CROP", OpKind::kRandomResizedCrop)
      .value("RANDOM_HORIZONTAL_FLIP", OpKind::kRandomHorizontalFlip)
      .value("RANDOM_VERTICAL_FLIP", OpKind::kRandomVerticalFlip)
      .value("PAD", OpKind::kPad)
      .value("COLOR_JITTER", OpKind::kColorJitter)
      .value("RANDOM_GRAYSCALE", OpKind::kRandomGrayscale)
      .value("RANDOM_ERASING", OpKind::kRandomErasing)
      .value("RANDOM_APPLY", OpKind::kRandomApply)
      .value("RANDOM_CHOICE", OpKind::kRandomChoice)
      .value("RANDOM_ORDER", OpKind::kRandomOrder);
  py::enum_<Interpolation>(*m, "Interpolation")
      .value("NEAREST", Interpolation::kNearest)
      .value("BILINEAR", Interpolation::kBilinear)
      .value("BICUBIC", Interpolation::kBicubic);
  py::enum_<PadMode>(*m, "PadMode")
      .value("CONSTANT", PadMode::kConstant)
      .value("EDGE", PadMode::kEdge)
      .value("REFLECT", PadMode::kReflect)
      .value("SYMMETRIC", PadMode::kSymmetric);
  py::class_<Op>(*m, "Op")
      .def("__init__", Init(+[](OpKind kind) {
             auto op = std::make_unique<Op>();
             op->kind = kind;
             return op;
           }),
           kInit, py::arg("kind"))
      .def_readwrite("kind", &Op::kind)
      .def_property(
          "size", [](const Op& op) { return HeightWidth(op.size); },
          [](Op& op, const std::pair<int, int>& hw) { op.size = FromHeightWidth(hw); })
      .def_readwrite("short_side", &Op::short_side)
      .def_readwrite("max_size", &Op::max_size)
      .def_readwrite("interpolation", &Op::interpolation)
      .def_readwrite("scale", &Op::scale)
      .def_readwrite("ratio", &Op::ratio)
      .def_readwrite("probability", &Op::probability)
      .def_property(
          "padding",  // left, top, right, bottom
          [](const Op& op) {
            return std::array<int, 4>{op.padding.left, op.padding.top, op.padding.right,
                                      op.padding.bottom};
          },
          [](Op& op, const std::array<int, 4>& p) { op.padding = {p[0], p[1], p[2], p[3]}; })
      .def_readwrite("pad_if_needed", &Op::pad_if_needed)
      .def_readwrite("pad_mode", &Op::pad_mode)
      .def_readwrite("fill", &Op::fill)
      .def_readwrite("jitter", &Op::jitter)
      .def_readwrite("value", &Op::value)
      .def_readwrite("noise", &Op::noise)
      .def_readwrite("children", &Op::children)
      .def_readwrite("weights", &Op::weights);
  m->attr("max_ops") = kMaxOps;
  m->def("count_ops", [](const std::vector<Op>& ops) { return CountOps(ops); }, py::arg("ops"));
}

void BindPlan(py::module_* m) {
  py::class_<SamplePlan>(*m, "SamplePlan")
      .def("__init__", Init(&MakeUnique<SamplePlan>), kInit)
      .def_readwrite("ops", &SamplePlan::ops)
      .def_property(
          "is_float", [](const SamplePlan& p) { return p.format.type == ElementType::kFloat32; },
          [](SamplePlan& p, bool is_float) {
            p.format.type = is_float ? ElementType::kFloat32 : ElementType::kUint8;
          })
      .def_property(
          "channels", [](const SamplePlan& p) { return p.format.channels; },
          [](SamplePlan& p, int channels) { p.format.channels = channels; })
      .def_property(
          "apply_exif_orientation",
          [](const SamplePlan& p) { return p.decode.apply_exif_orientation; },
          [](SamplePlan& p, bool apply) { p.decode.apply_exif_orientation = apply; })
      .def_property(
          "clip_gray16", [](const SamplePlan& p) { return p.decode.clip_gray16; },
          [](SamplePlan& p, bool clip) { p.decode.clip_gray16 = clip; })
      .def_property(
          "channels_last", [](const SamplePlan& p) { return p.format.channels_last; },
          [](SamplePlan& p, bool on) { p.format.channels_last = on; })
      .def_property(
          "scale", [](const SamplePlan& p) { return p.format.scale; },
          [](SamplePlan& p, const std::array<float, 3>& scale) { p.format.scale = scale; })
      .def_property(
          "bias", [](const SamplePlan& p) { return p.format.bias; },
          [](SamplePlan& p, const std::array<float, 3>& bias) { p.format.bias = bias; })
      .def_property(
          "exact_pixels", [](const SamplePlan& p) { return p.pixels == PixelMode::kExact; },
          [](SamplePlan& p, bool exact) {
            p.pixels = exact ? PixelMode::kExact : PixelMode::kFast;
          })
      .def_readwrite("dct_scaling", &SamplePlan::dct_scaling)
      .def_property(
          "max_pixels", [](const SamplePlan& p) { return p.decode.limits.max_pixels; },
          [](SamplePlan& p, int64_t pixels) { p.decode.limits.max_pixels = pixels; })
      .def_property(
          "max_scans", [](const SamplePlan& p) { return p.decode.limits.max_scans; },
          [](SamplePlan& p, int scans) { p.decode.limits.max_scans = scans; })
      .def(
          "decode_rect",
          [](const SamplePlan& p, const std::pair<int, int>& height_width, uint64_t seed) {
            SampleKey key;
            key.base_seed = seed;
            Geometry geometry;
            ResolveGeometry(p.ops, FromHeightWidth(height_width), key, &geometry);
            const Rect& r = geometry.decode;
            return std::array<int, 4>{r.left, r.top, r.width, r.height};
          },
          py::arg("height_width"), py::arg("seed"))
      .def_property_readonly("fixed_size", [](const SamplePlan& p) {
        const auto size = p.FixedSize();
        return size ? std::make_optional(HeightWidth(*size)) : std::nullopt;
      });
}

// Appends (path: str, label: int) for each element.
void AppendSamples(SampleTable& table, const py::sequence& samples) {
  for (const py::handle sample : samples) {
    const auto pair = py::cast<py::tuple>(sample);
    if (pair.size() != 2) throw py::value_error("a sample must be (path, label)");
    const auto path =
        py::reinterpret_steal<py::bytes>(PyUnicode_EncodeFSDefault(py::object(pair[0]).ptr()));
    if (!path) throw py::error_already_set();
    table.Append(std::string_view(path), py::cast<int64_t>(pair[1]));
  }
}

// Rows as a 1-d int64 tensor, or None.
std::unique_ptr<SampleSet> MakeSet(std::shared_ptr<SampleTable> table,
                                   const std::vector<std::pair<size_t, SamplePlan>>& parts,
                                   const std::optional<at::Tensor>& rows, size_t size) {
  auto set = std::make_unique<SampleSet>();
  set->table = std::move(table);
  set->size = size;
  for (const auto& [first_row, plan] : parts) set->parts.push_back({first_row, plan});
  if (rows) {
    TORCH_CHECK(rows->dim() == 1 && rows->scalar_type() == at::kLong, "rows must be 1-d int64");
    const at::Tensor plain = rows->contiguous();
    const auto* first = plain.data_ptr<int64_t>();
    set->rows.emplace(first, first + plain.numel());
  }
  return set;
}

void BindSet(py::module_* m) {
  py::class_<SampleSet>(*m, "SampleSet")
      .def("__init__", Init(&MakeSet), kInit, py::arg("table"), py::arg("parts"), py::arg("rows"),
           py::arg("size"))
      .def("__len__", [](const SampleSet& set) { return set.size; });
}

void BindTable(py::module_* m) {
  py::class_<SampleTable, std::shared_ptr<SampleTable>>(*m, "SampleTable")
      .def("__init__",
           Init(+[](std::string root) { return std::make_shared<SampleTable>(std::move(root)); }),
           kInit, py::arg("root"))
      .def(
          "append",
          [](SampleTable& table, const py::bytes& path, int64_t label) {
            table.Append(std::string_view(path), label);
          },
          py::arg("path"), py::arg("label"))
      .def("append_samples", &AppendSamples, py::arg("samples"))
      .def("append_all", &SampleTable::AppendAll, py::arg("other"))
      .def("shrink_to_fit", &SampleTable::ShrinkToFit)
      .def("__len__", &SampleTable::size)
      .def("path",
           [](const SampleTable& table, size_t index) {
             if (index >= table.size()) throw py::index_error("no such sample");
             return py::bytes(table.Path(index));
           })
      .def("label",
           [](const SampleTable& table, size_t index) {
             if (index >= table.size()) throw py::index_error("no such sample");
             return table.label(index);
           })
      .def_property_readonly("root",
                             [](const SampleTable& table) { return py::bytes(table.root()); })
      .def_property_readonly("memory_bytes", &SampleTable::memory_bytes)
      .def(py::pickle([](const SampleTable& table) { return py::bytes(table.Serialize()); },
                      [](const py::bytes& bytes) {
                        return std::make_shared<SampleTable>(
                            SampleTable::Deserialize(std::string_view(bytes)));
                      }));
}

// Decodes and transforms single samples, each into a new tensor.
class Decoder {
 public:
  explicit Decoder(const SamplePlan& plan) : format_(plan.format), worker_(plan) {}

  at::Tensor FromBytes(const py::bytes& bytes, uint64_t seed) {
    const std::string_view view(bytes);
    const ByteSpan span{reinterpret_cast<const uint8_t*>(view.data()), view.size()};
    return Finish([&](const SampleKey& key) { return worker_.Prepare(span, key); }, seed, {});
  }
  at::Tensor FromFile(const std::string& path, uint64_t seed) {
    return Finish([&](const SampleKey& key) { return worker_.PrepareFile(path, key); }, seed, path);
  }
  // Sample `index` of a data set: as FromFile, and an error names the sample.
  at::Tensor FromTable(const SampleTable& table, size_t index, uint64_t seed) {
    const std::string path = table.Path(index);
    return Finish([&](const SampleKey& key) { return worker_.PrepareFile(path, key); }, seed, path,
                  static_cast<int64_t>(index));
  }
  // From (height, width, 3) uint8 pixels, rows without gaps.
  at::Tensor FromPixels(const at::Tensor& pixels, uint64_t seed) {
    TORCH_CHECK(pixels.dim() == 3 && pixels.size(2) == kChannels &&
                    pixels.scalar_type() == at::kByte && pixels.is_contiguous() &&
                    pixels.numel() > 0,
                "pixels must be uint8 (height, width, 3), contiguous");
    const Size size{static_cast<int>(pixels.size(1)), static_cast<int>(pixels.size(0))};
    const ImageView view{pixels.data_ptr<uint8_t>(), size,
                         static_cast<ptrdiff_t>(size.width) * kChannels};
    return Finish([&](const SampleKey& key) { return worker_.PreparePixels(view, key); }, seed, {});
  }

 private:
  template <typename Prepare>
  at::Tensor Finish(const Prepare& prepare, uint64_t seed, const std::string& path,
                    int64_t index = -1) {
    SampleKey key;
    key.base_seed = seed;
    Stage stage = Stage::kDecode;
    try {
      const py::gil_scoped_release no_gil;
      const Size size = prepare(key);
      stage = Stage::kTransform;
      at::Tensor tensor = EmptySample(format_, size);
      worker_.Write(tensor.data_ptr());
      return tensor;
    } catch (const StageError& e) {
      throw DataError(index, path, e.stage(), e.what());
    } catch (const std::bad_alloc&) {
      throw DataError(index, path, stage, "out of memory");
    } catch (const c10::Error&) {  // only EmptySample asks torch for anything
      throw DataError(index, path, stage, "out of memory");
    }
  }

  const SampleFormat format_;
  SampleWorker worker_;
};

void BindDecoder(py::module_* m) {
  py::class_<Decoder>(*m, "Decoder")
      .def("__init__", Init(&MakeUnique<Decoder, const SamplePlan&>), kInit, py::arg("plan"))
      .def("from_bytes", &Decoder::FromBytes, py::arg("bytes"), py::arg("seed"))
      .def(
          "from_file",
          [](Decoder& d, const py::bytes& path, uint64_t seed) { return d.FromFile(path, seed); },
          py::arg("path"), py::arg("seed"))
      .def("from_pixels", &Decoder::FromPixels, py::arg("pixels"), py::arg("seed"))
      .def("from_table", &Decoder::FromTable, py::arg("table"), py::arg("index"), py::arg("seed"));
}

}  // namespace

void BindDataset(py::module_* m) {
  BindOps(m);
  BindPlan(m);
  BindTable(m);
  BindSet(m);
  BindDecoder(m);
}

}  // namespace stoker
