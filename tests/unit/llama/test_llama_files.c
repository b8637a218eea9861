/*
 * Model files: types, damage, memory, the schema's example, and the recorded continuations of a
 * model that was trained elsewhere.
 */
#include "common/base/json.h"
#include "common/base/mem.h"
#include "offline/llama/complete.h"
#include "offline/llama/llama.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/test.h"

#include <math.h>

#define PATH "test_llama_files.gguf"

/* ---- files ---- */

static void test_types(void **state)
{
    static const lcf_gguf_type TYPES[] = {LCF_GGUF_F16, LCF_GGUF_BF16, LCF_GGUF_Q8_0};
    static const double TOLERANCE[] = {1e-3, 8e-3, 1.5e-2};
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama *m = fixture_open(PATH, &o);
    size_t weights_n = m->config.vocab_n * m->config.dim;
    const float *wanted = m->output.data;
    float *weights = lcf_alloc(weights_n, sizeof(*weights));

    (void)state;
    assert_non_null(weights);
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(*TYPES); i++) {
        lcf_err err = LCF_ERR_INIT;
        lcf_llama *back;
        assert_ok(lcf_llama_save("test_llama_typed.gguf", m, TYPES[i], "x", &err), &err);
        assert_ok(lcf_llama_open(&back, "test_llama_typed.gguf", &err), &err);
        assert_memory_equal(&back->config, &m->config, sizeof(m->config));
        assert_string_not_equal(back->id, m->id);
        assert_memory_equal(back->final_norm, m->final_norm, m->config.dim * sizeof(float));
        lcf_llama_matrix_rows(weights, &back->output, 0, back->output.rows);
        for (size_t w = 0; w < weights_n; w++)
            assert_true(fabs((double)weights[w] - wanted[w]) < TOLERANCE[i]);
        lcf_llama_close(back);
    }
    lcf_llama_close(m);
    free(weights);
}

static void test_same_model_same_bytes(void **state)
{
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama *m = fixture_open(PATH, &o), *again;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_llama_save("test_llama_again.gguf", m, LCF_GGUF_F32, "fixture", &err), &err);
    assert_ok(lcf_llama_open(&again, "test_llama_again.gguf", &err), &err);
    assert_string_equal(again->id, m->id);
    lcf_llama_close(again);
    lcf_llama_close(m);
}

/* A model file without one tensor, with one too many, or with a wrong shape, is named as such. */
static lcf_status open_altered(const char *missing, const char *misshapen, const char *extra,
                               lcf_err *err)
{
    static const float ZEROS[4096];
    uint64_t one[] = {4}, two[] = {4, 4};
    struct {
        const char *name;
        bool matrix;
    } tensors[] = {{"output_norm.weight", false},      {"blk.0.attn_norm.weight", false},
                   {"blk.0.ffn_norm.weight", false},   {"blk.0.attn_q.weight", true},
                   {"blk.0.attn_k.weight", true},      {"blk.0.attn_v.weight", true},
                   {"blk.0.attn_output.weight", true}, {"blk.0.ffn_gate.weight", true},
                   {"blk.0.ffn_up.weight", true},      {"blk.0.ffn_down.weight", true}};
    uint64_t embed[] = {4, 0};
    lcf_tokenizer *t;
    lcf_gguf_writer *w;
    lcf_llama *m = NULL;
    lcf_status status;

    assert_ok(lcf_tokenizer_train(&t, FIXTURE_TEXTS, FIXTURE_TEXTS_N, 300, err), err);
    embed[1] = lcf_tokenizer_vocab_n(t);
    assert_ok(lcf_gguf_create(&w, PATH, err), err);
    assert_ok(lcf_gguf_add_string(w, "general.architecture", "llama", err), err);
    assert_ok(lcf_gguf_add_u32(w, "llama.context_length", 16, err), err);
    assert_ok(lcf_gguf_add_u32(w, "llama.embedding_length", 4, err), err);
    assert_ok(lcf_gguf_add_u32(w, "llama.block_count", 1, err), err);
    assert_ok(lcf_gguf_add_u32(w, "llama.feed_forward_length", 4, err), err);
    assert_ok(lcf_gguf_add_u32(w, "llama.attention.head_count", 2, err), err);
    assert_ok(lcf_gguf_add_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f, err), err);
    assert_ok(lcf_tokenizer_save(t, w, err), err);
    assert_ok(lcf_gguf_add_tensor(w, "token_embd.weight", LCF_GGUF_F32, embed, 2, ZEROS, err), err);
    for (size_t i = 0; i < sizeof(tensors) / sizeof(*tensors); i++) {
        bool wrong = misshapen && !strcmp(misshapen, tensors[i].name);
        if (missing && !strcmp(missing, tensors[i].name))
            continue;
        assert_ok(lcf_gguf_add_tensor(w, tensors[i].name, LCF_GGUF_F32,
                                      tensors[i].matrix ? two : one,
                                      tensors[i].matrix && !wrong ? 2 : 1, ZEROS, err),
                  err);
    }
    if (extra)
        assert_ok(lcf_gguf_add_tensor(w, extra, LCF_GGUF_F32, one, 1, ZEROS, err), err);
    assert_ok(lcf_gguf_commit(w, err), err);
    status = lcf_llama_open(&m, PATH, err);
    lcf_llama_close(m);
    lcf_tokenizer_free(t);
    return status;
}

static void test_altered_files(void **state)
{
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(open_altered(NULL, NULL, NULL, &err), &err);
    assert_int_equal(open_altered("output_norm.weight", NULL, "extra", &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "output_norm.weight"));
    assert_non_null(strstr(err.text, PATH));
    err.status = LCF_OK;
    assert_int_equal(open_altered(NULL, "blk.0.ffn_up.weight", NULL, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "blk.0.ffn_up.weight"));
    err.status = LCF_OK;
    assert_int_equal(open_altered(NULL, NULL, "blk.0.attn_output.bias", &err), LCF_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "blk.0.attn_output.bias"));
    err.status = LCF_OK;
    assert_int_equal(open_altered(NULL, NULL, "rope_freqs.weight", &err), LCF_EFORMAT); /* zeros */
    assert_non_null(strstr(err.text, "rope_freqs.weight"));
}

static void test_out_of_memory(void **state)
{
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama_session *s;
    lcf_sampler *sampler;
    lcf_llama *m;
    lcf_status status;

    (void)state;
    o.type = LCF_GGUF_F16;
    fixture_write(PATH, &o);
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_llama_open(&m, PATH, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_null(m);
    }
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_llama_session_create(&s, m, 2, 20, 4, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_sampler_create(&sampler, 100, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    for (uint64_t n = 1;; n++) {
        lcf_complete_options options = LCF_COMPLETE_OPTIONS_INIT;
        lcf_completion c;
        options.tokens_max = 5;
        lcf_alloc_fail_at(n);
        status = lcf_complete(&c, m, "The user", 8, &options, NULL);
        lcf_alloc_fail_at(0);
        lcf_completion_dispose(&c);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    lcf_sampler_free(sampler);
    lcf_llama_session_free(s);
    lcf_llama_close(m);
}

/* ---- the example of schemas/recgen.md ---- */

static char *schema_path(const char *name)
{
    const char *root = getenv("LCF_SOURCE_DIR");
    char path[4096];

    if (!root)
        return NULL;
    snprintf(path, sizeof(path), "%s/schemas/%s", root, name);
    return lcf_strdup(path);
}

static bool has_key(const lcf_gguf *g, const char *key, const char *type)
{
    const lcf_str *strings;
    const float *floats;
    const int32_t *ints;
    lcf_str text;
    uint64_t u;
    double f;
    bool b;
    size_t n;

    if (!strcmp(type, "string"))
        return !lcf_gguf_string(&text, g, key, NULL);
    if (!strcmp(type, "u32"))
        return !lcf_gguf_u64(&u, g, key, NULL);
    if (!strcmp(type, "f32"))
        return !lcf_gguf_f64(&f, g, key, NULL);
    if (!strcmp(type, "bool"))
        return !lcf_gguf_bool(&b, g, key, NULL);
    if (!strcmp(type, "strings"))
        return !lcf_gguf_strings(&strings, &n, g, key, NULL);
    if (!strcmp(type, "f32s"))
        return !lcf_gguf_f32s(&floats, &n, g, key, NULL);
    return !strcmp(type, "i32s") && !lcf_gguf_i32s(&ints, &n, g, key, NULL);
}

/* The file has every key of the schema, with its type, and no other. */
static void test_schema_keys(void **state)
{
    char *schema = schema_path("recgen.keys.json"), *example = schema_path("examples/recgen.gguf");
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf *g;
    json_t *json, *row;
    size_t i, keys_n = 0;

    (void)state;
    if (!schema || !example)
        skip();
    assert_ok(lcf_json_load(&json, schema, &err), &err);
    assert_ok(lcf_gguf_open(&g, example, &err), &err);
    json_array_foreach(json_object_get(json, "keys"), i, row)
    {
        const char *key = NULL, *type = NULL;
        assert_ok(lcf_json_str(&key, row, "key", &err), &err);
        assert_ok(lcf_json_str(&type, row, "type", &err), &err);
        if (!has_key(g, key, type))
            fail_msg("the example has no key %s of type %s", key, type);
        keys_n++;
    }
    assert_true(keys_n > 20);
    assert_non_null(lcf_gguf_key_at(g, keys_n - 1));
    assert_null(lcf_gguf_key_at(g, keys_n));
    lcf_gguf_close(g);
    json_decref(json);
    free(schema);
    free(example);
}

/* ---- a model that was trained and run elsewhere ---- */

static void check_ids(const json_t *wanted, const lcf_tokens *got)
{
    assert_int_equal(json_array_size(wanted), got->n);
    for (size_t i = 0; i < got->n; i++)
        assert_int_equal(json_integer_value(json_array_get(wanted, i)), got->ids[i]);
}

/* All logits of prompt and continuation, [prompt + ids, vocab_n], as recorded. */
static void check_logits(const lcf_llama *m, const lcf_completion *c, const char *file)
{
    size_t n = c->prompt.n + c->made.n, rows, vocab_n = m->config.vocab_n;
    lcf_llama_token *batch = lcf_alloc(n, sizeof(*batch));
    char *path = fixture_data(file);
    lcf_buf raw = LCF_BUF_INIT;
    lcf_llama_session *s;
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    double worst = 0;

    assert_non_null(batch);
    assert_non_null(path);
    assert_ok(lcf_file_read(&raw, path, 1 << 24, &err), &err);
    rows = raw.len / sizeof(float) / vocab_n;
    assert_true(rows == n || rows + 1 == n);
    for (size_t i = 0; i < n; i++)
        batch[i] = (lcf_llama_token){
            i < c->prompt.n ? c->prompt.ids[i] : c->made.ids[i - c->prompt.n], 0, true};
    assert_ok(lcf_llama_session_create(&s, m, 1, n, n, &err), &err);
    assert_ok(lcf_llama_decode(&logits, s, batch, n, &err), &err);
    for (size_t i = 0; i < rows * vocab_n; i++) {
        float wanted;
        memcpy(&wanted, raw.data + i * sizeof(wanted), sizeof(wanted));
        worst = fmax(worst, fabs((double)logits[i] - wanted));
    }
    if (!(worst < 1e-3))
        fail_msg("%s: logits differ by %g", file, worst);
    lcf_llama_session_free(s);
    lcf_buf_dispose(&raw);
    free(path);
    free(batch);
}

/* Takes the paths over. */
static void check_record(char *model_path, char *record_path, double tolerance, const char *logits)
{
    lcf_complete_options options = LCF_COMPLETE_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_completion c;
    lcf_llama *m;
    json_t *json;
    const char *prompt, *text;

    assert_non_null(model_path);
    assert_non_null(record_path);
    assert_ok(lcf_llama_open(&m, model_path, &err), &err);
    assert_ok(lcf_json_load(&json, record_path, &err), &err);
    assert_ok(lcf_json_str(&prompt, json, "prompt", &err), &err);
    text = json_string_value(json_object_get(json, "text")); /* absent where it is no UTF-8 */
    options.tokens_max = json_array_size(json_object_get(json, "ids"));
    options.sampling.temperature = 0;
    assert_ok(lcf_complete(&c, m, prompt, strlen(prompt), &options, &err), &err);
    check_ids(json_object_get(json, "prompt_ids"), &c.prompt);
    check_ids(json_object_get(json, "ids"), &c.made);
    if (text)
        assert_string_equal(lcf_buf_text(&c.text), text);
    for (size_t i = 0; i < c.made.n; i++) {
        double wanted =
            json_number_value(json_array_get(json_object_get(json, "logprob_of_chosen"), i));
        if (!(fabs(c.logprobs[i] - wanted) < tolerance))
            fail_msg("%s, token %zu: log probability %g, not %g", model_path, i,
                     (double)c.logprobs[i], wanted);
    }
    if (logits)
        check_logits(m, &c, logits);
    lcf_completion_dispose(&c);
    json_decref(json);
    lcf_llama_close(m);
    free(model_path);
    free(record_path);
}

static void check_greedy(const char *model, const char *record, double tolerance,
                         const char *logits)
{
    check_record(fixture_data(model), fixture_data(record), tolerance, logits);
}

static void test_schema_example(void **state)
{
    char *example = schema_path("examples/recgen.gguf");

    (void)state;
    if (!example)
        skip();
    check_record(example, schema_path("examples/recgen.json"), 1e-3, NULL);
}

static void test_reference_model(void **state)
{
    char *there = fixture_data("stories260k-f32-v3.gguf");

    (void)state;
    if (!there)
        skip();
    free(there);
    check_greedy("stories260k-f32-v3.gguf", "greedy/stories260K_Once_upon_a_time_.json", 1e-4,
                 "greedy/stories260K_Once_upon_a_time_.logits.f32");
    check_greedy("stories260k-f32-v3.gguf", "greedy/stories260K_One_day__Lily_met_a_.json", 1e-4,
                 "greedy/stories260K_One_day__Lily_met_a_.logits.f32");
    check_greedy("stories260k-f32-v1.gguf", "greedy/stories260K_Once_upon_a_time_.json", 1e-4,
                 "greedy/stories260K_Once_upon_a_time_.logits.f32");
    /* these were recorded with activations and cache rounded by other rules than ours */
    check_greedy("stories260k-f16-v3.gguf", "greedy/stories260K-F16_once.json", 0.005, NULL);
    check_greedy("stories260k-bf16-v3.gguf", "greedy/stories260K-BF16_once.json", 0.02, NULL);
    check_greedy("stories260k-q8_0-v3.gguf", "greedy/stories260K-Q8_0_once.json", 0.1, NULL);
    check_greedy("stories260k-q4_0-v3.gguf", "greedy/stories260K-Q4_0_once.json", 0.2, NULL);
}

int main(int argc, char **argv)
{
    const fixture_options small = {LCF_GGUF_F16, 16, 4, 2, 8, 24, 2, 64, false, 23};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),           cmocka_unit_test(test_same_model_same_bytes),
        cmocka_unit_test(test_altered_files),   cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_schema_keys),     cmocka_unit_test(test_schema_example),
        cmocka_unit_test(test_reference_model),
    };

    if (argc == 3 && !strcmp(argv[1], "--write-example")) { /* made schemas/examples/recgen.gguf */
        fixture_write(argv[2], &small);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
