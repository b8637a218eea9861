/* The configuration in a weights file: whatever the text, what is accepted can be declared, and
 * writes and reads as the same. */
#include "common/model/ranker_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lcf_ranker_config config = LCF_RANKER_CONFIG_INIT, again = LCF_RANKER_CONFIG_INIT;
    lcf_ranker *r;
    char *text;

    if (lcf_ranker_config_of_text(&config, (const char *)data, size, NULL))
        return 0;
    if (lcf_ranker_config_to_text(&text, &config, NULL))
        return 0;
    LCF_ASSERT(!lcf_ranker_config_of_text(&again, text, strlen(text), NULL));
    LCF_ASSERT(again.users_n == config.users_n && again.ffn_hidden == config.ffn_hidden);
    free(text);
    if (!lcf_ranker_declare(&r, &config, NULL)) /* sizes may be beyond any memory */
        lcf_ranker_free(r);
    return 0;
}
