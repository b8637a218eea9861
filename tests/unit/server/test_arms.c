/* Arms beside each other: users split between them, and one that scores in the shadow. */
#include "tests/unit/server/client.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "online/server/arm_split.h"

#include <math.h>
#include <time.h>
#include <unistd.h>

static void splits_that_are_none(void **state)
{
    static const char *const texts[] = {"",     "a",     "a=",     "=1",      "a=0",
                                        "a=-1", "a=nan", "a=1,",   "a=1,a=2", "a=1,b=x",
                                        ",a=1", "a=1,b", "a=1e999"};
    lcf_arm_split s;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(lcf_arm_split_parse(&s, texts[i], &err), LCF_EINVAL);
    assert_int_equal(lcf_arm_split_parse(&s, "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1", &err),
                     LCF_EINVAL);
}

/* Users keep their arm, shares are what was asked, and a user moves only from an arm that shrinks.
 */
static void users_are_split(void **state)
{
    enum { USERS = 20000 };
    lcf_ranker_snapshot *snapshot;
    lcf_arm_split s, wider;
    size_t ict = 0, moved = 0;
    const char *arm, *later;
    lcf_err err = LCF_ERR_INIT;
    double p;

    (void)state;
    assert_ok(lcf_rank_open(&snapshot, g_root, &err), &err);
    assert_ok(lcf_arm_split_parse(&s, "din-ict=90,din=10", &err), &err);
    assert_ok(lcf_arm_split_parse(&wider, "din-ict=95,din=5", &err), &err);
    for (int i = 0; i < USERS; i++) {
        char user[16];

        snprintf(user, sizeof(user), "u%d", i);
        assert_true(lcf_arm_split_of(&later, &p, &s, user, snapshot));
        assert_true(lcf_arm_split_of(&arm, &p, &s, user, snapshot) && arm == later);
        assert_true(fabs(p - (strcmp(arm, "din") ? 0.9 : 0.1)) < 1e-12);
        assert_true(lcf_arm_split_of(&later, &p, &wider, user, snapshot));
        if (!strcmp(arm, "din-ict"))
            assert_string_equal(later, "din-ict");
        moved += strcmp(arm, later) != 0;
        ict += !strcmp(arm, "din-ict");
    }
    assert_true(fabs((double)ict / USERS - 0.9) < 0.01); /* sd .002 */
    assert_true(fabs((double)moved / USERS - 0.05) < 0.01);
    /* An arm that the snapshot lacks is not asked for. */
    assert_ok(lcf_arm_split_parse(&s, "canary=1", &err), &err);
    assert_false(lcf_arm_split_of(&arm, &p, &s, "u1", snapshot));
    assert_true(!arm && p == 1.0);
    /* Its users come to the default, and count for that one's probability. */
    assert_ok(lcf_arm_split_parse(&s, "din=10,din-ict=60,canary=30", &err), &err);
    for (int i = 0, lacking = 0; i < 100; i++) {
        char user[16];

        snprintf(user, sizeof(user), "u%d", i);
        lacking += !lcf_arm_split_of(&arm, &p, &s, user, snapshot);
        assert_true(fabs(p - (arm && !strcmp(arm, "din") ? 0.1 : 0.9)) < 1e-12);
        assert_true(i < 99 || (lacking > 10 && lacking < 60));
    }
    lcf_rank_close(snapshot);
}

static char *log_path(const char *name)
{
    return lcf_path_join(g_dir, name);
}

/* The lines of a log once there are n of them, or of what there is after 20 s. */
static json_t *lines_of(const char *path, size_t n)
{
    const struct timespec pause = {0, 20000000};
    json_t *lines = NULL;

    for (int i = 0; i < 1000 && json_array_size(lines) < n; i++) {
        lcf_buf text = LCF_BUF_INIT;
        lcf_err err = LCF_ERR_INIT;

        json_decref(lines);
        lines = json_array();
        assert_ok(lcf_file_read(&text, path, 1 << 24, &err), &err);
        for (char *line = text.data; line && *line;) {
            char *end = strchr(line, '\n');
            json_t *json = NULL;

            assert_non_null(end);
            assert_ok(lcf_json_parse(&json, line, (size_t)(end - line), path, &err), &err);
            json_array_append_new(lines, json);
            line = end + 1;
        }
        lcf_buf_dispose(&text);
        if (json_array_size(lines) < n)
            nanosleep(&pause, NULL);
    }
    return lines;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static bool is_of_din(const lcf_server *s, const char *path, const char *body)
{
    reply r = ask(s, "POST", path, body);
    const bool din = strstr(lcf_buf_text(&r.body), "\"arm\":\"din\"") != NULL;

    assert_int_equal(r.code, 200);
    lcf_buf_dispose(&r.body);
    return din;
}

/* What is explained is what the user is shown. */
static void explanations_are_split_too(void **state)
{
    lcf_server_options o = options_of_test();
    size_t din = 0;
    lcf_server *s;

    (void)state;
    o.arms = "din-ict=60,din=40";
    s = start(&o);
    for (int user = 1; user <= 12; user++) {
        char body[80];
        bool ranked;

        snprintf(body, sizeof(body), "{\"user_id\": \"u%d\", \"candidates\": [\"i1\"]}", user);
        ranked = is_of_din(s, "/v1/rank", body);
        assert_int_equal(is_of_din(s, "/v1/explain", body), ranked);
        din += ranked;
    }
    assert_true(din > 0 && din < 12);
    lcf_server_stop(s);
}

/* Who asks for no arm gets that of the split; the log knows with which probability. */
static void requests_are_split(void **state)
{
    lcf_server_options o = options_of_test();
    char *path = log_path("split.jsonl");
    size_t din = 0;
    lcf_server *s;
    json_t *lines, *line;
    size_t i;

    (void)state;
    o.arms = "din-ict=60,din=40";
    o.request_log = path;
    s = start(&o);
    for (int user = 1; user <= 12; user++) {
        char body[128];

        snprintf(body, sizeof(body), "{\"user_id\": \"u%d\", \"candidates\": [\"i1\", \"i2\"]}",
                 user);
        expect(ask(s, "POST", "/v1/rank", body), 200, "\"arm\":\"din");
    }
    expect(ask(s, "POST", "/v1/rank",
               "{\"candidates\": [\"i1\"], \"arm\": \"din\", \"history\": [\"i2\"], \"time\": 99}"),
           200, "\"arm\":\"din\"");
    lines = lines_of(path, 13);
    assert_int_equal(json_array_size(lines), 13);
    json_array_foreach(lines, i, line)
    {
        const double p = json_number_value(json_object_get(line, "arm_propensity"));
        const bool is_din = !strcmp(text_of(line, "arm"), "din");

        if (i == 12) {
            assert_true(p == 1.0); /* it was asked for */
            assert_int_equal(json_integer_value(json_object_get(line, "asked_time")), 99);
            assert_int_equal(json_array_size(json_object_get(line, "history")), 1);
            break;
        }
        assert_true(fabs(p - (is_din ? 0.4 : 0.6)) < 1e-6);
        assert_null(json_object_get(line, "history"));
        din += is_din;
    }
    assert_true(din > 0 && din < 12);
    json_decref(lines);
    lcf_server_stop(s);
    free(path);
}

/* A snapshot without the arm of a user answers by its default, says so, and it is counted. */
static void an_arm_that_is_missing(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s;

    (void)state;
    o.arms = "canary=1";
    s = start(&o);
    expect(ask(s, "POST", "/v1/rank", RANK), 200,
           "\"arm\":\"din-ict\",\"degraded\":\"unknown_arm\"");
    expect(ask(s, "POST", "/v1/explain", RANK), 200, "\"degraded\":\"unknown_arm\"");
    expect(ask(s, "POST", "/v1/rank", "{\"candidates\": [\"i1\"], \"arm\": \"din\"}"), 200,
           "\"arm\":\"din\",\"results\"");
    expect(ask(s, "GET", "/metrics", ""), 200,
           "llmcf_degraded_requests_total{reason=\"unknown_arm\"} 1\n");
    expect(ask(s, "GET", "/metrics", ""), 200,
           "llmcf_arm_degraded_requests_total{arm=\"din-ict\"} 1\n");
    expect(ask(s, "GET", "/metrics", ""), 200, "llmcf_arm_requests_total{arm=\"din\"} 1\n");
    lcf_server_stop(s);
}

static void ask_many(const lcf_server *s, size_t requests_n)
{
    int fd = connect_tcp(s);

    for (size_t i = 0; i < requests_n; i++) {
        char body[160];

        snprintf(body, sizeof(body),
                 "{\"user_id\": \"u%d\", \"candidates\": [\"i1\", \"i2\", \"i3\"], \"top\": 1}",
                 (int)(i % 12));
        expect(ask_fd(fd, "POST", "/v1/rank", body), 200, "\"arm\":\"din-ict\"");
    }
    close(fd);
}

static double counted(const lcf_server *s, const char *result)
{
    reply r = ask(s, "GET", "/metrics", "");
    char name[96];
    const char *at;
    double value;

    snprintf(name, sizeof(name), "llmcf_shadow_requests_total{result=\"%s\"} ", result);
    at = strstr(r.body.data, name);
    assert_non_null(at);
    value = strtod(at + strlen(name), NULL);
    lcf_buf_dispose(&r.body);
    return value;
}

/* A server that logs to `path`, and the scores of din to `shadow`. */
static lcf_server *start_shadowed(const char *path, const char *shadow)
{
    lcf_server_options o = options_of_test();
    char arm[300];

    snprintf(arm, sizeof(arm), "din=%s", shadow);
    o.request_log = path;
    o.shadow = arm;
    return start(&o);
}

/* The shadow's log has the same requests under the other arm, with all candidates. */
static void a_shadow_scores_what_is_logged(void **state)
{
    char *path = log_path("asked.jsonl"), *shadow = log_path("shadow.jsonl");
    json_t *asked, *shadowed, *line;
    lcf_server *s;
    size_t i;

    (void)state;
    s = start_shadowed(path, shadow);
    ask_many(s, 30);
    asked = lines_of(path, 30);
    shadowed = lines_of(shadow, 30);
    assert_int_equal(json_array_size(asked), 30);
    assert_int_equal(json_array_size(shadowed), 30);
    json_array_foreach(shadowed, i, line)
    {
        assert_string_equal(text_of(line, "arm"), "din");
        assert_string_equal(text_of(line, "request_id"),
                            text_of(json_array_get(asked, i), "request_id"));
        assert_int_equal(json_array_size(json_object_get(line, "candidates")), 3);
        assert_int_equal(json_array_size(json_object_get(json_array_get(asked, i), "candidates")),
                         1);
    }
    assert_true(counted(s, "done") == 30 && counted(s, "failed") == 0);
    json_decref(asked);
    json_decref(shadowed);
    lcf_server_stop(s);
    free(path);
    free(shadow);
}

/* Mappings of files of snapshots. */
static size_t mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    size_t n = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps))
        n += strstr(line, g_root) != NULL;
    fclose(maps);
    return n;
}

/* It keeps its snapshot from one request to the next, and a replaced one no longer than that. */
static void a_shadow_lets_go(void **state)
{
    const struct timespec moment = {0, 50000000};
    char *path = log_path("kept.jsonl"), *shadow = log_path("kept-shadow.jsonl");
    lcf_server *s;
    size_t before;

    (void)state;
    s = start_shadowed(path, shadow);
    ask_many(s, 5);
    json_decref(lines_of(shadow, 5));
    before = mappings();
    assert_true(before > 0);
    assert_true(lcf_server_poll(s, true));
    for (int i = 0; i < 200 && mappings() != before; i++)
        (void)nanosleep(&moment, NULL);
    assert_int_equal(mappings(), before);
    ask_many(s, 5);
    json_decref(lines_of(shadow, 10));
    assert_true(counted(s, "failed") == 0);
    lcf_server_stop(s);
    free(path);
    free(shadow);
}

static void shadows_that_cannot_be(void **state)
{
    static const char *const texts[] = {"din", "=x", "din=", "canary=x"};
    lcf_server_options o = options_of_test();
    char *path = log_path("none.jsonl");
    lcf_server *s;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    o.shadow = "din=x"; /* without a log */
    assert_int_equal(lcf_server_start(&s, &o, &err), LCF_EINVAL);
    o.request_log = path;
    for (size_t i = 0; i < 4; i++) {
        o.shadow = texts[i];
        assert_int_equal(lcf_server_start(&s, &o, &err), LCF_EINVAL);
    }
    o.shadow = NULL;
    o.arms = "din";
    assert_int_equal(lcf_server_start(&s, &o, &err), LCF_EINVAL);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_that_are_none),           cmocka_unit_test(users_are_split),
        cmocka_unit_test(explanations_are_split_too),     cmocka_unit_test(requests_are_split),
        cmocka_unit_test(an_arm_that_is_missing),         cmocka_unit_test(a_shadow_scores_what_is_logged), cmocka_unit_test(a_shadow_lets_go),
        cmocka_unit_test(shadows_that_cannot_be),
    };

    return cmocka_run_group_tests_name("arms", tests, server_setup, server_teardown);
}
