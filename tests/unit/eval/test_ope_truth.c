/*
 * Counterfactual estimators against worlds of known truth: are they where they should be, and do
 * their intervals hold the truth as often as they say? tests/bench/ope_truth.csv has the figures.
 */
#include "tests/unit/test.h"

#include "offline/eval/ope/position_bias.h"
#include "tests/unit/eval/ope_world.h"

#include <math.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { WORLDS = 500, USERS = 200 };

/* An unbiased estimator: its 95 % intervals hold the truth in 93 to 97 % of 500 worlds, its bias is
 * within what so many worlds can resolve, and it knows its own spread. */
static void check_score(const ope_score *s, const char *world)
{
    assert_non_null(s);
    if (s->absent || !(s->covered_normal >= .93 && s->covered_normal <= .97) ||
        !(s->covered_bootstrap >= .93 && s->covered_bootstrap <= .97) ||
        !(fabs(s->bias) < 3.5 * s->sd / sqrt(WORLDS)) || !(fabs(s->mean_se / s->sd - 1) < .12))
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
    judge_lists(scores, OPE_LISTS_RERANK, 100);
    pbm = ope_score_find(scores, "slate_pbm");
    assert_non_null(pbm);
    assert_false(pbm->absent);
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
    assert_ok(ope_lists_log(&log, OPE_LISTS_POSITION, 4000, 1, &err), &err);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_cover_the_truth),
        cmocka_unit_test(replay_covers_the_truth),
        cmocka_unit_test(lists_cover_the_truth),
        cmocka_unit_test(position_based_model_is_near_the_truth),
        cmocka_unit_test(examination_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
