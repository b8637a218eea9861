/*
 * The CoT store (durable puts/s, latency of get, compression) and the example index (rows/s of
 * blocks of different users; latency of one request of 500 candidates), on one thread. The index
 * is checked against the exact search first.
 *
 *     bench_store [EXAMPLES]   CSV on stdout: name,value,unit (default 8000); writes a folder into
 *                              the working directory and removes it
 */
#include "common/base/cli.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "common/store/cot_store.h"
#include "common/store/examples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECORDS = 6400,
    BATCH = 64,
    GETS = 20000,
    DIM = 256,
    ITEMS = 2500,
    USERS = 600,
    BLOCK = 256,
    BLOCKS = 12,
    CANDIDATES = 500,
    REQUESTS = 40,
    K = 4,
};
static const char FOLDER[] = "bench_store.dir";

static void check(lcf_status status, const lcf_err *err)
{
    if (status) {
        fprintf(stderr, "bench_store: %s\n", err->text);
        exit(1);
    }
}

static void *need(void *p)
{
    if (!p) {
        fprintf(stderr, "bench_store: out of memory\n");
        exit(1);
    }
    return p;
}

static int compare_f64(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* ---- the store ---- */

static const char *const WORDS[] = {
    "user",    "profile", "shows",   "interest", "in",      "thriller",  "comedy",   "drama",
    "because", "history", "matches", "target",   "item",    "genre",     "director", "and",
    "the",     "of",      "recent",  "titles",   "diverse", "therefore", "likely",   "enjoy"};

static void compose(lcf_buf *out, lcf_rng *rng)
{
    lcf_buf_reset(out);
    for (size_t i = 0, n = 100 + lcf_rng_below(rng, 100); i < n; i++)
        lcf_buf_printf(out, "%s ", WORDS[lcf_rng_below(rng, 24)]);
}

static void bench_put(lcf_cot_store *s)
{
    lcf_cot_record batch[BATCH];
    lcf_buf texts[BATCH];
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng;
    double spent = 0;

    memset(texts, 0, sizeof(texts));
    lcf_rng_seed(&rng, 1, 0);
    for (uint64_t at = 0; at < RECORDS; at += BATCH) {
        double begin;
        for (uint64_t i = 0; i < BATCH; i++) {
            uint64_t number = at + i;
            compose(&texts[i], &rng);
            batch[i] = (lcf_cot_record){.key = lcf_hash128_of(&number, sizeof(number)),
                                        .user_id = "u1",
                                        .item_id = "i1",
                                        .text = lcf_buf_text(&texts[i]),
                                        .score = 0.5f,
                                        .reject_reason = "",
                                        .model_id = "bench",
                                        .prompt_version = "1",
                                        .sampling = ""};
        }
        begin = lcf_clock_s();
        check(lcf_cot_store_put(s, batch, BATCH, &err), &err);
        spent += lcf_clock_s() - begin;
    }
    printf("cot_put_durable_batch64,%.0f,records/s\n", RECORDS / spent);
    for (size_t i = 0; i < BATCH; i++)
        lcf_buf_dispose(&texts[i]);
}

static void bench_get(lcf_cot_store *s)
{
    double *us = need(lcf_alloc(GETS, sizeof(*us)));
    lcf_cot_store_stats stats;
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng;

    lcf_rng_seed(&rng, 2, 0);
    for (size_t i = 0; i < GETS; i++) {
        uint64_t number = lcf_rng_below(&rng, RECORDS);
        lcf_cot_record *record;
        uint64_t begin = lcf_clock_ns();
        check(lcf_cot_store_get(&record, s, lcf_hash128_of(&number, sizeof(number)), &err), &err);
        us[i] = (double)(lcf_clock_ns() - begin) / 1e3;
        free(record);
    }
    qsort(us, GETS, sizeof(*us), compare_f64);
    printf("cot_get_p50,%.2f,us\ncot_get_p99,%.2f,us\n", us[GETS / 2], us[GETS * 99 / 100]);
    check(lcf_cot_store_stat(&stats, s, &err), &err);
    printf("cot_compression,%.2f,ratio\n", (double)stats.raw_bytes / (double)stats.stored_bytes);
    free(us);
}

static void bench_store(void)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;

    check(lcf_dir_remove(FOLDER, &err), &err);
    options.write = true;
    check(lcf_cot_store_open(&s, FOLDER, &options, &err), &err);
    bench_put(s);
    bench_get(s);
    lcf_cot_store_close(s);
    check(lcf_dir_remove(FOLDER, &err), &err);
}

/* ---- the index ---- */

static void unit(float *v, lcf_rng *rng)
{
    double square = 0;

    for (size_t i = 0; i < DIM; i++) {
        v[i] = (float)lcf_rng_normal(rng) / (1.0f + (float)i / 16); /* a decaying spectrum */
        square += (double)v[i] * v[i];
    }
    for (size_t i = 0; i < DIM; i++)
        v[i] = (float)(v[i] / sqrt(square));
}

static float *vectors(size_t n, uint64_t seed)
{
    float *v = need(lcf_alloc(n * DIM, sizeof(*v)));
    lcf_rng rng;

    lcf_rng_seed(&rng, seed, 0);
    for (size_t i = 0; i < n; i++)
        unit(v + i * DIM, &rng);
    return v;
}

static void make_examples(lcf_examples *out, size_t n, const float *items, const float *users)
{
    lcf_examples e = {.n = n, .text_dim = DIM, .cot_dim = 1};
    lcf_hash128 *key = need(lcf_alloc_zero(n, sizeof(*key)));
    lcf_hash128 *hash = need(lcf_alloc_zero(n, sizeof(*hash)));
    uint32_t *user = need(lcf_alloc(n, 4)), *item = need(lcf_alloc(n, 4));
    uint32_t *history = need(lcf_alloc_zero(n, 4 * LCF_HISTORY_MAX));
    uint32_t *history_n = need(lcf_alloc_zero(n, 4));
    uint8_t *label = need(lcf_alloc(n, 1));
    int64_t *time = need(lcf_alloc(n, 8));
    float *h = need(lcf_alloc(n * DIM, 4)), *t = need(lcf_alloc(n * DIM, 4));
    float *cot = need(lcf_alloc_zero(n, 4));
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng;

    lcf_rng_seed(&rng, 5, 0);
    for (size_t i = 0; i < n; i++) {
        uint64_t number = i;
        key[i] = hash[i] = lcf_hash128_of(&number, sizeof(number));
        user[i] = 1 + (uint32_t)lcf_rng_below(&rng, USERS);
        item[i] = (uint32_t)lcf_rng_below(&rng, ITEMS);
        label[i] = (uint8_t)lcf_rng_below(&rng, 2);
        time[i] = (int64_t)i;
        memcpy(h + i * DIM, users + (user[i] - 1) * DIM, DIM * sizeof(float));
        memcpy(t + i * DIM, items + item[i] * DIM, DIM * sizeof(float));
    }
    e.key = key;
    e.sample_hash = hash;
    e.user = user;
    e.item = item;
    e.label = label;
    e.time = time;
    e.history = history;
    e.history_n = history_n;
    e.history_vec = h;
    e.target_vec = t;
    e.cot_vec = cot;
    check(lcf_dir_remove(FOLDER, &err), &err);
    check(lcf_dir_create(FOLDER, &err), &err);
    check(lcf_examples_save(FOLDER, &e, &err), &err);
    check(lcf_examples_open(out, FOLDER, &err), &err);
    free(key);
    free(hash);
    free(user);
    free(item);
    free(history);
    free(history_n);
    free(label);
    free(time);
    free(h);
    free(t);
    free(cot);
}

/* Compares the first rows with the definition, then times all `rounds` blocks of n queries. */
static double median_s(const lcf_examples *e, lcf_example_query *queries, size_t n, size_t rounds)
{
    uint32_t *ids = need(lcf_alloc(n * K, 4)), exact[8 * K];
    double *s = need(lcf_alloc(rounds, sizeof(*s))), median;
    lcf_example_options options = LCF_EXAMPLE_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;

    check(lcf_examples_search(ids, NULL, e, queries, n, &options, &err), &err);
    check(lcf_examples_search_exact(exact, NULL, e, queries, 8, &options, &err), &err);
    if (memcmp(ids, exact, sizeof(exact))) {
        fprintf(stderr, "bench_store: the index does not find what the exact search finds\n");
        exit(1);
    }
    for (size_t r = 0; r < rounds; r++) {
        double begin = lcf_clock_s();
        check(lcf_examples_search(ids, NULL, e, queries + r * n, n, &options, &err), &err);
        s[r] = lcf_clock_s() - begin;
    }
    qsort(s, rounds, sizeof(*s), compare_f64);
    median = s[rounds / 2];
    free(s);
    free(ids);
    return median;
}

static void bench_index(size_t n)
{
    float *items = vectors(ITEMS, 3), *users = vectors(USERS, 4);
    size_t queries_n = REQUESTS * CANDIDATES;
    lcf_example_query *q = need(lcf_alloc_zero(queries_n, sizeof(*q)));
    lcf_examples e;
    lcf_rng rng;

    make_examples(&e, n, items, users);
    lcf_rng_seed(&rng, 6, 0);
    for (size_t i = 0; i < BLOCK * BLOCKS; i++) {
        uint32_t user = (uint32_t)lcf_rng_below(&rng, USERS);
        q[i] = (lcf_example_query){user + 1,
                                   (int64_t)lcf_rng_below(&rng, n),
                                   {{0}},
                                   users + user * DIM,
                                   items + lcf_rng_below(&rng, ITEMS) * DIM};
    }
    printf("retrieve_rows,%.0f,rows/s\n", BLOCK / median_s(&e, q, BLOCK, BLOCKS));
    for (size_t i = 0; i < queries_n; i++) {
        uint32_t user = (uint32_t)(i / CANDIDATES) % USERS;
        q[i] = (lcf_example_query){user + 1,
                                   INT64_MAX,
                                   {{0}},
                                   users + user * DIM,
                                   items + lcf_rng_below(&rng, ITEMS) * DIM};
    }
    printf("retrieve_request_500_p50,%.2f,ms\n", 1e3 * median_s(&e, q, CANDIDATES, REQUESTS));
    lcf_examples_close(&e);
    free(q);
    free(items);
    free(users);
    check(lcf_dir_remove(FOLDER, NULL), NULL);
}

int main(int argc, char **argv)
{
    uint64_t n = 8000;

    lcf_cli_start(argc, argv);
    lcf_flush_denormals();
    if (argc > 2 || (argc == 2 && (!lcf_parse_u64(argv[1], strlen(argv[1]), &n) || n < 10)))
        return 2;
    bench_store();
    bench_index((size_t)n);
    return 0;
}
