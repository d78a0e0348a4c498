// ycc_color.h on vectors; included by kernels, once for each target, behind foreach_target.h.
#if defined(STOKER_BASE_YCC_COLOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef STOKER_BASE_YCC_COLOR_INL_H_
#undef STOKER_BASE_YCC_COLOR_INL_H_
#else
#define STOKER_BASE_YCC_COLOR_INL_H_
#endif

#include <hwy/highway.h>

#include "base/ycc_color.h"

HWY_BEFORE_NAMESPACE();
namespace stoker {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

template <class D16>
struct YccToRgbVector {
  using D8 = hwy::HWY_NAMESPACE::Rebind<uint8_t, D16>;
  using V8 = hwy::HWY_NAMESPACE::Vec<D8>;
  using V16 = hwy::HWY_NAMESPACE::Vec<D16>;
  V8 r, g, b;

  HWY_INLINE YccToRgbVector(V8 y_samples, V8 cb_samples, V8 cr_samples) {
    namespace hn = hwy::HWY_NAMESPACE;
    const D16 d16;
    const D8 d8;
    const auto center = hn::Set(d16, 128);
    const auto y = hn::PromoteTo(d16, y_samples);
    const auto cb = hn::Sub(hn::PromoteTo(d16, cb_samples), center);
    const auto cr = hn::Sub(hn::PromoteTo(d16, cr_samples), center);
    const auto cb2 = hn::Add(cb, cb);
    const auto cr2 = hn::Add(cr, cr);
    r = hn::DemoteTo(d8, hn::Add(hn::Add(y, cr), Rounded(cr2, kCrToRed)));
    b = hn::DemoteTo(d8, hn::Add(hn::Add(y, cb2), Rounded(cb2, kCbToBlue)));
    g = hn::DemoteTo(d8, hn::Add(hn::Sub(y, cr), Green(cb, cr)));
  }

 private:
  // (twice · factor / 2 + 2^15) >> 16: the high half of the product has one bit more than is kept.
  static HWY_INLINE V16 Rounded(V16 twice, int factor) {
    namespace hn = hwy::HWY_NAMESPACE;
    const D16 d16;
    const auto high = hn::MulHigh(twice, hn::Set(d16, static_cast<int16_t>(factor)));
    return hn::ShiftRight<1>(hn::Add(high, hn::Set(d16, 1)));
  }
  static HWY_INLINE V16 Green(V16 cb, V16 cr) {
    namespace hn = hwy::HWY_NAMESPACE;
    const D16 d16;
    const hn::RepartitionToWide<D16> d32;
    return hn::ReorderDemote2To(d16, GreenHalf(d32, hn::InterleaveLower(d16, cb, cr)),
                                GreenHalf(d32, hn::InterleaveUpper(d16, cb, cr)));
  }
  template <class D32>
  static HWY_INLINE hwy::HWY_NAMESPACE::Vec<D32> GreenHalf(D32 d32, V16 cb_cr) {
    namespace hn = hwy::HWY_NAMESPACE;
    const D16 d16;
    const hn::Repartition<uint32_t, D16> du32;
    constexpr uint32_t kPair = static_cast<uint16_t>(kCbToGreen) | static_cast<uint32_t>(kCrToGreen)
                                                                       << 16;
    auto rest = hn::Zero(d32);
    const auto sum = hn::ReorderWidenMulAccumulate(
        d32, cb_cr, hn::BitCast(d16, hn::Set(du32, kPair)), hn::Zero(d32), rest);
    return hn::ShiftRight<16>(
        hn::Add(hn::RearrangeToOddPlusEven(sum, rest), hn::Set(d32, 1 << 15)));
  }
};

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace stoker
HWY_AFTER_NAMESPACE();

#endif  // include guard
