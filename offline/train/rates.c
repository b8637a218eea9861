/*
 * Learning rate and weight decay of each backbone, where nobody chose: the best valid AUC of seed
 * 1, batch 256, decay in the gradient.
 *
 * RATES_TEXT
 */
#include "offline/train/train.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *backbone;
    double learning_rate, weight_decay;
} RATES[] = {
    {"lr", 1e-2, 1e-5},
    {"mf", 1e-3, 1e-5},
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
