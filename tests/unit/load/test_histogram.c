/* The histogram against sorted values: percentiles within its precision, over all sizes. */
#include "tests/unit/test.h"

#include "common/base/rng.h"
#include "online/load/histogram.h"

#include <math.h>

static lcf_histogram g_h;

static int compare_u64(const void *pa, const void *pb)
{
    const uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

    return (a > b) - (a < b);
}

static void an_empty_one(void **state)
{
    (void)state;
    lcf_histogram_reset(&g_h);
    assert_int_equal(lcf_histogram_percentile(&g_h, 50), 0);
    assert_true(lcf_histogram_mean(&g_h) == 0.0);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    lcf_histogram_reset(&g_h);
    for (uint64_t i = 1; i <= 100; i++)
        lcf_histogram_add(&g_h, i);
    assert_int_equal(lcf_histogram_percentile(&g_h, 0), 1);
    assert_int_equal(lcf_histogram_percentile(&g_h, 50), 50);
    assert_int_equal(lcf_histogram_percentile(&g_h, 99), 99);
    assert_int_equal(lcf_histogram_percentile(&g_h, 100), 100);
    assert_true(lcf_histogram_mean(&g_h) == 50.5);
    assert_int_equal(g_h.min, 1);
    assert_int_equal(g_h.max, 100);
}

/* Every value, alone, is its own percentile to 1/128, and never less than itself. */
static void every_size_has_a_bucket(void **state)
{
    (void)state;
    for (uint64_t value = 1; value < (uint64_t)1 << 40; value += value / 3 + 1) {
        lcf_histogram_reset(&g_h);
        lcf_histogram_add(&g_h, value);
        lcf_histogram_add(&g_h, UINT64_MAX); /* keeps the maximum out of the way */
        assert_true(lcf_histogram_percentile(&g_h, 50) >= value);
        assert_true(lcf_histogram_percentile(&g_h, 50) - value <= value >> LCF_HISTOGRAM_BITS);
    }
    assert_int_equal(g_h.counts[LCF_HISTOGRAM_N - 1], 1); /* what is too large is the largest */
}

static void random_values(void **state)
{
    enum { N = 20000 };
    static uint64_t values[N];
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 3, 0);
    lcf_histogram_reset(&g_h);
    for (size_t i = 0; i < N; i++) {
        values[i] = (uint64_t)(1e6 * exp(2 * lcf_rng_normal(&rng)));
        lcf_histogram_add(&g_h, values[i]);
    }
    qsort(values, N, sizeof(*values), compare_u64);
    for (double percent = 1; percent < 100; percent += 0.7) {
        const uint64_t wanted = values[(size_t)ceil(percent / 100 * N) - 1];
        const uint64_t got = lcf_histogram_percentile(&g_h, percent);

        assert_true(got >= wanted && got - wanted <= wanted >> LCF_HISTOGRAM_BITS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(every_size_has_a_bucket),
        cmocka_unit_test(random_values),
    };

    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
