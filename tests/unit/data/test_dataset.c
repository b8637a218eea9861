/* The dataset as written and opened: what is in it, and what is refused. */
#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/data/dataset.h"
#include "offline/data/dataset_write.h"
#include "tests/unit/data/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A hand-written dataset: 2 users and 3 items (with the unknown at 0), 4 events, 3 samples. Each
 * test damages one array of its own copy.
 */
typedef struct tiny {
    lcf_dataset d;
    uint64_t id_offsets[4], title_offsets[4], text_offsets[4], brand_offsets[3],
        category_offsets_s[3], user_id_offsets[4];
    uint32_t id_sorted[3], brand_sorted[2], category_sorted[2], user_sorted[3];
    uint32_t item_brand[3], item_categories[2];
    uint64_t category_offsets[4], user_offsets[4];
    uint32_t event_item[4], sample_user[3], sample_item[3];
    int64_t event_time[4], sample_time[3];
    float event_rating[4];
    uint8_t sample_label[3];
    uint64_t sample_history_end[3];
} tiny;

static const tiny TINY = {
    .id_offsets = {0, 0, 2, 3},
    .title_offsets = {0, 0, 9, 9},
    .text_offsets = {0, 0, 0, 4},
    .brand_offsets = {0, 0, 5},
    .category_offsets_s = {0, 0, 3},
    .user_id_offsets = {0, 0, 1, 3},
    .id_sorted = {0, 2, 1}, /* "", "a", "b1" */
    .brand_sorted = {0, 1},
    .category_sorted = {0, 1},
    .user_sorted = {0, 1, 2},
    .item_brand = {0, 1, 0},
    .item_categories = {1, 1},
    .category_offsets = {0, 0, 1, 2},
    .user_offsets = {0, 0, 3, 4},
    .event_item = {1, 2, 1, 2},
    .event_time = {10, 20, 30, 15},
    .event_rating = {5.0f, 1.0f, NAN, 4.0f},
    .sample_user = {1, 1, 2},
    .sample_item = {2, 1, 1},
    .sample_label = {0, 1, 1},
    .sample_time = {20, 30, 40},
    .sample_history_end = {1, 2, 4},
};

static void tiny_init(tiny *t)
{
    lcf_catalogue *c = &t->d.catalogue;

    *t = TINY;
    c->items_n = 3;
    c->brands_n = c->categories_n = 2;
    c->item_id = (lcf_strings){3, t->id_offsets, "b1a", t->id_sorted};
    c->title = (lcf_strings){3, t->title_offsets, "Blue Boot", NULL};
    c->text = (lcf_strings){3, t->text_offsets, "note", NULL};
    c->brand = (lcf_strings){2, t->brand_offsets, "Alder", t->brand_sorted};
    c->category = (lcf_strings){2, t->category_offsets_s, "Kit", t->category_sorted};
    c->item_brand = t->item_brand;
    c->category_offsets = t->category_offsets;
    c->item_categories = t->item_categories;
    t->d.users_n = 3;
    t->d.user_id = (lcf_strings){3, t->user_id_offsets, "xyz", t->user_sorted};
    t->d.user_offsets = t->user_offsets;
    t->d.event_item = t->event_item;
    t->d.event_time = t->event_time;
    t->d.event_rating = t->event_rating;
    t->d.events_n = 4;
    t->d.samples_n = 3;
    t->d.split_begin[1] = 2;
    t->d.split_begin[2] = 2;
    t->d.split_begin[3] = 3;
    t->d.sample_user = t->sample_user;
    t->d.sample_item = t->sample_item;
    t->d.sample_label = t->sample_label;
    t->d.sample_time = t->sample_time;
    t->d.sample_history_end = t->sample_history_end;
}

/* Writes `t` with a manifest into a new folder and opens it. */
static lcf_status reopen(lcf_dataset *out, const tiny *t, lcf_err *err)
{
    char *dir = lcf_fixture_dir();
    lcf_manifest *m = NULL;
    lcf_status status;

    assert_int_equal(lcf_dataset_save(dir, &t->d, NULL), LCF_OK);
    assert_int_equal(lcf_manifest_create(&m, "test", NULL), LCF_OK);
    assert_int_equal(lcf_manifest_write(m, dir, NULL), LCF_OK);
    lcf_manifest_free(m);
    status = lcf_dataset_open(out, dir, err);
    lcf_dir_remove(dir, NULL); /* the maps stay */
    free(dir);
    return status;
}

static void test_round_trip(void **state)
{
    tiny t;
    lcf_dataset d;
    lcf_err err = LCF_ERR_INIT;
    lcf_sample s;
    lcf_buf text = LCF_BUF_INIT;

    (void)state;
    tiny_init(&t);
    assert_int_equal(reopen(&d, &t, &err), LCF_OK);
    assert_int_equal(strlen(d.id), 64);
    assert_int_equal(d.users_n, 3);
    assert_int_equal(d.catalogue.items_n, 3);
    assert_int_equal(lcf_strings_find(&d.catalogue.item_id, "a", 1), 2);
    assert_int_equal(lcf_strings_find(&d.catalogue.item_id, "b1", 2), 1);
    assert_int_equal(lcf_strings_find(&d.catalogue.item_id, "b", 1), 0);
    assert_int_equal(lcf_strings_find(&d.user_id, "yz", 2), 2);
    lcf_catalogue_item_text(&text, &d.catalogue, 1);
    assert_string_equal(lcf_buf_text(&text), "Blue Boot Alder Kit");
    lcf_buf_reset(&text);
    lcf_catalogue_item_text(&text, &d.catalogue, 2);
    assert_string_equal(lcf_buf_text(&text), "Kit note");
    lcf_buf_reset(&text);
    lcf_catalogue_item_text(&text, &d.catalogue, 0);
    assert_string_equal(lcf_buf_text(&text), "");
    lcf_buf_dispose(&text);
    s = lcf_dataset_sample(&d, 1);
    assert_int_equal(s.user, 1);
    assert_int_equal(s.item, 1);
    assert_int_equal(s.label, 1);
    assert_int_equal(s.split, LCF_TRAIN);
    assert_int_equal(s.history_n, 2);
    assert_int_equal(s.history[1], 2);
    s = lcf_dataset_sample(&d, 2);
    assert_int_equal(s.split, LCF_TEST);
    assert_int_equal(s.history_n, 1);
    assert_int_equal(s.history[0], 2);
    assert_true(isnan(d.event_rating[2]));
    lcf_dataset_close(&d);
}

static void refused(const tiny *t, const char *array)
{
    lcf_dataset d;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(reopen(&d, t, &err), LCF_EFORMAT);
    if (!strstr(err.text, array))
        fail_msg("the message should name %s: %s", array, err.text);
    assert_null(d.samples_bundle);
}

static void test_refuses_indices(void **state)
{
    tiny t;

    (void)state;
#define DAMAGE(assignment, array) \
    do {                          \
        tiny_init(&t);            \
        assignment;               \
        refused(&t, array);       \
    } while (0)
    DAMAGE(t.item_brand[2] = 2, "item_brand[2]");
    DAMAGE(t.item_categories[0] = 9, "item_categories[0]");
    DAMAGE(t.category_offsets[1] = 2, "category_offsets[2]");
    DAMAGE(t.category_offsets[2] = UINT64_MAX, "category_offsets[2]");
    DAMAGE(t.id_offsets[1] = 3, "item_id.offsets[2]");
    DAMAGE(t.id_offsets[0] = 1, "item_id.offsets[0]");
    DAMAGE(t.id_sorted[0] = 3, "item_id.sorted[0]");
    DAMAGE(t.id_sorted[0] = 1, "item_id.sorted[1]");
    DAMAGE(t.user_sorted[1] = 2, "user_id.sorted[2]");
    DAMAGE(t.user_offsets[1] = 4, "user_offsets[2]");
    DAMAGE(t.event_item[3] = 3, "event_item[3]");
    DAMAGE(t.event_time[1] = 5, "event_time[1]");
    DAMAGE(t.sample_user[0] = 3, "sample_user[0]");
    DAMAGE(t.sample_item[2] = 3, "sample_item[2]");
    DAMAGE(t.sample_label[1] = 2, "sample_label[1]");
    DAMAGE(t.sample_time[0] = 99, "sample_time[1]");
    DAMAGE(t.sample_history_end[0] = 4, "sample_history_end[0]");
    DAMAGE(t.sample_history_end[2] = 2, "sample_history_end[2]");
    DAMAGE(t.sample_history_end[0] = 3, "sample_history_end[0]"); /* an event of the future */
    DAMAGE(t.d.split_begin[1] = 4, "split_begin[1]");
    DAMAGE(t.d.split_begin[0] = 1, "split_begin[0]");
#undef DAMAGE
}

static void test_refuses_shapes(void **state)
{
    tiny t;

    (void)state;
    tiny_init(&t);
    t.d.catalogue.title.n = 2;
    t.title_offsets[2] = 9;
    refused(&t, "2 titles");
    tiny_init(&t);
    t.d.users_n = 2; /* user_offsets loses its last element */
    t.user_offsets[2] = 4;
    refused(&t, "user_offsets has 3");
}

/* The hash of a sample says what it is, not where it stands. */
static void test_sample_hash(void **state)
{
    tiny t;
    lcf_dataset a, b;
    lcf_hash128 before, after;

    (void)state;
    tiny_init(&t);
    assert_int_equal(reopen(&a, &t, NULL), LCF_OK);
    before = lcf_dataset_sample_hash(&a, 1);
    after = lcf_dataset_sample_hash(&a, 0);
    assert_memory_not_equal(before.bytes, after.bytes, 16);
    /* Another user's row goes: nothing changes for this one, though its index does not stay. */
    t.d.samples_n = 2;
    memmove(t.sample_user, t.sample_user + 1, 2 * sizeof(*t.sample_user));
    memmove(t.sample_item, t.sample_item + 1, 2 * sizeof(*t.sample_item));
    memmove(t.sample_label, t.sample_label + 1, 2);
    memmove(t.sample_time, t.sample_time + 1, 2 * sizeof(*t.sample_time));
    memmove(t.sample_history_end, t.sample_history_end + 1, 2 * sizeof(uint64_t));
    t.d.split_begin[1] = t.d.split_begin[2] = 1;
    t.d.split_begin[3] = 2;
    assert_int_equal(reopen(&b, &t, NULL), LCF_OK);
    after = lcf_dataset_sample_hash(&b, 0);
    assert_memory_equal(before.bytes, after.bytes, 16);
    lcf_dataset_close(&b);
    /* A different label is a different sample. */
    t.sample_label[0] = 0;
    assert_int_equal(reopen(&b, &t, NULL), LCF_OK);
    after = lcf_dataset_sample_hash(&b, 0);
    assert_memory_not_equal(before.bytes, after.bytes, 16);
    lcf_dataset_close(&b);
    lcf_dataset_close(&a);
}

static void test_missing(void **state)
{
    lcf_dataset d;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_dataset_open(&d, "no-such-folder", &err), LCF_ENOENT);
    assert_non_null(strstr(err.text, "no-such-folder"));
}

static void test_out_of_memory(void **state)
{
    char *dir = lcf_fixture_dir();
    lcf_dataset d;
    lcf_status status = LCF_ENOMEM;
    uint64_t n = 1;

    (void)state;
    assert_int_equal(lcf_fixture_write_dataset(dir, NULL, NULL), LCF_OK);
    for (; status; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_dataset_open(&d, dir, NULL);
        lcf_alloc_fail_at(0);
        assert_true(status == LCF_OK || status == LCF_ENOMEM);
    }
    assert_true(n > 3);
    lcf_dataset_close(&d);
    lcf_dir_remove(dir, NULL);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_refuses_indices),
        cmocka_unit_test(test_refuses_shapes), cmocka_unit_test(test_sample_hash),
        cmocka_unit_test(test_missing),        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
