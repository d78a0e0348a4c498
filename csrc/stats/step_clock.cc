#include "stats/step_clock.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace stoker {

StepClock::StepClock(size_t kept, Clock clock, std::function<ThreadTimes()> read)
    : kept_(std::max<size_t>(1, kept)), clock_(std::move(clock)), usage_(std::move(read)) {}

void StepClock::EpochBegins() {
  last_ns = epoch_began_ns_ = clock_();
  if (began_ns == 0) began_ns = epoch_began_ns_;
  returned_ns_ = 0;
  is_first_ = true;
}

void StepClock::IteratorMade() {
  last_ns = clock_();
  between_ns_ += last_ns - epoch_began_ns_;
}

void StepClock::Ended() {
  last_ns = clock_();
  between_ns_ += last_ns - asked_ns_;
}

bool StepClock::Asked() {
  if (began_ns == 0) return false;
  asked_ns_ = clock_();
  if (returned_ns_ != 0) {
    const int64_t took_ns = asked_ns_ - returned_ns_;
    step.Record(took_ns);
    batch.Record(waited_ns_ + took_ns);
    if (LoopStep* const last = Kept(batches - 1)) last->step_ns = took_ns;
  }
  returned_ns_ = 0;
  usage_.Begin(asked_ns_);
  is_asked_ = true;
  return true;
}

int64_t StepClock::Answered(int ready, const StepBlame* blame_ns) {
  const int64_t now_ns = clock_();
  int64_t waited_ns = now_ns - asked_ns_;
  if (is_asked_) wait_cpu_ns += usage_.End(now_ns).cpu_ns;
  is_asked_ = false;
  const bool first = std::exchange(is_first_, false);
  if (first) {
    waited_ns += std::exchange(between_ns_, 0);
    first_wait_ns += waited_ns;
  }
  waited_ns_ = waited_ns;
  wait.Record(waited_ns);
  LoopStep made;
  made.number = batches;
  made.at_ns = now_ns - waited_ns - began_ns;
  made.wait_ns = waited_ns;
  made.first = first;
  made.ready = ready;
  made.blamed = blame_ns != nullptr;
  if (blame_ns != nullptr) made.blame_ns = *blame_ns;
  if (steps_.size() < kept_) {
    steps_.push_back(made);
  } else {
    steps_[static_cast<size_t>(batches) % kept_] = made;
  }
  ++batches;
  if (first_batch_ns == 0) first_batch_ns = now_ns - epoch_began_ns_;
  returned_ns_ = last_ns = clock_();
  return last_ns;
}

void StepClock::BeginStep() {
  if (returned_ns_ != 0) returned_ns_ = clock_();
}

void StepClock::DeviceIdle(int64_t number, double idle_s) {
  device_idle.Record(std::llround(idle_s * 1e9));
  if (LoopStep* const kept = Kept(number)) kept->device_idle_s = idle_s;
}

LoopStep* StepClock::Kept(int64_t number) {
  if (number < 0 || number >= batches) return nullptr;
  LoopStep* const found = &steps_[static_cast<size_t>(number) % kept_];
  return found->number == number ? found : nullptr;
}

std::vector<LoopStep> StepClock::Steps() const {
  std::vector<LoopStep> steps = steps_;
  if (steps.size() == kept_) {
    const auto oldest = static_cast<int64_t>(static_cast<size_t>(batches) % kept_);
    std::rotate(steps.begin(), steps.begin() + oldest, steps.end());
  }
  return steps;
}

}  // namespace stoker
