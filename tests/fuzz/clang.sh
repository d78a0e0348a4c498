#!/usr/bin/env bash
# Prints the newest clang++ here that can link a fuzz target; fails where there is none.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, decltype(sizeof 0)) { return 0; }' \
  >"$work/probe.cc"
for compiler in clang++ $(compgen -c clang++- | grep -x 'clang++-[0-9]*' | sort -ruV); do
  if "$compiler" -fsanitize=fuzzer,address,undefined "$work/probe.cc" -o "$work/probe" \
    2>/dev/null; then
    echo "$compiler"
    exit 0
  fi
done
exit 1
