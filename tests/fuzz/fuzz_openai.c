/* Answers of an endpoint: any bytes are candidates or an error, and an error is one short line. */
#include "common/base/status.h"
#include "offline/recgen/openai.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lcf_openai_reply reply;
    lcf_err err = LCF_ERR_INIT;
    lcf_buf message = LCF_BUF_INIT;
    uint64_t tokens_n = 0;

    if (lcf_openai_parse(&reply, (const char *)data, size, &err)) {
        LCF_ASSERT(err.text[0] && !reply.n);
    } else {
        LCF_ASSERT(reply.n);
        for (size_t i = 0; i < reply.n; i++) {
            LCF_ASSERT(lcf_utf8_valid(reply.answers[i].text.data, reply.answers[i].text.len));
            tokens_n += reply.answers[i].tokens_n;
        }
        LCF_ASSERT(tokens_n == reply.tokens_n);
    }
    lcf_openai_reply_dispose(&reply);
    lcf_openai_error(&message, (const char *)data, size, "key");
    LCF_ASSERT(message.len <= 200 && !memchr(lcf_buf_text(&message), '\n', message.len));
    lcf_buf_dispose(&message);
    return 0;
}
