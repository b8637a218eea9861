/*
 * Next-item models on one thread: training questions per second of every encoder (sampled softmax,
 * 512 negatives, 128 users a step; SASRec also with the softmax over all items and with BCE), and
 * rows per second of a full ranking. Made-up sequences of the size of amazon-beauty: 12,101 items,
 * 1 to 40 items a user, mean 7. twin_sasrec.py prints PyTorch's questions per second on real data.
 *
 *     bench_next_item [STEPS]      CSV on stdout: name,value,unit (medians over the steps)
 */
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "common/model/next_item.h"
#include "common/nn/optim.h"
#include "offline/eval/full_rank.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ITEMS = 12102,
    USERS = 128,
    LONGEST = 40,
    NEGATIVES = 512,
    BATCHES = 8,
    WARM_UP = 3,
    STEPS_MAX = 1000,
    RANKED = 128,
};

typedef struct batch {
    uint32_t items[USERS * LONGEST], offsets[USERS + 1], sequence[USERS * LONGEST];
    uint32_t end[USERS * LONGEST], target[USERS * LONGEST], negatives[USERS * LONGEST];
    lcf_next_batch value;
} batch;

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_next_item: %s\n", what);
    exit(1);
}

static uint32_t draw_item(lcf_rng *rng)
{
    return 1 + (uint32_t)lcf_rng_below(rng, ITEMS - 1);
}

/* Lengths fall off as a geometric distribution with mean 7 does. */
static void make_batch(batch *b, uint64_t stream)
{
    lcf_rng rng;
    uint32_t at = 0;

    lcf_rng_seed(&rng, 1, stream);
    b->offsets[0] = 0;
    for (uint32_t u = 0; u < USERS; u++) {
        uint32_t n = 1;

        while (n < LONGEST && lcf_rng_f64(&rng) > 1.0 / 7.0)
            n++;
        for (uint32_t i = 0; i < n; i++, at++) {
            b->items[at] = draw_item(&rng);
            b->target[at] = draw_item(&rng);
            b->negatives[at] = draw_item(&rng);
            b->sequence[at] = u;
            b->end[at] = at + 1;
        }
        b->offsets[u + 1] = at;
    }
    b->value = (lcf_next_batch){USERS, at, b->items, b->offsets, b->sequence, b->end, NULL, NULL};
}

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_value);
    return values[n / 2];
}

typedef struct trainer {
    lcf_next *model;
    lcf_tape *tape;
    lcf_grads grads;
    lcf_adam adam;
    lcf_rng rng;
} trainer;

static void step(trainer *t, const batch *b, lcf_next_loss_kind kind)
{
    const lcf_next_targets targets = {b->value.queries_n, b->target, b->negatives,
                                      kind == LCF_NEXT_SAMPLED ? NEGATIVES : b->value.queries_n,
                                      NULL};
    lcf_tensor *users, *loss, *side;

    lcf_grads_zero(&t->grads);
    lcf_tape_reset(t->tape, true);
    users = lcf_next_users(&side, t->tape, t->model, &t->grads, &b->value, &t->rng);
    loss = lcf_next_loss(t->tape, t->model, &t->grads, users, kind, &targets);
    lcf_tape_backward(t->tape, loss);
    need(!lcf_tape_status(t->tape) && isfinite(loss->data[0]), "a step failed");
    lcf_adam_step(&t->adam, lcf_next_params(t->model), &t->grads, 1e-3f);
}

static void trainer_open(trainer *t, const char *encoder)
{
    const lcf_adam_options adam = LCF_ADAM_OPTIONS_INIT;
    lcf_next_config c = LCF_NEXT_CONFIG_INIT;

    c.encoder = encoder;
    c.items_n = ITEMS;
    need(!lcf_next_create(&t->model, &c, 1, NULL) && !lcf_tape_create(&t->tape, NULL) &&
             !lcf_grads_init(&t->grads, lcf_next_params(t->model), NULL) &&
             !lcf_adam_init(&t->adam, lcf_next_params(t->model), &adam, NULL),
         "no memory");
    lcf_rng_seed(&t->rng, 1, 0);
}

static void trainer_close(trainer *t)
{
    lcf_adam_dispose(&t->adam);
    lcf_grads_dispose(&t->grads);
    lcf_tape_free(t->tape);
    lcf_next_free(t->model);
}

static void measure_training(const char *encoder, lcf_next_loss_kind kind, const char *suffix,
                             const batch *batches, size_t steps)
{
    double seconds[STEPS_MAX];
    trainer t;

    trainer_open(&t, encoder);
    for (size_t i = 0; i < WARM_UP + steps; i++) {
        const batch *b = &batches[i % BATCHES];
        const double start = lcf_clock_s();

        step(&t, b, kind);
        if (i >= WARM_UP)
            seconds[i - WARM_UP] = (lcf_clock_s() - start) / (double)b->value.queries_n;
    }
    printf("train_next_%s%s,%.0f,questions/s\n", encoder, suffix, 1.0 / median(seconds, steps));
    trainer_close(&t);
}

/* Encoding and ranking of a block of histories, as the evaluation does it. */
static void measure_ranking(const batch *b, size_t steps)
{
    float *users = lcf_alloc((size_t)RANKED * 64, sizeof(*users));
    float *scores = lcf_alloc((size_t)RANKED * ITEMS, sizeof(*scores));
    lcf_next_history histories[RANKED];
    lcf_full_rank_row rows[RANKED];
    uint32_t ranks[RANKED];
    double seconds[STEPS_MAX];
    trainer t;

    need(users && scores, "no memory");
    trainer_open(&t, "sasrec");
    for (size_t i = 0; i < RANKED; i++) {
        histories[i] =
            (lcf_next_history){b->items + b->offsets[i], b->offsets[i + 1] - b->offsets[i], NULL};
        rows[i] = (lcf_full_rank_row){b->target[i], histories[i].items, histories[i].n};
    }
    for (size_t i = 0; i < WARM_UP + steps; i++) {
        const double start = lcf_clock_s();

        need(!lcf_next_encode(users, t.tape, t.model, NULL, histories, RANKED, NULL) &&
                 !lcf_full_rank(ranks, users, lcf_next_items(t.model), rows, RANKED, ITEMS, 64,
                                scores, NULL),
             "ranking failed");
        if (i >= WARM_UP)
            seconds[i - WARM_UP] = (lcf_clock_s() - start) / RANKED;
    }
    printf("rank_next_sasrec,%.0f,rows/s\n", 1.0 / median(seconds, steps));
    trainer_close(&t);
    free(users);
    free(scores);
}

int main(int argc, char **argv)
{
    static batch batches[BATCHES];
    size_t steps;

    lcf_cli_start(argc, argv);
    steps = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 40;
    need(steps >= 1 && steps <= STEPS_MAX, "STEPS is 1 to 1000");
    lcf_flush_denormals();
    for (uint64_t i = 0; i < BATCHES; i++)
        make_batch(&batches[i], i);
    for (size_t e = 0; lcf_next_encoder_name(e); e++)
        measure_training(lcf_next_encoder_name(e), LCF_NEXT_SAMPLED, "", batches, steps);
    measure_training("sasrec", LCF_NEXT_FULL, "_full", batches, steps / 8 + 1);
    measure_training("sasrec", LCF_NEXT_BCE, "_bce", batches, steps);
    measure_ranking(&batches[0], steps);
    return 0;
}
