#!/usr/bin/env bash
# The tests of the kernels and of the JPEG codec on Arm: cross-compiled for aarch64 and run under
# qemu's user emulation, on NEON and on plain C++. `make test-neon` calls this.
#
# The libraries come from the distribution's own arm64 packages, unpacked under build/neon; apt
# keeps its lists for them there too, and the machine's own architectures stay as they are.
set -euo pipefail
cd "$(dirname "$0")/.."

triple=aarch64-linux-gnu
out=$PWD/build/neon
sysroot=$out/sysroot
libraries=$sysroot/usr/lib/$triple
packages=(libhwy-dev libhwy1 libjpeg62-turbo-dev libjpeg62-turbo libgtest-dev)
mkdir -p "$out"/{obj,apt/lists/partial,apt/cache/archives/partial,debs}

# ---- the libraries -------------------------------------------------------------------------------

private_apt() {
  "$1" -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User="$(id -un)" \
    -o Dir::State="$out/apt" -o Dir::State::status="$out/apt/status" \
    -o Dir::Cache="$out/apt/cache" "${@:2}"
}

fetch_libraries() {
  rm -rf "$sysroot" && mkdir -p "$sysroot"
  : >"$out/apt/status"
  private_apt apt-get update
  (cd "$out/debs" && rm -f ./*.deb && private_apt apt-get download "${packages[@]}")
  for deb in "$out"/debs/*.deb; do dpkg -x "$deb" "$sysroot"; done
}

if [ ! -e "$out/sysroot.done" ]; then
  echo "neon: fetching arm64 libraries"
  (set -e; fetch_libraries) >"$out/apt.log" 2>&1 || {
    cat "$out/apt.log"
    echo "neon: the package sources set up here have no arm64 packages (Ubuntu keeps them apart)"
    exit 1
  }
  touch "$out/sysroot.done"
fi

# ---- the build -----------------------------------------------------------------------------------

# -isystem: the libraries' headers stay out of our warnings, as in CMakeLists.txt.
flags="-std=c++17 -O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Werror
  -ffp-contract=off -Icsrc -Itests/cpp -Itests/fuzz -isystem $sysroot/usr/include
  -isystem $sysroot/usr/include/$triple"
core=(csrc/codec/jpeg/*.cc csrc/image/*.cc)
tests=(tests/cpp/codec/jpeg/*_test.cc tests/cpp/image/*_test.cc)
support=tests/cpp/support/test_images.cc
fuzz_support=(tests/fuzz/own_coefficients.cc tests/fuzz/replay_main.cc)
fuzz=(fuzz_jpeg_coefficients fuzz_jpeg_pixels fuzz_kernels)
compiler="$(command -v ccache || true) $triple-g++"
export compiler flags out

compile() {  # objects are named after the whole path
  $compiler $flags -c "$1" -o "$out/obj/${1//\//_}.o"
}
export -f compile

link() {  # the program, libraries, then the sources of its objects
  local objects=()
  for source in "${@:3}"; do objects+=("$out/obj/${source//\//_}.o"); done
  "$triple-g++" -o "$1" "${objects[@]}" -L"$libraries" -Wl,-rpath,"$libraries" $2 -lhwy -ljpeg \
    -pthread
}

echo "neon: compiling"
rm -f "$out"/obj/*
printf '%s\n' "${core[@]}" "${tests[@]}" "$support" "${fuzz_support[@]}" tests/fuzz/make_corpus.cc \
  "${fuzz[@]/%/.cc}" | sed 's,^fuzz_,tests/fuzz/fuzz_,' | xargs -P 2 -I {} bash -c 'compile {}'
link "$out/neon_tests" "-lgtest -lgtest_main" "${core[@]}" "${tests[@]}" "$support"
link "$out/make_corpus" "" tests/fuzz/make_corpus.cc "$support"
for target in "${fuzz[@]}"; do
  link "$out/$target" "" "${core[@]}" "$support" "${fuzz_support[@]}" "tests/fuzz/$target.cc"
done

# ---- the runs ------------------------------------------------------------------------------------

arm() { qemu-aarch64 -L "/usr/$triple" "$@"; }
log=$out/tests.log

# A test that starts its own program again would need the kernel to know Arm's programs; what it
# looks at is looked at here.
restarts=SimdTest.StartsOnTheTargetThatTheEnvironmentNames
targets=$(arm "$out/neon_tests" --gtest_list_tests |
  grep -oE '/(NEON|EMU128|SCALAR)( |$)' | tr -d '/ ' | sort -u)
echo "neon: targets:" $targets
for target in $targets; do
  STOKER_SIMD=$target STOKER_TEST_EXPECTED_TARGET=$target \
    arm "$out/neon_tests" --gtest_filter="$restarts" >"$log" || { tail -n 20 "$log"; exit 1; }
done
# Three more do not hold on Arm. NEON is a part of every aarch64, so Highway leaves plain C++ out.
# And where damage makes sums overflow, libjpeg-turbo's NEON code computes otherwise than its x86
# code, which is the one that ours follows.
not_here=SimdTest.PlainCppIsAlwaysThereAndLast:InverseDctOracleTest.IsLibjpegsOnAnyCoefficients
not_here+=:JpegDecoder.EveryDamagedByteIsAsByLibjpeg
arm "$out/neon_tests" --gtest_filter="-$restarts:$not_here" >"$log" || {
  grep -A 6 -E ': Failure$|^\[  FAILED  \]' "$log" | head -n 60
  exit 1
}
passed=$(grep -c '^\[ *OK \] .*/NEON' "$log" || true)
all=$(sed -n 's/^\[  PASSED  \] \(.*\)\./\1/p' "$log")
echo "neon: $all passed, $passed of them for the target NEON alone"
[ "$passed" -gt 0 ] || { echo "neon: FAILED, NEON did not run"; exit 1; }

# The fuzz targets on their seeds, against Arm's own libjpeg-turbo, and on damaged copies of them
# where that may be compared.
rm -rf "$out/seeds"
arm "$out/make_corpus" "$out/seeds"
for target in "${fuzz[@]}"; do
  copies=20
  [ "$target" = fuzz_jpeg_pixels ] && copies=0
  arm "$out/$target" "$out/seeds/$target" "$copies" >"$out/$target.log" 2>&1 || {
    tail -n 3 "$out/$target.log"
    echo "neon: $target FAILED"
    exit 1
  }
  echo "neon: $target: $(tail -n 1 "$out/$target.log")"
  grep -q 'best target NEON$' "$out/$target.log"
done
