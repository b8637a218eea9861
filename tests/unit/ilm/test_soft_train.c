/*
 * Soft tokens in a language model, from templates to training: what prompts hold, what is held out,
 * gradients through the frozen model against finite differences, exact resume, threads, and files.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/model/ranker.h"
#include "offline/ilm/phase1_data.h"
#include "offline/ilm/soft_measure.h"
#include "offline/ilm/soft_train.h"
#include "tests/unit/data/fixture.h"
#include "tests/unit/llama/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define K 2
#define VECTOR 8
#define HISTORY 2 /* items that a prompt shows */

typedef struct world {
    char *dir;
    lcf_dataset d;
    lcf_cf_vectors v;
    lcf_llama *m;
    lcf_ilm_tasks *tasks;
    lcf_soft_form form;
    lcf_pool *pool;
} world;

static char *path_in(const world *w, const char *name)
{
    char *path = lcf_path_join(w->dir, name);

    assert_non_null(path);
    return path;
}

static void good(lcf_status status, const lcf_err *err)
{
    if (status)
        fail_msg("%s", err->text);
}

static void open_vectors(world *w)
{
    lcf_ranker_config c = LCF_RANKER_CONFIG_INIT;
    char *path = path_in(w, "mf.lcf");
    lcf_err err = LCF_ERR_INIT;
    lcf_ranker *r;

    c.backbone = "mf";
    c.dim = VECTOR;
    c.users_n = w->d.users_n;
    c.items_n = w->d.catalogue.items_n;
    c.brands_n = w->d.catalogue.brands_n;
    c.categories_n = w->d.catalogue.categories_n;
    good(lcf_ranker_create(&r, &c, 3, &err), &err);
    good(lcf_ranker_save(r, path, &err), &err);
    lcf_ranker_free(r);
    good(lcf_cf_vectors_open(&w->v, path, &w->d, &err), &err);
    free(path);
}

static void open_world(world *w, size_t threads)
{
    fixture_options llama = FIXTURE_OPTIONS_INIT;
    lcf_ilm_tasks_options o = LCF_ILM_TASKS_OPTIONS_INIT;
    lcf_fixture_options log = LCF_FIXTURE_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;
    char *path;

    memset(w, 0, sizeof(*w));
    w->dir = lcf_fixture_dir();
    log.users_n = 30;
    log.items_n = 60;
    path = path_in(w, "dataset");
    good(lcf_fixture_write_dataset(path, &log, &err), &err);
    good(lcf_dataset_open(&w->d, path, &err), &err);
    free(path);
    open_vectors(w);
    llama = (fixture_options){LCF_GGUF_F32, 16, 2, 1, 8, 24, 2, 512, true, 11};
    path = path_in(w, "llama.gguf");
    fixture_write(path, &llama);
    good(lcf_llama_open(&w->m, path, &err), &err);
    free(path);
    o.history_n = HISTORY;
    good(lcf_ilm_tasks_create(&w->tasks, &w->d, &w->v, &o, &err), &err);
    w->form = (lcf_soft_form){w->m->tokenizer, &w->d, w->m->config.vocab_n, K, 24};
    good(lcf_pool_create(&w->pool, threads, &err), &err);
}

static void close_world(world *w)
{
    lcf_pool_free(w->pool);
    lcf_ilm_tasks_free(w->tasks);
    lcf_cf_vectors_dispose(&w->v);
    lcf_llama_close(w->m);
    lcf_dataset_close(&w->d);
    assert_int_equal(lcf_dir_remove(w->dir, NULL), LCF_OK);
    free(w->dir);
}

static lcf_ilm_adapter *adapter_of(const world *w, lcf_ilm_arm arm)
{
    lcf_qformer_config c = LCF_QFORMER_CONFIG_INIT;
    lcf_ilm_adapter *a = NULL;
    lcf_qformer *q = NULL;
    lcf_err err = LCF_ERR_INIT;

    if (arm == LCF_ILM_MLP) {
        good(lcf_ilm_adapter_mlp(&a, w->m, &w->v, K, 5, &err), &err);
        return a;
    }
    c.layers = 2;
    c.hidden = 16;
    c.heads = 2;
    c.ffn = 24;
    c.queries = K;
    c.feature_dim = 8;
    c.dropout = 0.0f;
    c.item_dim = VECTOR;
    c.item_scale = w->v.scale;
    c.vocab = 8;
    good(lcf_qformer_create(&q, &c, 7, &err), &err);
    good(lcf_ilm_adapter_qformer(&a, w->m, &w->v, q, 5, &err), &err);
    return a;
}

static lcf_ilm_train_options options(void)
{
    lcf_ilm_train_options o = LCF_ILM_TRAIN_OPTIONS_INIT;

    o.steps = 6;
    o.warmup = 2;
    o.eval_every = 2;
    o.batch_rows = 5;
    o.valid_rows = 3;
    o.peak_lr = 3e-3f;
    return o;
}

static lcf_ilm_trainer *trainer_of(const world *w, lcf_ilm_adapter *a,
                                   const lcf_ilm_train_options *o)
{
    lcf_ilm_trainer *t = NULL;
    lcf_err err = LCF_ERR_INIT;

    good(lcf_ilm_trainer_create(&t, w->m, a, w->tasks, &w->form, &w->v, o, w->pool, &err), &err);
    return t;
}

/* ---- templates and rows ---- */

static void refuses(const char *text, lcf_status status, const char *says)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_soft_template t;

    assert_int_equal(
        lcf_soft_template_parse(&t, (lcf_str){text, strlen(text)}, "prompts.txt", &err), status);
    assert_non_null(strstr(err.text, says));
}

static void test_templates(void **state)
{
    static const char good_text[] = "A {item} of {user}: {history.titles}{title}";
    char many[4 * 40];
    lcf_soft_template t;

    (void)state;
    assert_int_equal(
        lcf_soft_template_parse(&t, (lcf_str){good_text, sizeof(good_text) - 1}, "x", NULL),
        LCF_OK);
    assert_int_equal(t.n, 7);
    assert_int_equal(t.pieces[1].value, LCF_SOFT_ITEM);
    assert_int_equal(t.pieces[5].value, LCF_SOFT_HISTORY_TITLES);
    assert_int_equal(t.pieces[6].value, LCF_SOFT_TITLE);
    refuses("The {movie}", LCF_EFORMAT, "prompts.txt, byte 4: unknown placeholder {movie}");
    refuses("The {item", LCF_EFORMAT, "not closed");
    refuses("{}", LCF_EFORMAT, "unknown placeholder {}");
    many[0] = '\0';
    for (size_t i = 0; i < 20; i++)
        strcat(many, "a{item}");
    refuses(many, LCF_ELIMIT, "pieces");
}

static size_t count_soft(const world *w, const lcf_tokens *tokens)
{
    size_t n = 0;

    for (size_t i = 0; i < tokens->n; i++)
        n += tokens->ids[i] >= w->form.vocab_n;
    return n;
}

static void test_rows(void **state)
{
    lcf_ilm_row row = {.targets_n = 0};
    lcf_err err = LCF_ERR_INIT;
    world w;

    (void)state;
    open_world(&w, 1);
    for (int task = 0; task < LCF_ILM_TASKS_N; task++) {
        const lcf_ilm_rows rows = lcf_ilm_task_rows(w.tasks, (lcf_ilm_task)task, LCF_TRAIN);
        size_t prompt_n, soft;

        if (task == LCF_ILM_RATING && !rows.n)
            continue; /* ratings of two values say no more than Yes and No */
        assert_true(rows.n > 0);
        good(
            lcf_ilm_row_make(&row, w.tasks, &w.form, (lcf_ilm_task)task, rows.list[0], false, &err),
            &err);
        prompt_n = row.tokens.n;
        soft = count_soft(&w, &row.tokens);
        assert_true(soft > 0 && soft % K == 0);
        assert_int_equal(row.tokens.ids[0], lcf_tokenizer_bos(w.m->tokenizer));
        good(lcf_ilm_row_make(&row, w.tasks, &w.form, (lcf_ilm_task)task, rows.list[0], true, &err),
             &err);
        assert_int_equal(row.tokens.n, prompt_n + row.targets_n - 1);
        for (size_t i = 0; i < row.tokens.n; i++)
            assert_true((row.targets[i] >= 0) == (i + 1 >= prompt_n));
    }
    lcf_ilm_row_dispose(&row);
    close_world(&w);
}

/* A soft token of item 7 in place is item 7's. */
static void test_soft_ids(void **state)
{
    static const char text[] = "{item}|{user}";
    lcf_tokens tokens = LCF_TOKENS_INIT;
    const lcf_soft_facts f = {.user = 4, .item = 7};
    lcf_soft_template t;
    world w;
    size_t vocab_n, items_n;

    (void)state;
    open_world(&w, 1);
    vocab_n = w.form.vocab_n;
    items_n = w.d.catalogue.items_n;
    assert_int_equal(lcf_soft_template_parse(&t, (lcf_str){text, sizeof(text) - 1}, "x", NULL), 0);
    assert_int_equal(lcf_soft_prompt(&tokens, &t, &w.form, &f, NULL), LCF_OK);
    assert_int_equal(tokens.ids[1], vocab_n + 7 * K);
    assert_int_equal(tokens.ids[2], vocab_n + 7 * K + 1);
    assert_int_equal(tokens.ids[tokens.n - 1], vocab_n + (items_n + 4) * K + 1);
    lcf_tokens_dispose(&tokens);
    close_world(&w);
}

static bool has(lcf_ilm_rows rows, uint32_t number)
{
    for (size_t i = 0; i < rows.n; i++)
        if (rows.list[i] == number)
            return true;
    return false;
}

static bool is_kept(const lcf_strings *ids, uint32_t idx)
{
    return phase1_split_of(lcf_strings_get(ids, idx)) != LCF_TRAIN;
}

/* Training rows of next and why are of other users than those kept, and why shows no item that is.
 */
static void check_taught(const world *w)
{
    const lcf_ilm_task tasks[] = {LCF_ILM_NEXT, LCF_ILM_WHY};

    for (size_t k = 0; k < 2; k++) {
        const lcf_ilm_rows rows = lcf_ilm_task_rows(w->tasks, tasks[k], LCF_TRAIN);

        assert_true(rows.n > 0);
        for (size_t i = 0; i < rows.n; i++) {
            const lcf_sample s = lcf_dataset_sample(&w->d, rows.list[i]);
            assert_false(is_kept(&w->d.user_id, s.user));
            for (size_t h = s.history_n - HISTORY; k == 1 && h < s.history_n; h++)
                assert_false(is_kept(&w->d.catalogue.item_id, s.history[h]));
        }
    }
}

static void test_held_out(void **state)
{
    size_t held = 0;
    world w;

    (void)state;
    open_world(&w, 1);
    for (int split = LCF_VALID; split <= LCF_TEST; split++) {
        const lcf_ilm_rows rows = lcf_ilm_task_rows(w.tasks, LCF_ILM_DESCRIBE, (lcf_split)split);

        for (size_t i = 0; i < rows.n; i++)
            assert_false(
                has(lcf_ilm_task_rows(w.tasks, LCF_ILM_DESCRIBE, LCF_TRAIN), rows.list[i]));
        held += rows.n;
    }
    assert_true(held > 0);
    for (size_t i = 0; i < lcf_ilm_task_rows(w.tasks, LCF_ILM_WHY, LCF_TRAIN).n; i++) {
        const size_t sample = lcf_ilm_task_rows(w.tasks, LCF_ILM_WHY, LCF_TRAIN).list[i];

        assert_true(sample < w.d.split_begin[LCF_VALID]);
        assert_int_equal(w.d.sample_label[sample], 1);
    }
    check_taught(&w);
    close_world(&w);
}

static void test_prompt_files(void **state)
{
    static const char *const texts[] = {"like Yes?\n", "like: {movie}\n",
                                        "# a line\nlove: {item}\n", "like:  \n"};
    static const char *const says[] = {"line 1", "the prompt of like, byte 0", "line 2",
                                       "the prompt of like: it is empty"};
    lcf_ilm_tasks_options o = LCF_ILM_TASKS_OPTIONS_INIT;
    lcf_ilm_tasks *t;
    char *path;
    world w;

    (void)state;
    open_world(&w, 1);
    path = path_in(&w, "prompts.txt");
    o.prompts = path;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        lcf_err err = LCF_ERR_INIT;

        assert_int_equal(lcf_file_write(path, texts[i], strlen(texts[i]), NULL), LCF_OK);
        assert_int_equal(lcf_ilm_tasks_create(&t, &w.d, &w.v, &o, &err), LCF_EFORMAT);
        assert_non_null(strstr(err.text, says[i]));
    }
    free(path);
    close_world(&w);
}

static void test_weights(void **state)
{
    double weights[LCF_ILM_TASKS_N];
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_ilm_weights_parse(weights, "like=2,why=0.5", NULL), LCF_OK);
    assert_true(weights[LCF_ILM_LIKE] == 2.0 && weights[LCF_ILM_WHY] == 0.5 &&
                weights[LCF_ILM_NEXT] == 0.0);
    assert_int_equal(lcf_ilm_weights_parse(weights, "like", &err), LCF_EUSAGE);
    assert_int_equal(lcf_ilm_weights_parse(weights, "love=1", &err), LCF_EUSAGE);
    assert_int_equal(lcf_ilm_weights_parse(weights, "like=-1", &err), LCF_EUSAGE);
}

/* ---- training ---- */

static void check_gradients(lcf_ilm_arm arm)
{
    lcf_ilm_train_options o = options();
    const float h = 1e-2f;
    double loss, worst = 0, largest = 0;
    lcf_ilm_trainer *t;
    lcf_ilm_adapter *a;
    lcf_rng rng;
    world w;

    open_world(&w, 2);
    a = adapter_of(&w, arm);
    o.peak_lr = 0; /* a step then changes nothing */
    t = trainer_of(&w, a, &o);
    assert_int_equal(lcf_ilm_trainer_step(&loss, t, NULL), LCF_OK);
    lcf_rng_seed(&rng, 1, 0);
    for (size_t part = 0; part < LCF_ILM_PARTS_N; part++) {
        lcf_params *p = lcf_ilm_adapter_params(a, part);

        for (size_t i = 0; p && i < 24; i++) {
            const lcf_param *of = &p->list[lcf_rng_below(&rng, p->list_n)];
            const size_t at = of->offset + lcf_rng_below(&rng, of->n);
            const float was = p->values[at];
            const double got = (double)lcf_ilm_trainer_grads(t, part)->values[at];
            double up, down;

            p->values[at] = was + h;
            assert_int_equal(lcf_ilm_trainer_objective(&up, t, 0, NULL), LCF_OK);
            p->values[at] = was - h;
            assert_int_equal(lcf_ilm_trainer_objective(&down, t, 0, NULL), LCF_OK);
            p->values[at] = was;
            worst = fmax(worst, fabs((up - down) / (2 * (double)h) - got));
            largest = fmax(largest, fabs(got));
        }
    }
    assert_true(largest > 1e-3);
    assert_true(worst < 0.03 * largest);
    lcf_ilm_trainer_free(t);
    lcf_ilm_adapter_free(a);
    close_world(&w);
}

static void test_gradients(void **state)
{
    (void)state;
    check_gradients(LCF_ILM_MLP);
    check_gradients(LCF_ILM_QFORMER);
}

/* The weights of a run: on so many threads, and with a stop after `stop` steps (0: none). */
static float *run(lcf_ilm_arm arm, size_t threads, uint64_t stop, size_t *n)
{
    lcf_ilm_train_options o = options(), first = options();
    lcf_err err = LCF_ERR_INIT;
    lcf_ilm_adapter *a;
    lcf_ilm_trainer *t;
    float *out;
    char *path;
    world w;

    open_world(&w, threads);
    path = path_in(&w, "state.lcf");
    a = adapter_of(&w, arm);
    for (int part = stop ? 0 : 1; part < 2; part++) {
        if (part == 0)
            first.steps = stop; /* the schedule is constant, so that it is the same run */
        first.schedule = o.schedule = LCF_LR_CONSTANT;
        t = trainer_of(&w, a, part ? &o : &first);
        good(lcf_ilm_trainer_run(t, path, &err), &err);
        if (part) {
            const lcf_ilm_curve curve = lcf_ilm_trainer_curve(t);

            assert_int_equal(curve.steps, o.steps);
            assert_int_equal(curve.n, 1 + o.steps / o.eval_every);
            assert_true(curve.best <= curve.points[0].valid);
        }
        lcf_ilm_trainer_free(t);
    }
    *n = lcf_ilm_adapter_params(a, 0)->values_n;
    out = lcf_alloc(*n, sizeof(*out));
    assert_non_null(out);
    memcpy(out, lcf_ilm_adapter_params(a, 0)->values, *n * sizeof(*out));
    lcf_ilm_adapter_free(a);
    free(path);
    close_world(&w);
    return out;
}

static void test_same_bytes(void **state)
{
    (void)state;
    for (int arm = 0; arm < 2; arm++) {
        size_t n, m;
        float *whole = run((lcf_ilm_arm)arm, 1, 0, &n);
        float *threads = run((lcf_ilm_arm)arm, 3, 0, &m);
        float *resumed = run((lcf_ilm_arm)arm, 2, 4, &m);

        assert_int_equal(n, m);
        assert_memory_equal(whole, threads, n * sizeof(*whole));
        assert_memory_equal(whole, resumed, n * sizeof(*whole));
        free(whole);
        free(threads);
        free(resumed);
    }
}

/* ---- writing ---- */

/* A model of random weights writes bytes of no character; a report of them can be written. */
static void test_written_is_text(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_encoder *encoder;
    lcf_ilm_adapter *a;
    float *table;
    size_t size;
    world w;

    (void)state;
    open_world(&w, 2);
    a = adapter_of(&w, LCF_ILM_MLP);
    size = lcf_cf_entities(&w.v) * K;
    table = lcf_alloc(size, w.m->config.dim * sizeof(*table));
    assert_non_null(table);
    good(lcf_ilm_adapter_table(table, a, &w.v, w.pool, &err), &err);
    good(lcf_soft_encoder(&encoder, w.tasks, &w.form, w.pool, &err), &err);
    for (int task = 0; task < LCF_ILM_TASKS_N; task++) {
        const lcf_soft_model model = {w.m, w.tasks, &w.form, {table, size}, 424};
        lcf_soft_text *texts;
        double chance;
        size_t n;

        good(lcf_soft_write(&texts, &n, &chance, &model, (lcf_ilm_task)task, LCF_TRAIN, 20, 12,
                            encoder, w.pool, &err),
             &err);
        for (size_t i = 0; i < n; i++)
            assert_true(lcf_utf8_valid(texts[i].written, strlen(texts[i].written)));
        lcf_soft_texts_free(texts, n);
    }
    free(table);
    lcf_encoder_free(encoder);
    lcf_ilm_adapter_free(a);
    close_world(&w);
}

/* Weights of no numbers end a run with their cause, and leave no state to go on from. */
static void test_diverged(void **state)
{
    lcf_ilm_train_options o = options();
    lcf_err err = LCF_ERR_INIT;
    lcf_ilm_adapter *a;
    lcf_ilm_trainer *t;
    char *path;
    world w;

    (void)state;
    open_world(&w, 1);
    path = path_in(&w, "state.lcf");
    a = adapter_of(&w, LCF_ILM_MLP);
    for (size_t i = 0; i < lcf_ilm_adapter_params(a, 0)->values_n; i++)
        lcf_ilm_adapter_params(a, 0)->values[i] = NAN;
    t = trainer_of(&w, a, &o);
    assert_int_equal(lcf_ilm_trainer_run(t, path, &err), LCF_EDIVERGED);
    assert_non_null(strstr(err.text, "valid loss"));
    assert_false(lcf_path_exists(path));
    lcf_ilm_trainer_free(t);
    lcf_ilm_adapter_free(a);
    free(path);
    close_world(&w);
}

/* ---- files ---- */

static void test_adapter_files(void **state)
{
    (void)state;
    for (int arm = 0; arm < 2; arm++) {
        lcf_ilm_adapter *a, *b;
        lcf_err err = LCF_ERR_INIT;
        size_t n;
        float *x, *y;
        char *path;
        world w;

        open_world(&w, 2);
        path = path_in(&w, "adapter.lcf");
        a = adapter_of(&w, (lcf_ilm_arm)arm);
        good(lcf_ilm_adapter_save(a, path, &err), &err);
        good(lcf_ilm_adapter_open(&b, path, &err), &err);
        n = lcf_cf_entities(&w.v) * K * w.m->config.dim;
        x = lcf_alloc(n, sizeof(*x));
        y = lcf_alloc(n, sizeof(*y));
        assert_true(x && y);
        good(lcf_ilm_adapter_table(x, a, &w.v, w.pool, &err), &err);
        good(lcf_ilm_adapter_table(y, b, &w.v, w.pool, &err), &err);
        assert_memory_equal(x, y, n * sizeof(*x));
        good(lcf_ilm_adapter_check(b, w.m, &w.v, &err), &err);
        w.v.scale *= 1.01f; /* another ranker's vectors, of the same width */
        assert_int_equal(lcf_ilm_adapter_check(b, w.m, &w.v, &err), LCF_EINVAL);
        assert_non_null(strstr(err.text, "the adapter was trained on other vectors"));
        w.m->id[0] ^= 1; /* another model */
        assert_int_equal(lcf_ilm_adapter_check(b, w.m, &w.v, &err), LCF_EINVAL);
        assert_non_null(strstr(err.text, "another language model"));
        lcf_ilm_adapter_free(a);
        lcf_ilm_adapter_free(b);
        free(x);
        free(y);
        free(path);
        close_world(&w);
    }
}

/* A file that claims more than it holds takes no memory for it; one of no numbers is refused. */
static void test_adapter_damage(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_ilm_adapter *a, *b;
    char *path;
    world w;

    (void)state;
    open_world(&w, 1);
    path = path_in(&w, "adapter.lcf");
    for (int arm = 0; arm < 2; arm++) {
        a = adapter_of(&w, (lcf_ilm_arm)arm);
        lcf_ilm_adapter_params(a, 0)->values[3] = NAN;
        good(lcf_ilm_adapter_save(a, path, &err), &err);
        assert_int_equal(lcf_ilm_adapter_open(&b, path, &err), LCF_EFORMAT);
        assert_non_null(strstr(err.text, "not a finite number"));
        lcf_ilm_adapter_free(a);
    }
    {
        const uint32_t huge[4] = {LCF_ILM_MLP, 1024, 65536, 65536};
        const float scale = 1.0f;
        lcf_bundle_writer *file;

        good(lcf_bundle_create(&file, path, "ilm", LCF_ILM_VERSION, &err), &err);
        good(lcf_bundle_add_1d(file, "config", LCF_U32, 4, huge, &err), &err);
        good(lcf_bundle_add_1d(file, "item_scale", LCF_F32, 1, &scale, &err), &err);
        good(lcf_bundle_add_text(file, "model", "none", &err), &err);
        good(lcf_bundle_commit(file, &err), &err);
        assert_int_equal(lcf_ilm_adapter_open(&b, path, &err), LCF_EFORMAT);
        assert_non_null(strstr(err.text, "the file holds 0"));
    }
    free(path);
    close_world(&w);
}

/* What inference gives an item is what training gave it. */
static void test_table_is_the_forward_pass(void **state)
{
    (void)state;
    for (int arm = 0; arm < 2; arm++) {
        lcf_ilm_adapter *a;
        lcf_tape *tape;
        lcf_tensor *rows;
        size_t n;
        float *x;
        world w;

        open_world(&w, 1);
        a = adapter_of(&w, (lcf_ilm_arm)arm);
        n = lcf_cf_entities(&w.v);
        x = lcf_alloc(n, K * w.m->config.dim * sizeof(*x));
        assert_non_null(x);
        assert_int_equal(lcf_ilm_adapter_table(x, a, &w.v, w.pool, NULL), LCF_OK);
        assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
        lcf_tape_reset(tape, false);
        rows = lcf_ilm_adapter_forward(&(lcf_ilm_pass){.tape = tape, .a = a}, w.v.values, n);
        assert_int_equal(lcf_tape_status(tape), LCF_OK);
        assert_int_equal(rows->n, n * K * w.m->config.dim);
        for (size_t i = 0; i < rows->n; i++)
            assert_true(fabsf(rows->data[i] - x[i]) < 1e-4f);
        lcf_tape_free(tape);
        lcf_ilm_adapter_free(a);
        free(x);
        close_world(&w);
    }
}

/* ---- golden examples ---- */

static void example_path(char *out, size_t size, const char *file)
{
    const char *source = getenv("LCF_SOURCE_DIR");

    if (!source)
        skip();
    snprintf(out, size, "%s/schemas/examples/%s", source, file);
}

/* Two steps of an mlp. The files stay readable, and hold what training of today gives (to
 * rounding). */
static void test_golden(void **state)
{
    lcf_ilm_train_options o = options();
    lcf_err err = LCF_ERR_INIT;
    lcf_ilm_adapter *now, *golden, *resumed;
    lcf_ilm_trainer *t;
    const lcf_params *a, *b, *c;
    char weights[4096], kept[4096], *path;
    world w;

    (void)state;
    example_path(weights, sizeof(weights), "ilm.lcf");
    example_path(kept, sizeof(kept), "ilm_state.lcf");
    open_world(&w, 1);
    path = path_in(&w, "state.lcf");
    o.steps = 2;
    now = adapter_of(&w, LCF_ILM_MLP);
    t = trainer_of(&w, now, &o);
    good(lcf_ilm_trainer_run(t, getenv("LCF_GOLDEN_WRITE") ? kept : path, &err), &err);
    lcf_ilm_trainer_free(t);
    if (getenv("LCF_GOLDEN_WRITE"))
        good(lcf_ilm_adapter_save(now, weights, &err), &err);
    good(lcf_ilm_adapter_open(&golden, weights, &err), &err);
    good(lcf_ilm_adapter_check(golden, w.m, &w.v, &err), &err);
    resumed = adapter_of(&w, LCF_ILM_MLP);
    t = trainer_of(&w, resumed, &o);
    good(lcf_ilm_trainer_run(t, kept, &err), &err); /* it has ended: nothing is written */
    assert_int_equal(lcf_ilm_trainer_curve(t).n, 2);
    lcf_ilm_trainer_free(t);
    a = lcf_ilm_adapter_params(golden, 0);
    b = lcf_ilm_adapter_params(now, 0);
    c = lcf_ilm_adapter_params(resumed, 0);
    for (size_t i = 0; i < a->values_n; i++) {
        assert_true(fabsf(a->values[i] - b->values[i]) < 1e-4f);
        assert_true(fabsf(c->values[i] - b->values[i]) < 1e-4f);
    }
    lcf_ilm_adapter_free(now);
    lcf_ilm_adapter_free(golden);
    lcf_ilm_adapter_free(resumed);
    free(path);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_templates),      cmocka_unit_test(test_rows),
        cmocka_unit_test(test_soft_ids),       cmocka_unit_test(test_held_out),
        cmocka_unit_test(test_prompt_files),   cmocka_unit_test(test_weights),
        cmocka_unit_test(test_gradients),      cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_adapter_files),  cmocka_unit_test(test_table_is_the_forward_pass),
        cmocka_unit_test(test_golden),         cmocka_unit_test(test_written_is_text),
        cmocka_unit_test(test_adapter_damage), cmocka_unit_test(test_diverged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
