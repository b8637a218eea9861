/* Measures of next-item ranking: see rank_measures.h. */
#include "offline/eval/rank_measures.h"

#include <math.h>

const char *lcf_rank_measure_name(lcf_rank_measure measure)
{
    static const char *const NAMES[] = {
#define NAME(id, name, cut, gain) name,
        LCF_RANK_MEASURE_LIST(NAME)
#undef NAME
    };

    return NAMES[measure];
}

double lcf_rank_value(lcf_rank_measure measure, uint32_t place)
{
    const double rank = place;

    switch (measure) {
#define VALUE(id, name, cut, gain) \
    case LCF_RANK_##id:            \
        return (cut) && place > (cut) ? 0.0 : (gain);
        LCF_RANK_MEASURE_LIST(VALUE)
#undef VALUE
    case LCF_RANK_MEASURES_N:
        break;
    }
    return NAN;
}

double lcf_rank_mean(lcf_rank_measure measure, const uint32_t *ranks, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++)
        sum += lcf_rank_value(measure, ranks[i]);
    return n ? sum / (double)n : NAN;
}
