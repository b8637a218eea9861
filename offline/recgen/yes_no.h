/*
 * Yes or No about the rows of a source, TALLRec's way: rows whose answer begins with "Yes" or "No",
 * each scored once from the logits of the token that decides, in one pass over its prompt.
 *
 * Two scorings, both of the same logits:
 *
 *   published   sigmoid(p_yes - p_no) of the probabilities over the whole vocabulary: what
 * TALLRec's code computes by a second softmax. It ranks by p_yes - p_no, within (.269, .731).
 *   difference  log p_yes - log p_no
 *
 * The deciding position is found in the row's own targets, from the end: the last supervised
 * position whose target is Yes or No. A "No" within a title, or a row that was cut, cannot shift
 * the rows against each other, as counting such positions over a batch does.
 *
 * source   Bao et al. 2023 (TALLRec), evaluate.py and finetune_rec.py
 */
#ifndef LCF_OFFLINE_RECGEN_YES_NO_H
#define LCF_OFFLINE_RECGEN_YES_NO_H

#include "common/base/pool.h"
#include "offline/recgen/mixture.h"
#include "offline/recgen/probe.h"

/* Which tokens are compared: those that follow a line break ("Yes", 8241 and 3782 in LLaMA's
 * vocabulary), those that follow a word (" Yes", 3869 and 1939), or those of the rows themselves.
 */
typedef enum lcf_yes_no_pair {
    LCF_PAIR_OWN,
    LCF_PAIR_PLAIN,
    LCF_PAIR_SPACED,
} lcf_yes_no_pair;

typedef struct lcf_yes_no {
    double p_yes, p_no; /* over the whole vocabulary */
    double difference;  /* log p_yes - log p_no */
    uint8_t label;      /* 1 when the row says Yes */
} lcf_yes_no;
double lcf_yes_no_published(const lcf_yes_no *y);

/* The last position whose target is one of the answers' ids; n when there is none. */
size_t lcf_yes_no_position(const int32_t *targets, size_t n, const lcf_answers *answers);

/*
 * Leaves of every answer of a row what decides it, for a binary objective: its last Yes or No,
 * where what both begin with stands before it. An answer is a run of targets that count; a
 * conversation has several.
 *
 * shapes   targets [n], -1 where nothing counts, of answers alone; what is left out becomes -1
 * returns  answers that decide; *answers_n: all
 */
size_t lcf_yes_no_keep(size_t *answers_n, int32_t *targets, size_t n, const lcf_answers *answers);

/*
 * Scores all rows of a source, held-out ones left aside.
 *
 * shapes   out [rows_n of the source]
 * errors   EFORMAT a row that answers neither Yes nor No (its number named); EUNSUPPORTED the pair
 *          cannot be compared in this vocabulary, or cannot where the rows decide
 * threads  a row a task: the same bits at any number
 */
lcf_status lcf_yes_no_score(lcf_yes_no *out, const lcf_llama *model, const lcf_tokenizer *tokenizer,
                            lcf_mixture *mixture, const lcf_sources *sources, size_t source,
                            lcf_yes_no_pair pair, size_t context_n, lcf_pool *pool, lcf_err *err);

typedef struct lcf_yes_no_auc {
    double published, difference; /* NaN with one class */
    size_t rows, yes;
} lcf_yes_no_auc;
/* errors: ENOMEM */
lcf_status lcf_yes_no_measure(lcf_yes_no_auc *out, const lcf_yes_no *rows, size_t n, lcf_err *err);

#endif
