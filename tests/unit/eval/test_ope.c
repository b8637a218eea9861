/*
 * Counterfactual evaluation: estimators against NumPy, targets, and the Open Bandit data where it
 * is at hand. Worlds of known truth: test_ope_truth.c.
 */
#include "tests/unit/test.h"

#include "common/base/mem.h"
#include "offline/eval/ope/load.h"
#include "offline/eval/ope/logistic.h"
#include "offline/eval/ope/ope.h"
#include "offline/eval/ope/report.h"
#include "offline/eval/ope/run.h"
#include "offline/eval/ope/target.h"
#include "tests/golden/ope_golden.h"

#include <math.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static char *example(const char *name)
{
    const char *root = getenv("LCF_SOURCE_DIR");
    char *dir = lcf_path_join(root ? root : ".", "schemas/examples/ope"), *path;

    assert_non_null(dir);
    path = lcf_path_join(dir, name);
    free(dir);
    assert_non_null(path);
    return path;
}

static void load_example(lcf_ope_log *log, const char *name, const char *target, double temperature)
{
    char *path = example(name);
    lcf_ope_source source = {path, LCF_OPE_AUTO, target, temperature, {false, false}};
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_ope_load(log, &source, &err), &err);
    free(path);
}

static void evaluate(lcf_ope_result *result, const lcf_ope_log *log, const lcf_ope_options *options,
                     size_t threads)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_pool *pool;

    assert_ok(lcf_pool_create(&pool, threads, &err), &err);
    assert_ok(lcf_ope_evaluate(result, log, pool, options, &err), &err);
    lcf_pool_free(pool);
}

static lcf_ope_options quick(void)
{
    lcf_ope_options options = LCF_OPE_OPTIONS_INIT;

    options.bootstrap.replicates_n = 100;
    return options;
}

static void near(double value, double wanted, const char *name, const char *what)
{
    if (isnan(wanted) && isnan(value))
        return;
    if (isinf(wanted) && value == wanted)
        return;
    if (!(fabs(value - wanted) <= 1e-9 * fmax(1, fabs(wanted))))
        fail_msg("%s of %s is %.15g, not %.15g", what, name, value, wanted);
}

static void check_golden(const lcf_ope_result *result, const ope_golden *golden, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = golden[i].name;
        const double *f = golden[i].figures;
        const lcf_ope_outcome *o = lcf_ope_find(result, name);
        assert_non_null(o);
        if (o->absent)
            fail_msg("no %s: %s", name, o->absent);
        if (o->tuned)
            near(o->lambda, f[0], name, "lambda");
        near(o->estimate[LCF_OPE_VALUE].value, f[1], name, "value");
        near(o->estimate[LCF_OPE_VALUE].se, f[2], name, "standard error");
        near(o->ess, f[3], name, "effective sample size");
        near(o->estimate[LCF_OPE_LIFT].value, f[4], name, "lift");
        near(o->estimate[LCF_OPE_LIFT].se, f[5], name, "standard error of the lift");
    }
}

/* ---- against NumPy ---- */

static void rows_are_those_of_numpy(void **state)
{
    static const char *const FILES[] = {"log.jsonl", "log.csv"};
    lcf_ope_options options = quick();

    (void)state;
    for (size_t f = 0; f < LENGTH(FILES); f++) {
        lcf_ope_result result;
        lcf_ope_log log;
        load_example(&log, FILES[f], NULL, 0);
        options.tuning = LCF_OPE_TUNE_BOUND;
        evaluate(&result, &log, &options, 1);
        check_golden(&result, OPE_GOLDEN_BOUND, LENGTH(OPE_GOLDEN_BOUND));
        near(result.weights.mean, OPE_GOLDEN_WEIGHTS[0], FILES[f], "mean weight");
        near(result.weights.max, OPE_GOLDEN_WEIGHTS[1], FILES[f], "largest weight");
        near(result.weights.top_share, OPE_GOLDEN_WEIGHTS[2], FILES[f], "top share");
        near(result.weights.ess, OPE_GOLDEN_WEIGHTS[3], FILES[f], "effective sample size");
        assert_string_equal(lcf_ope_find(&result, "replay")->absent,
                            "the target policy draws among actions");
        lcf_ope_result_dispose(&result);
        options.tuning = LCF_OPE_TUNE_DIRECT;
        evaluate(&result, &log, &options, 1);
        check_golden(&result, OPE_GOLDEN_DIRECT, LENGTH(OPE_GOLDEN_DIRECT));
        lcf_ope_result_dispose(&result);
        lcf_ope_log_dispose(&log);
    }
}

/* The same log with a target that takes its likeliest action. */
static void replay_is_that_of_numpy(void **state)
{
    lcf_ope_options options = quick();
    lcf_ope_result result;
    lcf_ope_log log;

    (void)state;
    load_example(&log, "log.jsonl", NULL, 0);
    for (size_t i = 0; i < log.rows_n; i++) {
        uint64_t best = log.set_first[log.set[i]];
        for (uint64_t c = best; c < log.set_first[log.set[i] + 1]; c++)
            best = log.candidate_target[c] > log.candidate_target[best] ? c : best;
        log.target[i] = log.candidate[best] == log.action[i];
    }
    evaluate(&result, &log, &options, 1);
    check_golden(&result, OPE_GOLDEN_REPLAY, 1);
    assert_non_null(strstr(lcf_buf_text(&result.warnings), "Replay is biased here"));
    lcf_ope_result_dispose(&result);
    lcf_ope_log_dispose(&log);
}

static void lists_are_those_of_numpy(void **state)
{
    char *target = example("candidate.jsonl"), scores[1024];
    lcf_ope_options options = quick();
    lcf_ope_result result;
    lcf_ope_log log;

    (void)state;
    snprintf(scores, sizeof(scores), "scores:%s", target);
    load_example(&log, "requests.jsonl", scores, 0.7);
    evaluate(&result, &log, &options, 1);
    check_golden(&result, OPE_GOLDEN_SLATES, LENGTH(OPE_GOLDEN_SLATES));
    assert_non_null(lcf_ope_find(&result, "slate_pbm")->absent);
    assert_int_equal(result.positions_n, LENGTH(OPE_GOLDEN_EXAMINATION));
    for (size_t p = 0; p < result.positions_n; p++)
        near(result.examination[p], OPE_GOLDEN_EXAMINATION[p], "a position", "examination");
    lcf_ope_result_dispose(&result);
    lcf_ope_log_dispose(&log);

    load_example(&log, "requests.jsonl", scores, 0);
    evaluate(&result, &log, &options, 1);
    check_golden(&result, OPE_GOLDEN_PBM, 1);
    lcf_ope_result_dispose(&result);
    lcf_ope_log_dispose(&log);
    free(target);
}

static void threads_change_nothing(void **state)
{
    lcf_ope_options options = quick();
    lcf_ope_result one, three;
    lcf_ope_log log;

    (void)state;
    load_example(&log, "log.jsonl", NULL, 0);
    evaluate(&one, &log, &options, 1);
    evaluate(&three, &log, &options, 3);
    for (size_t e = 0; e < one.outcomes_n; e++)
        assert_memory_equal(one.outcomes[e].estimate, three.outcomes[e].estimate,
                            sizeof(one.outcomes[e].estimate));
    lcf_ope_result_dispose(&one);
    lcf_ope_result_dispose(&three);
    lcf_ope_log_dispose(&log);
}

/* ---- logistic regression ---- */

static void logistic_has_no_gradient_left(void **state)
{
    static const uint64_t first[] = {0, 1, 3, 4, 5, 5};
    static const uint32_t index[] = {0, 0, 1, 1, 0}, rows[] = {0, 1, 2, 3, 4};
    static const double value[] = {1, -2, 3, .5, 4}, y[] = {1, 0, 1, .25, 0};
    const lcf_sparse_rows x = {5, 2, first, index, value};
    double b[3] = {0, 0, 0}, gradient[3] = {0, 0, 0};
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_logistic_fit(b, &x, y, rows, 5, 0.5, &err), &err);
    gradient[0] = 0.5 * b[0];
    gradient[1] = 0.5 * b[1];
    for (size_t i = 0; i < 5; i++) {
        double z = b[2], e;
        for (uint64_t k = first[i]; k < first[i + 1]; k++)
            z += value[k] * b[index[k]];
        e = lcf_logistic_mean(z) - y[i];
        gradient[2] += e;
        for (uint64_t k = first[i]; k < first[i + 1]; k++)
            gradient[index[k]] += e * value[k];
    }
    for (size_t d = 0; d < 3; d++)
        assert_true(fabs(gradient[d]) < 1e-10);
}

static void logistic_of_one_class_is_finite(void **state)
{
    static const uint64_t first[] = {0, 1, 2};
    static const uint32_t index[] = {0, 0}, rows[] = {0, 1};
    static const double value[] = {1, 2}, y[] = {0, 0};
    const lcf_sparse_rows x = {2, 1, first, index, value};
    double b[2] = {7, 7};
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_logistic_fit(b, &x, y, rows, 2, 1, &err), &err);
    assert_true(b[0] == 0);
    near(lcf_logistic_mean(b[1]), 1.0 / 6, "one class", "mean");
}

/* ---- targets ---- */

static void logging_target_gives_the_mean(void **state)
{
    lcf_ope_options options = quick();
    lcf_ope_result result;
    lcf_ope_log log;
    double mean = 0;

    (void)state;
    load_example(&log, "log.csv", "logging", 0);
    for (size_t i = 0; i < log.rows_n; i++)
        mean += log.reward[i] / (double)log.rows_n;
    evaluate(&result, &log, &options, 1);
    near(lcf_ope_find(&result, "ips")->estimate[LCF_OPE_VALUE].value, mean, "ips", "value");
    near(lcf_ope_find(&result, "snips")->estimate[LCF_OPE_VALUE].value, mean, "snips", "value");
    near(lcf_ope_find(&result, "snips")->estimate[LCF_OPE_LIFT].value, 0, "snips", "lift");
    assert_non_null(lcf_ope_find(&result, "dr")->absent);
    lcf_ope_result_dispose(&result);
    lcf_ope_log_dispose(&log);
}

static void uniform_target_is_even(void **state)
{
    lcf_ope_log log;

    (void)state;
    load_example(&log, "log.jsonl", "uniform", 0);
    assert_true(log.has_sets && log.has_targets);
    for (size_t i = 0; i < log.rows_n; i++)
        assert_true(log.target[i] == 0.25);
    lcf_ope_log_dispose(&log);
}

static void estimated_target_is_the_share(void **state)
{
    char *path = example("log.csv"), target[1024];
    size_t counts[8] = {0};
    lcf_ope_log log;

    (void)state;
    snprintf(target, sizeof(target), "estimated:%s", path);
    load_example(&log, "log.jsonl", target, 0);
    for (size_t i = 0; i < log.rows_n; i++)
        counts[log.action[i]]++;
    for (size_t i = 0; i < log.rows_n; i++)
        near(log.target[i], (double)counts[log.action[i]] / (double)log.rows_n, "a row", "target");
    lcf_ope_log_dispose(&log);
    free(path);
}

/* ---- Open Bandit data ---- */

/* A log of three users with actions a and b, and in the first row c, of these candidates. */
static void add_sets(lcf_ope_log *log, const double sums[3])
{
    const lcf_ope_log_options lenient = {false, true};
    static const char *const names[] = {"a", "b", "c"}, *const users[] = {"u", "v", "w"};
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_ope_log_init(log, "sets", &lenient, &err), &err);
    for (size_t i = 0; i < 3; i++) {
        lcf_ope_candidate candidates[3];
        lcf_ope_row row = LCF_OPE_ROW_INIT;
        size_t n = i ? 2 : 3;
        for (size_t c = 0; c < n; c++)
            candidates[c] = (lcf_ope_candidate){{names[c], 1}, sums[i] / (double)n, NAN, 0};
        row.line = i + 1;
        row.user = (lcf_str){users[i], 1};
        row.action = (lcf_str){"a", 1};
        row.reward = row.propensity = 0.5;
        assert_ok(lcf_ope_log_add_set(&row.set, log, candidates, n, row.line, &err), &err);
        assert_ok(lcf_ope_log_add(log, &row, &err), &err);
    }
    assert_ok(lcf_ope_log_finish(log, &err), &err);
}

static void a_refused_set_costs_one_row(void **state)
{
    lcf_ope_log log;

    (void)state;
    add_sets(&log, (const double[]){1, 0.9, 1});
    assert_int_equal(log.rows_n, 2);
    assert_int_equal(log.bad_rows_n, 1);
    lcf_ope_log_dispose(&log);
}

static void a_fault_is_cut_between_characters(void **state)
{
    static const char *const starts[] = {"", "x"}; /* a cut is within a character of one of them */
    const lcf_ope_log_options lenient = {false, true};
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    for (size_t k = 0; k < LENGTH(starts); k++) {
        lcf_buf text = LCF_BUF_INIT;
        lcf_ope_log log;
        lcf_buf_printf(&text, "{\"%s", starts[k]);
        for (size_t i = 0; i < 40; i++)
            lcf_buf_append_text(&text, "é");
        lcf_buf_append_text(&text, "\": 1}\n");
        assert_ok(lcf_ope_log_init(&log, "faults", &lenient, &err), &err);
        assert_ok(lcf_ope_read_jsonl(&log, text.data, text.len, &err), &err);
        assert_int_equal(log.bad_rows_n, 1);
        assert_true(lcf_utf8_valid(log.bad_row, strlen(log.bad_row)));
        lcf_ope_log_dispose(&log);
        lcf_buf_dispose(&text);
    }
}

static void estimated_target_replaces_sets(void **state)
{
    lcf_ope_log log, other;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    add_sets(&log, (const double[]){1, 1, 1});
    add_sets(&other, (const double[]){1, 1, 1});
    assert_ok(lcf_ope_target_estimated(&log, &other, &err), &err);
    assert_int_equal(log.bad_rows_n, 0);
    assert_int_equal(log.sets_n, 1);
    for (size_t i = 0; i < 3; i++)
        assert_true(log.target[i] == 1);
    lcf_ope_log_dispose(&log);
    lcf_ope_log_dispose(&other);
}

static void open_bandit_is_as_published(void **state)
{
    const char *data = getenv("LCF_DATA");
    char *bts = data ? lcf_path_join(data, "obd-men/bts") : NULL;
    char *random = data ? lcf_path_join(data, "obd-men/random") : NULL;
    lcf_ope_source source = {bts, LCF_OPE_AUTO, "uniform", 0, {false, false}};
    lcf_ope_options options = LCF_OPE_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;
    const lcf_ope_estimate *ips, *snips;
    lcf_ope_result result;
    lcf_ope_log log;

    (void)state;
    if (!bts || !random || !lcf_path_exists(bts)) {
        free(bts);
        free(random);
        skip();
    }
    options.bootstrap.replicates_n = 200;
    assert_ok(lcf_ope_load(&log, &source, &err), &err);
    assert_int_equal(log.rows_n, 10000);
    assert_int_equal(log.actions_n, 34);
    assert_int_equal(log.positions_n, 3);
    evaluate(&result, &log, &options, 0);
    ips = &lcf_ope_find(&result, "ips")->estimate[LCF_OPE_VALUE];
    snips = &lcf_ope_find(&result, "snips")->estimate[LCF_OPE_VALUE];
    near(ips->value, 0.0030086263272564836, "IPS", "value"); /* by NumPy */
    assert_true(fabs(ips->se - 0.0008) < 0.00005);
    near(snips->value, 0.003189423162277392, "SNIPS", "value");
    near(result.logged.value, 0.0069, "the Thompson sampling log", "mean");
    assert_non_null(strstr(lcf_buf_text(&result.warnings), "poor overlap"));
    lcf_ope_result_dispose(&result);
    lcf_ope_log_dispose(&log);

    source.path = random;
    source.target = "logging";
    assert_ok(lcf_ope_load(&log, &source, &err), &err);
    evaluate(&result, &log, &options, 0);
    near(result.logged.value, 0.0046, "the random log", "mean");
    lcf_ope_result_dispose(&result);
    lcf_ope_log_dispose(&log);
    free(bts);
    free(random);
}

/* ---- the step and its report ---- */

static void reports_are_written_once(void **state)
{
    static const char *const require[] = {"ips > 0", "slate_rips_low <= 1e9"};
    char *folder = test_folder(), *out_dir = lcf_path_join(folder, "report");
    char *log = example("requests.jsonl"), *scores = example("candidate.jsonl"), target[1024];
    lcf_ope_run_options options = LCF_OPE_RUN_OPTIONS_INIT;
    lcf_buf first = LCF_BUF_INIT, second = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    bool current = true;
    json_t *report;

    (void)state;
    snprintf(target, sizeof(target), "scores:%s", scores);
    options.source.path = log;
    options.source.target = target;
    options.source.temperature = 0.5;
    options.out_dir = out_dir;
    options.require = require;
    options.require_n = 2;
    options.ope.bootstrap.replicates_n = 100;
    assert_ok(lcf_ope_run(&report, &current, &options, &err), &err);
    assert_false(current);
    lcf_ope_report_html(&first, report);
    json_decref(report);
    assert_ok(lcf_ope_run(&report, &current, &options, &err), &err);
    assert_true(current);
    lcf_ope_report_html(&second, report);
    json_decref(report);
    assert_string_equal(lcf_buf_text(&first), lcf_buf_text(&second));
    lcf_buf_dispose(&first);
    lcf_buf_dispose(&second);
    free(log);
    free(scores);
    free(out_dir);
    test_folder_remove(folder);
}

static void text_from_outside_is_escaped(void **state)
{
    char *folder = test_folder(), *path = lcf_path_join(folder, "<b>&.csv");
    static const char text[] = "action,reward,propensity,target,user\n"
                               "a,1,.5,.5,u\nb,0,.5,.25,v\n\"<i>\",1,.5,.1,w\n";
    lcf_ope_run_options options = LCF_OPE_RUN_OPTIONS_INIT;
    lcf_buf html = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    json_t *report;

    (void)state;
    assert_ok(lcf_file_write(path, text, sizeof(text) - 1, &err), &err);
    options.source.path = path;
    options.ope.bootstrap.replicates_n = 100;
    assert_ok(lcf_ope_run(&report, NULL, &options, &err), &err);
    lcf_ope_report_html(&html, report);
    assert_null(strstr(lcf_buf_text(&html), "<b>&.csv"));
    assert_non_null(strstr(lcf_buf_text(&html), "&lt;b&gt;&amp;.csv"));
    lcf_buf_dispose(&html);
    json_decref(report);
    free(path);
    test_folder_remove(folder);
}

static void unknown_names_are_refused(void **state)
{
    static const char *const require[] = {"dr_left > 0"};
    lcf_ope_run_options options = LCF_OPE_RUN_OPTIONS_INIT;
    json_t *report;

    (void)state;
    options.source.path = "nowhere";
    options.headline = "dr_low"; /* a figure of the gate, no estimator */
    assert_int_equal(lcf_ope_run(&report, NULL, &options, NULL), LCF_EUSAGE);
    options.headline = "dr";
    options.require = require;
    options.require_n = 1;
    assert_int_equal(lcf_ope_run(&report, NULL, &options, NULL), LCF_EUSAGE);
    options.require_n = 0;
    assert_int_equal(lcf_ope_run(&report, NULL, &options, NULL), LCF_ENOENT);
    assert_null(report);
}

/* ---- out of memory ---- */

static lcf_status run_all(const char *path)
{
    lcf_ope_source source = {path, LCF_OPE_AUTO, NULL, 0, {false, false}};
    lcf_ope_options options = quick();
    lcf_ope_result result = {0};
    lcf_ope_log log;
    lcf_pool *pool = NULL;
    lcf_status status = lcf_ope_load(&log, &source, NULL);

    if (!status)
        status = lcf_pool_create(&pool, 1, NULL);
    if (!status)
        status = lcf_ope_evaluate(&result, &log, pool, &options, NULL);
    lcf_ope_result_dispose(&result);
    lcf_ope_log_dispose(&log);
    lcf_pool_free(pool);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    char *path = example("log.jsonl");
    lcf_status status = LCF_ENOMEM;

    (void)state;
    for (uint64_t n = 1; status && n < 10000; n++) {
        lcf_alloc_fail_at(n);
        status = run_all(path);
        lcf_alloc_fail_at(0);
        assert_true(status == LCF_OK || status == LCF_ENOMEM);
    }
    assert_int_equal(status, LCF_OK);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_numpy),
        cmocka_unit_test(replay_is_that_of_numpy),
        cmocka_unit_test(lists_are_those_of_numpy),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(logistic_has_no_gradient_left),
        cmocka_unit_test(logistic_of_one_class_is_finite),
        cmocka_unit_test(logging_target_gives_the_mean),
        cmocka_unit_test(uniform_target_is_even),
        cmocka_unit_test(estimated_target_is_the_share),
        cmocka_unit_test(a_refused_set_costs_one_row),
        cmocka_unit_test(a_fault_is_cut_between_characters),
        cmocka_unit_test(estimated_target_replaces_sets),
        cmocka_unit_test(open_bandit_is_as_published),
        cmocka_unit_test(reports_are_written_once),
        cmocka_unit_test(text_from_outside_is_escaped),
        cmocka_unit_test(unknown_names_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
