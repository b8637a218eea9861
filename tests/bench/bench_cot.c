/*
 * The CoT store at size: N records of about 1 KB, written in batches, read one by one, opened
 * again.
 *
 *     bench_cot [RECORDS [BATCH]]   CSV on stdout: name,value,unit (default 1000000 in batches of
 *                                   4096); writes a folder into the working directory and removes
 * it
 *
 * What it is held to: 50,000 records/s written, reads at a median of 4 us, .45 of the raw size and
 * opening in milliseconds.
 */
#include "common/base/cli.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "common/store/cot_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { GETS = 200000, TEXT_BYTES = 2048, OPENS = 5, USERS = 20000, ITEMS = 5000 };
static const char FOLDER[] = "bench_cot.dir", DATA[] = "bench_cot.dir/data.mdb";

static void check(lcf_status status, const lcf_err *err)
{
    if (status) {
        fprintf(stderr, "bench_cot: %s\n", err->text);
        exit(1);
    }
}

static void *need(void *p)
{
    if (!p) {
        fprintf(stderr, "bench_cot: out of memory\n");
        exit(1);
    }
    return p;
}

static int compare_f64(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* A record and room for its strings. */
typedef struct made {
    lcf_cot_record record;
    char user[16], item[16], text[TEXT_BYTES];
} made;

static const char *const WORDS[] = {
    "The user",     "prefers",      "dark",         "comedies",   "with a",       "strong sense of",
    "place and",    "has rated",    "thrillers",    "highly,",    "so this film", "fits;",
    "although it",  "departs from", "recent",       "favourites", "by director",  "the genre",
    "is one they",  "return to",    "and the cast", "overlaps",   "with title",   "therefore",
    "it is likely", "that they",    "would enjoy",  "watching",   "it again,",    "number"};

static void make(made *m, uint64_t number)
{
    static const lcf_cot_record like = {.label = 1,
                                        .score = 0.5f,
                                        .parts = {0.25f, 0.5f, 0.75f, 0.5f},
                                        .reject_reason = "",
                                        .model_id = "0123456789abcdef0123456789abcdef",
                                        .prompt_version = "cot-1 recgen history=8",
                                        .sampling = "temperature=0.6 top_k=50 top_p=1 seed=1",
                                        .candidates_n = 3,
                                        .prompt_tokens = 200,
                                        .tokens = 150,
                                        .tokens_generated = 450};
    lcf_rng rng;
    size_t used = 0;

    lcf_rng_seed(&rng, number, 7);
    snprintf(m->user, sizeof(m->user), "u%u", (unsigned)lcf_rng_below(&rng, USERS));
    snprintf(m->item, sizeof(m->item), "i%u", (unsigned)lcf_rng_below(&rng, ITEMS));
    for (size_t i = 0, n = 45 + lcf_rng_below(&rng, 40); i < n; i++)
        used += (size_t)snprintf(m->text + used, TEXT_BYTES - used, "%s %u ",
                                 WORDS[lcf_rng_below(&rng, sizeof(WORDS) / sizeof(WORDS[0]))],
                                 (unsigned)lcf_rng_below(&rng, 99));
    m->record = like;
    m->record.key = lcf_hash128_of(&number, sizeof(number));
    m->record.sample_hash = lcf_hash128_of(m->text, used);
    m->record.user_id = m->user;
    m->record.item_id = m->item;
    m->record.text = m->text;
    m->record.time = 1600000000 + (int64_t)lcf_rng_below(&rng, 100000000);
}

typedef enum use { WRITE, READ, READ_SNAPSHOT } use;

static lcf_cot_store *open_store(use how)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;

    options.write = how == WRITE;
    options.immutable = how == READ_SNAPSHOT;
    check(lcf_cot_store_open(&s, FOLDER, &options, &err), &err);
    return s;
}

static void bench_put(uint64_t n, size_t batch_n)
{
    made *all = need(lcf_alloc(batch_n, sizeof(*all)));
    lcf_cot_record *batch = need(lcf_alloc(batch_n, sizeof(*batch)));
    lcf_cot_store *s = open_store(WRITE);
    lcf_err err = LCF_ERR_INIT;
    double spent = 0, slowest = 0;

    for (uint64_t at = 0; at < n; at += batch_n) {
        const size_t now = n - at < batch_n ? (size_t)(n - at) : batch_n;
        double begin;

        for (size_t i = 0; i < now; i++) {
            make(&all[i], at + i);
            batch[i] = all[i].record;
        }
        begin = lcf_clock_s();
        check(lcf_cot_store_put(s, batch, now, &err), &err);
        begin = lcf_clock_s() - begin;
        spent += begin;
        slowest = begin > slowest ? begin : slowest;
    }
    printf("cot_put,%.0f,records/s\ncot_put_slowest_batch,%.1f,ms\n", (double)n / spent,
           1e3 * slowest);
    lcf_cot_store_close(s);
    free(all);
    free(batch);
}

static void bench_get(uint64_t n, use how, const char *name)
{
    double *us = need(lcf_alloc(GETS, sizeof(*us)));
    lcf_cot_store *s = open_store(how);
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng;

    lcf_rng_seed(&rng, 2, 0);
    for (size_t i = 0; i < GETS; i++) {
        const uint64_t number = lcf_rng_below(&rng, n);
        lcf_cot_record *record;
        const uint64_t begin = lcf_clock_ns();

        check(lcf_cot_store_get(&record, s, lcf_hash128_of(&number, sizeof(number)), &err), &err);
        us[i] = (double)(lcf_clock_ns() - begin) / 1e3;
        free(record);
    }
    qsort(us, GETS, sizeof(*us), compare_f64);
    printf("%s_p50,%.2f,us\n%s_p99,%.2f,us\n", name, us[GETS / 2], name, us[GETS * 99 / 100]);
    lcf_cot_store_close(s);
    free(us);
}

static void bench_size(void)
{
    lcf_cot_store *s = open_store(READ);
    lcf_cot_store_stats stats;
    struct stat st;
    lcf_err err = LCF_ERR_INIT;

    check(lcf_cot_store_stat(&stats, s, &err), &err);
    lcf_cot_store_close(s);
    if (stat(DATA, &st)) {
        perror(DATA);
        exit(1);
    }
    printf("cot_raw,%.0f,bytes/record\n", (double)stats.raw_bytes / (double)stats.records_n);
    printf("cot_frames,%.3f,of raw\n", (double)stats.stored_bytes / (double)stats.raw_bytes);
    printf("cot_file,%.3f,of raw\n", (double)st.st_size / (double)stats.raw_bytes);
}

static void bench_open(void)
{
    double ms[OPENS];

    for (size_t i = 0; i < OPENS; i++) {
        const double begin = lcf_clock_s();

        lcf_cot_store_close(open_store(READ));
        ms[i] = 1e3 * (lcf_clock_s() - begin);
    }
    qsort(ms, OPENS, sizeof(ms[0]), compare_f64);
    printf("cot_open,%.2f,ms\n", ms[OPENS / 2]);
}

int main(int argc, char **argv)
{
    uint64_t n = 1000000, batch = 4096;
    lcf_err err = LCF_ERR_INIT;

    lcf_cli_start(argc, argv);
    if (argc > 3 || (argc > 1 && (!lcf_parse_u64(argv[1], strlen(argv[1]), &n) || !n)) ||
        (argc > 2 && (!lcf_parse_u64(argv[2], strlen(argv[2]), &batch) || !batch)))
        return 2;
    check(lcf_dir_remove(FOLDER, &err), &err);
    bench_put(n, (size_t)batch);
    bench_size();
    bench_open();
    bench_get(n, READ, "cot_get");
    bench_get(n, READ_SNAPSHOT, "cot_get_snapshot");
    check(lcf_dir_remove(FOLDER, &err), &err);
    return 0;
}
