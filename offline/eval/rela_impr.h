/*
 * RelaImpr: how much of the distance from guessing B gains over A. NaN unless A is better than
 * guessing.
 */
#ifndef LCF_OFFLINE_EVAL_RELA_IMPR_H
#define LCF_OFFLINE_EVAL_RELA_IMPR_H

/* (auc_b - 1/2) / (auc_a - 1/2) - 1, as a fraction. source: Yan et al. 2014; Zhou et al. 2018
 * (DIN), equation 8. */
double lcf_rela_impr(double auc_a, double auc_b);

#endif
