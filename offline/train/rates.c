/*
 * Learning rate and weight decay of each backbone, where nobody chose: those of the best valid AUC
 * (seed 1, batch 256, decay in the gradient).
 *
 * Most: 3e-3 and 1e-4. On amazon-beauty DIN has .8384 with these, .8251 with 1e-3 and 1e-4, .8195
 * with 1e-3 and 1e-5, .8281 with 1e-2 and 1e-4 (the published pair, at batch 128); DeepFM .8422,
 * and .8380 with 3e-3 and 1e-5. On ml-latest-small DeepFM, DCN and DCNv2 are within .001 of their
 * best.
 *
 * Where ids have weights of their own a decay of 1e-4 takes away what rare ones learn. On
 * amazon-beauty, with the pair below and with the same rate and 1e-4: LR .6910 and .6620, MF .7373
 * and .6876, FM .8321 and .8166; on ml-latest-small LR .6847 and .6726, MF .6823 and .6825, FM
 * .6793 and .6798.
 *
 * BinMF on the CoLLM split of MovieLens-1M (batch 2048, patience 30, code scale .1, seeds 1 and 2),
 * valid AUC and how many different codes its 3,255 items have: .7306 and 1,620 with the pair below,
 * .7327 and 1,510 with 5e-4 and 1e-5, .7338 and 1,054 with 1e-3 and 3e-5, .7379 and 183 with 1e-4,
 * .7344 and 14 with 1e-3: decay takes rows that are seldom seen to zero, where all codes are alike.
 * By the scale (1e-3 and 3e-5): .7269 and 1,931 at .14, .7210 and 2,322 at .18; .6757 and 2,780 at
 * 1 (1e-4). LightGCN there: .6461 with the pair below, .6325 with a decay of 1e-4; with one layer
 * .6427, with three .6356. BinLightGCN: .7338 and 318, at a scale of .14 .7286 and 1,557.
 *
 * SASRec there (batch 256, patience 20, one seed): .6909 with the pair below, .6902 with 1e-2 and
 * 1e-4, .6870 with 1e-3 and 1e-3.
 */
#include "offline/train/train.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *backbone;
    double learning_rate, weight_decay;
} RATES[] = {
    {"lr", 1e-2, 1e-5},     {"fm", 3e-3, 1e-5},       {"mf", 1e-3, 1e-5},
    {"binmf", 1e-3, 1e-5},  {"lightgcn", 1e-3, 1e-5}, {"binlightgcn", 1e-3, 1e-5},
    {"sasrec", 1e-2, 1e-3},
};

void lcf_train_params_settle(lcf_train_params *p, const char *backbone)
{
    double learning_rate = 3e-3, weight_decay = 1e-4;

    for (size_t i = 0; i < sizeof(RATES) / sizeof(RATES[0]); i++)
        if (!strcmp(RATES[i].backbone, backbone)) {
            learning_rate = RATES[i].learning_rate;
            weight_decay = RATES[i].weight_decay;
        }
    if (isnan(p->learning_rate))
        p->learning_rate = learning_rate;
    if (isnan(p->weight_decay))
        p->weight_decay = weight_decay;
}
