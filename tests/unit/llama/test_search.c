/*
 * Forced scoring against token-by-token log probabilities, and beam search against trying every
 * text.
 */
#include "common/base/mem.h"
#include "offline/llama/search.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/test.h"

#include <math.h>

#define PATH "test_search.gguf"

enum { CONTEXT = 60, SEQS = 8, BATCH = 64 };

typedef struct world {
    lcf_llama *m;
    lcf_llama_session *s;
    lcf_tokens prompt;
} world;

static int setup(void **state)
{
    fixture_options o = FIXTURE_OPTIONS_INIT;
    world *w = lcf_alloc_zero(1, sizeof(*w));
    lcf_err err = LCF_ERR_INIT;

    assert_non_null(w);
    fixture_write(PATH, &o);
    assert_ok(lcf_llama_open(&w->m, PATH, &err), &err);
    assert_ok(lcf_llama_session_create(&w->s, w->m, SEQS, CONTEXT, BATCH, &err), &err);
    assert_ok(lcf_tokenizer_encode(&w->prompt, w->m->tokenizer, "The user likes", 14, true, &err),
              &err);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;

    lcf_tokens_dispose(&w->prompt);
    lcf_llama_session_free(w->s);
    lcf_llama_close(w->m);
    free(w);
    return 0;
}

/* log p(text | prompt), one token after the other */
static double logprob_of(const world *w, const uint32_t *ids, size_t n)
{
    const float *logits;
    lcf_err err = LCF_ERR_INIT;
    double sum = 0;

    lcf_llama_seq_reset(w->s, 0);
    for (size_t i = 0; i < w->prompt.n; i++) {
        lcf_llama_token token = {w->prompt.ids[i], 0, true};
        assert_ok(lcf_llama_decode(&logits, w->s, &token, 1, &err), &err);
    }
    for (size_t i = 0; i < n; i++) {
        lcf_llama_token token = {ids[i], 0, true};
        sum += lcf_logprob(logits, w->m->config.vocab_n, ids[i]);
        assert_ok(lcf_llama_decode(&logits, w->s, &token, 1, &err), &err);
    }
    lcf_llama_seq_reset(w->s, 0);
    return sum;
}

static void test_score(void **state)
{
    world *w = *state;
    uint32_t ids[] = {10, 20, 30, 40, 50, 60};
    const lcf_tokens texts[] = {
        {.ids = ids, .n = 3}, {.ids = ids + 3, .n = 1}, {.ids = ids, .n = 6}};
    const lcf_tokens empty = {.ids = ids, .n = 0};
    lcf_err err = LCF_ERR_INIT;
    double got[3];

    assert_ok(lcf_llama_score(got, w->s, w->m, &w->prompt, texts, 3, &err), &err);
    for (size_t i = 0; i < 3; i++)
        assert_true(fabs(got[i] - logprob_of(w, texts[i].ids, texts[i].n)) < 1e-9);
    assert_int_equal(lcf_llama_score(got, w->s, w->m, &w->prompt, &empty, 1, NULL), LCF_EINVAL);
    assert_int_equal(lcf_llama_score(got, w->s, w->m, &empty, texts, 1, NULL), LCF_EINVAL);
    assert_int_equal(lcf_llama_score(got, w->s, w->m, &w->prompt, texts, SEQS, NULL), LCF_ELIMIT);
    for (uint32_t q = 0; q < SEQS; q++)
        assert_int_equal(lcf_llama_seq_len(w->s, q), 0);
}

/* With one beam: the greedy text. */
static void test_greedy(void **state)
{
    world *w = *state;
    lcf_beam_options options = {1, 12, 1.0f};
    lcf_sampling sampling = {.temperature = 0};
    lcf_beam beam = {.finished = false};
    lcf_err err = LCF_ERR_INIT;
    lcf_sampler *sampler;
    uint32_t ids[12];
    size_t n = 0;
    lcf_rng rng;

    assert_ok(lcf_sampler_create(&sampler, w->m->config.vocab_n, &err), &err);
    lcf_rng_seed(&rng, 1, 0);
    for (; n < 12; n++) {
        const float *logits = NULL;
        for (size_t i = 0; i < w->prompt.n + n; i++) {
            lcf_llama_token token = {i < w->prompt.n ? w->prompt.ids[i] : ids[i - w->prompt.n], 1,
                                     true};
            assert_ok(lcf_llama_decode(&logits, w->s, &token, 1, &err), &err);
        }
        lcf_llama_seq_reset(w->s, 1);
        ids[n] = lcf_sampler_next(sampler, logits, NULL, 0, &sampling, &rng, NULL);
        if (lcf_tokenizer_is_end(w->m->tokenizer, ids[n]))
            break;
    }
    assert_ok(lcf_llama_beam_search(&beam, w->s, w->m, &w->prompt, &options, &err), &err);
    assert_int_equal(beam.tokens.n, n);
    assert_memory_equal(beam.tokens.ids, ids, n * sizeof(*ids));
    lcf_tokens_dispose(&beam.tokens);
    lcf_sampler_free(sampler);
}

/* Two tokens, every beam kept that matters: the best of all pairs, with what they are worth. */
static void test_all_pairs(void **state)
{
    enum { BEAMS = 4 };
    world *w = *state;
    lcf_beam_options options = {BEAMS, 2, 0.0f};
    size_t vocab_n = w->m->config.vocab_n;
    lcf_beam beams[BEAMS] = {{.finished = false}};
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_llama_beam_search(beams, w->s, w->m, &w->prompt, &options, &err), &err);
    for (size_t i = 0; i < BEAMS; i++) {
        uint32_t ids[2];
        assert_int_equal(beams[i].tokens.n + beams[i].finished, 2);
        memcpy(ids, beams[i].tokens.ids, beams[i].tokens.n * sizeof(*ids));
        if (!beams[i].finished)
            assert_true(fabs(beams[i].logprob - logprob_of(w, ids, 2)) < 1e-6);
        assert_true(i == 0 || beams[i].logprob <= beams[i - 1].logprob);
    }
    for (uint32_t second = 0; second < vocab_n; second++) { /* none is better with this beginning */
        uint32_t ids[2] = {beams[0].tokens.ids[0], second};
        if (!beams[0].finished && !lcf_tokenizer_is_end(w->m->tokenizer, second))
            assert_true(logprob_of(w, ids, 2) <= beams[0].logprob + 1e-6);
    }
    for (size_t i = 0; i < BEAMS; i++)
        lcf_tokens_dispose(&beams[i].tokens);
    options.beams_n = 5;
    assert_int_equal(lcf_llama_beam_search(beams, w->s, w->m, &w->prompt, &options, NULL),
                     LCF_ELIMIT);
    for (uint32_t q = 0; q < SEQS; q++)
        assert_int_equal(lcf_llama_seq_len(w->s, q), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_score),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_all_pairs),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
