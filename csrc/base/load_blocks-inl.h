// Loads wide vectors from 16-byte blocks that lie apart; included by kernels, once for each target,
// behind foreach_target.h.
#if defined(STOKER_BASE_LOAD_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef STOKER_BASE_LOAD_BLOCKS_INL_H_
#undef STOKER_BASE_LOAD_BLOCKS_INL_H_
#else
#define STOKER_BASE_LOAD_BLOCKS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace stoker {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

// As many 16-byte blocks as the vector has, the first at `from` and each `stride` lanes behind the
// one before it. With kAligned, all lie at multiples of 16 bytes.
template <bool kAligned = false, class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> LoadBlocks(D d, const hwy::HWY_NAMESPACE::TFromD<D>* from,
                                                 [[maybe_unused]] ptrdiff_t stride) {
  namespace hn = hwy::HWY_NAMESPACE;
  constexpr size_t kLanes = 16 / sizeof(hn::TFromD<D>);
  if constexpr (hn::MaxLanes(D()) > kLanes) {
    const hn::Half<D> half;
    constexpr auto kBlocks = static_cast<ptrdiff_t>(hn::MaxLanes(hn::Half<D>()) / kLanes);
    return hn::Combine(d, LoadBlocks<kAligned>(half, from + kBlocks * stride, stride),
                       LoadBlocks<kAligned>(half, from, stride));
  } else if constexpr (kAligned) {
    return hn::Load(d, from);
  } else {
    return hn::LoadU(d, from);
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace stoker
HWY_AFTER_NAMESPACE();

#endif  // include guard
