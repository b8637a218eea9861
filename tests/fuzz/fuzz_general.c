/* General instruction files: any bytes are rows or an error that names the source. */
#include "common/base/status.h"
#include "offline/recgen/general.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lcf_general g = LCF_GENERAL_INIT;
    lcf_err err = LCF_ERR_INIT;
    size_t bytes = 0;

    if (lcf_general_parse(&g, (const char *)data, size, "fuzz", &err))
        LCF_ASSERT(strstr(err.text, "fuzz"));
    for (size_t i = 0; i < g.n; i++) {
        lcf_general_row row = lcf_general_get(&g, i);
        LCF_ASSERT(row.instruction.len && row.output.len);
        bytes += row.instruction.len + row.input.len + row.output.len;
    }
    LCF_ASSERT(bytes == g.text.len);
    lcf_general_dispose(&g);
    return 0;
}
