/* Normalised discounted cumulative gain, with the gain itself and with 2^g - 1. */
#include "offline/eval/lists/list.h"

#include <math.h>

static double linear(uint8_t gain)
{
    return gain;
}

static double exponential(uint8_t gain)
{
    return ldexp(1, gain) - 1;
}

static double discounted(const uint8_t *gains, size_t n, double (*gain)(uint8_t))
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += gain(gains[i]) / log2((double)(i + 2));
    return sum;
}

double lcf_list_ndcg(const lcf_list *l)
{
    return discounted(l->gains, l->shown_n, linear) / discounted(l->ideal, l->ideal_n, linear);
}

double lcf_list_ndcg_exp(const lcf_list *l)
{
    return discounted(l->gains, l->shown_n, exponential) /
           discounted(l->ideal, l->ideal_n, exponential);
}
