/*
 * The faster way of inference against the definition on a tape: random models, random requests,
 * every instruction set of this processor. Weights are large enough that every part moves the
 * score.
 */
#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "tests/parity/ranker_world.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODELS 12 /* per instruction set */
#define ROWS_MAX 90
#define TOLERANCE 1e-5f

static lcf_rng g_rng;

static uint32_t between(uint32_t low, uint32_t high)
{
    return low + (uint32_t)lcf_rng_below(&g_rng, high - low + 1);
}

/* Fields of the data's own, one of each owner and one of vectors: what there is of an entity
 * depends on its index alone. */
enum { ENTITIES = 16, OWN_ROWS = 5, WIDTH = 3 };

static uint64_t g_offsets[ENTITIES + 1];
static uint32_t g_ids[2 * ENTITIES];
static float g_vectors[ENTITIES * WIDTH];
static lcf_fields g_fields;

static void make_fields(void)
{
    const lcf_field ids = {.kind = LCF_FIELD_MULTI,
                           .table_rows = OWN_ROWS,
                           .entities_n = ENTITIES,
                           .offsets = g_offsets,
                           .ids = g_ids};

    for (uint32_t i = 0; i < ENTITIES; i++) { /* 0, 1 or 2 ids */
        g_offsets[i + 1] = g_offsets[i];
        for (uint32_t j = 0; j < i % 3; j++)
            g_ids[g_offsets[i + 1]++] = 1 + (i + j) % (OWN_ROWS - 1);
    }
    for (uint32_t i = 0; i < ENTITIES * WIDTH; i++)
        g_vectors[i] = (float)(i % 7) / 3.0f - 1.0f;
    g_fields.n = 4;
    for (size_t i = 0; i < 3; i++) {
        g_fields.list[i] = ids;
        g_fields.list[i].owner = (lcf_field_owner)i;
        memcpy(g_fields.list[i].name, "own", 4);
    }
    g_fields.list[3] = (lcf_field){.name = "look",
                                   .owner = LCF_FIELD_ITEM,
                                   .kind = LCF_FIELD_VECTOR,
                                   .dim = WIDTH,
                                   .entities_n = ENTITIES,
                                   .vectors = g_vectors};
}

static lcf_ranker_config random_config(const ranker_world *w, const char *side)
{
    lcf_ranker_config c = ranker_world_config(w);

    c.side = side;
    c.heads_n = between(1, 4);
    c.dim = 2 * c.heads_n * between(1, 10);
    c.k = between(1, 8);
    c.layers_n = between(1, 3);
    c.att_hidden[0] = between(1, 70);
    c.att_hidden[1] = between(1, 20);
    c.head_hidden[0] = between(1, 70);
    c.head_hidden[1] = between(1, 40);
    c.text_hidden = between(1, 40);
    c.x_hidden = between(1, 70);
    c.ffn_hidden = between(1, 70);
    c.history_labels = between(0, 1);
    c.head_norm = between(0, 1);
    lcf_ranker_config_fields(&c, between(0, 1) ? &g_fields : NULL);
    c.order = between(0, 1) ? LCF_ORDER_SIMILARITY : LCF_ORDER_KEY; /* this world has no times */
    return c;
}

static void enlarge(lcf_params *p)
{
    for (size_t i = 0; i < p->list_n; i++) {
        const float factor = strstr(p->list[i].name, "table") ? 40.0f : 1.6f;
        const bool from_zero = /* nothing to enlarge */
            strstr(p->list[i].name, "norm.mean") || strstr(p->list[i].name, "look.table");

        for (size_t j = 0; j < p->list[i].n; j++)
            lcf_params_value(p, i)[j] *= factor;
        for (size_t j = 0; from_zero && j < p->list[i].n; j++)
            lcf_params_value(p, i)[j] = 0.3f * (float)lcf_rng_normal(&g_rng);
        for (size_t j = 0; j < p->list[i].n && strstr(p->list[i].name, "norm.variance"); j++)
            lcf_params_value(p, i)[j] = 0.2f + lcf_rng_f32(&g_rng);
    }
}

typedef struct request {
    lcf_ranker_row rows[ROWS_MAX];
    uint32_t histories[ROWS_MAX][LCF_HISTORY_MAX], examples[ROWS_MAX][LCF_EXAMPLES_K_MAX];
    uint8_t labels[ROWS_MAX][LCF_HISTORY_MAX];
    size_t n;
} request;

/* Rows of few users and few examples, so that they share; unknown and absent ones among them. */
static void random_request(request *q, const ranker_world *w, const lcf_ranker_config *c)
{
    const uint32_t items_n = w->catalogue.items_n, examples_n = (uint32_t)w->examples.n;
    const uint32_t first = between(0, examples_n - 1), span = between(1, examples_n);

    q->n = between(1, ROWS_MAX);
    for (size_t i = 0; i < q->n; i++) {
        lcf_ranker_row *row = &q->rows[i];

        row->item = between(0, 9) ? between(0, items_n + 1) : UINT32_MAX;
        if (i && between(0, 9)) {
            row->user = row[-1].user;
            row->history = row[-1].history;
            row->history_n = row[-1].history_n;
            row->history_labels = row[-1].history_labels;
        } else {
            row->user = between(0, c->users_n + 1);
            row->history = q->histories[i];
            row->history_n = between(0, LCF_HISTORY_MAX);
            row->history_labels = between(0, 3) ? q->labels[i] : NULL;
            for (uint32_t j = 0; j < row->history_n; j++) {
                q->histories[i][j] = between(0, items_n);
                q->labels[i][j] = (uint8_t)between(0, LCF_EVENT_LABELS_N);
            }
        }
        row->context = between(0, ENTITIES);
        row->examples = between(0, 9) ? q->examples[i] : NULL;
        for (uint32_t j = 0; j < c->k; j++)
            q->examples[i][j] =
                between(0, 5) ? (first + between(0, span - 1)) % examples_n : LCF_EXAMPLE_NONE;
    }
}

static void score(float *scores, const lcf_ranker *r, const ranker_world *w, lcf_tape *tape,
                  const lcf_ranker_row *rows, size_t n)
{
    lcf_err err = LCF_ERR_INIT;

    if (lcf_ranker_score(scores, tape, r, &w->source, rows, n, &err))
        fail_msg("%s", err.text);
}

static void check_request(const lcf_ranker *r, const request *q, const float *wanted,
                          const ranker_world *w, lcf_tape *tape)
{
    const lcf_ranker_config *c = lcf_ranker_config_of(r);
    float got[ROWS_MAX], alone;

    score(got, r, w, tape, q->rows, q->n);
    for (size_t i = 0; i < q->n; i++)
        if (!(fabsf(got[i] - wanted[i]) <= TOLERANCE))
            fail_msg("row %zu of %zu: %.8f, by the definition %.8f (%s, %s, dim %u, %u heads, %u "
                     "layers, k %u)",
                     i, q->n, (double)got[i], (double)wanted[i], c->backbone, c->side, c->dim,
                     c->heads_n, c->layers_n, c->k);
    for (size_t i = 0; i < q->n; i += 7) {
        score(&alone, r, w, tape, q->rows + i, 1);
        if (!(fabsf(alone - got[i]) <= 1e-6f))
            fail_msg("row %zu: %.9g alone, %.9g in company", i, (double)alone, (double)got[i]);
    }
}

/* One model, some requests; adds what the scores differ by from row to row. */
static double check_model(const ranker_world *w, const char *side, uint64_t seed)
{
    enum { REQUESTS = 3 };
    static request q[REQUESTS];
    static float wanted[REQUESTS][ROWS_MAX];
    const lcf_ranker_config c = random_config(w, side);
    double spread = 0;
    lcf_err err = LCF_ERR_INIT;
    lcf_ranker *r;
    lcf_tape *tape;

    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    if (lcf_ranker_create(&r, &c, seed, &err))
        fail_msg("%s", err.text);
    enlarge(lcf_ranker_params(r));
    for (size_t i = 0; i < REQUESTS; i++) {
        random_request(&q[i], w, &c);
        score(wanted[i], r, w, tape, q[i].rows, q[i].n);
        for (size_t j = 1; j < q[i].n; j++)
            spread += fabs((double)wanted[i][j] - (double)wanted[i][j - 1]);
    }
    if (lcf_ranker_freeze(r, &w->source, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < REQUESTS; i++)
        check_request(r, &q[i], wanted[i], w, tape);
    lcf_ranker_free(r);
    lcf_tape_free(tape);
    return spread;
}

static void check_side(const char *side)
{
    ranker_world w;
    double spread = 0;

    ranker_world_open(&w, "ict");
    assert_true(w.catalogue.items_n <= ENTITIES);
    w.source.fields = &g_fields;
    for (int level = LCF_SIMD_BASELINE; level <= (int)lcf_simd_best(); level++) {
        lcf_simd_force((lcf_simd_level)level);
        lcf_rng_seed(&g_rng, 11 + (uint64_t)level, 0);
        for (uint64_t i = 0; i < MODELS; i++)
            spread += check_model(&w, side, i);
    }
    assert_true(spread > MODELS); /* the scores are no constants */
    ranker_world_close(&w);
}

static void test_backbone_alone(void **state)
{
    (void)state;
    check_side("none");
}

static void test_ict(void **state)
{
    (void)state;
    check_side("ict");
}

static void test_text_match(void **state)
{
    (void)state;
    check_side("knrm");
    check_side("ict-knrm");
}

/* A plan is made of the weights that were there: thawed and frozen again, it is of the new ones. */
static void test_new_weights(void **state)
{
    ranker_world w;
    lcf_ranker *r;
    lcf_tape *tape;
    float before, frozen, after;

    (void)state;
    ranker_world_open(&w, "ict");
    r = ranker_world_ranker(&w);
    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_freeze(r, &w.source, NULL), LCF_OK);
    score(&before, r, &w, tape, w.rows, 1);
    enlarge(lcf_ranker_params(r));
    assert_int_equal(lcf_ranker_freeze(r, &w.source, NULL), LCF_OK);
    score(&frozen, r, &w, tape, w.rows, 1);
    lcf_ranker_thaw(r);
    score(&after, r, &w, tape, w.rows, 1);
    assert_true(fabsf(frozen - after) <= TOLERANCE);
    assert_true(fabsf(frozen - before) > TOLERANCE);
    lcf_ranker_free(r);
    lcf_tape_free(tape);
    ranker_world_close(&w);
}

/* Tokens from a file give the scores of those computed here, to the bit; those of other weights are
 * refused. */
static void test_tokens_of_a_file(void **state)
{
    ranker_world w;
    lcf_ranker *r;
    lcf_tape *tape;
    float here[ROWS_MAX], there[ROWS_MAX];
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    ranker_world_open(&w, "ict");
    r = ranker_world_ranker(&w);
    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    assert_false(lcf_ranker_has_tokens(r));
    assert_int_equal(lcf_ranker_freeze(r, &w.source, NULL), LCF_OK);
    assert_true(lcf_ranker_has_tokens(r));
    score(here, r, &w, tape, w.rows, w.rows_n);
    assert_int_equal(lcf_ranker_save_tokens(r, "tokens.lcf", NULL), LCF_OK);
    if (lcf_ranker_freeze_from(r, &w.source, "tokens.lcf", &err))
        fail_msg("%s", err.text);
    score(there, r, &w, tape, w.rows, w.rows_n);
    assert_memory_equal(here, there, w.rows_n * sizeof(*here));
    enlarge(lcf_ranker_params(r));
    assert_int_equal(lcf_ranker_freeze_from(r, &w.source, "tokens.lcf", &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "other weights"));
    assert_false(lcf_ranker_has_tokens(r));
    assert_int_equal(lcf_ranker_freeze_from(r, &w.source, "no.lcf", &err), LCF_ENOENT);
    w.catalogue.items_n--;
    w.item_vectors.n--;
    assert_int_not_equal(lcf_ranker_freeze_from(r, &w.source, "tokens.lcf", &err), LCF_OK);
    lcf_ranker_free(r);
    lcf_tape_free(tape);
    ranker_world_close(&w);
}

/* What a source says of its user holds for rows as if the file said it, and not for examples: these
 * are of other users, and their tokens may be those that were computed before. */
static void check_given(const char *side)
{
    static const uint32_t given[] = {2, 4};
    uint64_t offsets[ENTITIES + 1];
    uint32_t ids[2 * ENTITIES];
    float plain[ROWS_MAX], wanted[ROWS_MAX], got[ROWS_MAX], frozen[ROWS_MAX];
    lcf_fields says = g_fields, everybody = g_fields;
    size_t differ = 0;
    lcf_ranker_config c;
    ranker_world w;
    lcf_ranker *r;
    lcf_tape *tape;

    ranker_world_open(&w, "ict");
    c = ranker_world_config(&w);
    c.side = side;
    lcf_ranker_config_fields(&c, &g_fields);
    for (uint32_t i = 0; i <= ENTITIES; i++)
        offsets[i] = 2 * i;
    for (uint32_t i = 0; i < 2 * ENTITIES; i++)
        ids[i] = given[i % 2];
    everybody.list[LCF_FIELD_USER].offsets = offsets;
    everybody.list[LCF_FIELD_USER].ids = ids;
    says.list[LCF_FIELD_USER].given = given;
    says.list[LCF_FIELD_USER].given_n = 2;
    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_create(&r, &c, 3, NULL), LCF_OK);
    lcf_rng_seed(&g_rng, 5, 0);
    enlarge(lcf_ranker_params(r));
    w.source.fields = &everybody;
    score(wanted, r, &w, tape, w.rows, w.rows_n);
    w.source.fields = &says;
    score(got, r, &w, tape, w.rows, w.rows_n);
    w.source.fields = &g_fields;
    score(plain, r, &w, tape, w.rows, w.rows_n);
    assert_int_equal(lcf_ranker_freeze(r, &w.source, NULL), LCF_OK);
    w.source.fields = &says;
    score(frozen, r, &w, tape, w.rows, w.rows_n);
    for (size_t i = 0; i < w.rows_n; i++) {
        assert_true(fabsf(got[i] - plain[i]) > TOLERANCE);
        assert_true(fabsf(got[i] - frozen[i]) <= TOLERANCE);
        differ += got[i] != wanted[i]; /* where the examples' users, too, are told otherwise */
    }
    assert_true((differ > 0) == !strcmp(side, "ict"));
    lcf_ranker_free(r);
    lcf_tape_free(tape);
    ranker_world_close(&w);
}

static void test_given_fields(void **state)
{
    (void)state;
    check_given("none");
    check_given("ict");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backbone_alone),   cmocka_unit_test(test_ict),
        cmocka_unit_test(test_text_match),       cmocka_unit_test(test_new_weights),
        cmocka_unit_test(test_tokens_of_a_file), cmocka_unit_test(test_given_fields),
    };

    make_fields();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
