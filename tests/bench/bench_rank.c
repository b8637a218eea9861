/*
 * Latency of rank() on one thread, from external ids to the ordered response: 100 and 500
 * candidates, both arms, on a snapshot of random weights in the published sizes. Every request is
 * of another user with other candidates. The first answer of each kind is checked against
 * single-candidate requests.
 *
 * Beside the wall clock stands the thread's own time (cpu), which a busy machine does not change;
 * beside 500 candidates the floor, what the multiply-adds that must remain would take at sgemm's
 * speed, and its share of our time; and the PyTorch twin (rank_twin.py) on the same requests and
 * the same examples, where there is one. A process of its own measures the cold start and the
 * memory.
 *
 *     bench_rank [EXAMPLES [REQUESTS]]   CSV on stdout: name,value,unit (default 5000 and 200)
 */
#include "common/base/cli.h"
#include "common/base/file.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "common/data/dataset.h"
#include "common/model/ranker.h"
#include "online/rank/llmcf.h"
#include "online/rank/wire.h"
#include "tests/unit/rank/world.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ITEMS = 5000,
    ROWS_PER_USER = 30, /* histories of up to 20 */
    DIM = 256,
    WARM_UP = 10,
    REQUESTS_MAX = 10000,
    TWIN_REQUESTS = 15,
};

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

static double thread_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_ms(const char *arm, size_t candidates_n, const char *size, const char *what,
                     double *ms, size_t n, size_t percent)
{
    qsort(ms, n, sizeof(*ms), compare_f64);
    printf("rank_%s_%zu_of_%s_%s,%.3f,ms\n", arm, candidates_n, size, what, ms[n * percent / 100]);
}

/* Returns the median of the thread's time. */
static double measure(requests *r, const char *arm, size_t repeats, const char *size)
{
    static double total[REQUESTS_MAX], cpu[REQUESTS_MAX], retrieve[REQUESTS_MAX];

    check_answer(r, arm);
    for (size_t i = 0; i < WARM_UP + repeats; i++) {
        lcf_rank_request request = draw(r, arm);
        lcf_rank_response response;
        lcf_err err = LCF_ERR_INIT;
        double start_s = lcf_clock_s(), thread_start_s = thread_s();
        check(lcf_rank(&response, r->context, &request, &err), &err);
        if (i < WARM_UP)
            continue;
        total[i - WARM_UP] = (lcf_clock_s() - start_s) * 1e3;
        cpu[i - WARM_UP] = (thread_s() - thread_start_s) * 1e3;
        retrieve[i - WARM_UP] = response.retrieve_ms;
    }
    print_ms(arm, r->candidates_n, size, "p50", total, repeats, 50);
    print_ms(arm, r->candidates_n, size, "p99", total, repeats, 99);
    print_ms(arm, r->candidates_n, size, "cpu_p50", cpu, repeats, 50);
    if (strcmp(arm, "din"))
        print_ms(arm, r->candidates_n, size, "retrieve_p50", retrieve, repeats, 50);
    fflush(stdout);
    return cpu[repeats / 2];
}

/* ---- the floor ---- */

/* Multiply-adds a second of sgemm at its best, the larger of some rounds. */
static double sgemm_ceiling(void)
{
    enum { N = 768 };
    float *a = calloc(N * N, sizeof(*a)), *b = calloc(N * N, sizeof(*b)),
          *c = calloc(N * N, sizeof(*c));
    double best = 0;

    for (size_t i = 0; a && b && c && i < 12; i++) {
        double start_s = thread_s(), rate;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1.0f, a, N, b, N, 0.0f, c,
                    N);
        rate = (double)N * N * N / (thread_s() - start_s);
        best = rate > best ? rate : best;
    }
    free(a);
    free(b);
    free(c);
    return best;
}

/* Distinct brands and sets of categories, as shares of `n` items that are drawn as candidates are.
 */
static void distinct_fields(double share[2], const char *dataset_items, size_t n)
{
    lcf_catalogue c;
    uint32_t *items = calloc(n, sizeof(*items));
    size_t distinct[2] = {0, 0};
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng;

    check(items ? lcf_catalogue_open(&c, dataset_items, &err) : LCF_ENOMEM, &err);
    lcf_rng_seed(&rng, 3, 0);
    for (size_t i = 0; i < n; i++) {
        bool fresh[2] = {true, true};

        items[i] = 1 + (uint32_t)lcf_rng_below(&rng, c.items_n - 1);
        for (size_t j = 0; j < i; j++) {
            const uint64_t *a = c.category_offsets + items[i], *b = c.category_offsets + items[j];

            if (c.item_brand[items[i]] == c.item_brand[items[j]])
                fresh[0] = false;
            if (a[1] - a[0] == b[1] - b[0] &&
                !memcmp(c.item_categories + a[0], c.item_categories + b[0],
                        (a[1] - a[0]) * sizeof(*c.item_categories)))
                fresh[1] = false;
        }
        distinct[0] += fresh[0];
        distinct[1] += fresh[1];
    }
    for (size_t field = 0; field < 2; field++)
        share[field] = (double)distinct[field] / (double)n;
    lcf_catalogue_close(&c);
    free(items);
}

/*
 * Multiply-adds per candidate that are left when all that depends on the user, on the item or on an
 * example alone is known, and brands and sets of categories are multiplied once each: with a full
 * history and k examples, none shared between candidates. With `whole` the history is summed and
 * then mapped; else its entries are mapped once for the user, and then summed.
 */
static double din_madds(const lcf_ranker_config *c, const double distinct[2], bool whole)
{
    const double dim = c->dim, item = 3 * dim, h0 = c->head_hidden[0];
    const double extra = lcf_ranker_side_needs(c->side) ? dim : 0;
    const double first = dim * (1 + distinct[0] + distinct[1]) * c->att_hidden[0];
    const double pooled = whole ? LCF_HISTORY_MAX * item + item * h0 : LCF_HISTORY_MAX * h0;

    return LCF_HISTORY_MAX *
               (first + (double)c->att_hidden[0] * c->att_hidden[1] + c->att_hidden[1]) +
           pooled + extra * h0 + h0 * c->head_hidden[1] + c->head_hidden[1];
}

/* With `whole` lists those of every example count; else what the first of a list becomes is a
 * constant, too, and values of the last layer are mapped once they are summed. */
static double ict_madds(const lcf_ranker_config *c, bool whole)
{
    const double d = c->dim, t = 3.0 * c->k, qkv = 3 * d * d;
    const double read = whole ? t : t - 3, last = whole ? 2 * d * d : d * d;
    const double after = d * d + 3 * d * c->ffn_hidden; /* what follows a token's attention */
    const double own =
        c->x_hidden * d + c->layers_n * (qkv + after + 2 * (t + 1) * d); /* the row's token */
    const double first = after + (t + 1) * d; /* an example's, whose projections are constants */

    if (c->layers_n == 1)
        return own;
    return own + read * (first + (c->layers_n - 2) * (qkv + after + (t + 1) * d) + last);
}

static void print_floor(const lcf_ranker_config *c, const double distinct[2], const char *arm,
                        const char *size, double ms)
{
    const double to_ms = 500 / sgemm_ceiling() * 1e3; /* of what one candidate takes */
    const bool side = lcf_ranker_side_needs(c->side);

    for (int whole = 0; whole < 2; whole++) {
        const char *what = whole ? "floor_of_whole_lists" : "floor";
        const double floor_ms =
            to_ms * (din_madds(c, distinct, whole) + (side ? ict_madds(c, whole) : 0));

        printf("rank_%s_500_of_%s_%s,%.3f,ms\n", arm, size, what, floor_ms);
        printf("rank_%s_500_of_%s_%s_share,%.1f,percent\n", arm, size, what, 100 * floor_ms / ms);
    }
}

/* ---- the twin ---- */

/* Requests with their examples and scores, one a line, for the twin to repeat. */
static void write_requests(requests *r, const char *path)
{
    const lcf_wire_options options = {false, false};
    lcf_buf out = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;

    r->candidates_n = 500;
    for (size_t i = 0; i < TWIN_REQUESTS; i++) {
        lcf_rank_request request = draw(r, "din-ict");
        lcf_rank_response response;
        request.explain = true;
        check(lcf_rank(&response, r->context, &request, &err), &err);
        lcf_buf_printf(&out, "{\"user_id\":\"%s\",\"response\":", request.user_id);
        lcf_wire_write(&out, &response, &options);
        lcf_buf_printf(&out, "}\n");
    }
    check(out.status ? out.status : lcf_file_write(path, out.data, out.len, &err), &err);
    lcf_buf_dispose(&out);
}

/* Runs the twin on the world in `dir`; its figures follow ours, then the ratios. */
static void run_twin(requests *r, const char *dir, const char *size, const double *ours_ms)
{
    char command[8192], line[256], path[4200];
    const char *source = getenv("LCF_SOURCE_DIR");
    FILE *twin;

    snprintf(path, sizeof(path), "%s/requests.jsonl", dir);
    write_requests(r, path);
    snprintf(command, sizeof(command),
             "OPENBLAS_CORETYPE=${OPENBLAS_CORETYPE:-SkylakeX} OPENBLAS_NUM_THREADS=1 "
             "OMP_NUM_THREADS=1 /usr/bin/python3 '%s/tests/bench/rank_twin.py' '%s'",
             source ? source : ".", dir);
    twin = popen(command, "r");
    while (twin && fgets(line, sizeof(line), twin)) {
        size_t candidates_n;
        double ms;

        if (sscanf(line, "%zu %lf", &candidates_n, &ms) != 2)
            continue;
        printf("rank_twin_din-ict_%zu_of_%s_cpu_p50,%.3f,ms\n", candidates_n, size, ms);
        printf("rank_din-ict_%zu_of_%s_against_twin,%.1f,times\n", candidates_n, size,
               ms / ours_ms[candidates_n == 500]);
    }
    if (!twin || pclose(twin))
        fprintf(stderr, "bench_rank: no PyTorch twin here\n");
}

/* ---- a cold start, in a process of its own ---- */

static long status_kib(const char *name)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(line, sizeof(line), f))
        if (!strncmp(line, name, strlen(name)))
            kib = strtol(line + strlen(name), NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

/* Opens, answers once, and says how long after `start_s` that was, and what memory it took. */
static int answer_once(const char *root, double start_s, const char *size)
{
    requests r = {.candidates_n = 500, .users_n = 10};
    lcf_ranker_snapshot *snapshot;
    lcf_rank_response response;
    lcf_rank_request request;
    lcf_err err = LCF_ERR_INIT;
    double open_s = lcf_clock_s();

    lcf_rng_seed(&r.rng, 2, 0);
    request = draw(&r, "din-ict");
    check(lcf_rank_open(&snapshot, root, &err), &err);
    open_s = lcf_clock_s() - open_s;
    check(lcf_rank_context_create(&r.context, snapshot, &err), &err);
    check(lcf_rank(&response, r.context, &request, &err), &err);
    printf("rank_open_of_%s,%.1f,ms\n", size, open_s * 1e3);
    printf("rank_first_answer_of_%s,%.1f,ms\n", size, (lcf_clock_s() - start_s) * 1e3);
    printf("rank_rss_of_%s,%.1f,MiB\n", size, (double)status_kib("VmRSS:") / 1024);
    printf("rank_rss_private_of_%s,%.1f,MiB\n", size, (double)status_kib("RssAnon:") / 1024);
    lcf_rank_context_free(r.context);
    lcf_rank_close(snapshot);
    return 0;
}

static void cold_start(const char *root, const char *size)
{
    char start[64];
    pid_t child;
    int status;

    snprintf(start, sizeof(start), "%.9f", lcf_clock_s());
    fflush(stdout);
    child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "bench_rank", "--cold", root, start, size, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        fprintf(stderr, "bench_rank: the cold start failed\n");
}

static double bytes_of(const char *dir)
{
    char command[4200];
    double kib = 0;
    FILE *du;

    snprintf(command, sizeof(command), "du -sLk '%s/current'", dir);
    du = popen(command, "r");
    if (du && fscanf(du, "%lf", &kib) != 1)
        kib = 0;
    if (du)
        pclose(du);
    return kib * 1024;
}

/* ---- all of it ---- */

static void make_snapshot(world_options *options, const char *dir, size_t examples_n)
{
    lcf_publish_result published;
    lcf_err err = LCF_ERR_INIT;

    /* Eight of ten rows are training rows, of which the first become examples. */
    options->users_n = examples_n * 10 / 8 / ROWS_PER_USER + 20;
    options->items_n = ITEMS;
    options->rows_per_user = ROWS_PER_USER;
    options->examples_max = examples_n;
    options->text_dim = options->cot_dim = DIM;
    check(world_write(dir, options, &err), &err);
    check(world_publish(&published, dir, "g", &err), &err);
}

static void run(const char *dir, size_t examples_n, size_t repeats)
{
    static const char *const arms[] = {"din", "din-ict"};
    world_options options = WORLD_OPTIONS_INIT;
    char root[4096], path[4200], size[32];
    double cpu_ms[2][2], distinct[2];
    lcf_ranker_snapshot *snapshot;
    lcf_rank_info info;
    requests r = {.candidates_n = 0};
    lcf_err err = LCF_ERR_INIT;

    make_snapshot(&options, dir, examples_n);
    snprintf(root, sizeof(root), "%s/snapshots", dir);
    check(lcf_rank_open(&snapshot, root, &err), &err);
    lcf_rank_info_of(&info, snapshot);
    snprintf(size, sizeof(size), "%zu_examples", info.examples_n);
    lcf_rng_seed(&r.rng, 1, 0);
    r.users_n = options.users_n;
    check(lcf_rank_context_create(&r.context, snapshot, &err), &err);
    for (size_t n = 0; n < 2; n++)
        for (size_t arm = 0; arm < 2; arm++) {
            r.candidates_n = n ? 500 : 100;
            cpu_ms[arm][n] = measure(&r, arms[arm], repeats, size);
        }
    snprintf(path, sizeof(path), "%s/dataset/items.lcf", dir);
    distinct_fields(distinct, path, 500);
    for (size_t arm = 0; arm < 2; arm++) {
        lcf_ranker *ranker;
        snprintf(path, sizeof(path), "%s/%s.lcf", dir, arm ? "ict" : "din");
        check(lcf_ranker_open(&ranker, path, &err), &err);
        print_floor(lcf_ranker_config_of(ranker), distinct, arms[arm], size, cpu_ms[arm][1]);
        lcf_ranker_free(ranker);
    }
    run_twin(&r, dir, size, cpu_ms[1]);
    lcf_rank_context_free(r.context);
    lcf_rank_close(snapshot);
    cold_start(root, size);
    printf("rank_snapshot_of_%s,%.1f,MiB\n", size, bytes_of(root) / (1 << 20));
}

int main(int argc, char **argv)
{
    const char *root = getenv("TMPDIR");
    char *dir = lcf_path_join(root ? root : "/tmp", "lcf-bench-XXXXXX");
    uint64_t examples_n = 5000, repeats = 200;

    lcf_cli_start(argc, argv);
    lcf_progress_set_quiet(true);
    lcf_flush_denormals();
    for (int i = 0; i < ITEMS; i++)
        snprintf(g_ids[i], sizeof(g_ids[i]), "i%d", i + 1);
    if (argc == 5 && !strcmp(argv[1], "--cold"))
        return answer_once(argv[2], strtod(argv[3], NULL), argv[4]);
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
    run(dir, examples_n, repeats);
    (void)lcf_dir_remove(dir, NULL);
    free(dir);
    return 0;
}
