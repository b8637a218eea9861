/* Retrieval by codes against its definition, ties and the unknown among it; what does not belong
 * together is refused. */
#include "common/base/rng.h"
#include "common/store/examples_codes.h"
#include "tests/unit/data/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { EXAMPLES = 300, USERS = 12, ITEMS = 20, BYTES_MAX = 9, QUERIES = 60 };

typedef struct world {
    lcf_examples e;
    lcf_codes codes;
    lcf_hash128 hash[EXAMPLES];
    uint32_t user[EXAMPLES], item[EXAMPLES];
    uint8_t label[EXAMPLES];
    int64_t time[EXAMPLES];
    uint8_t user_codes[USERS * BYTES_MAX], item_codes[ITEMS * BYTES_MAX];
} world;

/* Codes differ in few places: many scores are equal. */
static void world_init(world *w, size_t bytes, lcf_rng *rng)
{
    memset(w, 0, sizeof(*w));
    for (size_t i = 0; i < EXAMPLES; i++) {
        const uint64_t number = i + 1;

        w->hash[i] = lcf_hash128_of(&number, sizeof(number));
        w->user[i] = 1 + (uint32_t)lcf_rng_below(rng, USERS - 1);
        w->item[i] = 1 + (uint32_t)lcf_rng_below(rng, ITEMS - 1);
        w->label[i] = lcf_rng_below(rng, 3) > 0;
        w->time[i] = (int64_t)(i / 3);
    }
    for (size_t i = 0; i < USERS * bytes; i++)
        w->user_codes[i] = (uint8_t)lcf_rng_below(rng, 4);
    for (size_t i = 0; i < ITEMS * bytes; i++)
        w->item_codes[i] = (uint8_t)lcf_rng_below(rng, 256);
    w->e = (lcf_examples){.n = EXAMPLES,
                          .sample_hash = w->hash,
                          .user = w->user,
                          .item = w->item,
                          .label = w->label,
                          .time = w->time};
    w->codes = (lcf_codes){NULL, bytes, USERS, ITEMS, w->user_codes, w->item_codes};
}

static bool allowed(const world *w, const lcf_example_query *q, lcf_retrieval_mode mode, size_t i)
{
    if (!memcmp(&w->hash[i], &q->sample_hash, sizeof(q->sample_hash)))
        return false;
    if (mode == LCF_RETRIEVE_STRICT || (q->user && w->user[i] == q->user))
        return w->time[i] < q->time;
    return true;
}

static double score_of(const world *w, const lcf_example_query *q, uint32_t item, size_t i)
{
    const size_t bytes = w->codes.bytes;
    const double bits = 8.0 * (double)bytes;
    const uint8_t *u = w->user_codes, *t = w->item_codes;
    double score = 0;

    if (q->user)
        score += .5 - (double)lcf_fixture_bits_apart(u + q->user * bytes, u + w->user[i] * bytes,
                                                     bytes) /
                          bits;
    if (item)
        score +=
            .5 -
            (double)lcf_fixture_bits_apart(t + item * bytes, t + w->item[i] * bytes, bytes) / bits;
    return score;
}

/* The best that are allowed, one after another, of one label (or of both: 2). */
static size_t best(uint32_t *ids, const world *w, const lcf_example_query *q, uint32_t item,
                   const lcf_example_options *o, unsigned label, size_t k)
{
    bool taken[EXAMPLES] = {false};
    size_t n = 0;

    for (; n < k; n++) {
        size_t at = EXAMPLES;

        for (size_t i = EXAMPLES; i-- > 0;)
            if (!taken[i] && (label == 2 || w->label[i] == label) && allowed(w, q, o->mode, i) &&
                (at == EXAMPLES || score_of(w, q, item, i) > score_of(w, q, item, at) + 1e-9))
                at = i;
        if (at == EXAMPLES)
            break;
        taken[at] = true;
        ids[n] = (uint32_t)at;
    }
    return n;
}

static void check_query(const world *w, const lcf_example_query *q, uint32_t item,
                        const lcf_example_options *o, const uint32_t *ids, const float *scores)
{
    uint32_t wanted[2 * LCF_EXAMPLES_K_MAX];
    const size_t negatives = o->k / 2;
    size_t n = best(wanted, w, q, item, o, 1, o->k - negatives);

    n += best(wanted + n, w, q, item, o, 0, negatives);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(ids[i], wanted[i]);
        assert_float_equal(scores[i], score_of(w, q, item, wanted[i]), 1e-6);
    }
    for (size_t i = n; i < o->k; i++)
        assert_int_equal(ids[i], LCF_EXAMPLE_NONE);
}

static void test_equals_definition(void **state)
{
    static const size_t bytes[] = {1, 4, 8, 9};
    lcf_rng rng;
    world w;

    (void)state;
    lcf_rng_seed(&rng, 5, 0);
    for (size_t round = 0; round < 4; round++) {
        const lcf_example_options o = {4, true, round % 2 ? LCF_RETRIEVE_STRICT : 0,
                                       LCF_RETRIEVE_BY_CODES, 0.0};
        lcf_example_query queries[QUERIES];
        uint32_t items[QUERIES], ids[QUERIES * 4];
        lcf_example_codes c;
        float scores[QUERIES * 4];

        world_init(&w, bytes[round], &rng);
        memset(queries, 0, sizeof(queries));
        for (size_t i = 0; i < QUERIES; i++) {
            queries[i].user = (uint32_t)lcf_rng_below(&rng, USERS);
            items[i] = (uint32_t)lcf_rng_below(&rng, ITEMS);
            queries[i].time = (int64_t)lcf_rng_below(&rng, EXAMPLES / 3 + 1);
            queries[i].sample_hash = w.hash[lcf_rng_below(&rng, EXAMPLES)];
        }
        assert_int_equal(lcf_example_codes_init(&c, &w.e, &w.codes, NULL), LCF_OK);
        assert_int_equal(
            lcf_example_codes_search(ids, scores, &c, queries, items, QUERIES, &o, NULL), LCF_OK);
        for (size_t i = 0; i < QUERIES; i++)
            check_query(&w, &queries[i], items[i], &o, ids + 4 * i, scores + 4 * i);
        lcf_example_codes_dispose(&c);
    }
}

static void test_refused(void **state)
{
    lcf_example_options o = {4, true, 0, LCF_RETRIEVE_BY_CODES, 0.0};
    lcf_example_query q = {.user = USERS};
    uint32_t item = 1, ids[LCF_EXAMPLES_K_MAX + 1];
    lcf_example_codes c;
    lcf_rng rng;
    world w;

    (void)state;
    lcf_rng_seed(&rng, 6, 0);
    world_init(&w, 4, &rng);
    assert_int_equal(lcf_example_codes_init(&c, &w.e, &w.codes, NULL), LCF_OK);
    assert_int_equal(lcf_example_codes_search(ids, NULL, &c, &q, &item, 1, &o, NULL), LCF_EINVAL);
    q.user = 1;
    item = ITEMS;
    assert_int_equal(lcf_example_codes_search(ids, NULL, &c, &q, &item, 1, &o, NULL), LCF_EINVAL);
    item = 1;
    assert_int_equal(lcf_example_codes_search(ids, NULL, &c, &q, &item, 1, &o, NULL), LCF_OK);
    o.k = LCF_EXAMPLES_K_MAX + 1;
    assert_int_equal(lcf_example_codes_search(ids, NULL, &c, &q, &item, 1, &o, NULL), LCF_EINVAL);
    o.k = 4; /* there are no codes where vectors are searched */
    assert_int_equal(lcf_examples_search(ids, NULL, &w.e, &q, 1, &o, NULL), LCF_EINVAL);
    lcf_example_codes_dispose(&c);
    w.codes.items_n = 3;
    assert_int_equal(lcf_example_codes_init(&c, &w.e, &w.codes, NULL), LCF_EINVAL);
    assert_null(c.users);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_definition),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
