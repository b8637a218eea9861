/*
 * Monitoring: intervals and p-values that hold at all looks at once, however often and whenever one
 * looks, so that an experiment may be stopped as soon as it is decided.
 *
 * The interval is an asymptotic confidence sequence for the mean effect, from a running mean of
 * each user's doubly robust score: the difference of the arms' means so far, corrected by the
 * user's outcome over his chance of his arm. The p-value is that of the mixture sequential
 * probability ratio test with a normal mixture. Both are tightest at the planned number of users.
 *
 * source   Waudby-Smith et al. 2021, theorem 2.2 and section 3 (intervals); Johari et al. 2017 and
 *          Robbins 1970 (mixture test)
 */
#ifndef LCF_OFFLINE_EVAL_EXPERIMENT_SEQUENTIAL_H
#define LCF_OFFLINE_EVAL_EXPERIMENT_SEQUENTIAL_H

#include <stddef.h>
#include <stdint.h>

#define LCF_SEQUENTIAL_FIRST 100 /* users before the first look: the theory is for many */

typedef struct lcf_sequential {
    double share1, confidence;       /* planned share of arm 1 */
    double rho2;                     /* of the interval's boundary */
    double n[2], mean[2], square[2]; /* square: sum of squared distances from the mean */
    double scores_n, score_mean, score_square;
    double lift, low, high; /* now; NaN before LCF_SEQUENTIAL_FIRST users */
    double p;               /* the smallest so far */
} lcf_sequential;

/* planned_n: users at which the interval is to be tightest. */
void lcf_sequential_init(lcf_sequential *s, double share1, double planned_n, double confidence);
/* The next user, in the order of arrival. */
void lcf_sequential_add(lcf_sequential *s, double outcome, uint8_t arm);

#endif
