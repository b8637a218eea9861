/* Imported weights give the logits that PyTorch gave them (make_import_golden.py); damaged files
 * are refused by name. */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/llama/import.h"
#include "offline/llama/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VOCAB 318
static const uint32_t TOKENS[] = {1, 5, 200, 7, 7, 317, 30, 2, 90};
#define TOKENS_N (sizeof(TOKENS) / sizeof(TOKENS[0]))

static char *source_path(const char *name)
{
    return lcf_path_join(getenv("LCF_SOURCE_DIR") ? getenv("LCF_SOURCE_DIR") : "", name);
}

static void test_logits(void **state)
{
    char *dir = source_path("tests/parity/golden/import"),
         *vocabulary = source_path("schemas/examples/recgen.gguf"),
         *golden = lcf_path_join(dir, "logits.f32");
    lcf_llama_token batch[TOKENS_N];
    lcf_llama_session *session;
    lcf_buf want = LCF_BUF_INIT;
    lcf_llama *model;
    const float *logits, *expected;
    double worst = 0.0;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    if (lcf_llama_import("imported.gguf", dir, vocabulary, LCF_GGUF_F32, &err))
        fail_msg("%s", err.text);
    assert_int_equal(lcf_llama_open(&model, "imported.gguf", &err), LCF_OK);
    assert_int_equal(lcf_file_read(&want, golden, 1 << 20, &err), LCF_OK);
    assert_int_equal(want.len, TOKENS_N * VOCAB * sizeof(float));
    expected = (const float *)(const void *)want.data;
    assert_int_equal(lcf_llama_session_create(&session, model, 1, 64, 16, &err), LCF_OK);
    for (size_t i = 0; i < TOKENS_N; i++)
        batch[i] = (lcf_llama_token){TOKENS[i], 0, true};
    assert_int_equal(lcf_llama_decode(&logits, session, batch, TOKENS_N, &err), LCF_OK);
    for (size_t i = 0; i < TOKENS_N * VOCAB; i++)
        worst = fmax(worst, fabs((double)logits[i] - (double)expected[i]));
    assert_true(worst < 2e-5);
    lcf_llama_session_free(session);
    lcf_llama_close(model);
    lcf_buf_dispose(&want);
    unlink("imported.gguf");
    free(golden);
    free(vocabulary);
    free(dir);
}

static lcf_status parse(const char *header, size_t data_n, lcf_err *err)
{
    size_t len = strlen(header);
    uint8_t *bytes = lcf_alloc_zero(8 + len + data_n, 1);
    lcf_safetensors *s = NULL;
    lcf_status status;

    bytes[0] = (uint8_t)len;
    bytes[1] = (uint8_t)(len >> 8);
    memcpy(bytes + 8, header, len);
    status = lcf_safetensors_parse(&s, bytes, 8 + len + data_n, "w.safetensors", err);
    if (!status) {
        assert_int_equal(lcf_safetensors_n(s), 1);
        assert_non_null(lcf_safetensors_find(s, "w"));
        assert_null(lcf_safetensors_find(s, "v"));
    }
    lcf_safetensors_close(s);
    free(bytes);
    return status;
}

static void refused(const char *header, size_t data_n, const char *part)
{
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(parse(header, data_n, &err), LCF_EFORMAT);
    if (!strstr(err.text, part) || !strstr(err.text, "w.safetensors"))
        fail_msg("'%s' is not in '%s'", part, err.text);
}

#define ENTRY(dtype, shape, offsets) \
    "{\"w\": {\"dtype\": \"" dtype "\", \"shape\": " shape ", \"data_offsets\": " offsets "}}"

static void test_damage(void **state)
{
    static const uint8_t huge[] = {255, 255, 255, 255, 255, 255, 255, 127, '{', '}'};
    lcf_safetensors *s;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(parse(ENTRY("F32", "[2, 3]", "[0, 24]"), 24, &err), LCF_OK);
    refused(ENTRY("F32", "[2, 3]", "[0, 24]"), 20, "do not lie in");
    refused(ENTRY("F32", "[2, 3]", "[0, 24]"), 28, "overlap, or something is missing");
    refused(ENTRY("F32", "[2, 3]", "[0, 20]"), 20, "6 values of F32 in 20 bytes");
    refused(ENTRY("F32", "[2, -3]", "[0, 24]"), 24, "size 1 of its shape");
    refused(ENTRY("F32", "[4294967296, 4294967296, 4]", "[0, 24]"), 24, "of its shape");
    refused(ENTRY("F12", "[2, 3]", "[0, 24]"), 24, "type 'F12'");
    refused(ENTRY("F32", "[2, 3]", "[24, 0]"), 24, "do not lie in");
    refused(ENTRY("F32", "3", "[0, 24]"), 24, "a shape");
    refused("[]", 0, "no object");
    refused("{", 0, "w.safetensors");
    assert_int_equal(lcf_safetensors_parse(&s, huge, sizeof(huge), "w", &err), LCF_EFORMAT);
    assert_int_equal(lcf_safetensors_parse(&s, huge, 3, "w", &err), LCF_EFORMAT);
}

static void test_wrong_vocabulary(void **state)
{
    char *dir = source_path("tests/parity/golden/import"),
         *other = source_path("tests/parity/golden/llama_linear.gguf");
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_not_equal(lcf_llama_import("no.gguf", dir, other, LCF_GGUF_F32, &err), LCF_OK);
    assert_false(lcf_path_exists("no.gguf"));
    assert_int_equal(lcf_llama_import("no.gguf", "no-such-folder", other, LCF_GGUF_F32, &err),
                     LCF_ENOENT);
    free(other);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_wrong_vocabulary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
