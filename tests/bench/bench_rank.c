/*
 * Latency of rank() on one thread, from external ids to the ordered response: 100 and 500
 * candidates, both arms, on a snapshot of random weights. Every request is of another user with
 * other candidates. The first answer of each kind is checked against single-candidate requests.
 *
 *     bench_rank [EXAMPLES [REQUESTS]]   CSV on stdout: name,value,unit (default 5000 and 200)
 */
#include "common/base/cli.h"
#include "common/base/file.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "online/rank/llmcf.h"
#include "tests/unit/rank/world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS = 5000, ROWS_PER_USER = 10, DIM = 256, WARM_UP = 10, REQUESTS_MAX = 10000 };

static char g_ids[ITEMS][16];

static void check(lcf_status status, const lcf_err *err)
{
    if (status) {
        fprintf(stderr, "bench_rank: %s\n", err->text);
        exit(1);
    }
}

static int compare_f64(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

typedef struct requests {
    lcf_rank_context *context;
    lcf_rng rng;
    size_t users_n, candidates_n;
    const char *candidates[LCF_RANK_CANDIDATES_MAX];
    char user[24];
} requests;

static lcf_rank_request draw(requests *r, const char *arm)
{
    for (size_t i = 0; i < r->candidates_n; i++)
        r->candidates[i] = g_ids[lcf_rng_below(&r->rng, ITEMS)];
    snprintf(r->user, sizeof(r->user), "u%d", 1 + (int)lcf_rng_below(&r->rng, r->users_n));
    return (lcf_rank_request){.user_id = r->user,
                              .candidates = r->candidates,
                              .candidates_n = r->candidates_n,
                              .arm = arm};
}

static void check_answer(requests *r, const char *arm)
{
    static float together[LCF_RANK_CANDIDATES_MAX];
    lcf_rank_request request = draw(r, arm);
    lcf_rank_response response;
    lcf_err err = LCF_ERR_INIT;

    check(lcf_rank(&response, r->context, &request, &err), &err);
    for (size_t i = 0; i < response.results_n; i++)
        together[response.results[i].candidate] = response.results[i].score;
    for (size_t i = 0; i < r->candidates_n; i += r->candidates_n / 10) {
        lcf_rank_request one = request;
        one.candidates = r->candidates + i;
        one.candidates_n = 1;
        check(lcf_rank(&response, r->context, &one, &err), &err);
        if (fabsf(response.results[0].score - together[i]) > 1e-6f) {
            fprintf(stderr, "bench_rank: candidate %zu scores %g alone and %g in company\n", i,
                    (double)response.results[0].score, (double)together[i]);
            exit(1);
        }
    }
}

static void measure(requests *r, const char *arm, size_t repeats, const char *size)
{
    static double total[REQUESTS_MAX], retrieve[REQUESTS_MAX];

    check_answer(r, arm);
    for (size_t i = 0; i < WARM_UP + repeats; i++) {
        lcf_rank_request request = draw(r, arm);
        lcf_rank_response response;
        lcf_err err = LCF_ERR_INIT;
        double start_s = lcf_clock_s();
        check(lcf_rank(&response, r->context, &request, &err), &err);
        if (i < WARM_UP)
            continue;
        total[i - WARM_UP] = (lcf_clock_s() - start_s) * 1e3;
        retrieve[i - WARM_UP] = response.retrieve_ms;
    }
    qsort(total, repeats, sizeof(double), compare_f64);
    qsort(retrieve, repeats, sizeof(double), compare_f64);
    printf("rank_%s_%zu_of_%s_p50,%.3f,ms\n", arm, r->candidates_n, size, total[repeats / 2]);
    printf("rank_%s_%zu_of_%s_p99,%.3f,ms\n", arm, r->candidates_n, size,
           total[repeats * 99 / 100]);
    if (strcmp(arm, "din"))
        printf("rank_%s_%zu_of_%s_retrieve_p50,%.3f,ms\n", arm, r->candidates_n, size,
               retrieve[repeats / 2]);
    fflush(stdout);
}

static void run(const char *dir, size_t examples_n, size_t repeats)
{
    world_options options = WORLD_OPTIONS_INIT;
    char root[4096], size[32];
    lcf_publish_result published;
    lcf_ranker_snapshot *snapshot;
    lcf_rank_info info;
    requests r;
    lcf_err err = LCF_ERR_INIT;

    /* Eight of ten rows are training rows, of which the first become examples. */
    options.users_n = examples_n / 8 + 20;
    options.items_n = ITEMS;
    options.rows_per_user = ROWS_PER_USER;
    options.examples_max = examples_n;
    options.text_dim = options.cot_dim = DIM;
    check(world_write(dir, &options, &err), &err);
    check(world_publish(&published, dir, "g", &err), &err);
    snprintf(root, sizeof(root), "%s/snapshots", dir);
    double start_s = lcf_clock_s();
    check(lcf_rank_open(&snapshot, root, &err), &err);
    lcf_rank_info_of(&info, snapshot);
    snprintf(size, sizeof(size), "%zu_examples", info.examples_n);
    printf("rank_open_of_%s,%.1f,ms\n", size, (lcf_clock_s() - start_s) * 1e3);
    memset(&r, 0, sizeof(r));
    lcf_rng_seed(&r.rng, 1, 0);
    r.users_n = options.users_n;
    check(lcf_rank_context_create(&r.context, snapshot, &err), &err);
    for (size_t n = 100; n <= 500; n += 400) {
        r.candidates_n = n;
        measure(&r, "din", repeats, size);
        measure(&r, "din-ict", repeats, size);
    }
    lcf_rank_context_free(r.context);
    lcf_rank_close(snapshot);
}

int main(int argc, char **argv)
{
    const char *root = getenv("TMPDIR");
    char *dir = lcf_path_join(root ? root : "/tmp", "lcf-bench-XXXXXX");
    uint64_t examples_n = 5000, repeats = 200;

    lcf_cli_start(argc, argv);
    lcf_progress_set_quiet(true);
    lcf_flush_denormals();
    if ((argc > 1 && !lcf_parse_u64(argv[1], strlen(argv[1]), &examples_n)) ||
        (argc > 2 && !lcf_parse_u64(argv[2], strlen(argv[2]), &repeats)) || examples_n < 100 ||
        repeats < 1 || repeats > REQUESTS_MAX) {
        fprintf(stderr, "usage: bench_rank [EXAMPLES [REQUESTS]]\n");
        return 2;
    }
    if (!dir || !mkdtemp(dir)) {
        perror("bench_rank");
        return 1;
    }
    for (int i = 0; i < ITEMS; i++)
        snprintf(g_ids[i], sizeof(g_ids[i]), "i%d", i + 1);
    run(dir, examples_n, repeats);
    (void)lcf_dir_remove(dir, NULL);
    free(dir);
    return 0;
}
