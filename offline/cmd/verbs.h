/*
 * The verbs of `llmcf`: one X(verb, function, summary) each, in the order of the pipeline. Each
 * function lives in the file named after its verb, parses its own options, and returns the exit
 * code.
 */
#ifndef LCF_OFFLINE_CMD_VERBS_H
#define LCF_OFFLINE_CMD_VERBS_H

#define LCF_VERBS(X)                                                                       \
    X("simulate", lcf_cmd_simulate, "make up a shop and its log")                          \
    X("prepare", lcf_cmd_prepare, "turn a raw log into a dataset")                         \
    X("tune", lcf_cmd_tune, "make the language model from a dataset")                      \
    X("measure", lcf_cmd_measure, "what a language model can do, on held-out rows")        \
    X("export-sft", lcf_cmd_export_sft, "a tuning mixture for another trainer")            \
    X("import", lcf_cmd_import, "published weights as a model of ours")                    \
    X("generate", lcf_cmd_generate, "write chains of thought for training rows")           \
    X("export-requests", lcf_cmd_export_requests, "the same job as files of requests")     \
    X("import-responses", lcf_cmd_import_responses, "their answers into the store")        \
    X("store", lcf_cmd_store, "look after a chain-of-thought store")                       \
    X("score-cot", lcf_cmd_score_cot, "how well chains of thought are told apart")         \
    X("judge", lcf_cmd_judge, "ask the language model Yes or No about rows")               \
    X("ilm", lcf_cmd_ilm, "items as soft tokens of a frozen language model")               \
    X("encode", lcf_cmd_encode, "turn texts and chains of thought into vectors")           \
    X("index", lcf_cmd_index, "make the in-context examples and their index")              \
    X("retrieve", lcf_cmd_retrieve, "find the examples of every row")                      \
    X("knowledge", lcf_cmd_knowledge, "encode what is said about users and items")         \
    X("tokenize", lcf_cmd_tokenize, "show the token ids of a text")                        \
    X("quantize", lcf_cmd_quantize, "write a model with its matrices in another type")     \
    X("merge", lcf_cmd_merge, "put a LoRA adapter into its model, or stores into one")     \
    X("complete", lcf_cmd_complete, "continue a text with a model")                        \
    X("train", lcf_cmd_train, "train rankers: the backbone, or with the ICT module")       \
    X("codes", lcf_cmd_codes, "write users and items as a few bits each")                  \
    X("qformer", lcf_cmd_qformer, "turn collaborative vectors into soft tokens, phase 1")  \
    X("sweep", lcf_cmd_sweep, "train rankers with many settings, the best first")          \
    X("train-next", lcf_cmd_train_next, "train models of the next item, ranked among all") \
    X("compare-next", lcf_cmd_compare_next, "compare two next-item runs, with intervals")  \
    X("arm", lcf_cmd_arm, "runs of one system as one arm with seeds")                      \
    X("evaluate", lcf_cmd_evaluate, "compare two rankers, with intervals and a gate")      \
    X("compare", lcf_cmd_compare, "put rankers beside a baseline, as one table")           \
    X("ope", lcf_cmd_ope, "what another policy would have earned, from a log")             \
    X("experiment", lcf_cmd_experiment, "what live users say of two arms")                 \
    X("publish", lcf_cmd_publish, "put a snapshot in place for rank and serve")            \
    X("rollback", lcf_cmd_rollback, "take a publication back")                             \
    X("retire", lcf_cmd_retire, "remove old snapshots that nobody reads")                  \
    X("night", lcf_cmd_night, "keep the books of the nightly run")                         \
    X("chart", lcf_cmd_chart, "columns of a CSV file as SVG")                              \
    X("inspect", lcf_cmd_inspect, "show what a file, a folder or this machine holds")      \
    /* the end of the list */

#define LCF_VERB_DECLARE(verb, function, summary) int function(int argc, char **argv);
LCF_VERBS(LCF_VERB_DECLARE)
#undef LCF_VERB_DECLARE

#endif
