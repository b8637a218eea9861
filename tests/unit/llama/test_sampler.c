/*
 * Sampling: greedy ties, the share of every token against its probability, cuts by rank and share,
 * and the same draws from the same seed.
 */
#include "common/base/mem.h"
#include "offline/llama/llama.h"
#include "tests/unit/test.h"

#include <math.h>

enum { VOCAB = 12, DRAWS = 40000 };

static const float LOGITS[VOCAB] = {0.5f, 2, -1, 2, 1.5f, -3, 0, 1, -2, 0.25f, -0.5f, -9};

static lcf_sampler *create(void)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_sampler *s;

    assert_ok(lcf_sampler_create(&s, VOCAB, &err), &err);
    return s;
}

/* Draws many times and compares shares with `wanted` (weights, not normalised). */
static void check_shares(lcf_sampling sampling, const double *wanted)
{
    lcf_sampler *s = create();
    size_t counts[VOCAB] = {0};
    double total = 0;
    lcf_rng rng;

    lcf_rng_seed(&rng, 77, 0);
    for (size_t i = 0; i < DRAWS; i++)
        counts[lcf_sampler_next(s, LOGITS, NULL, 0, &sampling, &rng, NULL)]++;
    for (size_t i = 0; i < VOCAB; i++)
        total += wanted[i];
    for (size_t i = 0; i < VOCAB; i++) {
        double p = wanted[i] / total, sd = sqrt(p * (1 - p) / DRAWS);
        double share = (double)counts[i] / DRAWS;
        if (p == 0)
            assert_int_equal(counts[i], 0);
        if (fabs(share - p) > 5 * sd + 1e-9)
            fail_msg("token %zu: share %g, probability %g", i, share, p);
    }
    lcf_sampler_free(s);
}

static void test_greedy(void **state)
{
    lcf_sampler *s = create();
    lcf_sampling greedy = {0, 0, 1, 0, 0};
    double sum = 0;
    float logprob;
    lcf_rng rng, before;

    (void)state;
    lcf_rng_seed(&rng, 1, 0);
    before = rng;
    assert_int_equal(lcf_sampler_next(s, LOGITS, NULL, 0, &greedy, &rng, &logprob), 1); /* not 3 */
    assert_memory_equal(&rng, &before, sizeof(rng)); /* nothing is drawn */
    for (size_t i = 0; i < VOCAB; i++)
        sum += exp(LOGITS[i]);
    assert_true(fabs(logprob - (2 - log(sum))) < 1e-5);
    for (uint32_t i = 0; i < VOCAB; i++)
        assert_true(fabs(lcf_logprob(LOGITS, VOCAB, i) - (LOGITS[i] - log(sum))) < 1e-12);
    lcf_sampler_free(s);
}

static void test_temperature(void **state)
{
    double wanted[VOCAB];

    (void)state;
    for (size_t i = 0; i < VOCAB; i++)
        wanted[i] = exp(LOGITS[i] / 0.7);
    check_shares((lcf_sampling){0.7f, 0, 1, 0, 0}, wanted);
    check_shares((lcf_sampling){0.7f, VOCAB, 1, 0, 0}, wanted);
    check_shares((lcf_sampling){0.7f, 1000, 1, 0, 0}, wanted);
}

static void test_top_k(void **state)
{
    double wanted[VOCAB] = {0};

    (void)state;
    wanted[1] = wanted[3] = exp(2.);
    wanted[4] = exp(1.5);
    check_shares((lcf_sampling){1, 3, 1, 0, 0}, wanted);
    wanted[3] = wanted[4] = 0; /* of equals the lower id stays */
    check_shares((lcf_sampling){1, 1, 1, 0, 0}, wanted);
}

static void test_top_p(void **state)
{
    double wanted[VOCAB] = {0}, total = 0;

    (void)state;
    for (size_t i = 0; i < VOCAB; i++)
        total += exp(LOGITS[i]);
    wanted[1] = wanted[3] = exp(2.);
    check_shares((lcf_sampling){1, 0, (float)((2 * exp(2.) - 0.01) / total), 0, 0}, wanted);
    wanted[4] = exp(1.5);
    check_shares((lcf_sampling){1, 0, (float)((2 * exp(2.) + 0.01) / total), 0, 0}, wanted);
    wanted[3] = wanted[4] = 0;
    check_shares((lcf_sampling){1, 0, 0, 0, 0}, wanted); /* at least one */
    wanted[3] = exp(2.);                                 /* p counts within the best k */
    check_shares((lcf_sampling){1, 3, 0.6f, 0, 0}, wanted);
}

static void test_same_seed(void **state)
{
    lcf_sampler *a = create(), *b = create();
    lcf_sampling sampling = {1.2f, 7, 0.95f, 0, 0};
    lcf_rng x, y;

    (void)state;
    lcf_rng_seed(&x, 5, 3);
    lcf_rng_seed(&y, 5, 3);
    for (int i = 0; i < 100; i++) {
        float p, q;
        assert_int_equal(lcf_sampler_next(a, LOGITS, NULL, 0, &sampling, &x, &p),
                         lcf_sampler_next(b, LOGITS, NULL, 0, &sampling, &y, &q));
        assert_memory_equal(&p, &q, sizeof(p));
        assert_true(p < 0);
    }
    lcf_sampler_free(a);
    lcf_sampler_free(b);
    assert_int_equal(lcf_sampler_create(&a, 0, NULL), LCF_EINVAL);
}

/* The k best of many, against sorting. */
static void test_selection(void **state)
{
    enum { N = 1000 };
    float logits[N];
    size_t counts[N] = {0};
    lcf_sampling sampling = {1000, 40, 1, 0, 0}; /* nearly uniform among the 40 */
    lcf_err err = LCF_ERR_INIT;
    lcf_sampler *s;
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 8, 0);
    for (size_t i = 0; i < N; i++)
        logits[i] = (float)lcf_rng_below(&rng, 200);
    assert_ok(lcf_sampler_create(&s, N, &err), &err);
    for (size_t i = 0; i < 4000; i++)
        counts[lcf_sampler_next(s, logits, NULL, 0, &sampling, &rng, NULL)]++;
    for (size_t i = 0; i < N; i++) {
        size_t ahead = 0;
        for (size_t j = 0; j < N; j++)
            ahead += logits[j] > logits[i] || (logits[j] == logits[i] && j < i);
        assert_int_equal(counts[i] > 0, ahead < 40);
    }
    lcf_sampler_free(s);
}

static void test_min_p(void **state)
{
    double wanted[VOCAB] = {0};

    (void)state;
    wanted[1] = wanted[3] = exp(2);
    wanted[4] = exp(1.5);
    wanted[7] = exp(1);
    check_shares((lcf_sampling){1, 0, 1, 0.3f, 0}, wanted);
    wanted[7] = 0;
    check_shares((lcf_sampling){1, 0, 1, 0.5f, 0}, wanted);
    check_shares((lcf_sampling){1, 0, 1, 0.5f, 1}, wanted);
    wanted[4] = 0;
    check_shares((lcf_sampling){1, 0, 1, 1, 0}, wanted);
}

/* What came before is less likely, once however often it came, and forgotten after the window. */
static void test_repeat_penalty(void **state)
{
    lcf_sampling sampling = {0, 0, 1, 0, 1.5f};
    uint32_t past[LCF_REPEAT_WINDOW + 1] = {1};
    lcf_sampler *s = create();
    float logprob;
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 1, 0);
    assert_int_equal(lcf_sampler_next(s, LOGITS, NULL, 0, &sampling, &rng, NULL), 1);
    past[1] = 1; /* 2 / 1.5, once: less than 3's 2, and more than 0's .5 */
    assert_int_equal(lcf_sampler_next(s, LOGITS, past, 2, &sampling, &rng, &logprob), 3);
    assert_true(fabs(logprob - lcf_logprob(LOGITS, VOCAB, 3)) < 1e-5);
    past[0] = 3;
    past[2] = 4; /* 1.5 / 1.5 = 1, as 7, which is later: the best are 1 and 3 still */
    assert_int_equal(lcf_sampler_next(s, LOGITS, past, 3, &sampling, &rng, NULL), 1);
    sampling.repeat_penalty = 3;
    assert_int_equal(lcf_sampler_next(s, LOGITS, past, 3, &sampling, &rng, NULL), 7);
    past[0] = 1;
    for (size_t i = 1; i <= LCF_REPEAT_WINDOW; i++)
        past[i] = 3;
    assert_int_equal(
        lcf_sampler_next(s, LOGITS, past, LCF_REPEAT_WINDOW + 1, &sampling, &rng, NULL), 1);
    lcf_sampler_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_min_p),     cmocka_unit_test(test_repeat_penalty),
        cmocka_unit_test(test_greedy),    cmocka_unit_test(test_temperature),
        cmocka_unit_test(test_top_k),     cmocka_unit_test(test_top_p),
        cmocka_unit_test(test_same_seed), cmocka_unit_test(test_selection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
