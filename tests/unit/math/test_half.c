/*
 * half.h over all 65,536 values of F16 and BF16 and every float half way between two of them, held
 * against arithmetic in double; and what training keeps, which is made of the same conversions.
 */
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/math/bf16.h"
#include "common/math/half.h"
#include "common/math/product.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct format {
    int fraction_bits, bias;
    float (*widen)(uint16_t);
    uint16_t (*narrow)(float);
} format;

static const format FORMATS[] = {{10, 15, lcf_f16_widen, lcf_f16_narrow},
                                 {7, 127, lcf_bf16_widen, lcf_bf16_narrow}};

static uint32_t infinity_of(const format *f)
{
    return 0x7fffu >> f->fraction_bits << f->fraction_bits;
}

/* A positive value that is no NaN; beyond the largest, what would follow it. */
static double value_of(const format *f, uint32_t bits)
{
    const uint32_t one = 1u << f->fraction_bits;
    const int exponent = (int)(bits >> f->fraction_bits);
    const double fraction = bits & (one - 1);

    return exponent ? ldexp(fraction + one, exponent - f->bias - f->fraction_bits)
                    : ldexp(fraction, 1 - f->bias - f->fraction_bits);
}

static void expect_narrow(const format *f, float x, uint32_t wanted)
{
    assert_int_equal(f->narrow(x), wanted);
    assert_int_equal(f->narrow(-x), wanted | 0x8000u);
}

static void check_values(const format *f)
{
    for (uint32_t bits = 0; bits < 0x8000; bits++) {
        const float x = f->widen((uint16_t)bits);
        if (bits > infinity_of(f)) {
            assert_true(isnan(x) && isnan(f->widen((uint16_t)(bits | 0x8000u))));
            assert_true(isnan(f->widen(f->narrow(x))) && isnan(f->widen(f->narrow(-x))));
            continue;
        }
        if (bits == infinity_of(f))
            assert_true(isinf(x));
        else
            assert_true((double)x == value_of(f, bits));
        assert_int_equal(lcf_bits_of_float(f->widen((uint16_t)(bits | 0x8000u))),
                         lcf_bits_of_float(x) | 0x80000000u);
        expect_narrow(f, x, bits);
    }
}

/* The floats on either side of a tie go to their own neighbour, the tie itself to the even one. */
static void check_ties(const format *f)
{
    for (uint32_t bits = 0; bits < infinity_of(f); bits++) {
        const float middle = (float)((value_of(f, bits) + value_of(f, bits + 1)) / 2);
        expect_narrow(f, middle, bits + (bits & 1));
        expect_narrow(f, lcf_float_of_bits(lcf_bits_of_float(middle) - 1), bits);
        expect_narrow(f, lcf_float_of_bits(lcf_bits_of_float(middle) + 1), bits + 1);
    }
}

static void test_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(FORMATS) / sizeof(*FORMATS); i++) {
        check_values(&FORMATS[i]);
        check_ties(&FORMATS[i]);
    }
}

/* Training takes operands from F16, and products of BF16 whose denormals are zero. */
static void test_product(void **state)
{
    enum { N = 2 * 65536 };
    float *x = lcf_alloc(N, sizeof(*x));
    uint16_t *y = lcf_alloc(N, sizeof(*y));

    (void)state;
    assert_true(x && y);
    for (uint32_t i = 0; i < N; i++) /* values of BF16 and the ties above them */
        x[i] = lcf_float_of_bits(i << 15);
    for (int unit = LCF_BF16_PORTABLE; unit <= LCF_BF16_AMX; unit++) {
        if (!lcf_bf16_has((lcf_bf16_unit)unit))
            continue;
        lcf_bf16_force((lcf_bf16_unit)unit);
        lcf_left(LCF_PRECISION_BF16, y, N, x, N, 1, N);
        for (size_t i = 0; i < N; i++)
            if (!isnan(x[i]))
                assert_int_equal(y[i], fabsf(x[i]) < 0x1p-126f ? (signbit(x[i]) ? 0x8000 : 0)
                                                               : lcf_bf16_narrow(x[i]));
        for (size_t i = 0; i < N; i++)
            y[i] = (uint16_t)i;
        lcf_bf16_get()->of_half(y, y, 1.0f, N);
        for (size_t i = 0; i < N; i++)
            if (!isnan(lcf_f16_widen((uint16_t)i)))
                assert_int_equal(y[i], lcf_bf16_narrow(lcf_f16_widen((uint16_t)i)));
    }
    lcf_bf16_force_none();
    free(x);
    free(y);
}

/* The same bits in a thread that flushes denormals. */
static void test_flushing(void **state)
{
    lcf_flush_denormals();
    for (size_t i = 0; i < sizeof(FORMATS) / sizeof(*FORMATS); i++)
        for (uint32_t bits = 0; bits < infinity_of(&FORMATS[i]); bits++)
            expect_narrow(&FORMATS[i], FORMATS[i].widen((uint16_t)bits), bits);
    test_product(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all), cmocka_unit_test(test_product),
        cmocka_unit_test(test_flushing), /* last: it changes the thread */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
