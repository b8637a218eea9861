/*
 * Tuning and generation in small: what is written, that a second run does nothing, that threads and
 * interruption change nothing, that memory may end anywhere.
 */
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/store/cot_json.h"
#include "offline/recgen/generate.h"
#include "offline/recgen/order.h"
#include "offline/recgen/record.h"
#include "offline/recgen/tune.h"
#include "tests/unit/data/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct world {
    char *dir, *dataset, *recgen, *gguf;
} world;

static void tiny(lcf_tune_options *o, const world *w)
{
    lcf_tune_options_init(o);
    o->dataset = w->dataset;
    o->out = w->recgen;
    o->dim = 16;
    o->heads_n = 2;
    o->layers_n = 1;
    o->vocab_n = 400;
    o->context_n = 320;
    o->mixture.cutoff = 256;
    o->steps = 4;
    o->train.warmup_steps = 1;
    o->batch_rows = 4;
    o->checkpoint_every = 2;
    o->measure.auc_rows = 8;
    o->measure.cot_rows = 4;
    o->threads = 1;
}

static int open_world(void **state)
{
    static world w;
    lcf_err err = LCF_ERR_INIT;
    lcf_tune_options options;
    lcf_tune_result result;

    lcf_progress_set_quiet(true);
    lcf_log_set_level(LCF_LOG_ERROR);
    w.dir = lcf_fixture_dir();
    w.dataset = lcf_path_join(w.dir, "dataset");
    w.recgen = lcf_path_join(w.dir, "recgen");
    w.gguf = lcf_path_join(w.recgen, "recgen.gguf");
    assert_int_equal(lcf_fixture_write_dataset(w.dataset, NULL, &err), LCF_OK);
    tiny(&options, &w);
    if (lcf_tune(&result, &options, &err))
        fail_msg("%s", err.text);
    assert_int_equal(result.steps, 4);
    assert_true(result.tokens > 0);
    assert_true(isfinite(result.before.auc) && isfinite(result.after.auc));
    assert_true(result.after.cot_perplexity < result.before.cot_perplexity);
    assert_int_equal(json_array_size(result.mixture), 2);
    lcf_tune_result_dispose(&result);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;

    lcf_dir_remove(w->dir, NULL);
    free(w->gguf);
    free(w->recgen);
    free(w->dataset);
    free(w->dir);
    return 0;
}

static void hash_file(char out[65], const char *path)
{
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_sha256_file(out, path, &err), LCF_OK);
}

static void test_tune_is_current(void **state)
{
    world *w = *state;
    lcf_tune_options options;
    lcf_tune_result result;
    lcf_err err = LCF_ERR_INIT;

    tiny(&options, w);
    assert_int_equal(lcf_tune(&result, &options, &err), LCF_OK);
    assert_true(result.current);
    assert_int_equal(json_array_size(result.mixture), 2);
    lcf_tune_result_dispose(&result);
    assert_int_equal(lcf_manifest_verify(w->recgen, &err), LCF_OK);
}

static void test_report(void **state)
{
    world *w = *state;
    char *path = lcf_path_join(w->recgen, "report.json");
    json_t *report;
    lcf_err err = LCF_ERR_INIT;
    double value;

    assert_int_equal(lcf_json_load(&report, path, &err), LCF_OK);
    assert_string_equal(json_string_value(json_object_get(report, "format")),
                        "llmcf-tuning-report");
    assert_int_equal(lcf_json_f64(&value, json_object_get(report, "after"), "cot_perplexity", &err),
                     LCF_OK);
    assert_true(value > 1.0);
    assert_true(
        json_is_null(json_object_get(json_object_get(report, "after"), "general_perplexity")));
    assert_int_equal(json_array_size(json_object_get(report, "loss")), 4);
    json_decref(report);
    free(path);
}

/* The curve of a run, which its caller has to decref. */
static json_t *curve_of(const lcf_tune_options *options)
{
    char *path = lcf_path_join(options->out, "report.json");
    json_t *report, *curve;
    lcf_tune_result result;
    lcf_err err = LCF_ERR_INIT;

    if (lcf_tune(&result, options, &err))
        fail_msg("%s", err.text);
    lcf_tune_result_dispose(&result);
    assert_int_equal(lcf_json_load(&report, path, &err), LCF_OK);
    curve = json_incref(json_object_get(report, "loss"));
    json_decref(report);
    free(path);
    return curve;
}

static json_int_t step_of(const json_t *curve, size_t idx)
{
    return json_integer_value(json_object_get(json_array_get(curve, idx), "step"));
}

/* However many steps are made, and however few of those that were allowed: the curve shows them. */
static void test_curve(void **state)
{
    world *w = *state;
    char *out = lcf_path_join(w->dir, "curve");
    lcf_tune_options options;
    json_t *curve;

    tiny(&options, w);
    options.out = out;
    options.mixture.cutoff = 64;
    options.batch_rows = 1;
    options.steps = 102; /* 25 points of four steps, and what is left */
    curve = curve_of(&options);
    assert_int_equal(json_array_size(curve), 26);
    assert_int_equal(step_of(curve, 0), 4);
    assert_int_equal(step_of(curve, 24), 100);
    assert_int_equal(step_of(curve, 25), 102);
    json_decref(curve);
    options.steps = 1000000;
    options.minutes = 1e-6;
    curve = curve_of(&options);
    assert_int_equal(json_array_size(curve), 10);
    assert_int_equal(step_of(curve, 9), 10);
    json_decref(curve);
    free(out);
}

/* The model that was written goes on in a further run, with general instructions this time. */
static void test_tune_goes_on_from_a_model(void **state)
{
    world *w = *state;
    char *out = lcf_path_join(w->dir, "again"), *general = lcf_path_join(w->dir, "general.jsonl");
    lcf_tune_options options;
    lcf_tune_result result;
    lcf_err err = LCF_ERR_INIT;
    lcf_buf rows = LCF_BUF_INIT, source = LCF_BUF_INIT;

    for (int i = 0; i < 60; i++)
        lcf_buf_printf(&rows, "{\"instruction\": \"Count to %d\", \"output\": \"%d\"}\n", i, i);
    assert_int_equal(lcf_file_write(general, rows.data, rows.len, &err), LCF_OK);
    tiny(&options, w);
    options.out = out;
    options.base = w->gguf;
    lcf_buf_printf(&source, "alpaca:%s,hold=0.2", general);
    assert_int_equal(lcf_source_parse(&options.sources.list[0], "decide", &err), LCF_OK);
    assert_int_equal(lcf_source_parse(&options.sources.list[1], source.data, &err), LCF_OK);
    options.sources.n = 2;
    if (lcf_tune(&result, &options, &err))
        fail_msg("%s", err.text);
    assert_true(isfinite(result.before.general_perplexity));
    assert_true(result.after.general_perplexity < result.before.general_perplexity);
    lcf_tune_result_dispose(&result);
    for (int again = 0; again < 2; again++) { /* another type is another file */
        options.type = LCF_GGUF_F16;
        if (lcf_tune(&result, &options, &err))
            fail_msg("%s", err.text);
        assert_int_equal(result.current, again);
        lcf_tune_result_dispose(&result);
    }
    lcf_buf_dispose(&rows);
    lcf_buf_dispose(&source);
    free(general);
    free(out);
}

static void test_tune_refuses(void **state)
{
    world *w = *state;
    lcf_tune_options options;
    lcf_tune_result result;
    lcf_err err = LCF_ERR_INIT;
    char *out = lcf_path_join(w->dir, "refused");

    tiny(&options, w);
    options.out = out;
    options.dim = 18; /* not a multiple of twice the heads */
    options.heads_n = 4;
    assert_int_equal(lcf_tune(&result, &options, &err), LCF_EUSAGE);
    tiny(&options, w);
    options.out = out;
    options.mixture.cutoff = 1000; /* beyond the context */
    assert_int_equal(lcf_tune(&result, &options, &err), LCF_EUSAGE);
    tiny(&options, w);
    options.out = out;
    options.train.peak_lr = 1e30f;
    options.steps = 50;
    assert_int_equal(lcf_tune(&result, &options, &err), LCF_EDIVERGED);
    assert_non_null(strstr(err.text, "step"));
    assert_false(lcf_path_exists(out));
    free(out);
}

/* ---- generation ---- */

static void small(lcf_generate_options *o, const world *w, const char *out)
{
    lcf_generate_options_init(o);
    o->dataset = w->dataset;
    o->model = w->gguf;
    o->out = out;
    o->choice.share = 0.4;
    o->decoding.tokens_max = 24;
    o->batch_rows = 4;
    o->threads = 1;
}

static char *export_of(const char *store)
{
    lcf_err err = LCF_ERR_INIT;
    uint64_t written;
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);

    assert_non_null(f);
    if (lcf_cot_export(f, &written, store, 0, 0, &err))
        fail_msg("%s", err.text);
    fclose(f);
    return text;
}

static void generate(lcf_generate_result *result, const lcf_generate_options *options)
{
    lcf_err err = LCF_ERR_INIT;

    if (lcf_generate(result, options, &err))
        fail_msg("%s", err.text);
}

static void test_threads_and_reruns(void **state)
{
    world *w = *state;
    char *one = lcf_path_join(w->dir, "one"), *two = lcf_path_join(w->dir, "two");
    lcf_generate_options options;
    lcf_generate_result result, again;
    lcf_err err = LCF_ERR_INIT;
    char *a, *b, hash_a[65], hash_b[65], *path_a, *path_b;

    small(&options, w, one);
    generate(&result, &options);
    assert_true(result.rows_chosen > 12 && result.rows_generated == result.rows_chosen);
    assert_true(result.tokens_generated >= result.rows_generated);
    generate(&again, &options);
    assert_true(again.current);
    assert_int_equal(lcf_manifest_verify(one, &err), LCF_OK);
    options.force = true;
    generate(&again, &options);
    assert_true(!again.current && again.rows_generated == 0);
    assert_int_equal(again.rows_present, result.rows_chosen);

    small(&options, w, two);
    options.threads = 3;
    generate(&again, &options);
    a = export_of(one);
    b = export_of(two);
    assert_string_equal(a, b);
    path_a = lcf_path_join(one, "data.mdb");
    path_b = lcf_path_join(two, "data.mdb");
    hash_file(hash_a, path_a);
    hash_file(hash_b, path_b);
    assert_string_equal(hash_a, hash_b); /* committed in the same order */
    free(path_a);
    free(path_b);
    free(a);
    free(b);
    free(one);
    free(two);
}

/* Rows chosen with a small share are among those chosen with a larger one, and are not made again.
 */
static void test_growing_share(void **state)
{
    world *w = *state;
    char *out = lcf_path_join(w->dir, "growing");
    lcf_generate_options options;
    lcf_generate_result first, second;

    small(&options, w, out);
    options.choice.share = 0.2;
    generate(&first, &options);
    options.choice.share = 0.6;
    generate(&second, &options);
    assert_true(first.rows_generated > 0);
    assert_int_equal(second.rows_present, first.rows_generated);
    assert_int_equal(second.rows_generated, second.rows_chosen - second.rows_present);
    options.choice.rows_max = 5;
    generate(&second, &options);
    assert_int_equal(second.rows_chosen, 5);
    assert_int_equal(second.rows_generated, 0);
    free(out);
}

typedef struct ordered { /* rows, and what is needed to write their prompts */
    lcf_dataset d;
    lcf_related *related;
    lcf_prompt_options prompt;
    lcf_chosen_rows rows;
} ordered;

static void write_prompt(lcf_buf *out, const ordered *o, size_t i)
{
    lcf_facts facts;

    lcf_facts_of(&facts, &o->d, o->related, o->prompt.history_n, o->rows.rows[i].sample);
    lcf_buf_reset(out);
    lcf_prompt_explain(out, &o->prompt, &o->d, &facts);
}

/* Bytes that prompts share with the one before, all together; *sorted: in the order of bytes. */
static size_t shared_bytes(bool *sorted, const ordered *o)
{
    lcf_buf text[2] = {LCF_BUF_INIT, LCF_BUF_INIT};
    size_t sum = 0;

    *sorted = true;
    write_prompt(&text[0], o, 0);
    for (size_t i = 1; i < o->rows.n; i++) {
        const lcf_buf *before = &text[(i + 1) % 2], *now = &text[i % 2];
        size_t n = 0;
        write_prompt(&text[i % 2], o, i);
        while (n < before->len && n < now->len && before->data[n] == now->data[n])
            n++;
        sum += n;
        if (n < before->len && n < LCF_ORDER_BYTES)
            *sorted = *sorted && (unsigned char)before->data[n] < (unsigned char)now->data[n];
    }
    lcf_buf_dispose(&text[0]);
    lcf_buf_dispose(&text[1]);
    return sum;
}

static int by_sample(const void *a, const void *b)
{
    const lcf_chosen *x = a, *y = b;

    return (x->sample > y->sample) - (x->sample < y->sample);
}

static void test_order(void **state)
{
    const world *w = *state;
    const lcf_row_choice all = {.share = 1.0};
    const lcf_row_source source = {"p", "m", "s"};
    ordered o = {.prompt = LCF_PROMPT_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    size_t before, after, n;
    lcf_status status;
    bool sorted;

    assert_int_equal(lcf_dataset_open(&o.d, w->dataset, &err), LCF_OK);
    assert_int_equal(lcf_related_create(&o.related, &o.d, &err), LCF_OK);
    assert_int_equal(lcf_rows_choose(&o.rows, &o.d, &all, &source, &err), LCF_OK);
    n = o.rows.n;
    before = shared_bytes(&sorted, &o);
    assert_false(sorted);
    for (uint64_t at = 1;; at++) {
        lcf_alloc_fail_at(at);
        status = lcf_rows_order(&o.rows, &o.d, o.related, &o.prompt, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    after = shared_bytes(&sorted, &o);
    assert_true(sorted);
    assert_true(after > before);
    assert_int_equal(o.rows.n, n);
    qsort(o.rows.rows, n, sizeof(*o.rows.rows), by_sample);
    for (size_t i = 0; i < n; i++) /* the training split, every row once */
        assert_int_equal(o.rows.rows[i].sample, o.d.split_begin[LCF_TRAIN] + i);
    lcf_chosen_rows_dispose(&o.rows);
    lcf_related_free(o.related);
    lcf_dataset_close(&o.d);
}

/* Weights that make scores differ by less than a float tells: the better text is kept, wherever it
 * stands. */
static void test_close_scores(void **state)
{
    static const char *const TEXTS[] = {
        "The user likes drama and has rated such films well, so this one may be welcome to them.",
        "The user likes drama and has rated such films well, so this one is a good and strong "
        "match."};
    const world *w = *state;
    lcf_prompt_options prompt = LCF_PROMPT_OPTIONS_INIT;
    lcf_score_weights weights = {.prompts_n = 1};
    lcf_err err = LCF_ERR_INIT;
    lcf_related *related;
    lcf_dataset d;

    weights.spread[LCF_RATIONALE_POLARITY] = 1.0;
    weights.weight[LCF_RATIONALE_POLARITY] = 40.0;
    assert_int_equal(lcf_dataset_open(&d, w->dataset, &err), LCF_OK);
    assert_int_equal(lcf_related_create(&related, &d, &err), LCF_OK);
    for (size_t better = 0; better < 2; better++) {
        const lcf_provenance p = {&d, &prompt, "p", "m", "s", 2, &weights};
        lcf_answer answers[2];
        lcf_cot_record record;
        lcf_ask ask = {.history_n = prompt.history_n};
        for (size_t i = 0; i < 2; i++) {
            const char *text = TEXTS[i == better];
            answers[i] = (lcf_answer){{text, strlen(text)}, 20, true};
        }
        lcf_facts_of(&ask.facts, &d, related, prompt.history_n, d.split_begin[LCF_TRAIN]);
        ask.facts.sample.label = 1;
        assert_int_equal(
            lcf_record_make(&record, &p, &ask, (lcf_hash128){{1}}, answers, 2, 9, &err), LCF_OK);
        assert_true(record.score == 1.0f);
        assert_int_equal(record.candidate, better);
        lcf_record_dispose(&record);
    }
    lcf_related_free(related);
    lcf_dataset_close(&d);
}

static void test_key_depends_on_everything(void **state)
{
    lcf_hash128 a = {{1}}, b = {{2}};
    lcf_hash128 key = lcf_cot_key(a, "p", "m", "s"), other;

    (void)state;
    other = lcf_cot_key(a, "p", "m", "s");
    assert_memory_equal(&key, &other, 16);
    other = lcf_cot_key(b, "p", "m", "s");
    assert_memory_not_equal(&key, &other, 16);
    other = lcf_cot_key(a, "pm", "", "s"); /* parts do not run into one another */
    assert_memory_not_equal(&key, &other, 16);
    other = lcf_cot_key(a, "p", "m", "t");
    assert_memory_not_equal(&key, &other, 16);
}

static void test_generate_refuses(void **state)
{
    world *w = *state;
    lcf_generate_options options;
    lcf_generate_result result;
    lcf_err err = LCF_ERR_INIT;
    char *out = lcf_path_join(w->dir, "refused");

    small(&options, w, out);
    options.choice.share = 0.0;
    assert_int_equal(lcf_generate(&result, &options, &err), LCF_EUSAGE);
    small(&options, w, out);
    options.decoding.tokens_max = 4000; /* beyond the model's context */
    assert_int_equal(lcf_generate(&result, &options, &err), LCF_EINVAL);
    small(&options, w, out);
    options.model = w->dataset;
    assert_true(lcf_generate(&result, &options, &err) < 0);
    free(out);
}

/* Memory may end at any allocation: an error, nothing torn, and the next run completes the store.
 */
/* Where memory is short there are fewer rows at a time, or an error: never other texts. */
static void test_memory_changes_no_text(void **state)
{
    world *w = *state;
    char *plenty = lcf_path_join(w->dir, "plenty"), *want, *got = NULL;
    lcf_generate_options options;
    lcf_generate_result result;
    lcf_err err = LCF_ERR_INIT;
    lcf_llama *m;
    size_t page, limits = 0;

    assert_int_equal(lcf_llama_open(&m, w->gguf, &err), LCF_OK);
    page = lcf_llama_page_bytes(m, true);
    lcf_llama_close(m);
    small(&options, w, plenty);
    generate(&result, &options);
    want = export_of(plenty);
    for (size_t pages = 1; pages < 100 && !got; pages++) {
        lcf_buf out = LCF_BUF_INIT;
        lcf_status status;

        lcf_buf_printf(&out, "%s/pages-%zu", w->dir, pages);
        small(&options, w, lcf_buf_text(&out));
        options.kv_bytes_max = pages * page;
        status = lcf_generate(&result, &options, &err);
        if (!status)
            got = export_of(lcf_buf_text(&out));
        else
            assert_true(status == LCF_EINVAL || status == LCF_ELIMIT);
        limits += status == LCF_ELIMIT;
        lcf_buf_dispose(&out);
    }
    assert_true(limits > 0);
    assert_non_null(got);
    assert_string_equal(got, want);
    free(plenty);
    free(want);
    free(got);
}

static void test_generate_without_memory(void **state)
{
    world *w = *state;
    char *out = lcf_path_join(w->dir, "oom"), *full = lcf_path_join(w->dir, "full"), *a, *b;
    lcf_generate_options options;
    lcf_generate_result result;

    small(&options, w, full);
    options.choice.share = 0.1;
    generate(&result, &options);
    options.out = out;
    for (uint64_t n = 1;; n += 1 + n / 8) {
        lcf_err err = LCF_ERR_INIT;
        lcf_status status;
        lcf_alloc_fail_at(n);
        status = lcf_generate(&result, &options, &err);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(err.status, status);
        assert_true(n < 1000000);
    }
    a = export_of(full);
    b = export_of(out);
    assert_string_equal(a, b);
    free(a);
    free(b);
    free(full);
    free(out);
}

static void test_tune_without_memory(void **state)
{
    world *w = *state;
    char *out = lcf_path_join(w->dir, "tune-oom"), *gguf, want[65], got[65];
    lcf_tune_options options;
    lcf_tune_result result;

    for (uint64_t n = 1;; n += 1 + n / 4) {
        lcf_err err = LCF_ERR_INIT;
        lcf_status status;
        tiny(&options, w);
        options.out = out;
        lcf_alloc_fail_at(n);
        status = lcf_tune(&result, &options, &err);
        lcf_alloc_fail_at(0);
        lcf_tune_result_dispose(&result);
        if (!status)
            break;
        assert_int_equal(err.status, status);
        assert_true(n < 10000000);
    }
    gguf = lcf_path_join(out, "recgen.gguf");
    hash_file(want, w->gguf);
    hash_file(got, gguf); /* resumed many times over, and the same bits */
    assert_string_equal(want, got);
    free(gguf);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tune_is_current),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_curve),
        cmocka_unit_test(test_tune_goes_on_from_a_model),
        cmocka_unit_test(test_tune_refuses),
        cmocka_unit_test(test_threads_and_reruns),
        cmocka_unit_test(test_growing_share),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_close_scores),
        cmocka_unit_test(test_key_depends_on_everything),
        cmocka_unit_test(test_generate_refuses),
        cmocka_unit_test(test_memory_changes_no_text),
        cmocka_unit_test(test_generate_without_memory),
        cmocka_unit_test(test_tune_without_memory),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
