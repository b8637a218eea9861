/* RelaImpr, the relative improvement of AUC. */
#include "offline/eval/rela_impr.h"

#include <math.h>

double lcf_rela_impr(double auc_a, double auc_b)
{
    return auc_a > 0.5 ? (auc_b - 0.5) / (auc_a - 0.5) - 1 : NAN;
}
