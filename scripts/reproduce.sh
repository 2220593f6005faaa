#!/usr/bin/env bash
# Prepare, train and evaluate as for the published figure of $BUNDLE. `make reproduce` calls it.
#
#   BUNDLE=name      such as dsb2018_unet
#   RAW=path         the raw archive or folder; needed where data/<data set> is not prepared yet
#   GROUPS_CSV=path  groups.csv of DSB2018, so that no mosaic stands in two splits
#   TRAIN_ARGS=...   further options of the training, such as "--max_epochs 8"
#
# Its argument is the command that sets up the environment, run once the names are known to be right.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${VENV:-.venv}/bin/python
bundles=
for configs in bundles/*/configs; do bundles+="$(basename "$(dirname "$configs")") "; done
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

[ -n "${BUNDLE:-}" ] || fail "which bundle? make reproduce BUNDLE=name, with one of: $bundles"
[ -d "bundles/$BUNDLE/configs" ] || fail "no bundle is called $BUNDLE; there are: $bundles"
data_set=${BUNDLE%%_*}
data=data/$data_set
run=runs/reproduce/$BUNDLE

[ -e "$data/dataset.json" ] || [ -n "${RAW:-}" ] ||
    fail "$data is not prepared, and RAW does not say where the raw data are: make reproduce BUNDLE=$BUNDLE RAW=path" \
        "(README.md says where to get them)"
${1:-true}
if [ ! -e "$data/dataset.json" ]; then
    "$python" "data_scripts/prepare_$data_set.py" "$RAW" "$data" ${GROUPS_CSV:+--groups "$GROUPS_CSV"}
fi

resume=()
[ ! -e "$run/checkpoint.pt" ] || resume=(--resume True)
# shellcheck disable=SC2086 # TRAIN_ARGS are words
"$python" -m monai.bundle run training --config_file "bundles/$BUNDLE/configs/train.json" \
    --dataset_dir "$data" --output_dir "$run" "${resume[@]}" ${TRAIN_ARGS:-}
"$python" -m monai.bundle run evaluate --config_file "bundles/$BUNDLE/configs/evaluate.json" \
    --dataset_dir "$data" --ckpt_path "$run/model.pt" --output_dir "$run/evaluation"
printf 'figures: %s\nreport:  %s\n' "$run/evaluation/metrics.json" "$run/evaluation/report.html"
