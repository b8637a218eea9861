/*
 * The ranker's contract: weights files, scores against the forward pass, independence of the batch,
 * finite differences, and memory that runs out. The model's values are held in tests/parity.
 */
#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/nn/optim.h"
#include "tests/parity/ranker_world.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATH "ranker_test.lcf"
#define ROWS_MAX 16
#define TOLERANCE 1e-6f

typedef struct fixture {
    ranker_world world;
    lcf_ranker *ranker;
    lcf_tape *tape;
} fixture;

static void fixture_open(fixture *f, const char *arm)
{
    ranker_world_open(&f->world, arm);
    assert_true(f->world.rows_n <= ROWS_MAX);
    f->ranker = ranker_world_ranker(&f->world);
    assert_int_equal(lcf_tape_create(&f->tape, NULL), LCF_OK);
}

static void fixture_close(fixture *f)
{
    lcf_tape_free(f->tape);
    lcf_ranker_free(f->ranker);
    ranker_world_close(&f->world);
}

static void score(float *scores, fixture *f, const lcf_ranker *r, const lcf_ranker_row *rows,
                  size_t n)
{
    lcf_err err = LCF_ERR_INIT;

    if (lcf_ranker_score(scores, f->tape, r, &f->world.source, rows, n, &err))
        fail_msg("%s", err.text);
}

static void assert_near(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= TOLERANCE))
            fail_msg("score %zu: %.9g against %.9g", i, (double)a[i], (double)b[i]);
}

/* ---- scores ---- */

static void check_scores(const char *arm)
{
    float together[ROWS_MAX], alone[ROWS_MAX], frozen[ROWS_MAX];
    lcf_tensor *logits;
    fixture f;
    size_t n;

    fixture_open(&f, arm);
    n = f.world.rows_n;
    score(together, &f, f.ranker, f.world.rows, n);
    lcf_tape_reset(f.tape, false);
    lcf_ranker_forward(&logits, NULL, f.tape, f.ranker, NULL, &f.world.source, f.world.rows, n,
                       NULL);
    for (size_t i = 0; i < n; i++)
        assert_true(together[i] == 1.0f / (1.0f + expf(-logits->data[i])));
    for (size_t i = 0; i < n; i++)
        score(alone + i, &f, f.ranker, f.world.rows + i, 1);
    assert_near(alone, together, n);
    assert_int_equal(lcf_ranker_freeze(f.ranker, &f.world.source, NULL), LCF_OK);
    score(frozen, &f, f.ranker, f.world.rows, n);
    assert_near(frozen, together, n);
    lcf_ranker_thaw(f.ranker);
    score(alone, &f, f.ranker, f.world.rows, n);
    assert_memory_equal(alone, together, n * sizeof(*alone));
    fixture_close(&f);
}

static void test_scores(void **state)
{
    (void)state;
    for (size_t i = 0; ranker_world_arm(i); i++)
        check_scores(ranker_world_arm(i));
}

/* Many rows, more than one block, that share one history: the path of a ranking request. */
static void test_shared_history(void **state)
{
    enum { N = 700 };
    static lcf_ranker_row rows[N];
    static uint32_t histories[N][LCF_HISTORY_MAX];
    static float shared[N], own[N];
    fixture f;

    (void)state;
    fixture_open(&f, "ict");
    for (size_t i = 0; i < N; i++) {
        rows[i] = f.world.rows[i % f.world.rows_n];
        rows[i].history = f.world.rows[0].history;
        rows[i].history_n = f.world.rows[0].history_n;
    }
    score(shared, &f, f.ranker, rows, N);
    for (size_t i = 0; i < N; i++) {
        memcpy(histories[i], rows[i].history, rows[i].history_n * sizeof(uint32_t));
        rows[i].history = histories[i];
    }
    score(own, &f, f.ranker, rows, N);
    assert_near(shared, own, N);
    fixture_close(&f);
}

static void test_examples(void **state)
{
    uint32_t reversed[LCF_EXAMPLES_K_MAX],
        none[] = {LCF_EXAMPLE_NONE, LCF_EXAMPLE_NONE, LCF_EXAMPLE_NONE, LCF_EXAMPLE_NONE};
    float a, b;
    lcf_ranker_row row;
    fixture f;

    (void)state;
    fixture_open(&f, "ict");
    row = f.world.rows[0];
    for (size_t i = 0; i < 4; i++)
        reversed[i] = row.examples[3 - i];
    score(&a, &f, f.ranker, &row, 1);
    row.examples = reversed;
    score(&b, &f, f.ranker, &row, 1);
    assert_true(a == b); /* the order is that of the keys */
    row.examples = NULL;
    score(&b, &f, f.ranker, &row, 1);
    assert_true(a != b);
    row.examples = none;
    score(&a, &f, f.ranker, &row, 1);
    assert_true(a == b);
    fixture_close(&f);
}

/* Ids far out of range are unknown ones; of a long history the latest items count. */
static void test_unknown(void **state)
{
    uint32_t history[LCF_HISTORY_MAX + 3] = {9, 9, 9};
    lcf_ranker_row row;
    float a, b;
    fixture f;

    (void)state;
    fixture_open(&f, "ict");
    for (size_t i = 0; i < LCF_HISTORY_MAX; i++)
        history[3 + i] = 1 + i % 8;
    row = f.world.rows[0];
    row.user = row.item = UINT32_MAX;
    row.history = history;
    row.history_n = LCF_HISTORY_MAX + 3;
    score(&a, &f, f.ranker, &row, 1);
    row.user = row.item = 0;
    row.history = history + 3;
    row.history_n = LCF_HISTORY_MAX;
    score(&b, &f, f.ranker, &row, 1);
    assert_true(a == b);
    history[3] = UINT32_MAX;
    score(&a, &f, f.ranker, &row, 1);
    history[3] = 0;
    score(&b, &f, f.ranker, &row, 1);
    assert_true(a == b);
    row.history++;
    row.history_n--;
    score(&a, &f, f.ranker, &row, 1);
    assert_true(a == b); /* an unknown item is left out */
    fixture_close(&f);
}

/* ---- gradients ---- */

/* The total loss; gradients where `grads` is given. */
static double loss_of(fixture *f, lcf_grads *grads)
{
    const ranker_world *w = &f->world;
    lcf_tensor *logits, *rec, *loss;

    lcf_grads_zero(grads);
    lcf_tape_reset(f->tape, true);
    lcf_ranker_forward(&logits, &rec, f->tape, f->ranker, grads, &w->source, w->rows, w->rows_n,
                       NULL);
    loss = lcf_op_bce_with_logits(f->tape, logits, w->labels, NULL, (float)w->rows_n);
    loss = lcf_op_add(f->tape, loss, rec);
    lcf_tape_backward(f->tape, loss);
    assert_int_equal(lcf_tape_status(f->tape), LCF_OK);
    return (double)loss->data[0];
}

/* The loss with one parameter moved by `distance` along its gradient. */
static double moved(fixture *f, lcf_grads *scratch, const lcf_param *param, const float *gradient,
                    double norm, double distance)
{
    float *values = lcf_ranker_params(f->ranker)->values + param->offset;
    float *origin = malloc(param->n * sizeof(float));
    double loss;

    memcpy(origin, values, param->n * sizeof(float));
    for (size_t i = 0; i < param->n; i++)
        values[i] += (float)(distance * (double)gradient[i] / norm);
    loss = loss_of(f, scratch);
    memcpy(values, origin, param->n * sizeof(float));
    free(origin);
    return loss;
}

/* Slope of the loss along each parameter's gradient: by differences, it must be the gradient's
 * norm. */
static void test_finite_differences(void **state)
{
    const double step = 5e-4; /* short, for ReLU has kinks */
    lcf_params *p;
    lcf_grads g, scratch;
    fixture f;

    (void)state;
    fixture_open(&f, "ict");
    p = lcf_ranker_params(f.ranker);
    assert_int_equal(lcf_grads_init(&g, p, NULL), LCF_OK);
    assert_int_equal(lcf_grads_init(&scratch, p, NULL), LCF_OK);
    loss_of(&f, &g);
    for (size_t i = 0; i < p->list_n; i++) {
        const lcf_param *param = &p->list[i];
        const float *gradient = g.values + param->offset;
        double square = 0.0, norm, slope;

        for (size_t j = 0; j < param->n; j++)
            square += (double)gradient[j] * (double)gradient[j];
        norm = sqrt(square);
        assert_true(norm > 0.0); /* every parameter matters */
        slope = (moved(&f, &scratch, param, gradient, norm, step) -
                 moved(&f, &scratch, param, gradient, norm, -step)) /
                (2.0 * step);
        if (!(fabs(slope - norm) <= 0.02 * norm + 5e-4))
            fail_msg("%s: slope %.6f by differences, %.6f by gradients", param->name, slope, norm);
    }
    lcf_grads_dispose(&g);
    lcf_grads_dispose(&scratch);
    fixture_close(&f);
}

/* ---- weights files ---- */

static void assert_same_files(const char *a, const char *b)
{
    lcf_buf x = LCF_BUF_INIT, y = LCF_BUF_INIT;

    assert_int_equal(lcf_file_read(&x, a, SIZE_MAX, NULL), LCF_OK);
    assert_int_equal(lcf_file_read(&y, b, SIZE_MAX, NULL), LCF_OK);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    lcf_buf_dispose(&x);
    lcf_buf_dispose(&y);
}

static void check_round_trip(const char *arm)
{
    float before[ROWS_MAX], after[ROWS_MAX];
    lcf_ranker *opened;
    lcf_err err = LCF_ERR_INIT;
    fixture f;

    fixture_open(&f, arm);
    score(before, &f, f.ranker, f.world.rows, f.world.rows_n);
    if (lcf_ranker_save(f.ranker, PATH, &err) || lcf_ranker_open(&opened, PATH, &err))
        fail_msg("%s", err.text);
    score(after, &f, opened, f.world.rows, f.world.rows_n);
    assert_memory_equal(before, after, f.world.rows_n * sizeof(float));
    assert_int_equal(lcf_ranker_save(opened, PATH ".again", NULL), LCF_OK);
    assert_same_files(PATH, PATH ".again");
    remove(PATH ".again");
    lcf_ranker_free(opened);
    fixture_close(&f);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; ranker_world_arm(i); i++)
        check_round_trip(ranker_world_arm(i));
}

static void assert_refused(const char *path)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_ranker *r = (lcf_ranker *)&err;

    assert_int_not_equal(lcf_ranker_open(&r, path, &err), LCF_OK);
    assert_null(r);
    assert_true(err.text[0] != '\0');
}

/* Refused, or not different: between two arrays are bytes that nobody reads. True when refused. */
static bool is_refused(fixture *f, const float *scores)
{
    lcf_err err = LCF_ERR_INIT;
    float again[ROWS_MAX];
    lcf_ranker *r;

    if (lcf_ranker_open(&r, PATH, &err)) {
        assert_null(r);
        assert_true(err.text[0] != '\0');
        return true;
    }
    score(again, f, r, f->world.rows, f->world.rows_n);
    assert_memory_equal(again, scores, f->world.rows_n * sizeof(*scores));
    lcf_ranker_free(r);
    return false;
}

/* A byte changed anywhere, or bytes missing at the end. */
static void test_damaged(void **state)
{
    lcf_buf bytes = LCF_BUF_INIT;
    size_t tried = 0, refused = 0;
    float scores[ROWS_MAX];
    fixture f;

    (void)state;
    fixture_open(&f, "ict");
    assert_int_equal(lcf_ranker_save(f.ranker, PATH, NULL), LCF_OK);
    assert_int_equal(lcf_file_read(&bytes, PATH, SIZE_MAX, NULL), LCF_OK);
    score(scores, &f, f.ranker, f.world.rows, f.world.rows_n);
    for (size_t at = 0; at < bytes.len; at += 1 + bytes.len / 97) {
        bytes.data[at] ^= 0x10;
        assert_int_equal(lcf_file_write(PATH, bytes.data, bytes.len, NULL), LCF_OK);
        bytes.data[at] ^= 0x10;
        refused += is_refused(&f, scores);
        tried++;
        assert_int_equal(lcf_file_write(PATH, bytes.data, at, NULL), LCF_OK);
        assert_refused(PATH);
    }
    assert_true(refused >= tried / 2);
    lcf_buf_dispose(&bytes);
    fixture_close(&f);
}

/* A whole bundle whose configuration is not that of its weights. */
static void write_with_config(const fixture *f, const char *config)
{
    lcf_bundle_writer *w;

    assert_int_equal(lcf_bundle_create(&w, PATH, "ranker", 2, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_add_text(w, "config", config, NULL), LCF_OK);
    assert_int_equal(lcf_checkpoint_add(w, lcf_ranker_params(f->ranker), NULL, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_commit(w, NULL), LCF_OK);
}

static char *saved_config(const fixture *f)
{
    lcf_bundle *bundle;
    char *text = NULL;

    assert_int_equal(lcf_ranker_save(f->ranker, PATH, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_open(&bundle, PATH, "ranker", 2, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_get_text(&text, bundle, "config", NULL), LCF_OK);
    lcf_bundle_close(bundle);
    return text;
}

static void test_config_of_file(void **state)
{
    const char *const changes[][2] = {
        {"\"users_n\":6", "\"users_n\":4000000000"},
        {"\"users_n\":6", "\"users_n\":7"},
        {"\"users_n\":6", "\"users_n\":-6"},
        {"\"users_n\":6", "\"users_n\":0"},
        {"\"dim\":8", "\"dim\":7"},
        {"\"heads_n\":2", "\"heads_n\":3"},
        {"\"layers_n\":2", "\"layers_n\":9"},
        {"\"k\":4", "\"k\":17"},
        {"\"side\":\"ict\"", "\"side\":\"none\""},
        {"\"side\":\"ict\"", "\"side\":\"itc\""},
        {"\"side\":\"ict\"", "\"side\":1"},
        {"\"backbone\":\"din\"", "\"backbone\":\"dim\""},
        {"\"backbone\"", "\"bone\""},
        {"\"backbone\":\"din\"", "\"backbone\":\"lr\",\"head_norm\":true"},
        {"\"cot_dim\":10", "\"cot_dim\":12"},
        {"\"dropout\":0.0", "\"dropout\":1.0"},
        {"\"k\":4", "\"no_k\":4"},
        {"{", "["},
    };
    fixture f;
    lcf_ranker *r;
    char *text;

    (void)state;
    fixture_open(&f, "ict");
    text = saved_config(&f);
    write_with_config(&f, text);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        lcf_buf changed = LCF_BUF_INIT;
        size_t at = 0;

        while (text[at] && strncmp(text + at, changes[i][0], strlen(changes[i][0])) != 0)
            at++;
        assert_true(text[at] != '\0');
        lcf_buf_append(&changed, text, at);
        lcf_buf_append_text(&changed, changes[i][1]);
        lcf_buf_append_text(&changed, text + at + strlen(changes[i][0]));
        write_with_config(&f, lcf_buf_text(&changed));
        assert_refused(PATH);
        assert_int_equal(lcf_ranker_open(&r, PATH, NULL), LCF_EFORMAT);
        lcf_buf_dispose(&changed);
    }
    free(text);
    fixture_close(&f);
}

/*
 * The example of schemas/ranker_weights.md: the weights that seed 7 gives a tiny configuration.
 * With LCF_WRITE_EXAMPLES in the environment it is written anew.
 */
static void test_schema_example(void **state)
{
    lcf_ranker_config c = LCF_RANKER_CONFIG_INIT;
    const char *root = getenv("LCF_SOURCE_DIR");
    lcf_buf path = LCF_BUF_INIT;
    lcf_ranker *made, *read;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    c.side = "ict";
    c.users_n = c.items_n = 3;
    c.brands_n = c.categories_n = 2;
    c.text_dim = c.cot_dim = c.dim = 4;
    c.att_hidden[0] = c.att_hidden[1] = c.head_hidden[0] = c.head_hidden[1] = 2;
    c.text_hidden = c.x_hidden = c.ffn_hidden = 2;
    c.layers_n = 1;
    assert_int_equal(lcf_ranker_create(&made, &c, 7, NULL), LCF_OK);
    lcf_buf_printf(&path, "%s/schemas/examples/ranker_weights.lcf", root ? root : ".");
    if (getenv("LCF_WRITE_EXAMPLES"))
        assert_int_equal(lcf_ranker_save(made, lcf_buf_text(&path), NULL), LCF_OK);
    if (lcf_ranker_open(&read, lcf_buf_text(&path), &err))
        fail_msg("%s", err.text);
    assert_int_equal(lcf_ranker_config_of(read)->ffn_hidden, 2);
    assert_memory_equal(lcf_ranker_params(read)->values, lcf_ranker_params(made)->values,
                        lcf_ranker_params(made)->values_n * sizeof(float));
    lcf_ranker_free(made);
    lcf_ranker_free(read);
    lcf_buf_dispose(&path);
}

/* ---- what does not fit ---- */

static void test_create_config(void **state)
{
    fixture f;
    lcf_ranker_config c;
    lcf_ranker *r, *again;

    (void)state;
    fixture_open(&f, "ict");
    c = *lcf_ranker_config_of(f.ranker);
    assert_int_equal(lcf_ranker_create(&r, &c, 7, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_create(&again, &c, 7, NULL), LCF_OK);
    assert_memory_equal(lcf_ranker_params(r)->values, lcf_ranker_params(again)->values,
                        lcf_ranker_params(r)->values_n * sizeof(float));
    lcf_ranker_free(r);
    lcf_ranker_free(again);
    c.cot_dim++;
    assert_int_equal(lcf_ranker_create(&r, &c, 7, NULL), LCF_EINVAL);
    c = *lcf_ranker_config_of(f.ranker);
    c.dropout = NAN;
    assert_int_equal(lcf_ranker_create(&r, &c, 7, NULL), LCF_EINVAL);
    fixture_close(&f);
}

/* A graph is needed, and one in a file is looked at before it is used. */
static void test_graph(void **state)
{
    static const struct {
        uint32_t begin[7], item[3];
        bool good;
    } files[] = {{{0, 0, 2, 2, 2, 2, 3}, {3, 5, 2}, true},
                 {{0, 1, 2, 2, 2, 2, 3}, {3, 5, 2}, false}, /* an edge of the unknown user */
                 {{0, 0, 2, 2, 2, 2, 3}, {0, 5, 2}, false}, /* of the unknown item */
                 {{0, 0, 2, 2, 2, 2, 3}, {3, 9, 2}, false}, /* of an item beyond the table */
                 {{0, 0, 2, 2, 2, 2, 3}, {5, 3, 2}, false},
                 {{0, 0, 2, 2, 2, 2, 3}, {3, 3, 2}, false},
                 {{0, 0, 2, 1, 2, 2, 3}, {3, 5, 2}, false},
                 {{0, 0, 2, 4, 4, 4, 3}, {3, 5, 2}, false},
                 {{0, 0, 2, 2, 2, 2, 2}, {3, 5, 2}, false}};
    fixture f;

    (void)state;
    fixture_open(&f, "lightgcn");
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *config = saved_config(&f);
        lcf_bundle_writer *w;
        lcf_ranker *r;

        assert_int_equal(lcf_bundle_create(&w, PATH, "ranker", 2, NULL), LCF_OK);
        assert_int_equal(lcf_bundle_add_text(w, "config", config, NULL), LCF_OK);
        assert_int_equal(lcf_checkpoint_add(w, lcf_ranker_params(f.ranker), NULL, NULL), LCF_OK);
        assert_int_equal(lcf_bundle_add_1d(w, "graph.begin", LCF_U32, 7, files[i].begin, NULL),
                         LCF_OK);
        assert_int_equal(lcf_bundle_add_1d(w, "graph.item", LCF_U32, 3, files[i].item, NULL),
                         LCF_OK);
        assert_int_equal(lcf_bundle_commit(w, NULL), LCF_OK);
        free(config);
        if (!files[i].good) {
            assert_refused(PATH);
            continue;
        }
        assert_int_equal(lcf_ranker_open(&r, PATH, NULL), LCF_OK);
        lcf_ranker_free(r);
    }
    fixture_close(&f);
    fixture_open(&f, "lightgcn");
    lcf_ranker_free(f.ranker);
    {
        const lcf_ranker_config config = ranker_world_config(&f.world);

        assert_int_equal(lcf_ranker_create(&f.ranker, &config, 1, NULL), LCF_OK);
    }
    assert_int_equal(lcf_ranker_check_source(f.ranker, &f.world.source, NULL), LCF_EINVAL);
    assert_int_equal(lcf_ranker_save(f.ranker, PATH, NULL), LCF_EINVAL);
    fixture_close(&f);
}

/* An item that a request describes does not make the graph's vectors anew: those that are frozen
 * answer for it, too, whatever has become of the tables. */
static void test_graph_of_described(void **state)
{
    const lcf_ranker_item item = {0};
    lcf_ranker_source source;
    lcf_ranker_row rows[2];
    float before[2], after[2];
    fixture f;

    (void)state;
    fixture_open(&f, "lightgcn");
    source = f.world.source;
    source.described = &item;
    source.described_n = 1;
    rows[0] = rows[1] = f.world.rows[0];
    rows[1].item = f.world.catalogue.items_n;
    assert_int_equal(lcf_ranker_score(before, f.tape, f.ranker, &source, rows, 2, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_freeze(f.ranker, &f.world.source, NULL), LCF_OK);
    memset(lcf_ranker_params(f.ranker)->values, 0,
           lcf_ranker_params(f.ranker)->values_n * sizeof(float));
    assert_int_equal(lcf_ranker_score(after, f.tape, f.ranker, &source, rows, 2, NULL), LCF_OK);
    assert_near(after, before, 2);
    assert_true(fabsf(before[0] - before[1]) > 1e-4f);
    fixture_close(&f);
}

/* What a graph makes of users and items is what the scores are made of. */
static void test_graph_vectors(void **state)
{
    const lcf_ranker_config *c;
    lcf_tensor *logits;
    float *users, *items;
    fixture f;

    (void)state;
    fixture_open(&f, "lightgcn");
    c = lcf_ranker_config_of(f.ranker);
    users = lcf_alloc((size_t)c->users_n * c->dim, sizeof(*users));
    items = lcf_alloc((size_t)c->items_n * c->dim, sizeof(*items));
    assert_int_equal(lcf_ranker_graph_vectors(users, items, f.ranker, NULL), LCF_OK);
    lcf_tape_reset(f.tape, false);
    lcf_ranker_forward(&logits, NULL, f.tape, f.ranker, NULL, &f.world.source, f.world.rows,
                       f.world.rows_n, NULL);
    for (size_t i = 0; i < f.world.rows_n; i++) {
        const uint32_t user = f.world.rows[i].user, item = f.world.rows[i].item;
        float dot = 0;

        for (uint32_t j = 0; j < c->dim && user < c->users_n && item < c->items_n; j++)
            dot += users[user * c->dim + j] * items[item * c->dim + j];
        assert_float_equal(dot, logits->data[i], 1e-5);
    }
    free(users);
    free(items);
    fixture_close(&f);
    fixture_open(&f, "mf");
    assert_int_equal(lcf_ranker_graph_vectors(NULL, NULL, f.ranker, NULL), LCF_EINVAL);
    fixture_close(&f);
}

static void test_source(void **state)
{
    lcf_ranker_source source;
    lcf_embeddings vectors;
    lcf_examples examples;
    fixture f;

    (void)state;
    fixture_open(&f, "ict");
    source = f.world.source;
    vectors = f.world.item_vectors;
    examples = f.world.examples;
    source.item_vectors = &vectors;
    source.examples = &examples;
    assert_int_equal(lcf_ranker_check_source(f.ranker, &source, NULL), LCF_OK);
    vectors.n--;
    assert_int_equal(lcf_ranker_check_source(f.ranker, &source, NULL), LCF_EINVAL);
    vectors.n++;
    vectors.dim++;
    assert_int_equal(lcf_ranker_check_source(f.ranker, &source, NULL), LCF_EINVAL);
    vectors.dim--;
    examples.cot_dim++;
    assert_int_equal(lcf_ranker_check_source(f.ranker, &source, NULL), LCF_EINVAL);
    source.examples = NULL;
    assert_int_equal(lcf_ranker_check_source(f.ranker, &source, NULL), LCF_EINVAL);
    fixture_close(&f);
}

/* An item that is newer than the weights has the vector that was given, and none of what others
 * were trained to add to theirs. */
static void test_vectors_newer_than_weights(void **state)
{
    enum { WIDTH = 3, TRAINED = 2 };
    static lcf_fields fields = {
        .n = 1,
        .list = {
            {.name = "look", .owner = LCF_FIELD_ITEM, .kind = LCF_FIELD_VECTOR, .dim = WIDTH}}};
    float vectors[16 * WIDTH], all[ROWS_MAX], few[ROWS_MAX];
    lcf_ranker_config c;
    lcf_ranker_source source;
    fixture f;

    (void)state;
    fixture_open(&f, "din");
    assert_in_range(f.world.catalogue.items_n, TRAINED + 2, 16);
    for (size_t i = 0; i < 16 * WIDTH; i++)
        vectors[i] = (float)(i % 7) / 7.0f;
    fields.list[0].entities_n = f.world.catalogue.items_n;
    fields.list[0].vectors = vectors;
    source = f.world.source;
    source.fields = &fields;
    c = *lcf_ranker_config_of(f.ranker);
    lcf_ranker_config_fields(&c, &fields);
    for (size_t i = 0; i < 2; i++) { /* what is added starts at zero: the scores are the same */
        lcf_ranker *r;

        c.fields[0].rows = i ? TRAINED : f.world.catalogue.items_n;
        assert_int_equal(lcf_ranker_create(&r, &c, 7, NULL), LCF_OK);
        assert_int_equal(
            lcf_ranker_score(i ? few : all, f.tape, r, &source, f.world.rows, f.world.rows_n, NULL),
            LCF_OK);
        lcf_ranker_free(r);
    }
    assert_memory_equal(few, all, f.world.rows_n * sizeof(*all));
    fixture_close(&f);
}

/* ---- memory that runs out ---- */

typedef lcf_status (*attempt)(fixture *f);

static lcf_status try_open(fixture *f)
{
    lcf_ranker *r;
    lcf_status status = lcf_ranker_open(&r, PATH, NULL);

    (void)f;
    lcf_ranker_free(r);
    return status;
}

static lcf_status try_create(fixture *f)
{
    lcf_ranker *r;
    lcf_status status = lcf_ranker_create(&r, lcf_ranker_config_of(f->ranker), 1, NULL);

    lcf_ranker_free(r);
    return status;
}

static lcf_status try_save(fixture *f)
{
    return lcf_ranker_save(f->ranker, PATH, NULL);
}

static lcf_status try_freeze(fixture *f)
{
    lcf_status status = lcf_ranker_freeze(f->ranker, &f->world.source, NULL);

    lcf_ranker_thaw(f->ranker);
    return status;
}

static lcf_status try_score(fixture *f)
{
    float scores[ROWS_MAX];
    lcf_tape *tape;
    lcf_status status = lcf_tape_create(&tape, NULL);

    if (status)
        return status;
    status = lcf_ranker_score(scores, tape, f->ranker, &f->world.source, f->world.rows,
                              f->world.rows_n, NULL);
    lcf_tape_free(tape);
    return status;
}

static void check_memory(const char *arm)
{
    const attempt attempts[] = {try_save, try_open, try_create, try_freeze, try_score};
    fixture f;

    fixture_open(&f, arm);
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        uint64_t failed = 0;

        for (;; failed++) {
            lcf_status status;

            assert_true(failed < 1000);
            lcf_alloc_fail_at(failed + 1);
            status = attempts[i](&f);
            lcf_alloc_fail_at(0);
            if (!status)
                break;
            assert_int_equal(status, LCF_ENOMEM);
        }
        assert_true(failed > 0 || attempts[i] == try_freeze); /* nothing to freeze */
    }
    fixture_close(&f);
}

static void test_memory(void **state)
{
    (void)state;
    for (size_t i = 0; ranker_world_arm(i); i++)
        check_memory(ranker_world_arm(i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_shared_history),
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_config_of_file),
        cmocka_unit_test(test_schema_example),
        cmocka_unit_test(test_create_config),
        cmocka_unit_test(test_graph),
        cmocka_unit_test(test_graph_vectors),
        cmocka_unit_test(test_graph_of_described),
        cmocka_unit_test(test_source),
        cmocka_unit_test(test_vectors_newer_than_weights),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
