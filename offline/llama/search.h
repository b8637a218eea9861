/*
 * What can be asked of a model beside sampling: how likely given texts are (forced scoring), and
 * the best texts of a beam search.
 */
#ifndef LCF_OFFLINE_LLAMA_SEARCH_H
#define LCF_OFFLINE_LLAMA_SEARCH_H

#include "offline/llama/beam.h"

/*
 * Log probabilities of whole continuations of one prompt: the prompt is read once, all
 * continuations in one batch behind it, nothing is decoded.
 *
 * shapes   out [n] natural logarithms, summed over the tokens of each continuation
 * errors   ELIMIT the session has fewer than n + 1 sequences, no room for a text, or a batch
 * smaller than all continuations together; EINVAL an empty prompt or continuation memory sequences
 * 0 .. n of the session are used and left empty
 */
lcf_status lcf_llama_score(double *out, lcf_llama_session *s, const lcf_llama *m,
                           const lcf_tokens *prompt, const lcf_tokens *continuations, size_t n,
                           lcf_err *err);

/*
 * One beam search by itself; see beam.h.
 *
 * shapes   out [beams_n], zeroed by the caller, who also disposes their tokens, after a failure
 *          too; best first, empty from where the search found no more
 * errors   ELIMIT the session has fewer than beams_n sequences or no room; EINVAL an empty prompt;
 *          ECANCELED a signal
 * memory   sequences 0 .. beams_n - 1 of the session are used and left empty
 */
lcf_status lcf_llama_beam_search(lcf_beam *out, lcf_llama_session *s, const lcf_llama *m,
                                 const lcf_tokens *prompt, const lcf_beam_options *options,
                                 lcf_rng *rng, lcf_err *err);

#endif
