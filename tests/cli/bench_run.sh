#!/bin/bash
# tests/bench/run.sh: figures of programs become rows of one CSV; a program that fails or babbles fails the run but loses
# nothing of the others; one that cannot run here is skipped.
set -eu
run=$LCF_SOURCE_DIR/tests/bench/run.sh
mkdir bin
program() { printf '#!/bin/sh\n%s\n' "$2" >"bin/$1"; chmod +x "bin/$1"; }
program bench_good 'echo one,1.5,samples/s; echo two,3e-4,ms; echo progress >&2'
program bench_skip 'exit 77'
bash "$run" bin out.csv 2>log
[ "$(head -1 out.csv)" = "name,value,unit,machine,commit,date" ]
[ "$(wc -l <out.csv)" -eq 3 ]
grep -qE '^one,1\.5,samples/s,[^,]+,[^,]+,[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+Z$' out.csv
grep -q skipped log
program bench_bad 'echo nonsense'
program bench_fail 'echo x,1,y; exit 4'
if bash "$run" bin bad.csv 2>log; then echo "a failed program passed" >&2; exit 1; fi
[ "$(wc -l <bad.csv)" -eq 3 ]
grep -q "not 'name,value,unit': nonsense" log
grep -q "failed with exit code 4" log
bash "$run" bin one.csv bench_good 2>log
rm bin/*
if bash "$run" bin none.csv 2>log; then echo "no program passed" >&2; exit 1; fi
grep -q "preset 'bench'" log
