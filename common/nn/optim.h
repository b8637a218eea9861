/*
 * Optimizers and learning-rate schedules over one lcf_params, and checkpoints for exact resume.
 */
#ifndef LCF_COMMON_NN_OPTIM_H
#define LCF_COMMON_NN_OPTIM_H

#include "common/base/bundle.h"
#include "common/nn/tape.h"

typedef struct lcf_adam_options {
    float beta1, beta2, eps;
    float weight_decay; /* on parameters with `decay` */
    bool decoupled;     /* true: AdamW (Loshchilov and Hutter 2019); false: L2 in the gradient, as
                           torch.optim.Adam */
    /* What a step does to the rows of a table that have no gradient. false: what it does to all
     * else, so that moments decay and weight decay pulls (torch.optim.Adam, whose published numbers
     * depend on it). true: nothing, so that a step costs what it looked up
     * (torch.optim.SparseAdam); only with gradients by rows. */
    bool sparse;
} lcf_adam_options;

#define LCF_ADAM_OPTIONS_INIT                   \
    {                                           \
        0.9f, 0.999f, 1e-8f, 0.0f, false, false \
    }

typedef struct lcf_adam {
    lcf_adam_options options;
    float *m, *v; /* [values_n], laid out like the parameters */
    size_t values_n;
    uint64_t step; /* updates made so far */
} lcf_adam;

lcf_status lcf_adam_init(lcf_adam *a, const lcf_params *p, const lcf_adam_options *options,
                         lcf_err *err);
void lcf_adam_dispose(lcf_adam *a);
/* One update. The arithmetic and its order are torch.optim.Adam's and AdamW's (bias-corrected, eps
 * outside the root). Gradients by rows and dense ones give the same bits. */
void lcf_adam_step(lcf_adam *a, lcf_params *p, const lcf_grads *g, float learning_rate);
/*
 * The part of a step for values [first, end), so that threads can share it: call for a partition of
 * [0, values_n), then lcf_adam_advance once. A row of a table by rows belongs to the part that its
 * first value lies in. Gradients are taken times grad_scale (clipping).
 */
void lcf_adam_step_range(const lcf_adam *a, lcf_params *p, const lcf_grads *g, float learning_rate,
                         float grad_scale, size_t first, size_t end);
void lcf_adam_advance(lcf_adam *a);

/*
 * An exponential average of the weights over the steps, to be used in place of the last ones: it
 * is quieter than any of them. While fewer than some 10 / (1 - decay) steps were made its window is
 * a tenth of them; of the zeros that it starts from less than a hundredth is left after five.
 *
 * source   Polyak and Juditsky 1992; the ramp (1 + step) / (10 + step) is that of TensorFlow's
 *          ExponentialMovingAverage
 */
typedef struct lcf_ema {
    float decay;   /* in (0, 1) */
    float *values; /* [values_n], laid out like the parameters */
    size_t values_n;
} lcf_ema;
lcf_status lcf_ema_init(lcf_ema *e, const lcf_params *p, float decay, lcf_err *err);
void lcf_ema_dispose(lcf_ema *e);
/* Takes in values [first, end) after update number `step` (from 1): call for a partition of [0,
 * values_n). */
void lcf_ema_step_range(const lcf_ema *e, const lcf_params *p, uint64_t step, size_t first,
                        size_t end);

/* SGD with momentum, in the arithmetic and order of torch.optim.SGD: g += decay * value (on
 * parameters with `decay`), m = momentum * m + g, value -= rate * m. */
typedef struct lcf_sgd {
    float momentum, weight_decay;
    float *m; /* [values_n] */
    size_t values_n;
    uint64_t step;
} lcf_sgd;
lcf_status lcf_sgd_init(lcf_sgd *a, const lcf_params *p, float momentum, float weight_decay,
                        lcf_err *err);
void lcf_sgd_dispose(lcf_sgd *a);
/* As lcf_adam_step_range, for dense gradients; the caller counts the step. */
void lcf_sgd_step_range(const lcf_sgd *a, lcf_params *p, const lcf_grads *g, float learning_rate,
                        float grad_scale, size_t first, size_t end);

typedef enum lcf_lr_schedule { LCF_LR_COSINE, LCF_LR_LINEAR, LCF_LR_CONSTANT } lcf_lr_schedule;
/* Linear warm-up over `warmup` steps, then down to `floor` * peak at `total` by half a cosine or a
 * straight line, or constant. step counts from 0. */
float lcf_lr_at(lcf_lr_schedule schedule, float peak, float floor, uint64_t step, uint64_t warmup,
                uint64_t total);

/* Parameter values (and, when not NULL, the optimizer) as arrays "param.<name>", "adam.m",
 * "adam.v", "adam.step". */
lcf_status lcf_checkpoint_add(lcf_bundle_writer *w, const lcf_params *p, const lcf_adam *a,
                              lcf_err *err);
/* Before memory is taken for what a configuration claims: whether every parameter, declared but not
 * sealed, stands in the file. errors: EFORMAT one does not, or of another size (both named) */
lcf_status lcf_checkpoint_fits(const lcf_params *p, const lcf_bundle *bundle, lcf_err *err);
/* errors: EFORMAT a parameter is missing or of another shape (named with both shapes) */
lcf_status lcf_checkpoint_get(lcf_params *p, lcf_adam *a, const lcf_bundle *bundle, lcf_err *err);

/* Seals declared parameters and fills them from a weights file. errors: EFORMAT as above, or the
 * file holds other parameters, too; ENOMEM */
lcf_status lcf_checkpoint_open(lcf_params *p, const lcf_bundle *bundle, lcf_err *err);

#endif
