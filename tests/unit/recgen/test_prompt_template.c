/* Prompt templates: what they say, and what is said about those that are wrong. */
#include "common/base/mem.h"
#include "offline/recgen/prompt.h"
#include "tests/unit/test.h"

#define HEAD "llmcf-prompt 1\nname: t\nversion: 1\n"

static bool has(const void *arg, lcf_prompt_template_value value)
{
    return *(const unsigned *)arg >> value & 1;
}

static void append(lcf_buf *out, const void *arg, lcf_prompt_template_value value)
{
    (void)arg;
    lcf_buf_printf(out, "<%d>", (int)value);
}

/* `facts`: a bit for every value that there is. */
static void check_render(const char *body, unsigned facts, const char *want)
{
    const lcf_prompt_template_facts given = {&facts, has, append};
    lcf_buf text = LCF_BUF_INIT, out = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_prompt_template t;

    lcf_buf_printf(&text, HEAD "[explain]\n%s\n", body);
    assert_ok(lcf_prompt_template_parse(&t, (lcf_str){text.data, text.len}, "here", &err), &err);
    lcf_prompt_template_render(&out, t.system, &given); /* there is none */
    lcf_prompt_template_render(&out, t.explain, &given);
    assert_string_equal(lcf_buf_text(&out), want);
    lcf_buf_dispose(&text);
    lcf_buf_dispose(&out);
}

static void test_render(void **state)
{
    const unsigned liked = 1u << LCF_VALUE_LIKED, yes = 1u << LCF_VALUE_YES;

    (void)state;
    check_render("plain { and } text\n", 0, "plain { and } text\n");
    check_render("a{{target}}b{{liked}}", 0, "a<3>b<0>");
    check_render("{{#liked}}L{{liked}}{{/liked}}{{^liked}}none{{/liked}}.", liked, "L<0>.");
    check_render("{{#liked}}L{{liked}}{{/liked}}{{^liked}}none{{/liked}}.", 0, "none.");
    check_render("{{#liked}}{{#yes}}both{{/yes}}{{^yes}}one{{/yes}}{{/liked}}", liked | yes,
                 "both");
    check_render("{{#liked}}{{#yes}}both{{/yes}}{{^yes}}one{{/yes}}{{/liked}}", liked, "one");
    check_render("{{#liked}}{{#yes}}both{{/yes}}{{^yes}}one{{/yes}}{{/liked}}", yes, "");
}

static void test_sections(void **state)
{
    static const char text[] = HEAD "[decide]\nD\n[system]\nS\nS2\n\n[explain]\nE{{#title}}\n"
                                    "{{title}}{{/title}}{{user_code}}\n";
    lcf_prompt_template t;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_prompt_template_parse(&t, (lcf_str){text, sizeof(text) - 1}, "here", &err), &err);
    assert_string_equal(t.name, "t");
    assert_int_equal(t.version, 1);
    assert_int_equal(strlen(t.hash), 16);
    assert_memory_equal(t.system.data, "S\nS2\n", t.system.len);
    assert_int_equal(t.system.len, 5);
    assert_memory_equal(t.explain.data, "E{{#title}}\n{{title}}", 21);
    assert_int_equal(t.decide.len, 1);
    assert_int_equal(t.ask.len, 0);
    assert_int_equal(t.lines[LCF_VALUE_TITLE], 11);
    assert_int_equal(t.lines[LCF_VALUE_USER_CODE], 12);
    assert_int_equal(t.lines[LCF_VALUE_LIKED], 0);
}

static void check_wrong(const char *text, size_t n, const char *want)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_prompt_template t;

    assert_true(lcf_prompt_template_parse(&t, (lcf_str){text, n}, "here", &err) < 0);
    if (!strstr(err.text, want))
        fail_msg("no '%s' in: %s", want, err.text);
}

static void test_wrong(void **state)
{
    static const char *const CASES[][2] = {
        {"", "here:1: the first line must be"},
        {"llmcf-prompt 2\n", "here:1: the first line must be"},
        {"llmcf-prompt 1\nversion: 1\n", "here:2: here must stand 'name: ...'"},
        {"llmcf-prompt 1\nname: a b\nversion: 1\n", "here:2: a name has"},
        {"llmcf-prompt 1\nname: \nversion: 1\n", "here:2: a name has"},
        {"llmcf-prompt 1\nname: a\nversion: 0\n", "here:3: a version is"},
        {"llmcf-prompt 1\nname: a\nversion: 1", "here:3: here must stand"},
        {HEAD, "there is neither [explain] nor"},
        {HEAD "[explain]\n", "there is neither [explain] nor"},
        {HEAD "[system]\nS\n", "there is neither [explain] nor"},
        {HEAD "[ask]\nA\n[decide]\nD\n", "[decide] and [ask] both ask"},
        {HEAD "[ask]\nA\n{{item_code}}\n", "here:6: 'item_code' is no value; there are liked, "},
        {HEAD "text\n", "here:4: here must stand [system]"},
        {HEAD "[explain]\nE\n[explain]\nE\n", "here:6: this section is there twice"},
        {HEAD "[explain]\nE\n[/INST]\n", "here:6: here must stand [system]"},
        {HEAD "[explain]\nE\n{{price}}\n", "here:6: 'price' is no value"},
        {HEAD "[explain]\n{{liked\n", "here:5: {{ without }}"},
        {HEAD "[explain]\n{{}}\n", "here:5: '' is no value"},
        {HEAD "[explain]\nE\n{{#liked}}\n", "here:6: {{#liked}} is not closed"},
        {HEAD "[explain]\n{{/liked}}\n", "here:5: {{/liked}} closes nothing"},
        {HEAD "[explain]\n{{#liked}}{{/related}}{{/liked}}\n", "closes nothing"},
        {HEAD "[explain]\n\xff\n", "not UTF-8"},
    };
    lcf_buf deep = LCF_BUF_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
        check_wrong(CASES[i][0], strlen(CASES[i][0]), CASES[i][1]);
    check_wrong(HEAD "[explain]\n\0\n", sizeof(HEAD) + 12, "not UTF-8");
    lcf_buf_append_text(&deep, HEAD "[explain]\n");
    for (int i = 0; i < 9; i++)
        lcf_buf_append_text(&deep, "{{#yes}}");
    check_wrong(deep.data, deep.len, "more than 8 levels");
    while (deep.len <= LCF_PROMPT_TEMPLATE_BYTES_MAX)
        lcf_buf_append_text(&deep, "much text ");
    check_wrong(deep.data, deep.len, "at most 64 KiB");
    lcf_buf_dispose(&deep);
}

static void test_versions(void **state)
{
    static const char text[] = HEAD "[explain]\nE\n";
    lcf_prompt_options options = LCF_PROMPT_OPTIONS_INIT;
    char version[LCF_PROMPT_VERSION_BYTES], want[LCF_PROMPT_VERSION_BYTES];
    lcf_prompt_template t, builtin;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_prompt_template_parse(&t, (lcf_str){text, sizeof(text) - 1}, "here", &err), &err);
    options.dialect = LCF_DIALECT_LLAMA2;
    options.template = &t;
    options.hide_answer = options.hide_related = true;
    snprintf(want, sizeof(want), "t-1#%s history=8 title=48 related=no answer=no", t.hash);
    lcf_prompt_version(version, &options);
    assert_string_equal(version, want);
    assert_ok(lcf_prompt_builtin(&builtin, "llama2", &err), &err);
    assert_string_equal(builtin.name, "llama2");
    assert_true(builtin.system.len && builtin.explain.len && builtin.decide.len);
    assert_int_equal(lcf_prompt_builtin(&builtin, "recgen", &err), LCF_EUSAGE);
    assert_int_equal(lcf_prompt_builtin(&builtin, "poem", &err), LCF_EUSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_render),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_versions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
