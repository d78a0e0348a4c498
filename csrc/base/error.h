// The two exceptions of the core.
//
// StageError is thrown by the parts (io, codec, image): it knows the stage and the reason but not
// which sample was being worked on. load_sample() adds that and throws DataError, which is what a
// user sees. Nothing in the core prints or aborts.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace stoker {

// The stages of one sample's way, in order.
enum class Stage : uint8_t { kRead = 0, kDecode = 1, kTransform = 2 };
inline constexpr int kStageCount = 3;

inline const char* StageName(Stage stage) {
  constexpr const char* kNames[kStageCount] = {"read", "decode", "transform"};
  return kNames[static_cast<int>(stage)];
}

class StageError : public std::runtime_error {
 public:
  StageError(Stage stage, const std::string& reason) : std::runtime_error(reason), stage_(stage) {}
  Stage stage() const { return stage_; }

 private:
  Stage stage_;
};

// A sample that could not be loaded. what() is "cannot <stage> sample <index> (<path>): <reason>".
class DataError : public std::runtime_error {
 public:
  DataError(int64_t index, std::string path, Stage stage, std::string reason)
      : std::runtime_error(std::string("cannot ") + StageName(stage) + " sample " +
                           std::to_string(index) + " (" + path + "): " + reason),
        index_(index),
        path_(std::move(path)),
        stage_(stage),
        reason_(std::move(reason)) {}

  int64_t index() const { return index_; }
  const std::string& path() const { return path_; }
  Stage stage() const { return stage_; }
  const std::string& reason() const { return reason_; }

 private:
  int64_t index_;
  std::string path_;
  Stage stage_;
  std::string reason_;
};

}  // namespace stoker
