/* What the rows of several verbs parse. */
#include "offline/cmd/rows.h"

#include "common/base/progress.h"
#include "offline/llama/gguf.h"
#include "offline/llama/llama.h"
#include "offline/llama/llama_train.h"
#include "offline/recgen/budget.h"

#include <string.h>

lcf_status lcf_cmd_parse_stop(void *stops, const char *text, lcf_err *err)
{
    lcf_stops *s = stops;

    if (!*text || s->n == LCF_STOPS_MAX)
        return LCF_FAIL(err, LCF_EUSAGE, "empty, or more than %d of them", LCF_STOPS_MAX);
    s->texts[s->n++] = text;
    return LCF_OK;
}

lcf_status lcf_cmd_parse_bytes(void *bytes, const char *text, lcf_err *err)
{
    return lcf_bytes_parse(bytes, text, err);
}

lcf_status lcf_cmd_parse_type(void *type, const char *text, lcf_err *err)
{
    if (!lcf_gguf_type_parse(type, text) || !lcf_gguf_type_writable(*(lcf_gguf_type *)type))
        return LCF_FAIL(err, LCF_EUSAGE,
                        "'%s' is no type that can be written: F32, F16, BF16, Q8_0, Q6_K, Q5_K, "
                        "Q5_1, Q5_0, Q4_K, Q4_1, Q4_0",
                        text);
    return LCF_OK;
}

/* bf16 is refused nowhere: f32 does the same with more time. */
lcf_status lcf_cmd_parse_precision(void *precision, const char *text, lcf_err *err)
{
    const bool bf16 = !strcmp(text, "bf16");

    if (!bf16 && strcmp(text, "f32"))
        return LCF_FAIL(err, LCF_EUSAGE, "must be f32 or bf16, not '%s'", text);
    if (bf16 && !lcf_bf16_fast())
        lcf_log(LCF_LOG_WARN, "precision wanted=bf16 taken=f32 reason='no AVX512-BF16 here'");
    *(lcf_precision *)precision = bf16 && lcf_bf16_fast() ? LCF_PRECISION_BF16 : LCF_PRECISION_F32;
    return LCF_OK;
}

lcf_status lcf_cmd_find_action(void *row, const void *table, size_t bytes, size_t row_bytes,
                               const char *text, lcf_err *err)
{
    for (size_t at = 0; at < bytes; at += row_bytes) {
        const char *const *name = (const void *)((const char *)table + at);

        if (!strcmp(text, *name)) {
            memcpy(row, &name, sizeof(name));
            return LCF_OK;
        }
    }
    return LCF_FAIL(err, LCF_EUSAGE, "there is no action '%s'; --help lists them", text);
}
