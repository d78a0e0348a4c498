// Makes one of the process's system calls fail. The test binary replaces what the core calls with
// functions that count and pass on.
#pragma once

#include <cstdint>

namespace stoker::testing {

enum class SystemCall { kOpen, kRead, kPread, kFstat, kThread };
inline constexpr SystemCall kSystemCalls[] = {SystemCall::kOpen, SystemCall::kRead,
                                              SystemCall::kPread, SystemCall::kFstat,
                                              SystemCall::kThread};

// Whether calls are replaced: not under sanitizers, which replace them themselves.
bool CountsSystemCalls();
// From now on the `n`-th such call of the process (from 0) fails with `error`; with `for_good`, all
// behind it too.
void FailCall(SystemCall call, int64_t n, bool for_good, int error);
// No call fails any more. Returns whether one has.
bool StopFailingCalls();

}  // namespace stoker::testing
