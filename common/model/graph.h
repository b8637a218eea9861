/*
 * The graph of users and items that graph backbones propagate over: who liked what in training.
 *
 * Invariant: edges are sorted by user, then item, and none stands twice; none is of the unknown.
 * Private to common/model.
 */
#ifndef LCF_COMMON_MODEL_GRAPH_H
#define LCF_COMMON_MODEL_GRAPH_H

#include "common/base/bundle.h"
#include "common/math/sparse.h"

/* The adjacency matrix, each edge 1 / sqrt(edges of its user * edges of its item). */
typedef struct ranker_graph {
    lcf_bipartite matrix; /* views of what follows; empty where there is no graph */
    uint32_t *begin[2];   /* [users_n + 1], [items_n + 1] */
    uint32_t *column[2];  /* [edges] items by user, users by item */
    float *value[2];      /* [edges] */
} ranker_graph;

/* Of n pairs in any order, of which those with an unknown are left out. errors: ELIMIT, ENOMEM */
lcf_status lcf_ranker_graph_create(ranker_graph *out, uint32_t users_n, uint32_t items_n,
                                   const uint32_t *users, const uint32_t *items, size_t n,
                                   lcf_err *err);
void lcf_ranker_graph_dispose(ranker_graph *g);
/* The arrays graph.begin and graph.item of a weights file. errors: EINVAL there is no graph;
 * EFORMAT what is wrong; ENOMEM */
lcf_status lcf_ranker_graph_add(lcf_bundle_writer *w, const ranker_graph *g, lcf_err *err);
lcf_status lcf_ranker_graph_get(ranker_graph *out, uint32_t users_n, uint32_t items_n,
                                const lcf_bundle *bundle, lcf_err *err);

#endif
