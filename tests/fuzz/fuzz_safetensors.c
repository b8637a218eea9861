/* safetensors: any bytes are tensors whose values can be read, or an error that names the source.
 */
#include "offline/llama/safetensors.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lcf_safetensors *s;
    lcf_err err = LCF_ERR_INIT;
    float last;

    if (lcf_safetensors_parse(&s, data, size, "fuzz", &err)) {
        LCF_ASSERT(strstr(err.text, "fuzz"));
        return 0;
    }
    for (size_t i = 0; i < lcf_safetensors_n(s); i++) {
        const lcf_safetensor *t = lcf_safetensors_at(s, i);
        LCF_ASSERT(lcf_safetensors_find(s, t->name) == t);
        if (t->n && lcf_safetensor_readable(t))
            lcf_safetensor_widen(&last, t, t->n - 1, 1);
    }
    lcf_safetensors_close(s);
    return 0;
}
