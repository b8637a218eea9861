#!/bin/bash
# What the rankers reach on four data sets, each backbone alone and with the ICT module, as one file that is reviewed as a diff.
#
#   ranker_figures.sh LLMCF WORK CONFIGS SEEDS OUT.csv
#
# WORK holds a folder per data set, made by the pipeline up to `retrieved` (`make rankers` does both); CONFIGS their settings, DATA.yaml.
# The tables behind the file go to WORK/DATA/rankers, WORK/DATA/next-item and WORK/DATA/ablations, and whatever is there and up to date is
# not made again, so a stopped run goes on. OUT.csv is replaced when all of it is done; its form is that of table_lib.sh, with
# the data set before it; OUT.svg shows what ICT adds to the AUC of each backbone:
#   collm-ml1m       every backbone and SASRec
#   amazon-beauty    the paper's six; what the ICT module could be mistaken for, on DIN; SASRec over all items, with the BCE loss
#   amazon-sports    the same without the controls
#   ml-latest-small  the ablations
# Hours; THREADS is handed to every verb (default 0: all processors; results do not depend on it).
set -eu
llmcf=$1 work=$2 configs=$3 seeds=$4 out=$5
here=$(dirname "$0")
. "$here/table_lib.sh"

# table DATA PROGRAM FOLDER ARGUMENT...: a table of a data set, and its figures with the data set before them.
lines=
table() {
    local data=$1 program=$2 folder=$work/$1/$3
    shift 3
    bash "$here/$program.sh" "$llmcf" "$work/$data" "$folder" "$configs/$data.yaml" "$seeds" "$@"
    lines+=$(sed "1d; s/^/$data,/" "$folder/figures.csv")$'\n'
}
paper="din deepfm xdeepfm autoint dcn dcnv2"

mkdir -p "$work/collm-ml1m"
log=$work/collm-ml1m/sasrec.log
step train --dataset "$work/collm-ml1m/dataset" --config "$configs/collm-ml1m-sasrec.yaml" --seeds "$seeds" --out "$work/collm-ml1m/sasrec"
OTHERS=$work/collm-ml1m/sasrec table collm-ml1m rankers rankers ict
BACKBONES=$paper CONTROLS="ict-nocot text knn knrm ict-knrm" table amazon-beauty rankers rankers ict
BACKBONES=$paper table amazon-sports rankers rankers ict
for data in amazon-beauty amazon-sports; do
    MODELS=sasrec-bce table $data next_item next-item
done
table ml-latest-small ablations ablations
{ echo "data,$(figures_head)" && printf %s "$lines"; } >"$out.new"
mv "$out.new" "$out"
awk -F, 'NR == 1 { print "row,lift,low,high" } $5 == "auc" && $3 == $2 "-ict" { print $1 ": " $2 "," $8 "," $9 "," $10 }' "$out" >"$work/lifts.csv"
"$llmcf" chart "$work/lifts.csv" --y row --x lift --low low --high high --title "Lift of AUC by the ICT module, 95 % intervals" \
    --out "${out%.csv}.svg" --quiet
