/*
 * What can be asked of a model beside sampling: how likely given texts are (forced scoring), and
 * the likeliest texts themselves (beam search).
 */
#ifndef LCF_OFFLINE_LLAMA_SEARCH_H
#define LCF_OFFLINE_LLAMA_SEARCH_H

#include "offline/llama/llama.h"

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

typedef struct lcf_beam {
    lcf_tokens tokens; /* without the token that ended it */
    double logprob;    /* sum over its tokens, the ending one included */
    bool finished;     /* ended by the model, not by tokens_max */
} lcf_beam;

typedef struct lcf_beam_options {
    size_t beams_n, tokens_max;
    float length_power; /* texts are compared by logprob / length ^ power; 0: longer texts lose */
} lcf_beam_options;
#define LCF_BEAM_OPTIONS_INIT \
    {                         \
        3, 128, 1.0f          \
    }

/*
 * The likeliest continuations that beam search finds, best first. The search ends when beams_n
 * texts are finished and no open one can still pass the worst of them, or at tokens_max.
 *
 * shapes   out [beams_n], zeroed by the caller, who also disposes their tokens, after a failure too
 * errors   ELIMIT the session has fewer than 2 beams_n sequences or no room; EINVAL an empty prompt
 * order    of equals, the one with the lower beam and token
 * memory   sequences 0 .. 2 beams_n - 1 of the session are used and left empty
 * source   Freitag and Al-Onaizan 2017; length penalty of Wu et al. 2016, simplified as usual
 */
lcf_status lcf_llama_beam_search(lcf_beam *out, lcf_llama_session *s, const lcf_llama *m,
                                 const lcf_tokens *prompt, const lcf_beam_options *options,
                                 lcf_err *err);

#endif
