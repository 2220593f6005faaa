#!/usr/bin/env bash
# Evaluate the shipped checkpoints on the test splits under data/, and on images elsewhere, and compare them in one table.
# `make table` calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=${VENV:-.venv}/bin
out=runs/table
evaluations=()
for data in data/dsb2018 data/segpc2021; do
    [ -e "$data/dataset.json" ] || {
        printf 'error: %s is not prepared: see "Prepare" in docs/train.md\n' "$data" >&2
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
# Images that no training has seen, and zoomed validation images, where tools/evaluation_sets.py has made folders of them.
for data in data/unseen/* data/zoomed/*/*; do
    [ -e "$data/dataset.json" ] || continue
    case $data in
    data/unseen/*) data_set=dsb2018 ;; # nuclei
    *) data_set=$(basename "$(dirname "$data")") ;;
    esac
    for bundle in bundles/"$data_set"_*; do
        folder=$out/${data#data/}/${bundle##*/}
        printf '== %s on %s\n' "${bundle##*/}" "${data#data/}"
        "$bin/python" -m monai.bundle run evaluate --config_file "$bundle/configs/evaluate.json" \
            --dataset_dir "$data" --output_dir "$folder"
        case $data in data/unseen/*) evaluations+=("$folder") ;; esac
    done
done
"$bin/medseg" compare "${evaluations[@]}" --output "$out"
cat "$out/comparison.md"
