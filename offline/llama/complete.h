/*
 * One prompt, one completion: what the verb `complete` does, and the simplest use of the engine.
 */
#ifndef LCF_OFFLINE_LLAMA_COMPLETE_H
#define LCF_OFFLINE_LLAMA_COMPLETE_H

#include "offline/llama/chat.h"
#include "offline/llama/llama.h"

typedef struct lcf_complete_options {
    size_t tokens_max;
    lcf_sampling sampling;
    uint64_t seed;
    bool bos;           /* begin with <s> where the model wants it */
    lcf_template chat;  /* PLAIN: the prompt is a text to continue */
    const char *system; /* with a chat template: what is said once; NULL = nothing */
    lcf_stops stops;
    const char *answer; /* not NULL: nothing is made, this text is scored as what comes next */
    size_t beams_n; /* > 1: the likeliest text that so many beams find, instead of a drawn one */
    size_t threads; /* 0: one per processor */
} lcf_complete_options;
#define LCF_COMPLETE_OPTIONS_INIT                                                 \
    {                                                                             \
        .tokens_max = 128, .sampling = LCF_SAMPLING_INIT, .seed = 1, .bos = true, \
        .chat = LCF_TEMPLATE_PLAIN, .beams_n = 1                                  \
    }

typedef enum lcf_finish {
    LCF_FINISH_LENGTH,  /* tokens_max were made */
    LCF_FINISH_STOP,    /* the model ended the text (</s> is not among the ids), or a stop string */
    LCF_FINISH_CONTEXT, /* the context is full */
    LCF_FINISH_GIVEN,   /* the text is the answer of the options */
} lcf_finish;
const char *lcf_finish_text(lcf_finish finish);

typedef struct lcf_completion {
    lcf_tokens prompt, made;
    float *logprobs; /* [made.n] of each id made, under the unmodified softmax */
    lcf_buf text;    /* of the ids made, up to a stop string */
    lcf_finish finish;
} lcf_completion;

/*
 * errors   ELIMIT prompt and answer do not fit into the model's context; EINVAL an empty prompt or
 *          answer; ENOMEM
 * memory   the caller disposes *out, also after a failure
 */
lcf_status lcf_complete(lcf_completion *out, const lcf_llama *m, const char *prompt, size_t len,
                        const lcf_complete_options *options, lcf_err *err);
/*
 * The same behind a prompt of tokens, soft ones among them; `soft` may be NULL. What options say of
 * <s> and chat templates is the caller's business here.
 *
 * memory   takes over *prompt, also when it fails
 */
lcf_status lcf_complete_tokens(lcf_completion *out, const lcf_llama *m, lcf_tokens *prompt,
                               const lcf_soft_tokens *soft, const lcf_complete_options *options,
                               lcf_err *err);
void lcf_completion_dispose(lcf_completion *c);

/* Appends <s> where asked for and wanted by the model, then the ids of a whole prompt. */
lcf_status lcf_prompt_encode(lcf_tokens *out, const lcf_tokenizer *t, const char *text, size_t len,
                             bool bos, lcf_err *err);

#endif
