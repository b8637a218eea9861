/*
 * Golden tensors: a text file of names and dims, and their values one after another as f32, as the
 * make_*_golden.py scripts write them. Whatever is wrong fails the test.
 */
#ifndef LCF_TESTS_PARITY_GOLDEN_H
#define LCF_TESTS_PARITY_GOLDEN_H

#include "common/nn/tape.h"

#define GOLDEN_TENSORS_MAX 512
#define GOLDEN_RELATIVE 1e-5

typedef struct golden_tensor {
    char name[64];
    size_t dims[4], dims_n, n;
    const float *data;
} golden_tensor;

typedef struct golden {
    float *data;
    golden_tensor list[GOLDEN_TENSORS_MAX];
    size_t list_n;
} golden;

/* Of tests/parity/golden/<name>.txt and .f32. */
void golden_open(golden *g, const char *name);
void golden_close(golden *g);
/* The tensor "<prefix><name>". */
const golden_tensor *golden_get(const golden *g, const char *prefix, const char *name);
/* |got - want| <= GOLDEN_RELATIVE * the largest magnitude of the tensor (cancelling sums round by
 * it). */
void golden_assert_close(const char *name, const float *got, const golden_tensor *want);
/* A block laid out like the parameters against the tensors "<prefix><parameter>". */
void golden_assert_params(const golden *g, const char *prefix, const lcf_params *p,
                          const float *block);
/* The values "param.<parameter>" into the parameters. */
void golden_fill_params(lcf_params *p, const golden *g);

#endif
