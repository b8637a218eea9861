/*
 * Phase 1: what is trained on and what is not; that it learns what can be learned and is measured
 * on items that it did not see; the same bits at any number of threads and after a stop.
 */
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "offline/ilm/phase1.h"
#include "tests/unit/test.h"

#include <math.h>

/* ---- a world where texts follow from vectors ---- */

#define DIM 4
#define ITEMS 97 /* with the unknown */
#define USERS 17
#define TOKENS 3

/* An item's vector is a corner of a cube with noise, its text names the signs of three elements. */
typedef struct world {
    lcf_cf_vectors vectors;
    float values[(ITEMS + USERS) * DIM];
    uint32_t ids[ITEMS * TOKENS], offsets[ITEMS + 1];
    uint64_t hashes[ITEMS];
    phase1_data data;
} world;

static void add_item(phase1_items *items, uint32_t item)
{
    assert_int_equal(
        lcf_grow((void **)&items->list, &items->capacity, items->n + 1, sizeof(*items->list)),
        LCF_OK);
    items->list[items->n++] = item;
}

static void add_pair(phase1_pairs *pairs, uint32_t a, uint32_t b)
{
    assert_int_equal(
        lcf_grow((void **)&pairs->list, &pairs->capacity, pairs->n + 1, sizeof(*pairs->list)),
        LCF_OK);
    pairs->list[pairs->n++] = (phase1_pair){a, b};
}

static void make_item(world *w, uint32_t item, lcf_rng *rng)
{
    for (uint32_t i = 0; i < DIM; i++)
        w->values[item * DIM + i] =
            (item >> i & 1 ? 1.0f : -1.0f) + 0.2f * (float)lcf_rng_normal(rng);
    for (uint32_t i = 0; i < TOKENS; i++)
        w->ids[(item - 1) * TOKENS + i] = 2 * i + (item >> i & 1);
    w->offsets[item + 1] = item * TOKENS;
    w->hashes[item] = lcf_hash64(w->ids + (item - 1) * TOKENS, TOKENS * sizeof(*w->ids), 0);
    add_item(&w->data.known, item);
    add_item(&w->data.items[item / 16 % 3 == 2   ? LCF_TEST
                            : item / 16 % 3 == 1 ? LCF_VALID
                                                 : 0],
             item);
}

static void open_world(world *w)
{
    lcf_rng rng;

    memset(w, 0, sizeof(*w));
    lcf_rng_seed(&rng, 3, 0);
    w->vectors = (lcf_cf_vectors){
        .items_n = ITEMS, .users_n = USERS, .dim = DIM, .values = w->values, .scale = 1.0f};
    for (uint32_t i = 1; i < ITEMS; i++)
        make_item(w, i, &rng);
    for (uint32_t i = 0; i < ITEMS - 17; i++) /* an item of the same corner comes next */
        add_pair(&w->data.item_pairs[i % 3], i + 1, i + 17);
    for (uint32_t u = 1; u < USERS; u++) {
        for (uint32_t i = 0; i < DIM; i++)
            w->values[(ITEMS + u) * DIM + i] = u >> i & 1 ? 1.0f : -1.0f;
        add_pair(&w->data.user_pairs[u % 3], ITEMS + u, u);
    }
    w->data.vectors = &w->vectors;
    w->data.texts = (lcf_item_texts){ITEMS, {w->ids, ITEMS * TOKENS, 0}, w->offsets, w->hashes};
}

static void close_world(world *w)
{
    memset(&w->data.texts, 0, sizeof(w->data.texts)); /* the world's own */
    phase1_data_dispose(&w->data);
}

static lcf_qformer *make_model_with(float dropout)
{
    lcf_qformer_config c = LCF_QFORMER_CONFIG_INIT;
    lcf_qformer *m = NULL;

    c.layers = 2;
    c.hidden = 16;
    c.heads = 2;
    c.ffn = 32;
    c.queries = 2;
    c.item_dim = DIM;
    c.feature_dim = 8;
    c.vocab = 2 * TOKENS;
    c.text_max = TOKENS + 2;
    c.dropout = dropout;
    assert_int_equal(lcf_qformer_create(&m, &c, 1, NULL), LCF_OK);
    return m;
}

static lcf_qformer *make_model(void)
{
    return make_model_with(0.1f);
}

typedef struct stopper {
    uint32_t epochs_n;
} stopper;

static void told_step(void *arg)
{
    (void)arg;
}
static void told_epoch(void *arg, const phase1_result *so_far)
{
    ((stopper *)arg)->epochs_n = so_far->epochs_n;
}

static phase1_params quick(void)
{
    phase1_params p = PHASE1_PARAMS_INIT;

    p.batch = 8;
    p.warmup = 5;
    p.learning_rate = 5e-3;
    p.epochs_max = 2;
    p.threads = 1;
    return p;
}

static phase1_result *train(world *w, lcf_qformer *m, const phase1_params *p, const char *dir)
{
    phase1_result *r = lcf_alloc_zero(1, sizeof(*r));
    stopper s = {0};
    const phase1_watch watch = {told_step, told_epoch, &s};
    lcf_err err = LCF_ERR_INIT;

    assert_non_null(r);
    assert_ok(phase1_train(r, m, &w->data, p, dir, &watch, &err), &err);
    return r;
}

/* ---- it learns ---- */

static void test_learns(void **state)
{
    lcf_qformer *m = make_model();
    phase1_params p = quick();
    phase1_result *r;
    world w;

    (void)state;
    open_world(&w);
    p.epochs_max = 120;
    p.patience = 120;
    p.losses = (1u << PHASE1_LOSSES_N) - 1;
    r = train(&w, m, &p, NULL);
    assert_true(r->start.item_to_text_1 < 0.5);
    assert_true(r->test.item_to_text_1 > 0.9);
    assert_true(r->test.text_to_item_1 > 0.9);
    assert_true(r->start.losses[PHASE1_ITG] > 1.5 && r->test.losses[PHASE1_ITG] < 0.2);
    assert_true(r->test.losses[PHASE1_ITM] < 0.55); /* always "no": 0.64 */
    assert_true(r->test.losses[PHASE1_IIC] < r->start.losses[PHASE1_IIC]);
    assert_true(r->test.losses[PHASE1_UIC] < r->start.losses[PHASE1_UIC]);
    assert_true(r->test.neighbours > 0.3);
    for (uint32_t i = 0; i < r->epochs_n; i++)
        assert_true(r->epochs[i].criterion >= r->epochs[r->best_epoch - 1].criterion);
    free(r);
    lcf_qformer_free(m);
    close_world(&w);
}

/* Without validation pairs the training loss says which epoch is best, not the first one's zero. */
static void test_no_valid_pairs(void **state)
{
    lcf_qformer *m = make_model();
    phase1_params p = quick();
    phase1_result *r;
    world w;

    (void)state;
    open_world(&w);
    w.data.item_pairs[LCF_VALID].n = 0;
    p.epochs_max = 6;
    p.losses = PHASE1_BIT(PHASE1_IIC);
    r = train(&w, m, &p, NULL);
    assert_true(isnan(r->epochs[0].valid.losses[PHASE1_IIC]));
    for (uint32_t i = 0; i < r->epochs_n; i++) {
        assert_true(r->epochs[i].criterion == r->epochs[i].train[PHASE1_IIC]);
        assert_true(r->epochs[i].criterion >= r->epochs[r->best_epoch - 1].criterion);
    }
    assert_true(r->best_epoch > 1);
    free(r);
    lcf_qformer_free(m);
    close_world(&w);
}

/* ---- gradients against finite differences ---- */

static double loss_at(phase1_step *s, lcf_qformer *m, const phase1_batch *b, int loss,
                      const float *at, const float *direction, double size)
{
    lcf_params *p = lcf_qformer_params(m);
    double losses[PHASE1_LOSSES_N];

    for (size_t i = 0; i < p->values_n; i++)
        p->values[i] = at[i] + (float)size * direction[i];
    assert_int_equal(phase1_step_measure(losses, s, b, 0), LCF_OK);
    memcpy(p->values, at, p->values_n * sizeof(*at));
    return losses[loss];
}

/* Along the gradient, as far as it lies in a random half of the weights. */
static void check_direction(phase1_step *s, lcf_qformer *m, const phase1_batch *b, int loss,
                            lcf_rng *rng)
{
    const lcf_params *p = lcf_qformer_params(m);
    const float *gradient = phase1_step_grads(s)->values;
    float *at = lcf_alloc(p->values_n, sizeof(*at)), *d = lcf_alloc(p->values_n, sizeof(*d));
    const double size = 1e-3;
    double norm = 0, found;

    assert_true(at && d);
    memcpy(at, p->values, p->values_n * sizeof(*at));
    for (size_t i = 0; i < p->values_n; i++) {
        d[i] = lcf_rng_below(rng, 2) ? gradient[i] : 0.0f;
        norm += (double)d[i] * (double)d[i];
    }
    norm = sqrt(norm);
    assert_true(norm > 0.05);
    for (size_t i = 0; i < p->values_n; i++)
        d[i] = (float)((double)d[i] / norm);
    found = (loss_at(s, m, b, loss, at, d, size) - loss_at(s, m, b, loss, at, d, -size)) / size / 2;
    assert_true(fabs(found - norm) < 0.01 * norm);
    free(at);
    free(d);
}

/* Every loss alone. Of two rows the negatives are each other, whatever is drawn. */
static void test_gradients(void **state)
{
    static const uint32_t ITEMS_OF[] = {3, 5};
    static const phase1_pair ITEM_PAIRS[] = {{1, 17}, {2, 18}, {5, 21}, {7, 23}};
    static const phase1_pair USER_PAIRS[] = {
        {ITEMS + 1, 1}, {ITEMS + 2, 2}, {ITEMS + 6, 6}, {ITEMS + 12, 12}};
    phase1_step_options o = {
        .batch_max = 4, .adam = LCF_ADAM_OPTIONS_INIT, .seed = 1, .threads = 1};
    lcf_err err = LCF_ERR_INIT;
    world w;

    (void)state;
    open_world(&w);
    for (int loss = 0; loss < PHASE1_LOSSES_N; loss++) {
        const phase1_batch b = {.losses = PHASE1_BIT(loss),
                                .items = ITEMS_OF,
                                .items_n = 2,
                                .item_pairs = ITEM_PAIRS,
                                .user_pairs = USER_PAIRS,
                                .item_pairs_n = 4,
                                .user_pairs_n = 4};
        lcf_qformer *m = make_model_with(0.0f);
        lcf_params *p = lcf_qformer_params(m);
        double losses[PHASE1_LOSSES_N];
        phase1_step *s = NULL;
        lcf_rng rng;

        lcf_rng_seed(&rng, 7, (uint64_t)loss);
        for (size_t i = 0; i < p->list_n; i++)
            for (size_t j = 0; j < p->list[i].n && p->list[i].n > 1; j++) /* no temperature */
                p->values[p->list[i].offset + j] += 0.1f * (float)lcf_rng_normal(&rng);
        assert_ok(phase1_step_create(&s, m, &w.data, &o, &err), &err);
        assert_int_equal(phase1_step_train(losses, s, &b, 0.0f), LCF_OK);
        for (int half = 0; half < 4; half++)
            check_direction(s, m, &b, loss, &rng);
        phase1_step_free(s);
        lcf_qformer_free(m);
    }
    close_world(&w);
}

/* ---- the same bits ---- */

static void check_same(const lcf_qformer *a, const lcf_qformer *b)
{
    const lcf_params *p = lcf_qformer_params((lcf_qformer *)a);

    assert_memory_equal(p->values, lcf_qformer_params((lcf_qformer *)b)->values,
                        p->values_n * sizeof(*p->values));
}

static void test_threads(void **state)
{
    world w;

    (void)state;
    open_world(&w);
    for (int alternate = 0; alternate < 2; alternate++) {
        lcf_qformer *a = make_model(), *b = make_model();
        phase1_params p = quick();
        phase1_result *ra, *rb;

        p.losses = (1u << PHASE1_LOSSES_N) - 1;
        p.alternate = alternate;
        ra = train(&w, a, &p, NULL);
        p.threads = 3;
        rb = train(&w, b, &p, NULL);
        check_same(a, b);
        assert_memory_equal(&ra->test, &rb->test, sizeof(ra->test));
        free(ra);
        free(rb);
        lcf_qformer_free(a);
        lcf_qformer_free(b);
    }
    close_world(&w);
}

/* Ends the process in its third epoch, as a kill would: the checkpoint is the second's. */
static void killed_epoch(void *arg, const phase1_result *so_far)
{
    (void)arg;
    if (so_far->epochs_n == 3)
        _exit(0);
}

/* A run that is killed, in a process of its own. */
static void train_and_die(world *w, const phase1_params *p, const char *dir)
{
    if (test_in_dying_process()) {
        const phase1_watch watch = {told_step, killed_epoch, NULL};
        phase1_result *r = lcf_alloc_zero(1, sizeof(*r));

        if (r)
            (void)phase1_train(r, make_model(), &w->data, p, dir, &watch, NULL);
        _exit(1); /* it went on to its end */
    }
}

/* Two epochs, a kill, then two more from the checkpoint: as four at once. */
static void test_killed(void **state)
{
    lcf_qformer *a = make_model(), *b = make_model();
    char *dir = test_folder();
    phase1_params p = quick();
    phase1_result *whole, *again;
    world w;

    (void)state;
    open_world(&w);
    p.epochs_max = 4;
    whole = train(&w, a, &p, NULL);
    train_and_die(&w, &p, dir);
    again = train(&w, b, &p, dir);
    check_same(a, b);
    assert_memory_equal(whole, again, sizeof(*whole));
    free(whole);
    free(again);
    lcf_qformer_free(a);
    lcf_qformer_free(b);
    test_folder_remove(dir);
    close_world(&w);
}

/* What has ended is not done again. */
static void test_resume(void **state)
{
    lcf_qformer *a = make_model(), *b = make_model(), *c = make_model();
    char *dir = test_folder(), *path = lcf_path_join(dir, "epoch.lcf");
    phase1_params p = quick();
    phase1_result *whole, *again;
    world w;

    (void)state;
    open_world(&w);
    p.epochs_max = 4;
    whole = train(&w, a, &p, dir);
    again = train(&w, b, &p, dir); /* nothing is left to do */
    check_same(a, b);
    assert_memory_equal(whole, again, sizeof(*whole));
    free(again);
    /* What is damaged is not used, but says so and begins anew. */
    assert_int_equal(lcf_file_write(path, "damaged", 7, NULL), LCF_OK);
    again = train(&w, c, &p, dir);
    check_same(a, c);
    assert_memory_equal(whole, again, sizeof(*whole));
    free(again);
    free(whole);
    lcf_qformer_free(a);
    lcf_qformer_free(b);
    lcf_qformer_free(c);
    free(path);
    test_folder_remove(dir);
    close_world(&w);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    const phase1_watch watch = {told_step, told_epoch, &(stopper){0}};
    phase1_result *r = lcf_alloc_zero(1, sizeof(*r));
    lcf_qformer *m = make_model();
    phase1_params p = quick();
    lcf_err err = LCF_ERR_INIT;
    world w;

    (void)state;
    open_world(&w);
    w.data.user_pairs[LCF_TRAIN].n = w.data.item_pairs[LCF_TRAIN].n = 0;
    p.losses = PHASE1_BIT(PHASE1_UIC);
    assert_int_equal(phase1_train(r, m, &w.data, &p, NULL, &watch, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "uic needs"));
    p.losses = PHASE1_BIT(PHASE1_IIC);
    assert_int_equal(phase1_train(r, m, &w.data, &p, NULL, &watch, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "iic needs"));
    p.losses = 0;
    assert_int_equal(phase1_train(r, m, &w.data, &p, NULL, &watch, &err), LCF_EINVAL);
    p = quick();
    p.patience = 0;
    assert_int_equal(phase1_train(r, m, &w.data, &p, NULL, &watch, &err), LCF_EINVAL);
    p = quick();
    p.batch = 3;
    assert_int_equal(phase1_train(r, m, &w.data, &p, NULL, &watch, &err), LCF_EINVAL);
    free(r);
    lcf_qformer_free(m);
    close_world(&w);
}

/* ---- what is trained on ---- */

static void open_dataset(lcf_dataset *d)
{
    const char *root = getenv("LCF_SOURCE_DIR");
    char *dir = lcf_path_join(root ? root : ".", "schemas/examples/dataset");
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_dataset_open(d, dir, &err), &err);
    free(dir);
}

static bool in_training(const lcf_dataset *d, uint32_t item)
{
    for (size_t i = d->split_begin[LCF_TRAIN]; i < d->split_begin[LCF_TRAIN + 1]; i++)
        if (d->sample_item[i] == item)
            return true;
    return false;
}

/* True when a training row of label 1 says so; user is an entity. */
static bool liked_in_training(const lcf_dataset *d, const lcf_cf_vectors *v, phase1_pair p)
{
    for (size_t i = d->split_begin[LCF_TRAIN]; i < d->split_begin[LCF_TRAIN + 1]; i++)
        if (d->sample_label[i] && lcf_cf_user(v, d->sample_user[i]) == p.a &&
            d->sample_item[i] == p.b)
            return true;
    return false;
}

/* True when b follows a in the history of a training row. */
static bool follows_in_training(const lcf_dataset *d, phase1_pair p)
{
    for (size_t i = d->split_begin[LCF_TRAIN]; i < d->split_begin[LCF_TRAIN + 1]; i++)
        for (uint64_t j = d->user_offsets[d->sample_user[i]]; j + 1 < d->sample_history_end[i]; j++)
            if (d->event_item[j] == p.a && d->event_item[j + 1] == p.b)
                return true;
    return false;
}

static void test_nothing_leaks(void **state)
{
    lcf_cf_vectors v = {.dim = 1};
    lcf_err err = LCF_ERR_INIT;
    phase1_data data;
    lcf_dataset d;
    size_t pairs_n = 0;

    (void)state;
    open_dataset(&d);
    v.items_n = d.catalogue.items_n;
    v.users_n = d.users_n;
    assert_ok(phase1_data_create(&data, &d, &v, &err), &err);
    assert_int_equal(data.known.n + data.untrained_n, d.catalogue.items_n - 1);
    for (size_t i = 0; i < data.known.n; i++)
        assert_true(in_training(&d, data.known.list[i]));
    for (int part = 0; part < 3; part++) {
        for (size_t i = 0; i < data.item_pairs[part].n; i++) {
            const phase1_pair p = data.item_pairs[part].list[i];

            assert_true(follows_in_training(&d, p) && in_training(&d, p.a) && in_training(&d, p.b));
        }
        for (size_t i = 0; i < data.user_pairs[part].n; i++)
            assert_true(liked_in_training(&d, &v, data.user_pairs[part].list[i]));
        pairs_n += data.item_pairs[part].n + data.user_pairs[part].n;
    }
    assert_true(pairs_n > 0);
    phase1_data_dispose(&data);
    lcf_dataset_close(&d);
}

static void test_texts(void **state)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_tokenizer *tokenizer = NULL;
    lcf_err err = LCF_ERR_INIT;
    lcf_item_texts texts;
    lcf_dataset d;
    uint32_t items[2] = {1, 2};
    lcf_str title;

    (void)state;
    open_dataset(&d);
    title = lcf_strings_get(&d.catalogue.title, 1);
    lcf_item_text(&text, &d.catalogue, 1);
    assert_true(text.len > title.len && !memcmp(text.data, title.data, title.len));
    assert_ok(lcf_item_texts_tokenizer(&tokenizer, &d.catalogue, items, 2, 300, &err), &err);
    assert_ok(lcf_item_texts_create(&texts, &d.catalogue, tokenizer, 4, &err), &err);
    assert_int_equal(lcf_item_text_n(&texts, 0), 0); /* the unknown */
    for (uint32_t i = 1; i < d.catalogue.items_n; i++)
        assert_true(lcf_item_text_n(&texts, i) > 0 && lcf_item_text_n(&texts, i) <= 4);
    assert_true(texts.hashes[1] != texts.hashes[2]);
    lcf_item_texts_dispose(&texts);
    lcf_tokenizer_free(tokenizer);
    lcf_buf_dispose(&text);
    lcf_dataset_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),         cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_threads),        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_nothing_leaks),
        cmocka_unit_test(test_texts),          cmocka_unit_test(test_killed),
        cmocka_unit_test(test_no_valid_pairs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
