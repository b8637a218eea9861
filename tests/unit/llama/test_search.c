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
    lcf_beam_options options = {1, 12, 1.0f, {.temperature = 0}, {.n = 0}};
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
    assert_ok(lcf_llama_beam_search(&beam, w->s, w->m, &w->prompt, &options, &rng, &err), &err);
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
    lcf_beam_options options = {BEAMS, 2, 0.0f, {.temperature = 0}, {.n = 0}};
    size_t vocab_n = w->m->config.vocab_n;
    lcf_rng rng = {{0}};
    lcf_beam beams[BEAMS] = {{.finished = false}};
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_llama_beam_search(beams, w->s, w->m, &w->prompt, &options, &rng, &err), &err);
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
    options.beams_n = SEQS + 1;
    assert_int_equal(lcf_llama_beam_search(beams, w->s, w->m, &w->prompt, &options, &rng, NULL),
                     LCF_ELIMIT);
    for (uint32_t q = 0; q < SEQS; q++)
        assert_int_equal(lcf_llama_seq_len(w->s, q), 0);
}

static void dispose(lcf_beam *beams, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lcf_tokens_dispose(&beams[i].tokens);
    memset(beams, 0, n * sizeof(*beams));
}

/* Drawn texts of one token: two are drawn among the three likeliest, the likelier of them is kept.
 * How often it is which follows from their shares. */
static void test_drawn(void **state)
{
    enum { DRAWS = 4000, AMONG = 3 };
    world *w = *state;
    lcf_beam_options options = {
        AMONG, 1, 0.0f, {.temperature = 0, .top_k = AMONG, .top_p = 1}, {.n = 0}};
    lcf_beam beams[AMONG] = {{.finished = false}};
    double share[AMONG], total = 0, seen[AMONG] = {0}, a, b, wanted;
    uint32_t ids[AMONG];
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng = {{0}};

    assert_ok(lcf_llama_beam_search(beams, w->s, w->m, &w->prompt, &options, &rng, &err), &err);
    for (size_t i = 0; i < AMONG; i++) {
        assert_int_equal(beams[i].tokens.n, 1);
        ids[i] = beams[i].tokens.ids[0];
        total += share[i] = exp(beams[i].logprob / 0.5);
    }
    dispose(beams, AMONG);
    options.beams_n = 1;
    options.sampling.temperature = 0.5f;
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        size_t got = 0;
        lcf_rng_seed(&rng, seed, 0);
        assert_ok(lcf_llama_beam_search(beams, w->s, w->m, &w->prompt, &options, &rng, &err), &err);
        while (got < AMONG && beams[0].tokens.ids[0] != ids[got])
            got++;
        assert_in_range(got, 0, AMONG - 1);
        seen[got]++;
        dispose(beams, 1);
    }
    a = share[1] / total;
    b = share[2] / total;
    wanted = a * b / (1 - a) +
             a * b / (1 - b); /* the best is left out: the other two, in either order */
    assert_true(seen[2] == 0);
    assert_true(fabs(seen[1] / DRAWS - wanted) < 4 * sqrt(wanted * (1 - wanted) / DRAWS));
}

/* A stop string finishes a text with the token that completes it. */
static void test_stop(void **state)
{
    world *w = *state;
    lcf_beam_options options = {1, 12, 1.0f, {.temperature = 0}, {.n = 0}};
    lcf_beam free_text = {.finished = false}, stopped = {.finished = false};
    lcf_buf text = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng = {{0}};
    size_t n;

    assert_ok(lcf_llama_beam_search(&free_text, w->s, w->m, &w->prompt, &options, &rng, &err),
              &err);
    assert_true(free_text.tokens.n >= 4);
    lcf_tokenizer_decode(&text, w->m->tokenizer, free_text.tokens.ids, 4);
    options.stops = (lcf_stops){{"not in it", text.data + text.len - 1}, 2};
    assert_ok(lcf_llama_beam_search(&stopped, w->s, w->m, &w->prompt, &options, &rng, &err), &err);
    n = stopped.tokens.n;
    assert_in_range(n, 1, 4);
    assert_true(stopped.finished);
    assert_memory_equal(stopped.tokens.ids, free_text.tokens.ids, n * sizeof(uint32_t));
    lcf_buf_dispose(&text);
    dispose(&free_text, 1);
    dispose(&stopped, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_score),     cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_all_pairs), cmocka_unit_test(test_drawn),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
