#!/usr/bin/env bash
# run.sh BUILD SECONDS PYTHON: every fuzz target for so long, two at a time. What they learn is kept
# in BUILD/corpus for the next run, what they find in BUILD/findings.
set -euo pipefail
build=$1
python=$3
export build seconds=$2
dictionary=$(dirname "$0")/jpeg.dict
export dictionary

fuzz() {
  mkdir -p "$build/corpus/$1" "$build/findings" "$build/logs"
  local options=(-max_total_time="$seconds" -max_len=8192 -timeout=30 -rss_limit_mb=2048
    -print_final_stats=1 -artifact_prefix="$build/findings/$1-")
  [[ $1 = fuzz_jpeg_* ]] && options+=(-dict="$dictionary")
  mkdir -p "$build/seeds/$1"
  local log=$build/logs/$1.log
  if "$build/lib/$1" "${options[@]}" "$build/corpus/$1" "$build/seeds/$1" >"$log" 2>&1; then
    echo "$1: $(sed -n 's/stat::number_of_executed_units: *//p' "$log") executions, no finding"
  else
    echo "$1: FAILED, see $log"
    grep -E 'FINDING|ERROR: |SUMMARY|runtime error|Test unit written' "$log" || tail -n 20 "$log"
    return 1
  fi
}
export -f fuzz

rm -rf "$build/seeds"
"$build/lib/make_corpus" "$build/seeds"
"$python" "$(dirname "$0")/make_files.py" "$build/seeds"
printf '%s\n' fuzz_index fuzz_index_merge fuzz_jpeg_coefficients fuzz_jpeg_pixels \
  fuzz_jpeg_segments fuzz_jpeg_turbo fuzz_kernels fuzz_partial_read fuzz_sample_table fuzz_steps \
  fuzz_still |
  xargs -P 2 -I {} bash -c 'fuzz {}'
