/* The request and the response in bytes: golden, round trip, and every way to be wrong. */
#include "tests/unit/test.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "online/rank/wire_binary.h"

static const char *const CANDIDATES[] = {"i3", "i404", "i9"};
static const char *const HISTORY[] = {"i1", "i4"};
static const lcf_rank_value CONTEXT[] = {{"hour", "20"}, {"place", "caf\xc3\xa9"}};

static const lcf_rank_value FEATURES[] = {{"city", "Oslo"}};
static const char *const CATEGORIES[] = {"Lamps", "Gifts"};
static const lcf_rank_item ITEMS[] = {{"i404", "A new lamp", "Alder", "to keep", CATEGORIES, 2},
                                      {"i405", NULL, NULL, NULL, NULL, 0}};

static lcf_rank_request request_of_test(void)
{
    return (lcf_rank_request){.user_id = "u7",
                              .arm = "din-ict",
                              .candidates = CANDIDATES,
                              .candidates_n = 3,
                              .history = HISTORY,
                              .history_n = 2,
                              .context = CONTEXT,
                              .context_n = 2,
                              .user_features = FEATURES,
                              .user_features_n = 1,
                              .k = 4,
                              .top = 10,
                              .time = 1700000000,
                              .strict = true,
                              .items = ITEMS,
                              .items_n = 2};
}

static lcf_buf bytes_of(const lcf_rank_request *request)
{
    lcf_buf out = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_wire_write_request_binary(&out, request, &err), &err);
    return out;
}

/* With LCF_WRITE_EXAMPLES in the environment it is written anew. */
static void check_golden(const lcf_buf *bytes, const char *name)
{
    char *path = lcf_path_join(getenv("LCF_SOURCE_DIR"), name);
    lcf_buf golden = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;

    if (getenv("LCF_WRITE_EXAMPLES"))
        assert_ok(lcf_file_write(path, bytes->data, bytes->len, &err), &err);
    assert_ok(lcf_file_read(&golden, path, 1 << 16, &err), &err);
    assert_int_equal(golden.len, bytes->len);
    assert_memory_equal(golden.data, bytes->data, bytes->len);
    lcf_buf_dispose(&golden);
    free(path);
}

static void requests_come_back(void **state)
{
    const lcf_rank_request sent = request_of_test();
    lcf_buf bytes = bytes_of(&sent);
    lcf_wire_request w;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    check_golden(&bytes, "schemas/examples/rank_request.bin");
    lcf_wire_init(&w);
    assert_ok(lcf_wire_parse_binary(&w, bytes.data, bytes.len, 3, &err), &err);
    assert_string_equal(w.request.user_id, "u7");
    assert_string_equal(w.request.arm, "din-ict");
    assert_int_equal(w.request.candidates_n, 3);
    assert_string_equal(w.request.candidates[2], "i9");
    assert_int_equal(w.request.history_n, 2);
    assert_string_equal(w.request.history[1], "i4");
    assert_int_equal(w.request.context_n, 2);
    assert_string_equal(w.request.context[1].name, "place");
    assert_string_equal(w.request.context[1].value, "caf\xc3\xa9");
    assert_int_equal(w.request.user_features_n, 1);
    assert_string_equal(w.request.user_features[0].name, "city");
    assert_string_equal(w.request.user_features[0].value, "Oslo");
    assert_int_equal(w.request.k, 4);
    assert_int_equal(w.request.top, 10);
    assert_int_equal(w.request.time, 1700000000);
    assert_true(w.request.strict && !w.request.explain);
    assert_int_equal(w.request.items_n, 2);
    assert_string_equal(w.request.items[0].item_id, "i404");
    assert_string_equal(w.request.items[0].text, "to keep");
    assert_int_equal(w.request.items[0].categories_n, 2);
    assert_string_equal(w.request.items[0].categories[1], "Gifts");
    assert_string_equal(w.request.items[1].item_id, "i405");
    assert_string_equal(w.request.items[1].title, "");
    assert_int_equal(w.request.items[1].categories_n, 0);
    lcf_wire_dispose(&w);
    lcf_buf_dispose(&bytes);
}

static void the_least_request(void **state)
{
    const lcf_rank_request sent = {.candidates = CANDIDATES, .candidates_n = 1};
    const lcf_rank_request empty = {
        .candidates = CANDIDATES, .candidates_n = 1, .history = HISTORY, .history_n = 0};
    lcf_buf bytes = bytes_of(&sent), with_history = bytes_of(&empty);
    lcf_wire_request w;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    lcf_wire_init(&w);
    assert_ok(lcf_wire_parse_binary(&w, with_history.data, with_history.len, 1, &err), &err);
    assert_non_null(w.request.history); /* empty is not missing */
    assert_ok(lcf_wire_parse_binary(&w, bytes.data, bytes.len, 1, &err), &err);
    assert_string_equal(w.request.user_id, "");
    assert_null(w.request.arm);
    assert_null(w.request.history);
    assert_int_equal(w.request.context_n, 0);
    lcf_wire_dispose(&w);
    lcf_buf_dispose(&bytes);
    lcf_buf_dispose(&with_history);
}

/* One byte of the request is another. */
static void expect_refusal(size_t at, unsigned char value, lcf_status status, const char *says)
{
    const lcf_rank_request sent = request_of_test();
    lcf_buf bytes = bytes_of(&sent);
    lcf_wire_request w;
    lcf_err err = LCF_ERR_INIT;

    lcf_wire_init(&w);
    bytes.data[at] = (char)value;
    assert_int_equal(lcf_wire_parse_binary(&w, bytes.data, bytes.len, 3, &err), status);
    if (!strstr(err.text, says))
        fail_msg("expected \"%s\", got \"%s\"", says, err.text);
    assert_int_equal(w.request.candidates_n, 0);
    lcf_wire_dispose(&w);
    lcf_buf_dispose(&bytes);
}

static void what_is_wrong_is_refused(void **state)
{
    const lcf_rank_request sent = request_of_test();
    lcf_buf bytes = bytes_of(&sent);
    const size_t features = bytes.len - sizeof("city") - sizeof("Oslo") - sizeof(uint16_t);

    (void)state;
    expect_refusal(0, 'X', LCF_EFORMAT, "does not begin with LCFQ");
    expect_refusal(4, 2, LCF_EVERSION, "version 2, this program reads 1");
    expect_refusal(6, 31, LCF_EFORMAT, "unknown flags");
    expect_refusal(6, 7, LCF_EFORMAT, "left over");
    expect_refusal(6, 3, LCF_EFORMAT, "left over");
    expect_refusal(6, 2, LCF_EFORMAT, "a history without its flag");
    expect_refusal(8, 0, LCF_ELIMIT, "\"candidates\" has 0 items");
    expect_refusal(8, 4, LCF_ELIMIT, "\"candidates\" has 4 items; 1 to 3 are allowed");
    expect_refusal(8, 2, LCF_ELIMIT, "the number of items is");
    expect_refusal(14, 1, LCF_ELIMIT, "\"history\" has 65538 items");
    expect_refusal(12, 3, LCF_ELIMIT, "the number of items is");
    expect_refusal(13, 1, LCF_EFORMAT, "the bytes end within");
    expect_refusal(16, 65, LCF_ELIMIT, "a context of 65 values");
    expect_refusal(20, 17, LCF_ELIMIT, "k is 17");
    expect_refusal(23, 255, LCF_ELIMIT, "top is");
    expect_refusal(31, 0x80, LCF_ELIMIT, "the time");
    expect_refusal(32, 0xff, LCF_EFORMAT, "user_id is not UTF-8");
    expect_refusal(features, 65, LCF_ELIMIT, "the number of the user's features is 65");
    expect_refusal(features, 2, LCF_EFORMAT, "the bytes end within the user's features");
    lcf_buf_dispose(&bytes);
}

static void every_cut_is_refused(void **state)
{
    const lcf_rank_request sent = request_of_test();
    lcf_buf bytes = bytes_of(&sent);
    lcf_wire_request w;

    (void)state;
    lcf_wire_init(&w);
    for (size_t n = 0; n < bytes.len; n++) {
        char *cut = lcf_alloc(n + 1, 1); /* so that a sanitizer sees a byte too far */

        memcpy(cut, bytes.data, n);
        assert_int_equal(lcf_wire_parse_binary(&w, cut, n, 3, NULL), LCF_EFORMAT);
        free(cut);
    }
    lcf_wire_dispose(&w);
    lcf_buf_dispose(&bytes);
}

static void long_ids_are_refused(void **state)
{
    char id[LCF_WIRE_ID_BYTES_MAX + 2];
    const char *candidate = id;
    const lcf_rank_request sent = {.candidates = &candidate, .candidates_n = 1};
    lcf_buf bytes;
    lcf_wire_request w;

    (void)state;
    lcf_wire_init(&w);
    memset(id, 'x', sizeof(id));
    id[LCF_WIRE_ID_BYTES_MAX + 1] = '\0';
    bytes = bytes_of(&sent);
    assert_int_equal(lcf_wire_parse_binary(&w, bytes.data, bytes.len, 1, NULL), LCF_ELIMIT);
    lcf_buf_dispose(&bytes);
    id[LCF_WIRE_ID_BYTES_MAX] = '\0';
    bytes = bytes_of(&sent);
    assert_int_equal(lcf_wire_parse_binary(&w, bytes.data, bytes.len, 1, NULL), LCF_OK);
    lcf_buf_dispose(&bytes);
    lcf_wire_dispose(&w);
}

/* As in JSON: the request log writes them as members of an object. */
static void names_that_stand_twice_are_refused(void **state)
{
    static const lcf_rank_value twice[] = {{"city", "Oslo"}, {"age", "7"}, {"city", "Rome"}};
    const lcf_rank_request sent[] = {
        {.candidates = CANDIDATES, .candidates_n = 1, .context = twice, .context_n = 3},
        {.candidates = CANDIDATES, .candidates_n = 1, .user_features = twice, .user_features_n = 3},
        /* a field of the context and one of the user may have the same name */
        {.candidates = CANDIDATES,
         .candidates_n = 1,
         .context = twice,
         .context_n = 2,
         .user_features = twice,
         .user_features_n = 2},
    };
    lcf_wire_request w;

    (void)state;
    lcf_wire_init(&w);
    for (size_t i = 0; i < 3; i++) {
        lcf_err err = LCF_ERR_INIT;
        lcf_buf bytes = bytes_of(&sent[i]);

        assert_int_equal(lcf_wire_parse_binary(&w, bytes.data, bytes.len, 1, &err),
                         i < 2 ? LCF_EFORMAT : LCF_OK);
        assert_true(i == 2 || strstr(err.text, "\"city\" stands twice"));
        lcf_buf_dispose(&bytes);
    }
    lcf_wire_dispose(&w);
}

static void too_many_items_are_refused(void **state)
{
    const lcf_rank_item items[] = {{.item_id = "a"}, {.item_id = "b"}};
    const char *many[LCF_WIRE_CATEGORIES_MAX + 1];
    lcf_rank_item crowded = {.item_id = "a", .categories = many};
    lcf_rank_request sent = {
        .candidates = CANDIDATES, .candidates_n = 1, .items = items, .items_n = 2};
    lcf_buf bytes = bytes_of(&sent);
    lcf_wire_request w;

    (void)state;
    lcf_wire_init(&w);
    assert_int_equal(lcf_wire_parse_binary(&w, bytes.data, bytes.len, 1, NULL), LCF_ELIMIT);
    assert_int_equal(lcf_wire_parse_binary(&w, bytes.data, bytes.len, 2, NULL), LCF_OK);
    lcf_buf_dispose(&bytes);
    for (size_t i = 0; i < LCF_WIRE_CATEGORIES_MAX + 1; i++)
        many[i] = "c";
    sent.items = &crowded;
    sent.items_n = 1;
    for (size_t extra = 0; extra < 2; extra++) {
        crowded.categories_n = LCF_WIRE_CATEGORIES_MAX + extra;
        bytes = bytes_of(&sent);
        assert_int_equal(lcf_wire_parse_binary(&w, bytes.data, bytes.len, 1, NULL),
                         extra ? LCF_ELIMIT : LCF_OK);
        lcf_buf_dispose(&bytes);
    }
    crowded.categories_n = UINT16_MAX + 1; /* none of them is looked at */
    bytes = (lcf_buf)LCF_BUF_INIT;
    assert_int_equal(lcf_wire_write_request_binary(&bytes, &sent, NULL), LCF_EINVAL);
    assert_int_equal(bytes.len, 0);
    lcf_wire_dispose(&w);
}

static void golden_response(void **state)
{
    const lcf_rank_result results[] = {
        {.candidate = 2, .score = 0.8125f, .examples_n = 2},
        {.candidate = 0, .score = 0.5f, .degraded = "no_examples"},
        {.candidate = 1, .score = 0.25f, .examples_n = 2, .degraded = "unknown_item"},
        {.candidate = 3, .score = 0.125f, .degraded = "a reason of a later version"},
    };
    const lcf_rank_response response = {.generation = "20261122T020000Z",
                                        .arm = "din-ict",
                                        .results = results,
                                        .results_n = 4,
                                        .degraded = "unknown_user",
                                        .degraded_n = 3,
                                        .retrieve_ms = 0.5,
                                        .ict_ms = 0.875,
                                        .score_ms = 1.25,
                                        .total_ms = 1.875};
    lcf_buf out = LCF_BUF_INIT;

    (void)state;
    lcf_wire_write_binary(&out, &response);
    check_golden(&out, "schemas/examples/rank_response.bin");
    lcf_buf_dispose(&out);
    assert_int_equal(lcf_wire_degraded(NULL), 0);
    assert_int_equal(lcf_wire_degraded("unknown_arm"), 7);
    assert_int_equal(lcf_wire_degraded("other"), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_come_back),
        cmocka_unit_test(the_least_request),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(long_ids_are_refused),
        cmocka_unit_test(golden_response),
        cmocka_unit_test(names_that_stand_twice_are_refused),
        cmocka_unit_test(too_many_items_are_refused),
    };

    return cmocka_run_group_tests_name("wire_binary", tests, NULL, NULL);
}
