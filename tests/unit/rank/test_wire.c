/* Requests from outside and responses to it: what is taken, what is refused and why, and that
 * whatever is written parses. */
#include "tests/unit/test.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "online/rank/wire.h"

static lcf_status parse(lcf_wire_request *w, const char *text, lcf_err *err)
{
    *err = (lcf_err)LCF_ERR_INIT;
    return lcf_wire_parse(w, text, strlen(text), "body", 5, err);
}

static void full_request(void **state)
{
    lcf_wire_request w;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    lcf_wire_init(&w);
    assert_ok(
        parse(&w,
              "{\"user_id\": \"u\\u00e9\", \"candidates\": [\"a\", \"b\", \"a\"], \"history\": "
              "[\"x\", \"y\"], \"arm\": \"din\", \"k\": 2, \"top\": 1, \"time\": 1700000000, "
              "\"strict\": true, \"explain\": true}",
              &err),
        &err);
    assert_string_equal(w.request.user_id, "u\xc3\xa9");
    assert_int_equal(w.request.candidates_n, 3);
    assert_string_equal(w.request.candidates[2], "a");
    assert_int_equal(w.request.history_n, 2);
    assert_string_equal(w.request.history[0], "x");
    assert_string_equal(w.request.arm, "din");
    assert_int_equal(w.request.k, 2);
    assert_int_equal(w.request.top, 1);
    assert_int_equal(w.request.time, 1700000000);
    assert_true(w.request.strict && w.request.explain);

    /* The same request is used again and forgets. */
    assert_ok(parse(&w, "{\"candidates\": [\"a\"]}", &err), &err);
    assert_null(w.request.user_id);
    assert_null(w.request.history);
    assert_null(w.request.arm);
    assert_false(w.request.explain);
    assert_ok(parse(&w, "{\"candidates\": [\"a\"], \"history\": []}", &err), &err);
    assert_non_null(w.request.history); /* empty is not missing */
    assert_int_equal(w.request.history_n, 0);
    lcf_wire_dispose(&w);
}

static void golden_request(void **state)
{
    char *path = lcf_path_join(getenv("LCF_SOURCE_DIR"), "schemas/examples/rank_request.json");
    lcf_buf text = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_wire_request w;

    (void)state;
    lcf_wire_init(&w);
    assert_ok(lcf_file_read(&text, path, 1 << 16, &err), &err);
    assert_ok(lcf_wire_parse(&w, text.data, text.len, path, 2000, &err), &err);
    assert_string_equal(w.request.user_id, "u7");
    assert_int_equal(w.request.candidates_n, 3);
    assert_int_equal(w.request.items_n, 1);
    assert_string_equal(w.request.items[0].item_id, "i404");
    assert_string_equal(w.request.items[0].title, "A new lamp");
    assert_string_equal(w.request.items[0].brand, "Alder");
    assert_string_equal(w.request.items[0].text, "to keep");
    assert_int_equal(w.request.items[0].categories_n, 2);
    assert_string_equal(w.request.items[0].categories[1], "Gifts");
    assert_int_equal(w.request.context_n, 0);
    assert_int_equal(w.request.user_features_n, 1);
    assert_string_equal(w.request.user_features[0].name, "city");
    assert_string_equal(w.request.user_features[0].value, "Oslo");
    lcf_wire_dispose(&w);
    lcf_buf_dispose(&text);
    free(path);
}

static void refusals(void **state)
{
    static const struct {
        const char *text;
        lcf_status status;
        const char *says;
    } cases[] = {
        {"", LCF_EFORMAT, "not valid JSON"},
        {"{\"candidates\": [\"a\"]", LCF_EFORMAT, "body:1:"},
        {"{\"candidates\": [\"a\"]} x", LCF_EFORMAT, "not valid JSON"},
        {"[\"a\"]", LCF_EFORMAT, "JSON object"},
        {"{}", LCF_EFORMAT, "\"candidates\" must be"},
        {"{\"candidates\": \"a\"}", LCF_EFORMAT, "\"candidates\" must be"},
        {"{\"candidates\": []}", LCF_ELIMIT, "0 items"},
        {"{\"candidates\": [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"]}", LCF_ELIMIT, "6 items"},
        {"{\"candidates\": [\"a\", 7]}", LCF_EFORMAT, "\"candidates\"[1] must be a string"},
        {"{\"candidates\": [\"a\"], \"candidates\": [\"b\"]}", LCF_EFORMAT, "duplicate"},
        {"{\"candidates\": [\"a\"], \"expalin\": true}", LCF_EFORMAT, "unknown member \"expalin\""},
        {"{\"candidates\": [\"a\"], \"explain\": 1}", LCF_EFORMAT, "true or false"},
        {"{\"candidates\": [\"a\"], \"k\": 0}", LCF_ELIMIT, "\"k\" must be between"},
        {"{\"candidates\": [\"a\"], \"k\": 2.5}", LCF_EFORMAT, "integer"},
        {"{\"candidates\": [\"a\"], \"top\": -1}", LCF_ELIMIT, "\"top\""},
        {"{\"candidates\": [\"a\"], \"time\": -5}", LCF_ELIMIT, "\"time\""},
        {"{\"candidates\": [\"a\"], \"history\": [null]}", LCF_EFORMAT, "\"history\"[0]"},
        {"{\"candidates\": [\"a\"], \"user_id\": \"\\u0000\"}", LCF_EFORMAT, "not valid JSON"},
        {"{\"candidates\": [\"a\"], \"context\": [1]}", LCF_EFORMAT,
         "\"context\" must be an object"},
        {"{\"candidates\": [\"a\"], \"user_features\": \"x\"}", LCF_EFORMAT,
         "\"user_features\" must"},
        {"{\"candidates\": [\"a\"], \"user_features\": {\"age\": 7}}", LCF_EFORMAT,
         "\"age\" must be"},
        {"{\"candidates\": [\"a\"], \"items\": {}}", LCF_EFORMAT, "array of objects"},
        {"{\"candidates\": [\"a\"], \"items\": [1]}", LCF_EFORMAT, "\"items\"[0]: it must be"},
        {"{\"candidates\": [\"a\"], \"items\": [{\"title\": \"x\"}]}", LCF_EFORMAT, "\"item_id\""},
        {"{\"candidates\": [\"a\"], \"items\": [{\"item_id\": \"a\", \"tilte\": \"x\"}]}",
         LCF_EFORMAT, "unknown member \"tilte\""},
        {"{\"candidates\": [\"a\"], \"items\": [{\"item_id\": \"a\", \"categories\": [1]}]}",
         LCF_EFORMAT, "\"categories\" must be a string"},
        {"{\"candidates\": [\"a\"], \"items\": [{\"item_id\": \"a\", \"categories\": \"x\"}]}",
         LCF_EFORMAT, "array of texts"},
        {"{\"candidates\": [\"a\"], \"items\": [{\"item_id\": \"a\"}, {\"item_id\": \"a\"}, "
         "{\"item_id\": \"a\"}, {\"item_id\": \"a\"}, {\"item_id\": \"a\"}, {\"item_id\": \"a\"}]}",
         LCF_ELIMIT, "\"items\" has 6"},
        {"{\"candidates\": [\"\xff\"]}", LCF_EFORMAT, "not valid JSON"},
    };
    lcf_wire_request w;
    lcf_err err;

    (void)state;
    lcf_wire_init(&w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        lcf_status status = parse(&w, cases[i].text, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].says))
            fail_msg("%s: %d %s", cases[i].text, status, err.text);
        assert_int_equal(w.request.candidates_n, 0);
    }
    lcf_wire_dispose(&w);
}

static void id_too_long(void **state)
{
    char text[512];
    lcf_wire_request w;
    lcf_err err;

    (void)state;
    lcf_wire_init(&w);
    snprintf(text, sizeof(text), "{\"candidates\": [\"%0*d\"]}", LCF_WIRE_ID_BYTES_MAX, 0);
    assert_ok(parse(&w, text, &err), &err);
    snprintf(text, sizeof(text), "{\"candidates\": [\"%0*d\"]}", LCF_WIRE_ID_BYTES_MAX + 1, 0);
    assert_int_equal(parse(&w, text, &err), LCF_ELIMIT);
    lcf_wire_dispose(&w);
}

static void strings_always_parse(void **state)
{
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"a\"b\\c/d\n\t\x01\x7f", "a\"b\\c/d\n\t\x01\x7f"},
        {"Am\xc3\xa9lie \xf0\x9f\x8e\xac", "Am\xc3\xa9lie \xf0\x9f\x8e\xac"},
        {"\xff", "\xef\xbf\xbd"},                                   /* no UTF-8 at all */
        {"x\xed\xa0\x80", "x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
        {"\xc3", "\xef\xbf\xbd"},                                   /* cut off */
        {"", ""},
    };
    lcf_buf out = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *json = NULL;
        lcf_buf_reset(&out);
        lcf_buf_append_char(&out, '[');
        lcf_wire_write_string(&out, cases[i][0]);
        lcf_buf_append_char(&out, ']');
        assert_ok(lcf_json_parse(&json, out.data, out.len, "written", &err), &err);
        assert_string_equal(json_string_value(json_array_get(json, 0)), cases[i][1]);
        json_decref(json);
    }
    lcf_buf_dispose(&out);
}

/* The golden response is what the writer writes; with LCF_WRITE_EXAMPLES in the environment it is
 * written anew. */
static void check_golden(const lcf_rank_response *response, const char *name)
{
    const lcf_wire_options pretty = {true, false};
    char *path = lcf_path_join(getenv("LCF_SOURCE_DIR"), name);
    lcf_buf golden = LCF_BUF_INIT, out = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;

    lcf_wire_write(&out, response, &pretty);
    if (getenv("LCF_WRITE_EXAMPLES"))
        assert_ok(lcf_file_write(path, out.data, out.len, &err), &err);
    assert_ok(lcf_file_read(&golden, path, 1 << 16, &err), &err);
    assert_string_equal(out.data, golden.data);
    assert_null(strstr(out.data, "user_id")); /* other people's */
    lcf_buf_dispose(&golden);
    lcf_buf_dispose(&out);
    free(path);
}

static void golden_response(void **state)
{
    const lcf_rank_example examples[] = {
        {.key = "00112233445566778899aabbccddeeff",
         .user_id = "u1",
         .item_id = "i5",
         .title = "The Matrix",
         .cot = "Likes \"action\".",
         .label = 1,
         .similarity = 0.75f,
         .attention = 0.5f,
         .score_without = 0.625f},
        {.key = "ffeeddccbbaa99887766554433221100",
         .user_id = "u2",
         .item_id = "i6",
         .title = "Up",
         .cot = "",
         .similarity = 0.5f,
         .attention = 0.25f,
         .score_without = 0.875f},
    };
    const lcf_rank_result results[] = {
        {.candidate = 2,
         .item_id = "i9",
         .title = "Brazil",
         .score = 0.8125f,
         .examples = examples,
         .examples_n = 2,
         .score_no_examples = 0.75f},
        {.item_id = "i3",
         .title = "Am\xc3\xa9lie",
         .score = 0.5f,
         .degraded = "no_examples",
         .score_no_examples = 0.5f},
        {.candidate = 1,
         .item_id = "i404",
         .title = "",
         .score = 0.25f,
         .degraded = "unknown_item",
         .examples_n = 2,
         .score_no_examples = 0.375f},
    };
    const lcf_rank_event history[] = {{"i1", "Heat", 1}, {"i2", "Am\xc3\xa9lie", -1}};
    lcf_rank_response response = {.generation = "20261122T020000Z",
                                  .arm = "din-ict",
                                  .results = results,
                                  .results_n = 3,
                                  .degraded = "unknown_user",
                                  .degraded_n = 2,
                                  .history = history,
                                  .history_n = 2,
                                  .retrieve_ms = 0.5,
                                  .ict_ms = 0.875,
                                  .score_ms = 1.25,
                                  .total_ms = 1.875};
    const lcf_wire_options with_users = {false, true};
    lcf_buf out = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    json_t *json = NULL;

    (void)state;
    check_golden(&response, "schemas/examples/rank_response.json");
    /* The compact form is the same object; other people's ids only when asked for. */
    lcf_wire_write(&out, &response, &with_users);
    assert_ok(lcf_json_parse(&json, out.data, out.len, "written", &err), &err);
    assert_non_null(strstr(out.data, "\"user_id\":\"u2\""));
    json_decref(json);
    lcf_buf_dispose(&out);
    response.explained = response.attends = true;
    check_golden(&response, "schemas/examples/explain/rank_response.json");
}

static void out_of_memory(void **state)
{
    lcf_wire_request w;
    lcf_err err;

    (void)state;
    lcf_wire_init(&w);
    lcf_alloc_fail_at(1);
    assert_int_equal(parse(&w, "{\"candidates\": [\"a\"]}", &err), LCF_ENOMEM);
    lcf_alloc_fail_at(0);
    assert_ok(parse(&w, "{\"candidates\": [\"a\"]}", &err), &err);
    lcf_wire_dispose(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_request),
        cmocka_unit_test(golden_request),
        cmocka_unit_test(refusals),
        cmocka_unit_test(id_too_long),
        cmocka_unit_test(strings_always_parse),
        cmocka_unit_test(golden_response),
        cmocka_unit_test(out_of_memory),
    };

    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
