#include "pipeline/sample_plan.h"

namespace stoker {

std::optional<Size> SamplePlan::FixedSize() const { return SizeAfter(ops, std::nullopt); }

}  // namespace stoker
