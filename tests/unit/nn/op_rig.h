/*
 * Tests of tape operations: the value against the definition in a few naive lines, the gradient
 * against central differences.
 *
 * Differences: step 1e-2 on inputs of size 1, the projection summed in double; tolerance 3e-3
 * relative to 1 + |gradient| (the rounding of f32 outputs over the step is 1e-5, the rest is the
 * third derivative).
 */
#ifndef LCF_TESTS_UNIT_NN_OP_RIG_H
#define LCF_TESTS_UNIT_NN_OP_RIG_H

#include "common/nn/tape.h"

#define PARAMS_MAX 5

typedef struct shape {
    uint32_t dims_n;
    size_t dims[LCF_TENSOR_DIMS_MAX];
} shape;

typedef struct op_case {
    lcf_tensor *(*build)(lcf_tape *t, lcf_tensor **in);
    /* Value of element i of the result, from the inputs; NULL where `whole` is given. */
    double (*naive)(lcf_tensor **in, size_t i);
    void (*whole)(float *out, lcf_tensor **in);
    size_t params_n;
    shape params[PARAMS_MAX];
} op_case;

typedef struct rig {
    const op_case *c;
    lcf_params params;
    lcf_grads grads;
    lcf_tape *tape;
    float *projection; /* the loss is <projection, result> */
} rig;

#define SHAPE(...)                                        \
    {                                                     \
        sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t), \
        {                                                 \
            __VA_ARGS__                                   \
        }                                                 \
    }

/* Inputs of a case, filled and in parameters; no projection yet. */
void rig_open(rig *r, const op_case *c);
void rig_close(rig *r);
/* One forward pass; in [PARAMS_MAX] out. */
lcf_tensor *run(rig *r, bool record, lcf_tensor **in);
/* The value against the definition; draws the projection. */
void check_value(rig *r);
/* The gradient of <projection, result>, after check_value. */
void backward(rig *r);
/* Value, gradients, and that gradients are added. */
void check(const op_case *c);
/* The gradients of all parameters, one behind the other. */
void gradients_of(float *out, const op_case *c);

#endif
