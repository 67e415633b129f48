# Sourced by reproduce_*: trains all methods on a data set and renews its results page.
# shellcheck shell=bash

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit
# shellcheck source=scripts/_venv.sh
source scripts/_venv.sh

# reproduce DATASET FULL QUICK [OPTION ...]: FULL and QUICK are the options of the real run and of a smoke run, which
# leaves the pages alone. Finished runs in saved_models/ are reused. Further options go to `tfprune compare`.
reproduce() {
  local dataset=$1 full=$2 quick=$3
  shift 3
  set_up ""
  if [ "${1:-}" = --quick ]; then
    shift
    # shellcheck disable=SC2086 # several options in one string
    exec .venv/bin/tfprune compare --dataset "$dataset" $quick --out saved_models/quick "$@"
  fi
  # shellcheck disable=SC2086
  exec .venv/bin/tfprune compare --dataset "$dataset" $full --json "docs/$dataset.json" \
    --figures docs/figures --page "docs/$dataset.md" --page README.md "$@"
}
