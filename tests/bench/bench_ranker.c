/*
 * Scoring latency of the ranker on one thread: 100 and 500 candidates of one user, both arms. The
 * data is made up, of the size of amazon-beauty.
 *
 *     bench_ranker [STEPS]        CSV on stdout: name,value,unit (median over the steps)
 */
#include "common/base/cli.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "tests/bench/made_up.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_DIM 256
#define WARM_UP 5
#define STEPS_MAX 1000

static void bench_scoring(const made_up *w, const lcf_ranker *r, lcf_tape *tape, const char *name,
                          size_t candidates, size_t steps)
{
    lcf_ranker_row rows[500];
    double seconds[STEPS_MAX];
    float scores[500];

    for (size_t i = 0; i < candidates; i++) {
        rows[i] = w->rows[i];
        rows[i].user = w->rows[0].user;
        rows[i].history = w->rows[0].history;
        rows[i].history_n = LCF_HISTORY_MAX;
    }
    for (size_t step = 0; step < steps + WARM_UP; step++) {
        const double start = lcf_clock_s();

        if (lcf_ranker_score(scores, tape, r, &w->source, rows, candidates, NULL))
            made_up_need(NULL);
        if (step >= WARM_UP)
            seconds[step - WARM_UP] = lcf_clock_s() - start;
    }
    printf("score_%s_%zu,%.3f,ms\n", name, candidates, 1e3 * made_up_median(seconds, steps));
}

int main(int argc, char **argv)
{
    const size_t steps = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    lcf_tape *tape;
    made_up w;

    lcf_cli_start(argc, argv);
    if (!steps || steps > STEPS_MAX) {
        fprintf(stderr, "usage: bench_ranker [STEPS, 1 to %d]\n", STEPS_MAX);
        return 2;
    }
    lcf_flush_denormals();
    made_up_init(&w, TEXT_DIM);
    if (lcf_tape_create(&tape, NULL))
        made_up_need(NULL);
    puts("name,value,unit");
    for (int ict = 0; ict < 2; ict++) {
        const char *name = ict ? "din_ict" : "din";
        lcf_ranker *r = made_up_ranker(&w, ict);

        if (lcf_ranker_freeze(r, &w.source, NULL))
            made_up_need(NULL);
        bench_scoring(&w, r, tape, name, 100, steps);
        bench_scoring(&w, r, tape, name, 500, steps);
        lcf_ranker_free(r);
    }
    lcf_tape_free(tape);
    return 0;
}
