/* The trainer from inside: what llama_train.c, train_weights.c, train_state.c and lora.c share. */
#ifndef LCF_OFFLINE_LLAMA_TRAIN_INTERNAL_H
#define LCF_OFFLINE_LLAMA_TRAIN_INTERNAL_H

#include "offline/llama/llama_train.h"
#include "offline/llama/train_net.h"

/* Where a weight of the model stands. */
typedef struct train_slot {
    char name[LCF_PARAM_NAME_MAX];
    bool trained; /* in `params`, else in `frozen` */
    size_t idx;
} train_slot;

/* Parameters [begin, end) whose gradients are complete together; see lcf_net_done. */
typedef struct train_part {
    size_t begin, end;
    bool begun; /* its sum over the processes */
} train_part;

struct lcf_llama_trainer {
    lcf_llama_config config;
    lcf_llama_train_options options;
    char base_id[33]; /* of the model that adapters are for; empty: unknown */
    lcf_params params, frozen;
    train_slot *slots; /* embedding, layers, last norm, output when it is its own */
    size_t slots_n;
    lcf_net net;
    lcf_adam adam;
    lcf_sgd sgd;
    lcf_grads grads;
    train_part *parts; /* [layers + 2] */
    /* The step in progress. */
    double nll;
    uint64_t targets_n;
    bool any; /* a micro-batch was computed: grads holds numbers */
    /* Scratch that lives on. */
    double *chunk_norms; /* [chunks_n] sums of squares */
    size_t chunks_n;
    uint32_t *ids; /* of a micro-batch: ids, positions, segments, target rows, targets */
    size_t ids_capacity;
};

/* Slots of the model, in this order. */
#define SLOT_EMBED 0
#define SLOT_LAYER0 1
static inline size_t slot_of_layer(size_t layer, size_t which)
{
    return SLOT_LAYER0 + layer * NET_PARAMS_N + which;
}
static inline size_t slot_of_norm(const lcf_llama_config *c)
{
    return SLOT_LAYER0 + c->layers_n * NET_PARAMS_N;
}

/* Declares and allocates the parameters. errors: ENOMEM; EINVAL no matrix matches the targets */
lcf_status train_declare(lcf_llama_trainer *t, lcf_err *err);
/* Random weights, or those of a model; and adapters at their start. */
void train_fill_model(lcf_llama_trainer *t);
void train_fill_from(lcf_llama_trainer *t, const lcf_llama *m);
void train_fill_adapters(lcf_llama_trainer *t);
/* Gives the network its weights and gradients. */
void train_bind(lcf_llama_trainer *t);
float *train_slot_value(const lcf_llama_trainer *t, size_t slot);
/* Index in params of an adapter's tensor, `part` 'a' or 'b'; (size_t)-1 when there is none. */
size_t train_adapter(const lcf_llama_trainer *t, size_t layer, size_t which, char part);
/* Does a name match one of the comma-separated patterns? */
bool train_matches(const char *patterns, const char *name);
/* Name of a matrix of a layer without "blk.N." and ".weight": attn_q. */
const char *train_matrix_name(size_t which);
uint64_t *train_step_counter(lcf_llama_trainer *t);

#endif
