/* Scores: what is rejected and why, and that each part moves when it should. */
#include "common/base/rng.h"
#include "offline/recgen/score.h"
#include "offline/recgen/score_weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char PROMPT[] = "Tastes: Drama 5, Crime 2\nLiked: Heat (1995); Casino (1995)\n"
                             "Target: Fargo (1996) | Drama 5, Thriller 0\nDecision: Yes\nWhy Yes:";
static const char GOOD[] =
    "The user mostly enjoys Drama and Crime, as Heat (1995) shows. The target, Fargo (1996), "
    "stands "
    "for Drama. It shares Drama with the profile, which is a good match. For variety, Thriller "
    "widens the range. So the answer is Yes.";

static lcf_cot_score score_as(const char *text, bool finished, uint8_t label)
{
    lcf_cot_subject subject = {{PROMPT, sizeof(PROMPT) - 1}, {"Fargo (1996)", 12}, label};

    return lcf_cot_score_of((lcf_str){text, strlen(text)}, finished, &subject);
}

static void rejected(const char *text, bool finished, const char *reason)
{
    lcf_cot_score s = score_as(text, finished, 1);

    assert_string_equal(s.reject_reason, reason);
    assert_true(s.score == 0.0);
    for (size_t i = 0; i < 4; i++)
        assert_true(s.parts[i] == 0.0f);
}

static void test_rejected(void **state)
{
    char echo[512];

    (void)state;
    rejected("", true, "empty");
    rejected("Yes.", true, "too short");
    rejected("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true, "too short");
    rejected(GOOD, false, "cut off before its end");
    snprintf(echo, sizeof(echo), "%s\nTarget: another", GOOD);
    rejected(echo, true, "echoes prompt markers");
    snprintf(echo, sizeof(echo), "%s [/INST]", GOOD);
    rejected(echo, true, "echoes prompt markers");
    snprintf(echo, sizeof(echo), "%s \xff", GOOD);
    rejected(echo, true, "not UTF-8 text");
    rejected("the user likes it and the user likes it and the user likes it and the user likes it "
             "and the user likes it.",
             true, "repeats itself");
}

static void test_good(void **state)
{
    lcf_cot_score s = score_as(GOOD, true, 1);

    (void)state;
    assert_string_equal(s.reject_reason, "");
    assert_true(s.score > 0.9 && s.score <= 1.0);
    assert_true(s.parts[LCF_COT_RELEVANCE] == 1.0f);
    assert_true(s.parts[LCF_COT_CONSISTENCY] == 1.0f);
}

static void test_consistency(void **state)
{
    (void)state;
    assert_true(score_as(GOOD, true, 0).parts[LCF_COT_CONSISTENCY] == 0.0f);
    assert_true(
        score_as("The user enjoys Drama a great deal and the target is quite near to it.", true, 0)
            .parts[LCF_COT_CONSISTENCY] == 0.5f);
}

static void test_relevance(void **state)
{
    static const char invented[] =
        "The user mostly enjoys Romance and Horror, as Titanic (1997) shows. The target, Alien "
        "(1979), stands for Horror. It shares Horror with the profile. So the answer is Yes.";
    float good = score_as(GOOD, true, 1).parts[LCF_COT_RELEVANCE];
    float bad = score_as(invented, true, 1).parts[LCF_COT_RELEVANCE];

    (void)state;
    assert_true(bad < 0.2f && good > 0.9f);
}

static void test_completeness(void **state)
{
    float part =
        score_as("The user enjoys Drama and Crime and has a taste for them in the history. "
                 "So the answer is Yes, and that is all about it there is.",
                 true, 1)
            .parts[LCF_COT_COMPLETENESS];

    (void)state;
    assert_true(part < score_as(GOOD, true, 1).parts[LCF_COT_COMPLETENESS]);
}

static void test_coherence(void **state)
{
    static const char swinging[] =
        "The user enjoys and loves Drama as a good match. It is not liked and nothing about it is "
        "welcome to a weak taste. It is a great and strong match that fits. It is hard and poor "
        "and "
        "never good. So the answer is Yes.";

    (void)state;
    assert_true(score_as(swinging, true, 1).parts[LCF_COT_COHERENCE] <
                score_as(GOOD, true, 1).parts[LCF_COT_COHERENCE]);
}

static void test_doubled(void **state)
{
    char text[512] = "The user mostly enjoys Drama and Drama, as Heat (1995) and Heat (1995) show.";

    (void)state;
    strcat(text, strstr(GOOD, " The target"));
    assert_true(score_as(text, true, 1).parts[LCF_COT_COHERENCE] <
                score_as(GOOD, true, 1).parts[LCF_COT_COHERENCE] - 0.4f);
}

static const char *reason_for(const char *prompt, const char *text, bool finished)
{
    lcf_cot_subject subject = {{prompt, strlen(prompt)}, {"Fargo (1996)", 12}, 1};
    lcf_cot_score score = lcf_cot_score_of((lcf_str){text, strlen(text)}, finished, &subject);

    assert_true(!*score.reject_reason || score.score == 0.0);
    return score.reject_reason;
}

static void test_echo_and_language(void **state)
{
    static const char prompt[] =
        "This is a user of the shop and a list of the items that were liked: Heat (1995), Alien "
        "(1979). The target item is Fargo (1996). Explain why the decision is what it is, in the "
        "light of the history and of the items that are related to it.";
    static const char german[] =
        "Der Benutzer mag Krimis und Dramen, wie Heat (1995) zeigt. Das Ziel, Fargo (1996), steht "
        "ebenfalls dafür und wird oft zusammen gewählt. Deshalb lautet die Entscheidung eindeutig "
        "Ja, denn beides passt gut zusammen.";

    (void)state;
    assert_string_equal(reason_for(prompt, "", true), "empty");
    assert_string_equal(reason_for(prompt, " \n .", true), "empty");
    assert_string_equal(reason_for(prompt, prompt, true), "copies the prompt");
    assert_string_equal(reason_for(prompt, german, true), "in another language than the prompt");
    assert_string_equal(reason_for("Liked: Heat (1995)\nTarget: Fargo (1996)", german, true), "");
    assert_string_equal(reason_for(prompt, GOOD, true), "");
    assert_string_equal(reason_for(prompt, GOOD, false), "cut off before its end");
}

/* A text of any length is scored in bounded memory and does not overrun. */
static void test_long(void **state)
{
    static char text[200000];
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 3, 0);
    for (size_t i = 0; i + 1 < sizeof(text); i++)
        text[i] = i % 7 == 6 ? ' ' : (char)('a' + lcf_rng_below(&rng, 26));
    text[sizeof(text) - 1] = '\0';
    assert_string_equal(score_as(text, true, 1).reject_reason, "");
}

/* One weight alone: the logistic function of the clipped feature, mirrored for the other decision.
 */
static void test_weights(void **state)
{
    static const char praise[] = "The user loves it. It is a great match, an excellent album.";
    static const char reproach[] = "The user dislikes it. It is a poor mismatch, a boring album.";
    const lcf_str prompt = {"An album.", 9}, good = {praise, sizeof(praise) - 1},
                  bad = {reproach, sizeof(reproach) - 1};
    lcf_score_weights w = {.prompts_n = 9, .accuracy = 0.5}, back;
    double x[LCF_RATIONALE_N];
    lcf_err err = LCF_ERR_INIT;
    json_t *json;

    (void)state;
    assert_true(lcf_score_weighted(&w, good, prompt, 1) == 0.5); /* no spread, no say */
    w.spread[LCF_RATIONALE_POLARITY] = 2.0;
    w.mean[LCF_RATIONALE_POLARITY] = 0.25;
    w.weight[LCF_RATIONALE_POLARITY] = 1.5;
    lcf_rationale_features(x, good, prompt, 1);
    assert_true(x[LCF_RATIONALE_POLARITY] > 0.5);
    assert_true(fabs(lcf_score_weighted(&w, good, prompt, 1) -
                     1.0 / (1.0 + exp(-1.5 * (x[LCF_RATIONALE_POLARITY] - 0.25) / 2.0))) < 1e-12);
    assert_true(lcf_score_weighted(&w, good, prompt, 1) > lcf_score_weighted(&w, bad, prompt, 1));
    assert_true(lcf_score_weighted(&w, good, prompt, 0) < lcf_score_weighted(&w, bad, prompt, 0));
    w.spread[LCF_RATIONALE_POLARITY] = 1e-6; /* clipped */
    assert_true(fabs(lcf_score_weighted(&w, good, prompt, 1) -
                     1.0 / (1.0 + exp(-1.5 * LCF_SCORE_CLIP))) < 1e-12);

    lcf_score_weights_identify(&w);
    json = lcf_score_weights_json(&w);
    assert_int_equal(lcf_score_weights_parse(&back, json, &err), LCF_OK);
    assert_memory_equal(&back, &w, sizeof(w));
    json_object_set_new(json_object_get(json_object_get(json, "features"), "swing"), "spread",
                        json_real(-1.0));
    assert_int_equal(lcf_score_weights_parse(&back, json, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "swing"));
    json_object_set_new(json, "version", json_integer(2));
    assert_int_equal(lcf_score_weights_parse(&back, json, &err), LCF_EVERSION);
    json_decref(json);
    w.weight[LCF_RATIONALE_SWING] = 1e-9;
    lcf_score_weights_identify(&w);
    assert_string_not_equal(w.id, back.id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rejected),     cmocka_unit_test(test_good),
        cmocka_unit_test(test_consistency),  cmocka_unit_test(test_relevance),
        cmocka_unit_test(test_completeness), cmocka_unit_test(test_coherence),
        cmocka_unit_test(test_doubled),      cmocka_unit_test(test_echo_and_language),
        cmocka_unit_test(test_long),         cmocka_unit_test(test_weights),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
