#!/usr/bin/env bash
# Evaluate the shipped checkpoints with the scores that the networks give, on validation, test and unseen images under
# data/; fit the calibration of scores to the validation images, and write what comes of it. `make calibration` calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=${VENV:-.venv}/bin
out=runs/calibration

evaluate() { # BUNDLE DATA SPLIT OUTPUT
    [ -e "$4/run.json" ] && return # a whole evaluation; remove the folder for new weights
    printf '== %s on %s, %s\n' "${1##*/}" "$2" "$3"
    "$bin/python" -m monai.bundle run evaluate --config_file "$1/configs/evaluate.json" --dataset_dir "$2" \
        --split "$3" --output_dir "$4" --score_temperature 1 --score_bias 0
}

for split in validation testing; do
    for data in data/dsb2018 data/segpc2021; do
        for bundle in bundles/"${data#data/}"_*; do
            evaluate "$bundle" "$data" "$split" "$out/$split/${bundle##*/}"
        done
    done
done
for data in data/unseen/*; do
    [ -e "$data/dataset.json" ] || continue
    for bundle in bundles/dsb2018_*; do
        evaluate "$bundle" "$data" testing "$out/${data##*/}/${bundle##*/}"
    done
done
"$bin/python" tools/calibrate.py "$out"
