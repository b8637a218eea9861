/* Scores: what is rejected and why, and that each part moves when it should. */
#include "common/base/rng.h"
#include "offline/recgen/score.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
    assert_true(s.score == 0.0f);
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
    assert_true(s.score > 0.9f && s.score <= 1.0f);
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

    assert_true(!*score.reject_reason || score.score == 0.0f);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rejected),     cmocka_unit_test(test_good),
        cmocka_unit_test(test_consistency),  cmocka_unit_test(test_relevance),
        cmocka_unit_test(test_completeness), cmocka_unit_test(test_coherence),
        cmocka_unit_test(test_doubled),      cmocka_unit_test(test_echo_and_language),
        cmocka_unit_test(test_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
