/*
 * One prompt, one completion.
 */
#include "offline/llama/complete.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/llama/search.h"

#include <stdlib.h>
#include <string.h>

enum { PREFILL_MAX = 512 }; /* prompt tokens in one batch */

const char *lcf_finish_text(lcf_finish finish)
{
    static const char *const TEXTS[] = {"length", "stop", "context", "given"};

    return TEXTS[finish];
}

lcf_status lcf_prompt_encode(lcf_tokens *out, const lcf_tokenizer *t, const char *text, size_t len,
                             bool bos, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (bos && lcf_tokenizer_adds_bos(t))
        status = lcf_tokens_push(out, lcf_tokenizer_bos(t));
    if (status)
        return LCF_FAIL(err, status, "prompt of %zu bytes", len);
    return lcf_tokenizer_encode(out, t, text, len, true, err);
}

static lcf_status encode_prompt(lcf_tokens *out, const lcf_tokenizer *t, const char *prompt,
                                size_t len, const lcf_complete_options *o, lcf_err *err)
{
    lcf_str system = {o->system, o->system ? strlen(o->system) : 0};

    if (o->chat == LCF_TEMPLATE_PLAIN)
        return lcf_prompt_encode(out, t, prompt, len, o->bos, err);
    return lcf_template_encode(out, t, o->chat, system, (lcf_str){prompt, len}, err);
}

void lcf_completion_dispose(lcf_completion *c)
{
    lcf_tokens_dispose(&c->prompt);
    lcf_tokens_dispose(&c->made);
    lcf_buf_dispose(&c->text);
    free(c->logprobs);
    memset(c, 0, sizeof(*c));
}

/* The prompt in batches; *logits are those after its last token. */
static lcf_status prefill(const float **logits, lcf_llama_session *s, const lcf_tokens *prompt,
                          lcf_err *err)
{
    lcf_llama_token batch[PREFILL_MAX];
    lcf_status status = LCF_OK;

    for (size_t first = 0; first < prompt->n && !status; first += PREFILL_MAX) {
        size_t n = prompt->n - first < PREFILL_MAX ? prompt->n - first : PREFILL_MAX;
        for (size_t i = 0; i < n; i++)
            batch[i] = (lcf_llama_token){prompt->ids[first + i], 0, first + i + 1 == prompt->n};
        status = lcf_llama_decode(logits, s, batch, n, err);
    }
    return status;
}

/* The text of what was made; *stopped: a stop string is in it, and it ends before the first. */
static lcf_status make_text(bool *stopped, lcf_completion *c, const lcf_llama *m,
                            const lcf_complete_options *options, lcf_err *err)
{
    size_t end;

    *stopped = false;
    lcf_buf_reset(&c->text);
    lcf_tokenizer_decode(&c->text, m->tokenizer, c->made.ids, c->made.n);
    if (c->text.status)
        return LCF_FAIL(err, c->text.status, "text of %zu tokens", c->made.n);
    end = lcf_stops_find(&options->stops, lcf_buf_text(&c->text), c->text.len);
    *stopped = end < c->text.len;
    if (*stopped) {
        c->text.len = end;
        c->text.data[end] = '\0';
    }
    return LCF_OK;
}

/* Log probabilities of what was made, in one more pass over prompt and text. */
static lcf_status fill_logprobs(lcf_completion *c, lcf_llama_session *s, const lcf_llama *m,
                                lcf_err *err)
{
    lcf_llama_token batch[PREFILL_MAX];
    size_t n = c->prompt.n + c->made.n - 1, batch_max = lcf_llama_session_batch_max(s), take;
    lcf_status status = LCF_OK;

    lcf_llama_seq_reset(s, 0);
    for (size_t first = 0; c->made.n && first < n && !status; first += take) {
        const float *logits;
        take = n - first < batch_max ? n - first : batch_max;
        for (size_t i = 0; i < take; i++) {
            size_t at = first + i;
            uint32_t id = at < c->prompt.n ? c->prompt.ids[at] : c->made.ids[at - c->prompt.n];
            batch[i] = (lcf_llama_token){id, 0, at + 1 >= c->prompt.n};
        }
        status = lcf_llama_decode(&logits, s, batch, take, err);
        for (size_t i = 0; i < take && !status; i++)
            if (batch[i].want_logits) {
                size_t made = first + i + 1 - c->prompt.n;
                c->logprobs[made] =
                    (float)lcf_logprob(logits, m->config.vocab_n, c->made.ids[made]);
                logits += m->config.vocab_n;
            }
    }
    return status;
}

static lcf_status search(lcf_completion *c, lcf_llama_session *s, const lcf_llama *m,
                         size_t context_n, const lcf_complete_options *options, lcf_err *err)
{
    lcf_beam_options beam = LCF_BEAM_OPTIONS_INIT;
    lcf_rng rng;
    size_t room = context_n - c->prompt.n + 1; /* the last token needs no place */
    lcf_beam *beams = lcf_alloc_zero(options->beams_n, sizeof(*beams));
    lcf_status status;

    if (!beams)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu beams", options->beams_n);
    beam.beams_n = options->beams_n;
    beam.tokens_max = options->tokens_max < room ? options->tokens_max : room;
    beam.sampling.repeat_penalty = options->sampling.repeat_penalty;
    beam.stops = options->stops;
    lcf_rng_seed(&rng, options->seed, 0);
    status = lcf_llama_beam_search(beams, s, m, &c->prompt, &beam, &rng, err);
    if (!status) {
        c->made = beams[0].tokens; /* ours from here on */
        beams[0].tokens = (lcf_tokens){NULL, 0, 0};
        c->finish = beams[0].finished                        ? LCF_FINISH_STOP
                    : beam.tokens_max == options->tokens_max ? LCF_FINISH_LENGTH
                                                             : LCF_FINISH_CONTEXT;
        status = fill_logprobs(c, s, m, err);
    }
    for (size_t i = 0; i < options->beams_n; i++)
        lcf_tokens_dispose(&beams[i].tokens);
    free(beams);
    return status;
}

static lcf_status generate(lcf_completion *c, lcf_llama_session *s, lcf_sampler *sampler,
                           const lcf_llama *m, size_t context_n,
                           const lcf_complete_options *options, lcf_err *err)
{
    const float *logits = NULL;
    lcf_rng rng;
    lcf_status status = prefill(&logits, s, &c->prompt, err);

    lcf_rng_seed(&rng, options->seed, 0);
    c->finish = LCF_FINISH_LENGTH;
    while (!status && c->made.n < options->tokens_max) {
        float logprob;
        uint32_t id = lcf_sampler_next(sampler, logits, c->made.ids, c->made.n, &options->sampling,
                                       &rng, &logprob);
        lcf_llama_token token = {id, 0, true};
        if (lcf_tokenizer_is_end(m->tokenizer, id)) {
            c->finish = LCF_FINISH_STOP;
            break;
        }
        c->logprobs[c->made.n] = logprob;
        status = lcf_tokens_push(&c->made, id);
        if (status)
            return LCF_FAIL(err, status, "completion of %zu tokens", c->made.n);
        if (options->stops.n) {
            bool stopped;
            status = make_text(&stopped, c, m, options, err);
            if (status || stopped) {
                c->finish = LCF_FINISH_STOP;
                break;
            }
        }
        if (c->made.n == options->tokens_max)
            break;
        if (lcf_llama_seq_len(s, 0) == context_n) {
            c->finish = LCF_FINISH_CONTEXT;
            break;
        }
        if (lcf_stop_requested())
            return LCF_FAIL(err, LCF_ECANCELED, "stopped after %zu tokens", c->made.n);
        status = lcf_llama_decode(&logits, s, &token, 1, err);
    }
    return status;
}

/* The answer's tokens, as a continuation of the prompt. */
static lcf_status take_answer(lcf_completion *c, const lcf_llama *m, const char *answer,
                              lcf_err *err)
{
    const size_t context_n = m->config.context_n;
    lcf_status status =
        lcf_tokenizer_encode(&c->made, m->tokenizer, answer, strlen(answer), false, err);

    c->finish = LCF_FINISH_GIVEN;
    if (!status && !c->made.n)
        return LCF_FAIL(err, LCF_EINVAL, "the answer is empty");
    if (!status && c->made.n > context_n - c->prompt.n)
        return LCF_FAIL(err, LCF_ELIMIT,
                        "prompt of %zu tokens and answer of %zu; the model's context is %zu",
                        c->prompt.n, c->made.n, context_n);
    return status;
}

lcf_status lcf_complete(lcf_completion *out, const lcf_llama *m, const char *prompt, size_t len,
                        const lcf_complete_options *options, lcf_err *err)
{
    lcf_tokens tokens = LCF_TOKENS_INIT;
    lcf_status status = encode_prompt(&tokens, m->tokenizer, prompt, len, options, err);

    if (!status)
        return lcf_complete_tokens(out, m, &tokens, NULL, options, err);
    memset(out, 0, sizeof(*out));
    lcf_tokens_dispose(&tokens);
    return status;
}

lcf_status lcf_complete_tokens(lcf_completion *out, const lcf_llama *m, lcf_tokens *prompt,
                               const lcf_soft_tokens *soft, const lcf_complete_options *options,
                               lcf_err *err)
{
    lcf_llama_session_options session = {.threads = options->threads};
    lcf_llama_session *s = NULL;
    lcf_sampler *sampler = NULL;
    size_t context_n = m->config.context_n, wanted;
    bool stopped;
    lcf_status status = LCF_OK;

    memset(out, 0, sizeof(*out));
    out->prompt = *prompt;
    *prompt = (lcf_tokens)LCF_TOKENS_INIT;
    if (!out->prompt.n)
        return LCF_FAIL(err, LCF_EINVAL, "the prompt is empty");
    if (out->prompt.n > context_n)
        return LCF_FAIL(err, LCF_ELIMIT, "prompt of %zu tokens; the model's context is %zu",
                        out->prompt.n, context_n);
    if (options->answer)
        status = take_answer(out, m, options->answer, err);
    if (status)
        return status;
    if (lcf_add_size(&wanted, out->prompt.n, options->answer ? out->made.n : options->tokens_max) &&
        wanted < context_n)
        context_n = wanted;
    out->logprobs = lcf_alloc(context_n + 1, sizeof(*out->logprobs));
    if (!out->logprobs)
        status = LCF_FAIL(err, LCF_ENOMEM, "completion of %zu tokens", context_n);
    session.seqs_max = options->beams_n > 1 ? options->beams_n : 1;
    session.context_n = context_n;
    session.batch_max = out->prompt.n < PREFILL_MAX ? out->prompt.n : PREFILL_MAX;
    if (session.batch_max < session.seqs_max)
        session.batch_max = session.seqs_max;
    if (!status)
        status = lcf_llama_session_open(&s, m, &session, err);
    if (!status && soft)
        lcf_llama_session_soft(s, soft);
    if (!status)
        status = lcf_sampler_create(&sampler, m->config.vocab_n, err);
    if (!status)
        status = options->answer        ? fill_logprobs(out, s, m, err)
                 : options->beams_n > 1 ? search(out, s, m, context_n, options, err)
                                        : generate(out, s, sampler, m, context_n, options, err);
    if (!status)
        status = make_text(&stopped, out, m, options, err);
    if (!status && stopped && !options->answer)
        out->finish = LCF_FINISH_STOP;
    lcf_sampler_free(sampler);
    lcf_llama_session_free(s);
    return status;
}
