/* Endpoints without a network: addresses, keys, what failures mean, requests and answers. */
#include "common/base/mem.h"
#include "offline/recgen/endpoint.h"
#include "tests/unit/data/fixture.h"
#include "tests/unit/test.h"

static void check_address(const char *url, lcf_openai_api api, const char *want)
{
    lcf_err err = LCF_ERR_INIT;
    char *address;

    assert_ok(lcf_endpoint_address(&address, url, api, &err), &err);
    assert_string_equal(address, want);
    free(address);
}

static void test_address(void **state)
{
    (void)state;
    check_address("http://h:8000", LCF_OPENAI_CHAT, "http://h:8000/v1/chat/completions");
    check_address("http://h:8000/", LCF_OPENAI_COMPLETIONS, "http://h:8000/v1/completions");
    check_address("https://h/api/v1/", LCF_OPENAI_CHAT, "https://h/api/v1/chat/completions");
    check_address("http://h/v1/chat/completions", LCF_OPENAI_CHAT, "http://h/v1/chat/completions");
    check_address("http://h/v1/completions", LCF_OPENAI_COMPLETIONS, "http://h/v1/completions");
    check_address("https://h/d?api-version=2#x", LCF_OPENAI_CHAT,
                  "https://h/d/chat/completions?api-version=2");
}

static void test_address_refuses(void **state)
{
    static const char *const BAD[] = {"",
                                      "ftp://h/v1",
                                      "file:///etc/passwd",
                                      "http://",
                                      "http://user:secret@h/v1",
                                      "http://u@h/v1",
                                      "http://h:99999"};
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        lcf_err err = LCF_ERR_INIT;
        char *address;
        assert_int_equal(lcf_endpoint_address(&address, BAD[i], LCF_OPENAI_CHAT, &err), LCF_EUSAGE);
        assert_null(address);
        assert_null(strstr(err.text, "secret"));
    }
}

static lcf_status key_of(char **key, const char *content, lcf_err *err)
{
    char *folder = test_folder(), *path = lcf_path_join(folder, "key");
    lcf_status status;

    assert_ok(lcf_file_write(path, content, strlen(content), err), err);
    status = lcf_endpoint_key(key, path, err);
    free(path);
    test_folder_remove(folder);
    return status;
}

static void test_key(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    char *key;

    (void)state;
    assert_ok(key_of(&key, "sk-1\r\nsecond line", &err), &err);
    assert_string_equal(key, "sk-1");
    lcf_endpoint_key_free(key);
    assert_int_equal(key_of(&key, "\n", &err), LCF_EUSAGE);
    assert_int_equal(key_of(&key, "sk two\n", &err), LCF_EUSAGE);
    assert_null(strstr(err.text, "sk"));
    assert_null(key);
    assert_int_equal(lcf_endpoint_key(&key, "/nowhere/key", &err), LCF_ENOENT);
    setenv("LLMCF_API_KEY", "sk-env", 1);
    assert_ok(lcf_endpoint_key(&key, NULL, &err), &err);
    assert_string_equal(key, "sk-env");
    lcf_endpoint_key_free(key);
    unsetenv("LLMCF_API_KEY");
    assert_ok(lcf_endpoint_key(&key, NULL, &err), &err);
    assert_null(key);
}

static void test_verdicts(void **state)
{
    (void)state;
    assert_int_equal(lcf_endpoint_verdict(200), LCF_VERDICT_ANSWERED);
    for (long http = 500; http < 600; http++)
        assert_int_equal(lcf_endpoint_verdict(http),
                         http == 501 || http == 505 ? LCF_VERDICT_GIVE_UP : LCF_VERDICT_AGAIN);
    assert_int_equal(lcf_endpoint_verdict(429), LCF_VERDICT_AGAIN);
    assert_int_equal(lcf_endpoint_verdict(408), LCF_VERDICT_AGAIN);
    assert_int_equal(lcf_endpoint_verdict(400), LCF_VERDICT_REFUSED);
    assert_int_equal(lcf_endpoint_verdict(422), LCF_VERDICT_REFUSED);
    assert_int_equal(lcf_endpoint_verdict(401), LCF_VERDICT_GIVE_UP);
    assert_int_equal(lcf_endpoint_verdict(302), LCF_VERDICT_GIVE_UP);
    assert_int_equal(lcf_endpoint_verdict(0), LCF_VERDICT_GIVE_UP);
}

static void test_backoff(void **state)
{
    lcf_rng rng;
    double last = 0.0;

    (void)state;
    lcf_rng_seed(&rng, 1, 0);
    for (size_t failures = 1; failures < 100; failures++) {
        double full = failures > 7 ? 60.0 : 0.5 * (double)(1 << (failures - 1));
        double wait_s = lcf_endpoint_backoff_s(failures, 0.5, &rng);
        assert_true(wait_s >= full / 2.0 - 1e-9 && wait_s <= full + 1e-9);
        assert_true(wait_s != last); /* jitter */
        last = wait_s;
    }
}

/* ---- bodies ---- */

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    assert_non_null(text);
    return text;
}

static void test_request(void **state)
{
    lcf_openai_request request = {
        LCF_OPENAI_CHAT, "m", {3, 0, 160, LCF_SAMPLING_INIT, {.n = 0}}, 7};
    lcf_prompt_options prompt = LCF_PROMPT_OPTIONS_INIT;
    char *dir = lcf_fixture_dir();
    lcf_err err = LCF_ERR_INIT;
    lcf_buf whole = LCF_BUF_INIT;
    lcf_dataset d;
    lcf_facts f;
    json_t *body, *list;

    (void)state;
    assert_ok(lcf_fixture_write_dataset(dir, NULL, &err), &err);
    assert_ok(lcf_dataset_open(&d, dir, &err), &err);
    lcf_facts_of(&f, &d, NULL, 8, 10);
    prompt.dialect = LCF_DIALECT_LLAMA2;
    lcf_prompt_explain(&whole, &prompt, &d, &f);

    body = lcf_openai_body(&request, &prompt, &d, &f);
    list = json_object_get(body, "messages");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(member(json_array_get(list, 0), "role"), "system");
    assert_string_equal(member(json_array_get(list, 1), "role"), "user");
    /* the messages are the prompt without its chat markers */
    assert_null(strstr(member(json_array_get(list, 1), "content"), "INST"));
    assert_non_null(strstr(whole.data, member(json_array_get(list, 0), "content")));
    assert_non_null(strstr(whole.data, member(json_array_get(list, 1), "content")));
    assert_int_equal(json_integer_value(json_object_get(body, "n")), 3);
    assert_int_equal(json_integer_value(json_object_get(body, "max_tokens")), 160);
    assert_int_equal(json_integer_value(json_object_get(body, "seed")), 7);
    assert_true(json_real_value(json_object_get(body, "temperature")) == 0.6);
    assert_int_equal(json_integer_value(json_object_get(body, "top_k")), 50);
    json_decref(body);

    request.api = LCF_OPENAI_COMPLETIONS;
    request.decoding.sampling.top_k = 0;
    body = lcf_openai_body(&request, &prompt, &d, &f);
    assert_string_equal(member(body, "prompt"), whole.data);
    assert_null(json_object_get(body, "top_k"));
    assert_null(json_object_get(body, "min_p"));
    assert_null(json_object_get(body, "repetition_penalty"));
    assert_null(json_object_get(body, "stop"));
    json_decref(body);
    request.decoding.sampling.min_p = 0.05f;
    request.decoding.sampling.repeat_penalty = 1.1f;
    request.decoding.stops = (lcf_stops){{"\n\n", "End"}, 2};
    body = lcf_openai_body(&request, &prompt, &d, &f);
    assert_true(json_real_value(json_object_get(body, "min_p")) == 0.05);
    assert_true(json_real_value(json_object_get(body, "repetition_penalty")) == 1.1);
    assert_true(json_real_value(json_object_get(body, "repeat_penalty")) == 1.1);
    list = json_object_get(body, "stop");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_array_get(list, 1)), "End");
    assert_int_equal(lcf_openai_check(&request.decoding, NULL), LCF_OK);
    request.decoding.beams_n = 3;
    assert_int_equal(lcf_openai_check(&request.decoding, NULL), LCF_EUSAGE);
    json_decref(body);
    lcf_buf_dispose(&whole);
    lcf_dataset_close(&d);
    lcf_dir_remove(dir, NULL);
    free(dir);
}

static lcf_status parse(lcf_openai_reply *reply, const char *body, lcf_err *err)
{
    return lcf_openai_parse(reply, body, strlen(body), err);
}

static void test_answer(void **state)
{
    lcf_openai_reply r;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(parse(&r,
                    "{\"choices\": [{\"index\": 1, \"finish_reason\": \"length\", \"message\": "
                    "{\"content\": \"twelve bytes\"}}, {\"index\": 0, \"finish_reason\": \"stop\", "
                    "\"message\": {\"content\": \"four\"}}], \"usage\": {\"prompt_tokens\": 9, "
                    "\"completion_tokens\": 8}}",
                    &err),
              &err);
    assert_int_equal(r.n, 2);
    assert_memory_equal(r.answers[0].text.data, "four", 4);
    assert_true(r.answers[0].finished && !r.answers[1].finished);
    assert_int_equal(r.answers[0].tokens_n, 2);
    assert_int_equal(r.answers[1].tokens_n, 6);
    assert_int_equal(r.prompt_tokens_n, 9);
    lcf_openai_reply_dispose(&r);
    assert_ok(
        parse(&r, "{\"choices\": [{\"text\": \"nine byte\", \"finish_reason\": null}]}", &err),
        &err);
    assert_int_equal(r.answers[0].tokens_n, 3); /* nobody counted: four bytes a token */
    assert_false(r.answers[0].finished);
    lcf_openai_reply_dispose(&r);
    assert_ok(parse(&r, "{\"choices\": [{\"message\": {\"content\": null}}]}", &err), &err);
    assert_int_equal(r.answers[0].text.len, 0);
    lcf_openai_reply_dispose(&r);
}

static void test_answer_refuses(void **state)
{
    static const char *const BAD[] = {
        "",
        "<html>",
        "[]",
        "{}",
        "{\"choices\": []}",
        "{\"choices\": {}}",
        "{\"choices\": [1]}",
        "{\"choices\": [{}]}",
        "{\"choices\": [{\"message\": {}}]}",
        "{\"choices\": [{\"message\": {\"content\": 7}}]}",
        "{\"choices\": [{\"text\": \"a\"}], \"choices\": []}",
        "{\"choices\": [{\"text\": \"\xff\"}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        lcf_openai_reply r;
        lcf_err err = LCF_ERR_INIT;
        assert_int_equal(parse(&r, BAD[i], &err), LCF_EFORMAT);
        assert_null(r.answers);
        assert_null(r.json);
    }
}

static void check_error(const char *body, const char *secret, const char *want)
{
    lcf_buf out = LCF_BUF_INIT;

    lcf_openai_error(&out, body, strlen(body), secret);
    assert_string_equal(lcf_buf_text(&out), want);
    lcf_buf_dispose(&out);
}

static void test_error(void **state)
{
    char body[600] = "{\"message\": \"";
    lcf_buf out = LCF_BUF_INIT;

    (void)state;
    check_error("{\"error\": {\"message\": \"no\\nway\"}}", NULL, "no way");
    check_error("{\"error\": \"plain\"}", NULL, "plain");
    check_error("{\"detail\": \"Not Found\"}", NULL, "Not Found");
    check_error("{\"error\": {\"message\": \"bad key s3cret, really s3cret\"}}", "s3cret",
                "bad key [API key], really [API key]");
    check_error("<html>", NULL, "");
    check_error("{\"error\": 5}", NULL, "");
    for (int i = 0; i < 150; i++)
        strcat(body, "\xc3\xa9"); /* cut at 200 bytes, within no character */
    strcat(body, "x\"}");
    lcf_openai_error(&out, body, strlen(body), NULL);
    assert_int_equal(out.len, 200);
    assert_true(lcf_utf8_valid(out.data, out.len));
    lcf_buf_dispose(&out);
    assert_true(lcf_openai_says_too_long("This model's maximum Context Length is 4096 tokens"));
    assert_true(lcf_openai_says_too_long("the request exceeds the available context size"));
    assert_false(lcf_openai_says_too_long("no such model"));
}

static void test_seeds_and_ids(void **state)
{
    lcf_hash128 a = {{1}}, b = {{2}};
    char id[LCF_OPENAI_ID_BYTES];

    (void)state;
    assert_int_equal(lcf_openai_seed(a, 0), lcf_openai_seed(a, 0));
    assert_true(lcf_openai_seed(a, 0) != lcf_openai_seed(a, 1));
    assert_true(lcf_openai_seed(a, 0) != lcf_openai_seed(b, 0));
    assert_true(lcf_openai_seed(a, 0) < (uint64_t)1 << 31);
    lcf_openai_model_id(id, LCF_OPENAI_COMPLETIONS, "org/model");
    assert_string_equal(id, "completions:org/model");
}

/* Memory may end at any of our allocations (jansson's and libcurl's are their own). */
static void test_without_memory(void **state)
{
    static const char body[] = "{\"choices\": [{\"text\": \"a\"}, {\"text\": \"b\"}]}";
    lcf_status status = LCF_ENOMEM;

    (void)state;
    for (uint64_t n = 1; status; n++) {
        lcf_openai_reply r;
        lcf_err err = LCF_ERR_INIT;
        char *address = NULL;
        lcf_alloc_fail_at(n);
        status = lcf_openai_parse(&r, body, strlen(body), &err);
        if (!status)
            status = lcf_endpoint_address(&address, "http://h", LCF_OPENAI_CHAT, &err);
        lcf_alloc_fail_at(0);
        assert_true(!status || status == LCF_ENOMEM);
        lcf_openai_reply_dispose(&r);
        free(address);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_address_refuses),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_answer_refuses),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_seeds_and_ids),
        cmocka_unit_test(test_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
