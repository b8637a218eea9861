/*
 * Next-item models: a user's history as one vector, to be ranked against all items by inner
 * product. YoutubeDNN, GRU4Rec, SASRec and SR-GNN are encoders of histories behind one small
 * interface; item table, losses, weights file and ranking are the same for all.
 *
 * Life cycle: create (random weights) or open (a weights file) -> users / loss (training), encode
 * (inference) -> free. A model is read only during a pass and shared between threads; a tape
 * belongs to one.
 *
 * Items are rows of the model's table; row 0 is "unknown": zeros, never trained, and what an item
 * newer than the weights counts as.
 *
 * source   llm-cf.md section 6; schemas/next_item_weights.md
 */
#ifndef LCF_COMMON_MODEL_NEXT_ITEM_H
#define LCF_COMMON_MODEL_NEXT_ITEM_H

#include "common/base/rng.h"
#include "common/base/status.h"
#include "common/model/ranker.h"
#include "common/nn/tape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_next_config {
    const char *encoder;  /* a name of lcf_next_encoder_name */
    uint32_t items_n;     /* rows of the item table, the unknown at 0 */
    uint32_t dim;         /* of items and user vectors */
    uint32_t history_max; /* items of a history that count, the most recent ones */
    uint32_t hidden;      /* of youtubednn's and sasrec's MLP, and of gru4rec's state */
    uint32_t layers_n;    /* sasrec: blocks; gru4rec: GRUs; srgnn: steps through the graph */
    uint32_t heads_n;     /* sasrec */
    float dropout;
    /* A side module of the ranker, whose vector times side_scale is added to the user vector; its
     * `side` names it, "none" for the encoder alone. Its item table is the model's, its dim, too;
     * what it says of a backbone is not used. */
    lcf_ranker_config side;
    float side_scale;
} lcf_next_config;

/* Sizes of the published experiments; encoder and items_n are the caller's. */
#define LCF_NEXT_CONFIG_INIT                                                                      \
    {                                                                                             \
        .dim = 64, .history_max = 50, .hidden = 64, .layers_n = 1, .heads_n = 2, .dropout = 0.2f, \
        .side = LCF_RANKER_CONFIG_INIT, .side_scale = 0.1f                                        \
    }

/* The encoders by number, NULL behind the last. */
const char *lcf_next_encoder_name(size_t idx);

typedef struct lcf_next lcf_next;

/* errors: EINVAL a configuration that cannot be (the field is named); ENOMEM */
lcf_status lcf_next_create(lcf_next **out, const lcf_next_config *config, uint64_t seed,
                           lcf_err *err);
/*
 * Weights files (schemas/next_item_weights.md).
 *
 * errors   open: as lcf_bundle_open; EFORMAT a configuration that is no object or does not fit the
 *          weights, and one that cannot be; save: ENOSPC, EIO
 * memory   nothing of the file is kept
 */
lcf_status lcf_next_open(lcf_next **out, const char *path, lcf_err *err);
lcf_status lcf_next_save(const lcf_next *m, const char *path, lcf_err *err);
void lcf_next_free(lcf_next *m);
const lcf_next_config *lcf_next_config_of(const lcf_next *m);
/* All parameters, those of a side module among them; the model's. */
lcf_params *lcf_next_params(lcf_next *m);
/* The item table [items_n, dim]; changes with the parameters. */
const float *lcf_next_items(const lcf_next *m);

/*
 * Sequences of items, and queries: each asks for the vector of its sequence up to a point. A query
 * sees nothing behind that point, so that all queries of a user share one pass over the sequence.
 *
 * Invariant: no sequence is empty or longer than history_max, and query_end lies in
 * (offsets[s], offsets[s + 1]] of its sequence s. A history without items is the item 0.
 */
typedef struct lcf_next_batch {
    size_t sequences_n, queries_n;
    const uint32_t *items;          /* [offsets[sequences_n]] oldest first */
    const uint32_t *offsets;        /* [sequences_n + 1] into items */
    const uint32_t *query_sequence; /* [queries_n] */
    const uint32_t *query_end;      /* [queries_n] index into items behind the last one seen */
    /* With a side module: where its features come from (lcf_next_check_source), and the queries as
     * rows without a target, item 0. Else NULL. */
    const lcf_ranker_source *source;
    const lcf_ranker_row *rows; /* [queries_n] */
} lcf_next_batch;

/* errors: those of lcf_ranker_check_source; nothing is needed without a side module */
lcf_status lcf_next_check_source(const lcf_next *m, const lcf_ranker_source *source, lcf_err *err);

/*
 * shapes   returns [queries_n, dim]; *side_loss [1] as lcf_ranker_forward's, NULL where there is
 *          none
 * errors   sticky on the tape
 * memory   the batch must outlive the step; rng (dropout) is used only while the tape records
 */
lcf_tensor *lcf_next_users(lcf_tensor **side_loss, lcf_tape *tape, const lcf_next *m,
                           lcf_grads *grads, const lcf_next_batch *batch, lcf_rng *rng);

typedef enum lcf_next_loss_kind {
    LCF_NEXT_SAMPLED, /* softmax over the target and negatives that the batch shares */
    LCF_NEXT_FULL,    /* softmax over all items but the unknown */
    LCF_NEXT_BCE,     /* target against one negative of its own, as SASRec was published */
} lcf_next_loss_kind;

typedef struct lcf_next_targets {
    size_t n;
    const uint32_t *target;    /* [n] the next item of every query, 1 .. items_n - 1 */
    const uint32_t *negatives; /* sampled: [negatives_n], may repeat; BCE: [n] */
    size_t negatives_n;
    const float *log_share; /* sampled: [items_n] log of the share of draws that an item gets; NULL
                               when all get the same */
} lcf_next_targets;

/*
 * Mean loss of the queries. Sampled softmax takes the log of its expected count from each score,
 * and leaves a negative out of a row whose target it is.
 *
 * shapes   users [n, dim] -> [1]
 * source   Jean et al. 2015 (sampled softmax with correction); Kang and McAuley 2018 (BCE)
 */
lcf_tensor *lcf_next_loss(lcf_tape *tape, const lcf_next *m, lcf_grads *grads, lcf_tensor *users,
                          lcf_next_loss_kind kind, const lcf_next_targets *targets);

typedef struct lcf_next_history {
    const uint32_t *items; /* [n] oldest first; the last history_max count */
    size_t n;
    const lcf_ranker_row *row; /* with a side module; else NULL */
} lcf_next_history;

/*
 * User vectors of n histories: lcf_next_users on a tape that does not record, in blocks. source:
 * NULL without a side module.
 *
 * shapes   out [n, dim]
 * errors   ENOMEM
 */
lcf_status lcf_next_encode(float *out, lcf_tape *tape, const lcf_next *m,
                           const lcf_ranker_source *source, const lcf_next_history *histories,
                           size_t n, lcf_err *err);

#endif
