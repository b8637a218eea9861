/*
 * Every backbone, alone and with ICT: training samples per second on one thread (batch 256), and
 * the latency of scoring 500 candidates of one user. Data of the size of amazon-beauty.
 *
 *     bench_backbones [STEPS [BACKBONE]]        CSV on stdout: name,value,unit (medians)
 */
#include "common/base/cli.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "offline/train/step.h"
#include "tests/bench/made_up.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256
#define CANDIDATES 500
#define TEXT_DIM 128
#define WARM_UP 3
#define STEPS_MAX 1000

static void need(lcf_status status, const lcf_err *err)
{
    if (!status)
        return;
    fprintf(stderr, "bench_backbones: %s\n", err->text);
    exit(1);
}

static double train(const made_up *w, lcf_ranker *r, size_t steps)
{
    const train_step_options options = {.adam = {0.9f, 0.999f, 1e-8f, 1e-5f, false, false},
                                        .side_weight = 1.0f,
                                        .seed = 1,
                                        .threads = 1};
    double seconds[STEPS_MAX], loss, side_loss;
    lcf_err err = LCF_ERR_INIT;
    train_step *s;

    need(train_step_create(&s, r, &w->source, &options, &err), &err);
    for (size_t step = 0; step < steps + WARM_UP; step++) {
        const size_t at = step * BATCH % (MADE_UP_ROWS - BATCH);
        const double start = lcf_clock_s();

        if (train_step_run(&loss, &side_loss, s, w->rows + at, w->labels + at, NULL, BATCH, 1e-3f))
            made_up_need(NULL);
        if (step >= WARM_UP)
            seconds[step - WARM_UP] = lcf_clock_s() - start;
    }
    train_step_free(s);
    return BATCH / made_up_median(seconds, steps);
}

/* Milliseconds. */
static double score(const made_up *w, lcf_ranker *r, lcf_tape *tape, size_t steps)
{
    lcf_ranker_row rows[CANDIDATES];
    double seconds[STEPS_MAX];
    float scores[CANDIDATES];
    lcf_err err = LCF_ERR_INIT;

    for (size_t i = 0; i < CANDIDATES; i++) {
        rows[i] = w->rows[i];
        rows[i].user = w->rows[0].user;
        rows[i].history = w->rows[0].history;
        rows[i].history_n = LCF_HISTORY_MAX;
    }
    need(lcf_ranker_freeze(r, &w->source, &err), &err);
    for (size_t step = 0; step < steps + WARM_UP; step++) {
        const double start = lcf_clock_s();

        need(lcf_ranker_score(scores, tape, r, &w->source, rows, CANDIDATES, &err), &err);
        if (step >= WARM_UP)
            seconds[step - WARM_UP] = lcf_clock_s() - start;
    }
    return 1e3 * made_up_median(seconds, steps);
}

/* Of the rows of label 1, where the backbone takes a graph. */
static void set_graph(lcf_ranker *r, const made_up *w)
{
    uint32_t *users = made_up_need(calloc(MADE_UP_ROWS, sizeof(*users)));
    uint32_t *items = made_up_need(calloc(MADE_UP_ROWS, sizeof(*items)));
    lcf_err err = LCF_ERR_INIT;
    size_t n = 0;

    for (size_t i = 0; i < MADE_UP_ROWS; i++)
        if (w->labels[i] > 0) {
            users[n] = w->rows[i].user;
            items[n++] = w->rows[i].item;
        }
    need(lcf_ranker_set_graph(r, users, items, n, &err), &err);
    free(users);
    free(items);
}

static void bench(const made_up *w, lcf_tape *tape, const char *backbone, bool ict, size_t steps)
{
    lcf_ranker *published = made_up_ranker(w, ict), *r;
    lcf_ranker_config config = *lcf_ranker_config_of(published);
    lcf_err err = LCF_ERR_INIT;

    config.backbone = backbone;
    need(lcf_ranker_create(&r, &config, 1, &err), &err);
    if (lcf_ranker_takes_graph(backbone))
        set_graph(r, w);
    printf("backbone_train_%s%s,%.0f,samples/s\n", backbone, ict ? "_ict" : "", train(w, r, steps));
    printf("backbone_score_%s%s_%d,%.3f,ms\n", backbone, ict ? "_ict" : "", CANDIDATES,
           score(w, r, tape, steps));
    fflush(stdout);
    lcf_ranker_free(r);
    lcf_ranker_free(published);
}

int main(int argc, char **argv)
{
    const size_t steps = argc > 1 ? strtoul(argv[1], NULL, 10) : 30;
    lcf_tape *tape;
    made_up w;

    lcf_cli_start(argc, argv);
    if (!steps || steps > STEPS_MAX) {
        fprintf(stderr, "usage: bench_backbones [STEPS, 1 to %d [BACKBONE]]\n", STEPS_MAX);
        return 2;
    }
    lcf_flush_denormals();
    made_up_init(&w, TEXT_DIM);
    if (lcf_tape_create(&tape, NULL))
        made_up_need(NULL);
    puts("name,value,unit");
    for (size_t i = 0; lcf_ranker_backbone(i); i++) {
        const char *name = lcf_ranker_backbone(i)->name;

        if (argc > 2 && strcmp(argv[2], name) != 0)
            continue;
        bench(&w, tape, name, false, steps);
        bench(&w, tape, name, true, steps);
    }
    lcf_tape_free(tape);
    return 0;
}
