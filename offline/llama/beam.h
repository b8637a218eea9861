/*
 * Beam search apart from the network: which texts go on and with which token, given the logits
 * behind each. Several searches can share a batch of the network; see search.h for one by itself
 * and decode.h for many.
 *
 * With temperature 0 the likeliest continuations of all open texts go on. With a temperature twice
 * as many as there are beams are drawn without replacement, in proportion to exp(score /
 * temperature) of the whole text, among what top-k, top-p and min-p leave of each text's
 * continuations, and the likeliest of those go on: beam search with sampling, as Hugging Face has
 * it. A score is the sum of log probabilities, after the repetition penalty where there is one.
 *
 * Life cycle: create -> (begin -> step, step, ...) ... -> free. One thread at a time.
 *
 * source   Freitag and Al-Onaizan 2017; length penalty of Wu et al. 2016, simplified as usual;
 *          Kool et al. 2019 for drawing without replacement (Gumbel top-k)
 */
#ifndef LCF_OFFLINE_LLAMA_BEAM_H
#define LCF_OFFLINE_LLAMA_BEAM_H

#include "offline/llama/llama.h"

typedef struct lcf_beam {
    lcf_tokens tokens; /* without the token that ended it */
    double logprob;    /* its score: over its tokens, the ending one included */
    bool finished;     /* ended by the model or a stop string, not by tokens_max */
} lcf_beam;

typedef struct lcf_beam_options {
    size_t beams_n, tokens_max;
    float length_power; /* texts are compared by score / length ^ power; 0: longer texts lose */
    lcf_sampling sampling;
    lcf_stops stops; /* a text that has one of these is finished; its tokens include it */
} lcf_beam_options;
#define LCF_BEAM_OPTIONS_INIT             \
    {                                     \
        3, 128, 1.0f, {.temperature = 0}, \
        {                                 \
            .n = 0                        \
        }                                 \
    }

typedef struct lcf_beams lcf_beams;

/* errors: EINVAL no beam or no token; ENOMEM. memory: keeps t and the stop strings */
lcf_status lcf_beams_create(lcf_beams **out, const lcf_beam_options *options,
                            const lcf_tokenizer *t, lcf_err *err);
void lcf_beams_free(lcf_beams *b);
/* One open text without a token. */
void lcf_beams_begin(lcf_beams *b);
/* Texts that go on; 0 when the search is over: beams_n texts are finished and no open one can still
 * pass the worst of them, or all have tokens_max. */
size_t lcf_beams_open_n(const lcf_beams *b);
/*
 * Each open text is replaced by what is best or drawn.
 *
 * shapes   logits [open_n, vocab_n] behind the open texts, in their order
 * order    of equals, the one with the lower beam and token
 * errors   ENOMEM
 */
lcf_status lcf_beams_step(lcf_beams *b, const float *logits, lcf_sampler *sampler, lcf_rng *rng,
                          lcf_err *err);
/* The last token of open text i: what the network is to read next. */
uint32_t lcf_beams_token(const lcf_beams *b, size_t i);
/*
 * After a step: the open texts' beginnings move to where the texts are now, text i to seqs[i]. One
 * that several go on from is copied, the others stay where they are; sequences that are not used
 * any longer are emptied.
 *
 * shapes   seqs [beams_n] of the session: those of the texts before the step come first; reordered
 * errors   ELIMIT the KV cache has no page left
 */
lcf_status lcf_beams_move(uint32_t *seqs, lcf_beams *b, lcf_llama_session *s, lcf_err *err);
/* The finished texts, best first; NULL from where there is none. memory: until begin */
const lcf_beam *lcf_beams_result(const lcf_beams *b, size_t i);

#endif
