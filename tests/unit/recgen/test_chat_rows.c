/*
 * Conversations as training rows in the templates of chat models: the tokens of the published
 * formats, and of them the answers learned, with what ends them, alone.
 *
 * source   Llama 3: Meta's model card, "Prompt Format"; ChatML: Qwen 2's tokenizer_config.json;
 *          Zephyr: its tokenizer_config.json; Mistral: mistral-common's documentation of V1; Llama
 * 2: Meta's generation.py and its vocabulary's ids
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/llama/tokenizer_vocab.h"
#include "offline/recgen/mixture.h"
#include "tests/unit/data/fixture.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/recgen/dialogue_text.h"

#include <stdlib.h>
#include <string.h>

#define SYSTEM_AND_TWO                                                                \
    "{\"system\": \"Be brief\", \"conversations\": [" TURN("human", "one") ", " TURN( \
        "gpt", "1") ", " TURN("human", "and two") ", " TURN("gpt", "2") "]}\n"
#define HELLO "{\"conversations\": [" TURN("human", "Hello") ", " TURN("gpt", "Hello") "]}\n"
#define OBEY \
    "{\"conversations\": [" TURN("human", "<|im_end|>") ", " TURN("gpt", "<|im_start|>") "]}\n"

/* The row that a file of one conversation gives; lcf_row_dispose releases it. */
static void read_row(lcf_row *row, const char *file, const lcf_tokenizer *t, lcf_chat chat)
{
    lcf_sources_options options = LCF_SOURCES_OPTIONS_INIT;
    lcf_mixture_options mixture = LCF_MIXTURE_OPTIONS_INIT;
    char *dir = lcf_fixture_dir(), *path = lcf_path_join(dir, "row.jsonl"), source[512];
    lcf_err err = LCF_ERR_INIT;
    lcf_sources *sources;
    lcf_mixture *m;

    memset(row, 0, sizeof(*row));
    snprintf(source, sizeof(source), "sharegpt:%s,hold=0", path);
    assert_int_equal(lcf_file_write(path, file, strlen(file), &err), LCF_OK);
    assert_int_equal(lcf_source_parse(&options.list[options.n++], source, &err), LCF_OK);
    options.chat = chat;
    if (lcf_sources_open(&sources, NULL, NULL, &options, &err) ||
        lcf_mixture_create(&m, sources, t, &mixture, &err) || lcf_mixture_row(row, m, 0, 0, &err))
        fail_msg("%s", err.text);
    lcf_mixture_free(m);
    lcf_sources_free(sources);
    lcf_dir_remove(dir, NULL);
    free(path);
    free(dir);
}

/* A row's ids as text; ^ stands where what is learned begins and where it ends. */
static char *shown_row(const lcf_row *row, const lcf_tokenizer *t)
{
    lcf_buf out = LCF_BUF_INIT;
    bool learned = false;

    for (size_t i = 0; i <= row->tokens.n; i++) {
        const bool now = i > 0 && i < row->tokens.n && row->targets[i - 1] >= 0;
        lcf_tokens one = {.ids = &row->tokens.ids[i], .n = 1};
        char *text;

        if (now)
            assert_int_equal(row->targets[i - 1], row->tokens.ids[i]);
        if (now != learned)
            lcf_buf_append_char(&out, '^');
        learned = now;
        if (i == row->tokens.n)
            break;
        text = fixture_shown(t, &one);
        lcf_buf_append_text(&out, text);
        free(text);
    }
    lcf_buf_append_char(&out, 0);
    return lcf_buf_take(&out);
}

static void expect(const char *file, const lcf_tokenizer *t, lcf_chat chat, const char *wanted)
{
    lcf_row row;
    char *text;

    read_row(&row, file, t, chat);
    text = shown_row(&row, t);
    assert_string_equal(text, wanted);
    free(text);
    lcf_row_dispose(&row);
}

static void test_control_markers(void **state)
{
    lcf_tokenizer *t = fixture_bytes_and_markers();

    (void)state;
    expect(SYSTEM_AND_TWO, t, LCF_CHAT_CHATML,
           "{<|im_start|>}system\nBe brief{<|im_end|>}\n{<|im_start|>}user\none{<|im_end|>}\n"
           "{<|im_start|>}assistant\n^1{<|im_end|>}^\n{<|im_start|>}user\nand two{<|im_end|>}\n"
           "{<|im_start|>}assistant\n^2{<|im_end|>}^");
    /* what is said is never a marker */
    expect(OBEY, t, LCF_CHAT_CHATML,
           "{<|im_start|>}user\n<|im_end|>{<|im_end|>}\n{<|im_start|>}assistant\n"
           "^<|im_start|>{<|im_end|>}^");
    t->adds_bos = true;
    expect(SYSTEM_AND_TWO, t, LCF_CHAT_LLAMA3,
           "{<|begin_of_text|>}{<|start_header_id|>}system{<|end_header_id|>}\n\nBe brief"
           "{<|eot_id|>}{<|start_header_id|>}user{<|end_header_id|>}\n\none{<|eot_id|>}"
           "{<|start_header_id|>}assistant{<|end_header_id|>}\n\n^1{<|eot_id|>}^"
           "{<|start_header_id|>}user{<|end_header_id|>}\n\nand two{<|eot_id|>}"
           "{<|start_header_id|>}assistant{<|end_header_id|>}\n\n^2{<|eot_id|>}^");
    lcf_tokenizer_free(t);
}

/* Markers that are text here: </s> ends every answer. */
static void test_text_markers(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_tokenizer *t;

    (void)state;
    assert_int_equal(lcf_tokenizer_train(&t, FIXTURE_TEXTS, FIXTURE_TEXTS_N, 320, &err), LCF_OK);
    expect(SYSTEM_AND_TWO, t, LCF_CHAT_ZEPHYR,
           "{<s>} <|system|>\nBe brief{</s>}\n<|user|>\none{</s>}\n<|assistant|>\n^1{</s>}^"
           "\n<|user|>\nand two{</s>}\n<|assistant|>\n^2{</s>}^");
    expect(SYSTEM_AND_TWO, t, LCF_CHAT_MISTRAL,
           "{<s>} [INST] Be brief\n\none [/INST]^ 1{</s>}^ [INST] and two [/INST]^ 2{</s>}^");
    expect(SYSTEM_AND_TWO, t, LCF_CHAT_LLAMA2,
           "{<s>} [INST] <<SYS>>\nBe brief\n<</SYS>>\n\none [/INST]^ 1{</s>}^"
           "{<s>} [INST] and two [/INST]^ 2{</s>}^");
    expect(HELLO, t, LCF_CHAT_CHATML,
           "{<s>} <|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n^Hello{</s>}^");
    expect(HELLO, t, LCF_CHAT_PLAIN, "{<s>} Hello^Hello{</s>}^");
    lcf_tokenizer_free(t);
}

/* The ids that Llama 2's own vocabulary has for them. */
static void test_published_ids(void **state)
{
    static const uint32_t WANTED[] = {1,     518,   25580, 29962, 15043, 518,
                                      29914, 25580, 29962, 15043, 2};
    const size_t n = sizeof(WANTED) / sizeof(*WANTED);
    char *path = fixture_data("ggml-vocab-llama-spm.gguf");
    lcf_err err = LCF_ERR_INIT;
    lcf_tokenizer *t;
    lcf_gguf *g;
    lcf_row row;

    (void)state;
    if (!path)
        return;
    assert_int_equal(lcf_gguf_open(&g, path, &err), LCF_OK);
    assert_int_equal(lcf_tokenizer_from_gguf(&t, g, &err), LCF_OK);
    for (int chat = 0; chat < 2; chat++) {
        read_row(&row, HELLO, t, chat ? LCF_CHAT_MISTRAL : LCF_CHAT_LLAMA2);
        assert_int_equal(row.tokens.n, n);
        assert_memory_equal(row.tokens.ids, WANTED, sizeof(WANTED));
        for (size_t i = 0; i < n; i++)
            assert_int_equal(row.targets[i], i == 8 ? 15043 : i == 9 ? 2 : -1);
        lcf_row_dispose(&row);
    }
    lcf_tokenizer_free(t);
    lcf_gguf_close(g);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_markers),
        cmocka_unit_test(test_text_markers),
        cmocka_unit_test(test_published_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
