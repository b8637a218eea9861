/* The backbones and side modules that there are: the one table of each. */
#include "common/model/backbone.h"
#include "common/model/codes.h"

#include <string.h>

extern const ranker_backbone LCF_BACKBONE_LR;
extern const ranker_backbone LCF_BACKBONE_FM;
extern const ranker_backbone LCF_BACKBONE_MF;
extern const ranker_backbone LCF_BACKBONE_BINMF;
extern const ranker_backbone LCF_BACKBONE_LIGHTGCN, LCF_BACKBONE_BINLIGHTGCN;
extern const ranker_backbone LCF_BACKBONE_DEEPFM;
extern const ranker_backbone LCF_BACKBONE_XDEEPFM;
extern const ranker_backbone LCF_BACKBONE_AUTOINT;
extern const ranker_backbone LCF_BACKBONE_DCN;
extern const ranker_backbone LCF_BACKBONE_DCNV2;
extern const ranker_backbone LCF_BACKBONE_SASREC;
extern const ranker_backbone LCF_BACKBONE_DIN;
extern const ranker_backbone LCF_BACKBONE_BST;
extern const ranker_side LCF_SIDE_ICT, LCF_SIDE_ICT_NOCOT, LCF_SIDE_ICT_MEAN, LCF_SIDE_ICT_KNRM;
extern const ranker_side LCF_SIDE_TEXT, LCF_SIDE_KNRM, LCF_SIDE_KNN, LCF_SIDE_KAR;

static const ranker_backbone *const BACKBONES[] = {
    &LCF_BACKBONE_LR,       &LCF_BACKBONE_FM,          &LCF_BACKBONE_MF,     &LCF_BACKBONE_BINMF,
    &LCF_BACKBONE_LIGHTGCN, &LCF_BACKBONE_BINLIGHTGCN, &LCF_BACKBONE_DEEPFM, &LCF_BACKBONE_XDEEPFM,
    &LCF_BACKBONE_AUTOINT,  &LCF_BACKBONE_DCN,         &LCF_BACKBONE_DCNV2,  &LCF_BACKBONE_SASREC,
    &LCF_BACKBONE_DIN,      &LCF_BACKBONE_BST,
};

static const ranker_side NONE = {.kind = {"none", "the backbone alone"}};

static const ranker_side *const SIDES[] = {
    &NONE,          &LCF_SIDE_ICT,  &LCF_SIDE_ICT_NOCOT, &LCF_SIDE_ICT_MEAN, &LCF_SIDE_ICT_KNRM,
    &LCF_SIDE_TEXT, &LCF_SIDE_KNRM, &LCF_SIDE_KNN,       &LCF_SIDE_KAR,
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

const lcf_ranker_kind *lcf_ranker_backbone(size_t i)
{
    return i < COUNT(BACKBONES) ? &BACKBONES[i]->kind : NULL;
}

const lcf_ranker_kind *lcf_ranker_side(size_t i)
{
    return i < COUNT(SIDES) ? &SIDES[i]->kind : NULL;
}

const ranker_backbone *lcf_ranker_find_backbone(const char *name)
{
    for (size_t i = 0; i < COUNT(BACKBONES); i++)
        if (!strcmp(BACKBONES[i]->kind.name, name))
            return BACKBONES[i];
    return NULL;
}

const ranker_side *lcf_ranker_find_side(const char *name)
{
    for (size_t i = 0; i < COUNT(SIDES); i++)
        if (!strcmp(SIDES[i]->kind.name, name))
            return SIDES[i];
    return NULL;
}

bool lcf_ranker_has_backbone(const char *name)
{
    return lcf_ranker_find_backbone(name) != NULL;
}

bool lcf_ranker_takes_graph(const char *name)
{
    const ranker_backbone *found = lcf_ranker_find_backbone(name);

    return found && found->graph;
}

bool lcf_ranker_has_codes(const char *name)
{
    const ranker_backbone *found = lcf_ranker_find_backbone(name);

    return found && found->codes;
}

bool lcf_ranker_has_side(const char *name)
{
    return lcf_ranker_find_side(name) != NULL;
}

unsigned lcf_ranker_side_needs(const char *side)
{
    const ranker_side *found = lcf_ranker_find_side(side);

    return found ? found->needs : 0;
}
