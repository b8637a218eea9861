/* What a model is asked and how answers are scored: the probe, Yes or No, multiple choice. */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/llama/llama_train.h"
#include "offline/recgen/choice.h"
#include "offline/recgen/export_sft.h"
#include "offline/recgen/probe.h"
#include "offline/recgen/yes_no.h"
#include "tests/unit/data/fixture.h"
#include "tests/unit/llama/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct world {
    char *dir;
    lcf_llama *model;
    lcf_pool *pool;
} world;

static void write_file(const world *w, const char *name, const char *text)
{
    char *path = lcf_path_join(w->dir, name);
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_file_write(path, text, strlen(text), &err), LCF_OK);
    free(path);
}

static int open_world(void **state)
{
    static world w;
    fixture_options options = FIXTURE_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;
    char *path;

    w.dir = lcf_fixture_dir();
    path = lcf_path_join(w.dir, "model.gguf");
    options.context_n = 600;
    fixture_write(path, &options);
    assert_int_equal(lcf_llama_open(&w.model, path, &err), LCF_OK);
    assert_int_equal(lcf_pool_create(&w.pool, 2, &err), LCF_OK);
    free(path);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;

    lcf_llama_close(w->model);
    lcf_pool_free(w->pool);
    lcf_dir_remove(w->dir, NULL);
    free(w->dir);
    return 0;
}

/* ---- the probe ---- */

/* -log p of a row is that of the trainer's own forward pass; a question behind a beginning gives
 * the logits of both together. */
static void test_probe(void **state)
{
    enum { N = 90 };
    world *w = *state;
    lcf_llama_train_options train = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    lcf_llama_trainer *trainer;
    lcf_probe *probe;
    uint32_t tokens[N];
    int32_t targets[N];
    lcf_train_seq seq = {tokens, targets, NULL, NULL, N};
    const size_t vocab_n = w->model->config.vocab_n;
    float *kept = lcf_alloc(vocab_n, sizeof(*kept));
    const float *logits;
    double nll, trainer_nll;
    uint64_t n, trainer_n;
    lcf_err err = LCF_ERR_INIT;

    for (size_t i = 0; i < N; i++) {
        tokens[i] = (uint32_t)((i * 37 + 11) % vocab_n);
        targets[i] = i % 3 ? (int32_t)((i * 53 + 7) % vocab_n) : -1;
    }
    assert_int_equal(lcf_llama_trainer_from(&trainer, w->model, &train, &err), LCF_OK);
    assert_int_equal(lcf_probe_create(&probe, w->model, 1000, 2, &err), LCF_OK);
    assert_int_equal(lcf_probe_context(probe), 600); /* the model's */
    assert_int_equal(lcf_probe_row(&nll, &n, probe, 1, tokens, targets, N, &err), LCF_OK);
    assert_int_equal(
        lcf_llama_trainer_eval(&trainer_nll, &trainer_n, trainer, &seq, 1, w->pool, &err), LCF_OK);
    assert_int_equal(n, trainer_n);
    assert_true(fabs(nll - trainer_nll) < 1e-4 * trainer_nll);

    assert_int_equal(lcf_probe_ask(&logits, probe, 0, tokens, N, &err), LCF_OK);
    memcpy(kept, logits, vocab_n * sizeof(*kept));
    assert_int_equal(lcf_probe_begin(probe, 0, tokens, 70, &err), LCF_OK);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(lcf_probe_ask(&logits, probe, 0, tokens + 70, N - 70, &err), LCF_OK);
        for (size_t i = 0; i < vocab_n; i++)
            assert_true(fabsf(logits[i] - kept[i]) < 1e-4f);
    }
    lcf_probe_free(probe);
    lcf_llama_trainer_free(trainer);
    free(kept);
}

/* Questions that begin alike, one after another: the bits of a worker that was asked nothing
 * before.
 */
static void test_probe_remembers(void **state)
{
    enum { N = 150, QUESTIONS = 40 };
    world *w = *state;
    const size_t vocab_n = w->model->config.vocab_n;
    const int32_t targets[3] = {1, -1, 2};
    uint32_t tokens[N], begin[40];
    lcf_probe *probe, *fresh;
    lcf_err err = LCF_ERR_INIT;
    uint64_t targets_n;
    lcf_rng rng;
    double nll;

    lcf_rng_seed(&rng, 5, 0);
    for (size_t i = 0; i < N; i++)
        tokens[i] = (uint32_t)lcf_rng_below(&rng, (uint32_t)vocab_n);
    for (size_t i = 0; i < 40; i++)
        begin[i] = (uint32_t)lcf_rng_below(&rng, (uint32_t)vocab_n);
    assert_int_equal(lcf_probe_create(&probe, w->model, 600, 1, &err), LCF_OK);
    for (size_t q = 0; q < QUESTIONS; q++) {
        const size_t n = 1 + lcf_rng_below(&rng, N), begin_n = q < QUESTIONS / 2 ? 0 : 33;
        const float *got, *want;
        tokens[lcf_rng_below(&rng, N)] = (uint32_t)lcf_rng_below(&rng, (uint32_t)vocab_n);
        if (q == QUESTIONS / 2)
            assert_int_equal(lcf_probe_begin(probe, 0, begin, begin_n, &err), LCF_OK);
        if (q % 7 == 3) /* a row in between takes the room of a question */
            assert_int_equal(lcf_probe_row(&nll, &targets_n, probe, 0, tokens, targets, 3, &err),
                             LCF_OK);
        assert_int_equal(lcf_probe_ask(&got, probe, 0, tokens, n, &err), LCF_OK);
        assert_int_equal(lcf_probe_create(&fresh, w->model, 600, 1, &err), LCF_OK);
        if (begin_n)
            assert_int_equal(lcf_probe_begin(fresh, 0, begin, begin_n, &err), LCF_OK);
        assert_int_equal(lcf_probe_ask(&want, fresh, 0, tokens, n, &err), LCF_OK);
        assert_memory_equal(got, want, vocab_n * sizeof(*got));
        lcf_probe_free(fresh);
    }
    lcf_probe_free(probe);
}

/* Nor is a soft token remembered that has become another vector. */
static void test_probe_forgets_soft_tokens(void **state)
{
    world *w = *state;
    const size_t vocab_n = w->model->config.vocab_n, dim = w->model->config.dim;
    const uint32_t tokens[4] = {1, (uint32_t)vocab_n, 2, 3};
    float *rows = lcf_alloc(2 * dim, sizeof(*rows)), *want = lcf_alloc(vocab_n, sizeof(*want));
    lcf_err err = LCF_ERR_INIT;
    const float *got;
    lcf_probe *probe;

    for (size_t i = 0; i < 2 * dim; i++)
        rows[i] = (float)(i % 7) - 3.0f + (float)(i / dim);
    for (size_t turn = 0; turn < 2; turn++) { /* first alone, then behind another vector */
        assert_int_equal(lcf_probe_create(&probe, w->model, 600, 1, &err), LCF_OK);
        if (turn) {
            lcf_probe_soft(probe, &(lcf_soft_tokens){rows, 1});
            assert_int_equal(lcf_probe_ask(&got, probe, 0, tokens, 4, &err), LCF_OK);
        }
        lcf_probe_soft(probe, &(lcf_soft_tokens){rows + dim, 1});
        assert_int_equal(lcf_probe_ask(&got, probe, 0, tokens, 4, &err), LCF_OK);
        if (turn)
            assert_memory_equal(got, want, vocab_n * sizeof(*want));
        memcpy(want, got, vocab_n * sizeof(*want));
        lcf_probe_free(probe);
    }
    free(rows);
    free(want);
}

/* ---- Yes or No ---- */

static void test_position(void **state)
{
    lcf_answers yes_no = {.ids = {8241, 3782}, .n = 2};
    /* "... answering "Yes." or "No." ... the movie "No Way Out" ... No." with the whole prompt
     * supervised, then cut rows, then one without an answer. */
    const int32_t whole[] = {5, 8241, 6, 3782, 7, 9, 3782, 8, 3782, 29889, 2, -1};
    const int32_t answer[] = {-1, -1, -1, -1, -1, -1, -1, -1, 8241, 29889, 2, -1};
    const int32_t none[] = {-1, 5, -1};

    (void)state;
    assert_int_equal(lcf_yes_no_position(whole, 12, &yes_no), 8);
    assert_int_equal(lcf_yes_no_position(answer, 12, &yes_no), 8);
    assert_int_equal(lcf_yes_no_position(answer + 4, 8, &yes_no), 4);
    assert_int_equal(lcf_yes_no_position(none, 3, &yes_no), 3);
}

/* Each answer of a conversation decides for itself; prose without a Yes or No decides nothing. */
static void test_decisions(void **state)
{
    uint32_t space[] = {29871};
    const lcf_answers plain = {.ids = {8241, 3782}, .n = 2};
    const lcf_answers spaced = {.common = {.ids = space, .n = 1}, .ids = {8241, 3782}, .n = 2};
    /* "Yes." "No." "I like No ... No" and an answer that was cut before it says anything */
    const int32_t turns[] = {-1, 8241, 29889, -1, -1, 3782, 29889, 2,  -1,
                             5,  3782, 7,     -1, 6,  3782, -1,    50, -1};
    const int32_t kept[] = {-1, 8241, -1, -1, -1, 3782, -1, -1, -1,
                            -1, 3782, -1, -1, -1, 3782, -1, -1, -1};
    const int32_t pieces[] = {29871, 8241, -1, 8241, 29889, -1, 29871, 3782, 29871, 3782};
    const int32_t kept_pieces[] = {-1, 8241, -1, -1, -1, -1, -1, -1, -1, 3782};
    int32_t targets[18];
    size_t answers_n;

    (void)state;
    memcpy(targets, turns, sizeof(turns));
    assert_int_equal(lcf_yes_no_keep(&answers_n, targets, 18, &plain), 4);
    assert_int_equal(answers_n, 5);
    assert_memory_equal(targets, kept, sizeof(kept));
    assert_int_equal(lcf_yes_no_keep(&answers_n, targets, 1, &plain), 0);
    assert_int_equal(answers_n, 0);
    memcpy(targets, pieces, sizeof(pieces));
    assert_int_equal(lcf_yes_no_keep(&answers_n, targets, 10, &spaced), 2);
    assert_int_equal(answers_n, 3);
    assert_memory_equal(targets, kept_pieces, sizeof(kept_pieces));
}

static void test_published_score(void **state)
{
    const lcf_yes_no sure = {1.0, 0.0, 50.0, 1}, torn = {0.3, 0.3, 0.0, 0};
    /* The two scorings order these two rows differently. */
    const lcf_yes_no rows[] = {{0.4, 0.1, log(4.0), 1}, {0.001, 0.0001, log(10.0), 0}};
    lcf_yes_no_auc auc;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_true(fabs(lcf_yes_no_published(&sure) - 0.7310585786300049) < 1e-15);
    assert_true(lcf_yes_no_published(&torn) == 0.5);
    assert_int_equal(lcf_yes_no_measure(&auc, rows, 2, &err), LCF_OK);
    assert_true(auc.published == 1.0 && auc.difference == 0.0);
    assert_int_equal(auc.rows, 2);
    assert_int_equal(auc.yes, 1);
}

/* The ids of companions' scoring, in LLaMA's own vocabulary. */
static void test_llama_pairs(void **state)
{
    static const char *const plain[] = {"Yes", "No"}, *const spaced[] = {" Yes", " No"};
    char *path = fixture_data("ggml-vocab-llama-spm.gguf");
    lcf_answers a = {.n = 0};
    lcf_tokenizer *tokenizer;
    lcf_gguf *gguf;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    if (!path)
        skip();
    assert_int_equal(lcf_gguf_open(&gguf, path, &err), LCF_OK);
    assert_int_equal(lcf_tokenizer_from_gguf(&tokenizer, gguf, &err), LCF_OK);
    assert_int_equal(lcf_answers_find(&a, tokenizer, plain, 2, &err), LCF_OK);
    assert_int_equal(a.common.n, 0);
    assert_int_equal(a.ids[0], 8241);
    assert_int_equal(a.ids[1], 3782);
    assert_int_equal(lcf_answers_find(&a, tokenizer, spaced, 2, &err), LCF_OK);
    assert_int_equal(a.common.n, 0);
    assert_int_equal(a.ids[0], 3869);
    assert_int_equal(a.ids[1], 1939);
    lcf_answers_dispose(&a);
    lcf_tokenizer_free(tokenizer);
    lcf_gguf_close(gguf);
    free(path);
}

static lcf_sources *open_file(const world *w, const char *name, lcf_chat chat)
{
    static char spec[600];
    lcf_sources_options o = LCF_SOURCES_OPTIONS_INIT;
    lcf_sources *s;
    lcf_err err = LCF_ERR_INIT;

    snprintf(spec, sizeof(spec), "alpaca:%s/%s,hold=0", w->dir, name);
    assert_int_equal(lcf_source_parse(&o.list[o.n++], spec, &err), LCF_OK);
    o.chat = chat;
    assert_int_equal(lcf_sources_open(&s, NULL, NULL, &o, &err), LCF_OK);
    return s;
}

#define ROW(title, answer)                                                                 \
    "{\"instruction\": \"Answer \\\"Yes.\\\" or \\\"No.\\\"\", \"input\": \"" title "\", " \
    "\"output\": \"" answer "\"}\n"

/* A row's figures are those of the model's logits behind its prompt, with either pair. */
static void test_scores(void **state)
{
    static const char *const answers[] = {" Yes", " No"};
    world *w = *state;
    lcf_mixture_options options = LCF_MIXTURE_OPTIONS_INIT;
    const lcf_tokenizer *tokenizer = w->model->tokenizer;
    lcf_answers a = {.n = 0};
    lcf_sources *s;
    lcf_mixture *m;
    lcf_yes_no got[3], one[3];
    lcf_pool *alone;
    lcf_row row = {.targets = NULL};
    lcf_probe *probe;
    const float *logits;
    size_t at;
    lcf_err err = LCF_ERR_INIT;

    write_file(w, "rows.jsonl", ROW("the cat", "Yes.") ROW("No, no", "No.") ROW("a dog", "Yes."));
    s = open_file(w, "rows.jsonl", LCF_CHAT_RECGEN);
    assert_int_equal(lcf_mixture_create(&m, s, tokenizer, &options, &err), LCF_OK);
    assert_int_equal(lcf_pool_create(&alone, 1, &err), LCF_OK);
    if (lcf_yes_no_score(got, w->model, tokenizer, m, s, 0, LCF_PAIR_OWN, 600, w->pool, &err))
        fail_msg("%s", err.text);
    assert_int_equal(
        lcf_yes_no_score(one, w->model, tokenizer, m, s, 0, LCF_PAIR_OWN, 600, alone, &err),
        LCF_OK);
    for (size_t i = 0; i < 3; i++) /* the same bits */
        assert_true(got[i].p_yes == one[i].p_yes && got[i].p_no == one[i].p_no &&
                    got[i].difference == one[i].difference && got[i].label == one[i].label);
    assert_true(got[0].label && !got[1].label && got[2].label);

    assert_int_equal(lcf_answers_find(&a, tokenizer, answers, 2, &err), LCF_OK);
    assert_int_equal(lcf_probe_create(&probe, w->model, 600, 1, &err), LCF_OK);
    assert_int_equal(lcf_mixture_row(&row, m, 0, 1, &err), LCF_OK);
    for (at = 0; row.targets[at] < 0; at++) /* the first answer token, then what they share */
        ;
    at += a.common.n;
    assert_int_equal(lcf_probe_ask(&logits, probe, 0, row.tokens.ids, at + 1, &err), LCF_OK);
    assert_true(fabs(got[1].difference - ((double)logits[a.ids[0]] - logits[a.ids[1]])) < 1e-5);
    assert_true(fabs(log(got[1].p_yes / got[1].p_no) - got[1].difference) < 1e-4);
    lcf_row_dispose(&row);
    lcf_probe_free(probe);
    lcf_answers_dispose(&a);
    lcf_mixture_free(m);
    lcf_sources_free(s);

    write_file(w, "bad.jsonl", ROW("the cat", "Yes.") ROW("a dog", "Perhaps."));
    s = open_file(w, "bad.jsonl", LCF_CHAT_RECGEN);
    assert_int_equal(lcf_mixture_create(&m, s, tokenizer, &options, &err), LCF_OK);
    assert_int_equal(
        lcf_yes_no_score(got, w->model, tokenizer, m, s, 0, LCF_PAIR_OWN, 600, w->pool, &err),
        LCF_EFORMAT);
    assert_non_null(strstr(err.text, "row 2 answers neither Yes nor No"));
    lcf_mixture_free(m);
    lcf_sources_free(s);
    lcf_pool_free(alone);
}

/* ---- multiple choice ---- */

static void write_exam(const world *w, const char *bad)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    char *dev = lcf_path_join(w->dir, "exam/dev"), *val = lcf_path_join(w->dir, "exam/val");

    assert_int_equal(lcf_dir_create(dev, &err), LCF_OK);
    assert_int_equal(lcf_dir_create(val, &err), LCF_OK);
    for (int i = 0; i < 5; i++)
        lcf_buf_printf(&text, "\"the cat, %d\",a,b,c,d,%c\n", i, 'A' + i % 4);
    write_file(w, "exam/dev/cats_dev.csv", text.data);
    write_file(w, "exam/dev/dogs_dev.csv", text.data);
    lcf_buf_reset(&text);
    for (int i = 0; i < 12; i++)
        lcf_buf_printf(&text, "where is \"it\" %d?,on,in,under,by,%c\n", i, 'A' + i % 4);
    write_file(w, "exam/val/cats_val.csv", text.data);
    lcf_buf_append_text(&text, bad);
    write_file(w, "exam/val/dogs_val.csv", text.data);
    lcf_buf_dispose(&text);
    free(dev);
    free(val);
}

/* Letter by letter against the model's logits over the whole prompt. */
static size_t right_by_hand(const world *w, const char *subject)
{
    static const char *const letters[] = {" A", " B", " C", " D"};
    const lcf_tokenizer *tokenizer = w->model->tokenizer;
    lcf_answers a = {.n = 0};
    lcf_probe *probe;
    lcf_err err = LCF_ERR_INIT;
    size_t right = 0;

    assert_int_equal(lcf_answers_find(&a, tokenizer, letters, 4, &err), LCF_OK);
    assert_int_equal(lcf_probe_create(&probe, w->model, 600, 1, &err), LCF_OK);
    for (int i = 0; i < 12; i++) {
        lcf_tokens tokens = LCF_TOKENS_INIT;
        lcf_buf text = LCF_BUF_INIT;
        const float *logits;
        int best = 0;
        lcf_buf_printf(&text,
                       "The following are multiple choice questions (with answers) about %s.\n\n",
                       subject);
        for (int shot = 0; shot < 5; shot++)
            lcf_buf_printf(&text, "the cat, %d\nA. a\nB. b\nC. c\nD. d\nAnswer: %c\n\n", shot,
                           'A' + shot % 4);
        assert_int_equal(lcf_tokens_push(&tokens, lcf_tokenizer_bos(tokenizer)), LCF_OK);
        assert_int_equal(lcf_tokenizer_encode(&tokens, tokenizer, text.data, text.len, true, &err),
                         LCF_OK);
        lcf_buf_reset(&text);
        lcf_buf_printf(&text, "where is \"it\" %d?\nA. on\nB. in\nC. under\nD. by\nAnswer:", i);
        assert_int_equal(lcf_tokenizer_encode(&tokens, tokenizer, text.data, text.len, false, &err),
                         LCF_OK);
        for (size_t c = 0; c < a.common.n; c++)
            assert_int_equal(lcf_tokens_push(&tokens, a.common.ids[c]), LCF_OK);
        assert_int_equal(lcf_probe_ask(&logits, probe, 0, tokens.ids, tokens.n, &err), LCF_OK);
        for (int l = 1; l < 4; l++)
            if (logits[a.ids[l]] > logits[a.ids[best]])
                best = l;
        right += best == i % 4;
        lcf_buf_dispose(&text);
        lcf_tokens_dispose(&tokens);
    }
    lcf_probe_free(probe);
    lcf_answers_dispose(&a);
    return right;
}

static void test_choice(void **state)
{
    world *w = *state;
    char *exam = lcf_path_join(w->dir, "exam");
    lcf_choice_result all, some;
    lcf_err err = LCF_ERR_INIT;
    size_t right = right_by_hand(w, "cats") + right_by_hand(w, "dogs");

    write_exam(w, "");
    if (lcf_choice_measure(&all, w->model, w->model->tokenizer, exam, 0, 600, w->pool, &err))
        fail_msg("%s", err.text);
    assert_int_equal(all.rows, 24);
    assert_true(all.right == right && all.shots == 5.0 && !all.cut_n);
    assert_true(fabs(all.accuracy - (double)all.right / 24.0) < 1e-12);
    /* a context with room for two examples and the question */
    assert_int_equal(
        lcf_choice_measure(&some, w->model, w->model->tokenizer, exam, 4, 250, w->pool, &err),
        LCF_OK);
    assert_int_equal(some.rows, 4);
    assert_true(some.shots < 5.0);
    write_exam(w, "not a question,a,b,c,d,E\n");
    assert_int_equal(
        lcf_choice_measure(&some, w->model, w->model->tokenizer, exam, 0, 600, w->pool, &err),
        LCF_EFORMAT);
    assert_non_null(strstr(err.text, "dogs_val.csv:13: not a question"));
    assert_int_equal(
        lcf_choice_measure(&some, w->model, w->model->tokenizer, w->dir, 0, 600, w->pool, &err),
        LCF_ENOENT);
    free(exam);
}

/* Quantiles of the binomial distribution as SciPy gives them. */
static void test_chance(void **state)
{
    double low, high;

    (void)state;
    lcf_choice_chance(&low, &high, 1531);
    assert_true(fabs(low - 0.2286087524493795) < 1e-12);
    assert_true(fabs(high - 0.2717178314826911) < 1e-12);
    lcf_choice_chance(&low, &high, 10);
    assert_true(low == 0.0 && high == 0.5);
}

/* ---- export ---- */

static json_t *load(const char *dir, const char *name)
{
    char *path = lcf_path_join(dir, name);
    json_t *json = json_load_file(path, 0, NULL);

    assert_non_null(json);
    free(path);
    return json;
}

/* Rows without markers, in both forms; what was written can be read as a source again. */
static void test_export(void **state)
{
    static const char *const sources[] = {"decide", "explain", "next", "rating"};
    world *w = *state;
    char *dataset = lcf_path_join(w->dir, "dataset"), *out = lcf_path_join(w->dir, "sft");
    lcf_export_sft_options o = {dataset, out, LCF_SOURCES_OPTIONS_INIT, 60, false};
    json_t *stats, *alpaca, *sharegpt, *info;
    lcf_dialogues g = LCF_DIALOGUES_INIT;
    lcf_err err = LCF_ERR_INIT;
    bool current;
    char *path;

    assert_int_equal(lcf_fixture_write_dataset(dataset, NULL, &err), LCF_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(lcf_source_parse(&o.sources.list[o.sources.n++], sources[i], &err),
                         LCF_OK);
    o.sources.prompt.dialect = LCF_DIALECT_LLAMA2;
    if (lcf_export_sft(&stats, &current, &o, &err))
        fail_msg("%s", err.text);
    assert_int_equal(json_object_size(stats), 4);
    json_decref(stats);
    alpaca = load(out, "alpaca.json");
    sharegpt = load(out, "sharegpt.json");
    info = load(out, "dataset_info.json");
    assert_int_equal(json_array_size(alpaca), 60);
    for (size_t i = 0; i < 60; i++) {
        const json_t *a = json_array_get(alpaca, i), *s = json_array_get(sharegpt, i);
        const char *question = json_string_value(json_object_get(a, "instruction"));
        const json_t *turns = json_object_get(s, "conversations");
        assert_null(strstr(question, "INST"));
        assert_null(strstr(question, "SYS"));
        assert_int_equal(json_array_size(turns), 2);
        assert_string_equal(json_string_value(json_object_get(json_array_get(turns, 1), "value")),
                            json_string_value(json_object_get(a, "output")));
        assert_true(json_string_value(json_object_get(a, "output"))[0] != ' ');
    }
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(info, "recgen_alpaca"), "file_name")),
        "alpaca.json");
    path = lcf_path_join(out, "sharegpt.json");
    assert_int_equal(lcf_dialogues_load(&g, LCF_FORM_SHAREGPT, path, &err), LCF_OK);
    assert_int_equal(g.n, 60);
    assert_int_equal(lcf_export_sft(&stats, &current, &o, &err), LCF_OK);
    assert_true(current);
    lcf_dialogues_dispose(&g);
    json_decref(alpaca);
    json_decref(sharegpt);
    json_decref(info);
    free(path);
    free(dataset);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_probe_remembers),
        cmocka_unit_test(test_probe_forgets_soft_tokens),
        cmocka_unit_test(test_position),
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_published_score),
        cmocka_unit_test(test_llama_pairs),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_chance),
        cmocka_unit_test(test_export),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
