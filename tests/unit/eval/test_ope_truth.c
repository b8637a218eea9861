/*
 * Counterfactual estimators against worlds of known truth: are they where they should be, and do
 * their intervals hold the truth as often as they say? tests/bench/ope_truth.csv has the figures.
 */
#include "tests/unit/test.h"

#include "offline/data/sim_shop.h"
#include "offline/eval/ope/position_bias.h"
#include "tests/unit/eval/ope_world.h"

#include <math.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Under a sanitizer a few worlds are run for its sake; the statistics are those of other builds. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { WORLDS = 20, JUDGED = 0 };
#else
enum { WORLDS = 500, JUDGED = 1 };
#endif
enum { USERS = 200 };

/* An unbiased estimator: its 95 % intervals hold the truth in 93 to 97 % of 500 worlds, its bias is
 * within what so many worlds can resolve, and it knows its own spread. */
static void check_score(const ope_score *s, const char *world)
{
    assert_non_null(s);
    assert_false(s->absent);
    if (JUDGED &&
        (!(s->covered_normal >= .93 && s->covered_normal <= .97) ||
         !(s->covered_bootstrap >= .93 && s->covered_bootstrap <= .97) ||
         !(fabs(s->bias) < 3.5 * s->sd / sqrt(WORLDS)) || !(fabs(s->mean_se / s->sd - 1) < .12)))
        fail_msg("%s in world %s: normal intervals cover in %.1f %%, bootstrap in %.1f %%, bias "
                 "%+.5f, sd %.5f, believed sd %.5f",
                 s->name, world, 100 * s->covered_normal, 100 * s->covered_bootstrap, s->bias,
                 s->sd, s->mean_se);
}

static lcf_ope_options thorough(void)
{
    lcf_ope_options options = LCF_OPE_OPTIONS_INIT;

    options.bootstrap.replicates_n = 200;
    return options;
}

static void judge_rows(ope_score *scores, ope_world_kind kind)
{
    lcf_ope_options options = thorough();
    lcf_err err = LCF_ERR_INIT;
    lcf_pool *pool;

    assert_ok(lcf_pool_create(&pool, 2, &err), &err);
    assert_ok(ope_world_judge(scores, kind, USERS, WORLDS, &options, pool, &err), &err);
    lcf_pool_free(pool);
}

static void judge_lists(ope_score *scores, ope_lists_kind kind, size_t worlds_n)
{
    lcf_ope_options options = thorough();
    lcf_err err = LCF_ERR_INIT;
    lcf_pool *pool;

    assert_ok(lcf_pool_create(&pool, 2, &err), &err);
    assert_ok(ope_lists_judge(scores, kind, USERS, worlds_n, &options, pool, &err), &err);
    lcf_pool_free(pool);
}

static void intervals_cover_the_truth(void **state)
{
    static const char *const names[] = {"ips", "snips", "dr", "sndr"};
    ope_score scores[LCF_OPE_OUTCOMES_N];

    (void)state;
    judge_rows(scores, OPE_WORLD_MODERATE);
    for (size_t i = 0; i < LENGTH(names); i++)
        check_score(ope_score_find(scores, names[i]), "moderate");
    /* the model leaves out what the target is about: DM is far off, DR mends it and beats IPS */
    if (!JUDGED)
        return;
    assert_true(fabs(ope_score_find(scores, "dm")->bias) > 0.1);
    assert_true(ope_score_find(scores, "dr")->rmse < 0.9 * ope_score_find(scores, "ips")->rmse);
}

static void replay_covers_the_truth(void **state)
{
    static const char *const names[] = {"replay", "ips", "snips", "dr", "sndr"};
    ope_score scores[LCF_OPE_OUTCOMES_N];

    (void)state;
    judge_rows(scores, OPE_WORLD_REPLAY);
    for (size_t i = 0; i < LENGTH(names); i++)
        check_score(ope_score_find(scores, names[i]), "replay");
}

/* Where people read from the top, what is above counts: single positions mislead. */
static void lists_cover_the_truth(void **state)
{
    static const char *const names[] = {"slate_ips", "slate_rips", "slate_cascade_dr"};
    ope_score scores[LCF_OPE_OUTCOMES_N];

    (void)state;
    judge_lists(scores, OPE_LISTS_CASCADE, WORLDS);
    for (size_t i = 0; i < LENGTH(names); i++)
        check_score(ope_score_find(scores, names[i]), "cascade");
    if (!JUDGED)
        return;
    assert_true(ope_score_find(scores, "slate_cascade_dr")->rmse <
                ope_score_find(scores, "slate_rips")->rmse);
    assert_true(ope_score_find(scores, "slate_rips")->rmse <
                ope_score_find(scores, "slate_ips")->rmse);
}

/* Under its own assumption the position-based model is right without any propensity, but for the
 * noise of the examination, which its intervals leave out. */
static void position_based_model_is_near_the_truth(void **state)
{
    ope_score scores[LCF_OPE_OUTCOMES_N];
    const ope_score *pbm;

    (void)state;
    judge_lists(scores, OPE_LISTS_RERANK, WORLDS / 5);
    pbm = ope_score_find(scores, "slate_pbm");
    assert_non_null(pbm);
    assert_false(pbm->absent);
    if (!JUDGED)
        return;
    assert_true(fabs(pbm->bias) < 0.01 * ope_lists_truth(OPE_LISTS_RERANK));
    assert_true(pbm->covered_normal > .85);
}

static void examination_is_found(void **state)
{
    static const lcf_position_bias_method methods[] = {LCF_POSITION_BIAS_WEIGHTED,
                                                       LCF_POSITION_BIAS_EM};
    lcf_err err = LCF_ERR_INIT;
    lcf_ope_log log;

    (void)state;
    assert_ok(ope_lists_log(&log, OPE_LISTS_POSITION, 1500, 1, &err), &err);
    for (size_t m = 0; m < LENGTH(methods); m++) {
        double examination[OPE_LISTS_POSITIONS];
        assert_ok(lcf_position_bias(examination, &log, methods[m], 1, &err), &err);
        for (size_t p = 0; p < OPE_LISTS_POSITIONS; p++)
            if (!(fabs(examination[p] - OPE_LISTS_EXAMINATION[p]) < 0.05))
                fail_msg("method %zu finds %.3f at position %zu, not %.3f", m, examination[p],
                         p + 1, OPE_LISTS_EXAMINATION[p]);
    }
    lcf_ope_log_dispose(&log);
}

/* ---- simulated shops ---- */

typedef struct shop {
    lcf_sim_shop items;
    lcf_sim_log log;
} shop;

static void open_shop(shop *s, uint64_t seed)
{
    lcf_simulate_options options = LCF_SIMULATE_OPTIONS_INIT;

    options.users_n = 250;
    options.items_n = 25;
    options.days = 20;
    options.requests_per_user = 4;
    options.slate = 1;
    options.seed = seed;
    assert_int_equal(lcf_sim_shop_create(&s->items, &options), LCF_OK);
    assert_int_equal(lcf_sim_log_create(&s->log, &s->items, &options), LCF_OK);
}

static void close_shop(shop *s)
{
    lcf_sim_log_dispose(&s->log);
    lcf_sim_shop_dispose(&s->items);
}

/* The first positions as a log for one of the shop's policies. Returns what that policy would have
 * earned per request in those requests. */
static double shop_log(lcf_ope_log *out, const shop *s, size_t policy)
{
    static const lcf_ope_log_options strict = {false, false};
    double truth = 0;
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_ope_log_init(out, "shop", &strict, &err), &err);
    for (size_t i = 0; i < s->log.requests_n; i++) {
        const lcf_sim_impression *shown = &s->log.impressions[i]; /* one a request */
        lcf_ope_row row = LCF_OPE_ROW_INIT;
        char user[16], item[16];
        snprintf(user, sizeof(user), "%u", shown->user);
        snprintf(item, sizeof(item), "%u", shown->item);
        row.line = i + 1;
        row.user = (lcf_str){user, strlen(user)};
        row.action = (lcf_str){item, strlen(item)};
        row.propensity = shown->propensity;
        row.target = s->log.requests[i].propensity[policy];
        row.reward = shown->clicked;
        assert_ok(lcf_ope_log_add(out, &row, &err), &err);
        truth += s->log.requests[i].value[policy] / (double)s->log.requests_n;
    }
    assert_ok(lcf_ope_log_finish(out, &err), &err);
    return truth;
}

/* Adds the share of one world to that of the intervals that hold the truth. */
static void count_covered(double *covered, const lcf_ope_result *result, const char *name,
                          double truth)
{
    const lcf_ope_estimate *e = &lcf_ope_find(result, name)->estimate[LCF_OPE_VALUE];

    *covered += (e->normal_low <= truth && truth <= e->normal_high) / (double)WORLDS;
}

/* What `llmcf simulate` makes up. Every shop has a truth of its own, that of its own requests. */
static void shops_cover_the_truth(void **state)
{
    enum { UNIFORM = 1, POPULAR, POLICIES };
    double ips[POLICIES] = {0}, snips[POLICIES] = {0};
    lcf_ope_options options = thorough();
    lcf_err err = LCF_ERR_INIT;
    lcf_pool *pool;

    (void)state;
    options.bootstrap.replicates_n = 2; /* of normal intervals, here */
    assert_ok(lcf_pool_create(&pool, 1, &err), &err);
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        shop s;
        open_shop(&s, seed);
        for (size_t policy = UNIFORM; policy < POLICIES; policy++) {
            lcf_ope_result result;
            lcf_ope_log log;
            double truth = shop_log(&log, &s, policy);
            assert_ok(lcf_ope_evaluate(&result, &log, pool, &options, &err), &err);
            count_covered(&ips[policy], &result, "ips", truth);
            count_covered(&snips[policy], &result, "snips", truth);
            lcf_ope_result_dispose(&result);
            lcf_ope_log_dispose(&log);
        }
        close_shop(&s);
    }
    for (size_t policy = UNIFORM; policy < POLICIES; policy++)
        if (JUDGED && !(ips[policy] >= .93 && ips[policy] <= .97 && snips[policy] >= .93 &&
                        snips[policy] <= .97))
            fail_msg("policy %zu: intervals of IPS cover in %.1f %%, of SNIPS in %.1f %%", policy,
                     100 * ips[policy], 100 * snips[policy]);
    lcf_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_cover_the_truth),
        cmocka_unit_test(replay_covers_the_truth),
        cmocka_unit_test(shops_cover_the_truth),
        cmocka_unit_test(lists_cover_the_truth),
        cmocka_unit_test(position_based_model_is_near_the_truth),
        cmocka_unit_test(examination_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
