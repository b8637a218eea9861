/* The page for people: its files, what it offers for a choice, and explanations over HTTP. */
#include "tests/unit/server/client.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"

static lcf_server *g_hidden, *g_open; /* users are listed in the second */

static int setup(void **state)
{
    lcf_server_options o;

    server_setup(state);
    o = options_of_test(); /* of the world that is there now */
    g_hidden = start(&o);
    o.example_users = true;
    g_open = start(&o);
    return 0;
}

static int teardown(void **state)
{
    lcf_server_stop(g_hidden);
    lcf_server_stop(g_open);
    return server_teardown(state);
}

/* The files arrive whole, as what they are, and name nothing of another place. */
static void files_are_part_of_the_program(void **state)
{
    static const struct {
        const char *path, *file, *type;
    } FILES[] = {{"/", "online/server/page/index.html", "text/html"},
                 {"/page.css", "online/server/page/page.css", "text/css"},
                 {"/page.js", "online/server/page/page.js", "text/javascript"}};

    (void)state;
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        char *path = lcf_path_join(getenv("LCF_SOURCE_DIR"), FILES[i].file);
        reply r = ask(g_hidden, "GET", FILES[i].path, "");
        lcf_buf wanted = LCF_BUF_INIT;
        lcf_err err = LCF_ERR_INIT;

        assert_ok(lcf_file_read(&wanted, path, 1 << 20, &err), &err);
        assert_int_equal(r.code, 200);
        assert_non_null(strstr(r.head, FILES[i].type));
        assert_int_equal(r.body.len, wanted.len);
        assert_memory_equal(r.body.data, wanted.data, wanted.len);
        assert_null(strstr(r.body.data, "//cdn"));
        assert_null(strstr(r.body.data, "http:"));
        assert_null(strstr(r.body.data, "https:"));
        assert_null(strstr(r.body.data, "innerHTML"));
        lcf_buf_dispose(&r.body);
        lcf_buf_dispose(&wanted);
        free(path);
    }
    expect(ask(g_hidden, "POST", "/", ""), 405, "Allow");
}

/* User ids name people: nobody lists them unless the operator says so. */
static void users_are_listed_where_that_is_allowed(void **state)
{
    (void)state;
    expect(ask(g_hidden, "GET", "/v1/users", ""), 200, "{\"hidden\":true,\"users\":[]}");
    expect(ask(g_hidden, "GET", "/v1/users/u1", ""), 200, "{\"hidden\":true,\"users\":[]}");
    expect(ask(g_open, "GET", "/v1/users/u11", ""), 200,
           "{\"hidden\":false,\"users\":[{\"user_id\":\"u11\",\"history_n\":");
    expect(ask(g_open, "GET", "/v1/users", ""), 200, "\"user_id\":\"u12\"");
    expect(ask(g_open, "GET", "/v1/users/nobody", ""), 200, "\"users\":[]}");
    expect(ask(g_hidden, "GET", "/v1/items/i15", ""), 200, "{\"items\":[{\"item_id\":\"i15\",");
    expect(ask(g_hidden, "GET", "/v1/items", ""), 200, "\"item_id\":\"i1\"");
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

static void explains_the_scores_of_rank(void **state)
{
    json_t *ranked = json_of(ask(g_open, "POST", "/v1/rank", RANK));
    json_t *why = json_of(ask(g_open, "POST", "/v1/explain", RANK));
    const json_t *results = json_object_get(why, "results"), *result, *example;
    size_t i, e;

    (void)state;
    assert_true(json_array_size(json_object_get(why, "history")) > 0);
    json_array_foreach(results, i, result)
    {
        const json_t *same = json_array_get(json_object_get(ranked, "results"), i);
        double attention = 0;

        assert_true(json_equal(json_object_get(result, "score"), json_object_get(same, "score")));
        assert_true(json_is_real(json_object_get(result, "score_no_examples")));
        json_array_foreach(json_object_get(result, "examples"), e, example)
        {
            assert_non_null(json_object_get(example, "score_without"));
            attention += json_real_value(json_object_get(example, "attention"));
        }
        assert_int_equal(e, 4);
        assert_true(attention > 0 && attention < 1);
    }
    assert_int_equal(i, json_array_size(json_object_get(ranked, "results")));
    json_decref(ranked);
    json_decref(why);
    expect(ask(g_open, "POST", "/v1/explain", "{\"candidates\": []}"), 400, "candidates");
    expect(ask(g_open, "GET", "/v1/explain", ""), 405, "Allow");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_part_of_the_program),
        cmocka_unit_test(users_are_listed_where_that_is_allowed),
        cmocka_unit_test(explains_the_scores_of_rank),
    };

    return cmocka_run_group_tests_name("page", tests, setup, teardown);
}
