/* Open Inference Protocol v2: what it says of itself, scores as tensors, refusals of tensors that
 * are not what the model takes. */
#include "tests/unit/server/client.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "online/rank/wire.h"

#include <unistd.h>

#define INFER "/v2/models/din-ict/infer"
#define TENSOR(name, shape, data) \
    "{\"name\": \"" name "\", \"datatype\": \"BYTES\", \"shape\": " shape ", \"data\": " data "}"
#define INPUTS(list) "{\"id\": \"7\", \"inputs\": [" list "]}"
#define USER TENSOR("user", "[1]", "[\"u2\"]")
#define THREE TENSOR("candidates", "[3]", "[\"i1\", \"i2\", \"i3\"]")

static lcf_server *g_server;

static int setup(void **state)
{
    lcf_server_options o;

    server_setup(state);
    o = options_of_test(); /* of the world that is there now */
    g_server = start(&o);
    return 0;
}

static int teardown(void **state)
{
    lcf_server_stop(g_server);
    return server_teardown(state);
}

static void says_what_it_is(void **state)
{
    (void)state;
    expect(ask(g_server, "GET", "/v2", ""), 200, "\"name\":\"llmcf\"");
    expect(ask(g_server, "GET", "/v2/health/live", ""), 200, "{\"live\":true}");
    expect(ask(g_server, "GET", "/v2/health/ready", ""), 200, "{\"ready\":true}");
    expect(ask(g_server, "GET", "/v2/models/din/ready", ""), 200,
           "{\"name\":\"din\",\"ready\":true}");
    expect(ask(g_server, "GET", "/v2/models/din%2Dict", ""), 200, "\"versions\":[\"one\"]");
    expect(ask(g_server, "GET", "/v2/models/other", ""), 404, "{\"error\":");
    expect(ask(g_server, "GET", "/v2/models/other/ready", ""), 404, "{\"error\":");
    expect(ask(g_server, "POST", "/v2/models/other/infer", INPUTS(USER "," THREE)), 404,
           "{\"error\":");
    expect(ask(g_server, "GET", "/v2/models/", ""), 404, "{\"error\":\"there is");
    expect(ask(g_server, "GET", "/v2/models/%zz", ""), 404, "{\"error\":\"there is");
    expect(ask(g_server, "GET", "/v2/models/a%00b", ""), 404, "{\"error\":\"there is");
    expect(ask(g_server, "GET", INFER, ""), 405, "Allow");
}

/* A version is a generation: that of the snapshot in place is there, and no other. */
static void a_version_is_the_generation(void **state)
{
    static const char VERSION[] = "/v2/models/din-ict/versions/one";

    (void)state;
    expect(ask(g_server, "GET", VERSION, ""), 200, "\"versions\":[\"one\"]");
    expect(ask(g_server, "GET", "/v2/models/din-ict/versions/one/ready", ""), 200,
           "{\"name\":\"din-ict\",\"ready\":true}");
    expect(ask(g_server, "POST", "/v2/models/din-ict/versions/one/infer", INPUTS(USER "," THREE)),
           200, "\"model_version\":\"one\"");
    expect(ask(g_server, "GET", "/v2/models/din-ict/versions/two", ""), 404,
           "{\"error\":\"version two is not served, one is\"}");
    expect(ask(g_server, "GET", "/v2/models/din-ict/versions/two/ready", ""), 404,
           "version two is not served");
    expect(ask(g_server, "POST", "/v2/models/din-ict/versions/two/infer", INPUTS(USER "," THREE)),
           404, "version two is not served");
    expect(ask(g_server, "GET", "/v2/models/other/versions/one", ""), 404, "no such arm");
    expect(ask(g_server, "GET", "/v2/models/din-ict/versions/", ""), 404, "there is");
    expect(ask(g_server, "GET", "/v2/models/din-ict/versions", ""), 404, "there is");
    expect(ask(g_server, "POST", VERSION, "{}"), 405, "Allow");
}

static json_t *json_of(reply r)
{
    json_t *json = NULL;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(r.code, 200);
    assert_ok(lcf_json_parse(&json, r.body.data, r.body.len, "answer", &err), &err);
    lcf_buf_dispose(&r.body);
    return json;
}

/* The scores of /v1/rank, in the order of the request. */
static void scores_are_those_of_rank(void **state)
{
    json_t *rank = json_of(ask(g_server, "POST", "/v1/rank", RANK));
    json_t *infer = json_of(ask(g_server, "POST", INFER, INPUTS(USER "," THREE)));
    const json_t *output = json_array_get(json_object_get(infer, "outputs"), 0);
    const json_t *scores = json_object_get(output, "data"), *results, *result;
    size_t idx;

    (void)state;
    assert_string_equal(json_string_value(json_object_get(infer, "id")), "7");
    assert_string_equal(json_string_value(json_object_get(infer, "model_version")), "one");
    assert_string_equal(json_string_value(json_object_get(output, "datatype")), "FP32");
    assert_int_equal(json_array_size(scores), 3);
    results = json_object_get(rank, "results");
    json_array_foreach(results, idx, result)
    {
        const size_t at = (size_t)json_integer_value(json_object_get(result, "candidate"));

        assert_true(json_number_value(json_object_get(result, "score")) ==
                    json_number_value(json_array_get(scores, at)));
    }
    json_decref(rank);
    json_decref(infer);
}

/* What is missing is told here, too: for all, and for each candidate. */
static void degraded_scores_are_flagged(void **state)
{
    static const char LIST[] = TENSOR("user", "[1]", "[\"nobody\"]") "," TENSOR(
        "candidates", "[2]", "[\"i1\", \"nothing\"]");
    char body[512];

    (void)state;
    snprintf(body, sizeof(body), "{\"inputs\": [%s]}", LIST);
    expect(ask(g_server, "POST", INFER, body), 200,
           "\"parameters\":{\"degraded\":\"unknown_user\"}");
    expect(ask(g_server, "POST", INFER, body), 200,
           "{\"name\":\"degraded\",\"datatype\":\"BYTES\",\"shape\":[2],\"data\":[\"\",\"unknown_"
           "item\"]}]}");
    snprintf(body, sizeof(body), "{\"outputs\": [{\"name\": \"degraded\"}], \"inputs\": [%s]}",
             LIST);
    expect(ask(g_server, "POST", INFER, body), 200, "\"outputs\":[{\"name\":\"degraded\"");
    snprintf(body, sizeof(body), "{\"outputs\": [{\"name\": \"scores\"}], \"inputs\": [%s]}", LIST);
    expect(ask(g_server, "POST", INFER, body), 200, "]}]}");
    expect(ask(g_server, "POST", INFER, INPUTS(USER "," THREE)), 200,
           "\"id\":\"7\",\"outputs\":[{\"name\":\"scores\"");
}

static void tensors_may_be_nested(void **state)
{
    const char *nested = INPUTS(USER "," TENSOR(
        "candidates", "[1, 2]", "[[\"i1\", \"i2\"]]") "," TENSOR("history", "[1]", "[\"i4\"]"));

    (void)state;
    expect(ask(g_server, "POST", INFER, nested), 200, "\"shape\":[1,2]");
    expect(ask(g_server, "POST", INFER,
               INPUTS(USER "," TENSOR("candidates", "[1, 2]", "[\"i1\", \"i2\"]"))),
           200, "\"shape\":[1,2]");
}

static void wrong_tensors_are_refused(void **state)
{
    static const char *const WRONG[][2] = {
        {"{", "not valid JSON"},
        {"[]", "inputs"},
        {"{\"inputs\": 1}", "\\\"inputs\\\" must be an array"},
        {INPUTS("1"), "name"},
        {INPUTS(THREE), "\\\"user\\\" must hold one id"},
        {INPUTS(USER), "\\\"candidates\\\" has 0 items; 1 to 2000 are allowed"},
        {INPUTS(USER "," USER "," THREE), "is there twice"},
        {INPUTS(USER "," THREE "," TENSOR("age", "[1]", "[\"7\"]")), "is not one of user"},
        {INPUTS(USER "," TENSOR("candidates", "[4]", "[\"i1\"]")), "1 values for a shape of 4"},
        {INPUTS(USER "," TENSOR("candidates", "[2, 1]", "[\"i1\", \"i2\"]")), "[n] or [1, n]"},
        {INPUTS(USER "," TENSOR("candidates", "[1, 1, 1]", "[\"i1\"]")), "[n] or [1, n]"},
        {INPUTS(USER "," TENSOR("candidates", "[-1]", "[]")), "[n] or [1, n]"},
        {INPUTS(USER "," TENSOR("candidates", "[0]", "[]")), "0 items; 1 to 2000 are allowed"},
        {INPUTS(USER "," TENSOR("candidates", "[9999999999]", "[]")), "too many values"},
        {INPUTS(USER "," TENSOR("candidates", "1", "[\"i1\"]")), "[n] or [1, n]"},
        {INPUTS(USER "," TENSOR("candidates", "[1]", "\"i1\"")), "0 values for a shape of 1"},
        {INPUTS(USER "," TENSOR("candidates", "[1]", "[3]")),
         "\\\"candidates\\\"[0] must be a string"},
        {INPUTS(USER ",{\"name\": \"candidates\", \"datatype\": \"FP32\", \"shape\": [1],"
                     " \"data\": [1.5]}"),
         "has the datatype BYTES, not \\\"FP32\\\""},
        {"{\"id\": 7, \"inputs\": [" USER "," THREE "]}", "\\\"id\\\" must be a string"},
        {"{\"outputs\": [{\"name\": \"x\"}], \"inputs\": [" USER "," THREE "]}", "the outputs are"},
        {"{\"outputs\": {}, \"inputs\": [" USER "," THREE "]}", "\\\"outputs\\\" must be an array"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        reply r = ask(g_server, "POST", INFER, WRONG[i][0]);

        assert_true(!strncmp(lcf_buf_text(&r.body), "{\"error\":\"", 10));
        expect(r, 400, WRONG[i][1]);
    }
}

/* The limits are those of /v1/rank, whatever room is left beside the candidates. */
static void long_histories_are_refused(void **state)
{
    (void)state;
    for (int n = LCF_WIRE_HISTORY_MAX; n <= LCF_WIRE_HISTORY_MAX + 1; n++) {
        lcf_buf body = LCF_BUF_INIT;

        lcf_buf_printf(&body,
                       "{\"inputs\": [" USER "," THREE ",{\"name\": \"history\", \"datatype\": "
                       "\"BYTES\", \"shape\": [%d], \"data\": [\"i1\"",
                       n);
        for (int i = 1; i < n; i++)
            lcf_buf_append_text(&body, ",\"i1\"");
        lcf_buf_append_text(&body, "]}]}");
        expect(ask(g_server, "POST", INFER, lcf_buf_text(&body)),
               n > LCF_WIRE_HISTORY_MAX ? 400 : 200,
               n > LCF_WIRE_HISTORY_MAX ? "at most 10000 are allowed" : "scores");
        lcf_buf_dispose(&body);
    }
}

static void expect_protocol(reply r, int code, const char *says)
{
    assert_true(!strncmp(lcf_buf_text(&r.body), "{\"error\":\"", 10));
    expect(r, code, says);
}

/* Also where no handler of the protocol was reached. */
static void refusals_have_its_form(void **state)
{
    lcf_server_options o = options_of_test();
    char *path = test_folder(), *tokens = lcf_path_join(path, "tokens");
    bool refused = false;
    char large[1100];
    int fds[8];
    lcf_server *s;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    o.body_bytes_max = 1000;
    o.threads = 1;
    o.queue_max = 0;
    s = start(&o);
    memset(large, ' ', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    expect_protocol(ask(s, "POST", INFER, large), 413, "more than 1000 bytes");
    expect_protocol(ask(s, "POST", "/v2", "{}"), 405, "another method");
    expect_protocol(ask(s, "GET", "/v2/nothing", ""), 404, "there is");
    expect(ask(s, "GET", "/v2x", ""), 404, "{\"error\":{\"status\":");
    for (int i = 0; i < 8; i++)
        fds[i] = connect_tcp(s);
    for (int round = 0; round < 100 && !refused; round++) {
        for (int i = 0; i < 8; i++)
            send_request(fds[i], "POST", INFER, INPUTS(USER "," THREE));
        for (int i = 0; i < 8; i++) {
            reply r = read_reply(fds[i]);

            refused = refused || r.code == 429;
            if (r.code == 429)
                expect_protocol(r, 429, "too many requests");
            else
                expect(r, 200, "scores");
        }
    }
    assert_true(refused);
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    lcf_server_stop(s);
    assert_ok(lcf_file_write(tokens, "0123456789abcdef0123456789abcdef\n", 33, &err), &err);
    o = options_of_test();
    o.token_file = tokens;
    s = start(&o);
    expect_protocol(ask(s, "GET", "/v2", ""), 401, "a bearer token is needed");
    expect(ask(s, "GET", "/v2/health/live", ""), 200, "{\"live\":true}");
    lcf_server_stop(s);
    free(tokens);
    test_folder_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_it_is),
        cmocka_unit_test(a_version_is_the_generation),
        cmocka_unit_test(scores_are_those_of_rank),
        cmocka_unit_test(degraded_scores_are_flagged),
        cmocka_unit_test(tensors_may_be_nested),
        cmocka_unit_test(wrong_tensors_are_refused),
        cmocka_unit_test(long_histories_are_refused),
        cmocka_unit_test(refusals_have_its_form),
    };

    return cmocka_run_group_tests_name("v2", tests, setup, teardown);
}
