/* Lists of neighbours find what the definition finds, bit for bit, whatever the user, the time and
 * the rule; and they settle nearly everything. */
#include "tests/unit/test.h"

#include "common/base/mem.h"
#include "tests/unit/rank/world.h"

#include <math.h>

#define QUERIES_MAX 400
#define DIM_MAX 64

typedef struct fixture {
    char *dir;
    lcf_embeddings items;
    lcf_examples examples;
    lcf_neighbours neighbours;
    lcf_neighbours_scratch *scratch;
} fixture;

static void fixture_open_dim(fixture *f, size_t users_n, size_t items_n, size_t examples_max,
                             size_t dim)
{
    world_options options = WORLD_OPTIONS_INIT;
    char *path, *vectors, *examples;
    bool written;
    lcf_err err = LCF_ERR_INIT;

    options.users_n = users_n;
    options.items_n = items_n;
    options.rows_per_user = 12;
    options.text_dim = options.cot_dim = dim;
    options.examples_max = examples_max;
    memset(f, 0, sizeof(*f));
    f->dir = test_folder();
    path = lcf_path_join(f->dir, "neighbours.lcf");
    vectors = lcf_path_join(f->dir, "vectors/items.lcf");
    examples = lcf_path_join(f->dir, "examples");
    assert_ok(world_write(f->dir, &options, &err), &err);
    assert_ok(lcf_embeddings_open(&f->items, vectors, &err), &err);
    assert_ok(lcf_examples_open(&f->examples, examples, &err), &err);
    assert_ok(lcf_neighbours_save(&written, path, &f->items, &f->examples, &err), &err);
    assert_true(written);
    assert_ok(lcf_neighbours_open(&f->neighbours, path, f->items.n, &f->examples, &err), &err);
    assert_ok(
        lcf_neighbours_scratch_create(&f->scratch, &f->neighbours, &f->examples, QUERIES_MAX, &err),
        &err);
    free(path);
    free(vectors);
    free(examples);
}

static void fixture_open(fixture *f, size_t users_n, size_t items_n, size_t examples_max)
{
    fixture_open_dim(f, users_n, items_n, examples_max, 16);
}

static void fixture_close(fixture *f)
{
    lcf_neighbours_scratch_free(f->scratch);
    lcf_neighbours_close(&f->neighbours);
    lcf_examples_close(&f->examples);
    lcf_embeddings_close(&f->items);
    test_folder_remove(f->dir);
}

/* All items for one user's history; returns how many queries the lists did not settle. */
static size_t compare(const fixture *f, uint32_t user, const uint32_t *history, size_t history_n,
                      int64_t time, const lcf_example_options *options)
{
    static uint32_t items[QUERIES_MAX], ids[QUERIES_MAX * LCF_EXAMPLES_K_MAX],
        expected_ids[QUERIES_MAX * LCF_EXAMPLES_K_MAX];
    static float scores[QUERIES_MAX * LCF_EXAMPLES_K_MAX],
        expected[QUERIES_MAX * LCF_EXAMPLES_K_MAX];
    static lcf_example_query queries[QUERIES_MAX];
    float history_vec[DIM_MAX];
    size_t n = f->items.n < QUERIES_MAX ? f->items.n : QUERIES_MAX;
    lcf_err err = LCF_ERR_INIT;

    lcf_embeddings_mean(history_vec, &f->items, history, history_n);
    for (size_t i = 0; i < n; i++) { /* item 0, the unknown, too: it has no vector; some again */
        items[i] = i % 7 == 6 ? 0 : i % 5 == 4 ? items[i - 1] : (uint32_t)i;
        queries[i] = (lcf_example_query){
            user, time, {{0}}, history_vec, f->items.vectors + (size_t)items[i] * f->items.dim};
    }
    assert_ok(lcf_neighbours_search(ids, scores, f->scratch, &f->neighbours, &f->examples, items,
                                    queries, n, options, &err),
              &err);
    assert_ok(
        lcf_examples_search_exact(expected_ids, expected, &f->examples, queries, n, options, &err),
        &err);
    assert_memory_equal(ids, expected_ids, n * options->k * sizeof(*ids));
    assert_memory_equal(scores, expected, n * options->k * sizeof(*scores));
    memset(ids, 0, sizeof(ids));
    assert_ok(lcf_neighbours_search(ids, NULL, f->scratch, &f->neighbours, &f->examples, items,
                                    queries, n, options, &err),
              &err);
    assert_memory_equal(ids, expected_ids, n * options->k * sizeof(*ids));
    return lcf_neighbours_unsettled(f->scratch);
}

static void compare_all(const fixture *f, size_t users_n)
{
    static const lcf_example_options options[] = {
        {4, true, LCF_RETRIEVE_SAME_USER, LCF_RETRIEVE_BY_BOTH, 0.0},
        {4, true, LCF_RETRIEVE_STRICT, LCF_RETRIEVE_BY_BOTH, 0.0},
        {3, false, LCF_RETRIEVE_SAME_USER, LCF_RETRIEVE_BY_BOTH, 0.0},
        {1, true, LCF_RETRIEVE_SAME_USER, LCF_RETRIEVE_BY_BOTH, 0.0},
        {16, true, LCF_RETRIEVE_STRICT, LCF_RETRIEVE_BY_BOTH, 0.0},
    };
    static const lcf_example_options others[] = {
        {4, true, LCF_RETRIEVE_SAME_USER, LCF_RETRIEVE_BY_HISTORY, 0.0},
        {5, false, LCF_RETRIEVE_STRICT, LCF_RETRIEVE_BY_TARGET, 0.0},
    };
    int64_t middle = f->examples.time[f->examples.n / 2];
    size_t queries = 0, unsettled = 0;

    for (uint32_t user = 0; user < users_n; user++) {
        const uint32_t *history = f->examples.history + (size_t)user * LCF_HISTORY_MAX;
        size_t history_n = user ? f->examples.history_n[user] : 0;
        for (size_t o = 0; o < sizeof(options) / sizeof(options[0]); o++) {
            unsettled += compare(f, user, history, history_n, INT64_MAX, &options[o]);
            queries += f->items.n;
            compare(f, user, history, history_n, middle, &options[o]);
        }
        for (size_t o = 0; o < sizeof(others) / sizeof(others[0]); o++)
            compare(f, user, history, history_n, middle, &others[o]);
    }
    assert_true(unsettled * 50 < queries); /* of questions about now */
}

static void few_examples(void **state)
{
    fixture f;

    (void)state;
    fixture_open(&f, 8, 15, 40); /* every list is complete */
    compare_all(&f, 8);
    assert_true(f.neighbours.bound[2] == -INFINITY);
    fixture_close(&f);
}

static void many_examples(void **state)
{
    fixture f;

    (void)state;
    fixture_open(&f, 120, 150, 1000);
    assert_true(f.neighbours.bound[2] > -1.0f);
    compare_all(&f, 6);
    fixture_close(&f);
}

/* More examples of a label than a search looks at. */
static void more_examples_than_leaders(void **state)
{
    fixture f;
    const lcf_example_options options = LCF_EXAMPLE_OPTIONS_INIT;

    (void)state;
    fixture_open(&f, 600, 40, 6000);
    assert_true(f.examples.n > 4500);
    for (uint32_t user = 0; user < 4; user++) {
        compare(&f, user, f.examples.history + (size_t)(4000 + user) * LCF_HISTORY_MAX,
                f.examples.history_n[4000 + user], INT64_MAX, &options);
        compare(&f, user, f.examples.history + (size_t)(4000 + user) * LCF_HISTORY_MAX,
                f.examples.history_n[4000 + user], f.examples.time[20], &options);
    }
    fixture_close(&f);
}

/* Every history is a run of the sequence, which is shorter than all of them together. */
static void check_sequence(const fixture *f)
{
    const lcf_neighbours *nb = &f->neighbours;
    size_t together = 0;

    for (size_t at = 0; at < f->examples.n; at++) {
        const lcf_neighbours_place *place = &nb->places[at];
        const size_t x = place->example, n = f->examples.history_n[x];

        together += n;
        assert_true(place->history_end <= nb->sequence_n);
        assert_int_equal(place->history_end - place->history_begin, n);
        assert_memory_equal(nb->sequence + place->history_begin,
                            f->examples.history + x * LCF_HISTORY_MAX, n * sizeof(uint32_t));
    }
    assert_true(nb->sequence_n < together / 2);
}

/* With long vectors and many examples the shared part comes from the items of histories. */
static void more_examples_than_items(void **state)
{
    fixture f;

    (void)state;
    fixture_open_dim(&f, 120, 60, 1000, DIM_MAX);
    compare_all(&f, 6);
    check_sequence(&f);
    fixture_close(&f);
}

/* History vectors that are not quite, or not at all, what their items say. */
static void histories_of_their_own(void **state)
{
    static const float distances[] = {1e-4f, 0.5f};
    static const lcf_example_options options[] = {
        {4, true, LCF_RETRIEVE_SAME_USER, LCF_RETRIEVE_BY_BOTH, 0.0},
        {3, false, LCF_RETRIEVE_SAME_USER, LCF_RETRIEVE_BY_BOTH, 0.0}, /* labels compete */
    };

    (void)state;
    for (size_t d = 0; d < 2; d++) {
        fixture f;
        void *indices[2];
        float *own;
        bool written;
        char *path;
        lcf_err err = LCF_ERR_INIT;
        lcf_rng rng;

        fixture_open_dim(&f, 60, 40, 500, DIM_MAX);
        path = lcf_path_join(f.dir, "neighbours.lcf");
        own = malloc(f.examples.n * DIM_MAX * sizeof(*own));
        lcf_rng_seed(&rng, d, 0);
        for (size_t i = 0; i < f.examples.n * DIM_MAX; i++)
            own[i] = f.examples.history_vec[i] + distances[d] * (float)lcf_rng_normal(&rng) / 8;
        f.examples.history_vec = own;
        for (int label = 0; label < 2; label++) { /* they are of the vectors as they were */
            indices[label] = f.examples.faiss[label];
            f.examples.faiss[label] = NULL;
        }
        lcf_neighbours_close(&f.neighbours);
        assert_ok(lcf_neighbours_save(&written, path, &f.items, &f.examples, &err), &err);
        assert_ok(lcf_neighbours_open(&f.neighbours, path, f.items.n, &f.examples, &err), &err);
        assert_true(f.neighbours.history_error > distances[d] / 2);
        for (uint32_t user = 0; user < 6; user++)
            for (size_t o = 0; o < 2; o++)
                compare(&f, user, f.examples.history + (size_t)user * LCF_HISTORY_MAX,
                        f.examples.history_n[user], INT64_MAX, &options[o]);
        for (int label = 0; label < 2; label++)
            f.examples.faiss[label] = indices[label];
        free(own);
        free(path);
        fixture_close(&f);
    }
}

static void of_another_index(void **state)
{
    fixture f;
    char *path;
    lcf_neighbours nb;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    fixture_open(&f, 8, 15, 40);
    path = lcf_path_join(f.dir, "neighbours.lcf");
    assert_int_equal(lcf_neighbours_open(&nb, path, f.items.n + 1, &f.examples, &err), LCF_EFORMAT);
    f.examples.n--;
    assert_int_equal(lcf_neighbours_open(&nb, path, f.items.n, &f.examples, &err), LCF_EFORMAT);
    f.examples.n++;
    free(path);
    fixture_close(&f);
}

/* A dataset with fewer items: the histories of examples lead beyond them. */
static void of_other_items(void **state)
{
    fixture f;
    char *path;
    bool written = true;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    fixture_open(&f, 8, 15, 40);
    path = lcf_path_join(f.dir, "again.lcf");
    f.items.n = 2;
    assert_int_equal(lcf_neighbours_save(&written, path, &f.items, &f.examples, &err), LCF_EINVAL);
    assert_false(written);
    assert_false(lcf_path_exists(path));
    free(path);
    fixture_close(&f);
}

static void out_of_memory(void **state)
{
    fixture f;
    char *path;
    lcf_status status = LCF_ENOMEM;
    bool written;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    fixture_open(&f, 8, 15, 40);
    path = lcf_path_join(f.dir, "again.lcf");
    for (uint64_t n = 1; status; n++) {
        lcf_neighbours nb = {0};
        lcf_neighbours_scratch *scratch = NULL;
        assert_true(n < 1000);
        lcf_alloc_fail_at(n);
        status = lcf_neighbours_save(&written, path, &f.items, &f.examples, &err);
        if (!status)
            status = lcf_neighbours_open(&nb, path, f.items.n, &f.examples, &err);
        if (!status)
            status = lcf_neighbours_scratch_create(&scratch, &nb, &f.examples, 10, &err);
        lcf_alloc_fail_at(0);
        assert_true(status == LCF_OK || status == LCF_ENOMEM);
        lcf_neighbours_scratch_free(scratch);
        lcf_neighbours_close(&nb);
    }
    free(path);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_examples),
        cmocka_unit_test(many_examples),
        cmocka_unit_test(more_examples_than_leaders),
        cmocka_unit_test(more_examples_than_items),
        cmocka_unit_test(histories_of_their_own),
        cmocka_unit_test(of_another_index),
        cmocka_unit_test(of_other_items),
        cmocka_unit_test(out_of_memory),
    };

    return cmocka_run_group_tests_name("neighbours", tests, NULL, NULL);
}
