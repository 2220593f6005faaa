#!/usr/bin/env bash
# Train the bundle in this folder, then evaluate it, with no network; README.txt says more.
#
#   ./train.sh --max_epochs 50   all arguments are further options of the training
#   PYTHON=command               the interpreter (default python3)
#   OUTPUT=folder                for weights, curves and report (default output, in this folder)
#   EVALUATE_ARGS=...            further options of the evaluation, such as "--num_workers 0"
#
# Started again, it goes on after the last epoch, or where it had only to evaluate. With --overwrite True it begins anew, and
# replaces what is in OUTPUT.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
output=${OUTPUT:-$here/output}

command -v "$python" >/dev/null || {
    printf 'error: %s: no such command; name one: PYTHON=python3.12 ./train.sh\n' "$python" >&2
    exit 1
}
"$python" "$here/unpack.py"
export PYTHONPATH=$here/site${PYTHONPATH:+:$PYTHONPATH}

trained=$output/.trained # with the options of the training that ended there
if [ -e "$trained" ] && [ "$(cat "$trained")" = "$*" ]; then
    printf 'this training is done; options such as --max_epochs 50 go on with it\n'
else
    rm -f "$trained"
    resume=(--resume auto)
    [[ $* != *--overwrite* ]] || resume=()
    "$python" -m monai.bundle run training --config_file "$here/bundle/configs/train.json" \
        --dataset_dir "$here/data" --output_dir "$output" "${resume[@]}" "$@"
    printf '%s' "$*" >"$trained"
fi
# shellcheck disable=SC2086 # EVALUATE_ARGS are words
"$python" -m monai.bundle run evaluate --config_file "$here/bundle/configs/evaluate.json" \
    --dataset_dir "$here/data" --ckpt_path "$output/model.pt" --output_dir "$output/evaluation" ${EVALUATE_ARGS:-}
printf 'weights: %s\nreport:  %s\n' "$output/model.pt" "$output/evaluation/report.html"
