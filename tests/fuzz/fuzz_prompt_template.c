/* Prompt templates: any bytes are an error with its place, or a template that renders. */
#include "common/base/status.h"
#include "offline/recgen/prompt_template.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has(const void *arg, lcf_prompt_template_value value)
{
    return *(const unsigned *)arg >> value & 1;
}

static void append(lcf_buf *out, const void *arg, lcf_prompt_template_value value)
{
    (void)arg;
    lcf_buf_append_char(out, (char)('a' + value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lcf_prompt_template t;
    lcf_err err = LCF_ERR_INIT;

    if (lcf_prompt_template_parse(&t, (lcf_str){(const char *)data, size}, "fuzz", &err)) {
        LCF_ASSERT(!strncmp(err.text, "fuzz:", 5));
        return 0;
    }
    for (size_t i = 0; i < LCF_VALUES_N; i++)
        LCF_ASSERT(t.lines[i] <= size);
    for (unsigned facts = 0; facts < 1u << LCF_VALUES_N; facts += 73) {
        const lcf_prompt_template_facts given = {&facts, has, append};
        lcf_buf out = LCF_BUF_INIT;
        lcf_prompt_template_render(&out, t.system, &given);
        lcf_prompt_template_render(&out, t.explain, &given);
        lcf_prompt_template_render(&out, t.decide, &given);
        lcf_prompt_template_render(&out, t.ask, &given);
        LCF_ASSERT(out.len <= size); /* a tag is longer than what it stands for here */
        lcf_buf_dispose(&out);
    }
    return 0;
}
