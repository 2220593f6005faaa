#!/usr/bin/env bash
# Evaluate the shipped checkpoints on the test splits under data/, and compare them in one table. `make table` calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=${VENV:-.venv}/bin
out=runs/table
evaluations=()
for data in data/dsb2018 data/segpc2021; do
    [ -e "$data/dataset.json" ] || {
        printf 'error: %s is not prepared: see "Train on your own labels" in README.md\n' "$data" >&2
        exit 1
    }
    for bundle in bundles/"${data#data/}"_*; do
        name=${bundle##*/}
        printf '== %s\n' "$name"
        "$bin/python" -m monai.bundle run evaluate --config_file "$bundle/configs/evaluate.json" \
            --dataset_dir "$data" --output_dir "$out/$name"
        evaluations+=("$out/$name")
    done
done
"$bin/medseg" compare "${evaluations[@]}" --output "$out"
cat "$out/comparison.md"
