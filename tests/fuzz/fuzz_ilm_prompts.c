/* Prompts of soft tokens and weights of tasks: any bytes are an error with its place, or prompts
 * whose pieces lie in their texts. */
#include "offline/ilm/tasks.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const lcf_ilm_prompts *p)
{
    for (size_t task = 0; task < LCF_ILM_TASKS_N; task++)
        for (size_t i = 0; i < p->list[task].n; i++) {
            const lcf_soft_piece *piece = &p->list[task].pieces[i];
            const char *text = p->texts[task];

            LCF_ASSERT(piece->value != LCF_SOFT_TEXT || piece->text.len > 0);
            LCF_ASSERT(!piece->text.len ||
                       (piece->text.data >= text &&
                        piece->text.data + piece->text.len <= text + strlen(text)));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lcf_ilm_prompts p = {.texts = {NULL}};
    double weights[LCF_ILM_TASKS_N];
    lcf_err err = LCF_ERR_INIT;
    char *text = calloc(size + 1, 1);

    if (!text)
        return 0;
    memcpy(text, data, size);
    if (!lcf_ilm_prompts_parse(&p, (lcf_str){text, size}, "fuzz", &err))
        check(&p);
    else
        LCF_ASSERT(!strncmp(err.text, "fuzz", 4));
    lcf_ilm_prompts_dispose(&p);
    if (!lcf_ilm_weights_parse(weights, text, NULL))
        for (size_t i = 0; i < LCF_ILM_TASKS_N; i++)
            LCF_ASSERT(weights[i] >= 0);
    free(text);
    return 0;
}
