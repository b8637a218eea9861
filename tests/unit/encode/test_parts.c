/* Which sentences of a chain of thought are about the user, and which about the target. */
#include "offline/encode/parts.h"
#include "tests/unit/test.h"

static lcf_str str(const char *text)
{
    return (lcf_str){text, strlen(text)};
}

static void check(const char *text, const char *title, const char *profile, const char *target)
{
    const lcf_cot_parts p = lcf_cot_parts_of(str(text), str(title));

    if (p.profile.len != strlen(profile) || memcmp(p.profile.data, profile, p.profile.len))
        fail_msg("profile is '%.*s'", (int)p.profile.len, p.profile.data);
    if (p.target.len != strlen(target) || memcmp(p.target.data, target, p.target.len))
        fail_msg("target is '%.*s'", (int)p.target.len, p.target.data);
}

static void test_parts(void **state)
{
    (void)state;
    check("The user enjoys Crime, as Heat (1995) shows. Elizabeth (1998) offers Drama; people pick "
          "it. The overlap is small.",
          "Elizabeth (1998)", "The user enjoys Crime, as Heat (1995) shows.",
          "Elizabeth (1998) offers Drama; people pick it.");
    /* initials and abbreviations end nothing, nor does a title that is in the profile */
    check(
        "Mr. Bean and E.T. the alien were liked. The user is glad. The target, Dr. Strangelove, is "
        "a satire. It fits.",
        "Dr. Strangelove", "Mr. Bean and E.T. the alien were liked. The user is glad.",
        "The target, Dr. Strangelove, is a satire.");
    /* a title that the text has shortened */
    check("The user likes horror. Mary Shelley's Frankenstein (Frank stands for Drama. Yes.",
          "Mary Shelley's Frankenstein (Frankenstein) (1994)", "The user likes horror.",
          "Mary Shelley's Frankenstein (Frank stands for Drama.");
    /* never named, or named at once: by place */
    check("One is told. Two follows! Three ends.", "Nowhere", "One is told.", "Two follows!");
    check("Heat is good. The user likes it. So yes.", "Heat", "Heat is good.",
          "The user likes it.");
}

static void test_odd_texts(void **state)
{
    (void)state;
    check("", "x", "", "");
    check("no end at all", "", "no end at all", "");
    check("  \n Only one.  ", "x", "", "Only one.");
    check("A. B. C.", "B", "A. B. C.", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_odd_texts),
    };

    return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
