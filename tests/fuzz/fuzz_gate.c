/* Gate conditions: any text is either refused or read into a known name, an operator and a finite
 * bound. */
#include "common/base/status.h"
#include "offline/eval/compare.h"
#include "offline/eval/gate.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[256];
    lcf_figures known;
    lcf_gate_condition c;
    lcf_err err = LCF_ERR_INIT;

    if (size >= sizeof(text))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    lcf_comparison_figures(&known, NULL);
    if (lcf_gate_parse(&c, text, &known, &err)) {
        LCF_ASSERT(err.status == LCF_EUSAGE && err.text[0]);
        return 0;
    }
    LCF_ASSERT(isfinite(c.bound) && lcf_figures_find(&known, c.name, strlen(c.name)));
    LCF_ASSERT(!lcf_gate_check(&c, 1, &known)); /* all figures are NaN here: met by none */
    return 0;
}
