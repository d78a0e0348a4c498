// Our JPEG header parser and entropy decoder against libjpeg-turbo's. Whatever our header parser
// takes, libjpeg must read the same way and without a warning; whatever our entropy decoder takes
// to the end, libjpeg must decode to the same coefficients, also without a warning. So a file about
// which libjpeg complains must have been declined.
#include <csetjmp>
#include <cstdio>  // jpeglib.h needs FILE

#include <jpeglib.h>

#include <jerror.h>

#include <cstring>
#include <string>

#include "harness.h"
#include "own_coefficients.h"

namespace stoker::fuzz {
namespace {

// libjpeg allocates all coefficients before it reads the first: 1 MiB of them.
constexpr int64_t kMaxCoefficients = 1 << 19;

// As in turbo_decoder.cc, Note [setjmp]: the functions with setjmp own nothing.
struct ErrorManager {
  jpeg_error_mgr base;  // first: libjpeg's pointer to it is a pointer to this
  std::jmp_buf jump;
  bool complained;
  char message[JMSG_LENGTH_MAX];
};

ErrorManager* Errors(j_common_ptr cinfo) { return reinterpret_cast<ErrorManager*>(cinfo->err); }

[[noreturn]] void OnError(j_common_ptr cinfo) {
  Errors(cinfo)->base.format_message(cinfo, Errors(cinfo)->message);
  std::longjmp(Errors(cinfo)->jump, 1);
}

void OnMessage(j_common_ptr cinfo, int level) {
  // Bytes left over behind the last MCU, and a JFIF revision other than 1, change nothing.
  const int code = cinfo->err->msg_code;
  if (level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR) return;
  if (!Errors(cinfo)->complained) {
    Errors(cinfo)->base.format_message(cinfo, Errors(cinfo)->message);
  }
  Errors(cinfo)->complained = true;
}

bool TryReadHeader(jpeg_decompress_struct* cinfo, ErrorManager* errors, ByteSpan jpeg) {
  if (setjmp(errors->jump) != 0) return false;
  jpeg_create_decompress(cinfo);
  jpeg_mem_src(cinfo, jpeg.data, static_cast<unsigned long>(jpeg.size));  // NOLINT
  jpeg_read_header(cinfo, TRUE);
  return true;
}

// The first thing in which libjpeg's coefficients differ, or null.
bool TryCompare(jpeg_decompress_struct* cinfo, ErrorManager* errors, const OwnCoefficients* own,
                const char** difference) {
  if (setjmp(errors->jump) != 0) return false;
  *difference = nullptr;
  jvirt_barray_ptr* arrays = jpeg_read_coefficients(cinfo);
  for (int c = 0; c < cinfo->num_components; ++c) {
    const jpeg_component_info& info = cinfo->comp_info[c];
    for (JDIMENSION row = 0; row < info.height_in_blocks; ++row) {
      JBLOCKARRAY rows = cinfo->mem->access_virt_barray(reinterpret_cast<j_common_ptr>(cinfo),
                                                        arrays[c], row, 1, FALSE);
      for (JDIMENSION column = 0; column < info.width_in_blocks; ++column) {
        const int16_t* block = own->block(c, static_cast<int>(row), static_cast<int>(column));
        if (std::memcmp(block, rows[0][column], sizeof(JBLOCK)) == 0) continue;
        *difference = c == 0 ? "coefficients of the first component" : "coefficients of chroma";
      }
    }
  }
  return true;
}

bool SameCode(const HuffmanSpec& own, const JHUFF_TBL* table) {
  return table != nullptr && std::memcmp(&own.counts[1], &table->bits[1], 16) == 0 &&
         std::memcmp(own.symbols.data(), table->huffval, 256) == 0;
}

// What libjpeg reads otherwise than we do, or null.
const char* HeaderDifference(const JpegHeader& own, const jpeg_decompress_struct& cinfo) {
  if (own.size.width != static_cast<int>(cinfo.image_width) ||
      own.size.height != static_cast<int>(cinfo.image_height)) {
    return "size";
  }
  if (own.components != cinfo.num_components || own.components != cinfo.comps_in_scan) {
    return "components";
  }
  if (cinfo.jpeg_color_space != (own.components == 1 ? JCS_GRAYSCALE : JCS_YCbCr)) {
    return "colour space";
  }
  if (cinfo.progressive_mode || cinfo.arith_code || cinfo.data_precision != 8) return "process";
  // Ours counts an interval that the scan never reaches for none.
  const auto interval = static_cast<int>(cinfo.restart_interval);
  const bool reached = interval < own.mcus_across() * own.mcus_down();
  if (own.restart_interval != (reached ? interval : 0)) return "restart interval";
  for (int c = 0; c < own.components; ++c) {
    const JpegComponent& k = own.component[static_cast<size_t>(c)];
    const jpeg_component_info& info = *cinfo.cur_comp_info[c];
    if (&info != &cinfo.comp_info[c]) return "order of the components";
    if (own.components == 3 && (k.h != info.h_samp_factor || k.v != info.v_samp_factor)) {
      return "sampling";
    }
    if (k.quant_table != info.quant_tbl_no || k.dc_table != info.dc_tbl_no ||
        k.ac_table != info.ac_tbl_no) {
      return "choice of tables";
    }
    const JQUANT_TBL* quant = cinfo.quant_tbl_ptrs[k.quant_table];
    if (quant == nullptr || std::memcmp(own.quant[static_cast<size_t>(k.quant_table)].data(),
                                        quant->quantval, sizeof quant->quantval) != 0) {
      return "quantisation table";
    }
    if (!SameCode(own.dc_spec[static_cast<size_t>(k.dc_table)],
                  cinfo.dc_huff_tbl_ptrs[k.dc_table]) ||
        !SameCode(own.ac_spec[static_cast<size_t>(k.ac_table)],
                  cinfo.ac_huff_tbl_ptrs[k.ac_table])) {
      return "Huffman table";
    }
  }
  return nullptr;
}

// libjpeg's structures for one file.
struct Libjpeg {
  Libjpeg() {
    cinfo.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = &OnError;
    errors.base.emit_message = &OnMessage;
  }
  ~Libjpeg() { jpeg_destroy_decompress(&cinfo); }
  Libjpeg(const Libjpeg&) = delete;
  Libjpeg& operator=(const Libjpeg&) = delete;

  jpeg_decompress_struct cinfo{};
  ErrorManager errors{};
};

void Check(ByteSpan jpeg) {
  JpegHeader header;
  if (!ParseJpegHeader(jpeg, &header)) return;
  Libjpeg libjpeg;
  if (!TryReadHeader(&libjpeg.cinfo, &libjpeg.errors, jpeg) || libjpeg.errors.complained) {
    Finding(std::string("we take the header, libjpeg says: ") + libjpeg.errors.message);
  }
  if (const char* difference = HeaderDifference(header, libjpeg.cinfo)) {
    Finding(std::string("libjpeg reads another ") + difference);
  }
  OwnCoefficients own;
  if (CoefficientCount(header) > kMaxCoefficients || !DecodeCoefficients(jpeg, header, &own)) {
    return;
  }
  const char* difference = nullptr;
  if (!TryCompare(&libjpeg.cinfo, &libjpeg.errors, &own, &difference) ||
      libjpeg.errors.complained) {
    Finding(std::string("we decode all of it, libjpeg says: ") + libjpeg.errors.message);
  }
  if (difference != nullptr) Finding(std::string("libjpeg has other ") + difference);
}

}  // namespace
}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  stoker::fuzz::SetTargetBy(size);
  stoker::fuzz::Check({data, size});
  return 0;
}
