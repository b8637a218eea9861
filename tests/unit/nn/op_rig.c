/* See op_rig.h. */
#include "tests/unit/nn/op_rig.h"

#include "common/base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STEP 1e-2f
#define TOLERANCE 3e-3

lcf_tensor *run(rig *r, bool record, lcf_tensor **in)
{
    size_t i;

    lcf_tape_reset(r->tape, record);
    for (i = 0; i < r->c->params_n; i++)
        in[i] = lcf_tape_param(r->tape, &r->params, record ? &r->grads : NULL, i);
    return r->c->build(r->tape, in);
}

static double loss_of(rig *r)
{
    lcf_tensor *in[PARAMS_MAX], *out = run(r, false, in);
    double sum = 0;
    size_t i;

    assert_int_equal(lcf_tape_status(r->tape), LCF_OK);
    for (i = 0; i < out->n; i++)
        sum += (double)out->data[i] * r->projection[i];
    return sum;
}

void rig_open(rig *r, const op_case *c)
{
    size_t i, j;

    memset(r, 0, sizeof(*r));
    r->c = c;
    lcf_params_init(&r->params);
    for (i = 0; i < c->params_n; i++) {
        char name[8] = {'p', (char)('0' + i), 0};
        assert_int_equal(lcf_params_add(NULL, &r->params, name, c->params[i].dims,
                                        c->params[i].dims_n, true, NULL),
                         LCF_OK);
    }
    assert_int_equal(lcf_params_seal(&r->params, NULL), LCF_OK);
    for (i = 0; i < c->params_n; i++) {
        float *x = lcf_params_value(&r->params, i);

        lcf_params_fill(&r->params, i, LCF_INIT_NORMAL, 1.0f, 5);
        for (j = 0; j < r->params.list[i].n; j++)
            x[j] += fabsf(x[j]) < 0.05f ? 0.1f : 0.0f; /* away from the corner of relu */
    }
    assert_int_equal(lcf_grads_init(&r->grads, &r->params, NULL), LCF_OK);
    assert_int_equal(lcf_tape_create(&r->tape, NULL), LCF_OK);
}

void rig_close(rig *r)
{
    free(r->projection);
    lcf_tape_free(r->tape);
    lcf_grads_dispose(&r->grads);
    lcf_params_dispose(&r->params);
}

void check_value(rig *r)
{
    lcf_tensor *in[PARAMS_MAX], *out = run(r, false, in);
    float *want = lcf_alloc(out->n, sizeof(*want));
    lcf_rng rng;
    size_t i;

    assert_non_null(want);
    if (r->c->whole)
        r->c->whole(want, in);
    for (i = 0; i < out->n; i++) {
        double expected = r->c->whole ? want[i] : r->c->naive(in, i);

        if (!(fabs(out->data[i] - expected) < 1e-5 * (1 + fabs(expected))))
            fail_msg("value %zu is %g, not %g", i, out->data[i], expected);
    }
    free(want);
    r->projection = lcf_alloc(out->n, sizeof(float));
    assert_non_null(r->projection);
    lcf_rng_seed(&rng, 11, 0);
    for (i = 0; i < out->n; i++)
        r->projection[i] = (float)lcf_rng_normal(&rng);
}

/* <projection, result> as a tape loss, so that lcf_tape_backward starts from a scalar. */
void backward(rig *r)
{
    lcf_tensor *in[PARAMS_MAX], *out = run(r, true, in), *row;
    size_t dims[2] = {1, out->n};

    row = lcf_tape_input(r->tape, r->projection, dims, 2);
    lcf_tape_backward(r->tape,
                      lcf_op_linear(r->tape, lcf_op_reshape(r->tape, out, dims, 2), row, NULL));
    assert_int_equal(lcf_tape_status(r->tape), LCF_OK);
}

static void check_gradients(rig *r)
{
    size_t p, i;

    backward(r);
    for (p = 0; p < r->c->params_n; p++)
        for (i = 0; i < r->params.list[p].n; i++) {
            float *x = lcf_params_value(&r->params, p) + i, old = *x;
            double got = r->grads.values[r->params.list[p].offset + i], up, down, want;

            *x = old + STEP;
            up = loss_of(r);
            *x = old - STEP;
            down = loss_of(r);
            *x = old;
            want = (up - down) / (2.0 * STEP);
            if (!(fabs(got - want) <= TOLERANCE * (1 + fabs(want))))
                fail_msg("gradient %zu of input %zu is %g, differences give %g", i, p, got, want);
        }
}

/* A second backward pass adds the same gradients once more. */
static void check_adds(rig *r)
{
    float *once = lcf_alloc(r->grads.values_n, sizeof(*once));
    size_t i;

    assert_non_null(once);
    memcpy(once, r->grads.values, r->grads.values_n * sizeof(*once));
    backward(r);
    for (i = 0; i < r->grads.values_n; i++)
        assert_true(fabs(r->grads.values[i] - 2.0 * once[i]) <= 1e-4 * (1 + fabs(once[i])));
    free(once);
}

void check(const op_case *c)
{
    rig r;

    rig_open(&r, c);
    check_value(&r);
    check_gradients(&r);
    check_adds(&r);
    rig_close(&r);
}

void gradients_of(float *out, const op_case *c)
{
    rig r;

    rig_open(&r, c);
    check_value(&r);
    backward(&r);
    memcpy(out, r.grads.values, r.grads.values_n * sizeof(*out));
    rig_close(&r);
}
