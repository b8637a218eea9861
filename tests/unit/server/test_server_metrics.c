/* Counters of several threads as one text. */
#include "tests/unit/test.h"

#include "online/server/metrics.h"

/* Whatever arms a server sees in its life, their number is bounded, and nothing is lost. */
static void many_arms_are_counted(void **state)
{
    static lcf_metrics first, second;
    lcf_metrics *const threads[] = {&first, &second};
    const lcf_metrics_global global = {
        .snapshot = {
            .generation = "g", .id = "i", .arms_n = 1, .arms = {"arm 3"}, .default_arm = "arm 3"}};
    const double stages_s[LCF_STAGES_N] = {0};
    lcf_buf out = LCF_BUF_INIT;
    size_t series_n = 0;

    (void)state;
    for (int i = 0; i < 40; i++) {
        char name[16];
        lcf_rank_response response = {.arm = name, .degraded_n = i % 2};

        snprintf(name, sizeof(name), "arm %d", i);
        lcf_metrics_rank(&first, &response, 1, stages_s, 0.0);
        if (i < 4)
            lcf_metrics_rank(&second, &response, 1, stages_s, 0.0);
    }
    lcf_metrics_write(&out, threads, 2, &global);
    for (const char *at = lcf_buf_text(&out); (at = strstr(at, "\nllmcf_arm_requests_total{"));
         at++)
        series_n++;
    assert_int_equal(series_n, LCF_METRICS_ARMS_N);
    assert_non_null(strstr(out.data, "llmcf_arm_requests_total{arm=\"arm 3\"} 2\n"));
    assert_non_null(strstr(out.data, "llmcf_arm_degraded_requests_total{arm=\"arm 3\"} 2\n"));
    assert_non_null(strstr(out.data, "llmcf_arm_requests_total{arm=\"other\"} 24\n"));
    lcf_buf_dispose(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_arms_are_counted),
    };

    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
