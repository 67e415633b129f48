# Sourced by reproduce_*: trains all methods on a data set, keeps a row per run in docs/results and renews the tables.
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
  local table=results
  case $full in
  *--sparsity*) table=sparsities ;;
  *--equal-budget*) table=budget ;;
  esac
  # shellcheck disable=SC2086
  publish "$dataset" "$table $dataset" docs/figures --dataset "$dataset" $full "$@"
}

# publish PAGE TABLE FIGURES ARGUMENT ...: compares, and puts the runs in the place of a table of docs/PAGE.md. The sentences
# of the page are not changed: scripts/recompute names those that the new runs no longer come to.
publish() {
  local page=$1 table=$2 figures=$3 json
  shift 3
  json=$(mktemp --suffix=.json)
  .venv/bin/tfprune compare --json "$json" --figures "$figures" "$@"
  .venv/bin/python scripts/recompute --add "$page" "$table" "$json" || echo "The sentences named above are to be written anew."
  rm -f -- "$json"
}
