#!/usr/bin/env bash
# Prepare, train and evaluate as for the published figure of $BUNDLE. `make reproduce` calls it.
#
#   BUNDLE=name      such as dsb2018_unet
#   RAW=path         the raw archive or folder; needed where data/<data set> is not prepared yet
#   GROUPS_CSV=path  groups.csv of DSB2018, so that no mosaic stands in two splits
#   TRAIN_ARGS=...   further options of the last training, such as "--max_epochs 8"
#
# The trainings and their options stand in tools/trainings.txt, one after the other: each starts from the best weights
# of the one before. `start COMMIT` takes the weights that the bundle had then, `encoder UNET COMMIT` the encoder of those
# that a U-Net had then, and `average 0.4` is the mean of the last two trainings' weights, with 0.4 of the last.
# Run it again after an interruption, and it goes on.
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
        "(docs/train.md says where to get them)"
${1:-true}
if [ ! -e "$data/dataset.json" ]; then
    "$python" "data_scripts/prepare_$data_set.py" "$RAW" "$data" ${GROUPS_CSV:+--groups "$GROUPS_CSV"}
fi

weights_of_commit() { # BUNDLE COMMIT FOLDER
    mkdir -p "$3"
    git cat-file -e "$2:bundles/$1/models/model.pt" ||
        fail "commit $2 is not here, with whose weights the training of $BUNDLE starts: clone the whole history"
    git show "$2:bundles/$1/models/model.pt" >"$3/model.pt"
}

mapfile -t stages < <(sed -n "s/^$BUNDLE://p" tools/trainings.txt)
[ "${#stages[@]}" -gt 0 ] || fail "tools/trainings.txt has no line for $BUNDLE: add one, with the options of its training"
read -ra further <<<"${TRAIN_ARGS:-}"
weights=()
last=0
for number in "${!stages[@]}"; do
    [[ ${stages[number]} =~ ^\ *(average|start|encoder)\  ]] || last=$number
done
for number in "${!stages[@]}"; do
    stage=$run/training_$((number + 1))
    read -ra options <<<"${stages[number]}"
    if [ "${options[0]:-}" = start ]; then
        weights_of_commit "$BUNDLE" "${options[1]}" "$stage"
        "$python" tools/former_weights.py "$stage/model.pt"
        weights=(--ckpt_path "$stage/model.pt")
        continue
    fi
    if [ "${options[0]:-}" = encoder ]; then
        weights_of_commit "${options[1]}" "${options[2]}" "$stage/unet"
        "$python" tools/encoder_weights.py "$BUNDLE" "$stage/unet/model.pt" --output "$stage/model.pt"
        weights=(--ckpt_path "$stage/model.pt")
        continue
    fi
    if [ "${options[0]:-}" = average ]; then
        "$python" tools/average_weights.py "$BUNDLE" "$run/training_$((number - 1))/model.pt" \
            "$run/training_$number/model.pt" --share "${options[1]}" --output "$stage/model.pt"
        weights=(--ckpt_path "$stage/model.pt")
        continue
    fi
    [ "$number" -ne "$last" ] || options+=("${further[@]}")
    if [ ! -e "$stage/finished" ]; then
        printf '== training %s of %s: %s\n' "$((number + 1))" "${#stages[@]}" "${options[*]}"
        "$python" -m monai.bundle run training --config_file "bundles/$BUNDLE/configs/train.json" \
            --dataset_dir "$data" --output_dir "$stage" "${weights[@]}" --resume auto "${options[@]}"
        touch "$stage/finished"
    fi
    weights=(--ckpt_path "$stage/model.pt")
done
"$python" -m monai.bundle run evaluate --config_file "bundles/$BUNDLE/configs/evaluate.json" \
    --dataset_dir "$data" "${weights[@]}" --output_dir "$run/evaluation"
printf 'figures: %s\nreport:  %s\n' "$run/evaluation/metrics.json" "$run/evaluation/report.html"
