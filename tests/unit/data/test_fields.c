/* Fields: hand-worked columns in, exactly these ids out; what a schema may not say; files that lie.
 */
#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/data/fields.h"
#include "offline/data/prepare.h"
#include "tests/unit/data/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ITEMS[] = "item_id\ttitle\tbrand\tprice\tactors\n"
                            "A\tfirst\tX\t1\tann|bob\n"
                            "B\tsecond\tY\t10\tbob|cid|bob\n"
                            "C\tthird\tX\t\tdan\n"
                            "D\tfourth\tX\t100\t\n";
static const char USERS[] = "user_id\tcity\tlikes\n"
                            "2\tRome\tB,A,B,A\n"
                            "9\tOslo\tA\n"
                            "1\tParis\tZ,C\n";
static const char ROWS[] = "user_id\titem_id\ttimestamp\trating\tsplit\tdevice\tquery\n"
                           "1\tA\t1\t5\ttrain\tphone\tred shoes\n"
                           "1\tB\t2\t1\ttrain\tphone\t\n"
                           "2\tA\t3\t5\ttrain\tdesk\tblue\n"
                           "2\tC\t4\t5\tvalid\tphone\tblue\n"
                           "1\tD\t5\t2\ttest\twatch\tred shoes\n";
static const char SCHEMA[] = "users:\n"
                             "  city: {kind: categorical}\n"
                             "  likes: {kind: sequence, table: item, max: 3}\n"
                             "items:\n"
                             "  price: {kind: numeric, transform: log, buckets: [5, 50]}\n"
                             "  actors: {kind: multi, min_count: 2}\n"
                             "  cover: {kind: vector, file: covers.tsv}\n"
                             "context:\n"
                             "  device: {kind: categorical}\n"
                             "  query: {kind: hashed, separator: ' ', buckets: 7}\n";
static const char COVERS[] = "item_id\tvector\nB\t1 -2.5 3\nZ\t9 9 9\nA\t0.5 0 0\n";

typedef struct place {
    char *raw, *out, *schema;
    lcf_prepare_options options;
    char bad[256]; /* "file:line reason " */
} place;

static void note_bad(void *arg, const char *file, size_t line, const char *reason)
{
    place *p = arg;
    const size_t len = strlen(p->bad);

    snprintf(p->bad + len, sizeof(p->bad) - len, "%s:%zu %s;", strrchr(file, '/') + 1, line,
             reason);
}

static void put(const place *p, const char *name, const char *text)
{
    char *path = lcf_path_join(p->raw, name);

    assert_int_equal(lcf_file_write(path, text, strlen(text), NULL), LCF_OK);
    free(path);
}

static void begin(place *p)
{
    const lcf_prepare_options defaults = LCF_PREPARE_OPTIONS_INIT;

    memset(p, 0, sizeof(*p));
    p->raw = lcf_fixture_dir();
    p->out = lcf_path_join(p->raw, "dataset");
    p->schema = lcf_path_join(p->raw, "fields.yaml");
    p->options = defaults;
    p->options.input_dir = p->raw;
    p->options.out_dir = p->out;
    p->options.fields = p->schema;
    p->options.samples.history_min = 0;
    p->options.bad_row = note_bad;
    p->options.bad_row_arg = p;
    put(p, "items.tsv", ITEMS);
    put(p, "users.tsv", USERS);
    put(p, "interactions.tsv", ROWS);
    put(p, "covers.tsv", COVERS);
    put(p, "fields.yaml", SCHEMA);
}

static void end(place *p)
{
    lcf_dir_remove(p->raw, NULL);
    free(p->raw);
    free(p->out);
    free(p->schema);
}

/* "name: entity ids ..." of every entity that has ids. */
static void ids_are(const lcf_dataset *d, lcf_field_owner owner, const char *name,
                    const char *expected)
{
    const lcf_field *f = lcf_fields_find(d->fields, owner, name);
    char text[256] = "";

    assert_non_null(f);
    for (size_t i = 0; i < f->entities_n; i++) {
        if (f->offsets[i] == f->offsets[i + 1])
            continue;
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%zu:", i);
        for (uint64_t j = f->offsets[i]; j < f->offsets[i + 1]; j++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%u,", f->ids[j]);
    }
    assert_string_equal(text, expected);
}

static void every_kind_is_encoded(void **state)
{
    place p;
    lcf_dataset d;
    lcf_err err = LCF_ERR_INIT;
    const lcf_field *cover;

    (void)state;
    begin(&p);
    if (lcf_prepare(NULL, NULL, &p.options, &err) || lcf_dataset_open(&d, p.out, &err))
        fail_msg("%s", err.text);
    assert_non_null(d.fields);
    assert_int_equal(d.fields->n, 7);
    /* Rome comes first in users.tsv; Oslo is that of a user whom the log does not know. */
    ids_are(&d, LCF_FIELD_USER, "city", "1:3,2:2,");
    /* The last three of B,A,B,A; the item Z is unknown. */
    ids_are(&d, LCF_FIELD_USER, "likes", "1:3,2:1,2,1,");
    /* Edges log(6) and log(51): 1 -> bucket 1, 10 -> 2, 100 -> 3; C has no price. */
    ids_are(&d, LCF_FIELD_ITEM, "price", "1:1,2:2,4:3,");
    /* Only bob occurs twice; ann, cid and dan are out of vocabulary, B's second bob is no news. */
    ids_are(&d, LCF_FIELD_ITEM, "actors", "1:1,2,2:2,1,3:1,");
    /* Samples by split and time; watch never occurs in train. */
    ids_are(&d, LCF_FIELD_CONTEXT, "device", "0:2,1:2,2:3,3:2,4:1,");
    cover = lcf_fields_find(d.fields, LCF_FIELD_ITEM, "cover");
    assert_int_equal(cover->dim, 3);
    assert_true(cover->frozen);
    assert_true(cover->vectors[3] == 0.5f && cover->vectors[7] == -2.5f &&
                cover->vectors[9] == 0.0f);
    lcf_dataset_close(&d);
    end(&p);
}

static void hashed_values_and_requests_agree(void **state)
{
    place p;
    lcf_dataset d;
    const lcf_field *query;
    lcf_field_names names;
    uint32_t ids[LCF_FIELD_VALUES_MAX];
    size_t n;

    (void)state;
    begin(&p);
    assert_int_equal(lcf_prepare(NULL, NULL, &p.options, NULL), LCF_OK);
    assert_int_equal(lcf_dataset_open(&d, p.out, NULL), LCF_OK);
    names = (lcf_field_names){&d.user_id, &d.catalogue};
    query = lcf_fields_find(d.fields, LCF_FIELD_CONTEXT, "query");
    assert_int_equal(query->table_rows, 8);
    n = lcf_field_encode(ids, NULL, d.fields, query, &names, (lcf_str){"red shoes", 9});
    assert_int_equal(n, query->offsets[1] - query->offsets[0]);
    assert_memory_equal(ids, query->ids + query->offsets[0], n * sizeof(*ids));
    assert_int_equal(query->offsets[1], query->offsets[2]); /* an empty query has no value */
    for (size_t i = 0; i < n; i++)
        assert_true(ids[i] >= 1 && ids[i] < query->table_rows);
    lcf_dataset_close(&d);
    end(&p);
}

static void quantiles_are_those_of_the_training_rows(void **state)
{
    place p;
    lcf_dataset d;
    const lcf_field *f;

    (void)state;
    begin(&p);
    put(&p, "fields.yaml", "context:\n  hour: {kind: numeric, buckets: 2}\n");
    put(&p, "interactions.tsv",
        "user_id\titem_"
        "id\ttimestamp\trating\tsplit\thour\n1\tA\t1\t5\ttrain\t3\n1\tB\t2\t5\ttrain\t7\n"
        "1\tC\t3\t5\ttrain\t5\n1\tD\t4\t5\tvalid\t100\n2\tA\t5\t5\ttest\t7\n");
    assert_int_equal(lcf_prepare(NULL, NULL, &p.options, NULL), LCF_OK);
    assert_int_equal(lcf_dataset_open(&d, p.out, NULL), LCF_OK);
    f = lcf_fields_find(d.fields, LCF_FIELD_CONTEXT, "hour");
    assert_int_equal(f->edges_n, 1);
    assert_true(f->edges[0] == 5.0);
    ids_are(&d, LCF_FIELD_CONTEXT, "hour", "0:1,1:2,2:2,3:2,4:2,");
    lcf_dataset_close(&d);
    end(&p);
}

static void bad_numbers_are_named(void **state)
{
    place p;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    begin(&p);
    put(&p, "items.tsv", "item_id\ttitle\tprice\tactors\nA\tfirst\tcheap\t\n");
    assert_int_equal(lcf_prepare(NULL, NULL, &p.options, &err), LCF_ELIMIT);
    assert_string_equal(p.bad, "items.tsv:2 the value of 'price' is not a number;");
    p.options.bad_rows_max = 1;
    assert_int_equal(lcf_prepare(NULL, NULL, &p.options, NULL), LCF_OK);
    end(&p);
}

static void refused(const char *schema, lcf_status status, const char *word)
{
    place p;
    lcf_err err = LCF_ERR_INIT;

    begin(&p);
    put(&p, "fields.yaml", schema);
    assert_int_equal(lcf_prepare(NULL, NULL, &p.options, &err), status);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not say '%s'", err.text, word);
    assert_false(lcf_path_exists(p.out));
    end(&p);
}

static void schemas_are_checked(void **state)
{
    (void)state;
    refused("movies: {}\n", LCF_EFORMAT, "'movies' is none of");
    refused("items: {price: {kind: money}}\n", LCF_EFORMAT, "items.price: kind must be");
    refused("items: {Price: {kind: numeric}}\n", LCF_EFORMAT, "a name has");
    refused("items: {price: {kind: numeric, max: 3}}\n", LCF_EFORMAT, "has no 'max'");
    refused("items: {price: {kind: numeric, buckets: [2, 1]}}\n", LCF_EFORMAT, "numbers that rise");
    refused("items: {price: {kind: numeric, buckets: 1}}\n", LCF_EFORMAT, "buckets must be");
    refused("items: {actors: {kind: multi, table: users.city}}\n", LCF_EFORMAT, "table must be");
    refused("items: {actors: {kind: multi, separator: ab}}\n", LCF_EFORMAT, "separator must be");
    refused("items: {actors: {kind: hashed}}\n", LCF_EFORMAT, "buckets must say");
    refused("context: {cover: {kind: vector, file: covers.tsv}}\n", LCF_EFORMAT, "vectors belong");
    refused("items: {cover: {kind: vector, file: no.tsv}}\n", LCF_ENOENT, "no.tsv");
    refused("items: {cover: {kind: vector, file: users.tsv}}\n", LCF_EFORMAT, "users.tsv:1:");
    refused("items: {colour: {kind: categorical}}\n", LCF_EFORMAT, "no column 'colour'");
}

static void shared_tables_share_rows(void **state)
{
    place p;
    lcf_dataset d;

    (void)state;
    begin(&p);
    put(&p, "fields.yaml",
        "items: {actors: {kind: multi}}\n"
        "context: {device: {kind: categorical, table: items.actors}}\n");
    put(&p, "interactions.tsv",
        "user_id\titem_id\ttimestamp\trating\tsplit\tdevice\n"
        "1\tA\t1\t5\ttrain\tcid\n1\tB\t2\t5\tvalid\teve\n"
        "1\tC\t3\t5\ttest\tann\n");
    assert_int_equal(lcf_prepare(NULL, NULL, &p.options, NULL), LCF_OK);
    assert_int_equal(lcf_dataset_open(&d, p.out, NULL), LCF_OK);
    ids_are(&d, LCF_FIELD_ITEM, "actors", "1:2,3,2:3,4,3:5,");
    ids_are(&d, LCF_FIELD_CONTEXT, "device", "0:4,1:1,2:2,");
    lcf_dataset_close(&d);
    end(&p);
}

/* A log without brands has a table of them all the same: the unknown one alone. */
static void a_table_may_be_empty(void **state)
{
    place p;
    lcf_dataset d;

    (void)state;
    begin(&p);
    put(&p, "fields.yaml", "items: {actors: {kind: multi, table: brand}}\n");
    put(&p, "items.tsv", "item_id\ttitle\tactors\nA\tfirst\tann|bob\nB\tsecond\tbob\n");
    assert_int_equal(lcf_prepare(NULL, NULL, &p.options, NULL), LCF_OK);
    assert_int_equal(lcf_dataset_open(&d, p.out, NULL), LCF_OK);
    assert_int_equal(d.fields->list[0].table_rows, 1);
    ids_are(&d, LCF_FIELD_ITEM, "actors", "");
    lcf_dataset_close(&d);
    end(&p);
}

/* A file whose ids leave their table, or whose field is of another dataset. */
static void files_that_lie_are_refused(void **state)
{
    static const uint64_t offsets[] = {0, 1, 1, 2};
    uint32_t ids[] = {1, 2};
    double edges[] = {1.0};
    lcf_fields fields = {.n = 1,
                         .list = {{.name = "age",
                                   .owner = LCF_FIELD_USER,
                                   .kind = LCF_FIELD_NUMERIC,
                                   .table_rows = 3,
                                   .values_max = 1,
                                   .edges = edges,
                                   .edges_n = 1,
                                   .entities_n = 3,
                                   .offsets = offsets,
                                   .ids = ids}}};
    place p;
    lcf_fields read;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    begin(&p);
    assert_int_equal(lcf_fields_save(p.out, &fields, NULL), LCF_OK);
    assert_int_equal(lcf_fields_open(&read, p.out, NULL), LCF_OK);
    assert_int_equal(read.list[0].ids[1], 2);
    lcf_fields_close(&read);
    ids[1] = 3;
    assert_int_equal(lcf_fields_save(p.out, &fields, NULL), LCF_OK);
    assert_int_equal(lcf_fields_open(&read, p.out, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "field 0 (age): field.0.ids[1] is 3"));
    ids[1] = 0;
    assert_int_equal(lcf_fields_save(p.out, &fields, NULL), LCF_OK);
    assert_int_equal(lcf_fields_open(&read, p.out, NULL), LCF_EFORMAT);
    ids[1] = 2;
    fields.list[0].table_rows = 4;
    assert_int_equal(lcf_fields_save(p.out, &fields, NULL), LCF_OK);
    assert_int_equal(lcf_fields_open(&read, p.out, NULL), LCF_EFORMAT);
    end(&p);
}

/* A request brings its context as texts: nothing could ever fill a vector of it. */
static void a_vector_of_the_context_is_refused(void **state)
{
    static const float vectors[] = {0.0f, 0.0f, 1.0f, 2.0f};
    lcf_fields fields = {.n = 1,
                         .list = {{.name = "mood",
                                   .owner = LCF_FIELD_USER,
                                   .kind = LCF_FIELD_VECTOR,
                                   .dim = 2,
                                   .frozen = true,
                                   .entities_n = 2,
                                   .vectors = vectors}}};
    place p;
    lcf_fields read;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    begin(&p);
    assert_int_equal(lcf_fields_save(p.out, &fields, &err), LCF_OK);
    assert_int_equal(lcf_fields_open(&read, p.out, &err), LCF_OK);
    lcf_fields_close(&read);
    fields.list[0].owner = LCF_FIELD_CONTEXT;
    assert_int_equal(lcf_fields_save(p.out, &fields, &err), LCF_OK);
    assert_int_equal(lcf_fields_open(&read, p.out, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "field 0 (mood): vectors belong to users and items"));
    end(&p);
}

static void out_of_memory_leaves_all_or_nothing(void **state)
{
    place p;
    lcf_status status = LCF_ENOMEM;

    (void)state;
    begin(&p);
    for (uint64_t n = 1; status == LCF_ENOMEM && n < 5000; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_prepare(NULL, NULL, &p.options, NULL);
        lcf_alloc_fail_at(0);
        /* A failure after the last step leaves all of it, any other nothing. */
        if (status && lcf_path_exists(p.out)) {
            assert_int_equal(lcf_manifest_verify(p.out, NULL), LCF_OK);
            p.options.force = true;
        }
    }
    assert_int_equal(status, LCF_OK);
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_encoded),
        cmocka_unit_test(hashed_values_and_requests_agree),
        cmocka_unit_test(quantiles_are_those_of_the_training_rows),
        cmocka_unit_test(bad_numbers_are_named),
        cmocka_unit_test(schemas_are_checked),
        cmocka_unit_test(shared_tables_share_rows),
        cmocka_unit_test(a_table_may_be_empty),
        cmocka_unit_test(files_that_lie_are_refused),
        cmocka_unit_test(a_vector_of_the_context_is_refused),
        cmocka_unit_test(out_of_memory_leaves_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
