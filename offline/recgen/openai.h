/*
 * Bodies of the OpenAI-compatible HTTP API, chat completions and completions: what is sent for a
 * row, and what is understood of the answer. No network here; see engine_remote.c and batch.c.
 *
 * source   the API as OpenAI, vLLM, SGLang and llama.cpp's server speak it: schemas/requests.md
 */
#ifndef LCF_OFFLINE_RECGEN_OPENAI_H
#define LCF_OFFLINE_RECGEN_OPENAI_H

#include "offline/recgen/engine.h"

#include <jansson.h>

typedef enum lcf_openai_api { LCF_OPENAI_CHAT = 0, LCF_OPENAI_COMPLETIONS = 1 } lcf_openai_api;
#define LCF_OPENAI_MODEL_BYTES 128

/* "/chat/completions" or "/completions": what follows the base of the API. */
const char *lcf_openai_path(lcf_openai_api api);
/* The identity of a remote model in the keys of records: "chat:NAME" or "completions:NAME". */
#define LCF_OPENAI_ID_BYTES (LCF_OPENAI_MODEL_BYTES + 16)
void lcf_openai_model_id(char out[LCF_OPENAI_ID_BYTES], lcf_openai_api api, const char *model);

typedef struct lcf_openai_request {
    lcf_openai_api api;
    const char *model;
    lcf_decoding decoding; /* candidates_n: n of the API, which has no beams */
    uint64_t seed;         /* below 2^31 */
} lcf_openai_request;
/* A seed for the draws of a row, from its key; `turn` tells requests for one row apart. */
uint64_t lcf_openai_seed(lcf_hash128 key, size_t turn);

/*
 * The body that asks for a row's candidates (json_decref); NULL when out of memory. What not every
 * server knows (top_k, min_p, the repetition penalty under its two names) is sent when it is on.
 */
json_t *lcf_openai_body(const lcf_openai_request *r, const lcf_prompt_options *prompt,
                        const lcf_dataset *d, const lcf_facts *f);

typedef struct lcf_openai_reply {
    lcf_answer *answers; /* [n] in the order of their index; texts belong to `json` */
    size_t n;
    uint64_t prompt_tokens_n, tokens_n;
    json_t *json;
} lcf_openai_reply;
/*
 * What a server answered. Where it does not say how many tokens it made, four bytes count as one;
 * the tokens of several candidates are shared out by their bytes.
 *
 * errors   EFORMAT not JSON, or not an answer to such a request (what is missing is named)
 * memory   lcf_openai_reply_dispose
 */
lcf_status lcf_openai_parse(lcf_openai_reply *out, const char *body, size_t n, lcf_err *err);
/* The same from a parsed body, of which it keeps a reference. */
lcf_status lcf_openai_parse_json(lcf_openai_reply *out, json_t *body, lcf_err *err);
void lcf_openai_reply_dispose(lcf_openai_reply *r);

/*
 * What a server says about an error, for people: one printable line of at most 200 bytes; nothing
 * when the body is not such a message. `secret` (may be NULL) is taken out of it.
 */
void lcf_openai_error(lcf_buf *out, const char *body, size_t n, const char *secret);
/* What the API can be asked for. errors: EUSAGE beams */
lcf_status lcf_openai_check(const lcf_decoding *decoding, lcf_err *err);
/* True when the message says that the prompt is too long for the model's context. */
bool lcf_openai_says_too_long(const char *message);

#endif
