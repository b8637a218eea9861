/*
 * The small world of the ranker's golden tensors: catalogue, vectors, examples and rows with every
 * awkward case (unknown ids, empty histories, missing examples), as make_ranker_golden.py wrote it.
 */
#ifndef LCF_TESTS_PARITY_RANKER_WORLD_H
#define LCF_TESTS_PARITY_RANKER_WORLD_H

#include "common/model/ranker.h"
#include "tests/parity/golden.h"

typedef struct ranker_world {
    golden golden;
    char backbone[16], side[16];
    lcf_example_order order;
    bool history_labels, head_norm;
    lcf_catalogue catalogue;
    lcf_embeddings item_vectors;
    lcf_examples examples;
    lcf_knowledge knowledge;
    lcf_ranker_source source;
    lcf_ranker_row *rows;
    float *labels;
    size_t rows_n;
    void *owned[32]; /* integer arrays made from the floats of the file */
    size_t owned_n;
} ranker_world;

/* Fails the test when the files are missing or odd. arm: a backbone, with "_ict" after it where the
 * module is there; DIN with it is "ict". Of the side arms: "din_" and a side module, or "ict-" and
 * an order of examples, "labels" of the history, or "norm" of the head. */
void ranker_world_open(ranker_world *w, const char *arm);
void ranker_world_close(ranker_world *w);
/* A tensor of the file; fails the test when there is none. */
const golden_tensor *ranker_world_get(const ranker_world *w, const char *prefix, const char *name);
/* The sizes of the golden model; dropout 0. */
lcf_ranker_config ranker_world_config(const ranker_world *w);
/* A ranker with the golden weights. */
lcf_ranker *ranker_world_ranker(ranker_world *w);

/* The arms that there are, NULL beyond the last. */
const char *ranker_world_arm(size_t i);
/* Those of make_side_golden.py. */
const char *ranker_world_side_arm(size_t i);

#endif
