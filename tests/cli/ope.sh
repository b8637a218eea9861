#!/bin/bash
# llmcf ope: report, gate and exit codes, nothing done twice, the same bytes at any thread count, every refusal named.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
. "$LCF_SOURCE_DIR/tests/cli/wait_lib.sh"
examples=$LCF_SOURCE_DIR/schemas/examples/ope
cp "$examples"/* .
ope="$LLMCF ope --replicates 200"

# a table for people, without a report
expect 0 "The target policy would earn 0.3534" $ope --log log.jsonl
expect 0 "no estimate by Replay: the target policy draws among actions" $ope --log log.jsonl
expect 0 "only 24 users" $ope --log log.jsonl --require 'ess > 1' --target uniform
[ -e ope.json ] && fail "a report without --out"

# the report; a second run does nothing; threads change nothing; both forms of a log say the same
expect 0 "shows it all" $ope --log log.jsonl --out report --require 'dr > 0'
for f in ope.json ope.html manifest.json; do [ -s report/$f ] || fail "no report/$f"; done
grep -q 'https\?://' report/ope.html && fail "ope.html refers to the network"
[ "$(grep -c '<svg' report/ope.html)" -ge 2 ] || fail "ope.html has no charts"
cp -r report first
expect 0 "up to date" $ope --log log.jsonl --out report --require 'dr > 0'
expect 0 "shows it all" $ope --log log.jsonl --out report --require 'dr > 0' --force --threads 3
diff -r first report >diff.txt || fail "not the same bytes: $(head -3 diff.txt)"
$ope --log log.jsonl --out report --require 'dr > 0' --quiet --json >out.json 2>/dev/null
cmp -s out.json report/ope.json || fail "--json is not ope.json"
$ope --log log.csv --json --quiet >csv.json 2>/dev/null
$ope --log log.jsonl --json --quiet >jsonl.json 2>/dev/null
diff <(grep -v '"path"' csv.json) <(grep -v '"path"' jsonl.json) >diff.txt || fail "CSV and JSON lines differ: $(head -3 diff.txt)"

# the gate
expect 2 "there is no figure 'dr_left'; there are: replay replay_low" $ope --log log.jsonl --out no --require 'dr_left > 0'
expect 3 "gate not passed: dr_lift_low > 0 (it is" $ope --log log.jsonl --out worse --require 'dr_lift_low > 0'
grep -q '"passed": false' worse/ope.json || fail "the gate's outcome is not in ope.json"
expect 3 "gate not passed" $ope --log log.jsonl --out worse --require 'dr_lift_low > 0'
expect 3 "replay > 0 (it is not defined on these rows)" $ope --log log.jsonl --require 'replay > 0'
expect 2 "there is no estimator 'best'" $ope --log log.jsonl --estimator best

# a request log, lists, another ranker's scores
expect 0 "Cascade-DR" $ope --log requests.jsonl --target scores:candidate.jsonl --temperature 0.7
expect 0 "Position-based model" $ope --log requests.jsonl --target scores:candidate.jsonl --estimator slate_pbm
expect 0 "Reward-interaction IPS" $ope --log requests.jsonl --target uniform --position-bias em
expect 1 "give a policy with --target" $ope --log requests.jsonl
expect 1 "there is no target 'popular'" $ope --log requests.jsonl --target popular
expect 1 "none.jsonl" $ope --log requests.jsonl --target scores:none.jsonl
head -5 candidate.jsonl >few.jsonl
expect 1 "requests.jsonl:6: a candidate that the target has no score for" $ope --log requests.jsonl --target scores:few.jsonl
sed 's/"propensity": [0-9.]*/"propensity": 1/' requests.jsonl | sed 's/"propensity": [0-9.]*/"propensity": 1/g' >certain.jsonl
expect 1 "which the logging policy never shows" $ope --log certain.jsonl --target uniform
expect 0 "no overlap: in 120 rows" $ope --log certain.jsonl --target uniform --allow-zero-propensity

# the simulated shop, against its truth
"$LLMCF" simulate --users 120 --items 60 --days 30 --out raw --quiet 2>/dev/null
expect 0 "the target is worse" $ope --log raw --target uniform
expect 0 "the target is better" $ope --log raw --target best
expect 1 "there is no policy 'magic'" $ope --log raw --target magic

# bad input: the file, the line, what is wrong; options count what they drop
csv() { printf '%s\n' action,reward,propensity,target,user "$@" >bad.csv; }
csv a,1,.5,.5,u b,0,-0.25,.5,v
expect 1 "bad.csv:3: the propensity is negative" $ope --log bad.csv
expect 0 "1 rows that could not be read were dropped, the first at line 3: the propensity is negative" $ope --log bad.csv --allow-bad-rows
csv a,1,.5,.5,u b,0,nan,.5,v
expect 1 "bad.csv:3: the propensity is missing or not a number" $ope --log bad.csv
csv a,1,.5,.5,u b,0,0,.5,v c,1,.25,.5,w
expect 1 "bad.csv:3: the propensity is 0, but the action was shown" $ope --log bad.csv
expect 0 "1 rows of propensity 0 were dropped" $ope --log bad.csv --allow-zero-propensity
csv a,1,.5,.5,u b,0,1.5,.5,v
expect 1 "bad.csv:3: the propensity is above 1" $ope --log bad.csv
csv a,1,.5,1.5,u
expect 1 "bad.csv:2: the target probability is not in [0, 1]" $ope --log bad.csv
csv a,1,.5,.5,u b,,.5,.5,v
expect 1 "bad.csv:3: the reward is missing" $ope --log bad.csv
csv a,1,.5,.5,u b,1,.5,.5
expect 1 "bad.csv:3: 4 fields, the header has 5" $ope --log bad.csv
csv a,1,.5,.5,u b,1,.5,.5,
expect 1 "bad.csv:3: no user, but other rows have one" $ope --log bad.csv
printf 'action,reward\na,1\n' >bad.csv
expect 1 "bad.csv:1: the column 'propensity' is missing" $ope --log bad.csv
printf 'action,reward,propensity,traget\na,1,.5,1\n' >bad.csv
expect 1 "bad.csv:1: there is no column 'traget'" $ope --log bad.csv
printf 'action,reward,propensity,target:a,target:b\na,1,.5,.5,.4\n' >bad.csv
expect 1 "bad.csv:2: the target probabilities of the candidates do not sum to 1" $ope --log bad.csv
printf 'action,reward,propensity,target:a,target:b,propensity:a,propensity:b\na,1,1,.5,.5,1,0\n' >bad.csv
expect 1 "bad.csv:2: the target puts 0.5 on action 'b'" $ope --log bad.csv
printf '{"action": "a", "reward": 1, "propensity": 0.5, "target": 0.5}\n{"action": "a", "reward": 1,\n' >bad.jsonl
expect 1 "bad.jsonl:2: column" $ope --log bad.jsonl
printf '{"action": "a", "reward": 1, "propensity": 0.5, "traget": 0.5}\n' >bad.jsonl
expect 1 "bad.jsonl:1: 'traget' is no member of a row" $ope --log bad.jsonl
printf '{"action": "a", "reward": 1, "propensity": 0.5, "target": 0.5, "context": {"": 1}}\n' >bad.jsonl
expect 1 "bad.jsonl:1: a context feature has no name" $ope --log bad.jsonl
: >empty.csv
expect 1 "empty.csv" $ope --log empty.csv
expect 1 "nowhere" $ope --log nowhere
mkdir nothing
expect 1 "holds neither impressions.tsv" $ope --log nothing

# requests that are no lists cost the lists alone
printf 'action,reward,propensity,target,request,position\na,1,.5,.5,r,1\nb,0,.5,.5,r,3\na,0,.5,.2,s,1\n' >gap.csv
expect 0 "no lists: gap.csv:3: the positions of a request should be 1, 2, 3" $ope --log gap.csv

# a signal: nothing is written, try again later
"$LLMCF" ope --log raw --target uniform --out stopped --replicates 1000000 --quiet 2>stderr &
until_stoppable $!
kill -TERM $!
wait $!
[ $? -eq 75 ] || fail "a stopped run does not exit with 75"
[ -e stopped ] && fail "a stopped run left a report"

# the Open Bandit data: uniform from the Thompson sampling log
if [ -d "$LCF_DATA/obd-men" ]; then
    expect 0 "IPS                        0.00301" $ope --log "$LCF_DATA/obd-men/bts" --target uniform --on-policy "$LCF_DATA/obd-men/random"
    expect 0 "SNIPS                      0.00319" $ope --log "$LCF_DATA/obd-men/bts" --target uniform
fi
exit $((fails > 0))
