/* prepare: hand-worked logs in, exactly these samples out. */
#include "offline/data/prepare.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/data/dataset.h"
#include "tests/unit/data/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct place {
    char *raw, *out;
    lcf_prepare_options options;
    char bad[1024]; /* "file:line " of every bad row */
} place;

static void note_bad(void *arg, const char *file, size_t line, const char *reason)
{
    place *p = arg;
    size_t len = strlen(p->bad);

    assert_non_null(reason);
    snprintf(p->bad + len, sizeof(p->bad) - len, "%s:%zu ", strrchr(file, '/') + 1, line);
}

static void put(const place *p, const char *name, const char *text)
{
    char *path = lcf_path_join(p->raw, name);

    assert_int_equal(lcf_file_write(path, text, strlen(text), NULL), LCF_OK);
    free(path);
}

static void begin(place *p)
{
    lcf_prepare_options defaults = LCF_PREPARE_OPTIONS_INIT;

    memset(p, 0, sizeof(*p));
    p->raw = lcf_fixture_dir();
    p->out = lcf_path_join(p->raw, "dataset");
    p->options = defaults;
    p->options.input_dir = p->raw;
    p->options.out_dir = p->out;
    p->options.bad_row = note_bad;
    p->options.bad_row_arg = p;
}

static void end(place *p)
{
    lcf_dir_remove(p->raw, NULL);
    free(p->raw);
    free(p->out);
}

static void prepare_and_open(lcf_dataset *d, const place *p)
{
    lcf_err err = LCF_ERR_INIT;

    if (lcf_prepare(NULL, NULL, &p->options, &err))
        fail_msg("prepare: %s", err.text);
    if (lcf_dataset_open(d, p->out, &err))
        fail_msg("open: %s", err.text);
}

/* "split user item label time [history]" of a sample, with the external ids. */
static void sample_is(const lcf_dataset *d, size_t idx, const char *expected)
{
    lcf_sample s = lcf_dataset_sample(d, idx);
    lcf_str user = lcf_strings_get(&d->user_id, s.user);
    lcf_str item = lcf_strings_get(&d->catalogue.item_id, s.item);
    lcf_buf text = LCF_BUF_INIT;

    lcf_buf_printf(&text, "%d %.*s %.*s %d %lld", (int)s.split, (int)user.len, user.data,
                   (int)item.len, item.data, s.label, (long long)s.time);
    for (uint32_t i = 0; i < s.history_n; i++) {
        lcf_str h = lcf_strings_get(&d->catalogue.item_id, s.history[i]);
        lcf_buf_printf(&text, " %.*s", (int)h.len, h.data);
    }
    assert_string_equal(lcf_buf_text(&text), expected);
    lcf_buf_dispose(&text);
}

static void title_is(const lcf_dataset *d, const char *id, const char *expected)
{
    uint32_t item = lcf_strings_find(&d->catalogue.item_id, id, strlen(id));
    lcf_str title = lcf_strings_get(&d->catalogue.title, item);

    assert_true(item);
    assert_int_equal(title.len, strlen(expected));
    assert_memory_equal(title.data, expected, title.len);
}

static void write_movielens(const place *p)
{
    put(p, "movies.csv",
        "movieId,title,genres\n"
        "10,\"President, The (1995)\",Drama|Comedy|Drama\n"
        "20,\"Two\nLines \"\"x\"\" (2000)\",(no genres listed)\n"
        "30,Plain (2001),Comedy\n");
    /* User 7's rows stand out of order; two of user 8's share a second. */
    put(p, "ratings.csv",
        "userId,movieId,rating,timestamp\n"
        "7,30,4.0,300\n"
        "7,10,5.0,100\n"
        "7,20,3.5,200\n"
        "8,20,4.0,150\n"
        "8,10,1.0,150\n"
        "8,99,4.5,400\n");
}

static void test_movielens(void **state)
{
    place p;
    lcf_dataset d;

    (void)state;
    begin(&p);
    write_movielens(&p);
    p.options.samples.valid_share = 0.25;
    p.options.samples.test_share = 0.25;
    prepare_and_open(&d, &p);
    assert_string_equal(p.bad, "");
    assert_int_equal(d.users_n, 3);
    assert_int_equal(d.catalogue.items_n, 5); /* unknown, three listed, 99 */
    assert_int_equal(d.catalogue.categories_n, 3);
    assert_int_equal(d.catalogue.category_offsets[2] - d.catalogue.category_offsets[1], 2);
    assert_int_equal(d.catalogue.category_offsets[3] - d.catalogue.category_offsets[2], 0);
    title_is(&d, "10", "President, The (1995)");
    title_is(&d, "20", "Two Lines \"x\" (2000)");
    title_is(&d, "99", "");
    assert_int_equal(d.samples_n, 4);
    sample_is(&d, 0, "0 8 10 0 150 20");
    sample_is(&d, 1, "0 7 20 0 200 10");
    sample_is(&d, 2, "1 7 30 1 300 10 20");
    sample_is(&d, 3, "2 8 99 1 400 20 10");
    lcf_dataset_close(&d);
    end(&p);
}

static void test_liked_history(void **state)
{
    place p;
    lcf_dataset d;

    (void)state;
    begin(&p);
    write_movielens(&p);
    p.options.samples.history_liked = true;
    p.options.samples.valid_share = 0.25;
    p.options.samples.test_share = 0.25;
    prepare_and_open(&d, &p);
    assert_int_equal(d.samples_n, 4);
    sample_is(&d, 0, "0 8 10 0 150 20");
    sample_is(&d, 1, "0 7 20 0 200 10");
    sample_is(&d, 2, "1 7 30 1 300 10"); /* 20 was not liked */
    sample_is(&d, 3, "2 8 99 1 400 20");
    lcf_dataset_close(&d);
    end(&p);
}

/* The label of a user's event idx, oldest first. */
static uint8_t label_of(const lcf_dataset *d, const char *user, size_t idx)
{
    return lcf_event_label(d, d->user_offsets[lcf_strings_find(&d->user_id, user, 1)] + idx);
}

/* What is liked in a history is what makes a sample positive: the dataset's own --like, also where
 * a float does not hold it exactly. */
static void test_event_labels(void **state)
{
    place p;
    lcf_dataset d;

    (void)state;
    begin(&p);
    write_movielens(&p);
    prepare_and_open(&d, &p);
    assert_int_equal(label_of(&d, "7", 1), 1); /* 3.5 */
    assert_int_equal(label_of(&d, "7", 2), 2); /* 4.0 */
    lcf_dataset_close(&d);
    p.options.samples.like = 3.0;
    prepare_and_open(&d, &p);
    assert_int_equal(label_of(&d, "7", 1), 2);
    assert_int_equal(label_of(&d, "8", 0) + label_of(&d, "8", 1), 3); /* 4.0 and 1.0, in a second */
    lcf_dataset_close(&d);
    p.options.samples.like = 3.3; /* above the float nearest to it */
    put(&p, "ratings.csv", "userId,movieId,rating,timestamp\n7,10,5,1\n7,20,3.3,2\n7,30,5,3\n");
    prepare_and_open(&d, &p);
    assert_int_equal(d.sample_label[0], 0);
    assert_int_equal(label_of(&d, "7", 1), 1);
    assert_int_equal(label_of(&d, "7", 2), 2);
    lcf_dataset_close(&d);
    end(&p);
}

/* Rows of one second are never divided by a border. */
static void test_ties_at_border(void **state)
{
    place p;
    lcf_dataset d;

    (void)state;
    begin(&p);
    put(&p, "items.tsv", "item_id\ttitle\nA\ta\nB\tb\n");
    put(&p, "interactions.tsv",
        "user_id\titem_id\ttimestamp\trating\n"
        "1\tA\t1\t5\n1\tB\t2\t5\n1\tA\t3\t1\n1\tB\t4\t5\n2\tA\t1\t5\n2\tB\t3\t5\n2\tA\t3\t1\n2\tB\t"
        "4\t2\n");
    p.options.samples.test_share = 0.2;  /* 1 of 6, in the middle of two at time 4 */
    p.options.samples.valid_share = 0.2; /* 2 of 6 behind: the same border */
    prepare_and_open(&d, &p);
    assert_int_equal(d.samples_n, 6);
    assert_int_equal(d.split_begin[LCF_TEST], 4);
    assert_int_equal(d.split_begin[LCF_VALID], 4);
    for (size_t i = 4; i < 6; i++)
        assert_int_equal(d.sample_time[i], 4);
    lcf_dataset_close(&d);
    end(&p);
}

static bool touched(const lcf_dataset *d, uint32_t user, uint32_t item)
{
    for (uint64_t i = d->user_offsets[user]; i < d->user_offsets[user + 1]; i++)
        if (d->event_item[i] == item)
            return true;
    return false;
}

static void test_implicit(void **state)
{
    lcf_fixture_options fixture = LCF_FIXTURE_OPTIONS_INIT;
    place p;
    lcf_dataset d;
    size_t positives[3] = {0, 0, 0};

    (void)state;
    begin(&p);
    fixture.ratings = false;
    assert_int_equal(lcf_fixture_write_log(p.raw, &fixture, NULL), LCF_OK);
    prepare_and_open(&d, &p);
    assert_int_equal(d.samples_n, 2 * 12 * 9);
    for (size_t i = 0; i < d.samples_n; i++) {
        lcf_sample s = lcf_dataset_sample(&d, i);

        positives[s.split] += s.label;
        assert_int_equal(s.label, i % 2 == 0); /* each positive, then its negative */
        assert_int_equal(touched(&d, s.user, s.item), s.label);
        assert_in_range(s.item, 1, d.catalogue.items_n - 1);
        if (s.label) {
            lcf_sample negative = lcf_dataset_sample(&d, i + 1);
            assert_ptr_equal(negative.history, s.history);
            assert_int_equal(negative.user, s.user);
            /* The positive is the event right after its history. */
            assert_int_equal(d.event_item[d.sample_history_end[i]], s.item);
        }
    }
    assert_int_equal(positives[LCF_TEST], 12);
    assert_int_equal(positives[LCF_VALID], 12);
    assert_int_equal(positives[LCF_TRAIN], 12 * 7);
    lcf_dataset_close(&d);
    end(&p);
}

/* A user who touched everything brings positives alone, and they are counted. */
static void test_no_negative_left(void **state)
{
    place p;
    lcf_dataset d;
    json_t *stats = NULL;

    (void)state;
    begin(&p);
    put(&p, "items.tsv", "item_id\ttitle\nA\ta\nB\tb\nC\tc\nD\td\n");
    put(&p, "interactions.tsv",
        "user_id\titem_id\ttimestamp\n1\tA\t1\n1\tB\t2\n1\tC\t3\n1\tD\t4\n"
        "2\tA\t1\n2\tB\t2\n2\tC\t3\n2\tA\t4\n");
    assert_int_equal(lcf_prepare(&stats, NULL, &p.options, NULL), LCF_OK);
    assert_int_equal(json_integer_value(json_object_get(stats, "positives_without_negative")), 3);
    json_decref(stats);
    assert_int_equal(lcf_dataset_open(&d, p.out, NULL), LCF_OK);
    assert_int_equal(d.samples_n, 3 + 2 * 3);
    for (size_t i = 0; i < d.samples_n; i++)
        if (!d.sample_label[i])
            assert_int_equal(d.sample_item[i], 4); /* the one item user 2 left */
    lcf_dataset_close(&d);
    end(&p);
}

static void test_bad_rows(void **state)
{
    place p;
    lcf_err err = LCF_ERR_INIT;
    json_t *stats = NULL;

    (void)state;
    begin(&p);
    put(&p, "items.tsv",
        "item_id\ttitle\tbrand\tcategories\n"
        "A\ta\tUnknown\tx|y||x\n"
        "A\tagain\tz\tx\n"      /* 3: twice */
        "B\tonly two\n"         /* 4 */
        "\tno id\tz\tx\n"       /* 5 */
        "C\t\xff\xfe\tz\tx\n"); /* 6: not UTF-8 */
    put(&p, "interactions.tsv",
        "user_id\titem_id\ttimestamp\trating\n"
        "1\tA\t1\t5\n"
        "1\tA\tsoon\t5\n"          /* 3 */
        "1\tA\t1700000000000\t5\n" /* 4: milliseconds */
        "1\tA\t2\tgood\n"          /* 5 */
        "1\tA\t2\tnan\n"           /* 6 */
        "1\tA\t2\n"                /* 7 */
        "1\tA\t2\t5\t6\n"          /* 8 */
        "1\tB\t2\t5\n"
        "1\tA\t3\t5\n");
    assert_int_equal(lcf_prepare(NULL, NULL, &p.options, &err), LCF_ELIMIT);
    assert_non_null(strstr(err.text, "--max-bad-rows"));
    assert_string_equal(p.bad, "items.tsv:3 items.tsv:4 items.tsv:5 items.tsv:6 "
                               "interactions.tsv:3 interactions.tsv:4 interactions.tsv:5 "
                               "interactions.tsv:6 interactions.tsv:7 interactions.tsv:8 ");
    assert_false(lcf_path_exists(p.out));
    p.options.bad_rows_max = 10;
    assert_int_equal(lcf_prepare(&stats, NULL, &p.options, &err), LCF_OK);
    assert_int_equal(json_integer_value(json_object_get(stats, "bad_rows")), 10);
    assert_int_equal(json_integer_value(json_object_get(stats, "unknown_items")), 1);
    assert_int_equal(json_integer_value(json_object_get(stats, "brands")), 0);
    assert_int_equal(json_integer_value(json_object_get(stats, "categories")), 2);
    assert_int_equal(json_integer_value(json_object_get(stats, "interactions")), 3);
    json_decref(stats);
    end(&p);
}

static void fails(const place *p, lcf_status expected, const char *text)
{
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_prepare(NULL, NULL, &p->options, &err), expected);
    if (!strstr(err.text, text))
        fail_msg("'%s' should be in: %s", text, err.text);
    assert_false(lcf_path_exists(p->out));
}

static void test_errors(void **state)
{
    place p;

    (void)state;
    begin(&p);
    fails(&p, LCF_ENOENT, "neither");
    put(&p, "items.tsv", "");
    put(&p, "interactions.tsv", "user_id\titem_id\n1\t1\n");
    fails(&p, LCF_EFORMAT, "items.tsv:1");
    put(&p, "items.tsv", "item_id\ttitle\n1\tone\n");
    fails(&p, LCF_EFORMAT, "'timestamp'");
    put(&p, "interactions.tsv", "user_id\titem_id\ttimestamp\n");
    fails(&p, LCF_EINVAL, "no interaction");
    put(&p, "interactions.tsv", "user_id\titem_id\ttimestamp\n1\t1\t1\n");
    fails(&p, LCF_EINVAL, "no sample falls into train");
    p.options.samples.history_liked = true;
    fails(&p, LCF_EINVAL, "ratings");
    p.options.format = LCF_RAW_MOVIELENS;
    fails(&p, LCF_ENOENT, "movies.csv");
    p.options.format = LCF_RAW_AUTO;
    write_movielens(&p);
    fails(&p, LCF_EINVAL, "--format");
    end(&p);
}

/* The same inputs do nothing twice; another parameter, or a changed input, makes it again. */
static void test_up_to_date(void **state)
{
    place p;
    bool current = true;
    json_t *first = NULL, *second = NULL;

    (void)state;
    begin(&p);
    write_movielens(&p);
    assert_int_equal(lcf_prepare(&first, &current, &p.options, NULL), LCF_OK);
    assert_false(current);
    assert_int_equal(lcf_prepare(&second, &current, &p.options, NULL), LCF_OK);
    assert_true(current);
    assert_true(json_equal(first, second));
    p.options.samples.like = 3.0;
    assert_int_equal(lcf_prepare(NULL, &current, &p.options, NULL), LCF_OK);
    assert_false(current);
    put(&p, "ratings.csv", "userId,movieId,rating,timestamp\n7,10,5,1\n7,20,5,2\n7,30,5,3\n");
    assert_int_equal(lcf_prepare(NULL, &current, &p.options, NULL), LCF_OK);
    assert_false(current);
    p.options.force = true;
    assert_int_equal(lcf_prepare(NULL, &current, &p.options, NULL), LCF_OK);
    assert_false(current);
    json_decref(first);
    json_decref(second);
    end(&p);
}

/* Negatives of a user stay when other users come and go. */
static void test_negatives_are_local(void **state)
{
    lcf_fixture_options few = LCF_FIXTURE_OPTIONS_INIT;
    const char *log = "user_id\titem_id\ttimestamp\nu\ti1\t1\nu\ti2\t2\nu\ti3\t3\nu\ti4\t4\n";
    const char *more = "user_id\titem_id\ttimestamp\na\ti5\t1\na\ti6\t2\na\ti7\t3\nu\ti1\t1\n"
                       "u\ti2\t2\nu\ti3\t3\nu\ti4\t4\n";
    uint32_t items[3], n = 0;
    place p;
    lcf_dataset d;

    (void)state;
    begin(&p);
    assert_int_equal(lcf_fixture_write_log(p.raw, &few, NULL), LCF_OK);
    put(&p, "interactions.tsv", log);
    prepare_and_open(&d, &p);
    for (size_t i = 0; i < d.samples_n; i++)
        if (!d.sample_label[i])
            items[n++] = d.sample_item[i];
    assert_int_equal(n, 3);
    lcf_dataset_close(&d);
    put(&p, "interactions.tsv", more);
    prepare_and_open(&d, &p);
    n = 0;
    for (size_t i = 0; i < d.samples_n; i++)
        if (!d.sample_label[i] && d.sample_user[i] == lcf_strings_find(&d.user_id, "u", 1))
            assert_int_equal(d.sample_item[i], items[n++]);
    assert_int_equal(n, 3);
    lcf_dataset_close(&d);
    end(&p);
}

enum { GROWN_USERS = 30, GROWN_ROWS = 8, GROWN_ITEMS = 60 };

/* A log without ratings of so many rows a user, over so many items. */
static void write_grown(const place *p, size_t rows, size_t items)
{
    lcf_buf list = LCF_BUF_INIT, log = LCF_BUF_INIT;

    lcf_buf_printf(&list, "item_id\ttitle\n");
    for (size_t i = 0; i < items; i++)
        lcf_buf_printf(&list, "i%zu\tTitle %zu\n", i, i);
    lcf_buf_printf(&log, "user_id\titem_id\ttimestamp\n");
    for (size_t r = 0; r < rows; r++)
        for (size_t u = 0; u < GROWN_USERS; u++)
            lcf_buf_printf(&log, "u%zu\ti%zu\t%zu\n", u, (u * 7 + r * 11) % GROWN_ITEMS, r);
    put(p, "items.tsv", list.data);
    put(p, "interactions.tsv", log.data);
    lcf_buf_dispose(&list);
    lcf_buf_dispose(&log);
}

static bool holds(const lcf_dataset *d, lcf_hash128 hash)
{
    for (size_t i = 0; i < d->samples_n; i++) {
        const lcf_hash128 other = lcf_dataset_sample_hash(d, i);

        if (!memcmp(other.bytes, hash.bytes, sizeof(hash.bytes)))
            return true;
    }
    return false;
}

/* A day of rows and items more: indices stay, samples stay but for the few negatives that the new
 * rows and items take. */
static void test_growth_keeps_samples(void **state)
{
    lcf_dataset before, after;
    lcf_hash128 *hashes;
    size_t lost = 0, negatives = 0;
    place p;

    (void)state;
    begin(&p);
    write_grown(&p, GROWN_ROWS, GROWN_ITEMS);
    prepare_and_open(&before, &p);
    hashes = calloc(before.samples_n, sizeof(*hashes));
    assert_non_null(hashes);
    for (size_t i = 0; i < before.samples_n; i++)
        hashes[i] = lcf_dataset_sample_hash(&before, i);
    write_grown(&p, GROWN_ROWS + 1, GROWN_ITEMS + 1);
    prepare_and_open(&after, &p);
    for (uint32_t u = 1; u < before.users_n; u++) {
        const lcf_str id = lcf_strings_get(&before.user_id, u);

        assert_int_equal(lcf_strings_find(&after.user_id, id.data, id.len), u);
    }
    for (size_t i = 0; i < before.samples_n; i++) {
        const bool kept = holds(&after, hashes[i]);

        negatives += !before.sample_label[i];
        lost += !kept;
        assert_true(kept || !before.sample_label[i]);
    }
    assert_int_equal(negatives, GROWN_USERS * (GROWN_ROWS - 1));
    assert_true(lost <= negatives / 10); /* 1 of 60 by the item, 1 of 52 by the rows are expected */
    free(hashes);
    lcf_dataset_close(&before);
    lcf_dataset_close(&after);
    end(&p);
}

static void test_out_of_memory(void **state)
{
    place p;
    lcf_status status = LCF_ENOMEM;
    uint64_t n = 1;

    (void)state;
    begin(&p);
    write_movielens(&p);
    for (; status; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_prepare(NULL, NULL, &p.options, NULL);
        lcf_alloc_fail_at(0);
        /* A failure after the last step leaves all of it, any other nothing. */
        if (status && lcf_path_exists(p.out)) {
            assert_int_equal(lcf_manifest_verify(p.out, NULL), LCF_OK);
            p.options.force = true;
        }
        if (n > 5000)
            fail_msg("still failing: %s", lcf_status_text(status));
    }
    assert_true(n > 20);
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_movielens),
        cmocka_unit_test(test_liked_history),
        cmocka_unit_test(test_event_labels),
        cmocka_unit_test(test_ties_at_border),
        cmocka_unit_test(test_implicit),
        cmocka_unit_test(test_no_negative_left),
        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_up_to_date),
        cmocka_unit_test(test_negatives_are_local),
        cmocka_unit_test(test_growth_keeps_samples),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
