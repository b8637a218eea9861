/*
 * Fuzz target: the readers of logged-bandit files. The first byte chooses the form and whether bad
 * rows may be dropped. What is read is either refused with file and line, or a log whose every
 * number is in range.
 */
#include "common/base/pool.h"
#include "offline/eval/ope/ope.h"
#include "offline/eval/ope/read.h"
#include "offline/eval/ope/target.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_row(const lcf_ope_log *log, size_t i)
{
    LCF_ASSERT(log->propensity[i] > 0 && log->propensity[i] <= 1 && isfinite(log->reward[i]));
    LCF_ASSERT(isnan(log->target[i]) || (log->target[i] >= 0 && log->target[i] <= 1));
    LCF_ASSERT(log->action[i] < log->actions_n && log->user[i] < log->users_n);
    LCF_ASSERT(log->request[i] < log->requests_n && log->position[i] < log->positions_n);
    LCF_ASSERT(log->set[i] == LCF_OPE_NO_SET || log->set[i] < log->sets_n);
    for (uint64_t k = log->feature_first[i]; k < log->feature_first[i + 1]; k++)
        LCF_ASSERT(log->feature[k] < log->features_n);
}

static void check_sets(const lcf_ope_log *log)
{
    for (uint64_t c = 0; c < log->candidates_n; c++)
        LCF_ASSERT(log->candidate[c] < log->actions_n);
}

/* Small logs are evaluated, too. */
static void use(lcf_ope_log *log)
{
    lcf_ope_options options = LCF_OPE_OPTIONS_INIT;
    lcf_ope_result result = {0};
    lcf_pool *pool = NULL;
    lcf_err err = LCF_ERR_INIT;

    options.bootstrap.replicates_n = 3;
    if (log->rows_n > 200 || lcf_ope_log_check_support(log, &err) ||
        (!log->has_targets && lcf_ope_target_uniform(log, &err)))
        return;
    if (!lcf_pool_create(&pool, 1, &err) && lcf_ope_evaluate(&result, log, pool, &options, &err))
        LCF_ASSERT(err.text[0]);
    lcf_ope_result_dispose(&result);
    lcf_pool_free(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const lcf_ope_scores none = {"", NULL, 0, 0};
    lcf_ope_log_options options = {size && data[0] & 8, size && data[0] & 4};
    const char *text = (const char *)data + (size ? 1 : 0);
    size_t n = size ? size - 1 : 0;
    lcf_err err = LCF_ERR_INIT;
    lcf_ope_log log;
    lcf_status status;

    if (lcf_ope_log_init(&log, "fuzz", &options, &err))
        return 0;
    switch (size ? data[0] & 3 : 0) {
    case 0:
        status = lcf_ope_read_csv(&log, text, n, &err);
        break;
    case 1:
        status = lcf_ope_read_jsonl(&log, text, n, &err);
        break;
    case 2:
        status = lcf_ope_read_obd(&log, text, n, &err);
        break;
    default:
        status = lcf_ope_read_requests(&log, text, n, &none, &err);
    }
    if (!status)
        status = lcf_ope_log_finish(&log, &err);
    if (status) {
        LCF_ASSERT(strstr(err.text, "fuzz"));
    } else {
        for (size_t i = 0; i < log.rows_n; i++)
            check_row(&log, i);
        check_sets(&log);
        use(&log);
    }
    lcf_ope_log_dispose(&log);
    return 0;
}
