/*
 * What a comparison comes to: the figures that a gate may name, and the verdict.
 */
#include "offline/eval/compare.h"

#include <math.h>
#include <string.h>

static const char *const ARM_SUFFIX[LCF_ARMS] = {"_a", "_b"};

static void add_estimate(lcf_figures *out, const char *stem, const char *const names[3],
                         const lcf_estimate *e)
{
    lcf_figures_add(out, stem, names[0], e ? e->value : NAN);
    lcf_figures_add(out, stem, names[1], e ? e->low : NAN);
    lcf_figures_add(out, stem, names[2], e ? e->high : NAN);
}

static void add_measure(lcf_figures *out, const char *name, const lcf_measure *m)
{
    static const char *const LIFT[] = {"_lift", "_lift_low", "_lift_high"};

    for (size_t a = 0; a < LCF_ARMS; a++)
        lcf_figures_add(out, name, ARM_SUFFIX[a], m ? m->arm[a].value : NAN);
    add_estimate(out, name, LIFT, m ? &m->lift : NULL);
    lcf_figures_add(out, name, "_lift_p", m ? m->p : NAN);
}

void lcf_comparison_figures(lcf_figures *out, const lcf_comparison *c)
{
    static const char *const PLAIN[] = {"", "_low", "_high"};

    out->n = 0;
    for (size_t m = 0; m < LCF_METRICS_N; m++)
        add_measure(out, LCF_METRIC_INFO[m].name, c ? &c->measures[m] : NULL);
    add_estimate(out, "relaimpr", PLAIN, c ? &c->rela_impr : NULL);
    lcf_figures_add(out, "interleaving", "", c ? c->interleaving.preference : NAN);
    lcf_figures_add(out, "interleaving", "_low", c ? c->interleaving.low : NAN);
    lcf_figures_add(out, "interleaving", "_high", c ? c->interleaving.high : NAN);
    for (size_t a = 0; a < LCF_ARMS; a++) {
        lcf_figures_add(out, "accuracy", ARM_SUFFIX[a],
                        c ? lcf_calibration_accuracy(&c->calibration[a]) : NAN);
        lcf_figures_add(out, "slope", ARM_SUFFIX[a], c ? c->calibration_fit[a].slope : NAN);
        lcf_figures_add(out, "intercept", ARM_SUFFIX[a], c ? c->calibration_fit[a].intercept : NAN);
    }
}

lcf_direction lcf_comparison_direction(const lcf_comparison *c)
{
    const lcf_estimate *lift = &c->measures[LCF_METRIC_AUC].lift;

    if (lift->low > 0)
        return LCF_DIRECTION_BETTER;
    return lift->high < 0 ? LCF_DIRECTION_WORSE : LCF_DIRECTION_OPEN;
}

static bool starts_with(const char *text, const char *stem, const char *suffix)
{
    size_t n = strlen(stem);

    return !strncmp(text, stem, n) && !strncmp(text + n, suffix, strlen(suffix));
}

static bool contains_zero(double low, double high)
{
    return !(low > 0) && !(high < 0);
}

/* Is the figure about a lift or a preference that may be 0? One that is about an arm is not. */
static bool is_open(const lcf_comparison *c, const char *figure)
{
    const lcf_estimate *lift = &c->measures[LCF_METRIC_AUC].lift;

    for (size_t m = 0; m < LCF_METRICS_N; m++)
        if (starts_with(figure, LCF_METRIC_INFO[m].name, "_lift"))
            return contains_zero(c->measures[m].lift.low, c->measures[m].lift.high);
    if (starts_with(figure, "interleaving", ""))
        return contains_zero(c->interleaving.low, c->interleaving.high);
    return starts_with(figure, "relaimpr", "") && contains_zero(lift->low, lift->high);
}

lcf_verdict lcf_comparison_verdict(const lcf_comparison *c, const lcf_gate_condition *conditions,
                                   size_t n)
{
    bool met = true, open = true;

    for (size_t i = 0; i < n; i++) {
        if (conditions[i].met)
            continue;
        met = false;
        open = open && is_open(c, conditions[i].name);
    }
    if (n)
        return met ? LCF_VERDICT_SHIP : open ? LCF_VERDICT_NO_DIFFERENCE : LCF_VERDICT_HOLD;
    switch (lcf_comparison_direction(c)) {
    case LCF_DIRECTION_BETTER:
        return LCF_VERDICT_SHIP;
    case LCF_DIRECTION_WORSE:
        return LCF_VERDICT_HOLD;
    case LCF_DIRECTION_OPEN:
        break;
    }
    return LCF_VERDICT_NO_DIFFERENCE;
}

const char *lcf_verdict_text(lcf_verdict verdict)
{
    static const char *const TEXT[] = {[LCF_VERDICT_SHIP] = "ship",
                                       [LCF_VERDICT_HOLD] = "hold",
                                       [LCF_VERDICT_NO_DIFFERENCE] = "no difference"};

    return TEXT[verdict];
}
