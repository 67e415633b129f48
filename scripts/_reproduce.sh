# Sourced by reproduce_*: trains all methods on a data set and renews its results page and README's overview.
# shellcheck shell=bash

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit
# shellcheck source=scripts/_venv.sh
source scripts/_venv.sh

# reproduce DATASET FULL QUICK [ARGUMENT ...]: FULL and QUICK are the options of the real run and of a smoke run (--quick
# as the first argument), which leaves the pages alone. Finished runs in saved_models/ are reused. The other arguments go
# to `tfprune compare`.
reproduce() {
  local dataset=$1 full=$2 quick=$3
  shift 3
  set_up ""
  if [ "${1:-}" = --quick ]; then
    shift
    # shellcheck disable=SC2086 # several options in one string
    .venv/bin/tfprune compare --dataset "$dataset" $quick --out saved_models/quick "$@"
    return
  fi
  local json=docs/results/$dataset.json
  case $full in
  *--sparsity*) json=docs/results/$dataset-sparsities.json ;;
  *--equal-budget*) json=docs/results/$dataset-budget.json ;;
  esac
  # shellcheck disable=SC2086
  .venv/bin/tfprune compare --dataset "$dataset" $full --json "$json" --figures docs/figures --page "docs/$dataset.md" "$@"
  overview
}

# The data sets that have been compared, side by side.
overview() {
  local dataset files=()
  for dataset in penguins fashion_mnist flowers cifar10; do
    if [ -f "docs/results/$dataset.json" ]; then files+=("docs/results/$dataset.json"); fi
  done
  .venv/bin/tfprune overview "${files[@]}" --page README.md
}
