/* Spectral vectors against the dense matrix that they are factors of, and which rows make it. */
#include "offline/ilm/spectral.h"
#include "tests/unit/test.h"

#include <math.h>
#include <string.h>

enum { USERS = 7, ITEMS = 9, ROWS = 40, DIM = LCF_SPECTRAL_DIM };

typedef struct rows {
    uint32_t user[ROWS], item[ROWS];
    uint8_t label[ROWS];
    float rating[1];
    size_t n;
    lcf_dataset d;
} rows;

static void add(rows *r, uint32_t user, uint32_t item, uint8_t label)
{
    r->user[r->n] = user;
    r->item[r->n] = item;
    r->label[r->n++] = label;
}

/* All rows but the last `held` are for training. */
static void close_rows(rows *r, size_t held, bool rated)
{
    r->rating[0] = rated ? 4.0f : NAN;
    r->d = (lcf_dataset){.users_n = USERS,
                         .split_begin = {0, r->n - held, r->n - held, r->n},
                         .sample_user = r->user,
                         .sample_item = r->item,
                         .sample_label = r->label,
                         .event_rating = r->rating,
                         .events_n = 1};
    r->d.catalogue.items_n = ITEMS;
}

/* A few users and items, connected; user 6 and item 8 have nothing to do with each other's rows. */
static void fill(rows *r)
{
    static const uint8_t WHO[][2] = {{1, 1}, {1, 2}, {1, 3}, {2, 2}, {2, 3}, {3, 3}, {3, 4},
                                     {4, 4}, {4, 5}, {5, 5}, {5, 6}, {5, 1}, {5, 7}};

    memset(r, 0, sizeof(*r));
    for (size_t i = 0; i < sizeof(WHO) / sizeof(*WHO); i++)
        add(r, WHO[i][0], WHO[i][1], 1);
}

static double cosine_of(const float *x, size_t a, size_t b)
{
    double sum = 0;

    for (size_t i = 0; i < DIM; i++)
        sum += (double)x[a * DIM + i] * (double)x[b * DIM + i];
    return sum;
}

/* What the vectors are factors of, from the training rows of r: [USERS, ITEMS]. */
static void dense(double *a, const rows *r, bool rated)
{
    double users[USERS] = {0}, items[ITEMS] = {0};

    memset(a, 0, USERS * ITEMS * sizeof(*a));
    for (size_t i = 0; i < r->d.split_begin[1]; i++)
        if (r->user[i] && r->item[i] && (rated || r->label[i]))
            a[r->user[i] * ITEMS + r->item[i]] = 1;
    for (size_t i = 0; i < USERS * ITEMS; i++) {
        users[i / ITEMS] += a[i];
        items[i % ITEMS] += a[i];
    }
    for (size_t i = 0; i < USERS * ITEMS; i++)
        a[i] = a[i] > 0 ? 1 / sqrt(users[i / ITEMS] * items[i % ITEMS]) : 0;
}

static double gram(const double *a, size_t i, size_t j, bool of_items)
{
    double sum = 0;

    for (size_t k = 0; k < (of_items ? USERS : ITEMS); k++)
        sum += of_items ? a[k * ITEMS + i] * a[k * ITEMS + j] : a[i * ITEMS + k] * a[j * ITEMS + k];
    return sum;
}

/* With as many dimensions as the matrix has, cosines of vectors are those of its columns and rows.
 */
static void expect_factors(const float *x, const rows *r, bool rated)
{
    double a[USERS * ITEMS];

    dense(a, r, rated);
    for (size_t i = 0; i < ITEMS + USERS; i++)
        for (size_t j = 0; j < ITEMS + USERS; j++) {
            const bool items = i < ITEMS;
            const size_t from = items ? 0 : ITEMS;
            double want;

            if (items != (j < ITEMS))
                continue;
            want = gram(a, i - from, i - from, items) * gram(a, j - from, j - from, items);
            want = want > 0 ? gram(a, i - from, j - from, items) / sqrt(want) : 0;
            assert_true(fabs(cosine_of(x, i, j) - want) < 1e-4);
        }
}

static void test_factors(void **state)
{
    float x[(ITEMS + USERS) * DIM], again[(ITEMS + USERS) * DIM];
    lcf_err err = LCF_ERR_INIT;
    rows r;

    (void)state;
    fill(&r);
    add(&r, 1, 1, 1); /* once more says no more */
    add(&r, 0, 3, 1); /* an unknown user, and an unknown item */
    add(&r, 4, 0, 1);
    add(&r, 6, 8, 1); /* of the test */
    close_rows(&r, 1, false);
    assert_ok(lcf_spectral_vectors(x, &r.d, &err), &err);
    expect_factors(x, &r, false);
    assert_true(cosine_of(x, 8, 8) == 0 && cosine_of(x, ITEMS + 6, ITEMS + 6) == 0);
    assert_true(fabs(cosine_of(x, 3, 3) - 1) < 1e-5);
    /* A user lies nearer to what he took than to what nobody like him did. */
    assert_true(cosine_of(x, ITEMS + 2, 3) > cosine_of(x, ITEMS + 2, 6) + 0.2);
    assert_ok(lcf_spectral_vectors(again, &r.d, &err), &err);
    assert_memory_equal(x, again, sizeof(x));
}

/* A row of label 0 was taken, and rated low, where the log has ratings; else it was drawn. */
static void test_negatives(void **state)
{
    float x[(ITEMS + USERS) * DIM];
    lcf_err err = LCF_ERR_INIT;
    rows r;

    (void)state;
    for (int rated = 0; rated < 2; rated++) {
        fill(&r);
        add(&r, 6, 1, 0);
        add(&r, 2, 6, 0);
        close_rows(&r, 0, rated);
        assert_ok(lcf_spectral_vectors(x, &r.d, &err), &err);
        expect_factors(x, &r, rated);
        assert_true((cosine_of(x, ITEMS + 6, ITEMS + 6) > 0) == rated);
    }
}

static void test_nothing_taken(void **state)
{
    float x[(ITEMS + USERS) * DIM];
    lcf_err err = LCF_ERR_INIT;
    rows r;

    (void)state;
    fill(&r);
    memset(r.label, 0, sizeof(r.label));
    close_rows(&r, 0, false);
    assert_int_equal(lcf_spectral_vectors(x, &r.d, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "nothing to make collaborative vectors of"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_factors),
        cmocka_unit_test(test_negatives),
        cmocka_unit_test(test_nothing_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
