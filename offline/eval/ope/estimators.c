/* The table of estimators: see estimator.h. */
#include "offline/eval/ope/estimator.h"

const lcf_ope_estimator *const LCF_OPE_ESTIMATORS[LCF_OPE_ESTIMATORS_N + 1] = {
    &LCF_OPE_REPLAY, &LCF_OPE_IPS,  &LCF_OPE_CLIPPED_IPS, &LCF_OPE_SNIPS, &LCF_OPE_DM,
    &LCF_OPE_DR,     &LCF_OPE_SNDR, &LCF_OPE_SWITCH_DR,   &LCF_OPE_DROS,  NULL,
};
