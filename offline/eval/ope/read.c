/* What the readers share: see read.h. */
#include "offline/eval/ope/read.h"

#include <math.h>
#include <string.h>

static const char *const NAMES[LCF_OPE_FORMATS_N] = {
#define NAME_ROW(id, name) name,
    LCF_OPE_FORMAT_LIST(NAME_ROW)
#undef NAME_ROW
};

const char *lcf_ope_format_name(lcf_ope_format format)
{
    return format < LCF_OPE_FORMATS_N ? NAMES[format] : NULL;
}

lcf_ope_format lcf_ope_format_of(const char *name)
{
    size_t f = 0;

    while (f < LCF_OPE_FORMATS_N && strcmp(NAMES[f], name))
        f++;
    return (lcf_ope_format)f;
}

double lcf_ope_number(lcf_str text)
{
    double value;

    return lcf_parse_f64(text.data, text.len, &value) ? value : NAN;
}
