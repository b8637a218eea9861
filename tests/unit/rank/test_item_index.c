/* Items by id: as the search in the sorted ids finds them, and nothing else. */
#include "tests/unit/test.h"

#include "online/rank/item_index.h"

enum { N = 3000, BYTES = 8 };

static char g_chars[N * BYTES];
static uint64_t g_offsets[N + 1];
static lcf_strings g_ids = {.n = N, .offsets = g_offsets, .chars = g_chars};

/* The unknown item has the empty id. */
static void write_ids(void)
{
    for (size_t i = 0; i < N; i++) {
        char id[BYTES + 1];
        const int len = i ? snprintf(id, sizeof(id), "%zu", i * 7919) : 0;

        memcpy(g_chars + g_offsets[i], id, (size_t)len);
        g_offsets[i + 1] = g_offsets[i] + (uint64_t)len;
    }
}

static void finds_what_is_there(void **state)
{
    rank_item_index x;
    char id[2 * BYTES];

    (void)state;
    write_ids();
    assert_int_equal(rank_item_index_init(&x, &g_ids), LCF_OK);
    for (size_t i = 1; i < N; i++) {
        snprintf(id, sizeof(id), "%zu", i * 7919);
        assert_int_equal(rank_item_index_find(&x, id), i);
        snprintf(id, sizeof(id), "%zu", i * 7919 + 1); /* 7919 is prime, and N is smaller */
        assert_int_equal(rank_item_index_find(&x, id), 0);
        snprintf(id, sizeof(id), "%zux", i * 7919);
        assert_int_equal(rank_item_index_find(&x, id), 0);
    }
    assert_int_equal(rank_item_index_find(&x, ""), 0);
    rank_item_index_dispose(&x);
}

static void of_no_items(void **state)
{
    const lcf_strings none = {.n = 1, .offsets = (uint64_t[]){0, 0}, .chars = ""};
    rank_item_index x;

    (void)state;
    assert_int_equal(rank_item_index_init(&x, &none), LCF_OK);
    assert_int_equal(rank_item_index_find(&x, "7919"), 0);
    rank_item_index_dispose(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_there),
        cmocka_unit_test(of_no_items),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
