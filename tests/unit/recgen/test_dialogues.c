/* Dialogues as they are read from files, and their templates. */
#include "offline/recgen/segments.h"
#include "tests/unit/recgen/dialogue_text.h"

static const char ALPACA[] =
    "[{\"instruction\": \"Name a colour\", \"input\": \"\", \"output\": \"Green\"},\n"
    " {\"instruction\": \"Add\", \"input\": \"1 and 2\", \"output\": \"3\"},\n"
    " {\"instruction\": \"Nothing to say\", \"output\": \"\"}]";

/* ---- files ---- */

static void parse(lcf_dialogues *g, lcf_dialogue_form form, const char *text)
{
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_dialogues_parse(g, form, text, strlen(text), "rows", &err), LCF_OK);
}

static void turn_is(const lcf_dialogues *g, size_t row, size_t turn, lcf_role role,
                    const char *text)
{
    assert_true(turn < lcf_dialogues_turns_n(g, row));
    assert_int_equal(lcf_dialogues_turn(g, row, turn).role, role);
    same(lcf_dialogues_turn(g, row, turn).text, text);
}

static void test_alpaca(void **state)
{
    lcf_dialogues g = LCF_DIALOGUES_INIT;

    (void)state;
    parse(&g, LCF_FORM_ALPACA, ALPACA);
    assert_int_equal(g.n, 2);
    assert_int_equal(g.empty_n, 1);
    parse(&g, LCF_FORM_ALPACA,
          "{\"instruction\": \"Shorten\", \"instances\": [{\"input\": \"a\", \"output\": \"b\"}, "
          "{\"input\": \"c\", \"output\": \"d\"}]}\n\n{\"instruction\": \"x\", \"output\": "
          "\"y\", \"system\": \"s\"}\n");
    assert_int_equal(g.n, 5);
    assert_int_equal(lcf_dialogues_turns_n(&g, 0), 2);
    turn_is(&g, 1, 0, LCF_ROLE_USER, "Add");
    turn_is(&g, 1, 1, LCF_ROLE_INPUT, "1 and 2");
    turn_is(&g, 1, 2, LCF_ROLE_ASSISTANT, "3");
    turn_is(&g, 3, 0, LCF_ROLE_USER, "Shorten");
    turn_is(&g, 3, 2, LCF_ROLE_ASSISTANT, "d");
    turn_is(&g, 4, 0, LCF_ROLE_SYSTEM, "s");
    lcf_dialogues_dispose(&g);
}

static void test_conversations(void **state)
{
    lcf_dialogues g = LCF_DIALOGUES_INIT;

    (void)state;
    parse(&g, LCF_FORM_SHAREGPT,
          "[{\"system\": \"s\", \"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, "
          "{\"from\": \"gpt\", \"value\": \"b\"}, {\"from\": \"human\", \"value\": \"c\"}, "
          "{\"from\": \"gpt\", \"value\": \"d\"}, {\"from\": \"human\", \"value\": \"e\"}]}]");
    parse(&g, LCF_FORM_OPENAI,
          "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", "
          "\"content\": \"r\"}]}\n"
          "{\"messages\": [{\"role\": \"developer\", \"content\": \"s\"}, {\"role\": \"user\", "
          "\"content\": [{\"type\": \"text\", \"text\": \"q\"}, {\"type\": \"text\", \"text\": "
          "\"u\"}]}, {\"role\": \"assistant\", \"content\": \"v\"}]}\n");
    assert_int_equal(g.n, 3);
    assert_int_equal(lcf_dialogues_turns_n(&g, 0), 5); /* the last word of the user has no answer */
    turn_is(&g, 0, 0, LCF_ROLE_SYSTEM, "s");
    turn_is(&g, 0, 3, LCF_ROLE_USER, "c");
    turn_is(&g, 0, 4, LCF_ROLE_ASSISTANT, "d");
    turn_is(&g, 1, 0, LCF_ROLE_USER, "q");
    turn_is(&g, 1, 1, LCF_ROLE_ASSISTANT, "r");
    turn_is(&g, 2, 0, LCF_ROLE_SYSTEM, "s");
    turn_is(&g, 2, 1, LCF_ROLE_USER, "qu");
    lcf_dialogues_dispose(&g);
}

static void test_text(void **state)
{
    lcf_dialogues g = LCF_DIALOGUES_INIT;
    lcf_buf text = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    parse(&g, LCF_FORM_TEXT, "\nOne\ntwo.\n\n \nThree.");
    assert_int_equal(g.n, 2);
    turn_is(&g, 0, 0, LCF_ROLE_ASSISTANT, "One\ntwo.");
    turn_is(&g, 1, 0, LCF_ROLE_ASSISTANT, "Three.");
    for (size_t i = 0; i < 500; i++)
        lcf_buf_append_text(&text, "word ");
    parse(&g, LCF_FORM_TEXT, text.data);
    assert_int_equal(g.n, 5); /* 2500 bytes */
    for (size_t i = 2; i < g.n; i++)
        assert_true(lcf_dialogues_turn(&g, i, 0).text.len <= LCF_TEXT_ROW_BYTES_MAX);
    assert_int_equal(lcf_dialogues_parse(&g, LCF_FORM_TEXT, "fine\n\n\xff", 7, "t.txt", &err),
                     LCF_EFORMAT);
    assert_non_null(strstr(err.text, "t.txt:3: not UTF-8"));
    lcf_buf_dispose(&text);
    lcf_dialogues_dispose(&g);
}

static void refused(lcf_dialogue_form form, const char *text, const char *part)
{
    lcf_dialogues g = LCF_DIALOGUES_INIT;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_dialogues_parse(&g, form, text, strlen(text), "r.json", &err),
                     LCF_EFORMAT);
    if (!strstr(err.text, part))
        fail_msg("'%s' is not in '%s'", part, err.text);
    lcf_dialogues_dispose(&g);
}

static void test_refused(void **state)
{
    (void)state;
    refused(LCF_FORM_ALPACA, "[{\"output\": \"x\"}]", "r.json:1: \"instruction\" must be a string");
    refused(LCF_FORM_ALPACA,
            "[\n{\"instruction\": \"x}\", \"output\": \"[\\\"\"},\n\n{\"instruction\": \"x\"}]",
            "r.json:4: \"output\" must be a string");
    refused(LCF_FORM_ALPACA, "[{\"instruction\": \"x\", \"output\": 3}]", "\"output\" must be");
    refused(LCF_FORM_ALPACA, "[{\"instruction\": \"x\", \"input\": [], \"output\": \"y\"}]",
            "\"input\"");
    refused(LCF_FORM_ALPACA, "[3]", "r.json:1: not an object");
    refused(LCF_FORM_ALPACA, "[{\"instruction\": \"x\", \"instances\": 1}]",
            "\"instances\" must be a list");
    refused(LCF_FORM_ALPACA, "{\"instruction\": \"x\", \"output\": \"y\"}\n{\"instruc",
            "r.json:2: ");
    refused(LCF_FORM_ALPACA, "[", "r.json");
    refused(LCF_FORM_SHAREGPT, "{\"conversations\": []}", "r.json:1: no answer of the assistant");
    refused(LCF_FORM_SHAREGPT, "{\"conversations\": [" TURN("human", "a") "]}",
            "no answer of the assistant");
    refused(LCF_FORM_SHAREGPT, "\n{\"conversations\": [" TURN("gpt", "a") "]}",
            "r.json:2: turn 1: user and assistant must take turns");
    refused(LCF_FORM_SHAREGPT, "{\"conversations\": [" TURN("tool", "a") "]}", "role 'tool'");
    refused(LCF_FORM_OPENAI, "{\"messages\": [{\"role\": \"user\", \"content\": null}]}",
            "\"content\" must be a string");
    refused(LCF_FORM_OPENAI,
            "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]}",
            "a part of type 'image_url'");
    refused(LCF_FORM_OPENAI, "{\"messages\": [{\"role\": \"user\", \"content\": [3]}]}",
            "\"type\" must be a string");
    refused(LCF_FORM_OPENAI, "{\"conversations\": []}", "\"messages\" must be a list");
}

static void test_file(void **state)
{
    lcf_dialogues g = LCF_DIALOGUES_INIT;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_dialogues_load(&g, LCF_FORM_ALPACA, "no-such-file.json", &err),
                     LCF_ENOENT);
    lcf_dialogues_dispose(&g);
}

/* ---- templates ---- */

static void segment_is(const lcf_segments *s, size_t idx, const char *text)
{
    assert_true(idx < s->n);
    same(lcf_segments_text(s, idx), text);
}

/* To the byte what TALLRec's code prints, the comment within its text included. */
static void test_alpaca_template(void **state)
{
    lcf_dialogues g = LCF_DIALOGUES_INIT;
    lcf_dialogue_trim trim = {0, 0};
    lcf_segments s = {.n = 0};

    (void)state;
    parse(&g, LCF_FORM_ALPACA, ALPACA);
    assert_int_equal(lcf_chat_segments(&s, LCF_CHAT_ALPACA, &g, 1, &trim, NULL), LCF_OK);
    assert_int_equal(s.n, 2);
    segment_is(&s, 0,
               "Below is an instruction that describes a task, paired with an input that provides "
               "further context. Write a response that appropriately completes the request.  # "
               "noqa: E501\n\n### Instruction:\nAdd\n\n### Input:\n1 and 2\n\n### Response:\n");
    segment_is(&s, 1, "3");
    assert_true(s.list[1].answer && s.list[1].closes && s.list[0].opens && !s.list[1].opens);
    lcf_segments_dispose(&s);
    lcf_dialogues_dispose(&g);
}

static void test_conversation_templates(void **state)
{
    lcf_dialogues g = LCF_DIALOGUES_INIT;
    lcf_dialogue_trim trim = {0, 0};
    lcf_segments s = {.n = 0};

    (void)state;
    parse(&g, LCF_FORM_SHAREGPT,
          "{\"system\": \"Be brief\", \"conversations\": [" TURN("human", "one") ", " TURN(
              "gpt", "1") ", " TURN("human", "and two") ", " TURN("gpt", "2") "]}");
    assert_int_equal(lcf_chat_segments(&s, LCF_CHAT_LLAMA2, &g, 0, &trim, NULL), LCF_OK);
    assert_int_equal(s.n, 4);
    segment_is(&s, 0, "[INST] <<SYS>>\nBe brief\n<</SYS>>\n\none [/INST]");
    segment_is(&s, 1, " 1");
    segment_is(&s, 2, "[INST] and two [/INST]");
    segment_is(&s, 3, " 2");
    assert_true(s.list[2].opens && s.list[1].closes);
    assert_true(s.list[2].marked && s.list[2].said[1].begin == 7 && s.list[2].said[1].end == 14);
    trim = (lcf_dialogue_trim){1, 2}; /* the first exchange goes, the last loses its beginning */
    lcf_segments_reset(&s);
    assert_int_equal(lcf_chat_segments(&s, LCF_CHAT_RECGEN, &g, 0, &trim, NULL), LCF_OK);
    assert_int_equal(s.n, 2);
    segment_is(&s, 0, "Be brief\nInstruction: two\nAnswer:");
    segment_is(&s, 1, " 2");
    lcf_segments_dispose(&s);
    lcf_dialogues_dispose(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alpaca),
        cmocka_unit_test(test_conversations),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_alpaca_template),
        cmocka_unit_test(test_conversation_templates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
