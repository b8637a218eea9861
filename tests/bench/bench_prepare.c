/*
 * prepare on a log of a million ratings: seconds and peak memory. The log is written first and is
 * not timed.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "offline/data/prepare.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define ROWS 1000000
#define USERS 50000
#define ITEMS 20000
#define RUNS 3

static lcf_status write_items(const char *path, lcf_err *err)
{
    lcf_out *out = NULL;
    lcf_status status = lcf_out_open(&out, path, err);

    if (status)
        return status;
    fputs("item_id\ttitle\tbrand\tcategories\n", lcf_out_stream(out));
    for (int i = 1; i <= ITEMS; i++)
        fprintf(lcf_out_stream(out), "%d\tItem number %d\tBrand %d\tC%d|D%d\n", i, i, i % 300,
                i % 17, i % 5);
    return lcf_out_commit(out, err);
}

static lcf_status write_rows(const char *path, lcf_err *err)
{
    lcf_out *out = NULL;
    lcf_rng rng;
    lcf_status status = lcf_out_open(&out, path, err);

    if (status)
        return status;
    lcf_rng_seed(&rng, 1, 0);
    fputs("user_id\titem_id\ttimestamp\trating\n", lcf_out_stream(out));
    for (int i = 0; i < ROWS; i++)
        fprintf(lcf_out_stream(out), "%d\t%d\t%d\t%d\n", 1 + (int)lcf_rng_below(&rng, USERS),
                1 + (int)lcf_rng_below(&rng, ITEMS),
                1400000000 + (int)lcf_rng_below(&rng, 200000000), 1 + (int)lcf_rng_below(&rng, 5));
    return lcf_out_commit(out, err);
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static lcf_status measure(const char *dir, const char *dataset, lcf_err *err)
{
    lcf_prepare_options options = LCF_PREPARE_OPTIONS_INIT;
    double seconds[RUNS];
    struct rusage usage;
    lcf_status status = LCF_OK;

    options.input_dir = dir;
    options.out_dir = dataset;
    options.force = true;
    for (int run = 0; run < RUNS && !status; run++) {
        double start = lcf_clock_s();

        status = lcf_prepare(NULL, NULL, &options, err);
        seconds[run] = lcf_clock_s() - start;
    }
    if (status)
        return status;
    qsort(seconds, RUNS, sizeof(*seconds), by_value);
    getrusage(RUSAGE_SELF, &usage);
    printf("prepare_1m_rows,%.3f,s\n", seconds[RUNS / 2]);
    printf("prepare_1m_rows_peak_memory,%.1f,MiB\n", (double)usage.ru_maxrss / 1024.0);
    return LCF_OK;
}

int main(void)
{
    const char *parent = getenv("TMPDIR");
    char *dir = lcf_path_join(parent && *parent ? parent : "/tmp", "bench-prepare-XXXXXX");
    char *items, *rows, *dataset;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;

    lcf_progress_set_quiet(true);
    if (!dir || !mkdtemp(dir)) {
        perror("bench_prepare");
        return 1;
    }
    items = lcf_path_join(dir, "items.tsv");
    rows = lcf_path_join(dir, "interactions.tsv");
    dataset = lcf_path_join(dir, "dataset");
    LCF_ASSERT(items && rows && dataset);
    status = write_items(items, &err);
    if (!status)
        status = write_rows(rows, &err);
    if (!status)
        status = measure(dir, dataset, &err);
    if (status)
        fprintf(stderr, "bench_prepare: %s\n", err.text);
    lcf_dir_remove(dir, NULL);
    free(items);
    free(rows);
    free(dataset);
    free(dir);
    return status ? 1 : 0;
}
