/*
 * A made-up data set of the size of amazon-beauty, for measuring: catalogue, item vectors, examples
 * with histories, and training rows. Lives until the program ends; ends it when memory is out.
 */
#ifndef LCF_TESTS_BENCH_MADE_UP_H
#define LCF_TESTS_BENCH_MADE_UP_H

#include "common/model/ranker.h"

#define MADE_UP_USERS 22364
#define MADE_UP_ITEMS 12102
#define MADE_UP_BRANDS 2078
#define MADE_UP_CATEGORIES 250
#define MADE_UP_EXAMPLES 26000
#define MADE_UP_ROWS 100000
#define MADE_UP_K 4

typedef struct made_up {
    lcf_catalogue catalogue;
    lcf_embeddings vectors;
    lcf_examples examples;
    lcf_ranker_source source;
    lcf_ranker_row *rows;    /* [MADE_UP_ROWS] */
    float *labels;           /* [MADE_UP_ROWS] */
    uint32_t *row_histories; /* [MADE_UP_ROWS, LCF_HISTORY_MAX] */
    uint32_t *row_examples;  /* [MADE_UP_ROWS, MADE_UP_K] */
    lcf_rng rng;
} made_up;

/* The same data on every run. text_dim: of item, history and CoT vectors. */
void made_up_init(made_up *w, size_t text_dim);
/* A ranker of the published sizes for it, with or without the ICT module. */
lcf_ranker *made_up_ranker(const made_up *w, bool ict);
/* p, or the end of the program when it is NULL. */
void *made_up_need(void *p);
double made_up_median(double *values, size_t n);

#endif
