#include "codec/opencv_reader.h"

#include <dlfcn.h>

#include <atomic>
#include <new>
#include <string>

#include "base/error.h"
#include "codec/opencv_abi.h"

namespace stoker {
namespace {

std::atomic<bool> loaded{false};

// The folder of the binary that this code is linked into: the extension module, or a test.
std::string OwnFolder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&DecodeWithOpencv), &info) == 0) return {};
  const std::string file = info.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "./" : file.substr(0, slash + 1);
}

struct Library {
  StokerOpencvDecodeFn decode = nullptr;
  std::string error;

  Library() {
    const std::string file = OwnFolder() + "libstoker_opencv.so";
    void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed
    if (handle != nullptr) {
      decode = reinterpret_cast<StokerOpencvDecodeFn>(dlsym(handle, "stoker_opencv_decode"));
    }
    if (decode == nullptr) {
      const char* reason = dlerror();
      error = reason != nullptr ? reason : file;
    }
    loaded = decode != nullptr;
  }
};

uint8_t* Reserve(void* context, size_t bytes) {
  try {
    return static_cast<ByteBuffer*>(context)->Reserve(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

ImageView DecodeWithOpencv(ByteSpan bytes, ByteBuffer* pixels) {
  static const Library library;
  if (library.decode == nullptr) {
    throw StageError(Stage::kDecode, "OpenCV's image readers cannot be loaded: " + library.error);
  }
  StokerOpencvImage image{};
  image.reserve = &Reserve;
  image.context = pixels;
  if (library.decode(bytes.data, bytes.size, &image) != 0) {
    throw StageError(Stage::kDecode, image.error);
  }
  return {image.pixels_hwc, {image.width, image.height}, ptrdiff_t{image.width} * kChannels};
}

bool OpencvIsLoaded() { return loaded; }

}  // namespace stoker
