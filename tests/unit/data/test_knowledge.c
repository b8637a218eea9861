/* Knowledge: what was known before a time, round trips, and what is refused. */
#include "common/base/mem.h"
#include "common/data/knowledge.h"
#include "tests/unit/test.h"

#include <math.h>

#define PATH "knowledge_test.lcf"

static const uint64_t USER_BEGIN[] = {0, 0, 3, 4}, ITEM_BEGIN[] = {0, 0, 1};
static const int64_t USER_TIME[] = {10, 20, 20, 5}, ITEM_TIME[] = {7};
static const float USER_VECTORS[] = {1, 0, 0.5f, 0.5f, 0, 1, -1, 2}, ITEM_VECTORS[] = {3, 4};

static lcf_knowledge made(void)
{
    return (lcf_knowledge){NULL,
                           2,
                           {3, 4, USER_BEGIN, USER_TIME, USER_VECTORS},
                           {2, 1, ITEM_BEGIN, ITEM_TIME, ITEM_VECTORS}};
}

static void check(const lcf_knowledge *k)
{
    const lcf_known *u = &k->users;

    assert_null(lcf_known_before(u, k->dim, 0, INT64_MAX)); /* nothing is said of the unknown */
    assert_null(lcf_known_before(u, k->dim, 1, 10));        /* not its own record's time */
    assert_ptr_equal(lcf_known_before(u, k->dim, 1, 11), u->vectors);
    assert_ptr_equal(lcf_known_before(u, k->dim, 1, 20), u->vectors);
    assert_ptr_equal(lcf_known_before(u, k->dim, 1, 21), u->vectors + 4); /* both of that time */
    assert_ptr_equal(lcf_known_before(u, k->dim, 1, INT64_MAX), u->vectors + 4);
    assert_ptr_equal(lcf_known_before(u, k->dim, 2, INT64_MAX), u->vectors + 6);
    assert_null(lcf_known_before(u, k->dim, 3, INT64_MAX));
    assert_null(lcf_known_before(&k->items, k->dim, 1, 7));
    assert_ptr_equal(lcf_known_before(&k->items, k->dim, 1, 8), k->items.vectors);
}

static void test_round_trip(void **state)
{
    lcf_knowledge k = made(), back;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    check(&k);
    assert_ok(lcf_knowledge_save(PATH, &k, &err), &err);
    assert_ok(lcf_knowledge_open(&back, PATH, &err), &err);
    assert_int_equal(back.dim, 2);
    assert_int_equal(back.users.owners_n, 3);
    assert_memory_equal(back.users.vectors, USER_VECTORS, sizeof(USER_VECTORS));
    check(&back);
    lcf_knowledge_close(&back);
    remove(PATH);
}

static void test_refuses(void **state)
{
    static const uint64_t beyond[] = {0, 0, 3, 5};
    static const int64_t falling[] = {10, 9, 20, 5};
    static const float not_finite[] = {1, 0, NAN, 0.5f, 0, 1, -1, 2};
    lcf_knowledge k = made();

    (void)state;
    k.users.begin = beyond;
    assert_int_equal(lcf_knowledge_save(PATH, &k, NULL), LCF_EFORMAT);
    k = made();
    k.users.time = falling;
    assert_int_equal(lcf_knowledge_save(PATH, &k, NULL), LCF_EFORMAT);
    k = made();
    k.users.vectors = not_finite;
    assert_int_equal(lcf_knowledge_save(PATH, &k, NULL), LCF_EFORMAT);
    assert_false(lcf_path_exists(PATH));
}

/* The example of schemas/knowledge.md; with LCF_WRITE_EXAMPLES in the environment it is written
 * anew. */
static void test_schema_example(void **state)
{
    const char *root = getenv("LCF_SOURCE_DIR");
    char path[4096];
    const lcf_knowledge k = made();
    lcf_knowledge read;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    snprintf(path, sizeof(path), "%s/schemas/examples/knowledge.lcf", root ? root : ".");
    if (getenv("LCF_WRITE_EXAMPLES"))
        assert_ok(lcf_knowledge_save(path, &k, &err), &err);
    assert_ok(lcf_knowledge_open(&read, path, &err), &err);
    check(&read);
    lcf_knowledge_close(&read);
}

static void test_out_of_memory(void **state)
{
    const lcf_knowledge k = made();
    lcf_knowledge back;
    lcf_status status = LCF_ENOMEM;

    (void)state;
    assert_int_equal(lcf_knowledge_save(PATH, &k, NULL), LCF_OK);
    for (uint64_t n = 1; status; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_knowledge_open(&back, PATH, NULL);
        lcf_alloc_fail_at(0);
        assert_true(!status || status == LCF_ENOMEM);
    }
    lcf_knowledge_close(&back);
    remove(PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_schema_example),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests_name("knowledge", tests, NULL, NULL);
}
