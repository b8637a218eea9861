/*
 * The verbs of `llmcf`: one X(verb, function, summary) each, in the order of the pipeline. Each
 * function lives in the file named after its verb, parses its own options, and returns the exit
 * code.
 */
#ifndef LCF_OFFLINE_CMD_VERBS_H
#define LCF_OFFLINE_CMD_VERBS_H

#define LCF_VERBS(X)                                             \
    X(prepare, lcf_cmd_prepare, "turn a raw log into a dataset") \
    /* the end of the list */

#define LCF_VERB_DECLARE(verb, function, summary) int function(int argc, char **argv);
LCF_VERBS(LCF_VERB_DECLARE)
#undef LCF_VERB_DECLARE

#endif
